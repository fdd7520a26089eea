//! Which of two values is the newer one, when stamps may be missing or wrong and so may our clock.

use core::time::Duration;

use crate::market::{Quote, Source};

/// Values this much older than the stored one (1 h, in ms) are not merely out of order: then one
/// of the two stamps is wrong, or the value is a repetition of an old one.
const DISORDER: i64 = 3_600_000;
/// After this long without a younger one, a value whose stamp is ahead of our clock makes way for
/// those that agree with it: then it was the stamp that was wrong, not the clock.
const CONTRADICTED: Duration = Duration::from_secs(10);

/// How a value stands to the stored one.
pub(super) enum Order {
    Newer,
    Same,
    Older,
}

/// By the stamps; where one is missing, by arrival.
pub(super) fn order(stored: &Quote, new: &Quote) -> Order {
    match (stored.is_of_unknown_age(), new.is_of_unknown_age()) {
        // What cannot be shown yet replaces nothing that can, and never the other way round.
        (false, true) => return Order::Older,
        (true, false) => return Order::Newer,
        _ => {}
    }
    let (Some(before), Some(after)) = (stored.stamp, new.stamp) else {
        return Order::Newer;
    };
    match after.millis_since(before) {
        1.. => Order::Newer,
        0 => Order::Same,
        // What was streamed says that our clock is behind: it vouches for no age of a fetched one.
        _ if new.source == Source::Rest && stored.lag.is_none() => Order::Older,
        _ if is_contradicted(stored, new) => Order::Newer,
        ahead if ahead > -DISORDER => Order::Older,
        // Either the stored stamp was wrong, which must not block all that follows; or a hub
        // repeats a value of hours ago, which must not replace a younger one. The ages tell.
        _ if new.age(new.received) <= stored.age(new.received) => Order::Newer,
        _ => Order::Older,
    }
}

/// Whether the stored stamp was ahead of our clock, the new one is not, and nothing that follows
/// the stored one has come.
pub(super) fn is_contradicted(stored: &Quote, new: &Quote) -> bool {
    stored.lag.is_none()
        && new.lag.is_some()
        && new.received.since(stored.received) >= CONTRADICTED
        && new.age(new.received) <= stored.age(new.received)
}
