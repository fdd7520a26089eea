//! Which page is on the glass. Owns the order and the turn; time is an argument.

use core::time::Duration;

use super::settings::{Leaf, Settings};
use crate::clock::Moment;
use crate::market::{Class, Symbol};

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Pages {
    leaves: Vec<Leaf>,
    interval: Duration,
    pin: Option<usize>,
    /// The page that is on, and since when.
    at: usize,
    since: Moment,
    /// Whether there was trouble when it was last looked at.
    troubled: bool,
}

impl Pages {
    pub(super) fn new(settings: &Settings, now: Moment) -> Self {
        let leaves = settings.leaves();
        Self {
            pin: settings.pin.filter(|pin| *pin < leaves.len()),
            leaves,
            interval: settings.interval,
            at: 0,
            since: now,
            troubled: false,
        }
    }

    /// Takes other pages; what is on stays on if it is still among them.
    pub(super) fn replace(&mut self, settings: &Settings, now: Moment) {
        let shown = self.leaves.get(self.at).copied();
        let (before, since, troubled) = (self.at, self.since, self.troubled);
        *self = Self::new(settings, now);
        self.troubled = troubled;
        if let Some(at) = self.leaves.iter().position(|leaf| Some(*leaf) == shown) {
            (self.at, self.since) = (at, if at == before { since } else { now });
        }
    }

    /// The page that is on now, turning to the next if it is time. `troubled` adds the link's
    /// page behind the last, if it is not among them anyway; when trouble begins it is on at once.
    pub(super) fn turn(&mut self, now: Moment, troubled: bool) -> Option<Leaf> {
        if let Some(pin) = self.pin {
            return self.leaves.get(pin).copied();
        }
        let count = self.leaves.len() + usize::from(self.adds_link(troubled));
        if troubled && !std::mem::replace(&mut self.troubled, troubled) {
            let link = self.leaves.iter().position(|leaf| *leaf == Leaf::Link);
            (self.at, self.since) = (link.unwrap_or(self.leaves.len()), now);
        }
        self.troubled = troubled;
        let shown = now.since(self.since);
        if shown >= self.interval {
            // Whole intervals, so that each page begins where the one before ended.
            let passed = shown.as_millis() / self.interval.as_millis().max(1);
            let passed = u32::try_from(passed).unwrap_or(u32::MAX);
            self.since = self.since + self.interval.saturating_mul(passed);
            self.at = (self.at + passed as usize) % count.max(1);
        }
        if self.at >= count {
            self.at = 0;
        }
        match self.leaves.get(self.at) {
            Some(leaf) => Some(*leaf),
            None => (self.at < count).then_some(Leaf::Link),
        }
    }

    /// The page that shows this instrument, for an alert.
    pub(super) fn showing(&self, place: usize) -> Leaf {
        let mut leaves = self.leaves.iter().copied();
        leaves
            .find(|leaf| leaf.shows(place))
            .unwrap_or(Leaf::Big(place))
    }

    /// When another page is due.
    pub(super) fn deadline(&self, troubled: bool) -> Moment {
        let count = self.leaves.len() + usize::from(self.adds_link(troubled));
        if self.pin.is_some() || count < 2 {
            return Moment::NEVER;
        }
        self.since + self.interval
    }

    fn adds_link(&self, troubled: bool) -> bool {
        troubled && !self.leaves.contains(&Leaf::Link)
    }
}

/// The pages that fit a watchlist: two instruments on each, and one for each contract.
pub(super) fn fitting(watchlist: &[Symbol]) -> Vec<Leaf> {
    let places = |option: bool| {
        let symbols = watchlist.iter().enumerate();
        symbols
            .filter(move |(_, symbol)| (symbol.class() == Class::Option) == option)
            .map(|(place, _)| place)
    };
    let priced: Vec<usize> = places(false).collect();
    let pairs = priced.chunks(2).filter_map(|pair| match pair {
        [first, second] => Some(Leaf::Pair(*first, Some(*second))),
        [only] => Some(Leaf::Pair(*only, None)),
        _ => None,
    });
    pairs.chain(places(true).map(Leaf::Contract)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(names: &[&str]) -> Settings {
        Settings::of(names.iter().map(|name| name.parse().unwrap()).collect())
    }

    fn at(secs: u64) -> Moment {
        Moment::from_secs(secs)
    }

    const CONTRACT: &str = "O:SPY251219C00650000";

    #[test]
    fn two_instruments_share_a_page_and_each_contract_has_its_own() {
        let settings = settings(&["SPX", CONTRACT, "VIX", "SPY"]);
        let mut pages = Pages::new(&settings, at(5));
        let turn = [5, 14, 15, 25, 34, 35].map(|secs| pages.turn(at(secs), false).unwrap());
        let (first, second) = (Leaf::Pair(0, Some(2)), Leaf::Pair(3, None));
        assert_eq!(
            turn,
            [
                first,
                first,
                second,
                Leaf::Contract(1),
                Leaf::Contract(1),
                first
            ]
        );
        assert_eq!(pages.deadline(false), at(45));
    }

    #[test]
    fn the_links_page_joins_while_there_is_trouble_and_leaves_after_it() {
        let mut pages = Pages::new(&settings(&["SPX", "VIX"]), at(0));
        assert_eq!(pages.deadline(false), Moment::NEVER);
        assert_eq!(pages.turn(at(10), true), Some(Leaf::Link));
        assert_eq!(pages.turn(at(12), false), Some(Leaf::Pair(0, Some(1))));
        assert_eq!(pages.turn(at(400), false), Some(Leaf::Pair(0, Some(1))));
    }

    #[test]
    fn a_pinned_page_stays_and_an_alert_finds_the_page_of_its_instrument() {
        let mut settings = settings(&["SPX", "VIX", "SPY"]);
        settings.pages = vec![Leaf::Link, Leaf::Pair(0, Some(1))];
        settings.pin = Some(1);
        let mut pages = Pages::new(&settings, at(0));
        assert_eq!(pages.turn(at(99), true), Some(Leaf::Pair(0, Some(1))));
        assert_eq!(pages.deadline(true), Moment::NEVER);
        assert_eq!(pages.showing(1), Leaf::Pair(0, Some(1)));
        assert_eq!(pages.showing(2), Leaf::Big(2));
    }

    #[test]
    fn other_pages_leave_the_one_that_is_on_where_it_is() {
        let mut pages = Pages::new(&settings(&["SPX", "VIX", "DJI", "NDX"]), at(0));
        assert_eq!(pages.turn(at(13), false), Some(Leaf::Pair(2, Some(3))));
        let mut more = settings(&["SPX", "VIX", "DJI", "NDX", "RUT"]);
        pages.replace(&more, at(14));
        assert_eq!(pages.turn(at(14), false), Some(Leaf::Pair(2, Some(3))));
        assert_eq!(pages.deadline(false), at(20));
        more.pages = vec![Leaf::Link];
        pages.replace(&more, at(15));
        assert_eq!(pages.turn(at(15), false), Some(Leaf::Link));
    }
}
