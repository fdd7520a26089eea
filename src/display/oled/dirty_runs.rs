//! Plans the runs to send to a chip that is written page by page and does not support windows
//! (SH1106, SH1107), so that the panel shows the next picture with the fewest bytes. This module owns the
//! cost of such a run in bytes; it never accesses a bus, and it never allocates.
//!
//! A run is a window of one page. Each run sets its own column address, because the chip's pointer
//! does not return to the start of a run.

use super::dirty_windows::{changed_columns, runs};
use super::window::{MESSAGE, Window, WindowPlan};
use crate::render::{Frame, WIDTH};

/// The cost of the column address in bytes: two command bytes, each with a control byte.
const COLUMN: usize = 4;
/// The cost of the page address in bytes: one command byte with its control byte.
const PAGE: usize = 2;
/// The longest gap of unchanged columns that is sent as part of a run: a separate run costs as much.
const GAP: u32 = (MESSAGE + COLUMN) as u32;

/// The largest number of runs of one page, so that each update of 16 pages fits into a plan. So many
/// changes are noise, and then exact runs bring no advantage.
const RUNS: usize = 8;
/// The number of pages up to which all runs fit into a plan.
const FEW_PAGES: usize = 8;

/// Returns the length of the messages for these runs in bytes, with the address byte of each
/// message. `current` is the window whose page is set in the chip.
pub(crate) fn price(plan: &[Window], current: Option<Window>) -> usize {
    let mut before = current;
    plan.iter()
        .map(|run| {
            let page = match before.replace(*run) {
                Some(before) if before.bottom == run.top => 0,
                _ => PAGE,
            };
            MESSAGE + page + COLUMN + run.area()
        })
        .sum()
}

/// Returns the runs that change the panel from `shown` to `next`. `current` is the window whose
/// page is set in the chip; `None` if the page is unknown. No plan costs less: the pages are
/// independent of each other, and only the page that is set needs no page address if it comes
/// first. The other pages follow from the top.
pub(crate) fn plan(shown: &Frame, next: &Frame, current: Option<Window>) -> WindowPlan {
    let set = current.map(|current| usize::from(current.bottom));
    let mut found = WindowPlan::new();
    for is_set in [true, false] {
        for page in 0..next.size().pages() {
            if (Some(page) == set) == is_set {
                let columns = changed_columns(shown.page(page), next.page(page));
                let runs = runs::<GAP>(page, columns);
                if next.size().pages() > FEW_PAGES && runs.clone().count() > RUNS {
                    let right = WIDTH as u32 - 1 - columns.leading_zeros();
                    found.extend([Window::run(page, columns.trailing_zeros(), right)]);
                    continue;
                }
                // The list has space for all runs, because the gaps between them are longer than
                // `GAP`.
                found.extend(runs);
            }
        }
    }
    found
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

    fn planned(changes: &[(usize, usize)], current: Option<Window>) -> WindowPlan {
        plan(&Frame::new(Size::Tall), &frame(changes), current)
    }

    #[test]
    fn an_unchanged_frame_sends_nothing() {
        assert!(planned(&[], None).is_empty());
        assert_eq!(price(&[], None), 0);
    }

    #[test]
    fn runs_merge_across_six_unchanged_columns_but_not_across_seven() {
        let near = planned(&[(10, 0), (17, 0)], None);
        assert_eq!(near, [Window::run(0, 10, 17)]);
        assert_eq!(price(&near, None), 2 + 2 + 4 + 8);
        let far = planned(&[(10, 0), (18, 0)], None);
        assert_eq!(far, [Window::run(0, 10, 10), Window::run(0, 18, 18)]);
        assert_eq!(price(&far, None), (2 + 2 + 4 + 1) + (2 + 4 + 1));
    }

    #[test]
    fn a_page_that_is_already_set_comes_first_and_is_not_set_again() {
        let digits: Vec<_> = [1, 2]
            .iter()
            .flat_map(|page| (97..111).map(|column| (column, *page)))
            .collect();
        let fresh = planned(&digits, None);
        assert_eq!(price(&fresh, None), 2 * (2 + 2 + 4 + 14));
        let current = Some(Window::run(2, 97, 110));
        let kept = planned(&digits, current);
        assert_eq!(kept, [Window::run(2, 97, 110), Window::run(1, 97, 110)]);
        assert_eq!(price(&kept, current), price(&fresh, None) - 2);
    }

    #[test]
    fn a_plan_has_space_for_the_largest_number_of_runs() {
        let scattered: Vec<_> = (0..8)
            .flat_map(|page| (0..16).map(move |i| (i * 8, page)))
            .collect();
        assert_eq!(planned(&scattered, None).len(), 128);
    }

    #[test]
    fn a_plan_has_space_for_noise_on_all_16_pages() {
        let mut next = Frame::new(Size::Square);
        for (at, byte) in next.as_bytes_mut().iter_mut().enumerate() {
            *byte = u8::from(at % 8 == 0);
        }
        let plan = plan(&Frame::new(Size::Square), &next, None);
        let whole = |page| Window::run(page, 0, 120);
        assert!(plan.iter().copied().eq((0..16).map(whole)), "{plan:?}");
    }

    /// The fewest bytes for the changed columns of one page, with every possible cut between two
    /// changes.
    fn fewest(changes: &[usize]) -> usize {
        let cuts = changes.len().saturating_sub(1);
        let price = |cut: usize| {
            let mut bytes = 0;
            let mut start = changes[0];
            for (i, column) in changes.iter().enumerate() {
                if i == cuts || cut >> i & 1 == 1 {
                    bytes += MESSAGE + COLUMN + column - start + 1;
                    start = changes.get(i + 1).copied().unwrap_or(0);
                }
            }
            bytes
        };
        (0..1 << cuts).map(price).min().unwrap()
    }

    proptest! {
        #[test]
        fn a_plan_covers_every_change_and_no_plan_costs_less(
            columns in prop::collection::btree_set(0usize..40, 1..9),
            others in prop::collection::btree_set(0usize..40, 1..9),
            current in prop::option::of(0usize..8),
        ) {
            let changes: Vec<_> = columns.iter().map(|column| (*column, 1))
                .chain(others.iter().map(|column| (*column, 5)))
                .collect();
            let set = matches!(current, Some(1 | 5));
            let current = current.map(|page| Window::run(page, 0, 127));
            let plan = planned(&changes, current);
            for (column, page) in &changes {
                let covered = plan.iter().any(|run| {
                    usize::from(run.top) == *page
                        && (run.left..=run.right).contains(&(*column as u8))
                });
                prop_assert!(covered, "{column} {page} {plan:?}");
            }
            prop_assert!(plan.iter().all(|run| run.top == run.bottom));
            let lists = [columns, others].map(|columns| columns.into_iter().collect::<Vec<_>>());
            let least: usize = lists.iter().map(|columns| PAGE + fewest(columns)).sum();
            prop_assert_eq!(price(&plan, current), least - if set { PAGE } else { 0 });
        }
    }
}
