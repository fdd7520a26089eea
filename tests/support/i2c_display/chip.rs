//! A model of an OLED panel on an I2C bus: the chip decodes the messages, and the display shows its
//! memory. The model is written from the data sheets (SSD1306 rev 1.1, SH1106 V2.3, SH1107 V2.1). It
//! shares no code with the driver, and it panics at bytes that the chip does not support.

/// The display has 128 columns, and the memory has up to 16 pages of eight rows.
const WIDTH: usize = 128;
const PAGES: usize = 16;

/// The controller chip of the panel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Model {
    /// 128 columns of memory, which are written in windows.
    Ssd1306,
    /// 132 columns of memory, which are written page by page. The display has 128 of these columns;
    /// the module maker chooses the first one.
    Sh1106 { first: usize },
    /// 128 columns of memory, which are written page by page. The COM lines are the columns of the
    /// memory, and the segments are its rows; the module maker chooses the COM line at the left.
    Sh1107 { first: usize },
}

/// A page of the memory; only an SH1106 has more than 128 segments.
type Page<T> = [T; 132];

/// The chip and its display.
pub(crate) struct Chip {
    model: Model,
    ram: [Page<u8>; PAGES],
    written: [Page<bool>; PAGES],
    /// The number of memory bytes that have not been written since power-on.
    unwritten: usize,
    /// The command that waits for its arguments. The command can span two messages, because drivers
    /// may send a command and its arguments in separate messages.
    pending: Vec<u8>,
    /// The addressing mode of an SSD1306: 0 for windows, 2 for single pages.
    mode: u8,
    columns: (usize, usize),
    pages: (usize, usize),
    column: usize,
    page: usize,
    /// A0/A1: if true, column 0 is the last segment. The command affects only data that follow.
    segments_reversed: bool,
    /// C0/C8: if true, the rows are scanned in reverse.
    rows_reversed: bool,
    rows: usize,
    /// D3: the row that COM0 shows if nothing is reversed.
    offset: usize,
    /// DC: the column of an SH1107's memory that the first scanned COM line shows.
    start: usize,
    alternative_pins: bool,
    /// True if the charge pump is on. The pump of an SH1106 or SH1107 is on after power-on, and it
    /// can change only while the panel is off.
    pump: bool,
    pub(crate) on: bool,
    pub(crate) contrast: u8,
    pub(crate) precharge: u8,
    pub(crate) vcomh: u8,
    /// The number of commands that turned the panel off.
    pub(crate) darkened: usize,
    /// True if the panel was ever on while its memory, visible or beside the display, contained
    /// unwritten bytes.
    pub(crate) snow: bool,
}

impl Chip {
    /// An SSD1306 after power-on: default registers and random memory.
    pub(crate) fn ssd1306(noise: u8) -> Self {
        Self::powered(Model::Ssd1306, noise)
    }

    /// An SH1106 after power-on. `first` is the column address of the first visible column of an
    /// upright display.
    pub(crate) fn sh1106(first: usize) -> Self {
        Self {
            pump: true,
            contrast: 0x80,
            vcomh: 0x35,
            ..Self::powered(Model::Sh1106 { first }, 7)
        }
    }

    /// An SH1107 after power-on. `first` is the COM line at the left edge of an upright display.
    pub(crate) fn sh1107(first: usize) -> Self {
        Self {
            pump: true,
            contrast: 0x80,
            vcomh: 0x35,
            rows: 128,
            ..Self::powered(Model::Sh1107 { first }, 7)
        }
    }

    fn powered(model: Model, noise: u8) -> Self {
        let mut ram = [[0; 132]; PAGES];
        let mut byte = noise | 1;
        for cell in ram.as_flattened_mut() {
            byte = byte.wrapping_mul(37).wrapping_add(11);
            *cell = byte | 1;
        }
        let mut chip = Self {
            model,
            ram,
            written: [[false; 132]; PAGES],
            unwritten: 0,
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
            start: 0,
            alternative_pins: true,
            pump: false,
            on: false,
            contrast: 0x7F,
            precharge: 0x22,
            vcomh: 0x20,
            darkened: 0,
            snow: false,
        };
        chip.unwritten = chip.segments() * chip.ram_pages();
        chip
    }

    /// The number of columns of the memory.
    pub(crate) fn segments(&self) -> usize {
        match self.model {
            Model::Sh1106 { .. } => 132,
            _ => 128,
        }
    }

    /// Simulates a loss of power.
    pub(crate) fn brown_out(&mut self, noise: u8) {
        let powered = match self.model {
            Model::Ssd1306 => Self::ssd1306(noise),
            Model::Sh1106 { first } => Self::sh1106(first),
            Model::Sh1107 { first } => Self::sh1107(first),
        };
        *self = Self {
            darkened: self.darkened,
            snow: self.snow,
            ..powered
        };
    }

    /// Simulates a memory error that the driver does not notice.
    pub(crate) fn corrupt(&mut self, page: usize, segment: usize) {
        self.ram[page][segment] ^= 0x5A;
    }

    /// Returns true if the panel is on and has power for its pixels.
    pub(crate) fn is_lit(&self) -> bool {
        self.on && self.pump
    }

    /// Returns true if no bit is set in the memory of these rows beside the display.
    pub(crate) fn is_blank_outside(&self, rows: usize) -> bool {
        if matches!(self.model, Model::Sh1107 { .. }) {
            return true;
        }
        let pages = &self.ram[..rows / 8];
        let visible = self.segment(WIDTH - 1)..=self.segment(0);
        let mut outside = (0..self.segments()).filter(|segment| !visible.contains(segment));
        outside.all(|segment| pages.iter().all(|page| page[segment] == 0))
    }

    /// Decodes the bytes after the address byte. A failed message can end at any byte. Each part of
    /// a message starts with a control byte (SSD1306 data sheet, 8.1.5.2).
    pub(crate) fn receive(&mut self, message: &[u8]) {
        let mut rest = message;
        while let [control, payload @ ..] = rest {
            assert_eq!(control & 0x3F, 0, "control byte {control:#04x}");
            let count = match control & 0x80 {
                0 => payload.len(),
                _ => payload.len().min(1),
            };
            let (bytes, next) = payload.split_at(count);
            for byte in bytes {
                match control & 0x40 {
                    0 => self.command(*byte),
                    _ => self.data(*byte),
                }
            }
            rest = next;
        }
    }

    fn command(&mut self, byte: u8) {
        self.pending.push(byte);
        let arguments = match (self.model, self.pending[0]) {
            (Model::Sh1107 { .. }, 0xAD | 0xDC) => 1,
            (Model::Sh1107 { .. }, 0x00..=0x17 | 0x20 | 0xB0..=0xBF) => 0,
            (Model::Sh1107 { .. }, unknown @ (0x40..=0x7F | 0xDA)) => {
                panic!("command {unknown:#04x}")
            }
            (_, 0x81 | 0xA8 | 0xD3 | 0xD5 | 0xD9 | 0xDA | 0xDB) => 1,
            (_, 0x40..=0x7F | 0xA0 | 0xA1 | 0xA4..=0xA7 | 0xAE | 0xAF | 0xC0 | 0xC8 | 0xE3) => 0,
            (Model::Ssd1306, 0x20 | 0x8D) => 1,
            (Model::Ssd1306, 0x21 | 0x22) => 2,
            (Model::Ssd1306, 0x2E) => 0,
            (Model::Sh1106 { .. }, 0xAD) => 1,
            (Model::Sh1106 { .. }, 0x00..=0x1F | 0x30..=0x33 | 0xB0..=0xB7) => 0,
            (_, unknown) => panic!("command {unknown:#04x}"),
        };
        if self.pending.len() <= arguments {
            return;
        }
        let range = |from: u8, to: u8, mask: u8| (usize::from(from & mask), usize::from(to & mask));
        match self.pending[..] {
            [low @ 0x00..=0x0F] => self.column = self.column & 0xF0 | usize::from(low),
            [high @ 0x10..=0x1F] => {
                self.column = self.column & 0x0F | usize::from(high & 0x0F) << 4;
            }
            [0x20, mode] => self.mode = mode & 3,
            [0x21, from, to] => {
                self.columns = range(from, to, 0x7F);
                self.column = self.columns.0;
            }
            [0x22, from, to] => {
                self.pages = range(from, to, 7);
                self.page = self.pages.0;
            }
            [0x81, contrast] => self.contrast = contrast,
            [0x8D, pump] => self.pump = pump & 4 != 0,
            [remap @ (0xA0 | 0xA1)] => self.segments_reversed = remap == 0xA1,
            [0xA8, rows] => {
                let most = if self.ram_pages() == 8 { 0x3F } else { 0x7F };
                self.rows = usize::from(rows & most) + 1;
            }
            [0xAD, pump @ 0x80..=0x8F] => {
                assert!(!self.on, "the panel must be off for this");
                self.pump = pump & 1 != 0;
            }
            [0xAE] => {
                self.on = false;
                self.darkened += 1;
            }
            [0xAF] => self.on = true,
            [page @ 0xB0..=0xBF] => self.page = usize::from(page & 15),
            [scan @ (0xC0 | 0xC8)] => self.rows_reversed = scan == 0xC8,
            [0xD3, offset] => self.offset = usize::from(offset & 0x3F),
            [0xD9, precharge] => self.precharge = precharge,
            [0xDA, pins] => self.alternative_pins = pins & 0x10 != 0,
            [0xDB, vcomh] => self.vcomh = vcomh,
            [0xDC, line] => self.start = usize::from(line & 0x7F),
            // The model ignores clock, pump voltage, start line, all on, invert, scroll and NOP,
            // and also the rest of a message that was cut off.
            _ => {}
        }
        self.pending.clear();
        self.record_snow();
    }

    fn data(&mut self, byte: u8) {
        let last = self.segments() - 1;
        assert!(self.column <= last, "data behind the last column");
        let segment = match (self.model, self.segments_reversed) {
            // The remap is between the pages and the segments.
            (Model::Sh1107 { .. }, _) | (_, false) => self.column,
            (_, true) => last - self.column,
        };
        self.ram[self.page][segment] = byte;
        if !std::mem::replace(&mut self.written[self.page][segment], true) {
            self.unwritten -= 1;
        }
        match (self.model, self.mode) {
            // The column pointer stops after the last column.
            (Model::Sh1106 { .. } | Model::Sh1107 { .. }, _) => self.column += 1,
            (Model::Ssd1306, 0) if self.column != self.columns.1 => {
                self.column = (self.column + 1) & 0x7F;
            }
            (Model::Ssd1306, 0) => {
                self.column = self.columns.0;
                self.page = match self.page == self.pages.1 {
                    true => self.pages.0,
                    false => (self.page + 1) & 7,
                };
            }
            // A message with a lost byte can set another mode. The program never uses the mode for
            // columns (1), and the data sheet calls 3 invalid.
            (Model::Ssd1306, _) => self.column = (self.column + 1) & 0x7F,
        }
        self.record_snow();
    }

    /// Records that the panel shows unwritten memory.
    fn record_snow(&mut self) {
        if self.is_lit() && self.unwritten > 0 {
            let mut visible = self.written[..self.rows / 8].iter();
            self.snow |= visible.any(|page| page[..self.segments()].contains(&false));
        }
    }

    /// The segment of a column of the display. These modules have the last segment at the left.
    fn segment(&self, x: usize) -> usize {
        match self.model {
            Model::Ssd1306 => 127 - x,
            Model::Sh1106 { first } => 131 - first - x,
            Model::Sh1107 { .. } => x,
        }
    }

    const fn ram_pages(&self) -> usize {
        match self.model {
            Model::Sh1107 { .. } => PAGES,
            _ => 8,
        }
    }

    /// The memory byte of each column of the display, from the left, without any shift of the rows.
    pub(crate) fn page(&self, page: usize) -> impl Iterator<Item = u8> {
        (0..WIDTH).map(move |x| self.ram[page][self.segment(x)])
    }

    /// The visible pixels of a module with this number of rows, upright and from the top, or `None`
    /// if the module is dark. These modules have the COM of the last row at the top.
    pub(crate) fn seen(&self, rows: usize) -> Option<Vec<Vec<bool>>> {
        if !self.is_lit() {
            return None;
        }
        assert_eq!(self.rows, rows, "multiplex ratio");
        if let Model::Sh1107 { first } = self.model {
            return Some(self.seen_by_columns(first));
        }
        assert_eq!(self.alternative_pins, rows == 64, "COM pins");
        let dot = |x: usize, y: usize| {
            let row = match self.rows_reversed {
                true => y,
                false => rows - 1 - y,
            };
            // Rows outside the multiplex ratio are dark (SSD1306 data sheet, tables 10-1 and 10-2).
            let row = (row + self.offset) % 64;
            row < rows && self.ram[row / 8][self.segment(x)] >> (row % 8) & 1 == 1
        };
        let line = |y| (0..WIDTH).map(|x| dot(x, y)).collect();
        Some((0..rows).map(line).collect())
    }

    /// The visible pixels of a module with an SH1107.
    fn seen_by_columns(&self, first: usize) -> Vec<Vec<bool>> {
        assert_eq!(self.offset, 0, "this model has no offset of the COM lines");
        let dot = |x: usize, y: usize| {
            let com = (first + x) % WIDTH;
            // The number of the COM line in the order of the scan.
            let scanned = match self.rows_reversed {
                true => WIDTH - 1 - com,
                false => com,
            };
            let column = (self.start + scanned) % WIDTH;
            let row = match self.segments_reversed {
                true => 8 * PAGES - 1 - y,
                false => y,
            };
            self.ram[row / 8][column] >> (row % 8) & 1 == 1
        };
        let line = |y| (0..WIDTH).map(|x| dot(x, y)).collect();
        (0..8 * PAGES).map(line).collect()
    }
}
