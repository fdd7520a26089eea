//! The stored bars of each ticker, and the span in which these bars are complete. The store has a
//! maximum size. Pure: this module does no I/O.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use jiff::civil::Date;

use super::cache::remove_first;
use crate::hub::auth::registry::Device;
use crate::market::{Ticker, new_york_date};
use crate::massive::aggregates::TradedBar;
use crate::time::Utc;

/// The stored bars of a span of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CachedBars {
    pub(super) bars: Vec<TradedBar>,
    /// True if the span is complete, so that no bar is missing.
    pub(super) whole: bool,
    /// True if the prices are simulated.
    pub(super) simulated: bool,
    /// True if the vendor marked its last response as delayed.
    pub(super) delayed: bool,
}

/// A span of time of one ticker, in milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BarRange {
    pub(super) ticker: Ticker,
    /// The span of time; its end is exclusive.
    pub(super) times: Range<i64>,
}

/// Returns the day in New York at this time, in milliseconds since the Unix epoch.
fn day(millis: i64) -> Date {
    new_york_date(Utc(millis))
}

/// The maximum number of bars of one ticker. A share has 960 bars a day, including the extended
/// hours.
const BARS: usize = 1000;
/// The maximum number of tickers. With the maximum number of bars the store needs 40 MB; an index
/// has 390 bars a day.
const TICKERS: usize = 512;
/// The time after the last known bar in which a span still counts as complete, in milliseconds. The
/// next bar first needs one minute to end, and then arrives two seconds late.
const LATE: i64 = 90_000;

/// The stored bars of all tickers.
#[derive(Debug, Default)]
pub(crate) struct BarStore {
    series: HashMap<Ticker, BarSeries>,
    /// True if all bars are simulated; false if all bars are real.
    simulated: bool,
    /// The number of requests so far. The store uses this count to find the oldest request.
    requests: u64,
}

#[derive(Debug, Default)]
struct BarSeries {
    /// The bars, in time order.
    bars: Vec<StoredBar>,
    /// The span in which `bars` is complete; empty if no such span is known.
    known: Range<i64>,
    /// The value of `BarStore::requests` at the last request for this ticker; 0 before the first
    /// request.
    requests: u64,
    /// The device of the last request; `None` before the first request.
    device: Option<Device>,
    /// True if the vendor marked its last response as delayed.
    delayed: bool,
}

#[derive(Clone, Copy, Debug)]
struct StoredBar {
    minute: TradedBar,
    /// True if the bar passed on a channel. A REST response does not replace such a bar, because
    /// the response may be older than a correction of the bar.
    streamed: bool,
}

impl StoredBar {
    const fn start(&self) -> i64 {
        self.minute.bar.start.0
    }
}

impl BarStore {
    /// Sets whether the vendor's prices are simulated. A change removes all bars, because they
    /// belong to another vendor.
    pub(crate) fn set_simulated(&mut self, simulated: bool) {
        if std::mem::replace(&mut self.simulated, simulated) != simulated {
            self.series.clear();
        }
    }

    /// Stores a bar from a channel: a new bar, or the correction of an older bar.
    pub(crate) fn stream(&mut self, ticker: &Ticker, minute: TradedBar) {
        let start = minute.bar.start.0;
        if !self.series.contains_key(ticker) && self.series.len() >= TICKERS {
            // A client may subscribe to more tickers than the store can hold. The first tickers of
            // a day stay in the store; a new ticker can replace only a ticker without a bar on that
            // day.
            let newest = |series: &BarSeries| series.bars.last().map_or(0, StoredBar::start);
            let oldest = self.series.values().map(newest).min();
            if oldest.is_none_or(|oldest| day(oldest) >= day(start)) {
                return;
            }
            remove_first(&mut self.series, newest);
        }
        let series = self.series.entry(ticker.clone()).or_default();
        series.take(StoredBar {
            minute,
            streamed: true,
        });
        series.extend(start..minute.bar.end.0);
        series.bound();
    }

    /// Stores the vendor's bars of a span. These bars are complete. `delayed` is true if the vendor
    /// marked them as delayed.
    pub(crate) fn merge(&mut self, span: &BarRange, minutes: &[TradedBar], delayed: bool) {
        let Some(series) = self.series.get_mut(&span.ticker) else {
            return;
        };
        series.delayed = delayed;
        for minute in minutes.iter().copied() {
            series.take(StoredBar {
                minute,
                streamed: false,
            });
        }
        series.extend(span.times.clone());
        series.bound();
    }

    /// Returns the stored bars of a span, for this device.
    pub(crate) fn read(&mut self, span: &BarRange, device: &Device) -> CachedBars {
        let simulated = self.simulated;
        let series = self.series_of(&span.ticker, device);
        let (from, to) = (span.times.start, span.times.end);
        let first = series.bars.partition_point(|bars| bars.start() < from);
        let end = series.bars.partition_point(|bars| bars.start() < to);
        let bars = series.bars[first..end].iter();
        CachedBars {
            bars: bars.map(|stored| stored.minute).collect(),
            simulated,
            delayed: series.delayed,
            whole: series.known.start <= from && to <= series.known.end.saturating_add(LATE),
        }
    }

    /// Returns the series of a requested ticker. In a full store, a new series replaces a series of
    /// the device with the most series, so that one device cannot replace the series of all others.
    /// Among these, the series with the oldest request is replaced.
    fn series_of(&mut self, ticker: &Ticker, device: &Device) -> &mut BarSeries {
        if !self.series.contains_key(ticker) && self.series.len() >= TICKERS {
            let mut counts: HashMap<Option<Device>, usize> = HashMap::new();
            for series in self.series.values() {
                *counts.entry(series.device.clone()).or_default() += 1;
            }
            remove_first(&mut self.series, |series| {
                (
                    Reverse(counts.get(&series.device).copied()),
                    series.requests,
                )
            });
        }
        self.requests += 1;
        let series = self.series.entry(ticker.clone()).or_default();
        series.requests = self.requests;
        series.device = Some(device.clone());
        series
    }
}

impl BarSeries {
    fn take(&mut self, new: StoredBar) {
        match self
            .bars
            .binary_search_by_key(&new.start(), StoredBar::start)
        {
            Ok(at) if new.streamed || !self.bars[at].streamed => self.bars[at] = new,
            // A streamed bar has no number of trades.
            Ok(at) if self.bars[at].minute.volume == new.minute.volume => {
                self.bars[at].minute.trades = new.minute.trades;
            }
            Ok(_) => {}
            Err(at) => self.bars.insert(at, new),
        }
    }

    /// Adds a span to the complete span. If the two spans do not touch, only the later span is
    /// kept.
    fn extend(&mut self, span: Range<i64>) {
        if span.is_empty() {
            return;
        }
        let known = &mut self.known;
        if known.is_empty() || known.end < span.start {
            *known = span;
        } else if known.start <= span.end {
            *known = known.start.min(span.start)..known.end.max(span.end);
        }
    }

    /// Removes the oldest day while there are too many bars. If there is only one day, removes the
    /// oldest bars of this day.
    fn bound(&mut self) {
        while self.bars.len() > BARS {
            let oldest = day(self.bars[0].start());
            let end = self
                .bars
                .partition_point(|bars| day(bars.start()) == oldest);
            let surplus = self.bars.len() - BARS;
            let end = if end == self.bars.len() { surplus } else { end };
            self.bars.drain(..end);
            let first = self.bars.first().map_or(0, StoredBar::start);
            self.known.start = self.known.start.max(first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{Bar, Price};
    use crate::massive::aggregates::MINUTE;

    /// 2026-11-23, 9:30 in New York.
    const OPEN: i64 = 1_795_444_200_000;

    fn ticker(text: &str) -> Ticker {
        Ticker::try_from(text).unwrap()
    }

    fn minute(at: i64, price: f64) -> TradedBar {
        let price = Price::from_f64(price).unwrap();
        let bar = Bar {
            open: price,
            high: price,
            low: price,
            close: price,
            start: Utc(OPEN + at * MINUTE),
            end: Utc(OPEN + (at + 1) * MINUTE),
        };
        TradedBar {
            bar,
            volume: None,
            average: None,
            trades: None,
        }
    }

    fn span(minutes: Range<i64>) -> BarRange {
        BarRange {
            ticker: ticker("I:SPX"),
            times: OPEN + minutes.start * MINUTE..OPEN + minutes.end * MINUTE,
        }
    }

    fn read(store: &mut BarStore, span: &BarRange) -> CachedBars {
        store.read(span, &"kitchen".into())
    }

    fn closes(held: &CachedBars) -> Vec<f64> {
        let bars = held.bars.iter();
        bars.map(|minute| minute.bar.close.as_f64()).collect()
    }

    #[test]
    fn a_repeated_bar_replaces_the_old_bar_and_rest_fills_only_the_missing_bars() {
        let mut store = BarStore::default();
        for (at, price) in [(2, 12.0), (3, 13.0), (2, 12.5)] {
            store.stream(&ticker("I:SPX"), minute(at, price));
        }
        let held = read(&mut store, &span(0..4));
        assert_eq!((closes(&held), held.whole), (vec![12.5, 13.0], false));
        assert!(read(&mut store, &span(2..4)).whole);
        let rest = vec![minute(0, 10.0), minute(1, 11.0), minute(2, 99.0)];
        store.merge(&span(0..3), &rest, false);
        let held = read(&mut store, &span(0..4));
        assert_eq!(closes(&held), [10.0, 11.0, 12.5, 13.0]);
        assert!(held.whole);
        store.merge(&span(0..3), &[minute(1, 11.5)], false);
        assert_eq!(closes(&read(&mut store, &span(1..2))), [11.5]);
    }

    #[test]
    fn bars_before_a_gap_do_not_count_as_complete() {
        let mut store = BarStore::default();
        for at in [0, 1, 5, 6] {
            store.stream(&ticker("I:SPX"), minute(at, 1.0));
        }
        assert!(!read(&mut store, &span(0..7)).whole);
        assert!(
            read(&mut store, &span(5..8)).whole,
            "the last is not late yet"
        );
        assert!(!read(&mut store, &span(5..9)).whole, "now it is");
        store.merge(&span(0..6), &[minute(2, 1.0)], false);
        assert!(read(&mut store, &span(0..7)).whole);
    }

    #[test]
    fn the_oldest_day_is_removed_at_the_limit() {
        const DAY: i64 = 24 * 60;
        let mut store = BarStore::default();
        for day in 0..3 {
            for at in 0..390 {
                store.stream(&ticker("I:SPX"), minute(day * DAY + at, 1.0));
            }
        }
        let held = read(&mut store, &span(0..3 * DAY));
        assert_eq!(held.bars.len(), 780);
        assert_eq!(held.bars[0].bar.start, Utc(OPEN + DAY * MINUTE));
        // This is one day with too many bars: from 3:00 to 23:00 in New York.
        let long = 3 * DAY - 390..3 * DAY + 810;
        let all: Vec<_> = long.clone().map(|at| minute(at, 1.0)).collect();
        store.merge(&span(long.clone()), &all, false);
        let held = read(&mut store, &span(0..5 * DAY));
        assert_eq!(held.bars.len(), BARS);
        assert!(!read(&mut store, &span(long)).whole);
    }

    #[test]
    fn the_number_of_tickers_is_bounded_and_a_requested_ticker_stays() {
        let mut store = BarStore::default();
        store.stream(&ticker("I:SPX"), minute(0, 1.0));
        read(&mut store, &span(0..1));
        for number in 0..2 * TICKERS {
            store.stream(&ticker(&format!("S{number}")), minute(0, 1.0));
        }
        assert_eq!(store.series.len(), TICKERS);
        // Another device requests many tickers. The series of the kitchen stays.
        for number in 0..2 * TICKERS {
            let mut other = span(0..1);
            other.ticker = ticker(&format!("R{number}"));
            store.read(&other, &"hall".into());
        }
        assert!(store.series.contains_key("I:SPX"));
        assert_eq!(read(&mut store, &span(0..1)).bars.len(), 1);
        assert_eq!(store.series.len(), TICKERS);
        store.stream(&ticker("NEW"), minute(24 * 60, 1.0));
        assert!(store.series.contains_key("NEW"));
    }
}
