//! The layout of two prices on 128×64: a line of small text, the first price in large digits with
//! its curve, and the second price. This module only places the parts; other modules draw them. The
//! module never judges a price.

use super::header::{self, NAME_END};
use crate::render::font::{BADGE, LARGE, LARGE_BADGE, MEDIUM, SMALL};
use crate::render::parts::badge::{self, DELAY, StatusBadge};
use crate::render::parts::price::PriceText;
use crate::render::parts::{change, name, sparkline};
use crate::render::row::{GAP, Row};
use crate::render::{DrawCache, Frame, InstrumentView, View, WIDTH};

/// The first page of the second price.
const SECOND: usize = 5;
/// The least width of a name beside a price that can lose decimals: four letters.
const NAME_LEAST: usize = 20;
/// The first column of the change, unless the price needs more space.
const CHANGE_X: usize = 62;

/// Draws two prices, or one price and its curve, on a dark frame.
pub(crate) fn draw(
    view: &View<'_>,
    primary: &InstrumentView<'_>,
    secondary: Option<&InstrumentView<'_>>,
    draw_cache: &mut DrawCache,
    frame: &mut Frame,
) {
    let Some(line) = secondary else {
        header::draw(view, primary, frame, None, 0);
        let dotted = !primary.is_live();
        return sparkline::draw(frame, primary.history, 0..WIDTH, SECOND..8, dotted);
    };
    header::draw(view, primary, frame, Some(draw_cache), 0);
    draw_cache.restore_or_draw(frame, line, view.format.numbers, |frame| {
        second(view, line, frame);
    });
}

/// Draws the second price.
fn second(view: &View<'_>, line: &InstrumentView<'_>, frame: &mut Frame) {
    let numbers = view.format.numbers;
    let mark = StatusBadge::of(line);
    let beside = GAP
        + match &mark {
            None => 0,
            Some(StatusBadge::Age(age)) => LARGE_BADGE.width(age),
            Some(StatusBadge::Delayed) => LARGE_BADGE.width(DELAY),
            Some(mark) => BADGE.width(mark.text()),
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
    let room = row.room().saturating_sub(beside);
    let mut style = number.fit([&LARGE, &MEDIUM, &SMALL], room);
    let end = row.left + style.whole.width(&number.whole) + GAP;
    if let Some(mark @ StatusBadge::Delayed) = &mark
        && end + BADGE.width(mark.text()) > WIDTH
    {
        // The word DELAYED needs the space below the fraction, or above smaller digits.
        style = number.fit([&MEDIUM, &SMALL], room);
    }
    let large = style.whole.pages == 3;
    let page = if large { SECOND } else { 6 };
    let fraction = number.draw(style, frame, row.left, page);
    // A line of small text stands below the raised fraction of large digits, and above smaller
    // digits.
    let mut text_row = match large {
        true => Row::new(7, fraction.start + GAP..WIDTH),
        false => Row::new(SECOND, row.left..WIDTH),
    };
    if let Some(mark @ StatusBadge::Delayed) = &mark {
        let mut block = Row::new(SECOND, fraction.end + GAP..WIDTH);
        // The word DELAYED has priority over the size of the block.
        block.left = block
            .left
            .max(text_row.left + BADGE.width(mark.text()) + GAP);
        let pages = badge::delay(frame, &mut block);
        if text_row.page < SECOND + pages {
            text_row.right = block.right;
        }
    }
    row.left = fraction.end + GAP;
    match &mark {
        Some(StatusBadge::Age(age)) => row.write_left(frame, &LARGE_BADGE, age),
        Some(mark) if BADGE.fits(mark.text(), text_row.room()) => {
            text_row.write_left(frame, &BADGE, mark.text());
        }
        Some(mark) => row.write_right(frame, &BADGE, mark.text()),
        None => {
            text_row.left = text_row.left.max(if large { CHANGE_X } else { 0 });
            change::draw(frame, line.shown_percent(numbers), text_row);
        }
    }
}
