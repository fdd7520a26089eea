//! The lower half of the tall screen as it was last drawn. It shows what changes rarely, the
//! second price and the curve, and would be a third of the work of each tick of the first one.
//! Used again only for exactly what it was drawn of, so no picture tells that it exists.

use super::{Frame, InstrumentView, WIDTH};
use crate::market::{
    Change, Denial, Freshness, HISTORY_POINTS, NumberFormat, Price, SessionPart, ShortText,
};

/// The rows it covers.
const FIRST: usize = 5 * WIDTH;
const LENGTH: usize = 3 * WIDTH;

/// See the module.
#[derive(Clone, Debug)]
pub struct DrawCache {
    /// What it was drawn of; `None` while there is nothing to use again.
    of: Option<Second>,
    history: heapless::Vec<Price, HISTORY_POINTS>,
    dots: [u8; LENGTH],
}

/// The second line of a view, without what does not show. Of a contract the label says all.
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
    /// Nothing yet.
    pub const fn new() -> Self {
        Self {
            of: None,
            history: heapless::Vec::new(),
            dots: [0; LENGTH],
        }
    }

    /// Draws what was drawn before, if it was drawn of these; whether it was.
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

    /// Keeps what has just been drawn of these.
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

/// Looks at every point, without a way out in between: so the compiler compares several at once.
fn same(one: &[Price], other: &[Price]) -> bool {
    let pairs = one.iter().zip(other);
    let differ = pairs.fold(0, |differ, (a, b)| differ | (a.scaled() ^ b.scaled()));
    one.len() == other.len() && differ == 0
}
