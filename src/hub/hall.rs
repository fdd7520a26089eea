//! Everybody who is connected to one cluster. Owns the clients, the room and what is wanted, and
//! decides who is told what; never waits for anybody.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::client::{Client, Line, Said, Stage, Who, Wrote, listen};
use super::fanout::Guest;
use super::interest::Wanted;
use super::limits::Limits;
use super::metrics::Metrics;
use super::request::{Request, Statuses};
use super::room::{News, Room, Seat, Took};
use super::tidings::barred;
use super::token::{Device, Gate};
use super::{Interest, websocket};
use crate::clock::{Clock, Moment};
use crate::feed::Why;
use crate::market::{Channel, Cluster};

/// How long a client may take to answer a farewell.
const FAREWELL: Duration = Duration::from_secs(2);

/// What is known of the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upstream {
    /// Nothing yet, or nobody needs it.
    Idle,
    Up,
    Down(Why),
    /// The vendor lets us in for nothing here.
    Barred,
}

/// Everybody who is here.
#[derive(Debug)]
pub(super) struct Hall {
    pub(super) cluster: Cluster,
    pub(super) gate: Arc<Gate>,
    pub(super) limits: Limits,
    pub(super) metrics: Arc<Metrics>,
    clock: Clock,
    tell: mpsc::Sender<(Who, Said)>,
    pub(super) room: Room,
    pub(super) wanted: Wanted,
    /// By seat.
    pub(super) clients: Vec<Option<Client>>,
    count: usize,
    /// How many have ever been here.
    number: u64,
    pub(super) upstream: Upstream,
    pub(super) simulated: bool,
    /// What was asked for twice on this connection of the upstream, and never confirmed.
    pub(super) unanswered: BTreeSet<Channel>,
    /// The interest has changed since it was last asked for.
    pub(super) changed: bool,
    buffer: Vec<u8>,
}

impl Hall {
    pub(super) fn new(
        cluster: Cluster,
        gate: Arc<Gate>,
        limits: Limits,
        metrics: Arc<Metrics>,
        clock: Clock,
        tell: mpsc::Sender<(Who, Said)>,
    ) -> Self {
        Self {
            cluster,
            gate,
            room: Room::new(limits.trades),
            limits,
            metrics,
            clock,
            tell,
            wanted: Wanted::default(),
            clients: Vec::new(),
            count: 0,
            number: 0,
            upstream: Upstream::Idle,
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
    pub(super) fn admit(&mut self, guest: Guest) {
        if guest.socket.prepare().is_err() {
            return;
        }
        let now = self.now();
        let line = Arc::new(Line::new(guest.socket, now));
        self.number += 1;
        let who = Who {
            seat: self.room.join(),
            number: self.number,
        };
        let task = tokio::spawn(listen(
            who,
            line.clone(),
            guest.read_ahead,
            self.limits.message,
            self.clock.clone(),
            self.tell.clone(),
        ));
        let stage = Stage::Stranger {
            until: now + self.limits.authentication,
        };
        let client = Client::new(who, line, None, stage, task.abort_handle());
        if self.clients.len() <= who.seat {
            self.clients.resize_with(who.seat + 1, || None);
        }
        self.clients[who.seat] = Some(client);
        self.count += 1;
        self.metrics.clients.add(1);
        self.metrics.unauthenticated.add(1);
        let mut greeting = Statuses::one("connected", "Connected Successfully");
        if self.simulated {
            greeting.add("simulated", "These prices are simulated.");
        }
        self.say(who.seat, greeting);
        match guest.device {
            // It may have been revoked since its token was looked at.
            Some(device) if !self.gate.roster().borrow().contains(&device) => self.revoke(who.seat),
            Some(device) => self.welcome(who.seat, device),
            None => {}
        }
    }

    /// Makes somebody a member. In a frame of its own behind the greeting: the vendor's clients
    /// and those of the proxy read the status of a frame's first event.
    pub(super) fn welcome(&mut self, seat: Seat, device: Device) {
        let Some(client) = &mut self.clients[seat] else {
            return;
        };
        if let Stage::Stranger { .. } = client.stage {
            client.stage = Stage::Member;
            self.metrics.unauthenticated.sub(1);
        }
        client.device = Some(device);
        let mut statuses = Statuses::one("auth_success", "authenticated");
        if let Upstream::Down(why) = self.upstream {
            statuses.add("upstream_down", &why.to_string());
        }
        self.say(seat, statuses);
        if self.upstream == Upstream::Barred {
            self.close(seat, Some(1013), barred());
        }
    }

    /// Takes in what a client has said.
    pub(super) fn hear(&mut self, who: Who, said: Said) {
        let Some(Some(client)) = self.clients.get_mut(who.seat) else {
            return;
        };
        if client.who != who {
            return;
        }
        let seat = who.seat;
        let leaving = matches!(client.stage, Stage::Leaving { .. });
        match said {
            Said::Gone => self.remove(seat),
            Said::Close(_) if leaving => self.remove(seat),
            Said::Close(code) => {
                self.close(seat, code, Statuses::new());
                // It is the server that ends the connection; what is left to send may go first.
                if let Some(client) = &self.clients[seat]
                    && !client.is_behind()
                {
                    self.remove(seat);
                }
            }
            Said::Writable => match client.resume() {
                Wrote::All if !leaving => {
                    let now = self.now();
                    self.give(|room, give| room.release(seat, now, give));
                }
                Wrote::All | Wrote::Some | Wrote::Full => {}
                Wrote::Gone => self.remove(seat),
            },
            _ if leaving => {}
            Said::Text(text) => match Request::parse(&text) {
                Ok(request) => self.obey(seat, request),
                Err(wrong) => self.refuse(seat, &wrong),
            },
            Said::Binary => self.refuse(
                seat,
                "a binary message that is no text is not understood: send JSON",
            ),
            Said::Ping(payload) => {
                let mut frame = Vec::new();
                websocket::pong(&payload, &mut frame);
                self.write(seat, &frame, 1);
            }
            Said::Broken(fault) => {
                self.metrics.refused_message.add(1);
                log::info!("{}: a client broke the protocol: {fault:?}", self.cluster);
                self.close(seat, Some(fault.code()), Statuses::new());
            }
        }
    }

    pub(super) fn set_topics(&mut self, seat: Seat, topics: BTreeSet<Channel>) {
        if self.clients[seat].is_none() {
            return;
        }
        let now = self.now();
        let before: BTreeSet<Channel> = self.room.topics(seat).iter().cloned().collect();
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
        let count = self
            .room
            .set_topics(seat, topics.into_iter().collect(), now, &mut replay);
        if count > 0 {
            self.write(seat, &replay, count);
        }
        self.buffer = replay;
    }

    /// Tells one client something.
    pub(super) fn say(&mut self, seat: Seat, statuses: Statuses) {
        if let Some(text) = statuses.finish() {
            let mut frame = Vec::new();
            websocket::text(&text, &mut frame);
            self.write(seat, &frame, 1);
        }
    }

    /// Tells all members something.
    pub(super) fn announce(&mut self, statuses: Statuses) {
        let Some(text) = statuses.finish() else {
            return;
        };
        let mut frame = Vec::new();
        websocket::text(&text, &mut frame);
        for seat in 0..self.clients.len() {
            if matches!(&self.clients[seat], Some(client) if client.stage == Stage::Member) {
                self.write(seat, &frame, 1);
            }
        }
    }

    pub(super) fn write(&mut self, seat: Seat, frames: &[u8], count: u64) {
        let Some(Some(client)) = self.clients.get_mut(seat) else {
            return;
        };
        match client.write(frames) {
            Wrote::All => {}
            Wrote::Some => {
                self.metrics.clients_blocked.add(1);
                self.room.hold(seat);
            }
            // It has asked for more than it reads; there is no room even to say so.
            Wrote::Full => {
                self.metrics.slow_consumers.add(1);
                return self.remove(seat);
            }
            Wrote::Gone => return self.remove(seat),
        }
        self.metrics.frames_out.add(count);
        self.metrics.bytes_out.add(frames.len() as u64);
    }

    /// Gives everybody who can take it what they have not seen; returns how many frames.
    pub(super) fn sweep(&mut self) -> u64 {
        let before = self.metrics.frames_out.count();
        let now = self.now();
        self.give(|room, give| room.sweep(now, give));
        self.metrics.frames_out.count() - before
    }

    fn give(&mut self, run: impl FnOnce(&mut Room, &mut dyn FnMut(Seat, News<'_>) -> Took)) {
        let (mut gone, mut slow) = (Vec::new(), Vec::new());
        let (mut frames_out, mut bytes_out, mut blocked) = (0, 0, 0);
        let clients = &mut self.clients;
        run(&mut self.room, &mut |seat, news| {
            let Some(Some(client)) = clients.get_mut(seat) else {
                return Took::Enough;
            };
            let (frames, count) = match news {
                News::Frames(frames, count) => (frames, count),
                News::TooSlow => {
                    slow.push(seat);
                    return Took::Enough;
                }
            };
            frames_out += count;
            bytes_out += frames.len() as u64;
            match client.write(frames) {
                Wrote::All => Took::All,
                Wrote::Some | Wrote::Full => {
                    blocked += 1;
                    Took::Enough
                }
                Wrote::Gone => {
                    gone.push(seat);
                    Took::Enough
                }
            }
        });
        self.metrics.frames_out.add(frames_out);
        self.metrics.bytes_out.add(bytes_out);
        self.metrics.clients_blocked.add(blocked);
        for seat in gone {
            self.remove(seat);
        }
        for seat in slow {
            self.metrics.slow_consumers.add(1);
            log::info!("{}: a client reads its trades too slowly", self.cluster);
            let status = Statuses::one("slow_consumer", "too many trades were waiting");
            self.close(seat, Some(1013), status);
        }
    }

    /// Says farewell; the client has a moment to answer.
    pub(super) fn close(&mut self, seat: Seat, code: Option<u16>, last_words: Statuses) {
        self.set_topics(seat, BTreeSet::new());
        let until = self.now() + FAREWELL;
        let Some(client) = &mut self.clients[seat] else {
            return;
        };
        let stage = std::mem::replace(&mut client.stage, Stage::Leaving { until });
        client.line.turn_deaf();
        if let Stage::Stranger { .. } = stage {
            self.metrics.unauthenticated.sub(1);
        }
        self.say(seat, last_words);
        let mut frame = Vec::new();
        websocket::close(code, "", &mut frame);
        self.write(seat, &frame, 1);
    }

    pub(super) fn remove(&mut self, seat: Seat) {
        self.set_topics(seat, BTreeSet::new());
        let Some(client) = self.clients[seat].take() else {
            return;
        };
        self.room.leave(seat);
        self.count -= 1;
        self.metrics.clients.sub(1);
        if let Stage::Stranger { .. } = client.stage {
            self.metrics.unauthenticated.sub(1);
        }
    }
}

impl Drop for Hall {
    /// What is counted is counted for all clusters together.
    fn drop(&mut self) {
        for seat in 0..self.clients.len() {
            self.remove(seat);
        }
    }
}
