//! The draw cache: the lower half of the tall picture as it was last drawn. That half shows the
//! second price and the curve, which change rarely; to draw them again would be a third of the work
//! for each change of the first price. The cache is used only for exactly equal input, so it never
//! changes a picture.

use core::ops::Range;

use super::frame::{Frame, WIDTH};
use super::view::InstrumentView;
use crate::market::{
    Change, Denial, Freshness, HISTORY_POINTS, NumberFormat, Price, SessionPart, ShortText,
};

/// The bytes of a frame that the cache covers: pages 5 to 7.
const LOWER_HALF: Range<usize> = 5 * WIDTH..8 * WIDTH;

/// The lower half of the last tall picture, with the values from which it was drawn.
#[derive(Clone, Debug)]
pub struct DrawCache {
    /// The values from which the dots were drawn; `None` while the cache is empty.
    of: Option<SecondLine>,
    history: heapless::Vec<Price, HISTORY_POINTS>,
    dots: [u8; LOWER_HALF.end - LOWER_HALF.start],
}

/// The fields of the second line that affect the picture. The label of an option contains the whole
/// contract, so the contract itself is not stored.
#[derive(Clone, PartialEq, Eq, Debug)]
struct SecondLine {
    label: ShortText,
    contract: bool,
    expired: bool,
    part: Option<SessionPart>,
    denial: Option<Denial>,
    price: Option<Price>,
    change: Option<Change>,
    decimals: u8,
    freshness: Freshness,
    numbers: NumberFormat,
}

impl DrawCache {
    /// Creates an empty cache.
    pub const fn new() -> Self {
        Self {
            of: None,
            history: heapless::Vec::new(),
            dots: [0; LOWER_HALF.end - LOWER_HALF.start],
        }
    }

    /// Copies the stored dots into the frame if they were drawn from equal values. Otherwise calls
    /// `draw` and stores the result.
    pub(super) fn restore_or_draw(
        &mut self,
        frame: &mut Frame,
        line: &InstrumentView<'_>,
        history: &[Price],
        numbers: NumberFormat,
        draw: impl FnOnce(&mut Frame),
    ) {
        let of = ShortText::try_from(line.label)
            .ok()
            .map(|label| SecondLine {
                label,
                contract: line.contract.is_some(),
                expired: line.expired,
                part: line.part,
                denial: line.denial,
                price: line.price,
                change: line.change,
                decimals: line.decimals,
                freshness: line.freshness,
                numbers,
            });
        if of.is_some() && of == self.of && self.history == *history {
            frame.as_bytes_mut()[LOWER_HALF].copy_from_slice(&self.dots);
            return;
        }
        draw(frame);
        self.history.clear();
        let fits = self.history.extend_from_slice(history).is_ok();
        self.of = of.filter(|_| fits);
        self.dots.copy_from_slice(&frame.as_bytes()[LOWER_HALF]);
    }
}

impl Default for DrawCache {
    fn default() -> Self {
        Self::new()
    }
}
