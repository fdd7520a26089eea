//! What is heard of an upstream, and what everybody is told of it. Owns nothing: the hall does.

use std::collections::BTreeSet;

use super::Relayed;
use super::hall::{Hall, Upstream};
use super::request::Statuses;
use crate::feed::Why;
use crate::market::Channel;

/// In the vendor's words, with the name that these lack.
fn unanswered(channel: &Channel) -> String {
    format!("not authorized: {channel}")
}

/// What is said to who waits for a cluster that cannot be had.
pub(super) fn barred() -> Statuses {
    Statuses::one("upstream_down", &Why::Key.to_string())
}

impl Hall {
    /// The upstream is in use.
    pub(super) fn upstream_up(&mut self, simulated: bool) {
        if self.upstream != Upstream::Up {
            // Another connection: the plan may be another by now.
            self.unanswered.clear();
        }
        if self.simulated != simulated {
            // Another vendor: nothing of the one before is repeated.
            self.room.forget_values();
        }
        if self.simulated && !simulated {
            log::warn!(
                "{}: the prices are real now, and were simulated: displays are told to connect anew",
                self.cluster
            );
            // They keep what they were told, and its values, for as long as they are connected.
            self.dismiss(1012, Statuses::new);
        }
        let mut statuses = Statuses::new();
        if let Upstream::Down(_) = self.upstream {
            statuses.add("upstream_up", "prices are coming again");
        }
        if simulated && !self.simulated {
            statuses.add("simulated", "These prices are simulated.");
        }
        self.upstream = Upstream::Up;
        self.simulated = simulated;
        self.announce(statuses);
    }

    /// The upstream is not in use. What came before it went is let go of: nobody shall take it
    /// for new.
    pub(super) fn upstream_down(&mut self, why: Why) {
        self.sweep();
        self.room.forget_values();
        let before = self.upstream;
        self.upstream = match why {
            Why::Done => Upstream::Idle,
            why => Upstream::Down(why),
        };
        if self.upstream != before && why != Why::Done {
            self.announce(Statuses::one("upstream_down", &why.to_string()));
        }
    }

    /// The vendor lets us in for nothing here. Nobody shall wait for it: who has REST to fall back
    /// on is to do so, and who comes again is told at the door.
    pub(super) fn upstream_barred(&mut self) {
        self.upstream = Upstream::Barred;
        self.dismiss(1013, barred);
    }

    /// The vendor has not answered for a channel, which has been confirmed to clients.
    pub(super) fn upstream_unanswered(&mut self, channel: Channel) {
        if !self.unanswered.insert(channel.clone()) {
            return;
        }
        for seat in 0..self.clients.len() {
            if self.clients[seat].is_some()
                && self.room.topics(seat).binary_search(&channel).is_ok()
            {
                let mut statuses = Statuses::new();
                statuses.add("error", &unanswered(&channel));
                self.say(seat, statuses);
            }
        }
    }

    /// Adds to the answer of who has just subscribed what is already known of these channels.
    pub(super) fn add_unanswered(&self, channels: &BTreeSet<Channel>, answer: &mut Statuses) {
        for channel in self.unanswered.intersection(channels) {
            answer.add("error", &unanswered(channel));
        }
    }

    /// What comes after all was only late.
    pub(super) fn answered(&mut self, events: &[Relayed]) {
        if !self.unanswered.is_empty() {
            for event in events {
                self.unanswered.remove(&event.channel);
            }
        }
    }
}
