//! The time types of the program: monotonic time and wall-clock time. This module contains the only
//! code that reads a clock for a decision about data; all other code takes the time as an argument.
//! Two other modules read a clock for their own purpose: the panel's mailbox for its wait time, and
//! the log for the timestamp of a line.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::fmt::rfc2822::{self, DateTimePrinter};
use tokio::sync::watch;

/// A point in monotonic time, in milliseconds since the start of the program.
///
/// Ages are measured with this type and never with the wall clock: a Raspberry Pi may have no
/// battery-backed clock, and NTP can move the wall clock by years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// The start of the program.
    pub const ZERO: Moment = Moment(0);
    /// The latest possible time: a deadline that never expires.
    pub const NEVER: Moment = Moment(u64::MAX);

    /// Creates the moment at this number of milliseconds after the start of the program.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Creates the moment at this number of seconds after the start of the program.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1000)
    }

    /// The milliseconds since the start of the program.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the time since `earlier`, or zero if `earlier` is in the future.
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
        Moment(self.0.saturating_add(millis(by)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Moment;
    /// The result is never before the start of the program.
    fn sub(self, by: Duration) -> Moment {
        Moment(self.0.saturating_sub(millis(by)))
    }
}

/// A point in wall-clock time: milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Utc(pub i64);

impl Utc {
    /// The earliest plausible time of this program (2026-01-01). A clock with an earlier time is
    /// not set. A clock with a later time can still be wrong.
    pub const PLAUSIBLE: Utc = Utc(1_767_225_600_000);

    /// Returns the day in UTC, in the form `2026-11-23`. The text is empty for a time outside the
    /// calendar.
    pub fn day(self) -> String {
        let time = Timestamp::from_millisecond(self.0);
        time.map_or(String::new(), |time| time.strftime("%Y-%m-%d").to_string())
    }

    /// Returns the milliseconds from `earlier` to this time. The result is negative if this time is
    /// before `earlier`.
    pub const fn millis_since(self, earlier: Utc) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns the time since `earlier`, or zero if `earlier` is in the future.
    pub fn since(self, earlier: Utc) -> Duration {
        Duration::from_millis(u64::try_from(self.millis_since(earlier)).unwrap_or(0))
    }

    /// Formats the time for the HTTP header `Date` (RFC 9110, section 5.6.7): `Mon, 23 Nov 2026
    /// 14:30:00 GMT`. The text is empty if the year is out of range.
    pub fn http_date(self) -> String {
        Timestamp::from_millisecond(self.0)
            .and_then(|time| DateTimePrinter::new().timestamp_to_rfc9110_string(&time))
            .unwrap_or_default()
    }

    /// Parses the time of an HTTP header such as `Date` or `Retry-After` (RFC 9110, section 5.6.7).
    /// `None` if the text is not such a time.
    pub fn from_http_date(text: &str) -> Option<Self> {
        let time = rfc2822::parse(text).ok()?.timestamp();
        Some(Self(time.as_millisecond()))
    }
}

impl Add<Duration> for Utc {
    type Output = Utc;
    fn add(self, by: Duration) -> Utc {
        Utc(self.0.saturating_add_unsigned(millis(by)))
    }
}

impl Sub<Duration> for Utc {
    type Output = Utc;
    fn sub(self, by: Duration) -> Utc {
        Utc(self.0.saturating_sub_unsigned(millis(by)))
    }
}

/// Converts a duration to whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The current time: the monotonic time, and the wall-clock time if it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// The monotonic time. It is always valid, but only differences have a meaning.
    pub monotonic: Moment,
    /// The wall-clock time. `None` while the wall clock is not set.
    pub utc: Option<Utc>,
}

impl Now {
    /// Creates the time from a monotonic moment and the offset of the wall clock to the monotonic
    /// clock, in milliseconds. Without an offset the wall-clock time is unknown.
    pub fn with_offset(monotonic: Moment, offset: Option<i64>) -> Self {
        let utc = offset.map(|offset| Utc(offset.saturating_add_unsigned(monotonic.0)));
        Self { monotonic, utc }
    }

    /// The offset of the wall clock to the monotonic clock, in milliseconds. The offset changes
    /// when the wall clock is set.
    pub fn offset(self) -> Option<i64> {
        Some(self.utc?.0.saturating_sub_unsigned(self.monotonic.0))
    }

    /// Returns the wall-clock time at a monotonic moment; `None` if the wall clock is not set.
    pub fn utc_of(self, at: Moment) -> Option<Utc> {
        let offset = self.offset()?;
        Some(Utc(offset.saturating_add_unsigned(at.0)))
    }

    /// Creates a time with a known wall-clock time; for tests and examples.
    pub const fn new(monotonic: Moment, utc: Utc) -> Self {
        Self {
            monotonic,
            utc: Some(utc),
        }
    }
}

/// The longest single sleep. The timers of the runtime stop while the machine is suspended, so a
/// deadline is missed by at most this time after a suspend.
const MAX_SLEEP: Duration = Duration::from_secs(2);

/// The clock that the event loops read and wait for. Pure code never uses this type.
#[derive(Clone, Debug)]
pub struct Clock {
    /// The time since boot at which a clock of the machine was created.
    start: Duration,
    /// The time of a manual clock.
    manual: Option<watch::Receiver<Now>>,
}

impl Clock {
    /// Creates a clock from the clocks of the machine. The monotonic time starts now. The
    /// wall-clock time can be wrong: without a battery it continues from the last shutdown. The
    /// freshness of prices therefore depends on a time that is confirmed by other sources.
    pub fn system() -> Self {
        Self {
            start: since_boot(),
            manual: None,
        }
    }

    /// Creates a clock that advances only when [`ManualClock::advance`] is called. A test with real
    /// sockets then needs no sleep.
    pub fn manual(start: Now) -> (Self, ManualClock) {
        let (sender, receiver) = watch::channel(start);
        let clock = Self {
            start: Duration::ZERO,
            manual: Some(receiver),
        };
        (clock, ManualClock(sender))
    }

    /// The current time.
    pub fn now(&self) -> Now {
        if let Some(now) = &self.manual {
            return *now.borrow();
        }
        let monotonic = Moment::ZERO + since_boot().saturating_sub(self.start);
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        let utc = since_epoch.map(|since| Utc(0) + since);
        Now {
            monotonic,
            utc: utc.filter(|utc| *utc >= Utc::PLAUSIBLE),
        }
    }

    /// Waits until the deadline has passed. Never returns if the deadline is [`Moment::NEVER`].
    pub async fn sleep_until(&self, deadline: Moment) {
        if let Some(now) = &self.manual {
            let mut now = now.clone();
            if now.wait_for(|now| now.monotonic >= deadline).await.is_ok() {
                return;
            }
            // The `ManualClock` was dropped: this clock never moves again.
            return std::future::pending().await;
        }
        if deadline == Moment::NEVER {
            return std::future::pending().await;
        }
        loop {
            let left = deadline.since(self.now().monotonic);
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(MAX_SLEEP)).await;
        }
    }
}

/// The time since boot, including suspends. `Instant` stops while the machine is suspended, so a
/// value from before the suspend would appear too young.
fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(time).unwrap_or_default()
}

/// The handle that moves a manual [`Clock`].
#[derive(Debug)]
pub struct ManualClock(watch::Sender<Now>);

impl ManualClock {
    /// Advances the monotonic time and the wall-clock time.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|now| {
            now.monotonic = now.monotonic + by;
            now.utc = now.utc.map(|utc| utc + by);
        });
    }

    /// Sets the wall clock and does not change the monotonic time, as NTP does.
    pub fn set_utc(&self, utc: Option<Utc>) {
        self.0.send_modify(|now| now.utc = utc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_the_http_date_format() {
        let date = |millis| Utc(millis).http_date();
        assert_eq!(date(1_795_444_200_999), "Mon, 23 Nov 2026 14:30:00 GMT");
        assert_eq!(date(i64::MAX), "");
    }

    #[test]
    fn a_valid_http_date_is_read_and_an_invalid_date_is_refused() {
        assert_eq!(
            Utc::from_http_date("Mon, 23 Nov 2026 14:30:00 GMT"),
            Some(Utc(1_795_444_200_000))
        );
        assert_eq!(
            Utc::from_http_date("Thu, 01 Jan 1970 00:00:00 GMT"),
            Some(Utc(0))
        );
        for text in [
            "",
            "now",
            "Mon, 23 Nov 2026",
            "Mon, 31 Feb 2026 14:30:00 GMT",
            "Mon, 23 Noo 2026 14:30:00 GMT",
            "Mon, 23 N 2026 14:30:00 GMT",
            "Mon, 23 Nov 2026 25:30:00 GMT",
            "Mon, 23 Nov 99999 14:30:00 GMT",
        ] {
            assert_eq!(Utc::from_http_date(text), None, "{text}");
        }
    }

    #[test]
    fn moment_arithmetic_never_overflows() {
        assert_eq!(Moment::NEVER + Duration::from_secs(1), Moment::NEVER);
        assert_eq!(Moment::from_secs(1) - Duration::from_secs(2), Moment::ZERO);
        assert_eq!(Moment::ZERO.since(Moment::from_secs(9)), Duration::ZERO);
        assert_eq!(Utc(5) + Duration::MAX, Utc(i64::MAX));
        assert_eq!(Utc(i64::MIN) - Duration::from_secs(1), Utc(i64::MIN));
        assert_eq!(Utc(5).since(Utc(i64::MAX)), Duration::ZERO);
    }

    #[tokio::test]
    async fn the_system_clock_starts_at_zero_and_never_wakes_a_task_early() {
        let clock = Clock::system();
        assert!(clock.now().monotonic < Moment::from_secs(5));
        let deadline = clock.now().monotonic + Duration::from_millis(20);
        clock.sleep_until(deadline).await;
        assert!(clock.now().monotonic >= deadline);
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_a_task_at_its_deadline() {
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
