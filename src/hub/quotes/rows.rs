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
            symbol: symbol.ticker().to_owned(),
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

#[cfg(test)]
mod tests {
    use hyper::body::Bytes;
    use serde_json::json;

    use super::*;

    fn answer(results: &Value) -> Answer {
        Answer {
            body: Bytes::from(json!({ "status": "OK", "results": results }).to_string()),
            age: Duration::from_secs(3),
            stale: false,
        }
    }

    fn rows(tickers: &[&str], results: &Value) -> Vec<Value> {
        let asked: Vec<Asked<'_>> = tickers.iter().map(|ticker| Asked::new(ticker)).collect();
        let body = body(&asked, &[answer(results)]).unwrap();
        let mut body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["age"], 3);
        serde_json::from_value(body["results"].take()).unwrap()
    }

    #[test]
    fn an_index_has_the_proxys_row_and_a_little_more() {
        let results = json!([{ "ticker": "I:SPX", "value": 5912.34, "market_status": "regular_trading",
            "timeframe": "REAL-TIME", "last_updated": 1_764_086_430_905_642_800_i64,
            "session": { "close": 5912.34, "previous_close": 5887.61, "low": 5879.5, "high": 5920.25 } }]);
        let row = json!({ "symbol": "I:SPX", "last": 5912.34, "change": 24.73, "changePercent": 0.42,
            "asOf": 1_764_086_430_906_i64, "source": "indices", "previousClose": 5887.61,
            "marketStatus": "regular_trading", "dayLow": 5879.5, "dayHigh": 5920.25 });
        assert_eq!(rows(&["SPX"], &results), [row]);
    }

    #[test]
    fn rows_come_in_the_order_asked_and_what_is_not_known_is_zero_and_says_so() {
        let results = json!([
            { "ticker": "I:VIX", "session": { "close": 17.25 }, "timeframe": "DELAYED" },
            { "ticker": "I:NDX", "error": "NOT_ENTITLED", "message": "Not entitled." },
            { "ticker": "I:NOSUCH", "error": "NOT_FOUND" },
            { "ticker": "SPY", "value": 0, "last_quote": { "bid": 0, "ask": 0, "bid_size": 0, "ask_size": 0 },
              "session": { "close": 0, "previous_close": 600.5, "low": 0, "high": 0, "volume": 0 } },
        ]);
        let asked = ["SPY", "hello world", "VIX", "NDX", "I:RUT", "I:NOSUCH"];
        let rows = rows(&asked, &results);
        let told: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    row["symbol"].as_str().unwrap(),
                    row["last"].as_f64().unwrap(),
                    row["source"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("SPY", 0.0, "none"),
                ("hello world", 0.0, "error"),
                ("I:VIX", 17.25, "indices-fallback"),
                ("NDX", 0.0, "error"),
                ("I:RUT", 0.0, "none"),
                ("I:NOSUCH", 0.0, "error"),
            ]
        );
        assert_eq!(rows[0]["change"], 0.0, "of nothing there is no change");
        assert_eq!(rows[0]["previousClose"], 600.5);
        assert_eq!(rows[2]["delayed"], true);
        assert_eq!(rows[3]["denial"], "NOT_ENTITLED");
        assert_eq!(rows[5]["denial"], "NOT_FOUND");
        assert_eq!(rows[1].get("denial"), None);
        let unknown = [
            "denial",
            "dayLow",
            "dayHigh",
            "volume",
            "bid",
            "ask",
            "bidSize",
            "askSize",
            "lastTrade",
        ];
        for word in unknown {
            assert_eq!(rows[0].get(word), None, "{word}");
        }
    }

    #[test]
    fn a_contract_has_its_middle_its_greeks_and_its_own_time() {
        let results = json!([{ "ticker": "O:SPY251219C00650000", "implied_volatility": 0.3049,
            "open_interest": 8921, "greeks": { "delta": 0.55, "gamma": 0.01, "theta": -0.03, "vega": 0.7 },
            "last_quote": { "bid": 9.71, "ask": 9.81, "bid_size": 17, "ask_size": 24, "last_updated": 1_764_086_430_905_000_000_i64 },
            "last_trade": { "price": 1.0, "size": 3, "sip_timestamp": 1_764_000_000_000_000_000_i64 },
            "session": { "close": 1.0, "previous_close": 9.48, "high": 1.5, "low": 0.75, "volume": 1203 } }]);
        let row = rows(&["O:SPY251219C00650000"], &results).remove(0);
        assert_eq!(row["last"], 9.76);
        assert_eq!(row["asOf"], 1_764_086_430_905_000_000_i64);
        assert_eq!((&row["bid"], &row["ask"]), (&json!(9.71), &json!(9.81)));
        assert_eq!(row["source"], "options");
        assert_eq!(row["greeks"]["theta"], -0.03);
        assert_eq!(row["impliedVolatility"], 0.3049);
        assert_eq!(row["openInterest"], 8921.0);
        let number = |word: &str| row[word].as_f64().unwrap();
        assert_eq!((number("bidSize"), number("askSize")), (17.0, 24.0));
        assert_eq!((number("dayLow"), number("dayHigh")), (0.75, 1.5));
        assert_eq!(number("volume"), 1203.0);
        assert_eq!((number("lastTrade"), number("lastTradeSize")), (1.0, 3.0));
        assert_eq!(row["lastTradeAt"], 1_764_000_000_000_000_000_i64);
    }

    #[test]
    fn the_close_of_a_contracts_session_is_no_price_of_now() {
        let results = json!([{ "ticker": "O:SPY251219C00650000", "greeks": {},
            "last_quote": { "bid": 0, "ask": 0.05 },
            "session": { "close": 1.0, "previous_close": 9.48 } }]);
        let row = rows(&["O:SPY251219C00650000"], &results).remove(0);
        assert_eq!(
            (&row["last"], &row["source"]),
            (&json!(0.0), &json!("none"))
        );
        assert_eq!(row.get("greeks"), None);
    }

    #[test]
    fn a_share_has_its_last_trade_in_nanoseconds() {
        let results = json!([{ "ticker": "SPY", "last_updated": 1_764_086_430_905_000_000_i64,
            "last_trade": { "price": 601.25, "sip_timestamp": 1_764_086_430_000_000_000_i64 },
            "session": { "close": 601.0, "previous_close": 600.0 } }]);
        let row = rows(&["spy"], &results).remove(0);
        assert_eq!(row["last"], 601.25);
        assert_eq!(row["asOf"], 1_764_086_430_000_000_000_i64);
        assert_eq!(row["changePercent"], 0.2083);
    }

    #[test]
    fn an_answer_is_good_for_longer_while_every_market_is_closed() {
        let good = |statuses: &[&str]| {
            let rows: Vec<Value> = statuses
                .iter()
                .map(|status| json!({ "ticker": "I:SPX", "market_status": status }))
                .collect();
            ttl(&answer(&json!(rows)).body).map(|ttl| ttl.as_secs())
        };
        assert_eq!(good(&["regular_trading", "closed"]), Some(2));
        assert_eq!(good(&["closed", "closed"]), Some(30));
        assert_eq!(good(&[]), Some(2));
        assert_eq!(ttl(b"<html>"), None);
    }

    #[test]
    fn a_market_status_says_how_old_it_is() {
        let mut answer = answer(&json!([]));
        answer.body = Bytes::from_static(br#"{"market":"open","exchanges":{"nyse":"open"}}"#);
        answer.stale = true;
        let status = aged_status(&answer).unwrap();
        let expected =
            json!({ "market": "open", "exchanges": { "nyse": "open" }, "age": 3, "stale": true });
        assert_eq!(serde_json::from_str::<Value>(&status).unwrap(), expected);
    }
}
