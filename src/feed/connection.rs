//! The state machine of one connection. This module does no I/O and reads no clock: the caller
//! passes events and the time, and receives actions. The module `session` executes the actions.

use core::time::Duration;

use super::backoff::Backoff;
use super::connection_status::{
    ConnectionAction, ConnectionEvent, ConnectionPhase, ConnectionState, ConnectionStatus,
};
use super::subscriptions::SubscriptionTable;
use crate::market::{Channel, ChannelKind};
use crate::net::failure::Failure;
use crate::net::source::FeedProvider;
use crate::time::Moment;

/// The time limit of one attempt: name resolution, TCP, TLS, the token request and the upgrade.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// The time limit for `auth_success` after the upgrade.
pub const AUTH_LIMIT: Duration = Duration::from_secs(10);
/// The time without a frame after which a ping is sent. The official clients use 20 s and 25 s.
pub const PING_AFTER: Duration = Duration::from_secs(20);
/// The time without any frame after which a connection counts as dead. The official client had
/// false alarms with 10 s and now uses 30 s.
pub const DEAD_AFTER: Duration = Duration::from_secs(30);
/// The maximum time in the state `Silent`; after this time the connection is opened again.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(90);
/// The limit that replaces [`SILENCE_LIMIT`] for a server that does not report the loss of its
/// upstream connection. After such a loss, the proxy keeps its clients connected, and connects to
/// the vendor again only when a client opens a new connection.
pub const UNREPORTED_SILENCE_LIMIT: Duration = Duration::from_secs(2);
/// The limit that replaces [`UNREPORTED_SILENCE_LIMIT`] for a connection that was opened because
/// the previous connection was silent.
pub const REOPENED_SILENCE_LIMIT: Duration = Duration::from_secs(20);
/// The time after which a live connection counts as stable and the backoff is reset. The backoff is
/// never reset at the start of a connection: a server that accepts and then drops each connection
/// would otherwise receive retries without a pause.
pub const STABLE_AFTER: Duration = Duration::from_secs(10);
/// The minimum time without a frame before a liveness probe. A probe starts if the same host
/// answers a REST request or another connection.
const PROBE_AFTER: Duration = Duration::from_secs(3);
/// The first time limit for the response to a liveness probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// The second time limit for the response to a liveness probe, counted from the detection of the
/// first timeout. After a suspension of the machine, the response can be in the socket buffer but
/// not read yet.
const PROBE_GRACE: Duration = Duration::from_millis(1500);

/// The state machine of one connection.
#[derive(Clone, Debug)]
pub struct Connection {
    provider: FeedProvider,
    state: ConnectionState,
    subscriptions: SubscriptionTable,
    backoff: Backoff,
    /// The receive time of the last data on a wanted channel. The start of a live connection resets
    /// this time.
    data: Moment,
    /// The time of the last ping.
    pinged: Moment,
    /// The maximum time without data on the wanted channels; `None` outside market hours, because
    /// silence is normal then.
    max_silence: Option<Duration>,
    reason: Option<Failure>,
    /// The failure of the name resolution or of the route that was found during the current wait.
    /// This failure is newer than `reason`.
    path: Option<Failure>,
    connections: u32,
    /// True if a connection was closed because of silence, and no wanted data has arrived since
    /// then. A new live connection does not reset this flag. Otherwise a wanted index that is never
    /// published would cause reconnects without a growing backoff.
    silent_before: bool,
    /// True if REST can replace the data of this connection.
    optional: bool,
    /// True if the server reports the loss of its upstream connection, as a deskticker-hub does.
    reports_upstream: bool,
    /// True if a hub counts as live only after its welcome.
    awaits_welcome: bool,
    /// An action that `on` requires immediately.
    pending: Option<ConnectionAction>,
    /// The time limit of the current liveness probe, and a flag for the second and final limit. A
    /// probe starts if the host answers on another connection while this connection receives no
    /// frame.
    probation: Option<(Moment, bool)>,
}

impl Connection {
    /// Creates a connection without wanted channels. `seed` initializes the random jitter of the
    /// waits.
    pub fn new(provider: FeedProvider, seed: u64) -> Self {
        Self {
            provider,
            state: ConnectionState::Idle,
            subscriptions: SubscriptionTable::default(),
            backoff: Backoff::new(seed),
            data: Moment::ZERO,
            pinged: Moment::ZERO,
            max_silence: None,
            reason: None,
            path: None,
            connections: 0,
            silent_before: false,
            optional: false,
            reports_upstream: true,
            awaits_welcome: false,
            pending: None,
            probation: None,
        }
    }

    /// Sets whether the connection is optional. The data of an optional connection can also come
    /// from REST, so the connection waits for [`OPTIONAL_COOL_DOWN`] if the server does not have
    /// the cluster (404) or if the plan does not include the cluster.
    pub const fn set_optional(&mut self, optional: bool) {
        self.optional = optional;
    }

    /// Sets whether the server reports the loss of its upstream connection. Without such reports, a
    /// silent connection is opened again after [`UNREPORTED_SILENCE_LIMIT`].
    pub const fn set_reports_upstream(&mut self, reports_upstream: bool) {
        self.reports_upstream = reports_upstream;
    }

    /// Sets whether a hub counts as live only after `auth_success`. A deskticker-hub sends it after
    /// the upgrade, in one frame with its status; the proxy can omit it.
    pub const fn set_awaits_welcome(&mut self, awaits_welcome: bool) {
        self.awaits_welcome = awaits_welcome;
    }

    /// Replaces the wanted channels and the maximum time without data (`None`: no limit). A
    /// connection without wanted channels closes; a connection with wanted channels opens.
    pub fn want(&mut self, channels: &[Channel], max_silence: Option<Duration>, now: Moment) {
        self.subscriptions.want(channels);
        if max_silence.is_some() && self.max_silence.is_none() {
            // The market has just opened. The silence before the opening must not count.
            self.data = now;
        }
        self.max_silence = max_silence;
    }

    /// Returns the current state.
    pub const fn state(&self) -> ConnectionState {
        self.state
    }

    /// Returns true if the connection is closed and waits for the next attempt.
    pub const fn is_waiting(&self) -> bool {
        matches!(
            self.state,
            ConnectionState::Backoff { .. } | ConnectionState::Refused { .. }
        )
    }

    /// Returns the wanted channels and the states of their subscriptions.
    pub const fn subscriptions(&self) -> &SubscriptionTable {
        &self.subscriptions
    }

    /// Returns the status for the event sink. The session sets `simulated`, `heard` and `cut_off`.
    pub fn status(&self) -> ConnectionStatus {
        let phase = self.state.phase(!self.subscriptions.is_empty());
        ConnectionStatus {
            phase,
            reason: self
                .path
                .or(self.reason)
                .filter(|_| phase != ConnectionPhase::Idle),
            connections: self.connections,
            simulated: None,
            heard: Moment::ZERO,
            cut_off: false,
        }
    }

    /// Records an event on a channel. Returns true if the channel is wanted: a proxy can also send
    /// the data that only other clients requested.
    pub fn data(&mut self, kind: ChannelKind, ticker: &str, now: Moment) -> bool {
        let (ConnectionState::Live { heard, .. } | ConnectionState::Silent { heard, .. }) =
            self.state
        else {
            return self.subscriptions.wants(kind, ticker);
        };
        let wanted = self.subscriptions.confirm(kind, ticker);
        if wanted {
            self.data = now;
            self.silent_before = false;
            if matches!(self.state, ConnectionState::Silent { .. }) {
                self.state = ConnectionState::Live { since: now, heard };
                self.reason = None;
            }
        }
        wanted
    }

    /// Processes an event.
    pub fn on(&mut self, event: ConnectionEvent<'_>, now: Moment) {
        match (event, &mut self.state) {
            (ConnectionEvent::Opened, ConnectionState::Connecting { .. }) => {
                let is_vendor = self.provider == FeedProvider::Vendor;
                if !is_vendor && !self.awaits_welcome {
                    return self.live(now);
                }
                let until = now + AUTH_LIMIT;
                self.state = ConnectionState::Authenticating { until };
                self.pending = is_vendor.then_some(ConnectionAction::Authenticate);
            }
            (ConnectionEvent::RetryAfter(wait), _) => self.backoff.request(wait),
            (ConnectionEvent::Authenticated, ConnectionState::Authenticating { .. }) => {
                self.live(now)
            }
            (
                ConnectionEvent::Subscribed(channel),
                ConnectionState::Live { .. } | ConnectionState::Silent { .. },
            ) => {
                self.subscriptions.confirm(channel.kind, &channel.ticker);
            }
            (ConnectionEvent::Requested(channel), _) => self.subscriptions.defer(channel),
            (ConnectionEvent::Refused(channel, refusal), _) => {
                self.subscriptions.refuse(channel, refusal);
            }
            (
                ConnectionEvent::Heard,
                ConnectionState::Live { heard, .. } | ConnectionState::Silent { heard, .. },
            ) => {
                *heard = now;
                self.probation = None;
            }
            (
                ConnectionEvent::Closed(reason),
                ConnectionState::Connecting { .. }
                | ConnectionState::Authenticating { .. }
                | ConnectionState::Live { .. }
                | ConnectionState::Silent { .. },
            ) => self.lost(reason, now),
            (ConnectionEvent::Alive, ConnectionState::Backoff { until })
                if self.provider == FeedProvider::Hub =>
            {
                *until = (*until).min(now.max(self.backoff.earliest()));
            }
            (
                ConnectionEvent::Alive,
                ConnectionState::Live { heard, .. } | ConnectionState::Silent { heard, .. },
            ) if self.probation.is_none() && now >= *heard + PROBE_AFTER => {
                self.probation = Some((now + PROBE_TIMEOUT, false));
                self.pending = Some(ConnectionAction::Ping);
                self.pinged = now;
            }
            (ConnectionEvent::Moved, ConnectionState::Idle) => {}
            (ConnectionEvent::Moved, state) => {
                // The failures of the previous hub do not apply to the new hub.
                let is_open = !matches!(
                    *state,
                    ConnectionState::Backoff { .. } | ConnectionState::Refused { .. }
                );
                self.pending = is_open.then_some(ConnectionAction::Close(Failure::Done));
                *state = ConnectionState::Backoff { until: now };
                (self.path, self.reason) = (None, None);
                (self.probation, self.silent_before) = (None, false);
                self.subscriptions.forget();
                self.backoff.reset();
            }
            (
                ConnectionEvent::Path(path),
                ConnectionState::Backoff { until } | ConnectionState::Refused { until },
            ) => {
                let failure = self.path.or(self.reason);
                self.path = path;
                // The last attempt did not reach the server, so an early attempt adds no load to
                // the server.
                let unreached = matches!(self.reason, Some(Failure::Network | Failure::Dns));
                let lacked = matches!(failure, Some(Failure::Network | Failure::Dns));
                let hub = self.provider == FeedProvider::Hub;
                let refused = self.reason.is_some_and(Failure::refuses);
                if path.is_none() && (unreached || (lacked && hub && !refused)) {
                    *until = (*until).min(now.max(self.backoff.earliest()));
                }
            }
            (
                ConnectionEvent::Path(Some(failure)),
                ConnectionState::Live { .. } | ConnectionState::Silent { .. },
            ) => self.pending = Some(self.close(failure, now)),
            // All other events are late or are for another client.
            _ => {}
        }
    }

    /// Returns the next action, or `None` if no action is due. The caller repeats the call until
    /// the result is `None`, after every event and when [`Connection::deadline`] has passed.
    pub fn next(&mut self, now: Moment) -> Option<ConnectionAction> {
        if let Some(action) = self.pending.take() {
            return Some(action);
        }
        let needless = self.subscriptions.is_empty();
        match self.state {
            ConnectionState::Idle if needless => None,
            // A new client must not shorten the backoff: otherwise clients that connect and leave
            // would cause a retry each time.
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
                // From now on, the new attempt reports failures, so the failure of the path check
                // moves to `reason`.
                self.reason = self.path.take().or(self.reason);
                self.backoff.attempt(now);
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

    /// Checks the time limits of a connection in use, and returns the next action.
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
            self.backoff.reset();
        }
        match (self.state, self.max_silence) {
            (ConnectionState::Silent { .. }, None) => {
                self.state = ConnectionState::Live { since: now, heard };
                self.reason = None;
            }
            (ConnectionState::Silent { .. }, Some(_)) if now >= since + self.silence_limit() => {
                return Some(self.close(Failure::Silent, now));
            }
            (ConnectionState::Live { .. }, Some(max_silence)) if now >= self.data + max_silence => {
                self.state = ConnectionState::Silent { since: now, heard };
                self.reason = Some(Failure::Silent);
            }
            _ => {}
        }
        if let Some(request) = self.subscriptions.next(now) {
            return Some(request.into());
        }
        if now >= self.next_ping(heard) {
            self.pinged = now;
            return Some(ConnectionAction::Ping);
        }
        None
    }

    /// Returns the time at which [`Connection::next`] can return an action without a new event.
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
                    since + self.silence_limit()
                } else {
                    Moment::ZERO
                };
                self.maintenance_deadline(heard).min(up)
            }
        }
    }

    fn maintenance_deadline(&self, heard: Moment) -> Moment {
        let probation = self.probation.map_or(Moment::NEVER, |(until, _)| until);
        let proven = match self.backoff.is_outage() {
            true => self.stable_at(),
            false => Moment::NEVER,
        };
        self.next_ping(heard)
            .min(heard + DEAD_AFTER)
            .min(proven)
            .min(probation)
            .min(self.subscriptions.deadline())
    }

    fn next_ping(&self, heard: Moment) -> Moment {
        // Each period of silence needs only one ping: the server answers, or the connection is
        // dead.
        if self.pinged > heard {
            Moment::NEVER
        } else {
            heard + PING_AFTER
        }
    }

    fn silence_limit(&self) -> Duration {
        match (self.reports_upstream, self.silent_before) {
            (true, _) => SILENCE_LIMIT,
            (false, false) => UNREPORTED_SILENCE_LIMIT,
            (false, true) => REOPENED_SILENCE_LIMIT,
        }
    }

    fn stable_at(&self) -> Moment {
        match self.state {
            ConnectionState::Live { since, .. } if !self.silent_before => since + STABLE_AFTER,
            _ => Moment::NEVER,
        }
    }

    fn live(&mut self, now: Moment) {
        let (since, heard) = (now, now);
        // A connection that replaces a silent connection is silent until it has delivered data.
        let silent = self.silent_before && self.max_silence.is_some();
        self.reason = silent.then_some(Failure::Silent);
        self.state = match silent {
            true => ConnectionState::Silent { since, heard },
            false => ConnectionState::Live { since, heard },
        };
        (self.data, self.pinged) = (now, Moment::ZERO);
        self.connections = self.connections.saturating_add(1);
    }

    fn idle(&mut self) {
        self.subscriptions.forget();
        (self.state, self.silent_before) = (ConnectionState::Idle, false);
        (self.reason, self.path) = (None, None);
        self.backoff.reset();
    }

    fn close(&mut self, reason: Failure, now: Moment) -> ConnectionAction {
        self.lost(reason, now);
        ConnectionAction::Close(reason)
    }

    fn lost(&mut self, reason: Failure, now: Moment) {
        if now >= self.stable_at() {
            self.backoff.reset();
        }
        self.pending = None;
        let host_alive = self.probation.take().is_some() || reason == Failure::Silent;
        self.subscriptions.forget();
        self.reason = Some(reason);
        self.silent_before |= reason == Failure::Silent;
        let absent = self.optional && reason.is_absence();
        if absent || reason.refuses() {
            let until = now + self.backoff.cool_down(absent);
            self.state = ConnectionState::Refused { until };
            return;
        }
        let growing =
            self.provider == FeedProvider::Vendor || (self.silent_before && self.reports_upstream);
        let until = now + self.backoff.wait(now, growing, host_alive);
        self.state = ConnectionState::Backoff { until };
    }
}
