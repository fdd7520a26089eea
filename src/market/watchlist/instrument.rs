//! One line of the watchlist: what is known of an instrument, and what that is worth now.

use core::cell::Cell;
use core::time::Duration;

use super::Outcome;
use crate::clock::{Moment, Now, Utc};
use crate::market::freshness::{Judgement, judge};
use crate::market::{
    Analysis, Book, Calendar, Change, Day, Denial, EXTENDED_LIMIT, Freshness, History, Minutes,
    Part, Phase, Price, Quote, Source, Symbol, Trade, limit,
};

/// One line of the watchlist.
#[derive(Clone, Debug)]
pub struct Instrument {
    pub(super) symbol: Symbol,
    /// A cell, because its lag is settled when it is first judged with a clock that is set.
    quote: Cell<Option<Quote>>,
    /// With the time from which on it is the close of another day.
    pub(super) previous_close: Option<(Price, Utc)>,
    history: History,
    pub(super) minutes: Minutes,
    /// With when it came.
    pub(super) book: Option<(Book, Moment)>,
    /// As a quote, for it ages like one.
    pub(super) trade: Option<(Trade, Quote)>,
    /// Of the day as REST told it, until the next one begins.
    pub(super) day: Option<(Day, Utc)>,
    /// With when it came.
    pub(super) analysis: Option<(Analysis, Moment)>,
    pub(super) denial: Option<Denial>,
    /// The phase of its market, kept because it costs a computation in New York time. Invariant:
    /// it is what this calendar says.
    phase: Cell<Option<((bool, u32), Phase)>>,
    /// How old a value may be, for it takes a look at the name: of a bar of a minute, and others.
    limits: (Duration, Duration),
}

impl Instrument {
    pub(super) fn new(symbol: Symbol) -> Self {
        Self {
            limits: (limit(&symbol, Source::Minute), limit(&symbol, Source::Tick)),
            symbol,
            quote: Cell::new(None),
            previous_close: None,
            history: History::new(),
            minutes: Minutes::new(),
            book: None,
            trade: None,
            day: None,
            analysis: None,
            denial: None,
            phase: Cell::new(None),
        }
    }

    /// What it is.
    pub const fn symbol(&self) -> &Symbol {
        &self.symbol
    }

    /// The latest value.
    pub fn quote(&self) -> Option<Quote> {
        self.quote.get()
    }

    /// The curve over the session, or, where there are no hours or nothing is known of them yet,
    /// over the latest values. Evenly spaced, oldest first.
    pub fn curve(&self) -> &[Price] {
        match self.minutes.points() {
            [] | [_] => self.history.points(),
            points => points,
        }
    }

    /// The minutes of the trading day.
    pub const fn minutes(&self) -> &Minutes {
        &self.minutes
    }

    /// The best bid and ask, unless they are older than `limit`.
    pub fn book(&self, now: Moment, limit: Duration) -> Option<Book> {
        let (book, received) = self.book?;
        (now.since(received) <= limit).then_some(book)
    }

    /// The last trade, and how old it is. `None` while nobody can tell its age.
    pub fn trade(&self, now: Now) -> Option<(Trade, Duration)> {
        let (trade, quote) = self.trade?;
        let quote = quote.settled(now);
        (!quote.is_of_unknown_age()).then(|| (trade, quote.age(now.monotonic)))
    }

    /// What is computed of it, unless that came longer ago than `limit`.
    pub fn analysis(&self, now: Moment, limit: Duration) -> Option<Analysis> {
        let (analysis, received) = self.analysis?;
        (now.since(received) <= limit).then_some(analysis)
    }

    /// The trading day: the range of what came and of what REST told, and the volume.
    pub fn day(&self, now: Now) -> Day {
        let told = self
            .day
            .filter(|(_, until)| now.utc.is_some_and(|utc| utc < *until));
        let told = told.map_or(Day::default(), |(day, _)| day);
        let range = match (self.minutes.range(), told.range) {
            (Some((low, high)), Some((lower, higher))) => Some((low.min(lower), high.max(higher))),
            (Some(range), None) | (None, Some(range)) => Some(range),
            (None, None) => None,
        };
        Day {
            range,
            volume: told.volume,
        }
    }

    /// Why the vendor serves nothing of it.
    pub const fn denial(&self) -> Option<Denial> {
        self.denial
    }

    /// The part of the trading day, if its market is open.
    pub fn part(&self, now: Now, calendar: &Calendar) -> Option<Part> {
        match self.phase(now.utc, calendar)? {
            Phase::Open { part, .. } => Some(part),
            Phase::Closed { .. } => None,
        }
    }

    /// The change since the previous close. `None` while either is unknown, once the next trading
    /// day has begun, and without a clock: a change against another day's close is wrong.
    pub fn change(&self, now: Now) -> Option<Change> {
        let (close, until) = self.previous_close?;
        (now.utc? < until).then_some(self.quote()?.price.change_from(close))
    }

    pub(super) fn judge(&self, now: Now, calendar: &Calendar) -> Judgement {
        let Some(mut quote) = self.quote.get() else {
            return Judgement {
                freshness: Freshness::None,
                until: Moment::NEVER,
                part: self.part(now, calendar),
            };
        };
        if quote.lag.is_none() {
            quote = quote.settled(now);
            self.quote.set(Some(quote));
        }
        let phase = self.phase(now.utc, calendar);
        let limit = self.limit(quote.source).max(match phase {
            Some(Phase::Open {
                part: Part::Pre | Part::Post,
                ..
            }) => EXTENDED_LIMIT,
            _ => Duration::ZERO,
        });
        judge(&quote, limit, phase, now)
    }

    /// How old a value from there may be.
    pub(super) const fn limit(&self, source: Source) -> Duration {
        match source {
            Source::Minute => self.limits.0,
            Source::Tick | Source::Rest | Source::Second => self.limits.1,
        }
    }

    fn phase(&self, utc: Option<Utc>, calendar: &Calendar) -> Option<Phase> {
        let utc = utc?;
        if let Some((known, phase)) = self.phase.get()
            && known == calendar.revision()
            && phase.covers(utc)
        {
            return Some(phase);
        }
        let phase = calendar.phase(&self.symbol, utc);
        self.phase.set(Some((calendar.revision(), phase)));
        Some(phase)
    }

    pub(super) fn store(&mut self, quote: Quote) -> Outcome {
        if !quote.came_old() {
            self.history.push(quote.price, quote.received);
        }
        // A stamp that the clock does not vouch for names no minute.
        if let Some(stamp) = quote.stamp.filter(|_| quote.lag.is_some())
            && quote.source != Source::Minute
        {
            self.minutes.value(quote.price, stamp);
        }
        // What has a price is served.
        self.denial = None;
        self.quote.set(Some(quote));
        Outcome::Stored
    }
}
