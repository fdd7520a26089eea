//! The header of the tall layouts: one line of small text with the first instrument's name, the
//! state of its price, and the state of the whole display. The layout decides where the header
//! stands; this module never judges a price.

use crate::render::parts::badge::{self, StatusBadge};
use crate::render::parts::icon::{self, SIGN};
use crate::render::parts::price::{PlacedText, PriceText};
use crate::render::parts::{alert, change, clock, name};
use crate::render::{FontSet, Frame, InstrumentView, View, WIDTH};

const SIGN_X: usize = WIDTH - SIGN;
/// The columns between two parts of a line.
const GAP: usize = 2;
/// The column after a name of seven letters.
pub(crate) const NAME_END: usize = 35;
/// The column after the change.
pub(crate) const CHANGE_END: usize = 77;

/// Draws the connection icon at the end of a page, and a mark for a wrong configuration before it.
/// Returns the column after the remaining space.
pub(crate) fn signs(view: &View<'_>, font_set: &FontSet, frame: &mut Frame, page: usize) -> usize {
    icon::sign(frame, view.sign, SIGN_X, page);
    let end = SIGN_X - GAP;
    if view.misconfigured {
        badge::before(font_set, frame, end, page, "!").saturating_sub(GAP)
    } else {
        end
    }
}

/// Draws the icons and the alert, if any, in the first line. Returns the page of the header and the
/// column after the space of the header. The header is in the first line; while an alert is there,
/// the header is on the page `elsewhere`.
pub(crate) fn place(
    view: &View<'_>,
    font_set: &FontSet,
    frame: &mut Frame,
    elsewhere: usize,
) -> (usize, usize) {
    let end = signs(view, font_set, frame, 0);
    match alert::draw(view, font_set, frame, 0..end, 0) {
        true => (elsewhere, WIDTH),
        false => (0, end),
    }
}

/// The result of [`slot`].
pub(crate) struct HeaderSlot {
    /// The first column of the slot.
    pub(crate) start: usize,
    /// True if the slot contains the mark.
    pub(crate) marked: bool,
}

/// Fills the slot before the column `end`. The word DEMO has priority over a word for the first
/// price, such as CLOSED, and that word has priority over the time.
pub(crate) fn slot(
    view: &View<'_>,
    mark: Option<&StatusBadge>,
    font_set: &FontSet,
    frame: &mut Frame,
    page: usize,
    end: usize,
) -> HeaderSlot {
    let word = match mark {
        Some(StatusBadge::Word(word)) => Some(*word),
        _ => None,
    };
    match if view.simulated { Some("DEMO") } else { word } {
        Some(said) => HeaderSlot {
            start: badge::before(font_set, frame, end, page, said),
            marked: !view.simulated,
        },
        None => HeaderSlot {
            start: clock::draw(view, font_set, frame, page, end),
            marked: false,
        },
    }
}

/// Draws the header: the name, then the change or the mark in its place, and the slot. Information
/// about the price stands beside the price if it has space there. `figures` converts the change to
/// text.
pub(crate) fn draw(
    view: &View<'_>,
    line: &InstrumentView<'_>,
    font_set: &FontSet,
    frame: &mut Frame,
    (page, end): (usize, usize),
    placed: &PlacedText,
    figures: change::ChangeFormat,
) {
    let mark = StatusBadge::of(line);
    let slot = slot(view, mark.as_ref(), font_set, frame, page, end);
    // The name of an option is long and its price is short. So the name gets the whole line, and
    // the change stands beside the price.
    let aside = line.contract.is_some() && placed.end + ASIDE <= WIDTH && page == 0;
    let end = CHANGE_END.min(slot.start - GAP);
    let room = if aside {
        slot.start - GAP
    } else if line.contract.is_some() {
        // The name of an option has priority over the change, so only the mark keeps its space.
        let least = match &mark {
            Some(StatusBadge::Age(_)) => badge::width(&font_set.badge, "STALE"),
            Some(StatusBadge::Word(word)) if !slot.marked => badge::width(&font_set.badge, word),
            _ => 0,
        };
        end.saturating_sub(least + GAP)
    } else {
        NAME_END
    };
    let name = name::draw(&font_set.small.whole, frame, 0, page, line, room);
    let (columns, row) = match aside {
        true => (placed.end..WIDTH, TOP + 2),
        false => (name.max(NAME_END)..end, page),
    };
    match &mark {
        Some(StatusBadge::Age(age)) => {
            // A stale price has no valid change, so the word STALE takes its place. The age uses
            // the large font, so that the age is readable from two metres. The large age stands
            // below the fraction, or beside the price if the header is not in the first line. If
            // the large age does not fit, the small age takes the place of STALE.
            let width = badge::width(&font_set.word, age.text());
            let (from, under) = match page {
                0 => (placed.fraction, TOP + 2),
                _ => (placed.end, TOP + 1),
            };
            let small = if from + GAP + width <= WIDTH {
                badge::draw(&font_set.word, frame, WIDTH - width, under, age.text());
                "STALE"
            } else {
                age.text()
            };
            let row = if aside { TOP + 1 } else { page };
            badge::before(font_set, frame, columns.end, row, small);
        }
        Some(StatusBadge::Word(word)) if !slot.marked => {
            badge::before(font_set, frame, columns.end, row, word);
        }
        // The price is short dashes, so the reason fits beside them.
        Some(StatusBadge::Denied(word, _)) => {
            let x = WIDTH - badge::width(&font_set.word, word);
            badge::draw(&font_set.word, frame, x, TOP + 1, word);
        }
        _ => {
            if let Some(change) = line.shown_change() {
                let numbers = view.format.numbers;
                let text = figures(change, numbers);
                change::draw(font_set, frame, text, numbers, columns, row);
            }
        }
    }
}

/// Draws the first price of a layout and the word for its part of the trading day. If the header is
/// not in the first line, the price is smaller to leave space for it.
pub(crate) fn price(
    view: &View<'_>,
    line: &InstrumentView<'_>,
    font_set: &FontSet,
    frame: &mut Frame,
    page: usize,
) -> PlacedText {
    // The reason for a denial stands beside the dashes, so the dashes are short.
    let dashes = if line.denial.is_some() {
        "---"
    } else {
        "-----"
    };
    let number = PriceText::of(line, dashes, view.format.numbers);
    let FontSet {
        huge,
        large,
        medium,
        small,
        ..
    } = font_set;
    let first = if page == 0 { huge } else { large };
    let style = number.fit([first, large, medium, small], WIDTH);
    let placed = number.draw(style, frame, 0, TOP);
    if let Some(part) = line.shown_part() {
        // The word stands below the raised fraction, or below smaller digits.
        let below = (placed.fraction + GAP).min(WIDTH - badge::width(&font_set.badge, part));
        let (x, page) = match style.whole.pages {
            4 => (below, TOP + 3),
            3 => (below, TOP + 2),
            _ => (0, TOP + 2),
        };
        badge::draw(&font_set.badge, frame, x, page, part);
    }
    placed
}

/// The page of the top of a price.
const TOP: usize = 1;
/// The least width beside a price for its mark or its change, with the gap to the price.
const ASIDE: usize = 44;
