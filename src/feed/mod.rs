//! How it arrives: the vendor's JSON, the link as a state machine, and the sockets around it.

pub mod audience;
pub mod link;
pub mod net;
pub mod rest;
pub mod session;
pub mod shelf;
pub mod snapshot;
pub mod subscriptions;
mod ticket;
pub mod wire;

pub use link::{Link, Status, Why};

use crate::clock::Utc;
use crate::market::{Bar, Channel, Cluster, Kind, Price, Ticker};

/// The only thing a session says to the desk. Of fixed size: nothing after `wire` sees JSON.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// A link has changed its state.
    Status(Cluster, Status),
    /// The other side has acknowledged a channel.
    Subscribed(Channel),
    /// An index value, or the middle of an option's bid and ask.
    Value {
        /// Whose.
        ticker: Ticker,
        /// The value.
        price: Price,
        /// By the feed's clock, where it said.
        stamp: Option<Utc>,
    },
    /// A bar.
    Bar {
        /// Whose.
        ticker: Ticker,
        /// Of a second or a minute.
        kind: Kind,
        /// The bar.
        bar: Bar,
    },
    /// An answer by REST.
    Seed(Seed),
}

/// What REST knows of one instrument.
#[derive(Clone, Debug, PartialEq)]
pub struct Seed {
    /// Whose.
    pub ticker: Ticker,
    /// The last value, if there is one.
    pub price: Option<Price>,
    /// When the last value was made, where the answer said.
    pub stamp: Option<Utc>,
    /// The answer says that its source serves it late.
    pub delayed: bool,
    /// The close before the current session.
    pub previous_close: Option<Close>,
}

/// A previous close, by how it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// The answer named it: it is the one of now.
    Told(Price),
    /// The last value less its change: it is the one of the day of that value.
    Derived(Price),
}
