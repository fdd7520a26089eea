//! One line of the watchlist: what is known of an instrument, and what that is worth now.

use core::cell::Cell;
use core::time::Duration;

use super::Outcome;
use crate::market::quote::AsOf;
use crate::market::staleness::{DisplayedQuote, INDEX_SETTLEMENT, LinkState, StalenessCheck};
use crate::market::{
    Calendar, Change, DayBars, DayStats, Denial, Freshness, History, MarketPhase, OptionAnalytics,
    Price, Quote, QuoteSource, SessionPart, Symbol, TopOfBook, Trade, TradingDay, limit,
};
use crate::time::{Moment, Now, Utc};

/// One line of the watchlist.
#[derive(Clone, Debug)]
pub struct Instrument {
    pub(super) symbol: Symbol,
    /// The latest value that is believed.
    pub(super) latest: Option<Quote>,
    /// The last close that is known; it may be the latest value, too.
    pub(super) close: Option<Quote>,
    /// The latest value was taken while no time was known.
    pub(super) untimed: bool,
    /// A print outside the known hours: one alone proves nothing.
    pub(super) unconfirmed: Option<Quote>,
    /// The stamp of the last value that was older than the one stored, of the same channel, and when it
    /// came.
    pub(super) last_out_of_order: Option<(Utc, Moment)>,
    /// The last value without a stamp, and the epoch of its link: it may be a repetition.
    pub(super) last_unstamped: Option<(Price, u32)>,
    /// Whether what is known is simulated; `None` while nothing is.
    pub(super) simulated: Option<bool>,
    /// Whether REST says that the source serves it late; `None` if nobody has said.
    pub(super) reported_delayed: Option<bool>,
    /// The vendor has refused to stream it.
    pub(super) not_streamed: bool,
    /// With the time from which on it is the close of another day.
    previous_close: Option<(Price, Utc)>,
    pub(super) history: History,
    pub(super) minutes: DayBars,
    pub(super) book: Option<(TopOfBook, AsOf)>,
    /// As a quote, for it ages like one.
    pub(super) trade: Option<(Trade, Quote)>,
    /// Of the day as REST told it, until the next one begins.
    day: Option<(DayStats, Utc)>,
    pub(super) analytics: Option<(OptionAnalytics, AsOf)>,
    pub(super) denial: Option<Denial>,
    /// The phase of its market, kept because it costs a computation in New York time. Invariant:
    /// it is what this calendar says.
    phase: Cell<Option<((bool, u32), MarketPhase)>>,
    /// How old a value may be, for it takes a look at the name: of a bar of a minute, and others.
    limits: (Duration, Duration),
}

impl Instrument {
    pub(super) fn new(symbol: Symbol) -> Self {
        Self {
            limits: (
                limit(&symbol, QuoteSource::Minute),
                limit(&symbol, QuoteSource::Tick),
            ),
            symbol,
            latest: None,
            close: None,
            untimed: false,
            unconfirmed: None,
            last_out_of_order: None,
            last_unstamped: None,
            simulated: None,
            reported_delayed: None,
            not_streamed: false,
            previous_close: None,
            history: History::new(),
            minutes: DayBars::new(),
            book: None,
            trade: None,
            day: None,
            analytics: None,
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
        self.latest.filter(|quote| !quote.void)
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
    pub const fn minutes(&self) -> &DayBars {
        &self.minutes
    }

    /// Whether what is known is simulated.
    pub fn simulated(&self) -> bool {
        self.simulated == Some(true)
    }

    /// Whether REST says that its source serves it late; `None` if nobody has said.
    pub const fn reported_delayed(&self) -> Option<bool> {
        self.reported_delayed
    }

    /// The best bid and ask, unless they are older than `limit` or of an unknown age.
    pub fn book(&self, now: Now, limit: Duration) -> Option<TopOfBook> {
        let (book, as_of) = self.book?;
        as_of
            .age(now)
            .is_some_and(|age| age <= limit)
            .then_some(book)
    }

    /// The last trade, and how old it is. `None` while nobody can tell its age.
    pub fn trade(&self, now: Now) -> Option<(Trade, Duration)> {
        let (trade, quote) = self.trade?;
        Some((trade, quote.age(now)?))
    }

    /// What is computed of it, unless that is older than `limit` or of an unknown age.
    pub fn analytics(&self, now: Now, limit: Duration) -> Option<OptionAnalytics> {
        let (analytics, as_of) = self.analytics?;
        as_of
            .age(now)
            .is_some_and(|age| age <= limit)
            .then_some(analytics)
    }

    /// The trading day: its range and its volume. There is no range until somebody has told the day,
    /// for what this program saw of it may be a part; from then on it holds what came.
    pub fn day(&self, now: Now) -> DayStats {
        let reported = self
            .day
            .filter(|(_, until)| until.0 == i64::MAX || now.utc.is_some_and(|utc| utc < *until));
        let reported = reported.map_or(DayStats::default(), |(day, _)| day);
        let seen = self.minutes.range();
        let range = match (seen, reported.range) {
            (Some((low, high)), Some((lower, higher))) => Some((low.min(lower), high.max(higher))),
            (Some(range), None) if self.minutes.is_backfilled() => Some(range),
            (None, Some(range)) => Some(range),
            _ => None,
        };
        // Where there are no hours nothing else holds the price.
        let latest = self
            .quote()
            .filter(|quote| self.minutes.day().is_none() && !quote.outside);
        DayStats {
            range: range.map(|(low, high)| match latest {
                Some(quote) => (low.min(quote.price), high.max(quote.price)),
                None => (low, high),
            }),
            volume: reported.volume,
        }
    }

    /// Why the vendor serves nothing of it.
    pub fn denial(&self) -> Option<Denial> {
        let nothing = self.not_streamed && self.latest.is_none();
        self.denial
            .or_else(|| nothing.then_some(Denial::NotEntitled))
    }

    /// The part of the trading day, if its market is open.
    pub fn part(&self, now: Now, calendar: &Calendar) -> Option<SessionPart> {
        self.phase(now.utc, calendar)?.part()
    }

    /// Whether the market of this index has closed so shortly ago that its official close may still come
    /// from a source that is so late (in ms).
    pub fn is_settling(&self, delay: i64, now: Now, calendar: &Calendar) -> bool {
        let Some(utc) = now.utc else { return false };
        matches!(self.phase(Some(utc), calendar), Some(MarketPhase::Closed { close, .. })
            if utc.0 <= close.0.saturating_add(INDEX_SETTLEMENT + delay))
    }

    /// The change of the value shown since the previous close, or of one outside the known hours since
    /// the close. `None` while either is unknown, once the next trading day has begun, and without an
    /// agreed time: a change against another day's close is wrong.
    pub fn change(&self, shown: &Quote, now: Now) -> Option<Change> {
        let utc = now.utc?;
        if shown.outside {
            return Some(shown.price.change_from(self.close?.price));
        }
        // A value of the day before is no change of today.
        let as_of = shown.as_of.utc(now)?;
        if self.minutes.day().is_some_and(|day| as_of < day.start) {
            return None;
        }
        let (close, until) = self.previous_close?;
        (utc < until).then_some(shown.price.change_from(close))
    }

    /// The change is not known although there is a close to be asked for.
    pub fn lacks_previous_close(&self, now: Now) -> bool {
        let utc = now.utc;
        let known = |(_, until): (Price, Utc)| utc.is_some_and(|utc| utc < until);
        !self.previous_close.is_some_and(known)
    }

    /// The last price outside the known hours while the close is shown in its place, and its age.
    pub fn outside(&self, shown: &Quote, now: Now) -> Option<(Quote, Duration)> {
        let quote = self
            .quote()
            .filter(|quote| quote.outside && !shown.outside)?;
        Some((quote, quote.age(now)?))
    }

    /// What is to be shown now, and what it is worth.
    pub(super) fn shown(&self, link: LinkState, now: Now, calendar: &Calendar) -> DisplayedQuote {
        let judge = self.judge(link, self.phase(now.utc, calendar), now);
        let mut shown = judge.shown();
        shown.quote = shown.quote.filter(|quote| !quote.void);
        if shown.quote.is_none() {
            shown.freshness = Freshness::None;
        }
        shown
    }

    pub(super) fn judge(
        &self,
        link: LinkState,
        phase: Option<MarketPhase>,
        now: Now,
    ) -> StalenessCheck<'_> {
        StalenessCheck {
            class: self.symbol.class(),
            latest: self.latest.as_ref(),
            close: self.close.as_ref(),
            limits: self.limits,
            link,
            phase,
            now,
        }
    }

    /// How old a value from there may be.
    pub(super) const fn limit(&self, source: QuoteSource) -> Duration {
        match source {
            QuoteSource::Minute => self.limits.0,
            QuoteSource::Tick | QuoteSource::Rest | QuoteSource::Second => self.limits.1,
        }
    }

    /// Whether the latest value came by a stream and is within its limit.
    pub(super) fn streams(&self, now: Now) -> bool {
        self.latest
            .is_some_and(|quote| quote.is_streamed() && self.is_young(&quote, now))
    }

    /// Whether a value is within its limit.
    pub(super) fn is_young(&self, quote: &Quote, now: Now) -> bool {
        let limit = self.limit(quote.source);
        quote.counted_age(now).is_some_and(|age| age <= limit)
    }

    pub(super) fn phase(&self, utc: Option<Utc>, calendar: &Calendar) -> Option<MarketPhase> {
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

    /// Takes what is said of the trading day that it was true of; what is not said stays.
    pub(super) fn set_day(&mut self, day: DayStats, as_of: Utc, now: Now, calendar: &Calendar) {
        let Some(utc) = now.utc else { return };
        let until = match (
            calendar.trading_day(&self.symbol, as_of),
            calendar.trading_day(&self.symbol, utc),
        ) {
            (Some(its), Some(today)) if its.start == today.start => today.end,
            (None, None) => Utc(i64::MAX),
            // Of another day.
            _ => return,
        };
        let known = self.day.filter(|(_, known)| *known == until);
        let known = known.map_or(DayStats::default(), |(day, _)| day);
        let day = DayStats {
            range: day.range.or(known.range),
            volume: day.volume.or(known.volume),
        };
        self.day = Some((day, until));
    }

    /// Takes the close of the trading day before the one of `as_of`. It is worth something until
    /// the next trading day begins.
    pub(super) fn set_previous_close(
        &mut self,
        close: Price,
        as_of: Utc,
        calendar: &Calendar,
    ) -> Outcome {
        // Before a day's first session the last trading day is the one before.
        let day = calendar.trading_day(&self.symbol, as_of);
        let until = day.map_or(Utc(i64::MAX), |day| day.end);
        match self.previous_close {
            Some((_, known)) if until < known => Outcome::Older,
            _ => {
                self.previous_close = Some((close, until));
                Outcome::Stored
            }
        }
    }

    /// Begins the trading day that has begun, if another has.
    pub(super) fn start_days(&mut self, link: LinkState, now: Now, calendar: &Calendar) {
        let Some(utc) = now.utc else { return };
        self.doubt_untimed(now, calendar);
        let within = |day: &TradingDay| (day.start..day.end).contains(&utc);
        if !self.minutes.day().is_some_and(within) {
            self.record_close(utc, link, now, calendar);
            let day = calendar.trading_day(&self.symbol, utc);
            self.minutes.enter(day);
        }
        // Yesterday's close is today's base, as long as nobody has told another.
        if let (Some(close), Some(day)) = (self.close, self.minutes.day())
            && self.lacks_previous_close(now)
            && let Some(as_of) = close.as_of.utc(now)
            && as_of < day.start
            && calendar.next_day(&self.symbol, as_of) == day.start
        {
            self.previous_close = Some((close.price, day.end));
        }
    }
}
