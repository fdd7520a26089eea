//! The time of day as the glass shows it.

use super::View;
use crate::market::Text;

/// `14:32`, or `2:32p`; dashes while nobody has set the clock, as on every video recorder.
pub(super) fn text(view: &View<'_>) -> Text {
    let digit = |number: u8| char::from(b'0' + number % 10);
    let mut text = Text::new();
    // Cannot fail: six letters fit.
    let mut add = |letter| {
        let _ = text.push(letter);
    };
    let Some((hours, minutes)) = view.time else {
        "--:--".chars().for_each(add);
        return text;
    };
    let shown = match (view.format.twelve_hours, hours % 12) {
        (false, _) => hours,
        (true, 0) => 12,
        (true, hour) => hour,
    };
    if shown > 9 || !view.format.twelve_hours {
        add(digit(shown / 10));
    }
    [digit(shown), ':', digit(minutes / 10), digit(minutes)]
        .into_iter()
        .for_each(&mut add);
    if view.format.twelve_hours {
        add(if hours < 12 { 'a' } else { 'p' });
    }
    text
}
