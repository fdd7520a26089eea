//! How it arrives: the vendor's JSON, the link as a state machine, and the sockets around it.

pub(crate) mod auth;
pub mod connection;
pub(crate) mod poll_schedule;
pub mod poller;
pub mod session;
pub mod shelf;
pub mod sink;
pub mod subscriptions;

pub use crate::net::failure::Failure;
pub use connection::{Connection, ConnectionStatus};

use std::pin::Pin;
use std::time::Duration;

use crate::market::{
    Bar, Channel, ChannelKind, Cluster, DayStats, Denial, MarketStatus, OptionAnalytics, Price,
    Ticker, TopOfBook, Trade,
};
use crate::time::{Moment, Utc};

/// A future on the heap, for what happens once a connection or less: its code is there once, and in
/// this library, where each program and each function that awaits it would have had a copy.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The only thing a session says to the desk. Of fixed size: nothing after `wire` sees JSON.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// A link has changed its state.
    Status(Cluster, ConnectionStatus),
    /// The other side has acknowledged a channel.
    Subscribed(Channel),
    /// A channel was asked for twice and never confirmed.
    Unanswered {
        /// Which.
        channel: Channel,
        /// The server has said `not authorized`, which names no channel.
        not_authorized: bool,
    },
    /// An answer of the server had this `Date`.
    ServerTime {
        /// When it came.
        at: Moment,
        /// The date, cut to the second.
        utc: Utc,
    },
    /// An index value.
    Value {
        /// Whose.
        ticker: Ticker,
        /// The value.
        price: Price,
        /// By the feed's clock, where it said.
        stamp: Option<Utc>,
        /// How old a hub says that it is: it repeats its last value to a new client.
        age: Option<Duration>,
    },
    /// A bar.
    Bar {
        /// Whose.
        ticker: Ticker,
        /// Of a second or a minute.
        kind: ChannelKind,
        /// The bar.
        bar: Bar,
        /// How much was traded today, where the bar says.
        volume: Option<u64>,
        /// How old a hub says that it is.
        age: Option<Duration>,
    },
    /// The best bid and ask; their middle is the value.
    Quote {
        /// Whose.
        ticker: Ticker,
        /// What is bid and asked.
        book: TopOfBook,
        /// By the feed's clock, where it said.
        stamp: Option<Utc>,
        /// How old a hub says that it is.
        age: Option<Duration>,
    },
    /// A trade.
    Trade {
        /// Whose.
        ticker: Ticker,
        /// The trade.
        trade: Trade,
        /// By the feed's clock, where it said.
        stamp: Option<Utc>,
    },
    /// An answer by REST about one instrument.
    Seed(Box<InstrumentSnapshot>),
    /// The minutes of a session so far, by REST, in order.
    Minutes {
        /// Whose.
        ticker: Ticker,
        /// The bars of a minute.
        bars: Box<[Bar]>,
        /// The answer says that its prices are not real.
        simulated: bool,
    },
    /// Which markets are open, by REST; and whether the answer says that its prices are not real.
    Market(MarketStatus, bool),
}

impl Update {
    /// Whether it may change what is needed of REST. What is streamed, too, ends the asking: at the next
    /// turn, for it is no hurry.
    pub const fn may_change_needs(&self) -> bool {
        matches!(
            self,
            Self::Status(..)
                | Self::Seed(_)
                | Self::Market(..)
                | Self::ServerTime { .. }
                | Self::Unanswered { .. }
        )
    }
}

/// What REST knows of one instrument.
#[derive(Clone, Debug, PartialEq)]
pub struct InstrumentSnapshot {
    /// Whose.
    pub ticker: Ticker,
    /// The last value, if there is one.
    pub price: Option<Price>,
    /// When the last value was made, where the answer said.
    pub stamp: Option<Utc>,
    /// The answer says that the value is the close of its session.
    pub is_close: bool,
    /// The answer says that its prices are not real.
    pub simulated: bool,
    /// How old the answer was when it came: a hub repeats the vendor's.
    pub age: Duration,
    /// The answer says that its source serves it late.
    pub delayed: bool,
    /// The close before the current session.
    pub previous_close: Option<PreviousClose>,
    /// The vendor serves nothing of it.
    pub denial: Option<Denial>,
    /// The day so far.
    pub day: DayStats,
    /// Of a contract.
    pub analytics: Option<OptionAnalytics>,
    /// The best bid and ask, where the answer has both.
    pub book: Option<TopOfBook>,
    /// When the book was quoted, where the answer said.
    pub book_stamp: Option<Utc>,
    /// The last trade, and when it was made.
    pub trade: Option<(Trade, Option<Utc>)>,
}

impl InstrumentSnapshot {
    /// Nothing is known of this ticker yet.
    pub const fn empty(ticker: Ticker) -> Self {
        Self {
            ticker,
            price: None,
            stamp: None,
            is_close: false,
            simulated: false,
            age: Duration::ZERO,
            delayed: false,
            previous_close: None,
            denial: None,
            day: DayStats {
                range: None,
                volume: None,
            },
            analytics: None,
            book: None,
            book_stamp: None,
            trade: None,
        }
    }
}

/// A previous close, by how it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreviousClose {
    /// The answer named it: it is the one of now.
    Told(Price),
    /// The last value less its change: it is the one of the day of that value.
    Derived(Price),
}
