//! What is traded: symbols, prices, the calendar and the watchlist. Pure: no I/O, no clock.

mod calendar;
mod detail;
mod freshness;
mod history;
mod minutes;
mod price;
mod quote;
mod symbol;
mod watchlist;

pub use calendar::{Calendar, EXTENDED_STALE_AFTER, GRACE, MarketPhase, SessionPart, limit};
pub use detail::{DayStats, Denial, MarketState, MarketStatus, OptionAnalytics, TopOfBook, Trade};
pub use freshness::{DisplayedQuote, Freshness, LinkState};
pub use history::{HISTORY_POINTS, History};
pub use minutes::{DayBars, TradingDay};
pub use price::{Change, NumberFormat, Price, ShortText, whole};
pub use quote::{AHEAD, AsOf, Bar, DELAY, Provenance, Quote, QuoteSource};
pub use symbol::{
    AssetClass, Channel, ChannelKind, Cluster, Contract, Symbol, SymbolError, Ticker,
    may_be_negative,
};
pub use watchlist::{CAPACITY, Instrument, Outcome, Watchlist, WatchlistError};
