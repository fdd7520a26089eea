//! The display controller chips and their commands. This module owns the settings that a device
//! cannot report, and all command bytes except the control bytes between them; it never decides
//! when to send, and it never accesses a bus.
//!
//! The commands come from the ssd1306 crate, but the order of the initialisation does not. The
//! crate's `init` turns the panel on before the memory contains a picture, and turns the panel off
//! and on at each call. The settings are sent again every few seconds, so a user would see that.

use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;

use display_interface::DataFormat::U8;
use display_interface::{DisplayError, WriteOnlyDataCommand};
use embedded_hal::i2c::I2c;
use ssd1306::command::{AddrMode, Command, Page};
use ssd1306::size::{DisplaySize, DisplaySize128x32, DisplaySize128x64};

use super::bus_fault::BusFault;
use super::dirty_runs;
use super::dirty_windows;
use super::gpio_line::GpioLine;
use super::i2c_message::I2cMessage;
use super::window::{self, Window, WindowPlan};
use crate::display::PanelLight;
use crate::render::{Frame, Size, WIDTH};

/// The controller chip of a panel. The program cannot detect the chip, because the status byte is
/// wrong on real boards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chip {
    /// The chip of most panels of 0.91 and 0.96 inches.
    Ssd1306,
    /// The successor of the SSD1306, with the same commands.
    Ssd1315,
    /// The chip of panels of 2.42 inches. This chip has no charge pump.
    Ssd1309,
    /// The chip of most panels of 1.3 inches. The memory of this chip has 132 columns, and the chip
    /// does not support windows.
    Sh1106 {
        /// The first of the 128 memory columns that the panel shows in the upright position, in the
        /// range 0..=4. Most panels use [`Chip::COLUMN`].
        column: u8,
    },
    /// The chip of most panels of 128×128. It is written page by page, like the SH1106. Its COM lines
    /// are the columns of the memory, so an offset moves the picture to the left or to the right.
    Sh1107 {
        /// The COM line at the left edge of the panel in the upright position, in the range 0..=127.
        /// Most panels use 0.
        column: u8,
    },
}

impl Chip {
    /// The first visible memory column of most panels with an SH1106.
    pub const COLUMN: u8 = 2;
    /// The largest column offset of an SH1107.
    pub const LAST: u8 = WIDTH as u8 - 1;
    /// The number of memory columns of an SH1106 that are not visible, left and right together.
    pub const SPARE: u8 = 4;
}

impl FromStr for Chip {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "ssd1306" => Ok(Chip::Ssd1306),
            "ssd1315" => Ok(Chip::Ssd1315),
            "ssd1309" => Ok(Chip::Ssd1309),
            "sh1106" => Ok(Chip::Sh1106 {
                column: Chip::COLUMN,
            }),
            "sh1107" => Ok(Chip::Sh1107 { column: 0 }),
            _ => Err("expected ssd1306, ssd1315, ssd1309, sh1106 or sh1107"),
        }
    }
}

impl Chip {
    /// Returns true if there are panels of this size with this chip. Only an SH1107 has 128 rows, and
    /// no other size is supported with it.
    pub fn has(self, size: Size) -> bool {
        matches!(self, Chip::Sh1107 { .. }) == (size == Size::Square)
    }

    /// Returns this size if there are panels of it with this chip, or else the usual size.
    pub fn size_near(self, size: Size) -> Size {
        match self {
            Chip::Sh1107 { .. } => Size::Square,
            _ if size == Size::Square => Size::Tall,
            _ => size,
        }
    }
}

/// The orientation of the mounted panel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rotation {
    /// The panel is mounted in its normal orientation.
    Upright,
    /// The panel is mounted upside down, rotated by 180 degrees.
    UpsideDown,
}

/// The settings of a panel. A device cannot report these settings, so the settings come from the
/// configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PanelSettings {
    /// The controller chip.
    pub chip: Chip,
    /// The size of the panel.
    pub size: Size,
    /// The bus of the panel, such as `/dev/i2c-1` or `/dev/spidev0.0`.
    pub bus: PathBuf,
    /// The I2C address in 7 bits: `0x3c`, on some panels `0x3d`. SPI has no addresses.
    pub address: u8,
    /// The GPIO line at the DC pin of a panel on SPI; `None` for I2C.
    pub dc: Option<GpioLine>,
    /// The orientation of the mounted panel.
    pub rotation: Rotation,
    /// The GPIO line at the RES pin of the panel; `None` if the pin is not connected to a line.
    pub reset: Option<GpioLine>,
}

type BufferResult<T> = Result<T, DisplayError>;

/// The number of memory columns of an SH1106.
const ROW: usize = WIDTH + Chip::SPARE as usize;
/// The number of bytes in a piece of the picture that is sent again, for a chip that supports
/// windows. The piece is a strip of columns over all pages.
const STRIP: usize = 96;
/// The number of columns in the first strip. The settings are sent before it, so it is short.
const FIRST_STRIP: usize = 8;
/// The number of memory bytes in a piece for a chip that is written page by page.
const RUN: usize = 100;
/// The number of memory bytes in the first of these pieces.
const FIRST_RUN: usize = 72;

impl PanelSettings {
    /// Returns the memory column of the picture's first column for a chip that is written page by
    /// page. Returns `None` for a chip that supports windows: its picture starts at memory column
    /// 0.
    fn paged(&self) -> Option<u8> {
        match self.chip {
            // In a rotated panel, the columns count from the other end of the 132.
            Chip::Sh1106 { column } => Some(match self.rotation {
                Rotation::Upright => column.min(Chip::SPARE),
                Rotation::UpsideDown => Chip::SPARE.saturating_sub(column),
            }),
            Chip::Sh1107 { .. } => Some(0),
            _ => None,
        }
    }

    /// Returns the number of memory columns of a chip that is written page by page.
    const fn row(&self) -> usize {
        match self.chip {
            Chip::Sh1106 { .. } => ROW,
            _ => WIDTH,
        }
    }

    /// Returns the windows to send, so that the panel shows the picture `next` instead of `shown`.
    /// `current` is the last window that was sent; `None` if the chip's pointer is unknown.
    pub(crate) fn plan(&self, shown: &Frame, next: &Frame, current: Option<Window>) -> WindowPlan {
        match self.paged() {
            None => dirty_windows::plan(shown, next, current),
            Some(_) => dirty_runs::plan(shown, next, current),
        }
    }

    /// Returns the length of the messages for these windows in bytes.
    pub(crate) fn price(&self, plan: &[Window], current: Option<Window>) -> usize {
        match self.paged() {
            None => window::price(plan, current),
            Some(_) => dirty_runs::price(plan, current),
        }
    }

    /// Adds the window commands and the picture data of one window to the message.
    pub(crate) fn send<I>(
        &self,
        message: &mut I2cMessage<I>,
        frame: &Frame,
        window: Window,
        current: Option<Window>,
    ) -> BufferResult<()> {
        // These conditions must match the ones in `price`.
        if let Some(first) = self.paged() {
            if current.is_none_or(|current| current.bottom != window.top) {
                set_page(message, window.top)?;
            }
            Command::ColStart(first + window.left).send(message)?;
        } else {
            if !current.is_some_and(|current| current.same_columns(window)) {
                set_columns(message, window)?;
            }
            if !current.is_some_and(|current| current.same_pages(window)) {
                set_pages(message, window)?;
            }
        }
        window
            .rows(frame)
            .try_for_each(|row| message.send_data(U8(row)))
    }

    /// Sends the whole picture, for any position of the chip's pointer, and clears all other memory
    /// that can be visible. Returns the window that is set in the chip afterwards.
    pub(crate) fn redraw<I: I2c<Error = BusFault>>(
        &self,
        message: &mut I2cMessage<I>,
        frame: &Frame,
    ) -> Result<Window, BusFault> {
        let whole = Window::whole(frame);
        let Some(first) = self.paged() else {
            self.send(message, frame, whole, None)?;
            message.flush()?;
            return Ok(whole);
        };
        for page in 0..=whole.bottom {
            self.send_row(message, frame, first, page, 0..self.row())?;
            message.flush()?;
        }
        Ok(Window {
            top: whole.bottom,
            ..whole
        })
    }

    /// Adds some memory columns of one page to the message, for a chip that is written page by page.
    /// `first` is the memory column of the picture's first column. If the configured first column is
    /// wrong, the panel also shows memory beside the picture, so that memory is cleared.
    fn send_row<I>(
        &self,
        message: &mut I2cMessage<I>,
        frame: &Frame,
        first: u8,
        page: u8,
        columns: Range<usize>,
    ) -> BufferResult<()> {
        let mut row = [0; ROW];
        row[usize::from(first)..][..WIDTH].copy_from_slice(frame.page(usize::from(page)));
        set_page(message, page)?;
        Command::ColStart(columns.start as u8).send(message)?;
        message.send_data(U8(&row[columns]))
    }

    /// Returns the number of pieces of a picture for [`PanelSettings::heal`].
    pub(crate) fn pieces(&self) -> u8 {
        let pages = self.size.pages();
        let rest = match self.paged() {
            None => ((WIDTH - FIRST_STRIP) * pages).div_ceil(STRIP),
            Some(_) => (self.row() * pages - FIRST_RUN).div_ceil(RUN),
        };
        1 + rest as u8
    }

    /// Sends a piece of the picture again, with all settings before the first piece. `window` is the
    /// window that is set in the chip. Returns the window that is set afterwards: the same one if
    /// the chip supports windows, so that the next update costs no more. With `wake`, the panel is
    /// turned on after the piece. A piece has at most 120 bytes with all its address bytes.
    pub(crate) fn heal<I: I2c<Error = BusFault>>(
        &self,
        message: &mut I2cMessage<I>,
        frame: &Frame,
        piece: u8,
        window: Option<Window>,
        wake: bool,
    ) -> Result<Option<Window>, BusFault> {
        let piece = usize::from(piece);
        let after = match self.paged() {
            None => {
                let pages = self.size.pages();
                let width = STRIP / pages;
                let (left, width) = match piece {
                    0 => (0, FIRST_STRIP),
                    _ => (FIRST_STRIP + width * (piece - 1), width),
                };
                let strip = Window {
                    left: left as u8,
                    right: (left + width - 1) as u8,
                    ..Window::whole(frame)
                };
                self.send(message, frame, strip, None)?;
                message.flush()?;
                match window {
                    None => Some(strip),
                    Some(window) => {
                        set(message, window)?;
                        Some(window)
                    }
                }
            }
            Some(first) => {
                let from = match piece {
                    0 => 0,
                    _ => FIRST_RUN + RUN * (piece - 1),
                };
                let row = self.row();
                let to = (FIRST_RUN + RUN * piece).min(row * self.size.pages());
                let (mut at, mut page) = (from, 0);
                while at < to {
                    page = at / row;
                    let end = to.min((page + 1) * row);
                    let columns = at - page * row..end - page * row;
                    self.send_row(message, frame, first, page as u8, columns)?;
                    message.flush()?;
                    at = end;
                }
                Some(Window::run(page, 0, WIDTH as u32 - 1))
            }
        };
        if wake {
            Command::DisplayOn(true).send(message)?;
        }
        message.flush()?;
        Ok(after)
    }

    /// Adds all settings of the chip to the message, for any previous state of the chip. If `dark`
    /// is true, the panel is off afterwards. If `whole` is true, the caller sends the whole picture
    /// directly afterwards.
    pub(crate) fn initialise<I>(
        &self,
        message: &mut I2cMessage<I>,
        light: PanelLight,
        dark: bool,
        whole: bool,
    ) -> BufferResult<()> {
        // After an interrupted message, the chip may wait for up to two arguments of a command. The
        // chip takes these two Noop commands as the arguments, or ignores the commands.
        Command::Noop.send(message)?;
        Command::Noop.send(message)?;
        if dark {
            Command::DisplayOn(false).send(message)?;
        }
        // The oscillator of the SH1107 has its default frequency.
        let clock = if self.is_square() { 0x5 } else { 0x8 };
        Command::DisplayClockDiv(clock, 0x0).send(message)?;
        Command::Multiplex(self.size.height() as u8 - 1).send(message)?;
        self.shift(message, light)?;
        if self.is_square() {
            Command::DisplayOffset(0).send(message)?;
        } else {
            Command::StartLine(0).send(message)?;
        }
        match self.chip {
            Chip::Ssd1306 | Chip::Ssd1315 => {
                Command::ChargePump(true).send(message)?;
                Command::AddressMode(AddrMode::Horizontal).send(message)?;
            }
            // The SSD1309 has an external supply and no charge pump.
            Chip::Ssd1309 => Command::AddressMode(AddrMode::Horizontal).send(message)?,
            Chip::Sh1106 { .. } => {
                // The panel must be off while the pump is switched on (SH1106 data sheet, command
                // 10). After a loss of power the pump is on by default.
                if dark {
                    message.send_commands(U8(&[0xAD, 0x8B]))?;
                }
                // The pump voltage is 8 V.
                message.send_commands(U8(&[0x32]))?;
            }
            Chip::Sh1107 { .. } => {
                // The converter is on by default, and works only while the panel is on. A panel with
                // an external supply leaves its pins open.
                if dark {
                    message.send_commands(U8(&[0xAD, 0x81]))?;
                }
                // Page addressing; `21` would be vertical addressing (command 3).
                message.send_commands(U8(&[0x20]))?;
            }
        }
        match self.size {
            Size::Tall => DisplaySize128x64.configure(message)?,
            Size::Short => DisplaySize128x32.configure(message)?,
            // The SH1107 has no setting of its COM pins.
            Size::Square => {}
        }
        // Manufacturers mount the panel upside down, so the upright orientation needs both
        // directions reversed. A panel of 128×128 needs neither.
        let reversed = (self.rotation == Rotation::Upright) != self.is_square();
        Command::SegmentRemap(reversed).send(message)?;
        Command::ReverseComDir(reversed).send(message)?;
        self.brighten(message, light.brightness)?;
        Command::AllOn(false).send(message)?;
        Command::Invert(false).send(message)?;
        match self.chip {
            // These chips have no scroll function.
            Chip::Sh1106 { .. } | Chip::Sh1107 { .. } => Ok(()),
            // After this command the memory must be written again (SSD1306 data sheet, 10.1.7).
            _ if whole => Command::EnableScroll(false).send(message),
            _ => Ok(()),
        }
    }

    const fn is_square(&self) -> bool {
        matches!(self.chip, Chip::Sh1107 { .. })
    }

    /// Adds the command that shifts the picture by the number of rows or columns of the light.
    pub(crate) fn shift<I>(
        &self,
        message: &mut I2cMessage<I>,
        light: PanelLight,
    ) -> BufferResult<()> {
        let Chip::Sh1107 { column } = self.chip else {
            return Command::DisplayOffset(light.first_row()).send(message);
        };
        // The start line is the memory column that COM0 shows; the columns count modulo 128. With
        // COM0 at the right edge, the columns before it move to the other side.
        let offset = match self.rotation {
            Rotation::Upright => WIDTH as u8 - column % WIDTH as u8,
            Rotation::UpsideDown => column,
        };
        let line = offset.wrapping_add(light.first_column()) % WIDTH as u8;
        message.send_commands(U8(&[0xDC, line]))
    }

    /// Adds the commands for a brightness level from 0 to 255. The contrast alone has little
    /// effect, so the pre-charge period and the VCOMH level change with it.
    pub(crate) fn brighten<I>(&self, message: &mut I2cMessage<I>, level: u8) -> BufferResult<()> {
        // The pre-charge phase takes 1 to 15 clock cycles, and the discharge phase before it takes
        // the minimum.
        let charge = 1 + level / 18;
        match self.chip {
            // These chips expect the two phases in the opposite order (SH1106 data sheet, command
            // 15).
            Chip::Sh1106 { .. } | Chip::Sh1107 { .. } => {
                Command::PreChargePeriod(charge, 1).send(message)?
            }
            _ => Command::PreChargePeriod(1, charge).send(message)?,
        }
        // The levels are 0.65, 0.77 and 0.83 of the supply voltage, or the nearest levels of the
        // chip. The crate's `VcomhLevel` is not used: its lowest level is 0x10, but the data sheet
        // defines 0x00.
        let levels = match self.chip {
            Chip::Ssd1306 | Chip::Ssd1315 => [0x00, 0x20, 0x30],
            Chip::Ssd1309 => [0x00, 0x34, 0x3C],
            Chip::Sh1106 { .. } | Chip::Sh1107 { .. } => [0x22, 0x35, 0x3E],
        };
        let [low, mid, high] = levels;
        let vcomh = match level {
            ..64 => low,
            64..192 => mid,
            192.. => high,
        };
        message.send_commands(U8(&[0xDB, vcomh]))?;
        Command::Contrast(level).send(message)
    }
}

/// Adds the command that sets the page of a chip that is written page by page.
fn set_page<I>(message: &mut I2cMessage<I>, page: u8) -> BufferResult<()> {
    // The crate's `Page::from` expects a row of dots.
    Command::PageStart(Page::from(page * 8)).send(message)
}

/// Adds the commands that set a window to the message.
fn set<I>(message: &mut I2cMessage<I>, window: Window) -> BufferResult<()> {
    set_columns(message, window)?;
    set_pages(message, window)
}

fn set_columns<I>(message: &mut I2cMessage<I>, window: Window) -> BufferResult<()> {
    Command::ColumnAddress(window.left, window.right).send(message)
}

fn set_pages<I>(message: &mut I2cMessage<I>, window: Window) -> BufferResult<()> {
    Command::PageAddress(Page::from(window.top * 8), Page::from(window.bottom * 8)).send(message)
}
