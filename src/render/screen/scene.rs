//! The description of a picture on the big screen: a list of items, each with its own rectangle.
//! The list is small, so two pictures can be compared without a copy of their pixels. This module
//! draws nothing.

use core::hash::{Hash, Hasher};

/// A rectangle of the picture in pixels. The origin is the top left corner of the picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rect {
    /// The first column.
    pub x: i32,
    /// The first row.
    pub y: i32,
    /// The number of columns.
    pub w: i32,
    /// The number of rows.
    pub h: i32,
}

impl Rect {
    pub(crate) const fn new(x: i32, y: i32, w: i32, h: i32) -> Self {
        Self { x, y, w, h }
    }

    /// The column after the last column.
    pub const fn right(self) -> i32 {
        self.x + self.w
    }

    /// The row after the last row.
    pub const fn bottom(self) -> i32 {
        self.y + self.h
    }

    /// Returns true if the rectangle has no pixel.
    pub const fn is_empty(self) -> bool {
        self.w <= 0 || self.h <= 0
    }

    /// Returns the common part of two rectangles; it can be empty.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        let (x, y) = (self.x.max(other.x), self.y.max(other.y));
        let w = self.right().min(other.right()) - x;
        let h = self.bottom().min(other.bottom()) - y;
        Self::new(x, y, w.max(0), h.max(0))
    }

    /// Returns the smallest rectangle around both rectangles. An empty one does not count.
    pub(crate) fn union(self, other: Self) -> Self {
        if self.is_empty() || other.is_empty() {
            return if self.is_empty() { other } else { self };
        }
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let (right, bottom) = (
            self.right().max(other.right()),
            self.bottom().max(other.bottom()),
        );
        Self::new(x, y, right - x, bottom - y)
    }

    /// Cuts a strip of this height off the top, and returns the strip.
    pub(crate) fn cut_top(&mut self, h: i32) -> Self {
        let h = h.clamp(0, self.h);
        let strip = Self { h, ..*self };
        (self.y, self.h) = (self.y + h, self.h - h);
        strip
    }

    /// Cuts a strip of this height off the bottom, and returns the strip.
    pub(crate) fn cut_bottom(&mut self, h: i32) -> Self {
        let h = h.clamp(0, self.h);
        self.h -= h;
        Self::new(self.x, self.bottom(), self.w, h)
    }

    /// Cuts a strip of this width off the left side, and returns the strip.
    pub(crate) fn cut_left(&mut self, w: i32) -> Self {
        let w = w.clamp(0, self.w);
        let strip = Self { w, ..*self };
        (self.x, self.w) = (self.x + w, self.w - w);
        strip
    }

    /// Cuts a strip of this width off the right side, and returns the strip.
    pub(crate) fn cut_right(&mut self, w: i32) -> Self {
        let w = w.clamp(0, self.w);
        self.w -= w;
        Self::new(self.right(), self.y, w, self.h)
    }

    /// Returns the rectangle without a margin on each side.
    pub(crate) fn inside(self, x: i32, y: i32) -> Self {
        let (w, h) = ((self.w - 2 * x).max(0), (self.h - 2 * y).max(0));
        Self::new(self.x + x, self.y + y, w, h)
    }
}

/// The meaning of a colour. The palette has the colour for each ink.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ink {
    /// The background of the screen.
    Back,
    /// The background of a tile.
    Tile,
    /// Texts and live prices.
    Text,
    /// Closing and stale prices, and names of fields.
    Muted,
    /// Lines of the axes.
    Faint,
    /// A rise. An arrow and a sign say the same.
    Up,
    /// A fall. An arrow and a sign say the same.
    Down,
    /// A stale price, a connection that fails.
    Stale,
    /// A delayed price.
    Delayed,
    /// A closing price.
    Closed,
    /// Simulated prices.
    Demo,
    /// The text on a filled badge.
    OnBadge,
}

/// The number of inks.
const INKS: usize = 12;

/// The theme of the screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Theme {
    /// Light digits on a dark background.
    #[default]
    Dark,
    /// Dark digits on a light background.
    Light,
}

impl core::str::FromStr for Theme {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "dark" => Ok(Self::Dark),
            "light" => Ok(Self::Light),
            _ => Err(()),
        }
    }
}

/// The colours of a theme, in the order of [`Ink`], as `0xRRGGBB`.
const DARK: [u32; INKS] = [
    0x000B_0E13,
    0x0018_1E26,
    0x00F5_F7F9,
    0x008A_949F,
    0x003A_444F,
    0x0035_D07F,
    0x00FF_6F64,
    0x00FF_B400,
    0x005A_B0FF,
    0x00B4_BCC5,
    0x00D9_8CFF,
    0x000B_0E13,
];
const LIGHT: [u32; INKS] = [
    0x00F6_F7F9,
    0x00E4_E8ED,
    0x0010_1418,
    0x006C_7681,
    0x00BC_C4CC,
    0x000B_743B,
    0x00BE_2418,
    0x009A_5500,
    0x000B_58A6,
    0x004A_535D,
    0x0074_27AD,
    0x00FF_FFFF,
];

/// The colours of a picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Palette([u32; INKS]);

impl Palette {
    /// The brightness from which the colours are not darkened: the usual brightness of a day.
    const FULL: u32 = 127;
    /// The part of the full brightness at the lowest brightness, in 1/256.
    const LEAST: u32 = 64;

    /// Returns the colours of a theme at a brightness from 0 (a quarter) to 127 and above (full).
    pub fn new(theme: Theme, brightness: u8) -> Self {
        let level = u32::from(brightness).min(Self::FULL);
        let part = Self::LEAST + (256 - Self::LEAST) * level / Self::FULL;
        let dim = |colour: u32| {
            let channel = |shift: u32| ((colour >> shift & 0xFF) * part / 256) << shift;
            channel(16) | channel(8) | channel(0)
        };
        Self(match theme {
            Theme::Dark => DARK.map(dim),
            Theme::Light => LIGHT.map(dim),
        })
    }

    /// The palette of a screen that is off.
    pub(crate) const fn black() -> Self {
        Self([0; INKS])
    }

    /// Returns the colour of an ink as `0xRRGGBB`.
    pub const fn colour(&self, ink: Ink) -> u32 {
        self.0[ink as usize]
    }
}

/// Returns the mixture of two colours; `part` is the part of `over` in 1/255.
pub(crate) fn mix(under: u32, over: u32, part: u32) -> u32 {
    let channel = |shift: u32| {
        let (a, b) = (under >> shift & 0xFF, over >> shift & 0xFF);
        ((a * (255 - part) + b * part + 127) / 255) << shift
    };
    channel(16) | channel(8) | channel(0)
}

/// The place of a text in its rectangle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Align {
    /// At the left side.
    Left,
    /// In the middle.
    Centre,
    /// At the right side.
    Right,
}

/// A text of one line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Text {
    /// The characters.
    pub text: heapless::String<64>,
    /// The height of a capital letter in pixels.
    pub size: u16,
    /// The number of characters at the end that are smaller, such as the decimals of a price.
    pub small: u8,
    /// The place in the rectangle.
    pub align: Align,
    /// True if a line strikes out the text.
    pub struck: bool,
}

/// The maximum number of points of a curve.
pub(crate) const POINTS: usize = crate::market::HISTORY_POINTS;

/// The picture of an item.
#[derive(Clone, PartialEq, Debug)]
pub enum Shape {
    /// Only the background.
    Fill,
    /// A text of one line.
    Text(Text),
    /// A triangle that points up or down.
    Arrow {
        /// True for a rise.
        up: bool,
    },
    /// A line from the left to the right, with a marker at a part of the width in 1/1000.
    Marker(u16),
    /// A dotted horizontal line in the middle.
    Rule,
    /// A curve. Each point is its height in 1/1000 of the rectangle, the oldest point first. The
    /// last field is the height of a dashed line: the previous close.
    Curve(heapless::Vec<u16, POINTS>, Option<u16>),
    /// The sign of the connection: the number of filled bars, 0 to 4, and true if it is crossed out.
    Bars(u8, bool),
    /// The QR code of the scene, with a hash of its modules.
    Code(u64),
}

/// An item: everything in one rectangle. An item is opaque.
#[derive(Clone, PartialEq, Debug)]
pub struct Item {
    /// The place of the item.
    pub rect: Rect,
    /// The background.
    pub back: Ink,
    /// The foreground.
    pub ink: Ink,
    /// The picture.
    pub shape: Shape,
}

/// The description of a picture.
#[derive(Clone, PartialEq, Debug)]
pub struct Scene {
    /// The width and the height in pixels.
    pub size: (i32, i32),
    /// The colours.
    pub palette: Palette,
    /// The items; a later item covers an earlier one.
    pub items: Vec<Item>,
    /// The rows of modules of a QR code; the lowest bit is the first module, and 1 is dark.
    pub code: Vec<u64>,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            size: (0, 0),
            palette: Palette::black(),
            items: Vec::new(),
            code: Vec::new(),
        }
    }
}

impl Scene {
    /// Returns the rectangle of the whole picture.
    pub const fn area(&self) -> Rect {
        Rect::new(0, 0, self.size.0, self.size.1)
    }

    /// Removes all items and keeps the memory.
    pub(crate) fn clear(&mut self, size: (i32, i32), palette: Palette) {
        self.size = size;
        self.palette = palette;
        self.items.clear();
        self.code.clear();
    }

    /// Adds an item, unless it has no pixel.
    pub(crate) fn push(&mut self, rect: Rect, back: Ink, ink: Ink, shape: Shape) {
        let rect = rect.intersection(self.area());
        if !rect.is_empty() {
            self.items.push(Item {
                rect,
                back,
                ink,
                shape,
            });
        }
    }

    /// Adds a QR code: a line for each row of modules, with `#` for a dark module.
    pub(crate) fn push_code(&mut self, rect: Rect, code: &str) {
        let row = |line: &str| {
            let dark = line.bytes().take(64).enumerate();
            let dark = dark.filter(|(_, module)| *module == b'#');
            dark.fold(0, |row: u64, (x, _)| row | 1 << x)
        };
        self.code.extend(code.lines().take(64).map(row));
        let mut hasher = std::hash::DefaultHasher::new();
        self.code.hash(&mut hasher);
        self.push(rect, Ink::Back, Ink::Text, Shape::Code(hasher.finish()));
    }
}
