//! Who has to go: the late, the dead, the revoked, and everybody at the end. Owns the patience of
//! the hub; reads no clock of its own.

use std::time::Duration;

use super::client::Stage;
use super::hall::Hall;
use super::request::Statuses;
use super::room::Seat;
use super::websocket;

/// A client that has said nothing for this long is asked whether it is there.
const IDLE: Duration = Duration::from_secs(30);

/// So many questions in a row go unanswered before a client is dropped.
const UNANSWERED: u8 = 2;

impl Hall {
    /// Sends one away whose device is no longer allowed.
    pub(super) fn revoke(&mut self, seat: Seat) {
        self.metrics.clients_revoked.add(1);
        let status = Statuses::one("force_disconnect", "the token of this device was revoked");
        self.close(seat, Some(1008), status);
    }

    /// Sends away whose device is no longer allowed.
    pub(super) fn enforce_roster(&mut self) {
        let roster = self.gate.roster().borrow().clone();
        for seat in 0..self.clients.len() {
            if let Some(client) = &self.clients[seat]
                && client.stage == Stage::Member
                && let Some(device) = &client.device
                && !roster.contains(device)
            {
                log::info!("{}: {device} was revoked and is disconnected", self.cluster);
                self.revoke(seat);
            }
        }
    }

    /// What is done once a second: who is late, dead or no longer wanted.
    pub(super) fn keep_house(&mut self) {
        let now = self.now();
        for seat in 0..self.clients.len() {
            let Some(client) = &mut self.clients[seat] else {
                continue;
            };
            match client.stage {
                Stage::Stranger { until } if until <= now => {
                    self.metrics.timeouts.add(1);
                    let words = "No authentication request received.";
                    self.close(seat, Some(1008), Statuses::one("auth_timeout", words));
                }
                Stage::Leaving { until } if until <= now => self.remove(seat),
                Stage::Stranger { .. } | Stage::Leaving { .. } => {}
                Stage::Member => {
                    let heard = client.line.heard();
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
                        self.remove(seat);
                        continue;
                    }
                    client.unanswered += 1;
                    client.asked = now;
                    let mut frame = Vec::new();
                    websocket::ping(&mut frame);
                    self.write(seat, &frame, 1);
                }
            }
        }
        if self.wanted.expire(now) {
            self.changed = true;
            let wanted = &self.wanted;
            self.room.retain(|channel| wanted.covers(channel));
            self.unanswered.retain(|channel| wanted.contains(channel));
        }
    }

    /// Tells everybody that the hub is about to restart.
    pub(super) fn close_all(&mut self) {
        self.dismiss(1012, Statuses::new);
    }

    /// Sends everybody away with this code, behind these last words.
    pub(super) fn dismiss(&mut self, code: u16, last_words: fn() -> Statuses) {
        for seat in 0..self.clients.len() {
            if self.clients[seat]
                .as_ref()
                .is_some_and(|client| !matches!(client.stage, Stage::Leaving { .. }))
            {
                self.close(seat, Some(code), last_words());
            }
        }
    }
}
