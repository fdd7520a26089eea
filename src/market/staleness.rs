//! The freshness of a value at the time of drawing. This module owns only this decision. It never
//! reads a clock: the caller passes the current time and the calendar phase.

use core::time::Duration;

use super::calendar::{EXTENDED_STALE_AFTER, MarketPhase, SessionPart};
use super::{AssetClass, Quote};
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

/// The settlement time of an index after the end of the session. The index is still computed in
/// this time, and its official close arrives some minutes late. The last value in this time is the
/// close.
pub(super) const INDEX_SETTLEMENT: Duration = Duration::from_secs(30 * 60);
/// The time after the open of a session during which the previous close can still be shown. After
/// this time a missing value is reported as stale.
const GRACE: Duration = Duration::from_secs(60);
/// The time between the expiry of a price from outside the trading hours and its replacement by the
/// close.
const EXTENDED_TO_CLOSE_AFTER: Duration = Duration::from_secs(15 * 60);
/// An upper bound for the length of a regular session. If the timestamp of a close is older than
/// the end of a session by more than this time, the close belongs to an earlier session.
const MAX_SESSION: Duration = Duration::from_secs(12 * 3600);

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
pub struct DisplayedQuote<'a> {
    /// The quote to show; `None` if there is no quote.
    pub quote: Option<&'a Quote>,
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
    /// The maximum age of a value that is not a minute bar.
    pub(super) usual_limit: Duration,
    pub(super) link: LinkState,
    /// The calendar phase; `None` while the wall-clock time is unknown.
    pub(super) phase: Option<MarketPhase>,
    pub(super) now: Now,
}

impl<'a> StalenessCheck<'a> {
    pub(super) fn shown(&self) -> DisplayedQuote<'a> {
        let now = self.now;
        let part = self.phase.and_then(|phase| phase.part);
        let mut shown = if let Some(latest) = self.latest {
            self.value(latest, part)
        } else if let Some(close) = self.closed() {
            self.as_close(close, part)
        } else {
            DisplayedQuote {
                quote: None,
                freshness: Freshness::None,
                until: Moment::NEVER,
                part,
            }
        };
        if let (Some(phase), Some(utc)) = (self.phase, now.utc) {
            shown.until = shown.until.min(now.monotonic + phase.until.since(utc));
        }
        // The time is always later than now: an event loop that sleeps until this time would
        // otherwise use the CPU without a pause.
        shown.until = shown.until.max(now.monotonic + Duration::from_millis(1));
        shown
    }

    fn value(&self, quote: &'a Quote, part: Option<SessionPart>) -> DisplayedQuote<'a> {
        let now = self.now;
        let Some(age) = quote.age(now) else {
            // The age is unknown: the value can be a week old. Only a known wall-clock time can
            // change this.
            return DisplayedQuote {
                quote: Some(quote),
                freshness: Freshness::None,
                until: quote.as_of.known_at(now),
                part,
            };
        };
        let counted = quote.counted(age, now);
        let part = quote.outside.then_some(SessionPart::Outside).or(part);
        // The time at which the value was true decides if the value belongs to extended hours.
        let as_of = quote.as_of.utc(now);
        let own = quote.source.limit(self.usual_limit);
        let is_extended = |(phase, as_of): (MarketPhase, Utc)| match phase.part {
            // The market is in extended hours. The price counts only if it comes from these hours.
            Some(SessionPart::Pre | SessionPart::Post) => as_of >= phase.since,
            Some(_) => false,
            // A REST row has one timestamp for all its prices, so the timestamp of a row with a
            // close is not the timestamp of the close.
            None => self.class == AssetClass::Equity && !quote.is_close && as_of > phase.bell + own,
        };
        let extended = !quote.outside && self.phase.zip(as_of).is_some_and(is_extended);
        // The maximum age, and the age at which the close replaces a price from outside the
        // session. At the end of a share's extended hours, this happens without an additional wait.
        let (limit, replaced_at) = if extended {
            let limit = own.max(EXTENDED_STALE_AFTER);
            (limit, limit)
        } else {
            (own, own + EXTENDED_TO_CLOSE_AFTER)
        };
        let young = counted <= limit;
        let aged = || {
            let (freshness, until) = self.aged(quote, age, limit);
            DisplayedQuote {
                quote: Some(quote),
                freshness,
                until,
                part,
            }
        };
        let Some(phase) = self.phase else {
            return aged();
        };
        let from_session = !quote.outside && !extended;
        if !phase.is_open() && from_session {
            // An index that is still computed after the end of the session has no close yet, even
            // if its REST row contains one.
            let computed = self.class == AssetClass::Index
                && young
                && as_of.is_some_and(|as_of| as_of > phase.bell);
            if quote.is_close && self.is_of(quote, phase.bell) && !computed {
                return self.as_close(quote, part);
            }
        }
        if young {
            return aged();
        }
        let close = if !phase.is_open() && !from_session {
            let left = replaced_at.saturating_sub(counted);
            match self.closed() {
                Some(close) if left.is_zero() => return self.as_close(close, None),
                Some(_) => {
                    let shown = aged();
                    let until = shown.until.min(now.monotonic + left);
                    return DisplayedQuote { until, ..shown };
                }
                None => None,
            }
        } else if phase.is_open()
            && (self.close_stands(quote).is_none()
                || as_of.is_none_or(|as_of| as_of >= phase.since))
        {
            None
        } else if self.is_last_before(quote, phase.bell) {
            Some(quote)
        } else {
            // In the morning, the close also replaces the last extended-hours price of a share from
            // the previous evening.
            let evening =
                part == Some(SessionPart::Pre) && as_of.is_some_and(|as_of| as_of >= phase.bell);
            let is_later = |close: &&Quote| {
                phase.is_open() && (quote.outside || evening) || self.is_later(close, quote)
            };
            self.closed().filter(is_later)
        };
        close.map_or_else(aged, |close| self.as_close(close, part))
    }

    /// Returns the freshness of a quote of this age, and the time until which it lasts.
    fn aged(&self, quote: &Quote, age: Duration, limit: Duration) -> (Freshness, Moment) {
        let now = self.now;
        let counted = quote.counted(age, now);
        if counted > limit {
            let next_text = now.monotonic + until_next_age_text(age);
            return (Freshness::Stale(age), next_text);
        }
        let freshness = if quote.delayed {
            Freshness::Delayed
        } else {
            Freshness::Live
        };
        let left = limit.saturating_sub(counted) + Duration::from_millis(1);
        (freshness, now.monotonic + left)
    }

    /// Returns the close of the last session and the latest price from after it, each with its own
    /// freshness. `None` in the regular hours, or if one of the two is unknown.
    pub(super) fn outside_hours(&self) -> Option<(DisplayedQuote<'a>, DisplayedQuote<'a>)> {
        let phase = self.phase?;
        let latest = self
            .latest
            .filter(|latest| !latest.void && !latest.is_close)?;
        let (close, age) = (self.closed()?, latest.age(self.now)?);
        let as_of = latest.as_of.utc(self.now)?;
        let is_traded = self.class == AssetClass::Equity && as_of > phase.bell;
        if phase.part == Some(SessionPart::Regular) || !latest.outside && !is_traded {
            return None;
        }
        let usual = latest.source.limit(self.usual_limit);
        let (part, limit) = match phase.part {
            _ if latest.outside => (SessionPart::Outside, usual),
            Some(SessionPart::Pre) if as_of >= phase.since => {
                (SessionPart::Pre, usual.max(EXTENDED_STALE_AFTER))
            }
            _ => (SessionPart::Post, usual.max(EXTENDED_STALE_AFTER)),
        };
        let (freshness, until) = self.aged(latest, age, limit);
        let outside = DisplayedQuote {
            quote: Some(latest),
            freshness,
            until,
            part: Some(part),
        };
        Some((self.as_close(close, None), outside))
    }

    /// Returns the close of the last session while the close may be shown instead of a current
    /// value.
    fn closed(&self) -> Option<&'a Quote> {
        let bell = self.phase?.bell;
        self.close.filter(|close| {
            close.is_close && self.is_of(close, bell) && self.close_stands(close).is_some()
        })
    }

    /// Returns the time until which a close may be shown instead of a current value. `None` if the
    /// close may no longer be shown.
    fn close_stands(&self, close: &Quote) -> Option<Moment> {
        let phase = self.phase?;
        if phase.part != Some(SessionPart::Regular) {
            // Outside the regular hours there can be no trade for hours. The close is the last
            // price until the next trade.
            return Some(Moment::NEVER);
        }
        // A delayed source also delivers the first value of the session late, so its delay is added
        // to the grace period.
        let left = (phase.since + GRACE + close.delay()).since(self.now.utc?);
        (!left.is_zero()).then(|| self.now.monotonic + left)
    }

    fn as_close(&self, quote: &'a Quote, part: Option<SessionPart>) -> DisplayedQuote<'a> {
        DisplayedQuote {
            quote: Some(quote),
            freshness: Freshness::Closed,
            until: self.close_stands(quote).unwrap_or(Moment::NEVER),
            part,
        }
    }

    /// Returns true if the close belongs to the session that ended at `bell`, and not to an earlier
    /// session.
    fn is_of(&self, close: &Quote, bell: Utc) -> bool {
        let as_of = close.as_of.utc(self.now);
        as_of.is_some_and(|as_of| as_of > bell - MAX_SESSION)
    }

    /// Returns true if the value is the last value of the session that ended at `bell`. This is the
    /// case if a source marks the value as the close. It is also the case if the value was within
    /// its limit at `bell` and no later value exists: an unbroken connection delivered no later
    /// value, or a REST response confirmed the value.
    pub(super) fn is_last_before(&self, quote: &Quote, bell: Utc) -> bool {
        if quote.is_close && self.is_of(quote, bell) {
            return true;
        }
        let (Some(as_of), Some(utc)) = (quote.as_of.utc(self.now), self.now.utc) else {
            return false;
        };
        let limit = quote.source.limit(self.usual_limit);
        if quote.outside || as_of + limit < bell || quote.is_ahead(self.now) {
            return false;
        }
        let is_index = self.class == AssetClass::Index;
        let end = bell + if is_index { INDEX_SETTLEMENT } else { limit };
        // The time until which the connection must deliver no newer value: one limit after the end
        // of the session and after the value. The lag of this value is added, because a newer value
        // can have the same lag.
        let lag = quote.is_streamed().then(|| quote.lag(self.now));
        let lag = lag.unwrap_or_default().max(quote.delay());
        let silent_since = as_of.max(bell) + limit + lag;
        if quote.is_streamed() {
            let heard = utc - self.now.monotonic.since(self.link.heard);
            let same = self.link.unbroken && self.link.epoch == quote.epoch;
            return same && as_of <= end && heard >= silent_since;
        }
        // The official close of an index arrives after the end of the session, so an earlier REST
        // row may lack the close.
        let known = silent_since.max(end);
        let fetched = quote.as_of.confirmed_utc(self.now);
        (is_index || as_of <= end) && fetched.is_some_and(|fetched| fetched >= known)
    }

    /// Returns true if the source could have known the quote when it reported the close. The close
    /// of an index is itself a value of the index, so a close with an older timestamp is the close
    /// of an earlier session. A difference of one limit is accepted, because a source updates its
    /// REST rows some seconds late.
    fn is_later(&self, close: &Quote, quote: &Quote) -> bool {
        if close.as_of.stamp >= quote.as_of.stamp {
            return true;
        }
        let reported = close.as_of.confirmed >= quote.as_of.received;
        let stamps = quote.as_of.stamp.zip(close.as_of.stamp);
        let is_near = |(quote_at, close_at): (Utc, Utc)| {
            quote_at <= close_at + quote.source.limit(self.usual_limit)
        };
        reported && (self.class != AssetClass::Index || stamps.is_none_or(is_near))
    }
}

/// Returns the time until the displayed age changes. The age is written as `12s`, `3m`, `2h` or
/// `5d`.
fn until_next_age_text(age: Duration) -> Duration {
    let mut units = [86_400, 3600, 60].into_iter();
    let unit = units.find(|unit| age.as_secs() >= *unit).unwrap_or(1);
    let over = Duration::from_millis(age.as_millis() as u64 % (unit * 1000));
    Duration::from_secs(unit) - over
}
