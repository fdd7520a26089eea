//! The line of small text of the high layouts: the first price's name, what is said of it, and
//! what is said of the whole screen. Where it stands is the layout's affair.

use crate::render::parts::badge;
use crate::render::parts::badge::StatusBadge;
use crate::render::parts::icon;
use crate::render::parts::icon::SIGN;
use crate::render::parts::price::{PlacedText, PriceText};
use crate::render::parts::{alert, change, clock, name};
use crate::render::{FontSet, Frame, InstrumentView, View, WIDTH};

const SIGN_X: usize = WIDTH - SIGN;
/// Between the things in a line.
const GAP: usize = 2;
/// The column after a name: seven letters.
pub(crate) const NAME_END: usize = 35;
/// The column after the change.
pub(crate) const CHANGE_END: usize = 77;

/// Draws the state of the link at the end of a page, and what has to be said of the
/// configuration before it; returns the column after the room that they leave.
pub(crate) fn signs(view: &View<'_>, font_set: &FontSet, frame: &mut Frame, page: usize) -> usize {
    icon::sign(frame, view.sign, SIGN_X, page);
    let end = SIGN_X - GAP;
    if view.misconfigured {
        badge::before(font_set, frame, end, page, "!").saturating_sub(GAP)
    } else {
        end
    }
}

/// Draws the signs and, if there is one, the alert in the first line. Returns where the header
/// stands: in the first line, or where the layout has room for it while the alert is there; and
/// the column after it.
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

/// What came of filling the slot at the end of the line.
pub(crate) struct HeaderSlot {
    /// Where it starts.
    pub(crate) start: usize,
    /// The mark is in it.
    pub(crate) marked: bool,
}

/// Fills the slot before the column `end`: what is said of the whole screen goes before what is
/// said of its first price, and that before the time.
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

/// The whole line: the name, the change or the mark in its place, and the slot. What belongs to
/// the number below it and has room beside it is there. The change is in such figures.
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
    // An option's name is long and its price short: what is said of it makes way for its name.
    let aside = line.contract.is_some() && placed.end + ASIDE <= WIDTH && page == 0;
    let end = CHANGE_END.min(slot.start - GAP);
    let room = if aside {
        slot.start - GAP
    } else if line.contract.is_some() {
        // Where the name needs the room, it goes before the change.
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
            // An old change is no change: its place says so, and the age stands below the
            // fraction, where there is room to write it as large as two metres ask for, or
            // beside it if the header itself is below.
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
        // Dashes are short, and leave it room.
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

/// Draws the first price of a layout, and with it the part of the day that it is of. While the
/// header is elsewhere the price makes room for it.
pub(crate) fn price(
    view: &View<'_>,
    line: &InstrumentView<'_>,
    font_set: &FontSet,
    frame: &mut Frame,
    page: usize,
) -> PlacedText {
    // The reason that there is none stands beside the dashes.
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
        // Below the raised fraction, or below smaller digits.
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

/// The page of a price's top.
const TOP: usize = 1;
/// The least room beside a number for what is said of it: a word in a badge, and what keeps it
/// off the number.
const ASIDE: usize = 44;
