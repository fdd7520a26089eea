//! The rotation of the pages on the display. This module owns the order of the pages and the
//! current page. It reads no clock: time is an argument.

use core::time::Duration;

use crate::config::settings::{PageSpec, TickerSettings};
use crate::time::Moment;

/// The pages and the current page; see the module documentation.
#[derive(Clone, Debug)]
pub(crate) struct PageRotation {
    page_specs: Vec<PageSpec>,
    interval: Duration,
    pin: Option<usize>,
    /// The index of the current page; `since` is the time at which the page appeared.
    at: usize,
    since: Moment,
    /// True if the connection was in trouble at the last call.
    troubled: bool,
    /// True while a person looks at a link page that is not one of the pages.
    asked: bool,
}

impl PageRotation {
    pub(crate) fn new(settings: &TickerSettings, now: Moment) -> Self {
        let page_specs = settings.page_specs();
        Self {
            pin: settings.pin.filter(|pin| *pin < page_specs.len()),
            page_specs,
            interval: settings.interval,
            at: 0,
            since: now,
            troubled: false,
            asked: false,
        }
    }

    /// Replaces the pages. The current page stays if it is still among them.
    pub(crate) fn replace(&mut self, settings: &TickerSettings, now: Moment) {
        let before = std::mem::replace(self, Self::new(settings, now));
        self.troubled = before.troubled;
        let shown = before.page_specs.get(before.at);
        if let Some(at) = shown.and_then(|shown| self.position(*shown)) {
            let since = if at == before.at { before.since } else { now };
            (self.at, self.since) = (at, since);
        }
    }

    /// Returns the current page, and moves to the next page if its time has come. With `troubled`,
    /// the link page is added after the last page if the pages do not contain it. At the start of
    /// the trouble, the link page is shown at once.
    pub(crate) fn current(&mut self, now: Moment, troubled: bool) -> Option<PageSpec> {
        if let Some(pin) = self.pin {
            return self.page(pin);
        }
        let count = self.count(troubled);
        let was_troubled = std::mem::replace(&mut self.troubled, troubled);
        if troubled && !was_troubled {
            let link = self.position(PageSpec::Link);
            (self.at, self.since) = (link.unwrap_or(self.page_specs.len()), now);
        }
        let shown = now.since(self.since);
        if shown >= self.interval {
            // The start moves by whole intervals, so that each page begins at the end of the
            // previous one.
            let passed = shown.as_millis() / self.interval.as_millis().max(1);
            let passed = u32::try_from(passed).unwrap_or(u32::MAX);
            self.since = self.since + self.interval.saturating_mul(passed);
            self.at = (self.at + passed as usize) % count.max(1);
        }
        if self.at >= count {
            self.at = 0;
        }
        self.asked &= self.at == self.page_specs.len();
        self.page(self.at)
    }

    /// Moves to the next or to the previous page; a pinned page makes way for it.
    pub(crate) fn turn(&mut self, forward: bool, now: Moment, troubled: bool) {
        let count = self.count(troubled).max(1);
        let by = if forward { 1 } else { count - 1 };
        self.go((self.pin.unwrap_or(self.at) + by) % count, now);
    }

    /// Pins the current page, or lets the pages change again.
    pub(crate) fn toggle_pin(&mut self, now: Moment) {
        match self.pin.take() {
            Some(pin) => self.go(pin, now),
            None => self.pin = Some(self.at),
        }
    }

    /// Shows the link page, or the next page if the link page is shown.
    pub(crate) fn show_link(&mut self, now: Moment, troubled: bool) {
        let place = self.position(PageSpec::Link);
        let place = place.unwrap_or(self.page_specs.len());
        if self.pin.unwrap_or(self.at) == place {
            return self.turn(true, now, troubled);
        }
        self.asked = true;
        self.go(place, now);
    }

    fn go(&mut self, at: usize, now: Moment) {
        (self.at, self.since) = (at, now);
        if self.pin.is_some() {
            self.pin = Some(at);
        }
    }

    /// Returns the page at this place. The place behind the last page is the link page.
    fn page(&self, at: usize) -> Option<PageSpec> {
        let behind = (at == self.page_specs.len()).then_some(PageSpec::Link);
        self.page_specs.get(at).copied().or(behind)
    }

    /// Returns the page for an alert of this instrument.
    pub(crate) fn showing(&self, index: usize) -> PageSpec {
        let mut page_specs = self.page_specs.iter();
        let first = page_specs.find(|page_spec| page_spec.shows(index));
        first.copied().unwrap_or(PageSpec::Big(index))
    }

    /// Returns the time of the next page change; [`Moment::NEVER`] if there is none.
    pub(crate) fn deadline(&self, troubled: bool) -> Moment {
        if self.pin.is_some() || self.count(troubled) < 2 {
            return Moment::NEVER;
        }
        self.since + self.interval
    }

    fn position(&self, page_spec: PageSpec) -> Option<usize> {
        self.page_specs.iter().position(|other| *other == page_spec)
    }

    /// Returns the number of pages, with the link page that is added while there is trouble.
    fn count(&self, troubled: bool) -> usize {
        let adds_link = (troubled || self.asked) && self.position(PageSpec::Link).is_none();
        self.page_specs.len() + usize::from(adds_link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(names: &[&str]) -> TickerSettings {
        TickerSettings::of(names.iter().map(|name| name.parse().unwrap()).collect())
    }

    fn at(secs: u64) -> Moment {
        Moment::from_secs(secs)
    }

    const CONTRACT: &str = "O:SPY251219C00650000";

    #[test]
    fn two_instruments_share_a_page_and_each_contract_has_its_own_page() {
        let settings = settings(&["SPX", CONTRACT, "VIX", "SPY"]);
        let mut pages = PageRotation::new(&settings, at(5));
        let current = [5, 14, 15, 25, 34, 35].map(|secs| pages.current(at(secs), false).unwrap());
        let (first, second) = (PageSpec::Pair(0, Some(2)), PageSpec::Pair(3, None));
        assert_eq!(
            current,
            [
                first,
                first,
                second,
                PageSpec::Contract(1),
                PageSpec::Contract(1),
                first
            ]
        );
        assert_eq!(pages.deadline(false), at(45));
    }

    #[test]
    fn the_link_page_appears_only_during_connection_trouble() {
        let mut pages = PageRotation::new(&settings(&["SPX", "VIX"]), at(0));
        assert_eq!(pages.deadline(false), Moment::NEVER);
        assert_eq!(pages.current(at(10), true), Some(PageSpec::Link));
        assert_eq!(
            pages.current(at(12), false),
            Some(PageSpec::Pair(0, Some(1)))
        );
        assert_eq!(
            pages.current(at(400), false),
            Some(PageSpec::Pair(0, Some(1)))
        );
    }

    #[test]
    fn a_pinned_page_stays_and_an_alert_shows_the_page_of_its_instrument() {
        let mut settings = settings(&["SPX", "VIX", "SPY"]);
        settings.pages = vec![PageSpec::Link, PageSpec::Pair(0, Some(1))];
        settings.pin = Some(1);
        let mut pages = PageRotation::new(&settings, at(0));
        assert_eq!(
            pages.current(at(99), true),
            Some(PageSpec::Pair(0, Some(1)))
        );
        assert_eq!(pages.deadline(true), Moment::NEVER);
        assert_eq!(pages.showing(1), PageSpec::Pair(0, Some(1)));
        assert_eq!(pages.showing(2), PageSpec::Big(2));
    }

    #[test]
    fn a_person_turns_the_pages_and_pins_one() {
        let mut pages = PageRotation::new(&settings(&["SPX", "VIX", "DJI", "NDX"]), at(0));
        let (first, second) = (PageSpec::Pair(0, Some(1)), PageSpec::Pair(2, Some(3)));
        pages.turn(true, at(5), false);
        assert_eq!(
            pages.current(at(14), false),
            Some(second),
            "for a full interval"
        );
        assert_eq!(pages.current(at(15), false), Some(first));
        pages.turn(false, at(16), false);
        assert_eq!(pages.current(at(16), false), Some(second));
        pages.toggle_pin(at(17));
        assert_eq!(pages.current(at(99), false), Some(second));
        assert_eq!(pages.deadline(false), Moment::NEVER);
        pages.turn(true, at(100), false);
        assert_eq!(pages.current(at(199), false), Some(first), "pinned as well");
        pages.toggle_pin(at(200));
        assert_eq!(pages.current(at(209), false), Some(first));
        assert_eq!(pages.current(at(210), false), Some(second));
    }

    #[test]
    fn the_link_page_is_shown_on_request_for_one_interval() {
        let mut pages = PageRotation::new(&settings(&["SPX", "VIX"]), at(0));
        let only = PageSpec::Pair(0, Some(1));
        pages.show_link(at(1), false);
        assert_eq!(pages.current(at(1), false), Some(PageSpec::Link));
        assert_eq!(pages.deadline(false), at(11));
        assert_eq!(pages.current(at(11), false), Some(only));
        assert_eq!(pages.deadline(false), Moment::NEVER);
        pages.show_link(at(12), false);
        pages.toggle_pin(at(13));
        assert_eq!(pages.current(at(99), false), Some(PageSpec::Link));
        pages.show_link(at(100), false);
        assert_eq!(
            pages.current(at(100), false),
            Some(only),
            "the same button leads back"
        );
    }

    #[test]
    fn a_change_of_the_pages_keeps_the_current_page_if_possible() {
        let mut pages = PageRotation::new(&settings(&["SPX", "VIX", "DJI", "NDX"]), at(0));
        assert_eq!(
            pages.current(at(13), false),
            Some(PageSpec::Pair(2, Some(3)))
        );
        let mut more = settings(&["SPX", "VIX", "DJI", "NDX", "RUT"]);
        pages.replace(&more, at(14));
        assert_eq!(
            pages.current(at(14), false),
            Some(PageSpec::Pair(2, Some(3)))
        );
        assert_eq!(pages.deadline(false), at(20));
        more.pages = vec![PageSpec::Link];
        pages.replace(&more, at(15));
        assert_eq!(pages.current(at(15), false), Some(PageSpec::Link));
    }
}
