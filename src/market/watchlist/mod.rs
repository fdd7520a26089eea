//! The watchlist: the instruments and their latest data. This module owns the latest value of each
//! instrument and the order of the instruments. The list has a fixed capacity, and this module
//! never reads a clock.

mod ingest;
mod instrument;
mod ordering;
mod previous_close;

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

/// The maximum number of instruments.
pub const CAPACITY: usize = 64;

/// The result of processing a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The value is now the latest value.
    Stored,
    /// A newer value is already stored.
    Older,
    /// The value is the first value outside the trading hours and needs a second value as
    /// confirmation.
    Doubted,
    /// The instrument is not on the watchlist.
    Unknown,
}

/// The instruments of the watchlist, in the order of the user's configuration.
///
/// The list has a size of about 170 KiB, plus 30 KiB on the heap for the minute bars of each
/// instrument. Put the list into a `Box` where the stack is small.
#[derive(Clone, Debug)]
pub struct Watchlist {
    /// Invariant: the list is not empty and contains no ticker twice.
    instruments: heapless::Vec<Instrument, CAPACITY>,
    /// True if every value comes from a source that delivers its values late.
    delayed: bool,
    /// The states of the connections, in the order of [`Cluster::ALL`].
    links: [LinkState; Cluster::ALL.len()],
}

impl Watchlist {
    /// Creates a watchlist of these symbols without data.
    ///
    /// # Errors
    /// The list is empty, contains a symbol twice, or has more than [`CAPACITY`] symbols.
    pub fn new(symbols: &[Symbol]) -> Result<Self, WatchlistError> {
        let mut list = Self {
            instruments: heapless::Vec::new(),
            delayed: false,
            links: [LinkState::default(); Cluster::ALL.len()],
        };
        list.replace(symbols)?;
        Ok(list)
    }

    /// Sets the flag for a feed that is delayed by its subscription plan: every value is then
    /// marked as delayed, independent of the clock.
    pub const fn set_delayed(&mut self, delayed: bool) {
        self.delayed = delayed;
    }

    /// Replaces the list by these symbols in this order. Symbols that stay on the list keep their
    /// data.
    ///
    /// # Errors
    /// The list is empty, contains a symbol twice, or has more than [`CAPACITY`] symbols. The
    /// watchlist is then unchanged.
    pub fn replace(&mut self, symbols: &[Symbol]) -> Result<(), WatchlistError> {
        check(symbols)?;
        self.instruments
            .retain(|instrument| symbols.contains(&instrument.symbol));
        for (place, symbol) in symbols.iter().enumerate() {
            let end = self.instruments.len();
            let found = self.find(symbol.ticker()).unwrap_or(end);
            if found == end {
                let fits = self.instruments.push(Instrument::new(symbol.clone()));
                debug_assert!(fits.is_ok(), "the removed symbols made room");
            }
            self.instruments.swap(place, found);
        }
        Ok(())
    }

    /// The instruments in the order of the list.
    pub fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    /// Returns the index of the instrument with this vendor ticker (`I:SPX`).
    pub fn find(&self, ticker: &str) -> Option<usize> {
        let mut instruments = self.instruments.iter();
        instruments.position(|instrument| instrument.symbol.ticker() == ticker)
    }

    /// The state of the connection for this cluster.
    pub const fn link(&self, cluster: Cluster) -> LinkState {
        self.links[cluster as usize]
    }

    /// Sets the state of the connection for a cluster. `unbroken` is true if the connection and
    /// every upstream connection behind it are up. After a connection loss, a value that is known
    /// to be the close stays the close.
    pub fn set_link(&mut self, cluster: Cluster, unbroken: bool, now: Now, calendar: &Calendar) {
        let link = self.links[cluster as usize];
        if link.unbroken && !unbroken {
            let links = self.links;
            for instrument in self.of_cluster(cluster) {
                instrument.link_breaks(instrument.context(&links, now, calendar));
            }
            self.links[cluster as usize].epoch = link.epoch.wrapping_add(1);
        }
        self.links[cluster as usize].unbroken = unbroken;
    }

    /// Stores the receive time of a frame, which proves that the connection for the cluster is
    /// alive.
    pub fn heard(&mut self, cluster: Cluster, at: Moment) {
        let heard = &mut self.links[cluster as usize].heard;
        *heard = at.max(*heard);
    }

    /// Removes the data of a cluster's instruments if the data changes between simulated and real.
    pub fn set_simulated(&mut self, cluster: Cluster, simulated: bool) {
        for instrument in self.of_cluster(cluster) {
            instrument.set_simulated(simulated);
        }
    }

    /// Processes a value. The newer value wins, independent of its source. A value with the same
    /// timestamp as the stored one is a repetition and does not reset the age.
    pub fn value(&mut self, ticker: &str, quote: Quote, now: Now, calendar: &Calendar) -> Outcome {
        self.find(ticker).map_or(Outcome::Unknown, |place| {
            self.value_at(place, quote, now, calendar)
        })
    }

    /// Processes a value, like [`Self::value`], for the instrument at this index.
    pub fn value_at(
        &mut self,
        place: usize,
        mut quote: Quote,
        now: Now,
        calendar: &Calendar,
    ) -> Outcome {
        let Some(instrument) = self.instruments.get_mut(place) else {
            return Outcome::Unknown;
        };
        quote.delayed |= self.delayed;
        instrument.take(quote, instrument.context(&self.links, now, calendar))
    }

    /// Processes a bar. Its close is stored if the bar ends after the timestamp of the stored
    /// value. If the stored value has no timestamp, the close is stored only after that value has
    /// exceeded its limit. A corrected bar (same window) replaces the close of the first bar, but
    /// never a newer value.
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
        let mut quote = Quote::streamed(bar.close, Some(bar.end), source, provenance, now);
        quote.delayed |= self.delayed;
        let links = self.links;
        let Some(instrument) = self.find_mut(ticker) else {
            return Outcome::Unknown;
        };
        instrument.take_bar(&bar, quote, instrument.context(&links, now, calendar))
    }

    /// Adds the minute bars of the session up to now, which fill the gaps in the streamed data.
    pub fn refill(&mut self, ticker: &str, bars: &[Bar], simulated: bool) {
        if let Some(instrument) = self.find_mut(ticker) {
            instrument.set_simulated(simulated);
            for price in bars.iter().flat_map(|bar| [bar.high, bar.low]) {
                instrument.count_decimals(price);
            }
            instrument.minutes.refill(bars);
        }
    }

    /// Starts a new trading day for each instrument whose day has changed. Call this function
    /// whenever the time changes; the cost is small while the day is the same.
    pub fn start_days(&mut self, now: Now, calendar: &Calendar) {
        for instrument in &mut self.instruments {
            instrument.start_days(instrument.context(&self.links, now, calendar));
        }
    }

    /// Stores the best bid and ask. The middle of the book is the value of the instrument. If the
    /// book has no middle, `quote` must be void, and it removes the previous value.
    pub fn book(
        &mut self,
        ticker: &str,
        book: TopOfBook,
        quote: Quote,
        now: Now,
        calendar: &Calendar,
    ) -> Outcome {
        let outcome = self.value(ticker, quote, now, calendar);
        if let Some(instrument) = self.find_mut(ticker)
            && outcome != Outcome::Doubted
            && instrument.book.is_none_or(|(_, known)| {
                known.stamp <= quote.as_of.stamp || quote.as_of.stamp.is_none()
            })
        {
            instrument.book = Some((book, quote.as_of));
            for price in [book.bid, book.ask] {
                instrument.count_decimals(price);
            }
        }
        outcome
    }

    /// Stores the last trade. `quote` contains the price and the time of the trade.
    pub fn trade(&mut self, ticker: &str, trade: Trade, quote: Quote, now: Now) {
        if let Some(instrument) = self.find_mut(ticker) {
            instrument.set_simulated(quote.simulated);
            let is_newer = |(_, known): (_, Quote)| recency(&known, &quote, now) == Recency::Newer;
            if instrument.trade.is_none_or(is_newer) {
                instrument.trade = Some((trade, quote));
                instrument.count_decimals(trade.price);
            }
        }
    }

    /// Stores the day statistics of the trading day that contains `as_of`. A missing field keeps
    /// its previous value. Statistics of another day are ignored.
    pub fn set_day(
        &mut self,
        ticker: &str,
        day: DayStats,
        as_of: Utc,
        now: Now,
        calendar: &Calendar,
    ) {
        let Some((instrument, utc)) = self.find_mut(ticker).zip(now.utc) else {
            return;
        };
        let day_of = |at| calendar.trading_day(&instrument.symbol, at);
        let until = match (day_of(as_of), day_of(utc)) {
            (Some(its), Some(today)) if its.start == today.start => today.end,
            (None, None) => Utc(i64::MAX),
            // The statistics belong to another day.
            _ => return,
        };
        let known = instrument.day.filter(|(_, known)| *known == until);
        let known = known.map_or(DayStats::default(), |(day, _)| day);
        let day = DayStats {
            range: day.range.or(known.range),
            volume: day.volume.or(known.volume),
        };
        for price in day.range.into_iter().flat_map(<[Price; 2]>::from) {
            instrument.count_decimals(price);
        }
        instrument.day = Some((day, until));
    }

    /// Stores the analytics of an option contract, unless the stored analytics are newer: a hub may
    /// repeat an old response.
    pub fn set_analytics(&mut self, ticker: &str, values: OptionAnalytics, as_of: AsOf, now: Now) {
        if let Some(instrument) = self.find_mut(ticker) {
            let stored = instrument.analytics.and_then(|(_, stored)| stored.age(now));
            if stored.is_none_or(|stored| as_of.is_within(stored, now)) {
                instrument.analytics = Some((values, as_of));
            }
        }
    }

    /// Stores two facts from a REST response: whether the source is delayed, and whether its prices
    /// are simulated.
    pub fn set_reported(&mut self, ticker: &str, delayed: Option<bool>, simulated: bool) {
        if let Some(instrument) = self.find_mut(ticker) {
            instrument.set_simulated(simulated);
            instrument.reported_delayed = delayed.or(instrument.reported_delayed);
        }
    }

    /// Handles a rejected subscription. Only the rejection of the channel that carries the value
    /// marks the instrument as not streamed.
    pub fn set_not_streamed(&mut self, channel: &Channel) {
        if let Some(instrument) = self.find_mut(&channel.ticker)
            && instrument.symbol.kinds().first() == Some(&channel.kind)
        {
            instrument.not_streamed = true;
        }
    }

    /// Marks each instrument of a cluster as not streamed, because the vendor's plan does not
    /// include the cluster.
    pub fn set_cluster_not_streamed(&mut self, cluster: Cluster) {
        let instruments = self.instruments.iter_mut();
        for instrument in instruments.filter(|one| one.symbol.cluster() == cluster) {
            instrument.not_streamed = true;
        }
    }

    /// Stores the reason why the vendor denies an instrument, or `None`. A denial is ignored while
    /// the instrument still receives streamed values.
    pub fn set_denial(&mut self, ticker: &str, denial: Option<Denial>, now: Now) {
        if let Some(instrument) = self.find_mut(ticker) {
            instrument.denial = denial.filter(|_| !instrument.streams(now));
        }
    }

    /// Stores the close of the trading day before the day that contains `as_of`. The close is valid
    /// until the next trading day begins.
    pub fn set_previous_close(
        &mut self,
        ticker: &str,
        close: Price,
        as_of: Utc,
        calendar: &Calendar,
    ) {
        if let Some(instrument) = self.find_mut(ticker) {
            let symbol = &instrument.symbol;
            instrument
                .previous_close
                .report(close, as_of, symbol, calendar);
        }
    }

    /// Returns the current freshness of an instrument. [`Freshness::None`] if `index` is out of
    /// range.
    pub fn freshness(&self, index: usize, now: Now, calendar: &Calendar) -> Freshness {
        self.shown(index, now, calendar)
            .map_or(Freshness::None, |shown| shown.freshness)
    }

    /// Returns the quote to show now and its freshness. `None` if `index` is out of range.
    pub fn shown(&self, index: usize, now: Now, calendar: &Calendar) -> Option<DisplayedQuote<'_>> {
        let instrument = self.instruments.get(index)?;
        Some(instrument.shown(instrument.context(&self.links, now, calendar)))
    }

    /// Returns the close of the last session and the latest price from outside the regular hours,
    /// each with its own freshness. `None` in the regular hours, or if one of the two is unknown.
    pub fn outside_hours(
        &self,
        index: usize,
        now: Now,
        calendar: &Calendar,
    ) -> Option<(DisplayedQuote<'_>, DisplayedQuote<'_>)> {
        let instrument = self.instruments.get(index)?;
        let context = instrument.context(&self.links, now, calendar);
        instrument.judge(context).outside_hours()
    }

    /// Returns the next time at which the freshness of an instrument, or its displayed age, changes
    /// without new data and without a clock change. [`Moment::NEVER`] if `index` is out of range.
    pub fn deadline(&self, index: usize, now: Now, calendar: &Calendar) -> Moment {
        self.shown(index, now, calendar)
            .map_or(Moment::NEVER, |shown| shown.until)
    }

    fn find_mut(&mut self, ticker: &str) -> Option<&mut Instrument> {
        let mut instruments = self.instruments.iter_mut();
        instruments.find(|instrument| instrument.symbol.ticker() == ticker)
    }

    fn of_cluster(&mut self, cluster: Cluster) -> impl Iterator<Item = &mut Instrument> {
        let instruments = self.instruments.iter_mut();
        instruments.filter(move |instrument| instrument.symbol.cluster() == cluster)
    }
}

fn check(symbols: &[Symbol]) -> Result<(), WatchlistError> {
    let mut first = symbols.iter().enumerate().take(CAPACITY + 1);
    let repeated = first.find(|(index, symbol)| symbols[..*index].contains(symbol));
    match (symbols.len(), repeated) {
        (0, _) => Err(WatchlistError::Empty),
        (_, Some((_, symbol))) => {
            let name = Ticker::try_from(symbol.name()).unwrap_or_default();
            Err(WatchlistError::Duplicate(name))
        }
        (count, None) if count > CAPACITY => Err(WatchlistError::Full(count)),
        _ => Ok(()),
    }
}

/// The reason why a list of symbols is not a valid watchlist. The message also explains how to
/// correct the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WatchlistError {
    /// The list contains no symbol.
    Empty,
    /// The list contains this symbol twice.
    Duplicate(Ticker),
    /// The list has this number of symbols, which is more than [`CAPACITY`].
    Full(usize),
}

impl fmt::Display for WatchlistError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => {
                f.write_str("the watchlist is empty: name at least one symbol, for example \"SPX\"")
            }
            Self::Duplicate(name) => {
                write!(f, "{name} is on the watchlist twice: remove one of the two")
            }
            Self::Full(count) => write!(
                f,
                "the watchlist has {count} symbols, but the limit is {CAPACITY}: remove {}",
                count.saturating_sub(CAPACITY)
            ),
        }
    }
}

impl std::error::Error for WatchlistError {}

#[cfg(test)]
mod tests;
