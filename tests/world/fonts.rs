//! The characters as they look on the display, read from the font package by this test itself. This
//! module shares no code with the program's renderer.

use spleen_font::{FONT_5X8, FONT_8X16, FONT_12X24, FONT_16X32};

/// The dots of a panel: eight pages of 128 columns. One byte holds eight dots of one column, the
/// lowest bit at the top.
pub(crate) type Glass = [u8; 1024];
pub(crate) const WIDTH: usize = 128;

/// Sixteen columns of up to four pages; the lowest byte holds the first column.
type Cell = [u128; 4];

/// A character with its dots.
pub(crate) struct Glyph {
    pub(crate) letter: u8,
    pub(crate) advance: usize,
    mask: u128,
    /// The number of pages down to the lowest dot of the character: a word may stand below a dash.
    pages: usize,
    plain: Cell,
    /// The dots that remain when the character is struck out, if it begins in an even or in an odd
    /// column of its number.
    faded: [Cell; 2],
}

/// The way in which the program fades a struck-out number.
#[derive(Clone, Copy)]
enum Fade {
    /// Keeps every other dot, as on a chessboard.
    Chessboard,
    /// Removes the last dot of each horizontal stroke of at least two dots.
    Thin,
    Nothing,
}

/// The characters of one font size at one vertical offset.
pub(crate) struct Face {
    pub(crate) pages: usize,
    font_set: Vec<Glyph>,
}

/// The characters that are only as wide as their dots plus one empty column. All digits have one
/// fixed width.
const NARROW: &[u8] = b",.:'";
/// All characters of the block of a delayed price.
const BLOCK: &[u8] = b"0123456789m";
/// All characters of a number. The narrow ones come last because they have fewer dots, so they
/// match more easily by mistake.
const NUMBER: &[u8] = b"0123456789-,.";
/// The characters of the decimal part. The comma is not in this list: a comma that is cut off at
/// the bottom looks like a point.
const FRACTION: &[u8] = b"0123456789.";
/// The small m of the display, which is wider than the other letters.
const SMALL_M: [&str; 5] = ["##.#.", "#.#.#", "#.#.#", "#.#.#", "#.#.#"];
const TEXT: &[u8] = b"!\"#$%&()*+-/0123456789;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ\
    abcdefghijklmnopqrstuvwxyz,.:'";

impl Face {
    fn new(
        letters: &[u8],
        font: &[u8],
        (width, height): (usize, usize),
        down: usize,
        rim: bool,
        fade: Fade,
    ) -> Self {
        let line = width.div_ceil(8);
        // The header length of the font format PSF: 4 bytes in version 1, 32 bytes in version 2.
        let header = if font[..2] == [0x36, 0x04] { 4 } else { 32 };
        let pages = height / 8;
        let font_set = letters.iter().map(|&letter| {
            let start = header + usize::from(letter) * line * height;
            let rows = &font[start..start + line * height];
            let lit = |x: usize, y: usize| rows[y * line + x / 8] >> (7 - x % 8) & 1 == 1;
            let mut columns = vec![[0u8; 4]; width];
            for y in 0..height {
                let Some(to) = row(y, height, down, rim && rows[0] != 0, letter) else {
                    continue;
                };
                for (x, column) in columns.iter_mut().enumerate() {
                    column[to / 8] |= u8::from(lit(x, y)) << (to % 8);
                }
            }
            if letter == b'm' && height == 8 {
                columns = vec![[0u8; 4]; SMALL_M[0].len() + 1];
                for (y, row) in (2..).zip(SMALL_M) {
                    for (column, dot) in columns.iter_mut().zip(row.bytes()) {
                        column[0] |= u8::from(dot == b'#') << y;
                    }
                }
            }
            if NARROW.contains(&letter) {
                let inked = |column: &[u8; 4]| *column != [0; 4];
                let first = columns.iter().position(inked).unwrap_or(0);
                let last = columns.iter().rposition(inked).unwrap_or(0);
                columns = columns[first..=last].to_vec();
                columns.push([0; 4]);
            }
            Glyph::new(letter, &columns, fade)
        });
        Self {
            pages,
            font_set: font_set.collect(),
        }
    }

    /// Returns the character whose dots match exactly at this position.
    pub(crate) fn plain(&self, glass: &Glass, x: usize, page: usize) -> Option<&Glyph> {
        let cell = cell(glass, x, page, self.pages);
        self.font_set.iter().find(|glyph| {
            x + glyph.advance <= WIDTH
                && (0..glyph.pages).all(|page| cell[page] & glyph.mask == glyph.plain[page])
        })
    }

    /// Returns the character at this position in dark dots on a lit background. The rows in `dark`
    /// of the top page are dark in any case.
    pub(crate) fn inverted(
        &self,
        glass: &Glass,
        x: usize,
        page: usize,
        dark: u8,
    ) -> Option<&Glyph> {
        let cell = cell(glass, x, page, self.pages);
        let ground = u128::from_le_bytes([dark; 16]);
        self.font_set.iter().find(|glyph| {
            x + glyph.advance <= WIDTH
                && (0..self.pages).all(|page| {
                    let off = if page == 0 { ground } else { 0 };
                    cell[page] & glyph.mask == !glyph.plain[page] & glyph.mask & !off
                })
        })
    }

    /// Returns the faint character at this position: exactly its remaining dots are lit.
    pub(crate) fn faint(
        &self,
        glass: &Glass,
        (x, page): (usize, usize),
        odd: usize,
    ) -> Option<&Glyph> {
        let cell = cell(glass, x, page, self.pages);
        self.font_set.iter().find(|glyph| {
            let faded = &glyph.faded[odd & 1];
            x + glyph.advance <= WIDTH
                && (0..glyph.pages).all(|page| cell[page] & glyph.mask == faded[page])
        })
    }

    /// Returns the struck-out character at this position: all its remaining dots are lit, and the
    /// strike line adds at most `line` dots a column. If several characters match, the one with the
    /// fewest extra dots wins.
    pub(crate) fn struck(
        &self,
        glass: &Glass,
        (x, page): (usize, usize),
        odd: usize,
        line: u32,
    ) -> Option<&Glyph> {
        let cell = cell(glass, x, page, self.pages);
        let mut best: Option<(u32, &Glyph)> = None;
        for glyph in &self.font_set {
            if x + glyph.advance > WIDTH {
                continue;
            }
            let faded = &glyph.faded[odd & 1];
            let pages = 0..self.pages;
            if !pages
                .clone()
                .all(|page| cell[page] & faded[page] == faded[page])
            {
                continue;
            }
            let extra = pages
                .map(|page| (cell[page] & glyph.mask & !faded[page]).count_ones())
                .sum::<u32>();
            if extra <= line * glyph.advance as u32 && best.is_none_or(|(least, _)| extra < least) {
                best = Some((extra, glyph));
            }
        }
        best.map(|(_, glyph)| glyph)
    }
}

/// Returns the row on the display for a row of a character. In badges a capital stands one row
/// lower, so that a lit row is above it; the renderer leaves out one repeated row to make the
/// space.
fn row(y: usize, height: usize, down: usize, squashed: bool, letter: u8) -> Option<usize> {
    let spare = if letter == b'!' { 4 } else { 5 };
    let to = match squashed {
        true if y == spare => return None,
        true if y < spare => y + 1,
        _ => y + down,
    };
    (to < height).then_some(to)
}

impl Glyph {
    fn new(letter: u8, columns: &[[u8; 4]], fade: Fade) -> Self {
        let mut plain = [0; 4];
        let mut faded = [[0; 4]; 2];
        for (x, column) in columns.iter().enumerate() {
            for (page, byte) in column.iter().enumerate() {
                let left = x.checked_sub(1).map_or(0, |left| columns[left][page]);
                let right = columns.get(x + 1).map_or(0, |right| right[page]);
                let put = |cell: &mut Cell, byte: u8| cell[page] |= u128::from(byte) << (8 * x);
                put(&mut plain, *byte);
                for (odd, cell) in faded.iter_mut().enumerate() {
                    let even = (x + odd) % 2 == 0;
                    put(
                        cell,
                        match fade {
                            Fade::Nothing => *byte,
                            Fade::Chessboard if even => byte & 0xAA,
                            Fade::Chessboard => byte & 0x55,
                            Fade::Thin => byte & !(left & !right),
                        },
                    );
                }
            }
        }
        let bits = 8 * columns.len() as u32;
        Self {
            letter,
            advance: columns.len(),
            mask: u128::MAX.checked_shl(bits).map_or(u128::MAX, |high| !high),
            pages: plain
                .iter()
                .rposition(|page| *page != 0)
                .map_or(1, |last| last + 1),
            plain,
            faded,
        }
    }
}

fn cell(glass: &Glass, x: usize, page: usize, pages: usize) -> Cell {
    let mut cell = [0; 4];
    for (row, word) in cell.iter_mut().enumerate().take(pages) {
        let at = (page + row) * WIDTH + x;
        let room = (WIDTH - x.min(WIDTH)).min(16);
        let mut bytes = [0; 16];
        bytes[..room].copy_from_slice(&glass[at..at + room]);
        *word = u128::from_le_bytes(bytes);
    }
    cell
}

/// One size of numbers: the faces before and after the decimal point, and the strike lines.
pub(crate) struct Size {
    pub(crate) whole: Face,
    pub(crate) fraction: Face,
    /// The thickness of all strike lines in dots a column.
    pub(crate) line: u32,
    /// True if the lines are above and below the whole number; false for a line through the part
    /// before the decimal point.
    pub(crate) beside: bool,
}

/// All faces that the display uses.
pub(crate) struct Fonts {
    /// The sizes of numbers, the largest first.
    pub(crate) sizes: [Size; 4],
    pub(crate) small: Face,
    pub(crate) word: Face,
    pub(crate) badge: Face,
    /// The characters of the block of a delayed price.
    pub(crate) block: Face,
}

impl Fonts {
    pub(crate) fn new() -> Self {
        let face = Face::new;
        let size = |whole, fraction, line, beside| Size {
            whole,
            fraction,
            line,
            beside,
        };
        let medium = |letters, down| face(letters, FONT_8X16, (8, 16), down, false, Fade::Thin);
        let small = |letters| face(letters, FONT_5X8, (5, 8), 0, false, Fade::Nothing);
        Self {
            sizes: [
                size(
                    face(NUMBER, FONT_16X32, (16, 32), 0, false, Fade::Chessboard),
                    medium(FRACTION, 4),
                    2,
                    false,
                ),
                size(
                    face(NUMBER, FONT_12X24, (12, 24), 0, false, Fade::Chessboard),
                    medium(FRACTION, 2),
                    2,
                    false,
                ),
                size(medium(NUMBER, 0), medium(FRACTION, 0), 2, true),
                size(small(NUMBER), small(FRACTION), 1, true),
            ],
            small: small(TEXT),
            word: face(TEXT, FONT_8X16, (8, 16), 1, false, Fade::Nothing),
            badge: face(TEXT, FONT_5X8, (5, 8), 0, true, Fade::Nothing),
            block: face(BLOCK, FONT_12X24, (12, 24), 0, false, Fade::Nothing),
        }
    }
}
