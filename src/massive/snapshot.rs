//! The vendor's universal snapshot: what is asked, and what its rows say. Pure; `rest` asks.
//!
//! Read suspiciously: every field may be missing, a day that has not begun is all zeros, and a
//! row that cannot be read costs none of the others. The display and the hub read rows here, by
//! the same rules: which number is the price, whether it is the close, and whether it is late.

use crate::massive::trade_conditions;

use serde::Deserialize;
use serde_json::Value;

use super::websocket;
use crate::feed::{InstrumentSnapshot, PreviousClose};
use crate::market::{
    AssetClass, DayStats, Denial, OptionAnalytics, Price, Symbol, Ticker, TopOfBook, Trade,
};
use crate::time::Utc;

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
pub struct SnapshotRow {
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
    /// `REAL-TIME` or `DELAYED`; of a share or a contract it stands in its trade and its quote.
    pub timeframe: Option<String>,
    /// Of the day.
    pub session: Option<SessionStats>,
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
pub struct SessionStats {
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
    /// Under which conditions: the vendor's own numbers.
    pub conditions: Option<Vec<i64>>,
    /// `REAL-TIME` or `DELAYED`.
    pub timeframe: Option<String>,
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
    /// `REAL-TIME` or `DELAYED`.
    pub timeframe: Option<String>,
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

/// What an answer says.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Its rows; those that cannot be read are left out.
    pub rows: Vec<SnapshotRow>,
    /// It says that its prices are not real: a simulator's word, which the vendor does not use.
    pub simulated: bool,
}

#[derive(Deserialize)]
struct SnapshotBody {
    #[serde(default)]
    results: Vec<Value>,
    #[serde(default)]
    simulated: Value,
}

/// Reads an answer.
///
/// # Errors
/// It is no answer of the vendor's.
pub fn read(body: &[u8]) -> Result<Snapshot, serde_json::Error> {
    let answer: SnapshotBody = serde_json::from_slice(body)?;
    let rows = answer.results.into_iter().filter_map(|row| {
        SnapshotRow::deserialize(row)
            .inspect_err(|error| log::debug!("a row of a snapshot: {error}"))
            .ok()
    });
    Ok(Snapshot {
        rows: rows.collect(),
        simulated: answer.simulated == Value::Bool(true),
    })
}

impl Snapshot {
    /// What the display takes of it.
    pub(crate) fn seeds(&self) -> impl Iterator<Item = InstrumentSnapshot> {
        self.rows.iter().filter_map(|row| {
            let mut seed = row.seed()?;
            seed.simulated = self.simulated;
            Some(seed)
        })
    }
}

/// The last price of a row.
struct Last {
    price: Price,
    stamp: Option<Utc>,
    /// It is the close of its session.
    is_close: bool,
}

impl SnapshotRow {
    /// What it says.
    pub(crate) fn seed(&self) -> Option<InstrumentSnapshot> {
        let symbol = Symbol::from_ticker(&self.ticker)?;
        let mut seed = InstrumentSnapshot::empty(Ticker::try_from(symbol.ticker()).ok()?);
        if let Some(words) = &self.error {
            seed.denial = Some(denial(words)?);
            return Some(seed);
        }
        if let Some(session) = &self.session {
            seed.day = day(session.low, session.high, session.volume);
        }
        if let Some(quote) = &self.last_quote {
            let stamp = websocket::stamp(quote.last_updated);
            let sizes = [quote.bid_size, quote.ask_size];
            seed.book = book([quote.bid, quote.ask], sizes, stamp);
            seed.book_stamp = seed.book.and(stamp);
        }
        seed.trade = self.trade(symbol.class(), seed.day);
        let last = match symbol.class() {
            AssetClass::Index => self.index(&symbol),
            AssetClass::Equity => self.share(seed.trade),
            AssetClass::Option => self.contract(&seed),
        };
        if let Some(last) = last {
            (seed.price, seed.stamp) = (Some(last.price), last.stamp);
            seed.is_close = last.is_close;
        }
        if symbol.class() == AssetClass::Option {
            let (greeks, volatility) = (self.greeks.as_ref(), self.implied_volatility);
            seed.analytics = analytics(greeks, volatility, self.open_interest);
        }
        seed.delayed = self.is_delayed(symbol.class());
        seed.previous_close = self.previous_close().map(PreviousClose::Told);
        Some(seed)
    }

    /// The value of an index, if it says one.
    pub(crate) fn value(&self, symbol: &Symbol) -> Option<Price> {
        price(self.value?, symbol.may_be_negative())
    }

    fn index(&self, symbol: &Symbol) -> Option<Last> {
        let close = || {
            // Zero is that of a day that has not begun.
            let close = self.session.as_ref()?.close.filter(|close| *close != 0.0)?;
            price(close, symbol.may_be_negative())
        };
        let value = || self.value(symbol);
        let is_close = self.is_closed();
        // Once its market is closed a value may be one of outside the hours.
        let price = if is_close {
            close().or_else(value)
        } else {
            value().or_else(close)
        };
        Some(Last {
            price: price?,
            stamp: websocket::stamp(self.last_updated),
            is_close,
        })
    }

    /// A share is worth its last trade. Once its market is closed that may be one of after hours,
    /// and the close of its session counts.
    fn share(&self, trade: Option<(Trade, Option<Utc>)>) -> Option<Last> {
        let close = || {
            Some(Last {
                price: self.close()?,
                stamp: websocket::stamp(self.last_updated),
                is_close: self.is_closed(),
            })
        };
        let closed = self.is_closed().then(close).flatten();
        let traded = || match trade {
            Some((trade, Some(stamp))) => Some(Last {
                price: trade.price,
                stamp: Some(stamp),
                is_close: false,
            }),
            // Before and after the regular hours the session's close is not what a share is worth
            // now, whatever the time of the row.
            _ if self.is_extended() => None,
            _ => close(),
        };
        closed.or_else(traded)
    }

    /// Only a quote of a known time: the last trade of a contract, which is also the close of its
    /// session, may be days old.
    fn contract(&self, seed: &InstrumentSnapshot) -> Option<Last> {
        Some(Last {
            price: seed.book?.mid()?,
            stamp: Some(seed.book_stamp?),
            is_close: self.is_closed(),
        })
    }

    /// The last trade. One of a share that makes no last price is none: it is of another time,
    /// another kind of delivery, or made by another price.
    fn trade(&self, class: AssetClass, day: DayStats) -> Option<(Trade, Option<Utc>)> {
        let last = self.last_trade.as_ref()?;
        let (trade, stamp) = trade(last.price, last.size, last.sip_timestamp)?;
        if class == AssetClass::Equity {
            let regular = self.is_regular();
            let outside = |(low, high)| trade.price < low || high < trade.price;
            let conditions = last.conditions.as_deref().unwrap_or_default();
            if !trade_conditions::make_last(conditions, regular)
                || (regular && day.range.is_some_and(outside))
            {
                return None;
            }
        }
        Some((trade, stamp))
    }

    /// Whether the vendor says that the market of this one is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.market_status.as_deref() == Some("closed")
    }

    fn is_regular(&self) -> bool {
        matches!(
            self.market_status.as_deref(),
            Some("open" | "regular_trading")
        )
    }

    fn is_extended(&self) -> bool {
        matches!(
            self.market_status.as_deref(),
            Some("early_trading" | "late_trading" | "extended-hours")
        )
    }

    /// Whether the vendor says that it serves the price of this one late.
    fn is_delayed(&self, class: AssetClass) -> bool {
        let quote = || self.last_quote.as_ref()?.timeframe.as_deref();
        let trade = || self.last_trade.as_ref()?.timeframe.as_deref();
        let row = self.timeframe.as_deref();
        let word = match class {
            AssetClass::Index => row,
            AssetClass::Equity => trade().or(row).or_else(quote),
            AssetClass::Option => quote().or(row),
        };
        word == Some("DELAYED")
    }

    /// The last price of the session.
    fn close(&self) -> Option<Price> {
        self.session.as_ref()?.close.and_then(positive)
    }

    /// The close before the session.
    pub fn previous_close(&self) -> Option<Price> {
        let close = self.session.as_ref()?.previous_close?;
        positive(close)
    }
}

/// Why a ticker is served nothing of, if these words say so.
pub(crate) fn denial(words: &str) -> Option<Denial> {
    match words {
        "NOT_ENTITLED" => Some(Denial::NotEntitled),
        "NOT_FOUND" => Some(Denial::NotFound),
        _ => None,
    }
}

/// A day that has not begun is all zeros, and says nothing.
pub(crate) fn day(low: Option<f64>, high: Option<f64>, volume: Option<f64>) -> DayStats {
    let range = low.and_then(positive).zip(high.and_then(positive));
    DayStats {
        range: range.filter(|(low, high)| low <= high),
        volume: websocket::count(volume).filter(|volume| *volume > 0),
    }
}

/// The best bid and ask. Nobody may bid: that is zero. Nobody may ask: that is zero, or not told.
/// Where both are zero it must be known when that was so, or nothing was told.
pub(crate) fn book(
    [bid, ask]: [Option<f64>; 2],
    sizes: [Option<f64>; 2],
    stamp: Option<Utc>,
) -> Option<TopOfBook> {
    let zero = Price::from_scaled(0);
    let side = |number| Price::from_f64(number).filter(|price| *price >= zero);
    let (bid, ask) = (side(bid?)?, side(ask.unwrap_or(0.0))?);
    let [bid_size, ask_size] = sizes.map(websocket::size);
    let told = bid > zero || ask > zero || stamp.is_some();
    told.then_some(TopOfBook {
        bid,
        ask,
        bid_size,
        ask_size,
    })
}

/// A trade, and when it was made in nanoseconds.
pub(crate) fn trade(
    price: Option<f64>,
    traded: Option<f64>,
    at: Option<f64>,
) -> Option<(Trade, Option<Utc>)> {
    let trade = Trade {
        price: positive(price?)?,
        size: websocket::size(traded),
    };
    Some((trade, websocket::stamp(at)))
}

/// What is computed of a contract; `None` if nothing is.
pub(crate) fn analytics(
    greeks: Option<&Greeks>,
    implied_volatility: Option<f64>,
    open_interest: Option<f64>,
) -> Option<OptionAnalytics> {
    let greek = |of: fn(&Greeks) -> Option<f64>| Price::from_f64(of(greeks?)?);
    let analytics = OptionAnalytics {
        delta: greek(|greeks| greeks.delta),
        gamma: greek(|greeks| greeks.gamma),
        theta: greek(|greeks| greeks.theta),
        vega: greek(|greeks| greeks.vega),
        implied_volatility: implied_volatility.and_then(positive),
        open_interest: websocket::count(open_interest),
    };
    (analytics != OptionAnalytics::default()).then_some(analytics)
}

/// A price of zero is no price.
pub fn positive(number: f64) -> Option<Price> {
    price(number, false)
}

/// The same, but of an index that may be negative it is a value.
pub(crate) fn price(number: f64, may_be_negative: bool) -> Option<Price> {
    let price = Price::from_f64(number)?;
    (may_be_negative || price > Price::from_scaled(0)).then_some(price)
}

#[cfg(test)]
#[path = "tests/snapshot.rs"]
mod tests;
