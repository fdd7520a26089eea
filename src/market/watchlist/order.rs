//! Which of two values is the newer one, when stamps may be missing or wrong and so may a clock.

use core::cmp::Ordering;
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
    match (stored.as_of.is_known(now), new.as_of.is_known(now)) {
        // What cannot be shown yet replaces nothing that can, and never the other way round.
        (true, false) => return Order::Older,
        (false, true) => return Order::Newer,
        _ => {}
    }
    let (Some(before), Some(after)) = (stored.as_of.stamp, new.as_of.stamp) else {
        return if new.age(now) <= stored.age(now) {
            Order::Newer
        } else {
            Order::Older
        };
    };
    match after.cmp(&before) {
        Ordering::Greater => Order::Newer,
        Ordering::Equal => Order::Same,
        Ordering::Less if stored.is_ahead(now) && !new.is_ahead(now) => Order::Newer,
        Ordering::Less => Order::Older,
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
