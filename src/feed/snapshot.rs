//! The vendor's universal snapshot: what is asked, and what its rows say. Pure; `rest` asks.
//!
//! Read suspiciously: every field may be missing, a day that has not begun is all zeros, and a
//! row that cannot be read costs none of the others.

use serde::Deserialize;
use serde_json::Value;

use super::{Close, Seed, wire};
use crate::clock::Utc;
use crate::market::{Analysis, Book, Class, Day, Denial, Price, Symbol, Ticker, Trade};

/// The most tickers of one request, by the vendor's documentation.
pub const TICKERS: usize = 250;

/// The path that asks for these tickers, of whatever classes.
pub fn path<'a>(tickers: impl IntoIterator<Item = &'a str>) -> String {
    let tickers: Vec<&str> = tickers.into_iter().collect();
    // Without a limit the vendor gives the first ten.
    format!(
        "/v3/snapshot?ticker.any_of={}&limit={TICKERS}",
        tickers.join(",")
    )
}

/// What the vendor says of one ticker.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Row {
    /// Which.
    pub ticker: String,
    /// `NOT_FOUND`, `NOT_ENTITLED`: then there is nothing else.
    pub error: Option<String>,
    /// An index's.
    pub value: Option<f64>,
    /// Of the row, in nanoseconds.
    pub last_updated: Option<f64>,
    /// `open`, `closed`, `regular_trading`, …
    pub market_status: Option<String>,
    /// `REAL-TIME` or `DELAYED`.
    pub timeframe: Option<String>,
    /// Of the day.
    pub session: Option<Session>,
    /// Of a share or a contract.
    pub last_trade: Option<LastTrade>,
    /// Of a share or a contract.
    pub last_quote: Option<LastQuote>,
    /// Of a contract; absent, or empty, deep in the money.
    pub greeks: Option<Greeks>,
    /// Of a contract, as a fraction.
    pub implied_volatility: Option<f64>,
    /// Of a contract.
    pub open_interest: Option<f64>,
}

/// The day so far, or the last one.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Session {
    /// The last price of it.
    pub close: Option<f64>,
    /// The close before it.
    pub previous_close: Option<f64>,
    /// Its highest price.
    pub high: Option<f64>,
    /// Its lowest price.
    pub low: Option<f64>,
    /// How much was traded in it; an index has none.
    pub volume: Option<f64>,
}

/// The last trade.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct LastTrade {
    /// At what price.
    pub price: Option<f64>,
    /// Of so many contracts or shares.
    pub size: Option<f64>,
    /// When, in nanoseconds.
    pub sip_timestamp: Option<f64>,
}

/// The best bid and ask.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct LastQuote {
    /// What buyers pay.
    pub bid: Option<f64>,
    /// What sellers want.
    pub ask: Option<f64>,
    /// For how much.
    pub bid_size: Option<f64>,
    /// For how much.
    pub ask_size: Option<f64>,
    /// When, in nanoseconds.
    pub last_updated: Option<f64>,
}

/// How a contract's price moves.
#[derive(Clone, Debug, Default, Deserialize, serde::Serialize, PartialEq)]
pub struct Greeks {
    /// With the underlying.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<f64>,
    /// Of delta, with the underlying.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
    /// With time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theta: Option<f64>,
    /// With volatility.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vega: Option<f64>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<Value>,
}

/// The rows of an answer; those that cannot be read are left out.
///
/// # Errors
/// It is no answer of the vendor's.
pub fn rows(body: &[u8]) -> Result<Vec<Row>, serde_json::Error> {
    let answer: Answer = serde_json::from_slice(body)?;
    let rows = answer.results.into_iter().filter_map(|row| {
        Row::deserialize(row)
            .inspect_err(|error| log::debug!("a row of a snapshot: {error}"))
            .ok()
    });
    Ok(rows.collect())
}

impl Row {
    /// What the display takes of it.
    pub(super) fn seed(&self) -> Option<Seed> {
        let symbol = Symbol::of_ticker(&self.ticker)?;
        let mut seed = Seed::empty(Ticker::try_from(symbol.ticker()).ok()?);
        if let Some(words) = &self.error {
            seed.denial = Some(denial(words)?);
            return Some(seed);
        }
        if let Some(last) = &self.last_trade {
            seed.trade = trade(last.price, last.size, last.sip_timestamp);
        }
        if let Some(quote) = &self.last_quote {
            seed.book = book([quote.bid, quote.ask], [quote.bid_size, quote.ask_size]);
        }
        if let Some(session) = &self.session {
            seed.day = day(session.low, session.high, session.volume);
        }
        let updated = wire::stamp(self.last_updated);
        (seed.price, seed.stamp) = match symbol.class() {
            Class::Index => (
                self.value.or_else(|| self.close()).and_then(positive),
                updated,
            ),
            Class::Equity => match seed.trade {
                Some((trade, Some(stamp))) => (Some(trade.price), Some(stamp)),
                _ => (self.close().and_then(positive), updated),
            },
            // Only a quote of a known time: the last trade of an option, which is also the close
            // of its session, may be days old.
            Class::Option => {
                let quoted = self.last_quote.as_ref();
                let stamp = quoted.and_then(|quote| wire::stamp(quote.last_updated));
                let middle = seed.book.and_then(|book| book.middle());
                (middle.filter(|_| stamp.is_some()), stamp)
            }
        };
        if symbol.class() == Class::Option {
            let (greeks, volatility) = (self.greeks.as_ref(), self.implied_volatility);
            seed.analysis = analysis(greeks, volatility, self.open_interest);
        }
        seed.delayed = self.is_delayed();
        seed.previous_close = self.previous_close().map(Close::Told);
        Some(seed)
    }

    /// Whether the vendor says that it serves this one late.
    pub fn is_delayed(&self) -> bool {
        self.timeframe.as_deref() == Some("DELAYED")
    }

    /// The last price of the session.
    pub fn close(&self) -> Option<f64> {
        self.session.as_ref().and_then(|session| session.close)
    }

    /// The close before the session.
    pub fn previous_close(&self) -> Option<Price> {
        let close = self.session.as_ref()?.previous_close?;
        positive(close)
    }
}

/// Why a ticker is served nothing of, if these words say so.
pub(super) fn denial(words: &str) -> Option<Denial> {
    match words {
        "NOT_ENTITLED" => Some(Denial::NotEntitled),
        "NOT_FOUND" => Some(Denial::NotFound),
        _ => None,
    }
}

/// A day that has not begun is all zeros, and says nothing.
pub(super) fn day(low: Option<f64>, high: Option<f64>, volume: Option<f64>) -> Day {
    let range = low.and_then(positive).zip(high.and_then(positive));
    Day {
        range: range.filter(|(low, high)| low <= high),
        volume: wire::count(volume).filter(|volume| *volume > 0),
    }
}

/// The best bid and ask, where both are told; nobody may bid, but somebody asks.
pub(super) fn book([bid, ask]: [Option<f64>; 2], sizes: [Option<f64>; 2]) -> Option<Book> {
    let [bid_size, ask_size] = sizes.map(wire::size);
    Some(Book {
        bid: Price::from_f64(bid?).filter(|bid| *bid >= Price::from_scaled(0))?,
        ask: positive(ask?)?,
        bid_size,
        ask_size,
    })
}

/// A trade, and when it was made in nanoseconds.
pub(super) fn trade(
    price: Option<f64>,
    traded: Option<f64>,
    at: Option<f64>,
) -> Option<(Trade, Option<Utc>)> {
    let trade = Trade {
        price: positive(price?)?,
        size: wire::size(traded),
    };
    Some((trade, wire::stamp(at)))
}

/// What is computed of a contract; `None` if nothing is.
pub(super) fn analysis(
    greeks: Option<&Greeks>,
    implied_volatility: Option<f64>,
    open_interest: Option<f64>,
) -> Option<Analysis> {
    let greek = |of: fn(&Greeks) -> Option<f64>| Price::from_f64(of(greeks?)?);
    let analysis = Analysis {
        delta: greek(|greeks| greeks.delta),
        gamma: greek(|greeks| greeks.gamma),
        theta: greek(|greeks| greeks.theta),
        vega: greek(|greeks| greeks.vega),
        implied_volatility: implied_volatility.and_then(positive),
        open_interest: wire::count(open_interest),
    };
    (analysis != Analysis::default()).then_some(analysis)
}

/// A price of zero is no price.
pub fn positive(number: f64) -> Option<Price> {
    Price::from_f64(number).filter(|price| *price > Price::from_scaled(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(number: f64) -> Option<Price> {
        Price::from_f64(number)
    }

    fn seeds(body: &str) -> Vec<Seed> {
        let rows = rows(body.as_bytes()).unwrap();
        rows.iter().filter_map(Row::seed).collect()
    }

    fn one(row: &str) -> Seed {
        seeds(&format!(r#"{{"status":"OK","results":[{row}]}}"#)).remove(0)
    }

    #[test]
    fn an_error_for_one_ticker_costs_none_of_the_others() {
        let seeds = seeds(
            r#"{"status":"OK","results":[
            {"ticker":"AMpB","error":"NOT_ENTITLED","message":"Not entitled to this ticker."},
            {"ticker":"I:RUT","error":"NOT_TODAY"},
            {"ticker":"I:DJI","type":"indices","value":3822.39,"last_updated":1679597116344223500,
             "session":{"change":-50.01,"close":3822.39,"previous_close":3812.19,
                        "high":3834.41,"low":38217.11}},
            {"ticker":"I:NDX","value":"a lot"}, null,
            {"ticker":"I:VIX","session":{"previous_close":17.65,"high":17.9,"low":17.1}},
            {"ticker":"NOPE","error":"NOT_FOUND"}]}"#,
        );
        let told: Vec<_> = seeds
            .iter()
            .map(|seed| (&*seed.ticker, seed.price, seed.previous_close, seed.denial))
            .collect();
        let close = |number| price(number).map(Close::Told);
        assert_eq!(
            told,
            [
                ("AMpB", None, None, Some(Denial::NotEntitled)),
                ("I:DJI", price(3822.39), close(3812.19), None),
                ("I:VIX", None, close(17.65), None),
                ("NOPE", None, None, Some(Denial::NotFound)),
            ]
        );
        assert_eq!(seeds[1].day.range, None, "a high below its low is none");
        assert_eq!(seeds[2].day.range, price(17.1).zip(price(17.9)));
    }

    #[test]
    fn no_results_are_no_error() {
        for body in [r#"{"results":[]}"#, r#"{"status":"OK"}"#] {
            assert_eq!(seeds(body), []);
        }
    }

    #[test]
    fn a_share_is_worth_its_last_trade_of_a_known_time_else_the_close_of_its_session() {
        let row = |trade: &str| {
            one(&format!(
                r#"{{"ticker":"SPY","last_updated":1764086430905000000,"last_trade":{trade},
                "session":{{"close":601.0,"previous_close":600,"high":602.5,"low":598.25,"volume":1234567.8}}}}"#
            ))
        };
        let traded = row(r#"{"price":601.25,"size":100,"sip_timestamp":1764086430000000000}"#);
        assert_eq!(
            (traded.price, traded.stamp),
            (price(601.25), Some(Utc(1_764_086_430_000)))
        );
        let size = traded.trade.map(|(trade, _)| trade.size);
        assert_eq!((size, traded.day.volume), (Some(100), Some(1_234_567)));
        assert_eq!(traded.day.range, price(598.25).zip(price(602.5)));
        for trade in [
            "null",
            "{}",
            r#"{"price":601.25}"#,
            r#"{"price":0,"sip_timestamp":1764086430000000000}"#,
        ] {
            let closed = row(trade);
            assert_eq!(
                (closed.price, closed.stamp),
                (price(601.0), Some(Utc(1_764_086_430_905))),
                "{trade}"
            );
        }
        let unborn = one(
            r#"{"ticker":"SPY","last_updated":0,"session":{"close":0,"high":0,"low":0,"volume":0,"previous_close":600}}"#,
        );
        assert_eq!((unborn.price, unborn.stamp), (None, None));
        assert_eq!(unborn.day, Day::default());
    }

    #[test]
    fn a_contract_is_worth_the_middle_of_a_quote_of_a_known_time() {
        let row = |quote: &str| {
            one(&format!(
                r#"{{"ticker":"O:SPY251219C00650000","implied_volatility":0.3049,"open_interest":8921,
                "greeks":{{"delta":-0.55,"gamma":0.0112}},"last_quote":{quote},"last_updated":1764086430905000000,
                "last_trade":{{"price":1.0,"sip_timestamp":1764000000000000000}},"session":{{"close":1.0}}}}"#
            ))
        };
        let quoted = row(
            r#"{"bid":9.71,"ask":9.81,"bid_size":17,"ask_size":5e9,"last_updated":1764086430905000000}"#,
        );
        assert_eq!(quoted.price, price(9.76));
        assert_eq!(quoted.stamp, Some(Utc(1_764_086_430_905)));
        let book = quoted.book.unwrap();
        assert_eq!((book.bid_size, book.ask_size), (17, u32::MAX));
        let analysis = quoted.analysis.unwrap();
        assert_eq!(
            (analysis.delta, analysis.vega, analysis.open_interest),
            (price(-0.55), None, Some(8921))
        );
        for quote in [
            "null",
            r#"{"bid":9.71,"ask":9.81}"#,
            r#"{"bid":0,"ask":0.05,"last_updated":1764086430905000000}"#,
            r#"{"bid":9.81,"ask":9.71,"last_updated":1764086430905000000}"#,
            r#"{"bid":-1,"ask":9.71,"last_updated":1764086430905000000}"#,
        ] {
            assert_eq!(row(quote).price, None, "{quote}");
        }
        let deep = one(r#"{"ticker":"O:SPY251219C00650000","greeks":{},"open_interest":-1}"#);
        assert_eq!(deep.analysis, None);
    }
}
