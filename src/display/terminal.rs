//! Shows the picture on a terminal. This module owns the cursor of the terminal while the program
//! runs, and restores it at the end; it never reads from the terminal. The last picture stays on
//! the terminal, with a line that it is no longer live.
//!
//! The picture is scaled to the terminal, and the cursor returns to its place after each drawing,
//! so other output, such as the log, continues below the picture. A demo on a terminal that is too
//! small or cannot move its cursor prints the content of the display as lines of text.

mod scale;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use log::warn;

use super::caption::{Caption, CaptionText};
use super::{DisplayDevice, PanelLight, keyboard};
use crate::render::Frame;
use crate::time::{Moment, Now, Utc};
use scale::Picture;

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
const RESTORE: &str = "\x1b[0m\x1b[?7h\x1b[?25h";
/// The number of lines below the picture: two for the words, and one for the keys.
const LINES: usize = 3;
/// The interval between two checks for a new text below the picture.
const CHECK: Duration = Duration::from_millis(250);
/// The minimum interval between two texts about the prices on a terminal without pictures.
const TEXT_INTERVAL: Duration = Duration::from_secs(2);
/// Terminals that cannot show a picture.
const WITHOUT_PICTURES: [&str; 6] = ["", "dumb", "vt100", "vt102", "vt220", "ansi"];

/// Restores the terminal of standard output if it is a terminal. This function is for a panic hook,
/// because no destructor runs there.
pub fn restore() {
    keyboard::restore();
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
    /// Returns the controlling terminal of this process. `None` if the process has none, or if it
    /// must continue without its terminal, because `nohup` started it.
    pub fn of_process() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        // The first bit is SIGHUP.
        let nohup = ignored.unwrap_or_default() & 1 == 1;
        let terminal = Self(());
        (!nohup && !terminal.is_gone()).then_some(terminal)
    }

    /// Returns true if the terminal is closed: the process then no longer has a controlling
    /// terminal.
    pub fn is_gone(self) -> bool {
        std::fs::File::open("/dev/tty").is_err()
    }
}

/// A panel that is a terminal.
pub struct Terminal<W: Write> {
    out: W,
    measure: MeasureTerminal,
    /// The text of a demo; `None` outside a demo.
    caption: Option<Caption>,
    /// The text at the last drawing.
    drawn_text: CaptionText,
    /// The picture that a real panel would show now; `None` before the first picture.
    last: Option<Frame>,
    /// True if the picture is dark because the panel is off.
    off: bool,
    /// The line about the end of the program.
    ended: Option<String>,
    /// The terminal's size at the last drawing; `None` before the first drawing.
    drawn: Option<Cells>,
    /// The time of the next check for a new text.
    check: Moment,
    /// The time from which a new text about the prices can be printed.
    text_due: Moment,
    failed: bool,
}

impl Terminal<io::Stdout> {
    /// Creates a panel on standard output. If standard output is not a terminal, the last picture
    /// is written at the end of the program. `caption` is the text of a demo.
    pub fn stdout(caption: Option<Caption>) -> Self {
        let term = std::env::var("TERM").unwrap_or_default();
        let pictures = !WITHOUT_PICTURES.contains(&&*term) || caption.is_none();
        Self::new(io::stdout(), caption, move || {
            let stdout = io::stdout();
            let size = rustix::termios::tcgetwinsize(&stdout).ok();
            let cells = size.map(|size| (size.ws_col, size.ws_row));
            // A serial terminal does not report its size, so 80 by 24 is the default.
            let known = cells.filter(|(columns, rows)| *columns > 0 && *rows > 0);
            (stdout.is_terminal() && pictures).then(|| known.unwrap_or((80, 24)))
        })
    }
}

impl<W: Write> Terminal<W> {
    /// Creates a panel on any writer. `measure` returns the columns and rows of the terminal, or
    /// `None` if there is no terminal that can show a picture. `caption` is the text of a demo.
    pub fn new<M>(out: W, caption: Option<Caption>, measure: M) -> Self
    where
        M: FnMut() -> Option<Cells> + Send + 'static,
    {
        Self {
            out,
            measure: Box::new(measure),
            caption,
            drawn_text: CaptionText::default(),
            last: None,
            off: false,
            ended: None,
            drawn: None,
            check: Moment::ZERO,
            text_due: Moment::ZERO,
            failed: false,
        }
    }

    /// Returns the lines below the picture, for this number of columns.
    fn lines(&self, text: &CaptionText, columns: usize) -> Vec<String> {
        let mut words = match text.message.as_str() {
            "" => text.seen.join("; "),
            message => message.to_owned(),
        };
        if let Some(ended) = &self.ended {
            words.clone_from(ended);
        } else if self.off {
            words = format!("{words} {OFF}").trim_start().to_owned();
        }
        let mut lines = wrapped(&words, columns);
        if self.caption.is_none() {
            // Without a demo, the text has only one line, and the log continues below it.
            lines.resize(1, String::new());
            return lines;
        }
        lines.resize(LINES - 1, String::new());
        let mut keys = wrapped(&text.keys, columns).into_iter();
        // After the end of the program no key has an effect, so the line of the keys is empty.
        let keys = keys.next().filter(|_| self.ended.is_none());
        lines.push(keys.unwrap_or_default());
        lines
    }

    /// Returns the picture, the lines below it and the escape sequences for their places.
    fn compose(&self, picture: &Picture<'_>, text: &CaptionText, cells: Cells) -> String {
        let (columns, rows) = (usize::from(cells.0), usize::from(cells.1));
        let left = columns.saturating_sub(picture.columns()) / 2;
        let lines = self.lines(text, columns);
        // The log of a running ticker continues below the picture. A demo has no log.
        let free = rows.saturating_sub(picture.rows() + LINES);
        let top = if self.caption.is_some() { free / 2 } else { 0 };
        let fresh = self.drawn != Some(cells);
        let mut out = String::new();
        if fresh {
            out.push_str(HIDE_CURSOR);
            out.push_str(CLEAR);
        }
        out.push_str(BEGIN);
        let mut row = top + 1;
        for line in 0..picture.rows() {
            out.push_str(&format!("\x1b[{row};{}H", left + 1));
            picture.draw_row(line, &mut out);
            out.push_str("\x1b[0m");
            row += 1;
        }
        for line in lines.iter().take((rows + 1).saturating_sub(row)) {
            let indent = columns.saturating_sub(line.chars().count()) / 2;
            out.push_str(&format!(
                "\x1b[{row}H\x1b[K\x1b[{row};{}H{line}",
                indent + 1
            ));
            row += 1;
        }
        out.push_str(END);
        if fresh {
            // The cursor moves below the picture, so that later output does not overwrite the
            // picture.
            out.push_str(&format!("\x1b[{}H", row.min(rows)));
        }
        out
    }

    fn draw(&mut self, now: Moment) {
        let Some(frame) = &self.last else { return };
        let caption = self.caption.as_ref();
        let text = caption.map(Caption::text).unwrap_or_default();
        let cells = (self.measure)();
        let picture = cells.and_then(|(columns, rows)| {
            let rows = usize::from(rows).saturating_sub(LINES);
            Picture::fitting(frame, columns.into(), rows, self.caption.is_none())
        });
        match (cells, picture) {
            (Some(cells), Some(picture)) => {
                let out = self.compose(&picture, &text, cells);
                self.drawn = Some(cells);
                self.drawn_text = text;
                self.print(&out);
            }
            _ if self.caption.is_some() => self.print_text(text, now),
            _ => {}
        }
    }

    /// Prints a new text as lines.
    fn print_text(&mut self, text: CaptionText, now: Moment) {
        let mut out = String::new();
        if self.drawn.take().is_some() {
            // The terminal has become too small for the picture.
            out.push_str(RESTORE);
            out.push_str(CLEAR);
            self.drawn_text = CaptionText::default();
            self.text_due = Moment::ZERO;
        }
        if text.keys != self.drawn_text.keys {
            out.push_str(&format!("{}\n", text.keys));
        }
        if text.message != self.drawn_text.message && !text.message.is_empty() {
            out.push_str(&format!("\n{}\n", text.message));
        }
        let mut shown = text.clone();
        if text.seen != self.drawn_text.seen && now >= self.text_due {
            // The first values after dashes are printed without this wait.
            let dashes = text.seen.iter().any(|line| line.contains("---"));
            self.text_due = if dashes { now } else { now + TEXT_INTERVAL };
            out.extend(text.seen.iter().map(|line| format!("{line}\n")));
        } else {
            shown.seen.clone_from(&self.drawn_text.seen);
        }
        self.drawn_text = shown;
        if !out.is_empty() {
            self.print(&out);
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
    fn show(&mut self, frame: &Frame, light: PanelLight, now: Moment) {
        self.last = Some(light.on_glass(frame));
        self.off = !light.on;
        self.draw(now);
        self.check = now + CHECK;
    }

    fn tick(&mut self, now: Moment) {
        let changed = |caption: &Caption| caption.text() != self.drawn_text;
        if self.caption.as_ref().is_some_and(changed) {
            self.draw(now);
        }
        self.check = now + CHECK;
    }

    fn deadline(&self) -> Moment {
        match self.caption {
            Some(_) => self.check,
            None => Moment::NEVER,
        }
    }

    fn leave_display(&mut self, now: Now) {
        let ended = ended(now.utc);
        if self.drawn.is_some() {
            self.ended = Some(ended);
            self.off = false;
            self.draw(now.monotonic);
            self.release();
        } else if self.caption.is_some() {
            self.print(&format!("\n{ended}\n"));
        } else if let Some(last) = self.last.take() {
            self.print(&format!("{last}{ended}\n"));
        }
    }
}

impl<W: Write> Drop for Terminal<W> {
    fn drop(&mut self) {
        self.release();
    }
}

/// Returns the text in lines of at most this number of columns, broken between words.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Returns the line below the last picture, with the end time in UTC like the times in the log.
fn ended(utc: Option<Utc>) -> String {
    match utc.and_then(|utc| jiff::Timestamp::from_millisecond(utc.0).ok()) {
        Some(time) => format!("ended {} UTC — not live", time.strftime("%H:%M:%S")),
        None => "ended — not live".to_owned(),
    }
}
