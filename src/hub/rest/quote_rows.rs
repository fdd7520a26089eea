//! Converts the vendor's snapshot to the rows of `/api/quotes`. These rows have the fields of the
//! existing proxy and some additional fields. Pure: this module does no I/O.

use std::time::Duration;

use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::{Map, Number, Value, json};

use super::cache::{AnswerInfo, CachedAnswer, QuotesError};
use crate::market::{AssetClass, Calendar, Price, Symbol, Ticker};
use crate::massive::instrument_snapshot::InstrumentSnapshot;
use crate::massive::quotes::{NO_ANSWER, QuoteRow, QuotesBody, TOO_MANY_TICKERS};
use crate::massive::snapshot::{Greeks, SnapshotBody, SnapshotRow};
use crate::massive::{self, UnreadableRows, printable};
use crate::net::failure::Failure;
use crate::time::{Now, Utc};

/// The lifetime of quotes while a market is open.
pub(super) const TTL: Duration = Duration::from_secs(2);
/// The lifetime of quotes while their market is closed.
const TTL_CLOSED: Duration = Duration::from_secs(30);
/// The lifetime of a market status.
const STATUS_TTL: Duration = Duration::from_secs(60);
/// One symbol for each set of trading hours in a market status.
const STATUS_OF: [&str; 3] = ["SPX", "VIX", "SPY"];

/// The tickers of a request for quotes, as the client wrote them. A ticker without a symbol is
/// invalid.
#[derive(Debug)]
pub struct QuoteRequest<'a> {
    tickers: Vec<(&'a str, Option<Symbol>)>,
    /// True if the client expects zero in place of a missing number, as from the existing proxy.
    has_zeros: bool,
}

impl<'a> QuoteRequest<'a> {
    /// Parses the tickers of a request. With `has_zeros`, each row has the form of the existing
    /// proxy: zero in place of a missing number, and no error.
    pub fn new(tickers: &[&'a str], has_zeros: bool) -> Self {
        let tickers = tickers.iter().map(|text| (*text, text.parse().ok()));
        Self {
            tickers: tickers.collect(),
            has_zeros,
        }
    }

    /// Returns the symbols of the valid tickers, in the order of the request.
    pub(super) fn symbols(&self) -> impl Iterator<Item = &Symbol> {
        self.tickers
            .iter()
            .filter_map(|(_, symbol)| symbol.as_ref())
    }
}

/// The reason why the hub has no row for a ticker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RowFailure {
    /// The device has already requested this number of other tickers, which is its limit.
    TooManyTickers(usize),
    /// The vendor gives no usable response.
    Vendor(QuotesError),
}

impl RowFailure {
    /// Returns the error word and the message for the row.
    pub(super) fn words(&self) -> (&'static str, String) {
        match self {
            RowFailure::TooManyTickers(most) => (
                TOO_MANY_TICKERS,
                format!(
                    "this device has asked for {most} other tickers within ten minutes (see \
                     limits.device_tickers in the settings of the hub)"
                ),
            ),
            RowFailure::Vendor(error) if error.reason == Failure::Plan => {
                ("NOT_ENTITLED", error.reason.to_string())
            }
            RowFailure::Vendor(error) if error.reason == Failure::Limit => {
                (TOO_MANY_TICKERS, error.reason.to_string())
            }
            RowFailure::Vendor(error) => (NO_ANSWER, error.reason.to_string()),
        }
    }
}

/// A row of the vendor's response, ready for the cache.
pub(super) struct NewRow {
    pub(super) ticker: Ticker,
    pub(super) body: Bytes,
    pub(super) known: AnswerInfo,
    /// The reason why a vendor that is a hub has no row for the ticker. The row then contains no
    /// data and replaces no other row.
    pub(super) refused: Option<Failure>,
}

/// Reads a snapshot response to a request for these tickers, and returns one row for each ticker. If
/// the response has no readable row for a ticker, the row contains an error. Also returns the
/// tickers whose rows cannot be read. Returns `None` if the body is not a snapshot.
pub(super) fn read(
    body: &[u8],
    batch: &[Ticker],
    calendar: &Calendar,
    now: Now,
) -> Option<(Vec<NewRow>, UnreadableRows)> {
    let body: SnapshotBody = massive::body(body)
        .inspect_err(|error| log::debug!("cannot parse the quotes response: {error}"))
        .ok()?;
    let mut unreadable = UnreadableRows::new();
    let row = |ticker: &Ticker| {
        let found = body
            .results
            .iter()
            .find(|row| row["ticker"] == ticker.as_str());
        let failed = |word: &str, message: &str| {
            let row = json!({ "ticker": ticker.as_str(), "error": word, "message": message });
            (row, None)
        };
        let (json, row) = match found.map(|row| (row, SnapshotRow::deserialize(row))) {
            Some((json, Ok(row))) => (json.clone(), Some(row)),
            Some((_, Err(error))) => {
                unreadable.push((ticker.clone(), printable(&error.to_string())));
                failed("UNREADABLE", "the row of the vendor cannot be read")
            }
            None => failed("NO_DATA", "the vendor has no data for this ticker"),
        };
        let row = row.as_ref();
        NewRow {
            ticker: ticker.clone(),
            refused: match row.and_then(|row| row.error.as_deref()) {
                Some(NO_ANSWER) => Some(Failure::HubUpstream),
                Some(TOO_MANY_TICKERS) => Some(Failure::Limit),
                _ => None,
            },
            known: AnswerInfo {
                ttl: row.map_or(TTL, |row| ttl(row, calendar, now)),
                simulated: match body.simulated || row.is_some_and(|row| row.simulated) {
                    true => Some(true),
                    false => row.filter(|row| row.error.is_none()).map(|_| false),
                },
                age: row.map(SnapshotRow::age).unwrap_or_default(),
                stale: row.is_some_and(|row| row.stale),
            },
            body: json.to_string().into(),
        }
    };
    let rows = batch.iter().map(row).collect();
    Some((rows, unreadable))
}

/// Returns the lifetime of a row.
fn ttl(row: &SnapshotRow, calendar: &Calendar, now: Now) -> Duration {
    let opens_in = || {
        let (symbol, utc) = (Symbol::from_ticker(&row.ticker)?, now.utc?);
        let phase = calendar.phase(&symbol, utc);
        (!phase.is_open()).then(|| phase.until.since(utc))
    };
    match opens_in() {
        Some(left) if row.is_closed() => TTL_CLOSED.min(left),
        // By the calendar the market is open, so the next response may show the open market.
        _ => TTL,
    }
}

/// Returns the body of `/api/quotes`: one row for each requested ticker, in the order of the
/// request. `rows` are the rows of the valid tickers. `simulated` is true for rows without data, if
/// the other prices of the vendor are simulated.
pub(super) fn body(
    request: &QuoteRequest<'_>,
    rows: Vec<Result<CachedAnswer, RowFailure>>,
    simulated: bool,
) -> String {
    let mut rows = rows.into_iter();
    let results = request.tickers.iter().map(|(text, symbol)| {
        let found = symbol
            .as_ref()
            .and_then(|symbol| Some((symbol, rows.next()?)));
        let mut row = match found {
            None => error_row(
                text,
                "INVALID_TICKER",
                "the text is no ticker: write for example SPX, SPY or O:SPY251219C00650000",
            ),
            Some((_, Err(failure))) => {
                let (word, message) = failure.words();
                error_row(text, word, &message)
            }
            Some((symbol, Ok(answer))) => row(text, symbol, &answer),
        };
        row.simulated |= simulated;
        if request.has_zeros {
            row.fill_with_zeros();
        }
        row
    });
    let body = QuotesBody {
        results: results.collect(),
    };
    // The serialization of these fields cannot fail.
    serde_json::to_string(&body).unwrap_or_default()
}

fn error_row(symbol: &str, word: &str, message: &str) -> QuoteRow {
    let source = match word {
        "NO_DATA" | "UNREADABLE" => "none",
        _ => "error",
    };
    QuoteRow {
        symbol: symbol.to_owned(),
        source: Some(source.to_owned()),
        error: Some(word.to_owned()),
        message: Some(message.to_owned()),
        age: 0.into(),
        ..QuoteRow::default()
    }
}

impl QuoteRow {
    /// Gives the row the form of the existing proxy.
    fn fill_with_zeros(&mut self) {
        self.last.get_or_insert_default();
        self.change.get_or_insert_default();
        self.change_percent.get_or_insert_default();
        self.as_of.get_or_insert(0.into());
        (self.error, self.message) = (None, None);
    }
}

/// Converts an age to seconds, rounded down to whole milliseconds.
pub(super) fn seconds(age: Duration) -> f64 {
    age.as_millis() as f64 / 1e3
}

/// Returns the row of a symbol. `text` is the ticker as the client wrote it.
fn row(text: &str, symbol: &Symbol, answer: &CachedAnswer) -> QuoteRow {
    let known: Option<SnapshotRow> = serde_json::from_slice(&answer.body).ok();
    let mut row = match &known {
        Some(SnapshotRow {
            error: Some(error), ..
        }) => {
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let message = body["message"].as_str().unwrap_or(error);
            error_row(text, &printable(error), &printable(message))
        }
        Some(known) => known
            .seed()
            .map(|seed| data_row(symbol, known, &seed))
            .unwrap_or_else(|| error_row(text, "NO_DATA", "the row of the vendor has no data")),
        None => error_row(text, "UNREADABLE", "the row of the vendor cannot be read"),
    };
    row.age = seconds(answer.age).into();
    (row.stale, row.simulated) = (answer.stale, answer.simulated);
    row
}

fn data_row(symbol: &Symbol, known: &SnapshotRow, seed: &InstrumentSnapshot) -> QuoteRow {
    let class = symbol.class();
    let close = known.previous_close();
    let change = seed
        .price
        .zip(close)
        .map(|(last, close)| Price::from_scaled(last.scaled() - close.scaled()).as_f64());
    let percent = change
        .zip(close)
        .map(|(change, close)| change / close.as_f64() * 100.0);
    let stamp = seed.price.and(seed.stamp);
    let (low, high) = seed.day.range.unzip();
    let (trade, traded_at) = seed.trade.unzip();
    let contract = (class == AssetClass::Option).then_some(known);
    QuoteRow {
        symbol: match class {
            // This form marks a share that has the name of an index, for example `stock:COMP`.
            AssetClass::Equity => symbol.to_string(),
            AssetClass::Index | AssetClass::Option => symbol.ticker().to_owned(),
        },
        last: seed.price.map(Price::as_f64),
        change,
        change_percent: percent.map(|percent| (percent * 1e4).round() / 1e4),
        // The proxy sends milliseconds for indices and nanoseconds for all other instruments.
        as_of: match class {
            AssetClass::Index => stamp.map(|stamp| stamp.0.into()),
            AssetClass::Equity | AssetClass::Option => nanos(stamp),
        },
        source: match class {
            _ if seed.price.is_none() => Some("none".into()),
            AssetClass::Index if known.value(symbol).is_some() => Some("indices".into()),
            AssetClass::Index => Some("indices-fallback".into()),
            AssetClass::Equity => Some("stocks".into()),
            AssetClass::Option => Some("options".into()),
        },
        previous_close: close.map(Price::as_f64),
        market_status: known.market_status.clone(),
        delayed: seed.delayed,
        is_close: seed.is_close,
        day_low: low.map(Price::as_f64),
        day_high: high.map(Price::as_f64),
        volume: seed.day.volume.map(|volume| volume as f64),
        bid: seed.book.map(|book| book.bid.as_f64()),
        ask: seed.book.map(|book| book.ask.as_f64()),
        bid_size: seed.book.and_then(|book| size(book.bid_size)),
        ask_size: seed.book.and_then(|book| size(book.ask_size)),
        quoted_at: nanos(seed.book_stamp),
        last_trade: trade.map(|trade| trade.price.as_f64()),
        last_trade_size: trade.and_then(|trade| size(trade.size)),
        last_trade_at: nanos(traded_at.flatten()),
        implied_volatility: contract.and_then(|row| row.implied_volatility),
        open_interest: contract.and_then(|row| row.open_interest),
        // A contract that is deep in the money has an empty object here.
        greeks: contract
            .and_then(|row| row.greeks.clone())
            .filter(|greeks| *greeks != Greeks::default()),
        ..QuoteRow::default()
    }
}

/// Converts a size. Returns `None` for zero, because zero means that the size is unknown.
fn size(size: u32) -> Option<f64> {
    (size > 0).then(|| size.into())
}

fn nanos(stamp: Option<Utc>) -> Option<Number> {
    Some(stamp?.0.saturating_mul(1_000_000).into())
}

/// Returns the properties of a new market status; `None` if the body is not a market status.
pub(crate) fn known_status(body: &[u8], calendar: &Calendar, now: Now) -> Option<AnswerInfo> {
    let status: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let left = now.utc.and_then(|utc| {
        let symbols = STATUS_OF.iter().flat_map(|name| name.parse());
        let ends = symbols.map(|symbol: Symbol| calendar.phase(&symbol, utc).until);
        u64::try_from(ends.min()?.millis_since(utc)).ok()
    });
    let ttl = STATUS_TTL.min(Duration::from_millis(left.unwrap_or(u64::MAX)));
    Some(info(&status, ttl))
}

/// Returns the properties of a response whose vendor can be a hub.
pub(super) fn info(body: &Map<String, Value>, ttl: Duration) -> AnswerInfo {
    let is = |name| body.get(name).is_some_and(|flag| *flag == true);
    AnswerInfo {
        ttl,
        simulated: Some(is("simulated")),
        age: massive::age(body.get("age").unwrap_or(&Value::Null), is("stale")),
        stale: is("stale"),
    }
}

/// Adds the age of a response and its other properties to an object of the response.
pub(super) fn mark(object: &mut Map<String, Value>, answer: &CachedAnswer) {
    object.insert("age".into(), seconds(answer.age).into());
    object.insert("stale".into(), answer.stale.into());
    object.insert("simulated".into(), answer.simulated.into());
    let delayed = object.get("status").is_some_and(|word| *word == "DELAYED")
        || object.get("delayed").is_some_and(|flag| *flag == true);
    object.insert("delayed".into(), delayed.into());
}

/// Returns a response that is one object, with its age. Returns `None` if the response is no object.
pub(crate) fn with_age(answer: &CachedAnswer) -> Option<String> {
    let mut body: Map<String, Value> = serde_json::from_slice(&answer.body).ok()?;
    mark(&mut body, answer);
    Some(Value::Object(body).to_string())
}

#[cfg(test)]
#[path = "tests/quote_rows.rs"]
mod tests;
