//! The draw cache: the parts of the tall picture that change rarely, as they were last drawn: the
//! second price and the curve. To draw them again would be a third of the work for each change of
//! the first price. The cache is used only for exactly equal input, so it never changes a picture.

use core::ops::Range;

use super::frame::{Frame, WIDTH};
use super::parts::sparkline;
use super::view::InstrumentView;
use crate::market::{
    Change, Denial, Freshness, HISTORY_POINTS, NumberFormat, Price, SessionPart, ShortText,
};

/// The bytes of a frame that the second price covers: pages 5 to 7.
const LOWER_HALF: Range<usize> = 5 * WIDTH..8 * WIDTH;
/// The number of pages of a curve beside a price.
const CURVE_PAGES: usize = 2;
/// The space for one page of a curve in bytes.
const CURVE_SPACE: usize = 48;

/// The second price and the curve of the last tall picture, with the values from which they were
/// drawn.
#[derive(Clone, Debug)]
pub struct DrawCache {
    /// The values from which the dots were drawn; `None` while the cache is empty.
    of: Option<SecondLine>,
    dots: [u8; LOWER_HALF.end - LOWER_HALF.start],
    /// The place of the curve, and true if it is dotted. An empty place is never drawn.
    curve: (Range<usize>, usize, bool),
    history: heapless::Vec<Price, HISTORY_POINTS>,
    /// The dots of the curve, and dark columns after them.
    curve_dots: [[u8; CURVE_SPACE]; CURVE_PAGES],
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
            dots: [0; LOWER_HALF.end - LOWER_HALF.start],
            curve: (0..0, 0, false),
            history: heapless::Vec::new(),
            curve_dots: [[0; CURVE_SPACE]; CURVE_PAGES],
        }
    }

    /// Copies the stored dots of the second price into the frame if they were drawn from equal
    /// values. Otherwise calls `draw` and stores the result.
    pub(super) fn restore_or_draw(
        &mut self,
        frame: &mut Frame,
        line: &InstrumentView<'_>,
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
        if of.is_some() && of == self.of {
            frame.as_bytes_mut()[LOWER_HALF].copy_from_slice(&self.dots);
            return;
        }
        draw(frame);
        self.of = of;
        self.dots.copy_from_slice(&frame.as_bytes()[LOWER_HALF]);
    }

    /// Draws a curve of two pages, with its top at `page`. Copies the stored dots if they were drawn
    /// from an equal history at the same place.
    pub(super) fn curve(
        &mut self,
        frame: &mut Frame,
        history: &[Price],
        columns: Range<usize>,
        page: usize,
        dotted: bool,
    ) {
        let x = columns.start;
        let place = (columns, page, dotted);
        if place == self.curve && equal(&self.history, history) {
            for (page, dots) in (page..).zip(&self.curve_dots) {
                let at = page * WIDTH + x;
                let Some(to) = frame.padded_mut().get_mut(at..at + CURVE_SPACE) else {
                    return;
                };
                // The place is dark. The dots are combined with OR, because the dark columns at
                // their end may overlap other parts.
                let words = to.as_chunks_mut().0.iter_mut().zip(dots.as_chunks().0);
                for (to, dots) in words {
                    *to = (u128::from_ne_bytes(*to) | u128::from_ne_bytes(*dots)).to_ne_bytes();
                }
            }
            return;
        }
        let columns = place.0.clone();
        let pages = page..page + CURVE_PAGES;
        sparkline::draw(frame, history, columns.clone(), pages.clone(), dotted);
        self.history.clear();
        let fits = columns.len() <= CURVE_SPACE && self.history.extend_from_slice(history).is_ok();
        self.curve = if fits { place } else { (0..0, 0, false) };
        self.curve_dots = [[0; CURVE_SPACE]; CURVE_PAGES];
        for (page, dots) in pages.zip(&mut self.curve_dots) {
            let drawn = frame.columns_mut(page, columns.clone());
            dots.iter_mut()
                .zip(drawn)
                .for_each(|(to, dots)| *to = *dots);
        }
    }
}

/// Returns true if two histories are equal. The loop has no early end, so that the compiler can
/// compare several prices at once.
fn equal(one: &[Price], other: &[Price]) -> bool {
    let pairs = one.iter().zip(other);
    let differences = pairs.fold(0, |all, (a, b)| all | (a.scaled() ^ b.scaled()));
    one.len() == other.len() && differences == 0
}

impl Default for DrawCache {
    fn default() -> Self {
        Self::new()
    }
}
