//! The layout of the state of the connection. Only places things; what they look like is in the
//! modules of their names.

use core::time::Duration;

use super::badge::Age;
use super::glyphs::Font;
use super::{Frame, Glyphs, Hop, Report, Sign, View, WIDTH};
use super::{alert, cell, header};
use crate::market::{Numbers, Text, whole};

/// The hops on the way, in their order, and what each is called.
const HOPS: [(Hop, &str); 8] = [
    (Hop::Address, "ADDRESS"),
    (Hop::Dns, "DNS"),
    (Hop::Clock, "CLOCK"),
    (Hop::Tls, "TLS"),
    (Hop::Portal, "PORTAL"),
    (Hop::Hub, "HUB"),
    (Hop::Token, "TOKEN"),
    (Hop::Upstream, "UPSTREAM"),
];

/// What fails, in a word; or that nothing does.
fn word(report: &Report, sign: Sign) -> &'static str {
    let found = HOPS.iter().find(|(hop, _)| *hop == report.hop);
    match (found, sign) {
        (Some((_, word)), _) => word,
        (None, Sign::Live) => "LIVE",
        (None, _) => "OK",
    }
}

/// The figures, ready to be set.
struct Figures {
    rate: [Text; 2],
    latency: Text,
    last: Text,
    reconnects: Text,
    wear: [Text; 2],
}

impl Figures {
    fn of(report: &Report, numbers: Numbers) -> Self {
        let messages = report.messages.unwrap_or(0);
        let dashes = || Text::try_from("---").unwrap_or_default();
        let mut tenth = Text::new();
        let _ = tenth.push(char::from(numbers.point));
        let _ = tenth.push(char::from(b'0' + (messages % 10) as u8));
        let latency = match report.latency {
            _ if !report.clock_set => Text::try_from("clock not set").unwrap_or_default(),
            None => dashes(),
            Some(millis) => {
                let mut text = Text::new();
                if millis < 0 {
                    let _ = text.push('-');
                }
                let _ = text.push_str(&whole(millis.unsigned_abs().min(9_999_999), numbers));
                let _ = text.push_str(" ms");
                text
            }
        };
        let (dot, panel) = report.wear;
        Self {
            rate: [whole((messages / 10).min(99_999).into(), numbers), tenth],
            latency,
            last: report.last.map_or_else(dashes, age),
            reconnects: whole(report.reconnects.into(), numbers),
            wear: [dot, panel].map(|hours| whole(hours.into(), numbers)),
        }
    }
}

fn age(age: Duration) -> Text {
    Text::try_from(Age::new(age).text()).unwrap_or_default()
}

/// On 128×64: the way to the exchange, the hop that fails, and a table.
pub(super) fn tall(view: &View<'_>, report: &Report, glyphs: &Glyphs, frame: &mut Frame) {
    let end = header::signs(view, glyphs, frame, 0);
    if !alert::draw(view, glyphs, frame, 0..end, 0) {
        header::slot(view, None, glyphs, frame, 0, end);
        chain(report.hop, frame);
    }
    title(view, report, &glyphs.word, frame, 1);

    let figures = Figures::of(report, view.format.numbers);
    let [whole, tenth] = &figures.rate;
    let [dot, panel] = &figures.wear;
    let rows: [(&str, &[&str]); 5] = [
        ("messages", &[whole, tenth, "/s"]),
        ("last message", &[&figures.last]),
        ("latency", &[&figures.latency]),
        ("reconnects", &[&figures.reconnects]),
        ("wear", &[dot, " of ", panel, " h"]),
    ];
    for (page, (name, value)) in (3..).zip(rows) {
        cell::draw(&glyphs.small.whole, frame, 0..WIDTH, page, name, value);
    }
}

/// On 128×32: the hop that fails, and what matters most.
pub(super) fn low(view: &View<'_>, report: &Report, glyphs: &Glyphs, frame: &mut Frame) {
    let font = &glyphs.small.whole;
    title(view, report, &glyphs.word, frame, 0);
    let figures = Figures::of(report, view.format.numbers);
    let [whole, tenth] = &figures.rate;
    let value: &[&str] = &[&figures.latency];
    let rate: &[&str] = &[whole, tenth, "/s"];
    cell::write(font, frame, 0, 2, rate);
    cell::before(font, frame, WIDTH, 2, value);
    let end = header::signs(view, glyphs, frame, 3);
    if alert::draw(view, glyphs, frame, 0..end, 3) {
        return;
    }
    let x = cell::write(font, frame, 0, 3, &["last ", &figures.last]);
    let lost: &[&str] = &[&figures.reconnects, " reconnects"];
    let short: &[&str] = &[&figures.reconnects, "x"];
    for pieces in [lost, short] {
        if x + 5 + cell::width(font, pieces) <= end {
            cell::before(font, frame, end - 2, 3, pieces);
            break;
        }
    }
}

/// Draws the hop that fails, and for how long.
fn title(view: &View<'_>, report: &Report, font: &Font, frame: &mut Frame, page: usize) {
    font.write(frame, 0, page, word(report, view.sign));
    cell::before(font, frame, WIDTH, page, &[&age(report.since)]);
}

/// Draws the way to the exchange in the first line: a filled box for each hop that is good, a
/// crossed one for that which fails, and nothing known of those behind it.
fn chain(failing: Hop, frame: &mut Frame) {
    const BOX: [u8; 7] = [0x7F; 7];
    const CROSSED: [u8; 7] = [0x63, 0x77, 0x3E, 0x1C, 0x3E, 0x77, 0x63];
    const EMPTY: [u8; 7] = [0, 0, 0x08, 0x1C, 0x08, 0, 0];
    const LINK: [u8; 3] = [0, 0x08, 0];
    let failing = HOPS.iter().position(|(hop, _)| *hop == failing);
    let row = &mut frame.as_bytes_mut()[..WIDTH];
    let mut x = 0;
    for place in 0..HOPS.len() {
        let picture = match failing {
            Some(failing) if place == failing => CROSSED,
            Some(failing) if place > failing => EMPTY,
            _ => BOX,
        };
        row[x..x + 7].copy_from_slice(&picture);
        x += 7;
        if place + 1 < HOPS.len() {
            row[x..x + 3].copy_from_slice(&LINK);
            x += 3;
        }
    }
}
