//! The requirements of the ticker state: the subscriptions of each session and the REST polling
//! intervals. This module only computes them; it sends no request.

use std::time::Duration;

use super::state::TickerState;
use crate::config::settings::PageSpec;
use crate::feed::connection_status::ConnectionPhase;
use crate::feed::session::SubscriptionDemand;
use crate::feed::subscriptions;
use crate::market::{
    AssetClass, Cluster, Freshness, Instrument, QuoteSource, SessionPart, Symbol, limit,
};
use crate::time::{Now, Utc};

/// The limit of silence for the connection of shares and the connection of contracts in regular
/// hours. The limit is long because a contract can have no new quote for minutes. The connection is
/// silent only if no contract at all has new data for this time.
const CONTRACTS: Duration = Duration::from_secs(300);
/// The limit of silence for a connection while another connection of the same host is silent. The
/// proxy keeps all connections open after the loss of its own upstream connection.
const SUSPECT: Duration = Duration::from_secs(20);
/// A share counts as streamed if a streamed value arrived within this time. REST is not polled for
/// a streamed share.
const STREAMS: Duration = Duration::from_secs(10);

/// The REST polling interval of a share in regular hours. With the requests for the market status
/// and for a new token, a display sends at most 24 requests a minute.
pub(crate) const SHARES: Duration = Duration::from_millis(2_800);
/// The REST polling interval of a share before and after the regular hours.
pub(crate) const SHARES_EXTENDED: Duration = Duration::from_secs(5);
/// The REST polling interval of any other instrument that is not streamed, and of the computed
/// values of a contract. The free plan of the vendor allows five requests a minute.
const POLL_UNSTREAMED: Duration = Duration::from_secs(15);
/// The REST polling interval of an instrument whose market is closed and whose closing price is not
/// known or not final yet.
const POLL_UNCLOSED: Duration = Duration::from_secs(60);
/// The REST polling interval of an instrument without a previous close in the first minutes
/// ([`FIRST_MINUTES`]) of its trading day.
const BASE: Duration = Duration::from_millis(2_500);
const FIRST_MINUTES: i64 = 120_000;
/// The polling interval of the market status. It is short because each response also contains the
/// time of the server. With a new token and an occasional request for quotes, a display whose
/// prices are all streamed sends at most three requests a minute.
const MARKET: Duration = Duration::from_secs(30);
/// The polling interval of the market status while the last known status is older than the current
/// regular hours.
const MARKET_CHANGES: Duration = Duration::from_secs(20);
/// The number of instruments whose market status is checked. A check of only the first instruments
/// is cheap and enough.
const FEW: usize = 8;

impl TickerState {
    /// Returns the number of reconnections of all connections. After each reconnection, REST is
    /// polled for the data that was missed.
    pub fn returns(&self) -> u64 {
        self.link_monitor.returns()
    }

    /// Returns the REST polling interval of each instrument, in the order of the watchlist. `None`
    /// means that the poller requests the instrument only occasionally.
    pub fn poll_intervals(&self, own: Now) -> impl Iterator<Item = Option<Duration>> + '_ {
        let now = self.time.at(own.monotonic);
        let instruments = self.watchlist.instruments().iter().enumerate();
        instruments.map(move |(index, instrument)| self.pace(index, instrument, now))
    }

    fn pace(&self, index: usize, instrument: &Instrument, now: Now) -> Option<Duration> {
        let symbol = instrument.symbol();
        if instrument.denial().is_some() || self.expired(symbol, now) {
            return None;
        }
        let freshness = self.watchlist.freshness(index, now, &self.calendar);
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
                // Without an agreed time, the program cannot know if the market is open.
                None if now.utc.is_none() => Some(POLL_UNSTREAMED),
                None => Some(POLL_UNCLOSED),
            };
        }
        let live = self.link_monitor.link(symbol.cluster()).phase == ConnectionPhase::Live;
        let fresh = matches!(freshness, Freshness::Live | Freshness::Delayed);
        let delay = self.time.delay(symbol.cluster());
        let shown = self.page_spec == Some(PageSpec::Contract(index))
            && (part.is_some() || instrument.analytics(now, Duration::MAX).is_none());
        match (symbol.class(), part) {
            _ if shown => Some(POLL_UNSTREAMED),
            _ if live && fresh => None,
            // The official close may still come, and REST must confirm a single streamed value.
            (AssetClass::Index, None) if instrument.is_settling(delay, now, &self.calendar) => {
                Some(POLL_UNCLOSED)
            }
            (_, None) if freshness == Freshness::Closed => None,
            // REST may have values that the connection does not deliver. Half of the staleness
            // limit keeps the value fresh by REST alone.
            (AssetClass::Index, Some(_)) => Some(limit(symbol, QuoteSource::Tick) / 2),
            (_, None) if now.utc.is_some() => Some(POLL_UNCLOSED),
            _ => Some(POLL_UNSTREAMED),
        }
    }

    /// Returns true if the trading day has just begun and the previous close is not known.
    fn lacks_previous_close_today(&self, instrument: &Instrument, now: Now) -> bool {
        let Some(utc) = now.utc else { return false };
        let began = instrument.minutes().day().map(|day| day.start);
        let young = began.is_some_and(|began| utc.millis_since(began) < FIRST_MINUTES);
        young && instrument.lacks_previous_close(now)
    }

    /// Returns the polling interval of the market status; `None` if the calendar has no trading
    /// hours.
    pub fn market_pace(&self, own: Now) -> Option<Duration> {
        if !self.calendar.has_hours() {
            return None;
        }
        let now = self.time.at(own.monotonic);
        let mut first = self.watchlist.instruments().iter().take(FEW);
        let is_old = now.utc.is_some_and(|utc| {
            first.any(|instrument| {
                instrument.part(now, &self.calendar) == Some(SessionPart::Regular)
                    && !self.calendar.has_current_status(instrument.symbol(), utc)
            })
        });
        Some(if is_old { MARKET_CHANGES } else { MARKET })
    }

    /// Returns each symbol with the start of its trading day. The bars of one minute are requested
    /// from that time on.
    pub fn days(&self) -> impl Iterator<Item = (&Symbol, Utc)> {
        let instruments = self.watchlist.instruments().iter();
        instruments.filter_map(|instrument| {
            let day = instrument.minutes().day()?;
            Some((instrument.symbol(), day.start))
        })
    }

    fn expired(&self, symbol: &Symbol, now: Now) -> bool {
        let contract = symbol.contract().zip(now.utc);
        let days = contract.and_then(|(contract, utc)| self.calendar.days_left(&contract, utc));
        days.is_some_and(|days| days < 0)
    }

    /// Returns the subscriptions of the session of this cluster and its limit of silence.
    pub fn demand(&self, cluster: Cluster, own: Now) -> SubscriptionDemand {
        let now = self.time.at(own.monotonic);
        let traded = || {
            let instruments = self.watchlist.instruments().iter();
            instruments.filter(|instrument| !self.expired(instrument.symbol(), now))
        };
        let delay = self.time.delay(cluster);
        // Silence is a fault only in regular hours. The data of a delayed source begins later by
        // its delay, so both times must be in regular hours.
        let is_on = |instrument: &&Instrument| {
            let was_on = || {
                let then = Utc(now.utc?.0.saturating_sub(delay));
                self.calendar.phase(instrument.symbol(), then).part
            };
            instrument.part(now, &self.calendar) == Some(SessionPart::Regular)
                && (delay == 0 || was_on() == Some(SessionPart::Regular))
        };
        let max_silence = traded()
            .filter(|instrument| instrument.symbol().cluster() == cluster)
            .filter(is_on)
            .map(|instrument| match instrument.symbol().class() {
                // Index values come at fixed intervals.
                AssetClass::Index => 2 * limit(instrument.symbol(), QuoteSource::Tick),
                AssetClass::Option | AssetClass::Equity => CONTRACTS,
            })
            .min();
        let limit = if self.link_monitor.is_suspect(cluster) {
            SUSPECT
        } else {
            Duration::MAX
        };
        let symbols = traded().map(Instrument::symbol);
        SubscriptionDemand {
            channels: subscriptions::route(symbols, cluster),
            max_silence: max_silence.map(|max_silence| max_silence.min(limit)),
            ..SubscriptionDemand::default()
        }
    }
}
