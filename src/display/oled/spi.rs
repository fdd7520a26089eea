//! A panel on an SPI bus of Linux. This module owns the open device and the line at the DC pin of
//! the panel, which is low for commands and high for data; it never decides what to send.
//!
//! The messages have the form for I2C, with control bytes, so that one planner serves both buses.
//! [`send`] turns them into commands and data.

use std::io::{self, Write};
use std::path::Path;

use embedded_hal::digital::OutputPin;
use spidev::{SpiModeFlags, Spidev, SpidevOptions};

use super::bus_fault::BusFault;
use super::gpio::OutputLine;
use super::gpio_line::GpioLine;

/// The clock rate in Hz. The SH1106 has the lowest limit of all chips (data sheet, "Serial Interface
/// Timing": 250 ns for a cycle). A whole picture then takes 2 ms.
const SPEED: u32 = 4_000_000;
/// The bit of a control byte that is set if only one byte follows before the next control byte.
const ONE: u8 = 0x80;
/// The bit of a control byte that is set before data.
const DATA: u8 = 0x40;
/// The number of bytes of one kind that are sent together, if each has its own control byte.
const RUN: usize = 128;

/// A connection that knows commands and data.
pub trait Transport {
    /// Sends commands with their arguments.
    ///
    /// # Errors
    /// The fault of the bus.
    fn commands(&mut self, bytes: &[u8]) -> Result<(), BusFault>;
    /// Sends data for the memory of the chip.
    ///
    /// # Errors
    /// The fault of the bus.
    fn data(&mut self, bytes: &[u8]) -> Result<(), BusFault>;
}

/// Sends a message that has the form for I2C (SSD1306 data sheet, 8.1.5.2).
///
/// # Errors
/// The first fault of the bus.
pub fn send(mut message: &[u8], to: &mut impl Transport) -> Result<(), BusFault> {
    // Bytes of one kind, each of which has its own control byte.
    let mut run = heapless::Vec::<u8, RUN>::new();
    let mut kind = 0;
    while let [control, rest @ ..] = message {
        let until = if control & ONE == 0 { rest.len() } else { 1 };
        let Some((bytes, rest)) = rest.split_at_checked(until) else {
            break;
        };
        message = rest;
        if control & DATA != kind || run.len() + bytes.len() > RUN {
            deliver(kind, &run, to)?;
            run.clear();
            kind = control & DATA;
        }
        if run.extend_from_slice(bytes).is_err() {
            deliver(kind, bytes, to)?;
        }
    }
    deliver(kind, &run, to)
}

fn deliver(kind: u8, bytes: &[u8], to: &mut impl Transport) -> Result<(), BusFault> {
    match (kind, bytes) {
        (_, []) => Ok(()),
        (DATA, bytes) => to.data(bytes),
        (_, bytes) => to.commands(bytes),
    }
}

/// An open SPI bus of Linux with a panel.
#[derive(Debug)]
pub(super) struct LinuxSpi {
    bus: Spidev,
    dc: OutputLine,
}

impl LinuxSpi {
    /// Opens the bus at this path, such as `/dev/spidev0.0`.
    pub(super) fn open(path: &Path, dc: GpioLine) -> Result<Self, BusFault> {
        let mut bus = Spidev::open(path).map_err(fault)?;
        let options = SpidevOptions::new()
            .bits_per_word(8)
            .max_speed_hz(SPEED)
            .mode(SpiModeFlags::SPI_MODE_0)
            .build();
        bus.configure(&options).map_err(fault)?;
        let dc = OutputLine::open(dc, false)?;
        Ok(Self { bus, dc })
    }
}

impl Transport for LinuxSpi {
    fn commands(&mut self, bytes: &[u8]) -> Result<(), BusFault> {
        self.dc.set_low()?;
        self.bus.write_all(bytes).map_err(fault)
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), BusFault> {
        self.dc.set_high()?;
        self.bus.write_all(bytes).map_err(fault)
    }
}

fn fault(error: io::Error) -> BusFault {
    BusFault::from_io(&error)
}
