//! Converts the vendor's snapshot to the rows of `/api/quotes`. These rows have the fields of the
//! existing proxy and some additional fields. Pure: this module does no I/O.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::cache::{AnswerInfo, CachedAnswer};
use crate::market::{AssetClass, Calendar, Price, Symbol};
use crate::massive::instrument_snapshot::InstrumentSnapshot;
use crate::massive::snapshot::{self, Greeks};
use crate::time::{Now, Utc};

/// The lifetime of quotes while a market is open.
const TTL: Duration = Duration::from_secs(2);
/// The lifetime of quotes while all markets are closed.
const TTL_CLOSED: Duration = Duration::from_secs(30);
/// The lifetime of a market status.
const STATUS_TTL: Duration = Duration::from_secs(60);
/// One symbol for each set of trading hours in a market status.
const STATUS_OF: [&str; 3] = ["SPX", "VIX", "SPY"];

/// A ticker as the client wrote it, and its symbol; `None` if the ticker is invalid.
#[derive(Debug)]
pub(crate) struct RequestedTicker<'a> {
    text: &'a str,
    symbol: Option<Symbol>,
}

impl<'a> RequestedTicker<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let symbol = text.parse().ok();
        Self { text, symbol }
    }

    /// Returns the vendor's form of the ticker; `None` if the ticker is invalid.
    pub(crate) fn ticker(&self) -> Option<&str> {
        self.symbol.as_ref().map(Symbol::ticker)
    }
}

#[derive(Serialize)]
struct QuotesBody {
    results: Vec<QuoteRow>,
    /// The age of the oldest response, in seconds with three decimals.
    age: f64,
    #[serde(skip_serializing_if = "is_false")]
    stale: bool,
    #[serde(skip_serializing_if = "is_false")]
    simulated: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// A row of the response. In the fields up to `source`, zero means that there is no data, as in the
/// proxy. The later fields do not exist in the proxy; an unknown value is absent there.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct QuoteRow {
    symbol: String,
    last: f64,
    change: f64,
    change_percent: f64,
    as_of: i64,
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_close: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    market_status: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    delayed: bool,
    /// True if `last` is the closing price of its session.
    #[serde(skip_serializing_if = "is_false")]
    is_close: bool,
    /// The reason why the vendor serves no data for this ticker: `NOT_ENTITLED` or `NOT_FOUND`.
    #[serde(skip_serializing_if = "Option::is_none")]
    denial: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    day_low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    day_high: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volume: Option<f64>,
    /// The bid; zero if there is no buyer.
    #[serde(skip_serializing_if = "Option::is_none")]
    bid: Option<f64>,
    /// The ask; zero if there is no seller.
    #[serde(skip_serializing_if = "Option::is_none")]
    ask: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bid_size: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ask_size: Option<f64>,
    /// The time of `bid` and `ask`: a Unix timestamp in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    quoted_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_trade: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_trade_size: Option<f64>,
    /// The time of the last trade: a Unix timestamp in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_trade_at: Option<i64>,
    /// This field and the fields below it have no timestamp. Their age is the age of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    implied_volatility: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open_interest: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    greeks: Option<Greeks>,
}

/// Returns the properties of a new response for these symbols; `None` if the body is not a
/// snapshot.
pub(crate) fn known(
    body: &[u8],
    requested: &[RequestedTicker<'_>],
    calendar: &Calendar,
    now: Now,
) -> Option<AnswerInfo> {
    let snapshot = snapshot::read(body).ok()?;
    let closed =
        !snapshot.rows.is_empty() && snapshot.rows.iter().all(snapshot::SnapshotRow::is_closed);
    let symbols = || {
        requested
            .iter()
            .filter_map(|requested| requested.symbol.as_ref())
    };
    let ttl = match next_open(symbols(), calendar, now) {
        // By the calendar one of the markets is open, so the next response may show the open
        // market.
        Some(Duration::ZERO) => TTL,
        Some(left) if closed => TTL_CLOSED.min(left),
        _ => TTL,
    };
    Some(AnswerInfo {
        ttl,
        simulated: snapshot.simulated,
    })
}

/// Returns the time until the first of these markets opens: zero if one is open; `None` while the
/// wall clock is unknown.
fn next_open<'a>(
    symbols: impl Iterator<Item = &'a Symbol>,
    calendar: &Calendar,
    now: Now,
) -> Option<Duration> {
    let utc = now.utc?;
    let left = symbols.map(|symbol| match calendar.phase(symbol, utc) {
        phase if phase.is_open() => Duration::ZERO,
        phase => phase.until.since(utc),
    });
    Some(left.min().unwrap_or_default())
}

/// Returns the body of `/api/quotes`: one row for each requested ticker, in the order of the
/// request.
pub(crate) fn body(
    requested: &[RequestedTicker<'_>],
    answers: &[CachedAnswer],
) -> Result<String, serde_json::Error> {
    let mut known = HashMap::new();
    let mut simulated = false;
    for answer in answers {
        let snapshot = snapshot::read(&answer.body)?;
        simulated |= snapshot.simulated;
        for row in snapshot.rows {
            known.insert(row.ticker.clone(), row);
        }
    }
    // The body has only one age for all rows, so it contains the age of the oldest response.
    let age = answers.iter().map(|answer| answer.age).max();
    let body = QuotesBody {
        results: requested
            .iter()
            .map(|requested| {
                QuoteRow::new(
                    requested,
                    requested.ticker().and_then(|ticker| known.get(ticker)),
                )
            })
            .collect(),
        age: seconds(age.unwrap_or_default()),
        stale: answers.iter().any(|answer| answer.stale),
        simulated,
    };
    serde_json::to_string(&body)
}

/// Converts an age to seconds, rounded down to whole milliseconds.
fn seconds(age: Duration) -> f64 {
    age.as_millis() as f64 / 1e3
}

impl QuoteRow {
    fn new(requested: &RequestedTicker<'_>, known: Option<&snapshot::SnapshotRow>) -> Self {
        let none = |source| QuoteRow {
            symbol: requested.text.to_owned(),
            source,
            ..QuoteRow::default()
        };
        let Some(symbol) = &requested.symbol else {
            return none("error");
        };
        let Some(known) = known else {
            // The vendor's response has no row for this ticker.
            return none("none");
        };
        if let Some(error) = known.error.as_deref() {
            let words = ["NOT_ENTITLED", "NOT_FOUND"];
            return QuoteRow {
                denial: words.into_iter().find(|word| *word == error),
                ..none("error")
            };
        }
        let Some(seed) = known.seed() else {
            return none("none");
        };
        let (low, high) = seed.day.range.unzip();
        let mut row = QuoteRow {
            symbol: match symbol.class() {
                // This form marks a share that has the name of an index, for example `stock:COMP`.
                AssetClass::Equity => symbol.to_string(),
                AssetClass::Index | AssetClass::Option => symbol.ticker().to_owned(),
            },
            source: "none",
            previous_close: known.previous_close().map(Price::as_f64),
            market_status: known.market_status.clone(),
            delayed: seed.delayed,
            is_close: seed.is_close,
            day_low: low.map(Price::as_f64),
            day_high: high.map(Price::as_f64),
            volume: seed.day.volume.map(|volume| volume as f64),
            ..QuoteRow::default()
        };
        row.market(&seed);
        if symbol.class() == AssetClass::Option {
            row.contract(known);
        }
        let Some(last) = seed.price else {
            return row;
        };
        row.last = last.as_f64();
        row.source = match symbol.class() {
            AssetClass::Index if known.value(symbol).is_some() => "indices",
            AssetClass::Index => "indices-fallback",
            AssetClass::Equity => "stocks",
            AssetClass::Option => "options",
        };
        // The proxy sends milliseconds for indices and nanoseconds for all other instruments.
        row.as_of = match symbol.class() {
            AssetClass::Index => seed.stamp.map_or(0, |stamp| stamp.0),
            _ => nanos(seed.stamp).unwrap_or(0),
        };
        if let Some(close) = known.previous_close() {
            let change = Price::from_scaled(last.scaled() - close.scaled());
            row.change = change.as_f64();
            let percent = change.as_f64() / close.as_f64() * 100.0;
            row.change_percent = (percent * 1e4).round() / 1e4;
        }
        row
    }

    /// Sets the best bid and ask, and the last trade.
    fn market(&mut self, seed: &InstrumentSnapshot) {
        if let Some(book) = &seed.book {
            self.bid = Some(book.bid.as_f64());
            self.ask = Some(book.ask.as_f64());
            (self.bid_size, self.ask_size) = (size(book.bid_size), size(book.ask_size));
            self.quoted_at = nanos(seed.book_stamp);
        }
        if let Some((trade, stamp)) = seed.trade {
            self.last_trade = Some(trade.price.as_f64());
            self.last_trade_size = size(trade.size);
            self.last_trade_at = nanos(stamp);
        }
    }

    /// Sets the fields that only option contracts have.
    fn contract(&mut self, known: &snapshot::SnapshotRow) {
        self.implied_volatility = known.implied_volatility;
        self.open_interest = known.open_interest;
        // A contract that is deep in the money has an empty object here.
        self.greeks = known
            .greeks
            .clone()
            .filter(|greeks| *greeks != Greeks::default());
    }
}

/// Converts a size. Returns `None` for zero, because zero means that the size is unknown.
fn size(size: u32) -> Option<f64> {
    (size > 0).then(|| size.into())
}

fn nanos(stamp: Option<Utc>) -> Option<i64> {
    Some(stamp?.0.saturating_mul(1_000_000))
}

/// Returns the properties of a new market status; `None` if the body is not a market status.
pub(crate) fn known_status(body: &[u8], calendar: &Calendar, now: Now) -> Option<AnswerInfo> {
    let status = status(body).ok()?;
    let symbols: Vec<Symbol> = STATUS_OF.iter().flat_map(|name| name.parse()).collect();
    let left = now.utc.and_then(|utc| {
        let ends = symbols
            .iter()
            .map(|symbol| calendar.phase(symbol, utc).until);
        let left = ends.map(|end| end.0.saturating_sub(utc.0)).min()?;
        u64::try_from(left).ok()
    });
    Some(AnswerInfo {
        ttl: STATUS_TTL.min(Duration::from_millis(left.unwrap_or(u64::MAX))),
        simulated: status.get("simulated") == Some(&Value::Bool(true)),
    })
}

/// Reads the vendor's market status, with all its fields.
fn status(body: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    serde_json::from_slice(body)
}

/// Returns the market status with its age, and with `stale` if no newer response is available.
pub(crate) fn aged_status(answer: &CachedAnswer) -> Result<String, serde_json::Error> {
    let mut status = status(&answer.body)?;
    status.insert("age".into(), seconds(answer.age).into());
    if answer.stale {
        status.insert("stale".into(), true.into());
    }
    serde_json::to_string(&status)
}

#[cfg(test)]
#[path = "tests/quote_rows.rs"]
mod tests;
