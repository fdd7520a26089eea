//! What is heard of an upstream, and what everybody is told of it. Owns nothing: the hall does.

use std::collections::BTreeSet;

use super::{Broker, UpstreamStatus};
use crate::feed::Failure;
use crate::hub::RelayedEvent;
use crate::hub::session::protocol::StatusFrame;
use crate::market::Channel;

/// In the vendor's words, with the name that these lack.
fn unanswered(channel: &Channel) -> String {
    format!("not authorized: {channel}")
}

/// What is said to who waits for a cluster that cannot be had.
pub(crate) fn denied_frame() -> StatusFrame {
    StatusFrame::one("upstream_down", &Failure::Key.to_string())
}

impl Broker {
    /// The upstream is in use.
    pub(crate) fn upstream_up(&mut self, simulated: bool) {
        if self.upstream != UpstreamStatus::Up {
            // Another connection: the plan may be another by now.
            self.unanswered.clear();
        }
        if self.simulated != simulated {
            // Another vendor: nothing of the one before is repeated.
            self.last_values.clear_values();
        }
        if self.simulated && !simulated {
            log::warn!(
                "{}: the prices are real now, and were simulated: displays are told to connect anew",
                self.cluster
            );
            // They keep what they were told, and its values, for as long as they are connected.
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

    /// The upstream is not in use. What came before it went is let go of: nobody shall take it
    /// for new.
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

    /// The vendor lets us in for nothing here. Nobody shall wait for it: who has REST to fall back
    /// on is to do so, and who comes again is told at the door.
    pub(crate) fn upstream_barred(&mut self) {
        self.upstream = UpstreamStatus::Denied;
        self.close_all_with(1013, denied_frame);
    }

    /// The vendor has not answered for a channel, which has been confirmed to clients.
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

    /// Adds to the answer of who has just subscribed what is already known of these channels.
    pub(crate) fn add_unanswered(&self, channels: &BTreeSet<Channel>, answer: &mut StatusFrame) {
        for channel in self.unanswered.intersection(channels) {
            answer.add("error", &unanswered(channel));
        }
    }

    /// What comes after all was only late.
    pub(crate) fn answered(&mut self, events: &[RelayedEvent]) {
        if !self.unanswered.is_empty() {
            for event in events {
                self.unanswered.remove(&event.channel);
            }
        }
    }
}
