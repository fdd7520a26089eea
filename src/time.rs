//! Time as a value. Owns the two kinds of time of this program and the only code that asks a clock
//! what time it is in order to judge something by it; everything that judges takes it as an
//! argument. Two others read a clock for an end of their own: the panel's mailbox, for how long it
//! waits, and the log, for the stamp of a line.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use tokio::sync::watch;

/// A point of monotonic time, in milliseconds since the program's own start.
///
/// Ages are measured with this, never with the wall clock: a Pi has no battery-backed clock and
/// NTP may move the wall clock by years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// The start of the program.
    pub const ZERO: Moment = Moment(0);
    /// Later than anything that will happen: the deadline of who waits for nothing.
    pub const NEVER: Moment = Moment(u64::MAX);

    /// The moment this many milliseconds after the start.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The moment this many seconds after the start.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1000)
    }

    /// Milliseconds since the start.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The same, signed: for sums with wall time.
    fn elapsed_millis(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// How long ago `earlier` was; zero if it is still to come.
    pub const fn since(self, earlier: Moment) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}s", self.0 / 1000, self.0 % 1000)
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;
    fn add(self, by: Duration) -> Moment {
        Moment(
            self.0
                .saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub<Duration> for Moment {
    type Output = Moment;
    /// Stops at the start of the program.
    fn sub(self, by: Duration) -> Moment {
        Moment(
            self.0
                .saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

/// A point of wall time: milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Utc(pub i64);

impl Utc {
    /// Before this (2026-01-01) a clock has certainly not been set. After it, it may still be
    /// wrong.
    pub const PLAUSIBLE: Utc = Utc(1_767_225_600_000);

    /// Milliseconds from `earlier` to this; negative if this is before it.
    pub const fn millis_since(self, earlier: Utc) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// As the header `Date` of HTTP has it (RFC 9110, 5.6.7): `Mon, 23 Nov 2026 14:30:00 GMT`.
    /// Empty beyond the years that it can name.
    pub fn http_date(self) -> String {
        Timestamp::from_millisecond(self.0)
            .and_then(|time| DateTimePrinter::new().timestamp_to_rfc9110_string(&time))
            .unwrap_or_default()
    }
}

/// What time it is, as far as one can know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// Always right; only differences mean anything.
    pub monotonic: Moment,
    /// `None` while the wall clock has not been set.
    pub utc: Option<Utc>,
}

impl Now {
    /// The time at a monotonic moment, from the wall time less the monotonic one (in ms), where that is
    /// known.
    pub fn with_offset(monotonic: Moment, offset: Option<i64>) -> Self {
        let utc = offset.map(|offset| Utc(offset.saturating_add(monotonic.elapsed_millis())));
        Self { monotonic, utc }
    }

    /// The wall time less the monotonic one, in milliseconds: another number after a step of the clock.
    pub fn offset(self) -> Option<i64> {
        Some(self.utc?.0.saturating_sub(self.monotonic.elapsed_millis()))
    }

    /// For tests and examples: a moment and a wall time.
    pub const fn new(monotonic: Moment, utc: Utc) -> Self {
        Self {
            monotonic,
            utc: Some(utc),
        }
    }
}

/// The longest sleep in one piece. The runtime's timers stand still while the machine is
/// suspended, so that after it a deadline is missed by no more than this.
const MAX_SLEEP: Duration = Duration::from_secs(2);

/// What the shells ask for the time and wait on; the core never sees it.
#[derive(Clone, Debug)]
pub struct Clock(ClockSource);

#[derive(Clone, Debug)]
enum ClockSource {
    System {
        /// The time since the machine's start at which this clock began.
        start: Duration,
    },
    Manual(watch::Receiver<Now>),
}

impl Clock {
    /// The machine's clocks as they stand, counted from now. That the wall clock says something does not
    /// mean that it is right: without a battery it is that of the last shutdown. Prices are judged by
    /// what other witnesses of the time agree on.
    pub fn system() -> Self {
        Self(ClockSource::System {
            start: since_boot(),
        })
    }

    /// A clock that stands still until [`ManualClock::advance`] moves it, so that a test over real
    /// sockets needs no sleep.
    pub fn manual(start: Now) -> (Self, ManualClock) {
        let (sender, receiver) = watch::channel(start);
        (Self(ClockSource::Manual(receiver)), ManualClock(sender))
    }

    /// The time now.
    pub fn now(&self) -> Now {
        match &self.0 {
            ClockSource::System { start } => {
                let elapsed = since_boot().saturating_sub(*start).as_millis();
                let monotonic = Moment(u64::try_from(elapsed).unwrap_or(u64::MAX));
                let utc = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .ok()
                    .and_then(|since| i64::try_from(since.as_millis()).ok())
                    .map(Utc)
                    .filter(|utc| *utc >= Utc::PLAUSIBLE);
                Now { monotonic, utc }
            }
            ClockSource::Manual(now) => *now.borrow(),
        }
    }

    /// Waits until the deadline has passed; for ever if it is [`Moment::NEVER`].
    pub async fn sleep_until(&self, deadline: Moment) {
        match &self.0 {
            ClockSource::System { .. } if deadline == Moment::NEVER => std::future::pending().await,
            ClockSource::System { .. } => loop {
                let left = deadline.since(self.now().monotonic);
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(MAX_SLEEP)).await;
            },
            ClockSource::Manual(now) => {
                let mut now = now.clone();
                // An error means that the hand is gone: this clock will not move again.
                if now.wait_for(|now| now.monotonic >= deadline).await.is_err() {
                    std::future::pending().await
                }
            }
        }
    }
}

/// The time since the machine's start, its suspension included: `Instant` stands still in a
/// suspended machine, and a value of before would look as young as it was.
fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Moves a manual [`Clock`].
#[derive(Debug)]
pub struct ManualClock(watch::Sender<Now>);

impl ManualClock {
    /// Moves both kinds of time on.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|now| {
            now.monotonic = now.monotonic + by;
            let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
            now.utc = now.utc.map(|utc| Utc(utc.0.saturating_add(millis)));
        });
    }

    /// Sets the wall clock and leaves monotonic time alone, as NTP does.
    pub fn set_utc(&self, utc: Option<Utc>) {
        self.0.send_modify(|now| now.utc = utc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_http_has_it() {
        let date = |millis| Utc(millis).http_date();
        assert_eq!(date(1_795_444_200_999), "Mon, 23 Nov 2026 14:30:00 GMT");
        assert_eq!(date(i64::MAX), "");
    }

    #[test]
    fn a_moment_never_wraps() {
        assert_eq!(Moment::NEVER + Duration::from_secs(1), Moment::NEVER);
        assert_eq!(Moment::from_secs(1) - Duration::from_secs(2), Moment::ZERO);
        assert_eq!(Moment::ZERO.since(Moment::from_secs(9)), Duration::ZERO);
    }

    #[tokio::test]
    async fn the_systems_clock_counts_from_the_programs_start_and_wakes_nobody_early() {
        let clock = Clock::system();
        assert!(clock.now().monotonic < Moment::from_secs(5));
        let deadline = clock.now().monotonic + Duration::from_millis(20);
        clock.sleep_until(deadline).await;
        assert!(clock.now().monotonic >= deadline);
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_its_sleepers_when_the_hand_passes_them() {
        let (clock, hand) = Clock::manual(Now {
            monotonic: Moment::ZERO,
            utc: None,
        });
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(Moment::from_secs(10)).await }
        });
        hand.advance(Duration::from_secs(9));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        hand.advance(Duration::from_secs(1));
        sleeper.await.unwrap();
        assert_eq!(
            clock.now(),
            Now {
                monotonic: Moment::from_secs(10),
                utc: None
            }
        );
    }
}
