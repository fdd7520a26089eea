//! The store: what is watched and what is known of it. Owns the latest value of each instrument
//! and the order of values; heapless, of fixed capacity, and never reads a clock.

mod instrument;
mod order;
#[cfg(test)]
mod tests;

use core::fmt;

use super::freshness::Judgement;
use super::{
    Analysis, Bar, Book, Calendar, Day, Denial, Freshness, Kind, Part, Price, Quote, Source,
    Symbol, Ticker, Trade,
};
use crate::clock::{Moment, Now, Utc};
pub use instrument::Instrument;
use order::{Order, is_contradicted, order};

/// How many instruments fit.
pub const CAPACITY: usize = 64;

/// What became of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is the one shown now.
    Stored,
    /// A newer one is known.
    Older,
    /// Its instrument is not on the list.
    Unknown,
}

/// The instruments that are watched, in the order the user gave.
///
/// Some 170 KiB in one piece, and 30 KiB beside it for the minutes of each instrument: box it where
/// the stack is small.
#[derive(Clone, Debug)]
pub struct Watchlist {
    /// Invariant: not empty, no ticker twice.
    instruments: heapless::Vec<Instrument, CAPACITY>,
    /// Every value comes from a source that serves it late.
    delayed: bool,
}

impl Watchlist {
    /// A list of these symbols, of which nothing is known yet.
    pub fn new(symbols: &[Symbol]) -> Result<Self, WatchlistError> {
        let mut list = Self {
            instruments: heapless::Vec::new(),
            delayed: false,
        };
        list.replace(symbols)?;
        Ok(list)
    }

    /// Whether the feed is late by definition: then what comes is delayed whatever the clock says.
    pub const fn set_delayed(&mut self, delayed: bool) {
        self.delayed = delayed;
    }

    /// Changes the list to these symbols in this order. What stays on it keeps its value and its
    /// history; after an error everything is as it was.
    pub fn replace(&mut self, symbols: &[Symbol]) -> Result<(), WatchlistError> {
        check(symbols)?;
        self.instruments
            .retain(|instrument| symbols.contains(&instrument.symbol));
        for (place, symbol) in symbols.iter().enumerate() {
            let found = match self.find(symbol.ticker()) {
                Some(found) => found,
                None => {
                    let fits = self.instruments.push(Instrument::new(symbol.clone()));
                    debug_assert!(
                        fits.is_ok(),
                        "the list was checked, and what left made room"
                    );
                    self.instruments.len() - 1
                }
            };
            self.instruments.swap(place, found);
        }
        Ok(())
    }

    /// The instruments in order.
    pub fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    /// The place of the vendor's ticker (`I:SPX`) on the list.
    pub fn find(&self, ticker: &str) -> Option<usize> {
        self.instruments
            .iter()
            .position(|instrument| instrument.symbol.ticker() == ticker)
    }

    /// Takes a value. The newer one wins, whatever its source; a stamp seen again is the same
    /// value again, whose age goes on.
    pub fn value(&mut self, ticker: &str, quote: Quote) -> Outcome {
        let quote = self.marked(quote);
        let Some(instrument) = self.find_mut(ticker) else {
            return Outcome::Unknown;
        };
        match instrument.quote() {
            None => instrument.store(quote),
            Some(stored) => match order(&stored, &quote) {
                Order::Newer => instrument.store(quote),
                Order::Same => instrument.store(Quote {
                    price: quote.price,
                    // What was streamed stays so, though REST repeats it.
                    source: if quote.source == Source::Rest {
                        stored.source
                    } else {
                        quote.source
                    },
                    delayed: stored.delayed || quote.delayed,
                    ..stored
                }),
                Order::Older => Outcome::Older,
            },
        }
    }

    /// Takes a bar. Its close is shown if it ends after the shown value's stamp; if a stamp is
    /// missing, only if the shown value has outlived its limit. A corrected bar (same window)
    /// replaces the close it corrects, and never a newer value.
    pub fn bar(&mut self, ticker: &str, kind: Kind, bar: Bar, now: Now) -> Outcome {
        let source = match kind {
            Kind::Minute => Source::Minute,
            _ => Source::Second,
        };
        let new = self.marked(Quote::of_bar(&bar, source, now));
        let Some(instrument) = self.find_mut(ticker) else {
            return Outcome::Unknown;
        };
        match kind {
            _ if new.lag.is_none() => {}
            Kind::Minute => instrument.minutes.bar(&bar),
            // Its extremes are the minute's, whatever becomes of its close.
            _ => {
                for price in [bar.high, bar.low, bar.close] {
                    instrument.minutes.value(price, bar.start);
                }
            }
        }
        let Some(stored) = instrument.quote() else {
            return instrument.store(new);
        };
        let ticked = matches!(stored.source, Source::Tick | Source::Rest)
            && !stored.is_of_unknown_age()
            && !is_contradicted(&stored, &new);
        match order(&stored, &new) {
            Order::Newer if stored.stamp.is_none() || new.stamp.is_none() => {
                let limit = instrument.limit(stored.source);
                if stored.counted_age(now.monotonic) <= limit {
                    return Outcome::Older;
                }
                instrument.store(new)
            }
            // "Newer" by age, but not by stamp: enough for a bar to replace a bar.
            Order::Newer if ticked && new.stamp <= stored.stamp => Outcome::Older,
            Order::Newer => instrument.store(new),
            Order::Same if !ticked && stored.source == source => instrument.store(Quote {
                price: new.price,
                ..stored
            }),
            Order::Same | Order::Older => Outcome::Older,
        }
    }

    /// Takes the minutes of the session so far: they fill in what was missed.
    pub fn refill(&mut self, ticker: &str, bars: &[Bar]) -> Outcome {
        let Some(instrument) = self.find_mut(ticker) else {
            return Outcome::Unknown;
        };
        instrument.minutes.refill(bars);
        Outcome::Stored
    }

    /// Begins the trading days that have begun. To be called when the time is another; costs
    /// little while nothing is new.
    pub fn turn(&mut self, now: Now, calendar: &Calendar) {
        for instrument in &mut self.instruments {
            let Some(utc) = now.utc else { continue };
            let within = |day: &super::TradingDay| (day.start..day.end).contains(&utc);
            if !instrument.minutes.day().is_some_and(within) {
                let day = calendar.trading_day(&instrument.symbol, utc);
                instrument.minutes.enter(day);
            }
        }
    }

    /// Takes the best bid and ask; their middle is the value.
    pub fn book(&mut self, ticker: &str, book: Book, quote: Option<Quote>) -> Outcome {
        let outcome = match quote {
            Some(quote) => self.value(ticker, quote),
            // Nobody bids, or the two are crossed: that is news, and no value.
            None => Outcome::Stored,
        };
        if outcome == Outcome::Stored
            && let Some(instrument) = self.find_mut(ticker)
        {
            let received = quote.map(|quote| quote.received);
            instrument.book = received.map(|received| (book, received));
        }
        outcome
    }

    /// Takes a trade, as the quote that it would be.
    pub fn trade(&mut self, ticker: &str, trade: Trade, quote: Quote) -> Outcome {
        let Some(instrument) = self.find_mut(ticker) else {
            return Outcome::Unknown;
        };
        match instrument.trade {
            Some((_, stored)) if !matches!(order(&stored, &quote), Order::Newer) => Outcome::Older,
            _ => {
                instrument.trade = Some((trade, quote));
                Outcome::Stored
            }
        }
    }

    /// Takes what is said of the day so far; what is not said stays.
    pub fn set_day(&mut self, ticker: &str, day: Day, now: Now, calendar: &Calendar) {
        let Some(instrument) = self.find_mut(ticker) else {
            return;
        };
        let Some(utc) = now.utc else { return };
        let known = instrument.day.filter(|(_, until)| utc < *until);
        let until = match (known, calendar.trading_day(&instrument.symbol, utc)) {
            (Some((_, until)), _) => until,
            (None, Some(day)) => day.end,
            (None, None) => Utc(i64::MAX),
        };
        let known = known.map_or(Day::default(), |(day, _)| day);
        let day = Day {
            range: day.range.or(known.range),
            volume: day.volume.or(known.volume),
        };
        instrument.day = Some((day, until));
    }

    /// Takes what is computed of a contract.
    pub fn set_analysis(&mut self, ticker: &str, analysis: Analysis, now: Now) {
        if let Some(instrument) = self.find_mut(ticker) {
            instrument.analysis = Some((analysis, now.monotonic));
        }
    }

    /// Takes whether the vendor serves it at all. What still streams is served, whatever REST
    /// says.
    pub fn set_denial(&mut self, ticker: &str, denial: Option<Denial>, now: Now) {
        if let Some(instrument) = self.find_mut(ticker) {
            let streams = instrument.quote().is_some_and(|quote| {
                quote.counted_age(now.monotonic) <= instrument.limit(quote.source)
            });
            instrument.denial = denial.filter(|_| !streams);
        }
    }

    /// Takes the close of the trading day before the one of `as_of`. It is worth something until
    /// the next trading day begins.
    pub fn set_previous_close(
        &mut self,
        ticker: &str,
        close: Price,
        as_of: Utc,
        calendar: &Calendar,
    ) -> Outcome {
        let Some(instrument) = self.find_mut(ticker) else {
            return Outcome::Unknown;
        };
        let until = calendar.next_day(&instrument.symbol, as_of);
        match instrument.previous_close {
            Some((_, known)) if until < known => Outcome::Older,
            _ => {
                instrument.previous_close = Some((close, until));
                Outcome::Stored
            }
        }
    }

    /// What the value of an instrument is worth now; [`Freshness::None`] past the list's end.
    pub fn freshness(&self, index: usize, now: Now, calendar: &Calendar) -> Freshness {
        self.judge(index, now, calendar)
            .map_or(Freshness::None, |judgement| judgement.freshness)
    }

    /// What the value of an instrument is worth now, and which part of the day is on.
    pub fn sight(
        &self,
        index: usize,
        now: Now,
        calendar: &Calendar,
    ) -> Option<(Freshness, Option<Part>)> {
        let judgement = self.judge(index, now, calendar)?;
        Some((judgement.freshness, judgement.part))
    }

    /// When the freshness of an instrument, or the age it gives, is next another although nothing
    /// arrives and no clock is set. [`Moment::NEVER`] where there is no value.
    pub fn deadline(&self, index: usize, now: Now, calendar: &Calendar) -> Moment {
        self.judge(index, now, calendar)
            .map_or(Moment::NEVER, |judgement| judgement.until)
    }

    /// Until when the value of an instrument is plain although nothing arrives; `None` if it is not.
    pub fn plain_until(&self, index: usize, now: Now, calendar: &Calendar) -> Option<Moment> {
        let judgement = self.judge(index, now, calendar)?;
        let plain = matches!(judgement.freshness, Freshness::Live | Freshness::Delayed);
        plain.then_some(judgement.until)
    }

    fn judge(&self, index: usize, now: Now, calendar: &Calendar) -> Option<Judgement> {
        Some(self.instruments.get(index)?.judge(now, calendar))
    }

    fn marked(&self, quote: Quote) -> Quote {
        Quote {
            delayed: quote.delayed || self.delayed,
            ..quote
        }
    }

    fn find_mut(&mut self, ticker: &str) -> Option<&mut Instrument> {
        let index = self.find(ticker)?;
        self.instruments.get_mut(index)
    }
}

fn check(symbols: &[Symbol]) -> Result<(), WatchlistError> {
    if symbols.is_empty() {
        return Err(WatchlistError::Empty);
    }
    for (index, symbol) in symbols.iter().enumerate().take(CAPACITY + 1) {
        if symbols[..index].contains(symbol) {
            return Err(WatchlistError::Duplicate(
                Ticker::try_from(symbol.name()).unwrap_or_default(),
            ));
        }
    }
    if symbols.len() > CAPACITY {
        return Err(WatchlistError::Full(symbols.len()));
    }
    Ok(())
}

/// Why these symbols are no watchlist; the message says what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WatchlistError {
    /// There is none.
    Empty,
    /// This one is there twice.
    Duplicate(Ticker),
    /// There are this many, more than [`CAPACITY`].
    Full(usize),
}

impl fmt::Display for WatchlistError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WatchlistError::Empty => {
                f.write_str("the watchlist is empty: name at least one symbol, for example \"SPX\"")
            }
            WatchlistError::Duplicate(ticker) => {
                write!(
                    f,
                    "{ticker} is on the watchlist twice: remove one of the two"
                )
            }
            WatchlistError::Full(count) => write!(
                f,
                "the watchlist names {count} symbols and {CAPACITY} fit: remove {}",
                count.saturating_sub(CAPACITY)
            ),
        }
    }
}

impl std::error::Error for WatchlistError {}
