//! The fonts, converted at compile time into the byte layout of a frame, so that drawing a
//! character only copies bytes. This module never decides the position of a text.
//!
//! A byte of a panel is eight dots of one column, but a byte of a font file is eight dots of one
//! row. A conversion at each price change would cost more than the rest of the program.

use spleen_font::{FONT_5X8, FONT_8X16, FONT_12X24, FONT_16X32};

use super::frame::{Frame, WIDTH};

/// Prices in 16×32 dots with a raised fraction.
pub(crate) static HUGE: NumberStyle = NumberStyle {
    whole: DIGITS_16X32.font(false),
    fraction: HUGE_FRACTION.font(false),
    strike: Strike::Through { right: 5, left: 25 },
    fades: (DigitFade::Grey, DigitFade::Thin),
};
/// Prices in 12×24 dots with a raised fraction.
pub(crate) static LARGE: NumberStyle = NumberStyle {
    whole: DIGITS_12X24.font(false),
    fraction: LARGE_FRACTION.font(false),
    strike: Strike::Through { right: 3, left: 18 },
    fades: (DigitFade::Grey, DigitFade::Thin),
};
/// Prices in 8×16 dots.
pub(crate) static MEDIUM: NumberStyle = NumberStyle {
    whole: DIGITS_8X16.font(false),
    fraction: DIGITS_8X16.font(false),
    strike: Strike::Beside { rows: 1 | 1 << 14 },
    fades: (DigitFade::Thin, DigitFade::Thin),
};
/// Prices in 5×8 dots.
pub(crate) static SMALL: NumberStyle = NumberStyle {
    whole: LETTERS_5X8.font(false),
    fraction: LETTERS_5X8.font(false),
    strike: Strike::Beside { rows: 1 << 7 },
    fades: (DigitFade::None, DigitFade::None),
};
/// Text in 5×8 dots.
pub(crate) static TEXT: Font = LETTERS_5X8.font(false);
/// Words in 8×16 dots, vertically centred in two pages.
pub(crate) static WORD: Font = LETTERS_8X16.font(false);
/// Badges in 5×8 dots.
pub(crate) static BADGE: Font = LOWERED_5X8.font(true);
/// Badges in 8×16 dots. Their top row is dark, as a gap to the part above them.
pub(crate) static LARGE_BADGE: Font = LETTERS_8X16.font(true);
/// Badges in 12×24 dots, as high as the digits of a price. Their top row is dark.
pub(crate) static HUGE_BADGE: Font = DIGITS_12X24.font(true);

/// The fonts of a price, and the ways to draw it faint and to strike it out.
#[derive(Debug)]
pub(crate) struct NumberStyle {
    /// The font of the whole part, such as `5,912`.
    pub(super) whole: Font,
    /// The font of the fraction, such as `.41`.
    pub(super) fraction: Font,
    /// The lines of a stale price.
    pub(super) strike: Strike,
    /// The fading of the whole part and of the fraction, for a price that is struck out or closed.
    pub(super) fades: (DigitFade, DigitFade),
}

/// The lines that strike out a price.
#[derive(Clone, Copy, Debug)]
pub(super) enum Strike {
    /// A rising line of two dots through the whole part, with the rows of its two ends. A horizontal
    /// line would fill the gaps that distinguish 0, 3, 6, 8 and 9.
    Through { right: u32, left: u32 },
    /// Lines in these rows above and below the price, because a line through small digits makes them
    /// equal. The smallest digits have space only for the line below.
    Beside { rows: u32 },
}

/// The dots that are removed from digits, so that they look faint but stay readable.
#[derive(Clone, Copy, Debug)]
pub(super) enum DigitFade {
    /// Every second dot is removed, as on a chessboard. This is for strokes that are two dots
    /// thick.
    Grey,
    /// Each stroke becomes one dot thick. This is for digits whose vertical strokes are two dots
    /// thick and whose horizontal strokes are one dot thick. With gaps in their strokes, these digits
    /// would look equal.
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
    /// The width of each character in columns.
    advances: &'static [u8; GLYPHS],
    /// The width of the widest character in columns.
    widest: usize,
    /// The dots of each character, `pages` × `stride` bytes, aligned to the left.
    columns: &'static [u8],
    /// True if the text is inverted, with a lit column on each side.
    pub(super) inverted: bool,
}

impl Font {
    /// Returns the width of a text in columns, with the dark column after its last character. In an
    /// inverted text, this column is the lit column on the right.
    pub(super) fn width(&self, text: &str) -> usize {
        let mut width = usize::from(self.inverted);
        for glyph in glyphs(text) {
            width += usize::from(self.advances[glyph]);
        }
        width
    }

    /// Returns true if a text is at most `room` columns wide.
    pub(super) fn fits(&self, text: &str, room: usize) -> bool {
        // A short text needs no measurement.
        text.len() * self.widest < room || self.width(text) <= room
    }

    /// Writes a text on a dark background, from column `x` and with its top at `page`. Returns the
    /// column after the text.
    ///
    /// The layouts measure a text before they write it, so that no digit is ever cut; only debug
    /// assertions check this. A character that crosses the right edge is left out, so that no bytes
    /// on the next page change.
    pub(super) fn write(&self, frame: &mut Frame, x: usize, page: usize, text: &str) -> usize {
        debug_assert!(
            frame.vacant(x..x + self.width(text), page..page + self.pages),
            "{text:?} lies on something at column {x} of page {page}:\n{frame}"
        );
        debug_assert!(
            !frame.cuts(&(page..page + self.pages)),
            "{text:?} on page {page} has two colours:\n{frame}"
        );
        debug_assert!(
            x + self.width(text) <= WIDTH,
            "{text:?} crosses the right edge at column {x} of page {page}:\n{frame}"
        );
        let start = x + usize::from(self.inverted);
        let end = match (self.pages, self.stride) {
            (1, 8) => self.copy::<1, 8, 8>(frame, start, page, text),
            (2, 8) => self.copy::<2, 8, { WIDTH + 8 }>(frame, start, page, text),
            (3, 16) => self.copy::<3, 16, { 2 * WIDTH + 16 }>(frame, start, page, text),
            _ => self.copy::<4, 16, { 3 * WIDTH + 16 }>(frame, start, page, text),
        };
        if !self.inverted {
            return end;
        }
        let end = end.min(WIDTH);
        for row in page..page + self.pages {
            frame.invert(row, x..end);
        }
        if self.pages > 1 {
            for byte in frame.columns_mut(page, x..end) {
                *byte &= !1;
            }
        }
        end
    }

    /// Copies the characters of a text. The sizes are constants, and `REACH` is the distance in a
    /// frame from the first byte of a character to its last. Therefore each character needs only
    /// one bounds check, and each of its rows is copied as one word.
    fn copy<const PAGES: usize, const STRIDE: usize, const REACH: usize>(
        &self,
        frame: &mut Frame,
        x: usize,
        page: usize,
        text: &str,
    ) -> usize {
        let bytes = frame.padded_mut();
        let (cells, _) = self.columns.as_chunks::<STRIDE>().0.as_chunks::<PAGES>();
        let Some(cells) = cells.first_chunk::<GLYPHS>() else {
            return x;
        };
        let mut x = x;
        for glyph in glyphs(text) {
            let end = x + usize::from(self.advances[glyph]);
            if end > WIDTH {
                break;
            }
            let at = page * WIDTH + x;
            let Some(dots) = bytes.get_mut(at..at + REACH) else {
                break;
            };
            // The dots are combined with OR, because the dark columns on the right may overlap the
            // next character.
            for (page, row) in cells[glyph].iter().enumerate() {
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
            x = end;
        }
        x
    }
}

/// Returns the position in a font of each character of a text. A character that the fonts do not
/// contain becomes a question mark.
fn glyphs(text: &str) -> impl Iterator<Item = usize> {
    // The continuation bytes of a UTF-8 sequence are not separate characters.
    let codes = text.bytes().filter(|code| code & 0xC0 != 0x80);
    codes.map(|code| match usize::from(code.wrapping_sub(FIRST)) {
        place if place < GLYPHS => place,
        _ => usize::from(b'?' - FIRST),
    })
}

/// The code of the first character of each font. The other characters follow without gaps.
const FIRST: u8 = b' ';
/// The number of characters: the printable ASCII characters and [`PLUS_MINUS`].
const GLYPHS: usize = 96;

/// The code of the sign ±, which the font files do not contain. The sign has the code after the
/// last printable character of ASCII.
pub(super) const PLUS_MINUS: char = '\u{7f}';
/// The rows of the sign ± in the small font. The highest bit is the leftmost dot.
const PLUS_MINUS_ROWS: [u8; 8] = [0, 0x40, 0xE0, 0x40, 0, 0xE0, 0, 0];
/// The rows of the letter m in the small font, with three strokes. The `m` of the font file has only
/// two strokes, so it looks like a small H.
const M_ROWS: [u8; 8] = [0, 0, 0xD0, 0xA8, 0xA8, 0xA8, 0xA8, 0];
/// The width of this letter in columns: five strokes and gaps, and the dark column after them.
const M_WIDTH: usize = 6;

static DIGITS_16X32: FontSheet<64> = FontSheet::convert(FONT_16X32, (16, 32), 0, Use::Price);
static DIGITS_12X24: FontSheet<48> = FontSheet::convert(FONT_12X24, (12, 24), 0, Use::Price);
static DIGITS_8X16: FontSheet<16> = FontSheet::convert(FONT_8X16, (8, 16), 0, Use::Price);
// The fractions are moved down, so that their tops have the same height as the tops of the large
// digits.
static HUGE_FRACTION: FontSheet<16> = FontSheet::convert(FONT_8X16, (8, 16), 4, Use::Price);
static LARGE_FRACTION: FontSheet<16> = FontSheet::convert(FONT_8X16, (8, 16), 2, Use::Price);
static LETTERS_8X16: FontSheet<16> = FontSheet::convert(FONT_8X16, (8, 16), 1, Use::Text);
static LETTERS_5X8: FontSheet<8> = FontSheet::convert(FONT_5X8, (5, 8), 0, Use::Text);
static LOWERED_5X8: FontSheet<8> = FontSheet::convert(FONT_5X8, (5, 8), 0, Use::Badge);

/// The use of a font, for which some characters are changed.
enum Use {
    /// The space between thousands is narrow, so that the digits still look like one price.
    Price,
    Text,
    /// The capitals are one row lower, so that the inverted text has a lit row above it.
    Badge,
}

/// A font file, converted to columns; each character has `SIZE` bytes.
struct FontSheet<const SIZE: usize> {
    stride: usize,
    advances: [u8; GLYPHS],
    widest: usize,
    columns: [[u8; SIZE]; GLYPHS],
}

impl<const SIZE: usize> FontSheet<SIZE> {
    /// Converts the characters of a PSF file (version 1 or 2), and moves each character down by
    /// `down` rows, but not out of its cell, because a comma without its tail looks like a point. A
    /// file with another format stops the build.
    ///
    /// The reader of the spleen-font crate is not `const`. The glyphs start directly after the
    /// header, in the order of their codes.
    const fn convert(
        psf: &[u8],
        (width, height): (usize, usize),
        down: usize,
        purpose: Use,
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
        assert!(stride * height / 8 == SIZE);
        let line = width.div_ceil(8);
        let mut advances = [width as u8; GLYPHS];
        let mut widest = width;
        let mut columns = [[0; SIZE]; GLYPHS];
        let mut glyph = 0;
        while glyph < GLYPHS {
            let code = FIRST + glyph as u8;
            let (_, mut rows) = psf.split_at(header + code as usize * line * height);
            let mut cell = width;
            if code == PLUS_MINUS as u8 && width == 5 {
                rows = &PLUS_MINUS_ROWS;
            } else if code == b'm' && width == 5 {
                (rows, cell) = (&M_ROWS, M_WIDTH);
                advances[glyph] = cell as u8;
                widest = cell;
            }
            // To move a character down by one row, one row is left out. In all capitals of the
            // small font, row 5 repeats row 4, so row 5 is left out. In `!`, row 5 is the gap, so
            // row 4 is left out.
            let lowered = matches!(purpose, Use::Badge) && rows[0] != 0;
            let spare = if code == b'!' { 4 } else { 5 };
            // All digits have the same width. A separator takes only its lit columns and one dark
            // column.
            let narrow = matches!(code, b',' | b'.' | b':' | b'\'');
            let (mut lit, mut x) = (0, 0);
            while x < cell {
                lit |= column(rows, line, height, x);
                x += 1;
            }
            let free = height.saturating_sub(64 - lit.leading_zeros() as usize);
            let down = if down < free { down } else { free };
            let (mut x, mut to, mut end) = (0, 0, 0);
            while x < cell {
                let mut dots = column(rows, line, height, x);
                x += 1;
                if lowered {
                    let above = dots & ((1 << spare) - 1);
                    dots = dots >> (spare + 1) << (spare + 1) | above << 1;
                }
                if narrow && to == 0 && dots == 0 {
                    continue;
                }
                let mut page = 0;
                while page < height / 8 {
                    columns[glyph][page * stride + to] = (dots << down >> (8 * page)) as u8;
                    page += 1;
                }
                to += 1;
                if dots != 0 {
                    end = to;
                }
            }
            if narrow {
                advances[glyph] = end as u8 + 1;
            } else if code == b' ' && matches!(purpose, Use::Price) {
                advances[glyph] = (width * 3 / 8) as u8;
            }
            glyph += 1;
        }
        Self {
            stride,
            advances,
            widest,
            columns,
        }
    }

    const fn font(&'static self, inverted: bool) -> Font {
        Font {
            pages: SIZE / self.stride,
            stride: self.stride,
            advances: &self.advances,
            widest: self.widest,
            columns: self.columns.as_flattened(),
            inverted,
        }
    }
}

/// Returns one column of a character. The lowest bit is the top dot.
const fn column(rows: &[u8], line: usize, height: usize, x: usize) -> u64 {
    let mut dots = 0;
    let mut row = 0;
    while row < height {
        let lit = rows[row * line + x / 8] >> (7 - x % 8) & 1;
        dots |= (lit as u64) << row;
        row += 1;
    }
    dots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{Colours, Size};

    #[test]
    #[should_panic(expected = "has two colours")]
    fn a_text_of_two_colours_is_an_error_of_the_layout() {
        let mut frame = Frame::new(Size::Tall);
        frame.clear(Colours::YellowBlue);
        WORD.write(&mut frame, 0, 1, "SPX");
    }
}
