//! Badges: inverted words that mark a price which is not live. This module selects the badge of a
//! price; it never judges the freshness.

use core::time::Duration;

use crate::market::{Denial, Freshness};
use crate::render::font::{Font, FontSet};
use crate::render::{Frame, InstrumentView, WIDTH};

/// Draws inverted text with a lit column on each side. Returns the column after the badge.
pub(crate) fn draw(font: &Font, frame: &mut Frame, x: usize, page: usize, text: &str) -> usize {
    debug_assert!(
        frame.vacant(x..x + width(font, text), page..page + font.pages),
        "{text:?} lies on something at column {x} of page {page}:\n{frame}"
    );
    let end = font.write(frame, x + 1, page, text).min(WIDTH);
    for row in page..page + font.pages {
        for byte in &mut frame.as_bytes_mut()[row * WIDTH..][x..end] {
            *byte = !*byte;
        }
    }
    if font.pages > 1 {
        // The top row of a large badge is dark, as a gap to the part above it.
        for byte in &mut frame.as_bytes_mut()[page * WIDTH..][x..end] {
            *byte &= !1;
        }
    }
    end
}

/// Returns the width of a badge in columns.
pub(crate) fn width(font: &Font, text: &str) -> usize {
    // The last column of a character is dark. After the inversion, this dark column is the lit
    // column on the right.
    1 + font.width(text)
}

/// Draws a badge in the small font, directly before the column `end`. Returns the first column of
/// the badge.
pub(crate) fn before(
    font_set: &FontSet,
    frame: &mut Frame,
    end: usize,
    page: usize,
    text: &str,
) -> usize {
    let x = end.saturating_sub(width(&font_set.badge, text));
    draw(&font_set.badge, frame, x, page, text);
    x
}

/// The mark that a price needs beside it.
pub(crate) enum StatusBadge {
    /// The price is stale; the field is its age.
    Age(Age),
    /// The price has this state, such as DELAYED.
    Word(&'static str),
    /// The vendor denies the price. The fields are the reason in a long and a short form.
    Denied(&'static str, &'static str),
}

impl StatusBadge {
    /// Returns the mark that a line needs. A live price needs none, and the dashes of a missing
    /// price need none.
    pub(crate) fn of(line: &InstrumentView<'_>) -> Option<Self> {
        match line.denial {
            _ if line.expired => return Some(StatusBadge::Word("EXPIRED")),
            Some(Denial::NotEntitled) => return Some(StatusBadge::Denied("NO ACCESS", "DENIED")),
            Some(Denial::NotFound) => return Some(StatusBadge::Denied("UNKNOWN", "UNKNOWN")),
            None if !line.marked() => return None,
            None => {}
        }
        match line.freshness {
            Freshness::Live | Freshness::None => None,
            Freshness::Stale(age) => Some(StatusBadge::Age(Age::new(age))),
            Freshness::Delayed => Some(StatusBadge::Word("DELAYED")),
            Freshness::Closed => Some(StatusBadge::Word("CLOSED")),
        }
    }

    /// Returns the text of the badge.
    pub(crate) fn text(&self) -> &str {
        match self {
            StatusBadge::Age(age) => age.text(),
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

/// An age in its largest unit: `12s`, `3m`, `2h`, `5d`.
pub(crate) struct Age(heapless::String<4>);

impl Age {
    pub(crate) fn new(age: Duration) -> Self {
        let seconds = age.as_secs();
        let (number, unit) = match seconds {
            0..60 => (seconds, 's'),
            60..3_600 => (seconds / 60, 'm'),
            3_600..86_400 => (seconds / 3_600, 'h'),
            // Three digits are enough, because an age of years needs no more precision.
            _ => ((seconds / 86_400).min(999), 'd'),
        };
        let mut text = heapless::String::new();
        let mut started = false;
        for unit in [100, 10, 1] {
            let digit = (number / unit % 10) as u8;
            started |= digit > 0 || unit == 1;
            if started {
                // The push cannot fail: three digits and a unit fit into the four bytes of the
                // string.
                let _ = text.push(char::from(b'0' + digit));
            }
        }
        let _ = text.push(unit);
        Self(text)
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_shown_in_its_largest_unit() {
        let text = |seconds| Age::new(Duration::from_secs(seconds)).0;
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
