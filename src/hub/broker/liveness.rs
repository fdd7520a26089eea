//! Who has to go: the late, the dead, the revoked, and everybody at the end. Owns the patience of
//! the hub; reads no clock of its own.

use std::time::Duration;

use super::Broker;
use super::last_value::ClientSlot;
use crate::hub::session::client::ClientState;
use crate::hub::session::protocol::StatusFrame;
use crate::hub::session::websocket;

/// A client that has said nothing for this long is asked whether it is there.
const IDLE: Duration = Duration::from_secs(30);

/// So many questions in a row go unanswered before a client is dropped.
const UNANSWERED: u8 = 2;

impl Broker {
    /// Sends one away whose device is no longer allowed.
    pub(crate) fn revoke(&mut self, client_slot: ClientSlot) {
        self.metrics.clients_revoked.add(1);
        let status = StatusFrame::one("force_disconnect", "the token of this device was revoked");
        self.close(client_slot, Some(1008), status);
    }

    /// Sends away whose device is no longer allowed.
    pub(crate) fn disconnect_revoked(&mut self) {
        let registry = self.authenticator.registry().borrow().clone();
        for client_slot in 0..self.clients.len() {
            if let Some(client) = &self.clients[client_slot]
                && client.state == ClientState::Authenticated
                && let Some(device) = &client.device
                && !registry.contains(device)
            {
                log::info!("{}: {device} was revoked and is disconnected", self.cluster);
                self.revoke(client_slot);
            }
        }
    }

    /// What is done once a second: who is late, dead or no longer wanted.
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
                    // It had been silent for long when it was asked, so what came in the same
                    // millisecond is the answer.
                    if heard >= client.asked {
                        client.unanswered = 0;
                    }
                    if now.since(heard.max(client.asked)) < IDLE {
                        continue;
                    }
                    if client.unanswered >= UNANSWERED {
                        self.metrics.clients_dead.add(1);
                        self.remove(client_slot);
                        continue;
                    }
                    client.unanswered += 1;
                    client.asked = now;
                    let mut frame = Vec::new();
                    websocket::ping(&mut frame);
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

    /// Tells everybody that the hub is about to restart.
    pub(crate) fn close_all(&mut self) {
        self.close_all_with(1012, StatusFrame::new);
    }

    /// Sends everybody away with this code, behind these last words.
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
