//! The vendor's snapshot as the rows of `/api/quotes`, which are those of the proxy that users
//! already run, and a little more. Pure.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::cache::{AnswerInfo, CachedAnswer};
use crate::feed::InstrumentSnapshot;
use crate::market::{AssetClass, Calendar, MarketPhase, Price, Symbol};
use crate::massive::snapshot;
use crate::massive::snapshot::Greeks;
use crate::time::{Now, Utc};

/// Quotes are good this long while a market is open,
const TTL: Duration = Duration::from_secs(2);
/// and this long while all are closed.
const TTL_CLOSED: Duration = Duration::from_secs(30);
/// A market status is good this long.
const STATUS_TTL: Duration = Duration::from_secs(60);
/// One symbol of each set of hours that a market status tells of.
const STATUS_OF: [&str; 3] = ["SPX", "VIX", "SPY"];

/// A ticker as the caller wrote it, and what it means.
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

    /// As the vendor calls it; `None` if it is no ticker.
    pub(crate) fn ticker(&self) -> Option<&str> {
        self.symbol.as_ref().map(Symbol::ticker)
    }
}

#[derive(Serialize)]
struct QuotesBody {
    results: Vec<QuoteRow>,
    /// In seconds, to the millisecond.
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

/// Zero in the first fields is the proxy's "no data"; in those behind `source`, which it has not,
/// what is unknown is absent.
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
    /// `last` is the close of its session.
    #[serde(skip_serializing_if = "is_false")]
    is_close: bool,
    /// Why the vendor serves nothing of it, in its word.
    #[serde(skip_serializing_if = "Option::is_none")]
    denial: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    day_low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    day_high: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volume: Option<f64>,
    /// Zero if nobody bids.
    #[serde(skip_serializing_if = "Option::is_none")]
    bid: Option<f64>,
    /// Zero if nobody asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    ask: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bid_size: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ask_size: Option<f64>,
    /// When bid and ask were quoted, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    quoted_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_trade: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_trade_size: Option<f64>,
    /// In nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_trade_at: Option<i64>,
    /// This and what follows is as old as the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    implied_volatility: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open_interest: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    greeks: Option<Greeks>,
}

/// What there is to know of an answer about these symbols before it is kept; `None` if it is none.
pub(crate) fn known(
    body: &[u8],
    asked: &[RequestedTicker<'_>],
    calendar: &Calendar,
    now: Now,
) -> Option<AnswerInfo> {
    let snapshot = snapshot::read(body).ok()?;
    let closed =
        !snapshot.rows.is_empty() && snapshot.rows.iter().all(snapshot::SnapshotRow::is_closed);
    let symbols = || asked.iter().filter_map(|asked| asked.symbol.as_ref());
    let ttl = match next_open(symbols(), calendar, now) {
        // By the table one of them is open: the next answer may say so.
        Some(Duration::ZERO) => TTL,
        Some(left) if closed => TTL_CLOSED.min(left),
        _ => TTL,
    };
    Some(AnswerInfo {
        ttl,
        simulated: snapshot.simulated,
    })
}

/// How long it is until the first of these markets opens: nothing if one is open; `None` while
/// nobody knows the time.
fn next_open<'a>(
    symbols: impl Iterator<Item = &'a Symbol>,
    calendar: &Calendar,
    now: Now,
) -> Option<Duration> {
    let utc = now.utc?;
    let left = symbols.map(|symbol| match calendar.phase(symbol, utc) {
        MarketPhase::Open { .. } => 0,
        MarketPhase::Closed { until, .. } => until.millis_since(utc),
    });
    let left = left.min().unwrap_or_default();
    Some(Duration::from_millis(
        u64::try_from(left).unwrap_or_default(),
    ))
}

/// The body of `/api/quotes`: a row for each ticker asked, in that order.
pub(crate) fn body(
    asked: &[RequestedTicker<'_>],
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
    // The oldest of them speaks for all.
    let age = answers.iter().map(|answer| answer.age).max();
    let body = QuotesBody {
        results: asked
            .iter()
            .map(|asked| QuoteRow::new(asked, asked.ticker().and_then(|ticker| known.get(ticker))))
            .collect(),
        age: seconds(age.unwrap_or_default()),
        stale: answers.iter().any(|answer| answer.stale),
        simulated,
    };
    serde_json::to_string(&body)
}

/// Whole milliseconds, in seconds.
fn seconds(age: Duration) -> f64 {
    age.as_millis() as f64 / 1e3
}

impl QuoteRow {
    fn new(asked: &RequestedTicker<'_>, known: Option<&snapshot::SnapshotRow>) -> Self {
        let none = |source| QuoteRow {
            symbol: asked.text.to_owned(),
            source,
            ..QuoteRow::default()
        };
        let Some(symbol) = &asked.symbol else {
            return none("error");
        };
        let Some(known) = known else {
            // The vendor says nothing of it.
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
                // One with the name of an index says that it is a share.
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
        // The proxy has milliseconds for indices, nanoseconds for everything else.
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

    /// The best bid and ask, and the last trade.
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

    /// What only contracts have.
    fn contract(&mut self, known: &snapshot::SnapshotRow) {
        self.implied_volatility = known.implied_volatility;
        self.open_interest = known.open_interest;
        // Deep in the money they are an empty object.
        self.greeks = known
            .greeks
            .clone()
            .filter(|greeks| *greeks != Greeks::default());
    }
}

/// Zero is an unknown one.
fn size(size: u32) -> Option<f64> {
    (size > 0).then(|| size.into())
}

fn nanos(stamp: Option<Utc>) -> Option<i64> {
    Some(stamp?.0.saturating_mul(1_000_000))
}

/// What there is to know of a market status before it is kept; `None` if it is none.
pub(crate) fn known_status(body: &[u8], calendar: &Calendar, now: Now) -> Option<AnswerInfo> {
    let status = status(body).ok()?;
    let symbols: Vec<Symbol> = STATUS_OF.iter().flat_map(|name| name.parse()).collect();
    let left = now.utc.and_then(|utc| {
        let ends = symbols
            .iter()
            .map(|symbol| calendar.phase(symbol, utc).until());
        let left = ends.map(|end| end.0.saturating_sub(utc.0)).min()?;
        u64::try_from(left).ok()
    });
    Some(AnswerInfo {
        ttl: STATUS_TTL.min(Duration::from_millis(left.unwrap_or(u64::MAX))),
        simulated: status.get("simulated") == Some(&Value::Bool(true)),
    })
}

/// The vendor's market status, as it is.
fn status(body: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    serde_json::from_slice(body)
}

/// The same, and how old it is.
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
