//! A panel with an SSD1306 or a relative of it on an I2C bus. Owns what the glass shows and how
//! to make it whole again; when to do so is [`Health`]'s to say, how bytes get to the wire
//! [`OneMessage`]'s. Never gives up, and never trusts the panel's memory after an error.
//!
//! The commands are the ssd1306 crate's, the order of the initialisation is not: its `init`
//! turns the panel on before there is a picture in its memory, and off and on again each time,
//! which would be seen every half minute.

use std::path::PathBuf;

use display_interface::DataFormat::U8;
use display_interface::{DisplayError, WriteOnlyDataCommand};
use embedded_hal::i2c::I2c;
use log::{debug, info, warn};
use ssd1306::command::{AddrMode, Command, Page};
use ssd1306::size::{DisplaySize, DisplaySize128x32, DisplaySize128x64};

use super::diff::{self, Window};
use super::fault::Fault;
use super::health::{Health, News, Step};
use super::linux::LinuxBus;
use super::message::OneMessage;
use super::{Glass, Light};
use crate::clock::{Moment, Now};
use crate::screen::{Frame, Size};

/// The chip of a panel. It cannot be detected: the status byte lies on real boards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chip {
    /// Most panels of 0.91 and 0.96 inches.
    Ssd1306,
    /// Its successor; the same commands.
    Ssd1315,
    /// 2.42 inches; without the charge pump.
    Ssd1309,
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
pub struct Settings {
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

/// Opens the bus, again after each loss: an adapter on USB comes back as another device.
pub trait Bus {
    /// The open bus.
    type I2c: I2c<Error = Fault>;

    /// Opens it.
    ///
    /// # Errors
    /// Why it cannot be opened.
    fn open(&mut self) -> Result<Self::I2c, Fault>;
}

/// The panel.
#[derive(Debug)]
pub struct Oled<B: Bus> {
    settings: Settings,
    bus: B,
    health: Health,
    message: Option<OneMessage<B::I2c>>,
    /// The picture in the panel's memory; worth something only while connected.
    shown: Frame,
    /// The picture that shall be there; nothing is sent before there is one.
    wanted: Option<Frame>,
    /// How the glass glows; worth something only while connected.
    lit: Light,
    /// How it shall.
    light: Light,
    /// The window set in the chip, its pointer at the start.
    window: Option<Window>,
}

impl Oled<LinuxBus> {
    /// A panel on a bus of this machine.
    pub fn linux(settings: Settings) -> Self {
        let bus = LinuxBus {
            path: settings.bus.clone(),
            address: settings.address,
        };
        Self::new(settings, bus)
    }
}

impl<B: Bus> Oled<B> {
    /// A panel on any bus; it is not opened before there is something to show.
    pub fn new(settings: Settings, bus: B) -> Self {
        Self {
            shown: Frame::new(settings.size),
            settings,
            bus,
            health: Health::new(),
            message: None,
            wanted: None,
            lit: Light::default(),
            light: Light::default(),
            window: None,
        }
    }

    /// Does what is due and takes the consequences.
    fn step(&mut self, now: Moment) {
        let step = self.health.step(now);
        let done = match step {
            Step::Wait => Ok(()),
            Step::Connect => self.connect(),
            Step::Heal => self.send_all(false),
            Step::Update => self.update(),
        };
        let news = match done {
            Ok(()) => self.health.worked(step, now),
            Err(fault) => {
                self.message = None;
                self.window = None;
                self.health.failed(fault, now)
            }
        };
        let Settings { bus, address, .. } = &self.settings;
        match news {
            None => {}
            Some(News::Lost(fault)) => warn!(
                "panel: {}; trying again until it works",
                fault.advice(bus, *address)
            ),
            Some(News::Back) => info!("panel: {address:#04x} on {} is back", bus.display()),
        }
    }

    fn connect(&mut self) -> Result<(), Fault> {
        self.message = None;
        let i2c = self.bus.open()?;
        self.message = Some(OneMessage::new(i2c, self.settings.address));
        self.send_all(true)
    }

    /// Sends all settings and the whole picture in one message, then turns the panel on. If it
    /// shall be off, it gets the settings alone: whatever is in its memory stays unseen.
    ///
    /// Healing does not darken the panel before (`dark`): sent to one that is well, it changes
    /// nothing that can be seen. One that has lost its power in between is dark already, with
    /// noise in its memory, and stays so until the picture is there.
    fn send_all(&mut self, dark: bool) -> Result<(), Fault> {
        let (Some(message), Some(wanted)) = (&mut self.message, &self.wanted) else {
            return Ok(());
        };
        self.lit = self.light;
        if !self.light.on {
            self.window = None;
            initialise(message, &self.settings, self.light, true)?;
            return message.flush();
        }
        let window = Window::whole(wanted);
        initialise(message, &self.settings, self.light, dark)?;
        send(message, wanted, window, None)?;
        message.flush()?;
        self.shown.clone_from(wanted);
        self.window = Some(window);
        // A message of its own: behind it in the same one, each of the 1024 bytes of data would
        // need a control byte.
        Command::DisplayOn(true).send(message)?;
        message.flush()
    }

    /// The last message: whatever state the chip is in, it is dark and empty behind it.
    fn darken(&self, mut message: OneMessage<B::I2c>) -> Result<(), Fault> {
        let dark = Frame::new(self.settings.size);
        initialise(&mut message, &self.settings, self.light, true)?;
        send(&mut message, &dark, Window::whole(&dark), None)?;
        message.flush()
    }

    fn reopen_to_darken(&mut self) -> Result<(), Fault> {
        let i2c = self.bus.open()?;
        self.darken(OneMessage::new(i2c, self.settings.address))
    }

    /// Sends what changed, in one message.
    fn update(&mut self) -> Result<(), Fault> {
        match (self.lit.on, self.light.on) {
            (true, true) => self.refresh(),
            // Whatever was drawn meanwhile was not sent, and hours may have passed: everything
            // again, as after a loss.
            (false, true) => self.send_all(true),
            (true, false) => self.extinguish(),
            (false, false) => Ok(()),
        }
    }

    fn extinguish(&mut self) -> Result<(), Fault> {
        let Some(message) = &mut self.message else {
            return Ok(());
        };
        Command::DisplayOn(false).send(message)?;
        message.flush()?;
        self.lit = self.light;
        Ok(())
    }

    fn refresh(&mut self) -> Result<(), Fault> {
        let (Some(message), Some(wanted)) = (&mut self.message, &self.wanted) else {
            return Ok(());
        };
        let plan = diff::plan(&self.shown, wanted, self.window);
        // Before the data, which so may be the end of the message.
        if self.light.brightness != self.lit.brightness {
            brighten(message, self.settings.chip, self.light.brightness)?;
        }
        if self.light.first_row() != self.lit.first_row() {
            Command::DisplayOffset(self.light.first_row()).send(message)?;
        }
        for window in &plan {
            send(message, wanted, *window, self.window)?;
            self.window = Some(*window);
        }
        message.flush()?;
        self.lit = self.light;
        if !plan.is_empty() {
            self.shown.clone_from(wanted);
        }
        Ok(())
    }
}

impl<B: Bus> Glass for Oled<B> {
    fn show(&mut self, frame: &Frame, light: Light, now: Moment) {
        self.light = light;
        match &mut self.wanted {
            Some(wanted) => wanted.clone_from(frame),
            None => self.wanted = Some(frame.clone()),
        }
        self.step(now);
    }

    fn tick(&mut self, now: Moment) {
        self.step(now);
    }

    fn deadline(&self) -> Moment {
        match self.wanted {
            Some(_) => self.health.deadline(),
            None => Moment::NEVER,
        }
    }

    /// Turns the panel off and clears its memory, so that whoever turns it on again does not show
    /// prices of long ago. A panel that is lost, or is just being lost, is opened once more: one
    /// that missed a single message still shows the last price, and would for ever.
    fn goodbye(&mut self, _: Now) {
        if self.wanted.is_none() {
            return;
        }
        let sent = match self.message.take() {
            Some(message) => self.darken(message).or_else(|_| self.reopen_to_darken()),
            None => self.reopen_to_darken(),
        };
        if let Err(fault) = sent {
            let Settings { bus, address, .. } = &self.settings;
            debug!("panel: no goodbye: {}", fault.advice(bus, *address));
        }
    }
}

/// The panel's window and what belongs into it.
fn send<I>(
    message: &mut OneMessage<I>,
    frame: &Frame,
    window: Window,
    current: Option<Window>,
) -> Result<(), DisplayError> {
    // The same test as in the price of a plan.
    if !current.is_some_and(|current| current.same_columns(window)) {
        Command::ColumnAddress(window.left, window.right).send(message)?;
    }
    if !current.is_some_and(|current| current.same_pages(window)) {
        // The crate's pages are made of rows of dots.
        Command::PageAddress(Page::from(window.top * 8), Page::from(window.bottom * 8))
            .send(message)?;
    }
    window
        .rows(frame)
        .try_for_each(|row| message.send_data(U8(row)))
}

/// All settings of the chip, from whatever state it is in.
fn initialise<I>(
    message: &mut OneMessage<I>,
    settings: &Settings,
    light: Light,
    dark: bool,
) -> Result<(), DisplayError> {
    // A message that was cut off may have left the chip waiting for up to two arguments: it takes
    // these, or does nothing.
    Command::Noop.send(message)?;
    Command::Noop.send(message)?;
    if dark {
        Command::DisplayOn(false).send(message)?;
    }
    Command::DisplayClockDiv(0x8, 0x0).send(message)?;
    Command::Multiplex(settings.size.height() as u8 - 1).send(message)?;
    Command::DisplayOffset(light.first_row()).send(message)?;
    Command::StartLine(0).send(message)?;
    if settings.chip != Chip::Ssd1309 {
        // The SSD1309 is supplied from outside and does not know this command.
        Command::ChargePump(true).send(message)?;
    }
    Command::AddressMode(AddrMode::Horizontal).send(message)?;
    match settings.size {
        Size::Tall => DisplaySize128x64.configure(message)?,
        Size::Short => DisplaySize128x32.configure(message)?,
    }
    // Makers mount the glass upside down, so upright is both ways reversed.
    let upright = settings.rotation == Rotation::Upright;
    Command::SegmentRemap(upright).send(message)?;
    Command::ReverseComDir(upright).send(message)?;
    brighten(message, settings.chip, light.brightness)?;
    Command::AllOn(false).send(message)?;
    Command::Invert(false).send(message)?;
    // The memory has to be written after this (data sheet, 10.1.7): it is.
    Command::EnableScroll(false).send(message)
}

/// Sets the brightness: contrast alone dims little, pre-charge and VCOMH go with it.
fn brighten<I>(message: &mut OneMessage<I>, chip: Chip, level: u8) -> Result<(), DisplayError> {
    // Phase 2 of the pre-charge has 1 to 15 clocks.
    Command::PreChargePeriod(1, 1 + level / 18).send(message)?;
    // Not the crate's `VcomhLevel`: its lowest level is 0x10, the data sheet's 0x00.
    let vcomh = match (chip, level) {
        (_, ..64) => 0x00,
        (Chip::Ssd1309, ..192) => 0x34,
        (Chip::Ssd1309, _) => 0x3C,
        (_, ..192) => 0x20,
        (_, _) => 0x30,
    };
    message.send_commands(U8(&[0xDB, vcomh]))?;
    Command::Contrast(level).send(message)
}
