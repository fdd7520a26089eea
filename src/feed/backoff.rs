//! The waits between two connection attempts. Pure: this module reads no clock and opens no
//! connection.

use core::time::Duration;

use crate::time::Moment;

/// The first backoff between two attempts at the vendor, before jitter. The backoff doubles after
/// each failure.
pub const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// The maximum backoff between two attempts at the vendor, before jitter. Jitter changes the wait
/// by up to 50 %.
pub const BACKOFF_LIMIT: Duration = Duration::from_secs(60);
/// The maximum wait between two attempts at a hub in the first minute of an outage.
pub const HUB_BACKOFF: Duration = Duration::from_millis(1500);
/// The maximum wait between two attempts at a hub after the first minute of an outage.
pub const HUB_BACKOFF_LATER: Duration = Duration::from_secs(8);
/// The duration of an outage after which [`HUB_BACKOFF_LATER`] replaces [`HUB_BACKOFF`].
const SHORT_OUTAGE: Duration = Duration::from_secs(60);
/// The minimum interval between two attempts if an answer of the host shortens the backoff.
const MIN_RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// The longest wait that a server can request with `Retry-After` or with the status `retry_after`.
pub(super) const REQUESTED_LIMIT: Duration = Duration::from_secs(120);
/// The maximum jitter after a requested wait. Servers request whole seconds, so clients with the same
/// wait would otherwise come back at the same moment.
const REQUESTED_JITTER: Duration = Duration::from_secs(1);
/// The minimum wait after a refusal or an eviction. The wait is long, because two clients with the
/// same account must not evict each other again and again.
pub const COOL_DOWN: Duration = Duration::from_secs(60);
/// The minimum wait of an optional connection after the server reports that the cluster does not
/// exist or that the plan does not include the cluster.
pub const OPTIONAL_COOL_DOWN: Duration = Duration::from_secs(600);

/// The waits of one connection.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    /// The next growing wait, before jitter.
    next: Duration,
    /// The start of the current outage; `None` without an outage.
    outage: Option<Moment>,
    /// The start of the last attempt.
    attempt: Moment,
    /// The wait that the server has requested since the start of the last attempt.
    requested: Option<Duration>,
    /// The end of the last requested wait.
    hold: Moment,
    random: u64,
}

impl Backoff {
    /// Creates the backoff of a new connection. `seed` initializes the jitter.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            next: BACKOFF_FIRST,
            outage: None,
            attempt: Moment::ZERO,
            requested: None,
            hold: Moment::ZERO,
            random: seed | 1,
        }
    }

    /// Ends the outage: the connection is stable, or no longer needed.
    pub(super) fn reset(&mut self) {
        self.next = BACKOFF_FIRST;
        self.outage = None;
        self.hold = Moment::ZERO;
    }

    /// Records the wait that the server requests for the next attempt.
    pub(super) fn request(&mut self, wait: Duration) {
        self.requested = Some(wait.min(REQUESTED_LIMIT));
    }

    /// Returns true from the first loss until the next reset.
    pub(super) fn is_outage(&self) -> bool {
        self.outage.is_some()
    }

    /// Records the start of an attempt.
    pub(super) fn attempt(&mut self, now: Moment) {
        self.attempt = now;
        self.requested = None;
    }

    /// Returns the earliest time of the next attempt, even if the host is known to be alive.
    pub(super) fn earliest(&self) -> Moment {
        self.hold.max(self.attempt + MIN_RETRY_INTERVAL)
    }

    /// Returns the wait after a loss: the usual wait, or the longer wait that the server has
    /// requested.
    pub(super) fn wait(&mut self, now: Moment, growing: bool, host_alive: bool) -> Duration {
        let usual = self.usual_wait(now, growing, host_alive);
        let Some(requested) = self.requested.take() else {
            return usual;
        };
        let wait = usual.max(requested + self.jitter(REQUESTED_JITTER));
        self.hold = now + wait;
        wait
    }

    /// Returns the wait after a loss without a request of the server. A growing wait doubles with
    /// each loss; the wait for a hub depends only on the length of the outage, and is zero if the
    /// hub has just answered on another connection.
    fn usual_wait(&mut self, now: Moment, growing: bool, host_alive: bool) -> Duration {
        let since = *self.outage.get_or_insert(now);
        if growing {
            let wait = self.next / 2 + self.jitter(self.next);
            self.next = (self.next * 2).min(BACKOFF_LIMIT);
            return wait;
        }
        if host_alive {
            return Duration::ZERO;
        }
        let longest = if now.since(since) < SHORT_OUTAGE {
            HUB_BACKOFF
        } else {
            HUB_BACKOFF_LATER
        };
        longest / 2 + self.jitter(longest / 2)
    }

    /// Returns the wait after a refusal. `absent` is true if the server does not offer the cluster.
    /// Jitter only makes this wait longer. An evicted client competes with another client, so a
    /// shorter wait would cause more evictions.
    pub(super) fn cool_down(&mut self, absent: bool) -> Duration {
        let wait = if absent {
            OPTIONAL_COOL_DOWN
        } else {
            COOL_DOWN
        };
        wait + self.jitter(wait / 4)
    }

    /// Returns a random duration from zero to `most`. The jitter prevents the simultaneous return
    /// of many displays. The generator is xorshift64.
    fn jitter(&mut self, most: Duration) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        most * (self.random >> 48) as u32 / (1 << 16)
    }
}
