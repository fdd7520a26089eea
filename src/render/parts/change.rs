//! The change against the previous close, in figures and as an arrow.

use core::ops::Range;

use super::icon::{self, ARROW};
use crate::market::{Change, NumberFormat, ShortText};
use crate::render::font::FontSet;
use crate::render::{Frame, WIDTH};

/// How a change is told in figures; `None` if it cannot be.
pub(crate) type ChangeFormat = fn(Change, NumberFormat) -> Option<ShortText>;

/// Draws the figures of a change at the right end of the given columns, and after them an arrow of
/// the same sign: none where what is written is zero.
///
/// What does not fit loses its decimals, and then is not there at all: an arrow alone would claim
/// a change that nobody can read.
pub(crate) fn draw(
    font_set: &FontSet,
    frame: &mut Frame,
    text: Option<ShortText>,
    numbers: NumberFormat,
    columns: Range<usize>,
    page: usize,
) {
    let font = &font_set.small.whole;
    let Some(mut text) = text else {
        return;
    };
    let arrow = columns.end.min(WIDTH).saturating_sub(ARROW);
    // A dark column keeps the sign off the arrow.
    let end = arrow.saturating_sub(1);
    let room = end.saturating_sub(columns.start);
    let mut width = font.width(&text);
    if width > room
        && let Some(point) = text.find(char::from(numbers.point))
    {
        let percent = text.ends_with('%');
        text.truncate(point);
        if percent {
            let _ = text.push('%');
        }
        // A small change is not none.
        if !text.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) {
            return;
        }
        width = font.width(&text);
    }
    if width > room {
        return;
    }
    font.write(frame, end - width, page, &text);
    match text.as_bytes().first() {
        Some(b'+') => icon::arrow(frame, true, arrow, page),
        Some(b'-') => icon::arrow(frame, false, arrow, page),
        _ => {}
    }
}
