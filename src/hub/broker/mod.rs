//! Everybody who is connected to one cluster. Owns the clients, the room and what is wanted, and
//! decides who is told what; never waits for anybody.

pub(crate) mod age;
pub(crate) mod commands;
pub(crate) mod conflation;
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
use super::auth::authenticator::{Authenticator, Device};
use super::broker::event_loop::PendingClient;
use super::broker::last_value::{ClientSlot, Delivery, DeliveryOutcome, LastValueCache};
use super::broker::subscriptions::ClientSubscriptions;
use super::broker::upstream_status::denied_frame;
use super::metrics::Metrics;
use super::server::limits::Limits;
use super::session::client::{
    Client, ClientId, ClientInput, ClientSocket, ClientState, WriteOutcome, listen,
};
use super::session::protocol::{ClientRequest, StatusFrame};
use super::session::websocket;
use crate::feed::Failure;
use crate::market::{Channel, Cluster};
use crate::time::{Clock, Moment};

/// How long a client may take to answer a farewell.
const FAREWELL: Duration = Duration::from_secs(2);

/// What is known of the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpstreamStatus {
    /// Nothing yet, or nobody needs it.
    Idle,
    Up,
    Down(Failure),
    /// The vendor lets us in for nothing here.
    Denied,
}

/// Everybody who is here.
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
    /// By seat.
    pub(super) clients: Vec<Option<Client>>,
    count: usize,
    /// How many have ever been here.
    number: u64,
    pub(super) upstream: UpstreamStatus,
    pub(super) simulated: bool,
    /// What was asked for twice on this connection of the upstream, and never confirmed.
    pub(super) unanswered: BTreeSet<Channel>,
    /// The interest has changed since it was last asked for.
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
            last_values: LastValueCache::new(limits.trades),
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

    /// What the clients want, if that has changed since the last time.
    pub(super) fn new_interest(&mut self) -> Option<Interest> {
        std::mem::take(&mut self.changed).then(|| self.wanted.interest())
    }

    /// Lets somebody in and greets them.
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
            self.limits.message,
            self.clock.clone(),
            self.input_sender.clone(),
        ));
        let state = ClientState::Unauthenticated {
            until: now + self.limits.authentication,
        };
        let client = Client::new(client_id, socket_state, None, state, task.abort_handle());
        if self.clients.len() <= client_id.client_slot {
            self.clients.resize_with(client_id.client_slot + 1, || None);
        }
        self.clients[client_id.client_slot] = Some(client);
        self.count += 1;
        self.metrics.clients.add(1);
        self.metrics.unauthenticated.add(1);
        let mut greeting = StatusFrame::one("connected", "Connected Successfully");
        if self.simulated {
            greeting.add("simulated", "These prices are simulated.");
        }
        self.send_status(client_id.client_slot, greeting);
        match pending_client.device {
            // It may have been revoked since its token was looked at.
            Some(device) if !self.authenticator.registry().borrow().contains(&device) => {
                self.revoke(client_id.client_slot)
            }
            Some(device) => self.mark_authenticated(client_id.client_slot, device),
            None => {}
        }
    }

    /// Makes somebody a member. In a frame of its own behind the greeting: the vendor's clients
    /// and those of the proxy read the status of a frame's first event.
    pub(super) fn mark_authenticated(&mut self, client_slot: ClientSlot, device: Device) {
        let Some(client) = &mut self.clients[client_slot] else {
            return;
        };
        if let ClientState::Unauthenticated { .. } = client.state {
            client.state = ClientState::Authenticated;
            self.metrics.unauthenticated.sub(1);
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

    /// Takes in what a client has said.
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
            ClientInput::Close(_) if leaving => self.remove(client_slot),
            ClientInput::Close(code) => {
                self.close(client_slot, code, StatusFrame::new());
                // It is the server that ends the connection; what is left to send may go first.
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
            ClientInput::Text(text) => match ClientRequest::parse(&text) {
                Ok(request) => self.handle_request(client_slot, request),
                Err(wrong) => self.refuse(client_slot, &wrong),
            },
            ClientInput::Binary => self.refuse(
                client_slot,
                "a binary message that is no text is not understood: send JSON",
            ),
            ClientInput::Ping(payload) => {
                let mut frame = Vec::new();
                websocket::pong(&payload, &mut frame);
                self.write(client_slot, &frame, 1);
            }
            ClientInput::Broken(fault) => {
                self.metrics.refused_message.add(1);
                log::info!("{}: a client broke the protocol: {fault:?}", self.cluster);
                self.close(client_slot, Some(fault.code()), StatusFrame::new());
            }
        }
    }

    pub(super) fn set_topics(&mut self, client_slot: ClientSlot, topics: BTreeSet<Channel>) {
        if self.clients[client_slot].is_none() {
            return;
        }
        let now = self.now();
        let before: BTreeSet<Channel> = self
            .last_values
            .topics(client_slot)
            .iter()
            .cloned()
            .collect();
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

    /// Tells one client something.
    pub(super) fn send_status(&mut self, client_slot: ClientSlot, status_frame: StatusFrame) {
        if let Some(text) = status_frame.finish() {
            let mut frame = Vec::new();
            websocket::text(&text, &mut frame);
            self.write(client_slot, &frame, 1);
        }
    }

    /// Tells all members something.
    pub(super) fn send_status_to_all(&mut self, status_frame: StatusFrame) {
        let Some(text) = status_frame.finish() else {
            return;
        };
        let mut frame = Vec::new();
        websocket::text(&text, &mut frame);
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
            // It has asked for more than it reads; there is no room even to say so.
            WriteOutcome::Full => {
                self.metrics.slow_consumers.add(1);
                return self.remove(client_slot);
            }
            WriteOutcome::Gone => return self.remove(client_slot),
        }
        self.metrics.frames_out.add(count);
        self.metrics.bytes_out.add(frames.len() as u64);
    }

    /// Gives everybody who can take it what they have not seen; returns how many frames.
    pub(super) fn deliver_pending(&mut self) -> u64 {
        let before = self.metrics.frames_out.count();
        let now = self.now();
        self.give(|last_values, give| last_values.deliver_pending(now, give));
        self.metrics.frames_out.count() - before
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
        self.metrics.frames_out.add(frames_out);
        self.metrics.bytes_out.add(bytes_out);
        self.metrics.clients_blocked.add(blocked);
        for client_slot in gone {
            self.remove(client_slot);
        }
        for client_slot in slow {
            self.metrics.slow_consumers.add(1);
            log::info!("{}: a client reads its trades too slowly", self.cluster);
            let status = StatusFrame::one("slow_consumer", "too many trades were waiting");
            self.close(client_slot, Some(1013), status);
        }
    }

    /// Says farewell; the client has a moment to answer.
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
            self.metrics.unauthenticated.sub(1);
        }
        self.send_status(client_slot, last_words);
        let mut frame = Vec::new();
        websocket::close(code, "", &mut frame);
        self.write(client_slot, &frame, 1);
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
            self.metrics.unauthenticated.sub(1);
        }
    }
}

impl Drop for Broker {
    /// What is counted is counted for all clusters together.
    fn drop(&mut self) {
        for client_slot in 0..self.clients.len() {
            self.remove(client_slot);
        }
    }
}
