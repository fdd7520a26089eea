//! The layout of one instrument alone: its price as large as possible, its change, and its day.
//! This module only places the parts; other modules draw them. The module never judges a price.

use super::header;
use super::pair_short::{self, CURVE_LEAST, NAME};
use crate::market::DayStats;
use crate::render::font::{BADGE, LARGE, LARGE_BADGE, MEDIUM, SMALL, TEXT, WORD};
use crate::render::parts::badge::{DELAY, StatusBadge};
use crate::render::parts::price::PriceText;
use crate::render::parts::{alert, clock, field, name, range, sparkline};
use crate::render::row::{GAP, Row};
use crate::render::{DrawCache, Frame, InstrumentView, View, WIDTH};

/// The first column of the curve on 128×64, after the difference.
const CURVE_X: usize = 60;
/// The first column of the volume on 128×128.
const VOLUME_X: usize = 70;

/// Draws the page on 128×64: the header, the price with its change and its curve, the change as a
/// difference, and the range of the day. The curve stands beside the difference if there is no
/// space for it beside the price.
pub(crate) fn tall(
    view: &View<'_>,
    line: &InstrumentView<'_>,
    day: DayStats,
    draw_cache: &mut DrawCache,
    frame: &mut Frame,
) {
    let drawn = header::draw(view, line, frame, Some(draw_cache), 0);
    if let Some(text) = line.shown_difference(view.format.numbers)
        && let Some(font) = [&WORD, &TEXT]
            .into_iter()
            .find(|font| font.fits(&text, CURVE_X))
    {
        font.write(frame, 0, 5, &text);
    }
    range::draw(view, line, day, frame, Row::new(7, 0..WIDTH));
    if !drawn && line.shown_price().is_some() && !line.is_struck() {
        let dotted = !line.is_live();
        sparkline::draw(frame, line.history, CURVE_X..WIDTH, 5..7, dotted);
    }
}

/// Draws the page on 128×128: the header and the price, the change as a difference, a high curve,
/// and the range of the day; without the day only the price and its curve.
pub(crate) fn square(view: &View<'_>, line: &InstrumentView<'_>, day: DayStats, frame: &mut Frame) {
    /// The last page, which has the range.
    const LAST: usize = 15;
    let numbers = view.format.numbers;
    header::draw(view, line, frame, None, 0);
    if line.shown_price().is_none() {
        return;
    }
    let mut row = Row::new(6, 0..WIDTH);
    if let Some(text) = line.shown_difference(numbers) {
        let fonts = [&WORD, &TEXT];
        if let Some(font) = fonts.into_iter().find(|font| font.fits(&text, WIDTH)) {
            row.write_left(frame, font, &text);
        }
    }
    if let Some(volume) = day.volume.filter(|_| !line.is_struck()) {
        let row = Row::new(row.page + 1, row.left.max(VOLUME_X)..WIDTH);
        let volume = field::count(Some(volume), numbers, row.room());
        if TEXT.fits(&volume, row.room()) {
            field::draw(frame, row, "vol", &volume);
        }
    }
    let ranged = range::draw(view, line, day, frame, Row::new(LAST, 0..WIDTH));
    let pages = row.page + 2..if ranged { LAST } else { LAST + 1 };
    sparkline::draw(frame, line.history, 0..WIDTH, pages, !line.is_live());
}

/// Draws the page on 128×32: the price and its change, with the name and the range of the day below
/// them.
pub(crate) fn low(view: &View<'_>, line: &InstrumentView<'_>, day: DayStats, frame: &mut Frame) {
    let numbers = view.format.numbers;
    let mut bottom = header::signs(view, frame);
    let alerted = alert::draw(view, frame, bottom);
    let mark = StatusBadge::of(line);
    let number = PriceText::of(line, "-----", numbers);
    // The space beside the price is enough for an arrow at least, or for the name while the alert
    // covers the name.
    let beside = match &mark {
        _ if alerted => 48,
        Some(StatusBadge::Age(age)) => BADGE.width("STALE") + BADGE.width(age) + GAP,
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
    if matches!(mark, Some(StatusBadge::Delayed)) {
        // The block covers the second and the third line.
        second.write_left(frame, &LARGE_BADGE, DELAY);
        third.left = second.left;
    }
    if let Some(text) = line.shown_difference(numbers)
        && TEXT.fits(&text, second.room())
    {
        second.write_left(frame, &TEXT, &text);
    }
    let time = clock::text(view);
    if TEXT.fits(&time, third.room()) {
        third.write_right(frame, &TEXT, &time);
        if CURVE_LEAST <= third.room() {
            let dotted = !line.is_live();
            sparkline::draw(frame, line.history, third.columns(), 2..3, dotted);
        }
    }

    name::draw(frame, &mut bottom, line, NAME);
    for text in [demo, line.shown_part()].into_iter().flatten() {
        bottom.write_left(frame, &BADGE, text);
    }
    bottom.left += 1;
    range::draw(view, line, day, frame, bottom);
}
