//! The processing of an incoming value: this module decides if the value is accepted, which of two
//! values is newer, and when a value becomes the close. It never decides the freshness of a
//! displayed value.

use core::time::Duration;

use super::Outcome;
use super::instrument::{Context, Instrument};
use super::ordering::{Recency, channel_continues, recency};
use crate::market::staleness::INDEX_SETTLEMENT;
use crate::market::{AssetClass, Bar, Calendar, Quote, QuoteSource, SessionPart};
use crate::time::{Moment, Now, Utc};

/// The close of an index has a timestamp of at most this long after the end of the session. A later
/// value comes from outside the trading hours.
const INDEX_CLOSE_REPORTED: Duration = Duration::from_secs(2 * 3600);

/// The usual delay of a delayed source.
const USUAL_DELAY: Duration = Duration::from_secs(15 * 60);

/// The maximum time between the end of a session and the timestamp of its last value.
const CLOSING_PRINT_LIMIT: Duration = Duration::from_secs(2);

impl Instrument {
    /// Removes all data of the instrument when the data changes from simulated to real, or from
    /// real to simulated.
    pub(super) fn set_simulated(&mut self, simulated: bool) {
        if self.simulated.is_some_and(|known| known != simulated) {
            let day = self.minutes.day().copied();
            *self = Self::new(self.symbol.clone());
            self.minutes.enter(day);
        }
        self.simulated = Some(simulated);
    }

    /// Processes a new value.
    pub(super) fn take(&mut self, mut new: Quote, context: Context<'_>) -> Outcome {
        let Context { now, calendar, .. } = context;
        self.set_simulated(new.simulated);
        self.doubt_untimed(now, calendar);
        if new.void && new.is_streamed() && new.as_of.stamp.is_none() {
            // The missing middle of a book removes the previous price, even if its age is unknown.
            new.as_of.heard = true;
            if new.delayed {
                // A delayed source sends a value after its delay, so the value has at least this
                // age. Without this addition, the value would count as newer than the next values,
                // which have a timestamp.
                new.as_of.age += USUAL_DELAY;
            }
        }
        let class = self.symbol.class();
        if new.source == QuoteSource::Rest && self.streams(now) {
            // A recent streamed value is newer than a REST response, even if the response has the
            // current timestamp. A close from the REST response is still accepted, except for an
            // index whose market is closed: an index that is still computed has no close yet.
            let phase = self.phase(now.utc, calendar);
            let is_closed = phase.is_some_and(|phase| !phase.is_open());
            if !new.is_close || class == AssetClass::Index && is_closed {
                return Outcome::Older;
            }
        }
        let at = now.utc.map(|utc| match new.as_of.stamp {
            Some(stamp) if !new.is_ahead(now) => stamp,
            _ => utc - new.delay(),
        });
        if let Some((at, phase)) = at.zip(self.phase(at, calendar)) {
            let limit = new.source.limit(self.usual_limit);
            if class == AssetClass::Option && !phase.is_open() {
                // The row of a contract is marked as a close when the market is closed, but a quote
                // from after the end of the session is not the close.
                new.is_close &= at <= phase.bell + limit;
            }
            if new.is_close {
                // A REST row has only one timestamp, which can belong to a price after the close.
                let last = match (class, phase.part) {
                    (AssetClass::Option, _) | (_, Some(SessionPart::Regular)) => Utc(i64::MAX),
                    // Before the first trade of a day, the row can have a new timestamp, but its
                    // close is still that of the last session.
                    (_, Some(SessionPart::Pre)) => phase.bell,
                    (AssetClass::Index, _) => phase.bell + INDEX_SETTLEMENT,
                    (AssetClass::Equity, _) => phase.bell,
                };
                new.as_of.stamp = new.as_of.stamp.map(|stamp| stamp.min(last));
            } else if phase.is_open() {
                self.record_close(phase.since, context);
            } else if new.source == QuoteSource::Rest {
                // The REST API returns last values, so the timestamp decides if the value is from
                // outside the trading hours. The close of an index can be reported late.
                let reported = match class {
                    AssetClass::Index => INDEX_CLOSE_REPORTED,
                    AssetClass::Option | AssetClass::Equity => limit,
                };
                new.outside = at > phase.since + reported;
            } else if at > phase.since + CLOSING_PRINT_LIMIT {
                let settles = self.settles(at, phase.bell);
                if !settles || !self.covered_the_close(phase.bell, context) {
                    new.outside = !settles;
                    return self.take_unconfirmed(new, context);
                }
            }
        }
        if new.is_close {
            self.take_official_close(new, now)
        } else {
            self.take_in_session(new, now)
        }
    }

    /// Checks a streamed value that was stored while the wall-clock time was unknown. If the value
    /// turns out to be from outside the trading hours, it counts as a single unconfirmed value, and
    /// the close replaces it.
    pub(super) fn doubt_untimed(&mut self, now: Now, calendar: &Calendar) {
        if now.utc.is_none() || !core::mem::take(&mut self.untimed) {
            return;
        }
        if let Some(latest) = self.latest.filter(Quote::is_streamed)
            && let Some(as_of) = latest.as_of.utc(now)
            && let Some(phase) = self.phase(Some(as_of), calendar)
            && !phase.is_open()
            && as_of > phase.since + CLOSING_PRINT_LIMIT
            && !self.settles(as_of, phase.bell)
        {
            self.unconfirmed = Some(latest);
            self.latest = self.close;
        }
    }

    /// Returns true if an index is still settling at this time: its official close arrives within
    /// half an hour after the end of the session.
    fn settles(&self, at: Utc, bell: Utc) -> bool {
        self.symbol.class() == AssetClass::Index && at <= bell + INDEX_SETTLEMENT
    }

    /// Returns true if the latest value can be the close. It must have been fresh at the end of the
    /// session or be newer, and no later value may have been missed: the connection has been
    /// unbroken since then, or the value comes from a recent REST response.
    fn covered_the_close(&self, bell: Utc, Context { link, now, .. }: Context<'_>) -> bool {
        self.latest.is_some_and(|latest| {
            let limit = latest.source.limit(self.usual_limit);
            let unbroken = if latest.is_streamed() {
                link.unbroken && latest.epoch == link.epoch
            } else {
                self.is_young(&latest, now)
            };
            let as_of = latest.as_of.utc(now);
            unbroken && !latest.outside && as_of.is_some_and(|as_of| as_of + limit >= bell)
        })
    }

    /// Processes a value from the trading hours.
    fn take_in_session(&mut self, new: Quote, now: Now) -> Outcome {
        let Some(mut stored) = self.latest else {
            return self.store(new, now);
        };
        match recency(&stored, &new, now) {
            Recency::Newer => self.store(new, now),
            Recency::Same => {
                stored.price = new.price;
                // A streamed value stays a streamed value when a REST response repeats it.
                if new.is_streamed() {
                    (stored.source, stored.epoch) = (new.source, new.epoch);
                }
                stored.as_of.confirmed = new.as_of.confirmed;
                stored.delayed |= new.delayed;
                stored.void = new.void;
                self.store(stored, now)
            }
            Recency::Older if new.source != stored.source => Outcome::Older,
            Recency::Older => {
                let this = new.as_of.stamp.map(|stamp| (stamp, new.as_of.received));
                let before = core::mem::replace(&mut self.last_out_of_order, this);
                if before.is_some_and(|before| channel_continues(&stored, before, &new))
                    && self.is_young(&new, now)
                {
                    return self.store(new, now);
                }
                Outcome::Older
            }
        }
    }

    /// Processes a streamed value from outside the trading hours. A single such value can be an
    /// error, so the value is accepted only if it follows another such value within the limit. The
    /// earlier value is either unconfirmed or already stored, for example from a REST response.
    fn take_unconfirmed(&mut self, new: Quote, context: Context<'_>) -> Outcome {
        let now = context.now;
        let limit = new.source.limit(self.usual_limit);
        let is_newer = |before: &Quote| recency(before, &new, now) == Recency::Newer;
        let follows = |before: &Quote| {
            new.as_of.received.since(before.as_of.received) <= limit && is_newer(before)
        };
        let latest = self.latest.as_ref();
        let continues = latest.is_some_and(|latest| latest.outside && follows(latest));
        if !latest.is_none_or(is_newer) || (new.void && !continues) {
            return Outcome::Older;
        }
        let confirms = |before: &Quote| follows(before) && is_distinct_print(before, &new);
        if !continues && !self.unconfirmed.as_ref().is_some_and(confirms) {
            self.unconfirmed = Some(new);
            return Outcome::Doubted;
        }
        self.unconfirmed = None;
        self.record_close(Utc(i64::MAX), context);
        self.store(new, now)
    }

    /// Stores the latest value as the close if it is the last value of its session. This must
    /// happen before a value from after `since` replaces it.
    pub(super) fn record_close(&mut self, since: Utc, context: Context<'_>) {
        let Context { now, calendar, .. } = context;
        if let Some(latest) = &self.latest
            && let Some(as_of) = latest.as_of.utc(now)
            && as_of < since
            && !latest.outside
            && !latest.void
            && let Some(phase) = self.phase(now.utc, calendar)
            // The latest value of the share can be from after the regular hours.
            && (as_of < phase.bell || self.symbol.class() != AssetClass::Equity)
        {
            let mut context = context;
            if phase.part == Some(SessionPart::Post) {
                // Shares are traded after the end of the regular hours: the next price then proves
                // that no other value arrived in between.
                context.link.heard = Moment::NEVER;
            }
            if self.judge(context).is_last_before(latest, phase.bell) {
                self.close = Some(Quote {
                    is_close: true,
                    ..*latest
                });
            }
        }
    }

    /// Handles a connection loss: a value that is known to be the close stays the close.
    pub(super) fn link_breaks(&mut self, context: Context<'_>) {
        self.record_close(Utc(i64::MAX), context);
        if let (Some(close), Some(latest)) = (self.close, &mut self.latest) {
            latest.is_close |= close.as_of == latest.as_of;
        }
    }

    /// Processes a value that a source marks as the close of a session.
    fn take_official_close(&mut self, new: Quote, now: Now) -> Outcome {
        let is_known = |latest: Quote| latest.age(now).is_some();
        if new.age(now).is_none() && self.latest.is_some_and(is_known) {
            return Outcome::Older;
        }
        let is_newer = |close: Quote| close.as_of.stamp <= new.as_of.stamp;
        if self.close.is_none_or(is_newer) {
            self.close = Some(new);
            self.count_decimals(new.price);
        }
        let Some(stored) = &mut self.latest else {
            return self.store(new, now);
        };
        match recency(stored, &new, now) {
            Recency::Same => {
                stored.price = new.price;
                stored.is_close = true;
                Outcome::Stored
            }
            Recency::Newer if !stored.outside => self.store(new, now),
            Recency::Newer | Recency::Older => Outcome::Older,
        }
    }

    /// Processes a bar: its highest and lowest price count for the day, and its close is stored if
    /// it is newer than the latest value.
    pub(super) fn take_bar(&mut self, bar: &Bar, new: Quote, context: Context<'_>) -> Outcome {
        let now = context.now;
        self.set_simulated(new.simulated);
        for price in [bar.high, bar.low, bar.close] {
            self.count_decimals(price);
        }
        match new.source {
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
        let is_used = |stored: &Quote| stored.as_of.stamp.is_some() || self.is_young(stored, now);
        let Some(stored) = self.latest.filter(is_used) else {
            return self.take(new, context);
        };
        match recency(&stored, &new, now) {
            // The latest value has no timestamp, so it is unknown which of the two is newer. The
            // bar is used only after the value has exceeded its limit.
            _ if stored.as_of.stamp.is_none() => Outcome::Older,
            Recency::Newer => self.take(new, context),
            // A correction of the bar that supplied the latest value.
            Recency::Same if stored.source == new.source => {
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
            // The instrument has a price, so the vendor does not deny it.
            self.denial = None;
        }
        if !quote.void && !quote.outside {
            if !quote.arrived_old(now) {
                self.minutes.received(quote.price, quote.as_of.received);
            }
            // A timestamp in the future does not identify a minute.
            if let Some(stamp) = quote.as_of.stamp.filter(|_| now.utc.is_some())
                && quote.source != QuoteSource::Minute
                && !quote.is_ahead(now)
            {
                self.minutes.value(quote.price, stamp);
            }
        }
        self.untimed = now.utc.is_none();
        if !quote.void {
            self.count_decimals(quote.price);
        }
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
