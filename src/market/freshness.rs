//! What a value is worth at the moment of drawing. Owns that judgement and nothing else; never
//! reads a clock: ages are monotonic, only the phase of the market is wall time.

use core::time::Duration;

use super::calendar::{GRACE, Part, Phase};
use super::quote::{AHEAD, Quote, millis};
use crate::clock::{Moment, Now, Utc};

/// What a value on the glass is worth, judged with the calendar at the moment of drawing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Freshness {
    /// Young enough for its kind, its session open.
    Live,
    /// Older than its kind may be while its session is open; the age is given.
    Stale(Duration),
    /// Young, but from a source that serves it late.
    Delayed,
    /// The session is over and this is its last value.
    Closed,
    /// There is no value, or none of which it is known how old it is.
    None,
}

/// By how much more than its limit a value may miss the end of its session and still be its
/// close: the last one of a session may be one that was lost. Small, for a price from before the
/// link died must never be called the close.
const SLACK: Duration = Duration::from_secs(30);

/// A judgement, and when it may be another although nothing happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Judgement {
    pub(super) freshness: Freshness,
    pub(super) until: Moment,
    /// The part of the day that is on.
    pub(super) part: Option<Part>,
}

/// Judges a value. Without a clock, and where the clock contradicts the value's stamp, the
/// session counts as open: "closed" is never guessed.
pub(super) fn judge(quote: &Quote, limit: Duration, phase: Option<Phase>, now: Now) -> Judgement {
    if quote.is_of_unknown_age() {
        // It may be of last week. Only a step of the clock can tell, which no deadline foresees.
        return Judgement {
            freshness: Freshness::None,
            until: Moment::NEVER,
            part: phase.as_ref().and_then(Phase::part),
        };
    }
    let age = quote.age(now.monotonic);
    let counted = quote.counted_age(now.monotonic);
    let young = counted <= limit;
    let expiry = limit.saturating_sub(counted) + Duration::from_millis(1);

    let market = now.utc.zip(phase).map(|(utc, phase)| Market {
        utc,
        phase,
        as_of: quote
            .stamp
            .unwrap_or(Utc(utc.0.saturating_sub(millis(age)))),
        missed: limit + SLACK,
    });
    let contradiction = market.map_or(Duration::ZERO, |market| market.contradiction());
    let end = match market {
        None => Duration::MAX,
        Some(_) if contradiction > Duration::ZERO => contradiction,
        Some(market) => from(market.utc, market.phase.until()),
    };
    let market = market.filter(|_| contradiction == Duration::ZERO);

    let fresh = if quote.delayed {
        (Freshness::Delayed, expiry)
    } else {
        (Freshness::Live, expiry)
    };
    let stale = || (Freshness::Stale(age), to_next_figure(age));
    let (freshness, change) = match market.map(|market| (market, market.phase)) {
        Some((market, Phase::Closed { close, .. })) => {
            if market.is_last_before(close) {
                (Freshness::Closed, Duration::MAX)
            } else if quote.delayed && young {
                // A late source goes on after the close, until it has told the last of it.
                fresh
            } else {
                stale()
            }
        }
        _ if young => fresh,
        Some((
            market,
            Phase::Open {
                since,
                closed,
                part,
                ..
            },
        )) => {
            // A late source is late after the open, too.
            let delay = age.saturating_sub(counted);
            let patience = match part {
                Part::Regular => Utc(since.0.saturating_add(millis(GRACE + delay))),
                // Before and after the regular hours hours may pass without a trade: until there
                // is one, the close is the last price.
                Part::Pre | Part::Post | Part::Outside => Utc(i64::MAX),
            };
            if market.utc < patience && market.as_of < since && market.is_last_before(closed) {
                (Freshness::Closed, from(market.utc, patience))
            } else {
                stale()
            }
        }
        None => stale(),
    };
    Judgement {
        freshness,
        // Always later than now, for an owner who sleeps until then must not spin.
        part: phase.as_ref().and_then(Phase::part),
        until: now.monotonic + change.min(end).max(Duration::from_millis(1)),
    }
}

/// What the wall clock and the calendar say about a value.
#[derive(Clone, Copy)]
struct Market {
    utc: Utc,
    phase: Phase,
    /// When the value was true. Its stamp, rather than the clock less its age: so that a step of
    /// the clock does not move a price of the afternoon to the evening.
    as_of: Utc,
    /// By how much it may miss the end of a session.
    missed: Duration,
}

impl Market {
    /// How long the value is still from a future that the clock has not reached.
    fn contradiction(&self) -> Duration {
        from(self.utc, Utc(self.as_of.0.saturating_sub(AHEAD)))
    }

    /// Whether the value was still young at this end of a session, or came after it.
    fn is_last_before(&self, end: Utc) -> bool {
        self.as_of.0.saturating_add(millis(self.missed)) >= end.0
    }
}

/// From one time to a later one; zero if it has passed.
fn from(utc: Utc, later: Utc) -> Duration {
    Duration::from_millis(u64::try_from(later.millis_since(utc)).unwrap_or(0))
}

/// How long until an age, written as `12s`, `3m`, `2h` or `5d`, is another text.
fn to_next_figure(age: Duration) -> Duration {
    let unit = match age.as_secs() {
        0..60 => 1,
        60..3600 => 60,
        3600..86_400 => 3600,
        _ => 86_400,
    };
    let unit = Duration::from_secs(unit);
    let over = Duration::from_millis((age.as_millis() % unit.as_millis()) as u64);
    unit - over
}
