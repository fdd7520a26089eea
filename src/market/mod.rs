//! What is traded: symbols, prices, the calendar and the watchlist. Pure: no I/O, no clock.

mod calendar;
mod freshness;
mod history;
mod price;
mod quote;
mod symbol;
mod watchlist;

pub use calendar::{Calendar, GRACE, Phase, limit};
pub use freshness::Freshness;
pub use history::{HISTORY, History};
pub use price::{Change, Price, Text};
pub use quote::{Bar, Quote, Source};
pub use symbol::{Channel, Class, Cluster, Kind, Symbol, SymbolError, Ticker};
pub use watchlist::{CAPACITY, Instrument, Outcome, Watchlist, WatchlistError};
