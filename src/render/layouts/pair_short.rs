//! The layout of two prices on 128×32: the prices beside each other, their changes below them, and
//! the names and the curve in the last line. This module only places the parts; other modules draw them. The module never judges
//! a price.

use super::header;
use crate::render::font::{BADGE, LARGE, MEDIUM, NumberStyle, SMALL, TEXT, WORD};
use crate::render::parts::badge::{DELAY, StatusBadge};
use crate::render::parts::change::ChangeText;
use crate::render::parts::price::PriceText;
use crate::render::parts::{alert, change, clock, name, sparkline};
use crate::render::row::{GAP, Row};
use crate::render::{Frame, InstrumentView, View, WIDTH};

/// The width of a name in columns, seven letters. The name of an option may be longer if there is
/// space.
pub(crate) const NAME: usize = 35;
const CONTRACT: usize = 80;
/// The least width of a readable curve in columns.
pub(crate) const CURVE_LEAST: usize = 16;

/// Draws two prices, or one price and the time, on a dark frame.
pub(crate) fn draw(
    view: &View<'_>,
    primary: &InstrumentView<'_>,
    secondary: Option<&InstrumentView<'_>>,
    frame: &mut Frame,
) {
    let bottom = header::signs(view, frame);
    if alert::draw(view, frame, bottom) {
        above_alert(view, primary, secondary, frame);
        return;
    }
    let numbers = view.format.numbers;
    let mark = StatusBadge::of(primary);
    let other_mark = secondary.and_then(StatusBadge::of);
    let dashes = if primary.denial.is_some() {
        "---"
    } else {
        "-----"
    };
    // If two long prices do not fit side by side, they lose decimals.
    let both = WIDTH - GAP;
    let room = both.saturating_sub(PriceText::of(primary, dashes, numbers).width(&SMALL));
    let other = secondary.map(|line| PriceText::within(line, "---", numbers, room.max(both / 2)));
    let room = both - other.as_ref().map_or(0, |other| other.width(&SMALL));
    let number = PriceText::within(primary, dashes, numbers, room);
    let time = clock::text(view);

    // Below each price is its mark. The layout uses the largest pair of sizes that leaves enough
    // space for the marks, and for the block of a delayed price.
    let width = |mark: Option<&StatusBadge>| mark.map_or(0, |mark| BADGE.width(mark.brief()));
    let delayed = matches!(mark, Some(StatusBadge::Delayed));
    let block = if delayed { BADGE.width(DELAY) + GAP } else { 0 };
    let sizes = [
        (&LARGE, &MEDIUM),
        (&LARGE, &SMALL),
        (&MEDIUM, &MEDIUM),
        (&MEDIUM, &SMALL),
    ];
    let fits = |&(first, second): &(_, _)| {
        let right = other.as_ref().map_or(0, |other| other.width(second));
        let column = right.max(width(other_mark.as_ref()));
        number.width(first) + GAP + block + right <= WIDTH
            && below(&number, first) + width(mark.as_ref()) + GAP + column <= WIDTH
    };
    let (first, second) = sizes.into_iter().find(fits).unwrap_or((&SMALL, &SMALL));
    let fraction = number.draw(first, frame, 0, 0);
    let mut top = Row::new(0, fraction.end + GAP..WIDTH);
    match &other {
        Some(other) => {
            top.right -= other.width(second);
            other.draw(second, frame, top.right, 0);
        }
        None => {
            let mut fonts = [&WORD, &TEXT].into_iter();
            if let Some(font) = fonts.find(|font| font.fits(&time, top.room())) {
                top.right -= font.width(&time);
                font.write(frame, top.right, 0, &time);
            }
        }
    }
    if delayed && BADGE.fits(DELAY, top.room()) {
        // The block is as high as the second price.
        let x = top.left;
        let end = BADGE.write(frame, x, 0, DELAY);
        frame.columns_mut(1, x..end).fill(0xFF);
    }

    // The column in which the mark or the change of the second price starts.
    let other_change = secondary.and_then(|line| line.shown_percent(numbers));
    let other_width = match &other_mark {
        Some(_) => width(other_mark.as_ref()),
        None => other_change.as_ref().map_or(0, ChangeText::width),
    };
    let start = below(&number, first);
    let middle = match secondary {
        Some(_) => (top.right.min(WIDTH - other_width)).max(start + width(mark.as_ref()) + GAP),
        None => WIDTH,
    };
    let under = Row::new(2, start..middle - GAP);
    let change = primary.shown_percent(numbers);
    let bare = mark.is_none() && change.as_ref().is_some_and(|change| !change.fits(under));
    if !bare {
        status_or_change(view, primary, mark.as_ref(), frame, under);
    }
    if let Some(line) = secondary {
        let under = Row::new(2, middle..WIDTH);
        status_or_change(view, line, other_mark.as_ref(), frame, under);
    }
    // Between the figures of two long prices is no space for the change, so it stands behind the
    // name.
    let change = change.filter(|_| bare);
    names(view, primary, secondary, frame, bottom, change, middle);
}

/// Returns the first free column below a price at the top: after large digits, which are three
/// pages high, or at the left edge.
fn below(number: &PriceText, style: &NumberStyle) -> usize {
    match style.whole.pages {
        3 => style.whole.width(&number.whole) + 1,
        _ => 0,
    }
}

/// Draws the mark of a price at the left end of a row, or its change.
pub(crate) fn status_or_change(
    view: &View<'_>,
    line: &InstrumentView<'_>,
    mark: Option<&StatusBadge>,
    frame: &mut Frame,
    mut row: Row,
) {
    let Some(mark) = mark else {
        return change::draw(frame, line.shown_percent(view.format.numbers), row);
    };
    let width = BADGE.width(mark.text());
    if matches!(mark, StatusBadge::Age(_)) && row.left + BADGE.width("STALE") + width <= row.right {
        row.left = BADGE.write(frame, row.left, row.page, "STALE");
    }
    let fits = row.left + width <= row.right;
    row.write_left(frame, &BADGE, if fits { mark.text() } else { mark.brief() });
}

/// Draws the line of the names, with the curve of the first price between them. The curve ends
/// before the column `middle`, in which the second price starts.
fn names(
    view: &View<'_>,
    primary: &InstrumentView<'_>,
    secondary: Option<&InstrumentView<'_>>,
    frame: &mut Frame,
    mut row: Row,
    change: Option<ChangeText>,
    middle: usize,
) {
    let badged = |text: &str| BADGE.width(text) + GAP;
    let demo = if view.simulated { badged("DEMO") } else { 0 };
    let other = secondary.map_or(0, |line| name::width(line, NAME));
    // DEMO has priority over the names, and each name may use the space that the other name leaves.
    let room = row.right.saturating_sub(demo + GAP);
    let longest = |line: &InstrumentView<'_>| line.contract.map_or(NAME, |_| CONTRACT);
    let first = room.saturating_sub(other).max(NAME.min(room / 2));

    name::draw(frame, &mut row, primary, first.min(longest(primary)));
    if view.simulated {
        row.write_left(frame, &BADGE, "DEMO");
    }
    if let Some(line) = secondary {
        let room = row.room().min(longest(line));
        let x = row.right.saturating_sub(name::width(line, room));
        name::draw(frame, &mut Row::new(row.page, x..row.right), line, room);
        row.right = x.saturating_sub(GAP);
    }
    if let Some(change) = change
        && change.fits(row)
    {
        let width = change.width();
        change::draw(frame, Some(change), row);
        row.left += width + GAP;
    }
    if let Some(part) = primary.shown_part()
        && badged(part) <= row.room()
    {
        row.write_left(frame, &BADGE, part);
    }
    if let Some(part) = secondary.and_then(InstrumentView::shown_part)
        && badged(part) <= row.room()
    {
        row.write_right(frame, &BADGE, part);
    }
    row.right = row.right.min(middle.saturating_sub(2 * GAP));
    if CURVE_LEAST <= row.room() {
        sparkline::draw(
            frame,
            primary.history,
            row.columns(),
            row.page..row.page + 1,
            !primary.is_live(),
        );
    }
}

/// Draws the prices while the alert covers the line of the names. The names stand beside the
/// prices, and all parts are smaller.
fn above_alert(
    view: &View<'_>,
    primary: &InstrumentView<'_>,
    secondary: Option<&InstrumentView<'_>>,
    frame: &mut Frame,
) {
    /// The least width for a name or a mark beside the price, in columns.
    const BESIDE: usize = 48;
    /// The least width for the name of the second price, four letters.
    const NAME_LEAST: usize = 20;
    let numbers = view.format.numbers;
    let number = PriceText::of(primary, "-----", numbers);
    let style = number.fit([&MEDIUM, &SMALL], WIDTH - BESIDE);
    let left = number.draw(style, frame, 0, 0).end + 2 * GAP;
    let mut row = Row::new(0, left..WIDTH);
    if view.simulated {
        row.write_right(frame, &BADGE, "DEMO");
    }
    let room = row.room();
    name::draw(frame, &mut row, primary, room);
    let mark = StatusBadge::of(primary);
    status_or_change(
        view,
        primary,
        mark.as_ref(),
        frame,
        Row::new(1, left..WIDTH),
    );

    let Some(line) = secondary else {
        return;
    };
    let mark = StatusBadge::of(line);
    let width = mark
        .as_ref()
        .map_or(0, |mark| BADGE.width(mark.text()) + GAP);
    let room = WIDTH - width - 2 * GAP;
    let number = PriceText::within(line, "---", numbers, room - NAME_LEAST);
    let taken = number.width(&SMALL) + 2 * GAP + width;
    let mut row = Row::new(2, 0..WIDTH);
    name::draw(frame, &mut row, line, WIDTH.saturating_sub(taken).min(NAME));
    row.left = number.draw(&SMALL, frame, row.left + GAP, row.page).end + GAP;
    status_or_change(view, line, mark.as_ref(), frame, row);
}
