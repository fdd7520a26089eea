//! The layout of the connection page. This module only places the parts; other modules draw them.
//! The module never judges the connection.

use core::time::Duration;

use super::header;
use crate::market::{Cluster, NumberFormat, ShortText, whole};
use crate::render::font::{Font, TEXT, WORD};
use crate::render::parts::badge::age;
use crate::render::parts::{alert, field};
use crate::render::row::Row;
use crate::render::{
    Colours, Frame, LinkHop, LinkIcon, LinkReport, PriceSummary, TimeSource, View, WIDTH,
};

/// The number of hops in the chain from this machine to the exchange.
const HOPS: usize = 8;
/// The place of the clock in the chain.
const CLOCK: usize = 2;

/// Returns the place of a hop in the chain and its name; `None` if no hop fails.
const fn failed(hop: LinkHop) -> Option<(usize, &'static str)> {
    Some(match hop {
        LinkHop::Address => (0, "ADDRESS"),
        LinkHop::Dns => (1, "DNS"),
        LinkHop::Clock => (CLOCK, "CLOCK"),
        LinkHop::Tls => (3, "TLS"),
        LinkHop::Portal => (4, "PORTAL"),
        LinkHop::Hub => (5, "HUB"),
        LinkHop::Vendor => (5, "VENDOR"),
        LinkHop::Token => (6, "TOKEN"),
        LinkHop::Key => (6, "KEY"),
        LinkHop::Plan => (6, "PLAN"),
        LinkHop::Upstream => (7, "UPSTREAM"),
        LinkHop::None => return None,
    })
}

/// Returns the name of the failed hop, or a word for the state of the prices. Also returns the
/// duration of this state, if it is known.
pub(crate) fn word(report: &LinkReport, sign: LinkIcon) -> (&'static str, Option<Duration>) {
    match (failed(report.hop), report.prices, sign) {
        (Some((_, word)), ..) => (word, Some(report.since)),
        (None, PriceSummary::Struck, _) => ("STALE", None),
        _ if report.clock.is_some() => ("CLOCK", None),
        (None, PriceSummary::None, _) if report.undated => ("STAMPS", None),
        (None, PriceSummary::None, _) => ("NO DATA", None),
        (None, PriceSummary::Fresh, LinkIcon::Live) => ("LIVE", Some(report.since)),
        (None, PriceSummary::Fresh, _) => ("OK", Some(report.since)),
    }
}

/// Returns the names of the clusters that the vendor's plan does not include; `None` if the plan
/// includes all clusters of the watchlist.
fn excluded(report: &LinkReport) -> Option<ShortText> {
    let clusters = Cluster::ALL.into_iter().zip(report.excluded);
    let mut names = clusters.filter(|(_, excluded)| *excluded);
    let (first, _) = names.next()?;
    Some(match (names.next(), names.next()) {
        (None, _) => field::text(first.path()),
        (Some((second, _)), None) => heapless::format!("{first} {second}").unwrap_or_default(),
        _ => field::text("all clusters"),
    })
}

/// Returns the number of messages per second.
fn rate(report: &LinkReport, numbers: NumberFormat) -> ShortText {
    let Some(messages) = report.messages else {
        return field::text("---/s");
    };
    let per_second = whole((messages / 10).min(99_999).into(), numbers);
    let (point, tenth) = (char::from(numbers.point), messages % 10);
    heapless::format!("{per_second}{point}{tenth}/s").unwrap_or_default()
}

/// Returns the time since the last message.
fn last(report: &LinkReport) -> ShortText {
    report.last.map_or_else(|| field::text("---"), age)
}

/// Returns the label and the text of the latency, or of the clock that is wrong and its difference,
/// or of timestamps that are missing or impossible.
fn late(report: &LinkReport, numbers: NumberFormat) -> (&'static str, ShortText) {
    let latency = match (report.clock, report.latency) {
        (Some(_), _) => return clock_fault(report, numbers).unwrap_or_default(),
        _ if report.undated => return (name(TimeSource::Stamps), field::text("unusable")),
        _ if !report.clock_set => field::text("clock not set"),
        (None, None) => field::text("---"),
        (None, Some(millis)) => duration(millis, numbers),
    };
    ("latency", latency)
}

/// Returns a latency in milliseconds, or in minutes for a delayed feed.
fn duration(millis: i64, numbers: NumberFormat) -> ShortText {
    if millis >= 60_000 {
        return field::text(off(millis, numbers).trim_start_matches('+'));
    }
    let sign = if millis < 0 { "-" } else { "" };
    let number = whole(millis.unsigned_abs().min(9_999_999), numbers);
    heapless::format!("{sign}{number} ms").unwrap_or_default()
}

/// Returns the name of the clock that is wrong and its difference.
pub(crate) fn clock_fault(
    report: &LinkReport,
    numbers: NumberFormat,
) -> Option<(&'static str, ShortText)> {
    let fault = report.clock?;
    Some((name(fault.who), off(fault.off, numbers)))
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
    let units = [(1_000, "s", 60), (60_000, "min", 60), (3_600_000, "h", 48)];
    let mut rounded = units
        .into_iter()
        .map(|(unit, name, most)| (round(unit), name, most));
    let fitting = rounded.find(|(number, _, most)| number < most);
    let (number, unit, _) = fitting.unwrap_or((round(86_400_000).min(9_999), "d", 0));
    let sign = if millis < 0 { '-' } else { '+' };
    heapless::format!("{sign}{} {unit}", whole(number, numbers)).unwrap_or_default()
}

/// The number of values in the table of the connection.
const VALUES: usize = 5;

/// Calls `each` with the name and the text of each value of the table.
fn values(view: &View<'_>, report: &LinkReport, mut each: impl FnMut(usize, &str, &str)) {
    let rows = rows(report, view.format.numbers);
    for (row, (name, value)) in rows.into_iter().enumerate() {
        each(row, name, &value);
    }
}

/// Returns the values of the connection with their names.
pub(crate) fn rows(
    report: &LinkReport,
    numbers: NumberFormat,
) -> [(&'static str, ShortText); VALUES] {
    let count = |number: u32| whole(number.into(), numbers);
    let (name, late) = late(report, numbers);
    let lit_hours = || heapless::format!("{} h", count(report.lit_hours)).unwrap_or_default();
    [
        ("messages", rate(report, numbers)),
        ("last message", last(report)),
        (name, late),
        ("reconnects", count(report.reconnects)),
        match excluded(report) {
            Some(names) => ("plan lacks", names),
            None => ("lit", lit_hours()),
        },
    ]
}

/// Draws the page on 128×128: the chain of hops, the state of the connection, and a table of values
/// in large letters.
pub(crate) fn square(view: &View<'_>, report: &LinkReport, frame: &mut Frame) {
    let mut row = header::signs(view, frame);
    if !alert::draw(view, frame, row) {
        header::slot(view, frame, &mut row);
        chain(report, frame, 0);
    }
    title(view, report, frame, &WORD, Row::new(2, 0..WIDTH));
    values(view, report, |row, name, value| {
        // Each value has two pages, down to the last one.
        let page = frame.size().pages() - 2 * (VALUES - row);
        field::draw_large(frame, Row::new(page, 0..WIDTH), name, value);
    });
}

/// Draws the page on 128×64: the chain of hops, the state of the connection, and a table of values.
pub(crate) fn tall(view: &View<'_>, report: &LinkReport, frame: &mut Frame) {
    let mut row = header::signs(view, frame);
    let alerted = alert::draw(view, frame, row);
    if view.colours == Colours::YellowBlue {
        // The title is in the yellow rows, and the chain of hops below them.
        if alerted {
            title(view, report, frame, &TEXT, Row::new(1, 0..WIDTH));
        } else {
            row = Row::new(1, 0..WIDTH);
            header::slot(view, frame, &mut row);
            title(view, report, frame, &WORD, Row::new(0, 0..row.right));
            chain(report, frame, 2);
        }
    } else {
        if !alerted {
            header::slot(view, frame, &mut row);
            chain(report, frame, 0);
        }
        title(view, report, frame, &WORD, Row::new(1, 0..WIDTH));
    }

    values(view, report, |row, name, value| {
        field::draw(frame, Row::new(3 + row, 0..WIDTH), name, value);
    });
}

/// Draws the page on 128×32: the state of the connection and the most important values.
pub(crate) fn low(view: &View<'_>, report: &LinkReport, frame: &mut Frame) {
    let numbers = view.format.numbers;
    title(view, report, frame, &WORD, Row::new(0, 0..WIDTH));
    let mut row = Row::new(2, 0..WIDTH);
    row.write_left(frame, &TEXT, &rate(report, numbers));
    let (name, mut late) = late(report, numbers);
    if report.clock.is_some() || report.undated {
        late = heapless::format!("{name} {late}").unwrap_or_default();
    }
    row.write_right(frame, &TEXT, &late);
    let mut row = header::signs(view, frame);
    if alert::draw(view, frame, row) {
        return;
    }
    let last: ShortText = heapless::format!("last {}", last(report)).unwrap_or_default();
    row.write_left(frame, &TEXT, &last);
    // The number of reconnections needs a wider gap on both sides.
    row.left += 3;
    let reconnects = whole(report.reconnects.into(), numbers);
    let texts: [ShortText; 2] = match excluded(report) {
        // If the text would have more than 24 characters, the result is an empty text.
        Some(names) => ["plan lacks ", "lacks "]
            .map(|start| heapless::format!("{start}{names}").unwrap_or_default()),
        None => [" reconnects", "x"]
            .map(|unit| heapless::format!("{reconnects}{unit}").unwrap_or_default()),
    };
    for text in texts.into_iter().filter(|text| !text.is_empty()) {
        if TEXT.fits(&text, row.room()) {
            row.right -= 2;
            return row.write_right(frame, &TEXT, &text);
        }
    }
}

/// Draws the state of the connection and its duration.
fn title(view: &View<'_>, report: &LinkReport, frame: &mut Frame, font: &Font, mut row: Row) {
    let (word, since) = word(report, view.sign);
    row.write_left(frame, font, word);
    if let Some(since) = since {
        row.write_right(frame, font, &age(since));
    }
}

/// Draws the chain of hops on a page: a filled box for a hop that works, a crossed box for
/// the hop that fails, and a small mark for the unknown hops after it. A wrong clock is also
/// crossed, but the hops after it keep their boxes.
fn chain(report: &LinkReport, frame: &mut Frame, page: usize) {
    const BOX: [u8; 7] = [0x7F; 7];
    const CROSSED: [u8; 7] = [0x63, 0x77, 0x3E, 0x1C, 0x3E, 0x77, 0x63];
    const EMPTY: [u8; 7] = [0, 0, 0x08, 0x1C, 0x08, 0, 0];
    /// The width of a box with the gap to the next box, in columns.
    const STEP: usize = 10;
    let failing = failed(report.hop).map(|(place, _)| place);
    for place in 0..HOPS {
        let picture = match failing {
            Some(failing) if place == failing => CROSSED,
            Some(failing) if place > failing => EMPTY,
            _ if place == CLOCK && report.clock.is_some() => CROSSED,
            _ => BOX,
        };
        let x = place * STEP;
        frame.columns_mut(page, x..x + 7).copy_from_slice(&picture);
        if place > 0 {
            // The dot between this hop and the hop before it.
            frame.columns_mut(page, x - 2..x - 1)[0] = 0x08;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_shown_in_milliseconds_and_of_a_delayed_feed_in_minutes() {
        let text = |millis: i64| duration(millis, NumberFormat::ENGLISH);
        assert_eq!(text(45), "45 ms");
        assert_eq!(text(-1_045), "-1,045 ms");
        assert_eq!(text(59_999), "59,999 ms");
        assert_eq!(text(899_979), "15 min");
    }

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
