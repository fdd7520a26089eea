//! Builds the views of the pages from the watchlist. This module is pure and owns nothing.

use core::cell::Cell;
use core::time::Duration;

use crate::config::settings::PageSpec;
use crate::market::{Calendar, Freshness, Instrument, Quote, QuoteSource, Watchlist, limit};
use crate::render::{ExtendedQuote, InstrumentView, OptionView, PageView, PriceSummary};
use crate::time::{Moment, Now};

/// The maximum age of the computed values of a contract. REST is polled for them every 15 s while
/// the contract is on the display, so three responses can be missing.
const ANALYSIS: Duration = Duration::from_secs(60);
/// The validity of the page of a contract, whatever the age of its price. Each field of the page
/// has an age of its own, and the page is drawn every second.
const FIELDS: Duration = Duration::from_secs(5);

/// The watchlist and the calendar, read at one moment.
#[derive(Clone, Copy)]
pub(crate) struct ViewBuilder<'a> {
    pub(crate) watchlist: &'a Watchlist,
    pub(crate) calendar: &'a Calendar,
    pub(crate) now: Now,
    /// The first time at which a fresh value of the views becomes stale.
    pub(crate) valid_until: &'a Cell<Moment>,
}

impl<'a> ViewBuilder<'a> {
    pub(crate) fn page(self, page_spec: PageSpec) -> PageView<'a> {
        let (PageSpec::Pair(place, _) | PageSpec::Big(place) | PageSpec::Contract(place)) =
            page_spec
        else {
            return PageView::Empty;
        };
        let Some(instrument) = self.watchlist.instruments().get(place) else {
            return PageView::Empty;
        };
        let (line, quote) = self.line(place, instrument);
        match page_spec {
            PageSpec::Big(_) => {
                let outside = quote.and_then(|quote| self.outside(instrument, &quote));
                PageView::Big(line, instrument.day(self.now), outside)
            }
            PageSpec::Contract(_) => match self.sheet(line, instrument) {
                Some(sheet) => PageView::Contract(sheet),
                None => PageView::Pair(line, None),
            },
            PageSpec::Pair(_, Some(second)) => {
                let second = self.watchlist.instruments().get(second).zip(Some(second));
                let second = second.map(|(instrument, place)| self.line(place, instrument).0);
                PageView::Pair(line, second)
            }
            PageSpec::Pair(_, None) | PageSpec::Link => PageView::Pair(line, None),
        }
    }

    /// Returns the usual name of an instrument, such as `SPX`.
    pub(crate) fn label(self, place: usize) -> Option<&'a str> {
        let instrument = self.watchlist.instruments().get(place)?;
        Some(instrument.symbol().name())
    }

    /// Returns true if an instrument on the page is simulated.
    pub(crate) fn simulated(self, page_spec: PageSpec) -> bool {
        let instruments = self.watchlist.instruments().iter().enumerate();
        let mut shown = instruments.filter(|(place, _)| page_spec.shows(*place));
        shown.any(|(_, instrument)| instrument.simulated())
    }

    /// Returns a summary of the freshness of all prices.
    pub(crate) fn prices(self) -> PriceSummary {
        let places = 0..self.watchlist.instruments().len();
        let worth = places.map(|place| self.watchlist.freshness(place, self.now, self.calendar));
        worth.fold(PriceSummary::None, |all, one| match (all, one) {
            (PriceSummary::Fresh, _)
            | (_, Freshness::Live | Freshness::Delayed | Freshness::Closed) => PriceSummary::Fresh,
            (_, Freshness::Stale(_)) => PriceSummary::Struck,
            (all, Freshness::None) => all,
        })
    }

    fn outside(self, instrument: &Instrument, shown: &Quote) -> Option<ExtendedQuote> {
        let (quote, age) = instrument.outside(shown, self.now)?;
        Some(ExtendedQuote {
            price: quote.price,
            change: instrument.change(&quote, self.now),
            age,
        })
    }

    /// Returns the view of an instrument and the quote that it shows.
    fn line(self, place: usize, instrument: &'a Instrument) -> (InstrumentView<'a>, Option<Quote>) {
        let shown = self.watchlist.shown(place, self.now, self.calendar);
        if let Some(shown) = &shown
            && matches!(shown.freshness, Freshness::Live | Freshness::Delayed)
        {
            self.limit_validity(shown.until);
        }
        let quote = shown.and_then(|shown| shown.quote);
        let symbol = instrument.symbol();
        let contract = symbol.contract();
        let days = self.days(instrument);
        let line = InstrumentView {
            label: symbol.name(),
            contract,
            expired: days.is_some_and(|days| days < 0),
            part: shown.and_then(|shown| shown.part),
            denial: instrument.denial(),
            price: quote.map(|quote| quote.price),
            change: quote.and_then(|quote| instrument.change(&quote, self.now)),
            freshness: shown.map_or(Freshness::None, |shown| shown.freshness),
            history: instrument.minutes().points(),
        };
        (line, quote)
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
