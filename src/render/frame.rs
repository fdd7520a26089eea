//! The frame: a picture with one bit for each dot, in the byte order of the panel's memory. This
//! module never decides what a picture shows.

use core::convert::Infallible;
use core::fmt;
use core::ops::Range;

use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::{DrawTarget, OriginDimensions, Pixel};

/// The width of every supported panel in dots.
pub const WIDTH: usize = 128;
/// The number of pages of the largest panel.
const PAGES: usize = 16;
/// The width of the widest character in a font.
const PADDING: usize = 16;

/// The size of a panel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Size {
    /// The panel has 128×64 dots.
    Tall,
    /// The panel has 128×32 dots.
    Short,
    /// The panel has 128×128 dots.
    Square,
}

impl Size {
    /// Returns the number of pages. A page is a row of bytes that is eight dots high; the name
    /// comes from the data sheets.
    pub const fn pages(self) -> usize {
        match self {
            Size::Tall => 8,
            Size::Short => 4,
            Size::Square => 16,
        }
    }

    /// Returns the height in dots.
    pub const fn height(self) -> usize {
        self.pages() * 8
    }
}

impl core::str::FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "128x64" => Ok(Size::Tall),
            "128x32" => Ok(Size::Short),
            "128x128" => Ok(Size::Square),
            _ => Err("expected 128x64, 128x32 or 128x128"),
        }
    }
}

/// The colours of a panel's dots.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Colours {
    /// All dots have one colour.
    #[default]
    One,
    /// The first [`Colours::YELLOW`] rows are yellow and the other rows are blue, with a dark gap
    /// between them: the usual panel of 0.96 inches.
    YellowBlue,
}

/// Reads `yellow-blue` or `one`, in upper or lower case and with any separator.
impl core::str::FromStr for Colours {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let letters = text.chars().filter(|c| c.is_alphabetic());
        let plain: String = letters.flat_map(char::to_lowercase).collect();
        match plain.as_str() {
            "yellowblue" => Ok(Colours::YellowBlue),
            "one" => Ok(Colours::One),
            _ => Err("expected yellow-blue, for a panel whose top quarter is yellow, or one"),
        }
    }
}

impl Colours {
    /// The number of yellow rows. A part that crosses this row looks cut.
    pub const YELLOW: usize = 16;
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{WIDTH}x{}", self.height())
    }
}

/// A picture. A byte is eight dots of one column, with the lowest bit at the top. The bytes go from
/// left to right, then page by page down (SSD1306 data sheet, 8.7, horizontal addressing).
pub struct Frame {
    size: Size,
    /// The colours of the dots. Only debug assertions use them.
    colours: Colours,
    /// The picture, and dark bytes after it, so that a font can copy whole words at its end.
    bytes: [u8; WIDTH * PAGES + PADDING],
}

impl Frame {
    /// Creates a dark picture.
    pub const fn new(size: Size) -> Self {
        Self {
            size,
            colours: Colours::One,
            bytes: [0; WIDTH * PAGES + PADDING],
        }
    }

    /// Returns the size of the panel for which the picture is made.
    pub const fn size(&self) -> Size {
        self.size
    }

    /// Removes the picture, for a new one in these colours.
    pub(super) fn clear(&mut self, colours: Colours) {
        self.colours = colours;
        self.as_bytes_mut().fill(0);
    }

    /// Returns true if a part on these pages has two colours, so that it looks cut.
    pub(super) fn cuts(&self, pages: &Range<usize>) -> bool {
        let edge = Colours::YELLOW / 8;
        let split = self.size == Size::Tall && self.colours == Colours::YellowBlue;
        split && pages.start < edge && edge < pages.end
    }

    /// Returns all bytes of the picture, [`WIDTH`] × [`Size::pages`] of them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..WIDTH * self.size.pages()]
    }

    /// Returns all bytes of the picture, so that a caller can change whole columns.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..WIDTH * self.size.pages()]
    }

    /// Returns the bytes of one page, which is eight dots high.
    pub fn page(&self, page: usize) -> &[u8] {
        &self.as_bytes()[page * WIDTH..][..WIDTH]
    }

    /// Returns the bytes of the picture and the dark bytes after it. A caller must not light them.
    pub(super) const fn padded_mut(&mut self) -> &mut [u8; WIDTH * PAGES + PADDING] {
        &mut self.bytes
    }

    /// Returns the bytes of some columns in one page.
    pub(super) fn columns_mut(&mut self, page: usize, columns: Range<usize>) -> &mut [u8] {
        &mut self.as_bytes_mut()[page * WIDTH..][columns]
    }

    /// Inverts some columns in one page.
    pub(super) fn invert(&mut self, page: usize, columns: Range<usize>) {
        for byte in self.columns_mut(page, columns) {
            *byte = !*byte;
        }
    }

    /// Returns true if no dot in these columns of these pages is lit. The layouts never draw on top
    /// of another part; only debug assertions check this.
    pub(super) fn vacant(&self, columns: Range<usize>, mut pages: Range<usize>) -> bool {
        pages.all(|page| {
            let mut bytes = self.page(page)[columns.start..columns.end.min(WIDTH)].iter();
            bytes.all(|byte| *byte == 0)
        })
    }

    /// Returns true if a dot is lit. A dot outside the picture is dark.
    pub fn lit(&self, x: usize, y: usize) -> bool {
        x < WIDTH && y < self.size.height() && self.bytes[y / 8 * WIDTH + x] >> (y % 8) & 1 == 1
    }

    /// Lights or darkens a dot. A dot outside the picture is ignored.
    pub fn set(&mut self, x: usize, y: usize, lit: bool) {
        if x < WIDTH && y < self.size.height() {
            let byte = &mut self.bytes[y / 8 * WIDTH + x];
            let bit = 1 << (y % 8);
            if lit { *byte |= bit } else { *byte &= !bit }
        }
    }
}

impl Clone for Frame {
    fn clone(&self) -> Self {
        let mut frame = Self::new(self.size);
        frame.clone_from(self);
        frame
    }

    /// Copies only the pages of the panel, so that a large panel costs a small one nothing.
    fn clone_from(&mut self, other: &Self) {
        (self.size, self.colours) = (other.size, other.colours);
        self.as_bytes_mut().copy_from_slice(other.as_bytes());
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.size == other.size
            && self.colours == other.colours
            && self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Frame {}

impl OriginDimensions for Frame {
    fn size(&self) -> embedded_graphics::geometry::Size {
        embedded_graphics::geometry::Size::new(WIDTH as u32, self.size.height() as u32)
    }
}

impl DrawTarget for Frame {
    type Color = BinaryColor;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<BinaryColor>>,
    {
        for Pixel(point, color) in pixels {
            if let (Ok(x), Ok(y)) = (usize::try_from(point.x), usize::try_from(point.y)) {
                self.set(x, y, color.is_on());
            }
        }
        Ok(())
    }
}

/// Writes the picture as text, with two dots in each character. The terminal and the golden
/// pictures in `tests/screens/` use this format.
impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for y in (0..self.size.height()).step_by(2) {
            for x in 0..WIDTH {
                f.write_str(match (self.lit(x, y), self.lit(x, y + 1)) {
                    (false, false) => " ",
                    (true, false) => "▀",
                    (false, true) => "▄",
                    (true, true) => "█",
                })?;
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame {}\n{self}", self.size)
    }
}
