//! The vocabulary of a connection: its events, its actions, its states and its status. The types
//! only hold data and write a changed status to the log.

use core::fmt;
use core::time::Duration;

use super::subscriptions::SubscriptionAction;
use crate::market::{Channel, Cluster};
use crate::massive::websocket::ChannelRefusal;
use crate::net::failure::Failure;
use crate::net::source::FeedProvider;
use crate::time::Moment;

/// An event on a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum ConnectionEvent<'a> {
    /// The WebSocket is open.
    Opened,
    /// The server accepted the key.
    Authenticated,
    /// The server acknowledged a channel.
    Subscribed(&'a Channel),
    /// The hub waits for the answer of the vendor for this channel.
    Requested(&'a Channel),
    /// The hub has refused this channel.
    Refused(&'a Channel, ChannelRefusal),
    /// A frame of any type arrived; a pong is also a frame.
    Heard,
    /// The connection or the connection attempt has ended.
    Closed(Failure),
    /// The server requests this wait before the next attempt after the end of this connection.
    RetryAfter(Duration),
    /// The host has answered a REST request or another connection.
    Alive,
    /// The display uses another hub from now on.
    Moved,
    /// The path to the host works (`None`), or has this failure. During a wait, the path is the
    /// name of the host and a route to the host; during a connection, the network interface of the
    /// connection.
    Path(Option<Failure>),
}

/// An action that the session must execute.
#[derive(Clone, Debug, PartialEq)]
pub enum ConnectionAction {
    /// Open a connection. The session reports the result as `Opened` or `Closed`.
    Open,
    /// Send the key to the server.
    Authenticate,
    /// Request a channel from the server.
    Subscribe(Channel),
    /// Cancel a channel at the server.
    Unsubscribe(Channel),
    /// Send a ping to the server.
    Ping,
    /// Report that the server refused a channel, or confirmed neither of two requests.
    Report(Channel, ChannelRefusal),
    /// Close the connection or cancel the attempt. The session reports no result for this action.
    Close(Failure),
}

impl From<SubscriptionAction> for ConnectionAction {
    fn from(action: SubscriptionAction) -> Self {
        match action {
            SubscriptionAction::Subscribe(channel) => Self::Subscribe(channel),
            SubscriptionAction::Unsubscribe(channel) => Self::Unsubscribe(channel),
            SubscriptionAction::Report(channel, refusal) => Self::Report(channel, refusal),
        }
    }
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// The connection is closed, because no channel is wanted.
    Idle,
    /// The connection is closed and waits for the next attempt.
    Backoff {
        /// The time of the next attempt.
        until: Moment,
    },
    /// A connection attempt is in progress.
    Connecting {
        /// The time limit of the attempt.
        until: Moment,
    },
    /// The WebSocket is open, and the server has not sent `auth_success` yet.
    Authenticating {
        /// The time limit for the response of the server.
        until: Moment,
    },
    /// The connection is in use.
    Live {
        /// The start of this state.
        since: Moment,
        /// The receive time of the last frame.
        heard: Moment,
    },
    /// The connection is in use, but the expected data does not arrive.
    Silent {
        /// The start of this state.
        since: Moment,
        /// The receive time of the last frame.
        heard: Moment,
    },
    /// The server refused this client. The wait for the next attempt is longer than usual.
    Refused {
        /// The time of the next attempt.
        until: Moment,
    },
}

impl ConnectionState {
    /// Returns the phase of the state. `is_needed` is false for a connection without wanted
    /// channels, which only waits for the end of its backoff.
    pub(super) const fn phase(self, is_needed: bool) -> ConnectionPhase {
        match self {
            Self::Idle => ConnectionPhase::Idle,
            Self::Backoff { .. } | Self::Refused { .. } if !is_needed => ConnectionPhase::Idle,
            Self::Backoff { .. } => ConnectionPhase::Down,
            Self::Connecting { .. } | Self::Authenticating { .. } => ConnectionPhase::Joining,
            Self::Live { .. } => ConnectionPhase::Live,
            Self::Silent { .. } => ConnectionPhase::Silent,
            Self::Refused { .. } => ConnectionPhase::Refused,
        }
    }
}

/// The status of a connection for the event sink of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionStatus {
    /// The current phase of the connection.
    pub phase: ConnectionPhase,
    /// The reason of the last failure, until the connection is live again.
    pub reason: Option<Failure>,
    /// The number of times that the connection has become live since the start.
    pub connections: u32,
    /// `Some(true)` if the server marks its prices as simulated; `None` before the first frame.
    pub simulated: Option<bool>,
    /// The time until which the data path worked, as the last pong proves. The data path includes
    /// the upstream connection of a hub. Data from before this time is not late because of a dead
    /// connection.
    pub heard: Moment,
    /// True if the hub reported the loss of its own upstream connection.
    pub cut_off: bool,
}

impl ConnectionStatus {
    /// Writes a changed phase or reason to the log. The same reason is logged only once.
    pub(super) fn log_change(&self, before: &Self, cluster: Cluster) {
        if (self.phase, self.reason) == (before.phase, before.reason) {
            return;
        }
        let phase = self.phase;
        match self.reason {
            None | Some(Failure::Done) => log::info!("{cluster}: {phase}"),
            Some(_) if self.reason == before.reason => {}
            Some(reason) if cluster == Cluster::Stocks && reason.is_absence() => {
                log::info!(
                    "{cluster}: the server does not stream shares, so their prices come from REST"
                );
            }
            Some(reason) => log::warn!("{cluster}: {phase}: {reason}"),
        }
    }
}

/// Writes a channel that the server did not confirm to the log.
pub(super) fn log_unanswered(provider: FeedProvider, cluster: Cluster, channel: &Channel) {
    match provider {
        FeedProvider::Vendor => log::warn!(
            "{cluster}: the server did not confirm the subscription to {channel} after two \
             requests: does the plan include this channel?"
        ),
        // The proxy sends no confirmation to a client that connects late, so a missing confirmation
        // alone is not an error.
        FeedProvider::Hub => log::info!(
            "{cluster}: the server did not confirm the subscription to {channel} after two requests"
        ),
    }
}

/// The phases of a connection: [`ConnectionState`] without its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionPhase {
    /// The connection is closed, because no channel is wanted.
    Idle,
    /// The connection is closed and waits for the next attempt.
    Down,
    /// The connection is being opened or authenticated.
    Joining,
    /// The connection is in use.
    Live,
    /// The connection is in use, but the expected data does not arrive.
    Silent,
    /// The server refused this client.
    Refused,
}

/// The text for the log.
impl fmt::Display for ConnectionPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "connection closed, no channel is wanted",
            Self::Down => "no connection",
            Self::Joining => "connecting",
            Self::Live => "connection live",
            Self::Silent => "connection silent",
            Self::Refused => "refused by the server",
        })
    }
}
