//! Shows the picture on a terminal. This module owns the cursor of the terminal while the program
//! runs, and restores it at the end; it never reads from the terminal and never changes its mode.
//! The last picture stays on the terminal, with a caption that it is no longer live.
//!
//! The picture starts at the top left corner, and the cursor returns to its place after each
//! drawing. So other output, such as the log, continues below the picture.

use std::io::{self, IsTerminal, Write};

use log::warn;

use super::{DisplayDevice, PanelLight};
use crate::render::{Frame, WIDTH};
use crate::time::{Moment, Now, Utc};

/// The size of a terminal in columns and rows.
type Cells = (u16, u16);
/// Returns the size of the terminal; `None` if there is no terminal. The function is called at each
/// drawing, so that the picture follows a resize.
type MeasureTerminal = Box<dyn FnMut() -> Option<Cells> + Send>;

/// Saves the cursor and turns line wrap off, so that a narrow terminal cuts the picture.
const BEGIN: &str = "\x1b7\x1b[?7l";
const END: &str = "\x1b[?7h\x1b8";
const CLEAR: &str = "\x1b[2J\x1b[H";
/// The word below the picture while the panel is off. Without this word, a user could take the dark
/// picture for a failure.
const OFF: &str = "off";
const HIDE_CURSOR: &str = "\x1b[?25l";
/// Turns line wrap on and shows the cursor, because the program can end in the middle of a drawing.
const RESTORE: &str = "\x1b[?7h\x1b[?25h";

/// Restores the cursor of standard output if it is a terminal. This function is for a panic hook,
/// because no destructor runs there.
pub fn restore() {
    let mut stdout = io::stdout();
    if stdout.is_terminal() {
        // Errors are ignored, because the program is about to end.
        let _ = stdout.write_all(RESTORE.as_bytes());
        let _ = stdout.flush();
    }
}

/// The terminal from which the process was started, for example over SSH.
#[derive(Clone, Copy, Debug)]
pub struct ControllingTerminal(());

impl ControllingTerminal {
    /// Returns the controlling terminal of this process. `None` if the process has none, or if it must
    /// continue without its terminal, because `nohup` started it.
    pub fn of_process() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        // The first bit is SIGHUP.
        let nohup = ignored.unwrap_or_default() & 1 == 1;
        let terminal = Self(());
        (!nohup && !terminal.is_gone()).then_some(terminal)
    }

    /// Returns true if the terminal is closed: the kernel then takes it away from the process.
    pub fn is_gone(self) -> bool {
        std::fs::File::open("/dev/tty").is_err()
    }
}

/// A panel that is a terminal.
pub struct Terminal<W: Write> {
    out: W,
    measure: MeasureTerminal,
    caption: String,
    /// The picture that a real panel would show now; `None` before the first picture.
    last: Option<Frame>,
    /// True if the picture is dark because the panel is off.
    off: bool,
    /// The terminal's size at the last drawing; `None` before the first drawing.
    drawn: Option<Cells>,
    failed: bool,
}

impl Terminal<io::Stdout> {
    /// Creates a panel on standard output, with the caption in a line below the picture. If
    /// standard output is not a terminal, only the last picture is written, at the end of the
    /// program.
    pub fn stdout(caption: &str) -> Self {
        Self::new(io::stdout(), caption, || {
            let stdout = io::stdout();
            let size = rustix::termios::tcgetwinsize(&stdout).ok();
            let cells = size.map(|size| (size.ws_col, size.ws_row));
            // A serial terminal does not report its size, so 80 by 24 is the default.
            let known = cells.filter(|(columns, rows)| *columns > 0 && *rows > 0);
            stdout.is_terminal().then(|| known.unwrap_or((80, 24)))
        })
    }
}

impl<W: Write> Terminal<W> {
    /// Creates a panel on any writer. `measure` returns the columns and rows of the terminal, or
    /// `None` if there is no terminal.
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
            failed: false,
        }
    }

    /// Returns the picture with its border, its caption and the escape sequences for its place.
    fn compose(&self, frame: &Frame, cells: Cells) -> String {
        let (columns, rows) = (usize::from(cells.0), usize::from(cells.1));
        // The picture keeps its proportions if the picture, its border and the caption fit with one
        // column by two rows of dots in each character. Otherwise each character shows two columns
        // by four rows, which fit a terminal of 80 by 24.
        let fits = columns >= WIDTH + 2 && rows > frame.size().height() / 2 + 2;
        let character = if fits { half_block } else { braille };
        let (width, height) = if fits { (1, 2) } else { (2, 4) };
        let border = "─".repeat(WIDTH / width);
        let mut lines = vec![format!("┌{border}┐")];
        for y in (0..frame.size().height()).step_by(height) {
            let dots = (0..WIDTH).step_by(width);
            let row: String = dots.map(|x| character(frame, x, y)).collect();
            lines.push(format!("│{row}│"));
        }
        lines.push(format!("└{border}┘"));
        lines.push(match (self.off, self.caption.as_str()) {
            (false, caption) => caption.to_owned(),
            (true, "") => OFF.to_owned(),
            (true, caption) => format!("{caption} · {OFF}"),
        });
        let fresh = self.drawn != Some(cells);
        let mut text = String::new();
        if fresh {
            text.push_str(HIDE_CURSOR);
            text.push_str(CLEAR);
        }
        text.push_str(BEGIN);
        for (row, line) in (1..=rows).zip(&lines) {
            text.push_str(&format!("\x1b[{row}H{line}\x1b[K"));
        }
        text.push_str(END);
        if fresh {
            // The cursor moves below the picture, so that later output does not overwrite the
            // picture.
            let below = rows.min(lines.len() + 1);
            text.push_str(&format!("\x1b[{below}H"));
        }
        text
    }

    fn draw(&mut self) {
        if let Some(frame) = &self.last
            && let Some(cells) = (self.measure)()
        {
            let text = self.compose(frame, cells);
            self.drawn = Some(cells);
            self.print(&text);
        }
    }

    fn print(&mut self, text: &str) {
        let written = self
            .out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush());
        if let Err(error) = &written
            && !self.failed
        {
            warn!("panel: cannot write to the terminal: {error}");
        }
        self.failed = written.is_err();
    }

    /// Restores the terminal. `leave_display` calls this function, and so does the destructor, in
    /// case `leave_display` was not called.
    fn release(&mut self) {
        if self.drawn.take().is_some() {
            self.print(RESTORE);
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
        if self.drawn.is_some() {
            self.caption = ended(now.utc);
            self.off = false;
            self.draw();
            self.release();
        } else if let Some(last) = self.last.take() {
            if self.caption.is_empty() {
                self.caption = ended(now.utc);
            }
            self.print(&format!("{last}{}\n", self.caption));
        }
    }
}

impl<W: Write> Drop for Terminal<W> {
    fn drop(&mut self) {
        self.release();
    }
}

/// Returns the caption below the last picture, with the end time in UTC like the times in the log.
fn ended(utc: Option<Utc>) -> String {
    match utc.and_then(|utc| jiff::Timestamp::from_millisecond(utc.0).ok()) {
        Some(time) => format!("ended {} UTC — not live", time.strftime("%H:%M:%S")),
        None => "ended — not live".to_owned(),
    }
}

/// Returns the character for one column by two rows of dots.
fn half_block(frame: &Frame, x: usize, y: usize) -> char {
    match (frame.lit(x, y), frame.lit(x, y + 1)) {
        (false, false) => ' ',
        (true, false) => '▀',
        (false, true) => '▄',
        (true, true) => '█',
    }
}

/// Returns the character for two by four dots (Unicode, block Braille Patterns: bits 0 to 7 are the
/// dots 1 to 8).
fn braille(frame: &Frame, x: usize, y: usize) -> char {
    /// The rows of the dots 1 to 8; the dots 4 to 6 and 8 are in the right column.
    const ROWS: [usize; 8] = [0, 1, 2, 0, 1, 2, 3, 3];
    const COLUMNS: [usize; 8] = [0, 0, 0, 1, 1, 1, 0, 1];
    let lit = |bit: usize| u32::from(frame.lit(x + COLUMNS[bit], y + ROWS[bit])) << bit;
    let bits: u32 = (0..8).map(lit).sum();
    char::from_u32(0x2800 | bits).unwrap_or(' ')
}
