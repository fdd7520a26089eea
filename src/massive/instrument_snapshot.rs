//! The data of one instrument in a REST response of the vendor or of a hub, after parsing.

use std::time::Duration;

use crate::market::{DayStats, Denial, OptionAnalytics, Price, Ticker, TopOfBook, Trade};
use crate::time::Utc;

/// The data of one instrument in a REST response.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InstrumentSnapshot {
    /// The ticker of the instrument.
    pub ticker: Ticker,
    /// The last value; `None` if the response contains no value.
    pub price: Option<Price>,
    /// The timestamp of the last value; `None` if the response contains no timestamp.
    pub stamp: Option<Utc>,
    /// True if the response marks the value as the closing price of its session.
    pub is_close: bool,
    /// True if the response marks its prices as simulated.
    pub simulated: bool,
    /// The age of the response at its receive time. A hub can repeat an older response of the
    /// vendor.
    pub age: Duration,
    /// True if the response marks its source as delayed.
    pub delayed: bool,
    /// The closing price of the session before the current session.
    pub previous_close: Option<PreviousClose>,
    /// The reason why the vendor serves no data for this ticker; `None` if no refusal is known.
    pub denial: Option<Denial>,
    /// The price range and the volume of the trading day until now.
    pub day: DayStats,
    /// The computed data of an option contract, for example delta.
    pub analytics: Option<OptionAnalytics>,
    /// The best bid and ask; `None` if the response contains no order book.
    pub book: Option<TopOfBook>,
    /// The timestamp of the best bid and ask; `None` if the response contains no timestamp.
    pub book_stamp: Option<Utc>,
    /// The last trade and its timestamp, if the response contains a trade.
    pub trade: Option<(Trade, Option<Utc>)>,
}

impl InstrumentSnapshot {
    /// Creates a snapshot that contains only the ticker and no data.
    pub fn empty(ticker: Ticker) -> Self {
        Self {
            ticker,
            ..Self::default()
        }
    }
}

/// A previous closing price and its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreviousClose {
    /// The price is a field of the response. The price is the previous close at the time of the
    /// response.
    Told(Price),
    /// The price is the last value minus its change. The price is the previous close for the
    /// trading day of that value, and this day can be earlier than today.
    Derived(Price),
}
