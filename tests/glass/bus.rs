//! I2C buses that are not there: one with a chip on it, which fails when told to, and one that
//! takes everything.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;

use deskticker::panel::{Bus, Fault, Light, Oled, Settings};
use deskticker::screen::{Frame, Size};
use embedded_hal::i2c::{ErrorType, I2c, Operation};

use super::Chip;

pub(crate) const ADDRESS: u8 = 0x3c;

/// A bus with one chip, which fails when told to.
#[derive(Clone)]
pub(crate) struct Rig(Rc<Inside>);

struct Inside {
    chip: RefCell<Chip>,
    /// The length of each message that arrived whole, with its address byte.
    messages: RefCell<Vec<usize>>,
    /// The next messages fail after this many bytes.
    failures: RefCell<Vec<(usize, Fault)>>,
    /// Opening fails.
    missing: Cell<Option<Fault>>,
    opened: Cell<usize>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self(Rc::new(Inside {
            chip: RefCell::new(Chip::new(7)),
            messages: RefCell::default(),
            failures: RefCell::default(),
            missing: Cell::new(None),
            opened: Cell::new(0),
        }))
    }

    pub(crate) fn oled(&self, settings: Settings) -> Oled<Rig> {
        Oled::new(settings, self.clone())
    }

    pub(crate) fn chip(&self) -> RefMut<'_, Chip> {
        self.0.chip.borrow_mut()
    }

    /// How often the bus was opened.
    pub(crate) fn opened(&self) -> usize {
        self.0.opened.get()
    }

    /// Whether the bus can be opened from now on.
    pub(crate) fn missing(&self, fault: Option<Fault>) {
        self.0.missing.set(fault);
    }

    /// The messages since the last call.
    pub(crate) fn messages(&self) -> Vec<usize> {
        self.0.messages.take()
    }

    pub(crate) fn fail_next(&self, after: usize, fault: Fault) {
        self.0.failures.borrow_mut().push((after, fault));
    }

    pub(crate) fn assert_shows(&self, frame: &Frame) {
        let seen = self.seen(frame.size());
        assert_eq!(seen.as_ref(), Some(frame));
    }

    /// The same of a glass that is off, or shifted.
    pub(crate) fn assert_glows(&self, frame: &Frame, light: Light) {
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
    type I2c = Rig;
    fn open(&mut self) -> Result<Rig, Fault> {
        self.0.opened.set(self.0.opened.get() + 1);
        self.0.missing.get().map_or(Ok(self.clone()), Err)
    }
}

impl ErrorType for Rig {
    type Error = Fault;
}

impl I2c for Rig {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Fault> {
        assert_eq!(address, ADDRESS);
        let [Operation::Write(bytes)] = operations else {
            panic!("not one write");
        };
        let mut failures = self.0.failures.borrow_mut();
        if !failures.is_empty() {
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

/// A bus that takes everything.
pub(crate) struct Quiet;

impl Bus for Quiet {
    type I2c = Quiet;
    fn open(&mut self) -> Result<Quiet, Fault> {
        Ok(Quiet)
    }
}

impl ErrorType for Quiet {
    type Error = Fault;
}

impl I2c for Quiet {
    fn transaction(&mut self, _: u8, _: &mut [Operation<'_>]) -> Result<(), Fault> {
        Ok(())
    }
}
