//! The history as a curve. Never judges it: a curve says where a price has been, not where it is.

use core::ops::Range;

use crate::market::Price;
use crate::render::{Frame, WIDTH};

/// Draws the history, oldest first, from the left into the given columns and pages.
///
/// A column is one point while they fit, and then the last of a group of as many as must share
/// one: so a new point changes the newest column and leaves the others alone, and the bus has
/// little to carry.
pub(crate) fn draw(
    frame: &mut Frame,
    history: &[Price],
    columns: Range<usize>,
    pages: Range<usize>,
) {
    let (Some(first), false) = (history.first(), columns.is_empty()) else {
        return;
    };
    let (mut low, mut high) = (first.scaled(), first.scaled());
    for point in history {
        low = low.min(point.scaled());
        high = high.max(point.scaled());
    }
    let bottom = 8 * pages.len() as u32 - 1;
    // How many rows up, in 1/2³² of a row, one unit of price is: one division for the whole
    // curve. No difference is larger than the divisor, so no product leaves the 64 bits.
    let (zero, steps) = match high.abs_diff(low) {
        0 => (bottom / 2, 0),
        range => (bottom, (u64::from(bottom) << 32) / range),
    };
    let row = |price: Price| {
        let up = price.scaled().wrapping_sub(low) as u64 * steps + (1 << 31);
        zero - (up >> 32) as u32
    };
    let group = history.len().div_ceil(columns.len());
    let mut before = row(*first);
    let mut curve = [0u32; WIDTH];
    let drawn = history.len().div_ceil(group);
    let mut newest = 0;
    for dots in &mut curve[..drawn] {
        newest = (newest + group).min(history.len());
        let here = row(history[newest - 1]);
        // Up or down to the neighbour, but not beside it: a slope stays a line.
        let (top, low) = (here.min(before + 1), here.max(before.saturating_sub(1)));
        before = here;
        *dots = (2 << low) - (1 << top);
    }
    // Page by page, for then the compiler moves many columns at once.
    for (page, shift) in pages.zip((0..).step_by(8)) {
        let bytes = &mut frame.as_bytes_mut()[page * WIDTH + columns.start..];
        for (byte, dots) in bytes.iter_mut().zip(&curve[..drawn]) {
            *byte = (dots >> shift) as u8;
        }
    }
}
