//! The liveness check of one client: decides when a client is overdue. Owns the ping limits; never
//! sends a message and never reads a clock.

use std::time::Duration;

use crate::hub::session::client::{Client, ClientState};
use crate::time::Moment;

/// The hub sends a ping to a client that has sent no data for this duration.
const IDLE: Duration = Duration::from_secs(30);

/// The number of unanswered pings in a row after which the hub drops a client.
const UNANSWERED: u8 = 2;

/// The action that is due for a client.
pub(super) enum LivenessAction {
    /// The client did not authenticate in time, so its session must be closed.
    Close,
    /// The client has been silent, so the hub must send a ping.
    Ping,
    /// The client did not answer several pings, so it must be removed.
    RemoveDead,
    /// The client did not answer the close frame in time, so it must be removed.
    RemoveClosed,
}

/// Returns the action that is due for a client, and counts the pings. Must run once a second.
pub(super) fn check(client: &mut Client, now: Moment) -> Option<LivenessAction> {
    match client.state {
        ClientState::Unauthenticated { until } => (until <= now).then_some(LivenessAction::Close),
        ClientState::Closing { until } => (until <= now).then_some(LivenessAction::RemoveClosed),
        ClientState::Authenticated => {
            let heard = client.socket_state.heard();
            // The hub sends a ping only after a long silence. Data from the same millisecond as the
            // ping therefore counts as the answer to the ping.
            if heard >= client.pinged {
                client.unanswered = 0;
            }
            if now.since(heard.max(client.pinged)) < IDLE {
                return None;
            }
            if client.unanswered >= UNANSWERED {
                return Some(LivenessAction::RemoveDead);
            }
            client.unanswered += 1;
            client.pinged = now;
            Some(LivenessAction::Ping)
        }
    }
}
