//! Which of two values is the newer one, when stamps may be missing or wrong and so may a clock.

use core::time::Duration;

use crate::clock::{Moment, Now, Utc};
use crate::market::{Quote, Source};

/// How a value stands to the stored one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    Newer,
    Same,
    Older,
}

/// By the stamps; where one is missing, by the ages. A stored stamp gives way to an older one only if
/// it is ahead of the agreed time and the other is not: then it was never right.
pub(super) fn order(stored: &Quote, new: &Quote, now: Now) -> Order {
    match (stored.age(now), new.age(now)) {
        // What cannot be shown yet replaces nothing that can, and never the other way round.
        (Some(_), None) => return Order::Older,
        (None, Some(_)) => return Order::Newer,
        (before, after) if stored.as_of.stamp.is_none() || new.as_of.stamp.is_none() => {
            return if after <= before {
                Order::Newer
            } else {
                Order::Older
            };
        }
        _ => {}
    }
    match new.as_of.stamp.cmp(&stored.as_of.stamp) {
        core::cmp::Ordering::Greater => Order::Newer,
        core::cmp::Ordering::Equal => Order::Same,
        core::cmp::Ordering::Less if stored.is_ahead(now) && !new.is_ahead(now) => Order::Newer,
        core::cmp::Ordering::Less => Order::Older,
    }
}

/// Stamps and receipts of two values in a row may differ by so much more than the values did.
const JITTER: Duration = Duration::from_millis(500);

/// Whether a channel has gone on without its stored value: this value and the one before it on the
/// same channel, both with an older stamp, are as far apart by their stamps as by their receipts. Never
/// for bars, which come again, corrected.
pub(super) fn goes_on(stored: &Quote, (first, received): (Utc, Moment), new: &Quote) -> bool {
    let Some(second) = new.as_of.stamp else {
        return false;
    };
    let stamps = u64::try_from(second.millis_since(first)).map(Duration::from_millis);
    let receipts = new.as_of.received.since(received);
    new.source == Source::Tick
        && stored.source == Source::Tick
        && receipts >= JITTER / 2
        && stamps.is_ok_and(|stamps| stamps > Duration::ZERO && stamps.abs_diff(receipts) <= JITTER)
}
