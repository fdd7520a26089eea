//! The same of an SH1106, from its own data sheet (V2.3): 132 columns of memory, one page at a
//! time. Its glass has 128 columns, from one that its maker chose.

use super::bus::Decoder;
use super::unwrapped;

/// The chip's memory: 8 pages of 132 segments.
const SEGMENTS: usize = 132;
const PAGES: usize = 8;
/// Columns of the glass.
const WIDTH: usize = 128;

/// The chip and the glass on it.
pub(crate) struct Sh1106 {
    ram: [[u8; SEGMENTS]; PAGES],
    written: [[bool; SEGMENTS]; PAGES],
    /// The column address of the glass's first column when it is upright.
    first: usize,
    pending: Vec<u8>,
    column: usize,
    page: usize,
    segments_reversed: bool,
    rows_reversed: bool,
    rows: usize,
    offset: u8,
    alternative_pins: bool,
    /// Turned on and off only while the panel is off; on after the power came.
    pump: bool,
    pub(crate) on: bool,
    pub(crate) contrast: u8,
    pub(crate) charge: u8,
    pub(crate) vcom: u8,
    /// How often it was turned off since it was made.
    pub(crate) darkened: usize,
    /// Whether it was ever on with memory on the glass, or beside it, that nobody had written.
    pub(crate) snow: bool,
}

impl Sh1106 {
    /// As the power comes: the registers reset, noise in the memory.
    pub(crate) fn new(first: usize) -> Self {
        let mut ram = [[0; SEGMENTS]; PAGES];
        let mut byte = 7u8;
        for cell in ram.as_flattened_mut() {
            byte = byte.wrapping_mul(37).wrapping_add(11);
            *cell = byte | 1;
        }
        Self {
            ram,
            written: [[false; SEGMENTS]; PAGES],
            first,
            pending: Vec::new(),
            column: 0,
            page: 0,
            segments_reversed: false,
            rows_reversed: false,
            rows: 64,
            offset: 0,
            alternative_pins: true,
            pump: true,
            on: false,
            contrast: 0x80,
            charge: 0x22,
            vcom: 0x35,
            darkened: 0,
            snow: false,
        }
    }

    /// Power lost and come back.
    pub(crate) fn brown_out(&mut self) {
        let (darkened, snow) = (self.darkened, self.snow);
        *self = Self {
            darkened,
            snow,
            ..Self::new(self.first)
        };
    }

    /// Whether light comes out at all.
    pub(crate) fn is_lit(&self) -> bool {
        self.on && self.pump
    }

    /// Whether nothing is lit in these rows' memory beside the glass.
    pub(crate) fn is_blank_outside(&self, rows: usize) -> bool {
        // Reversed by the maker: column address 0 is segment 131.
        let glass = SEGMENTS - WIDTH - self.first..SEGMENTS - self.first;
        let outside = |segment: &usize| !glass.contains(segment);
        let pages = &self.ram[..rows / 8];
        pages
            .iter()
            .all(|page| (0..SEGMENTS).filter(outside).all(|at| page[at] == 0))
    }

    fn command(&mut self, byte: u8) {
        self.pending.push(byte);
        let arguments = match self.pending[0] {
            0x81 | 0xA8 | 0xAD | 0xD3 | 0xD5 | 0xD9 | 0xDA | 0xDB => 1,
            0x00..=0x1F | 0x30..=0x33 | 0x40..=0x7F | 0xA0 | 0xA1 | 0xA4..=0xA7 => 0,
            0xAE | 0xAF | 0xB0..=0xB7 | 0xC0 | 0xC8 | 0xE3 => 0,
            unknown => panic!("command {unknown:#04x}"),
        };
        if self.pending.len() <= arguments {
            return;
        }
        match *std::mem::take(&mut self.pending) {
            [low @ 0x00..=0x0F] => self.column = self.column & 0xF0 | usize::from(low),
            [high @ 0x10..=0x1F] => {
                self.column = self.column & 0x0F | usize::from(high & 0x0F) << 4;
            }
            [0x81, contrast] => self.contrast = contrast,
            [remap @ (0xA0 | 0xA1)] => self.segments_reversed = remap == 0xA1,
            [0xA8, rows] => self.rows = usize::from(rows & 0x3F) + 1,
            [0xAD, pump @ (0x8A | 0x8B)] => {
                assert!(!self.on, "the panel must be off for this");
                self.pump = pump == 0x8B;
            }
            [0xAE] => {
                self.on = false;
                self.darkened += 1;
            }
            [0xAF] => self.on = true,
            [page @ 0xB0..=0xB7] => self.page = usize::from(page & 7),
            [scan @ (0xC0 | 0xC8)] => self.rows_reversed = scan == 0xC8,
            [0xD3, offset] => self.offset = offset & 0x3F,
            [0xD9, charge] => self.charge = charge,
            [0xDA, pins] => self.alternative_pins = pins & 0x10 != 0,
            [0xDB, vcom] => self.vcom = vcom,
            // Pump voltage, start line, all on, invert, clock, nothing; and what a message that
            // was cut off left behind.
            _ => {}
        }
        self.look();
    }

    fn data(&mut self, byte: u8) {
        // The pointer stays behind the last column.
        if self.column < SEGMENTS {
            let segment = match self.segments_reversed {
                true => SEGMENTS - 1 - self.column,
                false => self.column,
            };
            self.ram[self.page][segment] = byte;
            self.written[self.page][segment] = true;
            self.column += 1;
        } else {
            panic!("data behind the last column");
        }
    }

    /// Notices snow; writing makes none.
    fn look(&mut self) {
        if self.is_lit() && !self.snow {
            let visible = &self.written[..self.rows / 8];
            self.snow = visible.as_flattened().contains(&false);
        }
    }
}

impl Decoder for Sh1106 {
    fn receive(&mut self, message: &[u8]) {
        for (data, byte) in unwrapped(message) {
            match data {
                true => self.data(byte),
                false => self.command(byte),
            }
        }
    }

    fn seen(&self, rows: usize) -> Option<Vec<Vec<bool>>> {
        if !self.is_lit() {
            return None;
        }
        assert_eq!(self.rows, rows, "multiplex ratio");
        assert_eq!(self.alternative_pins, rows == 64, "COM pins");
        let dot = |x: usize, y: usize| {
            let com = rows - 1 - y;
            let row = match self.rows_reversed {
                true => rows - 1 - com,
                false => com,
            };
            let row = (row + usize::from(self.offset)) % 64;
            let segment = SEGMENTS - 1 - self.first - x;
            row < rows && self.ram[row / 8][segment] >> (row % 8) & 1 == 1
        };
        let line = |y| (0..WIDTH).map(|x| dot(x, y)).collect();
        Some((0..rows).map(line).collect())
    }
}
