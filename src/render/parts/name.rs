//! Draws names in a limited space. A shortened name is always recognisable: a cut name ends with
//! two dots, and an option keeps its strike.

use crate::market::{Contract, ShortText};
use crate::render::font::{Font, TEXT};
use crate::render::row::Row;
use crate::render::{Frame, InstrumentView};

/// Writes a name at the left end of a row, in at most `room` columns.
pub(crate) fn draw(frame: &mut Frame, row: &mut Row, line: &InstrumentView<'_>, room: usize) {
    match (line.contract, TEXT.fits(line.label, room)) {
        (None, true) => row.write_left(frame, &TEXT, line.label),
        _ => row.write_left(frame, &TEXT, &short(line, room)),
    }
}

/// Returns the width of a name in columns, if at most `room` columns are free.
pub(crate) fn width(line: &InstrumentView<'_>, room: usize) -> usize {
    match (line.contract, TEXT.width(line.label)) {
        (None, whole) if whole <= room => whole,
        _ => TEXT.width(&short(line, room)),
    }
}

/// Writes an option's name in three lines for a narrow and high space: root, expiry, strike.
/// Returns the column after the widest line; `None` if a line is too wide.
pub(crate) fn stack(
    frame: &mut Frame,
    page: usize,
    line: &InstrumentView<'_>,
    room: usize,
) -> Option<usize> {
    let contract = line.contract.as_ref()?;
    let (day, month, year) = date(contract);
    let dates = [
        heapless::format!("{day}{month}{year:02}"),
        heapless::format!("{day}{month}"),
    ];
    let fits = |date: &ShortText| TEXT.fits(date, room);
    let date = dates.into_iter().flatten().find(fits)?;
    let lines = [contract.root, &date, &strike(contract, "")];
    let widest = lines.map(|text| TEXT.width(text)).into_iter().max()?;
    if widest > room {
        return None;
    }
    for (page, text) in (page..).zip(lines) {
        TEXT.write(frame, 0, page, text);
    }
    Some(widest)
}

/// Returns the form of a name that fits. Contracts of one root differ in their expiry and strike.
/// So an option first loses its spaces, then its year, then its expiry, then its root, and keeps
/// its strike. Other names are cut at the end.
fn short(line: &InstrumentView<'_>, room: usize) -> ShortText {
    let fitting = line.contract.as_ref().and_then(|contract| {
        let root = contract.root;
        let (day, month, year) = date(contract);
        let [strike, spaced] = ["", " "].map(|gap| strike(contract, gap));
        [
            format_args!("{root} {day} {month} {year:02} {spaced}"),
            format_args!("{root} {day}{month}{year:02} {strike}"),
            format_args!("{root} {day}{month} {strike}"),
            format_args!("{root} {strike}"),
            format_args!("{root}{strike}"),
            format_args!("{strike}"),
        ]
        .into_iter()
        // A form that is too long for its text is skipped.
        .filter_map(|form| heapless::format!("{form}").ok())
        .find(|text: &ShortText| TEXT.fits(text, room))
    });
    fitting.unwrap_or_else(|| cut(&TEXT, line.label, room))
}

/// Returns the name for a place with space: a contract with spaces, another name as it is.
pub(crate) fn long(line: &InstrumentView<'_>) -> heapless::String<64> {
    let Some(contract) = &line.contract else {
        return heapless::String::try_from(line.label).unwrap_or_default();
    };
    let (day, month, year) = date(contract);
    let (root, strike) = (contract.root, strike(contract, " "));
    heapless::format!("{root} {day} {month} {year:02} {strike}").unwrap_or_default()
}

/// Returns the day, the month and the year of an option's expiry, such as 19, `Dec` and 25.
fn date(contract: &Contract<'_>) -> (i8, &'static str, i16) {
    let year = contract.expiry.year().rem_euclid(100);
    (contract.expiry.day(), contract.month(), year)
}

/// Returns the strike and the type of an option, such as `650C`, with a gap between them.
fn strike(contract: &Contract<'_>, gap: &str) -> ShortText {
    let side = if contract.call { 'C' } else { 'P' };
    heapless::format!("{}{gap}{side}", contract.strike_text()).unwrap_or_default()
}

/// Returns as much of a text as fits. Two dots replace the rest.
pub(crate) fn cut(font: &Font, label: &str, room: usize) -> ShortText {
    let fits = |text: &ShortText| font.fits(text, room);
    if let Some(whole) = ShortText::try_from(label).ok().filter(fits) {
        return whole;
    }
    let ends = label.char_indices().map(|(end, _)| end).rev();
    let mut cuts = ends.filter_map(|end| heapless::format!("{}..", &label[..end]).ok());
    cuts.find(fits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{Freshness, Symbol};

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
            decimals: 2,
            freshness: Freshness::None,
            history: &[],
        };
        short(&line, letters * 5).to_string()
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
