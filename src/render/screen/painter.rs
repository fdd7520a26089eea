//! Finds out which parts of the picture differ between two scenes, and paints only these parts, one
//! after the other, into two small buffers. This module never has the pixels of the whole screen.

use super::face::{Face, Pen};
use super::paint::{self, Part};
use super::scene::{Item, Rect, Scene, Shape, Text};

/// The number of pixels of a buffer.
const BUFFER: usize = 1 << 16;
/// The maximum number of changed parts of one text. More parts become one part.
const CELLS: usize = 12;

/// A part of the picture that has been painted again.
#[derive(Debug)]
pub struct Change<'a> {
    /// The place of the part.
    pub rect: Rect,
    /// The new pixels, `0xRRGGBB` each, row by row.
    pub pixels: &'a [u32],
    /// The previous pixels, if they are known. Only the pixels that differ need to be written.
    pub before: Option<&'a [u32]>,
}

/// Paints scenes; see the module documentation.
#[derive(Debug)]
pub struct Painter {
    face: Face,
    new: Box<[u32]>,
    old: Box<[u32]>,
}

impl Painter {
    /// Reads the font, and allocates the buffers. `None` if the font of the program is damaged.
    pub fn new() -> Option<Self> {
        Some(Self {
            face: Face::new()?,
            new: vec![0; BUFFER].into_boxed_slice(),
            old: vec![0; BUFFER].into_boxed_slice(),
        })
    }

    /// Paints what differs between two scenes, or everything if `from` is `None` or has another
    /// size or other colours. Each part goes to `put`.
    ///
    /// # Errors
    /// The first error of `put`; the rest is then not painted.
    pub fn repaint<E>(
        &mut self,
        from: Option<&Scene>,
        to: &Scene,
        put: &mut impl FnMut(Change<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.face.trim();
        let alike = |from: &&Scene| from.size == to.size && from.palette == to.palette;
        let Some(from) = from.filter(alike) else {
            return self.whole(to, to.area(), put);
        };
        let mut dirty: Vec<Rect> = Vec::new();
        for (at, item) in to.items.iter().enumerate() {
            match twin(from, at, item) {
                None => add(&mut dirty, item.rect),
                Some(before) if before == item => {}
                Some(before) => self.differing(from, to, before, item, put)?,
            }
        }
        for (at, item) in from.items.iter().enumerate() {
            if twin(to, at, item).is_none() {
                add(&mut dirty, item.rect);
            }
        }
        for rect in dirty {
            self.whole(to, rect, put)?;
        }
        Ok(())
    }

    /// Paints a part of the scene with all its items.
    fn whole<E>(
        &mut self,
        scene: &Scene,
        rect: Rect,
        put: &mut impl FnMut(Change<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for rect in bands(rect.intersection(scene.area())) {
            let pixels = &mut self.new[..(rect.w * rect.h) as usize];
            paint::scene(scene, &mut self.face, &mut Part { rect, pixels });
            put(Change {
                rect,
                pixels,
                before: None,
            })?;
        }
        Ok(())
    }

    /// Paints the parts of an item that differ from the item before it at the same place.
    fn differing<E>(
        &mut self,
        from: &Scene,
        to: &Scene,
        before: &Item,
        item: &Item,
        put: &mut impl FnMut(Change<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let same_inks = (before.back, before.ink) == (item.back, item.ink);
        let cells = match (&before.shape, &item.shape) {
            (Shape::Text(one), Shape::Text(other)) if same_inks => {
                self.cells(one, other, item.rect)
            }
            (Shape::Marker(one), Shape::Marker(other)) if same_inks => {
                let [one, other] = [*one, *other].map(|at| paint::marker_area(item.rect, at));
                Some(heapless::Vec::from_iter([one.union(other)]))
            }
            _ => None,
        };
        let everything = heapless::Vec::from_iter([item.rect]);
        for cell in cells.unwrap_or(everything) {
            for rect in bands(cell.intersection(item.rect)) {
                let size = (rect.w * rect.h) as usize;
                let pixels = &mut self.old[..size];
                paint::item(from, before, &mut self.face, &mut Part { rect, pixels });
                let pixels = &mut self.new[..size];
                paint::item(to, item, &mut self.face, &mut Part { rect, pixels });
                put(Change {
                    rect,
                    pixels: &self.new[..size],
                    before: Some(&self.old[..size]),
                })?;
            }
        }
        Ok(())
    }

    /// Returns the parts of a text that differ, if all characters have kept their places.
    fn cells(
        &mut self,
        one: &Text,
        other: &Text,
        rect: Rect,
    ) -> Option<heapless::Vec<Rect, CELLS>> {
        if (one.struck, one.align) != (other.struck, other.align) {
            return None;
        }
        let (x, base) = paint::place(one, rect, &self.face);
        if (x, base) != paint::place(other, rect, &self.face) {
            return None;
        }
        self.face.prepare(&one.text, one.size, one.small);
        self.face.prepare(&other.text, other.size, other.small);
        let mut cells: heapless::Vec<Rect, CELLS> = heapless::Vec::new();
        let mut others = self.face.pens(&other.text, other.size, other.small);
        for pen in self.face.pens(&one.text, one.size, one.small) {
            let twin = others.next()?;
            let place = |pen: Pen| (pen.x, pen.advance, pen.size);
            if place(pen) != place(twin) {
                return None;
            }
            if pen.character == twin.character {
                continue;
            }
            let inked = [pen, twin].map(|pen| paint::glyph_area(&self.face, pen, (x, base)));
            let cell = inked[0]?.union(inked[1]?);
            match cells.last_mut() {
                // Neighbours share their rows, and each row is one write.
                Some(last) if last.right() + cell.h / 2 >= cell.x => *last = last.union(cell),
                _ => cells.push(cell).ok()?,
            }
        }
        others.next().is_none().then_some(cells)
    }
}

/// Returns the item of a scene at the same place, which is usually the one with the same number.
fn twin<'a>(scene: &'a Scene, at: usize, item: &Item) -> Option<&'a Item> {
    let same = |other: &&Item| other.rect == item.rect && is_fill(other) == is_fill(item);
    let nth = scene.items.get(at).filter(same);
    nth.or_else(|| scene.items.iter().find(same))
}

/// Returns true for a background, which has other items on it.
fn is_fill(item: &Item) -> bool {
    item.shape == Shape::Fill
}

/// Adds a rectangle, unless it is inside another one.
fn add(dirty: &mut Vec<Rect>, rect: Rect) {
    if dirty.iter().any(|other| other.intersection(rect) == rect) {
        return;
    }
    dirty.retain(|other| other.intersection(rect) != *other);
    dirty.push(rect);
}

/// Returns the parts of a rectangle that fit into a buffer, from the top to the bottom.
fn bands(rect: Rect) -> impl Iterator<Item = Rect> {
    // A row is never wider than a buffer: the framebuffer is at most 16,384 pixels wide.
    let height = (BUFFER as i32 / rect.w.max(1)).max(1);
    let mut rest = if rect.is_empty() {
        Rect::default()
    } else {
        rect
    };
    core::iter::from_fn(move || {
        let band = rest.cut_top(height);
        (!band.is_empty()).then_some(band)
    })
}
