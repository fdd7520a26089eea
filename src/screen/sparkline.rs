//! The history as a curve. Never judges it: a curve says where a price has been, not where it is.

use core::ops::Range;

use super::{Frame, WIDTH};
use crate::market::Price;

/// Draws the history, oldest first, from the left into the given columns and pages.
///
/// A column is one point while they fit, and then a group of as many as must share one: so a new
/// point changes the newest column and leaves the others alone, and the bus has little to carry.
pub(super) fn draw(
    frame: &mut Frame,
    history: &[Price],
    columns: Range<usize>,
    pages: Range<usize>,
) {
    let (Some(low), Some(high)) = (history.iter().min(), history.iter().max()) else {
        return;
    };
    if columns.is_empty() {
        return;
    }
    let height = 8 * pages.len() as u32;
    let range = high.scaled().abs_diff(low.scaled());
    // The rows of a dot in 1/2³² of a price unit: one division for the whole curve. A difference
    // is at most `range`, so the product below stays under `height` × 2³².
    let steps = (u64::from(height - 1) << 32).checked_div(range);
    let row = |price: Price| match steps {
        Some(steps) => {
            let up = price.scaled().abs_diff(low.scaled()) * steps + (1 << 31);
            height - 1 - ((up >> 32) as u32).min(height - 1)
        }
        None => height / 2,
    };
    let group = history.len().div_ceil(columns.len());
    let mut before = row(history[0]);
    for (x, points) in columns.zip(history.chunks(group)) {
        let last = row(points[points.len() - 1]);
        let (mut top, mut bottom) = (last, last);
        for &point in &points[..points.len() - 1] {
            top = top.min(row(point));
            bottom = bottom.max(row(point));
        }
        // Reach out to the neighbour, but not beside it: a slope stays a line.
        top = top.min(before + 1);
        bottom = bottom.max(before.saturating_sub(1));
        before = last;
        let dots = (u32::MAX >> (31 - (bottom - top))) << top;
        let bytes = frame.as_bytes_mut();
        for page in pages.clone() {
            bytes[page * WIDTH + x] |= (dots >> (8 * (page - pages.start))) as u8;
        }
    }
}
