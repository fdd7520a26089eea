//! The vendor's universal snapshot: the request path and the response rows. Pure: the callers send
//! the request.
//!
//! The parser accepts incomplete data: every field except the ticker may be missing, and a row that
//! cannot be read does not affect the other rows. A day that has not begun contains only zeros. The
//! display and the hub use the same rules to find the price, the closing price and the delay.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::instrument_snapshot::{InstrumentSnapshot, PreviousClose};
use super::{UnreadableRows, printable, trade_conditions, websocket};
use crate::market::{
    AssetClass, DayStats, Denial, OptionAnalytics, Price, Symbol, Ticker, TopOfBook, Trade,
};
use crate::time::Utc;

/// The maximum number of tickers in one request, from the vendor's documentation.
pub const TICKERS: usize = 250;

/// Returns the request path for these tickers. The tickers may belong to different asset classes.
pub fn path<'a>(tickers: impl IntoIterator<Item = &'a str>) -> String {
    let tickers: Vec<&str> = tickers.into_iter().collect();
    // Without a limit the vendor returns only the first ten rows.
    format!(
        "/v3/snapshot?ticker.any_of={}&limit={TICKERS}",
        tickers.join(",")
    )
}

/// The vendor's data for one ticker.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct SnapshotRow {
    /// The vendor's ticker, for example `I:SPX`.
    pub ticker: String,
    /// `NOT_FOUND` or `NOT_ENTITLED`. The row then contains no other data.
    pub error: Option<String>,
    /// The value of an index.
    pub value: Option<f64>,
    /// The time of the last update of the row: a Unix timestamp in nanoseconds.
    pub last_updated: Option<f64>,
    /// The state of the market: `open`, `closed`, `regular_trading`, …
    pub market_status: Option<String>,
    /// `REAL-TIME` or `DELAYED`. A share or a contract has this field in its trade and in its
    /// quote.
    pub timeframe: Option<String>,
    /// The prices and the volume of the session.
    pub session: Option<SessionStats>,
    /// The last trade of a share or a contract.
    pub last_trade: Option<LastTrade>,
    /// The best bid and ask of a share or a contract.
    pub last_quote: Option<LastQuote>,
    /// The greeks of a contract; absent or empty if the contract is deep in the money.
    pub greeks: Option<Greeks>,
    /// The implied volatility of a contract, as a fraction (0.25 means 25 %).
    pub implied_volatility: Option<f64>,
    /// The open interest of a contract.
    pub open_interest: Option<f64>,
    /// The age of the row in seconds. Only a hub sends this field and the next two fields.
    #[serde(default)]
    pub age: Value,
    /// True if the hub could not get a newer row from its vendor.
    #[serde(default, deserialize_with = "super::flag")]
    pub stale: bool,
    /// True if the prices of the row are simulated.
    #[serde(default, deserialize_with = "super::flag")]
    pub simulated: bool,
}

/// The prices and the volume of the current session, or of the last session.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct SessionStats {
    /// The last price of the session.
    pub close: Option<f64>,
    /// The closing price of the previous session.
    pub previous_close: Option<f64>,
    /// The highest price of the session.
    pub high: Option<f64>,
    /// The lowest price of the session.
    pub low: Option<f64>,
    /// The volume of the session, in shares or contracts. An index has no volume.
    pub volume: Option<f64>,
}

/// The last trade of a share or a contract.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct LastTrade {
    /// The price of the trade.
    pub price: Option<f64>,
    /// The size of the trade, in contracts or shares.
    pub size: Option<f64>,
    /// The time of the trade: a Unix timestamp in nanoseconds.
    pub sip_timestamp: Option<f64>,
    /// The conditions of the trade, as the vendor's condition codes.
    pub conditions: Option<Vec<i64>>,
    /// `REAL-TIME` or `DELAYED`.
    pub timeframe: Option<String>,
}

/// The best bid and ask of a share or a contract.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct LastQuote {
    /// The highest price that a buyer offers.
    pub bid: Option<f64>,
    /// The lowest price that a seller accepts.
    pub ask: Option<f64>,
    /// The size of the bid.
    pub bid_size: Option<f64>,
    /// The size of the ask.
    pub ask_size: Option<f64>,
    /// The time of the quote: a Unix timestamp in nanoseconds.
    pub last_updated: Option<f64>,
    /// `REAL-TIME` or `DELAYED`.
    pub timeframe: Option<String>,
}

/// The sensitivities of the price of an option contract.
#[derive(Clone, Debug, Default, Deserialize, serde::Serialize, PartialEq)]
pub struct Greeks {
    /// The change of the price when the price of the underlying changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<f64>,
    /// The change of delta when the price of the underlying changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
    /// The change of the price with time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theta: Option<f64>,
    /// The change of the price when the volatility changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vega: Option<f64>,
}

/// The content of a snapshot response.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The rows of the response, without the rows that cannot be read.
    pub rows: Vec<SnapshotRow>,
    /// True if the response reports simulated prices. Only a simulator sends this field; the vendor
    /// does not use it.
    pub simulated: bool,
    /// The tickers whose rows cannot be read.
    pub unreadable: UnreadableRows,
}

/// A snapshot response whose rows are not read yet.
#[derive(Deserialize)]
pub(crate) struct SnapshotBody {
    #[serde(default)]
    pub(crate) results: Vec<Value>,
    #[serde(default, deserialize_with = "super::flag")]
    pub(crate) simulated: bool,
}

/// Reads a snapshot response.
///
/// # Errors
/// The body is not a snapshot response of the vendor.
pub fn read(body: &[u8]) -> Result<Snapshot, serde_json::Error> {
    let body: SnapshotBody = super::body(body)?;
    let mut unreadable = UnreadableRows::new();
    let lost = |row: &Value, error: &serde_json::Error| {
        let ticker = row["ticker"]
            .as_str()
            .and_then(|text| Ticker::try_from(text).ok());
        unreadable.extend(ticker.map(|ticker| (ticker, printable(&error.to_string()))));
    };
    Ok(Snapshot {
        rows: super::rows(body.results, lost).collect(),
        simulated: body.simulated,
        unreadable,
    })
}

impl Snapshot {
    /// Returns the instrument snapshots for the display. Rows without usable data are skipped.
    pub(crate) fn seeds(&self) -> impl Iterator<Item = InstrumentSnapshot> {
        self.rows.iter().filter_map(|row| {
            let mut seed = row.seed()?;
            seed.simulated = self.simulated || row.simulated;
            seed.age = row.age();
            Some(seed)
        })
    }
}

/// The last price of a row, its time, and true if the price is the closing price of its session.
type Last = (Price, Option<Utc>, bool);

impl SnapshotRow {
    /// Converts the row to an instrument snapshot. Returns `None` if the ticker or the error text
    /// is unknown.
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
        if let Some((price, stamp, is_close)) = last {
            (seed.price, seed.stamp, seed.is_close) = (Some(price), stamp, is_close);
        }
        if symbol.class() == AssetClass::Option {
            seed.analytics = analytics(
                self.greeks.as_ref(),
                self.implied_volatility,
                self.open_interest,
            );
        }
        seed.delayed = self.is_delayed(symbol.class());
        seed.previous_close = self.previous_close().map(PreviousClose::Told);
        Some(seed)
    }

    /// Returns the age of the row at the time of the response.
    pub(crate) fn age(&self) -> Duration {
        super::age(&self.age, self.stale)
    }

    /// Returns the value of an index; `None` if the row has no valid value.
    pub(crate) fn value(&self, symbol: &Symbol) -> Option<Price> {
        price(self.value?, symbol.may_be_negative())
    }

    fn index(&self, symbol: &Symbol) -> Option<Last> {
        let close = || {
            // A close of zero means that the session has not begun.
            let close = self.session.as_ref()?.close.filter(|close| *close != 0.0)?;
            price(close, symbol.may_be_negative())
        };
        let value = || self.value(symbol);
        let is_close = self.is_closed();
        // After the market closes, `value` may come from outside the regular hours, so the closing
        // price has priority.
        let price = if is_close {
            close().or_else(value)
        } else {
            value().or_else(close)
        };
        Some((price?, websocket::stamp(self.last_updated), is_close))
    }

    /// Returns the price of a share, which is its last trade. After the market closes, the last
    /// trade may come from the extended hours, so the closing price of the session has priority.
    fn share(&self, trade: Option<(Trade, Option<Utc>)>) -> Option<Last> {
        let close = || {
            let close = self.session.as_ref()?.close.and_then(positive)?;
            // The vendor can update a row without a new trade, and its close is then still the old
            // one.
            let traded =
                (self.last_trade.as_ref()).and_then(|last| websocket::stamp(last.sip_timestamp));
            let updated = websocket::stamp(self.last_updated);
            let stamp = updated.map(|updated| traded.map_or(updated, |traded| updated.min(traded)));
            Some((close, stamp, self.is_closed()))
        };
        let closed = self.is_closed().then(close).flatten();
        let traded = || match (trade, self.market_status.as_deref()) {
            (Some((trade, stamp @ Some(_))), _) => Some((trade.price, stamp, false)),
            // In the extended hours, the close of the session is not the current price of a share,
            // even if the row has a newer timestamp.
            (_, Some("early_trading" | "late_trading" | "extended-hours")) => None,
            _ => close(),
        };
        closed.or_else(traded)
    }

    /// Returns the price of a contract: the middle of its quote, if the quote has a timestamp. The
    /// last trade may be days old, and the close of the session is the price of that trade, so
    /// neither of them is used.
    fn contract(&self, seed: &InstrumentSnapshot) -> Option<Last> {
        let price = seed.book?.mid()?;
        Some((price, Some(seed.book_stamp?), self.is_closed()))
    }

    /// Returns the last trade. A trade of a share counts only if it makes a last price. Other
    /// trades belong to another time, have another kind of delivery, or have a price that depends
    /// on another price.
    fn trade(&self, class: AssetClass, day: DayStats) -> Option<(Trade, Option<Utc>)> {
        let last = self.last_trade.as_ref()?;
        let stamp = websocket::stamp(last.sip_timestamp);
        let (trade, stamp) = trade(last.price, last.size, stamp)?;
        if class == AssetClass::Equity {
            let regular = matches!(
                self.market_status.as_deref(),
                Some("open" | "regular_trading")
            );
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

    /// Returns true if the vendor reports that the market of this instrument is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.market_status.as_deref() == Some("closed")
    }

    /// Returns true if the vendor reports that the price of this instrument is delayed. The field
    /// is read from the source of the price: the trade of a share, or the quote of a contract.
    pub(crate) fn is_delayed(&self, class: AssetClass) -> bool {
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

    /// Returns the closing price of the previous session; `None` if the price is missing or not
    /// above zero.
    pub fn previous_close(&self) -> Option<Price> {
        self.session.as_ref()?.previous_close.and_then(positive)
    }
}

/// Converts the vendor's error text to a denial; `None` if the text is another error.
pub(crate) fn denial(words: &str) -> Option<Denial> {
    match words {
        "NOT_ENTITLED" => Some(Denial::NotEntitled),
        "NOT_FOUND" => Some(Denial::NotFound),
        _ => None,
    }
}

/// Returns the price range and the volume of the day. Zeros count as missing, because a day that
/// has not begun contains only zeros.
pub(crate) fn day(low: Option<f64>, high: Option<f64>, volume: Option<f64>) -> DayStats {
    let range = low.and_then(positive).zip(high.and_then(positive));
    DayStats {
        range: range.filter(|(low, high)| low <= high),
        volume: websocket::count(volume).filter(|volume| *volume > 0),
    }
}

/// Returns the best bid and ask. A bid of zero means that there is no buyer. An ask that is zero or
/// missing means that there is no seller. If both sides are zero, a timestamp is required, because
/// zeros without a timestamp mean that there is no data.
pub(crate) fn book(
    [bid, ask]: [Option<f64>; 2],
    sizes: [Option<f64>; 2],
    stamp: Option<Utc>,
) -> Option<TopOfBook> {
    let zero = Price::from_scaled(0);
    let side = |number| Price::from_f64(number).filter(|price| *price >= zero);
    let (bid, ask) = (side(bid?)?, side(ask.unwrap_or(0.0))?);
    let [bid_size, ask_size] = sizes.map(websocket::size);
    let has_quote = bid > zero || ask > zero || stamp.is_some();
    has_quote.then_some(TopOfBook {
        bid,
        ask,
        bid_size,
        ask_size,
    })
}

/// Returns a trade and its time; `None` if the price is missing or not above zero.
pub(crate) fn trade(
    price: Option<f64>,
    size: Option<f64>,
    stamp: Option<Utc>,
) -> Option<(Trade, Option<Utc>)> {
    let trade = Trade {
        price: positive(price?)?,
        size: websocket::size(size),
    };
    Some((trade, stamp))
}

/// Returns the computed values of a contract; `None` if there is no value.
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

/// Converts a number to a price. Returns `None` unless the price is above zero, because zero means
/// that there is no data.
pub fn positive(number: f64) -> Option<Price> {
    price(number, false)
}

/// Converts a number to a price like [`positive`]. If `may_be_negative` is true, zero and negative
/// prices are valid too.
pub(crate) fn price(number: f64, may_be_negative: bool) -> Option<Price> {
    let price = Price::from_f64(number)?;
    (may_be_negative || price > Price::from_scaled(0)).then_some(price)
}

#[cfg(test)]
#[path = "tests/snapshot.rs"]
mod tests;
