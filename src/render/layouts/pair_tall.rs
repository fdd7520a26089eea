//! The layout of two prices on 128×64: a line of small text, the large price, and the second price
//! with the curve. This module only places the parts; other modules draw them. The module never
//! judges a price.

use super::header::{self, NAME_END};
use crate::market::Price;
use crate::render::font::{BADGE, LARGE, LARGE_BADGE, MEDIUM, SMALL};
use crate::render::parts::badge::StatusBadge;
use crate::render::parts::price::PriceText;
use crate::render::parts::{change, name, sparkline};
use crate::render::row::{GAP, Row};
use crate::render::{DrawCache, Frame, InstrumentView, View, WIDTH};

/// The first column of the curve, unless the second price needs more space.
const CURVE_X: usize = 84;
/// The least width of a name beside a price that can lose decimals: four letters.
const NAME_LEAST: usize = 20;
/// The least width of a readable curve in columns.
const CURVE_LEAST: usize = 16;
/// The first page of the second price.
const SECOND: usize = 5;

/// Draws two prices, or one price and its curve, on a dark frame.
pub(crate) fn draw(
    view: &View<'_>,
    primary: &InstrumentView<'_>,
    secondary: Option<&InstrumentView<'_>>,
    draw_cache: &mut DrawCache,
    frame: &mut Frame,
) {
    let numbers = view.format.numbers;
    header::draw(view, primary, frame, primary.shown_percent(numbers));
    let history = primary.history;
    match secondary {
        Some(line) => draw_cache.restore_or_draw(frame, line, history, numbers, |frame| {
            second(view, line, history, frame);
        }),
        None => sparkline::draw(frame, history, 0..WIDTH, SECOND..8),
    }
}

/// Draws the second price, and the curve of the first price if there is space for it.
fn second(view: &View<'_>, line: &InstrumentView<'_>, history: &[Price], frame: &mut Frame) {
    let numbers = view.format.numbers;
    let mark = StatusBadge::of(line);
    let beside = match &mark {
        None => 0,
        Some(StatusBadge::Age(age)) => GAP + LARGE_BADGE.width(age),
        Some(mark) => GAP + BADGE.width(mark.text()),
    };
    let room = (WIDTH - 4).saturating_sub(beside);
    let number = PriceText::within(line, "---", numbers, room.saturating_sub(NAME_LEAST));
    let room = room.saturating_sub(number.width(&SMALL)).min(NAME_END);
    let part = line.shown_part();
    // Three short lines show more of an option's name than one long line that is cut.
    let stacked = match part {
        None => name::stack(frame, SECOND, line, room),
        Some(_) => None,
    };
    let mut row = Row::new(6, 0..WIDTH);
    match stacked {
        Some(widest) => row.left = widest + GAP,
        None => name::draw(frame, &mut row, line, room),
    }
    if let Some(part) = part {
        row.left = row.left.max(BADGE.write(frame, 0, 7, part) + GAP);
    }
    row.left += GAP;
    let style = number.fit([&LARGE, &MEDIUM, &SMALL], row.room().saturating_sub(beside));
    let large = style.whole.pages == 3;
    let page = if large { SECOND } else { 6 };
    let fraction = number.draw(style, frame, row.left, page);
    let curve = CURVE_X.max(fraction.end + 4);
    // There is space for a line of small text below a raised fraction.
    let mut below = Row::new(
        7,
        if large {
            fraction.start..curve - 4
        } else {
            0..0
        },
    );
    match &mark {
        Some(StatusBadge::Age(age)) => {
            row.write_right(frame, &LARGE_BADGE, age);
            return;
        }
        Some(mark) if !BADGE.fits(mark.text(), below.room()) => {
            row.write_right(frame, &BADGE, mark.text());
            return;
        }
        Some(mark) => below.write_right(frame, &BADGE, mark.text()),
        None => change::draw(frame, line.shown_percent(numbers), below),
    }
    if curve + CURVE_LEAST <= WIDTH {
        sparkline::draw(frame, history, curve..WIDTH, SECOND..8);
    }
}
