//! What a client gets for its requests. Owns the rules: who may ask, for what and for how much.

use std::collections::BTreeSet;

use super::client::Stage;
use super::hall::Hall;
use super::request::{Request, Statuses, brief, channel};
use super::room::Seat;
use super::websocket;
use crate::market::Channel;

impl Hall {
    pub(super) fn refuse(&mut self, seat: Seat, wrong: &str) {
        self.metrics.refused_message.add(1);
        self.say(seat, Statuses::one("error", wrong));
    }

    pub(super) fn obey(&mut self, seat: Seat, request: Request) {
        let member = matches!(&self.clients[seat], Some(client) if client.stage == Stage::Member);
        match request {
            // Who came in with a token in the address sends one more if its library cannot help
            // it, whatever is in it.
            Request::Auth(_) if member => {
                self.say(seat, Statuses::one("auth_success", "authenticated"))
            }
            Request::Auth(token) => match self.gate.check(&token) {
                Some(device) => self.welcome(seat, device),
                None => {
                    self.metrics.refused_token.add(1);
                    log::info!("{}: a client's token was refused", self.cluster);
                    let status = Statuses::one("auth_failed", "authentication failed");
                    self.close(seat, Some(1008), status);
                }
            },
            Request::Ping => {
                // The proxy answers with a control frame, which a browser never sees.
                let mut frames = Vec::new();
                websocket::pong(b"", &mut frames);
                self.write(seat, &frames, 1);
                self.say(seat, Statuses::one("pong", "pong"));
            }
            Request::Subscribe(_) | Request::Unsubscribe(_) if !member => {
                self.refuse(
                    seat,
                    "not authenticated: send {\"action\":\"auth\",\"params\":\"TOKEN\"} first",
                );
            }
            Request::Subscribe(names) | Request::Unsubscribe(names) if names.is_empty() => {
                self.refuse(seat, "params name no channel");
            }
            Request::Subscribe(names) | Request::Unsubscribe(names)
                if names.len() > self.limits.subscriptions =>
            {
                let most = self.limits.subscriptions;
                let wrong = format!("{} channels in one message; at most {most}", names.len());
                self.refuse(seat, &wrong);
            }
            Request::Subscribe(names) => self.subscribe(seat, &names),
            Request::Unsubscribe(names) => self.unsubscribe(seat, &names),
        }
    }

    fn subscribe(&mut self, seat: Seat, names: &[String]) {
        let mut topics: BTreeSet<Channel> = self.room.topics(seat).iter().cloned().collect();
        let mut new_topics = BTreeSet::new();
        let mut answer = Statuses::new();
        // Channels that only this message brings.
        let mut new = 0;
        for name in names {
            let Some(channel) = channel(self.cluster, name) else {
                self.metrics.refused_message.add(1);
                answer.add("error", &format!("unknown channel: {}", brief(name)));
                continue;
            };
            if !topics.contains(&channel) && topics.len() >= self.limits.subscriptions {
                self.metrics.refused_message.add(1);
                let most = self.limits.subscriptions;
                answer.add(
                    "error",
                    &format!("not subscribed to: {name}: at most {most} channels"),
                );
                continue;
            }
            if !topics.contains(&channel) && !self.wanted.contains(&channel) {
                let most = self.limits.channels;
                if self.wanted.len() + new >= most {
                    self.metrics.refused_message.add(1);
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
        self.say(seat, answer);
        self.set_topics(seat, topics);
    }

    fn unsubscribe(&mut self, seat: Seat, names: &[String]) {
        let mut topics: BTreeSet<Channel> = self.room.topics(seat).iter().cloned().collect();
        let mut answer = Statuses::new();
        for name in names {
            match channel(self.cluster, name) {
                Some(channel) => {
                    topics.remove(&channel);
                    answer.add("success", &format!("unsubscribed to: {name}"));
                }
                None => answer.add("error", &format!("unknown channel: {}", brief(name))),
            }
        }
        self.set_topics(seat, topics);
        self.say(seat, answer);
    }
}
