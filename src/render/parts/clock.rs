//! The time of day as text. This module never reads a clock: the view contains the time.

use super::field;
use crate::market::ShortText;
use crate::render::View;

/// Returns the time as `14:32` or `2:32p`; dashes while the clock is not set.
pub(crate) fn text(view: &View<'_>) -> ShortText {
    let Some((hours, minutes)) = view.time else {
        return field::text("--:--");
    };
    let twelve = view.format.twelve_hours;
    let shown = if twelve { (hours + 11) % 12 + 1 } else { hours };
    let digit = |number: u8| char::from(b'0' + number % 10);
    let half = if hours < 12 { 'a' } else { 'p' };
    let letters = [
        digit(shown / 10),
        digit(shown),
        ':',
        digit(minutes / 10),
        digit(minutes),
        half,
    ];
    let start = usize::from(twelve && shown < 10);
    let end = 5 + usize::from(twelve);
    letters[start..end].iter().collect()
}
