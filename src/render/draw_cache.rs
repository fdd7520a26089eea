//! The draw cache: the lower half of the tall picture as it was last drawn. That half shows the
//! second price and the curve, which change rarely; to draw them again would be a third of the work
//! for each change of the first price. The cache is used only for exactly equal input, so it never
//! changes a picture.

use super::{Frame, InstrumentView, WIDTH};
use crate::market::{
    Change, Denial, Freshness, HISTORY_POINTS, NumberFormat, Price, SessionPart, ShortText,
};

/// The bytes of a frame that the cache covers: pages 5 to 7.
const FIRST: usize = 5 * WIDTH;
const LENGTH: usize = 3 * WIDTH;

/// The lower half of the last tall picture, with the values from which it was drawn.
#[derive(Clone, Debug)]
pub struct DrawCache {
    /// The values from which the dots were drawn; `None` while the cache is empty.
    of: Option<Second>,
    history: heapless::Vec<Price, HISTORY_POINTS>,
    dots: [u8; LENGTH],
}

/// The fields of the second line that affect the picture. For an option, the label contains the
/// whole contract, so a flag is enough here.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Second {
    label: ShortText,
    contract: bool,
    expired: bool,
    part: Option<SessionPart>,
    denial: Option<Denial>,
    price: Option<Price>,
    change: Option<Change>,
    freshness: Freshness,
    numbers: NumberFormat,
}

impl DrawCache {
    /// Creates an empty cache.
    pub const fn new() -> Self {
        Self {
            of: None,
            history: heapless::Vec::new(),
            dots: [0; LENGTH],
        }
    }

    /// Copies the stored dots into the frame if they were drawn from equal values. Returns true if
    /// it has copied them.
    pub(super) fn restore(
        &self,
        frame: &mut Frame,
        line: &InstrumentView<'_>,
        history: &[Price],
        numbers: NumberFormat,
    ) -> bool {
        let known = self.of.as_ref().is_some_and(|of| {
            of.price == line.price
                && of.change == line.change
                && of.freshness == line.freshness
                && of.label == line.label
                && of.contract == line.contract.is_some()
                && of.expired == line.expired
                && of.part == line.part
                && of.denial == line.denial
                && of.numbers == numbers
                && same(&self.history, history)
        });
        if known {
            frame.as_bytes_mut()[FIRST..][..LENGTH].copy_from_slice(&self.dots);
        }
        known
    }

    /// Stores the lower half of the frame, with the values from which it was drawn.
    pub(super) fn store(
        &mut self,
        frame: &Frame,
        line: &InstrumentView<'_>,
        history: &[Price],
        numbers: NumberFormat,
    ) {
        self.history.clear();
        let fits = self.history.extend_from_slice(history).is_ok();
        self.of = ShortText::try_from(line.label)
            .ok()
            .filter(|_| fits)
            .map(|label| Second {
                label,
                contract: line.contract.is_some(),
                expired: line.expired,
                part: line.part,
                denial: line.denial,
                price: line.price,
                change: line.change,
                freshness: line.freshness,
                numbers,
            });
        self.dots
            .copy_from_slice(&frame.as_bytes()[FIRST..][..LENGTH]);
    }
}

impl Default for DrawCache {
    fn default() -> Self {
        Self::new()
    }
}

/// Compares all points without an early return, so that the compiler can compare several points at
/// once.
fn same(one: &[Price], other: &[Price]) -> bool {
    let pairs = one.iter().zip(other);
    let differ = pairs.fold(0, |differ, (a, b)| differ | (a.scaled() ^ b.scaled()));
    one.len() == other.len() && differ == 0
}
