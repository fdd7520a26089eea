//! The minute bars of one trading day. This module owns the day's range and the curve over the
//! session. The memory has a fixed size and is allocated once.

use super::{Bar, Price};
use crate::time::Utc;

/// The number of minutes in the longest trading day: shares are traded from 4:00 to 20:00.
const MINUTES: usize = 16 * 60;
/// The maximum number of points in the curve.
const POINTS: usize = 128;
const MINUTE: i64 = 60_000;

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

/// The prices of one minute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct MinuteBar {
    low: Price,
    high: Price,
    close: Price,
    /// True if the vendor sent this bar. False if it is built from single values until the vendor's
    /// bar arrives.
    reported: bool,
}

/// The minute bars, the range and the curve of one trading day.
#[derive(Clone, Debug)]
pub struct DayBars {
    day: Option<TradingDay>,
    /// The bars, indexed by the minutes since the start of the day. Invariant: the length is
    /// `MINUTES`, or 0 if there is no trading day.
    minutes: Vec<Option<MinuteBar>>,
    /// The index of the first minute with a price, and the index after the last one.
    used: (usize, usize),
    range: Option<(Price, Price)>,
    /// True if a backfill delivered the earlier bars of the day.
    reported: bool,
    points: heapless::Vec<Price, POINTS>,
    /// The number of minutes that the points cover.
    points_cover: usize,
}

impl Default for DayBars {
    fn default() -> Self {
        Self::new()
    }
}

impl DayBars {
    /// Creates empty bars without a trading day.
    pub const fn new() -> Self {
        Self {
            day: None,
            minutes: Vec::new(),
            used: (0, 0),
            range: None,
            reported: false,
            points: heapless::Vec::new(),
            points_cover: 0,
        }
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
            self.minutes.clear();
            // Allocates only at the first trading day; later days reuse the memory.
            self.minutes
                .resize(if day.is_some() { MINUTES } else { 0 }, None);
            self.used = (0, 0);
            self.reported = false;
            self.points.clear();
            self.points_cover = 0;
        }
        self.measure();
    }

    /// The lowest and the highest price in the regular hours of the day up to now.
    pub const fn range(&self) -> Option<(Price, Price)> {
        self.range
    }

    /// Returns true if a backfill delivered the earlier bars of the day. Without a backfill the
    /// range may lack the beginning of the day.
    pub const fn is_backfilled(&self) -> bool {
        self.reported
    }

    /// The curve over the day up to now: evenly spaced prices, oldest first. Each point covers one
    /// minute, or several minutes if the day has more than 128 minutes. The current minute is not
    /// included: otherwise the display would redraw its column at each tick.
    pub fn points(&self) -> &[Price] {
        &self.points
    }

    /// Adds a single value. The value counts for its minute until the bar of that minute arrives.
    pub fn value(&mut self, price: Price, stamp: Utc) {
        let Some(place) = self.place(stamp) else {
            return;
        };
        let minute = match self.minutes[place] {
            Some(minute) if minute.reported => return,
            Some(minute) => MinuteBar {
                low: minute.low.min(price),
                high: minute.high.max(price),
                close: price,
                reported: false,
            },
            None => MinuteBar {
                low: price,
                high: price,
                close: price,
                reported: false,
            },
        };
        self.minutes[place] = Some(minute);
        if self.counts(place) {
            let (low, high) = self.range.unwrap_or((price, price));
            self.range = Some((low.min(price), high.max(price)));
        }
        self.extend(place);
    }

    /// Adds the bar of a minute. A second bar for the same minute is a correction and replaces the
    /// first one.
    pub fn bar(&mut self, bar: &Bar) {
        if self.put(bar) {
            self.measure();
            self.draw();
        }
    }

    /// Adds a list of bars. The bars replace single values in the same minutes.
    pub fn refill(&mut self, bars: &[Bar]) {
        for bar in bars {
            self.reported |= self.put(bar);
        }
        self.measure();
        self.draw();
    }

    fn put(&mut self, bar: &Bar) -> bool {
        let Some(place) = self.place(bar.start) else {
            return false;
        };
        self.minutes[place] = Some(MinuteBar {
            low: bar.low,
            high: bar.high,
            close: bar.close,
            reported: true,
        });
        self.extend(place);
        true
    }

    /// Returns the index of the minute. `None` outside the trading day.
    fn place(&self, at: Utc) -> Option<usize> {
        let day = self.day?;
        if at >= day.end {
            return None;
        }
        let place = usize::try_from(at.millis_since(day.start).div_euclid(MINUTE)).ok()?;
        (place < self.minutes.len()).then_some(place)
    }

    /// Returns true if the minute counts for the range of the day.
    fn counts(&self, place: usize) -> bool {
        self.day.is_some_and(|day| {
            let start = Utc(day.start.0 + place as i64 * MINUTE);
            (day.open..day.close).contains(&start)
        })
    }

    fn extend(&mut self, place: usize) {
        let (first, end) = self.used;
        self.used = if first == end {
            (place, place + 1)
        } else {
            (first.min(place), end.max(place + 1))
        };
        if self.complete() != self.points_cover || place < first {
            self.draw();
        }
    }

    /// Returns the number of complete minutes since the first minute with a price.
    fn complete(&self) -> usize {
        let (first, end) = self.used;
        let over = end > 0 && self.minutes[end - 1].is_some_and(|minute| minute.reported);
        (end - first).saturating_sub(usize::from(!over))
    }

    /// Computes the range again from all bars, because a correction can remove an extreme price.
    fn measure(&mut self) {
        let (first, end) = self.used;
        let counted = (first..end).filter(|place| self.counts(*place));
        let minutes = counted.filter_map(|place| self.minutes[place]);
        self.range = minutes.fold(None, |range, minute| {
            let (low, high) = range.unwrap_or((minute.low, minute.high));
            Some((low.min(minute.low), high.max(minute.high)))
        });
    }

    /// Builds the curve again; called once per minute. A minute without a price repeats the price
    /// of the minute before.
    fn draw(&mut self) {
        let first = self.used.0;
        self.points_cover = self.complete();
        // The step is a power of two, so that existing points keep their position until the curve
        // is full.
        let step = self.points_cover.div_ceil(POINTS).next_power_of_two();
        self.points.clear();
        let mut last = None;
        for (nth, minute) in self.minutes[first..][..self.points_cover]
            .iter()
            .enumerate()
        {
            last = minute.map(|minute| minute.close).or(last);
            if (nth + 1) % step == 0 || nth + 1 == self.points_cover {
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
        Utc(START + minute * MINUTE)
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
            assert!(minutes.points().len() <= POINTS);
            assert_eq!(minutes.points().last(), Some(&price(minute + 1)));
        }
        assert_eq!(minutes.points()[..2], [price(4), price(8)]);
        assert!(minutes.points().len() >= POINTS / 2);
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

    proptest::proptest! {
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
