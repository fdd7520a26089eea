//! What is traded: symbols, prices, the calendar and the watchlist. Pure: no I/O, no clock.

mod price;
mod quote;
mod symbol;

pub use price::{Change, Price, Text};
pub use quote::{Bar, Freshness, Quote, Trade};
pub use symbol::{Channel, Class, Cluster, Kind, Symbol, SymbolError, Ticker};
