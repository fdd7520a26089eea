//! The market data: symbols, prices, the calendar and the watchlist. All code is pure: no I/O and
//! no clock.

mod calendar;
mod channel;
mod day_bars;
mod instrument_data;
mod option_contract;
mod price;
mod quote;
mod staleness;
mod symbol;
mod watchlist;

pub use calendar::{Calendar, MarketPhase, SessionPart, limit, new_york_date, new_york_midnight};
pub use channel::{Channel, ChannelKind, Cluster, Ticker, WILDCARD};
pub use day_bars::{DayBars, HISTORY_POINTS, TradingDay};
pub use instrument_data::{
    DayStats, Denial, MarketState, MarketStatus, OptionAnalytics, TopOfBook, Trade,
};
pub use option_contract::Contract;
pub use price::{Change, NumberFormat, Price, ShortText, whole};
pub use quote::{AHEAD, AsOf, Bar, DELAY, Provenance, Quote, QuoteSource};
pub use staleness::{DisplayedQuote, Freshness, LinkState};
pub use symbol::{AssetClass, Symbol, SymbolError, may_be_negative};
pub use watchlist::{CAPACITY, Instrument, Outcome, Watchlist, WatchlistError};
