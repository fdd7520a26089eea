//! The state of one simulated ticker: its trades, quotes and bars in the vendor's format, and its
//! day summary. Reads no clock; the caller provides each time.

use std::time::Duration;

use serde_json::{Value, json};

use super::RandomWalk;
use crate::market::{AssetClass, Bar, Channel, ChannelKind, Price};
use crate::time::{Moment, Now, Utc};

/// One event on one channel.
#[derive(Debug)]
pub(super) struct Tick {
    pub(super) channel: Channel,
    /// The event as a JSON object, without the array brackets of its frame.
    pub(super) json: String,
}

/// The duration of a minute, in milliseconds.
const MINUTE: i64 = 60_000;
/// The maximum number of stored bars since the start. The generated bars before the start are
/// additional.
const BARS: usize = 1000;

/// A bar and its traded volume, in shares or contracts.
#[derive(Clone, Debug)]
pub(super) struct TradedBar {
    pub(super) bar: Bar,
    pub(super) volume: u64,
}

/// The current price and the day summary of a ticker.
#[derive(Clone, Debug)]
pub(super) struct DaySummary {
    pub(super) price: Price,
    /// The highest price of the day. `low` and `volume` cover the whole day too.
    pub(super) high: Price,
    pub(super) low: Price,
    pub(super) volume: u64,
    /// The size of the last trade, and its time in milliseconds since the Unix epoch.
    pub(super) traded: (u32, i64),
}

/// The state of a traded ticker.
#[derive(Debug)]
pub(super) struct SimulatedTicker {
    pub(super) walk: RandomWalk,
    /// The time of the next step.
    pub(super) due: Moment,
    /// The time at which the current bar ends.
    pub(super) ends: Moment,
    /// The duration of a bar in milliseconds. At normal speed, a bar lasts one minute.
    length: i64,
    current: TradedBar,
    /// The bars since the start, merged into the minutes of the wall clock.
    made: Vec<TradedBar>,
    /// The generated minute bars before the start.
    past: Vec<TradedBar>,
    day_open: Price,
    day_summary: DaySummary,
}

impl SimulatedTicker {
    /// Creates a ticker. The first step is at `due`, and each bar lasts `length`.
    pub(super) fn new(walk: RandomWalk, due: Moment, now: Now, length: Duration) -> Self {
        let utc = now.utc.unwrap_or(Utc::PLAUSIBLE).0;
        let length = i64::try_from(length.as_millis()).unwrap_or(MINUTE).max(1);
        // The bars are aligned to the wall clock: at normal speed, a bar ends at a full minute.
        let begun = utc.rem_euclid(length);
        let left = u64::try_from(length - begun).unwrap_or(0);
        let price = walk.price();
        let start = utc - begun;
        let past = walk.back(start - start.rem_euclid(MINUTE), price);
        let past: Vec<TradedBar> = past
            .into_iter()
            .map(|bar| TradedBar {
                bar,
                volume: walk.volume(bar.start.0).into(),
            })
            .collect();
        let day_summary = DaySummary {
            price,
            high: past
                .iter()
                .fold(price, |high, past| high.max(past.bar.high)),
            low: past.iter().fold(price, |low, past| low.min(past.bar.low)),
            volume: past.iter().map(|past| past.volume).sum(),
            traded: (
                if walk.class() == AssetClass::Equity {
                    100
                } else {
                    3
                },
                utc,
            ),
        };
        Self {
            due,
            ends: now.monotonic + Duration::from_millis(left),
            length,
            current: fresh(price, start),
            made: Vec::new(),
            day_open: past.first().map_or(price, |past| past.bar.open),
            past,
            day_summary,
            walk,
        }
    }

    pub(super) fn day_summary(&self) -> DaySummary {
        self.day_summary.clone()
    }

    /// The minute bars of the session so far, including the unfinished minute.
    pub(super) fn minutes(&self) -> Vec<TradedBar> {
        let mut all = self.past.clone();
        all.extend(self.made.iter().cloned());
        add(&mut all, &self.current);
        all
    }

    /// Moves the price by one step and returns the events of this step. `millis` is the time of the
    /// step in milliseconds since the Unix epoch.
    pub(super) fn step(&mut self, millis: i64) -> Vec<Tick> {
        let before = self.walk.price();
        let price = self.walk.step();
        let bar = &mut self.current.bar;
        (bar.high, bar.low, bar.close) = (bar.high.max(price), bar.low.min(price), price);
        let day_summary = &mut self.day_summary;
        day_summary.price = price;
        day_summary.high = day_summary.high.max(price);
        day_summary.low = day_summary.low.min(price);
        if self.walk.class() == AssetClass::Index {
            let value = json!({ "ev": "V", "val": price.as_f64(), "T": self.name(), "t": millis });
            return vec![self.tick(ChannelKind::Value, &value)];
        }
        let quote = self.quote(price, millis);
        let mut ticks = vec![self.tick(ChannelKind::Quote, &quote)];
        if let Some(size) = self.walk.trade() {
            self.current.volume += u64::from(size);
            self.day_summary.volume += u64::from(size);
            self.day_summary.traded = (size, millis);
            let second = TradedBar {
                bar: Bar {
                    open: before,
                    high: before.max(price),
                    low: before.min(price),
                    close: price,
                    start: Utc(millis - 1000),
                    end: Utc(millis),
                },
                volume: size.into(),
            };
            let trade = self.trade(price, size, millis);
            ticks.push(self.tick(ChannelKind::Trade, &trade));
            ticks.push(self.tick(ChannelKind::Second, &self.aggregate("A", &second)));
        }
        ticks
    }

    /// Ends the current bar at `millis` and returns its event. The next bar begins at the same time
    /// and price.
    pub(super) fn bar(&mut self, millis: i64) -> Tick {
        let next = fresh(self.current.bar.close, millis);
        let mut bar = std::mem::replace(&mut self.current, next);
        bar.bar.start = Utc(millis - self.length);
        bar.bar.end = Utc(millis);
        add(&mut self.made, &bar);
        if self.made.len() > BARS {
            self.made.remove(0);
        }
        self.tick(ChannelKind::Minute, &self.aggregate("AM", &bar))
    }

    fn name(&self) -> &str {
        self.walk.ticker()
    }

    fn tick(&self, kind: ChannelKind, event: &Value) -> Tick {
        Tick {
            channel: Channel {
                kind,
                ticker: self.walk.ticker().clone(),
            },
            json: event.to_string(),
        }
    }

    fn quote(&mut self, price: Price, millis: i64) -> Value {
        let (bid, ask) = self.walk.around(price);
        let (bid_size, ask_size) = self.walk.sizes();
        let mut quote = json!({
            "ev": "Q", "sym": self.name(), "bx": 302, "ax": 302, "bp": bid.as_f64(), "ap": ask.as_f64(),
            "bs": bid_size, "as": ask_size, "t": millis, "q": millis,
        });
        if self.walk.class() == AssetClass::Equity {
            (quote["bx"], quote["ax"]) = (json!(4), json!(7));
            (quote["c"], quote["z"]) = (json!(0), json!(3));
        }
        quote
    }

    fn trade(&self, price: Price, size: u32, millis: i64) -> Value {
        let mut trade = json!({
            "ev": "T", "sym": self.name(), "x": 65, "p": price.as_f64(), "s": size, "c": [233],
            "t": millis, "q": millis,
        });
        if self.walk.class() == AssetClass::Equity {
            (trade["x"], trade["z"], trade["c"]) = (json!(4), json!(3), json!([0]));
            (trade["i"], trade["ds"]) = (json!(millis.to_string()), json!(format!("{size}.0")));
        }
        trade
    }

    fn aggregate(&self, event: &str, TradedBar { bar, volume }: &TradedBar) -> Value {
        let mut aggregate = json!({
            "ev": event, "sym": self.name(), "op": self.day_open.as_f64(), "o": bar.open.as_f64(),
            "c": bar.close.as_f64(), "h": bar.high.as_f64(), "l": bar.low.as_f64(),
            "s": bar.start.0, "e": bar.end.0,
        });
        if self.walk.class() == AssetClass::Index {
            return aggregate;
        }
        let mid = f64::midpoint(bar.high.as_f64(), bar.low.as_f64());
        let today = self.day_summary.volume;
        aggregate["v"] = json!(volume);
        aggregate["av"] = json!(today);
        aggregate["vw"] = json!(mid);
        aggregate["a"] = json!(self.day_open.as_f64());
        aggregate["z"] = json!(if self.walk.class() == AssetClass::Equity {
            87
        } else {
            4
        });
        if self.walk.class() == AssetClass::Equity {
            aggregate["dv"] = json!(format!("{volume}.0"));
            aggregate["dav"] = json!(format!("{today}.0"));
        }
        aggregate
    }
}

/// An empty bar that begins at `start`, in milliseconds since the Unix epoch.
const fn fresh(price: Price, start: i64) -> TradedBar {
    TradedBar {
        bar: Bar {
            open: price,
            high: price,
            low: price,
            close: price,
            start: Utc(start),
            end: Utc(start),
        },
        volume: 0,
    }
}

/// Adds a bar to the list of wall clock minutes. At a higher speed, a bar is a part of one minute.
fn add(bars: &mut Vec<TradedBar>, new: &TradedBar) {
    let start = new.bar.start.0 - new.bar.start.0.rem_euclid(MINUTE);
    match bars.last_mut() {
        Some(TradedBar { bar, volume }) if bar.start.0 == start => {
            (bar.high, bar.low) = (bar.high.max(new.bar.high), bar.low.min(new.bar.low));
            bar.close = new.bar.close;
            *volume += new.volume;
        }
        _ => {
            let (start, end) = (Utc(start), Utc(start + MINUTE));
            let bar = Bar {
                start,
                end,
                ..new.bar
            };
            bars.push(TradedBar {
                bar,
                volume: new.volume,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_795_447_800_000;

    fn simulated_ticker(ticker: &str, utc: i64, length: u64) -> SimulatedTicker {
        let walk = RandomWalk::new(ticker, 1).unwrap();
        let now = Now::new(Moment::ZERO, Utc(utc));
        SimulatedTicker::new(walk, Moment::ZERO, now, Duration::from_millis(length))
    }

    fn json_of(ticks: &[Tick]) -> Vec<Value> {
        let events = ticks.iter();
        events
            .map(|tick| serde_json::from_str(&tick.json).unwrap())
            .collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_trades() {
        for ticker in ["SPY", "O:SPY251219C00650000"] {
            let day = || {
                let mut simulated_ticker = simulated_ticker(ticker, START, 60_000);
                let steps = (1..50).flat_map(|at| simulated_ticker.step(START + at * 1000));
                json_of(&steps.collect::<Vec<_>>())
            };
            assert_eq!(day(), day());
        }
    }

    #[test]
    fn bars_are_contiguous_at_every_speed_and_the_curve_has_a_bar_each_minute() {
        // The ticker begins in the middle of a bar, at ten times the normal speed.
        let mut simulated_ticker = simulated_ticker("SPY", START + 4000, 6000);
        assert_eq!(simulated_ticker.ends, Moment::from_secs(2));
        let mut end = START;
        for at in 1..=15 {
            simulated_ticker.step(START + at * 6000 - 1000);
            let bar = simulated_ticker.bar(START + at * 6000);
            let bar: Value = serde_json::from_str(&bar.json).unwrap();
            assert_eq!(bar["s"], end);
            end += 6000;
            assert_eq!(bar["e"], end);
        }
        let minutes = simulated_ticker.minutes();
        assert_eq!(minutes.len(), 390 + 2, "and there was a minute and a half");
        for pair in minutes.windows(2) {
            assert_eq!(pair[0].bar.end, pair[1].bar.start);
            assert_eq!(pair[0].bar.close, pair[1].bar.open);
        }
        let day_summary = simulated_ticker.day_summary();
        assert_eq!(minutes.last().unwrap().bar.close, day_summary.price);
        let traded: u64 = minutes.iter().map(|minute| minute.volume).sum();
        assert_eq!(day_summary.volume, traded);
        assert!(minutes.iter().all(|minute| {
            minute.bar.high <= day_summary.high && minute.bar.low >= day_summary.low
        }));
    }
}
