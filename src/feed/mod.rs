//! The data feed: WebSocket sessions, subscriptions, authentication and REST polling. This module
//! converts the data of the vendor or of a hub into [`Update`] values. This module never decides
//! what the display shows.

pub(crate) mod auth;
pub mod backoff;
pub mod connection;
pub mod connection_status;
pub mod poll_schedule;
pub mod poller;
pub(crate) mod rest_paths;
pub mod session;
pub mod sink;
pub mod subscriptions;

use std::time::Duration;

use crate::market::{
    Bar, Channel, ChannelKind, Cluster, MarketStatus, Price, Ticker, TopOfBook, Trade,
};
use crate::massive::instrument_snapshot::InstrumentSnapshot;
use crate::time::{Moment, Utc};
pub use connection::Connection;
pub use connection_status::ConnectionStatus;

/// A message from a session or from the REST poller to the ticker state. Every message has the same
/// fixed size, because large data is in a `Box`. The ticker state never receives JSON.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// A new state of a connection.
    Status(Cluster, ConnectionStatus),
    /// The server has acknowledged a channel.
    Subscribed(Channel),
    /// A channel was requested twice on one connection, and the server never confirmed the channel.
    Unanswered {
        /// The channel without a confirmation.
        channel: Channel,
        /// True if the server sent `not authorized` on this connection. The status message names no
        /// channel, so the cause can be another channel.
        not_authorized: bool,
    },
    /// The `Date` header of a server response.
    ServerTime {
        /// The receive time of the response, on the monotonic clock.
        at: Moment,
        /// The date and time in the header, with a resolution of one second.
        utc: Utc,
    },
    /// The value of an index.
    Value {
        /// The ticker of the index.
        ticker: Ticker,
        /// The value of the index.
        price: Price,
        /// The timestamp by the clock of the feed; `None` if the message has no readable timestamp.
        stamp: Option<Utc>,
        /// The age of the value, if a hub reports an age. A hub repeats its last value to a new
        /// client, so the value can be old.
        age: Option<Duration>,
    },
    /// A bar (open, high, low and close) of one second or one minute.
    Bar {
        /// The ticker of the instrument.
        ticker: Ticker,
        /// The channel kind: bars of one second or bars of one minute.
        kind: ChannelKind,
        /// The prices and the time interval of the bar.
        bar: Bar,
        /// The volume of the trading day until now; `None` if the bar has no such field.
        volume: Option<u64>,
        /// The age of the bar, if a hub reports an age.
        age: Option<Duration>,
    },
    /// The best bid and ask. The midpoint of both is the value of the instrument.
    Quote {
        /// The ticker of the instrument.
        ticker: Ticker,
        /// The prices and sizes of the best bid and ask.
        book: TopOfBook,
        /// The timestamp by the clock of the feed; `None` if the message has no readable timestamp.
        stamp: Option<Utc>,
        /// The age of the quote, if a hub reports an age.
        age: Option<Duration>,
    },
    /// A trade of one instrument.
    Trade {
        /// The ticker of the instrument.
        ticker: Ticker,
        /// The price and the size of the trade.
        trade: Trade,
        /// The timestamp by the clock of the feed; `None` if the message has no readable timestamp.
        stamp: Option<Utc>,
    },
    /// The REST response for one instrument.
    Seed(Box<InstrumentSnapshot>),
    /// The one-minute bars of the trading day until now, from REST, in ascending order of time.
    Minutes {
        /// The ticker of the instrument.
        ticker: Ticker,
        /// The one-minute bars.
        bars: Box<[Bar]>,
        /// True if the response marks its prices as simulated.
        simulated: bool,
    },
    /// The state of the markets, from REST. The second field is true if the response marks its data
    /// as simulated.
    Market(MarketStatus, bool),
}

impl Update {
    /// Returns true if this update can change the REST data that the ticker state needs. A streamed
    /// value can also end the need for REST data. The next regular check detects that case early
    /// enough, so streamed values return false.
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
