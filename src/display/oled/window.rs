//! The windows of a panel's memory and their cost in bytes. Each window is sent as one message. This
//! module never selects windows, and it never accesses a bus.

use crate::render::{Frame, WIDTH};

/// A rectangle of the panel's memory, with its edges: the columns `left..=right` of the pages
/// `top..=bottom`. A page is a row of bytes, and each byte is eight dots high.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Window {
    /// The first page.
    pub(crate) top: u8,
    /// The first column.
    pub(crate) left: u8,
    /// The last page.
    pub(crate) bottom: u8,
    /// The last column.
    pub(crate) right: u8,
}

/// The largest number of windows of an update. A chip that is written page by page can need 16
/// short runs on each of its eight pages.
pub(crate) const MAX_WINDOWS: usize = 128;

/// The windows of an update, in the order in which they are sent.
pub(crate) type WindowPlan = heapless::Vec<Window, MAX_WINDOWS>;

/// The address byte of a message and the control byte of its data.
pub(crate) const MESSAGE: usize = 2;
/// The cost of setting the columns or the pages of a window in bytes: three command bytes, each
/// with a control byte.
pub(crate) const SIDE: usize = 6;

impl Window {
    /// Returns the window that covers the whole panel of a frame.
    pub(crate) const fn whole(frame: &Frame) -> Self {
        Self {
            left: 0,
            right: WIDTH as u8 - 1,
            top: 0,
            bottom: frame.size().pages() as u8 - 1,
        }
    }

    /// Returns the window of one page from the column `left` to the column `right`.
    pub(crate) const fn run(page: usize, left: u32, right: u32) -> Self {
        Self {
            left: left as u8,
            right: right as u8,
            top: page as u8,
            bottom: page as u8,
        }
    }

    pub(crate) const fn width(self) -> usize {
        (self.right - self.left + 1) as usize
    }

    pub(crate) const fn height(self) -> usize {
        (self.bottom - self.top + 1) as usize
    }

    /// Returns the number of memory bytes in the window.
    pub(crate) const fn area(self) -> usize {
        self.width() * self.height()
    }

    /// Returns the bytes of each page of the window in a picture, from the top.
    pub(crate) fn rows(self, frame: &Frame) -> impl Iterator<Item = &[u8]> {
        (self.top..=self.bottom).map(move |page| {
            &frame.page(usize::from(page))[usize::from(self.left)..=usize::from(self.right)]
        })
    }

    /// Copies the bytes of the window from one picture to another picture.
    pub(crate) fn copy(self, from: &Frame, to: &mut Frame) {
        let columns = usize::from(self.left)..=usize::from(self.right);
        for page in self.top..=self.bottom {
            let page = usize::from(page);
            to.as_bytes_mut()[page * WIDTH..][columns.clone()]
                .copy_from_slice(&from.page(page)[columns.clone()]);
        }
    }

    pub(crate) fn union(self, other: Self) -> Self {
        Self {
            left: self.left.min(other.left),
            right: self.right.max(other.right),
            top: self.top.min(other.top),
            bottom: self.bottom.max(other.bottom),
        }
    }

    pub(crate) const fn same_columns(self, other: Self) -> bool {
        self.left == other.left && self.right == other.right
    }

    pub(crate) const fn same_pages(self, other: Self) -> bool {
        self.top == other.top && self.bottom == other.bottom
    }

    /// Returns the cost in bytes of a change from the window `current` to this window. Columns or
    /// pages that already match need no command, because the pointer returns to the start of a
    /// window after the window has been filled (SSD1306 data sheet, 10.1.3).
    pub(crate) const fn switch(self, current: Option<Self>) -> usize {
        match current {
            None => 2 * SIDE,
            Some(current) => {
                let columns = !self.same_columns(current) as usize;
                let pages = !self.same_pages(current) as usize;
                SIDE * (columns + pages)
            }
        }
    }

    /// Returns the cheapest window that contains this window, if `current` is set in the chip. A
    /// larger window that keeps the columns or the pages of `current` can cost less, because it needs
    /// fewer commands.
    pub(crate) fn fitted(self, current: Option<Self>) -> Self {
        let Some(set) = current else {
            return self;
        };
        let union = self.union(set);
        let mut best = self;
        let wide = Self {
            left: set.left,
            right: set.right,
            ..self
        };
        let tall = Self {
            top: set.top,
            bottom: set.bottom,
            ..self
        };
        let (columns, pages) = (union.same_columns(set), union.same_pages(set));
        for (window, possible) in [(wide, columns), (tall, pages), (set, columns && pages)] {
            if possible && window.price(current) < best.price(current) {
                best = window;
            }
        }
        best
    }

    /// Returns the length of the window's message in bytes, if `current` is set in the chip.
    pub(crate) const fn price(self, current: Option<Self>) -> usize {
        MESSAGE + self.switch(current) + self.area()
    }
}

/// Returns the length of the messages for these windows in bytes, with the address byte of each
/// message. `current` is the window that is set in the chip.
pub(crate) fn price(plan: &[Window], current: Option<Window>) -> usize {
    let mut before = current;
    plan.iter()
        .map(|window| window.price(before.replace(*window)))
        .sum()
}
