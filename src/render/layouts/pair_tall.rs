//! The layout of two prices on 128×64: a line of small text, the large price, and the second price
//! with the curve. This module only places the parts; other modules draw them. The module never
//! judges a price.

use super::header::{self, NAME_END};
use crate::market::Change;
use crate::render::parts::badge::{self, StatusBadge};
use crate::render::parts::price::{PlacedText, PriceText};
use crate::render::parts::{change, name, sparkline};
use crate::render::{DrawCache, FontSet, Frame, InstrumentView, View, WIDTH};

/// The first column of the curve, unless the second price needs more space.
const CURVE_X: usize = 84;
/// The least width of a readable curve in columns.
const CURVE_LEAST: usize = 16;
/// The first page of the second price.
const SECOND: usize = 5;

/// Draws two prices, or one price and its curve, on a dark frame.
pub(crate) fn draw(
    view: &View<'_>,
    (primary, secondary): (&InstrumentView<'_>, Option<&InstrumentView<'_>>),
    font_set: &FontSet,
    draw_cache: &mut DrawCache,
    frame: &mut Frame,
) {
    let place = header::place(view, font_set, frame, SECOND - 1);
    let placed = header::price(view, primary, font_set, frame, place.0);
    header::draw(
        view,
        primary,
        font_set,
        frame,
        place,
        &placed,
        Change::percent,
    );

    let history = primary.history;
    let numbers = view.format.numbers;
    match secondary {
        Some(secondary) if draw_cache.restore(frame, secondary, history, numbers) => {}
        Some(secondary) => {
            if let Some(x) = second(view, secondary, font_set, frame) {
                sparkline::draw(frame, history, x..WIDTH, SECOND..8);
            }
            draw_cache.store(frame, secondary, history, numbers);
        }
        None => sparkline::draw(frame, history, 0..WIDTH, SECOND..8),
    }
}

/// Draws the second price. Returns the first column of the curve, or `None` if there is no space
/// for a curve.
fn second(
    view: &View<'_>,
    line: &InstrumentView<'_>,
    font_set: &FontSet,
    frame: &mut Frame,
) -> Option<usize> {
    let font = &font_set.small.whole;
    let numbers = view.format.numbers;
    let mark = StatusBadge::of(line);
    let beside = match &mark {
        None => 0,
        Some(StatusBadge::Age(age)) => 2 + badge::width(&font_set.word, age.text()),
        Some(mark) => 2 + badge::width(&font_set.badge, mark.text()),
    };
    let number = PriceText::of(line, "---", numbers);
    let room = (WIDTH - 4).saturating_sub(beside);
    let name = room
        .saturating_sub(number.width(&font_set.small))
        .min(NAME_END);
    let part = line.shown_part();
    // Three short lines show more of an option's name than one long line that is cut.
    let stacked = match part {
        None => name::stack(font, frame, SECOND, line, name),
        Some(_) => None,
    };
    let x = stacked.unwrap_or_else(|| name::draw(font, frame, 0, 6, line, name));
    let x = match part {
        Some(part) => x.max(badge::draw(&font_set.badge, frame, 0, 7, part)),
        None => x,
    } + 4;
    let style = number.fit(
        [&font_set.large, &font_set.medium, &font_set.small],
        WIDTH.saturating_sub(x + beside),
    );
    let page = if style.whole.pages == 3 { SECOND } else { 6 };
    let PlacedText { fraction, end } = number.draw(style, frame, x, page);

    let curve = CURVE_X.max(end + 4);
    // There is space for a line of small text below a raised fraction.
    let below = if style.whole.pages == 3 {
        fraction..curve - 4
    } else {
        end..end
    };
    match &mark {
        Some(StatusBadge::Age(age)) => {
            let x = WIDTH.saturating_sub(badge::width(&font_set.word, age.text()));
            badge::draw(&font_set.word, frame, x, 6, age.text());
            return None;
        }
        Some(mark) => {
            let width = badge::width(&font_set.badge, mark.text());
            if width > below.len() {
                badge::before(font_set, frame, WIDTH, 6, mark.text());
                return None;
            }
            badge::before(font_set, frame, below.end, 7, mark.text());
        }
        None => {
            if let Some(change) = line.shown_change() {
                let text = change.percent(numbers);
                change::draw(font_set, frame, text, numbers, below, 7);
            }
        }
    }
    (curve + CURVE_LEAST <= WIDTH).then_some(curve)
}
