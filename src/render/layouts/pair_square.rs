//! The layout of two prices on 128×128: both have a block of the same size, with large digits and a
//! curve over the whole width below them. This module only places the parts; other modules draw
//! them. The module never judges a price.

use super::header;
use crate::render::parts::sparkline;
use crate::render::{Frame, InstrumentView, View, WIDTH};

/// The first page of the second block.
const SECOND: usize = 8;
/// The pages of the curve from the first page of a block.
const CURVE: core::ops::Range<usize> = 6..8;

/// Draws two prices on a dark frame.
pub(crate) fn draw(
    view: &View<'_>,
    primary: &InstrumentView<'_>,
    secondary: &InstrumentView<'_>,
    frame: &mut Frame,
) {
    header::draw(view, primary, frame, None, 0);
    header::draw(view, secondary, frame, None, SECOND);
    for (line, first) in [(primary, 0), (secondary, SECOND)] {
        if line.shown_price().is_some() {
            let pages = first + CURVE.start..first + CURVE.end;
            sparkline::draw(frame, line.history, 0..WIDTH, pages, !line.is_live());
        }
    }
}
