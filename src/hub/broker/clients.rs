//! The clients of one cluster. Owns their connections, their subscriptions and the last-value
//! cache, and holds or removes a client that reads too slowly; never decides the content of a
//! message.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use tokio::sync::mpsc;

use super::delivery::{ClientSlot, Delivery, DeliveryOutcome};
use super::last_value::LastValueCache;
use super::slow_clients::SlowClients;
use super::subscriptions::ClientSubscriptions;
use crate::hub::Interest;
use crate::hub::metrics::Metrics;
use crate::hub::server::admission::UnauthenticatedSlot;
use crate::hub::server::limits::Limits;
use crate::hub::session::allowance::ReadLimits;
use crate::hub::session::client::{
    Client, ClientId, ClientInput, ClientSocket, ClientState, WriteOutcome, listen,
};
use crate::hub::session::protocol::StatusFrame;
use crate::hub::session::transport::Transport;
use crate::hub::session::websocket;
use crate::market::{Channel, Cluster};
use crate::time::{Clock, Moment};

/// The time limit for a client to answer a close frame.
const FAREWELL: Duration = Duration::from_secs(2);

/// The clients of one cluster, with their subscriptions and the last values.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) cluster: Cluster,
    pub(super) limits: Limits,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    pub(super) last_values: LastValueCache,
    pub(super) subscriptions: ClientSubscriptions,
    /// True if the subscriptions have changed since the last call of `new_interest`.
    changed: bool,
    slots: Vec<Option<Client>>,
    count: usize,
    /// The number of clients since the start. The number makes each client ID unique.
    number: u64,
    input_sender: mpsc::Sender<(ClientId, ClientInput)>,
    buffer: Vec<u8>,
    backlog: SlowClients,
    /// The receive times of the messages of the vendor since the last delivery.
    undelivered: Vec<Moment>,
}

/// The reason for which the hub drops a client after a delivery.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dropped {
    Gone,
    /// Too many trades were waiting for the client.
    TooSlow,
    /// The client was the slowest one when too many bytes waited for all clients.
    Shed,
}

impl Clients {
    pub(super) fn new(
        cluster: Cluster,
        limits: Limits,
        metrics: Arc<Metrics>,
        clock: Clock,
        input_sender: mpsc::Sender<(ClientId, ClientInput)>,
    ) -> Self {
        Self {
            cluster,
            last_values: LastValueCache::new(limits.trades as usize),
            backlog: SlowClients::new(limits.waiting_bytes, metrics.clone()),
            limits,
            metrics,
            clock,
            subscriptions: ClientSubscriptions::default(),
            changed: false,
            slots: Vec::new(),
            count: 0,
            number: 0,
            input_sender,
            buffer: Vec::new(),
            undelivered: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now().monotonic
    }

    pub(super) fn get(&mut self, client_slot: ClientSlot) -> Option<&mut Client> {
        self.slots.get_mut(client_slot)?.as_mut()
    }

    /// Returns the slots of the clients for which `chosen` returns true.
    pub(super) fn select(&self, chosen: impl Fn(&Client) -> bool) -> Vec<ClientSlot> {
        let clients = self.slots.iter().flatten();
        let chosen = clients.filter(|client| chosen(client));
        chosen.map(|client| client.client_id.client_slot).collect()
    }

    /// Returns true if the subscriptions have changed since the last call of `new_interest`.
    pub(super) const fn is_interest_new(&self) -> bool {
        self.changed
    }

    /// Returns the subscriptions of all clients together if they have changed since the last call.
    pub(super) fn new_interest(&mut self) -> Option<Interest> {
        std::mem::take(&mut self.changed).then(|| self.subscriptions.interest())
    }

    /// Adds an unauthenticated client. Returns `None` if the connection has already ended.
    pub(super) fn admit(
        &mut self,
        socket: Transport,
        read_ahead: Bytes,
        address: Option<IpAddr>,
        unauthenticated_slot: Option<UnauthenticatedSlot>,
    ) -> Option<ClientSlot> {
        socket.prepare().ok()?;
        let now = self.now();
        let socket_state = Arc::new(ClientSocket::new(socket, unauthenticated_slot, now));
        self.number += 1;
        let client_slot = self.last_values.join();
        let client_id = ClientId {
            client_slot,
            number: self.number,
        };
        let task = tokio::spawn(listen(
            client_id,
            socket_state.clone(),
            read_ahead,
            ReadLimits::of(&self.limits),
            self.metrics.clone(),
            self.clock.clone(),
            self.input_sender.clone(),
        ));
        let until = now + Duration::from_secs(self.limits.authentication);
        let client = Client::new(client_id, socket_state, address, until, task.abort_handle());
        if self.slots.len() <= client_slot {
            self.slots.resize_with(client_slot + 1, || None);
        }
        self.slots[client_slot] = Some(client);
        self.count += 1;
        self.metrics.clients.of(self.cluster).add(1);
        self.metrics.unauthenticated_clients.of(self.cluster).add(1);
        Some(client_slot)
    }

    /// Changes the state of a client. Returns `None` if the client has left.
    pub(super) fn change_state(
        &mut self,
        client_slot: ClientSlot,
        state: ClientState,
    ) -> Option<&mut Client> {
        let client = self.slots[client_slot].as_mut()?;
        let before = std::mem::replace(&mut client.state, state);
        if let ClientState::Unauthenticated { .. } = before {
            self.metrics.unauthenticated_clients.of(self.cluster).sub(1);
        }
        Some(client)
    }

    /// Returns the channels and wildcards of a client.
    pub(super) fn topics(&self, client_slot: ClientSlot) -> BTreeSet<Channel> {
        let topics = self.last_values.topics(client_slot);
        topics.iter().cloned().collect()
    }

    /// Replaces the subscriptions of a client, and sends the last values of the added channels.
    pub(super) fn set_topics(&mut self, client_slot: ClientSlot, topics: BTreeSet<Channel>) {
        let before = self.topics(client_slot);
        let now = self.now();
        let Some(client) = self.slots[client_slot]
            .as_ref()
            .filter(|_| before != topics)
        else {
            return;
        };
        for channel in topics.difference(&before) {
            self.subscriptions
                .add(channel, client_slot, client.device());
        }
        for channel in before.difference(&topics) {
            let device = client.device();
            self.subscriptions.remove(channel, client_slot, device, now);
        }
        self.changed = true;
        let subscriptions = self.metrics.subscriptions.of(self.cluster);
        subscriptions.add(topics.len() as u64);
        subscriptions.sub(before.len() as u64);
        let mut replay = std::mem::take(&mut self.buffer);
        replay.clear();
        let topics = topics.into_iter().collect();
        let count = self
            .last_values
            .set_topics(client_slot, topics, now, &mut replay);
        if count > 0 {
            self.write(client_slot, &replay, count);
        }
        self.buffer = replay;
    }

    /// Removes the expired channels without subscribers. Returns true if a channel was removed.
    pub(super) fn expire_channels(&mut self) -> bool {
        let expired = self.subscriptions.expire(self.now());
        if expired {
            self.changed = true;
            let subscriptions = &self.subscriptions;
            self.last_values
                .retain(|channel| subscriptions.covers(channel));
        }
        expired
    }

    /// Sends a status frame to these clients. Sends nothing if the frame is empty.
    pub(super) fn send_status(
        &mut self,
        client_slots: impl IntoIterator<Item = ClientSlot>,
        status_frame: StatusFrame,
    ) {
        if let Some(text) = status_frame.finish() {
            let frame = websocket::frame(websocket::TEXT, text.as_bytes());
            for client_slot in client_slots {
                self.write(client_slot, &frame, 1);
            }
        }
    }

    /// Sends a status frame to all authenticated clients. Sends nothing if the frame is empty.
    pub(super) fn send_status_to_all(&mut self, status_frame: StatusFrame) {
        let all = self.select(|client| client.state == ClientState::Authenticated);
        self.send_status(all, status_frame);
    }

    /// Writes complete frames to a client. `count` is the number of the frames.
    pub(super) fn write(&mut self, client_slot: ClientSlot, frames: &[u8], count: u64) {
        let now = self.now();
        let Some(Some(client)) = self.slots.get_mut(client_slot) else {
            return;
        };
        let outcome = client.write(frames);
        self.backlog.note(client, now);
        match outcome {
            WriteOutcome::All => {}
            WriteOutcome::Some => {
                self.metrics.clients_blocked.of(self.cluster).add(1);
                self.last_values.hold(client_slot);
            }
            // The client sends requests but does not read the responses. The buffer has no space
            // for a status, so the hub drops the client without a status.
            WriteOutcome::Full => {
                self.metrics.slow_consumers.add(1);
                return self.remove(client_slot);
            }
            WriteOutcome::Gone => return self.remove(client_slot),
        }
        self.metrics.frames_sent.of(self.cluster).add(count);
        self.metrics
            .bytes_sent
            .of(self.cluster)
            .add(frames.len() as u64);
        let mut shed = Vec::new();
        discard_slowest(&mut self.slots, &mut self.backlog, now, &mut shed);
        self.drop_after_delivery(shed);
    }

    /// Writes the bytes that wait for a client as far as its socket accepts them.
    pub(super) fn resume(&mut self, client_slot: ClientSlot) -> WriteOutcome {
        let now = self.now();
        let Some(Some(client)) = self.slots.get_mut(client_slot) else {
            return WriteOutcome::Gone;
        };
        let outcome = client.resume();
        self.backlog.note(client, now);
        outcome
    }

    /// Delivers the unseen events to all clients that can take frames, or only to the client
    /// `released`, whose socket takes bytes again. Returns the number of frames.
    pub(super) fn deliver(&mut self, released: Option<ClientSlot>) -> u64 {
        let now = self.now();
        let began = Instant::now();
        let (slots, metrics, cluster) = (&mut self.slots, &self.metrics, self.cluster);
        let backlog = &mut self.backlog;
        let mut sent = 0;
        let mut dropped = Vec::new();
        let give = |client_slot: ClientSlot, delivery: Delivery<'_>| {
            let Some(Some(client)) = slots.get_mut(client_slot) else {
                return DeliveryOutcome::Enough;
            };
            let Delivery::Frames(frames, count) = delivery else {
                dropped.push((client_slot, Dropped::TooSlow));
                return DeliveryOutcome::Enough;
            };
            sent += count;
            metrics.bytes_sent.of(cluster).add(frames.len() as u64);
            let outcome = client.write(frames);
            backlog.note(client, now);
            match outcome {
                WriteOutcome::All => return DeliveryOutcome::All,
                WriteOutcome::Some | WriteOutcome::Full => {
                    metrics.clients_blocked.of(cluster).add(1);
                }
                WriteOutcome::Gone => dropped.push((client_slot, Dropped::Gone)),
            }
            discard_slowest(slots, backlog, now, &mut dropped);
            DeliveryOutcome::Enough
        };
        match released {
            Some(client_slot) => self.last_values.release(client_slot, now, give),
            None => {
                self.last_values.deliver_pending(now, give);
                self.count_delivery(began);
            }
        }
        self.metrics.frames_sent.of(self.cluster).add(sent);
        self.drop_after_delivery(dropped);
        sent
    }

    /// Notes the receive time of a message of the vendor, until its events are delivered.
    pub(super) fn note_received(&mut self, at: Moment) {
        if self.last_values.is_dirty() {
            self.undelivered.push(at);
        }
    }

    /// Adds a delivery to the metrics. The clock of the hub counts milliseconds, which is too coarse
    /// for the duration of a delivery.
    fn count_delivery(&mut self, began: Instant) {
        let duration = self.metrics.delivery_duration.of(self.cluster);
        duration.observe(began.elapsed());
        let (now, latency) = (self.now(), self.metrics.delivery_latency.of(self.cluster));
        for at in self.undelivered.drain(..) {
            latency.observe(now.since(at));
        }
    }

    fn drop_after_delivery(&mut self, dropped: Vec<(ClientSlot, Dropped)>) {
        let shed = dropped
            .iter()
            .filter(|(_, reason)| *reason == Dropped::Shed);
        let shed = shed.count();
        if shed > 0 {
            self.metrics.clients_shed.add(shed as u64);
            log::warn!(
                "{}: more than {} bytes wait for slow clients of this cluster (its part of \
                 limits.waiting_bytes); the hub has disconnected the slowest clients: {shed}",
                self.cluster,
                self.limits.waiting_bytes
            );
        }
        for (client_slot, reason) in dropped {
            if reason != Dropped::TooSlow {
                self.remove(client_slot);
                continue;
            }
            self.metrics.slow_consumers.add(1);
            log::info!(
                "{}: a client reads its trades too slowly and is disconnected",
                self.cluster
            );
            let status = StatusFrame::one("slow_consumer", "too many trades were waiting");
            self.close(client_slot, Some(1013), status);
        }
    }

    /// Sends the status `last_words` and a close frame. The client then has the time `FAREWELL` to
    /// answer with its own close frame.
    pub(super) fn close(
        &mut self,
        client_slot: ClientSlot,
        code: Option<u16>,
        last_words: StatusFrame,
    ) {
        self.set_topics(client_slot, BTreeSet::new());
        let until = self.now() + FAREWELL;
        let Some(client) = self.change_state(client_slot, ClientState::Closing { until }) else {
            return;
        };
        client.socket_state.ignore_input();
        self.send_status([client_slot], last_words);
        self.write(client_slot, &websocket::close(code), 1);
    }

    /// Closes the sessions of all clients as [`Clients::close`] does.
    pub(super) fn close_all(&mut self, code: u16, last_words: &StatusFrame) {
        let is_open = |client: &Client| !matches!(client.state, ClientState::Closing { .. });
        for client_slot in self.select(is_open) {
            self.close(client_slot, Some(code), last_words.clone());
        }
    }

    /// Closes the sessions of all clients because the hub ends. Above the limit for handshakes, each
    /// client gets its own time to come back, so that the next hub is not overloaded.
    pub(super) fn close_at_end(&mut self) {
        let is_open = |client: &Client| !matches!(client.state, ClientState::Closing { .. });
        for (number, client_slot) in self.select(is_open).into_iter().enumerate() {
            let mut last_words = StatusFrame::default();
            let seconds = number as u64 / self.limits.handshakes;
            if seconds > 0 {
                last_words.add("retry_after", &seconds.to_string());
            }
            self.close(client_slot, Some(1012), last_words);
        }
    }

    pub(super) fn remove(&mut self, client_slot: ClientSlot) {
        self.set_topics(client_slot, BTreeSet::new());
        let Some(mut client) = self.slots[client_slot].take() else {
            return;
        };
        client.note_seen();
        client.discard();
        self.backlog.note(&mut client, Moment::ZERO);
        self.last_values.leave(client_slot);
        self.count -= 1;
        self.metrics.clients.of(self.cluster).sub(1);
        if let ClientState::Unauthenticated { .. } = client.state {
            self.metrics.unauthenticated_clients.of(self.cluster).sub(1);
        }
    }
}

/// Discards the waiting bytes of the slowest clients until no more bytes wait than allowed.
fn discard_slowest(
    slots: &mut [Option<Client>],
    backlog: &mut SlowClients,
    now: Moment,
    dropped: &mut Vec<(ClientSlot, Dropped)>,
) {
    while let Some(client_slot) = backlog.to_shed()
        && let Some(Some(client)) = slots.get_mut(client_slot)
    {
        client.discard();
        backlog.note(client, now);
        dropped.push((client_slot, Dropped::Shed));
    }
}

impl Drop for Clients {
    /// Removes all clients from the metrics, because all clusters share the same metrics.
    fn drop(&mut self) {
        for client_slot in 0..self.slots.len() {
            self.remove(client_slot);
        }
    }
}
