//! Plausible prices: seeded random walks, the same at every run. Pure.

use core::time::Duration;

use crate::market::{Class, Price, Symbol, Ticker};

/// What is simulated of one instrument, and where its walk stands.
#[derive(Clone, Debug)]
pub struct Walk {
    ticker: Ticker,
    class: Class,
    price: f64,
    home: f64,
    previous_close: Price,
    /// Standard deviation of one step, in the price's own unit.
    step: f64,
    interval: Duration,
    random: fastrand::Rng,
}

/// Ticker, start, previous close, standard deviation of a step, seconds between two values.
/// SPX moves about once a second; Cboe publishes the VIX family every 15 s.
const INDICES: [(&str, f64, f64, f64, u64); 8] = [
    ("I:SPX", 5912.34, 5887.61, 0.35, 1),
    ("I:NDX", 20_740.12, 20_688.04, 1.9, 1),
    ("I:DJI", 43_408.47, 43_268.94, 2.4, 1),
    ("I:RUT", 2325.53, 2324.83, 0.2, 1),
    ("I:VIX", 17.25, 17.65, 0.04, 15),
    ("I:VIX9D", 16.41, 16.92, 0.05, 15),
    ("I:VIX3M", 18.93, 19.08, 0.03, 15),
    ("I:VVIX", 98.4, 99.1, 0.15, 15),
];

impl Walk {
    /// The walk of a ticker, the same for the same seed; `None` for a ticker that nobody knows,
    /// which the vendor acknowledges too, and then says nothing about.
    pub fn new(ticker: &str, seed: u64) -> Option<Self> {
        let symbol: Symbol = ticker.parse().ok()?;
        let (price, previous_close, step, seconds) = match symbol.class() {
            Class::Index => INDICES
                .iter()
                .find(|row| row.0 == ticker)
                .map(|row| (row.1, row.2, row.3, row.4))?,
            Class::Option => (9.76, 9.48, 0.03, 2),
            Class::Equity => return None,
        };
        // FNV-1a: any spreading will do, so that two tickers do not walk in step.
        let name = ticker
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        Some(Self {
            ticker: Ticker::try_from(ticker).ok()?,
            class: symbol.class(),
            price,
            home: price,
            previous_close: Price::from_f64(previous_close)?,
            step,
            interval: Duration::from_secs(seconds),
            random: fastrand::Rng::with_seed(seed ^ name),
        })
    }

    /// Whose walk it is.
    pub fn ticker(&self) -> &Ticker {
        &self.ticker
    }

    /// Of what kind the instrument is.
    pub const fn class(&self) -> Class {
        self.class
    }

    /// Between two values, at normal speed.
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// The close of the day before.
    pub const fn previous_close(&self) -> Price {
        self.previous_close
    }

    /// Where it stands, to the cent.
    pub fn price(&self) -> Price {
        let cents = (self.price * 100.0).round().max(1.0) as i64;
        Price::from_scaled(cents * (Price::SCALE / 100))
    }

    /// The bid and ask around a price.
    pub fn around(&self, price: Price) -> (Price, Price) {
        let half = Price::SCALE / 20;
        (
            Price::from_scaled(price.scaled() - half),
            Price::from_scaled(price.scaled() + half),
        )
    }

    /// Takes one step.
    pub fn step(&mut self) -> Price {
        // The sum of twelve uniform numbers is close enough to a normal one.
        let normal = (0..12).map(|_| self.random.f64()).sum::<f64>() - 6.0;
        // A weak pull home keeps a demo that runs for years near where it began.
        self.price += normal * self.step + (self.home - self.price) * 0.001;
        self.price()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_walks_the_same_way() {
        let walk = |seed| {
            let mut walk = Walk::new("I:SPX", seed).unwrap();
            (0..5).map(|_| walk.step().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(walk(1), walk(1));
        assert_ne!(walk(1), walk(2));
    }

    #[test]
    fn a_walk_of_a_week_stays_plausible() {
        for ticker in ["I:SPX", "I:VIX", "O:SPY251219C00650000"] {
            let mut walk = Walk::new(ticker, 7).unwrap();
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
    fn nobody_knows_every_ticker() {
        assert!(Walk::new("I:NOSUCH", 0).is_none());
        assert!(Walk::new("SPY", 0).is_none());
    }
}
