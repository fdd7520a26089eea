//! What is known, read as a page of the screen. Pure; owns nothing.

use core::time::Duration;

use super::settings::Leaf;
use crate::clock::Now;
use crate::market::{Calendar, Contract, Freshness, Instrument, Source, Watchlist, limit};
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
        let (Leaf::Pair(place, _) | Leaf::Big(place) | Leaf::Contract(place)) = leaf else {
            return Page::Empty;
        };
        let Some(instrument) = self.watchlist.instruments().get(place) else {
            return Page::Empty;
        };
        let line = self.line(place, instrument);
        match leaf {
            Leaf::Big(_) => Page::Big(line, instrument.day(self.now), None),
            Leaf::Contract(_) => match self.sheet(line, instrument) {
                Some(sheet) => Page::Contract(sheet),
                None => Page::Pair(line, None),
            },
            Leaf::Pair(_, Some(second)) => {
                let second = self.watchlist.instruments().get(second).zip(Some(second));
                let second = second.map(|(instrument, place)| self.line(place, instrument));
                Page::Pair(line, second)
            }
            Leaf::Pair(_, None) | Leaf::Link => Page::Pair(line, None),
        }
    }

    /// The name of an instrument, as people write it.
    pub(super) fn label(self, place: usize) -> Option<&'a str> {
        let instrument = self.watchlist.instruments().get(place)?;
        Some(instrument.symbol().name())
    }

    fn line(self, place: usize, instrument: &'a Instrument) -> Line<'a> {
        let sight = self.watchlist.sight(place, self.now, self.calendar);
        let (freshness, part) = sight.unwrap_or((Freshness::None, None));
        let contract = instrument.symbol().contract();
        Line {
            label: instrument.symbol().name(),
            contract,
            expired: contract
                .as_ref()
                .is_some_and(|contract| self.is_over(contract)),
            part,
            denial: instrument.denial(),
            price: instrument.quote().map(|quote| quote.price),
            change: instrument.change(self.now),
            freshness,
            history: instrument.curve(),
        }
    }

    /// Whether the last day of a contract is over.
    fn is_over(self, contract: &Contract<'_>) -> bool {
        self.days(contract).is_some_and(|days| days < 0)
    }

    fn days(self, contract: &Contract<'_>) -> Option<i32> {
        self.calendar.days_left(contract, self.now.utc?)
    }

    fn sheet(self, line: Line<'a>, instrument: &'a Instrument) -> Option<Sheet<'a>> {
        let symbol = instrument.symbol();
        let contract = symbol.contract()?;
        // Off hours the last book and the last analysis are those of the close.
        let closed = line.freshness == Freshness::Closed;
        let within = |limit| if closed { Duration::MAX } else { limit };
        let book = within(limit(symbol, Source::Tick));
        let now = self.now.monotonic;
        Some(Sheet {
            line,
            contract,
            days: self.days(&contract),
            book: instrument.book(now, book),
            last: instrument.trade(self.now),
            day: instrument.day(self.now),
            analysis: instrument.analysis(now, within(ANALYSIS)),
        })
    }
}
