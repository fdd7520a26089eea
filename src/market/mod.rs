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

pub use calendar::{Calendar, EXTENDED_LIMIT, GRACE, Part, Phase, limit};
pub use detail::{Analysis, Book, Day, Denial, MarketStatus, State, Trade};
pub use freshness::{Freshness, Link, Shown};
pub use history::{HISTORY, History};
pub use minutes::{Minutes, TradingDay};
pub use price::{Change, Numbers, Price, Text, whole};
pub use quote::{AHEAD, AsOf, Bar, DELAY, Provenance, Quote, Source};
pub use symbol::{
    Channel, Class, Cluster, Contract, Kind, Symbol, SymbolError, Ticker, may_be_negative,
};
pub use watchlist::{CAPACITY, Instrument, Outcome, Watchlist, WatchlistError};
