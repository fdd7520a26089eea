//! Plans the windows to send to a chip that supports windows, so that the panel shows the next
//! picture. A chip without windows uses `dirty_runs`. This module owns the cost of a message in
//! bytes; it never accesses a bus, and it never allocates.

use crate::render::{Frame, WIDTH};

/// A rectangle of the panel's memory, with its edges: the columns `left..=right` of the pages
/// `top..=bottom`. A page is a row of bytes, and each byte is eight dots high.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// The first column.
    pub left: u8,
    /// The last column.
    pub right: u8,
    /// The first page.
    pub top: u8,
    /// The last page.
    pub bottom: u8,
}

/// The largest number of windows in one message.
pub const MAX_WINDOWS: usize = 8;
/// The largest number of runs in one message. Each run is a window of one page.
pub const MAX_RUNS: usize = 32;

/// The windows of a message, in the order in which they are sent.
pub type WindowPlan = heapless::Vec<Window, MAX_RUNS>;

/// The cost of setting the columns or the pages of a window in bytes: three command bytes, each
/// with a control byte.
const SIDE: usize = 6;
/// The longest gap of unchanged columns that is sent as part of a run. The gap costs at most 12
/// bytes, and setting a separate window also costs up to 12 bytes.
const GAP: u32 = 6;

impl Window {
    /// Returns the window that covers the whole panel of a frame.
    pub const fn whole(frame: &Frame) -> Self {
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

    /// Returns the number of memory bytes in the window.
    pub const fn area(self) -> usize {
        (self.right - self.left + 1) as usize * (self.bottom - self.top + 1) as usize
    }

    /// Returns the bytes of each page of the window in a picture, from the top.
    pub fn rows(self, frame: &Frame) -> impl Iterator<Item = &[u8]> {
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
    fn switch(self, current: Option<Self>) -> usize {
        match current {
            None => 2 * SIDE,
            Some(current) => {
                let columns = usize::from(!self.same_columns(current));
                let pages = usize::from(!self.same_pages(current));
                SIDE * (columns + pages)
            }
        }
    }

    /// Returns the cheapest window that contains this window, if `current` is set in the chip and
    /// each data byte costs `weight` bytes. A larger window that keeps the columns or the pages of
    /// `current` can cost less, because it needs fewer commands.
    fn fitted(self, current: Option<Self>, weight: usize) -> Self {
        let Some(current) = current.filter(|current| *current != self) else {
            return self;
        };
        let wide = Self {
            left: current.left,
            right: current.right,
            ..self
        };
        let tall = Self {
            top: current.top,
            bottom: current.bottom,
            ..self
        };
        let holds_columns = current.left <= self.left && self.right <= current.right;
        let holds_pages = current.top <= self.top && self.bottom <= current.bottom;
        let cost = |window: Self| window.switch(Some(current)) + weight * window.area();
        let mut best = self;
        for (candidate, possible) in [
            (wide, holds_columns),
            (tall, holds_pages),
            (current, holds_columns && holds_pages),
        ] {
            if possible && cost(candidate) < cost(best) {
                best = candidate;
            }
        }
        best
    }
}

/// Returns the length of the message for these windows in bytes, with the address byte. `current`
/// is the window that is set in the chip. All windows except the last send pairs of a control byte
/// and a data byte; the last window needs only one control byte. An empty plan needs no message, so
/// its cost is 0.
pub fn price(plan: &[Window], current: Option<Window>) -> usize {
    message_length(plan, current, Window::switch)
}

/// Returns the length of a message like [`price`]. The function `switch` returns the cost in bytes
/// of the commands between two windows.
pub(crate) fn message_length(
    plan: &[Window],
    current: Option<Window>,
    switch: impl Fn(Window, Option<Window>) -> usize,
) -> usize {
    let Some(last) = plan.last() else { return 0 };
    let (mut bytes, mut before) = (0, current);
    for window in plan {
        bytes += switch(*window, before) + 2 * window.area();
        before = Some(*window);
    }
    // The message also contains the address byte and the control byte of the last window.
    2 + bytes - last.area()
}

/// Returns the windows that change the panel from `shown` to `next`. `current` is the window that
/// is set in the chip; `None` if it is unknown.
///
/// The plan is not always the cheapest possible plan, but it is close, and it never costs more than
/// one window around all changes.
pub fn plan(shown: &Frame, next: &Frame, current: Option<Window>) -> WindowPlan {
    let mut changed = changes(shown, next);
    let Some(first) = changed.first() else {
        return changed;
    };
    let around = changed.iter().fold(*first, |a, b| a.union(*b));
    merge(&mut changed);
    // A data byte of the last window costs one byte and not two, so the largest window comes last.
    if let Some(largest) = (0..changed.len()).max_by_key(|i| changed[*i].area()) {
        let end = changed.len() - 1;
        changed.swap(largest, end);
    }
    let end = changed.len() - 1;
    let mut before = current;
    for (i, window) in changed.iter_mut().enumerate() {
        *window = window.fitted(before, if i == end { 1 } else { 2 });
        before = Some(*window);
    }
    if end > 0 {
        let around = around.fitted(current, 1);
        if price(&[around], current) <= price(&changed, current) {
            changed.clear();
            changed.extend([around]);
        }
    }
    changed
}

/// Returns rectangles around all changes. Changes on neighbouring pages can share a rectangle.
fn changes(shown: &Frame, next: &Frame) -> WindowPlan {
    let mut found = WindowPlan::new();
    // The compiler compares two pages of fixed size without a function call.
    let (old, _) = shown.as_bytes().as_chunks::<WIDTH>();
    let (new, _) = next.as_bytes().as_chunks::<WIDTH>();
    for (page, (old, new)) in old.iter().zip(new).enumerate() {
        if old != new {
            for run in changed_runs::<GAP>(page, old, new) {
                add(&mut found, run);
            }
        }
    }
    found
}

/// Returns the runs of changed columns of one page. A run contains gaps of up to `GAP` unchanged
/// columns.
pub(crate) fn changed_runs<const GAP: u32>(
    page: usize,
    old: &[u8],
    new: &[u8],
) -> impl Iterator<Item = Window> {
    let mut columns = bridged::<GAP>(changed_columns(old, new));
    std::iter::from_fn(move || {
        if columns == 0 {
            return None;
        }
        let left = columns.trailing_zeros();
        let end = left + (columns >> left).trailing_ones();
        columns &= u128::MAX.checked_shl(end).unwrap_or(0);
        Some(Window::run(page, left, end - 1))
    })
}

/// Sets the clear bits in each gap of up to `GAP` bits between two set bits. It extends each run of
/// set bits by `GAP` bits upwards, which closes the short gaps. Then it shortens the remaining runs
/// by `GAP` bits, so that the long gaps keep their size.
const fn bridged<const GAP: u32>(columns: u128) -> u128 {
    let (mut grown, mut by) = (columns, 0);
    while by < GAP {
        let step = step(by, GAP);
        grown |= grown << step;
        by += step;
    }
    let (mut gaps, mut by) = (!grown, 0);
    while by < GAP {
        let step = step(by, GAP);
        gaps |= gaps >> step;
        by += step;
    }
    // The bits above the last change stay clear, because no gap is there.
    match u128::MAX.checked_shr(columns.leading_zeros()) {
        Some(within) => !gaps & within,
        None => 0,
    }
}

/// Returns the number of bits of the next shift. Bits that have grown by `by` can grow by up to `by
/// + 1` more in one shift, but never by more than `gap` in total.
const fn step(by: u32, gap: u32) -> u32 {
    if by + 1 < gap - by { by + 1 } else { gap - by }
}

/// Adds a run of one page to the list. The run joins the window on the page above it if that costs
/// less than a separate window.
fn add(found: &mut WindowPlan, run: Window) {
    let windows = found.len();
    for window in found.iter_mut() {
        if window.bottom + 1 == run.top {
            let union = window.union(run);
            if union.area() <= window.area() + run.area() + SIDE {
                *window = union;
                return;
            }
        }
    }
    match found.last_mut() {
        // With so many changes, exact windows bring no advantage.
        Some(last) if windows == MAX_WINDOWS => *last = last.union(run),
        // The list has space for more than `MAX_WINDOWS` windows.
        _ => found.extend([run]),
    }
}

/// Joins pairs of windows as long as a joined window costs less than two windows. The pair with the
/// largest gain comes first.
fn merge(windows: &mut WindowPlan) {
    while windows.len() > 1 {
        let mut areas = [0; MAX_WINDOWS];
        for (area, window) in areas.iter_mut().zip(windows.iter()) {
            *area = window.area() as isize;
        }
        let largest = areas.into_iter().max().unwrap_or(0);
        let mut best = (0, 0, 0);
        for j in 1..windows.len() {
            for i in 0..j {
                let apart = areas[i] + areas[j];
                let joined = windows[i].union(windows[j]).area() as isize;
                // A joined window saves the commands of one window. Each data byte costs two bytes,
                // but only one byte in the largest window, because that window is sent last.
                let gain = 2 * SIDE as isize + 2 * (apart - joined) + (joined - largest).max(0);
                if gain > best.0 {
                    best = (gain, i, j);
                }
            }
        }
        let (gain, i, j) = best;
        if gain == 0 {
            return;
        }
        windows[i] = windows[i].union(windows[j]);
        windows.swap_remove(j);
    }
}

/// Returns one bit for each column, set if the two bytes of the column differ. Column 0 is the
/// lowest bit.
pub(crate) fn changed_columns(old: &[u8], new: &[u8]) -> u128 {
    let mut columns = [0; WIDTH / 8];
    let words = old.as_chunks().0.iter().zip(new.as_chunks().0);
    for (columns, (old, new)) in columns.iter_mut().zip(words) {
        if old != new {
            *columns = nonzero_bytes(u64::from_le_bytes(*old) ^ u64::from_le_bytes(*new));
        }
    }
    u128::from_le_bytes(columns)
}

/// Returns one bit for each byte of the word, set if the byte is not zero. The lowest byte is the
/// lowest bit.
const fn nonzero_bytes(word: u64) -> u8 {
    let mut bits = word | word >> 4;
    bits |= bits >> 2;
    bits |= bits >> 1;
    // The bit of byte i is at position 8i. The multiplication moves all eight bits to the top byte
    // (Hacker's Delight).
    ((bits & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Size;
    use proptest::prelude::*;

    fn frame(changes: &[(usize, usize)]) -> Frame {
        let mut frame = Frame::new(Size::Tall);
        for (column, page) in changes {
            frame.as_bytes_mut()[page * WIDTH + column] = 0xA5;
        }
        frame
    }

    fn block(columns: std::ops::Range<usize>, pages: std::ops::Range<usize>) -> Frame {
        let bytes: Vec<_> = pages
            .flat_map(|page| columns.clone().map(move |column| (column, page)))
            .collect();
        frame(&bytes)
    }

    fn window(left: u8, right: u8, top: u8, bottom: u8) -> Window {
        Window {
            left,
            right,
            top,
            bottom,
        }
    }

    fn planned(next: &Frame, current: Option<Window>) -> WindowPlan {
        plan(&Frame::new(Size::Tall), next, current)
    }

    #[test]
    fn an_unchanged_frame_sends_nothing() {
        assert!(planned(&Frame::new(Size::Tall), None).is_empty());
        assert_eq!(price(&[], None), 0);
    }

    #[test]
    fn a_changed_block_needs_a_single_window() {
        let plan = planned(&block(97..111, 1..3), None);
        assert_eq!(plan, [window(97, 110, 1, 2)]);
        assert_eq!(price(&plan, None), 1 + 12 + 1 + 28);
    }

    #[test]
    fn a_window_that_is_already_set_is_not_set_again() {
        let current = window(97, 110, 1, 2);
        let plan = planned(&block(97..111, 1..3), Some(current));
        assert_eq!(price(&plan, Some(current)), 1 + 1 + 28);
    }

    #[test]
    fn a_slightly_smaller_change_keeps_the_window() {
        let current = window(97, 110, 1, 2);
        let plan = planned(&block(98..110, 1..3), Some(current));
        assert_eq!(plan, [current]);
    }

    #[test]
    fn a_much_smaller_change_sets_only_the_changed_side() {
        let current = window(97, 110, 1, 2);
        let plan = planned(&block(105..111, 1..3), Some(current));
        assert_eq!(plan, [window(105, 110, 1, 2)]);
        assert_eq!(price(&plan, Some(current)), 1 + 6 + 1 + 12);
    }

    #[test]
    fn a_window_keeps_its_columns_or_pages_only_to_save_bytes() {
        let current = window(97, 110, 1, 4);
        for (columns, pages, sent) in [
            (98..110, 5..7, window(97, 110, 5, 6)),
            // The window keeps all pages of `current` in these two cases, which saves one byte.
            (20..25, 1..4, window(20, 24, 1, 4)),
            (20..25, 2..5, window(20, 24, 1, 4)),
            // The window does not keep the pages of `current` in these two cases, because that
            // saves no byte.
            (20..26, 1..4, window(20, 25, 1, 3)),
            (20..32, 1..3, window(20, 31, 1, 2)),
            // The change is inside neither the columns nor the pages of `current`.
            (90..100, 0..3, window(90, 99, 0, 2)),
        ] {
            let plan = planned(&block(columns, pages), Some(current));
            assert_eq!(plan, [sent]);
        }
        let whole = window(0, 127, 0, 7);
        let plan = planned(&block(5..7, 3..5), Some(whole));
        assert_eq!(plan, [window(5, 6, 3, 4)]);
    }

    #[test]
    fn only_the_bytes_that_differ_count_as_changed_columns() {
        let old = [0xA5; WIDTH];
        let mut new = old;
        new[42] = 0x5A;
        assert_eq!(changed_columns(&old, &new), 1 << 42);
        assert_eq!(changed_columns(&old, &old), 0);
    }

    #[test]
    fn two_distant_changes_need_two_windows_and_the_larger_window_is_last() {
        let mut next = block(97..111, 1..3);
        next.as_bytes_mut()[40..45].fill(1);
        let plan = planned(&next, None);
        assert_eq!(plan, [window(40, 44, 0, 0), window(97, 110, 1, 2)]);
        assert_eq!(price(&plan, None), 1 + 12 + 10 + 12 + 1 + 28);
    }

    #[test]
    fn many_scattered_changes_share_a_single_enclosing_window() {
        let scattered: Vec<_> = (0..8)
            .flat_map(|page| (0..8).map(move |i| (i * 16 + page, page)))
            .collect();
        assert_eq!(planned(&frame(&scattered), None), [window(0, 119, 0, 7)]);
    }

    #[test]
    fn nonzero_bytes_returns_exactly_the_bits_of_the_nonzero_bytes() {
        assert_eq!(nonzero_bytes(0), 0);
        assert_eq!(nonzero_bytes(u64::MAX), 0xFF);
        for i in 0..64 {
            assert_eq!(nonzero_bytes(1 << i), 1 << (i / 8));
        }
        assert_eq!(nonzero_bytes(0x8000_0000_0100_0010), 0b1000_1001);
    }

    proptest! {
        #[test]
        fn a_plan_covers_every_change_and_costs_at_most_the_enclosing_window(
            changes in prop::collection::vec((0usize..128, 0usize..8), 0..40),
            current in prop::option::of((0u8..64, 64u8..128, 0u8..4, 4u8..8)),
        ) {
            let next = frame(&changes);
            let current = current.map(|(a, b, c, d)| window(a, b, c, d));
            let plan = planned(&next, current);
            for (column, page) in &changes {
                let covered = plan.iter().any(|w| {
                    (w.left..=w.right).contains(&(*column as u8))
                        && (w.top..=w.bottom).contains(&(*page as u8))
                });
                prop_assert!(covered, "{column} {page} {plan:?}");
            }
            if !changes.is_empty() {
                let around = window(
                    changes.iter().map(|c| c.0).min().unwrap() as u8,
                    changes.iter().map(|c| c.0).max().unwrap() as u8,
                    changes.iter().map(|c| c.1).min().unwrap() as u8,
                    changes.iter().map(|c| c.1).max().unwrap() as u8,
                );
                prop_assert!(price(&plan, current) <= price(&[around], current));
            }
        }
    }
}
