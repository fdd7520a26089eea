//! Scales a picture to the characters of a terminal. Each character shows two dots, one above the
//! other, in shades of grey. A picture that is smaller than the panel uses characters of four
//! quarters in two shades, so that small text stays readable. This module writes no control
//! sequence except colours.

use std::fmt::Write;

use crate::render::{Frame, WIDTH};

/// The smallest width at which the large digits and the words of a picture can be read.
const READABLE: usize = 76;
/// The first and the last entry of the grey ramp in the palette of 256 colours, without the darkest
/// shade. An unlit dot has the first entry, so that the panel differs from a black terminal.
const GREYS: (u8, u8) = (233, 255);
/// The exponent of the brightness. A dot that is half covered looks brighter than half.
const GAMMA: f32 = 0.6;

/// A picture in the size of the terminal.
pub(super) struct Picture<'a> {
    frame: &'a Frame,
    /// The width and the height in dots of the terminal.
    width: usize,
    height: usize,
}

impl<'a> Picture<'a> {
    /// Returns the largest picture that fits into these columns and rows. Returns `None` if the
    /// picture would be too small for a reader, unless `always` is true.
    pub(super) fn fitting(
        frame: &'a Frame,
        columns: usize,
        rows: usize,
        always: bool,
    ) -> Option<Self> {
        let height = frame.size().height();
        let widest = columns.min(2 * rows * WIDTH / height);
        // A picture larger than the panel is scaled only by a whole number (2, 3, ...), so that all
        // dots have the same size.
        let width = if widest >= WIDTH {
            widest - widest % WIDTH
        } else {
            widest
        };
        let picture = Self {
            frame,
            width,
            height: (width * height / WIDTH).next_multiple_of(2),
        };
        (width >= READABLE || (always && width > 0)).then_some(picture)
    }

    pub(super) const fn columns(&self) -> usize {
        self.width
    }

    pub(super) const fn rows(&self) -> usize {
        self.height / 2
    }

    /// Appends one row of characters.
    pub(super) fn draw_row(&self, row: usize, out: &mut String) {
        let mut colours = None;
        for x in 0..self.width {
            let (shape, front, back) = if self.width < WIDTH {
                let quarter = |at: usize| self.cover(2 * x + at % 2, 2 * row + at / 2, 2);
                two_shades([0, 1, 2, 3].map(quarter))
            } else {
                let [upper, lower] = [0, 1].map(|half| self.cover(x, 2 * row + half, 1));
                ('▀', grey(upper), grey(lower))
            };
            if colours != Some((front, back)) {
                colours = Some((front, back));
                // Writing to a string never fails.
                let _ = write!(out, "\x1b[38;5;{front};48;5;{back}m");
            }
            out.push(shape);
        }
    }

    /// Returns the lit part of the picture below one dot of the terminal, 0 to 1. A dot is as wide
    /// as a character, divided by `across`.
    fn cover(&self, x: usize, y: usize, across: usize) -> f32 {
        let height = self.frame.size().height();
        let (left, right) = span(x, self.width * across, WIDTH);
        let (top, bottom) = span(y, self.height, height);
        let mut lit = 0.0;
        for (row, tall) in parts(top, bottom).filter(|(row, _)| *row < height) {
            for (column, wide) in parts(left, right).filter(|(column, _)| *column < WIDTH) {
                if self.frame.lit(column, row) {
                    lit += tall * wide;
                }
            }
        }
        lit / ((right - left) * (bottom - top))
    }
}

/// Returns the range of the source below the dot `at` of `count` dots.
fn span(at: usize, count: usize, source: usize) -> (f32, f32) {
    let step = source as f32 / count as f32;
    (at as f32 * step, (at + 1) as f32 * step)
}

/// Returns the whole dots in a range, with the part of each dot that is in the range.
fn parts(from: f32, to: f32) -> impl Iterator<Item = (usize, f32)> {
    (from as usize..=to as usize).map(move |dot| {
        let begin = from.max(dot as f32);
        let end = to.min((dot + 1) as f32);
        (dot, (end - begin).max(0.0))
    })
}

/// Returns the character and its two shades that are most similar to the four quarters of a
/// character cell. The quarters are in reading order: the upper two, then the lower two.
fn two_shades(quarters: [f32; 4]) -> (char, u8, u8) {
    /// The characters by their lit quarters: bit 0 is the upper left quarter, bit 3 the lower right
    /// one (Unicode, block Block Elements).
    const SHAPES: [char; 16] = [
        ' ', '▘', '▝', '▀', '▖', '▌', '▞', '▛', '▗', '▚', '▐', '▜', '▄', '▙', '▟', '█',
    ];
    let mean = |mask: usize| {
        let chosen = (0..4).filter(|at| mask >> at & 1 == 1);
        let count = chosen.clone().count().max(1);
        chosen.map(|at| quarters[at]).sum::<f32>() / count as f32
    };
    let error = |mask: usize| {
        let means = [mean(!mask & 15), mean(mask)];
        let each = (0..4).map(|at| (quarters[at] - means[mask >> at & 1]).powi(2));
        each.sum::<f32>()
    };
    // A mask and its opposite give the same picture, so half of the masks are enough.
    let best = (0..8).min_by(|one, other| error(*one).total_cmp(&error(*other)));
    let best = best.unwrap_or_default();
    (SHAPES[best], grey(mean(best)), grey(mean(!best & 15)))
}

fn grey(cover: f32) -> u8 {
    let (first, last) = GREYS;
    first + (cover.clamp(0.0, 1.0).powf(GAMMA) * f32::from(last - first)).round() as u8
}
