//! The state of one simulated ticker: its trades, quotes and bars in the vendor's format, and its
//! day so far. Reads no clock; the caller provides each time.

use std::time::Duration;

use serde_json::{Value, json};

use super::random_walk::{RandomWalk, TradedBar};
use crate::market::{AssetClass, Bar, Channel, ChannelKind, Price};
use crate::massive::aggregates::MINUTE;
use crate::time::{Moment, Now, Utc};

/// One event on one channel.
#[derive(Debug)]
pub(super) struct Tick {
    pub(super) channel: Channel,
    /// The event as a JSON object, without the array brackets of its frame.
    pub(super) json: String,
}

/// The maximum number of stored bars.
const BARS: usize = 1390;

/// The state of a traded ticker.
#[derive(Debug)]
pub(super) struct SimulatedTicker {
    pub(super) walk: RandomWalk,
    /// The time of the next step.
    next_step: Moment,
    /// The time between two steps.
    interval: Duration,
    /// The time at which the current bar ends.
    bar_end: Moment,
    /// The duration of a bar. At normal speed, a bar lasts one minute.
    length: Duration,
    current: TradedBar,
    /// The ended bars, merged into the minutes of the wall clock. The first bars are generated: the
    /// bars of one session before the start.
    bars: Vec<TradedBar>,
    day_open: Price,
    /// The highest price of the day. `low` and `volume` cover the whole day too.
    pub(super) high: Price,
    pub(super) low: Price,
    pub(super) volume: u64,
    /// The size of the last trade, and its time in milliseconds since the Unix epoch.
    pub(super) traded: (u32, i64),
}

impl SimulatedTicker {
    /// Creates a ticker that begins to trade at `now`. `speed` is the speed relative to the real
    /// feed.
    pub(super) fn new(walk: RandomWalk, now: Now, speed: f64) -> Self {
        let scaled = |of: Duration| of.div_f64(speed).max(Duration::from_millis(1));
        let utc = now.utc.unwrap_or(Utc::PLAUSIBLE).0;
        let length = scaled(Duration::from_secs(60));
        // The bars are aligned to the wall clock: at normal speed, a bar ends at a full minute.
        let begun = utc.rem_euclid(length.as_millis() as i64);
        let start = utc - begun;
        let price = walk.price();
        let bars = walk.back(start - start.rem_euclid(MINUTE));
        Self {
            // The first step is due after one second, so that a demo shows VIX without a wait of
            // 15 s.
            next_step: now.monotonic + scaled(Duration::from_secs(1)),
            interval: scaled(walk.interval),
            bar_end: now.monotonic + (length - Duration::from_millis(begun.unsigned_abs())),
            length,
            current: fresh(price, start),
            day_open: bars.first().map_or(price, |first| first.bar.open),
            high: bars
                .iter()
                .map(|past| past.bar.high)
                .fold(price, Price::max),
            low: bars.iter().map(|past| past.bar.low).fold(price, Price::min),
            volume: bars.iter().map(|past| past.volume).sum(),
            traded: (walk.lot().max(3), utc),
            bars,
            walk,
        }
    }

    /// The time of the next event.
    pub(super) fn due(&self) -> Moment {
        self.next_step.min(self.bar_end)
    }

    /// The minute bars of the session so far, including the unfinished minute.
    pub(super) fn minutes(&self) -> Vec<TradedBar> {
        let mut all = self.bars.clone();
        add(&mut all, &self.current);
        all
    }

    /// Skips the due events, because the market is closed.
    pub(super) fn rest(&mut self, now: Moment) {
        self.next_step = self.next_step.max(now + self.interval);
        self.bar_end = self.bar_end.max(now + self.length);
    }

    /// Returns the events that are due at `now`. Each due step is processed separately, so that no
    /// value is lost if a manual clock jumps.
    pub(super) fn advance(&mut self, now: Now) -> Vec<Tick> {
        let mut ticks = Vec::new();
        loop {
            let due = self.due();
            if due > now.monotonic {
                return ticks;
            }
            let ago = now.monotonic.since(due).as_millis() as i64;
            let millis = now.utc.unwrap_or(Utc::PLAUSIBLE).0.saturating_sub(ago);
            if due == self.next_step {
                self.next_step = due + self.interval;
                ticks.extend(self.step(millis));
            } else {
                self.bar_end = due + self.length;
                ticks.push(self.bar(millis));
            }
        }
    }

    /// Moves the price by one step and returns the events of this step. `millis` is the time of the
    /// step in milliseconds since the Unix epoch.
    fn step(&mut self, millis: i64) -> Vec<Tick> {
        let before = self.walk.price();
        let price = self.walk.step();
        let bar = &mut self.current.bar;
        (bar.high, bar.low, bar.close) = (bar.high.max(price), bar.low.min(price), price);
        (self.high, self.low) = (self.high.max(price), self.low.min(price));
        if self.walk.class == AssetClass::Index {
            let value = json!({ "ev": "V", "val": price.as_f64(), "T": self.walk.ticker.as_str(), "t": millis });
            return vec![self.tick(ChannelKind::Value, value)];
        }
        let quote = self.quote(price, millis);
        let mut ticks = vec![self.tick(ChannelKind::Quote, quote)];
        if let Some(size) = self.walk.trade() {
            self.current.volume += u64::from(size);
            self.volume += u64::from(size);
            self.traded = (size, millis);
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
            ticks.push(self.tick(ChannelKind::Trade, self.trade(price, size, millis)));
            ticks.push(self.tick(ChannelKind::Second, self.aggregate("A", &second)));
        }
        ticks
    }

    /// Ends the current bar at `millis` and returns its event. The next bar begins at the same time
    /// and price.
    fn bar(&mut self, millis: i64) -> Tick {
        let next = fresh(self.current.bar.close, millis);
        let mut bar = std::mem::replace(&mut self.current, next);
        bar.bar.start = Utc(millis - self.length.as_millis() as i64);
        bar.bar.end = Utc(millis);
        add(&mut self.bars, &bar);
        if self.bars.len() > BARS {
            self.bars.remove(0);
        }
        self.tick(ChannelKind::Minute, self.aggregate("AM", &bar))
    }

    fn tick(&self, kind: ChannelKind, event: Value) -> Tick {
        let ticker = self.walk.ticker.clone();
        Tick {
            channel: Channel { kind, ticker },
            json: event.to_string(),
        }
    }

    fn quote(&mut self, price: Price, millis: i64) -> Value {
        let (bid, ask) = self.walk.around(price);
        let (bid_size, ask_size) = self.walk.sizes();
        let quote = json!({
            "ev": "Q", "sym": self.walk.ticker.as_str(), "bx": 302, "ax": 302, "bp": bid.as_f64(), "ap": ask.as_f64(),
            "bs": bid_size, "as": ask_size, "t": millis, "q": millis,
        });
        self.for_share(quote, json!({ "bx": 4, "ax": 7, "c": 0, "z": 3 }))
    }

    fn trade(&self, price: Price, size: u32, millis: i64) -> Value {
        let trade = json!({
            "ev": "T", "sym": self.walk.ticker.as_str(), "x": 65, "p": price.as_f64(), "s": size, "c": [233],
            "t": millis, "q": millis,
        });
        self.for_share(
            trade,
            json!({
                "x": 4, "z": 3, "c": [0], "i": millis.to_string(), "ds": format!("{size}.0"),
            }),
        )
    }

    fn aggregate(&self, event: &str, TradedBar { bar, volume }: &TradedBar) -> Value {
        let mut aggregate = json!({
            "ev": event, "sym": self.walk.ticker.as_str(), "op": self.day_open.as_f64(), "o": bar.open.as_f64(),
            "c": bar.close.as_f64(), "h": bar.high.as_f64(), "l": bar.low.as_f64(),
            "s": bar.start.0, "e": bar.end.0,
        });
        if self.walk.class == AssetClass::Index {
            return aggregate;
        }
        let (middle, today) = (
            f64::midpoint(bar.high.as_f64(), bar.low.as_f64()),
            self.volume,
        );
        merge(
            &mut aggregate,
            json!({
                "v": volume, "av": today, "vw": middle, "a": self.day_open.as_f64(), "z": 4,
            }),
        );
        self.for_share(
            aggregate,
            json!({
                "z": 87, "dv": format!("{volume}.0"), "dav": format!("{today}.0"),
            }),
        )
    }

    /// Adds the fields of a share to an event, if the ticker is a share.
    fn for_share(&self, mut event: Value, fields: Value) -> Value {
        if self.walk.class == AssetClass::Equity {
            merge(&mut event, fields);
        }
        event
    }
}

/// Adds fields to a JSON object. A new field replaces the field of the same name.
pub(super) fn merge(object: &mut Value, fields: Value) {
    if let (Value::Object(object), Value::Object(fields)) = (object, fields) {
        object.extend(fields);
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
        _ => bars.push(TradedBar {
            bar: Bar {
                start: Utc(start),
                end: Utc(start + MINUTE),
                ..new.bar
            },
            volume: new.volume,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_795_447_800_000;

    fn simulated_ticker(ticker: &str, utc: i64, speed: f64) -> SimulatedTicker {
        let walk = RandomWalk::new(ticker, 1).unwrap();
        let now = Now::new(Moment::ZERO, Utc(utc));
        SimulatedTicker::new(walk, now, speed)
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
                let mut simulated_ticker = simulated_ticker(ticker, START, 1.0);
                let steps = (1..50).flat_map(|at| simulated_ticker.step(START + at * 1000));
                json_of(&steps.collect::<Vec<_>>())
            };
            assert_eq!(day(), day());
        }
    }

    #[test]
    fn bars_are_contiguous_at_every_speed_and_the_curve_has_a_bar_each_minute() {
        // The ticker begins in the middle of a bar, at ten times the normal speed.
        let mut simulated_ticker = simulated_ticker("SPY", START + 4000, 10.0);
        assert_eq!(simulated_ticker.bar_end, Moment::from_secs(2));
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
        let price = simulated_ticker.walk.price();
        assert_eq!(minutes.last().unwrap().bar.close, price);
        let traded: u64 = minutes.iter().map(|minute| minute.volume).sum();
        assert_eq!(simulated_ticker.volume, traded);
        assert!(minutes.iter().all(|minute| {
            minute.bar.high <= simulated_ticker.high && minute.bar.low >= simulated_ticker.low
        }));
    }
}
