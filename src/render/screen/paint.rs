//! Paints the items of a scene into a small buffer of pixels, `0xRRGGBB` each. This module never
//! sees the whole screen: a caller paints one part after the other.

use super::face::{Face, Pen};
use super::scene::{Align, Item, Rect, Scene, Shape, Text, mix};

/// A part of the picture: a rectangle and its pixels, row by row.
pub(crate) struct Part<'a> {
    pub(crate) rect: Rect,
    pub(crate) pixels: &'a mut [u32],
}

impl Part<'_> {
    /// Returns the pixels of a row from one column to another. Both are columns of the picture, and
    /// the result is limited to the part.
    fn row(&mut self, y: i32, from: i32, to: i32) -> &mut [u32] {
        let (from, to) = (from.max(self.rect.x), to.min(self.rect.right()));
        if y < self.rect.y || y >= self.rect.bottom() || from >= to {
            return &mut [];
        }
        let start = (y - self.rect.y) * self.rect.w - self.rect.x;
        let range = (start + from) as usize..(start + to) as usize;
        self.pixels.get_mut(range).unwrap_or_default()
    }

    /// Fills the common part with a rectangle.
    pub(crate) fn fill(&mut self, rect: Rect, colour: u32) {
        let rect = rect.intersection(self.rect);
        for y in rect.y..rect.bottom() {
            self.row(y, rect.x, rect.right()).fill(colour);
        }
    }
}

/// Paints the common part of the scene and `part`.
pub(crate) fn scene(scene: &Scene, face: &mut Face, part: &mut Part<'_>) {
    let back = scene.palette.colour(super::Ink::Back);
    part.fill(part.rect, back);
    for one in &scene.items {
        if !one.rect.intersection(part.rect).is_empty() {
            item(scene, one, face, part);
        }
    }
}

/// Paints one item.
pub(crate) fn item(scene: &Scene, item: &Item, face: &mut Face, part: &mut Part<'_>) {
    let (rect, palette) = (item.rect, &scene.palette);
    let (back, ink) = (palette.colour(item.back), palette.colour(item.ink));
    // Nothing is painted outside the item.
    let clip = rect.intersection(part.rect);
    part.fill(clip, back);
    match &item.shape {
        Shape::Fill => {}
        Shape::Text(line) => text(line, rect, [back, ink], palette, face, part),
        Shape::Arrow { up } => arrow(rect, *up, ink, part),
        Shape::Marker(at) => marker(rect, *at, palette.colour(super::Ink::Faint), ink, part),
        Shape::Rule => {
            let thick = (rect.h / 2).max(1);
            dashes(
                Rect::new(rect.x, rect.y, rect.w, thick),
                thick * 6,
                ink,
                part,
            );
        }
        Shape::Curve(points, close) => curve(rect, points, *close, [back, ink], palette, part),
        Shape::Bars(filled, crossed) => bars(rect, *filled, *crossed, palette, ink, part),
        Shape::Code(_) => code(rect, &scene.code, part),
    }
}

/// Returns the first column and the baseline of a text in its rectangle.
pub(crate) fn place(line: &Text, rect: Rect, face: &Face) -> (i32, i32) {
    let width = face
        .pens(&line.text, line.size, line.small)
        .last()
        .map_or(0, |pen| pen.x + pen.advance);
    let x = match line.align {
        Align::Left => rect.x,
        Align::Centre => rect.x + (rect.w - width) / 2,
        Align::Right => rect.right() - width,
    };
    (x, rect.y + (rect.h + i32::from(line.size)) / 2)
}

fn text(
    line: &Text,
    rect: Rect,
    [back, ink]: [u32; 2],
    palette: &super::Palette,
    face: &mut Face,
    part: &mut Part<'_>,
) {
    face.prepare(&line.text, line.size, line.small);
    let (x, base) = place(line, rect, face);
    face.prepare_mixture(back, ink);
    let Some(mixed) = face.mixture(back, ink) else {
        return;
    };
    let clip = rect.intersection(part.rect);
    let mut end = x;
    for pen in face.pens(&line.text, line.size, line.small) {
        glyph(face, pen, (x, base), mixed, clip, part);
        end = x + pen.x + pen.advance;
    }
    if line.struck {
        let size = i32::from(line.size);
        let box_ = Rect::new(x, base - size, end - x, size);
        strike(box_, palette.colour(super::Ink::Text), clip, part);
    }
}

/// Returns the place of the pixels of a glyph whose mask has been prepared.
pub(crate) fn glyph_area(face: &Face, pen: Pen, (x, base): (i32, i32)) -> Option<Rect> {
    let mask = face.mask(pen)?;
    let (left, top) = (x + pen.x + mask.left, base + mask.top);
    Some(Rect::new(left, top, mask.width, mask.height))
}

fn glyph(
    face: &Face,
    pen: Pen,
    (x, base): (i32, i32),
    mixed: &[u32; 256],
    clip: Rect,
    part: &mut Part<'_>,
) {
    let (Some(mask), Some(area)) = (face.mask(pen), glyph_area(face, pen, (x, base))) else {
        return;
    };
    let seen = area.intersection(clip);
    for y in seen.y..seen.bottom() {
        let start = ((y - area.y) * mask.width + seen.x - area.x) as usize;
        let coverage = mask.coverage.get(start..start + seen.w as usize);
        let row = part.row(y, seen.x, seen.right());
        for (pixel, coverage) in row.iter_mut().zip(coverage.unwrap_or_default()) {
            // A pixel at the edge of two characters keeps the ink of the first one.
            if *coverage > 0 {
                *pixel = mixed[usize::from(*coverage)];
            }
        }
    }
}

/// Paints a rising line through digits, with soft edges.
fn strike(area: Rect, ink: u32, clip: Rect, part: &mut Part<'_>) {
    let thick = (area.h / 9).max(2);
    let rise = area.h - area.h / 4;
    for x in area.x.max(clip.x)..area.right().min(clip.right()) {
        // The middle of the line in this column, in 1/16 pixels.
        let passed = (x - area.x) * rise * 16 / area.w.max(1);
        let middle = (area.bottom() - area.h / 8) * 16 - passed;
        let (from, to) = (middle - thick * 8, middle + thick * 8);
        for y in (from >> 4).max(clip.y)..=(to >> 4).min(clip.bottom() - 1) {
            let covered = (to.min(y * 16 + 16) - from.max(y * 16)).clamp(0, 16) as u32;
            if let Some(pixel) = part.row(y, x, x + 1).first_mut() {
                *pixel = mix(*pixel, ink, covered * 255 / 16);
            }
        }
    }
}

/// Paints a filled triangle.
fn arrow(rect: Rect, up: bool, ink: u32, part: &mut Part<'_>) {
    let height = rect.h.min(rect.w * 9 / 10).max(1);
    let top = rect.y + (rect.h - height) / 2;
    let width = (height * 10 / 9).min(rect.w);
    let middle = rect.x * 16 + rect.w * 8;
    for row in 0..height {
        let y = top + if up { row } else { height - 1 - row };
        // Half of the width of this row, in 1/16 pixels.
        let half = (row * 16 + 8) * width / (2 * height);
        let (from, to) = (middle - half, middle + half);
        for x in from >> 4..=to >> 4 {
            let covered = (to.min(x * 16 + 16) - from.max(x * 16)).clamp(0, 16) as u32;
            let clip = x >= rect.x && x < rect.right();
            if let Some(pixel) = part.row(y, x, x + 1).first_mut().filter(|_| clip) {
                *pixel = mix(*pixel, ink, covered * 255 / 16);
            }
        }
    }
}

fn marker(rect: Rect, at: u16, faint: u32, ink: u32, part: &mut Part<'_>) {
    let thick = (rect.h / 8).max(2);
    let line = Rect::new(rect.x, rect.y + (rect.h - thick) / 2, rect.w, thick);
    part.fill(line, faint);
    part.fill(marker_area(rect, at), ink);
}

/// Returns the place of the marker on its line.
pub(crate) fn marker_area(rect: Rect, at: u16) -> Rect {
    let width = (rect.h / 3).clamp(3, rect.w.max(3));
    let left = rect.x + (rect.w - width) * i32::from(at.min(1_000)) / 1_000;
    Rect::new(left, rect.y, width, rect.h).intersection(rect)
}

fn dashes(rect: Rect, length: i32, ink: u32, part: &mut Part<'_>) {
    let mut x = rect.x;
    while x < rect.right() {
        part.fill(Rect::new(x, rect.y, length, rect.h).intersection(rect), ink);
        x += 2 * length;
    }
}

/// Paints a curve: each column is filled between the heights at its two sides.
fn curve(
    rect: Rect,
    points: &[u16],
    close: Option<u16>,
    [back, ink]: [u32; 2],
    palette: &super::Palette,
    part: &mut Part<'_>,
) {
    let thick = (rect.h / 45).clamp(2, 10);
    let room = (rect.h - thick - 1).max(1);
    // The height of a point in 1/16 pixels, counted from the top of the picture.
    let height = |point: u16| {
        let over = 1_000 - i32::from(point.min(1_000));
        (rect.y * 16) + thick * 8 + over * room * 16 / 1_000
    };
    if let Some(close) = close {
        let y = height(close) / 16;
        let line = Rect::new(rect.x, y, rect.w, (thick / 2).max(1));
        let muted = palette.colour(super::Ink::Muted);
        dashes(line.intersection(rect), thick * 3, muted, part);
    }
    let last = points.len().saturating_sub(1) as i32;
    if last < 1 {
        return;
    }
    let clip = rect.intersection(part.rect);
    let soft = mix(back, ink, 40);
    // The height at a column: between the two nearest points.
    let at = |x: i32| {
        let along = (x - rect.x) * last;
        let nth = (along / rect.w.max(1)).clamp(0, last - 1);
        let point = |nth: i32| height(points.get(nth as usize).copied().unwrap_or_default());
        let (one, other) = (point(nth), point(nth + 1));
        one + (other - one) * (along - nth * rect.w) / rect.w.max(1)
    };
    for x in clip.x..clip.right() {
        let (one, other) = (at(x), at(x + 1));
        let (from, to) = (one.min(other) - thick * 8, one.max(other) + thick * 8);
        for y in (from >> 4).max(clip.y)..clip.bottom() {
            let Some(pixel) = part.row(y, x, x + 1).first_mut() else {
                break;
            };
            let covered = (to.min(y * 16 + 16) - from.max(y * 16)).clamp(0, 16) as u32;
            // The area below the curve has a soft colour.
            let under = if *pixel == back && y * 16 > from {
                soft
            } else {
                *pixel
            };
            *pixel = mix(under, ink, covered * 255 / 16);
        }
    }
}

/// Paints four rising bars.
fn bars(
    rect: Rect,
    filled: u8,
    crossed: bool,
    palette: &super::Palette,
    ink: u32,
    part: &mut Part<'_>,
) {
    let faint = palette.colour(super::Ink::Faint);
    let step = rect.w / 4;
    for bar in 0..4 {
        let height = rect.h * (bar + 1) / 4;
        let place = Rect::new(
            rect.x + bar * step,
            rect.bottom() - height,
            step * 3 / 4,
            height,
        );
        part.fill(place, if bar < i32::from(filled) { ink } else { faint });
    }
    if crossed {
        strike(rect.inside(0, 0), ink, rect.intersection(part.rect), part);
    }
}

/// Paints a QR code with its quiet zone, black on white in every theme, as phones expect it.
fn code(rect: Rect, rows: &[u64], part: &mut Part<'_>) {
    let modules = rows.len() as i32;
    let side = rect.w.min(rect.h);
    let scale = side / (modules + 4).max(1);
    let (x, y) = (rect.x + (rect.w - side) / 2, rect.y + (rect.h - side) / 2);
    part.fill(Rect::new(x, y, side, side), 0x00FF_FFFF);
    let margin = (side - scale * modules) / 2;
    for (down, row) in (0..).zip(rows) {
        for across in (0..modules).filter(|across| row >> across & 1 == 1) {
            let (x, y) = (x + margin + across * scale, y + margin + down * scale);
            part.fill(Rect::new(x, y, scale, scale), 0);
        }
    }
}
