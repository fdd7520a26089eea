//! The content and the format of the display in the configuration: the watchlist, the pages, the
//! clock and the number format.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Deserialize;
use toml::Spanned;

use super::settings::{PageSpec, TickerSettings};
use super::{ConfigError, ConfigReader};
use crate::market::{AssetClass, NumberFormat, Symbol, Watchlist, WatchlistError};

/// The allowed number formats: an example, the thousands separator, and the decimal separator.
const NUMBERS: [(&str, Option<u8>, u8); 6] = [
    ("1,234.56", Some(b','), b'.'),
    ("1.234,56", Some(b'.'), b','),
    ("1 234,56", Some(b' '), b','),
    ("1'234.56", Some(b'\''), b'.'),
    ("1234.56", None, b'.'),
    ("1234,56", None, b','),
];

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct PagesTable {
    interval: Option<Spanned<i64>>,
    show: Option<Spanned<Vec<Spanned<String>>>>,
    pin: Option<Spanned<String>>,
}

/// The form of a symbol in the configuration file.
#[derive(Clone, Copy, Debug)]
pub(super) struct WatchlistEntry {
    pub(super) line: usize,
    /// True if the text has a prefix that selects an index, a share or a contract.
    pub(super) prefixed: bool,
}

impl ConfigReader<'_> {
    /// Reads the watchlist. Returns the symbols and the form of each symbol; the forms are empty
    /// for the default watchlist.
    pub(super) fn watchlist(
        &self,
        entries: Option<Spanned<Vec<Spanned<String>>>>,
    ) -> Result<(Vec<Symbol>, Vec<WatchlistEntry>), ConfigError> {
        let Some(entries) = entries else {
            let parsed = ["SPX", "VIX"].iter().map(|text| text.parse());
            let symbols = parsed.collect::<Result<_, _>>();
            return match symbols {
                Ok(symbols) => Ok((symbols, Vec::new())),
                Err(error) => Err(self.error(None, format!("{error}"))),
            };
        };
        let span = entries.span();
        let entries = entries.into_inner();
        let mut symbols: Vec<Symbol> = Vec::with_capacity(entries.len());
        for entry in &entries {
            let symbol: Symbol = entry
                .get_ref()
                .parse()
                .map_err(|error| self.error(Some(entry.span()), format!("watchlist: {error}")))?;
            if symbols.contains(&symbol) {
                return Err(self.error(
                    Some(entry.span()),
                    format!("watchlist: {symbol} is in the list twice; remove one of the two"),
                ));
            }
            symbols.push(symbol);
        }
        // The loop above reports duplicates with their line. The remaining errors concern the whole
        // list.
        match Watchlist::new(&symbols) {
            Ok(_) => {
                let entries = entries.iter().map(|entry| WatchlistEntry {
                    line: self.line(&entry.span()),
                    prefixed: entry.get_ref().contains(':'),
                });
                Ok((symbols, entries.collect()))
            }
            Err(
                error @ (WatchlistError::Empty
                | WatchlistError::Duplicate(_)
                | WatchlistError::Full(_)),
            ) => Err(self.error(Some(span), format!("watchlist: {error}"))),
        }
    }

    /// Reads the pages into `settings`, which already contain the watchlist.
    pub(super) fn pages(
        &self,
        table: PagesTable,
        settings: &mut TickerSettings,
    ) -> Result<(), ConfigError> {
        if let Some(interval) = &table.interval {
            let secs: u16 = self.number(interval, "interval", 3..=3600, "3 to 3600 seconds")?;
            settings.interval = Duration::from_secs(secs.into());
        }
        if let Some(show) = &table.show {
            for page in show.get_ref() {
                let page_spec = self.page_spec(page, "show", &settings.watchlist)?;
                settings.pages.push(page_spec);
            }
            if settings.pages.is_empty() {
                let reason = "show: the list is empty, expected pages, like [\"SPX VIX\", \
                              \"link\"]; without this line the default pages are shown";
                return Err(self.error(Some(show.span()), reason));
            }
        }
        if let Some(pin) = &table.pin {
            let page_spec = self.page_spec(pin, "pin", &settings.watchlist)?;
            let page_specs = settings.page_specs();
            let pinned = |page: &PageSpec| match (*page, page_spec) {
                // With an odd number of instruments, the last one is alone on its page.
                (PageSpec::Pair(first, None), PageSpec::Big(only)) => first == only,
                (page, page_spec) => page == page_spec,
            };
            let Some(place) = page_specs.iter().position(pinned) else {
                let names: Vec<String> = page_specs
                    .iter()
                    .map(|page_spec| name(*page_spec, &settings.watchlist))
                    .collect();
                let message = format!(
                    "pin: {:?} is not a page, expected one of {}",
                    pin.get_ref(),
                    names.join(", ")
                );
                return Err(self.error(Some(pin.span()), message));
            };
            settings.pin = Some(place);
        }
        Ok(())
    }

    fn page_spec(
        &self,
        page: &Spanned<String>,
        key: &str,
        watchlist: &[Symbol],
    ) -> Result<PageSpec, ConfigError> {
        let words: Vec<&str> = page.get_ref().split_whitespace().collect();
        let place = |word: &str| self.place(word, page, key, watchlist);
        match words.as_slice() {
            ["link"] => Ok(PageSpec::Link),
            [only] => {
                let place = place(only)?;
                let contract = watchlist[place].class() == AssetClass::Option;
                Ok(if contract {
                    PageSpec::Contract(place)
                } else {
                    PageSpec::Big(place)
                })
            }
            [first, second] => match (place(first)?, place(second)?) {
                (first, second) if first == second => Err(self.error(
                    Some(page.span()),
                    format!(
                        "{key}: {:?}, expected two different symbols",
                        page.get_ref()
                    ),
                )),
                (first, second) => Ok(PageSpec::Pair(first, Some(second))),
            },
            _ => Err(self.error(
                Some(page.span()),
                format!(
                    "{key}: {:?}, expected one symbol, two with a space between them, or \"link\"",
                    page.get_ref()
                ),
            )),
        }
    }

    /// Returns the index of a symbol on the watchlist; `at` is the position for the error message.
    pub(super) fn place(
        &self,
        word: &str,
        at: &Spanned<String>,
        key: &str,
        watchlist: &[Symbol],
    ) -> Result<usize, ConfigError> {
        let symbol: Symbol = word
            .parse()
            .map_err(|error| self.error(Some(at.span()), format!("{key}: {error}")))?;
        let place = watchlist.iter().position(|known| *known == symbol);
        place.ok_or_else(|| {
            let share_alternative = watchlist.iter().find(|known| known.name() == symbol.name());
            let message = match share_alternative {
                Some(other) => format!(
                    "{key}: {word} is not on the watchlist, but {other} is; write {other}, or add \
                     {word} to the watchlist"
                ),
                None => format!(
                    "{key}: {symbol} is not on the watchlist; add this symbol to the watchlist"
                ),
            };
            self.error(Some(at.span()), message)
        })
    }

    pub(super) fn zone(&self, name: Option<Spanned<String>>) -> Result<TimeZone, ConfigError> {
        let Some(name) = name else {
            return Ok(TimeZone::system());
        };
        TimeZone::get(name.get_ref()).map_err(|_| {
            let message = match jiff::tz::db().is_definitively_empty() {
                true => "time_zone: this machine has no time zone data; install the package tzdata"
                    .to_owned(),
                false => format!(
                    "time_zone: {:?} is unknown, expected a name like \"Europe/Berlin\" or \
                     \"America/New_York\"",
                    name.get_ref()
                ),
            };
            self.error(Some(name.span()), message)
        })
    }

    /// Reads the format of the clock; returns true for twelve hours.
    pub(super) fn twelve_hours(&self, clock: Option<Spanned<String>>) -> Result<bool, ConfigError> {
        let Some(clock) = clock else { return Ok(false) };
        match clock.get_ref().as_str() {
            "24h" => Ok(false),
            "12h" => Ok(true),
            other => Err(self.error(
                Some(clock.span()),
                format!("clock: {other:?}, expected \"24h\" or \"12h\""),
            )),
        }
    }

    pub(super) fn numbers(
        &self,
        numbers: Option<Spanned<String>>,
    ) -> Result<NumberFormat, ConfigError> {
        let Some(numbers) = numbers else {
            return Ok(NumberFormat::default());
        };
        let written = |(text, ..): &&(&str, _, _)| text == numbers.get_ref();
        match NUMBERS.iter().find(written) {
            Some((_, group, point)) => Ok(NumberFormat {
                group: *group,
                point: *point,
            }),
            None => {
                let known = NUMBERS.map(|(text, ..)| format!("{text:?}")).join(", ");
                let message = format!("numbers: {:?}, expected one of {known}", numbers.get_ref());
                Err(self.error(Some(numbers.span()), message))
            }
        }
    }
}

/// Returns a page in the form of the configuration file, in quotes.
fn name(page_spec: PageSpec, watchlist: &[Symbol]) -> String {
    let symbol = |place: usize| {
        watchlist
            .get(place)
            .map(Symbol::to_string)
            .unwrap_or_default()
    };
    match page_spec {
        PageSpec::Pair(first, Some(second)) => format!("\"{} {}\"", symbol(first), symbol(second)),
        PageSpec::Pair(only, None) | PageSpec::Big(only) | PageSpec::Contract(only) => {
            format!("{:?}", symbol(only))
        }
        PageSpec::Link => "\"link\"".to_owned(),
    }
}
