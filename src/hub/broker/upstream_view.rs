//! The broker's view of the upstream: its status, the source of its prices and the channels without
//! a confirmation. Passes each report on to the clients; never handles a request of a client.

use std::collections::BTreeMap;

use super::clients::Clients;
use super::commands::{refused, subscribed};
use super::delivery::{ClientSlot, PublishOutcome};
use crate::hub::session::protocol::StatusFrame;
use crate::hub::{Arrival, RelayedEvent, UpstreamEvent};
use crate::market::Channel;
use crate::massive::websocket::ChannelRefusal;
use crate::net::failure::Failure;

/// The message of the status `simulated`.
const SIMULATED: &str = "These prices are simulated.";

/// The status of the upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum UpstreamStatus {
    /// The upstream has reported nothing yet, or no client needs the upstream.
    #[default]
    Idle,
    Up,
    Down(Failure),
    /// The vendor refuses the whole cluster: the key is wrong, or the plan does not include the
    /// cluster.
    Denied(Failure),
}

/// The last known state of the upstream.
#[derive(Debug, Default)]
pub(super) struct UpstreamView {
    status: UpstreamStatus,
    /// The time at which the upstream went down or was denied, and the age that this state already
    /// had then at the hub above.
    down_since: Arrival,
    /// True if clients have received `upstream_down` since the last `upstream_up`.
    is_down_sent: bool,
    pub(super) simulated: bool,
    /// The channels that the vendor does not send on the current connection.
    pub(super) unanswered: BTreeMap<Channel, ChannelRefusal>,
}

impl UpstreamView {
    /// Handles a report of the upstream.
    pub(super) fn handle_report(&mut self, report: UpstreamEvent, clients: &mut Clients) {
        match report {
            UpstreamEvent::Up { simulated } => self.up(simulated, clients),
            UpstreamEvent::Down(reason) => {
                clients.subscriptions.forget_confirmations();
                self.down(reason, Arrival::new(clients.now()), clients);
            }
            UpstreamEvent::Stalled(reason) => {
                self.down(reason, Arrival::new(clients.now()), clients)
            }
            UpstreamEvent::CutOff(since) => self.down(Failure::HubUpstream, since, clients),
            // The hub closes all sessions, so that clients with a REST fallback use REST. The
            // router refuses a client that connects again before the upgrade.
            UpstreamEvent::Barred(reason) => {
                clients.subscriptions.forget_confirmations();
                self.change(UpstreamStatus::Denied(reason), Arrival::new(clients.now()));
                clients.close_all(1013, &self.down_frame(reason, clients));
            }
            UpstreamEvent::Unanswered(channel, refusal) => {
                if self.unanswered.insert(channel.clone(), refusal) != Some(refusal) {
                    let subscribers = clients.select(|client| {
                        let topics = clients.last_values.topics(client.client_id.client_slot);
                        topics.binary_search(&channel).is_ok()
                    });
                    let status = StatusFrame::one("error", &refused(&channel, refusal));
                    clients.send_status(subscribers, status);
                }
            }
            UpstreamEvent::Confirmed(channels) => self.confirm(&channels, clients),
            UpstreamEvent::Unsubscribed(channel) => clients.subscriptions.unsubscribed(&channel),
            UpstreamEvent::Events(events) => self.publish(&events, clients),
        }
    }

    /// Sends the confirmation of the vendor to the clients that wait for it.
    fn confirm(&mut self, channels: &[Channel], clients: &mut Clients) {
        let mut answers = BTreeMap::<ClientSlot, StatusFrame>::new();
        for channel in channels {
            self.unanswered.remove(channel);
            for client_slot in clients.subscriptions.confirm(channel) {
                let answer = answers.entry(client_slot).or_default();
                answer.add("success", &subscribed(&channel.to_string()));
            }
        }
        for (client_slot, answer) in answers {
            clients.send_status([client_slot], answer);
        }
    }

    fn up(&mut self, simulated: bool, clients: &mut Clients) {
        let before = std::mem::replace(&mut self.status, UpstreamStatus::Up);
        let was_simulated = std::mem::replace(&mut self.simulated, simulated);
        if before != UpstreamStatus::Up {
            // The vendor's plan may have changed since the previous connection, so the hub forgets
            // the unconfirmed channels.
            self.unanswered.clear();
        }
        if simulated != was_simulated {
            // The source of the prices has changed, so the hub must not replay values of the
            // previous source.
            clients.last_values.clear_values();
        }
        if was_simulated && !simulated {
            log::warn!(
                "{}: the upstream now sends real prices instead of simulated prices; the hub \
                 closes all client connections, so that the displays connect again",
                clients.cluster
            );
            // A display keeps the simulated status and the simulated values until its connection
            // ends, so all clients must reconnect.
            clients.close_all(1012, &StatusFrame::default());
        }
        let mut status_frame = StatusFrame::default();
        if std::mem::take(&mut self.is_down_sent) {
            status_frame.add("upstream_up", "prices are coming again");
        }
        if simulated && !was_simulated {
            status_frame.add("simulated", SIMULATED);
        }
        clients.send_status_to_all(status_frame);
    }

    /// Handles the end of the prices from upstream. Delivers the pending events first, then deletes
    /// all values, so that no client takes old values for new values.
    fn down(&mut self, reason: Failure, since: Arrival, clients: &mut Clients) {
        clients.deliver(None);
        clients.last_values.clear_values();
        let status = match reason {
            Failure::Done => UpstreamStatus::Idle,
            reason => UpstreamStatus::Down(reason),
        };
        let before = self.change(status, since);
        if status != before && reason != Failure::Done {
            self.is_down_sent = true;
            clients.send_status_to_all(self.down_frame(reason, clients));
        }
    }

    /// Changes the status after the end of the prices from upstream, and notes the time at which the
    /// upstream went down. Returns the status before.
    fn change(&mut self, status: UpstreamStatus, since: Arrival) -> UpstreamStatus {
        if matches!(self.status, UpstreamStatus::Idle | UpstreamStatus::Up) {
            self.down_since = since;
        }
        std::mem::replace(&mut self.status, status)
    }

    /// Returns the status `upstream_down` for this reason.
    fn down_frame(&self, reason: Failure, clients: &Clients) -> StatusFrame {
        let mut status_frame = StatusFrame::default();
        let now = clients.clock.now();
        let age = self.down_since.age(now.monotonic);
        status_frame.add_upstream_down(clients.cluster, reason, age, now);
        status_frame
    }

    /// Stores events, and delivers them at once only if too many trades wait.
    fn publish(&mut self, events: &[RelayedEvent], clients: &mut Clients) {
        let (metrics, cluster) = (clients.metrics.clone(), clients.cluster);
        metrics.events_received.of(cluster).add(events.len() as u64);
        if clients.subscriptions.is_anyone_waiting() || !self.unanswered.is_empty() {
            // An event on a channel is a confirmation too. A vendor that already has a subscription
            // may send no other confirmation.
            let covering = |event: &RelayedEvent| {
                let channel = &event.channel;
                match clients.subscriptions.contains(channel) {
                    true => channel.clone(),
                    false => Channel::wildcard(channel.kind),
                }
            };
            let confirmed: Vec<Channel> = events.iter().map(covering).collect();
            self.confirm(&confirmed, clients);
        }
        for event in events {
            let last_values = &mut clients.last_values;
            let outcome = last_values.publish(&event.channel, &event.json, event.arrival);
            if outcome != PublishOutcome::Kept {
                metrics.events_conflated.of(cluster).add(1);
            }
            if last_values.should_flush_trades() {
                clients.deliver(None);
            }
        }
        if let Some(event) = events.first() {
            clients.note_received(event.arrival.at);
        }
    }

    /// Returns the first status for a client.
    pub(super) fn greeting(&self) -> StatusFrame {
        let mut greeting = StatusFrame::one("connected", "Connected Successfully");
        if self.simulated {
            greeting.add("simulated", SIMULATED);
        }
        greeting
    }

    /// Sends the status to a client that has authenticated, and closes its session if the vendor
    /// refuses the cluster.
    pub(super) fn welcome(&mut self, client_slot: ClientSlot, clients: &mut Clients) {
        let mut welcome = StatusFrame::one("auth_success", "authenticated");
        if let UpstreamStatus::Down(reason) = self.status {
            self.is_down_sent = true;
            let now = clients.clock.now();
            let age = self.down_since.age(now.monotonic);
            welcome.add_upstream_down(clients.cluster, reason, age, now);
        }
        clients.send_status([client_slot], welcome);
        if let UpstreamStatus::Denied(reason) = self.status {
            clients.close(client_slot, Some(1013), self.down_frame(reason, clients));
        }
    }
}
