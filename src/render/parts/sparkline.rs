//! Draws the price history as a curve, which is dotted beside a price that is not live. This module
//! never judges the freshness of the price.

use core::ops::Range;

use crate::market::Price;
use crate::render::{Frame, WIDTH};

/// The dots of one column of a curve, with the lowest bit at the top.
trait Column: Copy + Default {
    /// Returns the dots from the row `top` to the row `low`, moved down by `gap` rows.
    fn dots(top: u32, low: u32, gap: u32) -> Self;
    /// Returns eight of the dots, from the row `first`.
    fn page(self, first: u32) -> u8;
}

impl Column for u32 {
    fn dots(top: u32, low: u32, gap: u32) -> Self {
        ((2 << low) - (1 << top)) << gap
    }

    fn page(self, first: u32) -> u8 {
        (self >> first) as u8
    }
}

impl Column for u64 {
    fn dots(top: u32, low: u32, gap: u32) -> Self {
        // The lowest row has no bit above it.
        ((2u64 << low).wrapping_sub(1 << top)) << gap
    }

    fn page(self, first: u32) -> u8 {
        (self >> first) as u8
    }
}

/// Draws the history, oldest first, from the left into the given columns and pages, at most eight
/// pages. A dotted curve has only every second column.
///
/// Each column shows one point if all points fit. Otherwise each column shows the last point of a
/// group of equal size. Therefore a new point changes only the newest column, and little data goes
/// over the bus.
pub(crate) fn draw(
    frame: &mut Frame,
    history: &[Price],
    columns: Range<usize>,
    pages: Range<usize>,
    dotted: bool,
) {
    // Wide words would make the usual curves slower.
    match pages.len() {
        ..=4 => curve::<u32>(frame, history, columns, pages, dotted),
        _ => curve::<u64>(frame, history, columns, pages, dotted),
    }
}

fn curve<C: Column>(
    frame: &mut Frame,
    history: &[Price],
    columns: Range<usize>,
    pages: Range<usize>,
    dotted: bool,
) {
    let (Some(first), false) = (history.first(), columns.is_empty()) else {
        return;
    };
    let (mut low, mut high) = (first.scaled(), first.scaled());
    for point in history {
        low = low.min(point.scaled());
        high = high.max(point.scaled());
    }
    // The top row of a high curve stays dark, as a gap to the part above it.
    let gap = u32::from(pages.len() > 1);
    let bottom = 8 * pages.len() as u32 - 1 - gap;
    // `steps` is the number of rows for one unit of price, in 1/2³² of a row, so that the curve
    // needs only one division. A product always fits into 64 bits, because no price difference is
    // larger than the divisor.
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
    let mut curve = [C::default(); WIDTH];
    let drawn = history.len().div_ceil(group);
    let mut newest = 0;
    for dots in &mut curve[..drawn] {
        newest = (newest + group).min(history.len());
        let here = row(history[newest - 1]);
        // A column covers the rows up to the neighbouring point, but not the row of that point.
        // This rule keeps a slope a thin line.
        let (top, low) = (here.min(before + 1), here.max(before.saturating_sub(1)));
        before = here;
        *dots = C::dots(top, low, gap);
    }
    // The loop goes page by page, so that the compiler can process many columns at once.
    for (page, shift) in pages.zip((0..).step_by(8)) {
        let bytes = frame.columns_mut(page, columns.clone());
        for (byte, dots) in bytes.iter_mut().zip(&curve[..drawn]) {
            *byte = dots.page(shift);
        }
        if dotted {
            bytes.iter_mut().step_by(2).for_each(|byte| *byte = 0);
        }
    }
}
