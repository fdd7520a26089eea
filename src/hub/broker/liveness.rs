//! The liveness check: closes clients that do not authenticate in time, that do not answer pings or
//! that have a revoked device, and closes all clients at shutdown. Owns the ping limits; never
//! reads a clock other than the clock of the broker.

use std::time::Duration;

use super::Broker;
use super::delivery::ClientSlot;
use crate::hub::session::client::ClientState;
use crate::hub::session::protocol::StatusFrame;
use crate::hub::session::websocket;

/// The hub sends a ping to a client that has sent no data for this duration.
const IDLE: Duration = Duration::from_secs(30);

/// The number of unanswered pings in a row after which the hub drops a client.
const UNANSWERED: u8 = 2;

impl Broker {
    /// Closes the session of a client whose device is revoked.
    pub(crate) fn revoke(&mut self, client_slot: ClientSlot) {
        self.metrics.clients_revoked.add(1);
        let status = StatusFrame::one("force_disconnect", "the token of this device was revoked");
        self.close(client_slot, Some(1008), status);
    }

    /// Closes the sessions of all devices that are no longer in the device registry.
    pub(crate) fn disconnect_revoked(&mut self) {
        let registry = self.authenticator.registry().borrow().clone();
        for client_slot in 0..self.clients.len() {
            if let Some(client) = &self.clients[client_slot]
                && client.state == ClientState::Authenticated
                && let Some(device) = &client.device
                && !registry.contains(device)
            {
                log::info!(
                    "{}: the token of {device} was revoked; the hub disconnects this device",
                    self.cluster
                );
                self.revoke(client_slot);
            }
        }
    }

    /// Runs once a second: closes clients that do not authenticate in time, sends pings, drops dead
    /// clients, and removes expired channels without subscribers.
    pub(crate) fn housekeeping(&mut self) {
        let now = self.now();
        for client_slot in 0..self.clients.len() {
            let Some(client) = &mut self.clients[client_slot] else {
                continue;
            };
            match client.state {
                ClientState::Unauthenticated { until } if until <= now => {
                    self.metrics.timeouts.add(1);
                    let words = "No authentication request received.";
                    self.close(
                        client_slot,
                        Some(1008),
                        StatusFrame::one("auth_timeout", words),
                    );
                }
                ClientState::Closing { until } if until <= now => self.remove(client_slot),
                ClientState::Unauthenticated { .. } | ClientState::Closing { .. } => {}
                ClientState::Authenticated => {
                    let heard = client.socket_state.heard();
                    // The hub sends a ping only after a long silence. Data from the same
                    // millisecond as the ping therefore counts as the answer to the ping.
                    if heard >= client.pinged {
                        client.unanswered = 0;
                    }
                    if now.since(heard.max(client.pinged)) < IDLE {
                        continue;
                    }
                    if client.unanswered >= UNANSWERED {
                        self.metrics.clients_dead.add(1);
                        self.remove(client_slot);
                        continue;
                    }
                    client.unanswered += 1;
                    client.pinged = now;
                    let frame = websocket::frame(websocket::PING, b"");
                    self.write(client_slot, &frame, 1);
                }
            }
        }
        if self.wanted.expire(now) {
            self.changed = true;
            let wanted = &self.wanted;
            self.last_values.retain(|channel| wanted.covers(channel));
            self.unanswered.retain(|channel| wanted.contains(channel));
        }
    }

    /// Closes all sessions with close code 1012 (service restart).
    pub(crate) fn close_all(&mut self) {
        self.close_all_with(1012, StatusFrame::new);
    }

    /// Sends the status `last_words` to each client and then closes its session with this close
    /// code.
    pub(crate) fn close_all_with(&mut self, code: u16, last_words: fn() -> StatusFrame) {
        for client_slot in 0..self.clients.len() {
            if self.clients[client_slot]
                .as_ref()
                .is_some_and(|client| !matches!(client.state, ClientState::Closing { .. }))
            {
                self.close(client_slot, Some(code), last_words());
            }
        }
    }
}
