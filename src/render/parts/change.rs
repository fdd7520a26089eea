//! Draws the change against the previous close, as figures and an arrow. This module never
//! calculates the change.

use core::ops::Range;

use super::icon::{self, ARROW};
use crate::market::{Change, NumberFormat, ShortText};
use crate::render::font::FontSet;
use crate::render::{Frame, WIDTH};

/// A function that converts a change to text; it returns `None` if the change has no value in this
/// format.
pub(crate) type ChangeFormat = fn(Change, NumberFormat) -> Option<ShortText>;

/// Draws the figures of a change at the right end of the given columns, with an arrow of the same
/// sign after them. If the shown figures are zero, there is no arrow.
///
/// Figures that do not fit lose their decimals. If the shorter figures do not fit either, nothing
/// is drawn. An arrow without figures would show a change that nobody can read.
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
    // One dark column separates the figures from the arrow.
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
        // A small change without its decimals would look like zero, so nothing is drawn.
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
