//! The layout of the connection page. This module only places the parts; other modules draw them.
//! The module never judges the connection.

use core::time::Duration;

use super::header;
use crate::market::{NumberFormat, ShortText, whole};
use crate::render::font::Font;
use crate::render::parts::badge::Age;
use crate::render::parts::{alert, field};
use crate::render::{
    FontSet, Frame, LinkHop, LinkIcon, LinkReport, PriceSummary, TimeSource, View, WIDTH,
};

/// The hops in their order from this machine to the exchange, with their names.
const HOPS: [(LinkHop, &str); 8] = [
    (LinkHop::Address, "ADDRESS"),
    (LinkHop::Dns, "DNS"),
    (LinkHop::Clock, "CLOCK"),
    (LinkHop::Tls, "TLS"),
    (LinkHop::Portal, "PORTAL"),
    (LinkHop::Hub, "HUB"),
    (LinkHop::Token, "TOKEN"),
    (LinkHop::Upstream, "UPSTREAM"),
];

/// Returns the name of the failed hop, or a word for the state of the prices. Also returns the
/// duration of this state, if it is known.
fn word(report: &LinkReport, sign: LinkIcon) -> (&'static str, Option<Duration>) {
    let found = HOPS.iter().find(|(hop, _)| *hop == report.hop);
    match (found, report.prices, sign) {
        (Some((_, word)), ..) => (word, Some(report.since)),
        (None, PriceSummary::Struck, _) => ("STALE", None),
        _ if report.clock.is_some() => ("CLOCK", None),
        (None, PriceSummary::None, _) => ("NO DATA", None),
        (None, PriceSummary::Fresh, LinkIcon::Live) => ("LIVE", Some(report.since)),
        (None, PriceSummary::Fresh, _) => ("OK", Some(report.since)),
    }
}

/// The values of the page as text.
struct LinkFigures {
    rate: [ShortText; 2],
    /// The label and the text of the latency, or of the clock that is wrong and its difference.
    late: (&'static str, ShortText),
    last: ShortText,
    reconnects: ShortText,
    burn_in: [ShortText; 2],
}

impl LinkFigures {
    fn of(report: &LinkReport, numbers: NumberFormat) -> Self {
        let dashes = || ShortText::try_from("---").unwrap_or_default();
        let rate = match report.messages {
            None => [dashes(), ShortText::new()],
            Some(messages) => {
                let mut tenth = ShortText::new();
                let _ = tenth.push(char::from(numbers.point));
                let _ = tenth.push(char::from(b'0' + (messages % 10) as u8));
                [whole((messages / 10).min(99_999).into(), numbers), tenth]
            }
        };
        let late = match (report.clock, report.latency) {
            (Some(fault), _) => (name(fault.who), off(fault.off, numbers)),
            _ if !report.clock_set => (
                "latency",
                ShortText::try_from("clock not set").unwrap_or_default(),
            ),
            (None, None) => ("latency", dashes()),
            (None, Some(millis)) => {
                let mut text = ShortText::new();
                if millis < 0 {
                    let _ = text.push('-');
                }
                let _ = text.push_str(&whole(millis.unsigned_abs().min(9_999_999), numbers));
                let _ = text.push_str(" ms");
                ("latency", text)
            }
        };
        let (dot, panel) = report.burn_in;
        Self {
            rate,
            late,
            last: report.last.map_or_else(dashes, age),
            reconnects: whole(report.reconnects.into(), numbers),
            burn_in: [dot, panel].map(|hours| whole(hours.into(), numbers)),
        }
    }
}

/// Returns the label of a time source.
const fn name(who: TimeSource) -> &'static str {
    match who {
        TimeSource::Own => "clock",
        TimeSource::Server => "server",
        TimeSource::Stamps => "stamps",
    }
}

/// Returns the difference of a clock in its largest unit: `+45 s`, `-15 min`, `+1 h`, `-30 d`.
fn off(millis: i64, numbers: NumberFormat) -> ShortText {
    let round = |unit: u64| millis.unsigned_abs().saturating_add(unit / 2) / unit;
    let units = [
        (1_000, " s", 60),
        (60_000, " min", 60),
        (3_600_000, " h", 48),
    ];
    let fitting = units
        .into_iter()
        .find(|(unit, _, most)| round(*unit) < *most);
    let (number, unit) = match fitting {
        Some((unit, name, _)) => (round(unit), name),
        None => (round(86_400_000).min(9_999), " d"),
    };
    let mut text = ShortText::new();
    let _ = text.push(if millis < 0 { '-' } else { '+' });
    let _ = text.push_str(&whole(number, numbers));
    let _ = text.push_str(unit);
    text
}

fn age(age: Duration) -> ShortText {
    ShortText::try_from(Age::new(age).text()).unwrap_or_default()
}

/// Draws the page on 128×64: the chain of hops, the state of the connection, and a table of values.
pub(crate) fn tall(view: &View<'_>, report: &LinkReport, font_set: &FontSet, frame: &mut Frame) {
    let end = header::signs(view, font_set, frame, 0);
    if !alert::draw(view, font_set, frame, 0..end, 0) {
        header::slot(view, None, font_set, frame, 0, end);
        chain(report, frame);
    }
    title(view, report, &font_set.word, frame, 1);

    let figures = LinkFigures::of(report, view.format.numbers);
    let [whole, tenth] = &figures.rate;
    let [dot, panel] = &figures.burn_in;
    let rows: [(&str, &[&str]); 5] = [
        ("messages", &[whole, tenth, "/s"]),
        ("last message", &[&figures.last]),
        (figures.late.0, &[&figures.late.1]),
        ("reconnects", &[&figures.reconnects]),
        ("wear", &[dot, " of ", panel, " h"]),
    ];
    for (page, (name, value)) in (3..).zip(rows) {
        field::draw(&font_set.small.whole, frame, 0..WIDTH, page, name, value);
    }
}

/// Draws the page on 128×32: the state of the connection and the most important values.
pub(crate) fn low(view: &View<'_>, report: &LinkReport, font_set: &FontSet, frame: &mut Frame) {
    let font = &font_set.small.whole;
    title(view, report, &font_set.word, frame, 0);
    let figures = LinkFigures::of(report, view.format.numbers);
    let [whole, tenth] = &figures.rate;
    let (name, late) = &figures.late;
    let value: &[&str] = match report.clock {
        Some(_) => &[name, " ", late],
        None => &[late],
    };
    let rate: &[&str] = &[whole, tenth, "/s"];
    field::write(font, frame, 0, 2, rate);
    field::before(font, frame, WIDTH, 2, value);
    let end = header::signs(view, font_set, frame, 3);
    if alert::draw(view, font_set, frame, 0..end, 3) {
        return;
    }
    let x = field::write(font, frame, 0, 3, &["last ", &figures.last]);
    let lost: &[&str] = &[&figures.reconnects, " reconnects"];
    let short: &[&str] = &[&figures.reconnects, "x"];
    for pieces in [lost, short] {
        if x + 5 + field::width(font, pieces) <= end {
            field::before(font, frame, end - 2, 3, pieces);
            break;
        }
    }
}

/// Draws the state of the connection and its duration.
fn title(view: &View<'_>, report: &LinkReport, font: &Font, frame: &mut Frame, page: usize) {
    let (word, since) = word(report, view.sign);
    font.write(frame, 0, page, word);
    if let Some(since) = since {
        field::before(font, frame, WIDTH, page, &[&age(since)]);
    }
}

/// Draws the chain of hops in the first line: a filled box for a hop that works, a crossed box for
/// the hop that fails, and a small mark for the unknown hops after it. A wrong clock is also
/// crossed, but the hops after it keep their boxes.
fn chain(report: &LinkReport, frame: &mut Frame) {
    const BOX: [u8; 7] = [0x7F; 7];
    const CROSSED: [u8; 7] = [0x63, 0x77, 0x3E, 0x1C, 0x3E, 0x77, 0x63];
    const EMPTY: [u8; 7] = [0, 0, 0x08, 0x1C, 0x08, 0, 0];
    const LINK: [u8; 3] = [0, 0x08, 0];
    let failing = HOPS.iter().position(|(hop, _)| *hop == report.hop);
    let row = &mut frame.as_bytes_mut()[..WIDTH];
    let mut x = 0;
    for (place, (hop, _)) in HOPS.iter().enumerate() {
        let picture = match failing {
            Some(failing) if place == failing => CROSSED,
            Some(failing) if place > failing => EMPTY,
            _ if *hop == LinkHop::Clock && report.clock.is_some() => CROSSED,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_offset_is_shown_in_its_largest_unit() {
        let text = |seconds: i64| off(seconds * 1000, NumberFormat::ENGLISH);
        assert_eq!(text(45), "+45 s");
        assert_eq!(text(-59), "-59 s");
        assert_eq!(text(60), "+1 min");
        assert_eq!(text(-15 * 60), "-15 min");
        assert_eq!(text(3_599), "+1 h");
        assert_eq!(text(-3_600), "-1 h");
        assert_eq!(text(47 * 3_600), "+47 h");
        assert_eq!(text(-56 * 86_400), "-56 d");
        assert_eq!(off(i64::MIN, NumberFormat::ENGLISH), "-9,999 d");
        assert_eq!(off(-59_600, NumberFormat::ENGLISH), "-1 min");
    }
}
