//! The layout of two prices on 128×32: the prices beside each other, and the names and the curve
//! below them. This module only places the parts; other modules draw them. The module never judges
//! a price.

use super::header;
use crate::render::font::{BADGE, LARGE, MEDIUM, SMALL, TEXT, WORD};
use crate::render::parts::badge::StatusBadge;
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
    let mark = StatusBadge::of(primary);
    let numbers = view.format.numbers;
    // If two long prices do not fit side by side, they lose decimals.
    let both = WIDTH - GAP;
    let room = both.saturating_sub(PriceText::of(primary, "-----", numbers).width(&SMALL));
    let other = secondary.map(|line| PriceText::within(line, "---", numbers, room.max(both / 2)));
    let room = both - other.as_ref().map_or(0, |other| other.width(&SMALL));
    let number = PriceText::within(primary, "-----", numbers, room);

    // The layout uses the largest pair of sizes with enough space for the widest part in the right
    // column.
    let least = mark.as_ref().map_or(0, |mark| BADGE.width(mark.text()));
    let sizes = [
        (&LARGE, &MEDIUM),
        (&LARGE, &SMALL),
        (&MEDIUM, &MEDIUM),
        (&MEDIUM, &SMALL),
    ];
    let fits = |&(first, second): &(_, _)| {
        let right = other.as_ref().map_or(0, |other| other.width(second));
        number.width(first) + GAP + right.max(least) <= WIDTH
    };
    let (first, second) = sizes.into_iter().find(fits).unwrap_or((&SMALL, &SMALL));
    // Smaller digits stand on the same baseline as the large digits.
    let page = if first.whole.pages == 3 { 0 } else { 1 };
    let left = number.draw(first, frame, 0, page).end + GAP;
    // The mark stands directly after its price, because the second price is below it.
    status_or_change(
        view,
        primary,
        mark.as_ref(),
        frame,
        Row::new(0, left..WIDTH),
    );
    let mut row = Row::new(1, left..WIDTH);
    match &other {
        Some(other) => {
            other.draw(second, frame, WIDTH - other.width(second), 1);
        }
        None => {
            let text = clock::text(view);
            let mut fonts = [&WORD, &TEXT].into_iter();
            if let Some(font) = fonts.find(|font| left + font.width(&text) <= WIDTH) {
                row.write_right(frame, font, &text);
            }
        }
    }
    names(view, primary, secondary, frame, bottom);
}

/// Draws the mark of a price at the left end of a row, or its change at the right end.
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

/// Draws the line of the names, with the curve between them.
fn names(
    view: &View<'_>,
    primary: &InstrumentView<'_>,
    secondary: Option<&InstrumentView<'_>>,
    frame: &mut Frame,
    mut row: Row,
) {
    let badged = |text: &str| BADGE.width(text) + GAP;
    let demo = if view.simulated { badged("DEMO") } else { 0 };
    let mark = secondary.and_then(StatusBadge::of);
    let other = secondary.map_or(0, |line| name::width(line, NAME));
    let least = name::width(primary, NAME) + other;
    // The marks have priority over the names, and each name may use the space that the other name
    // leaves. A long reason beside dashes can be replaced with its short form.
    let mark = mark.as_ref().map(|mark| match mark.text() {
        text if demo + badged(text) + least + 2 * GAP <= row.right => text,
        _ => mark.brief(),
    });
    let marked = mark.map_or(0, badged);
    let room = row.right.saturating_sub(demo + GAP + marked);
    let longest = |line: &InstrumentView<'_>| line.contract.map_or(NAME, |_| CONTRACT);
    let first = room.saturating_sub(other).max(NAME.min(room / 2));

    name::draw(frame, &mut row, primary, first.min(longest(primary)));
    if view.simulated {
        row.write_left(frame, &BADGE, "DEMO");
    }
    if let Some(line) = secondary {
        let room = row.room().saturating_sub(marked).min(longest(line));
        let x = row.right.saturating_sub(name::width(line, room));
        name::draw(frame, &mut Row::new(row.page, x..row.right), line, room);
        row.right = x.saturating_sub(GAP);
        if let Some(text) = mark {
            row.write_right(frame, &BADGE, text);
        }
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
    if CURVE_LEAST <= row.room() {
        sparkline::draw(
            frame,
            primary.history,
            row.columns(),
            row.page..row.page + 1,
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
