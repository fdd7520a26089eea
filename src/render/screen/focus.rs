//! The pages of prices on the big screen: the price that fills the width, the change, the range of
//! the day, and the curve, or the table of a contract. This module never judges a price.

use super::ScreenContent;
use super::canvas::{Canvas, state};
use super::chart;
use super::scene::{Align, Ink, Rect, Shape};
use crate::market::DayStats;
use crate::render::layouts::option;
use crate::render::parts::{field, name};
use crate::render::{InstrumentView, OptionView};

/// Draws one instrument, and a second one in a row below if there is one.
pub(crate) fn pair(
    canvas: &mut Canvas<'_>,
    line: &InstrumentView<'_>,
    second: Option<&InstrumentView<'_>>,
    content: &ScreenContent,
    mut area: Rect,
    portrait: bool,
) {
    let gap = canvas.margin;
    if let Some(second) = second {
        let height = if portrait {
            area.h / 9
        } else {
            area.h * 22 / 100
        };
        let row = area.cut_bottom(height);
        other(canvas, second, row);
        area.cut_bottom(gap);
    }
    price(canvas, line, &mut area, portrait, 48);
    let height = if portrait { area.w / 14 } else { area.h / 6 };
    let row = area.cut_top(height);
    range(canvas, line, content.day(), row);
    area.cut_top(gap / 2);
    chart::draw(canvas, line, content.span(), area);
}

/// Draws the price with its change or its state, and cuts their place off the area. `percent` is
/// the part of the area in landscape.
fn price(
    canvas: &mut Canvas<'_>,
    line: &InstrumentView<'_>,
    area: &mut Rect,
    portrait: bool,
    percent: i32,
) {
    let gap = canvas.margin;
    let (mut figures, mut beside);
    if portrait {
        figures = area.cut_top((area.w * 27 / 100).min(area.h * 2 / 5));
        beside = area.cut_top(area.w * 13 / 100);
    } else {
        figures = area.cut_top(area.h * percent / 100);
        beside = figures.cut_right(figures.w * 27 / 100);
        figures.cut_right(gap);
    }
    let size = canvas.price_size(figures, line);
    canvas.price(figures, Ink::Back, line, size);
    let numbers = canvas.numbers;
    let difference = line.shown_difference(numbers);
    let percent = line.shown_percent(numbers).map(|change| change.full);
    let badge = state(line);
    let changed = difference.is_some();
    if portrait {
        if let Some((text, ink)) = badge {
            let width = if changed {
                beside.w * 42 / 100
            } else {
                beside.w
            };
            let place = beside.cut_left(width);
            canvas.badge(place, &text, ink);
            beside.cut_left(gap);
        }
        if let (Some(difference), Some(percent)) = (&difference, &percent) {
            let left = beside.cut_left(beside.w / 2 - gap / 2);
            beside.cut_left(gap);
            canvas.change(left, Ink::Back, difference, beside.h / 2, Align::Left);
            canvas.change(beside, Ink::Back, percent, beside.h / 2, Align::Right);
        } else if let Some(figures) = difference.or(percent) {
            canvas.change(beside, Ink::Back, &figures, beside.h / 2, Align::Left);
        }
        return;
    }
    let mut beside = beside.inside(0, beside.h / 16);
    if let Some((text, ink)) = badge {
        let height = if changed {
            beside.h * 38 / 100
        } else {
            beside.h * 45 / 100
        };
        let place = beside.cut_top(height);
        canvas.badge(place, &text, ink);
        beside.cut_top(gap / 2);
    }
    let rows = i32::from(difference.is_some()) + i32::from(percent.is_some());
    let height = beside.h / rows.max(1);
    for figures in [difference, percent].into_iter().flatten() {
        let row = beside.cut_top(height);
        canvas.change(row, Ink::Back, &figures, row.h * 3 / 5, Align::Right);
    }
}

/// Draws a second instrument in a row: its name, its price, and its change or state.
fn other(canvas: &mut Canvas<'_>, line: &InstrumentView<'_>, row: Rect) {
    canvas.scene.push(row, Ink::Tile, Ink::Tile, Shape::Fill);
    let mut rest = row.inside(row.h / 6, 0);
    let label = rest.cut_left(rest.w / 4);
    let text = name::long(line);
    canvas.text(label, (Ink::Tile, Ink::Text), &text, row.h / 3, Align::Left);
    rest.cut_left(row.h / 6);
    let mut beside = rest.cut_right(rest.w * 45 / 100);
    rest.cut_right(row.h / 6);
    let size = canvas.price_size(rest, line);
    canvas.price(rest, Ink::Tile, line, size);
    if let Some((text, ink)) = state(line) {
        let changed = line.shown_percent(canvas.numbers).is_some();
        let place = beside.cut_left(if changed { beside.w / 2 } else { beside.w });
        canvas.badge(place.inside(0, row.h / 5), &text, ink);
        beside.cut_left(row.h / 6);
    }
    if let Some(change) = line.shown_percent(canvas.numbers) {
        canvas.change(beside, Ink::Tile, &change.full, row.h / 3, Align::Right);
    }
}

/// Draws the range of the day with a marker at the price. A stale price has no range.
fn range(canvas: &mut Canvas<'_>, line: &InstrumentView<'_>, day: DayStats, mut row: Rect) {
    let price = line.shown_price().filter(|_| !line.is_struck());
    let (Some(price), Some((low, high))) = (price, day.range) else {
        return;
    };
    let size = row.h * 3 / 5;
    let inks = (Ink::Back, Ink::Muted);
    for (word, end, align) in [("LOW", low, Align::Left), ("HIGH", high, Align::Right)] {
        let text = field::price(Some(end), line.decimals, canvas.numbers);
        let text: heapless::String<40> = heapless::format!("{word} {text}").unwrap_or_default();
        let width = canvas
            .widths
            .of(&text, size.max(1) as u16, 0)
            .min(row.w / 3);
        let place = match align {
            Align::Left => row.cut_left(width),
            _ => row.cut_right(width),
        };
        canvas.text(place, inks, &text, size, align);
    }
    let [low, high, price] = [low, high, price].map(|price| price.scaled());
    let part = (price - low).clamp(0, (high - low).max(0)) * 1_000 / (high - low).max(1);
    let bar = row.inside(canvas.margin, row.h / 4);
    canvas
        .scene
        .push(bar, Ink::Back, Ink::Text, Shape::Marker(part as u16));
}

/// Draws a contract with all its known values.
pub(crate) fn contract(
    canvas: &mut Canvas<'_>,
    sheet: &OptionView<'_>,
    mut area: Rect,
    portrait: bool,
) {
    let line = InstrumentView {
        contract: Some(sheet.contract),
        ..sheet.line
    };
    price(canvas, &line, &mut area, portrait, 40);
    area.cut_top(canvas.margin);
    let fields = option::fields(sheet, canvas.numbers);
    let columns = if portrait { 1 } else { 3 };
    table(canvas, &fields, columns, area);
}

/// Draws a table of names and values.
pub(crate) fn table(
    canvas: &mut Canvas<'_>,
    fields: &[(&str, super::canvas::Label)],
    columns: i32,
    area: Rect,
) {
    let rows = (fields.len() as i32 + columns - 1) / columns;
    let gap = canvas.margin * 2;
    let width = (area.w - gap * (columns - 1)) / columns;
    let height = (area.h / rows.max(1)).min(area.w / 8);
    for (nth, (name, value)) in (0..).zip(fields) {
        let (x, y) = (nth % columns * (width + gap), nth / columns * height);
        let mut row = Rect::new(area.x + x, area.y + y, width, height);
        let label = row.cut_left(width / 2);
        let size = height * 11 / 20;
        canvas.text(label, (Ink::Back, Ink::Muted), name, size, Align::Left);
        canvas.text(row, (Ink::Back, Ink::Text), value, size, Align::Right);
    }
}
