//! The number of decimals of single instruments in the configuration: the list `decimals`.

use toml::Spanned;

use super::pages::place;
use super::{ConfigReader, Mistake};
use crate::market::{Price, Symbol};

/// The characters between a symbol and its number.
const SEPARATORS: [char; 4] = [' ', '=', ':', ','];

impl ConfigReader<'_> {
    /// Reads the list. Returns the index of each instrument on the watchlist and its number.
    pub(super) fn decimals(
        &self,
        list: Option<Spanned<Vec<Spanned<String>>>>,
        watchlist: &[Symbol],
    ) -> Vec<(usize, u8)> {
        let mut numbers: Vec<(usize, u8)> = Vec::new();
        // A wrong watchlist would cause an error for each instrument.
        let list = list.filter(|_| !watchlist.is_empty());
        for entry in list.iter().flat_map(|list| list.get_ref()) {
            let read = self.item("decimals", entry, |text| decimals(text, watchlist));
            let Some((place, number)) = read else {
                continue;
            };
            if numbers.iter().any(|(known, _)| *known == place) {
                let symbol = &watchlist[place];
                let reason = format!("{symbol} is in the list twice; remove one of the two");
                self.mistake("decimals", entry.span(), reason);
            }
            numbers.push((place, number));
        }
        numbers
    }
}

/// Reads an instrument and its number of decimals, such as `SPX 2`.
fn decimals(text: &str, watchlist: &[Symbol]) -> Result<(usize, u8), Mistake> {
    let parts = text.trim().rsplit_once(SEPARATORS);
    let read = parts.and_then(|(symbol, number)| Some((symbol, number.parse().ok()?)));
    match read {
        Some((symbol, number @ 0..=Price::MAX_DECIMALS)) => {
            let symbol = symbol.trim_end_matches(SEPARATORS);
            Ok((place(symbol, watchlist)?, number))
        }
        _ => Err(format!(
            "{text:?}, expected a symbol and the number of its decimals, 0 to {}",
            Price::MAX_DECIMALS
        )
        .into()),
    }
}
