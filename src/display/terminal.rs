//! The picture on a terminal. Owns the terminal's cursor while running and gives it back; never
//! reads from it, never changes its mode, and leaves the last picture where it is, with the word
//! that it is no longer live.
//!
//! Drawn from the top left corner, with the cursor put back where it was: what others write, such
//! as the log, goes on below the picture.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};

use log::warn;

use super::{DisplayDevice, PanelLight};
use crate::render::{Frame, WIDTH};
use crate::time::{Moment, Now, Utc};

/// Columns and rows.
type Cells = (u16, u16);
/// Asked at each drawing, so that a resize is followed; `None` if there is no terminal.
type MeasureTerminal = Box<dyn FnMut() -> Option<Cells> + Send>;

/// Save the cursor, and do not break lines: a narrow terminal cuts the picture.
const BEGIN: &str = "\x1b7\x1b[?7l";
const END: &str = "\x1b[?7h\x1b8";
const CLEAR: &str = "\x1b[2J\x1b[H";
/// Said below a dark picture, which could be taken for a broken one.
const OFF: &str = "off";
const HIDE_CURSOR: &str = "\x1b[?25l";
/// Breaks lines again and shows the cursor: whatever moment the program ends at.
const RESTORE: &str = "\x1b[?7h\x1b[?25h";

/// Gives the terminal of standard output its cursor back, if there is one; for a panic hook, where
/// no destructor runs.
pub fn restore() {
    let mut stdout = io::stdout();
    if stdout.is_terminal() {
        // Nobody is left to be told.
        let _ = stdout
            .write_all(RESTORE.as_bytes())
            .and_then(|()| stdout.flush());
    }
}

/// A panel that is a terminal.
pub struct Terminal<W: Write> {
    out: W,
    measure: MeasureTerminal,
    caption: String,
    /// What a panel would show now.
    last: Option<Frame>,
    /// Whether that is nothing, because the panel shall be off.
    off: bool,
    /// The terminal's size at the last drawing; `None` before the first.
    drawn: Option<Cells>,
    text: String,
    failed: bool,
}

impl Terminal<io::Stdout> {
    /// On standard output; the caption stands in a line below the picture. If that is not a
    /// terminal, nothing is written until the end, then the last picture.
    pub fn stdout(caption: &str) -> Self {
        Self::new(io::stdout(), caption, || {
            let stdout = io::stdout();
            if !stdout.is_terminal() {
                return None;
            }
            // A serial line does not know its size.
            let size = rustix::termios::tcgetwinsize(&stdout).ok();
            Some(match size.map(|size| (size.ws_col, size.ws_row)) {
                None | Some((0, _) | (_, 0)) => (80, 24),
                Some(cells) => cells,
            })
        })
    }
}

impl<W: Write> Terminal<W> {
    /// On any writer, with what tells the terminal's columns and rows.
    pub fn new<M>(out: W, caption: &str, measure: M) -> Self
    where
        M: FnMut() -> Option<Cells> + Send + 'static,
    {
        Self {
            out,
            measure: Box::new(measure),
            caption: caption.to_owned(),
            last: None,
            off: false,
            drawn: None,
            text: String::new(),
            failed: false,
        }
    }

    /// The text of `self.last` in place, with what moves the cursor.
    fn compose(&mut self, cells: Cells) -> fmt::Result {
        let Some(frame) = &self.last else {
            return Ok(());
        };
        let text = &mut self.text;
        text.clear();
        let fresh = self.drawn != Some(cells);
        if fresh {
            text.push_str(HIDE_CURSOR);
            text.push_str(CLEAR);
        }
        text.push_str(BEGIN);
        let mut row = 0;
        let style = DotCell::fitting(frame, cells);
        let width = style.width();
        let mut line = |text: &mut String, draw: &dyn Fn(&mut String) -> fmt::Result| {
            row += 1;
            if row > cells.1 {
                return Ok(());
            }
            write!(text, "\x1b[{row}H")?;
            draw(text)?;
            text.write_str("\x1b[K")
        };
        line(text, &|text| border(text, '┌', width, '┐'))?;
        for y in (0..frame.size().height()).step_by(style.dots().1) {
            line(text, &|text| {
                text.push('│');
                style.row(text, frame, y);
                text.push('│');
                Ok(())
            })?;
        }
        line(text, &|text| border(text, '└', width, '┘'))?;
        line(text, &|text| {
            text.write_str(&self.caption)?;
            match (self.off, self.caption.as_str()) {
                (false, _) => Ok(()),
                (true, "") => text.write_str(OFF),
                (true, _) => write!(text, " · {OFF}"),
            }
        })?;
        text.push_str(END);
        if fresh {
            // Below the picture: what is written next does not cover it.
            write!(text, "\x1b[{}H", row.saturating_add(1).min(cells.1))?;
        }
        Ok(())
    }

    fn draw(&mut self) {
        let Some(cells) = (self.measure)() else {
            return;
        };
        // Writing to a string does not fail.
        if self.compose(cells).is_ok() {
            self.drawn = Some(cells);
            self.print();
        }
    }

    fn print(&mut self) {
        let written = self
            .out
            .write_all(self.text.as_bytes())
            .and_then(|()| self.out.flush());
        if let Err(error) = &written
            && !self.failed
        {
            warn!("panel: cannot write to the terminal: {error}");
        }
        self.failed = written.is_err();
    }

    /// Gives the terminal back; for the goodbye and for whoever forgets it.
    fn release(&mut self) {
        if self.drawn.take().is_some() {
            self.text.clear();
            self.text.push_str(RESTORE);
            self.print();
        }
    }
}

impl<W: Write> DisplayDevice for Terminal<W> {
    fn show(&mut self, frame: &Frame, light: PanelLight, _: Moment) {
        self.last = Some(light.on_glass(frame));
        self.off = !light.on;
        self.draw();
    }

    fn tick(&mut self, _: Moment) {}

    fn deadline(&self) -> Moment {
        Moment::NEVER
    }

    fn leave_display(&mut self, now: Now) {
        let ended = ended(now.utc);
        if self.drawn.is_some() {
            self.caption = ended;
            self.off = false;
            self.draw();
            self.release();
            return;
        }
        if self.caption.is_empty() {
            self.caption = ended;
        }
        if let Some(last) = self.last.take() {
            self.text.clear();
            // Writing to a string does not fail.
            if writeln!(self.text, "{last}{}", self.caption).is_ok() {
                self.print();
            }
        }
    }
}

impl<W: Write> Drop for Terminal<W> {
    fn drop(&mut self) {
        self.release();
    }
}

impl<W: Write> fmt::Debug for Terminal<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal")
            .field("caption", &self.caption)
            .field("drawn", &self.drawn)
            .finish_non_exhaustive()
    }
}

/// What stands below a picture that stays behind; by the time of the log.
fn ended(utc: Option<Utc>) -> String {
    match utc.and_then(|utc| jiff::Timestamp::from_millisecond(utc.0).ok()) {
        Some(time) => format!("ended {} UTC — not live", time.strftime("%H:%M:%S")),
        None => "ended — not live".to_owned(),
    }
}

fn border(text: &mut String, left: char, width: usize, right: char) -> fmt::Result {
    write!(text, "{left}{:─<width$}{right}", "")
}

/// How many dots a character holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum DotCell {
    /// One by two: the picture's own shape.
    Blocks,
    /// Two by four: fits a terminal of 80 by 24.
    Braille,
}

impl DotCell {
    /// The larger one that fits, with its border and the caption.
    fn fitting(frame: &Frame, (columns, rows): Cells) -> Self {
        let fits =
            usize::from(columns) >= WIDTH + 2 && usize::from(rows) > frame.size().height() / 2 + 2;
        if fits {
            DotCell::Blocks
        } else {
            DotCell::Braille
        }
    }

    const fn dots(self) -> (usize, usize) {
        match self {
            DotCell::Blocks => (1, 2),
            DotCell::Braille => (2, 4),
        }
    }

    const fn width(self) -> usize {
        WIDTH / self.dots().0
    }

    /// The characters of the dots from row `y` on.
    fn row(self, text: &mut String, frame: &Frame, y: usize) {
        for x in (0..WIDTH).step_by(self.dots().0) {
            text.push(match self {
                DotCell::Blocks => match (frame.lit(x, y), frame.lit(x, y + 1)) {
                    (false, false) => ' ',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (true, true) => '█',
                },
                DotCell::Braille => braille(frame, x, y),
            });
        }
    }
}

/// The character for two by four dots (Unicode, block Braille Patterns: dots 1 to 3, 7 down the
/// left column are bits 0 to 2 and 6, dots 4 to 6, 8 bits 3 to 5 and 7).
fn braille(frame: &Frame, x: usize, y: usize) -> char {
    const BITS: [[u32; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
    let mut bits = 0;
    for (dy, row) in BITS.iter().enumerate() {
        for (dx, bit) in row.iter().enumerate() {
            if frame.lit(x + dx, y + dy) {
                bits |= bit;
            }
        }
    }
    char::from_u32(0x2800 | bits).unwrap_or(' ')
}
