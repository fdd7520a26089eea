//! The points of a sparkline: a fixed number of evenly spaced prices from the first value to now.
//! This module never allocates.

use core::time::Duration;

use super::Price;
use crate::time::Moment;

/// The maximum number of points.
pub const HISTORY_POINTS: usize = 128;

/// The initial interval between two points.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);

/// A gap shorter than this never restarts the history.
const QUIET: Duration = Duration::from_secs(600);

/// Evenly spaced prices: the last price of each interval.
///
/// The history starts with one point per second. When the history is full, the later of each two
/// neighbouring points stays and the interval doubles. From then on the history holds 64 to 128
/// points for the whole time span.
///
/// An interval without a value repeats the last price, as price charts do. A gap that is longer
/// than ten minutes and longer than the whole time span restarts the history: otherwise most of the
/// chart would show the gap of a night.
#[derive(Clone, Debug)]
pub struct History {
    points: [Price; HISTORY_POINTS],
    /// The number of points in use. Invariant: at most `HISTORY_POINTS`.
    len: usize,
    /// The time between two points; doubles when the history is full.
    interval: Duration,
    /// The start of the current, incomplete interval.
    start: Moment,
    /// The receive time and the price of the latest value.
    latest: Option<(Moment, Price)>,
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

impl History {
    /// Creates an empty history.
    pub const fn new() -> Self {
        Self {
            points: [Price::from_scaled(0); HISTORY_POINTS],
            len: 0,
            interval: FIRST_INTERVAL,
            start: Moment::ZERO,
            latest: None,
        }
    }

    /// The points of all complete intervals, oldest first. The current interval is not included:
    /// otherwise the display would redraw its column at each tick.
    pub fn points(&self) -> &[Price] {
        &self.points[..self.len]
    }

    /// The time between two points.
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// Adds a value. If `at` is earlier than the latest value, the time of the latest value is
    /// used.
    pub fn push(&mut self, price: Price, at: Moment) {
        match self.latest {
            Some((before, _)) if at.since(before) > QUIET && at.since(before) > self.span() => {
                self.restart(at);
            }
            Some((_, last)) => self.complete(last, at),
            None => self.restart(at),
        }
        self.latest = Some((at.max(self.start), price));
    }

    fn restart(&mut self, at: Moment) {
        *self = Self {
            start: at,
            ..Self::new()
        };
    }

    /// Adds a point for every interval that ended before or at `at`. The loop takes at most some
    /// hundred steps, because a gap longer than `QUIET` and longer than the span restarts the
    /// history.
    fn complete(&mut self, last: Price, at: Moment) {
        while at.since(self.start) >= self.interval {
            if self.len == HISTORY_POINTS {
                for kept in 0..HISTORY_POINTS / 2 {
                    self.points[kept] = self.points[2 * kept + 1];
                }
                self.len = HISTORY_POINTS / 2;
                self.interval = self.interval.saturating_mul(2);
            } else {
                self.points[self.len] = last;
                self.len += 1;
                self.start = self.start + self.interval;
            }
        }
    }

    fn span(&self) -> Duration {
        self.interval.saturating_mul(self.len as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(number: u64) -> Price {
        Price::from_scaled(number as i64)
    }

    fn filled(secs: core::ops::Range<u64>) -> History {
        let mut history = History::new();
        for second in secs {
            history.push(price(second), Moment::from_secs(second));
        }
        history
    }

    #[test]
    fn only_completed_points_are_returned() {
        let mut history = History::new();
        assert_eq!(history.points(), []);
        history.push(price(1), Moment::from_millis(5000));
        history.push(price(2), Moment::from_millis(5999));
        assert_eq!(history.points(), []);
        history.push(price(3), Moment::from_millis(6000));
        assert_eq!(history.points(), [price(2)]);
    }

    #[test]
    fn a_full_history_keeps_the_later_point_of_each_pair_and_doubles_its_interval() {
        assert_eq!(filled(0..129).points().len(), 128);
        assert_eq!(filled(0..129).interval(), Duration::from_secs(1));
        let halved = filled(0..131);
        assert_eq!(halved.interval(), Duration::from_secs(2));
        let expected: Vec<Price> = (0..65).map(|point| price(2 * point + 1)).collect();
        assert_eq!(halved.points(), expected);
    }

    #[test]
    fn a_gap_repeats_the_last_value() {
        let mut history = filled(0..1);
        history.push(price(9), Moment::from_secs(3));
        assert_eq!(history.points(), [price(0); 3]);
    }

    #[test]
    fn a_value_every_15_seconds_fills_a_history() {
        let mut history = History::new();
        for nth in 0..100 {
            history.push(price(nth), Moment::from_secs(15 * nth));
        }
        assert!(history.points().len() >= 64);
        assert_eq!(history.points()[0], price(1));
    }

    #[test]
    fn a_silence_longer_than_the_history_starts_a_new_history() {
        let mut history = filled(0..300);
        history.push(price(9), Moment::from_secs(299 + 600));
        assert_ne!(history.points()[0], price(9));
        assert!(history.points().len() >= 64);
        history.push(price(9), Moment::from_secs(100_000));
        assert_eq!(history.points(), []);
        history.push(price(9), Moment::from_secs(100_001));
        assert_eq!(history.points(), [price(9)]);
    }

    proptest::proptest! {
        #[test]
        fn a_full_history_always_holds_between_half_and_all_of_its_points(
            gaps in proptest::collection::vec(0u64..9_000_000, 1..300)
        ) {
            let (mut history, mut at, mut was_full) = (History::new(), 0, false);
            for gap in gaps {
                let quiet = Duration::from_millis(gap) > QUIET.max(history.span());
                was_full = (was_full && !quiet) || history.points().len() == HISTORY_POINTS;
                was_full &= !quiet;
                at += gap;
                history.push(Price::from_scaled(7), Moment::from_millis(at));
                proptest::prop_assert!(history.points().len() <= HISTORY_POINTS);
                proptest::prop_assert!(!was_full || history.points().len() >= HISTORY_POINTS / 2);
                proptest::prop_assert!(history.points().iter().all(|p| p.scaled() == 7));
            }
        }
    }
}
