//! Draws the change against the previous close, as figures and an arrow. This module never
//! calculates the change.

use super::icon::{self, ARROW};
use crate::market::{Change, NumberFormat, ShortText};
use crate::render::Frame;
use crate::render::font::{Font, TEXT, WORD};
use crate::render::row::Row;

/// A change as figures: in percent or as a difference.
#[derive(Clone)]
pub(crate) struct ChangeText {
    /// The figures with their decimals.
    pub(crate) full: ShortText,
    change: Change,
    numbers: NumberFormat,
    /// The number of decimals of a difference; `None` for a percentage.
    decimals: Option<u8>,
}

impl ChangeText {
    /// Returns the change in percent; `None` if the change has no percentage.
    pub(crate) fn percent(change: Change, numbers: NumberFormat) -> Option<Self> {
        Some(Self {
            full: change.percent(numbers)?,
            change,
            numbers,
            decimals: None,
        })
    }

    /// Returns the change as a difference with this number of decimals.
    pub(crate) fn difference(change: Change, decimals: u8, numbers: NumberFormat) -> Self {
        Self {
            full: change.difference(decimals, numbers),
            change,
            numbers,
            decimals: Some(decimals),
        }
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

    /// Returns the figures rounded to as few decimals as necessary to be at most `room` columns
    /// wide. `None` if they do not fit, or if they are then zero, because a small change would look
    /// like no change.
    fn rounded(&self, room: usize) -> Option<ShortText> {
        let fits = |text: &ShortText| TEXT.width(text) <= room;
        let text = match self.decimals {
            None => self.change.whole_percent(self.numbers).filter(fits),
            Some(decimals) => {
                let rounded = |decimals| self.change.difference(decimals, self.numbers);
                (0..decimals).rev().map(rounded).find(fits)
            }
        };
        text.filter(|text| text.starts_with(['+', '-']))
    }
}

/// Draws the figures of a change at the left end of a row, with an arrow of the same sign after
/// them. If the shown figures are zero, there is no arrow.
///
/// Figures that do not fit are rounded to fewer decimals. If shorter figures do not fit either,
/// nothing is drawn. An arrow without figures would show a change without its size.
pub(crate) fn draw(frame: &mut Frame, change: Option<ChangeText>, row: Row) {
    let Some(change) = change else {
        return;
    };
    let text = match change.fits(row) {
        true => Some(change.full),
        false => change.rounded(row.room().saturating_sub(1 + ARROW)),
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
