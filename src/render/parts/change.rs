//! Draws the change against the previous close, as figures and an arrow. This module never
//! calculates the change.

use super::icon::{self, ARROW};
use crate::market::{NumberFormat, ShortText};
use crate::render::font::TEXT;
use crate::render::row::Row;
use crate::render::{Frame, WIDTH};

/// Draws the figures of a change at the right end of a row, with an arrow of the same sign after
/// them. If the shown figures are zero, there is no arrow.
///
/// Figures that do not fit lose their decimals. If the shorter figures do not fit either, nothing
/// is drawn. An arrow without figures would show a change without its size.
pub(crate) fn draw(frame: &mut Frame, text: Option<ShortText>, numbers: NumberFormat, row: Row) {
    let Some(mut text) = text else {
        return;
    };
    let arrow = row.right.min(WIDTH).saturating_sub(ARROW);
    // One dark column separates the figures from the arrow.
    let end = arrow.saturating_sub(1);
    let room = end.saturating_sub(row.left);
    let mut width = TEXT.width(&text);
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
        width = TEXT.width(&text);
    }
    if width > room {
        return;
    }
    TEXT.write(frame, end - width, row.page, &text);
    match text.as_bytes().first() {
        Some(b'+') => icon::arrow(frame, true, arrow, row.page),
        Some(b'-') => icon::arrow(frame, false, arrow, row.page),
        _ => {}
    }
}
