//! The comparison of two values: which value is newer, even if a timestamp is missing or wrong, or
//! if the clock is wrong. This module never stores a value.

use core::time::Duration;

use crate::market::{Quote, QuoteSource};
use crate::time::{Moment, Now, Utc};

/// The order of a new value relative to the stored value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Recency {
    Newer,
    Same,
    Older,
}

/// Compares two values by their timestamps, or by their ages if a timestamp is missing. The value
/// with the older timestamp counts as newer only if the stored timestamp is in the future and the
/// new timestamp is not. The stored timestamp is wrong in this case.
pub(super) fn recency(stored: &Quote, new: &Quote, now: Now) -> Recency {
    let (stored_age, new_age) = (stored.age(now), new.age(now));
    match (stored.as_of.stamp, new.as_of.stamp) {
        // A value with an unknown age never replaces a value with a known age.
        _ if stored_age.is_some() && new_age.is_none() => Recency::Older,
        _ if stored_age.is_none() && new_age.is_some() => Recency::Newer,
        (Some(before), Some(after)) if after == before => Recency::Same,
        (Some(before), Some(after)) if after > before => Recency::Newer,
        (Some(_), Some(_)) if stored.is_ahead(now) && !new.is_ahead(now) => Recency::Newer,
        (Some(_), Some(_)) => Recency::Older,
        _ if new_age <= stored_age => Recency::Newer,
        _ => Recency::Older,
    }
}

/// The maximum difference between the interval of two timestamps and the interval of their receive
/// times.
const STAMP_JITTER: Duration = Duration::from_millis(500);

/// Returns true if two consecutive values of a channel show that the stored timestamp is wrong.
/// Both values have older timestamps than the stored value, and the interval of their timestamps is
/// equal to the interval of their receive times. The result is always false for bars, because a
/// corrected bar can arrive late.
pub(super) fn channel_continues(
    stored: &Quote,
    (first, received): (Utc, Moment),
    new: &Quote,
) -> bool {
    let Some(second) = new.as_of.stamp.filter(|second| *second > first) else {
        return false;
    };
    let receipts = new.as_of.received.since(received);
    new.source == QuoteSource::Tick
        && stored.source == QuoteSource::Tick
        && receipts >= STAMP_JITTER / 2
        && second.since(first).abs_diff(receipts) <= STAMP_JITTER
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{Price, Provenance};

    /// 2026-01-13 12:00 in New York.
    const NOON: i64 = 1_768_323_600_000;

    fn quote(source: QuoteSource, stamp: Option<i64>, received: u64, age: u64) -> Quote {
        let now = Now::new(Moment::from_millis(received), Utc(NOON));
        let provenance = Provenance {
            age: Duration::from_secs(age),
            ..Provenance::default()
        };
        let stamp = stamp.map(|stamp| Utc(NOON + stamp));
        Quote::streamed(Price::MAX, stamp, source, provenance, now)
    }

    #[test]
    fn a_channel_continues_if_timestamps_and_receive_times_advance_equally() {
        use QuoteSource::{Minute, Tick};
        for (stored, new, stamps, receipts, expected) in [
            (Tick, Tick, 1000, 1000, true),
            (Tick, Tick, 1000, 1500, true),
            (Tick, Tick, 1000, 1501, false),
            (Tick, Tick, 1000, 499, false),
            // In the second case the values arrived too close together for a comparison.
            (Tick, Tick, 100, 250, true),
            (Tick, Tick, 100, 249, false),
            // The timestamp is equal to the previous timestamp, or goes backwards.
            (Tick, Tick, 0, 400, false),
            (Tick, Tick, -100, 300, false),
            // A burst of delayed values.
            (Tick, Tick, 5000, 300, false),
            // A bar can arrive again as a correction.
            (Tick, Minute, 1000, 1000, false),
            (Minute, Tick, 1000, 1000, false),
            (Minute, Minute, 1000, 1000, false),
        ] {
            let stored = quote(stored, Some(60_000), 0, 0);
            let new = quote(new, Some(stamps), 10_000 + receipts, 0);
            let before = (Utc(NOON), Moment::from_millis(10_000));
            let case = (stored.source, new.source, stamps, receipts);
            assert_eq!(
                channel_continues(&stored, before, &new),
                expected,
                "{case:?}"
            );
        }
    }

    #[test]
    fn without_timestamps_the_younger_value_is_newer() {
        let now = Now::new(Moment::from_secs(20), Utc(NOON + 20_000));
        // Only a book without a middle has an age without a timestamp.
        let quote = |received, age| {
            let mut quote = quote(QuoteSource::Tick, None, received, age);
            quote.as_of.heard = true;
            quote
        };
        let stored = quote(10_000, 0);
        for (received, age, expected) in [
            (20_000, 9, Recency::Newer),
            (20_000, 10, Recency::Newer),
            (20_000, 11, Recency::Older),
        ] {
            let new = quote(received, age);
            assert_eq!(recency(&stored, &new, now), expected);
        }
    }
}
