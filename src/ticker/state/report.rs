//! The report of the display for the operator of its hub: the page on the panel and the freshness of
//! the values. Pure; the session sends the report.

use std::fmt::Write;

use super::TickerState;
use crate::config::settings::PageSpec;
use crate::market::Freshness;
use crate::massive::display_report::DisplayReport;
use crate::time::Now;

impl TickerState {
    /// Returns the report of the display. The argument `own` is the time by the clocks of this
    /// machine.
    pub fn display_report(&self, own: Now) -> DisplayReport {
        let now = self.time.at(own.monotonic);
        let mut report = DisplayReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            page: self.page_name(),
            ..DisplayReport::default()
        };
        for index in 0..self.watchlist.instruments().len() {
            let count = match self.watchlist.freshness(index, now, &self.calendar) {
                Freshness::Live => &mut report.live,
                Freshness::Stale(_) => &mut report.stale,
                Freshness::Delayed => &mut report.delayed,
                Freshness::Closed => &mut report.closed,
                Freshness::None => &mut report.none,
            };
            *count += 1;
        }
        report
    }

    /// Returns the names of the instruments on the page that was drawn last, or `link`.
    fn page_name(&self) -> String {
        let (first, second) = match self.page_spec {
            Some(PageSpec::Link) => return "link".to_owned(),
            Some(PageSpec::Pair(first, second)) => (Some(first), second),
            Some(PageSpec::Big(only) | PageSpec::Contract(only)) => (Some(only), None),
            None => (None, None),
        };
        let mut name = String::new();
        for index in first.into_iter().chain(second) {
            if let Some(instrument) = self.watchlist.instruments().get(index) {
                let space = if name.is_empty() { "" } else { " " };
                // A write to a `String` cannot fail.
                let _ = write!(name, "{space}{}", instrument.symbol().name());
            }
        }
        name
    }
}
