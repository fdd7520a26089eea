//! The content and the format of the display in the configuration: the watchlist, the pages, the
//! clock and the number format.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Deserialize;
use toml::Spanned;

use super::settings::{PageSpec, TickerSettings};
use super::toml_reader::number;
use super::{ConfigError, ConfigReader};
use crate::market::{AssetClass, NumberFormat, Symbol, SymbolError, Watchlist};

/// The allowed number formats: an example, the thousands separator, and the decimal separator.
pub(crate) const NUMBERS: [(&str, Option<u8>, u8); 6] = [
    ("1,234.56", Some(b','), b'.'),
    ("1.234,56", Some(b'.'), b','),
    ("1 234,56", Some(b' '), b','),
    ("1'234.56", Some(b'\''), b'.'),
    ("1234.56", None, b'.'),
    ("1234,56", None, b','),
];

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
#[serde(expecting = "a table: a line [pages], and its settings below")]
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
            let symbols = ["SPX", "VIX"].into_iter().map(str::parse);
            let symbols: Result<_, SymbolError> = symbols.collect();
            let symbols = symbols.map_err(|error| self.error(None, error.to_string()))?;
            return Ok((symbols, Vec::new()));
        };
        let (mut symbols, mut forms) = (Vec::new(), Vec::new());
        for entry in entries.get_ref() {
            let symbol = self.read("watchlist", entry, |text: &str| {
                let symbol: Symbol = text
                    .parse()
                    .map_err(|error: SymbolError| error.to_string())?;
                match symbols.contains(&symbol) {
                    true => Err(format!(
                        "{symbol} is in the list twice; remove one of the two"
                    )),
                    false => Ok(symbol),
                }
            })?;
            symbols.push(symbol);
            forms.push(WatchlistEntry {
                line: self.line(&entry.span()),
                prefixed: entry.get_ref().contains(':'),
            });
        }
        // The loop above reports duplicates with their line. The remaining errors concern the whole
        // list.
        self.read("watchlist", &entries, |_: &Vec<_>| Watchlist::new(&symbols))?;
        Ok((symbols, forms))
    }

    /// Reads the pages into `settings`, which already contain the watchlist.
    pub(super) fn pages(
        &self,
        table: &PagesTable,
        settings: &mut TickerSettings,
    ) -> Result<(), ConfigError> {
        let interval = &mut settings.interval;
        self.set(interval, "interval", &table.interval, |value: &i64| {
            seconds(*value, 3..=3600, "3 to 3600 seconds")
        })?;
        if let Some(show) = &table.show {
            for page in show.get_ref() {
                let page = self.read("show", page, |page| page_spec(page, &settings.watchlist))?;
                settings.pages.push(page);
            }
            if settings.pages.is_empty() {
                let reason = "show: the list is empty, expected pages, like [\"SPX VIX\", \
                              \"link\"]; without this line the default pages are shown";
                return Err(self.error(Some(show.span()), reason));
            }
        }
        if let Some(pin) = &table.pin {
            settings.pin = Some(self.read("pin", pin, |page| page_place(page, settings))?);
        }
        Ok(())
    }
}

/// Reads a duration in whole seconds; `expected` describes the range for the error message.
pub(super) fn seconds(
    value: i64,
    range: RangeInclusive<u64>,
    expected: &str,
) -> Result<Duration, String> {
    number(value, range, expected).map(Duration::from_secs)
}

fn page_spec(page: &str, watchlist: &[Symbol]) -> Result<PageSpec, String> {
    let place = |word| place(word, watchlist);
    match page.split_whitespace().collect::<Vec<_>>()[..] {
        ["link"] => Ok(PageSpec::Link),
        [only] => place(only).map(|place| match watchlist[place].class() {
            AssetClass::Option => PageSpec::Contract(place),
            _ => PageSpec::Big(place),
        }),
        [first, second] => match (place(first)?, place(second)?) {
            (first, second) if first == second => {
                Err(format!("{page:?}, expected two different symbols"))
            }
            (first, second) => Ok(PageSpec::Pair(first, Some(second))),
        },
        _ => Err(format!(
            "{page:?}, expected one symbol, two with a space between them, or \"link\""
        )),
    }
}

/// Returns the index of a page among the pages of the settings.
fn page_place(page: &str, settings: &TickerSettings) -> Result<usize, String> {
    let wanted = page_spec(page, &settings.watchlist)?;
    let page_specs = settings.page_specs();
    let place = page_specs.iter().position(|known| match (*known, wanted) {
        // With an odd number of instruments, the last one is alone on its page.
        (PageSpec::Pair(first, None), PageSpec::Big(only)) => first == only,
        (known, wanted) => known == wanted,
    });
    place.ok_or_else(|| {
        let symbol = |place: usize| &settings.watchlist[place];
        let names = page_specs.iter().map(|page| match *page {
            PageSpec::Pair(first, Some(second)) => {
                format!("\"{} {}\"", symbol(first), symbol(second))
            }
            PageSpec::Pair(only, None) | PageSpec::Big(only) | PageSpec::Contract(only) => {
                format!("\"{}\"", symbol(only))
            }
            PageSpec::Link => "\"link\"".to_owned(),
        });
        let names = names.collect::<Vec<_>>().join(", ");
        format!("{page:?} is not a page, expected one of {names}")
    })
}

/// Returns the index of a symbol on the watchlist.
pub(super) fn place(word: &str, watchlist: &[Symbol]) -> Result<usize, String> {
    let symbol: Symbol = word
        .parse()
        .map_err(|error: SymbolError| error.to_string())?;
    let place = watchlist.iter().position(|known| *known == symbol);
    place.ok_or_else(|| {
        let share_alternative = watchlist.iter().find(|known| known.name() == symbol.name());
        match share_alternative {
            Some(other) => format!(
                "{word} is not on the watchlist, but {other} is; write {other}, or add {word} to \
                 the watchlist"
            ),
            None => {
                format!("{symbol} is not on the watchlist; add this symbol to the watchlist")
            }
        }
    })
}

pub(super) fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| match jiff::tz::db().is_definitively_empty() {
        true => "this machine has no time zone data; install the package tzdata".to_owned(),
        false => format!(
            "{name:?} is unknown, expected a name like \"Europe/Berlin\" or \"America/New_York\""
        ),
    })
}

/// Reads the format of the clock; returns true for twelve hours.
pub(super) fn twelve_hours(clock: &str) -> Result<bool, String> {
    match clock {
        "24h" => Ok(false),
        "12h" => Ok(true),
        other => Err(format!("{other:?}, expected \"24h\" or \"12h\"")),
    }
}

pub(super) fn numbers(text: &str) -> Result<NumberFormat, String> {
    match NUMBERS.into_iter().find(|(example, ..)| *example == text) {
        Some((_, group, point)) => Ok(NumberFormat { group, point }),
        None => {
            let known = NUMBERS.map(|(text, ..)| format!("{text:?}")).join(", ");
            Err(format!("{text:?}, expected one of {known}"))
        }
    }
}
