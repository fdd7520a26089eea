//! Names in the room there is. Never shortens one without a sign that it did.

use super::Frame;
use super::glyphs::Font;
use crate::market::Text;

/// Writes a name into at most `room` columns; returns the column after it.
pub(super) fn draw(
    font: &Font,
    frame: &mut Frame,
    x: usize,
    page: usize,
    label: &str,
    room: usize,
) -> usize {
    if font.width(label) <= room {
        return font.write(frame, x, page, label);
    }
    font.write(frame, x, page, &short(font, label, room))
}

/// How many columns a name takes when it may have `room` of them.
pub(super) fn width(font: &Font, label: &str, room: usize) -> usize {
    match font.width(label) {
        whole if whole <= room => whole,
        _ => font.width(&short(font, label, room)),
    }
}

/// A shorter name. Contracts of one root differ in their tail, so an option is told by its root
/// and its strike, then by the strike; other names lose their tail.
fn short(font: &Font, label: &str, room: usize) -> Text {
    if let Some((root, strike)) = option(label) {
        for (head, space) in [(root, " "), (root, ""), ("", "")] {
            let mut text = Text::new();
            let whole = [head, space, &strike]
                .iter()
                .all(|part| text.push_str(part).is_ok());
            if whole && font.width(&text) <= room {
                return text;
            }
        }
    }
    let mut text = Text::new();
    for letter in label.chars() {
        let mut longer = text.clone();
        if longer.push(letter).is_err() || font.width(&longer) + font.width("..") > room {
            break;
        }
        text = longer;
    }
    if font.width(&text) + font.width("..") <= room {
        let _ = text.push_str("..");
    }
    text
}

/// The root and the strike of an option contract: `SPY251219C00650000` is `SPY` and `650C`.
fn option(label: &str) -> Option<(&str, Text)> {
    let (root, contract) = label.split_at_checked(label.len().checked_sub(15)?)?;
    let (expiry, rest) = contract.split_at_checked(6)?;
    let (kind, strike) = rest.split_at_checked(1)?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if root.is_empty() || !digits(expiry) || !digits(strike) || !matches!(kind, "C" | "P") {
        return None;
    }
    let (whole, thousandths) = strike.split_at(5);
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let mut text = Text::try_from(whole).ok()?;
    let thousandths = thousandths.trim_end_matches('0');
    if !thousandths.is_empty() {
        text.push('.').ok()?;
        text.push_str(thousandths).ok()?;
    }
    text.push_str(kind).ok()?;
    Some((root, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::Glyphs;

    #[test]
    fn a_name_that_does_not_fit_says_so_and_keeps_what_tells_it_apart() {
        let font = Glyphs::new().small.whole;
        let short = |label, letters: usize| short(&font, label, letters * 5).to_string();
        assert_eq!(short("SPY251219C00650000", 8), "SPY 650C");
        assert_eq!(short("SPY251219C00650000", 7), "SPY650C");
        assert_eq!(short("SPY251219P00652500", 6), "652.5P");
        assert_eq!(short("ABCDEF251219C00000500", 6), "0.5C");
        assert_eq!(short("LONGNAME", 6), "LONGN..");
        assert_eq!(short("ÄÖÜÄÖÜ", 4), "ÄÖÜ..");
        assert_eq!(short("LONGNAME", 0), "");
    }
}
