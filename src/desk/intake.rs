//! What comes in: each update is judged, stored and counted.

use super::Desk;
use crate::clock::{Now, Utc};
use crate::feed::{Close, Seed, Update};
use crate::market::{Day, Freshness, Outcome, Quote};

/// What has come and was not taken as it was. Each is told to the log at its first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Oddities {
    /// Values older than the one known.
    pub older: u64,
    /// Stamps that can be none: dropped, and the value kept.
    pub absurd: u64,
    /// Stamps ahead of this machine's clock: not believed until the clock agrees.
    pub ahead: u64,
}

impl Desk {
    /// Takes in what a session or REST says. What is not on the watchlist any more, or older than
    /// what is known, changes nothing.
    pub fn on(&mut self, update: &Update, now: Now) {
        match update {
            Update::Status(cluster, status) => {
                self.pulse.status(*cluster, *status, now.monotonic);
            }
            // What is asked for is the session's business; what comes of it is the desk's.
            Update::Subscribed(_) => {}
            Update::Value {
                ticker,
                price,
                stamp,
                ..
            } => {
                let quote = Quote::arrived(*price, *stamp, now);
                self.heard(*stamp, &quote, now);
                let outcome = self.watchlist.value(ticker, quote);
                self.took(ticker, outcome, now);
            }
            Update::Bar {
                ticker,
                kind,
                bar,
                volume,
                ..
            } => {
                let close = Quote::arrived(bar.close, Some(bar.end), now);
                self.stamped(Some(bar.end), &close, now);
                // A bar's latency is its length, and says nothing of the way.
                self.pulse.message(None, now);
                let outcome = self.watchlist.bar(ticker, *kind, *bar, now);
                if volume.is_some() {
                    let day = Day {
                        volume: *volume,
                        ..Day::default()
                    };
                    self.watchlist.set_day(ticker, day, now, &self.calendar);
                }
                // A bar is late by its nature: only values are worth a word when they are.
                if outcome == Outcome::Stored {
                    self.took(ticker, outcome, now);
                }
            }
            Update::Quote {
                ticker,
                book,
                stamp,
                ..
            } => {
                let quote = book
                    .middle()
                    .map(|price| Quote::arrived(price, *stamp, now));
                if let Some(quote) = &quote {
                    self.heard(*stamp, quote, now);
                }
                let outcome = self.watchlist.book(ticker, *book, quote);
                self.took(ticker, outcome, now);
            }
            Update::Trade {
                ticker,
                trade,
                stamp,
            } => {
                let quote = Quote::arrived(trade.price, *stamp, now);
                self.heard(*stamp, &quote, now);
                self.watchlist.trade(ticker, *trade, quote);
            }
            Update::Minutes { ticker, bars, .. } => {
                self.watchlist.turn(now, &self.calendar);
                self.watchlist.refill(ticker, bars);
            }
            Update::Market(status, _) => self.calendar.set_status(*status),
            Update::Seed(seed) => self.seed(seed, now),
        }
    }

    fn seed(&mut self, seed: &Seed, now: Now) {
        self.pulse.answered(now.monotonic);
        let Self {
            watchlist,
            calendar,
            ..
        } = self;
        watchlist.set_denial(&seed.ticker, seed.denial, now);
        if seed.day != Day::default() {
            watchlist.set_day(&seed.ticker, seed.day, now, calendar);
        }
        if let Some(analysis) = seed.analysis {
            watchlist.set_analysis(&seed.ticker, analysis, now);
        }
        // Of one without a stamp nobody can tell the age.
        if let Some((trade, Some(stamp))) = seed.trade {
            let quote = Quote::fetched(trade.price, Some(stamp), seed.delayed, now);
            watchlist.trade(&seed.ticker, trade, quote);
        }
        let fetched = |price| Quote::fetched(price, seed.stamp, seed.delayed, now);
        // Without a stamp nobody knows how old it is: a value of Friday must not look like one of
        // now, so it is not taken at all.
        if let Some(quote) = seed.price.map(fetched) {
            self.stamped(seed.stamp, &quote, now);
            if quote.stamp.is_some() {
                // Not counted when older: REST is often behind the stream.
                let outcome = match seed.book.filter(|book| book.middle() == Some(quote.price)) {
                    Some(book) => self.watchlist.book(&seed.ticker, book, Some(quote)),
                    None => self.watchlist.value(&seed.ticker, quote),
                };
                if outcome == Outcome::Stored {
                    self.took(&seed.ticker, outcome, now);
                }
            }
        }
        // A stamp that the clock does not vouch for says no day: with one of the future this
        // close would be the last word for as long.
        let believed = |close| {
            fetched(close)
                .stamp
                .filter(|_| fetched(close).lag.is_some())
        };
        let close = seed.previous_close.and_then(|close| match close {
            Close::Told(close) => Some((close, believed(close).or(now.utc)?)),
            // Of Friday's value and change it is Thursday's close, whatever the day is now.
            Close::Derived(close) => Some((close, believed(close)?)),
        });
        if let Some((close, as_of)) = close {
            self.watchlist
                .set_previous_close(&seed.ticker, close, as_of, &self.calendar);
        }
    }

    /// Counts a stamp that is not believed.
    fn stamped(&mut self, stamp: Option<Utc>, quote: &Quote, now: Now) {
        if stamp.is_some() && quote.stamp.is_none() {
            if self.oddities.absurd == 0 {
                log::warn!("a value came with a stamp that can be none; it is dropped");
            }
            self.oddities.absurd += 1;
        } else if quote.is_ahead(now) {
            if self.oddities.ahead == 0 {
                log::warn!("a stamp is ahead of this machine's clock: one of the two is wrong");
            }
            self.oddities.ahead += 1;
        }
    }

    /// A value was streamed.
    fn heard(&mut self, stamp: Option<Utc>, quote: &Quote, now: Now) {
        self.stamped(stamp, quote, now);
        self.pulse.message(stamp, now);
    }

    fn took(&mut self, ticker: &str, outcome: Outcome, now: Now) {
        match outcome {
            Outcome::Older => {
                if self.oddities.older == 0 {
                    // Mostly REST was a moment ahead of what the hub repeats to who joins.
                    log::debug!("a value came that is older than the one known; it is left out");
                }
                self.oddities.older += 1;
            }
            Outcome::Stored => self.watch_out(ticker, now),
            Outcome::Unknown => {}
        }
    }

    /// Whether a new value raises an alert.
    fn watch_out(&mut self, ticker: &str, now: Now) {
        if self.settings.alerts.is_empty() {
            return;
        }
        let place = self.watchlist.find(ticker);
        let Some(place) = place.filter(|place| self.alerts.watches(*place)) else {
            return;
        };
        let fresh = self.watchlist.freshness(place, now, &self.calendar);
        if let (Freshness::Live | Freshness::Delayed, Some(instrument)) =
            (fresh, self.watchlist.instruments().get(place))
            && let Some(quote) = instrument.quote()
        {
            let change = instrument.change(now);
            self.alerts.look(place, quote.price, change, now.monotonic);
        }
    }
}
