//! What is known, read as a page of the screen. Pure; owns nothing.

use core::time::Duration;

use super::settings::Leaf;
use crate::clock::Now;
use crate::market::{Calendar, Freshness, Instrument, Source, Watchlist, limit};
use crate::screen::{Line, Page, Sheet};

/// What is computed of a contract is asked for every 15 s while it is on the glass; three answers
/// may be missed.
const ANALYSIS: Duration = Duration::from_secs(60);

/// What is known at a moment.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) watchlist: &'a Watchlist,
    pub(super) calendar: &'a Calendar,
    pub(super) now: Now,
}

impl<'a> Reader<'a> {
    pub(super) fn page(self, leaf: Leaf) -> Page<'a> {
        let instrument = |place: usize| self.watchlist.instruments().get(place);
        let page = match leaf {
            Leaf::Pair(first, second) => self
                .line(first)
                .map(|first| Page::Pair(first, second.and_then(|second| self.line(second)))),
            Leaf::Big(only) => self
                .line(only)
                .zip(instrument(only))
                .map(|(line, instrument)| Page::Big(line, instrument.day(self.now))),
            Leaf::Contract(only) => self
                .line(only)
                .zip(instrument(only))
                .and_then(|(line, instrument)| self.sheet(line, instrument))
                .map(Page::Contract),
            Leaf::Link => None,
        };
        page.unwrap_or(Page::Empty)
    }

    /// The name of an instrument, as people write it.
    pub(super) fn label(self, place: usize) -> Option<&'a str> {
        let instrument = self.watchlist.instruments().get(place)?;
        Some(instrument.symbol().name())
    }

    fn line(self, place: usize) -> Option<Line<'a>> {
        let instrument = self.watchlist.instruments().get(place)?;
        Some(Line {
            label: instrument.symbol().name(),
            contract: instrument.symbol().contract(),
            part: instrument.part(self.now, self.calendar),
            denial: instrument.denial(),
            price: instrument.quote().map(|quote| quote.price),
            change: instrument.change(self.now),
            freshness: self.watchlist.freshness(place, self.now, self.calendar),
            history: instrument.curve(),
        })
    }

    fn sheet(self, line: Line<'a>, instrument: &'a Instrument) -> Option<Sheet<'a>> {
        let symbol = instrument.symbol();
        let contract = symbol.contract()?;
        // Off hours the last book and the last analysis are those of the close.
        let closed = line.freshness == Freshness::Closed;
        let within = |limit| if closed { Duration::MAX } else { limit };
        let book = within(limit(symbol, Source::Tick));
        let now = self.now.monotonic;
        let days = self
            .now
            .utc
            .and_then(|utc| self.calendar.days_left(&contract, utc));
        Some(Sheet {
            line,
            contract,
            days,
            book: instrument.book(now, book),
            last: instrument.trade(self.now),
            day: instrument.day(self.now),
            analysis: instrument.analysis(now, within(ANALYSIS)),
        })
    }
}
