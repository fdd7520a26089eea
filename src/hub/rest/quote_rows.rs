//! Converts the vendor's snapshot to the rows of `/api/quotes`. These rows have the fields of the
//! existing proxy and some additional fields. Pure: this module does no I/O.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Map, Number, Value};

use super::cache::{AnswerInfo, CachedAnswer};
use crate::market::{AssetClass, Calendar, Price, Symbol};
use crate::massive::UnreadableRows;
use crate::massive::quotes::{QuoteRow, QuotesBody};
use crate::massive::snapshot::{self, Greeks, SnapshotRow};
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

/// Parses the tickers of a request.
pub(crate) fn requested<'a>(tickers: &[&'a str]) -> Vec<RequestedTicker<'a>> {
    let parse = |text: &&'a str| RequestedTicker {
        text,
        symbol: text.parse().ok(),
    };
    tickers.iter().map(parse).collect()
}

impl RequestedTicker<'_> {
    /// Returns the vendor's form of the ticker; `None` if the ticker is invalid.
    pub(crate) fn ticker(&self) -> Option<&str> {
        self.symbol.as_ref().map(Symbol::ticker)
    }
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
    let closed = !snapshot.rows.is_empty() && snapshot.rows.iter().all(SnapshotRow::is_closed);
    let symbols = requested.iter().flat_map(|requested| &requested.symbol);
    // The time until the first of these markets opens: zero if one is open.
    let opens_in = now.utc.and_then(|utc| {
        let left = symbols.map(|symbol| match calendar.phase(symbol, utc) {
            phase if phase.is_open() => Duration::ZERO,
            phase => phase.until.since(utc),
        });
        left.min()
    });
    let ttl = match opens_in {
        Some(left) if closed && !left.is_zero() => TTL_CLOSED.min(left),
        // By the calendar one of the markets is open, so the next response may show the open
        // market.
        _ => TTL,
    };
    Some(AnswerInfo {
        ttl,
        simulated: snapshot.simulated,
    })
}

/// Returns the body of `/api/quotes`: one row for each requested ticker, in the order of the
/// request. Also returns the tickers whose rows in the vendor's responses cannot be read.
pub(crate) fn body(
    requested: &[RequestedTicker<'_>],
    answers: &[CachedAnswer],
) -> Result<(String, UnreadableRows), serde_json::Error> {
    let mut known = HashMap::new();
    let mut unreadable = UnreadableRows::new();
    let mut simulated = false;
    for answer in answers {
        let snapshot = snapshot::read(&answer.body)?;
        simulated |= snapshot.simulated;
        unreadable.extend(snapshot.unreadable);
        for row in snapshot.rows {
            known.insert(row.ticker.clone(), row);
        }
    }
    let rows = requested.iter().map(|requested| {
        let known = requested.ticker().and_then(|ticker| known.get(ticker));
        row(requested, known)
    });
    // The body has only one age for all rows, so it contains the age of the oldest response.
    let age = answers.iter().map(|answer| answer.age).max();
    let body = serde_json::to_string(&QuotesBody {
        results: rows.collect(),
        age: seconds(age.unwrap_or_default()).into(),
        stale: answers.iter().any(|answer| answer.stale),
        simulated,
    })?;
    Ok((body, unreadable))
}

/// Converts an age to seconds, rounded down to whole milliseconds.
fn seconds(age: Duration) -> f64 {
    age.as_millis() as f64 / 1e3
}

/// Returns the row for a ticker. `known` is the row of the vendor's response, if there is one.
fn row(requested: &RequestedTicker<'_>, known: Option<&SnapshotRow>) -> QuoteRow {
    let empty = |source: &str| QuoteRow {
        symbol: requested.text.to_owned(),
        last: Some(0.0),
        change: Some(0.0),
        as_of: Some(0.into()),
        source: Some(source.to_owned()),
        ..QuoteRow::default()
    };
    let Some(symbol) = &requested.symbol else {
        return empty("error");
    };
    let Some(known) = known else {
        return empty("none");
    };
    if let Some(error) = &known.error {
        return QuoteRow {
            denial: snapshot::denial(error).map(|_| error.clone()),
            ..empty("error")
        };
    }
    let Some(seed) = known.seed() else {
        return empty("none");
    };
    let class = symbol.class();
    let close = known.previous_close();
    let change = seed.price.zip(close).map_or(0.0, |(last, close)| {
        Price::from_scaled(last.scaled() - close.scaled()).as_f64()
    });
    let percent = close.map_or(0.0, |close| change / close.as_f64() * 100.0);
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
        last: Some(seed.price.map_or(0.0, Price::as_f64)),
        change: Some(change),
        change_percent: (percent * 1e4).round() / 1e4,
        // The proxy sends milliseconds for indices and nanoseconds for all other instruments.
        as_of: match class {
            AssetClass::Index => stamp.map(|stamp| stamp.0.into()),
            AssetClass::Equity | AssetClass::Option => nanos(stamp),
        }
        .or_else(|| Some(0.into())),
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
        denial: None,
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
    Some(AnswerInfo {
        ttl: STATUS_TTL.min(Duration::from_millis(left.unwrap_or(u64::MAX))),
        simulated: status.get("simulated").is_some_and(|flag| *flag == true),
    })
}

/// Returns the market status with its age, and with `stale` if no newer response is available.
pub(crate) fn aged_status(answer: &CachedAnswer) -> Result<String, serde_json::Error> {
    let mut status: Map<String, Value> = serde_json::from_slice(&answer.body)?;
    status.insert("age".into(), seconds(answer.age).into());
    if answer.stale {
        status.insert("stale".into(), true.into());
    }
    serde_json::to_string(&status)
}

#[cfg(test)]
#[path = "tests/quote_rows.rs"]
mod tests;
