//! The change against the previous close, in figures and as an arrow.

use core::ops::Range;

use super::glyphs::Glyphs;
use super::icon::{self, ARROW};
use super::{Frame, WIDTH};
use crate::market::{Change, Numbers};

/// Draws a change at the right end of the given columns: the percentage ends where it always
/// ends, and the arrow stands where it always stands.
///
/// What does not fit loses its decimals, then its figures: the arrow alone is still true.
pub(super) fn draw(
    glyphs: &Glyphs,
    frame: &mut Frame,
    change: Change,
    numbers: Numbers,
    columns: Range<usize>,
    page: usize,
) {
    let font = &glyphs.small.whole;
    let Some(arrow) = columns.end.min(WIDTH).checked_sub(ARROW) else {
        return;
    };
    if arrow < columns.start {
        return;
    }
    icon::arrow(frame, change, arrow, page);
    let Some(mut text) = change.percent(numbers) else {
        return;
    };
    // A dark column keeps the sign off the arrow.
    let arrow = arrow.saturating_sub(1);
    let room = arrow.saturating_sub(columns.start);
    let mut width = font.width(&text);
    if width > room
        && let Some(point) = text.find(char::from(numbers.point))
    {
        text.truncate(point);
        let _ = text.push('%');
        width = font.width(&text);
    }
    if width <= room {
        font.write(frame, arrow - width, page, &text);
    }
}
