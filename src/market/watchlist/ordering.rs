//! Which of two values is the newer one, when stamps may be missing or wrong and so may a clock.

use core::cmp::Ordering;
use core::time::Duration;

use crate::market::{Quote, QuoteSource};
use crate::time::{Moment, Now, Utc};

/// How a value stands to the stored one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Recency {
    Newer,
    Same,
    Older,
}

/// By the stamps; where one is missing, by the ages. A stored stamp gives way to an older one only if
/// it is ahead of the agreed time and the other is not: then it was never right.
pub(super) fn recency(stored: &Quote, new: &Quote, now: Now) -> Recency {
    match (
        stored.as_of.has_known_age(now),
        new.as_of.has_known_age(now),
    ) {
        // A value of unknown age never replaces one of known age.
        (true, false) => return Recency::Older,
        (false, true) => return Recency::Newer,
        _ => {}
    }
    let (Some(before), Some(after)) = (stored.as_of.stamp, new.as_of.stamp) else {
        return if new.age(now) <= stored.age(now) {
            Recency::Newer
        } else {
            Recency::Older
        };
    };
    match after.cmp(&before) {
        Ordering::Greater => Recency::Newer,
        Ordering::Equal => Recency::Same,
        Ordering::Less if stored.is_ahead(now) && !new.is_ahead(now) => Recency::Newer,
        Ordering::Less => Recency::Older,
    }
}

/// Stamps and receipts of two values in a row may differ by so much more than the values did.
const STAMP_JITTER: Duration = Duration::from_millis(500);

/// Whether a channel has gone on without its stored value: this value and the one before it on the
/// same channel, both with an older stamp, are as far apart by their stamps as by their receipts. Never
/// for bars, which come again, corrected.
pub(super) fn channel_continues(
    stored: &Quote,
    (first, received): (Utc, Moment),
    new: &Quote,
) -> bool {
    let Some(second) = new.as_of.stamp else {
        return false;
    };
    let stamps = u64::try_from(second.millis_since(first)).map(Duration::from_millis);
    let receipts = new.as_of.received.since(received);
    new.source == QuoteSource::Tick
        && stored.source == QuoteSource::Tick
        && receipts >= STAMP_JITTER / 2
        && stamps.is_ok_and(|stamps| {
            stamps > Duration::ZERO && stamps.abs_diff(receipts) <= STAMP_JITTER
        })
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
    fn a_channel_goes_on_where_stamps_and_receipts_advance_alike() {
        use QuoteSource::{Minute, Tick};
        for (stored, new, stamps, receipts, expected) in [
            (Tick, Tick, 1000, 1000, true),
            (Tick, Tick, 1000, 1500, true),
            (Tick, Tick, 1000, 1501, false),
            (Tick, Tick, 1000, 499, false),
            // Too close together to be told apart.
            (Tick, Tick, 100, 250, true),
            (Tick, Tick, 100, 249, false),
            // The same stamp again, or one that runs backwards.
            (Tick, Tick, 0, 400, false),
            (Tick, Tick, -100, 300, false),
            // A burst of what was held back.
            (Tick, Tick, 5000, 300, false),
            // Bars come again, corrected.
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
    fn where_a_stamp_is_missing_the_younger_one_is_the_newer() {
        let now = Now::new(Moment::from_secs(20), Utc(NOON + 20_000));
        let stored = quote(QuoteSource::Tick, None, 10_000, 0);
        for (received, age, expected) in [
            (20_000, 9, Recency::Newer),
            (20_000, 10, Recency::Newer),
            (20_000, 11, Recency::Older),
        ] {
            let new = quote(QuoteSource::Tick, None, received, age);
            assert_eq!(recency(&stored, &new, now), expected);
        }
    }
}
