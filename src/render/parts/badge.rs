//! Badges: words that mark a price which is not live. This module selects the badge of a price; it
//! never judges the freshness.

use core::time::Duration;

use crate::market::{Denial, Freshness, NumberFormat, ShortText, whole};
use crate::render::InstrumentView;

/// The mark that a price needs beside it.
pub(crate) enum StatusBadge {
    /// The price is stale; the field is its age.
    Age(ShortText),
    /// The price has this state, such as DELAYED.
    Word(&'static str),
    /// The vendor denies the price. The fields are the reason in a long and a short form.
    Denied(&'static str, &'static str),
}

impl StatusBadge {
    /// Returns the mark that a line needs. A live price needs none, and the dashes of a missing
    /// price need none. A closed session needs its mark even without a price, because the mark
    /// explains the missing price.
    pub(crate) fn of(line: &InstrumentView<'_>) -> Option<Self> {
        match line.denial {
            _ if line.expired => return Some(StatusBadge::Word("EXPIRED")),
            Some(Denial::NotEntitled) => return Some(StatusBadge::Denied("NO ACCESS", "DENIED")),
            Some(Denial::NotFound) => return Some(StatusBadge::Denied("UNKNOWN", "UNKNOWN")),
            None => {}
        }
        match line.freshness {
            Freshness::Closed => Some(StatusBadge::Word("CLOSED")),
            _ if line.shown_price().is_none() => None,
            Freshness::Live | Freshness::None => None,
            Freshness::Stale(stale) => Some(StatusBadge::Age(age(stale))),
            Freshness::Delayed => Some(StatusBadge::Word("DELAYED")),
        }
    }

    /// Returns the text of the badge.
    pub(crate) fn text(&self) -> &str {
        match self {
            StatusBadge::Age(age) => age,
            StatusBadge::Word(word) | StatusBadge::Denied(word, _) => word,
        }
    }

    /// Returns a shorter text of the badge, for places with little space.
    pub(crate) fn brief(&self) -> &str {
        match self {
            StatusBadge::Denied(_, word) => word,
            _ => self.text(),
        }
    }
}

/// Returns an age in its largest unit: `12s`, `3m`, `2h`, `5d`.
pub(crate) fn age(age: Duration) -> ShortText {
    let seconds = age.as_secs();
    let (number, unit) = match seconds {
        0..60 => (seconds, 's'),
        60..3_600 => (seconds / 60, 'm'),
        3_600..86_400 => (seconds / 3_600, 'h'),
        // Three digits are enough, because an age of years needs no more precision.
        _ => ((seconds / 86_400).min(999), 'd'),
    };
    let mut text = whole(number, NumberFormat::ENGLISH);
    let _ = text.push(unit);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_shown_in_its_largest_unit() {
        let text = |seconds| age(Duration::from_secs(seconds));
        assert_eq!(text(0), "0s");
        assert_eq!(text(59), "59s");
        assert_eq!(text(60), "1m");
        assert_eq!(text(3_599), "59m");
        assert_eq!(text(7_200), "2h");
        assert_eq!(text(86_399), "23h");
        assert_eq!(text(5 * 86_400), "5d");
        assert_eq!(text(100 * 86_400), "100d");
        assert_eq!(text(u64::MAX), "999d");
    }
}
