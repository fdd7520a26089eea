//! The content and the format of the display in the configuration: the watchlist, the pages, the
//! clock and the number format.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::tz::TimeZone;
use toml::Spanned;

use super::reader::number;
use super::settings::{PageSpec, TickerSettings};
use super::{ConfigReader, ConfigTable, Mistake, nearest};
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

/// The usual abbreviations of time zones, and the names that they mean in the zone database.
const ABBREVIATIONS: [(&str, &str); 15] = [
    ("EST", "America/New_York"),
    ("EDT", "America/New_York"),
    ("ET", "America/New_York"),
    ("CST", "America/Chicago"),
    ("CDT", "America/Chicago"),
    ("MST", "America/Denver"),
    ("MDT", "America/Denver"),
    ("PST", "America/Los_Angeles"),
    ("PDT", "America/Los_Angeles"),
    ("BST", "Europe/London"),
    ("CEST", "Europe/Berlin"),
    ("JST", "Asia/Tokyo"),
    ("HKT", "Asia/Hong_Kong"),
    ("SGT", "Asia/Singapore"),
    ("AEST", "Australia/Sydney"),
];

impl ConfigReader<'_> {
    /// Reads the watchlist. Returns the symbols and the line of each symbol; there are no lines for
    /// the default watchlist, and no symbols for a wrong list. `named` is true if the file contains
    /// a list, even with a wrong value.
    pub(super) fn watchlist(
        &self,
        entries: Option<Spanned<Vec<Spanned<String>>>>,
        named: bool,
    ) -> (Vec<Symbol>, Vec<usize>) {
        let mut symbols: Vec<Symbol> = Vec::new();
        let Some(entries) = entries else {
            let default = ["SPX", "VIX"].into_iter().filter(|_| !named);
            symbols.extend(default.flat_map(str::parse));
            return (symbols, Vec::new());
        };
        let mut lines = Vec::new();
        // The position of the end of the previous symbol.
        let mut end = 0;
        for entry in entries.get_ref() {
            let before = std::mem::replace(&mut end, entry.span().end);
            let Some(symbol) = self.item("watchlist", entry, symbol) else {
                continue;
            };
            if symbols.contains(&symbol) {
                let mut mistake = Mistake::from(format!(
                    "{symbol} is in the list twice; remove one of the two"
                ));
                let mut span = entry.span();
                if self.line(&(before..before)) == self.line(&span) {
                    (mistake, span) = (Mistake::with(mistake.reason(), ""), before..end);
                }
                self.mistake("watchlist", span, mistake);
                continue;
            }
            for text in other_meanings(&symbol, entry.get_ref()) {
                self.warn(&entry.span(), format!("watchlist: {text}"));
            }
            symbols.push(symbol);
            lines.push(self.line(&entry.span()));
        }
        // The loop above reports duplicates with their line. The remaining errors concern the whole
        // list.
        let list = match symbols.len() == entries.get_ref().len() {
            true => self.read("watchlist", &entries, |_: &Vec<_>| {
                Watchlist::new(&symbols).map_err(|error| error.to_string())
            }),
            false => None,
        };
        if list.is_none() {
            symbols.clear();
        }
        (symbols, lines)
    }

    /// Reads the pages into `settings`, which already contain the watchlist. `lines` are the lines
    /// of its symbols.
    pub(super) fn pages(
        &self,
        mut table: ConfigTable<'_, '_>,
        settings: &mut TickerSettings,
        lines: &[usize],
    ) {
        let (interval, show, pin) = (
            table.whole("interval"),
            table.list("show"),
            table.text("pin"),
        );
        table.finish();
        self.set(
            &mut settings.interval,
            "interval",
            &interval,
            |value: &i64| seconds(*value, 3..=3600, "3 to 3600 seconds"),
        );
        // A wrong watchlist would cause an error for each page.
        if settings.watchlist.is_empty() {
            return;
        }
        if let Some(show) = &show {
            for page in show.get_ref() {
                let read = |page: &str| page_spec(page, &settings.watchlist);
                // "SPX, VIX" can be one page or two.
                let several = page.get_ref().contains(", ") && page.get_ref().contains("link");
                let page = match several || page.get_ref().split(' ').count() > 2 {
                    true => self.item("show", page, read),
                    false => self.read("show", page, read),
                };
                settings.pages.extend(page);
            }
            if show.get_ref().is_empty() {
                let reason = "the list is empty, expected pages, like [\"SPX VIX\", \"link\"]; \
                              without this line the default pages are shown";
                self.mistake("show", show.span(), reason);
            }
            let shown = |place| settings.pages.iter().any(|page| page.shows(place));
            let hidden = settings.watchlist.iter().zip(lines).enumerate();
            let hidden = hidden.filter(|(place, _)| !shown(*place));
            for (_, (symbol, line)) in hidden {
                let text = format!("show: no page shows {symbol} (line {line}); add it to a page");
                self.warn(&show.span(), text);
            }
        }
        if let Some(pin) = &pin {
            settings.pin = self.read("pin", pin, |page| page_place(page, settings));
        }
    }
}

/// Parses a symbol of the watchlist.
fn symbol(text: &str) -> Result<Symbol, Mistake> {
    text.parse().map_err(|error: SymbolError| {
        let good = |meant: &String| {
            let symbol = meant.parse::<Symbol>();
            symbol.is_ok_and(|symbol| symbol.doubt().is_none())
        };
        if let Some(meant) = error.meant().filter(good) {
            return Mistake::with(error.to_string(), format!("\"{meant}\""));
        }
        // A word of one or two letters is most likely a part of a code of another vendor, such as
        // the exchange in "SAP GR".
        let words: Vec<&str> = text.split_whitespace().collect();
        let is_symbol = |word: &&str| {
            let company = ["INC", "CORP", "LTD", "PLC", "ETF", "FUND", "CASH", "SPOT"];
            (3..=5).contains(&word.len())
                && !company.contains(word)
                && word.parse::<Symbol>().is_ok()
        };
        match words.len() > 1 && words.iter().all(is_symbol) {
            true => Mistake::items(
                format!("{text:?}, expected one symbol in each pair of quotes"),
                &words,
            ),
            false => error.to_string().into(),
        }
    })
}

/// Returns the warnings for a symbol that can also mean something else.
fn other_meanings(symbol: &Symbol, text: &str) -> Vec<String> {
    let plain = !text.contains(':');
    let other_form = !symbol.ticker().eq_ignore_ascii_case(text.trim());
    let contract = symbol.class() == AssetClass::Option && other_form;
    let share = symbol.share_alternative().filter(|_| plain);
    let warnings = [
        contract.then(|| format!("{text:?} is taken as the contract \"{symbol}\"")),
        share.map(|share| format!("{symbol} means the index; write {share} for the share")),
        symbol
            .doubt()
            .filter(|_| plain || symbol.class() != AssetClass::Equity),
    ];
    warnings.into_iter().flatten().collect()
}

/// Reads a duration in whole seconds; `expected` describes the range for the error message.
pub(super) fn seconds(
    value: i64,
    range: RangeInclusive<u64>,
    expected: &str,
) -> Result<Duration, String> {
    number(value, range, expected).map(Duration::from_secs)
}

fn page_spec(page: &str, watchlist: &[Symbol]) -> Result<PageSpec, Mistake> {
    let place = |word| place(word, watchlist);
    let form = || {
        format!("{page:?}, expected one symbol, two with a space between them, or \"link\"").into()
    };
    if page.contains(',') {
        return Err(form());
    }
    match page.split_whitespace().collect::<Vec<_>>()[..] {
        ["link"] => Ok(PageSpec::Link),
        [only] => place(only).map(|place| match watchlist[place].class() {
            AssetClass::Option => PageSpec::Contract(place),
            _ => PageSpec::Big(place),
        }),
        [first, second] => match (place(first)?, place(second)?) {
            (first, second) if first == second => {
                Err(format!("{page:?}, expected two different symbols").into())
            }
            (first, second) => Ok(PageSpec::Pair(first, Some(second))),
        },
        _ => Err(form()),
    }
}

/// Returns the index of a page among the pages of the settings.
fn page_place(page: &str, settings: &TickerSettings) -> Result<usize, Mistake> {
    let wanted = page_spec(page, &settings.watchlist)?;
    let page_specs = settings.page_specs();
    let place = page_specs.iter().position(|known| match (*known, wanted) {
        // With an odd number of instruments, the last instrument is alone on its page.
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
        format!("{page:?} is not a page, expected one of {names}").into()
    })
}

/// Returns the index of a symbol on the watchlist.
pub(super) fn place(word: &str, watchlist: &[Symbol]) -> Result<usize, Mistake> {
    let known = |symbol: &Symbol| watchlist.iter().position(|known| known == symbol);
    let names: Vec<String> = watchlist.iter().map(Symbol::to_string).collect();
    let near = || nearest(word, names.iter().map(String::as_str));
    let symbol: Symbol = match word.parse() {
        Ok(symbol) => symbol,
        Err(error) => {
            let error: SymbolError = error;
            return Err(error.to_string().into());
        }
    };
    if let Some(place) = known(&symbol) {
        return Ok(place);
    }
    let share_alternative = watchlist.iter().find(|known| known.name() == symbol.name());
    Err(match (share_alternative, near()) {
        (Some(other), _) => format!(
            "{word} is not on the watchlist, but {other} is; write {other}, or add {word} to the \
             watchlist"
        ),
        (None, Some(near)) => format!(
            "{symbol} is not on the watchlist; did you mean {near}? Otherwise add this symbol to \
             the watchlist"
        ),
        (None, None) => {
            format!("{symbol} is not on the watchlist; add this symbol to the watchlist")
        }
    }
    .into())
}

pub(super) fn zone(name: &str) -> Result<TimeZone, Mistake> {
    let name = name.trim();
    let mut abbreviations = ABBREVIATIONS.into_iter();
    if let Some((_, meant)) = abbreviations.find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        let reason =
            format!("{name:?} has no daylight saving time, or is unknown; expected a place");
        return Err(Mistake::with(reason, format!("\"{meant}\"")));
    }
    TimeZone::get(name).map_err(|_| {
        if jiff::tz::db().is_definitively_empty() {
            return "this machine has no time zone data; install the package tzdata".into();
        }
        let reason = format!(
            "{name:?} is unknown, expected a name like \"Europe/Berlin\" or \"America/New_York\""
        );
        if let Some(meant) = fixed_offset(name) {
            let reason = format!(
                "{name:?} is no time zone; a place, like \"Europe/Berlin\", also has daylight saving \
                 time"
            );
            return match meant {
                Some(zone) => Mistake::with(reason, format!("\"{zone}\"")),
                None => reason.into(),
            };
        }
        let zones = jiff::tz::db().available();
        let known: Vec<String> = zones.map(|zone| zone.to_string()).collect();
        let city = name.replace(' ', "_");
        let same = |place: &str| place.eq_ignore_ascii_case(&city);
        let is_city = |zone: &&String| {
            same(zone) || zone.rsplit_once('/').is_some_and(|(_, place)| same(place))
        };
        let cities: Vec<&String> = known.iter().filter(is_city).collect();
        // A short name, such as MEZ or IST, resembles names of other places.
        let long = || city.len() > 5 && city.contains('/');
        let near = || nearest(&city, known.iter().map(String::as_str)).filter(|_| long());
        match (cities.as_slice(), near()) {
            ([only], _) => Mistake::with(reason, format!("\"{only}\"")),
            ([], Some(near)) => Mistake::with(reason, format!("\"{near}\"")),
            _ => reason.into(),
        }
    })
}

/// Reads a difference from UTC: `UTC+2`, `GMT-5`, `+02:00`, `Z`. Returns its name in the zone
/// database, if there is one. `None` if the text is no difference.
fn fixed_offset(text: &str) -> Option<Option<String>> {
    let upper = text.to_ascii_uppercase();
    let rest = upper.strip_prefix("UTC").or(upper.strip_prefix("GMT"));
    let rest = rest.unwrap_or(&upper).trim_start();
    if upper == "Z" {
        return Some(Some("UTC".to_owned()));
    }
    let digits = rest.strip_prefix(['+', '-', '−'])?;
    let hours = digits.strip_suffix(":00").or(digits.strip_suffix("00"));
    let hours = hours.filter(|hours| hours.len() == 2).unwrap_or(digits);
    // The sign of these names is reversed: Etc/GMT-1 is one hour ahead of UTC.
    Some(match (hours.parse::<u8>(), rest.starts_with('+')) {
        (Ok(0), _) => Some("UTC".to_owned()),
        (Ok(hours @ 1..=14), true) => Some(format!("Etc/GMT-{hours}")),
        (Ok(hours @ 1..=12), false) => Some(format!("Etc/GMT+{hours}")),
        _ => None,
    })
}

/// Reads the format of the clock; returns true for twelve hours.
pub(super) fn twelve_hours(clock: &str) -> Result<bool, String> {
    match clock.trim().trim_end_matches(['h', 'H']).trim_end() {
        "24" => Ok(false),
        "12" => Ok(true),
        _ => Err(format!("{clock:?}, expected \"24h\" or \"12h\"")),
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
