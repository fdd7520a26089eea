//! The times at which each instrument has values, by the trading hours of the simulated world.

use super::hours::{HOUR, Kept, MINUTE, Ms, SECOND, kept, utc};
use super::tape::{COUNT, NVDA, SPX, SPXW, SPY, TICK, VIX};

/// The part of the trading day to which a value belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Pre,
    Regular,
    /// The time after the closing bell in which an index is still computed.
    After,
    /// The official closing price.
    Close,
    Post,
    /// Outside all known trading hours.
    Outside,
}

/// A period in which an instrument has values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) from: Ms,
    pub(crate) to: Ms,
    pub(crate) part: Part,
    /// The least and the greatest time between two values in milliseconds; a greatest time of 0
    /// means one value only.
    pub(crate) gap: (Ms, Ms),
    pub(crate) day: i64,
}

/// The settings that are the same for all days of a world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Habits {
    /// The expiry day of the SPXW contract.
    pub(crate) expiry: i64,
    /// An unscheduled closure: the markets do not open on this day although the table has a
    /// session.
    pub(crate) closure: Option<i64>,
    /// True if trades of the shares are rare.
    pub(crate) thin: bool,
    /// True if trades outside the regular hours have the condition "extended hours".
    pub(crate) extended: bool,
}

/// Returns the true kind of a day, with the unscheduled closure.
pub(crate) fn truly(day: i64, habits: &Habits) -> Kept {
    match habits.closure == Some(day) {
        true => Kept::Closed,
        false => kept(day),
    }
}

/// Returns the regular hours of an instrument on a day, or `None` without a session.
pub(crate) fn regular(place: usize, day: i64, habits: &Habits) -> Option<(Ms, Ms)> {
    let half = match truly(day, habits) {
        Kept::Closed => return None,
        Kept::Half => true,
        Kept::Full => false,
    };
    if place == SPXW && day > habits.expiry {
        return None;
    }
    let bell = if half { 13 * HOUR } else { 16 * HOUR };
    let late = place == VIX || place == SPXW && day != habits.expiry;
    let end = if late { bell + 15 * MINUTE } else { bell };
    Some((utc(day, 9 * HOUR + 30 * MINUTE), utc(day, end)))
}

/// Returns the periods with values of an instrument on these days, in order.
pub(crate) fn spans(
    place: usize,
    days: std::ops::RangeInclusive<i64>,
    habits: &Habits,
) -> Vec<Span> {
    let mut spans = Vec::new();
    for day in days {
        let Some((open, bell)) = regular(place, day, habits) else {
            continue;
        };
        let mut add = |from, to, part, gap| {
            spans.push(Span {
                from,
                to,
                part,
                gap,
                day,
            });
        };
        match place {
            SPX => {
                add(open + SECOND, bell, Part::Regular, (900, 4_300));
                // The index is still computed for some seconds after the bell, and its official
                // close comes minutes later. Both times differ from day to day.
                let while_ = [0, 3, 40, 80][(day % 4) as usize] * SECOND;
                add(bell + 500, bell + while_, Part::After, (900, 2_900));
                let official = match (truly(day, habits), day % 3) {
                    (Kept::Half, _) => 300 * SECOND,
                    (_, 0) => 20 * MINUTE,
                    _ => 290 * SECOND,
                };
                add(bell + official, bell + official, Part::Close, (0, 0));
            }
            VIX => {
                let (early, late) = (
                    utc(day, 3 * HOUR + 15 * MINUTE),
                    utc(day, 9 * HOUR + 15 * MINUTE),
                );
                add(early + 2 * SECOND, late, Part::Regular, (15_000, 15_000));
                add(
                    open + 3 * SECOND,
                    bell + SECOND,
                    Part::Regular,
                    (15_000, 15_000),
                );
            }
            TICK => add(open + 2 * SECOND, bell, Part::Regular, (900, 8_300)),
            SPY => {
                let pace = if habits.thin { 9 } else { 1 };
                let end = bell + 4 * HOUR;
                add(utc(day, 4 * HOUR), open, Part::Pre, (10_000, 200_000));
                add(open + SECOND, bell, Part::Regular, (1_000, 11_000 * pace));
                add(bell + SECOND, bell + SECOND, Part::Close, (0, 0));
                add(bell + 3 * SECOND, end, Part::Post, (10_000, 220_000));
            }
            SPXW => add(open + 1_500, bell, Part::Regular, (700, 8_000)),
            NVDA => add(open + 2_500, bell, Part::Regular, (700, 12_000)),
            _ => {}
        }
    }
    spans
}

/// Returns the freshness limit in milliseconds: the time for which a value may be plain.
pub(crate) const fn limit(place: usize, part: Part) -> Ms {
    match (place, part) {
        (SPX | TICK, _) => 10 * SECOND,
        (VIX, _) => 45 * SECOND,
        // The closing auction is a trade after the bell.
        (SPY, Part::Pre | Part::Post | Part::Close) => 300 * SECOND,
        _ => 60 * SECOND,
    }
}

/// Returns true if the instrument is an option contract.
pub(crate) const fn is_contract(place: usize) -> bool {
    matches!(place, SPXW | NVDA)
}

pub(crate) const ALL: std::ops::Range<usize> = 0..COUNT;
