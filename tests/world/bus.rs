//! The simulated I2C bus of the world, with the simulated panel. The bus can cut messages.

use std::cell::RefCell;
use std::rc::Rc;

use deskticker::display::{Bus, BusFault};
use embedded_hal::i2c::{ErrorType, I2c, Operation};

use super::fonts::Glass;
use super::i2c_display::chip::Chip;

/// The simulated bus. Its clones share one state, so that the driver and the reader of the display
/// use the same chip.
#[derive(Clone)]
pub(crate) struct PanelBus(Rc<RefCell<State>>);

struct State {
    chip: Chip,
    /// The number of I2C messages so far.
    messages: u64,
    /// On average, one message of this number is cut: the chip does not acknowledge it to its end.
    /// 0 means never.
    refusing: u32,
    random: fastrand::Rng,
    /// The number of cut messages so far.
    cut: u64,
}

impl PanelBus {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(State {
            chip: Chip::ssd1306(7),
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
            glass.fill(0);
            if state.chip.is_lit() {
                let bytes = (0..8).flat_map(|page| state.chip.page(page));
                glass
                    .iter_mut()
                    .zip(bytes)
                    .for_each(|(to, byte)| *to = byte);
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

impl ErrorType for PanelBus {
    type Error = BusFault;
}

impl I2c for PanelBus {
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
                state.chip.receive(&bytes[..cut]);
                state.cut += 1;
                return Err(BusFault::NoAnswer);
            }
            state.chip.receive(bytes);
        }
        Ok(())
    }
}

impl Bus for PanelBus {
    type I2c = PanelBus;

    fn open(&mut self) -> Result<PanelBus, BusFault> {
        Ok(self.clone())
    }
}
