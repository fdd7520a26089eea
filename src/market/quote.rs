//! What is known of one instrument at one moment: values, bars, trades. Owns how old a value was
//! when it came; never judges what it is worth.

use core::time::Duration;

use super::Price;
use crate::clock::{Moment, Now, Utc};

/// Values older than this on arrival are not new: beyond it a lag is counted as age. Within it,
/// the clocks of the exchange and of this machine may differ.
const LAG: i64 = 30_000;
/// The lag of a stream that serves its values 15 minutes late; the end is what a late source is
/// allowed.
const DELAYED: core::ops::RangeInclusive<i64> = 14 * 60_000..=17 * 60_000;
/// A stamp further in the future than this is wrong, or our clock is.
pub(super) const AHEAD: i64 = 60_000;
/// No stamp is older than this (2000-01-01): what is, is zero or in another unit.
const OLDEST: Utc = Utc(946_684_800_000);

/// By what way a value came; decides how old it may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// A value, a quote or a trade of its own, as it was streamed.
    Tick,
    /// A last value fetched by REST: it may be of any age, so that receiving it proves nothing.
    Rest,
    /// The close of a bar of a second.
    Second,
    /// The close of a bar of a minute.
    Minute,
}

/// A value as it arrived: an index value, a last price, or a bar's close.
///
/// An official close is a value too: one whose stamp is the end of its session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quote {
    /// The value.
    pub price: Price,
    /// When it was received.
    pub received: Moment,
    /// How old it was by then, as its stamp told; zero if that was nothing worth mention or there
    /// is no stamp. `None` if that is not known yet, because the wall clock was not set or is
    /// behind the stamp: then one of the two is wrong, and only a step of the clock tells which.
    pub lag: Option<Duration>,
    /// The feed's own stamp, where it gave a plausible one. Orders values and tells to which
    /// session they belong; once received they age by monotonic time alone.
    pub stamp: Option<Utc>,
    /// The source serves its values late (by 15 minutes, at Massive).
    pub delayed: bool,
    /// By what way it came.
    pub source: Source,
}

impl Quote {
    /// A value received now. One that was old by then (a hub repeats its last one to who joins
    /// late) is given that age; a stamp that cannot be one is dropped and the value kept. A stamp
    /// ahead of our clock is kept: it may be the clock that is wrong.
    pub fn arrived(price: Price, stamp: Option<Utc>, now: Now) -> Self {
        Self::new(price, stamp, Source::Tick, now)
    }

    /// A last value that REST has told now. Its age is counted in full, and it is delayed only if
    /// the answer said so: one of a quarter of an hour ago is old.
    pub fn fetched(price: Price, stamp: Option<Utc>, delayed: bool, now: Now) -> Self {
        Self {
            delayed,
            ..Self::new(price, stamp, Source::Rest, now)
        }
    }

    fn new(price: Price, stamp: Option<Utc>, source: Source, now: Now) -> Self {
        let stamp = stamp.filter(|stamp| *stamp >= OLDEST);
        Self {
            price,
            received: now.monotonic,
            lag: stamp.is_none().then_some(Duration::ZERO),
            stamp,
            delayed: false,
            source,
        }
        .settled(now)
    }

    /// The close of a bar received now, as of the end of its window.
    pub fn of_bar(bar: &Bar, source: Source, now: Now) -> Self {
        Self {
            source,
            ..Self::arrived(bar.close, Some(bar.end), now)
        }
    }

    /// This quote with its lag known, if the clock has been set (or set right) since it was
    /// received. Its lag is determined once: a later step of the wall clock changes nothing.
    pub fn settled(self, now: Now) -> Self {
        let (None, Some(stamp), Some(utc)) = (self.lag, self.stamp, now.utc) else {
            return self;
        };
        let lag = utc
            .millis_since(stamp)
            .saturating_sub(millis(now.monotonic.since(self.received)));
        if lag < -AHEAD {
            return self;
        }
        // A stream is heard as it happens, so that a small lag is but the difference of two
        // clocks; what was fetched may really be that old.
        let (tolerance, late) = match self.source {
            Source::Rest => (0, false),
            _ => (LAG, DELAYED.contains(&lag)),
        };
        let counted = if lag <= tolerance {
            0
        } else {
            lag.unsigned_abs()
        };
        Self {
            lag: Some(Duration::from_millis(counted)),
            delayed: self.delayed || late,
            ..self
        }
    }

    /// How old the value itself is.
    pub fn age(&self, now: Moment) -> Duration {
        now.since(self.received)
            .saturating_add(self.lag.unwrap_or_default())
    }

    /// How old it is beyond the delay of its source: what is held against its limit.
    pub fn counted_age(&self, now: Moment) -> Duration {
        now.since(self.received)
            .saturating_add(self.counted_lag().unwrap_or_default())
    }

    /// The lag beyond the delay of its source. A late source may still have a value of yesterday.
    fn counted_lag(&self) -> Option<Duration> {
        let allowed = if self.delayed {
            Duration::from_millis(DELAYED.end().unsigned_abs())
        } else {
            Duration::ZERO
        };
        Some(self.lag?.saturating_sub(allowed))
    }

    /// Whether nobody can tell yet how old it is: it was not heard as it happened, and no clock
    /// vouches for its stamp.
    pub(super) fn is_of_unknown_age(&self) -> bool {
        self.source == Source::Rest && self.lag.is_none()
    }

    /// Whether its stamp is ahead of our clock as that was when it came.
    pub fn is_ahead(&self, now: Now) -> bool {
        self.lag.is_none() && now.utc.is_some()
    }

    /// Whether it was already old when it came, and is no part of what has been watched.
    pub(super) fn came_old(&self) -> bool {
        self.is_of_unknown_age() || self.counted_lag().is_some_and(|lag| millis(lag) > LAG)
    }
}

/// In whole milliseconds.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// One bar of a second (`A`) or a minute (`AM`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bar {
    /// First price of the window.
    pub open: Price,
    /// Highest price of the window.
    pub high: Price,
    /// Lowest price of the window.
    pub low: Price,
    /// Last price of the window.
    pub close: Price,
    /// Start of the window: with the symbol the key of a bar, for a bar may come again, corrected.
    pub start: Utc,
    /// End of the window.
    pub end: Utc,
}

impl Bar {
    /// This bar, if it can be one: its first and last price lie between the extremes, and its
    /// window has a length.
    pub fn checked(self) -> Option<Self> {
        let within = |price| self.low <= price && price <= self.high;
        (within(self.open) && within(self.close) && self.start < self.end).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_768_323_600_000; // 2026-01-13 12:00 in New York

    fn arrived(lag_secs: i64) -> Quote {
        let now = Now::new(Moment::from_secs(5), Utc(NOON));
        Quote::arrived(Price::MAX, Some(Utc(NOON - lag_secs * 1000)), now)
    }

    #[test]
    fn a_value_that_is_old_on_arrival_is_born_old_even_before_the_program() {
        assert_eq!(arrived(7200).age(Moment::from_secs(6)).as_secs(), 7201);
        assert_eq!(arrived(31).age(Moment::from_secs(5)).as_secs(), 31);
        assert_eq!(arrived(30).age(Moment::from_secs(5)).as_secs(), 0);
        assert_eq!(arrived(-60).age(Moment::from_secs(5)).as_secs(), 0);
    }

    #[test]
    fn a_quarter_of_an_hour_is_the_delay_of_the_source() {
        for (lag, delayed) in [(839, false), (840, true), (1020, true), (1021, false)] {
            assert_eq!(arrived(lag).delayed, delayed, "{lag}");
        }
        let quote = arrived(900);
        assert_eq!(quote.counted_age(Moment::from_secs(8)).as_secs(), 3);
        assert_eq!(quote.age(Moment::from_secs(8)).as_secs(), 903);
    }

    #[test]
    fn a_stamp_that_cannot_be_one_is_dropped_and_the_value_kept() {
        let now = Now::new(Moment::from_secs(5), Utc(NOON));
        for stamp in [i64::MIN, 0, 1_768_323_600] {
            let quote = Quote::arrived(Price::MAX, Some(Utc(stamp)), now);
            assert_eq!((quote.stamp, quote.lag), (None, Some(Duration::ZERO)));
        }
    }

    #[test]
    fn a_stamp_ahead_of_a_wrong_clock_is_kept_and_judged_once_the_clock_is_right() {
        assert_eq!(arrived(-60).lag, Some(Duration::ZERO));
        let quote = arrived(-61);
        assert_eq!((quote.stamp, quote.lag), (Some(Utc(NOON + 61_000)), None));
        // Two seconds later NTP steps the clock by two hours: it was of an hour before.
        let quote = arrived(-3600);
        let right = Now::new(Moment::from_secs(7), Utc(NOON + 7_202_000));
        assert_eq!(quote.settled(right).lag, Some(Duration::from_secs(3600)));
        let far = Quote::arrived(Price::MAX, Some(Utc(i64::MAX)), right);
        assert_eq!(far.lag, None);
    }

    #[test]
    fn what_was_fetched_is_as_old_as_its_stamp_and_delayed_only_if_told_so() {
        let fetched = |lag_secs: i64, delayed| {
            let now = Now::new(Moment::from_secs(5), Utc(NOON));
            Quote::fetched(Price::MAX, Some(Utc(NOON - lag_secs * 1000)), delayed, now)
        };
        let now = Moment::from_secs(5);
        assert_eq!(fetched(1, false).age(now).as_secs(), 1);
        assert_eq!(fetched(30, false).counted_age(now).as_secs(), 30);
        assert!(!fetched(900, false).delayed);
        assert_eq!(fetched(900, false).counted_age(now).as_secs(), 900);
        assert!(fetched(900, true).delayed);
        assert_eq!(fetched(900, true).counted_age(now).as_secs(), 0);
        // A late source's value of two hours ago is no part of its delay.
        assert_eq!(fetched(7200, true).counted_age(now).as_secs(), 7200 - 1020);
    }

    #[test]
    fn a_lag_is_judged_once_and_as_soon_as_the_clock_is_set() {
        let unset = Now {
            monotonic: Moment::from_secs(5),
            utc: None,
        };
        let quote = Quote::arrived(Price::MAX, Some(Utc(NOON)), unset);
        assert_eq!((quote.stamp, quote.lag), (Some(Utc(NOON)), None));
        // Ten seconds later the clock is set: the value was an hour old when it came.
        let set = Now::new(Moment::from_secs(15), Utc(NOON + 3_610_000));
        let settled = quote.settled(set);
        assert_eq!(settled.lag, Some(Duration::from_secs(3600)));
        let stepped = Now::new(Moment::from_secs(15), Utc(NOON));
        assert_eq!(settled.settled(stepped), settled);
    }
}
