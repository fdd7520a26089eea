//! A panel on an I2C or SPI bus. This module owns the picture on the panel and the steps that restore the
//! picture. [`PanelRecovery`] decides when to do a step, [`PanelSettings`] selects the commands for
//! the chip, and [`I2cMessage`] sends the bytes. The program retries a lost panel without end, and
//! never trusts the panel's memory after an error.

pub(crate) mod bus_fault;
pub(crate) mod controller;
pub(crate) mod dirty_runs;
pub(crate) mod dirty_windows;
pub(crate) mod gpio;
pub(crate) mod gpio_line;
pub(crate) mod i2c;
pub(crate) mod i2c_message;
pub(crate) mod linux_bus;
pub(crate) mod recovery;
pub mod spi;
pub(crate) mod window;
mod window_search;

use embedded_hal::i2c::I2c;
use log::{debug, info, warn};
use ssd1306::command::Command;

use super::oled::bus_fault::{BusFault, place};
use super::oled::controller::PanelSettings;
use super::oled::i2c_message::I2cMessage;
use super::oled::linux_bus::LinuxBus;
use super::oled::recovery::{PanelRecovery, Piece, RecoveryStep};
use super::oled::window::Window;
use super::{DisplayDevice, PanelLight};
use crate::render::Frame;
use crate::time::{Moment, Now};

/// The length of an update in bytes above which a user can see the transfer: 512 bytes take 46 ms
/// on a bus at 100 kHz.
const LONG: usize = 512;

/// A bus that can be opened again after each failure, because a USB adapter returns as a new
/// device.
pub trait Bus {
    /// The type of the open bus.
    type I2c: I2c<Error = BusFault>;

    /// Opens the bus.
    ///
    /// # Errors
    /// Returns the fault if the bus cannot be opened.
    fn open(&mut self) -> Result<Self::I2c, BusFault>;
}

/// A panel on a bus.
#[derive(Debug)]
pub struct Oled<B: Bus> {
    settings: PanelSettings,
    bus: B,
    health: PanelRecovery,
    message: Option<I2cMessage<B::I2c>>,
    /// The picture in the panel's memory; only valid while the panel is connected.
    shown: Frame,
    /// The picture that the panel must show. Nothing is sent before the first picture.
    wanted: Option<Frame>,
    /// The light that is set in the panel; only valid while the panel is connected.
    lit: PanelLight,
    /// The light that the panel must have.
    light: PanelLight,
    /// The window that was sent last and that contains the chip's pointer; `None` if it is unknown.
    window: Option<Window>,
    assumed: bool,
}

impl Oled<LinuxBus> {
    /// Creates a panel on a bus of this machine.
    pub fn linux(settings: PanelSettings) -> Self {
        let bus = LinuxBus::of(&settings);
        Self::new(settings, bus)
    }

    /// Marks the panel as an assumption, which may not exist. The log then contains no advice about
    /// its bus and its wiring.
    pub fn assumed(self, assumed: bool) -> Self {
        Self { assumed, ..self }
    }
}

impl<B: Bus> Oled<B> {
    /// Creates a panel on any bus. The bus is not opened before the first picture.
    pub fn new(settings: PanelSettings, bus: B) -> Self {
        Self {
            shown: Frame::new(settings.size),
            health: PanelRecovery::new(settings.pieces()),
            settings,
            bus,
            message: None,
            wanted: None,
            lit: PanelLight::default(),
            light: PanelLight::default(),
            window: None,
            assumed: false,
        }
    }

    /// Shows a picture that stays on the panel after the program has ended. The picture must
    /// therefore stay true without the program. A panel with a reset line can become dark at the
    /// drop of this value, because the kernel may then make the line an input.
    ///
    /// # Errors
    /// Returns the first fault of the bus. There is no retry.
    pub fn leave(&mut self, frame: &Frame, light: PanelLight) -> Result<(), BusFault> {
        self.wanted = Some(frame.clone());
        self.light = light;
        self.connect()
    }

    /// Performs the step that is due. The changes come first, and then a piece of the picture that is
    /// sent again, if one is due. If a step fails on a connected panel, the repair steps follow at
    /// once, until one of them succeeds or a new connection fails.
    fn step(&mut self, now: Moment) {
        let mut step = self.health.step(now);
        loop {
            let done = match step {
                RecoveryStep::Wait => Ok(()),
                RecoveryStep::Connect => self.connect(),
                RecoveryStep::Heal(piece) => self.heal(piece),
                RecoveryStep::Update => self.update(false),
                RecoveryStep::Repeat => self.update(true),
            };
            let PanelSettings { bus, address, .. } = &self.settings;
            let Err(fault) = done else {
                if self.health.worked(step, now) {
                    info!("panel: {} answers again", place(bus, *address));
                }
                match step {
                    RecoveryStep::Update => match self.health.heal(now) {
                        Some(heal) => step = heal,
                        None => return,
                    },
                    _ => return,
                }
                continue;
            };
            self.window = None;
            match &mut self.message {
                Some(message) if matches!(step, RecoveryStep::Update | RecoveryStep::Heal(_)) => {
                    message.forget();
                }
                message => *message = None,
            }
            let is_new = self.health.failed(step, fault, now);
            if is_new && self.assumed {
                info!(
                    "panel: the configuration has no valid [panel], and no panel answers at the \
                     default address"
                );
            } else if is_new {
                let advice = fault.advice(bus, *address);
                warn!("panel: {advice}; the program retries until the panel answers");
            }
            if step == RecoveryStep::Connect {
                return;
            }
            step = self.health.step(now);
        }
    }

    fn open(&mut self) -> Result<I2cMessage<B::I2c>, BusFault> {
        Ok(I2cMessage::new(self.bus.open()?, self.settings.address))
    }

    fn connect(&mut self) -> Result<(), BusFault> {
        self.message = None;
        self.message = Some(self.open()?);
        self.send_all()
    }

    /// Turns the panel off, sends all settings and the whole picture, and then turns the panel on. If
    /// the panel must be off, only the settings are sent, because its memory is not visible.
    fn send_all(&mut self) -> Result<(), BusFault> {
        let (Some(message), Some(wanted)) = (&mut self.message, &self.wanted) else {
            return Ok(());
        };
        self.settings.initialise(message, self.light, true, true)?;
        message.flush()?;
        if !self.light.on {
            self.window = None;
            self.lit = self.light;
            return Ok(());
        }
        let window = self.settings.redraw(message, wanted)?;
        self.shown.clone_from(wanted);
        self.window = Some(window);
        self.switch(true)
    }

    /// Sends a piece of the picture again, with the settings before the first piece. A working panel
    /// shows no visible change. A panel that has lost power is dark, and stays dark until all pieces
    /// of a series are in its memory. If the panel must be off, only the settings are sent.
    fn heal(&mut self, piece: Piece) -> Result<(), BusFault> {
        let Some(message) = &mut self.message else {
            return Ok(());
        };
        let Piece { number, in_series } = piece;
        if number == 0 {
            let dark = !self.light.on;
            self.settings
                .initialise(message, self.light, dark, in_series)?;
            message.flush()?;
        }
        if self.light.on {
            let (frame, window) = (&self.shown, self.window);
            let wake = in_series && number + 1 == self.settings.pieces();
            self.window = self.settings.heal(message, frame, number, window, wake)?;
        }
        Ok(())
    }

    /// Turns the panel on or off with one message.
    fn switch(&mut self, on: bool) -> Result<(), BusFault> {
        if let Some(message) = &mut self.message {
            Command::DisplayOn(on).send(message)?;
            message.flush()?;
            self.lit = self.light;
        }
        Ok(())
    }

    /// Sends the last messages of the program. The panel is dark and its memory is empty afterwards,
    /// for any previous state of the chip.
    fn blank(&self, mut message: I2cMessage<B::I2c>) -> Result<(), BusFault> {
        let dark = Frame::new(self.settings.size);
        self.settings
            .initialise(&mut message, self.light, true, true)?;
        message.flush()?;
        self.settings.redraw(&mut message, &dark).map(drop)
    }

    /// Sends the changes, one message for each window. If `again` is true, the previous message
    /// failed. The function then also sends all state that the failed message may have changed.
    fn update(&mut self, again: bool) -> Result<(), BusFault> {
        match (self.lit.on, self.light.on) {
            (true, true) => self.refresh(again),
            // No changes were sent while the panel was off, possibly for hours. Everything is sent
            // again, as after a lost connection.
            (false, true) => self.send_all(),
            (true, false) => self.switch(false),
            (false, false) => Ok(()),
        }
    }

    fn refresh(&mut self, again: bool) -> Result<(), BusFault> {
        let (Some(message), Some(wanted)) = (&mut self.message, &self.wanted) else {
            return Ok(());
        };
        let plan = self.settings.plan(&self.shown, wanted, self.window);
        if again && self.settings.price(&plan, self.window) > LONG {
            // A user could see a torn picture during this long update, so the panel is turned off
            // first.
            return self.send_all();
        }
        if again {
            // The failed message may have been cut in the settings, and any of them may now have a
            // wrong argument: also the mode in which the chip writes the windows below.
            self.settings
                .initialise(message, self.light, false, false)?;
        } else {
            if self.light.brightness != self.lit.brightness {
                self.settings.brighten(message, self.light.brightness)?;
            }
            if self.light.first_row() != self.lit.first_row() {
                self.settings.shift(message, self.light)?;
            }
        }
        message.flush()?;
        self.lit = self.light;
        for window in &plan {
            self.settings.send(message, wanted, *window, self.window)?;
            message.flush()?;
            self.window = Some(*window);
            // If the next message fails, only the windows that did not arrive are sent again.
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

    /// Turns the panel off and clears its memory, so that the next program that turns the panel on
    /// shows no old prices. The bus is opened once more if the panel is not connected or if the
    /// message fails: a panel that missed one message would otherwise show the last price without
    /// end.
    fn leave_display(&mut self, _: Now) {
        if self.wanted.is_none() {
            return;
        }
        let sent = match self.message.take().map(|message| self.blank(message)) {
            Some(Ok(())) => Ok(()),
            _ => self.open().and_then(|message| self.blank(message)),
        };
        if let Err(fault) = sent {
            let advice = fault.advice(&self.settings.bus, self.settings.address);
            debug!("panel: cannot write the last picture: {advice}");
        }
    }
}
