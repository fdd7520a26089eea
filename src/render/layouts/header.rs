//! The header of the tall layouts: one line of small text with the first instrument's name, the
//! state of its price, and the state of the whole display. This module never judges a price.

use crate::render::font::{BADGE, HUGE, LARGE, LARGE_BADGE, MEDIUM, SMALL, TEXT};
use crate::render::parts::badge::StatusBadge;
use crate::render::parts::change::ChangeText;
use crate::render::parts::icon::{self, SIGN};
use crate::render::parts::price::PriceText;
use crate::render::parts::{alert, change, clock, name};
use crate::render::row::{GAP, Row};
use crate::render::{Frame, InstrumentView, Size, View, WIDTH};

/// The column after a name of seven letters.
pub(crate) const NAME_END: usize = 35;
/// The column after the change.
const CHANGE_END: usize = 77;
/// The page of the top of a price.
const TOP: usize = 1;
/// The least width beside a price for its mark or its change, with the gap to the price.
const ASIDE: usize = 44;

/// Draws the connection icon at the end of the first line on 128×64 or of the last line on 128×32,
/// and a mark for a wrong configuration before it. Returns the rest of the line.
pub(crate) fn signs(view: &View<'_>, frame: &mut Frame) -> Row {
    let page = match frame.size() {
        Size::Tall => 0,
        Size::Short => 3,
    };
    icon::sign(frame, view.sign, WIDTH - SIGN, page);
    let mut row = Row::new(page, 0..WIDTH - SIGN - GAP);
    if view.misconfigured {
        row.write_right(frame, &BADGE, "!");
    }
    row
}

/// Draws the icons and the alert, if any, in the first line. Returns the row of the header: the
/// rest of the first line, or the page `elsewhere` while an alert is in the first line.
pub(crate) fn place(view: &View<'_>, frame: &mut Frame, elsewhere: usize) -> Row {
    let row = signs(view, frame);
    match alert::draw(view, frame, row) {
        true => Row::new(elsewhere, 0..WIDTH),
        false => row,
    }
}

/// Fills the slot at the right end of the header. The word DEMO has priority over a word for the
/// first price, such as CLOSED, and that word has priority over the time. Returns true if the slot
/// contains the mark of the first price.
pub(crate) fn slot(
    view: &View<'_>,
    mark: Option<&StatusBadge>,
    frame: &mut Frame,
    row: &mut Row,
) -> bool {
    match mark {
        _ if view.simulated => row.write_right(frame, &BADGE, "DEMO"),
        Some(StatusBadge::Word(word)) => {
            row.write_right(frame, &BADGE, word);
            return true;
        }
        _ => row.write_right(frame, &TEXT, &clock::text(view)),
    }
    false
}

/// Draws the first price of a tall layout with its header: the name, then the change or the mark in
/// its place, and the slot. Information about the price stands beside the price if it has space
/// there. While an alert is in the first line, the header is on page 4, and the price is smaller.
pub(crate) fn draw(
    view: &View<'_>,
    line: &InstrumentView<'_>,
    frame: &mut Frame,
    change: Option<ChangeText>,
) {
    let mut row = place(view, frame, 4);
    let (page, numbers) = (row.page, view.format.numbers);
    // The reason for a denial stands beside the dashes, so the dashes are short.
    let dashes = if line.denial.is_some() {
        "---"
    } else {
        "-----"
    };
    let number = PriceText::of(line, dashes, numbers);
    let first = if page == 0 { &HUGE } else { &LARGE };
    let mut style = number.fit([first, &LARGE, &MEDIUM, &SMALL], WIDTH);
    let part = line.shown_part();
    if let Some(part) = part {
        // The word needs space below the raised fraction, or it stands below smaller digits.
        let room = WIDTH - GAP - BADGE.width(part);
        let mut smaller = [&LARGE, &MEDIUM, &SMALL].into_iter();
        while style.whole.pages > 2
            && style.whole.width(&number.whole) > room
            && let Some(next) = smaller.next()
        {
            style = next;
        }
    }
    let fraction = number.draw(style, frame, 0, TOP);
    if let Some(part) = part {
        let below = fraction.start + GAP;
        let (x, page) = match style.whole.pages {
            4 => (below, TOP + 3),
            3 => (below, TOP + 2),
            _ => (0, TOP + 2),
        };
        BADGE.write(frame, x, page, part);
    }

    let mark = StatusBadge::of(line);
    let marked = slot(view, mark.as_ref(), frame, &mut row);
    // The mark in place of the change. A stale price has no valid change.
    let word = match &mark {
        Some(StatusBadge::Age(_)) => Some("STALE"),
        Some(StatusBadge::Word(word)) if !marked => Some(*word),
        _ => None,
    };
    // The name of an option is long and its price is short. Therefore the name gets the whole line,
    // and the change stands beside the price.
    let option = line.contract.is_some();
    let aside = option && fraction.end + ASIDE <= WIDTH && page == 0;
    let end = CHANGE_END.min(row.right);
    let room = if aside {
        row.right
    } else if option {
        // The name of an option has priority over the change, so only the mark keeps its space.
        end.saturating_sub(word.map_or(0, |word| BADGE.width(word)) + GAP)
    } else {
        NAME_END
    };
    name::draw(frame, &mut row, line, room);
    let mut beside = match aside {
        true => Row::new(TOP + 2, fraction.end..WIDTH),
        false => Row::new(page, NAME_END.max(row.left - GAP)..end),
    };
    match (&mark, word) {
        (Some(StatusBadge::Age(age)), Some(stale)) => {
            // The age uses the large font, so that a person can read the age from two metres. In
            // the first line (page 0), the age is below the raised fraction of the price. Otherwise
            // the age is beside the price. If the large age does not fit, the small age replaces
            // STALE.
            let mut large = match page {
                0 => Row::new(TOP + 2, fraction.start + GAP..WIDTH),
                _ => Row::new(TOP + 1, fraction.end + GAP..WIDTH),
            };
            if aside {
                beside.page = TOP + 1;
            }
            if LARGE_BADGE.fits(age, large.room()) {
                large.write_right(frame, &LARGE_BADGE, age);
                beside.write_right(frame, &BADGE, stale);
            } else {
                beside.write_right(frame, &BADGE, age);
            }
        }
        // The price is short dashes, so the reason fits beside them.
        (Some(StatusBadge::Denied(reason, _)), _) => {
            Row::new(TOP + 1, 0..WIDTH).write_right(frame, &LARGE_BADGE, reason);
        }
        (_, Some(word)) => beside.write_right(frame, &BADGE, word),
        (_, None) => change::draw(frame, change, beside),
    }
}
