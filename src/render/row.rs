//! A row: the free columns of one page. A layout fills a row from both ends; this module never
//! decides which parts a row contains.

use core::ops::Range;

use super::font::Font;
use super::frame::Frame;

/// The dark columns between two parts of a row.
pub(crate) const GAP: usize = 2;

/// The free columns of one page. Each part that is drawn takes its columns and a gap, so that the
/// next part stands beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The page, or the first page for parts that are several pages high.
    pub(super) page: usize,
    /// The first free column.
    pub(super) left: usize,
    /// The column after the last free column.
    pub(super) right: usize,
}

impl Row {
    /// Creates a row of free columns.
    pub(super) const fn new(page: usize, columns: Range<usize>) -> Self {
        Self {
            page,
            left: columns.start,
            right: columns.end,
        }
    }

    /// Returns the number of free columns.
    pub(super) const fn room(&self) -> usize {
        self.right.saturating_sub(self.left)
    }

    /// Returns the free columns.
    pub(super) const fn columns(&self) -> Range<usize> {
        self.left..self.right
    }

    /// Writes a text at the left end.
    pub(super) fn write_left(&mut self, frame: &mut Frame, font: &Font, text: &str) {
        self.left = font.write(frame, self.left, self.page, text) + GAP;
    }

    /// Writes a text at the right end.
    pub(super) fn write_right(&mut self, frame: &mut Frame, font: &Font, text: &str) {
        let x = self.right.saturating_sub(font.width(text));
        font.write(frame, x, self.page, text);
        self.right = x.saturating_sub(GAP);
    }
}
