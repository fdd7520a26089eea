//! The bars of one instrument: the minute bars of its trading day, or bars of equal length since
//! the first value if there are no trading hours or the time is unknown. This module owns the day's
//! range and the curve over the bars. The memory has a fixed size and is allocated once.

use core::time::Duration;

use super::{Bar, Price};
use crate::time::{Moment, Utc};

/// The number of minutes in the longest trading day: shares are traded from 4:00 to 20:00.
const MINUTES: usize = 16 * 60;
/// The maximum number of points in the curve.
pub const HISTORY_POINTS: usize = 128;
const MINUTE: Duration = Duration::from_secs(60);
/// Without a trading day: the initial length of a bar.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);
/// Without a trading day: a gap that is shorter than this time never restarts the curve.
const QUIET: Duration = Duration::from_secs(600);

/// The times of a trading day of one symbol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TradingDay {
    /// The start of the first session.
    pub start: Utc,
    /// The start of the regular hours: prices count for the day's range from this time on.
    pub open: Utc,
    /// The end of the regular hours (exclusive): prices after this time do not count for the range.
    pub close: Utc,
    /// The start of the next trading day.
    pub end: Utc,
}

/// A price range: the lowest and the highest price.
pub(super) type PriceRange = (Price, Price);

/// Returns the range that contains both ranges.
pub(super) fn union(one: Option<PriceRange>, other: Option<PriceRange>) -> Option<PriceRange> {
    match (one, other) {
        (Some((low, high)), Some((lower, higher))) => Some((low.min(lower), high.max(higher))),
        (range, None) | (None, range) => range,
    }
}

/// The prices of one bar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct StoredBar {
    range: PriceRange,
    close: Price,
    /// True if the vendor sent this bar. False if it is built from single values until the vendor's
    /// bar arrives.
    reported: bool,
}

/// The bars, the range and the curve of one instrument.
///
/// With a trading day, each bar has one minute. Without a trading day there is no range, and the
/// bars cover the time since the first value. They start with one second each. When 129 bars are in
/// use, each pair of neighbouring bars becomes one bar of twice the length. From then on, the curve
/// has 64 to 128 points. A gap that is longer than ten minutes and longer than all bars together
/// restarts the curve: otherwise most of the curve would show the gap of a night.
#[derive(Clone, Debug, Default)]
pub struct DayBars {
    day: Option<TradingDay>,
    /// The bars, indexed by the minutes since the start of the day, or by the intervals since
    /// `first_value`.
    bars: Vec<Option<StoredBar>>,
    /// The part of `bars` that contains prices: the index of the first bar with a price, and the
    /// index after the last bar with a price. The value is (`MINUTES`, 0) while no bar has a price.
    used: (usize, usize),
    range: Option<PriceRange>,
    /// True if a backfill delivered the earlier bars of the day.
    backfilled: bool,
    /// Without a trading day: the receive time of the first value, and the length of a bar.
    first_value: Moment,
    interval: Duration,
    points: heapless::Vec<Price, HISTORY_POINTS>,
    /// The number of bars that the points cover.
    points_cover: usize,
}

impl DayBars {
    /// Creates empty bars without a trading day. Allocates the memory for all later bars.
    pub fn new() -> Self {
        let mut bars = Self::default();
        bars.clear();
        bars
    }

    /// The trading day of the bars.
    pub const fn day(&self) -> Option<&TradingDay> {
        self.day.as_ref()
    }

    /// Sets the trading day. If a different day begins, the bars of the previous day are removed;
    /// if only the hours change, the bars stay. `None` means that there are no trading hours.
    pub fn enter(&mut self, day: Option<TradingDay>) {
        if self.day == day {
            return;
        }
        let same = self.day.zip(day).is_some_and(|(a, b)| a.start == b.start);
        self.day = day;
        if !same {
            self.clear();
        }
        self.measure();
    }

    fn clear(&mut self) {
        self.bars.clear();
        self.bars.resize(MINUTES, None);
        self.used = (MINUTES, 0);
        self.backfilled = false;
        self.interval = FIRST_INTERVAL;
        self.points.clear();
        self.points_cover = 0;
    }

    /// The lowest and the highest price in the regular hours of the day up to now. `None` without a
    /// trading day.
    pub const fn range(&self) -> Option<(Price, Price)> {
        self.range
    }

    /// Returns true if a backfill delivered the earlier bars of the day. Without a backfill the
    /// range may lack the beginning of the day.
    pub const fn is_backfilled(&self) -> bool {
        self.backfilled
    }

    /// The curve over the bars up to now: evenly spaced prices, oldest first. Each point covers one
    /// bar, or several bars if there are more than [`HISTORY_POINTS`]. The current bar is not
    /// included: otherwise the display would redraw its column at each tick.
    pub fn points(&self) -> &[Price] {
        &self.points
    }

    /// The start of the first bar and the end of the last bar of the curve. `None` without a trading
    /// day, and while the curve is empty.
    pub fn span(&self) -> Option<(Utc, Utc)> {
        let day = self.day.filter(|_| self.points_cover > 0)?;
        let start = day.start + MINUTE * self.used.0 as u32;
        Some((start, start + MINUTE * self.points_cover as u32))
    }

    /// Adds a single value with a timestamp. The value counts for its minute until the bar of that
    /// minute arrives. Ignored without a trading day.
    pub fn value(&mut self, price: Price, stamp: Utc) {
        if let Some(place) = self.place(stamp) {
            self.add(price, place);
        }
    }

    /// Adds a single value by its receive time. Ignored with a trading day.
    pub fn received(&mut self, price: Price, at: Moment) {
        if self.day.is_some() {
            return;
        }
        let covered = self.interval * self.used.1 as u32;
        let gap = at.since(self.first_value + covered);
        if covered.is_zero() || gap > QUIET.max(covered) {
            self.clear();
            self.first_value = at;
        }
        let elapsed = at.since(self.first_value);
        while elapsed >= self.interval * (HISTORY_POINTS as u32 + 1) {
            self.halve();
        }
        let place = elapsed.as_millis() / self.interval.as_millis();
        self.add(price, place as usize);
    }

    /// Merges each pair of neighbouring bars into one bar. Only the closes are merged, because
    /// there is no range without a trading day.
    fn halve(&mut self) {
        for place in 0..=HISTORY_POINTS / 2 {
            self.bars[place] = self.bars[2 * place + 1].or(self.bars[2 * place]);
        }
        self.bars[HISTORY_POINTS / 2 + 1..=HISTORY_POINTS].fill(None);
        self.used.1 = self.used.1.div_ceil(2);
        self.interval *= 2;
        // The curve must be drawn again, even if it has the same number of points.
        self.points_cover = 0;
    }

    fn add(&mut self, price: Price, place: usize) {
        let before = self.bars[place];
        if before.is_some_and(|bar| bar.reported) {
            return;
        }
        let single = Some((price, price));
        self.bars[place] = Some(StoredBar {
            range: union(before.map(|bar| bar.range), single).unwrap_or((price, price)),
            close: price,
            reported: false,
        });
        if self.counts(place) {
            self.range = union(self.range, single);
        }
        self.extend(place);
    }

    /// Adds the bar of a minute. A second bar for the same minute is a correction and replaces the
    /// first bar.
    pub fn bar(&mut self, bar: &Bar) {
        if self.put(bar) {
            self.measure();
            self.draw();
        }
    }

    /// Adds a list of bars. The bars replace single values in the same minutes.
    pub fn refill(&mut self, bars: &[Bar]) {
        for bar in bars {
            self.backfilled |= self.put(bar);
        }
        self.measure();
        self.draw();
    }

    fn put(&mut self, bar: &Bar) -> bool {
        let place = self.place(bar.start);
        if let Some(place) = place {
            self.bars[place] = Some(StoredBar {
                range: (bar.low, bar.high),
                close: bar.close,
                reported: true,
            });
            self.extend(place);
        }
        place.is_some()
    }

    /// Returns the index of the minute. `None` outside the trading day.
    fn place(&self, at: Utc) -> Option<usize> {
        let day = self.day.filter(|day| (day.start..day.end).contains(&at))?;
        let place = (at.since(day.start).as_secs() / 60) as usize;
        (place < self.bars.len()).then_some(place)
    }

    /// Returns true if the minute counts for the range of the day.
    fn counts(&self, place: usize) -> bool {
        let minute = MINUTE * place as u32;
        self.day
            .is_some_and(|day| (day.open..day.close).contains(&(day.start + minute)))
    }

    fn extend(&mut self, place: usize) {
        let (first, end) = self.used;
        self.used = (first.min(place), end.max(place + 1));
        if self.complete() != self.points_cover || place < first {
            self.draw();
        }
    }

    /// Returns the number of complete bars since the first bar with a price.
    fn complete(&self) -> usize {
        let (first, end) = self.used;
        let over = end > 0 && self.bars[end - 1].is_some_and(|bar| bar.reported);
        end.saturating_sub(first + usize::from(!over))
    }

    /// Computes the range again from all bars, because a correction can remove an extreme price.
    fn measure(&mut self) {
        let (first, end) = self.used;
        let counted = (first..end).filter(|place| self.counts(*place));
        let bars = counted.filter_map(|place| self.bars[place]);
        self.range = bars.fold(None, |range, bar| union(range, Some(bar.range)));
    }

    /// Builds the curve again; called once per bar. A bar without a price repeats the price of the
    /// bar before.
    fn draw(&mut self) {
        let first = self.used.0;
        self.points_cover = self.complete();
        // The step is a power of two, so that existing points keep their position until the curve
        // is full.
        let bars_a_point = self.points_cover.div_ceil(HISTORY_POINTS);
        let step = bars_a_point.next_power_of_two();
        self.points.clear();
        let mut last = None;
        let covered = &self.bars[first..first + self.points_cover];
        for (nth, bar) in (1..).zip(covered) {
            last = bar.map(|bar| bar.close).or(last);
            if nth % step == 0 || nth == self.points_cover {
                let fits = last.is_none_or(|price| self.points.push(price).is_ok());
                debug_assert!(fits, "the step leaves room");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_768_314_600_000; // 2026-01-13 09:30 in New York

    fn price(number: i64) -> Price {
        Price::from_scaled(number * Price::SCALE)
    }

    fn at(minute: i64) -> Utc {
        Utc(START + minute * 60_000)
    }

    fn bar(minute: i64, low: i64, high: i64, close: i64) -> Bar {
        Bar {
            open: price(low),
            high: price(high),
            low: price(low),
            close: price(close),
            start: at(minute),
            end: at(minute + 1),
        }
    }

    fn day() -> TradingDay {
        TradingDay {
            start: at(0),
            open: at(0),
            close: at(390),
            end: at(1440),
        }
    }

    /// Bars without a trading day: one value each second, with the second as its price.
    fn without_day(secs: core::ops::Range<u64>) -> DayBars {
        let mut bars = DayBars::new();
        for second in secs {
            bars.received(price(second as i64), Moment::from_secs(second));
        }
        bars
    }

    fn minutes() -> DayBars {
        let mut minutes = DayBars::new();
        minutes.enter(Some(day()));
        minutes
    }

    #[test]
    fn a_minute_appears_on_the_curve_after_its_end() {
        let mut minutes = minutes();
        minutes.value(price(5), at(0));
        minutes.value(price(6), Utc(START + 30_000));
        assert_eq!(minutes.points(), []);
        minutes.value(price(7), at(1));
        assert_eq!(minutes.points(), [price(6)]);
        minutes.bar(&bar(1, 7, 9, 8));
        assert_eq!(minutes.points(), [price(6), price(8)]);
        assert_eq!(minutes.range(), Some((price(5), price(9))));
    }

    #[test]
    fn a_corrected_bar_replaces_the_old_bar_and_its_high_and_low() {
        let mut minutes = minutes();
        minutes.refill(&[bar(0, 5, 6, 6), bar(1, 5, 60, 6), bar(2, 5, 6, 5)]);
        assert_eq!(minutes.range(), Some((price(5), price(60))));
        minutes.bar(&bar(1, 4, 7, 7));
        assert_eq!(minutes.range(), Some((price(4), price(7))));
        assert_eq!(minutes.points(), [price(6), price(7), price(5)]);
        // A late tick does not change a minute that already has its bar.
        minutes.value(price(99), at(1));
        assert_eq!(minutes.range(), Some((price(4), price(7))));
    }

    #[test]
    fn a_minute_without_a_price_repeats_the_previous_minute() {
        let mut minutes = minutes();
        minutes.refill(&[bar(3, 5, 5, 5), bar(6, 8, 8, 8)]);
        assert_eq!(minutes.points(), [5, 5, 5, 8].map(price));
    }

    #[test]
    fn the_curve_covers_the_session_with_at_most_128_points() {
        let mut minutes = minutes();
        for minute in 0..390 {
            minutes.bar(&bar(minute, 1, 400, minute + 1));
            assert!(minutes.points().len() <= HISTORY_POINTS);
            assert_eq!(minutes.points().last(), Some(&price(minute + 1)));
        }
        assert_eq!(minutes.points()[..2], [price(4), price(8)]);
        assert!(minutes.points().len() >= HISTORY_POINTS / 2);
    }

    #[test]
    fn a_refill_adds_the_minutes_before_the_first_streamed_value() {
        let mut minutes = minutes();
        minutes.value(price(9), at(5));
        minutes.refill(&[bar(0, 5, 5, 5), bar(4, 6, 6, 6)]);
        assert_eq!(minutes.points(), [5, 5, 5, 5, 6].map(price));
        minutes.value(price(10), at(6));
        assert_eq!(minutes.points()[5], price(9));
    }

    #[test]
    fn a_new_day_removes_the_previous_day_and_bars_outside_the_day_are_ignored() {
        let mut minutes = minutes();
        minutes.refill(&[bar(0, 5, 5, 5), bar(-1, 1, 1, 1), bar(2000, 1, 1, 1)]);
        assert_eq!(minutes.points(), [price(5)]);
        // Prices in extended hours count for the curve, but not for the range.
        minutes.value(price(90), at(400));
        assert_eq!(minutes.range(), Some((price(5), price(5))));
        let next = TradingDay {
            start: at(1440),
            open: at(1440),
            close: at(1830),
            end: at(2880),
        };
        minutes.enter(Some(next));
        assert_eq!((minutes.points(), minutes.range()), (&[][..], None));
        minutes.enter(None);
        minutes.value(price(5), at(1441));
        assert_eq!(minutes.points(), []);
    }

    #[test]
    fn without_a_trading_day_only_completed_points_are_returned() {
        let mut bars = DayBars::new();
        assert_eq!(bars.points(), []);
        bars.received(price(1), Moment::from_millis(5000));
        bars.received(price(2), Moment::from_millis(5999));
        assert_eq!(bars.points(), []);
        bars.received(price(3), Moment::from_millis(6000));
        assert_eq!((bars.points(), bars.range()), (&[price(2)][..], None));
        // The minute bars begin with the trading day.
        bars.enter(Some(day()));
        bars.received(price(4), Moment::from_millis(9000));
        assert_eq!(bars.points(), []);
    }

    #[test]
    fn a_full_curve_keeps_the_later_point_of_each_pair_and_doubles_its_interval() {
        assert_eq!(without_day(0..129).points().len(), 128);
        assert_eq!(without_day(0..129).interval, Duration::from_secs(1));
        let halved = without_day(0..131);
        assert_eq!(halved.interval, Duration::from_secs(2));
        let expected: Vec<Price> = (0..65).map(|point| price(2 * point + 1)).collect();
        assert_eq!(halved.points(), expected);
    }

    #[test]
    fn a_gap_repeats_the_last_value() {
        let mut bars = without_day(0..1);
        bars.received(price(9), Moment::from_secs(3));
        assert_eq!(bars.points(), [price(0); 3]);
        // The gap doubles the interval, although the curve keeps its number of points.
        let mut bars = without_day(0..76);
        assert_eq!(bars.points()[0], price(0));
        bars.received(price(9), Moment::from_secs(150));
        assert_eq!((bars.points().len(), bars.points()[0]), (75, price(1)));
    }

    #[test]
    fn a_value_every_15_seconds_fills_a_curve() {
        let mut bars = DayBars::new();
        for nth in 0..100 {
            bars.received(price(nth), Moment::from_secs(15 * nth as u64));
        }
        assert!(bars.points().len() >= 64);
        assert_eq!(bars.points()[0], price(1));
    }

    #[test]
    fn a_silence_longer_than_the_curve_starts_a_new_curve() {
        let mut bars = without_day(0..300);
        bars.received(price(9), Moment::from_secs(299 + 600));
        assert_ne!(bars.points()[0], price(9));
        assert!(bars.points().len() >= 64);
        bars.received(price(9), Moment::from_secs(100_000));
        assert_eq!(bars.points(), []);
        bars.received(price(9), Moment::from_secs(100_001));
        assert_eq!(bars.points(), [price(9)]);
    }

    proptest::proptest! {
        #[test]
        fn a_full_curve_always_has_between_half_and_all_of_its_points(
            gaps in proptest::collection::vec(0u64..9_000_000, 1..300)
        ) {
            let (mut bars, mut at, mut was_full) = (DayBars::new(), 0, false);
            for gap in gaps {
                let before = bars.first_value;
                was_full |= bars.points().len() == HISTORY_POINTS;
                at += gap;
                bars.received(price(7), Moment::from_millis(at));
                was_full &= bars.first_value == before;
                proptest::prop_assert!(bars.points().len() <= HISTORY_POINTS);
                proptest::prop_assert!(!was_full || bars.points().len() >= HISTORY_POINTS / 2);
                proptest::prop_assert!(bars.points().iter().all(|point| *point == price(7)));
            }
        }

        #[test]
        fn the_curve_and_the_range_use_the_last_bar_of_each_minute_in_any_order(
            bars in proptest::collection::vec((0i64..960, 1i64..50, 0i64..50), 1..200)
        ) {
            let (mut one_by_one, mut at_once) = (minutes(), minutes());
            let bars: Vec<Bar> = bars.iter().map(|(minute, low, more)| bar(*minute, *low, low + more, *low)).collect();
            bars.iter().for_each(|bar| one_by_one.bar(bar));
            let mut last: Vec<Bar> = Vec::new();
            for bar in bars.iter().rev() {
                if last.iter().all(|kept| kept.start != bar.start) {
                    last.push(*bar);
                }
            }
            at_once.refill(&last);
            proptest::prop_assert_eq!(one_by_one.points(), at_once.points());
            proptest::prop_assert_eq!(one_by_one.range(), at_once.range());
        }
    }
}
