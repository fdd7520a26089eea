//! The processing of updates: each value gets its time and its source data, and the watchlist
//! stores it. This module counts values that are not accepted unchanged.

use core::time::Duration;

use super::TickerState;
use crate::feed::{ConnectionStatus, Update};
use crate::market::{
    AHEAD, AsOf, Cluster, DayStats, Freshness, MarketStatus, Outcome, Price, Provenance, Quote,
    QuoteSource, Ticker, TopOfBook,
};
use crate::massive::instrument_snapshot::{InstrumentSnapshot, PreviousClose};
use crate::massive::websocket::{MarketData, MarketEvent};
use crate::ticker::link_monitor::{is_excluded, is_in_use};
use crate::time::{Now, Utc};

/// The numbers of values that were not accepted unchanged. The first value of each kind is logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QuoteAnomalies {
    /// The values that are older than the stored value.
    pub older: u64,
    /// The values without a timestamp or with an impossible timestamp. Their age is unknown, so they
    /// are not shown as live.
    pub absurd: u64,
    /// The values whose timestamp is ahead of the agreed time.
    pub ahead: u64,
    /// The single values outside the known trading hours, which are not shown.
    pub doubted: u64,
}

impl TickerState {
    /// Applies an update of a session or of REST. The argument `own` is the time by the clocks of
    /// this machine. A value that is older than the stored one, or whose symbol is not on the
    /// watchlist any more, changes nothing.
    pub fn on(&mut self, update: &Update, own: Now) {
        if let Update::ServerTime { at, utc } = update {
            self.time.server(*at, *utc);
        }
        let now = self.time.observe_own(own);
        match update {
            Update::ServerTime { .. } => {}
            Update::Status(cluster, status) => self.status(*cluster, *status, now),
            // The session itself tracks its subscriptions; the ticker state needs only the values.
            Update::Subscribed(_) => {}
            Update::Unanswered {
                channel,
                not_authorized,
            } => {
                if *not_authorized {
                    self.watchlist.set_not_streamed(channel);
                }
            }
            Update::Market(ticker, event) => self.market_event(ticker, event, now),
            Update::Minutes {
                ticker,
                bars,
                simulated,
            } => {
                self.watchlist.start_days(now, &self.calendar);
                self.watchlist.refill(ticker, bars, *simulated);
            }
            Update::MarketStatus(status, simulated) => {
                self.set_simulated(*simulated);
                // A timestamp in the future comes from a wrong clock of the server. The status
                // itself is current.
                let latest = now.utc.unwrap_or(status.as_of);
                self.calendar.set_status(MarketStatus {
                    as_of: status.as_of.min(latest),
                    ..*status
                });
            }
            Update::Rest(outcome) => self.link_monitor.rest(*outcome, now.monotonic),
            Update::Seed(seed) => self.seed(seed, now),
        }
    }

    /// Applies a new status of a connection.
    fn status(&mut self, cluster: Cluster, status: ConnectionStatus, now: Now) {
        let before = self.link_monitor.link(cluster);
        let in_use = is_in_use(&status);
        if in_use && status.connections != before.connections {
            self.time.connected(cluster);
        }
        // REST delivers the shares even if the plan does not include their stream.
        if is_excluded(&status) && cluster != Cluster::Stocks {
            self.watchlist.set_cluster_not_streamed(cluster);
        }
        if in_use {
            self.watchlist.heard(cluster, status.heard);
        }
        self.watchlist
            .set_link(cluster, in_use && !status.cut_off, now, &self.calendar);
        if let Some(simulated) = status.simulated.filter(|_| in_use) {
            self.watchlist.set_simulated(cluster, simulated);
            self.set_simulated(simulated);
        }
        self.link_monitor.status(cluster, status, now.monotonic);
    }

    /// Stores whether the prices are simulated. A change discards the market status, because it
    /// came from the other source and simulated prices have no trading hours.
    fn set_simulated(&mut self, simulated: bool) {
        if self.simulated != simulated {
            self.simulated = simulated;
            self.calendar.forget_status();
        }
    }

    /// Stores market data of the stream in its instrument.
    fn market_event(&mut self, ticker: &Ticker, event: &MarketEvent, now: Now) {
        let Some(index) = self.watchlist.find(ticker) else {
            return;
        };
        let MarketEvent { data, stamp, .. } = *event;
        let (price, source) = match data {
            MarketData::Value(price) => (price, QuoteSource::Tick),
            MarketData::Quote(_) => (ZERO, QuoteSource::Tick),
            MarketData::Trade(trade) => (trade.price, QuoteSource::Tick),
            MarketData::Bar { bar, .. } => (bar.close, QuoteSource::Minute),
        };
        // A repeated value shows nothing about the network latency. A bar covers a period, so its
        // timestamp shows nothing either.
        let current = event.age.is_none() && source == QuoteSource::Tick;
        let cluster = self.watchlist.instruments()[index].symbol().cluster();
        let timestamp = stamp.filter(|_| current);
        self.link_monitor.message(cluster, timestamp, now);
        let provenance = self.provenance(index, stamp, event.age, now);
        let mut quote = Quote::streamed(price, stamp, source, provenance, now);
        if let MarketData::Quote(book) = data {
            quote = mid(book, quote);
        }
        self.check_timestamp(index, stamp, &quote, now);
        let (watchlist, calendar) = (&mut self.watchlist, &self.calendar);
        let outcome = match data {
            MarketData::Value(_) => watchlist.value_at(index, quote, now, calendar),
            MarketData::Quote(book) => watchlist.book(ticker, book, quote, now, calendar),
            MarketData::Trade(trade) => {
                watchlist.trade(ticker, trade, quote, now);
                return;
            }
            MarketData::Bar { bar, volume } => {
                let outcome = watchlist.bar(ticker, event.kind, bar, provenance, now, calendar);
                if volume.is_some() {
                    let day = DayStats {
                        volume,
                        ..DayStats::default()
                    };
                    watchlist.set_day(ticker, day, bar.end, now, calendar);
                }
                // A bar is often older than the last value. Only an older single value is an
                // anomaly.
                if outcome == Outcome::Older {
                    return;
                }
                outcome
            }
        };
        self.count_outcome(index, outcome, now);
    }

    /// Returns the provenance of a streamed value: the data of the value besides its price.
    fn provenance(
        &mut self,
        index: usize,
        timestamp: Option<Utc>,
        age: Option<Duration>,
        now: Now,
    ) -> Provenance {
        let instrument = &self.watchlist.instruments()[index];
        let (cluster, reported) = (instrument.symbol().cluster(), instrument.reported_delayed());
        self.watchlist.heard(cluster, now.monotonic);
        let (mut late, mut delayed) = (Duration::ZERO, reported.unwrap_or(false));
        // This timestamp may be the second time source that makes the agreed time known.
        let mut agreed = now.utc;
        if let (Some(timestamp), None) = (timestamp, age) {
            late = self.time.timestamp(cluster, timestamp, now.monotonic);
            agreed = self.time.at(now.monotonic).utc;
            // A stream without delay is real-time, even if REST reports its own responses as
            // delayed. A timestamp in the future is no proof that the stream has no delay.
            let timely = |utc: Utc| (-AHEAD..LATE).contains(&utc.millis_since(timestamp));
            delayed &= !agreed.is_some_and(timely);
            delayed |= self.time.is_late(cluster, timestamp, now.monotonic);
        }
        Provenance {
            simulated: self.link_monitor.link(cluster).simulated == Some(true),
            delayed,
            age: age.unwrap_or(match agreed {
                None => late,
                // A value with a timestamp needs no additional age, because its age follows from
                // the timestamp.
                Some(_) => Duration::ZERO,
            }),
            epoch: self.watchlist.link(cluster).epoch,
        }
    }

    fn seed(&mut self, seed: &InstrumentSnapshot, now: Now) {
        if seed.denial.is_none() {
            self.link_monitor.priced(now.monotonic);
        }
        self.link_monitor.set_simulated(seed.simulated);
        let ticker = &seed.ticker;
        let Some(index) = self.watchlist.find(ticker) else {
            return;
        };
        let symbol = self.watchlist.instruments()[index].symbol();
        let cluster = symbol.cluster();
        // The closing price of a share is final at the end of regular hours, hours before trading
        // ends.
        let early = cluster != Cluster::Stocks
            && now
                .utc
                .is_some_and(|utc| self.calendar.closed_moments_ago(symbol, utc));
        let is_close = seed.is_close && !early;
        // A row of a hub or of the vendor with a previous close also reports if the source is
        // delayed. A row of the old proxy never does.
        let reports_delay =
            seed.delayed || matches!(seed.previous_close, Some(PreviousClose::Told(_)));
        let (watchlist, calendar) = (&mut self.watchlist, &self.calendar);
        watchlist.set_reported(
            ticker,
            reports_delay.then_some(seed.delayed),
            seed.simulated,
        );
        if seed.delayed {
            self.time.set_delayed(cluster, true);
        }
        watchlist.set_denial(ticker, seed.denial, now);
        let session = session_time(seed, cluster);
        if let Some(as_of) = session.filter(|_| seed.day != DayStats::default()) {
            watchlist.set_day(ticker, seed.day, as_of, now, calendar);
        }
        if let Some(analytics) = seed.analytics {
            // The values were computed from the last quote, and the response may be old.
            let as_of = AsOf::heard(seed.book_stamp, seed.age, now);
            watchlist.set_analytics(ticker, analytics, as_of, now);
        }
        let fetched = |price, timestamp| {
            let mut quote = Quote::fetched(price, timestamp, seed.delayed, now);
            quote.simulated = seed.simulated;
            // The hub may repeat an older response. The older one of its age and of the age of the
            // timestamp counts.
            quote.as_of.age = seed.age;
            quote.as_of.confirmed = now.monotonic - seed.age;
            quote
        };
        // Without a timestamp, the age of a trade is unknown.
        if let Some((trade, Some(timestamp))) = seed.trade {
            let quote = fetched(trade.price, Some(timestamp));
            watchlist.trade(ticker, trade, quote, now);
        }
        let value = seed.price.map(|price| Quote {
            is_close,
            ..fetched(price, seed.stamp)
        });
        let book_timestamp = seed.book_stamp.or(seed.stamp);
        let outcome = match (seed.book, value) {
            // The price of a share is its last trade, and the price of a contract is the middle of
            // its book.
            (Some(book), _) if cluster == Cluster::Options && book_timestamp.is_some() => {
                let quote = Quote {
                    is_close,
                    ..fetched(ZERO, book_timestamp)
                };
                Some(watchlist.book(ticker, book, mid(book, quote), now, calendar))
            }
            // Without a timestamp, the age of a value is unknown. A value of Friday must not look
            // like a present value, so such a value is ignored.
            (_, Some(value)) if value.as_of.stamp.is_some() => {
                Some(watchlist.value(ticker, value, now, calendar))
            }
            _ => None,
        };
        if let Some(value) = value {
            self.check_timestamp(index, seed.stamp, &value, now);
        }
        // Older values are not counted, because REST is often behind the stream.
        if outcome == Some(Outcome::Stored) {
            self.count_outcome(index, Outcome::Stored, now);
        }
        self.previous_close(seed, session, cluster, now);
    }

    /// Stores the previous close of a row. `session` is the time of the row's session.
    fn previous_close(
        &mut self,
        seed: &InstrumentSnapshot,
        session: Option<Utc>,
        cluster: Cluster,
        now: Now,
    ) {
        // A timestamp needs the agreed time as a check before it can name a day. A close with a
        // timestamp in the future would block all later closes until that time.
        let believed = |stamp| {
            let quote = Quote::fetched(ZERO, stamp, seed.delayed, now);
            let checked = now.utc.is_some() && !quote.is_ahead(now);
            quote.as_of.stamp.filter(|_| checked)
        };
        let close = seed.previous_close.and_then(|close| match close {
            PreviousClose::Told(close) if cluster == Cluster::Options => {
                Some((close, believed(session)?))
            }
            PreviousClose::Told(close) => Some((close, believed(session).or(now.utc)?)),
            // The value minus its change is the close before the day of the value: a value of
            // Friday gives the close of Thursday, even if the response comes on a later day.
            PreviousClose::Derived(close) => Some((close, believed(seed.stamp)?)),
        });
        if let Some((close, as_of)) = close {
            self.watchlist
                .set_previous_close(&seed.ticker, close, as_of, &self.calendar);
        }
        self.watchlist.start_days(now, &self.calendar);
    }

    /// Counts a value whose timestamp is missing, impossible or in the future. A REST response
    /// without a timestamp is usual.
    fn check_timestamp(&mut self, index: usize, timestamp: Option<Utc>, quote: &Quote, now: Now) {
        let counts = &mut self.anomalies;
        let is_expected = timestamp.is_some() || quote.source != QuoteSource::Rest;
        if quote.as_of.stamp.is_none() {
            counts.absurd += u64::from(is_expected);
            if is_expected && self.link_monitor.undated(now.monotonic) {
                let name = self.watchlist.instruments()[index].symbol();
                log::warn!(
                    "{name}: a value has no usable timestamp (field t), so its age is unknown, and \
                     the ticker does not show it as live: does the server pass the timestamps of the \
                     vendor on?"
                );
            }
        } else if quote.is_ahead(now) && is_first(&mut counts.ahead) {
            log::warn!(
                "a value has a timestamp in the future; the ticker computes the age of the value \
                 from its receive time"
            );
        }
    }

    fn count_outcome(&mut self, index: usize, outcome: Outcome, now: Now) {
        let counts = &mut self.anomalies;
        match outcome {
            Outcome::Older => {
                // In most cases, REST was slightly ahead of the value that the hub repeats to a new
                // client.
                if is_first(&mut counts.older) {
                    log::debug!(
                        "a value is older than the current value; the ticker ignores the older \
                         value"
                    );
                }
            }
            Outcome::Doubted => {
                if is_first(&mut counts.doubted) {
                    let name = self.watchlist.instruments()[index].symbol();
                    log::info!(
                        "{name}: a single value arrived outside the trading hours; the ticker does \
                         not show this value"
                    );
                }
            }
            Outcome::Stored => self.check_alerts(index, now),
            Outcome::Unknown => {}
        }
    }

    /// Checks if a new value raises an alert. Without an agreed time, the age of the value is
    /// unknown. A delayed value also needs a correct wall clock of this machine, because its delay
    /// is uncertain otherwise.
    fn check_alerts(&mut self, index: usize, now: Now) {
        if now.utc.is_none() || !self.alerts.watches(index) {
            return;
        }
        let Some(shown) = self.watchlist.shown(index, now, &self.calendar) else {
            return;
        };
        let is_fresh = match shown.freshness {
            Freshness::Live => true,
            Freshness::Delayed => self.time.is_own(),
            _ => false,
        };
        if let Some(quote) = shown.quote.filter(|_| is_fresh) {
            let change = self.watchlist.instruments()[index].change(quote, now);
            self.alerts.check(index, quote.price, change, now.monotonic);
        }
    }
}

/// Increments the counter. Returns true if this is its first increment.
const fn is_first(counter: &mut u64) -> bool {
    *counter += 1;
    *counter == 1
}

const ZERO: Price = Price::from_scaled(0);
/// The minimum age of a value from a delayed source, in milliseconds.
const LATE: i64 = 14 * 60_000;

/// Returns the middle of a book as a value. The value is void if the book has no middle.
fn mid(book: TopOfBook, quote: Quote) -> Quote {
    match book.mid() {
        Some(price) => Quote { price, ..quote },
        None => Quote {
            void: true,
            ..quote
        },
    }
}

/// Returns the time that names the trading day of the row's session: of its range, its volume and
/// its previous close. These figures of a contract come from its trades. Before the first trade of
/// a day they are still those of an earlier day, although the quote is of today, so the last trade
/// names the day.
fn session_time(row: &InstrumentSnapshot, cluster: Cluster) -> Option<Utc> {
    match cluster {
        Cluster::Options => row.trade.and_then(|(_, stamp)| stamp),
        Cluster::Indices | Cluster::Stocks => row.stamp,
    }
}
