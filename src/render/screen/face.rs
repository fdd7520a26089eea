//! The font of the big screen: its widths, and its glyphs as masks of 8 bits a pixel. The glyphs are
//! rasterised from their outlines when they are first needed. The font is Barlow Semi Condensed with
//! digits of one width (`OFL.txt`).

use std::collections::HashMap;

use ab_glyph::{Font, FontRef, Glyph, GlyphId, Point};

const FILE: &[u8] = include_bytes!("BarlowSemiCondensed.ttf");
/// The characters with a width in the table: ASCII.
const ASCII: usize = 128;
/// The height of a capital letter in units of the font; an em has 1000 units.
const CAPITAL: f32 = 700.0;
/// The size of small characters in a text, in 1/256 of the usual size.
const SMALL: u32 = 158;
/// The maximum size of all masks together in bytes. Above that, all masks are made again.
const MASKS: usize = 3 << 20;

/// The mask of one glyph.
#[derive(Debug)]
pub(crate) struct Mask {
    /// The first column, counted from the pen.
    pub(crate) left: i32,
    /// The first row, counted from the baseline; negative above it.
    pub(crate) top: i32,
    /// The number of columns.
    pub(crate) width: i32,
    /// The number of rows.
    pub(crate) height: i32,
    /// The coverage of each pixel, row by row.
    pub(crate) coverage: Box<[u8]>,
}

/// The font with the masks that are in use.
pub(crate) struct Face {
    font: FontRef<'static>,
    /// The widths of the ASCII characters in 1/1000 of an em.
    widths: [u16; ASCII],
    masks: HashMap<(u8, u16), Mask>,
    bytes: usize,
    /// The mixtures of two colours, for each coverage.
    mixtures: HashMap<(u32, u32), Box<[u32; 256]>>,
}

/// The widths of the characters, for the layout.
#[derive(Clone, Debug)]
pub struct Widths([u16; ASCII]);

impl Widths {
    /// Reads the widths from the font.
    pub fn new() -> Self {
        Self(font().map(|font| widths(&font)).unwrap_or([0; ASCII]))
    }

    /// Returns the width of a text in pixels. `small` characters at its end are smaller.
    pub(crate) fn of(&self, text: &str, size: u16, small: u8) -> i32 {
        let pens = Pens::new(&self.0, text, size, small);
        pens.last().map_or(0, |pen| pen.x + pen.advance)
    }

    /// Returns the largest size up to `most` at which a text is at most `room` pixels wide.
    pub(crate) fn fit(&self, text: &str, small: u8, room: i32, most: i32) -> u16 {
        let most = most.clamp(1, 4_000);
        let width = self.of(text, 1_000, small).max(1);
        let size = (i64::from(room.max(0)) * 1_000 / i64::from(width)) as i32;
        let mut size = size.clamp(1, most) as u16;
        // The widths of single characters are rounded, so the size can be too large by a little.
        while size > 1 && self.of(text, size, small) > room {
            size -= 1;
        }
        size
    }
}

impl Default for Widths {
    fn default() -> Self {
        Self::new()
    }
}

fn font() -> Option<FontRef<'static>> {
    // The font is a part of the program, and a test reads it.
    FontRef::try_from_slice(FILE).ok()
}

fn widths(font: &FontRef<'_>) -> [u16; ASCII] {
    let mut widths = [0; ASCII];
    for (character, width) in (0u8..).zip(&mut widths) {
        *width = font.h_advance_unscaled(font.glyph_id(unicode(character))) as u16;
    }
    widths
}

/// The place of one character in a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pen {
    /// The character; `?` for a character that the font does not have.
    pub(crate) character: u8,
    /// The start in pixels, counted from the start of the text.
    pub(crate) x: i32,
    /// The width in pixels.
    pub(crate) advance: i32,
    /// The height of a capital letter in pixels.
    pub(crate) size: u16,
}

/// The places of the characters of a text.
pub(crate) struct Pens<'a> {
    widths: &'a [u16; ASCII],
    characters: core::str::Chars<'a>,
    left: usize,
    x: i32,
    size: u16,
    small: usize,
}

impl<'a> Pens<'a> {
    fn new(widths: &'a [u16; ASCII], text: &'a str, size: u16, small: u8) -> Self {
        Self {
            widths,
            characters: text.chars(),
            left: text.chars().count(),
            x: 0,
            size,
            small: small.into(),
        }
    }
}

impl Iterator for Pens<'_> {
    type Item = Pen;

    fn next(&mut self) -> Option<Pen> {
        let character = self.characters.next()?;
        let character = match character {
            ' '..='~' => character as u8,
            // The font of the panel has this sign at the same place.
            '±' | '\u{7f}' => PLUS_MINUS,
            _ => b'?',
        };
        let size = match self.left <= self.small {
            true => (u32::from(self.size) * SMALL / 256) as u16,
            false => self.size,
        };
        self.left -= 1;
        let width = u32::from(self.widths[usize::from(character) % ASCII]);
        let advance = ((width * u32::from(size) * 2 + 700) / 1_400) as i32;
        let pen = Pen {
            character,
            x: self.x,
            advance,
            size,
        };
        self.x += advance;
        Some(pen)
    }
}

/// The character for the sign plus-minus.
const PLUS_MINUS: u8 = 0x7f;

/// Returns the character as the font knows it.
fn unicode(character: u8) -> char {
    match character {
        PLUS_MINUS => '±',
        other => char::from(other),
    }
}

impl Face {
    pub(crate) fn new() -> Option<Self> {
        let font = font()?;
        Some(Self {
            widths: widths(&font),
            font,
            masks: HashMap::new(),
            bytes: 0,
            mixtures: HashMap::new(),
        })
    }

    /// Returns the places of the characters of a text.
    pub(crate) fn pens<'a>(&'a self, text: &'a str, size: u16, small: u8) -> Pens<'a> {
        Pens::new(&self.widths, text, size, small)
    }

    /// Makes the mask of each character of a text.
    pub(crate) fn prepare(&mut self, text: &str, size: u16, small: u8) {
        let widths = self.widths;
        for pen in Pens::new(&widths, text, size, small) {
            if !self.masks.contains_key(&(pen.character, pen.size)) {
                let mask = self.rasterise(pen.character, pen.size);
                self.bytes += mask.coverage.len();
                self.masks.insert((pen.character, pen.size), mask);
            }
        }
    }

    /// Makes the mixtures of a background and an ink for each coverage.
    pub(crate) fn prepare_mixture(&mut self, back: u32, ink: u32) {
        let mixed = |part: usize| super::scene::mix(back, ink, part as u32);
        let mixtures = || Box::new(core::array::from_fn(mixed));
        self.mixtures.entry((back, ink)).or_insert_with(mixtures);
    }

    /// Returns the mixtures that have been prepared.
    pub(crate) fn mixture(&self, back: u32, ink: u32) -> Option<&[u32; 256]> {
        self.mixtures.get(&(back, ink)).map(|mixtures| &**mixtures)
    }

    /// Removes all masks and mixtures if they need too much memory.
    pub(crate) fn trim(&mut self) {
        // Each brightness has its own mixtures.
        if self.mixtures.len() > 64 {
            self.mixtures.clear();
        }
        if self.bytes > MASKS {
            self.masks.clear();
            self.bytes = 0;
        }
    }

    /// Returns a mask that has been prepared.
    pub(crate) fn mask(&self, pen: Pen) -> Option<&Mask> {
        self.masks.get(&(pen.character, pen.size))
    }

    fn rasterise(&self, character: u8, size: u16) -> Mask {
        let id: GlyphId = self.font.glyph_id(unicode(character));
        // The scale is the distance from the ascent to the descent of the font.
        let scale = f32::from(size) / CAPITAL * self.font.height_unscaled();
        let glyph: Glyph = id.with_scale_and_position(scale, Point::default());
        let Some(outline) = self.font.outline_glyph(glyph) else {
            return Mask {
                left: 0,
                top: 0,
                width: 0,
                height: 0,
                coverage: Box::default(),
            };
        };
        let bounds = outline.px_bounds();
        let (width, height) = (bounds.width() as usize, bounds.height() as usize);
        let mut coverage = vec![0; width * height].into_boxed_slice();
        outline.draw(|x, y, part| {
            let at = y as usize * width + x as usize;
            if let Some(pixel) = coverage.get_mut(at) {
                *pixel = (part.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
            }
        });
        Mask {
            left: bounds.min.x as i32,
            top: bounds.min.y as i32,
            width: width as i32,
            height: height as i32,
            coverage,
        }
    }
}

impl core::fmt::Debug for Face {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Face with {} masks", self.masks.len())
    }
}
