//! The layout of one instrument alone: its price as large as possible, its change, and its day.
//! This module only places the parts; other modules draw them. The module never judges a price.

use super::header;
use super::pair_short::{self, CURVE_LEAST, NAME};
use crate::market::DayStats;
use crate::render::font::{BADGE, LARGE, MEDIUM, SMALL, TEXT, WORD};
use crate::render::parts::badge::StatusBadge;
use crate::render::parts::icon::ARROW;
use crate::render::parts::price::PriceText;
use crate::render::parts::{alert, clock, name, range, sparkline};
use crate::render::row::{GAP, Row};
use crate::render::{Frame, InstrumentView, View, WIDTH};

/// The first column of the curve on 128×64, after the percentage.
const CURVE_X: usize = 60;

/// Draws the page on 128×64: the header, the price, the percentage, the curve, and the range of the
/// day.
pub(crate) fn tall(view: &View<'_>, line: &InstrumentView<'_>, day: DayStats, frame: &mut Frame) {
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
    sparkline::draw(frame, line.history, left..WIDTH, 5..bottom);
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
    bottom.left += 1;
    range::draw(view, line, day, frame, bottom);
}
