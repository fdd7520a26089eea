//! Draws the change against the previous close, as figures and an arrow. This module never
//! calculates the change.

use super::icon::{self, ARROW};
use crate::market::{Change, NumberFormat, ShortText};
use crate::render::Frame;
use crate::render::font::{Font, TEXT, WORD};
use crate::render::row::Row;

/// A change in percent as figures.
#[derive(Clone)]
pub(crate) struct ChangeText {
    /// The figures with two decimals.
    pub(crate) full: ShortText,
    change: Change,
    numbers: NumberFormat,
}

impl ChangeText {
    /// Returns the change in percent; `None` if the change has no percentage.
    pub(crate) fn new(change: Change, numbers: NumberFormat) -> Option<Self> {
        Some(Self {
            full: change.percent(numbers)?,
            change,
            numbers,
        })
    }

    /// Returns the width of the full figures and the arrow in columns.
    pub(crate) fn width(&self) -> usize {
        TEXT.width(&self.full) + 1 + ARROW
    }

    /// Returns the width of the full figures and the arrow, two pages high, in columns.
    pub(crate) fn large_width(&self) -> usize {
        WORD.width(&self.full) + 1 + ARROW
    }

    /// Returns true if the full figures and the arrow fit into a row.
    pub(crate) fn fits(&self, row: Row) -> bool {
        TEXT.fits(&self.full, row.room().saturating_sub(1 + ARROW))
    }

    /// Returns the figures with one decimal. `None` if they are zero, because a small change would
    /// look like no change.
    fn short(&self) -> Option<ShortText> {
        let text = self.change.short_percent(self.numbers)?;
        text.starts_with(['+', '-']).then_some(text)
    }

    /// Returns the width of the short figures and the arrow in columns; that of the full figures if
    /// there are no short ones.
    pub(crate) fn short_width(&self) -> usize {
        let short = self.short();
        TEXT.width(short.as_ref().unwrap_or(&self.full)) + 1 + ARROW
    }
}

/// Draws the figures of a change at the left end of a row, with an arrow of the same sign after
/// them. If the shown figures are zero, there is no arrow.
///
/// Figures that do not fit have one decimal. If these do not fit either, nothing is drawn: whole
/// percents would be too inaccurate, and an arrow alone would show a change without its size.
pub(crate) fn draw(frame: &mut Frame, change: Option<ChangeText>, row: Row) {
    let Some(change) = change else {
        return;
    };
    let text = match change.fits(row) {
        true => Some(change.full),
        false => change
            .short()
            .filter(|_| change.short_width() <= row.room()),
    };
    let Some(text) = text else {
        return;
    };
    write(frame, &TEXT, &text, row);
}

/// Draws the full figures of a change, two pages high. The row must have the width
/// [`ChangeText::large_width`].
pub(crate) fn draw_large(frame: &mut Frame, change: Option<ChangeText>, row: Row) {
    if let Some(change) = change {
        write(frame, &WORD, &change.full, row);
    }
}

/// Writes the figures of a change and its arrow.
fn write(frame: &mut Frame, font: &Font, text: &str, row: Row) {
    // One dark column separates the figures from the arrow.
    let arrow = font.write(frame, row.left, row.page, text) + 1;
    match text.as_bytes().first() {
        Some(b'+') => icon::arrow(frame, true, arrow, row.page),
        Some(b'-') => icon::arrow(frame, false, arrow, row.page),
        _ => {}
    }
}
