//! What a value is worth at the moment of drawing. Owns that judgement and nothing else; never
//! reads a clock: ages and the calendar go by the agreed time.

use core::time::Duration;

use super::calendar::{GRACE, MarketPhase, SessionPart};
use super::quote::{Quote, duration, millis};
use super::{AssetClass, EXTENDED_STALE_AFTER, QuoteSource};
use crate::time::{Moment, Now, Utc};

/// What a value on the glass is worth, judged with the calendar at the moment of drawing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Freshness {
    /// Young enough for its kind.
    Live,
    /// Older than its kind may be; the age is given.
    Stale(Duration),
    /// Young, but from a source that serves it late.
    Delayed,
    /// The session is over and this is its close.
    Closed,
    /// There is no value, or none of which it is known how old it is.
    None,
}

/// An index is computed on after the bell, and its official close comes some minutes later: the last
/// value of this time is the close (in ms).
pub(super) const INDEX_SETTLEMENT: i64 = 30 * 60_000;
/// A price from outside the known hours that has stopped gives its place back to the close this long
/// after its limit.
const EXTENDED_TO_CLOSE_AFTER: Duration = Duration::from_secs(15 * 60);
/// No regular session is as long as this (in ms): what a source calls a close belongs to the session
/// that ended less than this after it.
const MAX_SESSION: i64 = 12 * 3_600_000;

/// The link that an instrument's values come on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkState {
    /// It is in use, and what is behind it is too.
    pub unbroken: bool,
    /// Another number after each break.
    pub epoch: u32,
    /// When it last proved that it lives, by any frame.
    pub heard: Moment,
}

/// What is to be shown, and what it is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DisplayedQuote {
    /// The value; `None` if there is none.
    pub quote: Option<Quote>,
    /// What it is worth.
    pub freshness: Freshness,
    /// When that may be another although nothing happens.
    pub until: Moment,
    /// The part of the day that the value is of.
    pub part: Option<SessionPart>,
}

/// What is known of an instrument and what judges it.
pub(super) struct StalenessCheck<'a> {
    pub(super) class: AssetClass,
    /// The latest value.
    pub(super) latest: Option<&'a Quote>,
    /// What is known to be the close of a session.
    pub(super) close: Option<&'a Quote>,
    /// How old a value of a bar of a minute may be, and any other.
    pub(super) limits: (Duration, Duration),
    pub(super) link: LinkState,
    /// `None` while there is no agreed time.
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
        // Always later than now, for an owner who sleeps until then must not spin.
        let next = self.now.monotonic + Duration::from_millis(1);
        shown.until = shown.until.min(phase_ends).max(next);
        shown
    }

    /// How old this value may be.
    fn limit(&self, quote: &Quote) -> Duration {
        match quote.source {
            QuoteSource::Minute => self.limits.0,
            QuoteSource::Tick | QuoteSource::Rest | QuoteSource::Second => self.limits.1,
        }
    }

    fn value(&self, quote: &Quote, part: Option<SessionPart>) -> DisplayedQuote {
        let now = self.now;
        let (Some(age), Some(counted)) = (quote.age(now), quote.counted_age(now)) else {
            // It may be of last week. Only an agreed time can tell.
            return DisplayedQuote {
                quote: Some(*quote),
                freshness: Freshness::None,
                until: quote.as_of.known_at(now),
                part,
            };
        };
        // When it was true; and in what hours.
        let as_of = quote.as_of.utc(now);
        let extended = match (self.phase, as_of) {
            _ if quote.outside => false,
            // A row has one stamp for all its numbers: its close is not of that time.
            (Some(MarketPhase::Closed { .. }), _) if quote.is_close => false,
            // A share's price of before or after the regular hours.
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
                // After a share's hours the close is its price at once.
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
                // While an index is still computed after the bell it has no close, whatever its row says.
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
                    match self.closed().filter(|close| is_later(close, quote)) {
                        Some(close) => self.as_close(close, part),
                        None => stale(),
                    }
                }
            }
            _ if young => of(fresh, expiry),
            Some(MarketPhase::Open { since, .. }) => {
                let close_may_stand = self.close_stands(quote).is_some();
                let before = as_of.is_some_and(|as_of| as_of < since);
                // The close also replaces a share's last price of the evening before.
                let evening = || as_of.is_some_and(|as_of| as_of >= bell);
                let over = quote.outside || part == Some(SessionPart::Pre) && evening();
                let close = if !(close_may_stand && before) {
                    None
                } else if self.is_last_before(quote, bell) {
                    Some(quote)
                } else {
                    self.closed().filter(|close| over || is_later(close, quote))
                };
                close.map_or_else(stale, |close| self.as_close(close, part))
            }
            None => stale(),
        }
    }

    /// What is known to be the close of the last session, while it may stand for a value.
    fn closed(&self) -> Option<&Quote> {
        let bell = self.phase?.bell();
        self.close.filter(|close| {
            close.is_close && self.is_of(close, bell) && self.close_stands(close).is_some()
        })
    }

    /// How long a close may still stand in the place of a value; `None` if it may not.
    fn close_stands(&self, close: &Quote) -> Option<Moment> {
        match self.phase? {
            MarketPhase::Open {
                part: SessionPart::Regular,
                since,
                ..
            } => {
                // A late source is late after the open, too.
                let end = since.0.saturating_add(millis(GRACE + close.delay()));
                let left = end.saturating_sub(self.now.utc?.0);
                (left > 0).then(|| self.now.monotonic + duration(left))
            }
            // Outside the regular hours there may be no trade for hours. Until there is one, the close
            // is the last price.
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

    /// Whether a close is that of the session that ended with this bell, and not of one before.
    fn is_of(&self, close: &Quote, bell: Utc) -> bool {
        let as_of = close.as_of.utc(self.now);
        as_of.is_some_and(|as_of| as_of.0 > bell.0.saturating_sub(MAX_SESSION))
    }

    /// Whether a value is the last one of the session that ended with this bell: it is told to be, or
    /// it was within its limit at the bell and nothing has come since, on a link that would have brought
    /// it, or by the word of REST.
    pub(super) fn is_last_before(&self, quote: &Quote, bell: Utc) -> bool {
        if quote.is_close && self.is_of(quote, bell) {
            return true;
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
        // Nothing came for one limit after the bell and after the value. A later value would have come
        // by then, even if it was as late as this one.
        let lag = if quote.is_streamed() {
            quote.lag(self.now).max(quote.delay())
        } else {
            quote.delay()
        };
        let silent_since = as_of.0.max(bell.0).saturating_add(limit + millis(lag));
        let proven = match quote.source {
            QuoteSource::Rest => {
                let fetched = quote.as_of.confirmed_utc(self.now);
                // An index's official close comes after the bell, and a row of before may not have it.
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
}

/// Whether a source has told a close after it could know of this value.
fn is_later(close: &Quote, quote: &Quote) -> bool {
    close.as_of.stamp >= quote.as_of.stamp || close.as_of.confirmed >= quote.as_of.received
}

/// How long until an age, written as `12s`, `3m`, `2h` or `5d`, is another text.
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
