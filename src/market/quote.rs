//! One value of one instrument, with what is known about it: by what way it came, when it was true,
//! whether it is real, whether it is a close. Owns how old a value is; never judges what it is worth.

use core::time::Duration;

use super::Price;
use crate::time::{Moment, Now, Utc};

/// The lag of a stream that serves its values 15 minutes late (in ms); the end is what a late source
/// is allowed.
pub const DELAY: core::ops::RangeInclusive<i64> = 14 * 60_000..=17 * 60_000;
/// A stamp further ahead of the agreed time than this (in ms) is wrong.
pub const AHEAD: i64 = 5_000;
/// A value that was older than this on arrival is no part of what has been watched.
const OLD_ON_ARRIVAL: Duration = Duration::from_secs(30);
/// No stamp is older than this (2000-01-01): what is, is zero or in another unit.
const OLDEST: Utc = Utc(946_684_800_000);

/// By what way a value came; decides how old it may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QuoteSource {
    /// A value, a quote or a trade of its own, as it was streamed.
    Tick,
    /// A last value fetched by REST: it may be of any age, so that receiving it proves nothing.
    Rest,
    /// The close of a bar of a second.
    Second,
    /// The close of a bar of a minute.
    Minute,
}

/// When something was true, as far as that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AsOf {
    /// When it was received.
    pub received: Moment,
    /// When a source last said that it is still the last one.
    pub confirmed: Moment,
    /// The feed's own stamp, where it gave a plausible one.
    pub stamp: Option<Utc>,
    /// How old it was at least when it was received, as far as no wall clock is needed to know it: by
    /// a hub's word, or by its lag beyond the smallest of its connection.
    pub age: Duration,
    /// It was heard as it happened, or with an age: then its receipt tells how old it is at least. Of
    /// anything else the stamp alone tells.
    pub heard: bool,
}

impl AsOf {
    /// Something that was streamed and received now.
    pub fn heard(stamp: Option<Utc>, age: Duration, now: Now) -> Self {
        Self {
            received: now.monotonic,
            confirmed: now.monotonic,
            stamp: stamp.filter(|stamp| *stamp >= OLDEST),
            age,
            heard: true,
        }
    }

    /// Something that REST has told now, which was true at its stamp.
    pub fn told(stamp: Option<Utc>, now: Now) -> Self {
        Self {
            heard: false,
            ..Self::heard(stamp, Duration::ZERO, now)
        }
    }

    /// How old it is: by its receipt and by its stamp, whichever is more. `None` if nobody can tell: it
    /// was not heard as it happened, and there is no agreed time, or no stamp that can be right.
    pub fn age(&self, now: Now) -> Option<Duration> {
        let since = now.monotonic.since(self.received).saturating_add(self.age);
        let stamped = self
            .stamp
            .zip(now.utc)
            .map(|(stamp, utc)| duration(utc.millis_since(stamp)));
        match stamped {
            // A stamp of the future tells nothing.
            Some(_) if !self.heard && self.is_ahead(now) => None,
            Some(age) => Some(age.max(since)),
            None => self.heard.then_some(since),
        }
    }

    /// Whether anybody can tell how old it is.
    pub(super) fn has_known_age(&self, now: Now) -> bool {
        self.heard || (self.stamp.is_some() && now.utc.is_some() && !self.is_ahead(now))
    }

    /// When its age is known although nothing happens: once its stamp is not of the future any more.
    pub(super) fn known_at(&self, now: Now) -> Moment {
        match self.stamp.zip(now.utc) {
            Some((stamp, utc)) if self.is_ahead(now) => {
                now.monotonic + duration(stamp.millis_since(utc).saturating_sub(AHEAD))
            }
            _ => Moment::NEVER,
        }
    }

    /// Whether its stamp is ahead of the agreed time.
    fn is_ahead(&self, now: Now) -> bool {
        let ahead = |(stamp, utc): (Utc, Utc)| stamp.millis_since(utc) > AHEAD;
        self.stamp.zip(now.utc).is_some_and(ahead)
    }

    /// When it was true, by the agreed time.
    pub(super) fn utc(&self, now: Now) -> Option<Utc> {
        let utc = now.utc?;
        self.stamp
            .or_else(|| Some(Utc(utc.0.saturating_sub(millis(self.age(now)?)))))
    }

    /// When a source last said that it is still the last one, by the agreed time.
    pub(super) fn confirmed_utc(&self, now: Now) -> Option<Utc> {
        let ago = millis(now.monotonic.since(self.confirmed));
        Some(Utc(now.utc?.0.saturating_sub(ago)))
    }
}

/// What goes with a value from the wire to the glass beside its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Provenance {
    /// It is not real.
    pub simulated: bool,
    /// Its source serves its values late (by 15 minutes, at Massive).
    pub delayed: bool,
    /// How old it was at least on arrival, see [`AsOf::age`].
    pub age: Duration,
    /// Another number after each break of the link that it came on.
    pub epoch: u32,
}

/// A value as it arrived: an index value, a last price, the middle of a book, or a bar's close.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quote {
    /// The value.
    pub price: Price,
    /// When it was true.
    pub as_of: AsOf,
    /// The source serves its values late.
    pub delayed: bool,
    /// It is not real.
    pub simulated: bool,
    /// By what way it came.
    pub source: QuoteSource,
    /// See [`Provenance::epoch`].
    pub epoch: u32,
    /// Its source calls it the close of its session, or it was seen to be that.
    pub is_close: bool,
    /// It came outside the known hours, and is believed.
    pub outside: bool,
    /// It takes the value before it away and is none itself: a book without a middle.
    pub void: bool,
}

impl Quote {
    /// A value received now from a stream. A stamp that cannot be one is dropped and the value kept.
    pub fn streamed(
        price: Price,
        stamp: Option<Utc>,
        source: QuoteSource,
        provenance: Provenance,
        now: Now,
    ) -> Self {
        Self {
            price,
            as_of: AsOf::heard(stamp, provenance.age, now),
            delayed: provenance.delayed,
            simulated: provenance.simulated,
            source,
            epoch: provenance.epoch,
            is_close: false,
            outside: false,
            void: false,
        }
    }

    /// A last value that REST has told now. Its age is counted in full, and it is delayed only if
    /// the answer said so: one of a quarter of an hour ago is old.
    pub fn fetched(price: Price, stamp: Option<Utc>, delayed: bool, now: Now) -> Self {
        let provenance = Provenance {
            delayed,
            ..Provenance::default()
        };
        Self {
            as_of: AsOf::told(stamp, now),
            ..Self::streamed(price, stamp, QuoteSource::Rest, provenance, now)
        }
    }

    /// How old the value itself is; `None` if nobody can tell.
    pub fn age(&self, now: Now) -> Option<Duration> {
        self.as_of.age(now)
    }

    /// How old it is beyond the delay of its source: what is held against its limit. A late source may
    /// still have a value of yesterday.
    pub fn counted_age(&self, now: Now) -> Option<Duration> {
        let age = self.age(now)?;
        if !self.delayed {
            return Some(age);
        }
        let since = now.monotonic.since(self.as_of.received);
        Some(since.max(age.saturating_sub(self.delay())))
    }

    /// How old it was when it came.
    pub(super) fn lag(&self, now: Now) -> Duration {
        let since = now.monotonic.since(self.as_of.received);
        self.age(now)
            .map_or(Duration::ZERO, |age| age.saturating_sub(since))
    }

    /// What its source is allowed to be late.
    pub(super) const fn delay(&self) -> Duration {
        if self.delayed {
            Duration::from_millis(DELAY.end().unsigned_abs())
        } else {
            Duration::ZERO
        }
    }

    /// Whether its stamp is ahead of the agreed time.
    pub fn is_ahead(&self, now: Now) -> bool {
        self.as_of.is_ahead(now)
    }

    /// Whether it came by a stream.
    pub(super) fn is_streamed(&self) -> bool {
        self.source != QuoteSource::Rest
    }

    /// Whether it was already old when it came at this moment.
    pub(super) fn arrived_old(&self, now: Now) -> bool {
        self.counted_age(now).is_none_or(|age| age > OLD_ON_ARRIVAL)
    }
}

/// In whole milliseconds.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Zero if it is negative.
pub(super) fn duration(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
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

    fn now(secs: u64) -> Now {
        let moment = Moment::from_secs(secs);
        Now::new(moment, Utc(NOON + millis(moment.since(Moment::ZERO))))
    }

    fn arrived(lag_secs: i64, provenance: Provenance) -> Quote {
        let stamp = Some(Utc(NOON + 5_000 - lag_secs * 1000));
        Quote::streamed(Price::MAX, stamp, QuoteSource::Tick, provenance, now(5))
    }

    fn age(quote: &Quote, now: Now) -> Option<u64> {
        quote.age(now).map(|age| age.as_secs())
    }

    #[test]
    fn lag_counts_as_age_in_full_once_there_is_an_agreed_time() {
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
    fn a_stamp_that_is_ahead_makes_no_value_younger_than_its_receipt() {
        let quote = arrived(-3600, Provenance::default());
        assert!(quote.is_ahead(now(5)));
        assert_eq!(age(&quote, now(8)), Some(3));
    }

    #[test]
    fn a_hubs_word_on_an_age_counts_without_any_clock() {
        let told = Provenance {
            age: Duration::from_secs(29),
            ..Provenance::default()
        };
        let quote = arrived(0, told);
        assert_eq!(age(&quote, now(6)), Some(30));
        let unknown = Now {
            utc: None,
            ..now(6)
        };
        assert_eq!(age(&quote, unknown), Some(30));
    }

    #[test]
    fn a_late_source_is_allowed_its_delay_and_no_silence() {
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
    fn a_stamp_that_cannot_be_one_is_dropped_and_the_value_kept() {
        for stamp in [i64::MIN, 0, 1_768_323] {
            let quote = Quote::streamed(
                Price::MAX,
                Some(Utc(stamp)),
                QuoteSource::Tick,
                Provenance::default(),
                now(5),
            );
            assert_eq!((quote.as_of.stamp, age(&quote, now(6))), (None, Some(1)));
        }
    }

    #[test]
    fn what_was_fetched_is_as_old_as_its_stamp_and_of_no_age_without_a_clock() {
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
    fn a_fetched_stamp_of_the_future_has_no_age_until_it_is_no_more_of_the_future() {
        let fetched = |ahead_secs: i64| {
            let stamp = Some(Utc(NOON + 5_000 + ahead_secs * 1000));
            Quote::fetched(Price::MAX, stamp, false, now(5))
        };
        let ahead = fetched(65);
        assert_eq!(age(&ahead, now(5)), None);
        assert_eq!(ahead.as_of.known_at(now(5)), Moment::from_secs(65));
        assert_eq!(age(&ahead, now(64)), None);
        assert_eq!(age(&ahead, now(65)), Some(60));
        // Clocks may differ by so much.
        let near = fetched(5);
        assert!(!near.is_ahead(now(5)));
        assert_eq!(near.as_of.known_at(now(5)), Moment::NEVER);
    }

    #[test]
    fn what_came_half_a_minute_late_came_old() {
        let arrived_old = |lag| arrived(lag, Provenance::default()).arrived_old(now(5));
        assert!(!arrived_old(30));
        assert!(arrived_old(31));
    }

    #[test]
    fn a_bar_that_cannot_be_one_is_none() {
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
