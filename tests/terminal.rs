//! Tests of the terminal display: each picture replaces the last one in place, and the terminal is
//! restored at the end.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use deskticker::display::caption::Caption;
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

const MESSAGE: &str = "DONE: nothing. LOOK: one dot in each of two corners.";
const KEYS: &str = "simulated prices · Ctrl-C ends";
/// 2026-01-13 17:00:05 UTC.
const END: Now = Now::new(Moment::from_secs(9), Utc(1_768_323_605_000));

/// A terminal that decodes the output.
struct Screen(vt100::Parser);

impl Screen {
    fn new(columns: u16, rows: u16) -> Self {
        Self(vt100::Parser::new(rows, columns, 0))
    }

    fn feed(&mut self, text: &str) {
        self.0.process(text.as_bytes());
    }

    fn row(&self, row: u16) -> String {
        let columns = self.0.screen().size().1;
        let text = self.0.screen().contents_between(row, 0, row, columns);
        text.trim().to_owned()
    }

    /// The shades of a character with two dots, the upper one first: 0 for black, 1 for white.
    fn dots(&self, row: u16, column: u16) -> [f32; 2] {
        let cell = self.0.screen().cell(row, column).unwrap();
        let shade = |colour| match colour {
            vt100::Color::Idx(index) => f32::from(index - 233) / 22.0,
            other => panic!("{other:?}"),
        };
        assert_eq!(cell.contents(), "▀");
        [shade(cell.fgcolor()), shade(cell.bgcolor())]
    }

    /// True if the character belongs to the picture, which has a background colour.
    fn is_picture(&self, row: u16, column: u16) -> bool {
        let cell = self.0.screen().cell(row, column).unwrap();
        cell.bgcolor() != vt100::Color::Default
    }

    /// The first and the last row and column of the picture.
    fn place(&self) -> ((u16, u16), (u16, u16)) {
        let (rows, columns) = self.0.screen().size();
        let all = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let picture: Vec<_> = all
            .filter(|(row, column)| self.is_picture(*row, *column))
            .collect();
        let (first, last) = (picture[0], picture[picture.len() - 1]);
        let size = (last.0 - first.0 + 1) * (last.1 - first.1 + 1);
        assert_eq!(
            usize::from(size),
            picture.len(),
            "the picture is a rectangle"
        );
        (first, last)
    }
}

fn corner() -> Frame {
    let mut frame = Frame::new(Size::Tall);
    frame.set(0, 0, true);
    frame.set(127, 63, true);
    frame
}

fn caption() -> Caption {
    let caption = Caption::default();
    caption.set_seen(vec![
        "SPX 1.00, live".to_owned(),
        "VIX 2.00, live".to_owned(),
    ]);
    caption.set_keys(KEYS);
    caption.set_message(MESSAGE);
    caption
}

fn shown(columns: u16, rows: u16, frame: &Frame) -> (Screen, Paper, Terminal<Paper>) {
    let paper = Paper::default();
    let mut terminal = Terminal::new(paper.clone(), Some(caption()), move || {
        Some((columns, rows))
    });
    terminal.show(frame, PanelLight::default(), Moment::ZERO);
    let mut screen = Screen::new(columns, rows);
    screen.feed(&paper.take());
    (screen, paper, terminal)
}

#[test]
fn a_wide_terminal_shows_each_dot_and_the_text_below_the_picture() {
    let (screen, ..) = shown(132, 41, &corner());
    assert_eq!(screen.place(), ((3, 2), (34, 129)));
    assert_eq!(screen.dots(3, 2), [1.0, 0.0]);
    assert_eq!(screen.dots(34, 129), [0.0, 1.0]);
    assert_eq!(screen.dots(3, 3), [0.0, 0.0]);
    assert_eq!([35, 36, 37].map(|row| screen.row(row)), [MESSAGE, "", KEYS]);
    assert!(screen.0.screen().hide_cursor());
}

#[test]
fn a_very_wide_terminal_shows_larger_dots_of_one_size() {
    let (screen, ..) = shown(300, 80, &corner());
    assert_eq!(screen.place(), ((6, 22), (69, 277)));
    assert_eq!([screen.dots(6, 22), screen.dots(6, 23)], [[1.0, 1.0]; 2]);
    assert_eq!([screen.dots(6, 24), screen.dots(7, 22)], [[0.0, 0.0]; 2]);
}

#[test]
fn a_smaller_picture_fills_the_terminal_and_is_centred() {
    for (columns, rows, place) in [
        (80, 24, ((0, 0), (19, 79))),
        (120, 40, ((3, 0), (32, 119))),
        (90, 23, ((0, 5), (19, 84))),
    ] {
        let (screen, ..) = shown(columns, rows, &corner());
        assert_eq!(screen.place(), place, "{columns}x{rows}");
        let last = place.1.0;
        assert_eq!(screen.row(last + 1), MESSAGE);
        assert_eq!(screen.row(last + 3), KEYS);
    }
}

#[test]
fn a_terminal_that_is_too_small_or_none_gets_lines_of_text() {
    let sizes = [Some((40, 10)), Some((75, 50)), Some((80, 20)), None];
    for size in sizes {
        let paper = Paper::default();
        let caption = caption();
        let mut terminal = Terminal::new(paper.clone(), Some(caption.clone()), move || size);
        terminal.show(&corner(), PanelLight::default(), Moment::ZERO);
        let lines = format!("{KEYS}\n\n{MESSAGE}\nSPX 1.00, live\nVIX 2.00, live\n");
        assert_eq!(paper.take(), lines, "{size:?}");
        // The same text is not repeated, and a new price waits for a moment.
        caption.set_seen(vec!["SPX 3.00, live".to_owned()]);
        terminal.tick(Moment::from_secs(1));
        assert_eq!(paper.take(), "");
        terminal.tick(Moment::from_secs(2));
        assert_eq!(paper.take(), "SPX 3.00, live\n");
        terminal.leave_display(END);
        assert_eq!(paper.take(), "\nended 17:00:05 UTC — not live\n");
    }
}

#[test]
fn the_words_for_the_picture_stand_below_it_while_nothing_is_told() {
    let paper = Paper::default();
    let caption = caption();
    let mut terminal = Terminal::new(paper.clone(), Some(caption.clone()), || Some((80, 24)));
    let mut screen = Screen::new(80, 24);
    terminal.show(&corner(), PanelLight::default(), Moment::ZERO);
    caption.set_message("");
    terminal.tick(terminal.deadline());
    screen.feed(&paper.take());
    assert_eq!(screen.row(20), "SPX 1.00, live; VIX 2.00, live");
    // Without a change, nothing is drawn.
    terminal.tick(terminal.deadline());
    assert_eq!(paper.take(), "");
}

#[test]
fn the_next_picture_replaces_the_last_one_and_keeps_the_cursor_of_the_log() {
    let paper = Paper::default();
    // A running ticker has a log and no text of a demo.
    let mut terminal = Terminal::new(paper.clone(), None, || Some((132, 40)));
    let mut screen = Screen::new(132, 40);
    terminal.show(&corner(), PanelLight::default(), Moment::ZERO);
    screen.feed(&paper.take());
    screen.feed("a line of the log\r\n");
    let cursor = screen.0.screen().cursor_position();
    let mut next = corner();
    next.set(1, 0, true);
    terminal.show(&next, PanelLight::default(), Moment::ZERO);
    let text = paper.take();
    assert!(!text.contains("\x1b[2J"), "it would flicker");
    screen.feed(&text);
    assert_eq!(screen.dots(0, 3), [1.0, 0.0]);
    assert_eq!(screen.row(33), "a line of the log");
    assert_eq!(screen.0.screen().cursor_position(), cursor);
}

#[test]
fn a_resized_terminal_redraws_the_picture() {
    let paper = Paper::default();
    let mut columns = 200;
    let mut terminal = Terminal::new(paper.clone(), Some(caption()), move || {
        columns -= 70;
        Some((columns, 50))
    });
    terminal.show(&corner(), PanelLight::default(), Moment::ZERO);
    assert!(paper.take().contains("\x1b[2J"));
    terminal.show(&corner(), PanelLight::default(), Moment::ZERO);
    let text = paper.take();
    // The terminal has become too small for a picture.
    assert!(
        text.contains(KEYS) && text.contains("\nSPX 1.00, live\n"),
        "{text}"
    );
    assert!(!text.contains('▀'));
}

#[test]
fn the_end_restores_the_cursor_and_keeps_the_last_picture() {
    let (mut screen, paper, mut terminal) = shown(80, 24, &corner());
    terminal.leave_display(END);
    screen.feed(&paper.take());
    assert!(!screen.0.screen().hide_cursor());
    assert_eq!(screen.place(), ((0, 0), (19, 79)));
    assert_eq!(screen.row(20), "ended 17:00:05 UTC — not live");
    drop(terminal);
    assert_eq!(paper.take(), "");
}

#[test]
fn a_dropped_terminal_restores_the_cursor() {
    let (mut screen, paper, terminal) = shown(80, 24, &corner());
    drop(terminal);
    screen.feed(&paper.take());
    assert!(!screen.0.screen().hide_cursor());
}

#[test]
fn an_output_without_a_terminal_gets_only_the_last_picture_of_a_ticker() {
    let paper = Paper::default();
    let mut terminal = Terminal::new(paper.clone(), None, || None);
    terminal.show(&Frame::new(Size::Tall), PanelLight::default(), Moment::ZERO);
    terminal.show(&corner(), PanelLight::default(), Moment::ZERO);
    assert_eq!(paper.take(), "");
    terminal.leave_display(Now { utc: None, ..END });
    assert_eq!(paper.take(), format!("{}ended — not live\n", corner()));
}

#[test]
fn a_panel_that_is_off_is_dark_and_its_text_says_off() {
    let (mut screen, paper, mut terminal) = shown(132, 41, &corner());
    let off = PanelLight {
        on: false,
        ..PanelLight::default()
    };
    terminal.show(&corner(), off, Moment::ZERO);
    screen.feed(&paper.take());
    assert_eq!(screen.dots(3, 2), [0.0, 0.0]);
    assert_eq!(screen.row(35), format!("{MESSAGE} off"));
    let down = PanelLight {
        shift: 1,
        ..PanelLight::default()
    };
    terminal.show(&corner(), down, Moment::ZERO);
    screen.feed(&paper.take());
    // The last row moves to the top.
    assert_eq!(screen.dots(3, 129), [1.0, 0.0]);
    assert_eq!(screen.dots(3, 2), [0.0, 1.0]);
    assert_eq!(screen.row(35), MESSAGE);
}
