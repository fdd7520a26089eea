//! Draws a crossed threshold as a flashing line of its own. The layout moves the covered parts to
//! other places during the alert; this module never decides if a threshold was crossed.

use super::name;
use crate::market::{NumberFormat, Price, ShortText};
use crate::render::font::{BADGE, PLUS_MINUS};
use crate::render::row::Row;
use crate::render::{AlertView, Frame, Threshold, View};

/// Draws the alert of a view, if any, over the given row. The text is inverted in the lit half of a
/// flash. Returns true if there is an alert.
pub(crate) fn draw(view: &View<'_>, frame: &mut Frame, row: Row) -> bool {
    let Some(AlertView {
        label,
        threshold,
        lit,
    }) = view.alert
    else {
        return false;
    };
    let mut font = BADGE;
    font.inverted = false;
    let numbers = view.format.numbers;
    let (sign, limit) = match threshold {
        Threshold::Above(price) => (" > ", round(price, numbers)),
        Threshold::Below(price) => (" < ", round(price, numbers)),
        Threshold::Moved(points) => (" ", percentage(points, numbers)),
    };
    let taken = font.width(sign) + font.width(&limit);
    let label = name::cut(&font, label, row.room().saturating_sub(taken));
    let free = row.room().saturating_sub(font.width(&label) + taken);
    let mut x = row.left + free / 2;
    for piece in [&label, sign, &limit] {
        x = font.write(frame, x, row.page, piece);
    }
    if lit {
        frame.invert(row.page, row.columns());
    }
    true
}

/// Returns a threshold in the form of the configuration: `6,000`, `12.50`.
fn round(price: Price, numbers: NumberFormat) -> ShortText {
    let (mut text, fraction) = price.parts(numbers);
    if fraction.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) {
        let _ = text.push_str(&fraction);
    }
    text
}

/// Returns hundredths of a percent as text: `±2%`, `±0.25%`.
fn percentage(points: i64, numbers: NumberFormat) -> ShortText {
    // A price from whole hundredths always has two decimals, even below 1, so no digit is lost.
    let (whole, fraction) =
        Price::from_scaled(points.saturating_abs().saturating_mul(100)).parts(numbers);
    let fraction = match fraction.trim_end_matches('0') {
        fraction if fraction.len() > 1 => fraction,
        _ => "",
    };
    heapless::format!("{PLUS_MINUS}{whole}{fraction}%").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_shown_in_its_shortest_usual_form() {
        let price = |number| round(Price::from_f64(number).unwrap(), NumberFormat::ENGLISH);
        assert_eq!(price(6000.0), "6,000");
        assert_eq!(price(12.5), "12.50");
        assert_eq!(price(0.0001), "0.0001");
        let moved = |points| percentage(points, NumberFormat::ENGLISH);
        assert_eq!(moved(200), "\u{7f}2%");
        assert_eq!(moved(-250), "\u{7f}2.5%");
        assert_eq!(moved(25), "\u{7f}0.25%");
        assert_eq!(moved(1000), "\u{7f}10%");
    }
}
