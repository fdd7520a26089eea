//! The minutes of one trading day: a bar for each, by its start. Owns the day's range and the
//! curve over the session; of a fixed size, allocated once.

use super::{Bar, Price};
use crate::time::Utc;

/// Minutes of the longest trading day, that of shares: 4:00 to 20:00.
const MINUTES: usize = 16 * 60;
/// Points of the curve at most.
const POINTS: usize = 128;
const MINUTE: i64 = 60_000;

/// A trading day of one symbol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TradingDay {
    /// Where its first session begins.
    pub start: Utc,
    /// From here on prices count for the range of the day:
    pub open: Utc,
    /// and up to here.
    pub close: Utc,
    /// Where the next trading day begins.
    pub end: Utc,
}

/// One minute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct MinuteBar {
    low: Price,
    high: Price,
    close: Price,
    /// It is the feed's own bar; else it is put together of single values until that comes.
    reported: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct DayBars {
    day: Option<TradingDay>,
    /// By the minutes since the start of the day. Invariant: `MINUTES` of them, or none before
    /// the first day.
    minutes: Vec<Option<MinuteBar>>,
    /// The first minute with a price, and the one behind the last.
    used: (usize, usize),
    range: Option<(Price, Price)>,
    /// The minutes of the day so far were filled in.
    reported: bool,
    points: heapless::Vec<Price, POINTS>,
    /// How many minutes the points stand for.
    points_cover: usize,
}

impl Default for DayBars {
    fn default() -> Self {
        Self::new()
    }
}

impl DayBars {
    /// No day yet.
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

    /// The day that these minutes are of.
    pub const fn day(&self) -> Option<&TradingDay> {
        self.day.as_ref()
    }

    /// Another day has begun, or the hours of this one are others: what is known of the one
    /// before is forgotten. `None` where there are no hours.
    pub fn enter(&mut self, day: Option<TradingDay>) {
        if self.day == day {
            return;
        }
        let same = self.day.zip(day).is_some_and(|(a, b)| a.start == b.start);
        self.day = day;
        if !same {
            self.minutes.clear();
            // The only place that allocates: at the first day.
            self.minutes
                .resize(if day.is_some() { MINUTES } else { 0 }, None);
            self.used = (0, 0);
            self.reported = false;
            self.points.clear();
            self.points_cover = 0;
        }
        self.measure();
    }

    /// The lowest and the highest price of the day's regular hours so far.
    pub const fn range(&self) -> Option<(Price, Price)> {
        self.range
    }

    /// Whether somebody has told the day: a range of what was merely seen may lack its beginning.
    pub const fn is_backfilled(&self) -> bool {
        self.reported
    }

    /// The curve over the day so far, evenly spaced, oldest first: a minute a point, or as many
    /// as must share one. The minute that is not over is not in it, so that the glass does not
    /// redraw its column at each tick.
    pub fn points(&self) -> &[Price] {
        &self.points
    }

    /// Takes a single value: it is a part of its minute until the bar of it comes.
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

    /// Takes a bar of a minute. One that comes again is a correction: the last one wins.
    pub fn bar(&mut self, bar: &Bar) {
        if self.put(bar) {
            self.measure();
            self.draw();
        }
    }

    /// Takes many bars at once; single values of the same minutes give way.
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

    /// Where a minute stands; `None` outside the day.
    fn place(&self, at: Utc) -> Option<usize> {
        let day = self.day?;
        if at >= day.end {
            return None;
        }
        let place = usize::try_from(at.millis_since(day.start).div_euclid(MINUTE)).ok()?;
        (place < self.minutes.len()).then_some(place)
    }

    /// Whether a minute counts for the range of the day.
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

    /// How many minutes since the first are over.
    fn complete(&self) -> usize {
        let (first, end) = self.used;
        let over = end > 0 && self.minutes[end - 1].is_some_and(|minute| minute.reported);
        (end - first).saturating_sub(usize::from(!over))
    }

    /// The range, anew: a correction may have taken away what made it.
    fn measure(&mut self) {
        let (first, end) = self.used;
        let counted = (first..end).filter(|place| self.counts(*place));
        let minutes = counted.filter_map(|place| self.minutes[place]);
        self.range = minutes.fold(None, |range, minute| {
            let (low, high) = range.unwrap_or((minute.low, minute.high));
            Some((low.min(minute.low), high.max(minute.high)))
        });
    }

    /// The curve, anew: once a minute. A minute without a price repeats the one before.
    fn draw(&mut self) {
        let first = self.used.0;
        self.points_cover = self.complete();
        // A power of two, so that the points stay where they are for as long as there is room.
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
    fn a_minute_is_on_the_curve_once_it_is_over() {
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
    fn a_correction_replaces_what_was_said_and_takes_its_extremes_with_it() {
        let mut minutes = minutes();
        minutes.refill(&[bar(0, 5, 6, 6), bar(1, 5, 60, 6), bar(2, 5, 6, 5)]);
        assert_eq!(minutes.range(), Some((price(5), price(60))));
        minutes.bar(&bar(1, 4, 7, 7));
        assert_eq!(minutes.range(), Some((price(4), price(7))));
        assert_eq!(minutes.points(), [price(6), price(7), price(5)]);
        // A late tick of a minute whose bar is there changes nothing.
        minutes.value(price(99), at(1));
        assert_eq!(minutes.range(), Some((price(4), price(7))));
    }

    #[test]
    fn a_minute_without_a_price_repeats_the_one_before() {
        let mut minutes = minutes();
        minutes.refill(&[bar(3, 5, 5, 5), bar(6, 8, 8, 8)]);
        assert_eq!(minutes.points(), [5, 5, 5, 8].map(price));
    }

    #[test]
    fn the_curve_spans_the_session_in_128_points_at_most() {
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
    fn a_refill_behind_single_values_fills_in_what_was_before_them() {
        let mut minutes = minutes();
        minutes.value(price(9), at(5));
        minutes.refill(&[bar(0, 5, 5, 5), bar(4, 6, 6, 6)]);
        assert_eq!(minutes.points(), [5, 5, 5, 5, 6].map(price));
        minutes.value(price(10), at(6));
        assert_eq!(minutes.points()[5], price(9));
    }

    #[test]
    fn another_day_forgets_the_one_before_and_what_is_outside_is_left_out() {
        let mut minutes = minutes();
        minutes.refill(&[bar(0, 5, 5, 5), bar(-1, 1, 1, 1), bar(2000, 1, 1, 1)]);
        assert_eq!(minutes.points(), [price(5)]);
        // Before and after the regular hours prices make a curve and no range.
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
        fn in_whatever_order_bars_come_the_curve_and_the_range_are_those_of_the_last_of_each(
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
