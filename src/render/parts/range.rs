//! Draws the range of the day: a bar from the lowest price to the highest, with a marker at the
//! current price. This module never calculates the range.

use core::ops::Range;

use super::field;
use crate::market::DayStats;
use crate::render::{FontSet, Frame, InstrumentView, View, WIDTH};

/// The least width of a readable bar in columns.
const LEAST: usize = 18;
/// The gap between the bar and its prices, in columns.
const GAP: usize = 3;

/// Draws the range of the day in the given columns of a page. If there is no space for a bar, the
/// prices lose their decimals, and then the prices are left out. Returns true if the range was
/// drawn. A stale price has no range.
pub(crate) fn draw(
    view: &View<'_>,
    line: &InstrumentView<'_>,
    day: DayStats,
    font_set: &FontSet,
    frame: &mut Frame,
    columns: Range<usize>,
    page: usize,
) -> bool {
    let price = line.shown_price().filter(|_| !line.is_struck());
    let (Some(price), Some((low, high))) = (price, day.range) else {
        return false;
    };
    let font = &font_set.small.whole;
    let fitting = [true, false].into_iter().find_map(|fraction| {
        let ends = [low, high].map(|price| {
            let (mut text, decimals) = price.parts(view.format.numbers);
            if fraction {
                let _ = text.push_str(&decimals);
            }
            text
        });
        let taken: usize = ends.iter().map(|end| font.width(end) + GAP).sum();
        (taken + LEAST <= columns.len()).then_some(ends)
    });
    let mut bar = columns.clone();
    if let Some([low, high]) = &fitting {
        bar.start = font.write(frame, columns.start, page, low) + GAP - 1;
        bar.end = field::before(font, frame, columns.end, page, &[high]) - GAP;
    }
    if bar.len() < LEAST {
        return false;
    }
    let row = &mut frame.as_bytes_mut()[page * WIDTH..][bar];
    row.fill(TRACK);
    let last = row.len() - 1;
    row[0] = END;
    row[last] = END;
    // The marker moves from the first column to the last and always stays inside the bar.
    let span = high.scaled().saturating_sub(low.scaled()).max(1) as u64;
    let above = price.scaled().saturating_sub(low.scaled()).max(0) as u64;
    let reach = (row.len() - MARKER) as u64;
    let x = (above.min(span) * reach / span) as usize;
    row[x..x + MARKER].fill(PLACE);
    true
}

/// The dots of one column of the bar, of its ends, and of the marker.
const TRACK: u8 = 0b0000_1000;
const END: u8 = 0b0011_1110;
const PLACE: u8 = 0b0111_1111;
/// The width of the marker in columns.
const MARKER: usize = 3;
