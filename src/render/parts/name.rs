//! Draws names in a limited space. A shortened name is always recognisable: a cut name ends with
//! two dots, and an option keeps its strike.

use crate::market::{Contract, ShortText};
use crate::render::font::Font;
use crate::render::{Frame, InstrumentView};

/// Writes a name into at most `room` columns. Returns the column after the name.
pub(crate) fn draw(
    font: &Font,
    frame: &mut Frame,
    x: usize,
    page: usize,
    line: &InstrumentView<'_>,
    room: usize,
) -> usize {
    // No character is wider than the stride of the font, so a short name needs no measurement.
    let fits = line.label.len() * font.stride <= room || font.width(line.label) <= room;
    match (line.contract, fits) {
        (None, true) => font.write(frame, x, page, line.label),
        _ => font.write(frame, x, page, &short(font, line, room)),
    }
}

/// Returns the width of a name in columns, if at most `room` columns are free.
pub(crate) fn width(font: &Font, line: &InstrumentView<'_>, room: usize) -> usize {
    match (line.contract, font.width(line.label)) {
        (None, whole) if whole <= room => whole,
        _ => font.width(&short(font, line, room)),
    }
}

/// Writes an option's name in three lines for a narrow and high space: root, expiry, strike.
/// Returns the column after the widest line; `None` if a line is too wide.
pub(crate) fn stack(
    font: &Font,
    frame: &mut Frame,
    page: usize,
    line: &InstrumentView<'_>,
    room: usize,
) -> Option<usize> {
    let contract = line.contract.as_ref()?;
    let dated = [true, false].map(|year| written(contract, &[NamePart::Expiry { year }]));
    let date = dated
        .iter()
        .flatten()
        .find(|date| font.width(date) <= room)?;
    let strike = written(contract, &[NamePart::Strike])?;
    let lines = [contract.root, date, &strike];
    let widest = lines.map(|text| font.width(text)).into_iter().max()?;
    if widest > room {
        return None;
    }
    for (page, text) in (page..).zip(lines) {
        font.write(frame, 0, page, text);
    }
    Some(widest)
}

/// Returns the form of a name that fits. Contracts of one root differ in their expiry and strike.
/// So an option first loses its spaces, then its year, then its expiry, then its root, and keeps
/// its strike. Other names are cut at the end.
fn short(font: &Font, line: &InstrumentView<'_>, room: usize) -> ShortText {
    use NamePart::{Expiry, Gap, Root, SpacedExpiry, SpacedStrike, Strike};
    let forms: [&[NamePart]; 6] = [
        &[Root, Gap, SpacedExpiry, Gap, SpacedStrike],
        &[Root, Gap, Expiry { year: true }, Gap, Strike],
        &[Root, Gap, Expiry { year: false }, Gap, Strike],
        &[Root, Gap, Strike],
        &[Root, Strike],
        &[Strike],
    ];
    if let Some(contract) = &line.contract {
        let mut texts = forms.into_iter().filter_map(|form| written(contract, form));
        if let Some(text) = texts.find(|text| font.width(text) <= room) {
            return text;
        }
    }
    cut(font, line.label, room)
}

/// The parts of an option's name.
#[derive(Clone, Copy)]
enum NamePart {
    Gap,
    /// The root, such as `SPY`.
    Root,
    /// The expiry, such as `19Dec25`, or `19Dec` without the year.
    Expiry {
        year: bool,
    },
    /// The expiry with spaces, such as `19 Dec 25`.
    SpacedExpiry,
    /// The strike and the type, such as `650C`.
    Strike,
    /// The strike and the type with a space, such as `650 C`.
    SpacedStrike,
}

/// Returns an option's name in the given form; `None` if the name is too long for a [`ShortText`].
fn written(contract: &Contract<'_>, form: &[NamePart]) -> Option<ShortText> {
    let mut text = ShortText::new();
    let two = |text: &mut ShortText, number: u8| {
        text.push(char::from(b'0' + number / 10 % 10)).ok()?;
        text.push(char::from(b'0' + number % 10)).ok()
    };
    for part in form {
        let gap = match part {
            NamePart::SpacedExpiry | NamePart::SpacedStrike => " ",
            _ => "",
        };
        match part {
            NamePart::Gap => text.push(' ').ok()?,
            NamePart::Root => text.push_str(contract.root).ok()?,
            NamePart::Expiry { .. } | NamePart::SpacedExpiry => {
                let day = contract.expiry.day().unsigned_abs();
                match day {
                    0..10 => text.push(char::from(b'0' + day)).ok()?,
                    _ => two(&mut text, day)?,
                }
                text.push_str(gap).ok()?;
                text.push_str(contract.month()).ok()?;
                if !matches!(part, NamePart::Expiry { year: false }) {
                    text.push_str(gap).ok()?;
                    two(&mut text, contract.expiry.year().rem_euclid(100) as u8)?;
                }
            }
            NamePart::Strike | NamePart::SpacedStrike => {
                text.push_str(&contract.strike_text()).ok()?;
                text.push_str(gap).ok()?;
                text.push(if contract.call { 'C' } else { 'P' }).ok()?;
            }
        }
    }
    Some(text)
}

/// Returns as much of a text as fits. Two dots replace the rest.
pub(crate) fn cut(font: &Font, label: &str, room: usize) -> ShortText {
    let mut text = ShortText::new();
    if font.width(label) <= room && text.push_str(label).is_ok() {
        return text;
    }
    text.clear();
    for letter in label.chars() {
        let mut longer = text.clone();
        let fits = longer.push(letter).is_ok() && longer.len() + 2 <= longer.capacity();
        if !fits || font.width(&longer) + font.width("..") > room {
            break;
        }
        text = longer;
    }
    if font.width(&text) + font.width("..") <= room {
        let _ = text.push_str("..");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{Freshness, Symbol};
    use crate::render::FontSet;

    fn shortened(label: &str, letters: usize) -> String {
        let symbol = format!("O:{label}").parse::<Symbol>().ok();
        let line = InstrumentView {
            label,
            contract: symbol.as_ref().and_then(Symbol::contract),
            expired: false,
            part: None,
            denial: None,
            price: None,
            change: None,
            freshness: Freshness::None,
            history: &[],
        };
        short(&FontSet::new().small.whole, &line, letters * 5).to_string()
    }

    #[test]
    fn a_shortened_name_keeps_its_distinguishing_part() {
        assert_eq!(shortened("SPY251219C00650000", 8), "SPY 650C");
        assert_eq!(shortened("SPY251219C00650000", 7), "SPY650C");
        // A decimal point is narrower than a letter.
        assert_eq!(shortened("SPY251219P00652500", 6), "652.5P");
        assert_eq!(shortened("ABCDEF251219C00000500", 6), "0.5C");
        assert_eq!(shortened("LONGNAME", 6), "LONGN..");
        assert_eq!(shortened("ÄÖÜÄÖÜ", 4), "ÄÖÜ..");
        assert_eq!(shortened("LONGNAME", 0), "");
    }

    #[test]
    fn a_contract_has_the_longest_format_that_fits() {
        assert_eq!(shortened("SPY251219C00650000", 19), "SPY 19 Dec 25 650 C");
        assert_eq!(shortened("SPY251219C00650000", 18), "SPY 19Dec25 650C");
        assert_eq!(shortened("SPY251219C00650000", 15), "SPY 19Dec 650C");
        assert_eq!(shortened("SPXW260105P06000000", 15), "SPXW 5Jan 6000P");
        assert_eq!(
            shortened("ABCDEF251219P12345678", 40),
            "ABCDEF 19Dec 12345.678P"
        );
    }
}
