//! Test doubles of an I2C bus: one has a chip and can fail, the other one accepts all messages.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;
use std::time::Duration;

use deskticker::display::{
    self, Bus, BusFault, DisplayDevice as _, Oled, PanelLight, PanelSettings, Rotation,
};
use deskticker::render::{Frame, Size};
use deskticker::time::Moment;
use embedded_hal::i2c::{ErrorType, I2c, Operation};

use super::chip::Chip;
use super::pictures::{Change, DAY, apply, random_frame};

pub(crate) const ADDRESS: u8 = 0x3c;

/// The settings of an upright panel on the simulated bus.
pub(crate) fn panel_settings(chip: display::Chip, size: Size) -> PanelSettings {
    PanelSettings {
        chip,
        size,
        bus: "/dev/i2c-1".into(),
        address: ADDRESS,
        rotation: Rotation::Upright,
        dc: None,
        reset: None,
    }
}

/// Lets the panel do all its work that is due.
pub(crate) fn tick<B: Bus>(oled: &mut Oled<B>, now: Moment) {
    oled.tick(now);
    while oled.deadline() <= now {
        oled.tick(now);
    }
}

/// Loses bytes of a panel's memory at random times, and lets the panel do its work. Returns the longest
/// time in milliseconds for which the picture was wrong, and the length of the longest piece in
/// bytes.
pub(crate) fn lose_bytes(rig: &Rig, settings: PanelSettings) -> (u64, usize) {
    let at = Moment::from_millis;
    let size = settings.size;
    let mut oled = rig.oled(settings);
    let mut random = fastrand::Rng::with_seed(5);
    let frame = random_frame(size, 1);
    oled.show(&frame, DAY, at(0));
    rig.messages();
    let (mut lost, mut longest, mut most) = (None, 0, 0);
    for now in (100..400_000).step_by(100) {
        if lost.is_none() && random.u8(..) < 8 {
            let mut chip = rig.chip();
            let segments = chip.segments();
            chip.corrupt(random.usize(..size.pages()), random.usize(..segments));
            lost = Some(now);
        }
        while oled.deadline() <= at(now) {
            oled.tick(at(now));
            most = most.max(rig.messages().iter().sum());
        }
        let right =
            rig.seen(size).as_ref() == Some(&frame) && rig.chip().is_blank_outside(size.height());
        if let Some(since) = lost
            && right
        {
            longest = longest.max(now - since);
            lost = None;
        }
    }
    (longest, most)
}

/// One change of the picture with its light, and the number of bytes after which the message for it
/// fails.
pub(crate) type Step = (Change, PanelLight, Option<usize>);

/// Shows these changes of a picture, with their failures, and checks that the panel shows the whole
/// picture in the end. Returns its light.
pub(crate) fn assert_whole_after_failures(
    rig: &Rig,
    oled: &mut Oled<Rig>,
    size: Size,
    steps: &[Step],
) -> PanelLight {
    let mut frame = Frame::new(size);
    let (mut now, mut light) = (Moment::ZERO, DAY);
    for (change, next, failure) in steps {
        light = *next;
        if let Some(after) = failure {
            rig.fail_next(*after, BusFault::NoAnswer);
        }
        apply(&mut frame, change);
        oled.show(&frame, light, now);
        now = now + Duration::from_millis(700);
    }
    // Retries use up the failures that are left.
    for _ in 0..=steps.len() {
        now = now + Duration::from_secs(10);
        oled.tick(now);
    }
    rig.assert_glows(&frame, light);
    light
}

/// A bus with one chip. It fails when a test requests a failure.
#[derive(Clone)]
pub(crate) struct Rig(Rc<Inside>);

struct Inside {
    chip: RefCell<Chip>,
    /// The length of each complete message, with its address byte.
    messages: RefCell<Vec<usize>>,
    /// The number of bytes after which each of the next messages fails, and the fault.
    failures: RefCell<Vec<(usize, BusFault)>>,
    /// The number of messages before the next failure.
    working: Cell<usize>,
    /// The fault of each attempt to open the bus.
    missing: Cell<Option<BusFault>>,
    opened: Cell<usize>,
}

impl Rig {
    /// A bus with an SSD1306.
    pub(crate) fn new() -> Self {
        Self::with(Chip::ssd1306(7))
    }

    pub(crate) fn with(chip: Chip) -> Self {
        Self(Rc::new(Inside {
            chip: RefCell::new(chip),
            messages: RefCell::default(),
            failures: RefCell::default(),
            working: Cell::new(0),
            missing: Cell::new(None),
            opened: Cell::new(0),
        }))
    }

    pub(crate) fn oled(&self, settings: PanelSettings) -> Oled<Self> {
        Oled::new(settings, self.clone())
    }

    pub(crate) fn chip(&self) -> RefMut<'_, Chip> {
        self.0.chip.borrow_mut()
    }

    /// The number of attempts to open the bus.
    pub(crate) fn opened(&self) -> usize {
        self.0.opened.get()
    }

    /// Sets the fault of each further attempt to open the bus. `None` means success.
    pub(crate) fn missing(&self, fault: Option<BusFault>) {
        self.0.missing.set(fault);
    }

    /// The lengths of the messages since the last call.
    pub(crate) fn messages(&self) -> Vec<usize> {
        self.0.messages.take()
    }

    pub(crate) fn fail_next(&self, after: usize, fault: BusFault) {
        self.0.failures.borrow_mut().push((after, fault));
    }

    /// Lets a number of messages arrive, and then lets one message fail.
    pub(crate) fn fail_after(&self, messages: usize, after: usize, fault: BusFault) {
        self.0.working.set(messages);
        self.fail_next(after, fault);
    }

    pub(crate) fn assert_shows(&self, frame: &Frame) {
        let seen = self.seen(frame.size());
        assert_eq!(seen.as_ref(), Some(frame));
    }

    /// Checks the display, which may be off or shifted.
    pub(crate) fn assert_glows(&self, frame: &Frame, light: PanelLight) {
        let expected = light.on.then(|| light.on_glass(frame));
        assert_eq!(self.seen(frame.size()), expected);
    }

    pub(crate) fn seen(&self, size: Size) -> Option<Frame> {
        let rows = self.0.chip.borrow().seen(size.height())?;
        let mut frame = Frame::new(size);
        for (y, row) in rows.iter().enumerate() {
            for (x, lit) in row.iter().enumerate() {
                frame.set(x, y, *lit);
            }
        }
        Some(frame)
    }
}

impl Bus for Rig {
    type I2c = Self;
    fn open(&mut self) -> Result<Self, BusFault> {
        self.0.opened.set(self.0.opened.get() + 1);
        self.0.missing.get().map_or(Ok(self.clone()), Err)
    }
}

impl ErrorType for Rig {
    type Error = BusFault;
}

impl I2c for Rig {
    fn transaction(
        &mut self,
        address: u8,
        operations: &mut [Operation<'_>],
    ) -> Result<(), BusFault> {
        assert_eq!(address, ADDRESS);
        let [Operation::Write(bytes)] = operations else {
            panic!("not one write");
        };
        let mut failures = self.0.failures.borrow_mut();
        let working = self.0.working.get();
        self.0.working.set(working.saturating_sub(1));
        if !failures.is_empty() && working == 0 {
            let (after, fault) = failures.remove(0);
            let arrived = &bytes[..after.min(bytes.len())];
            self.0.chip.borrow_mut().receive(arrived);
            return Err(fault);
        }
        self.0.chip.borrow_mut().receive(bytes);
        self.0.messages.borrow_mut().push(1 + bytes.len());
        Ok(())
    }
}

/// A bus that accepts all messages.
pub(crate) struct Quiet;

impl Bus for Quiet {
    type I2c = Quiet;
    fn open(&mut self) -> Result<Quiet, BusFault> {
        Ok(Quiet)
    }
}

impl ErrorType for Quiet {
    type Error = BusFault;
}

impl I2c for Quiet {
    fn transaction(&mut self, _: u8, _: &mut [Operation<'_>]) -> Result<(), BusFault> {
        Ok(())
    }
}
