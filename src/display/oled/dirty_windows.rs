//! What to send so that the glass shows the next picture, to a chip that fills windows; one that
//! does not is served by `runs`. Owns the price of a message in bytes;
//! never touches a bus, and never allocates.

use crate::render::{Frame, WIDTH};

/// A rectangle of the panel's memory, edges included: columns `left..=right` of the rows of eight
/// dots `top..=bottom`.
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

/// At most this many windows go into one message.
pub const MAX_WINDOWS: usize = 8;
/// And this many runs, each a window of one page.
pub const MAX_RUNS: usize = 32;

/// Windows in the order in which they are sent.
pub type WindowPlan = heapless::Vec<Window, MAX_RUNS>;

/// Setting one side of a window: three command bytes, each behind a control byte.
const SIDE: usize = 6;
/// A gap of this many unchanged columns in a run is sent along: another window costs no less.
const GAP: u32 = 6;

impl Window {
    /// The whole panel a frame is for.
    pub const fn whole(frame: &Frame) -> Self {
        Self {
            left: 0,
            right: WIDTH as u8 - 1,
            top: 0,
            bottom: frame.size().pages() as u8 - 1,
        }
    }

    /// How many bytes of memory it covers.
    pub const fn area(self) -> usize {
        (self.right - self.left + 1) as usize * (self.bottom - self.top + 1) as usize
    }

    /// Its rows of bytes in a picture, from the top.
    pub fn rows(self, frame: &Frame) -> impl Iterator<Item = &[u8]> {
        (self.top..=self.bottom).map(move |page| {
            &frame.page(usize::from(page))[usize::from(self.left)..=usize::from(self.right)]
        })
    }

    /// Copies what is in it from one picture to another.
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

    /// The bytes to make this the window when `current` is: a side that is already right needs no
    /// command, for the pointer is back at its start after a window has been filled (SSD1306 data
    /// sheet, 10.1.3).
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

    /// The cheapest window around this one when `current` is set and each byte of data costs
    /// `weight`: it may pay to send a little more than what changed and keep a side.
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
        let mut best = self;
        let mut least = self.switch(Some(current)) + weight * self.area();
        let holds_columns = current.left <= self.left && self.right <= current.right;
        let holds_pages = current.top <= self.top && self.bottom <= current.bottom;
        if !(holds_columns || holds_pages) {
            return best;
        }
        for (candidate, possible) in [
            (wide, holds_columns),
            (tall, holds_pages),
            (current, holds_columns && holds_pages),
        ] {
            if possible {
                let price = candidate.switch(Some(current)) + weight * candidate.area();
                if price < least {
                    (best, least) = (candidate, price);
                }
            }
        }
        best
    }
}

/// The length in bytes, with the address byte, of the message that sends these windows when the
/// panel's window is `current`: all but the last send their data as pairs of control byte and
/// byte, the last behind one control byte. Nothing to send is no message.
pub fn price(plan: &[Window], current: Option<Window>) -> usize {
    let Some(last) = plan.last() else { return 0 };
    let (mut bytes, mut before) = (0, current);
    for window in plan {
        bytes += window.switch(before) + 2 * window.area();
        before = Some(*window);
    }
    // The address and the last control byte.
    2 + bytes - last.area()
}

/// The windows to send, for a panel that shows `shown` and whose window is `current` (`None`:
/// unknown).
///
/// Not always the cheapest that exist, but close to it, and never dearer than the one window
/// around all that changed.
pub fn plan(shown: &Frame, next: &Frame, current: Option<Window>) -> WindowPlan {
    let mut changed = changes(shown, next);
    let Some(first) = changed.first() else {
        return changed;
    };
    let around = changed.iter().fold(*first, |a, b| a.union(*b));
    merge(&mut changed);
    // The last window's data costs half, so the largest is the last.
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

/// Rectangles around all that changed, from page to page where they lie below each other.
fn changes(shown: &Frame, next: &Frame) -> WindowPlan {
    let mut found = WindowPlan::new();
    // Pages as arrays: then two are compared without a call.
    let (old, _) = shown.as_bytes().as_chunks::<WIDTH>();
    let (new, _) = next.as_bytes().as_chunks::<WIDTH>();
    for (page, (old, new)) in old.iter().zip(new).enumerate() {
        if old == new {
            continue;
        }
        let mut columns = bridged::<GAP>(changed_columns(old, new));
        while columns != 0 {
            let left = columns.trailing_zeros();
            let end = left + (columns >> left).trailing_ones();
            columns &= u128::MAX.checked_shl(end).unwrap_or(0);
            add(
                &mut found,
                Window {
                    left: left as u8,
                    right: (end - 1) as u8,
                    top: page as u8,
                    bottom: page as u8,
                },
            );
        }
    }
    found
}

/// The same with every gap of up to `gap` columns filled, all at once: each bit grows by so
/// many to the left, and then each gap that is left grows back.
pub(crate) const fn bridged<const GAP: u32>(columns: u128) -> u128 {
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
    // Behind the last change there is nothing to bridge.
    match u128::MAX.checked_shr(columns.leading_zeros()) {
        Some(within) => !gaps & within,
        None => 0,
    }
}

/// What has grown by so many can grow by one more than that at once, and shall not grow too far.
const fn step(by: u32, gap: u32) -> u32 {
    if by + 1 < gap - by { by + 1 } else { gap - by }
}

/// Adds a run of one page: to the window above it if a window of its own costs more.
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
        // So many changes that the exact windows do not matter.
        Some(last) if windows == MAX_WINDOWS => *last = last.union(run),
        // There is room for more than that.
        _ => found.extend([run]),
    }
}

/// Joins, two at a time, the windows that are cheaper as one, best first.
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
                // All data twice but once for the largest window, and a window less to set.
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

/// A bit for each column whose byte differs.
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

/// A bit for each byte that is not zero, the lowest first.
const fn nonzero_bytes(word: u64) -> u8 {
    let mut bits = word | word >> 4;
    bits |= bits >> 2;
    bits |= bits >> 1;
    // Byte i's bit is at 8i; the multiplication gathers them in the top byte (Hacker's Delight).
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
    fn nothing_changed_is_nothing_sent() {
        assert!(planned(&Frame::new(Size::Tall), None).is_empty());
        assert_eq!(price(&[], None), 0);
    }

    #[test]
    fn a_changed_block_is_one_window() {
        let plan = planned(&block(97..111, 1..3), None);
        assert_eq!(plan, [window(97, 110, 1, 2)]);
        assert_eq!(price(&plan, None), 1 + 12 + 1 + 28);
    }

    #[test]
    fn the_window_that_is_set_is_not_set_again() {
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
    fn a_much_smaller_change_sets_one_side_only() {
        let current = window(97, 110, 1, 2);
        let plan = planned(&block(105..111, 1..3), Some(current));
        assert_eq!(plan, [window(105, 110, 1, 2)]);
        assert_eq!(price(&plan, Some(current)), 1 + 6 + 1 + 12);
    }

    #[test]
    fn a_side_is_kept_where_that_saves_bytes_and_only_there() {
        let current = window(97, 110, 1, 4);
        for (columns, pages, sent) in [
            (98..110, 5..7, window(97, 110, 5, 6)),
            // One byte is saved with all of the pages, from either end.
            (20..25, 1..4, window(20, 24, 1, 4)),
            (20..25, 2..5, window(20, 24, 1, 4)),
            // None is.
            (20..26, 1..4, window(20, 25, 1, 3)),
            (20..32, 1..3, window(20, 31, 1, 2)),
            // No side of the window holds it.
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
    fn beside_a_byte_that_changes_one_that_stays_is_no_change() {
        let old = [0xA5; WIDTH];
        let mut new = old;
        new[42] = 0x5A;
        assert_eq!(changed_columns(&old, &new), 1 << 42);
        assert_eq!(changed_columns(&old, &old), 0);
    }

    #[test]
    fn two_distant_changes_are_two_windows_and_the_larger_is_the_last() {
        let mut next = block(97..111, 1..3);
        next.as_bytes_mut()[40..45].fill(1);
        let plan = planned(&next, None);
        assert_eq!(plan, [window(40, 44, 0, 0), window(97, 110, 1, 2)]);
        assert_eq!(price(&plan, None), 1 + 12 + 10 + 12 + 1 + 28);
    }

    #[test]
    fn many_scattered_changes_fall_back_to_the_window_around_them() {
        let scattered: Vec<_> = (0..8)
            .flat_map(|page| (0..8).map(move |i| (i * 16 + page, page)))
            .collect();
        assert_eq!(planned(&frame(&scattered), None), [window(0, 119, 0, 7)]);
    }

    #[test]
    fn the_bits_of_the_bytes_that_differ_are_exact() {
        assert_eq!(nonzero_bytes(0), 0);
        assert_eq!(nonzero_bytes(u64::MAX), 0xFF);
        for i in 0..64 {
            assert_eq!(nonzero_bytes(1 << i), 1 << (i / 8));
        }
        assert_eq!(nonzero_bytes(0x8000_0000_0100_0010), 0b1000_1001);
    }

    proptest! {
        #[test]
        fn a_plan_covers_all_that_changed_and_costs_no_more_than_the_box_around_it(
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
