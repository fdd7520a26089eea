//! Draws the range of the day: a bar from the lowest price to the highest, with a marker at the
//! current price. This module never calculates the range.

use super::field;
use crate::market::DayStats;
use crate::render::font::TEXT;
use crate::render::row::Row;
use crate::render::{Frame, InstrumentView, View};

/// The least width of a readable bar in columns.
const LEAST: usize = 18;
/// The gap between the bar and its prices, in columns.
const GAP: usize = 3;

/// Draws the range of the day in a row. If there is no space for a bar, the prices are rounded to
/// two decimals, then to whole numbers, and then the prices are left out. Returns true if the range was drawn. A stale price
/// has no range.
pub(crate) fn draw(
    view: &View<'_>,
    line: &InstrumentView<'_>,
    day: DayStats,
    frame: &mut Frame,
    mut row: Row,
) -> bool {
    let price = line.shown_price().filter(|_| !line.is_struck());
    let (Some(price), Some((low, high))) = (price, day.range) else {
        return false;
    };
    let numbers = view.format.numbers;
    let rounded = |decimals| [low, high].map(|price| field::price(Some(price), decimals, numbers));
    let decimals = [line.decimals, line.decimals.min(2), 0];
    let fitting = decimals.into_iter().map(rounded).find(|ends| {
        let taken: usize = ends.iter().map(|end| TEXT.width(end) + GAP).sum();
        taken + LEAST <= row.room()
    });
    if let Some([low, high]) = &fitting {
        row.write_left(frame, &TEXT, low);
        row.write_right(frame, &TEXT, high);
        // A text ends with a dark column, so the gap at its left needs one column more.
        row.right -= 1;
    }
    if row.room() < LEAST {
        return false;
    }
    let bar = frame.columns_mut(row.page, row.columns());
    bar.fill(TRACK);
    let last = bar.len() - 1;
    bar[0] = END;
    bar[last] = END;
    // The marker moves from the first column to the last and always stays inside the bar.
    let span = high.scaled().saturating_sub(low.scaled()).max(1) as u64;
    let above = price.scaled().saturating_sub(low.scaled()).max(0) as u64;
    let reach = (bar.len() - MARKER) as u64;
    let x = (above.min(span) * reach / span) as usize;
    bar[x..x + MARKER].fill(PLACE);
    true
}

/// The dots of one column of the bar, of its ends, and of the marker.
const TRACK: u8 = 0b0000_1000;
const END: u8 = 0b0011_1110;
const PLACE: u8 = 0b0111_1111;
/// The width of the marker in columns.
const MARKER: usize = 3;
