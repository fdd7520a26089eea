//! The handling of client requests: `auth`, `ping`, `subscribe` and `unsubscribe`. This module
//! checks the permissions and the limits of a client; it never stores state outside the broker.

use std::collections::BTreeSet;

use super::Broker;
use super::delivery::ClientSlot;
use crate::hub::session::client::ClientState;
use crate::hub::session::protocol::{ClientRequest, StatusFrame, brief, channel};
use crate::hub::session::websocket;

impl Broker {
    pub(crate) fn refuse(&mut self, client_slot: ClientSlot, wrong: &str) {
        self.metrics.refused_messages.add(1);
        self.send_status(client_slot, StatusFrame::one("error", wrong));
    }

    pub(crate) fn handle_request(&mut self, client_slot: ClientSlot, request: ClientRequest) {
        let member = matches!(&self.clients[client_slot], Some(client) if client.state == ClientState::Authenticated);
        match request {
            // Some client libraries always send an `auth` request, even after a token in the URL.
            // An authenticated client gets a success without a check of the new token.
            ClientRequest::Auth(_) if member => self.send_status(
                client_slot,
                StatusFrame::one("auth_success", "authenticated"),
            ),
            ClientRequest::Auth(token) => match self.authenticator.check(&token) {
                Some(device) => self.mark_authenticated(client_slot, device),
                None => {
                    self.metrics.refused_tokens.add(1);
                    log::info!("{}: the hub refused the token of a client", self.cluster);
                    let status = StatusFrame::one("auth_failed", "authentication failed");
                    self.close(client_slot, Some(1008), status);
                }
            },
            ClientRequest::Ping => {
                // The proxy sends a pong control frame, but a web page in a browser cannot see
                // control frames. The hub therefore also sends a status event.
                let pong = websocket::frame(websocket::PONG, b"");
                self.write(client_slot, &pong, 1);
                self.send_status(client_slot, StatusFrame::one("pong", "pong"));
            }
            ClientRequest::Subscribe(_) | ClientRequest::Unsubscribe(_) if !member => {
                self.refuse(
                    client_slot,
                    "not authenticated: send {\"action\":\"auth\",\"params\":\"TOKEN\"} first",
                );
            }
            ClientRequest::Subscribe(names) | ClientRequest::Unsubscribe(names)
                if names.is_empty() =>
            {
                self.refuse(client_slot, "params name no channel");
            }
            ClientRequest::Subscribe(names) | ClientRequest::Unsubscribe(names)
                if names.len() as u64 > self.limits.subscriptions =>
            {
                let most = self.limits.subscriptions;
                let wrong = format!("{} channels in one message; at most {most}", names.len());
                self.refuse(client_slot, &wrong);
            }
            ClientRequest::Subscribe(names) => self.subscribe(client_slot, &names),
            ClientRequest::Unsubscribe(names) => self.unsubscribe(client_slot, &names),
        }
    }

    fn subscribe(&mut self, client_slot: ClientSlot, names: &[String]) {
        let mut topics = self.topics(client_slot);
        let mut new_topics = BTreeSet::new();
        let mut answer = StatusFrame::new();
        // The number of channels that this message adds to the subscriptions of the cluster.
        let mut new = 0;
        for name in names {
            let Some(channel) = channel(self.cluster, name) else {
                self.metrics.refused_messages.add(1);
                answer.add("error", &format!("unknown channel: {}", brief(name)));
                continue;
            };
            if !topics.contains(&channel) && topics.len() as u64 >= self.limits.subscriptions {
                self.metrics.refused_messages.add(1);
                let most = self.limits.subscriptions;
                answer.add(
                    "error",
                    &format!("not subscribed to: {name}: at most {most} channels"),
                );
                continue;
            }
            if !topics.contains(&channel) && !self.wanted.contains(&channel) {
                let most = self.limits.channels;
                if (self.wanted.len() + new) as u64 >= most {
                    self.metrics.refused_messages.add(1);
                    answer.add(
                        "error",
                        &format!(
                            "not subscribed to: {name}: the hub holds as many channels as it may, {most}"
                        ),
                    );
                    continue;
                }
                new += 1;
            }
            answer.add("success", &format!("subscribed to: {name}"));
            new_topics.insert(channel.clone());
            topics.insert(channel);
        }
        self.add_unanswered(&new_topics, &mut answer);
        self.send_status(client_slot, answer);
        self.set_topics(client_slot, topics);
    }

    fn unsubscribe(&mut self, client_slot: ClientSlot, names: &[String]) {
        let mut topics = self.topics(client_slot);
        let mut answer = StatusFrame::new();
        for name in names {
            match channel(self.cluster, name) {
                Some(channel) => {
                    topics.remove(&channel);
                    answer.add("success", &format!("unsubscribed to: {name}"));
                }
                None => answer.add("error", &format!("unknown channel: {}", brief(name))),
            }
        }
        self.set_topics(client_slot, topics);
        self.send_status(client_slot, answer);
    }
}
