//! The store: what is watched and what is known of it. Owns the latest value of each instrument
//! and the order of values; heapless, of fixed capacity, and never reads a clock.

mod ingest;
mod instrument;
mod ordering;

use core::fmt;

use super::quote::AsOf;
use super::staleness::{DisplayedQuote, LinkState};
use super::{
    Bar, Calendar, Channel, ChannelKind, Cluster, DayStats, Denial, Freshness, OptionAnalytics,
    Price, Provenance, Quote, QuoteSource, Symbol, Ticker, TopOfBook, Trade,
};
use crate::time::{Moment, Now, Utc};
pub use instrument::Instrument;
use ordering::{Recency, recency};

/// How many instruments fit.
pub const CAPACITY: usize = 64;

/// What became of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is the one shown now.
    Stored,
    /// A newer one is known.
    Older,
    /// It came outside the known hours, alone, and is not believed.
    Doubted,
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
    /// The links that values come on, in the order of [`Cluster::ALL`].
    links: [LinkState; Cluster::ALL.len()],
}

impl Watchlist {
    /// A list of these symbols, of which nothing is known yet.
    pub fn new(symbols: &[Symbol]) -> Result<Self, WatchlistError> {
        let mut list = Self {
            instruments: heapless::Vec::new(),
            delayed: false,
            links: [LinkState::default(); Cluster::ALL.len()],
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

    /// The link of this cluster.
    pub const fn link(&self, cluster: Cluster) -> LinkState {
        self.links[cluster as usize]
    }

    /// Whether the link of a cluster is in use and what is behind it too. When it breaks, what is known
    /// to be the close by then stays it.
    pub fn set_link(&mut self, cluster: Cluster, unbroken: bool, now: Now, calendar: &Calendar) {
        let link = self.links[cluster as usize];
        if link.unbroken && !unbroken {
            let instruments = self.instruments.iter_mut();
            for instrument in instruments.filter(|one| one.symbol.cluster() == cluster) {
                instrument.link_breaks(link, now, calendar);
            }
            self.links[cluster as usize].epoch = link.epoch.wrapping_add(1);
        }
        self.links[cluster as usize].unbroken = unbroken;
    }

    /// The link of a cluster has proven at this time that it lives.
    pub fn heard(&mut self, cluster: Cluster, at: Moment) {
        let heard = &mut self.links[cluster as usize].heard;
        *heard = at.max(*heard);
    }

    /// What is known of a cluster's instruments is dropped if it is of the other kind.
    pub fn set_simulated(&mut self, cluster: Cluster, simulated: bool) {
        let instruments = self.instruments.iter_mut();
        for instrument in instruments.filter(|one| one.symbol.cluster() == cluster) {
            instrument.set_simulated(simulated);
        }
    }

    /// Takes a value. The newer one wins, whatever its source; a stamp seen again is the same
    /// value again, whose age goes on.
    pub fn value(&mut self, ticker: &str, quote: Quote, now: Now, calendar: &Calendar) -> Outcome {
        match self.find(ticker) {
            Some(place) => self.value_at(place, quote, now, calendar),
            None => Outcome::Unknown,
        }
    }

    /// The same for the instrument at this place.
    pub fn value_at(
        &mut self,
        place: usize,
        quote: Quote,
        now: Now,
        calendar: &Calendar,
    ) -> Outcome {
        let quote = self.marked(quote);
        let Some(instrument) = self.instruments.get_mut(place) else {
            return Outcome::Unknown;
        };
        let link = self.links[instrument.symbol.cluster() as usize];
        instrument.take(quote, link, now, calendar)
    }

    /// Takes a bar. Its close is shown if it ends after the shown value's stamp; if a stamp is
    /// missing, only if the shown value has outlived its limit. A corrected bar (same window)
    /// replaces the close it corrects, and never a newer value.
    pub fn bar(
        &mut self,
        ticker: &str,
        kind: ChannelKind,
        bar: Bar,
        provenance: Provenance,
        now: Now,
        calendar: &Calendar,
    ) -> Outcome {
        let source = match kind {
            ChannelKind::Minute => QuoteSource::Minute,
            _ => QuoteSource::Second,
        };
        let quote = Quote::streamed(bar.close, Some(bar.end), source, provenance, now);
        let quote = self.marked(quote);
        let Some((instrument, link)) = self.find_mut(ticker) else {
            return Outcome::Unknown;
        };
        instrument.take_bar(&bar, quote, link, now, calendar)
    }

    /// Takes the minutes of the session so far: they fill in what was missed.
    pub fn refill(&mut self, ticker: &str, bars: &[Bar], simulated: bool) -> Outcome {
        let Some((instrument, _)) = self.find_mut(ticker) else {
            return Outcome::Unknown;
        };
        instrument.set_simulated(simulated);
        instrument.minutes.refill(bars);
        Outcome::Stored
    }

    /// Begins the trading days that have begun. To be called when the time is another; costs
    /// little while nothing is new.
    pub fn start_days(&mut self, now: Now, calendar: &Calendar) {
        for instrument in &mut self.instruments {
            let link = self.links[instrument.symbol.cluster() as usize];
            instrument.start_days(link, now, calendar);
        }
    }

    /// Takes the best bid and ask; their middle is the value. Without a middle the one before is gone:
    /// `quote` is then void.
    pub fn book(
        &mut self,
        ticker: &str,
        book: TopOfBook,
        quote: Quote,
        now: Now,
        calendar: &Calendar,
    ) -> Outcome {
        let outcome = self.value(ticker, quote, now, calendar);
        if let Some((instrument, _)) = self.find_mut(ticker)
            && outcome != Outcome::Doubted
            && instrument.book.is_none_or(|(_, known)| {
                known.stamp <= quote.as_of.stamp || quote.as_of.stamp.is_none()
            })
        {
            instrument.book = Some((book, quote.as_of));
        }
        outcome
    }

    /// Takes a trade, as the quote that it would be.
    pub fn trade(&mut self, ticker: &str, trade: Trade, quote: Quote, now: Now) -> Outcome {
        let Some((instrument, _)) = self.find_mut(ticker) else {
            return Outcome::Unknown;
        };
        instrument.set_simulated(quote.simulated);
        match instrument.trade {
            Some((_, stored)) if recency(&stored, &quote, now) != Recency::Newer => Outcome::Older,
            _ => {
                instrument.trade = Some((trade, quote));
                Outcome::Stored
            }
        }
    }

    /// Takes what is said of the trading day that it was true of; what is not said stays.
    pub fn set_day(
        &mut self,
        ticker: &str,
        day: DayStats,
        as_of: Utc,
        now: Now,
        calendar: &Calendar,
    ) {
        if let Some((instrument, _)) = self.find_mut(ticker) {
            instrument.set_day(day, as_of, now, calendar);
        }
    }

    /// Takes what is computed of a contract.
    pub fn set_analysis(&mut self, ticker: &str, analytics: OptionAnalytics, as_of: AsOf) {
        if let Some((instrument, _)) = self.find_mut(ticker) {
            instrument.analytics = Some((analytics, as_of));
        }
    }

    /// REST has said whether the source serves it late, and whether its prices are real.
    pub fn set_reported(&mut self, ticker: &str, delayed: Option<bool>, simulated: bool) {
        if let Some((instrument, _)) = self.find_mut(ticker) {
            instrument.set_simulated(simulated);
            instrument.reported_delayed = delayed.or(instrument.reported_delayed);
        }
    }

    /// The vendor has refused a channel: without the one that carries the value nothing is streamed.
    pub fn set_not_streamed(&mut self, channel: &Channel) {
        if let Some((instrument, _)) = self.find_mut(&channel.ticker)
            && instrument.symbol.kinds().first() == Some(&channel.kind)
        {
            instrument.not_streamed = true;
        }
    }

    /// Takes whether the vendor serves it at all. What still streams is served, whatever REST
    /// says.
    pub fn set_denial(&mut self, ticker: &str, denial: Option<Denial>, now: Now) {
        if let Some((instrument, _)) = self.find_mut(ticker) {
            instrument.denial = denial.filter(|_| !instrument.streams(now));
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
        let Some((instrument, _)) = self.find_mut(ticker) else {
            return Outcome::Unknown;
        };
        instrument.set_previous_close(close, as_of, calendar)
    }

    /// What the value of an instrument is worth now; [`Freshness::None`] past the list's end.
    pub fn freshness(&self, index: usize, now: Now, calendar: &Calendar) -> Freshness {
        self.shown(index, now, calendar)
            .map_or(Freshness::None, |shown| shown.freshness)
    }

    /// What is to be shown of an instrument now, and what it is worth.
    pub fn shown(&self, index: usize, now: Now, calendar: &Calendar) -> Option<DisplayedQuote> {
        let instrument = self.instruments.get(index)?;
        let link = self.links[instrument.symbol.cluster() as usize];
        Some(instrument.shown(link, now, calendar))
    }

    /// When the freshness of an instrument, or the age it gives, is next another although nothing
    /// arrives and no clock is set. [`Moment::NEVER`] where there is no value.
    pub fn deadline(&self, index: usize, now: Now, calendar: &Calendar) -> Moment {
        self.shown(index, now, calendar)
            .map_or(Moment::NEVER, |shown| shown.until)
    }

    fn marked(&self, mut quote: Quote) -> Quote {
        quote.delayed |= self.delayed;
        quote
    }

    fn find_mut(&mut self, ticker: &str) -> Option<(&mut Instrument, LinkState)> {
        let index = self.find(ticker)?;
        let instrument = self.instruments.get_mut(index)?;
        let link = self.links[instrument.symbol.cluster() as usize];
        Some((instrument, link))
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

#[cfg(test)]
mod tests;
