//! Generates plausible prices as seeded random walks; the same seed gives the same prices. Uses no
//! clock, no network and no files.

use core::time::Duration;

use crate::market::{AssetClass, Bar, Price, Symbol, Ticker};
use crate::massive::aggregates::MINUTE;
use crate::time::Utc;

/// The duration of the regular hours, in minutes.
const SESSION: i64 = 390;

/// A bar and its traded volume, in shares or contracts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TradedBar {
    pub(super) bar: Bar,
    pub(super) volume: u64,
}

/// The random walk of one instrument, with its current price.
#[derive(Clone, Debug)]
pub(super) struct RandomWalk {
    pub(super) ticker: Ticker,
    pub(super) class: AssetClass,
    price: f64,
    home: f64,
    /// The closing price of the previous day.
    pub(super) previous_close: Price,
    /// The standard deviation of one step, in the unit of the price.
    step: f64,
    /// The time between two values at normal speed.
    pub(super) interval: Duration,
    /// A hash that differs between tickers and between seeds.
    salt: u64,
    random: fastrand::Rng,
    /// A separate generator for sizes, so that sizes do not change the prices.
    size_rng: fastrand::Rng,
}

/// The columns are the ticker, the start price, the previous close, the standard deviation of one
/// step, and the seconds between two values. SPX moves about once a second; Cboe publishes the VIX
/// family every 15 s. `share` derives the values of any other share from its name.
const WALKS: [(&str, f64, f64, f64, u64); 14] = [
    ("I:SPX", 5912.34, 5887.61, 0.35, 1),
    ("I:NDX", 20_740.12, 20_688.04, 1.9, 1),
    ("I:DJI", 43_408.47, 43_268.94, 2.4, 1),
    ("I:RUT", 2325.53, 2324.83, 0.2, 1),
    ("I:VIX", 17.25, 17.65, 0.04, 15),
    ("I:VIX9D", 16.41, 16.92, 0.05, 15),
    ("I:VIX3M", 18.93, 19.08, 0.03, 15),
    ("I:VVIX", 98.4, 99.1, 0.15, 15),
    ("SPY", 590.87, 588.45, 0.035, 1),
    ("QQQ", 504.98, 503.7, 0.045, 1),
    ("AAPL", 229.87, 228.52, 0.02, 1),
    ("MSFT", 417.0, 412.87, 0.03, 1),
    ("NVDA", 141.95, 146.67, 0.02, 1),
    ("BRK.B", 476.57, 472.31, 0.03, 1),
];

impl RandomWalk {
    /// Creates the walk of a ticker; the same seed gives the same walk. Returns `None` for an
    /// unknown ticker. The vendor acknowledges an unknown ticker too, but sends no data for it.
    pub(super) fn new(ticker: &str, seed: u64) -> Option<Self> {
        // Tickers are case-sensitive: the vendor does not know the ticker "spy".
        let symbol = Symbol::from_ticker(ticker)?;
        // The hash is FNV-1a, but any hash function is suitable. Without the hash, two tickers
        // would have the same random steps.
        let name = ticker
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        let known = WALKS.into_iter().find(|row| row.0 == ticker);
        let (_, price, previous_close, step, seconds) = match symbol.class() {
            AssetClass::Index => known?,
            AssetClass::Option => ("", 9.76, 9.48, 0.03, 2),
            AssetClass::Equity => known.unwrap_or_else(|| share(name)),
        };
        let salt = seed ^ name;
        Some(Self {
            ticker: Ticker::try_from(ticker).ok()?,
            class: symbol.class(),
            price,
            home: price,
            previous_close: Price::from_f64(previous_close)?,
            step,
            interval: Duration::from_secs(seconds),
            salt,
            random: fastrand::Rng::with_seed(salt),
            size_rng: fastrand::Rng::with_seed(salt.rotate_left(32)),
        })
    }

    /// The current price, rounded to cents.
    pub(super) fn price(&self) -> Price {
        cents(self.price)
    }

    /// The minute bars of one session before the time `begins`, in milliseconds since the Unix
    /// epoch. The last bar closes at the current price. The same minute and price always give the
    /// same bar.
    pub(super) fn back(&self, begins: i64) -> Vec<TradedBar> {
        let minute = self.step * (60.0 / self.interval.as_secs_f64()).sqrt();
        let mut close = self.price().as_f64();
        let mut bars: Vec<TradedBar> = (1..=SESSION)
            .map(|ago| {
                let start = begins - ago * MINUTE;
                let mut random = fastrand::Rng::with_seed(self.salt ^ start.unsigned_abs());
                let open = close + normal(&mut random) * minute + (self.home - close) * 0.005;
                let (low, high) = (open.min(close), open.max(close));
                let mut wick = || normal(&mut random).abs() * minute / 4.0;
                let bar = Bar {
                    open: cents(open),
                    high: cents(high + wick()),
                    low: cents(low - wick()),
                    close: cents(close),
                    start: Utc(start),
                    end: Utc(start + MINUTE),
                };
                close = open;
                let mut random = fastrand::Rng::with_seed(!self.salt ^ start.unsigned_abs());
                let volume = match self.class {
                    AssetClass::Index => 0,
                    AssetClass::Option => random.u32(0..25),
                    AssetClass::Equity => random.u32(20_000..180_000),
                };
                TradedBar {
                    bar,
                    volume: volume.into(),
                }
            })
            .collect();
        bars.reverse();
        bars
    }

    /// The size of the trade in this step, or `None` if this step has no trade.
    pub(super) fn trade(&mut self) -> Option<u32> {
        match self.class {
            AssetClass::Index => None,
            AssetClass::Option => self.size_rng.bool().then(|| self.size_rng.u32(1..=12)),
            // Half of the trades in shares are odd lots, which have fewer than 100 shares.
            AssetClass::Equity if self.size_rng.bool() => Some(self.size_rng.u32(1..100)),
            AssetClass::Equity => Some(100 * self.size_rng.u32(1..=8)),
        }
    }

    /// The usual unit of a size, in shares or contracts.
    pub(super) fn lot(&self) -> u32 {
        match self.class {
            AssetClass::Equity => 100,
            AssetClass::Index | AssetClass::Option => 1,
        }
    }

    /// The sizes of the bid and of the ask, in shares or contracts.
    pub(super) fn sizes(&mut self) -> (u32, u32) {
        let lot = self.lot();
        let mut size = || lot * self.size_rng.u32(5..=60);
        (size(), size())
    }

    /// The bid and the ask around a price.
    pub(super) fn around(&self, price: Price) -> (Price, Price) {
        // Prices have whole cents, so the distance between price and bid (or ask) is one cent for a
        // share. The distance is five cents for an option.
        let half = match self.class {
            AssetClass::Equity => Price::SCALE / 100,
            AssetClass::Index | AssetClass::Option => Price::SCALE / 20,
        };
        let moved = |by| Price::from_scaled(price.scaled() + by);
        (moved(-half), moved(half))
    }

    /// Moves the price by one random step. Returns the new price, rounded to cents.
    pub(super) fn step(&mut self) -> Price {
        // A weak force toward the start price keeps the price plausible, even if a demo runs for
        // years.
        self.price += normal(&mut self.random) * self.step + (self.home - self.price) * 0.001;
        self.price()
    }
}

/// A random value with an approximate standard normal distribution: the sum of twelve uniform
/// values, minus 6.
fn normal(random: &mut fastrand::Rng) -> f64 {
    (0..12).map(|_| random.f64()).sum::<f64>() - 6.0
}

fn cents(price: f64) -> Price {
    let cents = (price * 100.0).round().max(1.0) as i64;
    Price::from_scaled(cents * (Price::SCALE / 100))
}

/// Derives the row of a share that is not in `WALKS` from the hash of its name.
fn share(name: u64) -> (&'static str, f64, f64, f64, u64) {
    let price = 20.0 + (name % 28_000) as f64 / 100.0;
    // The previous close differs from the price by at most about two per cent.
    let change = (name / 28_000 % 401) as f64 / 10_000.0 - 0.02;
    let previous_close = (price * (1.0 - change) * 100.0).round() / 100.0;
    ("", price, previous_close, price * 6e-5, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_prices() {
        let walk = |seed| {
            let mut walk = RandomWalk::new("I:SPX", seed).unwrap();
            (0..5).map(|_| walk.step().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(walk(1), walk(1));
        assert_ne!(walk(1), walk(2));
    }

    #[test]
    fn simulated_prices_stay_plausible_for_100_000_steps() {
        for ticker in ["I:SPX", "I:VIX", "O:SPY251219C00650000", "SPY", "COST"] {
            let mut walk = RandomWalk::new(ticker, 7).unwrap();
            let start = walk.price().as_f64();
            for _ in 0..100_000 {
                let price = walk.step().as_f64();
                assert!(
                    price > start * 0.7 && price < start * 1.3,
                    "{ticker} at {price}"
                );
            }
        }
    }

    #[test]
    fn an_unknown_ticker_has_no_random_walk() {
        assert!(RandomWalk::new("I:NOSUCH", 0).is_none());
        assert!(RandomWalk::new("spy", 0).is_none());
        let class = |ticker| RandomWalk::new(ticker, 0).map(|walk| walk.class);
        assert_eq!(class("COMP"), Some(AssetClass::Equity));
    }

    #[test]
    fn a_curve_ends_at_the_price_without_gaps_and_never_changes() {
        const BEGINS: i64 = 1_795_447_800_000;
        for ticker in ["I:SPX", "SPY", "O:SPY251219C00650000"] {
            let walk = RandomWalk::new(ticker, 1).unwrap();
            let back = |begins| -> Vec<Bar> {
                let bars = walk.back(begins).into_iter();
                bars.map(|traded| traded.bar).collect()
            };
            let bars = back(BEGINS);
            assert_eq!(bars.len(), 390);
            let last = bars.last().unwrap();
            assert_eq!((last.close, last.end), (walk.price(), Utc(BEGINS)));
            for pair in bars.windows(2) {
                assert_eq!((pair[0].close, pair[0].end), (pair[1].open, pair[1].start));
            }
            assert!(bars.iter().all(|bar| {
                bar.low <= bar.open.min(bar.close) && bar.high >= bar.open.max(bar.close)
            }));
            assert_eq!(back(BEGINS), bars);
            // One minute later, the same minutes appear one place earlier in the list.
            let later = back(BEGINS + MINUTE);
            assert_eq!(later[388].start, bars[389].start);
        }
    }
}
