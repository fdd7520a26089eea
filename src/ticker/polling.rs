//! What is wanted of the sessions and of REST.

use std::time::Duration;

use super::state::{PageSpec, TickerState};
use crate::feed::connection::ConnectionPhase;
use crate::feed::session::SubscriptionDemand;
use crate::feed::subscriptions;
use crate::market::{
    AssetClass, Cluster, Freshness, Instrument, QuoteSource, SessionPart, Symbol, limit,
};
use crate::time::{Now, Utc};

/// Contracts may go unquoted for long; all of them for this long while they are traded, only if
/// nothing arrives any more.
const CONTRACTS: Duration = Duration::from_secs(300);
/// A share that streams is not asked for; it streams if something came within this.
const STREAMS: Duration = Duration::from_secs(10);

/// How often REST is asked for a share while it is traded,
pub(crate) const SHARES: Duration = Duration::from_millis(2_500);
/// before and after the regular hours,
pub(crate) const SHARES_EXTENDED: Duration = Duration::from_secs(5);
/// and for anything else of which nothing streams, and for what is computed of a contract. The
/// vendor's free plan allows five calls a minute.
const POLL_UNSTREAMED: Duration = Duration::from_secs(15);
/// What is struck after the bell waits for a source to tell the close.
const POLL_UNCLOSED: Duration = Duration::from_secs(60);
/// A new day's base is asked for this often, in the first minutes of the day.
const BASE: Duration = Duration::from_millis(2_500);
const FIRST_MINUTES: i64 = 120_000;
/// The state of the markets is asked for this often: its answers tell the time of the server, too,
const MARKET: Duration = Duration::from_secs(15);
/// and while what is known of it was said before the hours that are on.
const MARKET_CHANGES: Duration = Duration::from_secs(10);
/// So many instruments stand for all when their hours are looked at.
const FEW: usize = 8;

impl TickerState {
    /// How often a link has returned: then REST is asked what was missed.
    pub fn returns(&self) -> u64 {
        self.link_monitor.returns()
    }

    /// How often REST is to be asked for each instrument, in the order of the watchlist; `None`
    /// for now and then.
    pub fn poll_intervals(&self, own: Now) -> impl Iterator<Item = Option<Duration>> + '_ {
        let now = self.time.at(own.monotonic);
        let places = 0..self.watchlist.instruments().len();
        places.map(move |place| self.pace(place, now))
    }

    fn pace(&self, place: usize, now: Now) -> Option<Duration> {
        let instrument = self.watchlist.instruments().get(place)?;
        let symbol = instrument.symbol();
        if instrument.denial().is_some() || self.expired(symbol, now) {
            return None;
        }
        let freshness = self.watchlist.freshness(place, now, &self.calendar);
        let part = instrument.part(now, &self.calendar);
        if self.lacks_previous_close_today(instrument, now) {
            return Some(BASE);
        }
        if symbol.class() == AssetClass::Equity {
            let streams = instrument.quote().is_some_and(|quote| {
                quote.source != QuoteSource::Rest
                    && now.monotonic.since(quote.as_of.received) <= STREAMS
            });
            return match part {
                _ if streams => None,
                Some(SessionPart::Pre | SessionPart::Post | SessionPart::Outside) => {
                    Some(SHARES_EXTENDED)
                }
                Some(SessionPart::Regular) => Some(SHARES),
                None if freshness == Freshness::Closed => None,
                // Without an agreed time nobody knows whether it is traded.
                None if now.utc.is_none() => Some(POLL_UNSTREAMED),
                None => Some(POLL_UNCLOSED),
            };
        }
        let live = self.link_monitor.link(symbol.cluster()).phase == ConnectionPhase::Live;
        let fresh = matches!(freshness, Freshness::Live | Freshness::Delayed);
        let shown = self.page_spec == Some(PageSpec::Contract(place))
            && (part.is_some() || instrument.analytics(now, Duration::MAX).is_none());
        match (symbol.class(), part) {
            _ if shown => Some(POLL_UNSTREAMED),
            _ if live && fresh => None,
            // The official close may still come, and a single streamed value needs REST to confirm it.
            (AssetClass::Index, None)
                if instrument.is_settling(
                    self.time.delay(symbol.cluster()),
                    now,
                    &self.calendar,
                ) =>
            {
                Some(POLL_UNCLOSED)
            }
            (_, None) if freshness == Freshness::Closed => None,
            // REST may have what the link does not bring.
            (AssetClass::Index, Some(_)) => Some(limit(symbol, QuoteSource::Tick) / 2),
            (_, None) if now.utc.is_some() => Some(POLL_UNCLOSED),
            _ => Some(POLL_UNSTREAMED),
        }
    }

    /// Whether the day has just begun and its change is not known.
    fn lacks_previous_close_today(&self, instrument: &Instrument, now: Now) -> bool {
        let Some(utc) = now.utc else { return false };
        let began = instrument.minutes().day().map(|day| day.start);
        let young = began.is_some_and(|began| utc.millis_since(began) < FIRST_MINUTES);
        young && instrument.lacks_previous_close(now)
    }

    /// How often the state of the markets is needed; `None` where there are no hours.
    pub fn market_pace(&self, own: Now) -> Option<Duration> {
        if !self.calendar.has_hours() {
            return None;
        }
        let Some(utc) = self.time.at(own.monotonic).utc else {
            return Some(MARKET);
        };
        let instruments = self.watchlist.instruments().iter();
        let untold = |instrument: &Instrument| {
            instrument.part(self.time.at(own.monotonic), &self.calendar)
                == Some(SessionPart::Regular)
                && !self.calendar.has_current_status(instrument.symbol(), utc)
        };
        Some(if instruments.take(FEW).any(untold) {
            MARKET_CHANGES
        } else {
            MARKET
        })
    }

    /// Since when the minutes of each instrument's trading day are wanted.
    pub fn days(&self) -> impl Iterator<Item = (&Symbol, Utc)> {
        let instruments = self.watchlist.instruments().iter();
        instruments.filter_map(|instrument| {
            let day = instrument.minutes().day()?;
            Some((instrument.symbol(), day.start))
        })
    }

    fn expired(&self, symbol: &Symbol, now: Now) -> bool {
        let days = |contract| self.calendar.days_left(&contract, now.utc?);
        symbol
            .contract()
            .and_then(days)
            .is_some_and(|days| days < 0)
    }

    /// What a cluster's session is to do.
    pub fn demand(&self, cluster: Cluster, own: Now) -> SubscriptionDemand {
        let now = self.time.at(own.monotonic);
        let traded = || {
            let instruments = self.watchlist.instruments().iter();
            instruments.filter(|instrument| !self.expired(instrument.symbol(), now))
        };
        let delay = self.time.delay(cluster);
        // Silence means something only in the regular hours; for a late source they begin later, too.
        let is_on = |instrument: &&Instrument| {
            let was_on = || {
                let then = Utc(now.utc?.0.saturating_sub(delay));
                self.calendar.phase(instrument.symbol(), then).part()
            };
            instrument.part(now, &self.calendar) == Some(SessionPart::Regular)
                && (delay == 0 || was_on() == Some(SessionPart::Regular))
        };
        let max_silence = traded()
            .filter(|instrument| instrument.symbol().cluster() == cluster)
            .filter(is_on)
            .map(|instrument| match instrument.symbol().class() {
                // Index values come by a timetable.
                AssetClass::Index => 2 * limit(instrument.symbol(), QuoteSource::Tick),
                AssetClass::Option | AssetClass::Equity => CONTRACTS,
            })
            .min();
        let symbols = traded().map(Instrument::symbol);
        SubscriptionDemand {
            channels: subscriptions::route(symbols, cluster),
            max_silence,
            stop: false,
        }
    }
}
