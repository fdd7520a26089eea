//! When each instrument has a value, by the hours of the world's own table.

use super::hours::{HOUR, Kept, MINUTE, Ms, SECOND, kept, utc};
use super::tape::{COUNT, NVDA, SPX, SPXW, SPY, TICK, VIX};

/// What part of a day a value is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Pre,
    Regular,
    /// An index is computed on after the bell.
    After,
    /// The official close.
    Close,
    Post,
    /// None of the known hours.
    Outside,
}

/// A time in which an instrument has values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) from: Ms,
    pub(crate) to: Ms,
    pub(crate) part: Part,
    /// The least and the most between two values; one alone if the most is 0.
    pub(crate) gap: (Ms, Ms),
    pub(crate) day: i64,
}

/// What is the same for all of a world's days.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Habits {
    /// The last day of the SPXW contract.
    pub(crate) expiry: i64,
    /// A day on which the markets do not open although the table says so.
    pub(crate) closure: Option<i64>,
    /// The shares are traded so seldom.
    pub(crate) thin: bool,
    /// Trades before and after the regular hours say that they are such.
    pub(crate) extended: bool,
}

/// How a day is kept in truth.
pub(crate) fn truly(day: i64, habits: &Habits) -> Kept {
    match habits.closure == Some(day) {
        true => Kept::Closed,
        false => kept(day),
    }
}

/// The regular hours of an instrument on a day, if it has some.
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

/// The times of an instrument's values on these days, in order.
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
                // Computed on for a while, and minutes later the close: another length each day.
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

/// How long a value may stand as if it were new.
pub(crate) const fn limit(place: usize, part: Part) -> Ms {
    match (place, part) {
        (SPX | TICK, _) => 10 * SECOND,
        (VIX, _) => 45 * SECOND,
        // The auction of the close is a trade of after the bell.
        (SPY, Part::Pre | Part::Post | Part::Close) => 300 * SECOND,
        _ => 60 * SECOND,
    }
}

/// Whether an instrument is a contract.
pub(crate) const fn is_contract(place: usize) -> bool {
    matches!(place, SPXW | NVDA)
}

pub(crate) const ALL: std::ops::Range<usize> = 0..COUNT;
