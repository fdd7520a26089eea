//! The data feed: WebSocket sessions, subscriptions, authentication and REST polling. This module
//! converts the data of the vendor or of a hub into [`Update`] values. This module never decides
//! what the display shows.

pub(crate) mod auth;
pub mod backoff;
pub mod connection;
pub mod connection_status;
pub(crate) mod failover;
pub mod hub_choice;
pub mod poll_schedule;
pub mod poller;
pub(crate) mod rest_paths;
pub mod session;
pub mod sink;
pub mod subscriptions;

use crate::market::{Bar, Channel, Cluster, MarketStatus, Ticker};
use crate::massive::instrument_snapshot::InstrumentSnapshot;
use crate::massive::websocket::MarketEvent;
use crate::net::failure::Failure;
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
    /// The server refused a channel, or confirmed neither of two requests.
    Unanswered {
        /// The channel without a confirmation.
        channel: Channel,
        /// True if the vendor's plan does not include the channel. The vendor's message names no
        /// channel, so the cause can be another channel of the connection.
        not_authorized: bool,
    },
    /// The `Date` header of a server response.
    ServerTime {
        /// The receive time of the response, on the monotonic clock.
        at: Moment,
        /// The date and time in the `Date` header, with a resolution of one second.
        utc: Utc,
    },
    /// Market data of the stream for the instrument with this ticker.
    Market(Ticker, MarketEvent),
    /// The outcome of a REST request: success, or the reason of the failure. Each failure is sent.
    /// A success is sent only if the previous outcome was a failure or if no outcome exists.
    Rest(Result<(), Failure>),
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
    MarketStatus(MarketStatus, bool),
}

impl Update {
    /// Returns true if this update can change the REST data that the ticker state needs. A streamed
    /// value can also end the need for REST data. The next regular check detects that case early
    /// enough, so streamed values return false.
    pub const fn may_change_needs(&self) -> bool {
        matches!(
            self,
            Self::Status(..)
                | Self::Rest(_)
                | Self::Seed(_)
                | Self::MarketStatus(..)
                | Self::ServerTime { .. }
                | Self::Unanswered { .. }
        )
    }
}
