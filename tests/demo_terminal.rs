//! Tests of the demo in a pseudo-terminal: the picture fits, the text below it says what is seen, and
//! each key shows a fault on the display.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// The longest wait for a text. The longest scene lasts 20 s.
const TIME_LIMIT: Duration = Duration::from_secs(40);

/// A demo in a terminal of its own.
struct Demo {
    child: Child,
    main: File,
    user: File,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    text: String,
}

impl Demo {
    fn start(columns: u16, rows: u16, term: &str) -> Self {
        let main = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&main).unwrap();
        unlockpt(&main).unwrap();
        let size = Winsize {
            ws_col: columns,
            ws_row: rows,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&main, size).unwrap();
        let name = ptsname(&main, Vec::new()).unwrap();
        let user = File::options()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        // Util-linux makes the terminal the controlling one of the demo.
        let child = Command::new("setsid")
            .args(["--ctty", env!("CARGO_BIN_EXE_deskticker"), "demo"])
            .env("TERM", term)
            .stdin(Stdio::from(user.try_clone().unwrap()))
            .stdout(Stdio::from(user.try_clone().unwrap()))
            .stderr(Stdio::from(user.try_clone().unwrap()))
            .spawn()
            .unwrap();
        let main = File::from(main);
        let (sender, output) = channel();
        let mut reader = main.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut bytes = vec![0; 64 << 10];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            main,
            user,
            output,
            screen: vt100::Parser::new(rows, columns, 0),
            text: String::new(),
        }
    }

    fn press(&mut self, key: char) {
        write!(self.main, "{key}").unwrap();
    }

    /// Reads the output until the condition is true.
    #[track_caller]
    fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let end = Instant::now() + TIME_LIMIT;
        while !condition(self) {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(bytes) = self.output.recv_timeout(left) else {
                panic!("{what}: {}\n{}", self.screen.screen().contents(), self.text);
            };
            self.screen.process(&bytes);
            self.text.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    /// Reads the output until the screen contains these words, in spite of line breaks.
    #[track_caller]
    fn shows(&mut self, words: &str) {
        self.until(words, |demo| {
            let text = demo.screen.screen().contents();
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            text.contains(words)
        });
    }

    /// Reads the output until a line of it contains these words.
    #[track_caller]
    fn says(&mut self, words: &str) {
        self.until(words, |demo| demo.text.contains(words));
    }

    /// The brightness of the picture in a range of rows and columns, 0 to 1.
    fn brightness(&self, rows: std::ops::Range<u16>, columns: std::ops::Range<u16>) -> f32 {
        let screen = self.screen.screen();
        let shade = |colour| match colour {
            vt100::Color::Idx(index) => f32::from(index - 233) / 22.0,
            other => panic!("no picture: {other:?}"),
        };
        let mut sum = 0.0;
        for row in rows.clone() {
            for column in columns.clone() {
                let cell = screen.cell(row, column).unwrap();
                let lit = match cell.contents() {
                    "" | " " => 0.0,
                    "▘" | "▝" | "▖" | "▗" => 0.25,
                    "▛" | "▜" | "▙" | "▟" => 0.75,
                    "█" => 1.0,
                    _ => 0.5,
                };
                sum += lit * shade(cell.fgcolor()) + (1.0 - lit) * shade(cell.bgcolor());
            }
        }
        sum / (rows.len() * columns.len()) as f32
    }

    /// Ends the demo with its key. The terminal echoes keys and has its cursor again.
    #[track_caller]
    fn quit(mut self) {
        self.press('q');
        self.says("not live");
        assert!(self.child.wait().unwrap().success());
        let echo = LocalModes::ICANON | LocalModes::ECHO;
        assert!(tcgetattr(&self.user).unwrap().local_modes.contains(echo));
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn an_ordinary_terminal_shows_a_whole_picture_with_its_words_below() {
    for (columns, rows, picture) in [(80, 24, 20), (120, 40, 30)] {
        let mut demo = Demo::start(columns, rows, "xterm-256color");
        demo.shows("SPX 5,91");
        demo.shows(", live; VIX 17.");
        demo.shows("connection: live (bars)");
        let keys = "simulated prices · s: silence, h: hub dies, b: bell, a: alert, c: clock, ?, q";
        demo.shows(keys);
        let top = (rows - picture - 3) / 2;
        // The picture fills the width, and the badge DEMO at its top right is bright.
        let whole = demo.brightness(top..top + picture, 0..columns);
        assert!((0.02..0.5).contains(&whole), "{whole}");
        let badge = columns * 102 / 128..columns * 114 / 128;
        let badge = demo.brightness(top..top + 2, badge);
        assert!(badge > 0.4, "{badge}");
        // The curve of the session is in the lower right part of the picture.
        let (right, low) = (
            columns * 3 / 4..columns,
            top + picture * 5 / 8..top + picture,
        );
        demo.until("the curve", |demo| {
            demo.brightness(low.clone(), right.clone()) > 0.02
        });
        // The badge STALE of a silent feed is bright, where the change was before.
        let stale = columns * 52 / 128..columns * 76 / 128;
        let before = demo.brightness(top..top + 2, stale.clone());
        demo.press('s');
        demo.shows("struck out and shows its age");
        let after = move |demo: &Demo| demo.brightness(top..top + 2, stale.clone());
        demo.until("STALE", |demo| after(demo) > before + 0.2);
        demo.quit();
    }
}

#[test]
fn a_dumb_or_small_terminal_gets_lines_of_text_for_each_fault() {
    let scenes: [(char, &[&str]); 5] = [
        ('s', &["sends nothing", "struck out: 1"]),
        (
            'a',
            &["an alert for SPX", "ALERT: SPX has crossed its threshold"],
        ),
        (
            'h',
            &[
                "the hub is dead",
                "down (crossed box)",
                "connection: HUB for 1",
                "the hub is back",
                ", live",
            ],
        ),
        (
            'c',
            &[
                "15 minutes ahead",
                "page of the connection: CLOCK, clock +15 min",
            ],
        ),
        (
            'b',
            &["before the end of the session", "SPX 5,91", ", CLOSED"],
        ),
    ];
    let watched = scenes.map(|(key, words)| {
        std::thread::spawn(move || {
            let small = key == 'a' || key == 'c';
            let mut demo = match small {
                true => Demo::start(40, 10, "xterm"),
                false => Demo::start(80, 24, "dumb"),
            };
            demo.says(", live");
            demo.press(key);
            for words in words {
                demo.says(words);
                // Only later text counts for the next words.
                let after = demo.text.find(words).unwrap() + words.len();
                demo.text.drain(..after);
            }
            assert!(!demo.text.contains('\u{1b}'), "{:?}", demo.text);
            demo.quit();
        })
    });
    for watched in watched {
        watched.join().unwrap();
    }
}
