//! A panel on an I2C bus. Owns what the glass shows and how to make it whole again; when to do so
//! is [`PanelRecovery`]'s to say, what to tell the chip [`PanelSettings`]', how bytes get to the wire
//! [`I2cMessage`]'s. Never gives up, and never trusts the panel's memory after an error.

pub(crate) mod bus_error;
pub(crate) mod controller;
pub(crate) mod dirty_runs;
pub mod dirty_windows;
pub(crate) mod i2c;
pub(crate) mod i2c_message;
pub(crate) mod recovery;

use embedded_hal::i2c::I2c;
use log::{debug, info, warn};
use ssd1306::command::Command;

use super::oled::bus_error::BusFault;
use super::oled::controller::PanelSettings;
use super::oled::dirty_windows::Window;
use super::oled::i2c::LinuxBus;
use super::oled::i2c_message::I2cMessage;
use super::oled::recovery::{PanelEvent, PanelRecovery, RecoveryStep};
use super::{DisplayDevice, PanelLight};
use crate::render::Frame;
use crate::time::{Moment, Now};

/// A message that is longer than this (in bytes) may be seen on its way: 46 ms of a bus at 100 kHz.
const LONG: usize = 512;

/// Opens the bus, again after each loss: an adapter on USB comes back as another device.
pub trait Bus {
    /// The open bus.
    type I2c: I2c<Error = BusFault>;

    /// Opens it.
    ///
    /// # Errors
    /// Why it cannot be opened.
    fn open(&mut self) -> Result<Self::I2c, BusFault>;
}

/// The panel.
#[derive(Debug)]
pub struct Oled<B: Bus> {
    settings: PanelSettings,
    bus: B,
    health: PanelRecovery,
    message: Option<I2cMessage<B::I2c>>,
    /// The picture in the panel's memory; worth something only while connected.
    shown: Frame,
    /// The picture that shall be there; nothing is sent before there is one.
    wanted: Option<Frame>,
    /// How the glass glows; worth something only while connected.
    lit: PanelLight,
    /// How it shall.
    light: PanelLight,
    /// The window sent last, which the chip's pointer is in; `None` if that is not known.
    window: Option<Window>,
}

impl Oled<LinuxBus> {
    /// A panel on a bus of this machine.
    pub fn linux(settings: PanelSettings) -> Self {
        let bus = LinuxBus {
            path: settings.bus.clone(),
            address: settings.address,
        };
        Self::new(settings, bus)
    }
}

impl<B: Bus> Oled<B> {
    /// A panel on any bus; it is not opened before there is something to show.
    pub fn new(settings: PanelSettings, bus: B) -> Self {
        Self {
            shown: Frame::new(settings.size),
            settings,
            bus,
            health: PanelRecovery::new(),
            message: None,
            wanted: None,
            lit: PanelLight::default(),
            light: PanelLight::default(),
            window: None,
        }
    }

    /// Shows a picture that stays when this program has ended: for one that is true without it.
    ///
    /// # Errors
    /// What the bus says; nothing is tried again.
    pub fn leave(mut self, frame: &Frame, light: PanelLight) -> Result<(), BusFault> {
        self.wanted = Some(frame.clone());
        self.light = light;
        self.connect()
    }

    /// Does what is due and takes the consequences: what fails of a panel that was there is mended
    /// at once, as far as it goes.
    fn step(&mut self, now: Moment) {
        loop {
            let step = self.health.step(now);
            let done = match step {
                RecoveryStep::Wait => Ok(()),
                RecoveryStep::Connect => self.connect(),
                RecoveryStep::Heal => self.send_all(false),
                RecoveryStep::Update => self.update(false),
                RecoveryStep::Repeat => self.update(true),
            };
            let Err(fault) = done else {
                let news = self.health.worked(step, now);
                return self.log(news);
            };
            self.window = None;
            match &mut self.message {
                Some(message) if step == RecoveryStep::Update => message.forget(),
                message => *message = None,
            }
            let news = self.health.failed(step, fault, now);
            self.log(news);
            if step == RecoveryStep::Connect {
                return;
            }
        }
    }

    fn log(&self, news: Option<PanelEvent>) {
        let PanelSettings { bus, address, .. } = &self.settings;
        match news {
            None => {}
            Some(PanelEvent::Lost(fault)) => warn!(
                "panel: {}; trying again until it works",
                fault.advice(bus, *address)
            ),
            Some(PanelEvent::Back) => info!("panel: {address:#04x} on {} is back", bus.display()),
        }
    }

    fn connect(&mut self) -> Result<(), BusFault> {
        self.message = None;
        let i2c = self.bus.open()?;
        self.message = Some(I2cMessage::new(i2c, self.settings.address));
        self.send_all(true)
    }

    /// Sends all settings and the whole picture in one message, then turns the panel on. If it
    /// shall be off, it gets the settings alone: whatever is in its memory stays unseen.
    ///
    /// Healing does not darken the panel before (`dark`): sent to one that is well, it changes
    /// nothing that can be seen. One that has lost its power in between is dark already, with
    /// noise in its memory, and stays so until the picture is there.
    fn send_all(&mut self, dark: bool) -> Result<(), BusFault> {
        let (Some(message), Some(wanted)) = (&mut self.message, &self.wanted) else {
            return Ok(());
        };
        if !self.light.on {
            self.window = None;
            self.settings.initialise(message, self.light, true)?;
            message.flush()?;
            self.lit = self.light;
            return Ok(());
        }
        self.settings.initialise(message, self.light, dark)?;
        let window = self.settings.redraw(message, wanted)?;
        message.flush()?;
        self.shown.clone_from(wanted);
        self.window = Some(window);
        // A message of its own: behind it in the same one, each byte of data would need a control
        // byte.
        Command::DisplayOn(true).send(message)?;
        message.flush()?;
        self.lit = self.light;
        Ok(())
    }

    /// The last message: whatever state the chip is in, it is dark and empty behind it.
    fn blank(&self, mut message: I2cMessage<B::I2c>) -> Result<(), BusFault> {
        let dark = Frame::new(self.settings.size);
        self.settings.initialise(&mut message, self.light, true)?;
        self.settings.redraw(&mut message, &dark)?;
        message.flush()
    }

    fn reopen_and_blank(&mut self) -> Result<(), BusFault> {
        let i2c = self.bus.open()?;
        self.blank(I2cMessage::new(i2c, self.settings.address))
    }

    /// Sends what changed, in one message; once more, if the one before was cut off.
    fn update(&mut self, again: bool) -> Result<(), BusFault> {
        match (self.lit.on, self.light.on) {
            (true, true) => self.refresh(again),
            // Whatever was drawn meanwhile was not sent, and hours may have passed: everything
            // again, as after a loss.
            (false, true) => self.send_all(true),
            (true, false) => self.turn_off(),
            (false, false) => Ok(()),
        }
    }

    fn turn_off(&mut self) -> Result<(), BusFault> {
        let Some(message) = &mut self.message else {
            return Ok(());
        };
        Command::DisplayOn(false).send(message)?;
        message.flush()?;
        self.lit = self.light;
        Ok(())
    }

    fn refresh(&mut self, again: bool) -> Result<(), BusFault> {
        let (Some(message), Some(wanted)) = (&mut self.message, &self.wanted) else {
            return Ok(());
        };
        let plan = self.settings.plan(&self.shown, wanted, self.window);
        if again {
            // The chip takes these as the arguments that it may be waiting for.
            Command::Noop.send(message)?;
            Command::Noop.send(message)?;
        }
        // Before the data, which so may be the end of the message.
        if again || self.light.brightness != self.lit.brightness {
            self.settings.brighten(message, self.light.brightness)?;
        }
        if again || self.light.first_row() != self.lit.first_row() {
            Command::DisplayOffset(self.light.first_row()).send(message)?;
        }
        for window in &plan {
            self.settings.send(message, wanted, *window, self.window)?;
            self.window = Some(*window);
        }
        if again && message.len() > LONG {
            // A picture that is torn is not looked at for as long as this takes: it goes dark first.
            message.forget();
            return self.send_all(true);
        }
        message.flush()?;
        self.lit = self.light;
        // What lies outside the windows is the same in both.
        for window in &plan {
            window.copy(wanted, &mut self.shown);
        }
        Ok(())
    }
}

impl<B: Bus> DisplayDevice for Oled<B> {
    fn show(&mut self, frame: &Frame, light: PanelLight, now: Moment) {
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
    fn leave_display(&mut self, _: Now) {
        if self.wanted.is_none() {
            return;
        }
        let sent = match self.message.take() {
            Some(message) => self.blank(message).or_else(|_| self.reopen_and_blank()),
            None => self.reopen_and_blank(),
        };
        if let Err(fault) = sent {
            let PanelSettings { bus, address, .. } = &self.settings;
            debug!("panel: no goodbye: {}", fault.advice(bus, *address));
        }
    }
}
