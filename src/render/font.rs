//! The fonts, turned at compile time into the bytes a frame is made of, so that drawing a
//! character is copying them. Never measures a layout.
//!
//! A panel's byte is eight dots of one column, a font file's is eight dots of one row; turning
//! one into the other dot by dot at every tick would cost more than the rest of the program.

use spleen_font::{FONT_5X8, FONT_8X16, FONT_12X24, FONT_16X32};

use core::cell::Cell;

use super::{Frame, WIDTH};

/// The fonts in every size and place the layouts use.
#[derive(Clone, Debug)]
pub struct FontSet {
    /// 16×32 with a raised fraction.
    pub(super) huge: NumberStyle,
    /// 12×24 with a raised fraction.
    pub(super) large: NumberStyle,
    /// 8×16.
    pub(super) medium: NumberStyle,
    /// 5×8.
    pub(super) small: NumberStyle,
    /// 8×16, vertically centred in its two pages: words, and inverted in badges.
    pub(super) word: Font,
    /// 5×8 with capitals a row lower, so that inverted text keeps a lit rim.
    pub(super) badge: Font,
    /// The time of day as it was last set in small letters; it is on every page, and another one
    /// only once a minute.
    pub(super) time: Cell<Option<CachedTime>>,
}

/// A time that was set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CachedTime {
    /// Hours and minutes, and whether they are written in twelve hours.
    pub(super) of: (Option<(u8, u8)>, bool),
    /// Its columns; those beyond its width are blank.
    pub(super) dots: [u8; CachedTime::ROOM],
    pub(super) width: usize,
}

impl CachedTime {
    /// Columns of the longest time, and some.
    pub(super) const ROOM: usize = 32;
}

impl FontSet {
    /// All fonts; free, for they were drawn by the compiler.
    pub const fn new() -> Self {
        Self {
            huge: NumberStyle {
                whole: HUGE.font(),
                fraction: RAISED_HUGE.font(),
                strike: StrikeOut {
                    rise: (5, 25),
                    dots: 0b11,
                    whole: DigitFade::Grey,
                    fraction: DigitFade::Thin,
                },
            },
            large: NumberStyle {
                whole: LARGE.font(),
                fraction: RAISED_LARGE.font(),
                strike: StrikeOut {
                    rise: (3, 18),
                    dots: 0b11,
                    whole: DigitFade::Grey,
                    fraction: DigitFade::Thin,
                },
            },
            medium: NumberStyle {
                whole: MEDIUM.font(),
                fraction: MEDIUM.font(),
                strike: StrikeOut {
                    rise: (1, 11),
                    dots: 0b1,
                    whole: DigitFade::Thin,
                    fraction: DigitFade::Thin,
                },
            },
            small: NumberStyle {
                whole: SMALL.font(),
                fraction: SMALL.font(),
                strike: StrikeOut {
                    rise: (3, 3),
                    dots: 0b1,
                    whole: DigitFade::None,
                    fraction: DigitFade::None,
                },
            },
            word: WORD.font(),
            badge: BADGE.font(),
            time: Cell::new(None),
        }
    }
}

impl Default for FontSet {
    fn default() -> Self {
        Self::new()
    }
}

/// How a price is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NumberStyle {
    /// The font of `5,912`.
    pub(super) whole: Font,
    /// The font of `.41`.
    pub(super) fraction: Font,
    /// How it looks when it is no longer true.
    pub(super) strike: StrikeOut,
}

/// How a price of one size is struck out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StrikeOut {
    /// The rows of the line through the whole part: where it ends on the right, and where it
    /// starts on the left.
    pub(super) rise: (u32, u32),
    /// The thickness of the line, a bit a dot.
    pub(super) dots: u32,
    /// What becomes of the whole part below the line.
    pub(super) whole: DigitFade,
    /// What becomes of the fraction.
    pub(super) fraction: DigitFade,
}

/// What is taken from digits so that they look faint and still read.
#[derive(Clone, Copy, Debug)]
pub(super) enum DigitFade {
    /// Every other dot, as on a chessboard: for strokes of two dots.
    Grey,
    /// Half of each upright stroke: for digits whose level strokes are but one dot.
    Thin,
    /// Nothing: for digits with nothing to spare.
    None,
}

/// One font: page-ordered columns of each character.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Font {
    /// Height in pages.
    pub(super) pages: usize,
    /// Bytes of a character's row: its width, and blank columns up to a power of two.
    pub(super) stride: usize,
    /// The code of the first character; the others follow.
    first: u8,
    /// How many columns each character takes.
    advances: &'static [u8],
    /// Of each character `pages` × `stride` bytes, its ink at the left.
    columns: &'static [u8],
}

impl Font {
    /// How many columns a text takes, the blank one after its last character included.
    pub(super) fn width(&self, text: &str) -> usize {
        let mut width = 0;
        for code in text.bytes() {
            // The tail of a UTF-8 sequence is no character of its own.
            if code & 0xC0 != 0x80 {
                width += usize::from(self.advances[self.glyph(code)]);
            }
        }
        width
    }

    /// Writes a text on dark ground from column `x`, its top on `page`; returns the column after.
    ///
    /// Layouts measure first; a character that would cross the right edge is left out here only
    /// so that nothing is ever written elsewhere.
    pub(super) fn write(&self, frame: &mut Frame, x: usize, page: usize, text: &str) -> usize {
        match (self.pages, self.stride) {
            (1, 8) => self.copy::<1, 8, 8>(frame, x, page, text),
            (2, 8) => self.copy::<2, 8, { WIDTH + 8 }>(frame, x, page, text),
            (3, 16) => self.copy::<3, 16, { 2 * WIDTH + 16 }>(frame, x, page, text),
            _ => self.copy::<4, 16, { 3 * WIDTH + 16 }>(frame, x, page, text),
        }
    }

    /// The sizes as constants, `REACH` being from a character's first byte in a frame to its
    /// last: so one check is enough for a character, and a row of it is one or two words.
    fn copy<const PAGES: usize, const STRIDE: usize, const REACH: usize>(
        &self,
        frame: &mut Frame,
        x: usize,
        page: usize,
        text: &str,
    ) -> usize {
        debug_assert!(
            frame.vacant(x..x + self.width(text), page..page + PAGES),
            "{text:?} lies on something at column {x} of page {page}:\n{frame}"
        );
        let bytes = frame.as_bytes_mut();
        let (cells, _) = self.columns.as_chunks::<STRIDE>().0.as_chunks::<PAGES>();
        let mut x = x;
        for code in text.bytes() {
            if code & 0xC0 == 0x80 {
                continue;
            }
            let glyph = self.glyph(code);
            let (cell, advance) = (&cells[glyph], usize::from(self.advances[glyph]));
            if x + advance > WIDTH {
                break;
            }
            let rest = bytes.get_mut(page * WIDTH + x..).unwrap_or_default();
            // Added, not put: the blank columns on the right may lie on a neighbour.
            if let Some(dots) = rest.first_chunk_mut::<REACH>() {
                for (page, row) in cell.iter().enumerate() {
                    // One word a row, of eight bytes or of sixteen.
                    let dots = &mut dots[page * WIDTH..];
                    if let (Some(dots), Some(row)) =
                        (dots.first_chunk_mut::<16>(), row.first_chunk::<16>())
                    {
                        let word = u128::from_ne_bytes(*dots) | u128::from_ne_bytes(*row);
                        *dots = word.to_ne_bytes();
                    } else if let (Some(dots), Some(row)) =
                        (dots.first_chunk_mut::<8>(), row.first_chunk::<8>())
                    {
                        let word = u64::from_ne_bytes(*dots) | u64::from_ne_bytes(*row);
                        *dots = word.to_ne_bytes();
                    }
                }
            } else {
                // At the very end of the frame there is no room for the blank columns.
                for (dots, row) in rest.chunks_mut(WIDTH).zip(cell) {
                    for (dots, row) in dots.iter_mut().zip(row) {
                        *dots |= row;
                    }
                }
            }
            x += advance;
        }
        x
    }

    /// The place of a character in this font. What it has not got is a question mark, or the
    /// first character where it has not got that either.
    #[inline]
    fn glyph(&self, code: u8) -> usize {
        let place = |code: u8| usize::from(code.wrapping_sub(self.first));
        let count = self.advances.len();
        match place(code) {
            known if known < count => known,
            _ => Some(place(b'?')).filter(|at| *at < count).unwrap_or(0),
        }
    }
}

/// Printable ASCII, and [`PLUS_MINUS`].
const ASCII: (u8, usize) = (b' ', 96);
/// From the space to the digits: all that a price is made of, whatever stands between thousands.
const PRICE: (u8, usize) = (b' ', 26);

/// The sign ± has the place after the last character of ASCII, which prints nothing; the fonts
/// have it nowhere.
pub(super) const PLUS_MINUS: char = '\u{7f}';
/// Its rows in the small font, the leftmost dot in the highest bit.
const PLUS_MINUS_ROWS: [u8; 8] = [0, 0x40, 0xE0, 0x40, 0, 0xE0, 0, 0];

static HUGE: FontSheet<{ 26 * 64 }, 26> = FontSheet::draw(FONT_16X32, (16, 32), PRICE, 0, false);
static LARGE: FontSheet<{ 26 * 48 }, 26> = FontSheet::draw(FONT_12X24, (12, 24), PRICE, 0, false);
// Their digits' tops stand at the tops of the digits beside them.
static RAISED_HUGE: FontSheet<{ 26 * 16 }, 26> =
    FontSheet::draw(FONT_8X16, (8, 16), PRICE, 4, false);
static RAISED_LARGE: FontSheet<{ 26 * 16 }, 26> =
    FontSheet::draw(FONT_8X16, (8, 16), PRICE, 2, false);
static MEDIUM: FontSheet<{ 26 * 16 }, 26> = FontSheet::draw(FONT_8X16, (8, 16), PRICE, 0, false);
static WORD: FontSheet<{ 96 * 16 }, 96> = FontSheet::draw(FONT_8X16, (8, 16), ASCII, 1, false);
static SMALL: FontSheet<{ 96 * 8 }, 96> = FontSheet::draw(FONT_5X8, (5, 8), ASCII, 0, false);
static BADGE: FontSheet<{ 96 * 8 }, 96> = FontSheet::draw(FONT_5X8, (5, 8), ASCII, 0, true);

/// A font file turned into columns.
struct FontSheet<const BYTES: usize, const COUNT: usize> {
    stride: usize,
    first: u8,
    advances: [u8; COUNT],
    columns: [u8; BYTES],
}

impl<const BYTES: usize, const COUNT: usize> FontSheet<BYTES, COUNT> {
    /// Turns the characters of a PSF file (version 1 or 2), `down` rows lower than they stand
    /// there. A file that is not what we think stops the build.
    ///
    /// spleen-font's own reader is not `const`; its glyphs start right after the header, by code.
    const fn draw(
        psf: &[u8],
        (width, height): (usize, usize),
        (first, count): (u8, usize),
        down: usize,
        rim: bool,
    ) -> Self {
        let header = match psf {
            [0x36, 0x04, _, size, ..] => {
                assert!(width == 8 && *size as usize == height);
                4
            }
            [0x72, 0xB5, 0x4A, 0x86, ..] => {
                assert!(psf[8] == 32 && psf[24] as usize == height && psf[28] as usize == width);
                32
            }
            _ => panic!("not a PSF font"),
        };
        let stride = width.next_power_of_two();
        assert!(count == COUNT && COUNT * stride * (height / 8) == BYTES);
        let line = width.div_ceil(8);
        let mut advances = [width as u8; COUNT];
        let mut columns = [0; BYTES];
        let mut glyph = 0;
        while glyph < COUNT {
            let code = first as usize + glyph;
            let cell = header + code * line * height;
            let squashed = rim && psf[cell] != 0;
            // Row 5 repeats row 4 in every capital of the small font; of `!` row 5 is the gap.
            let spare = if code as u8 == b'!' { 4 } else { 5 };
            // Digits are tabular; what separates them takes only its ink and a gap.
            let narrow = matches!(code as u8, b',' | b'.' | b':' | b'\'');
            let (mut left, mut right) = (width, 0);
            let mut at = 0;
            while narrow && at < height * width {
                let (row, x) = (at / width, at % width);
                if lit(psf, cell, line, (code, width), (x, row)) {
                    left = if x < left { x } else { left };
                    right = if x > right { x } else { right };
                }
                at += 1;
            }
            if narrow {
                advances[glyph] = (right - left + 2) as u8;
            } else if code as u8 == b' ' && COUNT == PRICE.1 {
                // Between thousands: a gap that still holds the digits of one number together.
                advances[glyph] = (width * 3 / 8) as u8;
                left = 0;
            } else {
                left = 0;
            }
            let mut row = 0;
            while row < height {
                let to = if !squashed || row > spare {
                    row + down
                } else if row == spare {
                    height
                } else {
                    row + 1
                };
                let mut x = left;
                while x < width && to < height {
                    if lit(psf, cell, line, (code, width), (x, row)) {
                        let column = (glyph * (height / 8) + to / 8) * stride + x - left;
                        columns[column] |= 1 << (to % 8);
                    }
                    x += 1;
                }
                row += 1;
            }
            glyph += 1;
        }
        Self {
            stride,
            first,
            advances,
            columns,
        }
    }

    const fn font(&'static self) -> Font {
        Font {
            pages: BYTES / COUNT / self.stride,
            stride: self.stride,
            first: self.first,
            advances: &self.advances,
            columns: &self.columns,
        }
    }
}

/// Whether a dot of a character is lit.
const fn lit(
    psf: &[u8],
    cell: usize,
    line: usize,
    (code, width): (usize, usize),
    (x, row): (usize, usize),
) -> bool {
    let byte = if code == PLUS_MINUS as usize && width == 5 {
        PLUS_MINUS_ROWS[row]
    } else {
        psf[cell + row * line + x / 8]
    };
    byte >> (7 - x % 8) & 1 == 1
}
