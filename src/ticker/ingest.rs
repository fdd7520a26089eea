//! What comes in: each update is dated, stored and counted.

use core::time::Duration;

use super::link_monitor::is_in_use;
use super::state::TickerState;
use crate::feed::{ConnectionStatus, InstrumentSnapshot, PreviousClose, Update};
use crate::market::{
    AHEAD, AsOf, Cluster, DayStats, Freshness, Outcome, Price, Provenance, Quote, QuoteSource,
    TopOfBook,
};
use crate::time::{Now, Utc};

/// What has come and was not taken as it was. Each is told to the log at its first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QuoteAnomalies {
    /// Values older than the one known.
    pub older: u64,
    /// Stamps that can be none: dropped, and the value kept.
    pub absurd: u64,
    /// Stamps ahead of the agreed time.
    pub ahead: u64,
    /// Values outside the known hours, each alone: not believed.
    pub doubted: u64,
}

impl TickerState {
    /// Takes in what a session or REST says, at this time by the machine's own clock. What is not on the
    /// watchlist any more, or older than what is known, changes nothing.
    pub fn on(&mut self, update: &Update, own: Now) {
        if let Update::ServerTime { at, utc } = update {
            self.time.server(*at, *utc);
        }
        let now = self.time.observe_own(own);
        match update {
            Update::ServerTime { .. } => {}
            Update::Status(cluster, status) => self.status(*cluster, *status, now),
            // The session keeps track of what it asked for; the desk needs only the values.
            Update::Subscribed(_) => {}
            Update::Unanswered {
                channel,
                not_authorized,
            } => {
                if *not_authorized {
                    self.watchlist.set_not_streamed(channel);
                }
            }
            Update::Value {
                ticker,
                price,
                stamp,
                age,
            } => {
                let Some(place) = self.watchlist.find(ticker) else {
                    return;
                };
                let provenance = self.heard(place, *stamp, *age, now);
                let quote = Quote::streamed(*price, *stamp, QuoteSource::Tick, provenance, now);
                self.stamped(*stamp, &quote, now);
                let Self {
                    watchlist,
                    calendar,
                    ..
                } = self;
                let outcome = watchlist.value_at(place, quote, now, calendar);
                self.count_outcome(place, outcome, now);
            }
            Update::Bar {
                ticker,
                kind,
                bar,
                volume,
                age,
            } => {
                let Some(place) = self.watchlist.find(ticker) else {
                    return;
                };
                let provenance = self.provenance(place, Some(bar.end), *age, now);
                let close = Quote::streamed(
                    bar.close,
                    Some(bar.end),
                    QuoteSource::Minute,
                    provenance,
                    now,
                );
                self.stamped(Some(bar.end), &close, now);
                // A bar's latency is its length, and says nothing of the way.
                self.link_monitor.message(None, now);
                let Self {
                    watchlist,
                    calendar,
                    ..
                } = self;
                let outcome = watchlist.bar(ticker, *kind, *bar, provenance, now, calendar);
                if volume.is_some() {
                    let day = DayStats {
                        volume: *volume,
                        ..DayStats::default()
                    };
                    watchlist.set_day(ticker, day, bar.end, now, calendar);
                }
                // A bar is late by its nature: only values are worth a word when they are.
                if outcome != Outcome::Older {
                    self.count_outcome(place, outcome, now);
                }
            }
            Update::Quote {
                ticker,
                book,
                stamp,
                age,
            } => {
                let Some(place) = self.watchlist.find(ticker) else {
                    return;
                };
                let provenance = self.heard(place, *stamp, *age, now);
                let quote = mid(
                    *book,
                    Quote::streamed(ZERO, *stamp, QuoteSource::Tick, provenance, now),
                );
                self.stamped(*stamp, &quote, now);
                let Self {
                    watchlist,
                    calendar,
                    ..
                } = self;
                let outcome = watchlist.book(ticker, *book, quote, now, calendar);
                self.count_outcome(place, outcome, now);
            }
            Update::Trade {
                ticker,
                trade,
                stamp,
            } => {
                let Some(place) = self.watchlist.find(ticker) else {
                    return;
                };
                let provenance = self.heard(place, *stamp, None, now);
                let quote =
                    Quote::streamed(trade.price, *stamp, QuoteSource::Tick, provenance, now);
                self.stamped(*stamp, &quote, now);
                self.watchlist.trade(ticker, *trade, quote, now);
            }
            Update::Minutes {
                ticker,
                bars,
                simulated,
            } => {
                self.watchlist.start_days(now, &self.calendar);
                self.watchlist.refill(ticker, bars, *simulated);
            }
            Update::Market(status, simulated) => {
                self.set_simulated(*simulated);
                self.calendar.set_status(*status);
            }
            Update::Seed(seed) => self.seed(seed, now),
        }
    }

    /// A link has changed its state.
    fn status(&mut self, cluster: Cluster, status: ConnectionStatus, now: Now) {
        let before = self.link_monitor.link(cluster);
        let in_use = is_in_use(&status);
        if in_use && status.connections != before.connections {
            self.time.connected(cluster);
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

    /// The word on the markets goes with the prices: simulated ones know no hours.
    fn set_simulated(&mut self, simulated: bool) {
        if self.simulated != simulated {
            self.simulated = simulated;
            self.calendar.forget_status();
        }
    }

    /// A value of the instrument at this place was streamed: what is known about it beside its price.
    fn heard(
        &mut self,
        place: usize,
        stamp: Option<Utc>,
        age: Option<Duration>,
        now: Now,
    ) -> Provenance {
        // A repeated value says nothing about the latency.
        self.link_monitor
            .message(stamp.filter(|_| age.is_none()), now);
        self.provenance(place, stamp, age, now)
    }

    fn provenance(
        &mut self,
        place: usize,
        stamp: Option<Utc>,
        age: Option<Duration>,
        now: Now,
    ) -> Provenance {
        let Some(instrument) = self.watchlist.instruments().get(place) else {
            return Provenance::default();
        };
        let (cluster, told) = (instrument.symbol().cluster(), instrument.reported_delayed());
        self.watchlist.heard(cluster, now.monotonic);
        let (mut late, mut delayed) = (Duration::ZERO, told.unwrap_or(false));
        // This stamp may be the second witness that makes the agreed time known.
        let mut agreed = now.utc;
        if let (Some(stamp), None) = (stamp, age) {
            late = self.time.stamp(cluster, stamp, now.monotonic);
            agreed = self.time.at(now.monotonic).utc;
            // A stream that is not late is real-time, whatever REST says of its own answers.
            // A stamp of the future does not say that the stream is on time.
            let timely = |utc: Utc| (-AHEAD..LATE).contains(&utc.millis_since(stamp));
            delayed &= !agreed.is_some_and(timely);
            delayed |= self.time.is_late(cluster, stamp, now.monotonic);
        }
        Provenance {
            simulated: self.link_monitor.link(cluster).simulated == Some(true),
            delayed,
            age: age.unwrap_or(match agreed {
                None => late,
                Some(_) => Duration::ZERO,
            }),
            epoch: self.watchlist.link(cluster).epoch,
        }
    }

    fn seed(&mut self, seed: &InstrumentSnapshot, now: Now) {
        self.link_monitor.answered(now.monotonic);
        self.link_monitor.set_simulated(seed.simulated);
        let Some(place) = self.watchlist.find(&seed.ticker) else {
            return;
        };
        let instruments = self.watchlist.instruments();
        let symbol = instruments[place].symbol();
        let cluster = symbol.cluster();
        // A share's close is known since its bell, which is hours before its market closes.
        let early = cluster != Cluster::Stocks
            && now
                .utc
                .is_some_and(|utc| self.calendar.closed_moments_ago(symbol, utc));
        let is_close = seed.is_close && !early;
        // The old proxy says nothing of delays; a hub and the vendor do, with each row that has a close.
        let says = seed.delayed || matches!(seed.previous_close, Some(PreviousClose::Told(_)));
        let Self {
            watchlist,
            calendar,
            time,
            ..
        } = self;
        watchlist.set_reported(&seed.ticker, says.then_some(seed.delayed), seed.simulated);
        if seed.delayed {
            time.set_delayed(cluster, true);
        }
        watchlist.set_denial(&seed.ticker, seed.denial, now);
        // A row belongs to the day of its stamp.
        if let Some(as_of) = seed.stamp.filter(|_| seed.day != DayStats::default()) {
            watchlist.set_day(&seed.ticker, seed.day, as_of, now, calendar);
        }
        if let Some(analytics) = seed.analytics {
            // It was computed from the last quote, and the answer may be an old one.
            let as_of = AsOf::heard(seed.book_stamp, seed.age, now);
            watchlist.set_analysis(&seed.ticker, analytics, as_of);
        }
        let fetched = |price, stamp| {
            let quote = Quote::fetched(price, stamp, seed.delayed, now);
            Quote {
                simulated: seed.simulated,
                as_of: AsOf {
                    // The answer may be one of a while ago.
                    confirmed: now.monotonic - seed.age,
                    ..quote.as_of
                },
                ..quote
            }
        };
        // Without a stamp the age of a trade is unknown.
        if let Some((trade, Some(stamp))) = seed.trade {
            watchlist.trade(&seed.ticker, trade, fetched(trade.price, Some(stamp)), now);
        }
        let value = seed.price.map(|price| Quote {
            is_close,
            ..fetched(price, seed.stamp)
        });
        let quoted = seed
            .book
            .map(|book| (book, seed.book_stamp.or(seed.stamp)))
            .filter(|(_, stamp)| stamp.is_some());
        let outcome = match (quoted, value) {
            // A share's price is its trade, a contract's the middle of its book.
            (Some((book, stamp)), _) if cluster == Cluster::Options => {
                let quote = Quote {
                    is_close,
                    ..fetched(ZERO, stamp)
                };
                Some(watchlist.book(&seed.ticker, book, mid(book, quote), now, calendar))
            }
            // Without a stamp nobody knows how old it is: a value of Friday must not look like one of
            // now, so it is not taken at all.
            (_, Some(value)) if value.as_of.stamp.is_some() => {
                Some(watchlist.value(&seed.ticker, value, now, calendar))
            }
            _ => None,
        };
        if let Some(value) = value {
            self.stamped(seed.stamp, &value, now);
        }
        // Not counted when older: REST is often behind the stream.
        if outcome == Some(Outcome::Stored) {
            self.count_outcome(place, Outcome::Stored, now);
        }
        self.previous_close(seed, now);
    }

    fn previous_close(&mut self, seed: &InstrumentSnapshot, now: Now) {
        // A stamp that the agreed time does not vouch for says no day: with one of the future this
        // close would be the last word for as long.
        let quote = Quote::fetched(ZERO, seed.stamp, seed.delayed, now);
        let believed = quote
            .as_of
            .stamp
            .filter(|_| now.utc.is_some() && !quote.is_ahead(now));
        let close = seed.previous_close.and_then(|close| match close {
            PreviousClose::Told(close) => Some((close, believed.or(now.utc)?)),
            // From Friday's value and change follows Thursday's close, on any later day, too.
            PreviousClose::Derived(close) => Some((close, believed?)),
        });
        if let Some((close, as_of)) = close {
            self.watchlist
                .set_previous_close(&seed.ticker, close, as_of, &self.calendar);
        }
        self.watchlist.start_days(now, &self.calendar);
    }

    /// Counts a stamp that is not believed.
    fn stamped(&mut self, stamp: Option<Utc>, quote: &Quote, now: Now) {
        if stamp.is_some() && quote.as_of.stamp.is_none() {
            if self.anomalies.absurd == 0 {
                log::warn!("a value came with a stamp that can be none; the stamp is dropped");
            }
            self.anomalies.absurd += 1;
        } else if quote.is_ahead(now) {
            if self.anomalies.ahead == 0 {
                log::warn!("a value came with a stamp of the future; it is aged from its receipt");
            }
            self.anomalies.ahead += 1;
        }
    }

    fn count_outcome(&mut self, place: usize, outcome: Outcome, now: Now) {
        match outcome {
            Outcome::Older => {
                if self.anomalies.older == 0 {
                    // Mostly REST was a moment ahead of what the hub repeats to a new client.
                    log::debug!("a value came that is older than the one known; it is left out");
                }
                self.anomalies.older += 1;
            }
            Outcome::Doubted => {
                if self.anomalies.doubted == 0
                    && let Some(instrument) = self.watchlist.instruments().get(place)
                {
                    let name = instrument.symbol();
                    log::info!("{name}: a single value came outside its hours; it is not shown");
                }
                self.anomalies.doubted += 1;
            }
            Outcome::Stored => self.check_alerts(place, now),
            Outcome::Unknown => {}
        }
    }

    /// Whether a new value raises an alert. Without an agreed time nobody knows how late it is, and how
    /// late a late source is nobody knows for sure while this machine's own clock is wrong.
    fn check_alerts(&mut self, place: usize, now: Now) {
        if self.settings.alerts.is_empty() || now.utc.is_none() {
            return;
        }
        if !self.alerts.watches(place) {
            return;
        }
        let shown = self.watchlist.shown(place, now, &self.calendar);
        if let Some(shown) = shown
            && match shown.freshness {
                Freshness::Live => true,
                Freshness::Delayed => self.time.is_own(),
                _ => false,
            }
            && let Some(quote) = shown.quote
            && let Some(instrument) = self.watchlist.instruments().get(place)
        {
            let change = instrument.change(&quote, now);
            self.alerts.check(place, quote.price, change, now.monotonic);
        }
    }
}

const ZERO: Price = Price::from_scaled(0);
/// A stream that is less late than this (in ms) is not that of a late source.
const LATE: i64 = 14 * 60_000;

/// The middle of a book as a value; void if it has none.
fn mid(book: TopOfBook, quote: Quote) -> Quote {
    match book.mid() {
        Some(price) => Quote { price, ..quote },
        None => Quote {
            void: true,
            ..quote
        },
    }
}
