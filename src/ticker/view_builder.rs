//! Builds the views of the pages from the watchlist. This module is pure and owns nothing.

use core::cell::Cell;
use core::time::Duration;

use crate::config::settings::PageSpec;
use crate::market::{Calendar, Freshness, Instrument, QuoteSource, SessionPart, Watchlist, limit};
use crate::render::{InstrumentView, OptionView, PageView, PriceSummary};
use crate::time::{Moment, Now};

/// The maximum age of the computed values of a contract. REST is polled for them every 15 s while
/// the contract is on the display, so three responses can be missing.
const ANALYSIS: Duration = Duration::from_secs(60);
/// The validity of the page of a contract, for any age of its price. Each field of the page has an
/// age of its own, and the page is drawn every second.
const FIELDS: Duration = Duration::from_secs(5);

/// The watchlist and the calendar, read at one moment.
#[derive(Clone, Copy)]
pub(crate) struct ViewBuilder<'a> {
    pub(crate) watchlist: &'a Watchlist,
    pub(crate) calendar: &'a Calendar,
    pub(crate) now: Now,
    /// The configured numbers of decimals; see `TickerSettings`.
    pub(crate) decimals: &'a [(usize, u8)],
    /// The first time at which a fresh value of the views becomes stale.
    pub(crate) valid_until: &'a Cell<Moment>,
}

impl<'a> ViewBuilder<'a> {
    pub(crate) fn page(self, page_spec: PageSpec) -> PageView<'a> {
        self.page_of(page_spec).unwrap_or(PageView::Empty)
    }

    /// Returns `None` if the first instrument of the page is not on the watchlist, and for the link
    /// page.
    fn page_of(self, page_spec: PageSpec) -> Option<PageView<'a>> {
        Some(match page_spec {
            PageSpec::Link => return None,
            PageSpec::Pair(first, second) => {
                let (line, _) = self.line(first)?;
                let second = second.and_then(|second| self.line(second));
                PageView::Pair(line, second.map(|(line, _)| line))
            }
            PageSpec::Big(index) => {
                let (line, instrument) = self.line(index)?;
                match self.outside_hours(index, line, instrument) {
                    Some((close, outside)) => PageView::Pair(close, Some(outside)),
                    None => PageView::Big(line, instrument.day(self.now)),
                }
            }
            PageSpec::Contract(index) => {
                let (line, instrument) = self.line(index)?;
                match self.sheet(line, instrument) {
                    Some(sheet) => PageView::Contract(sheet),
                    None => PageView::Pair(line, None),
                }
            }
        })
    }

    /// Returns the usual name of an instrument, such as `SPX`.
    pub(crate) fn label(self, index: usize) -> Option<&'a str> {
        let instrument = self.watchlist.instruments().get(index)?;
        Some(instrument.symbol().name())
    }

    /// Returns the number of decimals of an instrument's prices.
    pub(crate) fn decimals(self, index: usize) -> u8 {
        let configured = self.decimals.iter().find(|(place, _)| *place == index);
        let usual = || Some(self.watchlist.instruments().get(index)?.decimals());
        configured.map_or_else(|| usual().unwrap_or_default(), |(_, decimals)| *decimals)
    }

    /// Returns true if an instrument on the page is simulated.
    pub(crate) fn simulated(self, page_spec: PageSpec) -> bool {
        let instruments = self.watchlist.instruments().iter().enumerate();
        let mut shown = instruments.filter(|(index, _)| page_spec.shows(*index));
        shown.any(|(_, instrument)| instrument.simulated())
    }

    /// Returns a summary of the freshness of all prices.
    pub(crate) fn prices(self) -> PriceSummary {
        let indices = 0..self.watchlist.instruments().len();
        let each = indices.map(|index| self.watchlist.freshness(index, self.now, self.calendar));
        each.fold(PriceSummary::None, |all, one| match (all, one) {
            (PriceSummary::Fresh, _)
            | (_, Freshness::Live | Freshness::Delayed | Freshness::Closed) => PriceSummary::Fresh,
            (_, Freshness::Stale(_)) => PriceSummary::Struck,
            (all, Freshness::None) => all,
        })
    }

    /// Returns two lines for an instrument outside the regular hours: the close with the change of
    /// its day, and the latest price with its change since the close. `line` is the usual line.
    fn outside_hours(
        self,
        index: usize,
        line: InstrumentView<'a>,
        instrument: &Instrument,
    ) -> Option<(InstrumentView<'a>, InstrumentView<'a>)> {
        let (close, outside) = (self.watchlist).outside_hours(index, self.now, self.calendar)?;
        let (close, latest) = (close.quote?, outside.quote?);
        if line.expired || line.denial.is_some() {
            return None;
        }
        if matches!(outside.freshness, Freshness::Live | Freshness::Delayed) {
            self.limit_validity(outside.until);
        }
        let closed = InstrumentView {
            part: None,
            price: Some(close.price),
            change: instrument.change(close, self.now),
            freshness: Freshness::Closed,
            ..line
        };
        let moved = InstrumentView {
            label: match outside.part {
                Some(SessionPart::Pre) => "PRE",
                Some(SessionPart::Post) => "POST",
                _ => "EXT",
            },
            contract: None,
            price: Some(latest.price),
            change: Some(latest.price.change_from(close.price)),
            freshness: outside.freshness,
            ..closed
        };
        Some((closed, moved))
    }

    /// Returns the view of an instrument, and the instrument.
    pub(crate) fn line(self, index: usize) -> Option<(InstrumentView<'a>, &'a Instrument)> {
        let instrument = self.watchlist.instruments().get(index)?;
        let shown = self.watchlist.shown(index, self.now, self.calendar)?;
        if matches!(shown.freshness, Freshness::Live | Freshness::Delayed) {
            self.limit_validity(shown.until);
        }
        let symbol = instrument.symbol();
        let line = InstrumentView {
            label: symbol.name(),
            contract: symbol.contract(),
            expired: self.days(instrument).is_some_and(|days| days < 0),
            part: shown.part,
            denial: instrument.denial(),
            price: shown.quote.map(|quote| quote.price),
            change: (shown.quote).and_then(|quote| instrument.change(quote, self.now)),
            decimals: self.decimals(index),
            freshness: shown.freshness,
            history: instrument.minutes().points(),
        };
        Some((line, instrument))
    }

    fn limit_validity(self, until: Moment) {
        self.valid_until.set(self.valid_until.get().min(until));
    }

    /// Returns the number of days until the last trading day of a contract; negative after that
    /// day.
    fn days(self, instrument: &Instrument) -> Option<i32> {
        let contract = instrument.symbol().contract()?;
        self.calendar.days_left(&contract, self.now.utc?)
    }

    fn sheet(self, line: InstrumentView<'a>, instrument: &'a Instrument) -> Option<OptionView<'a>> {
        let symbol = instrument.symbol();
        let contract = symbol.contract()?;
        // After trading hours, the last book and the last computed values belong to the closing
        // price, so they have no maximum age.
        let closed = line.freshness == Freshness::Closed;
        let within = |limit| if closed { Duration::MAX } else { limit };
        let book = within(limit(symbol, QuoteSource::Tick));
        self.limit_validity(self.now.monotonic + FIELDS);
        Some(OptionView {
            line,
            contract,
            days: self.days(instrument),
            book: instrument.book(self.now, book),
            last: instrument.trade(self.now),
            day: instrument.day(self.now),
            analytics: instrument.analytics(self.now, within(ANALYSIS)),
        })
    }
}
