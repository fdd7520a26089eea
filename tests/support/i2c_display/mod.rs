//! A model of an SSD1306 panel on an I2C bus, written from the data sheet (rev 1.1). It shares no
//! code with the driver, and it panics at bytes that the chip does not support.

// Each test file uses only a part of this module.
#![allow(dead_code)]

pub(crate) mod bus;
pub(crate) mod log_lines;
pub(crate) mod pictures;
pub(crate) mod sh1106;

use bus::Decoder;

/// The memory of the chip has 8 pages of 128 segments.
const SEGMENTS: usize = 128;
const PAGES: usize = 8;

/// The chip and its display.
pub(crate) struct Chip {
    ram: [[u8; SEGMENTS]; PAGES],
    /// The command that waits for its arguments. The command can span two messages, because drivers
    /// may send a command and its arguments in separate messages.
    pending: Vec<u8>,
    mode: u8,
    columns: (u8, u8),
    pages: (u8, u8),
    column: u8,
    page: u8,
    /// A0/A1: if true, column 0 is segment 127. The command affects only data that follow.
    segments_reversed: bool,
    /// C0/C8: if true, the rows are scanned in reverse.
    rows_reversed: bool,
    rows: usize,
    /// D3: the row that COM0 shows if nothing is reversed.
    offset: u8,
    alternative_pins: bool,
    pump: bool,
    pub(crate) on: bool,
    pub(crate) contrast: u8,
    pub(crate) precharge: u8,
    pub(crate) vcomh: u8,
    /// The number of commands that turned the panel off.
    pub(crate) darkened: usize,
    /// The number of memory bytes that have not been written since power-on.
    unwritten: usize,
    written: [[bool; SEGMENTS]; PAGES],
    /// True if the panel was ever on while its visible memory contained unwritten bytes.
    pub(crate) snow: bool,
}

impl Chip {
    /// The state after power-on: default registers and random memory.
    pub(crate) fn new(noise: u8) -> Self {
        let mut ram = [[0; SEGMENTS]; PAGES];
        let mut byte = noise | 1;
        for cell in ram.as_flattened_mut() {
            byte = byte.wrapping_mul(37).wrapping_add(11);
            *cell = byte;
        }
        Self {
            ram,
            pending: Vec::new(),
            mode: 2,
            columns: (0, 127),
            pages: (0, 7),
            column: 0,
            page: 0,
            segments_reversed: false,
            rows_reversed: false,
            rows: 64,
            offset: 0,
            alternative_pins: true,
            pump: false,
            on: false,
            contrast: 0x7F,
            precharge: 0x22,
            vcomh: 0x20,
            darkened: 0,
            unwritten: SEGMENTS * PAGES,
            written: [[false; SEGMENTS]; PAGES],
            snow: false,
        }
    }

    /// Simulates a loss of power.
    pub(crate) fn brown_out(&mut self, noise: u8) {
        let (darkened, snow) = (self.darkened, self.snow);
        *self = Self {
            darkened,
            snow,
            ..Self::new(noise)
        };
    }

    /// Simulates a memory error that the driver does not notice.
    pub(crate) fn corrupt(&mut self, page: usize, segment: usize) {
        self.ram[page][segment] ^= 0x5A;
    }

    fn command(&mut self, byte: u8) {
        self.pending.push(byte);
        let arguments = match self.pending[0] {
            0x20 | 0x81 | 0x8D | 0xA8 | 0xD3 | 0xD5 | 0xD9 | 0xDA | 0xDB => 1,
            0x21 | 0x22 => 2,
            0x2E | 0x40..=0x7F | 0xA0 | 0xA1 | 0xA4..=0xA7 | 0xAE | 0xAF => 0,
            0xC0 | 0xC8 | 0xE3 => 0,
            unknown => panic!("command {unknown:#04x}"),
        };
        if self.pending.len() <= arguments {
            return;
        }
        match *std::mem::take(&mut self.pending) {
            [0x20, mode] => self.mode = mode & 3,
            [0x21, start, end] => {
                self.columns = (start & 0x7F, end & 0x7F);
                self.column = start & 0x7F;
            }
            [0x22, start, end] => {
                self.pages = (start & 7, end & 7);
                self.page = start & 7;
            }
            [0x81, contrast] => self.contrast = contrast,
            [0x8D, pump] => self.pump = pump & 4 != 0,
            [0xA8, rows] => self.rows = usize::from(rows & 0x3F) + 1,
            [0xD3, offset] => self.offset = offset & 0x3F,
            [0xD9, precharge] => self.precharge = precharge,
            [0xDA, pins] => self.alternative_pins = pins & 0x10 != 0,
            [0xDB, vcomh] => self.vcomh = vcomh,
            [remap @ (0xA0 | 0xA1)] => self.segments_reversed = remap == 0xA1,
            [scan @ (0xC0 | 0xC8)] => self.rows_reversed = scan == 0xC8,
            [0xAE] => {
                self.on = false;
                self.darkened += 1;
            }
            [0xAF] => self.on = true,
            // The model ignores clock, start line, all on, invert, scroll and NOP.
            _ => {}
        }
        self.look();
    }

    fn data(&mut self, byte: u8) {
        let segment = match self.segments_reversed {
            true => 127 - self.column,
            false => self.column,
        };
        let (page, segment) = (usize::from(self.page), usize::from(segment));
        self.ram[page][segment] = byte;
        if !std::mem::replace(&mut self.written[page][segment], true) {
            self.unwritten -= 1;
        }
        match self.mode {
            0 => {
                if self.column == self.columns.1 {
                    self.column = self.columns.0;
                    self.page = match self.page == self.pages.1 {
                        true => self.pages.0,
                        false => (self.page + 1) & 7,
                    };
                } else {
                    self.column = (self.column + 1) & 0x7F;
                }
            }
            2 => self.column = (self.column + 1) & 0x7F,
            mode => panic!("addressing mode {mode}"),
        }
        self.look();
    }

    /// Records that the panel shows unwritten memory.
    fn look(&mut self) {
        if self.is_lit() && self.unwritten > 0 {
            let visible = &self.written[..self.rows / 8];
            self.snow |= visible.as_flattened().contains(&false);
        }
    }

    /// Returns true if the panel is on and has power for its pixels.
    pub(crate) fn is_lit(&self) -> bool {
        self.on && self.pump
    }
}

impl Decoder for Chip {
    fn receive(&mut self, message: &[u8]) {
        for (data, byte) in unwrapped(message) {
            match data {
                true => self.data(byte),
                false => self.command(byte),
            }
        }
    }

    /// These modules have segment 127 at the left and the COM of the last row at the top.
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
            // Rows outside the multiplex ratio are dark (SSD1306 data sheet, tables 10-1 and 10-2).
            let row = (row + usize::from(self.offset)) % 64;
            row < rows && self.ram[row / 8][127 - x] >> (row % 8) & 1 == 1
        };
        let line = |y| (0..SEGMENTS).map(|x| dot(x, y)).collect();
        Some((0..rows).map(line).collect())
    }
}

/// The bytes of a message without its control bytes. The flag is true for data bytes. All of these
/// chips use the same format (SSD1306 data sheet, 8.1.5.2).
fn unwrapped(message: &[u8]) -> Vec<(bool, u8)> {
    let mut bytes = Vec::new();
    let mut rest = message;
    while let [control, payload @ ..] = rest {
        assert_eq!(control & 0x3F, 0, "control byte {control:#04x}");
        let count = match control & 0x80 {
            0 => payload.len(),
            _ => payload.len().min(1),
        };
        let data = control & 0x40 != 0;
        bytes.extend(payload[..count].iter().map(|byte| (data, *byte)));
        rest = &payload[count..];
    }
    bytes
}
