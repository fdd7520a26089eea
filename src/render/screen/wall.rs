//! The wall: a tile for each of the first instruments of the watchlist. A tile has a name, a price,
//! and the change or the state. This module never judges a price.

use super::canvas::{Canvas, state};
use super::scene::{Align, Ink, Rect, Shape};
use crate::render::InstrumentView;
use crate::render::parts::name;

/// Returns the columns and rows of tiles for a screen and a number of instruments. One instrument
/// needs no wall, because the page shows it.
pub(crate) fn grid((width, height): (i32, i32), count: usize) -> Option<(i32, i32)> {
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    let (columns, rows) = match height > width {
        true => ((width / 160).clamp(1, 3), (height / 300).clamp(1, 4)),
        false => ((width / 150).clamp(1, 6), (height / 400).clamp(1, 2)),
    };
    if count < 2 || width.min(height) < 200 {
        return None;
    }
    let count = count.min(columns * rows);
    // As few rows as possible in landscape, and as few columns as possible in portrait: large tiles.
    Some(match height > width {
        true => {
            let columns = (count + rows - 1) / rows;
            (
                columns.max(2).min(count),
                (count + columns.max(2) - 1) / columns.max(2),
            )
        }
        false => {
            let rows = (count + columns - 1) / columns;
            ((count + rows - 1) / rows, rows)
        }
    })
}

/// Returns the height of the wall in pixels.
pub(crate) fn height((width, height): (i32, i32), (_, rows): (i32, i32)) -> i32 {
    match height > width {
        true => height * (9 * rows).min(36) / 100,
        false if rows == 1 => height * 23 / 100,
        false => height * 34 / 100,
    }
}

pub(crate) fn draw<'v>(
    canvas: &mut Canvas<'_>,
    tiles: impl Iterator<Item = InstrumentView<'v>> + Clone,
    (columns, rows): (i32, i32),
    area: Rect,
) {
    let gap = (canvas.margin / 2).max(1);
    let (width, height) = (
        (area.w - gap * (columns - 1)) / columns,
        (area.h - gap * (rows - 1)) / rows,
    );
    let places = (0..columns * rows).map(|nth| {
        let (x, y) = (
            nth % columns * (width + gap),
            nth / columns * (height + gap),
        );
        Rect::new(area.x + x, area.y + y, width, height)
    });
    // All prices have the same size, so that the wall is calm.
    let sizes = places.clone().zip(tiles.clone());
    let sizes = sizes.map(|(place, line)| canvas.price_size(parts(place)[1], &line));
    let size = sizes.min().unwrap_or(1);
    for (place, line) in places.zip(tiles) {
        tile(canvas, &line, place, size);
    }
}

/// Returns the places of the name, of the price, and of the change or the state in a tile.
fn parts(mut rest: Rect) -> [Rect; 3] {
    let (height, edge) = (rest.h, rest.h / 14);
    let below = rest.cut_bottom(height * 28 / 100);
    let mut rest = rest.inside(edge, 0);
    rest.cut_top(edge / 2);
    let top = rest.cut_top(height * 24 / 100);
    [top, rest, below]
}

fn tile(canvas: &mut Canvas<'_>, line: &InstrumentView<'_>, rect: Rect, size: u16) {
    canvas.scene.push(rect, Ink::Tile, Ink::Tile, Shape::Fill);
    let [top, middle, below] = parts(rect);
    let label = name::long(line);
    canvas.text(
        top,
        (Ink::Tile, Ink::Muted),
        &label,
        rect.h / 6,
        Align::Left,
    );
    canvas.price(middle, Ink::Tile, line, size);
    match state(line) {
        // The badge has the whole width, so that a person sees it from far away.
        Some((text, ink)) if ink != Ink::Muted => canvas.badge(below, &text, ink),
        part => {
            let mut row = below.inside(rect.h / 14, 0);
            if let Some((text, ink)) = part {
                let place = row.cut_right(canvas.badge_width(&text, below.h * 2 / 3));
                let place = place.inside(0, below.h / 6);
                canvas.badge(place, &text, ink);
                row.cut_right(rect.h / 14);
            }
            let percent = line.shown_percent(canvas.numbers);
            let percent = percent.map(|change| change.full);
            let figures = percent.or_else(|| line.shown_difference(canvas.numbers));
            let figures = figures.unwrap_or_default();
            canvas.change(row, Ink::Tile, &figures, rect.h / 5, Align::Left);
        }
    }
}
