//! The reaction of the broker to a new upstream status, and the status messages to the clients.
//! Owns no state; the broker owns the state.

use std::collections::BTreeSet;

use super::{Broker, UpstreamStatus};
use crate::hub::RelayedEvent;
use crate::hub::session::protocol::StatusFrame;
use crate::market::Channel;
use crate::net::failure::Failure;

/// Returns the vendor's text for a refused subscription, with the channel name added. The vendor's
/// own text contains no channel name.
fn unanswered(channel: &Channel) -> String {
    format!("not authorized: {channel}")
}

/// Returns the status for the clients of a cluster that the vendor refuses.
pub(crate) fn denied_frame() -> StatusFrame {
    StatusFrame::one("upstream_down", &Failure::Key.to_string())
}

impl Broker {
    /// Handles a new working connection of the upstream.
    pub(crate) fn upstream_up(&mut self, simulated: bool) {
        if self.upstream != UpstreamStatus::Up {
            // The vendor's plan may have changed since the previous connection, so the hub forgets
            // the unconfirmed channels.
            self.unanswered.clear();
        }
        if self.simulated != simulated {
            // The source of the prices has changed, so the hub must not replay values of the
            // previous source.
            self.last_values.clear_values();
        }
        if self.simulated && !simulated {
            log::warn!(
                "{}: the upstream now sends real prices instead of simulated prices; the hub \
                 closes all client connections, so that the displays connect again",
                self.cluster
            );
            // A display keeps the simulated status and the simulated values until its connection
            // ends, so all clients must reconnect.
            self.close_all_with(1012, StatusFrame::new);
        }
        let mut status_frame = StatusFrame::new();
        if let UpstreamStatus::Down(_) = self.upstream {
            status_frame.add("upstream_up", "prices are coming again");
        }
        if simulated && !self.simulated {
            status_frame.add("simulated", "These prices are simulated.");
        }
        self.upstream = UpstreamStatus::Up;
        self.simulated = simulated;
        self.send_status_to_all(status_frame);
    }

    /// Handles the loss of the upstream connection. Delivers the pending events first, then deletes
    /// all values, so that no client takes old values for new ones.
    pub(crate) fn upstream_down(&mut self, reason: Failure) {
        self.deliver_pending();
        self.last_values.clear_values();
        let before = self.upstream;
        self.upstream = match reason {
            Failure::Done => UpstreamStatus::Idle,
            reason => UpstreamStatus::Down(reason),
        };
        if self.upstream != before && reason != Failure::Done {
            self.send_status_to_all(StatusFrame::one("upstream_down", &reason.to_string()));
        }
    }

    /// Handles the refusal of the whole cluster by the vendor. Closes all sessions, so that clients
    /// with a REST fallback use REST. The router refuses a client that connects again before the
    /// upgrade.
    pub(crate) fn upstream_barred(&mut self) {
        self.upstream = UpstreamStatus::Denied;
        self.close_all_with(1013, denied_frame);
    }

    /// Handles a channel that the vendor has not confirmed although the hub has confirmed the
    /// channel to clients. Sends an error to the subscribed clients.
    pub(crate) fn upstream_unanswered(&mut self, channel: Channel) {
        if !self.unanswered.insert(channel.clone()) {
            return;
        }
        for client_slot in 0..self.clients.len() {
            if self.clients[client_slot].is_some()
                && self
                    .last_values
                    .topics(client_slot)
                    .binary_search(&channel)
                    .is_ok()
            {
                let mut status_frame = StatusFrame::new();
                status_frame.add("error", &unanswered(&channel));
                self.send_status(client_slot, status_frame);
            }
        }
    }

    /// Adds an error to the response for each of these channels that the vendor has not confirmed.
    pub(crate) fn add_unanswered(&self, channels: &BTreeSet<Channel>, answer: &mut StatusFrame) {
        for channel in self.unanswered.intersection(channels) {
            answer.add("error", &unanswered(channel));
        }
    }

    /// Removes the channels of these events from the unconfirmed channels. An event on a channel
    /// proves that the vendor's confirmation was only late.
    pub(crate) fn answered(&mut self, events: &[RelayedEvent]) {
        if !self.unanswered.is_empty() {
            for event in events {
                self.unanswered.remove(&event.channel);
            }
        }
    }
}
