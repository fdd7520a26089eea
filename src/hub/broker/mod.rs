//! The broker of one cluster: decides the messages for each client, from the requests of the
//! clients and the reports of the upstream. Never waits for a client.

pub(crate) mod age;
pub(crate) mod clients;
pub(crate) mod commands;
pub mod delivery;
pub mod event_loop;
pub(crate) mod frame_cache;
pub mod last_value;
pub(crate) mod liveness;
pub(crate) mod slow_clients;
pub(crate) mod subscriptions;
pub(crate) mod upstream_view;

use std::sync::Arc;

use super::auth::authenticator::Authenticator;
use super::auth::registry::Device;
use super::session::client::{Client, ClientId, ClientInput, ClientState, WriteOutcome};
use super::session::protocol::{ClientRequest, StatusFrame};
use super::session::websocket::{self, Message};
use clients::Clients;
use commands::{ChannelRequest, TopicsChange};
use delivery::ClientSlot;
use event_loop::PendingClient;
use liveness::LivenessAction;
use upstream_view::UpstreamView;

/// The broker of one cluster, with the clients and its view of the upstream.
#[derive(Debug)]
pub(super) struct Broker {
    clients: Clients,
    upstream: UpstreamView,
    authenticator: Arc<Authenticator>,
}

impl Broker {
    /// Adds a client and sends the greeting. Also authenticates the client if the upgrade request
    /// contained a valid token.
    fn admit(&mut self, pending_client: PendingClient) {
        let PendingClient {
            socket,
            read_ahead,
            device,
            address,
            unauthenticated_slot,
            below,
        } = pending_client;
        let admitted = (self.clients).admit(socket, read_ahead, address, unauthenticated_slot);
        let Some(client_slot) = admitted else {
            return;
        };
        if let Some(client) = self.clients.get(client_slot) {
            client.below = below;
        }
        let greeting = self.upstream.greeting();
        self.clients.send_status([client_slot], greeting);
        match device {
            // The device may have been revoked after the check of the token.
            Some(device) if !self.authenticator.registry().borrow().contains(&device) => {
                self.revoke(client_slot)
            }
            Some(device) => self.authenticate(client_slot, device),
            None => {}
        }
    }

    /// Marks a client as authenticated and sends the status. The status is in a separate frame
    /// after the greeting, because the clients of the vendor and of the proxy read only the status
    /// of the first event in a frame.
    fn authenticate(&mut self, client_slot: ClientSlot, device: Device) {
        let now = self.clients.now();
        let Some(client) = self.clients.get(client_slot) else {
            return;
        };
        if !client.socket_state.authenticate(&device, now) {
            self.clients.metrics.refused_rate.add(1);
            let mut status =
                StatusFrame::one("error", "too many connections, the limit is per_minute");
            status.add("retry_after", "60");
            return self.clients.close(client_slot, Some(1013), status);
        }
        let most = match self.authenticator.has_other_devices() {
            true => self.clients.limits.device_connections,
            false => u64::MAX,
        };
        let Some(session) = self.authenticator.sessions().open(&device, most) else {
            self.clients.metrics.refused_device_share.add(1);
            let words = format!(
                "this device has as many connections as it may, {most} (device_connections)"
            );
            let mut status = StatusFrame::one("error", &words);
            status.add("retry_after", "10");
            return self.clients.close(client_slot, Some(1013), status);
        };
        let state = ClientState::Authenticated;
        let Some(client) = self.clients.change_state(client_slot, state) else {
            return;
        };
        if let Some(address) = client.address {
            session.set_address(address);
        }
        client.session = Some(session);
        client.note_seen();
        self.upstream.welcome(client_slot, &mut self.clients);
    }

    /// Handles one input from a client. Ignores an input from an earlier client of the same slot.
    fn handle_input(&mut self, client_id: ClientId, input: ClientInput) {
        let client_slot = client_id.client_slot;
        let client = self.clients.get(client_slot);
        let Some(client) = client.filter(|client| client.client_id == client_id) else {
            return;
        };
        let leaving = matches!(client.state, ClientState::Closing { .. });
        match input {
            ClientInput::Gone => self.clients.remove(client_slot),
            ClientInput::Evicted => self.evict(client_slot),
            ClientInput::Writable => match self.clients.resume(client_slot) {
                WriteOutcome::All if !leaving => {
                    self.clients.deliver(Some(client_slot));
                }
                WriteOutcome::All | WriteOutcome::Some | WriteOutcome::Full => {}
                WriteOutcome::Gone => self.clients.remove(client_slot),
            },
            ClientInput::Message(Message::Close(_)) if leaving => self.clients.remove(client_slot),
            _ if leaving => {}
            ClientInput::Message(Message::Close(code)) => {
                self.clients
                    .close(client_slot, code, StatusFrame::default());
                // The server ends the connection (RFC 6455, 7.1.1), but only after the unsent
                // bytes.
                let client = self.clients.get(client_slot);
                if client.is_some_and(|client| !client.is_behind()) {
                    self.clients.remove(client_slot);
                }
            }
            ClientInput::Message(Message::Text(text)) => {
                self.handle_request(client_slot, ClientRequest::parse(&text));
            }
            // Some clients send JSON text in binary frames, so UTF-8 bytes count as text.
            ClientInput::Message(Message::Binary(bytes)) => {
                let text = String::from_utf8(bytes)
                    .map_err(|_| "a binary message that is no text is not understood: send JSON");
                let request = text.map_err(str::to_owned);
                let request = request.and_then(|text| ClientRequest::parse(&text));
                self.handle_request(client_slot, request);
            }
            ClientInput::Message(Message::Ping(payload)) => {
                let frame = websocket::frame(websocket::PONG, &payload);
                self.clients.write(client_slot, &frame, 1);
            }
            ClientInput::Message(Message::Pong) => {}
            ClientInput::Broken(fault) => {
                self.clients.metrics.refused_messages.add(1);
                log::info!(
                    "{}: a client violated the WebSocket protocol and is disconnected: {fault:?}",
                    self.clients.cluster
                );
                let code = Some(fault.code());
                self.clients
                    .close(client_slot, code, StatusFrame::default());
            }
        }
    }

    fn refuse(&mut self, client_slot: ClientSlot, wrong: &str) {
        self.clients.metrics.refused_messages.add(1);
        let status = StatusFrame::one("error", wrong);
        self.clients.send_status([client_slot], status);
    }

    fn handle_request(&mut self, client_slot: ClientSlot, request: Result<ClientRequest, String>) {
        let client = self.clients.get(client_slot);
        let member = client.is_some_and(|client| client.state == ClientState::Authenticated);
        let clients = &mut self.clients;
        match request {
            Err(wrong) => self.refuse(client_slot, &wrong),
            // Some client libraries always send an `auth` request, even after a token in the URL.
            // An authenticated client gets a success without a check of the new token.
            Ok(ClientRequest::Auth(_)) if member => {
                let status = StatusFrame::one("auth_success", "authenticated");
                clients.send_status([client_slot], status);
            }
            Ok(ClientRequest::Auth(token)) => match self.authenticator.check(&token) {
                Some(device) => self.authenticate(client_slot, device),
                None => {
                    clients.metrics.refused_tokens.add(1);
                    let cluster = clients.cluster;
                    log::info!("{cluster}: the hub refused the token of a client");
                    let status = StatusFrame::one("auth_failed", "authentication failed");
                    clients.close(client_slot, Some(1008), status);
                }
            },
            Ok(ClientRequest::Ping) => {
                // The proxy sends a pong control frame, but a web page in a browser cannot see
                // control frames. The hub therefore also sends a status event.
                let pong = websocket::frame(websocket::PONG, b"");
                clients.write(client_slot, &pong, 1);
                clients.send_status([client_slot], StatusFrame::one("pong", "pong"));
            }
            Ok(_) if !member => self.refuse(
                client_slot,
                "not authenticated: send {\"action\":\"auth\",\"params\":\"TOKEN\"} first",
            ),
            Ok(ClientRequest::Report(report)) => {
                let client = clients.get(client_slot);
                if let Some(session) = client.and_then(|client| client.session.as_ref()) {
                    session.set_report(*report);
                }
            }
            Ok(ClientRequest::Subscribe(names)) => {
                let unanswered = &self.upstream.unanswered;
                let client = clients.get(client_slot);
                let device = client.and_then(|client| client.device().cloned());
                let device = device.filter(|_| self.authenticator.has_other_devices());
                let request = ChannelRequest {
                    client_slot,
                    device: device.as_ref(),
                    names: &names,
                };
                let change = commands::subscribe(clients, &request, unanswered);
                self.change_topics(client_slot, change);
            }
            Ok(ClientRequest::Unsubscribe(names)) => {
                let change = commands::unsubscribe(clients, client_slot, &names);
                self.change_topics(client_slot, change);
            }
        }
    }

    fn change_topics(&mut self, client_slot: ClientSlot, change: Result<TopicsChange, String>) {
        match change {
            Err(wrong) => self.refuse(client_slot, &wrong),
            Ok(change) => {
                let metrics = &self.clients.metrics;
                metrics.refused_messages.add(change.refused);
                metrics.refused_device_share.add(change.over_share);
                metrics.refused_channels.add(change.over_total);
                // The answer comes before the last values of the new channels.
                self.clients.send_status([client_slot], change.answer);
                self.clients.set_topics(client_slot, change.topics);
            }
        }
    }

    /// Removes a client that did not authenticate and must make way for another connection.
    fn evict(&mut self, client_slot: ClientSlot) {
        let client = self.clients.get(client_slot);
        if client.is_some_and(|client| client.state == ClientState::Authenticated) {
            return;
        }
        let words = "too many connections without authentication";
        let status = StatusFrame::one("error", words);
        self.clients.send_status([client_slot], status);
        let close = websocket::close(Some(1013));
        self.clients.write(client_slot, &close, 1);
        self.clients.remove(client_slot);
    }

    /// Closes the session of a client whose device is revoked.
    fn revoke(&mut self, client_slot: ClientSlot) {
        self.clients.metrics.clients_revoked.add(1);
        let status = StatusFrame::one("force_disconnect", "the token of this device was revoked");
        self.clients.close(client_slot, Some(1008), status);
    }

    /// Closes the sessions of all devices that are no longer in the device registry.
    fn disconnect_revoked(&mut self) {
        let registry = self.authenticator.registry().borrow().clone();
        let authenticated = |client: &Client| client.state == ClientState::Authenticated;
        for client_slot in self.clients.select(authenticated) {
            let client = self.clients.get(client_slot);
            let device = client.and_then(|client| client.device().cloned());
            if let Some(device) = device.filter(|device| !registry.contains(device)) {
                log::info!(
                    "{}: the token of {device} was revoked; the hub disconnects this device",
                    self.clients.cluster
                );
                self.revoke(client_slot);
            }
        }
    }

    /// Runs once a second: closes clients that do not authenticate in time, sends pings, drops dead
    /// clients, and removes expired channels without subscribers.
    fn housekeeping(&mut self) {
        let now = self.clients.now();
        for client_slot in self.clients.select(|_| true) {
            let Some(client) = self.clients.get(client_slot) else {
                continue;
            };
            client.note_seen();
            match liveness::check(client, now) {
                None => {}
                Some(LivenessAction::Close) => {
                    self.clients.metrics.timeouts.add(1);
                    let words = "No authentication request received.";
                    let status = StatusFrame::one("auth_timeout", words);
                    self.clients.close(client_slot, Some(1008), status);
                }
                Some(LivenessAction::Ping) => {
                    let ping = websocket::frame(websocket::PING, b"");
                    self.clients.write(client_slot, &ping, 1);
                }
                Some(LivenessAction::RemoveDead) => {
                    self.clients.metrics.clients_dead.add(1);
                    self.clients.remove(client_slot);
                }
                Some(LivenessAction::RemoveClosed) => self.clients.remove(client_slot),
            }
        }
        if self.clients.expire_channels() {
            let subscriptions = &self.clients.subscriptions;
            self.upstream
                .unanswered
                .retain(|channel, _| subscriptions.contains(channel));
        }
    }
}
