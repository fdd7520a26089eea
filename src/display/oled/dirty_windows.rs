//! Plans the windows to send to a chip that supports windows, so that the panel shows the next
//! picture with the fewest bytes. A chip without windows uses `dirty_runs`. This module owns the
//! comparison of two pictures; it never accesses a bus, and it never allocates.

use super::window::{MESSAGE, SIDE, Window, WindowPlan};
use super::window_search::Search;
use crate::render::{Frame, WIDTH};

/// The longest gap of unchanged columns that is sent as part of a run. The gap costs at most 8
/// bytes, and a separate window on the same pages also costs at least 8 bytes.
const GAP: u32 = 8;
/// The number of changed bytes up to which every gain is worth a search.
const FEW: usize = 16;
/// The gain in bytes for which a search of more changed bytes, such as those of two digits, is not
/// worth its time.
const SMALL: usize = 12;
/// The largest number of windows for the first plan of the search.
const FIRST_WINDOWS: usize = 16;
/// Returns the windows that change the panel from `shown` to `next`. `current` is the window that
/// is set in the chip; `None` if it is unknown.
///
/// The plan has the fewest bytes of all plans if the changes are simple. For complex changes the
/// search ends early, and a slightly better plan can exist.
pub(crate) fn plan(shown: &Frame, next: &Frame, current: Option<Window>) -> WindowPlan {
    cheapest(&changes(shown, next), current)
}

/// Returns the windows that cover all changed columns of each page.
fn cheapest(changes: &[u128; 8], current: Option<Window>) -> WindowPlan {
    let mut first = WindowPlan::new();
    let Some((around, bytes)) = around(changes) else {
        return first;
    };
    let alone = around.fitted(current);
    first.extend([alone]);
    // Two windows need two messages and at least one more switch.
    let least = bytes + 2 * MESSAGE + SIDE;
    let gain = alone.price(current).saturating_sub(least);
    if bytes > FEW && gain <= SMALL {
        return first;
    }
    let switch = least_switch(changes, current);
    if gain <= switch {
        return first;
    }
    let mut search = Search::new(current, switch);
    search.keep(&first);
    first.clear();
    for (page, columns) in changes.iter().enumerate() {
        for run in runs::<GAP>(page, *columns) {
            add(&mut first, run);
        }
    }
    merge(&mut first);
    first.sort_unstable();
    search.keep(&first);
    search.arrange(&first);
    search.all(changes);
    search.best()
}

/// Returns the changed columns of each page.
fn changes(shown: &Frame, next: &Frame) -> [u128; 8] {
    let mut changes = [0; 8];
    // The compiler compares two pages of fixed size without a function call.
    let (old, _) = shown.as_bytes().as_chunks::<WIDTH>();
    let (new, _) = next.as_bytes().as_chunks::<WIDTH>();
    for (columns, (old, new)) in changes.iter_mut().zip(old.iter().zip(new)) {
        if old != new {
            *columns = changed_columns(old, new);
        }
    }
    changes
}

/// Returns the window around all changes and the number of changed bytes, or `None` if nothing has
/// changed.
fn around(changes: &[u128; 8]) -> Option<(Window, usize)> {
    let (mut columns, mut bytes) = (0, 0);
    let (mut top, mut bottom) = (None, 0);
    for (page, changed) in changes.iter().enumerate() {
        if *changed != 0 {
            columns |= changed;
            bytes += changed.count_ones() as usize;
            top = top.or(Some(page));
            bottom = page;
        }
    }
    let window = Window {
        top: top? as u8,
        left: columns.trailing_zeros() as u8,
        bottom: bottom as u8,
        right: (WIDTH as u32 - 1 - columns.leading_zeros()) as u8,
    };
    Some((window, bytes))
}

/// Returns the least cost in bytes of the first switch. Nothing is switched only for a window that
/// is already set, and that window is of use only if it has changes.
fn least_switch(changes: &[u128; 8], current: Option<Window>) -> usize {
    let Some(current) = current else {
        return 2 * SIDE;
    };
    let columns = u128::MAX << current.left & u128::MAX >> (WIDTH as u8 - 1 - current.right);
    let pages = &changes[usize::from(current.top)..=usize::from(current.bottom)];
    match pages.iter().any(|page| page & columns != 0) {
        true => 0,
        false => SIDE,
    }
}

/// Returns the runs of changed columns of one page. A run contains gaps of up to `GAP` unchanged
/// columns.
pub(crate) fn runs<const GAP: u32>(
    page: usize,
    columns: u128,
) -> impl Iterator<Item = Window> + Clone {
    let mut columns = bridged::<GAP>(columns);
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
            if union.area() <= window.area() + run.area() + MESSAGE + SIDE {
                *window = union;
                return;
            }
        }
    }
    match found.last_mut() {
        // With so many changes, exact windows bring no advantage.
        Some(last) if windows == FIRST_WINDOWS => *last = last.union(run),
        // The list has space for more than `FIRST_WINDOWS` windows.
        _ => found.extend([run]),
    }
}

/// Joins pairs of windows as long as a joined window costs less than two windows. The pair with the
/// largest gain comes first.
fn merge(windows: &mut WindowPlan) {
    while windows.len() > 1 {
        let mut best = (0, 0, 0);
        for j in 1..windows.len() {
            for i in 0..j {
                let (one, other) = (windows[i], windows[j]);
                let apart = one.area() + other.price(Some(one));
                let joined = one.union(other).area();
                let gain = apart as isize - joined as isize;
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
    use super::super::window::price;
    use super::*;
    use crate::render::Size;
    use proptest::prelude::*;
    use std::collections::{BTreeSet, HashMap};

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
            // The window does not keep the pages of `current`, because that costs more bytes.
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
    fn two_distant_changes_need_two_windows_in_reading_order() {
        let mut next = block(97..111, 1..3);
        next.as_bytes_mut()[40..45].fill(1);
        let plan = planned(&next, None);
        assert_eq!(plan, [window(40, 44, 0, 0), window(97, 110, 1, 2)]);
        assert_eq!(price(&plan, None), (2 + 12 + 5) + (2 + 12 + 28));
    }

    #[test]
    fn the_high_digits_of_a_price_come_before_its_low_digits() {
        let mut next = block(80..96, 1..5);
        for page in 1..3 {
            next.as_bytes_mut()[page * WIDTH + 110..][..14].fill(1);
        }
        let plan = planned(&next, None);
        assert_eq!(plan, [window(80, 95, 1, 4), window(110, 123, 1, 2)]);
    }

    #[test]
    fn a_window_that_is_set_is_sent_first_because_that_costs_less() {
        let mut next = block(97..111, 1..3);
        next.as_bytes_mut()[40..45].fill(1);
        let current = Some(window(97, 110, 1, 2));
        let plan = planned(&next, current);
        assert_eq!(plan, [window(97, 110, 1, 2), window(40, 44, 0, 0)]);
        assert_eq!(price(&plan, current), (2 + 28) + (2 + 12 + 5));
    }

    #[test]
    fn many_scattered_changes_share_a_single_enclosing_window() {
        let scattered: Vec<_> = (0..8)
            .flat_map(|page| (0..16).map(move |i| (i * 8, page)))
            .collect();
        assert_eq!(planned(&frame(&scattered), None), [window(0, 120, 0, 7)]);
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

    /// Finds the fewest bytes for these changes by trial of every sequence of windows. The edges of
    /// a window are at changed bytes or at the edges of `current`: another window could be smaller,
    /// or a window with other edges would not be the same as a neighbour.
    struct BruteForce {
        /// Each window with the changed bytes that it covers.
        windows: Vec<(Window, u64)>,
        /// The fewest bytes to reach a set of covered bytes with the window of this index set.
        reached: HashMap<(u64, usize), usize>,
        all: u64,
        least: usize,
    }

    impl BruteForce {
        fn fewest(changes: &[(u8, u8)], current: Option<Window>) -> usize {
            let sides = |of: fn(&(u8, u8)) -> u8, low: Option<u8>, high: Option<u8>| {
                let ends: BTreeSet<u8> = changes.iter().map(of).collect();
                let starts: Vec<u8> = ends.iter().copied().chain(low).collect();
                let ends: Vec<u8> = ends.iter().copied().chain(high).collect();
                let pairs = starts
                    .iter()
                    .flat_map(|a| ends.iter().map(move |b| (*a, *b)));
                let pairs: BTreeSet<(u8, u8)> = pairs.filter(|(a, b)| a <= b).collect();
                pairs
            };
            let columns = sides(|c| c.0, current.map(|c| c.left), current.map(|c| c.right));
            let pages = sides(|c| c.1, current.map(|c| c.top), current.map(|c| c.bottom));
            let mut windows = Vec::new();
            for (left, right) in &columns {
                for (top, bottom) in &pages {
                    let covered = changes.iter().enumerate().filter(|(_, (column, page))| {
                        (left..=right).contains(&column) && (top..=bottom).contains(&page)
                    });
                    let covered = covered.fold(0, |all, (i, _)| all | 1 << i);
                    if covered != 0 {
                        windows.push((window(*left, *right, *top, *bottom), covered));
                    }
                }
            }
            let mut search = Self {
                windows,
                reached: HashMap::new(),
                all: (1 << changes.len()) - 1,
                least: usize::MAX,
            };
            search.extend(0, current, 0);
            search.least
        }

        fn extend(&mut self, covered: u64, before: Option<Window>, spent: usize) {
            if covered == self.all {
                self.least = self.least.min(spent);
                return;
            }
            for i in 0..self.windows.len() {
                let (window, covers) = self.windows[i];
                let after = covered | covers;
                let cost = spent + window.price(before);
                let known = self.reached.entry((after, i)).or_insert(usize::MAX);
                if after != covered && cost < *known && cost < self.least {
                    *known = cost;
                    self.extend(after, Some(window), cost);
                }
            }
        }
    }

    /// Runs of changed bytes on a screen of 3 pages and 24 columns.
    fn small_screen() -> impl Strategy<Value = Vec<(u8, u8)>> {
        let run = (0u8..22, 0u8..3, 1u8..4);
        prop::collection::vec(run, 1..5).prop_map(|runs| {
            let bytes = runs.into_iter().flat_map(|(column, page, length)| {
                (column..column + length).map(move |column| (column, page))
            });
            bytes.collect::<BTreeSet<_>>().into_iter().collect()
        })
    }

    fn any_window(
        columns: std::ops::Range<u8>,
        pages: std::ops::Range<u8>,
    ) -> impl Strategy<Value = Window> {
        (columns.clone(), columns, pages.clone(), pages)
            .prop_map(|(a, b, c, d)| window(a.min(b), a.max(b), c.min(d), c.max(d)))
    }

    proptest! {
        // The brute force is slow.
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn no_sequence_of_windows_costs_less_than_the_plan(
            bytes in small_screen(),
            current in prop::option::of(any_window(0..24, 0..3)),
        ) {
            let mut changes = [0; 8];
            for (column, page) in &bytes {
                changes[usize::from(*page)] |= 1 << column;
            }
            let plan = cheapest(&changes, current);
            let least = BruteForce::fewest(&bytes, current);
            prop_assert_eq!(price(&plan, current), least, "{:?}", plan);
        }

        #[test]
        fn a_plan_covers_every_change_and_costs_at_most_the_enclosing_window(
            changes in prop::collection::vec((0usize..128, 0usize..8), 1..60),
            current in prop::option::of(any_window(0..128, 0..8)),
        ) {
            let plan = planned(&frame(&changes), current);
            for (column, page) in &changes {
                let covered = plan.iter().any(|w| {
                    (w.left..=w.right).contains(&(*column as u8))
                        && (w.top..=w.bottom).contains(&(*page as u8))
                });
                prop_assert!(covered, "{column} {page} {plan:?}");
            }
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
