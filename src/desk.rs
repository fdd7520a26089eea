//! The one owner of what is known: applies updates, judges them, and draws. Pure but for the
//! frame that it draws into: time is an argument, and it waits for nothing.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::clock::{Moment, Now, Utc};
use crate::feed::link::Phase;
use crate::feed::session::Orders;
use crate::feed::{Close, Seed, Status, Update, subscriptions};
use crate::market::{
    Calendar, Class, Cluster, Freshness, Instrument, Outcome, Quote, Source, Symbol, Watchlist,
    WatchlistError, limit,
};
use crate::screen::{self, Format, Frame, Glyphs, Kept, Line, Page, Sign, Size, View};

/// With more than two instruments each pair is shown this long.
pub const PAGE: Duration = Duration::from_secs(10);
/// Instruments on one page.
const PER_PAGE: usize = 2;
const MINUTE: i64 = 60_000;
/// Contracts may go unquoted for long; all of them for this long while they are traded, only if
/// nothing arrives any more.
const CONTRACTS: Duration = Duration::from_secs(300);
/// While the clock is not set, it is looked at this often: nothing tells when it is.
const CLOCK_CHECK: Duration = Duration::from_secs(5);

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

/// What is known and how it is shown.
#[derive(Debug)]
pub struct Desk {
    watchlist: Box<Watchlist>,
    calendar: Calendar,
    zone: TimeZone,
    /// In the order of [`Cluster::ALL`].
    links: [Status; Cluster::ALL.len()],
    glyphs: Glyphs,
    kept: Kept,
    frame: Frame,
    /// The local time of the last minute asked for; a time zone is not looked up at each tick.
    minute: Option<(i64, (u8, u8))>,
    oddities: Oddities,
}

impl Desk {
    /// A desk that knows nothing yet.
    ///
    /// # Errors
    /// The symbols are no watchlist.
    pub fn new(
        symbols: &[Symbol],
        calendar: Calendar,
        zone: TimeZone,
        size: Size,
    ) -> Result<Self, WatchlistError> {
        let idle = Status {
            phase: Phase::Idle,
            why: None,
            connections: 0,
            simulated: false,
        };
        Ok(Self {
            watchlist: Box::new(Watchlist::new(symbols)?),
            calendar,
            zone,
            links: [idle; Cluster::ALL.len()],
            glyphs: Glyphs::new(),
            kept: Kept::new(),
            frame: Frame::new(size),
            minute: None,
            oddities: Oddities::default(),
        })
    }

    /// Whether the feed is late by definition: then nothing of it is ever shown as live.
    pub const fn set_delayed(&mut self, delayed: bool) {
        self.watchlist.set_delayed(delayed);
    }

    /// What was odd since the start.
    pub const fn oddities(&self) -> Oddities {
        self.oddities
    }

    /// Another watchlist; what stays on it keeps its value and history.
    ///
    /// # Errors
    /// The symbols are no watchlist; then nothing has changed.
    pub fn watch(&mut self, symbols: &[Symbol]) -> Result<(), WatchlistError> {
        self.watchlist.replace(symbols)
    }

    /// The watchlist.
    pub const fn watchlist(&self) -> &Watchlist {
        &self.watchlist
    }

    /// Takes in what a session or REST says. What is not on the watchlist any more, or older than
    /// what is known, changes nothing.
    pub fn on(&mut self, update: &Update, now: Now) {
        match update {
            Update::Status(cluster, status) => self.links[*cluster as usize] = *status,
            Update::Value {
                ticker,
                price,
                stamp,
            } => {
                let quote = Quote::arrived(*price, *stamp, now);
                self.stamped(*stamp, &quote, now);
                let outcome = self.watchlist.value(ticker, quote);
                self.took(outcome);
            }
            Update::Bar {
                ticker, kind, bar, ..
            } => {
                let close = Quote::arrived(bar.close, Some(bar.end), now);
                self.stamped(Some(bar.end), &close, now);
                let outcome = self.watchlist.bar(ticker, *kind, *bar, now);
                self.took(outcome);
            }
            Update::Quote {
                ticker,
                book,
                stamp,
            } => {
                if let Some(price) = book.middle() {
                    let quote = Quote::arrived(price, *stamp, now);
                    self.stamped(*stamp, &quote, now);
                    let outcome = self.watchlist.value(ticker, quote);
                    self.took(outcome);
                }
            }
            Update::Trade { .. } | Update::Minutes { .. } | Update::Market(_) => {}
            Update::Seed(seed) => self.seed(seed, now),
        }
    }

    fn seed(&mut self, seed: &Seed, now: Now) {
        let fetched = |price| Quote::fetched(price, seed.stamp, seed.delayed, now);
        // Without a stamp nobody knows how old it is: a value of Friday must not look like one of
        // now, so it is not taken at all.
        if let Some(quote) = seed.price.map(fetched) {
            self.stamped(seed.stamp, &quote, now);
            if quote.stamp.is_some() {
                // Not counted when older: REST is often behind the stream.
                self.watchlist.value(&seed.ticker, quote);
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

    fn took(&mut self, outcome: Outcome) {
        if outcome == Outcome::Older {
            if self.oddities.older == 0 {
                log::info!("a value came that is older than the one known; it is left out");
            }
            self.oddities.older += 1;
        }
    }

    /// How often a link has returned: then REST is asked what was missed.
    pub fn returns(&self) -> u64 {
        self.links
            .iter()
            .map(|link| u64::from(link.connections.saturating_sub(1)))
            .sum()
    }

    /// Whether a value that could change is streamed by nobody now.
    pub fn unfed(&self, now: Now) -> bool {
        let mut instruments = self.watchlist.instruments().iter().enumerate();
        instruments.any(|(index, instrument)| {
            let cluster = instrument.symbol().cluster();
            let live = self.links[cluster as usize].phase == Phase::Live;
            !live && self.watchlist.freshness(index, now, &self.calendar) != Freshness::Closed
        })
    }

    /// What a cluster's session is to do.
    pub fn orders(&self, cluster: Cluster, now: Now) -> Orders {
        let symbols = || self.watchlist.instruments().iter().map(Instrument::symbol);
        let patience = symbols()
            .filter(|symbol| symbol.cluster() == cluster)
            .filter(|symbol| {
                now.utc
                    .is_some_and(|utc| self.calendar.phase(symbol, utc).is_open())
            })
            .map(|symbol| match symbol.class() {
                // Index values come by a timetable.
                Class::Index => 2 * limit(symbol, Source::Tick),
                Class::Option | Class::Equity => CONTRACTS,
            })
            .min();
        Orders {
            channels: subscriptions::route(symbols(), cluster),
            patience,
            stop: false,
        }
    }

    /// Draws what is to be seen now.
    pub fn draw(&mut self, now: Now) -> &Frame {
        let time = now.utc.and_then(|utc| self.local_time(utc));
        let page = self.page(now.monotonic);
        let line = |index: usize| {
            let instrument = self.watchlist.instruments().get(index)?;
            Some(Line {
                label: instrument.symbol().name(),
                contract: instrument.symbol().contract(),
                part: None,
                denial: None,
                price: instrument.quote().map(|quote| quote.price),
                change: instrument.change(now),
                freshness: self.watchlist.freshness(index, now, &self.calendar),
                history: instrument.history().points(),
            })
        };
        let view = View {
            page: match line(page * PER_PAGE) {
                Some(primary) => Page::Pair(primary, line(page * PER_PAGE + 1)),
                None => Page::Empty,
            },
            misconfigured: false,
            alert: None,
            format: Format::default(),
            time,
            sign: self.sign(),
            simulated: self.links.iter().any(|link| link.simulated),
        };
        screen::draw(&view, &self.glyphs, &mut self.kept, &mut self.frame);
        &self.frame
    }

    /// Whether every instrument has a value.
    pub fn complete(&self, now: Now) -> bool {
        (0..self.watchlist.instruments().len())
            .all(|index| self.watchlist.freshness(index, now, &self.calendar) != Freshness::None)
    }

    /// When [`Desk::draw`] would draw something else although nothing comes.
    pub fn deadline(&self, now: Now) -> Moment {
        let first = self.page(now.monotonic) * PER_PAGE;
        let aged = (first..first + PER_PAGE)
            .map(|index| self.watchlist.deadline(index, now, &self.calendar));
        let minute = now.utc.map_or(now.monotonic + CLOCK_CHECK, |utc| {
            now.monotonic
                + Duration::from_millis((MINUTE - utc.0.rem_euclid(MINUTE)).unsigned_abs())
        });
        let page = if self.pages() > 1 {
            let millis = PAGE.as_millis() as u64;
            now.monotonic + Duration::from_millis(millis - now.monotonic.as_millis() % millis)
        } else {
            Moment::NEVER
        };
        aged.min().unwrap_or(Moment::NEVER).min(minute).min(page)
    }

    fn pages(&self) -> usize {
        self.watchlist.instruments().len().div_ceil(PER_PAGE)
    }

    fn page(&self, now: Moment) -> usize {
        // Both fit: there are 64 instruments at most.
        (now.as_millis() / PAGE.as_millis() as u64) as usize % self.pages().max(1)
    }

    /// The worst of the links that are needed: what is live needs no sign.
    fn sign(&self) -> Sign {
        let worst = self
            .links
            .iter()
            .filter(|link| link.phase != Phase::Idle)
            .max_by_key(|link| match link.phase {
                Phase::Idle | Phase::Live => 0,
                Phase::Joining => 1,
                Phase::Silent => 2,
                Phase::Down => 3,
                Phase::Refused => 4,
            });
        match worst.map(|link| link.phase) {
            Some(Phase::Live) => Sign::Live,
            Some(Phase::Silent) => Sign::Silent,
            Some(Phase::Down) => Sign::Down,
            Some(Phase::Refused) => Sign::Refused,
            // Nothing is open yet: the first link is on its way.
            Some(Phase::Joining | Phase::Idle) | None => Sign::Joining,
        }
    }

    fn local_time(&mut self, utc: Utc) -> Option<(u8, u8)> {
        let minute = utc.0.div_euclid(MINUTE);
        if let Some((known, time)) = self.minute
            && known == minute
        {
            return Some(time);
        }
        let local = self
            .zone
            .to_datetime(Timestamp::from_millisecond(utc.0).ok()?);
        let time = (
            u8::try_from(local.hour()).ok()?,
            u8::try_from(local.minute()).ok()?,
        );
        self.minute = Some((minute, time));
        Some(time)
    }
}

#[cfg(test)]
mod tests;
