//! Badges: words and blocks that mark a price which is not live. This module selects the badge of a
//! price; it never judges the freshness.

use core::time::Duration;

use crate::market::{Denial, Freshness, NumberFormat, ShortText, whole};
use crate::render::font::{HUGE_BADGE, LARGE_BADGE};
use crate::render::row::Row;
use crate::render::{Frame, InstrumentView};

/// The delay of a delayed source. A value with another delay is never judged as delayed
/// ([`crate::market::DELAY`]).
pub(crate) const DELAY: &str = "15m";

/// The mark that a price needs beside it.
pub(crate) enum StatusBadge {
    /// The price is stale; the field is its age.
    Age(ShortText),
    /// The price comes from a delayed source.
    Delayed,
    /// The price has this state, such as CLOSED.
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
            Freshness::Delayed => Some(StatusBadge::Delayed),
        }
    }

    /// Returns the text of the badge.
    pub(crate) fn text(&self) -> &str {
        match self {
            StatusBadge::Age(age) => age,
            StatusBadge::Delayed => "DELAYED",
            StatusBadge::Word(word) | StatusBadge::Denied(word, _) => word,
        }
    }

    /// Returns the text of the large block beside the price: the age of a stale price, or the delay
    /// of a delayed price. The other marks have no block.
    pub(crate) fn block(&self) -> Option<&str> {
        match self {
            StatusBadge::Age(age) => Some(age),
            StatusBadge::Delayed => Some(DELAY),
            StatusBadge::Word(_) | StatusBadge::Denied(..) => None,
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

/// Draws the block of a delayed price at the right end of a row, three pages high if it fits, and
/// two pages high otherwise. Returns its height in pages.
pub(crate) fn delay(frame: &mut Frame, row: &mut Row) -> usize {
    let pages = delay_pages(row.room());
    if pages == 2 {
        row.write_right(frame, &LARGE_BADGE, DELAY);
        return pages;
    }
    // The letter m fills its cell, so the block needs one more lit column at its right edge.
    let edge = row.right - 1..row.right;
    row.right -= 1;
    row.write_right(frame, &HUGE_BADGE, DELAY);
    for page in row.page..row.page + pages {
        let dots = if page == row.page { 0xFE } else { 0xFF };
        frame.columns_mut(page, edge.clone()).fill(dots);
    }
    pages
}

/// Returns the height in pages of the block of a delayed price, if it has `room` columns.
pub(crate) fn delay_pages(room: usize) -> usize {
    match HUGE_BADGE.width(DELAY) < room {
        true => HUGE_BADGE.pages,
        false => LARGE_BADGE.pages,
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
