//! What is known of one instrument at one moment: values, bars, trades. Owns how old a value was
//! when it came; never judges what it is worth.

use core::time::Duration;

use super::Price;
use crate::clock::{Moment, Now, Utc};

/// Values older than this on arrival are not new: beyond it a lag is counted as age. Within it,
/// the clocks of the exchange and of this machine may differ.
const LAG: i64 = 30_000;
/// The lag of a source that serves its values 15 minutes late.
const DELAYED: core::ops::RangeInclusive<i64> = 14 * 60_000..=17 * 60_000;
/// A stamp further in the future than this is wrong, or our clock is.
pub(super) const AHEAD: i64 = 60_000;
/// No stamp is older than this (2000-01-01): what is, is zero or in another unit.
const OLDEST: Utc = Utc(946_684_800_000);

/// By what way a value came; decides how old it may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// A value, a quote or a trade of its own, or one fetched by REST.
    Tick,
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
    /// is no stamp. `None` if that is not known yet, because the wall clock was not set.
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
    /// late) is given that age; a stamp that cannot be right is dropped and the value kept.
    pub fn arrived(price: Price, stamp: Option<Utc>, now: Now) -> Self {
        let stamp = stamp.filter(|stamp| *stamp >= OLDEST);
        Self {
            price,
            received: now.monotonic,
            lag: stamp.is_none().then_some(Duration::ZERO),
            stamp,
            delayed: false,
            source: Source::Tick,
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

    /// This quote with its lag known, if the clock has been set since it was received. Its lag is
    /// determined once: a later step of the wall clock changes nothing.
    pub fn settled(self, now: Now) -> Self {
        let (None, Some(stamp), Some(utc)) = (self.lag, self.stamp, now.utc) else {
            return self;
        };
        let lag = utc
            .millis_since(stamp)
            .saturating_sub(millis(now.monotonic.since(self.received)));
        let delayed = DELAYED.contains(&lag);
        let plausible = lag >= -AHEAD;
        let counted = if lag <= LAG { 0 } else { lag.unsigned_abs() };
        Self {
            lag: Some(Duration::from_millis(counted)),
            stamp: Some(stamp).filter(|_| plausible),
            delayed,
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
        if self.delayed {
            now.since(self.received)
        } else {
            self.age(now)
        }
    }

    /// Whether it was already old when it came, and is no part of what has been watched.
    pub(super) fn came_old(&self) -> bool {
        !self.delayed && self.lag.is_some_and(|lag| lag > Duration::ZERO)
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
    fn a_stamp_that_cannot_be_right_is_dropped_and_the_value_kept() {
        assert_eq!(arrived(61 - 122).stamp, None);
        assert!(arrived(-60).stamp.is_some());
        let now = Now::new(Moment::from_secs(5), Utc(NOON));
        for stamp in [i64::MIN, 0, 1_768_323_600, i64::MAX] {
            let quote = Quote::arrived(Price::MAX, Some(Utc(stamp)), now);
            assert_eq!((quote.stamp, quote.lag), (None, Some(Duration::ZERO)));
        }
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
