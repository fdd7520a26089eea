//! The curve of the session with its axes: prices at the right, times below. This module never
//! calculates the curve.

use super::canvas::Canvas;
use super::content::CurveSpan;
use super::scene::{Align, Ink, POINTS, Rect, Shape};
use crate::market::{Freshness, Price};
use crate::render::InstrumentView;
use crate::render::parts::field;

/// The least height of a readable curve in pixels.
const LEAST: i32 = 40;

pub(crate) fn draw(
    canvas: &mut Canvas<'_>,
    line: &InstrumentView<'_>,
    span: Option<CurveSpan>,
    mut area: Rect,
) {
    let shown = line.shown_price().is_some() && line.history.len() > 1;
    if !shown || area.h < LEAST {
        return;
    }
    let gap = (canvas.margin / 3).max(2);
    let size = (area.h / 9).min(area.w / 24).clamp(8, 40);
    let thick = (canvas.margin / 12).max(1);
    let close = line.change.map(|change| {
        let now = line.price.map_or(0, Price::scaled);
        now - change.absolute().scaled()
    });
    let Some(scale) = Scale::of(line.history, close) else {
        return;
    };
    if span.is_some() {
        let times = area.cut_bottom(size * 4 / 3);
        area.cut_bottom(gap);
        draw_times(canvas, span, times, size);
    }
    // The labels have as many decimals as the step between them needs.
    let step = scale.step();
    let decimals = Price::from_scaled(step).exact_decimals();
    let text = |at: i64| field::price(Some(Price::from_scaled(at)), decimals, canvas.numbers);
    let marks: heapless::Vec<i64, 8> = scale.marks(step).collect();
    let widest = marks
        .iter()
        .map(|at| canvas.widths.of(&text(*at), size as u16, 0))
        .max();
    let texts: heapless::Vec<_, 8> = marks.iter().map(|at| text(*at)).collect();
    let labels = area.cut_right(widest.unwrap_or(0));
    area.cut_right(gap);
    let axis = area.cut_right(thick);
    filled(canvas, axis);
    let axis = area.cut_bottom(thick);
    filled(canvas, axis);
    let mut lowest = area.bottom();
    for (at, text) in marks.iter().zip(&texts) {
        let y = area.bottom() - area.h * i32::from(scale.part(*at)) / 1_000;
        let place = Rect::new(labels.x, y - size * 2 / 3, labels.w, size * 4 / 3);
        // A label has a place of its own, or it is left out.
        let free = place.y >= area.y && place.bottom() <= lowest;
        if !free {
            continue;
        }
        lowest = place.y;
        canvas.sized(
            place,
            (Ink::Back, Ink::Muted),
            text,
            size as u16,
            Align::Right,
        );
    }
    let plain = matches!(line.freshness, Freshness::Live | Freshness::Delayed);
    let ink = match line.change.map(|change| change.absolute().scaled()) {
        _ if !plain || line.expired => Ink::Muted,
        None | Some(0) => Ink::Text,
        Some(..0) => Ink::Down,
        Some(_) => Ink::Up,
    };
    let heights = line
        .history
        .iter()
        .take(POINTS)
        .map(|price| scale.part(price.scaled()));
    let close = close
        .filter(|close| scale.contains(*close))
        .map(|close| scale.part(close));
    let shape = Shape::Curve(heights.collect(), close);
    canvas.scene.push(area, Ink::Back, ink, shape);
}

fn filled(canvas: &mut Canvas<'_>, rect: Rect) {
    canvas.scene.push(rect, Ink::Faint, Ink::Faint, Shape::Fill);
}

/// Draws the times at the two ends of the curve.
fn draw_times(canvas: &mut Canvas<'_>, span: Option<CurveSpan>, row: Rect, size: i32) {
    let Some((start, end)) = span else { return };
    for ((hours, minutes), align) in [(start, Align::Left), (end, Align::Right)] {
        let text: heapless::String<8> =
            heapless::format!("{hours:02}:{minutes:02}").unwrap_or_default();
        let mut row = row;
        let half = row.cut_left(row.w / 2);
        let place = if align == Align::Left { half } else { row };
        canvas.sized(place, (Ink::Back, Ink::Muted), &text, size as u16, align);
    }
}

/// The lowest and the highest price of the plot, in units of a price.
struct Scale {
    low: i64,
    high: i64,
}

impl Scale {
    /// Returns the scale of a curve. The previous close is part of it unless it is far away.
    fn of(history: &[Price], close: Option<i64>) -> Option<Self> {
        let prices = || history.iter().map(|price| price.scaled());
        let (mut low, mut high) = (prices().min()?, prices().max()?);
        let room = high - low;
        if let Some(close) = close.filter(|close| (low - room..=high + room).contains(close)) {
            (low, high) = (low.min(close), high.max(close));
        }
        // A flat curve is in the middle.
        let edge = ((high - low) / 20).max(100);
        Some(Self {
            low: low - edge,
            high: high + edge,
        })
    }

    fn contains(&self, price: i64) -> bool {
        (self.low..=self.high).contains(&price)
    }

    /// Returns the height of a price in 1/1000.
    fn part(&self, price: i64) -> u16 {
        let over = (price - self.low).clamp(0, self.high - self.low);
        (over * 1_000 / (self.high - self.low).max(1)) as u16
    }

    /// Returns a round distance between two labels, so that there are two to five labels.
    fn step(&self) -> i64 {
        let rough = (self.high - self.low) / 3;
        let mut step = 1;
        while step * 10 <= rough {
            step *= 10;
        }
        let steps = [5 * step, 2 * step, step];
        steps
            .into_iter()
            .find(|step| *step <= rough)
            .unwrap_or(step)
    }

    fn marks(&self, step: i64) -> impl Iterator<Item = i64> {
        let first = self.low.div_euclid(step) + 1;
        let last = self.high.div_euclid(step);
        (first..=last).map(move |nth| nth * step).take(8)
    }
}
