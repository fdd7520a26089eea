//! The fonts, converted at compile time into the byte layout of a frame, so that drawing a
//! character only copies bytes. This module never decides where a text is placed.
//!
//! A byte of a panel is eight dots of one column, but a byte of a font file is eight dots of one
//! row. A conversion at each price change would cost more than the rest of the program.

use core::cell::Cell;

use spleen_font::{FONT_5X8, FONT_8X16, FONT_12X24, FONT_16X32};

use super::{Frame, WIDTH};

/// The fonts in all sizes and positions that the layouts use.
#[derive(Clone, Debug)]
pub struct FontSet {
    /// Prices in 16×32 dots with a raised fraction.
    pub(super) huge: NumberStyle,
    /// Prices in 12×24 dots with a raised fraction.
    pub(super) large: NumberStyle,
    /// Prices in 8×16 dots.
    pub(super) medium: NumberStyle,
    /// Prices and text in 5×8 dots.
    pub(super) small: NumberStyle,
    /// Words in 8×16 dots, vertically centred in two pages; also for large badges.
    pub(super) word: Font,
    /// Text for badges in 5×8 dots. The capitals are one row lower, so that the inverted text has a
    /// lit row above it.
    pub(super) badge: Font,
    /// The time of day as it was last drawn in the small font. Every page shows the time, but the
    /// time changes only once a minute.
    pub(super) time: Cell<Option<CachedTime>>,
}

/// A time of day that has already been drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CachedTime {
    /// The hours and minutes, and true if the time has the twelve-hour format.
    pub(super) of: (Option<(u8, u8)>, bool),
    /// The dots of the columns; the columns after `width` are dark.
    pub(super) dots: [u8; CachedTime::ROOM],
    pub(super) width: usize,
}

impl CachedTime {
    /// The number of stored columns, which is enough for the longest time.
    pub(super) const ROOM: usize = 32;
}

impl FontSet {
    /// Returns all fonts. The call costs almost nothing, because the fonts are converted at compile
    /// time.
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

/// The fonts of a price, and the way to strike it out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NumberStyle {
    /// The font of the whole part, such as `5,912`.
    pub(super) whole: Font,
    /// The font of the fraction, such as `.41`.
    pub(super) fraction: Font,
    /// The way to strike out a stale price.
    pub(super) strike: StrikeOut,
}

/// The way to strike out a price of one size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StrikeOut {
    /// The rows of the line through the whole part: the row of its right end, and the row of its
    /// left end.
    pub(super) rise: (u32, u32),
    /// The thickness of the line as a bit mask, one bit for each dot.
    pub(super) dots: u32,
    /// The fading of the whole part, over which the line is drawn.
    pub(super) whole: DigitFade,
    /// The fading of the fraction.
    pub(super) fraction: DigitFade,
}

/// The dots that are removed from digits, so that they look faint but stay readable.
#[derive(Clone, Copy, Debug)]
pub(super) enum DigitFade {
    /// Every second dot is removed, as on a chessboard. This is for strokes that are two dots
    /// thick.
    Grey,
    /// Half of each vertical stroke is removed. This is for digits whose horizontal strokes are one
    /// dot thick.
    Thin,
    /// No dots are removed, because the digits would not be readable with fewer dots.
    None,
}

/// A font. Each character is stored as columns, page by page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Font {
    /// The height in pages of eight dots.
    pub(super) pages: usize,
    /// The number of bytes in one page of a character: its width, rounded up to a power of two with
    /// dark columns.
    pub(super) stride: usize,
    /// The code of the first character. The other characters follow without gaps.
    first: u8,
    /// The width of each character in columns.
    advances: &'static [u8],
    /// The dots of each character, `pages` × `stride` bytes, aligned to the left.
    columns: &'static [u8],
}

impl Font {
    /// Returns the width of a text in columns, with the dark column after its last character.
    pub(super) fn width(&self, text: &str) -> usize {
        let mut width = 0;
        for code in text.bytes() {
            // The continuation bytes of a UTF-8 sequence are not separate characters.
            if code & 0xC0 != 0x80 {
                width += usize::from(self.advances[self.glyph(code)]);
            }
        }
        width
    }

    /// Writes a text on a dark background, from column `x` and with its top at `page`. Returns the
    /// column after the text.
    ///
    /// The layouts measure a text before they write it. A character that crosses the right edge is
    /// left out, so that no bytes on the next page change.
    pub(super) fn write(&self, frame: &mut Frame, x: usize, page: usize, text: &str) -> usize {
        match (self.pages, self.stride) {
            (1, 8) => self.copy::<1, 8, 8>(frame, x, page, text),
            (2, 8) => self.copy::<2, 8, { WIDTH + 8 }>(frame, x, page, text),
            (3, 16) => self.copy::<3, 16, { 2 * WIDTH + 16 }>(frame, x, page, text),
            _ => self.copy::<4, 16, { 3 * WIDTH + 16 }>(frame, x, page, text),
        }
    }

    /// Copies the characters of a text. The sizes are constants, and `REACH` is the distance in a
    /// frame from the first byte of a character to its last. So each character needs only one
    /// bounds check, and each of its rows is copied as one word.
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
            // The dots are combined with OR, because the dark columns on the right may overlap the
            // next character.
            if let Some(dots) = rest.first_chunk_mut::<REACH>() {
                for (page, row) in cell.iter().enumerate() {
                    // A row is one word of eight or sixteen bytes.
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
                // At the end of the frame there is no space for the dark columns.
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

    /// Returns the position of a character in this font. A character that the font does not contain
    /// becomes a question mark, or the first character of the font if the font has no question
    /// mark.
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

/// The printable ASCII characters and [`PLUS_MINUS`]: the first code and the number of characters.
const ASCII: (u8, usize) = (b' ', 96);
/// The characters from the space to the digits: all characters of a price, with every thousands
/// separator.
const PRICE: (u8, usize) = (b' ', 26);

/// The code of the sign ±, which the font files do not contain. The sign has the code after the
/// last printable character of ASCII.
pub(super) const PLUS_MINUS: char = '\u{7f}';
/// The rows of the sign ± in the small font. The highest bit is the leftmost dot.
const PLUS_MINUS_ROWS: [u8; 8] = [0, 0x40, 0xE0, 0x40, 0, 0xE0, 0, 0];

static HUGE: FontSheet<{ 26 * 64 }, 26> = FontSheet::draw(FONT_16X32, (16, 32), PRICE, 0, false);
static LARGE: FontSheet<{ 26 * 48 }, 26> = FontSheet::draw(FONT_12X24, (12, 24), PRICE, 0, false);
// The fractions are moved down, so that their tops have the same height as the tops of the large
// digits.
static RAISED_HUGE: FontSheet<{ 26 * 16 }, 26> =
    FontSheet::draw(FONT_8X16, (8, 16), PRICE, 4, false);
static RAISED_LARGE: FontSheet<{ 26 * 16 }, 26> =
    FontSheet::draw(FONT_8X16, (8, 16), PRICE, 2, false);
static MEDIUM: FontSheet<{ 26 * 16 }, 26> = FontSheet::draw(FONT_8X16, (8, 16), PRICE, 0, false);
static WORD: FontSheet<{ 96 * 16 }, 96> = FontSheet::draw(FONT_8X16, (8, 16), ASCII, 1, false);
static SMALL: FontSheet<{ 96 * 8 }, 96> = FontSheet::draw(FONT_5X8, (5, 8), ASCII, 0, false);
static BADGE: FontSheet<{ 96 * 8 }, 96> = FontSheet::draw(FONT_5X8, (5, 8), ASCII, 0, true);

/// A font file, converted to columns.
struct FontSheet<const BYTES: usize, const COUNT: usize> {
    stride: usize,
    first: u8,
    advances: [u8; COUNT],
    columns: [u8; BYTES],
}

impl<const BYTES: usize, const COUNT: usize> FontSheet<BYTES, COUNT> {
    /// Converts the characters of a PSF file (version 1 or 2), and moves each character down by
    /// `down` rows. With `rim`, each capital also moves down by one row. A file with another format
    /// stops the build.
    ///
    /// The reader of the spleen-font crate is not `const`. The glyphs start directly after the
    /// header, in the order of their codes.
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
            // To move a character down by one row, one row is left out. In all capitals of the
            // small font, row 5 repeats row 4, so row 5 is left out. In `!`, row 5 is the gap, so
            // row 4 is left out.
            let spare = if code as u8 == b'!' { 4 } else { 5 };
            // All digits have the same width. A separator takes only its lit columns and one dark
            // column.
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
                // The space between thousands is narrow, so that the digits still look like one
                // price.
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

/// Returns true if a dot of a character is lit.
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
