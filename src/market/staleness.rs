//! The freshness of a value at the time of drawing. This module owns only this decision. It never
//! reads a clock: the caller passes the current time and the calendar phase.

use core::time::Duration;

use super::calendar::{GRACE, MarketPhase, SessionPart};
use super::quote::{Quote, duration, millis};
use super::{AssetClass, EXTENDED_STALE_AFTER, QuoteSource};
use crate::time::{Moment, Now, Utc};

/// The freshness of a displayed value, computed with the calendar at the time of drawing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Freshness {
    /// The age of the value is within its limit.
    Live,
    /// The value is older than its limit; contains the age.
    Stale(Duration),
    /// The value is within its limit, but its source delivers values late.
    Delayed,
    /// The session is over and the value is its close.
    Closed,
    /// There is no value, or the age of the value is unknown.
    None,
}

/// The settlement time of an index after the end of the session, in milliseconds. The index is
/// still computed in this time, and its official close arrives some minutes late. The last value in
/// this time is the close.
pub(super) const INDEX_SETTLEMENT: i64 = 30 * 60_000;
/// The time between the expiry of a price from outside the trading hours and its replacement by the
/// close.
const EXTENDED_TO_CLOSE_AFTER: Duration = Duration::from_secs(15 * 60);
/// An upper bound for the length of a regular session, in milliseconds. A close with an older
/// timestamp, measured back from the end of a session, belongs to an earlier session.
const MAX_SESSION: i64 = 12 * 3_600_000;

/// The state of the connection that delivers the values of an instrument.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkState {
    /// True if the connection is up and every upstream connection behind it is up too.
    pub unbroken: bool,
    /// The connection epoch: a number that changes after each connection loss.
    pub epoch: u32,
    /// The receive time of the last frame. Any frame proves that the connection is alive.
    pub heard: Moment,
}

/// The quote to show, its freshness, and the time at which the freshness changes without new data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DisplayedQuote {
    /// The quote to show; `None` if there is no quote.
    pub quote: Option<Quote>,
    /// The freshness of the quote.
    pub freshness: Freshness,
    /// The time at which the freshness can change without new data.
    pub until: Moment,
    /// The part of the trading day that the quote belongs to.
    pub part: Option<SessionPart>,
}

/// The data of an instrument and the conditions that decide its freshness.
pub(super) struct StalenessCheck<'a> {
    pub(super) class: AssetClass,
    /// The latest value.
    pub(super) latest: Option<&'a Quote>,
    /// The latest known close of a session.
    pub(super) close: Option<&'a Quote>,
    /// The maximum age of the close of a minute bar, and of every other value.
    pub(super) limits: (Duration, Duration),
    pub(super) link: LinkState,
    /// `None` while the wall-clock time is unknown.
    pub(super) phase: Option<MarketPhase>,
    pub(super) now: Now,
}

impl StalenessCheck<'_> {
    pub(super) fn shown(&self) -> DisplayedQuote {
        let phase_ends = self.phase.zip(self.now.utc).map(|(phase, utc)| {
            let left = duration(phase.until().millis_since(utc));
            self.now.monotonic + left
        });
        let phase_ends = phase_ends.unwrap_or(Moment::NEVER);
        let part = self.phase.as_ref().and_then(MarketPhase::part);
        let mut shown = match self.latest {
            Some(latest) => self.value(latest, part),
            None => self.closed().map_or(
                DisplayedQuote {
                    quote: None,
                    freshness: Freshness::None,
                    until: Moment::NEVER,
                    part,
                },
                |close| self.as_close(close, part),
            ),
        };
        // The time is always later than now: an event loop that sleeps until this time would
        // otherwise use the CPU without a pause.
        let next = self.now.monotonic + Duration::from_millis(1);
        shown.until = shown.until.min(phase_ends).max(next);
        shown
    }

    /// Returns the maximum age of this value.
    fn limit(&self, quote: &Quote) -> Duration {
        match quote.source {
            QuoteSource::Minute => self.limits.0,
            QuoteSource::Tick | QuoteSource::Rest | QuoteSource::Second => self.limits.1,
        }
    }

    fn value(&self, quote: &Quote, part: Option<SessionPart>) -> DisplayedQuote {
        let now = self.now;
        let (Some(age), Some(counted)) = (quote.age(now), quote.counted_age(now)) else {
            // The age is unknown: the value can be a week old. Only a known wall-clock time can
            // change this.
            return DisplayedQuote {
                quote: Some(*quote),
                freshness: Freshness::None,
                until: quote.as_of.known_at(now),
                part,
            };
        };
        // The time at which the value was true. It decides if the value belongs to extended hours.
        let as_of = quote.as_of.utc(now);
        let extended = match (self.phase, as_of) {
            _ if quote.outside => false,
            // A REST row has one timestamp for all its prices, so this is not the timestamp of the
            // close.
            (Some(MarketPhase::Closed { .. }), _) if quote.is_close => false,
            // A price of a share from extended hours.
            (
                Some(MarketPhase::Open {
                    part: SessionPart::Pre | SessionPart::Post,
                    since,
                    ..
                }),
                Some(as_of),
            ) => as_of >= since,
            (Some(MarketPhase::Closed { close, .. }), Some(as_of)) => {
                self.class == AssetClass::Equity
                    && as_of.0 > close.0.saturating_add(millis(self.limit(quote)))
            }
            _ => false,
        };
        let own = self.limit(quote);
        let limit = if extended {
            own.max(EXTENDED_STALE_AFTER)
        } else {
            own
        };
        let young = counted <= limit;
        let part = if quote.outside {
            Some(SessionPart::Outside)
        } else {
            part
        };
        let of = |freshness, until| DisplayedQuote {
            quote: Some(*quote),
            freshness,
            until,
            part,
        };
        let expiry = now.monotonic + (limit.saturating_sub(counted) + Duration::from_millis(1));
        let fresh = if quote.delayed {
            Freshness::Delayed
        } else {
            Freshness::Live
        };
        let stale = || {
            of(
                Freshness::Stale(age),
                now.monotonic + until_next_age_text(age),
            )
        };
        let Some(bell) = self.phase.as_ref().map(MarketPhase::bell) else {
            return if young { of(fresh, expiry) } else { stale() };
        };
        match self.phase {
            Some(MarketPhase::Closed { .. }) if quote.outside || extended => {
                if young {
                    return of(fresh, expiry);
                }
                // At the end of a share's extended hours, the close replaces the last price without
                // an additional wait.
                let back = if extended {
                    limit
                } else {
                    limit + EXTENDED_TO_CLOSE_AFTER
                };
                match self.closed() {
                    Some(close) if counted >= back => self.as_close(close, None),
                    Some(_) => {
                        let mut shown = stale();
                        shown.until = shown.until.min(now.monotonic + (back - counted));
                        shown
                    }
                    None => stale(),
                }
            }
            Some(MarketPhase::Closed { .. }) => {
                // An index that is still computed after the end of the session has no close yet,
                // even if its REST row contains one.
                let computed = self.class == AssetClass::Index
                    && young
                    && as_of.is_some_and(|as_of| as_of > bell);
                if quote.is_close && self.is_of(quote, bell) && !computed {
                    self.as_close(quote, part)
                } else if young {
                    of(fresh, expiry)
                } else if self.is_last_before(quote, bell) {
                    self.as_close(quote, part)
                } else {
                    match self.closed().filter(|close| self.is_later(close, quote)) {
                        Some(close) => self.as_close(close, part),
                        None => stale(),
                    }
                }
            }
            _ if young => of(fresh, expiry),
            Some(MarketPhase::Open { since, .. }) => {
                let close_may_stand = self.close_stands(quote).is_some();
                let before = as_of.is_some_and(|as_of| as_of < since);
                // The close also replaces the last extended-hours price of a share from the
                // previous evening.
                let evening = || as_of.is_some_and(|as_of| as_of >= bell);
                let over = quote.outside || part == Some(SessionPart::Pre) && evening();
                let close = if !(close_may_stand && before) {
                    None
                } else if self.is_last_before(quote, bell) {
                    Some(quote)
                } else {
                    self.closed()
                        .filter(|close| over || self.is_later(close, quote))
                };
                close.map_or_else(stale, |close| self.as_close(close, part))
            }
            None => stale(),
        }
    }

    /// Returns the close of the last session while the close may be shown instead of a current
    /// value.
    fn closed(&self) -> Option<&Quote> {
        let bell = self.phase?.bell();
        self.close.filter(|close| {
            close.is_close && self.is_of(close, bell) && self.close_stands(close).is_some()
        })
    }

    /// Returns the time until which a close may be shown instead of a current value. `None` if the
    /// close may no longer be shown.
    fn close_stands(&self, close: &Quote) -> Option<Moment> {
        match self.phase? {
            MarketPhase::Open {
                part: SessionPart::Regular,
                since,
                ..
            } => {
                // A delayed source also delivers the first value of the session late, so its delay
                // is added to the grace period.
                let end = since.0.saturating_add(millis(GRACE + close.delay()));
                let left = end.saturating_sub(self.now.utc?.0);
                (left > 0).then(|| self.now.monotonic + duration(left))
            }
            // Outside the regular hours there can be no trade for hours. The close is the last
            // price until the next trade.
            MarketPhase::Open { .. } | MarketPhase::Closed { .. } => Some(Moment::NEVER),
        }
    }

    fn as_close(&self, quote: &Quote, part: Option<SessionPart>) -> DisplayedQuote {
        DisplayedQuote {
            quote: Some(*quote),
            freshness: Freshness::Closed,
            until: self.close_stands(quote).unwrap_or(Moment::NEVER),
            part,
        }
    }

    /// Returns true if the close belongs to the session that ended at `bell`, and not to an earlier
    /// session.
    fn is_of(&self, close: &Quote, bell: Utc) -> bool {
        let as_of = close.as_of.utc(self.now);
        as_of.is_some_and(|as_of| as_of.0 > bell.0.saturating_sub(MAX_SESSION))
    }

    /// Returns true if the value is the last value of the session that ended at `bell`. This is the
    /// case if a source marks the value as the close. It is also the case if the value was within
    /// its limit at `bell` and no later value exists: an unbroken connection delivered no later
    /// value, or a REST response confirmed the value.
    pub(super) fn is_last_before(&self, quote: &Quote, bell: Utc) -> bool {
        if quote.is_close && self.is_of(quote, bell) {
            return true;
        }
        if quote.outside {
            return false;
        }
        let (Some(as_of), Some(utc)) = (quote.as_of.utc(self.now), self.now.utc) else {
            return false;
        };
        let limit = millis(self.limit(quote));
        let settling = if self.class == AssetClass::Index {
            INDEX_SETTLEMENT
        } else {
            limit
        };
        let end = bell.0.saturating_add(settling);
        let within = as_of.0.saturating_add(limit) >= bell.0 && !quote.is_ahead(self.now);
        // The connection must deliver no newer value until this time: one limit after the end of
        // the session and after the value, plus the lag of this value, because a newer value can
        // have the same lag.
        let lag = if quote.is_streamed() {
            quote.lag(self.now).max(quote.delay())
        } else {
            quote.delay()
        };
        let silent_since = as_of.0.max(bell.0).saturating_add(limit + millis(lag));
        let proven = match quote.source {
            QuoteSource::Rest => {
                let fetched = quote.as_of.confirmed_utc(self.now);
                // The official close of an index arrives after the end of the session, so an
                // earlier REST row may lack the close.
                let known = if self.class == AssetClass::Index {
                    silent_since.max(end)
                } else {
                    silent_since
                };
                let late = self.class == AssetClass::Index || as_of.0 <= end;
                late && fetched.is_some_and(|fetched| fetched.0 >= known)
            }
            _ => {
                let heard = self.now.monotonic.since(self.link.heard);
                let heard = utc.0.saturating_sub(millis(heard));
                let same = self.link.unbroken && self.link.epoch == quote.epoch;
                same && as_of.0 <= end && heard >= silent_since
            }
        };
        within && proven
    }

    /// Returns true if the source could have known the quote when it reported the close. The close of
    /// an index is itself a value of the index, so a close with an older timestamp is the close of an
    /// earlier session. A difference of one limit is accepted, because a source updates its REST rows
    /// some seconds late.
    fn is_later(&self, close: &Quote, quote: &Quote) -> bool {
        if close.as_of.stamp >= quote.as_of.stamp {
            return true;
        }
        let reported = close.as_of.confirmed >= quote.as_of.received;
        let older = quote.as_of.stamp.zip(close.as_of.stamp);
        let older = older.map(|(quote, close)| quote.millis_since(close));
        let limit = millis(self.limit(quote));
        reported && (self.class != AssetClass::Index || older.is_none_or(|older| older <= limit))
    }
}

/// Returns the time until the displayed age changes. The age is written as `12s`, `3m`, `2h` or
/// `5d`.
fn until_next_age_text(age: Duration) -> Duration {
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
