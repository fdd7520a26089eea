//! A quote: one value of one instrument with its source, its timestamp, and the flags for simulated
//! values and closes. This module computes the age of a value and never decides its freshness.

use core::time::Duration;

use super::Price;
use crate::time::{Moment, Now, Utc};

/// The lag of a stream that delivers its values 15 minutes late, in milliseconds. The end of the
/// range is the lag that is allowed for a delayed source.
pub const DELAY: core::ops::RangeInclusive<i64> = 14 * 60_000..=17 * 60_000;
/// The maximum lead of a timestamp over the wall clock, in milliseconds. A timestamp that is
/// further in the future is wrong.
pub const AHEAD: i64 = 5_000;
/// The maximum age on arrival of a value that is added to the history of live values.
const OLD_ON_ARRIVAL: Duration = Duration::from_secs(30);
/// The earliest plausible timestamp (2000-01-01). An earlier timestamp is zero or in another unit.
const OLDEST: Utc = Utc(946_684_800_000);
/// The lead in milliseconds from which a timestamp is not plausible (366 days). Such a timestamp is
/// in another unit.
const IMPLAUSIBLE_LEAD: i64 = 366 * 86_400_000;

/// The source of a value, which decides the maximum age of the value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QuoteSource {
    /// A streamed index value, quote or trade.
    Tick,
    /// A last value from the REST API. Its receive time proves nothing about its age, because a
    /// last value can have any age.
    Rest,
    /// The close of a one-second bar.
    Second,
    /// The close of a one-minute bar.
    Minute,
}

impl QuoteSource {
    /// Returns the maximum age of a value from this source while its session is open. `usual` is
    /// the limit of the symbol for all values except minute bars. A minute bar has 75 s: the next
    /// bar arrives after 60 s plus a delay of some seconds.
    pub(super) const fn limit(self, usual: Duration) -> Duration {
        match self {
            QuoteSource::Minute => Duration::from_secs(75),
            QuoteSource::Tick | QuoteSource::Rest | QuoteSource::Second => usual,
        }
    }
}

/// The time at which a value was true, as far as that time is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AsOf {
    /// The receive time.
    pub received: Moment,
    /// The time at which a source last confirmed that the value is still the latest one.
    pub confirmed: Moment,
    /// The timestamp from the feed. `None` if the feed sent no plausible timestamp.
    pub stamp: Option<Utc>,
    /// The minimum age at the receive time, measured without the wall clock. The hub reports this
    /// age, or it is computed from the lag of the value compared with the smallest lag on the same
    /// connection.
    pub age: Duration,
    /// True if the value was streamed with a plausible timestamp, or if its sender reported its age.
    /// The time since the receive time is then a minimum of the age. If false, only the timestamp
    /// shows the age.
    pub heard: bool,
}

impl AsOf {
    /// Creates the time of a value that was streamed and is received now.
    pub fn heard(stamp: Option<Utc>, age: Duration, now: Now) -> Self {
        let is_near = |stamp: Utc| {
            let ahead = |utc| stamp.millis_since(utc) >= IMPLAUSIBLE_LEAD;
            stamp >= OLDEST && !now.utc.is_some_and(ahead)
        };
        Self {
            received: now.monotonic,
            confirmed: now.monotonic,
            stamp: stamp.filter(|stamp| is_near(*stamp)),
            age,
            heard: true,
        }
    }

    /// Returns the age: the larger of the age since the receive time and the age since the
    /// timestamp. `None` if the age is unknown: there is no plausible timestamp, or the value was not
    /// streamed and the wall-clock time is unknown.
    pub fn age(&self, now: Now) -> Option<Duration> {
        let received = now.monotonic.as_millis();
        let received = received.saturating_sub(self.received.as_millis());
        let stamped = match self.stamp.zip(now.utc) {
            // A timestamp in the future contains no information about the age.
            Some(_) if !self.heard && self.is_ahead(now) => return None,
            Some((stamp, utc)) => u64::try_from(utc.millis_since(stamp)).unwrap_or(0),
            None if self.heard => 0,
            None => return None,
        };
        // This function runs several times for each value, and most values arrive without an age.
        if self.age.is_zero() {
            return Some(Duration::from_millis(received.max(stamped)));
        }
        let received = Duration::from_millis(received).saturating_add(self.age);
        Some(received.max(Duration::from_millis(stamped)))
    }

    /// Returns true if the age is known and at most `limit`.
    pub(super) fn is_within(&self, limit: Duration, now: Now) -> bool {
        self.age(now).is_some_and(|age| age <= limit)
    }

    /// Returns the time at which the age becomes known without new data: the time at which the
    /// timestamp is no longer in the future. [`Moment::NEVER`] if the timestamp is not in the
    /// future.
    pub(super) fn known_at(&self, now: Now) -> Moment {
        let ahead = self.stamp.zip(now.utc).filter(|_| self.is_ahead(now));
        ahead.map_or(Moment::NEVER, |(stamp, utc)| {
            now.monotonic + stamp.since(Utc(utc.0.saturating_add(AHEAD)))
        })
    }

    /// Returns true if the timestamp is in the future of the wall clock by more than [`AHEAD`].
    fn is_ahead(&self, now: Now) -> bool {
        let ahead = |(stamp, utc): (Utc, Utc)| stamp.millis_since(utc) > AHEAD;
        self.stamp.zip(now.utc).is_some_and(ahead)
    }

    /// Returns the wall-clock time at which the value was true. `None` if that time is unknown.
    pub(super) fn utc(&self, now: Now) -> Option<Utc> {
        let utc = now.utc?;
        self.stamp.or_else(|| Some(utc - self.age(now)?))
    }

    /// Returns the wall-clock time at which a source last confirmed that the value is still the
    /// latest one.
    pub(super) fn confirmed_utc(&self, now: Now) -> Option<Utc> {
        Some(now.utc? - now.monotonic.since(self.confirmed))
    }
}

/// The properties that accompany a value from the network message to the display, in addition to
/// its timestamp.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Provenance {
    /// True if the value is simulated.
    pub simulated: bool,
    /// True if the source delivers its values late (by 15 minutes at Massive).
    pub delayed: bool,
    /// The minimum age on arrival, see [`AsOf::age`].
    pub age: Duration,
    /// The epoch of the connection that delivered the value. The epoch changes after each
    /// connection loss.
    pub epoch: u32,
}

/// A value as it arrived: an index value, a last price, the middle of a book, or the close of a
/// bar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quote {
    /// The price or index value.
    pub price: Price,
    /// The time at which the value was true.
    pub as_of: AsOf,
    /// True if the source delivers its values late.
    pub delayed: bool,
    /// True if the value is simulated.
    pub simulated: bool,
    /// The source of the value.
    pub source: QuoteSource,
    /// The connection epoch, see [`Provenance::epoch`].
    pub epoch: u32,
    /// True if the source marks the value as the close of its session, or if this program detected
    /// that the value is the close.
    pub is_close: bool,
    /// True if the value arrived outside the known trading hours and was accepted.
    pub outside: bool,
    /// True if there is no price any more, because the book has no middle. Such a quote removes the
    /// previous value.
    pub void: bool,
}

impl Quote {
    /// Creates a quote that was streamed and is received now. Without a plausible timestamp, its age
    /// is unknown: a relay can repeat or hold back a value for any time.
    pub fn streamed(
        price: Price,
        stamp: Option<Utc>,
        source: QuoteSource,
        provenance: Provenance,
        now: Now,
    ) -> Self {
        let mut as_of = AsOf::heard(stamp, provenance.age, now);
        as_of.heard = as_of.stamp.is_some();
        Self {
            price,
            as_of,
            delayed: provenance.delayed,
            simulated: provenance.simulated,
            source,
            epoch: provenance.epoch,
            is_close: false,
            outside: false,
            void: false,
        }
    }

    /// Creates a quote from a REST response that is received now. The quote is delayed only if the
    /// response is marked as delayed. For all other responses the full age counts: a value from 15
    /// minutes ago is stale.
    pub fn fetched(price: Price, stamp: Option<Utc>, delayed: bool, now: Now) -> Self {
        let provenance = Provenance::default();
        let mut quote = Self::streamed(price, stamp, QuoteSource::Rest, provenance, now);
        quote.delayed = delayed;
        // A REST response does not show the age of its value; only the timestamp shows the age.
        quote.as_of.heard = false;
        quote
    }

    /// Returns the age of the value. `None` if the age is unknown.
    pub fn age(&self, now: Now) -> Option<Duration> {
        self.as_of.age(now)
    }

    /// Returns the age minus the allowed delay of the source. The caller compares this difference
    /// with the limit, because a delayed source can also send a value that is too old, for example
    /// from yesterday. `None` if the age is unknown.
    pub fn counted_age(&self, now: Now) -> Option<Duration> {
        Some(self.counted(self.age(now)?, now))
    }

    /// Computes the result of [`Self::counted_age`] from a known age.
    pub(super) fn counted(&self, age: Duration, now: Now) -> Duration {
        if !self.delayed {
            return age;
        }
        let since = now.monotonic.since(self.as_of.received);
        since.max(age.saturating_sub(self.delay()))
    }

    /// Returns the age of the value at its receive time.
    pub(super) fn lag(&self, now: Now) -> Duration {
        let since = now.monotonic.since(self.as_of.received);
        self.age(now).unwrap_or_default().saturating_sub(since)
    }

    /// Returns the delay that is allowed for the source.
    pub(super) const fn delay(&self) -> Duration {
        if self.delayed {
            Duration::from_millis(DELAY.end().unsigned_abs())
        } else {
            Duration::ZERO
        }
    }

    /// Returns true if the timestamp is in the future of the wall clock by more than [`AHEAD`].
    pub fn is_ahead(&self, now: Now) -> bool {
        self.as_of.is_ahead(now)
    }

    /// Returns true if the value was streamed.
    pub(super) fn is_streamed(&self) -> bool {
        self.source != QuoteSource::Rest
    }

    /// Returns true if the value was already old on arrival. `now` must be the receive time.
    pub(super) fn arrived_old(&self, now: Now) -> bool {
        self.counted_age(now).is_none_or(|age| age > OLD_ON_ARRIVAL)
    }
}

/// A bar of one second (channel `A`) or one minute (channel `AM`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bar {
    /// The first price of the window.
    pub open: Price,
    /// The highest price of the window.
    pub high: Price,
    /// The lowest price of the window.
    pub low: Price,
    /// The last price of the window.
    pub close: Price,
    /// The start of the window. Symbol and start identify a bar, because the vendor can send a
    /// corrected bar again.
    pub start: Utc,
    /// The end of the window.
    pub end: Utc,
}

impl Bar {
    /// Returns the bar if it is valid: the first and the last price are between the lowest and the
    /// highest price, and the window is not empty.
    pub fn checked(self) -> Option<Self> {
        let within = |price| self.low <= price && price <= self.high;
        (within(self.open) && within(self.close) && self.start < self.end).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_768_323_600_000; // 2026-01-13 12:00 in New York

    fn now(secs: u64) -> Now {
        let moment = Moment::from_secs(secs);
        Now::new(moment, Utc(NOON) + moment.since(Moment::ZERO))
    }

    fn arrived(lag_secs: i64, provenance: Provenance) -> Quote {
        let stamp = Some(Utc(NOON + 5_000 - lag_secs * 1000));
        Quote::streamed(Price::MAX, stamp, QuoteSource::Tick, provenance, now(5))
    }

    fn age(quote: &Quote, now: Now) -> Option<u64> {
        quote.age(now).map(|age| age.as_secs())
    }

    #[test]
    fn the_full_lag_counts_as_age_after_a_time_is_agreed() {
        for lag in [0, 1, 29, 31, 7200] {
            let quote = arrived(lag, Provenance::default());
            assert_eq!(age(&quote, now(6)), Some(lag as u64 + 1));
            let unknown = Now {
                utc: None,
                ..now(6)
            };
            assert_eq!(age(&quote, unknown), Some(1), "by its receipt");
        }
    }

    #[test]
    fn a_timestamp_in_the_future_makes_no_value_younger_than_its_receipt() {
        let quote = arrived(-3600, Provenance::default());
        assert!(quote.is_ahead(now(5)));
        assert_eq!(age(&quote, now(8)), Some(3));
    }

    #[test]
    fn the_age_that_a_hub_reports_counts_without_a_clock() {
        let from_hub = Provenance {
            age: Duration::from_secs(29),
            ..Provenance::default()
        };
        let quote = arrived(0, from_hub);
        assert_eq!(age(&quote, now(6)), Some(30));
        let unknown = Now {
            utc: None,
            ..now(6)
        };
        assert_eq!(age(&quote, unknown), Some(30));
    }

    #[test]
    fn a_delayed_source_is_allowed_its_delay_but_no_silence() {
        let late = Provenance {
            delayed: true,
            ..Provenance::default()
        };
        let quote = arrived(900, late);
        let counted = |now| quote.counted_age(now).map(|age| age.as_secs());
        assert_eq!(counted(now(8)), Some(3), "since its receipt");
        assert_eq!(age(&quote, now(8)), Some(903));
        assert_eq!(
            arrived(7200, late).counted_age(now(5)),
            Some(Duration::from_secs(7200 - 1020))
        );
    }

    #[test]
    fn a_streamed_value_with_an_impossible_timestamp_has_no_age() {
        let next_year = NOON + 5_000 + IMPLAUSIBLE_LEAD;
        for stamp in [i64::MIN, 0, 1_768_323, next_year, i64::MAX] {
            let quote = Quote::streamed(
                Price::MAX,
                Some(Utc(stamp)),
                QuoteSource::Tick,
                Provenance::default(),
                now(5),
            );
            assert_eq!((quote.as_of.stamp, age(&quote, now(6))), (None, None));
        }
    }

    #[test]
    fn a_fetched_value_has_the_age_of_its_timestamp_and_no_age_without_a_clock() {
        let fetched = |lag_secs: i64, delayed| {
            let stamp = Some(Utc(NOON + 5_000 - lag_secs * 1000));
            Quote::fetched(Price::MAX, stamp, delayed, now(5))
        };
        assert_eq!(age(&fetched(1, false), now(5)), Some(1));
        assert_eq!(age(&fetched(900, false), now(7)), Some(902));
        let late = fetched(900, true);
        assert_eq!(late.counted_age(now(5)), Some(Duration::ZERO));
        let unknown = Now {
            utc: None,
            ..now(6)
        };
        assert_eq!(age(&fetched(1, false), unknown), None);
        let last_unstamped = Quote::fetched(Price::MAX, None, false, now(5));
        assert_eq!(age(&last_unstamped, now(6)), None);
    }

    #[test]
    fn a_fetched_value_from_the_future_has_no_age_until_its_time_has_come() {
        let fetched = |ahead_secs: i64| {
            let stamp = Some(Utc(NOON + 5_000 + ahead_secs * 1000));
            Quote::fetched(Price::MAX, stamp, false, now(5))
        };
        let ahead = fetched(65);
        assert_eq!(age(&ahead, now(5)), None);
        assert_eq!(ahead.as_of.known_at(now(5)), Moment::from_secs(65));
        assert_eq!(age(&ahead, now(64)), None);
        assert_eq!(age(&ahead, now(65)), Some(60));
        // A difference of up to 5 s between two clocks is accepted.
        let near = fetched(5);
        assert!(!near.is_ahead(now(5)));
        assert_eq!(near.as_of.known_at(now(5)), Moment::NEVER);
    }

    #[test]
    fn a_value_that_is_over_30_seconds_late_is_old_on_arrival() {
        let arrived_old = |lag| arrived(lag, Provenance::default()).arrived_old(now(5));
        assert!(!arrived_old(30));
        assert!(arrived_old(31));
    }

    #[test]
    fn an_impossible_bar_is_refused() {
        let price = |whole: i64| Price::from_scaled(whole * Price::SCALE);
        let bar = |open, high, low, close, end| {
            let bar = Bar {
                open: price(open),
                high: price(high),
                low: price(low),
                close: price(close),
                start: Utc(NOON),
                end: Utc(end),
            };
            assert!(bar.checked().is_none_or(|checked| checked == bar));
            bar.checked().is_some()
        };
        assert!(bar(2, 4, 1, 3, NOON + 1));
        assert!(bar(1, 1, 1, 1, NOON + 1), "one price all along");
        for (open, close) in [(0, 3), (5, 3), (2, 0), (2, 5)] {
            assert!(!bar(open, 4, 1, close, NOON + 1), "{open} {close}");
        }
        assert!(!bar(2, 4, 1, 3, NOON), "a window without a length");
        assert!(!bar(2, 4, 1, 3, NOON - 1));
    }
}
