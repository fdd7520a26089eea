//! One connection as a state machine. No I/O and no clock: events and time come in, actions come
//! out. The shell around it is `session`.

use core::time::Duration;

use super::Failure;
use super::shelf::{Fixed, Shelf};
use super::subscriptions::{SubscriptionAction, SubscriptionTable};
use crate::market::{Channel, ChannelKind};
use crate::time::Moment;

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
pub const STABLE_AFTER: Duration = Duration::from_secs(10);
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
const MIN_RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// A connection on which nothing came for so long is asked to prove itself when its host is seen to
/// live,
const PROBE_AFTER: Duration = Duration::from_secs(3);
/// and has so long to answer,
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// and so long again, counted from when the first limit was seen to be over: after a machine has
/// stood still the answer may be there and not be read yet.
const PROBE_GRACE: Duration = Duration::from_millis(1500);
/// The wait after a refusal or an eviction. Two clients that evict each other must not fight.
pub const COOL_DOWN: Duration = Duration::from_secs(60);

/// The wait of a spare link after it is told that there is no such thing, or not for us.
pub const OPTIONAL_COOL_DOWN: Duration = Duration::from_secs(600);

/// To whom the link goes, which decides who authenticates how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedProvider {
    /// A hub or the proxy: the token is in the address, and the upgrade is the answer. It may send
    /// no greeting and no acknowledgement, and passes on words meant for others.
    Hub,
    /// The vendor: a key in an `auth` message, and `auth_success` is the answer.
    Vendor,
}

/// What has happened to a link.
#[derive(Clone, Debug, PartialEq)]
pub enum ConnectionEvent<'a> {
    /// The WebSocket is open.
    Opened,
    /// The key was accepted.
    Authenticated,
    /// A channel was acknowledged.
    Subscribed(&'a Channel),
    /// Any frame, a pong included.
    Heard,
    /// Something on a channel; on a proxy it may be somebody else's.
    Data(ChannelKind, &'a str),
    /// The connection, or the attempt at one, has ended.
    Closed(Failure),
    /// The host has answered somebody else: REST, or another link.
    Alive,
}

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum ConnectionAction {
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
    Close(Failure),
}

/// What a link is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
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
pub struct ConnectionStatus {
    /// What it is doing.
    pub phase: ConnectionPhase,
    /// Why it is not live, from the failure until it is live again.
    pub reason: Option<Failure>,
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

/// [`ConnectionState`] without its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionPhase {
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
pub struct Connection<S = Fixed> {
    provider: FeedProvider,
    state: ConnectionState,
    subscriptions: SubscriptionTable<S>,
    /// The wait before the next attempt, before jitter.
    backoff: Duration,
    /// When something last came on a channel of ours; reset when a connection goes live.
    data: Moment,
    /// When the last ping went out.
    pinged: Moment,
    /// How long our channels may be silent now; `None` off hours, when silence is normal.
    max_silence: Option<Duration>,
    reason: Option<Failure>,
    connections: u32,
    /// It was closed for silence, and nothing of ours has come since: another connection that
    /// lives proves nothing, for an index that is never published would have us come and go.
    silent_before: bool,
    /// REST carries what this one does not.
    optional: bool,
    /// What `on` found to be done at once.
    pending: Option<ConnectionAction>,
    /// When the outage began that is not over yet.
    lost: Option<Moment>,
    /// When the last attempt began.
    tried: Moment,
    /// Until when it must prove itself, for its host is seen to live while nothing comes here; and whether
    /// that is the last time.
    probation: Option<(Moment, bool)>,
    random: u64,
}

impl Connection {
    /// A display's link, which wants nothing yet. The seed is for the jitter of its waits.
    pub fn new(provider: FeedProvider, seed: u64) -> Self {
        Self::with_shelf(provider, seed)
    }
}

impl<S: Shelf> Connection<S> {
    /// A link that wants nothing yet and keeps its channels on a shelf of this kind.
    pub fn with_shelf(provider: FeedProvider, seed: u64) -> Self {
        Self {
            provider,
            state: ConnectionState::Idle,
            subscriptions: SubscriptionTable::default(),
            backoff: BACKOFF_FIRST,
            data: Moment::ZERO,
            pinged: Moment::ZERO,
            max_silence: None,
            reason: None,
            connections: 0,
            silent_before: false,
            optional: false,
            pending: None,
            lost: None,
            tried: Moment::ZERO,
            probation: None,
            random: seed | 1,
        }
    }

    /// Whether REST carries what this link does not. Then a server without its cluster (404), and a
    /// plan without it, are left alone for long.
    pub const fn set_optional(&mut self, optional: bool) {
        self.optional = optional;
    }

    /// Makes these the channels wanted, and this the longest they may be silent (`None`: as long
    /// as they like). Without channels a link closes; with some it opens.
    pub fn want(&mut self, channels: &S::Wanted, max_silence: Option<Duration>, now: Moment) {
        self.subscriptions.want(channels);
        if max_silence.is_some() && self.max_silence.is_none() {
            // The market has just opened: the silence before it counts for nothing.
            self.data = now;
        }
        self.max_silence = max_silence;
    }

    /// What it is doing.
    pub const fn state(&self) -> ConnectionState {
        self.state
    }

    /// What it holds and wants.
    pub const fn subscriptions(&self) -> &SubscriptionTable<S> {
        &self.subscriptions
    }

    /// What the desk is told.
    pub fn status(&self) -> ConnectionStatus {
        let phase = match self.state {
            ConnectionState::Idle => ConnectionPhase::Idle,
            // It only sits out its wait.
            ConnectionState::Backoff { .. } | ConnectionState::Refused { .. }
                if self.subscriptions.is_empty() =>
            {
                ConnectionPhase::Idle
            }
            ConnectionState::Backoff { .. } => ConnectionPhase::Down,
            ConnectionState::Connecting { .. } | ConnectionState::Authenticating { .. } => {
                ConnectionPhase::Joining
            }
            ConnectionState::Live { .. } => ConnectionPhase::Live,
            ConnectionState::Silent { .. } => ConnectionPhase::Silent,
            ConnectionState::Refused { .. } => ConnectionPhase::Refused,
        };
        ConnectionStatus {
            phase,
            reason: self.reason.filter(|_| phase != ConnectionPhase::Idle),
            connections: self.connections,
            simulated: None,
            heard: Moment::ZERO,
            cut_off: false,
        }
    }

    /// Takes in what has happened.
    pub fn on(&mut self, event: ConnectionEvent<'_>, now: Moment) {
        match (event, &mut self.state) {
            (ConnectionEvent::Opened, ConnectionState::Connecting { .. }) => match self.provider {
                FeedProvider::Hub => self.live(now),
                FeedProvider::Vendor => {
                    self.state = ConnectionState::Authenticating {
                        until: now + AUTH_LIMIT,
                    };
                    self.pending = Some(ConnectionAction::Authenticate);
                }
            },
            (ConnectionEvent::Authenticated, ConnectionState::Authenticating { .. }) => {
                self.live(now)
            }
            (
                ConnectionEvent::Subscribed(channel),
                ConnectionState::Live { .. } | ConnectionState::Silent { .. },
            ) => {
                self.subscriptions.confirm(channel.kind, &channel.ticker);
            }
            (
                ConnectionEvent::Heard,
                ConnectionState::Live { heard, .. } | ConnectionState::Silent { heard, .. },
            ) => {
                *heard = now;
                self.probation = None;
            }
            (
                ConnectionEvent::Data(kind, ticker),
                ConnectionState::Live { .. } | ConnectionState::Silent { .. },
            ) if self.subscriptions.confirm(kind, ticker) => {
                self.data = now;
                self.silent_before = false;
                if let ConnectionState::Silent { heard, .. } = self.state {
                    self.state = ConnectionState::Live { since: now, heard };
                    self.reason = None;
                }
            }
            (
                ConnectionEvent::Closed(reason),
                ConnectionState::Connecting { .. } | ConnectionState::Authenticating { .. },
            ) => self.lost(reason, now),
            (
                ConnectionEvent::Closed(reason),
                ConnectionState::Live { .. } | ConnectionState::Silent { .. },
            ) => self.lost(reason, now),
            (ConnectionEvent::Alive, ConnectionState::Backoff { until })
                if self.provider == FeedProvider::Hub =>
            {
                *until = (*until).min(now.max(self.tried + MIN_RETRY_INTERVAL));
            }
            (
                ConnectionEvent::Alive,
                ConnectionState::Live { heard, .. } | ConnectionState::Silent { heard, .. },
            ) if self.probation.is_none() && now >= *heard + PROBE_AFTER => {
                self.probation = Some((now + PROBE_TIMEOUT, false));
                self.pending = Some(ConnectionAction::Ping);
                self.pinged = now;
            }
            // Anything else comes too late, or was said to somebody else.
            _ => {}
        }
    }

    /// The next thing to do, until there is none. Call it after every event and whenever
    /// [`Connection::deadline`] has passed.
    pub fn next(&mut self, now: Moment) -> Option<ConnectionAction> {
        if let Some(action) = self.pending.take() {
            return Some(action);
        }
        let needless = self.subscriptions.is_empty();
        match self.state {
            ConnectionState::Idle if needless => None,
            // Not before its time: who comes and goes while the other side says no, or is not
            // there, must not make us ask again at each coming.
            ConnectionState::Backoff { until } | ConnectionState::Refused { until } if needless => {
                if now >= until {
                    self.idle();
                }
                None
            }
            ConnectionState::Connecting { .. }
            | ConnectionState::Authenticating { .. }
            | ConnectionState::Live { .. }
            | ConnectionState::Silent { .. }
                if needless =>
            {
                self.idle();
                Some(ConnectionAction::Close(Failure::Done))
            }
            ConnectionState::Backoff { until } | ConnectionState::Refused { until }
                if now < until =>
            {
                None
            }
            ConnectionState::Idle
            | ConnectionState::Backoff { .. }
            | ConnectionState::Refused { .. } => {
                self.state = ConnectionState::Connecting {
                    until: now + CONNECT_LIMIT,
                };
                self.tried = now;
                Some(ConnectionAction::Open)
            }
            ConnectionState::Connecting { until } | ConnectionState::Authenticating { until } => {
                (now >= until).then(|| self.close(Failure::Timeout, now))
            }
            ConnectionState::Live { since, heard } | ConnectionState::Silent { since, heard } => {
                self.maintain(since, heard, now)
            }
        }
    }

    /// Looks after a connection in use.
    fn maintain(&mut self, since: Moment, heard: Moment, now: Moment) -> Option<ConnectionAction> {
        match self.probation {
            Some((until, true)) if now >= until => return Some(self.close(Failure::Dead, now)),
            Some((until, false)) if now >= until => {
                self.probation = Some((now + PROBE_GRACE, true));
            }
            _ => {}
        }
        if now >= heard + DEAD_AFTER {
            return Some(self.close(Failure::Dead, now));
        }
        if now >= self.stable_at() {
            self.backoff = BACKOFF_FIRST;
            self.lost = None;
        }
        match (self.state, self.max_silence) {
            (ConnectionState::Silent { .. }, None) => {
                self.state = ConnectionState::Live { since: now, heard };
                self.reason = None;
            }
            (ConnectionState::Silent { .. }, Some(_)) if now >= since + SILENCE_LIMIT => {
                return Some(self.close(Failure::Silent, now));
            }
            (ConnectionState::Live { .. }, Some(max_silence)) if now >= self.data + max_silence => {
                self.state = ConnectionState::Silent { since: now, heard };
                self.reason = Some(Failure::Silent);
            }
            _ => {}
        }
        if let Some(request) = self.subscriptions.next(now) {
            return Some(match request {
                SubscriptionAction::Subscribe(channel) => ConnectionAction::Subscribe(channel),
                SubscriptionAction::Unsubscribe(channel) => ConnectionAction::Unsubscribe(channel),
                SubscriptionAction::Report(channel) => ConnectionAction::Report(channel),
            });
        }
        if now >= self.next_ping(heard) {
            self.pinged = now;
            return Some(ConnectionAction::Ping);
        }
        None
    }

    /// When [`Connection::next`] may have something to do without anything happening.
    pub fn deadline(&self) -> Moment {
        if self.pending.is_some() {
            return Moment::ZERO;
        }
        match self.state {
            ConnectionState::Idle if self.subscriptions.is_empty() => Moment::NEVER,
            ConnectionState::Idle => Moment::ZERO,
            ConnectionState::Backoff { until } | ConnectionState::Refused { until } => until,
            _ if self.subscriptions.is_empty() => Moment::ZERO,
            ConnectionState::Connecting { until } | ConnectionState::Authenticating { until } => {
                until
            }
            ConnectionState::Live { heard, .. } => {
                let silent = self
                    .max_silence
                    .map_or(Moment::NEVER, |max_silence| self.data + max_silence);
                self.maintenance_deadline(heard).min(silent)
            }
            ConnectionState::Silent { since, heard } => {
                let up = if self.max_silence.is_some() {
                    since + SILENCE_LIMIT
                } else {
                    Moment::ZERO
                };
                self.maintenance_deadline(heard).min(up)
            }
        }
    }

    fn maintenance_deadline(&self, heard: Moment) -> Moment {
        let probation = self.probation.map_or(Moment::NEVER, |(until, _)| until);
        let proven = if self.lost.is_some() {
            self.stable_at()
        } else {
            Moment::NEVER
        };
        self.next_ping(heard)
            .min(heard + DEAD_AFTER)
            .min(proven)
            .min(probation)
            .min(self.subscriptions.deadline())
    }

    fn next_ping(&self, heard: Moment) -> Moment {
        // One ping for each silence; it is answered or the connection is dead.
        if self.pinged > heard {
            Moment::NEVER
        } else {
            heard + PING_AFTER
        }
    }

    fn stable_at(&self) -> Moment {
        match self.state {
            ConnectionState::Live { since, .. } if !self.silent_before => since + STABLE_AFTER,
            _ => Moment::NEVER,
        }
    }

    fn live(&mut self, now: Moment) {
        self.state = ConnectionState::Live {
            since: now,
            heard: now,
        };
        self.data = now;
        self.pinged = Moment::ZERO;
        self.reason = None;
        self.connections = self.connections.saturating_add(1);
    }

    fn idle(&mut self) {
        self.subscriptions.forget();
        self.state = ConnectionState::Idle;
        self.reason = None;
        self.backoff = BACKOFF_FIRST;
        self.silent_before = false;
        self.lost = None;
    }

    fn close(&mut self, reason: Failure, now: Moment) -> ConnectionAction {
        self.lost(reason, now);
        ConnectionAction::Close(reason)
    }

    fn lost(&mut self, reason: Failure, now: Moment) {
        if now >= self.stable_at() {
            self.backoff = BACKOFF_FIRST;
            self.lost = None;
        }
        self.pending = None;
        let host_alive = self.probation.take().is_some();
        self.subscriptions.forget();
        self.reason = Some(reason);
        self.silent_before |= reason == Failure::Silent;
        let absent = self.optional && matches!(reason, Failure::Path | Failure::Key);
        if absent || reason.refuses() {
            let cool_down = if absent {
                OPTIONAL_COOL_DOWN
            } else {
                COOL_DOWN
            };
            // Longer, never shorter: who was evicted is not alone.
            let wait = cool_down + self.jitter(cool_down / 4);
            self.state = ConnectionState::Refused { until: now + wait };
            return;
        }
        let since = *self.lost.get_or_insert(now);
        let wait = if self.provider == FeedProvider::Vendor || self.silent_before {
            let wait = self.backoff / 2 + self.jitter(self.backoff);
            self.backoff = (self.backoff * 2).min(BACKOFF_LIMIT);
            wait
        } else if host_alive {
            Duration::ZERO
        } else {
            let longest = if now.since(since) < SHORT_OUTAGE {
                HUB_BACKOFF
            } else {
                HUB_BACKOFF_LATER
            };
            longest / 2 + self.jitter(longest / 2)
        };
        self.state = ConnectionState::Backoff { until: now + wait };
    }

    /// Up to this long, so that a hundred displays do not come back as one (xorshift64).
    fn jitter(&mut self, most: Duration) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        most * (self.random >> 48) as u32 / (1 << 16)
    }
}
