//! A simulated SSD1306 on a simulated I2C bus: the program's bytes fill its memory. It implements
//! only the commands that the program sends, and panics at a wrong addressing mode.

use std::cell::RefCell;
use std::rc::Rc;

use deskticker::display::{Bus, BusFault};
use embedded_hal::i2c::{ErrorType, I2c, Operation};

use super::fonts::Glass;

/// The simulated chip. Its clones share one state, so that the bus and the reader of the display
/// use the same memory.
#[derive(Clone)]
pub(crate) struct Chip(Rc<RefCell<State>>);

struct State {
    ram: Glass,
    on: bool,
    command: [u8; 3],
    length: usize,
    columns: (u8, u8),
    pages: (u8, u8),
    at: (u8, u8),
    /// The number of I2C messages so far.
    messages: u64,
    /// On average, one message of this number is cut: the chip does not acknowledge it to its end.
    /// 0 means never.
    refusing: u32,
    random: fastrand::Rng,
    /// The number of cut messages so far.
    cut: u64,
}

impl Chip {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(State {
            ram: [0; 1024],
            on: false,
            command: [0; 3],
            length: 0,
            columns: (0, 127),
            pages: (0, 7),
            at: (0, 0),
            messages: 0,
            refusing: 0,
            random: fastrand::Rng::with_seed(seed),
            cut: 0,
        })))
    }

    /// Copies the visible dots to `glass` if messages came after message number `since`; a panel
    /// that is off shows no dots. Returns the number of messages so far.
    pub(crate) fn look(&self, glass: &mut Glass, since: u64) -> u64 {
        let state = self.0.borrow();
        if state.messages != since {
            match state.on {
                true => glass.copy_from_slice(&state.ram),
                false => glass.fill(0),
            }
        }
        state.messages
    }

    pub(crate) fn refuse(&self, one_in: u32) {
        self.0.borrow_mut().refusing = one_in;
    }

    pub(crate) fn cut(&self) -> u64 {
        self.0.borrow().cut
    }
}

impl State {
    fn receive(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let [control, payload @ ..] = rest {
            let count = match control & 0x80 {
                0 => payload.len(),
                _ => payload.len().min(1),
            };
            let (taken, more) = payload.split_at(count);
            match control & 0x40 {
                0 => taken.iter().for_each(|byte| self.command(*byte)),
                _ => taken.iter().for_each(|byte| self.data(*byte)),
            }
            rest = more;
        }
    }

    fn command(&mut self, byte: u8) {
        self.command[self.length] = byte;
        self.length += 1;
        let arguments = match self.command[0] {
            0x20 | 0x81 | 0x8D | 0xA8 | 0xD3 | 0xD5 | 0xD9 | 0xDA | 0xDB => 1,
            0x21 | 0x22 => 2,
            _ => 0,
        };
        if self.length <= arguments {
            return;
        }
        self.length = 0;
        match self.command {
            [0x21, from, to] => (self.columns, self.at.0) = ((from, to), from),
            [0x22, from, to] => (self.pages, self.at.1) = ((from & 7, to & 7), from & 7),
            [0x20, mode, _] => assert_eq!(mode, 0, "horizontal addressing"),
            [0xAE, ..] => self.on = false,
            [0xAF, ..] => self.on = true,
            _ => {}
        }
    }

    fn data(&mut self, byte: u8) {
        let (column, page) = self.at;
        self.ram[usize::from(page) * 128 + usize::from(column & 127)] = byte;
        self.at = match (column == self.columns.1, page == self.pages.1) {
            (false, _) => (column + 1, page),
            (true, false) => (self.columns.0, (page + 1) & 7),
            (true, true) => (self.columns.0, self.pages.0),
        };
    }
}

impl ErrorType for Chip {
    type Error = BusFault;
}

impl I2c for Chip {
    fn transaction(&mut self, _: u8, operations: &mut [Operation<'_>]) -> Result<(), BusFault> {
        let mut state = self.0.borrow_mut();
        state.messages += 1;
        for operation in operations {
            let Operation::Write(bytes) = operation else {
                continue;
            };
            let refused = match state.refusing {
                0 => false,
                one_in => state.random.u32(0..one_in) == 0,
            };
            if refused {
                // The bytes before the missing acknowledgement are in the chip's memory already.
                let cut = state.random.usize(0..=bytes.len());
                state.receive(&bytes[..cut]);
                state.length = 0;
                state.cut += 1;
                return Err(BusFault::NoAnswer);
            }
            state.receive(bytes);
        }
        Ok(())
    }
}

impl Bus for Chip {
    type I2c = Chip;

    fn open(&mut self) -> Result<Chip, BusFault> {
        Ok(self.clone())
    }
}
