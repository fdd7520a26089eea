//! Inverted words, and which of them a value needs so that nobody takes it for fresh.

use core::time::Duration;

use crate::market::{Denial, Freshness};
use crate::render::font::{Font, FontSet};
use crate::render::{Frame, InstrumentView, WIDTH};

/// Draws inverted text with a lit column on either side; returns the column after it.
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
        // A large badge can spare a dark row, to keep off what stands above it.
        for byte in &mut frame.as_bytes_mut()[page * WIDTH..][x..end] {
            *byte &= !1;
        }
    }
    end
}

/// The width of a badge.
pub(crate) fn width(font: &Font, text: &str) -> usize {
    // A character's last column is blank: inverted, it is the lit column on the right.
    1 + font.width(text)
}

/// Draws a badge in the small font so that it ends before column `end`; returns where it starts.
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

/// What has to be said about a value beside the value.
pub(crate) enum StatusBadge {
    /// It is as old as this.
    Age(Age),
    /// It is what this word says.
    Word(&'static str),
    /// There is none, and this is why: in words, and in a word.
    Denied(&'static str, &'static str),
}

impl StatusBadge {
    /// The mark a line needs, if it needs one: a live value speaks for itself, and the dashes of
    /// a missing one too.
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

    /// What the badge says.
    pub(crate) fn text(&self) -> &str {
        match self {
            StatusBadge::Age(age) => age.text(),
            StatusBadge::Word(word) | StatusBadge::Denied(word, _) => word,
        }
    }

    /// The same where there is little room.
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
            // Three digits are room enough: what is years old needs no more precision.
            _ => ((seconds / 86_400).min(999), 'd'),
        };
        let mut text = heapless::String::new();
        let mut started = false;
        for unit in [100, 10, 1] {
            let digit = (number / unit % 10) as u8;
            started |= digit > 0 || unit == 1;
            if started {
                // Cannot fail: three digits and a unit are the string's four bytes.
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
    fn an_age_is_told_in_its_largest_unit() {
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
