//! One instrument of the watchlist: its latest data, and the quote to show at the current time.
//! This module never reads a clock.

use core::cell::Cell;
use core::time::Duration;

use super::previous_close::PreviousClose;
use crate::market::day_bars::union;
use crate::market::quote::AsOf;
use crate::market::staleness::{DisplayedQuote, INDEX_SETTLEMENT, LinkState, StalenessCheck};
use crate::market::{
    Calendar, Change, Cluster, DayBars, DayStats, Denial, Freshness, MarketPhase, OptionAnalytics,
    Price, Quote, QuoteSource, SessionPart, Symbol, TopOfBook, Trade, TradingDay, limit,
};
use crate::time::{Moment, Now, Utc};

/// One instrument of the watchlist.
#[derive(Clone, Debug)]
pub struct Instrument {
    pub(super) symbol: Symbol,
    /// The latest accepted value.
    pub(super) latest: Option<Quote>,
    /// The latest known close. The close can also be the latest value.
    pub(super) close: Option<Quote>,
    /// True if the latest value was stored while the wall-clock time was unknown.
    pub(super) untimed: bool,
    /// A single value from outside the trading hours. A second value must confirm it.
    pub(super) unconfirmed: Option<Quote>,
    /// The timestamp and the receive time of the last rejected value: it came from the same source
    /// as the stored value and had an older timestamp.
    pub(super) last_out_of_order: Option<(Utc, Moment)>,
    /// True if the data is simulated; `None` while there is no data.
    pub(super) simulated: Option<bool>,
    /// True if a REST response reported that the source is delayed; `None` if no response contained
    /// this information.
    pub(super) reported_delayed: Option<bool>,
    /// True if the vendor rejected the subscription.
    pub(super) not_streamed: bool,
    /// The previous close, which is the base of the change of today.
    pub(super) previous_close: PreviousClose,
    pub(super) minutes: DayBars,
    /// The most decimals that a price of the trading day usually has.
    decimals: u8,
    pub(super) book: Option<(TopOfBook, AsOf)>,
    /// The last trade. The quote contains the time of the trade, so that its age is computed like
    /// the age of a quote.
    pub(super) trade: Option<(Trade, Quote)>,
    /// The day statistics from a REST response, and the time at which the next trading day begins.
    pub(super) day: Option<(DayStats, Utc)>,
    pub(super) analytics: Option<(OptionAnalytics, AsOf)>,
    pub(super) denial: Option<Denial>,
    /// The cached calendar phase, because its computation in New York time is slow. Invariant: the
    /// phase is the result of the calendar with the stored revision.
    phase: Cell<Option<((bool, u32), MarketPhase)>>,
    /// The maximum age of a value that is not a minute bar. The limit is cached, because its
    /// computation compares the symbol's name.
    pub(super) usual_limit: Duration,
}

/// The conditions at the time at which an instrument processes a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    /// The state of the connection that delivers the values of the instrument.
    pub(super) link: LinkState,
    pub(super) now: Now,
    pub(super) calendar: &'a Calendar,
}

impl Instrument {
    pub(super) fn new(symbol: Symbol) -> Self {
        Self {
            usual_limit: limit(&symbol, QuoteSource::Tick),
            symbol,
            latest: None,
            close: None,
            untimed: false,
            unconfirmed: None,
            last_out_of_order: None,
            simulated: None,
            reported_delayed: None,
            not_streamed: false,
            previous_close: PreviousClose::default(),
            minutes: DayBars::new(),
            decimals: 0,
            book: None,
            trade: None,
            day: None,
            analytics: None,
            denial: None,
            phase: Cell::new(None),
        }
    }

    /// Returns the conditions at this time. `links` are the states of the connections, in the order
    /// of [`Cluster::ALL`].
    pub(super) const fn context<'a>(
        &self,
        links: &[LinkState; Cluster::ALL.len()],
        now: Now,
        calendar: &'a Calendar,
    ) -> Context<'a> {
        let link = links[self.symbol.cluster() as usize];
        Context {
            link,
            now,
            calendar,
        }
    }

    /// The symbol of the instrument.
    pub const fn symbol(&self) -> &Symbol {
        &self.symbol
    }

    /// The latest accepted value. `None` if there is no price.
    pub fn quote(&self) -> Option<Quote> {
        self.latest.filter(|quote| !quote.void)
    }

    /// The bars of the trading day or, without a trading day, of the latest values. The curve shows
    /// these bars.
    pub const fn minutes(&self) -> &DayBars {
        &self.minutes
    }

    /// The number of decimals with which all prices of the instrument are shown, unless the user has
    /// set another number: the most decimals that a price of the trading day usually has. During a
    /// day the number never decreases. Otherwise the number of digits would change again and again
    /// while the price moves around 1.
    pub const fn decimals(&self) -> u8 {
        self.decimals
    }

    /// Considers a price for the number of decimals.
    pub(super) fn count_decimals(&mut self, price: Price) {
        self.decimals = self.decimals.max(price.usual_decimals());
    }

    /// Returns true if the data is simulated.
    pub fn simulated(&self) -> bool {
        self.simulated == Some(true)
    }

    /// True if a REST response reported that the source is delayed; `None` if no response contained
    /// this information.
    pub const fn reported_delayed(&self) -> Option<bool> {
        self.reported_delayed
    }

    /// The best bid and ask. `None` if they are older than `limit` or their age is unknown.
    pub fn book(&self, now: Now, limit: Duration) -> Option<TopOfBook> {
        let (book, as_of) = self.book?;
        as_of.is_within(limit, now).then_some(book)
    }

    /// The last trade and its age. `None` while its age is unknown.
    pub fn trade(&self, now: Now) -> Option<(Trade, Duration)> {
        let (trade, quote) = self.trade?;
        Some((trade, quote.age(now)?))
    }

    /// The option analytics. `None` if they are older than `limit` or their age is unknown.
    pub fn analytics(&self, now: Now, limit: Duration) -> Option<OptionAnalytics> {
        let (analytics, as_of) = self.analytics?;
        as_of.is_within(limit, now).then_some(analytics)
    }

    /// The range and the volume of the trading day. The range is `None` until a source has
    /// delivered the range or the earlier bars of the day, because the values that this program
    /// received can cover only a part of the day. After that, new values extend the range.
    pub fn day(&self, now: Now) -> DayStats {
        let reported = self
            .day
            .filter(|(_, until)| until.0 == i64::MAX || now.utc.is_some_and(|utc| utc < *until));
        let reported = reported.map_or(DayStats::default(), |(day, _)| day);
        let is_whole = self.minutes.is_backfilled() || reported.range.is_some();
        let seen = self.minutes.range().filter(|_| is_whole);
        let mut range = union(seen, reported.range);
        // Without a trading day, the bars have no range, so the latest value must extend the range
        // here.
        if let Some(latest) = self.quote()
            && range.is_some()
            && self.minutes.day().is_none()
            && !latest.outside
        {
            range = union(range, Some((latest.price, latest.price)));
        }
        DayStats {
            range,
            volume: reported.volume,
        }
    }

    /// The reason why the vendor returns no data. `None` if the vendor does not deny the
    /// instrument.
    pub fn denial(&self) -> Option<Denial> {
        let nothing = self.not_streamed && self.latest.is_none();
        self.denial
            .or_else(|| nothing.then_some(Denial::NotEntitled))
    }

    /// The current part of the trading day. `None` if the market is closed or the wall-clock time
    /// is unknown.
    pub fn part(&self, now: Now, calendar: &Calendar) -> Option<SessionPart> {
        self.phase(now.utc, calendar)?.part
    }

    /// Returns true if the official close of this index can still arrive after the end of the
    /// session. `delay` is the delay of the source in milliseconds.
    pub fn is_settling(&self, delay: i64, now: Now, calendar: &Calendar) -> bool {
        let phase = self.phase(now.utc, calendar).zip(now.utc);
        phase.is_some_and(|(phase, utc)| {
            let settled = phase.bell + INDEX_SETTLEMENT;
            !phase.is_open() && utc.0 <= settled.0.saturating_add(delay)
        })
    }

    /// The change of the shown value since the previous close. If the value comes from outside the
    /// trading hours, the change since the last close. `None` if one of the values is unknown, if
    /// the next trading day has begun, or if the wall-clock time is unknown: a change since the
    /// close of another day is wrong.
    pub fn change(&self, shown: &Quote, now: Now) -> Option<Change> {
        let utc = now.utc?;
        if shown.outside {
            return Some(shown.price.change_from(self.close?.price));
        }
        // A value from the previous day has no change for today.
        let as_of = shown.as_of.utc(now)?;
        if self.minutes.day().is_some_and(|day| as_of < day.start) {
            return None;
        }
        let close = self.previous_close.at(utc)?;
        Some(shown.price.change_from(close))
    }

    /// Returns true if the previous close of the current trading day is unknown and must be
    /// requested.
    pub fn lacks_previous_close(&self, now: Now) -> bool {
        now.utc
            .and_then(|utc| self.previous_close.at(utc))
            .is_none()
    }

    /// Returns the quote to show now and its freshness.
    pub(super) fn shown(&self, context: Context<'_>) -> DisplayedQuote<'_> {
        let mut shown = self.judge(context).shown();
        shown.quote = shown.quote.filter(|quote| !quote.void);
        if shown.quote.is_none() {
            shown.freshness = Freshness::None;
        }
        shown
    }

    pub(super) fn judge(&self, context: Context<'_>) -> StalenessCheck<'_> {
        StalenessCheck {
            class: self.symbol.class(),
            latest: self.latest.as_ref(),
            close: self.close.as_ref(),
            usual_limit: self.usual_limit,
            link: context.link,
            phase: self.phase(context.now.utc, context.calendar),
            now: context.now,
        }
    }

    /// Returns true if the latest value was streamed and is within its limit.
    pub(super) fn streams(&self, now: Now) -> bool {
        self.latest
            .is_some_and(|quote| quote.is_streamed() && self.is_young(&quote, now))
    }

    /// Returns true if a value is within its limit.
    pub(super) fn is_young(&self, quote: &Quote, now: Now) -> bool {
        let age = quote.counted_age(now);
        age.is_some_and(|age| age <= quote.source.limit(self.usual_limit))
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

    /// Starts a new trading day if the current time is no longer in the stored day.
    pub(super) fn start_days(&mut self, context: Context<'_>) {
        let Context { now, calendar, .. } = context;
        let Some(utc) = now.utc else { return };
        self.doubt_untimed(now, calendar);
        let within = |day: &TradingDay| (day.start..day.end).contains(&utc);
        if !self.minutes.day().is_some_and(within) {
            self.record_close(utc, context);
            let day = calendar.trading_day(&self.symbol, utc);
            if self.minutes.day() != day.as_ref() {
                self.decimals = 0;
                for quote in [self.latest, self.close].into_iter().flatten() {
                    self.count_decimals(quote.price);
                }
            }
            self.minutes.enter(day);
        }
        if let (Some(close), Some(day)) = (self.close, self.minutes.day())
            && self.lacks_previous_close(now)
            && let Some(as_of) = close.as_of.utc(now)
        {
            self.previous_close
                .carry_over(close.price, as_of, day, &self.symbol, calendar);
        }
    }
}
