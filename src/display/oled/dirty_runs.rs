//! Plans the runs to send to a chip that is written page by page and does not support windows
//! (SH1106), so that the panel shows the next picture. This module owns the cost of such a message
//! in bytes; it never accesses a bus, and it never allocates.
//!
//! A run is a window of one page. Each run sets its own address, because the chip's pointer does
//! not return to the start of a run.

use super::dirty_windows::{Window, WindowPlan, changed_columns, changed_runs, message_length};
use crate::render::{Frame, WIDTH};

/// The cost of the column address in bytes: two command bytes, each with a control byte.
const COLUMN: usize = 4;
/// The cost of the page address in bytes: one command byte with its control byte.
const PAGE: usize = 2;
/// The longest gap of unchanged columns that is sent as part of a run. Each column costs two bytes,
/// and the column address of a separate run costs four.
const GAP: u32 = 2;

/// Returns the length of the message for these runs in bytes, with the address byte. `current` is
/// the window whose page is set in the chip. All runs except the last send pairs of a control byte
/// and a data byte; the last run needs only one control byte. An empty plan needs no message, so
/// its cost is 0.
pub(crate) fn price(plan: &[Window], current: Option<Window>) -> usize {
    message_length(plan, current, |run, before| match before {
        Some(before) if before.bottom == run.top => COLUMN,
        _ => PAGE + COLUMN,
    })
}

/// Returns the runs that change the panel from `shown` to `next`. `current` is the window whose
/// page is set in the chip; `None` if the page is unknown. The plan never costs more than one run
/// around all changes of each page.
pub(crate) fn plan(shown: &Frame, next: &Frame, current: Option<Window>) -> WindowPlan {
    let each = ordered_for_cost(pages(shown, next), current);
    match runs(shown, next).map(|runs| ordered_for_cost(runs, current)) {
        // One long run at the end of the message can cost less than its parts, because its data
        // needs only one control byte.
        Some(runs) if price(&runs, current) <= price(&each, current) => runs,
        _ => each,
    }
}

/// Returns one run around all changes of each page.
fn pages(shown: &Frame, next: &Frame) -> WindowPlan {
    let mut found = WindowPlan::new();
    for page in 0..next.size().pages() {
        let columns = changed_columns(shown.page(page), next.page(page));
        if columns != 0 {
            let right = WIDTH as u32 - 1 - columns.leading_zeros();
            // The list has space for all pages.
            found.extend([Window::run(page, columns.trailing_zeros(), right)]);
        }
    }
    found
}

/// Returns the runs of changed columns, with only short gaps between them. Returns `None` if the
/// list has no space for all runs.
fn runs(shown: &Frame, next: &Frame) -> Option<WindowPlan> {
    let mut found = WindowPlan::new();
    for page in 0..next.size().pages() {
        let (old, new) = (shown.page(page), next.page(page));
        if old != new {
            for run in changed_runs::<GAP>(page, old, new) {
                found.push(run).ok()?;
            }
        }
    }
    Some(found)
}

/// Returns the runs in the cheapest order. Neighbours on one page are joined to one run at the end
/// of the message, where a data byte costs one byte and not two.
fn ordered_for_cost(runs: WindowPlan, current: Option<Window>) -> WindowPlan {
    let set = current.map(|current| current.bottom);
    let spread = runs.first().map(|run| run.top) != runs.last().map(|run| run.top);
    // The best gain in bytes, and the runs `first..=last` that are joined to the last run for this
    // gain.
    let mut best = (0, 0, 0);
    for first in 0..runs.len() {
        // The page that is set in the chip needs no page command at the start of the message. At
        // the end of the message, this page needs a page command.
        let late = spread && Some(runs[first].top) == set;
        let mut gain = if late { -(PAGE as isize) } else { 0 };
        for last in first..runs.len() {
            if runs[last].top != runs[first].top {
                break;
            }
            gain += (COLUMN + 2 * runs[last].area()) as isize;
            let joined = COLUMN + runs[first].union(runs[last]).area();
            if gain - joined as isize > best.0 {
                best = (gain - joined as isize, first, last);
            }
        }
    }
    let (gain, first, last) = best;
    if gain == 0 {
        return runs;
    }
    let end = runs[first].union(runs[last]);
    // The page that is set in the chip comes first. The other runs on the page of the last run come
    // directly before the last run.
    let rank = |run: &Window| match run.top {
        page if page == end.top => 2,
        page if Some(page) == set => 0,
        _ => 1,
    };
    let mut ordered = WindowPlan::new();
    for wanted in 0..=2 {
        let rest = runs[..first].iter().chain(&runs[last + 1..]);
        // Both lists have the same capacity.
        ordered.extend(rest.filter(|run| rank(run) == wanted).copied());
    }
    ordered.extend([end]);
    ordered
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
    fn runs_merge_across_two_unchanged_columns_but_not_across_three() {
        // This long run is on another page, so that it becomes the last run of the plan.
        let long: Vec<_> = (0..9).map(|column| (column, 1)).collect();
        let near = planned(&[&long[..], &[(10, 0), (13, 0)]].concat(), None);
        assert_eq!(near, [Window::run(0, 10, 13), Window::run(1, 0, 8)]);
        let far = planned(&[&long[..], &[(10, 0), (14, 0)]].concat(), None);
        assert_eq!(
            far,
            [
                Window::run(0, 10, 10),
                Window::run(0, 14, 14),
                Window::run(1, 0, 8)
            ]
        );
    }

    #[test]
    fn the_run_that_saves_most_bytes_is_last_and_its_page_is_set_once() {
        let changes = [(5, 0), (20, 0), (21, 0), (22, 0), (90, 0), (7, 3)];
        let plan = planned(&changes, None);
        assert_eq!(
            plan,
            [
                Window::run(3, 7, 7),
                Window::run(0, 5, 5),
                Window::run(0, 90, 90),
                Window::run(0, 20, 22)
            ]
        );
        assert_eq!(
            price(&plan, None),
            1 + (6 + 2) + (6 + 2) + (4 + 2) + (4 + 1 + 3)
        );
    }

    #[test]
    fn a_page_that_is_already_set_is_not_set_again() {
        let digits: Vec<_> = [1, 2]
            .iter()
            .flat_map(|page| (97..111).map(|column| (column, *page)))
            .collect();
        let fresh = planned(&digits, None);
        assert_eq!(price(&fresh, None), 1 + (6 + 28) + (6 + 1 + 14));
        let current = Some(Window::run(2, 97, 110));
        let kept = planned(&digits, current);
        assert!(price(&kept, current) <= price(&fresh, None));
    }

    #[test]
    fn too_many_runs_become_a_single_run_for_each_page() {
        let scattered: Vec<_> = (0..8)
            .flat_map(|page| (0..16).map(move |i| (i * 8, page)))
            .collect();
        let plan = planned(&scattered, None);
        assert_eq!(plan.len(), 8);
    }

    proptest! {
        #[test]
        fn a_plan_covers_every_change_and_costs_at_most_a_single_run_per_page(
            changes in prop::collection::vec((0usize..128, 0usize..8), 0..60),
            current in prop::option::of(0usize..8),
        ) {
            let current = current.map(|page| Window::run(page, 0, 127));
            let next = frame(&changes);
            let plan = planned(&changes, current);
            for (column, page) in &changes {
                let covered = plan.iter().any(|run| {
                    usize::from(run.top) == *page
                        && (run.left..=run.right).contains(&(*column as u8))
                });
                prop_assert!(covered, "{column} {page} {plan:?}");
            }
            prop_assert!(plan.iter().all(|run| run.top == run.bottom));
            let each = pages(&Frame::new(Size::Tall), &next);
            prop_assert!(price(&plan, current) <= price(&each, current));
        }
    }
}
