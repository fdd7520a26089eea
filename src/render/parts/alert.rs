//! Draws a crossed threshold as a flashing line of its own. The layout moves the covered parts to
//! other places during the alert; this module never decides if a threshold was crossed.

use super::{field, name};
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
        decimals,
        lit,
    }) = view.alert
    else {
        return false;
    };
    let mut font = BADGE;
    font.inverted = false;
    let numbers = view.format.numbers;
    let (sign, figures) = match threshold {
        Threshold::Above(price) => (" > ", limit(price, decimals, numbers)),
        Threshold::Below(price) => (" < ", limit(price, decimals, numbers)),
        Threshold::Moved(points) => (" ", percentage(points, numbers)),
    };
    let taken = font.width(sign) + font.width(&figures);
    let label = name::cut(&font, label, row.room().saturating_sub(taken));
    let free = row.room().saturating_sub(font.width(&label) + taken);
    let mut x = row.left + free / 2;
    for piece in [&label, sign, &figures] {
        x = font.write(frame, x, row.page, piece);
    }
    if lit {
        frame.invert(row.page, row.columns());
    }
    true
}

/// Returns the alert of a view as one text, if there is one.
pub(crate) fn words(view: &View<'_>) -> Option<heapless::String<64>> {
    let alert = view.alert?;
    let numbers = view.format.numbers;
    let label = alert.label;
    let text = match alert.threshold {
        Threshold::Above(price) => {
            heapless::format!("{label} > {}", limit(price, alert.decimals, numbers))
        }
        Threshold::Below(price) => {
            heapless::format!("{label} < {}", limit(price, alert.decimals, numbers))
        }
        Threshold::Moved(points) => heapless::format!("{label} {}", percentage(points, numbers)),
    };
    text.ok()
}

/// Returns a threshold: a whole number without decimals, like `6,000`, and any other number with the
/// decimals of the instrument's prices, like `12.50`. The threshold is never rounded.
fn limit(price: Price, decimals: u8, numbers: NumberFormat) -> ShortText {
    let decimals = match price.exact_decimals() {
        0 => 0,
        exact => exact.max(decimals),
    };
    field::price(Some(price), decimals, numbers)
}

/// Returns hundredths of a percent as text: `±2%`, `±0.25%`.
fn percentage(points: i64, numbers: NumberFormat) -> ShortText {
    let percent = Price::from_scaled(points.saturating_abs().saturating_mul(100));
    let figures = field::price(Some(percent), percent.exact_decimals(), numbers);
    heapless::format!("{PLUS_MINUS}{figures}%").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_shown_in_its_shortest_usual_form() {
        let price = |number, decimals| {
            let price = Price::from_f64(number).unwrap();
            limit(price, decimals, NumberFormat::ENGLISH)
        };
        assert_eq!(price(6000.0, 2), "6,000");
        assert_eq!(price(12.5, 2), "12.50");
        assert_eq!(price(12.5, 4), "12.5000");
        assert_eq!(price(12.5, 0), "12.5");
        assert_eq!(price(0.0001, 2), "0.0001");
        let moved = |points| percentage(points, NumberFormat::ENGLISH);
        assert_eq!(moved(200), "\u{7f}2%");
        assert_eq!(moved(-250), "\u{7f}2.5%");
        assert_eq!(moved(25), "\u{7f}0.25%");
        assert_eq!(moved(1000), "\u{7f}10%");
    }
}
