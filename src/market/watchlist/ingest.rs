//! The processing of an incoming value: this module decides if the value is accepted, which of two
//! values is newer, and when a value becomes the close. It never decides the freshness of a
//! displayed value.

use core::time::Duration;

use super::Outcome;
use super::instrument::Instrument;
use super::ordering::{Recency, channel_continues, recency};
use crate::market::quote::{AHEAD, AsOf, millis};
use crate::market::staleness::{INDEX_SETTLEMENT, LinkState};
use crate::market::{AssetClass, Bar, Calendar, MarketPhase, Quote, QuoteSource, SessionPart};
use crate::time::{Moment, Now, Utc};

/// The close of an index has a timestamp of at most this long after the end of the session (in ms). A
/// later value comes from outside the trading hours.
const INDEX_CLOSE_REPORTED: i64 = 2 * 3_600_000;

/// The usual delay of a delayed source.
const USUAL_DELAY: Duration = Duration::from_secs(15 * 60);

/// The maximum time between the end of a session and the timestamp of its last value, in
/// milliseconds.
const CLOSING_PRINT_LIMIT: i64 = 2_000;

impl Instrument {
    /// Removes all data of the instrument when the data changes from simulated to real, or from
    /// real to simulated.
    pub(super) fn set_simulated(&mut self, simulated: bool) {
        if self.simulated.is_some_and(|known| known != simulated) {
            let symbol = self.symbol.clone();
            let day = self.minutes.day().copied();
            *self = Self::new(symbol);
            self.minutes.enter(day);
        }
        self.simulated = Some(simulated);
    }

    /// Processes a new value.
    pub(super) fn take(
        &mut self,
        mut new: Quote,
        link: LinkState,
        now: Now,
        calendar: &Calendar,
    ) -> Outcome {
        self.set_simulated(new.simulated);
        self.doubt_untimed(now, calendar);
        if new.is_streamed() && new.as_of.stamp.is_none() && !new.void {
            // Without a timestamp, the first value of a connection can repeat a value of any age,
            // and so can a value with an unchanged price. Only a changed price proves that the
            // value is new.
            let before = self.last_unstamped.replace((new.price, new.epoch));
            let differs =
                before.is_some_and(|(price, epoch)| epoch == new.epoch && price != new.price);
            new.as_of.heard &= differs;
        }
        if new.is_streamed() && new.as_of.stamp.is_none() && new.delayed {
            // The value is at least as old as its source is late. Otherwise it would count as newer
            // than the values with a timestamp that follow.
            new.as_of.age += USUAL_DELAY;
        }
        let class = self.symbol.class();
        if new.source == QuoteSource::Rest && self.streams(now) {
            // A recent streamed value is newer than a REST response, even if the response has the
            // current timestamp. A close from the REST response is still accepted, except for an
            // index whose market is closed: an index that is still computed has no close yet.
            let closed = || {
                let phase = self.phase(now.utc, calendar);
                phase.is_some_and(|phase| !phase.is_open())
            };
            if !new.is_close || class == AssetClass::Index && closed() {
                return Outcome::Older;
            }
        }
        let at = now.utc.map(|utc| match new.as_of.stamp {
            Some(stamp) if stamp.0 <= utc.0.saturating_add(AHEAD) => stamp,
            _ => Utc(utc.0.saturating_sub(millis(new.delay()))),
        });
        let phase = self.phase(at, calendar);
        match (class, phase, at) {
            // The row of a contract is marked as a close when the market is closed, but a quote
            // from after the end of the session is not the close.
            (AssetClass::Option, Some(MarketPhase::Closed { close, .. }), Some(at)) => {
                new.is_close &= at.millis_since(close) <= millis(self.limit(new.source));
            }
            // A REST row has only one timestamp, which can belong to a price from after the close.
            (AssetClass::Equity | AssetClass::Index, Some(phase), _)
                if new.is_close
                    && !matches!(phase.part(), Some(SessionPart::Regular | SessionPart::Pre)) =>
            {
                let settling = if class == AssetClass::Index {
                    INDEX_SETTLEMENT
                } else {
                    0
                };
                let last = Utc(phase.bell().0.saturating_add(settling));
                new.as_of.stamp = new.as_of.stamp.map(|stamp| stamp.min(last));
            }
            _ => {}
        }
        if new.is_close {
            return self.take_official_close(new, now);
        }
        match (phase, at) {
            (Some(MarketPhase::Closed { since, .. }), Some(at))
                if new.source == QuoteSource::Rest =>
            {
                // The REST API returns last values, so the timestamp decides if the value is from
                // outside the trading hours. The close of an index can be reported late.
                let limit = if class == AssetClass::Index {
                    INDEX_CLOSE_REPORTED
                } else {
                    millis(self.limit(new.source))
                };
                new.outside = at.millis_since(since) > limit;
                self.take_in_session(new, now)
            }
            (Some(MarketPhase::Closed { since, close, .. }), Some(at))
                if at.millis_since(since) > CLOSING_PRINT_LIMIT =>
            {
                let settles = self.settles(at, close);
                if settles && self.covered_the_close(close, link, now) {
                    return self.take_in_session(new, now);
                }
                new.outside = !settles;
                self.take_unconfirmed(new, link, now, calendar)
            }
            (Some(MarketPhase::Open { since, .. }), _) => {
                self.record_close(since, link, now, calendar);
                self.take_in_session(new, now)
            }
            _ => self.take_in_session(new, now),
        }
    }

    /// Checks a streamed value that was stored while the wall-clock time was unknown. If the value
    /// turns out to be from outside the trading hours, it counts as a single unconfirmed value, and
    /// the close replaces it.
    pub(super) fn doubt_untimed(&mut self, now: Now, calendar: &Calendar) {
        if now.utc.is_none() || !core::mem::take(&mut self.untimed) {
            return;
        }
        let Some(latest) = self.latest.filter(Quote::is_streamed) else {
            return;
        };
        let as_of = latest.as_of.utc(now);
        if let (Some(as_of), Some(MarketPhase::Closed { since, close, .. })) =
            (as_of, self.phase(as_of, calendar))
            && as_of.millis_since(since) > CLOSING_PRINT_LIMIT
            && !self.settles(as_of, close)
        {
            self.unconfirmed = Some(latest);
            self.latest = self.close;
        }
    }

    /// Returns true if an index is still settling at this time: its official close arrives within
    /// half an hour after the end of the session.
    fn settles(&self, at: Utc, bell: Utc) -> bool {
        self.symbol.class() == AssetClass::Index && at.0 <= bell.0.saturating_add(INDEX_SETTLEMENT)
    }

    /// Returns true if the latest value was within its limit at the end of the session, or is
    /// newer, and no value can be missing since then. No value is missing if the connection is
    /// unbroken, or if the latest value is a recent REST response.
    fn covered_the_close(&self, bell: Utc, link: LinkState, now: Now) -> bool {
        self.latest.is_some_and(|latest| {
            let limit = millis(self.limit(latest.source));
            let as_of = latest.as_of.utc(now);
            let at_the_bell = as_of.is_some_and(|as_of| as_of.0.saturating_add(limit) >= bell.0);
            let unbroken = if latest.is_streamed() {
                link.unbroken && latest.epoch == link.epoch
            } else {
                self.is_young(&latest, now)
            };
            at_the_bell && unbroken && !latest.outside
        })
    }

    /// Processes a value from the trading hours.
    fn take_in_session(&mut self, new: Quote, now: Now) -> Outcome {
        let Some(stored) = &self.latest else {
            return self.store(new, now);
        };
        match recency(stored, &new, now) {
            Recency::Newer => self.store(new, now),
            Recency::Same => self.store(
                Quote {
                    price: new.price,
                    // A streamed value stays a streamed value when a REST response repeats it.
                    source: if new.is_streamed() {
                        new.source
                    } else {
                        stored.source
                    },
                    epoch: if new.is_streamed() {
                        new.epoch
                    } else {
                        stored.epoch
                    },
                    as_of: AsOf {
                        confirmed: new.as_of.confirmed,
                        ..stored.as_of
                    },
                    delayed: stored.delayed || new.delayed,
                    void: new.void,
                    ..*stored
                },
                now,
            ),
            Recency::Older => {
                let stored = *stored;
                let this = new.as_of.stamp.map(|stamp| (stamp, new.as_of.received));
                let before = if new.source == stored.source {
                    core::mem::replace(&mut self.last_out_of_order, this)
                } else {
                    None
                };
                match before {
                    Some(before)
                        if channel_continues(&stored, before, &new) && self.is_young(&new, now) =>
                    {
                        self.store(new, now)
                    }
                    _ => Outcome::Older,
                }
            }
        }
    }

    /// Processes a streamed value from outside the trading hours. A single such value can be an
    /// error, so the value is accepted only if it follows another such value within the limit. The
    /// earlier value is either unconfirmed or already stored, for example from a REST response.
    fn take_unconfirmed(
        &mut self,
        new: Quote,
        link: LinkState,
        now: Now,
        calendar: &Calendar,
    ) -> Outcome {
        let limit = self.limit(new.source);
        let follows = |before: &Quote| {
            new.as_of.received.since(before.as_of.received) <= limit
                && recency(before, &new, now) == Recency::Newer
        };
        let (continues, newer) = match &self.latest {
            Some(latest) => (
                latest.outside && follows(latest),
                recency(latest, &new, now) == Recency::Newer,
            ),
            None => (false, true),
        };
        if !newer || (new.void && !continues) {
            return Outcome::Older;
        }
        if !continues
            && !self.unconfirmed.as_ref().is_some_and(|unconfirmed| {
                follows(unconfirmed) && is_distinct_print(unconfirmed, &new)
            })
        {
            self.unconfirmed = Some(new);
            return Outcome::Doubted;
        }
        self.unconfirmed = None;
        self.record_close(Utc(i64::MAX), link, now, calendar);
        self.store(new, now)
    }

    /// Stores the latest value as the close if it is the last value of its session. This must
    /// happen before a value from after `since` replaces it.
    pub(super) fn record_close(
        &mut self,
        since: Utc,
        link: LinkState,
        now: Now,
        calendar: &Calendar,
    ) {
        let Some(latest) = &self.latest else { return };
        let Some(as_of) = latest.as_of.utc(now) else {
            return;
        };
        if as_of >= since || latest.outside || latest.void {
            return;
        }
        let Some(phase) = self.phase(now.utc, calendar) else {
            return;
        };
        let bell = phase.bell();
        if as_of >= bell && self.symbol.class() == AssetClass::Equity {
            // The latest value of the share is from after the regular hours.
            return;
        }
        // Shares are traded after the end of the regular hours: the next price then proves that no
        // other value arrived in between.
        let channel_continues = matches!(
            phase,
            MarketPhase::Open {
                part: SessionPart::Post,
                ..
            }
        );
        let link = if channel_continues {
            LinkState {
                heard: Moment::NEVER,
                ..link
            }
        } else {
            link
        };
        if self
            .judge(link, Some(phase), now)
            .is_last_before(latest, bell)
        {
            self.close = Some(Quote {
                is_close: true,
                ..*latest
            });
        }
    }

    /// Handles a connection loss: a value that is known to be the close stays the close.
    pub(super) fn link_breaks(&mut self, link: LinkState, now: Now, calendar: &Calendar) {
        self.record_close(Utc(i64::MAX), link, now, calendar);
        if let (Some(close), Some(latest)) = (self.close, &mut self.latest) {
            latest.is_close |= close.as_of == latest.as_of;
        }
    }

    /// Processes a value that a source marks as the close of a session.
    fn take_official_close(&mut self, new: Quote, now: Now) -> Outcome {
        let known = |latest: Quote| latest.age(now).is_some();
        if new.age(now).is_none() && self.latest.is_some_and(known) {
            return Outcome::Older;
        }
        let newer = |known: &Quote| known.as_of.stamp <= new.as_of.stamp;
        if self.close.as_ref().is_none_or(newer) {
            self.close = Some(new);
        }
        let Some(stored) = self.latest else {
            return self.store(new, now);
        };
        match recency(&stored, &new, now) {
            Recency::Same => {
                self.latest = Some(Quote {
                    price: new.price,
                    is_close: true,
                    ..stored
                });
                Outcome::Stored
            }
            Recency::Newer if !stored.outside => self.store(new, now),
            Recency::Newer | Recency::Older => Outcome::Older,
        }
    }

    /// Processes a bar: its highest and lowest price count for the day, and its close is stored if
    /// it is newer than the latest value.
    pub(super) fn take_bar(
        &mut self,
        bar: &Bar,
        new: Quote,
        link: LinkState,
        now: Now,
        calendar: &Calendar,
    ) -> Outcome {
        self.set_simulated(new.simulated);
        let source = new.source;
        match source {
            _ if new.is_ahead(now) => {}
            QuoteSource::Minute => self.minutes.bar(bar),
            // The extreme prices of a one-second bar count for its minute, even if its close is not
            // used.
            _ => {
                for price in [bar.high, bar.low, bar.close] {
                    self.minutes.value(price, bar.start);
                }
            }
        }
        let Some(stored) = self.latest else {
            return self.take(new, link, now, calendar);
        };
        if stored.as_of.stamp.is_none() {
            // The latest value has no timestamp, so it is unknown which of the two is newer. The
            // bar is used only after the value has exceeded its limit.
            let limit = self.limit(stored.source);
            if stored.counted_age(now).is_some_and(|age| age <= limit) {
                return Outcome::Older;
            }
            return self.take(new, link, now, calendar);
        }
        match recency(&stored, &new, now) {
            Recency::Newer => self.take(new, link, now, calendar),
            // A correction of the bar that supplied the latest value.
            Recency::Same if stored.source == source => {
                self.latest = Some(Quote {
                    price: new.price,
                    ..stored
                });
                Outcome::Stored
            }
            Recency::Same | Recency::Older => Outcome::Older,
        }
    }

    fn store(&mut self, quote: Quote, now: Now) -> Outcome {
        self.last_out_of_order = None;
        if !quote.void {
            if !quote.outside && !quote.arrived_old(now) {
                self.history.push(quote.price, quote.as_of.received);
            }
            // A timestamp in the future does not identify a minute.
            if let Some(stamp) = quote.as_of.stamp.filter(|_| now.utc.is_some())
                && quote.source != QuoteSource::Minute
                && !quote.is_ahead(now)
                && !quote.outside
            {
                self.minutes.value(quote.price, stamp);
            }
            // The instrument has a price, so the vendor does not deny it.
            self.denial = None;
        }
        self.untimed = now.utc.is_none();
        self.latest = Some(quote);
        Outcome::Stored
    }
}

/// Returns true if the new value is independent of the previous value: the new value is not a
/// repetition, and not a bar that contains the previous value.
fn is_distinct_print(before: &Quote, new: &Quote) -> bool {
    let same = new.price == before.price;
    let covered = match new.source {
        QuoteSource::Minute => 60_000,
        QuoteSource::Second => 1_000,
        QuoteSource::Tick | QuoteSource::Rest if same => 1_000,
        QuoteSource::Tick | QuoteSource::Rest => 0,
    };
    match (before.as_of.stamp, new.as_of.stamp) {
        (Some(before), Some(new)) => new.millis_since(before) >= covered,
        _ => !same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{Price, Provenance};

    #[test]
    fn a_repeated_print_or_a_bar_of_the_same_print_is_not_distinct() {
        use QuoteSource::{Minute, Second, Tick};
        let now = Now::new(Moment::from_secs(9), Utc(1_768_323_600_000));
        let quote = |whole: i64, stamp: Option<i64>, source| {
            let price = Price::from_scaled(whole * Price::SCALE);
            let stamp = stamp.map(|stamp| Utc(1_768_323_600_000 + stamp));
            Quote::streamed(price, stamp, source, Provenance::default(), now)
        };
        let before = quote(1, Some(0), Tick);
        for (source, whole, stamp, expected) in [
            (Tick, 1, 999, false),
            (Tick, 1, 1000, true),
            (Tick, 2, 0, true),
            (Tick, 2, 1, true),
            (Second, 2, 999, false),
            (Second, 2, 1000, true),
            (Minute, 2, 59_999, false),
            (Minute, 2, 60_000, true),
        ] {
            let new = quote(whole, Some(stamp), source);
            let case = (source, whole, stamp);
            assert_eq!(is_distinct_print(&before, &new), expected, "{case:?}");
        }
        for (before, new, expected) in [(1, 1, false), (1, 2, true)] {
            let before = quote(before, None, Tick);
            assert_eq!(
                is_distinct_print(&before, &quote(new, None, Tick)),
                expected
            );
        }
    }
}
