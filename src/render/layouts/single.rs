//! The layout of one instrument alone: its price as large as possible, its change, and its day.
//! This module only places the parts; other modules draw them. The module never judges a price.

use super::header;
use super::pair_short::{self, GAP, NAME, NAMES};
use crate::market::{Change, DayStats};
use crate::render::parts::badge::{self, Age, StatusBadge};
use crate::render::parts::price::PriceText;
use crate::render::parts::{alert, clock, field, name, range, sparkline};
use crate::render::{ExtendedQuote, FontSet, Frame, InstrumentView, View, WIDTH};

/// The first column of the curve on 128×64, after the percentage.
const CURVE_X: usize = 60;

/// Draws the page on 128×64: the header, the price, the percentage, the curve, and the range of the
/// day.
pub(crate) fn tall(
    view: &View<'_>,
    line: &InstrumentView<'_>,
    day: DayStats,
    outside: Option<ExtendedQuote>,
    font_set: &FontSet,
    frame: &mut Frame,
) {
    let place = header::place(view, font_set, frame, 4);
    let placed = header::price(view, line, font_set, frame, place.0);
    let figures = |change: Change, numbers| Some(change.difference(numbers));
    header::draw(view, line, font_set, frame, place, &placed, figures);
    let mut left = 0;
    let percent = line
        .shown_change()
        .and_then(|change| change.percent(view.format.numbers));
    if let Some(text) = percent {
        let fonts = [&font_set.word, &font_set.small.whole];
        let font = fonts.into_iter().find(|font| font.width(&text) <= CURVE_X);
        if let Some(font) = font {
            font.write(frame, 0, 5, &text);
            left = CURVE_X;
        }
    }
    let ranged = range::draw(view, line, day, font_set, frame, 0..WIDTH, 7);
    let bottom = if ranged { 7 } else { 8 };
    if let Some(outside) = outside {
        beside(view, &outside, font_set, frame);
        return;
    }
    sparkline::draw(frame, line.history, left..WIDTH, 5..bottom);
}

/// Draws the last price from outside the trading hours in place of the curve. The first line is the
/// price; the second line is its change and its age. This price is old, so the price and the change
/// are struck out.
fn beside(view: &View<'_>, outside: &ExtendedQuote, font_set: &FontSet, frame: &mut Frame) {
    let numbers = view.format.numbers;
    let left = badge::draw(&font_set.badge, frame, CURVE_X, 5, "EXT") + GAP;
    let number = PriceText::struck(outside.price, numbers).or_dots(&font_set.small, WIDTH - left);
    number.draw(
        &font_set.small,
        frame,
        WIDTH - number.width(&font_set.small),
        5,
    );
    let age = Age::new(outside.age);
    let x = badge::before(font_set, frame, WIDTH, 6, age.text());
    let change = outside.change.and_then(|change| change.percent(numbers));
    if let Some(text) = change
        && CURVE_X + font_set.small.whole.width(&text) + GAP <= x
    {
        PriceText::crossed(text).draw(&font_set.small, frame, CURVE_X, 6);
    }
}

/// Draws the page on 128×32: the price and its change, with the name and the range of the day below
/// them.
pub(crate) fn low(
    view: &View<'_>,
    line: &InstrumentView<'_>,
    day: DayStats,
    outside: Option<ExtendedQuote>,
    font_set: &FontSet,
    frame: &mut Frame,
) {
    let numbers = view.format.numbers;
    let font = &font_set.small.whole;
    let end = header::signs(view, font_set, frame, NAMES);
    let alerted = alert::draw(view, font_set, frame, 0..end, NAMES);
    let mark = StatusBadge::of(line);
    let number = PriceText::of(line, "-----", numbers);
    // The space beside the price is enough for an arrow at least, or for the name while the alert
    // covers the name.
    let beside = match &mark {
        _ if alerted => 48,
        Some(mark) => badge::width(&font_set.badge, mark.text()) + GAP,
        None => 28,
    };
    let styles = [&font_set.large, &font_set.medium, &font_set.small];
    let style = number.fit(styles, WIDTH - beside);
    let page = if style.whole.pages == 3 { 0 } else { 1 };
    let left = number.draw(style, frame, 0, page).end + GAP;
    pair_short::draw_status_or_change(view, line, mark.as_ref(), font_set, frame, left, 0);
    let absolute = line.shown_change().map(|change| change.difference(numbers));

    if alerted {
        name::draw(font, frame, left, 2, line, WIDTH - left);
        if view.simulated {
            badge::before(font_set, frame, WIDTH, 1, "DEMO");
        } else if let Some(part) = line.shown_part() {
            badge::before(font_set, frame, WIDTH, 1, part);
        }
        return;
    }
    if let Some(text) = absolute
        && left + font.width(&text) <= WIDTH
    {
        // The absolute change stands below the figures of the percentage, and not below its arrow.
        let under = WIDTH - crate::render::parts::icon::ARROW - 1;
        let end = if left + font.width(&text) <= under {
            under
        } else {
            WIDTH
        };
        field::before(font, frame, end, 1, &[&text]);
    }
    let time = clock::text(view);
    let clock = WIDTH - font.width(&time);
    if left <= clock {
        font.write(frame, clock, 2, &time);
    }
    if left + pair_short::CURVE_LEAST + GAP <= clock {
        sparkline::draw(frame, line.history, left..clock - GAP, 2..3);
    }

    let mut x = name::draw(font, frame, 0, NAMES, line, NAME) + GAP;
    for text in [view.simulated.then_some("DEMO"), line.shown_part()]
        .into_iter()
        .flatten()
    {
        x = badge::draw(&font_set.badge, frame, x, NAMES, text) + GAP;
    }
    if let Some(outside) = outside {
        let age = Age::new(outside.age);
        let number = PriceText::struck(outside.price, numbers);
        let [ext, aged] = ["EXT", age.text()].map(|text| badge::width(&font_set.badge, text));
        if x + ext + GAP + number.width(&font_set.small) + GAP + aged <= end {
            x = badge::draw(&font_set.badge, frame, x, NAMES, "EXT") + GAP;
            x = number.draw(&font_set.small, frame, x, NAMES).end + GAP;
            badge::draw(&font_set.badge, frame, x, NAMES, age.text());
            return;
        }
    }
    range::draw(view, line, day, font_set, frame, x + 1..end, NAMES);
}
