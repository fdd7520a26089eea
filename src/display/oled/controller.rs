//! The chips and what they are told. Owns the settings that a device does not tell, and every
//! command byte but the control bytes between them; never decides when to send, and never touches
//! a bus.
//!
//! The commands are the ssd1306 crate's, the order of the initialisation is not: its `init`
//! turns the panel on before there is a picture in its memory, and off and on again each time,
//! which would be seen every half minute.

use std::path::PathBuf;
use std::str::FromStr;

use display_interface::DataFormat::U8;
use display_interface::{DisplayError, WriteOnlyDataCommand};
use ssd1306::command::{AddrMode, Command, Page};
use ssd1306::size::{DisplaySize, DisplaySize128x32, DisplaySize128x64};

use super::dirty_runs;
use super::dirty_windows;
use super::dirty_windows::{Window, WindowPlan};
use super::i2c_message::I2cMessage;
use crate::display::PanelLight;
use crate::render::{Frame, Size};

/// The chip of a panel. It cannot be detected: the status byte lies on real boards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chip {
    /// Most panels of 0.91 and 0.96 inches.
    Ssd1306,
    /// Its successor; the same commands.
    Ssd1315,
    /// 2.42 inches; without the charge pump.
    Ssd1309,
    /// Most panels of 1.3 inches; 132 columns of memory, and no windows in it.
    Sh1106 {
        /// The first of the 128 columns that are on the glass when it is upright, 0..=4; mostly
        /// [`Chip::COLUMN`].
        column: u8,
    },
}

impl Chip {
    /// The first column on the glass of most panels with an SH1106.
    pub const COLUMN: u8 = 2;
    /// Columns of an SH1106's memory that are not on the glass, left and right together.
    pub const SPARE: u8 = 4;
}

impl FromStr for Chip {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "ssd1306" => Ok(Chip::Ssd1306),
            "ssd1315" => Ok(Chip::Ssd1315),
            "ssd1309" => Ok(Chip::Ssd1309),
            "sh1106" => Ok(Chip::Sh1106 {
                column: Chip::COLUMN,
            }),
            _ => Err("expected ssd1306, ssd1315, ssd1309 or sh1106"),
        }
    }
}

/// Which way up the panel is mounted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rotation {
    /// As its maker meant it.
    Upright,
    /// Upside down, by 180 degrees.
    UpsideDown,
}

/// What has to be known of a panel; a device does not tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PanelSettings {
    /// Its chip.
    pub chip: Chip,
    /// Its size.
    pub size: Size,
    /// The bus it is on, such as `/dev/i2c-1`.
    pub bus: PathBuf,
    /// Its address, 7 bits: `0x3c`, sometimes `0x3d`.
    pub address: u8,
    /// Which way up it is.
    pub rotation: Rotation,
}

type BufferResult<T> = Result<T, DisplayError>;

impl PanelSettings {
    /// Where the picture's first column is in the memory of a chip that is told pages; `None` of
    /// one that is told windows, which begin with it.
    fn paged(&self) -> Option<u8> {
        let Chip::Sh1106 { column } = self.chip else {
            return None;
        };
        // Turned, columns count from the other end of the 132.
        Some(match self.rotation {
            Rotation::Upright => column.min(Chip::SPARE),
            Rotation::UpsideDown => Chip::SPARE.saturating_sub(column),
        })
    }

    /// What to send for the next picture when the last window sent was `current`.
    pub(crate) fn plan(&self, shown: &Frame, next: &Frame, current: Option<Window>) -> WindowPlan {
        match self.paged() {
            None => dirty_windows::plan(shown, next, current),
            Some(_) => dirty_runs::plan(shown, next, current),
        }
    }

    /// The window of a plan and what belongs into it.
    pub(crate) fn send<I>(
        &self,
        message: &mut I2cMessage<I>,
        frame: &Frame,
        window: Window,
        current: Option<Window>,
    ) -> BufferResult<()> {
        // The same tests as in the price of a plan. The crate's pages are made of rows of dots.
        if let Some(first) = self.paged() {
            if current.is_none_or(|current| current.bottom != window.top) {
                Command::PageStart(Page::from(window.top * 8)).send(message)?;
            }
            Command::ColStart(first + window.left).send(message)?;
        } else {
            if !current.is_some_and(|current| current.same_columns(window)) {
                Command::ColumnAddress(window.left, window.right).send(message)?;
            }
            if !current.is_some_and(|current| current.same_pages(window)) {
                Command::PageAddress(Page::from(window.top * 8), Page::from(window.bottom * 8))
                    .send(message)?;
            }
        }
        window
            .rows(frame)
            .try_for_each(|row| message.send_data(U8(row)))
    }

    /// The whole picture, wherever the chip's pointer is, with all of the memory that could be
    /// seen; returns the window that is set behind it.
    pub(crate) fn redraw<I>(
        &self,
        message: &mut I2cMessage<I>,
        frame: &Frame,
    ) -> BufferResult<Window> {
        let whole = Window::whole(frame);
        let Some(first) = self.paged() else {
            self.send(message, frame, whole, None)?;
            return Ok(whole);
        };
        // Of a panel whose first column is another than was said, the rest is seen as well.
        let spare = [0; Chip::SPARE as usize];
        let (left, right) = spare.split_at(usize::from(first));
        for page in 0..=whole.bottom {
            Command::PageStart(Page::from(page * 8)).send(message)?;
            Command::ColStart(0).send(message)?;
            for part in [left, frame.page(usize::from(page)), right] {
                message.send_data(U8(part))?;
            }
        }
        Ok(Window {
            top: whole.bottom,
            ..whole
        })
    }

    /// All settings of the chip, from whatever state it is in; the panel is off behind it if it
    /// shall be `dark`.
    pub(crate) fn initialise<I>(
        &self,
        message: &mut I2cMessage<I>,
        light: PanelLight,
        dark: bool,
    ) -> BufferResult<()> {
        // A message that was cut off may have left the chip waiting for up to two arguments: it
        // takes these, or does nothing.
        Command::Noop.send(message)?;
        Command::Noop.send(message)?;
        if dark {
            Command::DisplayOn(false).send(message)?;
        }
        Command::DisplayClockDiv(0x8, 0x0).send(message)?;
        Command::Multiplex(self.size.height() as u8 - 1).send(message)?;
        Command::DisplayOffset(light.first_row()).send(message)?;
        Command::StartLine(0).send(message)?;
        match self.chip {
            Chip::Ssd1306 | Chip::Ssd1315 => {
                Command::ChargePump(true).send(message)?;
                Command::AddressMode(AddrMode::Horizontal).send(message)?;
            }
            // It is supplied from outside and does not know the pump.
            Chip::Ssd1309 => Command::AddressMode(AddrMode::Horizontal).send(message)?,
            Chip::Sh1106 { .. } => {
                // The panel must be off while the pump is switched (data sheet, command 10); after
                // a loss of power it is on without being told.
                if dark {
                    message.send_commands(U8(&[0xAD, 0x8B]))?;
                }
                // 8 V.
                message.send_commands(U8(&[0x32]))?;
            }
        }
        match self.size {
            Size::Tall => DisplaySize128x64.configure(message)?,
            Size::Short => DisplaySize128x32.configure(message)?,
        }
        // Makers mount the glass upside down, so upright is both ways reversed.
        let upright = self.rotation == Rotation::Upright;
        Command::SegmentRemap(upright).send(message)?;
        Command::ReverseComDir(upright).send(message)?;
        self.brighten(message, light.brightness)?;
        Command::AllOn(false).send(message)?;
        Command::Invert(false).send(message)?;
        match self.chip {
            // It cannot scroll by itself.
            Chip::Sh1106 { .. } => Ok(()),
            // The memory has to be written after this (SSD1306, 10.1.7): it is.
            _ => Command::EnableScroll(false).send(message),
        }
    }

    /// Sets the brightness: contrast alone dims little, pre-charge and VCOMH go with it.
    pub(crate) fn brighten<I>(&self, message: &mut I2cMessage<I>, level: u8) -> BufferResult<()> {
        // The pre-charge has 1 to 15 clocks, the discharge before it the fewest.
        let charge = 1 + level / 18;
        match self.chip {
            // The other way round (SH1106, command 15).
            Chip::Sh1106 { .. } => Command::PreChargePeriod(charge, 1).send(message)?,
            _ => Command::PreChargePeriod(1, charge).send(message)?,
        }
        // 0.65, 0.77 and 0.83 of the supply, or as near as the chip comes. Not the crate's
        // `VcomhLevel`: its lowest level is 0x10, the data sheet's 0x00.
        let levels = match self.chip {
            Chip::Ssd1306 | Chip::Ssd1315 => [0x00, 0x20, 0x30],
            Chip::Ssd1309 => [0x00, 0x34, 0x3C],
            Chip::Sh1106 { .. } => [0x22, 0x35, 0x3E],
        };
        let [low, mid, high] = levels;
        let vcomh = match level {
            ..64 => low,
            64..192 => mid,
            192.. => high,
        };
        message.send_commands(U8(&[0xDB, vcomh]))?;
        Command::Contrast(level).send(message)
    }
}
