//! The broker of one cluster. Owns the clients, the last-value cache and the subscriptions, and
//! decides the messages for each client; never waits for a client.

pub(crate) mod age;
pub(crate) mod channel_slot;
pub(crate) mod commands;
pub(crate) mod conflation;
pub mod delivery;
pub mod event_loop;
pub mod last_value;
pub(crate) mod liveness;
pub(crate) mod subscriptions;
pub(crate) mod upstream_status;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Interest;
use super::auth::authenticator::Authenticator;
use super::auth::registry::Device;
use super::broker::delivery::{ClientSlot, Delivery, DeliveryOutcome};
use super::broker::event_loop::PendingClient;
use super::broker::last_value::LastValueCache;
use super::broker::subscriptions::ClientSubscriptions;
use super::broker::upstream_status::denied_frame;
use super::metrics::Metrics;
use super::server::limits::Limits;
use super::session::client::{
    Client, ClientId, ClientInput, ClientSocket, ClientState, WriteOutcome, listen,
};
use super::session::protocol::{ClientRequest, StatusFrame};
use super::session::websocket::{self, Message};
use crate::market::{Channel, Cluster};
use crate::net::failure::Failure;
use crate::time::{Clock, Moment};

/// The time limit for a client to answer a close frame.
const FAREWELL: Duration = Duration::from_secs(2);

/// The upstream status of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpstreamStatus {
    /// The upstream has reported nothing yet, or no client needs the upstream.
    Idle,
    Up,
    Down(Failure),
    /// The vendor refuses the whole cluster: the key is wrong, or the plan does not include the
    /// cluster.
    Denied,
}

/// The state of one cluster: its clients, subscriptions, last values and upstream status.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) cluster: Cluster,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) limits: Limits,
    pub(super) metrics: Arc<Metrics>,
    clock: Clock,
    input_sender: mpsc::Sender<(ClientId, ClientInput)>,
    pub(super) last_values: LastValueCache,
    pub(super) wanted: ClientSubscriptions,
    /// The clients, indexed by client slot.
    pub(super) clients: Vec<Option<Client>>,
    count: usize,
    /// The number of clients since the start. The number makes each client ID unique.
    number: u64,
    pub(super) upstream: UpstreamStatus,
    pub(super) simulated: bool,
    /// The channels that the upstream requested twice on the current connection without a
    /// confirmation from the vendor.
    pub(super) unanswered: BTreeSet<Channel>,
    /// True if the subscriptions have changed since the last call of `new_interest`.
    pub(super) changed: bool,
    buffer: Vec<u8>,
}

impl Broker {
    pub(super) fn new(
        cluster: Cluster,
        authenticator: Arc<Authenticator>,
        limits: Limits,
        metrics: Arc<Metrics>,
        clock: Clock,
        input_sender: mpsc::Sender<(ClientId, ClientInput)>,
    ) -> Self {
        Self {
            cluster,
            authenticator,
            last_values: LastValueCache::new(limits.trades as usize),
            limits,
            metrics,
            clock,
            input_sender,
            wanted: ClientSubscriptions::default(),
            clients: Vec::new(),
            count: 0,
            number: 0,
            upstream: UpstreamStatus::Idle,
            simulated: false,
            unanswered: BTreeSet::new(),
            changed: false,
            buffer: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now().monotonic
    }

    /// Returns the subscriptions of all clients together if they have changed since the last call.
    pub(super) fn new_interest(&mut self) -> Option<Interest> {
        std::mem::take(&mut self.changed).then(|| self.wanted.interest())
    }

    /// Adds a client and sends the greeting. Also authenticates the client if the upgrade request
    /// contained a valid token.
    pub(super) fn admit(&mut self, pending_client: PendingClient) {
        if pending_client.socket.prepare().is_err() {
            return;
        }
        let now = self.now();
        let socket_state = Arc::new(ClientSocket::new(pending_client.socket, now));
        self.number += 1;
        let client_id = ClientId {
            client_slot: self.last_values.join(),
            number: self.number,
        };
        let task = tokio::spawn(listen(
            client_id,
            socket_state.clone(),
            pending_client.read_ahead,
            self.limits.message as usize,
            self.clock.clone(),
            self.input_sender.clone(),
        ));
        let state = ClientState::Unauthenticated {
            until: now + Duration::from_secs(self.limits.authentication),
        };
        let client = Client::new(client_id, socket_state, None, state, task.abort_handle());
        if self.clients.len() <= client_id.client_slot {
            self.clients.resize_with(client_id.client_slot + 1, || None);
        }
        self.clients[client_id.client_slot] = Some(client);
        self.count += 1;
        self.metrics.clients.add(1);
        self.metrics.unauthenticated_clients.add(1);
        let mut greeting = StatusFrame::one("connected", "Connected Successfully");
        if self.simulated {
            greeting.add("simulated", "These prices are simulated.");
        }
        self.send_status(client_id.client_slot, greeting);
        match pending_client.device {
            // The device may have been revoked after the check of the token.
            Some(device) if !self.authenticator.registry().borrow().contains(&device) => {
                self.revoke(client_id.client_slot)
            }
            Some(device) => self.mark_authenticated(client_id.client_slot, device),
            None => {}
        }
    }

    /// Marks a client as authenticated and sends the status. The status is in a separate frame
    /// after the greeting, because the clients of the vendor and of the proxy read only the status
    /// of the first event in a frame.
    pub(super) fn mark_authenticated(&mut self, client_slot: ClientSlot, device: Device) {
        let Some(client) = &mut self.clients[client_slot] else {
            return;
        };
        if let ClientState::Unauthenticated { .. } = client.state {
            client.state = ClientState::Authenticated;
            self.metrics.unauthenticated_clients.sub(1);
        }
        client.device = Some(device);
        let mut status_frame = StatusFrame::one("auth_success", "authenticated");
        if let UpstreamStatus::Down(reason) = self.upstream {
            status_frame.add("upstream_down", &reason.to_string());
        }
        self.send_status(client_slot, status_frame);
        if self.upstream == UpstreamStatus::Denied {
            self.close(client_slot, Some(1013), denied_frame());
        }
    }

    /// Handles one input from a client. Ignores an input from an earlier client of the same slot.
    pub(super) fn handle_client_input(&mut self, client_id: ClientId, input: ClientInput) {
        let Some(Some(client)) = self.clients.get_mut(client_id.client_slot) else {
            return;
        };
        if client.client_id != client_id {
            return;
        }
        let client_slot = client_id.client_slot;
        let leaving = matches!(client.state, ClientState::Closing { .. });
        match input {
            ClientInput::Gone => self.remove(client_slot),
            ClientInput::Message(Message::Close(_)) if leaving => self.remove(client_slot),
            ClientInput::Message(Message::Close(code)) => {
                self.close(client_slot, code, StatusFrame::new());
                // The server ends the connection (RFC 6455, 7.1.1), but only after the unsent
                // bytes.
                if let Some(client) = &self.clients[client_slot]
                    && !client.is_behind()
                {
                    self.remove(client_slot);
                }
            }
            ClientInput::Writable => match client.resume() {
                WriteOutcome::All if !leaving => {
                    let now = self.now();
                    self.give(|last_values, give| last_values.release(client_slot, now, give));
                }
                WriteOutcome::All | WriteOutcome::Some | WriteOutcome::Full => {}
                WriteOutcome::Gone => self.remove(client_slot),
            },
            _ if leaving => {}
            ClientInput::Message(Message::Text(text)) => self.handle_text(client_slot, &text),
            // Some clients send JSON text in binary frames, so UTF-8 bytes count as text.
            ClientInput::Message(Message::Binary(bytes)) => match String::from_utf8(bytes) {
                Ok(text) => self.handle_text(client_slot, &text),
                Err(_) => self.refuse(
                    client_slot,
                    "a binary message that is no text is not understood: send JSON",
                ),
            },
            ClientInput::Message(Message::Pong) => {}
            ClientInput::Message(Message::Ping(payload)) => {
                let frame = websocket::frame(websocket::PONG, &payload);
                self.write(client_slot, &frame, 1);
            }
            ClientInput::Broken(fault) => {
                self.metrics.refused_messages.add(1);
                log::info!(
                    "{}: a client violated the WebSocket protocol and is disconnected: {fault:?}",
                    self.cluster
                );
                self.close(client_slot, Some(fault.code()), StatusFrame::new());
            }
        }
    }

    fn handle_text(&mut self, client_slot: ClientSlot, text: &str) {
        match ClientRequest::parse(text) {
            Ok(request) => self.handle_request(client_slot, request),
            Err(wrong) => self.refuse(client_slot, &wrong),
        }
    }

    /// Returns the channels and wildcards of a client.
    pub(super) fn topics(&self, client_slot: ClientSlot) -> BTreeSet<Channel> {
        let topics = self.last_values.topics(client_slot);
        topics.iter().cloned().collect()
    }

    pub(super) fn set_topics(&mut self, client_slot: ClientSlot, topics: BTreeSet<Channel>) {
        if self.clients[client_slot].is_none() {
            return;
        }
        let now = self.now();
        let before = self.topics(client_slot);
        for channel in topics.difference(&before) {
            self.wanted.add(channel);
        }
        for channel in before.difference(&topics) {
            self.wanted.remove(channel, now);
        }
        if before == topics {
            return;
        }
        self.changed = true;
        self.metrics.subscriptions.add(topics.len() as u64);
        self.metrics.subscriptions.sub(before.len() as u64);
        let mut replay = std::mem::take(&mut self.buffer);
        replay.clear();
        let count = self.last_values.set_topics(
            client_slot,
            topics.into_iter().collect(),
            now,
            &mut replay,
        );
        if count > 0 {
            self.write(client_slot, &replay, count);
        }
        self.buffer = replay;
    }

    /// Sends a status frame to one client. Sends nothing if the frame is empty.
    pub(super) fn send_status(&mut self, client_slot: ClientSlot, status_frame: StatusFrame) {
        if let Some(text) = status_frame.finish() {
            let frame = websocket::frame(websocket::TEXT, text.as_bytes());
            self.write(client_slot, &frame, 1);
        }
    }

    /// Sends a status frame to all authenticated clients. Sends nothing if the frame is empty.
    pub(super) fn send_status_to_all(&mut self, status_frame: StatusFrame) {
        let Some(text) = status_frame.finish() else {
            return;
        };
        let frame = websocket::frame(websocket::TEXT, text.as_bytes());
        for client_slot in 0..self.clients.len() {
            if matches!(&self.clients[client_slot], Some(client) if client.state == ClientState::Authenticated)
            {
                self.write(client_slot, &frame, 1);
            }
        }
    }

    pub(super) fn write(&mut self, client_slot: ClientSlot, frames: &[u8], count: u64) {
        let Some(Some(client)) = self.clients.get_mut(client_slot) else {
            return;
        };
        match client.write(frames) {
            WriteOutcome::All => {}
            WriteOutcome::Some => {
                self.metrics.clients_blocked.add(1);
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
        self.metrics.frames_sent.add(count);
        self.metrics.bytes_sent.add(frames.len() as u64);
    }

    /// Delivers the unseen events to all clients that can take frames. Returns the number of
    /// frames.
    pub(super) fn deliver_pending(&mut self) -> u64 {
        let before = self.metrics.frames_sent.value();
        let now = self.now();
        self.give(|last_values, give| last_values.deliver_pending(now, give));
        self.metrics.frames_sent.value() - before
    }

    fn give(
        &mut self,
        run: impl FnOnce(
            &mut LastValueCache,
            &mut dyn FnMut(ClientSlot, Delivery<'_>) -> DeliveryOutcome,
        ),
    ) {
        let (mut gone, mut slow) = (Vec::new(), Vec::new());
        let (mut frames_out, mut bytes_out, mut blocked) = (0, 0, 0);
        let clients = &mut self.clients;
        run(&mut self.last_values, &mut |client_slot, news| {
            let Some(Some(client)) = clients.get_mut(client_slot) else {
                return DeliveryOutcome::Enough;
            };
            let (frames, count) = match news {
                Delivery::Frames(frames, count) => (frames, count),
                Delivery::TooSlow => {
                    slow.push(client_slot);
                    return DeliveryOutcome::Enough;
                }
            };
            frames_out += count;
            bytes_out += frames.len() as u64;
            match client.write(frames) {
                WriteOutcome::All => DeliveryOutcome::All,
                WriteOutcome::Some | WriteOutcome::Full => {
                    blocked += 1;
                    DeliveryOutcome::Enough
                }
                WriteOutcome::Gone => {
                    gone.push(client_slot);
                    DeliveryOutcome::Enough
                }
            }
        });
        self.metrics.frames_sent.add(frames_out);
        self.metrics.bytes_sent.add(bytes_out);
        self.metrics.clients_blocked.add(blocked);
        for client_slot in gone {
            self.remove(client_slot);
        }
        for client_slot in slow {
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
        let Some(client) = &mut self.clients[client_slot] else {
            return;
        };
        let state = std::mem::replace(&mut client.state, ClientState::Closing { until });
        client.socket_state.ignore_input();
        if let ClientState::Unauthenticated { .. } = state {
            self.metrics.unauthenticated_clients.sub(1);
        }
        self.send_status(client_slot, last_words);
        self.write(client_slot, &websocket::close(code), 1);
    }

    pub(super) fn remove(&mut self, client_slot: ClientSlot) {
        self.set_topics(client_slot, BTreeSet::new());
        let Some(client) = self.clients[client_slot].take() else {
            return;
        };
        self.last_values.leave(client_slot);
        self.count -= 1;
        self.metrics.clients.sub(1);
        if let ClientState::Unauthenticated { .. } = client.state {
            self.metrics.unauthenticated_clients.sub(1);
        }
    }
}

impl Drop for Broker {
    /// Removes all clients from the metrics, because all clusters share the same metrics.
    fn drop(&mut self) {
        for client_slot in 0..self.clients.len() {
            self.remove(client_slot);
        }
    }
}
