//! One connection as a state machine. No I/O and no clock: events and time come in, actions come
//! out. The shell around it is `session`.

use core::time::Duration;

use super::Why;
use super::shelf::{Fixed, Shelf};
use super::subscriptions::{Ledger, Request};
use crate::clock::Moment;
use crate::market::{Channel, Kind};

/// Name resolution, TCP, TLS and the upgrade together may take this long.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// The server may take this long to say yes or no to a key.
pub const AUTH_LIMIT: Duration = Duration::from_secs(10);
/// A ping goes out after this long without a frame. The official clients use 20 and 25 s.
pub const PING_AFTER: Duration = Duration::from_secs(20);
/// A connection is dead after this long without any frame; 10 s gave the official client false
/// alarms, 30 s is what it uses now.
pub const DEAD_AFTER: Duration = Duration::from_secs(30);
/// A link that has been silent this long, while something was due, is opened anew: the proxy
/// keeps its clients after it has lost its own upstream.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(90);
/// A connection that has lived this long has proven itself, and the backoff is forgotten. Never
/// at the open: a server that accepts and drops would be hammered.
pub const PROVEN_AFTER: Duration = Duration::from_secs(10);
/// The first wait between two attempts at the vendor; it doubles.
pub const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// The longest wait between two attempts at the vendor.
pub const BACKOFF_LIMIT: Duration = Duration::from_secs(60);
/// The longest wait between two attempts at a hub in the first minute of an outage,
pub const HUB_BACKOFF: Duration = Duration::from_millis(1500);
/// and later.
pub const HUB_BACKOFF_LATER: Duration = Duration::from_secs(8);
/// That first minute.
const SHORT_OUTAGE: Duration = Duration::from_secs(60);
/// Two attempts are never closer together, whatever proves that the host lives.
const LEAST_WAIT: Duration = Duration::from_secs(1);
/// A connection on which nothing came for so long is asked to prove itself when its host is seen to
/// live,
const SUSPECT_AFTER: Duration = Duration::from_secs(3);
/// and has so long to answer,
const SUSPECT_LIMIT: Duration = Duration::from_secs(2);
/// and so long again, counted from when the first limit was seen to be over: after a machine has
/// stood still the answer may be there and not be read yet.
const SUSPECT_MOMENT: Duration = Duration::from_millis(1500);
/// The wait after a refusal or an eviction. Two clients that evict each other must not fight.
pub const COOL_DOWN: Duration = Duration::from_secs(60);

/// The wait of a spare link after it is told that there is no such thing, or not for us.
pub const SPARE_COOL_DOWN: Duration = Duration::from_secs(600);

/// To whom the link goes, which decides who authenticates how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// A hub or the proxy: the token is in the address, and the upgrade is the answer. It may send
    /// no greeting and no acknowledgement, and passes on words meant for others.
    Hub,
    /// The vendor: a key in an `auth` message, and `auth_success` is the answer.
    Vendor,
}

/// What has happened to a link.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// The WebSocket is open.
    Opened,
    /// The key was accepted.
    Authenticated,
    /// A channel was acknowledged.
    Subscribed(&'a Channel),
    /// Any frame, a pong included.
    Heard,
    /// Something on a channel; on a proxy it may be somebody else's.
    Data(Kind, &'a str),
    /// The connection, or the attempt at one, has ended.
    Closed(Why),
    /// The host has answered somebody else: REST, or another link.
    Alive,
}

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Open a connection; answered by `Opened` or `Closed`.
    Open,
    /// Send the key.
    Authenticate,
    /// Ask for a channel.
    Subscribe(Channel),
    /// Give a channel back.
    Unsubscribe(Channel),
    /// Send a ping.
    Ping,
    /// Log that a channel was asked for twice and never confirmed.
    Report(Channel),
    /// Close the connection, or give up the attempt; not answered.
    Close(Why),
}

/// What a link is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing needs it.
    Idle,
    /// Waiting for the next attempt.
    Backoff {
        /// When that is.
        until: Moment,
    },
    /// Opening the connection.
    Connecting {
        /// When the attempt is given up.
        until: Moment,
    },
    /// Waiting for the answer to the key.
    Authenticating {
        /// When the attempt is given up.
        until: Moment,
    },
    /// In use.
    Live {
        /// Since when.
        since: Moment,
        /// When the last frame came.
        heard: Moment,
    },
    /// In use, and nothing comes although something is due.
    Silent {
        /// Since when.
        since: Moment,
        /// When the last frame came.
        heard: Moment,
    },
    /// The other side said no; waiting longer than usual.
    Refused {
        /// Until when.
        until: Moment,
    },
}

/// A link's state, as the desk is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is doing.
    pub phase: Phase,
    /// Why it is not live, from the failure until it is live again.
    pub why: Option<Why>,
    /// How many times it has been live.
    pub connections: u32,
    /// Whether the other side has said that its prices are simulated; `None` before its first words.
    pub simulated: Option<bool>,
    /// Up to when the last answer to a ping proves that nothing is late because a link is dead, be it
    /// the hub's own.
    pub heard: Moment,
    /// The hub has said that it has lost its own upstream.
    pub cut_off: bool,
}

/// [`State`] without its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing needs it.
    Idle,
    /// Waiting for the next attempt.
    Down,
    /// Connecting or authenticating.
    Joining,
    /// In use.
    Live,
    /// In use, and nothing comes although something is due.
    Silent,
    /// The other side said no.
    Refused,
}

/// The state machine of one connection.
#[derive(Clone, Debug)]
pub struct Link<S = Fixed> {
    via: Via,
    state: State,
    subscriptions: Ledger<S>,
    /// The wait before the next attempt, before jitter.
    backoff: Duration,
    /// When something last came on a channel of ours; reset when a connection goes live.
    data: Moment,
    /// When the last ping went out.
    pinged: Moment,
    /// How long our channels may be silent now; `None` off hours, when silence is normal.
    patience: Option<Duration>,
    why: Option<Why>,
    connections: u32,
    /// It was closed for silence, and nothing of ours has come since: another connection that
    /// lives proves nothing, for an index that is never published would have us come and go.
    barren: bool,
    /// REST carries what this one does not.
    spare: bool,
    /// What `on` found to be done at once.
    pending: Option<Action>,
    /// When the outage began that is not over yet.
    lost: Option<Moment>,
    /// When the last attempt began.
    tried: Moment,
    /// Until when it must prove itself, for its host is seen to live while nothing comes here; and whether
    /// that is the last time.
    suspect: Option<(Moment, bool)>,
    random: u64,
}

impl Link {
    /// A display's link, which wants nothing yet. The seed is for the jitter of its waits.
    pub fn new(via: Via, seed: u64) -> Self {
        Self::with_shelf(via, seed)
    }
}

impl<S: Shelf> Link<S> {
    /// A link that wants nothing yet and keeps its channels on a shelf of this kind.
    pub fn with_shelf(via: Via, seed: u64) -> Self {
        Self {
            via,
            state: State::Idle,
            subscriptions: Ledger::default(),
            backoff: BACKOFF_FIRST,
            data: Moment::ZERO,
            pinged: Moment::ZERO,
            patience: None,
            why: None,
            connections: 0,
            barren: false,
            spare: false,
            pending: None,
            lost: None,
            tried: Moment::ZERO,
            suspect: None,
            random: seed | 1,
        }
    }

    /// Whether REST carries what this link does not. Then a server without its cluster (404), and a
    /// plan without it, are left alone for long.
    pub const fn set_spare(&mut self, spare: bool) {
        self.spare = spare;
    }

    /// Makes these the channels wanted, and this the longest they may be silent (`None`: as long
    /// as they like). Without channels a link closes; with some it opens.
    pub fn want(&mut self, channels: &S::Wanted, patience: Option<Duration>, now: Moment) {
        self.subscriptions.want(channels);
        if patience.is_some() && self.patience.is_none() {
            // The market has just opened: the silence before it counts for nothing.
            self.data = now;
        }
        self.patience = patience;
    }

    /// What it is doing.
    pub const fn state(&self) -> State {
        self.state
    }

    /// What it holds and wants.
    pub const fn subscriptions(&self) -> &Ledger<S> {
        &self.subscriptions
    }

    /// What the desk is told.
    pub fn status(&self) -> Status {
        let phase = match self.state {
            State::Idle => Phase::Idle,
            // It only sits out its wait.
            State::Backoff { .. } | State::Refused { .. } if self.subscriptions.is_empty() => {
                Phase::Idle
            }
            State::Backoff { .. } => Phase::Down,
            State::Connecting { .. } | State::Authenticating { .. } => Phase::Joining,
            State::Live { .. } => Phase::Live,
            State::Silent { .. } => Phase::Silent,
            State::Refused { .. } => Phase::Refused,
        };
        Status {
            phase,
            why: self.why.filter(|_| phase != Phase::Idle),
            connections: self.connections,
            simulated: None,
            heard: Moment::ZERO,
            cut_off: false,
        }
    }

    /// Takes in what has happened.
    pub fn on(&mut self, event: Event<'_>, now: Moment) {
        match (event, &mut self.state) {
            (Event::Opened, State::Connecting { .. }) => match self.via {
                Via::Hub => self.live(now),
                Via::Vendor => {
                    self.state = State::Authenticating {
                        until: now + AUTH_LIMIT,
                    };
                    self.pending = Some(Action::Authenticate);
                }
            },
            (Event::Authenticated, State::Authenticating { .. }) => self.live(now),
            (Event::Subscribed(channel), State::Live { .. } | State::Silent { .. }) => {
                self.subscriptions.confirm(channel.kind, &channel.ticker);
            }
            (Event::Heard, State::Live { heard, .. } | State::Silent { heard, .. }) => {
                *heard = now;
                self.suspect = None;
            }
            (Event::Data(kind, ticker), State::Live { .. } | State::Silent { .. })
                if self.subscriptions.confirm(kind, ticker) =>
            {
                self.data = now;
                self.barren = false;
                if let State::Silent { heard, .. } = self.state {
                    self.state = State::Live { since: now, heard };
                    self.why = None;
                }
            }
            (Event::Closed(why), State::Connecting { .. } | State::Authenticating { .. }) => {
                self.lost(why, now)
            }
            (Event::Closed(why), State::Live { .. } | State::Silent { .. }) => self.lost(why, now),
            (Event::Alive, State::Backoff { until }) if self.via == Via::Hub => {
                *until = (*until).min(now.max(self.tried + LEAST_WAIT));
            }
            (Event::Alive, State::Live { heard, .. } | State::Silent { heard, .. })
                if self.suspect.is_none() && now >= *heard + SUSPECT_AFTER =>
            {
                self.suspect = Some((now + SUSPECT_LIMIT, false));
                self.pending = Some(Action::Ping);
                self.pinged = now;
            }
            // Anything else comes too late, or was said to somebody else.
            _ => {}
        }
    }

    /// The next thing to do, until there is none. Call it after every event and whenever
    /// [`Link::deadline`] has passed.
    pub fn next(&mut self, now: Moment) -> Option<Action> {
        if let Some(action) = self.pending.take() {
            return Some(action);
        }
        let needless = self.subscriptions.is_empty();
        match self.state {
            State::Idle if needless => None,
            // Not before its time: who comes and goes while the other side says no, or is not
            // there, must not make us ask again at each coming.
            State::Backoff { until } | State::Refused { until } if needless => {
                if now >= until {
                    self.idle();
                }
                None
            }
            State::Connecting { .. }
            | State::Authenticating { .. }
            | State::Live { .. }
            | State::Silent { .. }
                if needless =>
            {
                self.idle();
                Some(Action::Close(Why::Done))
            }
            State::Backoff { until } | State::Refused { until } if now < until => None,
            State::Idle | State::Backoff { .. } | State::Refused { .. } => {
                self.state = State::Connecting {
                    until: now + CONNECT_LIMIT,
                };
                self.tried = now;
                Some(Action::Open)
            }
            State::Connecting { until } | State::Authenticating { until } => {
                (now >= until).then(|| self.close(Why::Timeout, now))
            }
            State::Live { since, heard } | State::Silent { since, heard } => {
                self.tend(since, heard, now)
            }
        }
    }

    /// Looks after a connection in use.
    fn tend(&mut self, since: Moment, heard: Moment, now: Moment) -> Option<Action> {
        match self.suspect {
            Some((until, true)) if now >= until => return Some(self.close(Why::Dead, now)),
            Some((until, false)) if now >= until => {
                self.suspect = Some((now + SUSPECT_MOMENT, true));
            }
            _ => {}
        }
        if now >= heard + DEAD_AFTER {
            return Some(self.close(Why::Dead, now));
        }
        if now >= self.proven_at() {
            self.backoff = BACKOFF_FIRST;
            self.lost = None;
        }
        match (self.state, self.patience) {
            (State::Silent { .. }, None) => {
                self.state = State::Live { since: now, heard };
                self.why = None;
            }
            (State::Silent { .. }, Some(_)) if now >= since + SILENCE_LIMIT => {
                return Some(self.close(Why::Silent, now));
            }
            (State::Live { .. }, Some(patience)) if now >= self.data + patience => {
                self.state = State::Silent { since: now, heard };
                self.why = Some(Why::Silent);
            }
            _ => {}
        }
        if let Some(request) = self.subscriptions.next(now) {
            return Some(match request {
                Request::Subscribe(channel) => Action::Subscribe(channel),
                Request::Unsubscribe(channel) => Action::Unsubscribe(channel),
                Request::Report(channel) => Action::Report(channel),
            });
        }
        if now >= self.ping_at(heard) {
            self.pinged = now;
            return Some(Action::Ping);
        }
        None
    }

    /// When [`Link::next`] may have something to do without anything happening.
    pub fn deadline(&self) -> Moment {
        if self.pending.is_some() {
            return Moment::ZERO;
        }
        match self.state {
            State::Idle if self.subscriptions.is_empty() => Moment::NEVER,
            State::Idle => Moment::ZERO,
            State::Backoff { until } | State::Refused { until } => until,
            _ if self.subscriptions.is_empty() => Moment::ZERO,
            State::Connecting { until } | State::Authenticating { until } => until,
            State::Live { heard, .. } => {
                let silent = self
                    .patience
                    .map_or(Moment::NEVER, |patience| self.data + patience);
                self.upkeep(heard).min(silent)
            }
            State::Silent { since, heard } => {
                let up = if self.patience.is_some() {
                    since + SILENCE_LIMIT
                } else {
                    Moment::ZERO
                };
                self.upkeep(heard).min(up)
            }
        }
    }

    fn upkeep(&self, heard: Moment) -> Moment {
        let suspect = self.suspect.map_or(Moment::NEVER, |(until, _)| until);
        let proven = if self.lost.is_some() {
            self.proven_at()
        } else {
            Moment::NEVER
        };
        self.ping_at(heard)
            .min(heard + DEAD_AFTER)
            .min(proven)
            .min(suspect)
            .min(self.subscriptions.deadline())
    }

    fn ping_at(&self, heard: Moment) -> Moment {
        // One ping for each silence; it is answered or the connection is dead.
        if self.pinged > heard {
            Moment::NEVER
        } else {
            heard + PING_AFTER
        }
    }

    fn proven_at(&self) -> Moment {
        match self.state {
            State::Live { since, .. } if !self.barren => since + PROVEN_AFTER,
            _ => Moment::NEVER,
        }
    }

    fn live(&mut self, now: Moment) {
        self.state = State::Live {
            since: now,
            heard: now,
        };
        self.data = now;
        self.pinged = Moment::ZERO;
        self.why = None;
        self.connections = self.connections.saturating_add(1);
    }

    fn idle(&mut self) {
        self.subscriptions.forget();
        self.state = State::Idle;
        self.why = None;
        self.backoff = BACKOFF_FIRST;
        self.barren = false;
        self.lost = None;
    }

    fn close(&mut self, why: Why, now: Moment) -> Action {
        self.lost(why, now);
        Action::Close(why)
    }

    fn lost(&mut self, why: Why, now: Moment) {
        if now >= self.proven_at() {
            self.backoff = BACKOFF_FIRST;
            self.lost = None;
        }
        self.pending = None;
        let known_alive = self.suspect.take().is_some();
        self.subscriptions.forget();
        self.why = Some(why);
        self.barren |= why == Why::Silent;
        let absent = self.spare && matches!(why, Why::Path | Why::Key);
        if absent || why.refuses() {
            let cool_down = if absent { SPARE_COOL_DOWN } else { COOL_DOWN };
            // Longer, never shorter: who was evicted is not alone.
            let wait = cool_down + self.jitter(cool_down / 4);
            self.state = State::Refused { until: now + wait };
            return;
        }
        let since = *self.lost.get_or_insert(now);
        let wait = if self.via == Via::Vendor || self.barren {
            let wait = self.backoff / 2 + self.jitter(self.backoff);
            self.backoff = (self.backoff * 2).min(BACKOFF_LIMIT);
            wait
        } else if known_alive {
            Duration::ZERO
        } else {
            let longest = if now.since(since) < SHORT_OUTAGE {
                HUB_BACKOFF
            } else {
                HUB_BACKOFF_LATER
            };
            longest / 2 + self.jitter(longest / 2)
        };
        self.state = State::Backoff { until: now + wait };
    }

    /// Up to this long, so that a hundred displays do not come back as one (xorshift64).
    fn jitter(&mut self, most: Duration) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        most * (self.random >> 48) as u32 / (1 << 16)
    }
}
