//! Tests of the terminal display: each picture replaces the last one in place, and the terminal is
//! restored at the end.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use deskticker::display::{DisplayDevice, PanelLight, Terminal};
use deskticker::render::{Frame, Size};
use deskticker::time::{Moment, Now, Utc};

/// A writer that keeps its output for the test.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const CAPTION: &str = "simulated prices · Ctrl-C ends";
/// 2026-01-13 17:00:05 UTC.
const END: Now = Now::new(Moment::from_secs(9), Utc(1_768_323_605_000));

/// A minimal terminal emulator that stores the last character of each cell.
struct Screen {
    cells: Vec<Vec<char>>,
    cursor: (usize, usize),
    saved: (usize, usize),
    cursor_shown: bool,
    wraps: bool,
}

impl Screen {
    fn new(columns: usize, rows: usize) -> Self {
        Self {
            cells: vec![vec![' '; columns]; rows],
            cursor: (0, 0),
            saved: (0, 0),
            cursor_shown: true,
            wraps: true,
        }
    }

    fn feed(&mut self, text: &str) {
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            if c != '\x1b' {
                self.print(c);
                continue;
            }
            match rest.next().unwrap() {
                '7' => self.saved = self.cursor,
                '8' => self.cursor = self.saved,
                '[' => {
                    let mut arguments = String::new();
                    let end = loop {
                        let c = rest.next().unwrap();
                        if c.is_ascii_alphabetic() {
                            break c;
                        }
                        arguments.push(c);
                    };
                    self.control(end, &arguments);
                }
                other => panic!("ESC {other}"),
            }
        }
    }

    fn control(&mut self, end: char, arguments: &str) {
        match (end, arguments) {
            ('l', "?25") => self.cursor_shown = false,
            ('h', "?25") => self.cursor_shown = true,
            ('l', "?7") => self.wraps = false,
            ('h', "?7") => self.wraps = true,
            ('J', "2") => self.cells.iter_mut().for_each(|row| row.fill(' ')),
            ('H', row) => {
                let row = row.parse().unwrap_or(1);
                assert!(row <= self.cells.len(), "row {row}");
                self.cursor = (row - 1, 0);
            }
            ('K', "") => {
                let (row, column) = self.cursor;
                self.cells[row][column..].fill(' ');
            }
            other => panic!("{other:?}"),
        }
    }

    fn print(&mut self, c: char) {
        if c == '\n' {
            self.cursor = (self.cursor.0 + 1, 0);
            return;
        }
        let (row, column) = self.cursor;
        let last = self.cells[row].len() - 1;
        assert!(column <= last || !self.wraps, "wraps");
        self.cells[row][column.min(last)] = c;
        self.cursor.1 = (column + 1).min(last);
    }

    fn row(&self, row: usize) -> String {
        let text: String = self.cells[row].iter().collect();
        text.trim_end().to_owned()
    }
}

fn corner() -> Frame {
    let mut frame = Frame::new(Size::Tall);
    frame.set(0, 0, true);
    frame.set(127, 63, true);
    frame
}

fn shown(columns: u16, rows: u16, frame: &Frame) -> (Screen, Paper, Terminal<Paper>) {
    let paper = Paper::default();
    let mut terminal = Terminal::new(paper.clone(), CAPTION, move || Some((columns, rows)));
    terminal.show(frame, PanelLight::default(), Moment::ZERO);
    let mut screen = Screen::new(columns.into(), rows.into());
    screen.feed(&paper.take());
    (screen, paper, terminal)
}

#[test]
fn a_wide_terminal_shows_half_blocks_in_a_border_with_the_caption_below() {
    let (screen, ..) = shown(132, 40, &corner());
    assert_eq!(screen.row(0), format!("┌{}┐", "─".repeat(128)));
    assert_eq!(screen.row(1), format!("│▀{}│", " ".repeat(127)));
    assert_eq!(screen.row(32), format!("│{}▄│", " ".repeat(127)));
    assert_eq!(screen.row(33), format!("└{}┘", "─".repeat(128)));
    assert_eq!(screen.row(34), CAPTION);
    // The next output, for example the log, starts below the picture.
    assert_eq!(screen.cursor, (35, 0));
    assert!(!screen.cursor_shown);
    assert!(screen.wraps);
}

#[test]
fn a_terminal_of_80_by_24_shows_the_picture_in_braille() {
    let (screen, ..) = shown(80, 24, &corner());
    assert_eq!(screen.row(0), format!("┌{}┐", "─".repeat(64)));
    assert_eq!(screen.row(1), format!("│⠁{}│", "⠀".repeat(63)));
    assert_eq!(screen.row(16), format!("│{}⢀│", "⠀".repeat(63)));
    assert_eq!(screen.row(18), CAPTION);
}

#[test]
fn a_small_terminal_cuts_the_picture_without_wrapping_or_scrolling() {
    let (screen, ..) = shown(20, 5, &corner());
    assert!(screen.row(1).starts_with("│⠁"));
}

#[test]
fn the_next_picture_replaces_the_last_one_and_keeps_the_cursor_of_the_log() {
    let (mut screen, paper, mut terminal) = shown(80, 24, &corner());
    screen.feed("a line of the log\n");
    let cursor = screen.cursor;
    let mut next = corner();
    next.set(1, 0, true);
    terminal.show(&next, PanelLight::default(), Moment::ZERO);
    let text = paper.take();
    assert!(!text.contains("\x1b[2J"), "it would flicker");
    screen.feed(&text);
    assert!(screen.row(1).starts_with("│⠉"));
    assert_eq!(screen.row(19), "a line of the log");
    assert_eq!(screen.cursor, cursor);
}

#[test]
fn a_resized_terminal_redraws_the_picture() {
    let paper = Paper::default();
    let mut columns = 200;
    let mut terminal = Terminal::new(paper.clone(), CAPTION, move || {
        columns -= 100;
        Some((columns + 30, 50))
    });
    terminal.show(&corner(), PanelLight::default(), Moment::ZERO);
    assert!(paper.take().contains('▀'));
    terminal.show(&corner(), PanelLight::default(), Moment::ZERO);
    let text = paper.take();
    assert!(text.contains("\x1b[2J") && text.contains('⠁'));
}

#[test]
fn the_end_restores_the_cursor_and_keeps_the_last_picture() {
    let (mut screen, paper, mut terminal) = shown(80, 24, &corner());
    terminal.leave_display(END);
    screen.feed(&paper.take());
    assert!(screen.cursor_shown && screen.wraps);
    assert!(screen.row(1).starts_with("│⠁"));
    assert_eq!(screen.row(18), "ended 17:00:05 UTC — not live");
    drop(terminal);
    assert_eq!(paper.take(), "");
}

#[test]
fn a_dropped_terminal_restores_the_cursor() {
    let (mut screen, paper, terminal) = shown(80, 24, &corner());
    drop(terminal);
    screen.feed(&paper.take());
    assert!(screen.cursor_shown);
}

#[test]
fn an_output_without_a_terminal_gets_only_the_last_picture() {
    let paper = Paper::default();
    let mut terminal = Terminal::new(paper.clone(), CAPTION, || None);
    terminal.show(&Frame::new(Size::Tall), PanelLight::default(), Moment::ZERO);
    terminal.show(&corner(), PanelLight::default(), Moment::ZERO);
    assert_eq!(paper.take(), "");
    terminal.leave_display(END);
    assert_eq!(paper.take(), format!("{}{CAPTION}\n", corner()));
}

#[test]
fn the_last_picture_without_a_caption_is_marked_as_not_live() {
    let paper = Paper::default();
    let mut terminal = Terminal::new(paper.clone(), "", || None);
    terminal.show(&corner(), PanelLight::default(), Moment::ZERO);
    terminal.leave_display(Now { utc: None, ..END });
    assert_eq!(paper.take(), format!("{}ended — not live\n", corner()));
}

#[test]
fn a_panel_that_is_off_is_dark_and_its_caption_says_off() {
    let (mut screen, paper, mut terminal) = shown(80, 24, &corner());
    let off = PanelLight {
        on: false,
        ..PanelLight::default()
    };
    terminal.show(&corner(), off, Moment::ZERO);
    screen.feed(&paper.take());
    assert_eq!(screen.row(1), format!("│{}│", "⠀".repeat(64)));
    assert_eq!(screen.row(18), format!("{CAPTION} · off"));
    let down = PanelLight {
        shift: 1,
        ..PanelLight::default()
    };
    terminal.show(&corner(), down, Moment::ZERO);
    screen.feed(&paper.take());
    // The last row moves to the top.
    assert_eq!(screen.row(1), format!("│⠂{}⠈│", "⠀".repeat(62)));
    assert_eq!(screen.row(18), CAPTION);
}
