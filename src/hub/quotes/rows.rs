//! The vendor's snapshot as the rows of `/api/quotes`, which are those of the proxy that users
//! already run, and a little more. Pure.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::cache::Answer;
use crate::clock::Utc;
use crate::feed::snapshot::{self, Greeks, positive};
use crate::feed::wire;
use crate::market::{Class, Price, Symbol};

#[cfg(test)]
mod tests;

/// Quotes are good this long while a market is open,
const TTL: Duration = Duration::from_secs(2);
/// and this long while all are closed.
const TTL_CLOSED: Duration = Duration::from_secs(30);

/// A ticker as the caller wrote it, and what it means.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    text: &'a str,
    symbol: Option<Symbol>,
}

impl<'a> Asked<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let symbol = text.parse().ok();
        Self { text, symbol }
    }

    /// As the vendor calls it; `None` if it is no ticker.
    pub(super) fn ticker(&self) -> Option<&str> {
        self.symbol.as_ref().map(Symbol::ticker)
    }
}

#[derive(Serialize)]
struct Body {
    results: Vec<Row>,
    /// In seconds.
    age: u64,
    #[serde(skip_serializing_if = "is_false")]
    stale: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Zero in the first fields is the proxy's "no data"; in those behind `source`, which it has not,
/// what is unknown is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
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
    /// Why the vendor serves nothing of it, in its word.
    #[serde(skip_serializing_if = "Option::is_none")]
    denial: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    day_low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    day_high: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volume: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bid: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ask: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bid_size: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ask_size: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_trade: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_trade_size: Option<f64>,
    /// In nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_trade_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    implied_volatility: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open_interest: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    greeks: Option<Greeks>,
}

/// How long an answer is good; `None` if it is none.
pub(super) fn ttl(body: &[u8]) -> Option<Duration> {
    let rows = snapshot::rows(body).ok()?;
    let closed = !rows.is_empty()
        && rows
            .iter()
            .all(|row| row.market_status.as_deref() == Some("closed"));
    Some(if closed { TTL_CLOSED } else { TTL })
}

/// The body of `/api/quotes`: a row for each ticker asked, in that order.
pub(super) fn body(asked: &[Asked<'_>], answers: &[Answer]) -> Result<String, serde_json::Error> {
    let mut known = HashMap::new();
    for answer in answers {
        for row in snapshot::rows(&answer.body)? {
            known.insert(row.ticker.clone(), row);
        }
    }
    let body = Body {
        results: asked
            .iter()
            .map(|asked| Row::new(asked, asked.ticker().and_then(|ticker| known.get(ticker))))
            .collect(),
        // The oldest of them speaks for all.
        age: answers
            .iter()
            .map(|answer| answer.age.as_secs())
            .max()
            .unwrap_or(0),
        stale: answers.iter().any(|answer| answer.stale),
    };
    serde_json::to_string(&body)
}

impl Row {
    fn new(asked: &Asked<'_>, known: Option<&snapshot::Row>) -> Self {
        let none = |source| Row {
            symbol: asked.text.to_owned(),
            source,
            ..Row::default()
        };
        let (Some(symbol), Some(known)) = (&asked.symbol, known) else {
            // What is no ticker, and what the vendor says nothing of.
            return none(if asked.symbol.is_none() {
                "error"
            } else {
                "none"
            });
        };
        if let Some(error) = known.error.as_deref() {
            let words = ["NOT_ENTITLED", "NOT_FOUND"];
            return Row {
                denial: words.into_iter().find(|word| *word == error),
                ..none("error")
            };
        }
        let previous_close = known.previous_close();
        let mut row = Row {
            symbol: match symbol.class() {
                // One with the name of an index says that it is a share.
                Class::Equity => symbol.to_string(),
                Class::Index | Class::Option => symbol.ticker().to_owned(),
            },
            source: "none",
            previous_close: previous_close.map(Price::as_f64),
            market_status: known.market_status.clone(),
            delayed: known.is_delayed(),
            ..Row::default()
        };
        row.day(known);
        row.market(known);
        if symbol.class() == Class::Option {
            row.contract(known);
        }
        let Some((last, stamp, source)) = last(symbol.class(), known) else {
            return row;
        };
        row.last = last.as_f64();
        row.source = source;
        // The proxy has milliseconds for indices, nanoseconds for everything else.
        let unit = if symbol.class() == Class::Index {
            1
        } else {
            1_000_000
        };
        row.as_of = stamp.map_or(0, |stamp| stamp.0.saturating_mul(unit));
        if let Some(close) = previous_close {
            let change = Price::from_scaled(last.scaled() - close.scaled());
            row.change = change.as_f64();
            let percent = change.as_f64() / close.as_f64() * 100.0;
            row.change_percent = (percent * 1e4).round() / 1e4;
        }
        row
    }

    /// The day so far. One that has not begun is all zeros.
    fn day(&mut self, known: &snapshot::Row) {
        let Some(session) = &known.session else {
            return;
        };
        let range = session.low.zip(session.high);
        let range = range.filter(|&(low, high)| positive(low).is_some() && low <= high);
        (self.day_low, self.day_high) = range.unzip();
        self.volume = session.volume.filter(|volume| *volume > 0.0);
    }

    /// The best bid and ask, and the last trade.
    fn market(&mut self, known: &snapshot::Row) {
        // Without an ask there is no quote; without a bid there is: of a contract nobody wants.
        if let Some(quote) = &known.last_quote
            && quote.ask.and_then(positive).is_some()
        {
            let size = |size: Option<f64>| size.filter(|size| *size >= 0.0);
            (self.bid, self.ask) = (quote.bid, quote.ask);
            (self.bid_size, self.ask_size) = (size(quote.bid_size), size(quote.ask_size));
        }
        if let Some(trade) = &known.last_trade
            && let Some((price, stamp)) = traded(trade)
        {
            self.last_trade = Some(price.as_f64());
            self.last_trade_size = trade.size.filter(|size| *size > 0.0);
            self.last_trade_at = stamp.map(|stamp| stamp.0.saturating_mul(1_000_000));
        }
    }

    /// What only contracts have.
    fn contract(&mut self, known: &snapshot::Row) {
        self.implied_volatility = known.implied_volatility;
        self.open_interest = known.open_interest;
        // Deep in the money they are an empty object.
        self.greeks = known
            .greeks
            .clone()
            .filter(|greeks| *greeks != Greeks::default());
    }
}

/// The last price, when it was made, and where it is from.
fn last(class: Class, known: &snapshot::Row) -> Option<(Price, Option<Utc>, &'static str)> {
    let updated = wire::stamp(known.last_updated);
    let close = || known.close().and_then(positive);
    match class {
        Class::Index => match known.value.and_then(positive) {
            Some(value) => Some((value, updated, "indices")),
            None => Some((close()?, updated, "indices-fallback")),
        },
        Class::Equity => match trade(known) {
            Some((price, stamp)) => Some((price, stamp.or(updated), "stocks")),
            None => Some((close()?, updated, "stocks")),
        },
        // The middle, as on the stream. A contract's last trade may be days old, and so says its
        // own time; the close of its session says none, and is not taken.
        Class::Option => {
            let (price, stamp) =
                middle(known).or_else(|| trade(known).filter(|(_, stamp)| stamp.is_some()))?;
            Some((price, stamp, "options"))
        }
    }
}

fn trade(known: &snapshot::Row) -> Option<(Price, Option<Utc>)> {
    traded(known.last_trade.as_ref()?)
}

fn traded(trade: &snapshot::LastTrade) -> Option<(Price, Option<Utc>)> {
    Some((positive(trade.price?)?, wire::stamp(trade.sip_timestamp)))
}

fn middle(known: &snapshot::Row) -> Option<(Price, Option<Utc>)> {
    let quote = known.last_quote.as_ref()?;
    let (bid, ask) = (positive(quote.bid?)?, positive(quote.ask?)?);
    let stamp = wire::stamp(quote.last_updated).or_else(|| wire::stamp(known.last_updated));
    (bid <= ask).then(|| (Price::from_scaled((bid.scaled() + ask.scaled()) / 2), stamp))
}

/// The vendor's market status, as it is.
pub(super) fn status(body: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    serde_json::from_slice(body)
}

/// The same, and how old it is.
pub(super) fn aged_status(answer: &Answer) -> Result<String, serde_json::Error> {
    let mut status = status(&answer.body)?;
    status.insert("age".into(), answer.age.as_secs().into());
    if answer.stale {
        status.insert("stale".into(), true.into());
    }
    serde_json::to_string(&status)
}
