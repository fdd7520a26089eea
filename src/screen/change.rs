//! The change against the previous close, in figures and as an arrow.

use core::ops::Range;

use super::glyphs::Glyphs;
use super::icon::{self, ARROW};
use super::{Frame, WIDTH};
use crate::market::{Change, Numbers, Text};

/// How a change is told in figures; `None` if it cannot be.
pub(super) type Figures = fn(Change, Numbers) -> Option<Text>;

/// `+24.80`, with the sign always there.
pub(super) fn absolute(change: Change, numbers: Numbers) -> Option<Text> {
    let (whole, fraction) = change.absolute().parts(numbers);
    let mut text = Text::new();
    if !whole.starts_with('-') {
        text.push('+').ok()?;
    }
    text.push_str(&whole).ok()?;
    text.push_str(&fraction).ok()?;
    Some(text)
}

/// Draws a change at the right end of the given columns: its figures end where they always end,
/// and the arrow stands where it always stands.
///
/// What does not fit loses its decimals, then its figures: the arrow alone is still true.
pub(super) fn draw(
    glyphs: &Glyphs,
    frame: &mut Frame,
    change: Change,
    text: Option<Text>,
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
    let Some(mut text) = text else {
        return;
    };
    // A dark column keeps the sign off the arrow.
    let arrow = arrow.saturating_sub(1);
    let room = arrow.saturating_sub(columns.start);
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
    if width <= room {
        font.write(frame, arrow - width, page, &text);
    }
}
