//! A model of an SH1106 panel, written from its data sheet (V2.3). The chip has 132 columns of
//! memory and writes one page at a time. The display has 128 of these columns; the module maker
//! chooses the first one.

use super::bus::Decoder;
use super::unwrapped;

/// The memory of the chip has 8 pages of 132 segments.
const SEGMENTS: usize = 132;
const PAGES: usize = 8;
/// The number of columns of the display.
const WIDTH: usize = 128;

/// The chip and its display.
pub(crate) struct Sh1106 {
    ram: [[u8; SEGMENTS]; PAGES],
    written: [[bool; SEGMENTS]; PAGES],
    /// The column address of the first visible column of an upright display.
    first: usize,
    pending: Vec<u8>,
    column: usize,
    page: usize,
    segments_reversed: bool,
    rows_reversed: bool,
    rows: usize,
    offset: u8,
    alternative_pins: bool,
    /// True if the charge pump is on. It is on after power-on and can change only while the panel
    /// is off.
    pump: bool,
    pub(crate) on: bool,
    pub(crate) contrast: u8,
    pub(crate) charge: u8,
    pub(crate) vcom: u8,
    /// The number of commands that turned the panel off.
    pub(crate) darkened: usize,
    /// True if the panel was ever on while its memory, visible or beside the display, contained
    /// unwritten bytes.
    pub(crate) snow: bool,
}

impl Sh1106 {
    /// The state after power-on: default registers and random memory.
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

    /// Simulates a loss of power.
    pub(crate) fn brown_out(&mut self) {
        let (darkened, snow) = (self.darkened, self.snow);
        *self = Self {
            darkened,
            snow,
            ..Self::new(self.first)
        };
    }

    /// Returns true if the panel is on and has power for its pixels.
    pub(crate) fn is_lit(&self) -> bool {
        self.on && self.pump
    }

    /// Returns true if no bit is set in the memory of these rows beside the display.
    pub(crate) fn is_blank_outside(&self, rows: usize) -> bool {
        // The module maker reversed the segments: column address 0 is segment 131.
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
            // The model ignores pump voltage, start line, all on, invert, clock and NOP, and also
            // the rest of a message that was cut off.
            _ => {}
        }
        self.look();
    }

    fn data(&mut self, byte: u8) {
        // The column pointer stops after the last column.
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

    /// Records that the panel shows unwritten memory. Writing data cannot cause this state.
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
