//! The time of day as the glass shows it.

use crate::market::Text;

/// `14:32`; dashes while nobody has set the clock, as on every video recorder.
pub(super) fn text(time: Option<(u8, u8)>) -> Text {
    let digit = |number: u8| char::from(b'0' + number % 10);
    let letters = match time {
        Some((hours, minutes)) => [
            digit(hours / 10),
            digit(hours),
            ':',
            digit(minutes / 10),
            digit(minutes),
        ],
        None => ['-', '-', ':', '-', '-'],
    };
    letters.into_iter().collect()
}
