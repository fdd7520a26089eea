//! The layout of one instrument alone: its price as large as possible, its change, and its day.
//! This module only places the parts; other modules draw them. The module never judges a price.

use super::header;
use super::pair_short::{self, CURVE_LEAST, NAME};
use crate::market::{DayStats, Freshness, ShortText};
use crate::render::font::{BADGE, LARGE, MEDIUM, SMALL, TEXT, WORD};
use crate::render::parts::badge::{self, StatusBadge};
use crate::render::parts::icon::ARROW;
use crate::render::parts::price::PriceText;
use crate::render::parts::{alert, clock, name, range, sparkline};
use crate::render::row::{GAP, Row};
use crate::render::{ExtendedQuote, Frame, InstrumentView, View, WIDTH};

/// The first column of the curve on 128×64, after the percentage.
const CURVE_X: usize = 60;

/// Draws the page on 128×64: the header, the price, the percentage, the curve, and the range of the
/// day.
pub(crate) fn tall(
    view: &View<'_>,
    line: &InstrumentView<'_>,
    day: DayStats,
    outside: Option<ExtendedQuote>,
    frame: &mut Frame,
) {
    let numbers = view.format.numbers;
    header::draw(view, line, frame, line.shown_difference(numbers));
    let mut left = 0;
    if let Some(text) = line.shown_percent(numbers)
        && let Some(font) = [&WORD, &TEXT]
            .into_iter()
            .find(|font| font.fits(&text.full, CURVE_X))
    {
        font.write(frame, 0, 5, &text.full);
        left = CURVE_X;
    }
    let ranged = range::draw(view, line, day, frame, Row::new(7, 0..WIDTH));
    let bottom = if ranged { 7 } else { 8 };
    match outside {
        Some(outside) => beside(view, line, &outside, frame),
        None => sparkline::draw(frame, line.history, left..WIDTH, 5..bottom),
    }
}

/// Draws the last price from outside the trading hours in place of the curve. The first line is the
/// price; the second line is its change and its age. This price is old, so the price and the change
/// are struck out.
fn beside(view: &View<'_>, line: &InstrumentView<'_>, outside: &ExtendedQuote, frame: &mut Frame) {
    let numbers = view.format.numbers;
    let mut row = Row::new(5, CURVE_X..WIDTH);
    row.write_left(frame, &BADGE, "EXT");
    let number = PriceText::within(&old(line, outside), "", numbers, row.room());
    number.draw(&SMALL, frame, WIDTH - number.width(&SMALL), row.page);
    let mut row = Row::new(6, CURVE_X..WIDTH);
    row.write_right(frame, &BADGE, &badge::age(outside.age));
    if let Some(text) = outside.change.and_then(|change| change.percent(numbers))
        && TEXT.fits(&text, row.room())
    {
        PriceText::new((text, ShortText::new()), true).draw(&SMALL, frame, row.left, row.page);
    }
}

/// Returns the line of the price from outside the trading hours.
fn old<'a>(line: &InstrumentView<'a>, outside: &ExtendedQuote) -> InstrumentView<'a> {
    InstrumentView {
        price: Some(outside.price),
        freshness: Freshness::Stale(outside.age),
        ..*line
    }
}

/// Draws the page on 128×32: the price and its change, with the name and the range of the day below
/// them.
pub(crate) fn low(
    view: &View<'_>,
    line: &InstrumentView<'_>,
    day: DayStats,
    outside: Option<ExtendedQuote>,
    frame: &mut Frame,
) {
    let numbers = view.format.numbers;
    let mut bottom = header::signs(view, frame);
    let alerted = alert::draw(view, frame, bottom);
    let mark = StatusBadge::of(line);
    let number = PriceText::of(line, "-----", numbers);
    // The space beside the price is enough for an arrow at least, or for the name while the alert
    // covers the name.
    let beside = match &mark {
        _ if alerted => 48,
        Some(mark) => BADGE.width(mark.text()) + GAP,
        None => 28,
    };
    let style = number.fit([&LARGE, &MEDIUM, &SMALL], WIDTH - beside);
    let page = if style.whole.pages == 3 { 0 } else { 1 };
    let left = number.draw(style, frame, 0, page).end + GAP;
    let [first, mut second, mut third] = [0, 1, 2].map(|page| Row::new(page, left..WIDTH));
    pair_short::status_or_change(view, line, mark.as_ref(), frame, first);
    let demo = view.simulated.then_some("DEMO");
    if alerted {
        if let Some(text) = demo.or(line.shown_part()) {
            second.write_right(frame, &BADGE, text);
        }
        return name::draw(frame, &mut third, line, WIDTH - left);
    }
    if let Some(text) = line.shown_difference(numbers)
        && TEXT.fits(&text.full, second.room())
    {
        // The absolute change stands below the figures of the percentage, and not below its arrow.
        let under = WIDTH - ARROW - 1;
        if left + TEXT.width(&text.full) <= under {
            second.right = under;
        }
        second.write_right(frame, &TEXT, &text.full);
    }
    let time = clock::text(view);
    if TEXT.fits(&time, third.room()) {
        third.write_right(frame, &TEXT, &time);
        if CURVE_LEAST <= third.room() {
            sparkline::draw(frame, line.history, third.columns(), 2..3);
        }
    }

    name::draw(frame, &mut bottom, line, NAME);
    for text in [demo, line.shown_part()].into_iter().flatten() {
        bottom.write_left(frame, &BADGE, text);
    }
    if let Some(outside) = outside {
        let age = badge::age(outside.age);
        let number = PriceText::of(&old(line, &outside), "", numbers);
        let badges = BADGE.width("EXT") + BADGE.width(&age);
        if badges + number.width(&SMALL) + 2 * GAP <= bottom.room() {
            bottom.write_left(frame, &BADGE, "EXT");
            let price = number.draw(&SMALL, frame, bottom.left, bottom.page);
            bottom.left = price.end + GAP;
            return bottom.write_left(frame, &BADGE, &age);
        }
    }
    bottom.left += 1;
    range::draw(view, line, day, frame, bottom);
}
