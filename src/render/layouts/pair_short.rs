//! The layout of two prices on 128×32: the prices beside each other, and the names and the curve
//! below them. This module only places the parts; other modules draw them. The module never judges
//! a price.

use super::header;
use crate::render::parts::badge::{self, StatusBadge};
use crate::render::parts::price::PriceText;
use crate::render::parts::{alert, change, clock, name, sparkline};
use crate::render::{FontSet, Frame, InstrumentView, View, WIDTH};

/// The width of a name in columns, seven letters. The name of an option may be longer if there is
/// space.
pub(crate) const NAME: usize = 35;
const CONTRACT: usize = 80;
pub(crate) const GAP: usize = 2;
/// The least width of a readable curve in columns.
pub(crate) const CURVE_LEAST: usize = 16;
/// The page of the names.
pub(crate) const NAMES: usize = 3;

/// Draws two prices, or one price and the time, on a dark frame.
pub(crate) fn draw(
    view: &View<'_>,
    (primary, secondary): (&InstrumentView<'_>, Option<&InstrumentView<'_>>),
    font_set: &FontSet,
    frame: &mut Frame,
) {
    let end = header::signs(view, font_set, frame, NAMES);
    if alert::draw(view, font_set, frame, 0..end, NAMES) {
        above_alert(view, primary, secondary, font_set, frame);
        return;
    }
    let mark = StatusBadge::of(primary);
    let numbers = view.format.numbers;
    let number = PriceText::of(primary, "-----", numbers);
    let other = secondary.map(|line| PriceText::of(line, "---", numbers));

    // The layout uses the largest pair of sizes with enough space for the widest part in the right
    // column.
    let least = mark
        .as_ref()
        .map_or(0, |mark| badge::width(&font_set.badge, mark.text()));
    let FontSet {
        large,
        medium,
        small,
        ..
    } = font_set;
    let sizes = [
        (large, medium),
        (large, small),
        (medium, medium),
        (medium, small),
        (small, small),
    ];
    let fits = |&(first, second): &(_, _)| {
        let right = other.as_ref().map_or(0, |other| other.width(second));
        number.width(first) + GAP + right.max(least) <= WIDTH
    };
    let (first, second) = sizes.into_iter().find(fits).unwrap_or((small, small));
    // Smaller digits stand on the same baseline as the large digits.
    let page = if first.whole.pages == 3 { 0 } else { 1 };
    let left = number.draw(first, frame, 0, page).end + GAP;
    // The mark stands directly after its price, because the second price is below it.
    draw_status_or_change(view, primary, mark.as_ref(), font_set, frame, left, 0);
    match &other {
        Some(other) if left + other.width(second) <= WIDTH => {
            other.draw(second, frame, WIDTH - other.width(second), 1);
        }
        // Two prices of tens of millions do not fit side by side. Two dots show that there is a
        // second price.
        Some(_) => {
            let x = WIDTH - small.whole.width("..");
            if left <= x {
                small.whole.write(frame, x, 1, "..");
            }
        }
        None => {
            let text = clock::text(view);
            let fonts = [&font_set.word, &small.whole];
            let fitting = fonts
                .into_iter()
                .find(|font| left + font.width(&text) <= WIDTH);
            if let Some(font) = fitting {
                font.write(frame, WIDTH - font.width(&text), 1, &text);
            }
        }
    }
    names(view, primary, secondary, font_set, frame, end);
}

/// Draws the mark of a price directly after it, or its change at the right edge.
pub(crate) fn draw_status_or_change(
    view: &View<'_>,
    line: &InstrumentView<'_>,
    mark: Option<&StatusBadge>,
    font_set: &FontSet,
    frame: &mut Frame,
    left: usize,
    page: usize,
) {
    let font = &font_set.badge;
    match mark {
        Some(mark) => {
            let width = badge::width(font, mark.text());
            let stale = badge::width(font, "STALE");
            let mut x = left;
            if matches!(mark, StatusBadge::Age(_)) && left + stale + width <= WIDTH {
                x = badge::draw(font, frame, x, page, "STALE");
            }
            let fits = x + width <= WIDTH;
            let text = if fits { mark.text() } else { mark.brief() };
            badge::draw(font, frame, x, page, text);
        }
        None => {
            if let Some(change) = line.shown_change() {
                let numbers = view.format.numbers;
                let text = change.percent(numbers);
                change::draw(font_set, frame, text, numbers, left..WIDTH, page);
            }
        }
    }
}

/// Draws the line of the names, with the curve between them.
fn names(
    view: &View<'_>,
    primary: &InstrumentView<'_>,
    secondary: Option<&InstrumentView<'_>>,
    font_set: &FontSet,
    frame: &mut Frame,
    end: usize,
) {
    let font = &font_set.small.whole;
    let badged = |text: &str| badge::width(&font_set.badge, text) + GAP;
    let demo = if view.simulated { badged("DEMO") } else { 0 };
    let mark = secondary.and_then(StatusBadge::of);
    let width = |line| name::width(font, line, NAME);
    let other = secondary.map_or(0, width);
    let least = width(primary) + other;
    // The marks have priority over the names, and each name may use the space that the other name
    // leaves. A long reason beside dashes can be replaced with its short form.
    let mark = mark.as_ref().map(|mark| match mark.text() {
        text if demo + badged(text) + least + 2 * GAP <= end => text,
        _ => mark.brief(),
    });
    let room = end.saturating_sub(demo + GAP + mark.map_or(0, badged));
    let longest = |line: &InstrumentView<'_>| line.contract.map_or(NAME, |_| CONTRACT);
    let half = NAME.min(room / 2);
    let first = longest(primary).min(room.saturating_sub(other).max(half));

    let mut left = name::draw(font, frame, 0, NAMES, primary, first) + GAP;
    if view.simulated {
        left = badge::draw(&font_set.badge, frame, left, NAMES, "DEMO") + GAP;
    }
    let mut right = end;
    if let Some(line) = secondary {
        let room = right.saturating_sub(left + mark.map_or(0, badged));
        let name = room.min(longest(line));
        right = right.saturating_sub(name::width(font, line, name));
        name::draw(font, frame, right, NAMES, line, name);
        right = right.saturating_sub(GAP);
        if let Some(text) = mark {
            right = badge::before(font_set, frame, right, NAMES, text).saturating_sub(GAP);
        }
    }
    if let Some(part) = primary.shown_part()
        && left + badged(part) <= right
    {
        left = badge::draw(&font_set.badge, frame, left, NAMES, part) + GAP;
    }
    if let Some(part) = secondary.and_then(InstrumentView::shown_part)
        && left + badged(part) <= right
    {
        right = badge::before(font_set, frame, right, NAMES, part).saturating_sub(GAP);
    }
    if left + CURVE_LEAST <= right {
        sparkline::draw(frame, primary.history, left..right, NAMES..NAMES + 1);
    }
}

/// Draws the prices while the alert covers the line of the names. The names stand beside the
/// prices, and all parts are smaller.
fn above_alert(
    view: &View<'_>,
    primary: &InstrumentView<'_>,
    secondary: Option<&InstrumentView<'_>>,
    font_set: &FontSet,
    frame: &mut Frame,
) {
    /// The least width for a name or a mark beside the price, in columns.
    const BESIDE: usize = 48;
    let font = &font_set.small.whole;
    let numbers = view.format.numbers;
    let number = PriceText::of(primary, "-----", numbers);
    let style = number.fit([&font_set.medium, &font_set.small], WIDTH - BESIDE);
    let left = number.draw(style, frame, 0, 0).end + 2 * GAP;
    let mut right = WIDTH;
    if view.simulated {
        right = badge::before(font_set, frame, WIDTH, 0, "DEMO") - GAP;
    }
    name::draw(font, frame, left, 0, primary, right - left);
    draw_status_or_change(
        view,
        primary,
        StatusBadge::of(primary).as_ref(),
        font_set,
        frame,
        left,
        1,
    );

    let Some(line) = secondary else {
        return;
    };
    let number = PriceText::of(line, "---", numbers);
    let mark = StatusBadge::of(line);
    let width = mark
        .as_ref()
        .map_or(0, |mark| badge::width(&font_set.badge, mark.text()) + GAP);
    let taken = number.width(&font_set.small) + 2 * GAP + width;
    let name = WIDTH.saturating_sub(taken).min(NAME);
    let x = name::draw(font, frame, 0, 2, line, name) + 2 * GAP;
    let left = number.draw(&font_set.small, frame, x, 2).end + GAP;
    draw_status_or_change(view, line, mark.as_ref(), font_set, frame, left, 2);
}
