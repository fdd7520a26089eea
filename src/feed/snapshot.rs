//! The vendor's universal snapshot: what is asked, and what its rows say. Pure; `rest` asks.
//!
//! Read suspiciously: every field may be missing, a day that has not begun is all zeros, and a
//! row that cannot be read costs none of the others.

use serde::Deserialize;
use serde_json::Value;

use super::{Close, Seed, wire};
use crate::market::{Class, Price, Symbol, Ticker};

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
        if self.error.is_some() {
            return None;
        }
        let symbol: Symbol = self.ticker.parse().ok()?;
        let price = match symbol.class() {
            Class::Index => self.value.or_else(|| self.close()).and_then(positive),
            // The close of an option's session is its last trade, which may be days old.
            Class::Equity | Class::Option => None,
        };
        Some(Seed {
            price,
            stamp: wire::stamp(self.last_updated),
            delayed: self.is_delayed(),
            previous_close: self.previous_close().map(Close::Told),
            ..Seed::empty(Ticker::try_from(symbol.ticker()).ok()?)
        })
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

/// A price of zero is no price.
pub fn positive(number: f64) -> Option<Price> {
    Price::from_f64(number).filter(|price| *price > Price::from_scaled(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_for_one_ticker_costs_none_of_the_others() {
        let body = br#"{"status":"OK","results":[
            {"ticker":"APy","error":"NOT_ENTITLED","message":"Not entitled to this ticker."},
            {"ticker":"I:DJI","type":"indices","value":3822.39,"last_updated":1679597116344223500,
             "session":{"change":-50.01,"close":3822.39,"previous_close":3812.19}},
            {"ticker":"I:NDX","value":"a lot"}, null,
            {"ticker":"I:VIX","session":{"previous_close":17.65}}]}"#;
        let seeds: Vec<Seed> = rows(body).unwrap().iter().filter_map(Row::seed).collect();
        assert_eq!(seeds.len(), 2);
        let price = |number| Price::from_f64(number);
        assert_eq!(
            (seeds[0].price, seeds[0].previous_close),
            (price(3822.39), price(3812.19).map(Close::Told))
        );
        assert_eq!(
            (seeds[1].price, seeds[1].previous_close),
            (None, price(17.65).map(Close::Told))
        );
    }
}
