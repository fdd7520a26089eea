//! The one owner of the simulated prices: it walks every ticker that somebody has asked for and
//! tells all connections of each step.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::{Fault, Settings, Walk};
use crate::clock::{Clock, Moment, Now, Utc};
use crate::market::{Channel, Class, Kind, Price, Ticker};

/// Events that a connection may lag behind before it loses some.
const QUEUE: usize = 4096;
const MINUTE: Duration = Duration::from_secs(60);

/// One event on one channel.
#[derive(Debug)]
pub(super) struct Tick {
    pub(super) channel: Channel,
    /// The event as JSON, without the brackets of its frame.
    pub(super) json: String,
}

/// What connections are told, in the order in which it happened.
#[derive(Clone, Debug)]
pub(super) enum News {
    /// A price.
    Tick(Arc<Tick>),
    /// From now on this is wrong. It travels with the prices, so that what was traded before is
    /// never sent, or lost, as if it came after.
    Fault(Fault),
}

/// What is asked of the market.
enum Order {
    Hold(Ticker),
    Release(usize),
    Price(Ticker, oneshot::Sender<Option<Price>>),
    Fault(Fault, oneshot::Sender<()>),
}

/// What connections hold of the market.
#[derive(Clone, Debug)]
pub(super) struct Market {
    news: broadcast::Sender<News>,
    orders: mpsc::UnboundedSender<Order>,
}

impl Market {
    /// The trader keeps the fault's state too, for those who join later.
    pub(super) fn start(
        settings: &Settings,
        clock: Clock,
        fault: watch::Sender<Fault>,
        held: watch::Sender<usize>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let (news, _) = broadcast::channel(QUEUE);
        let (orders, ordered) = mpsc::unbounded_channel();
        let speed = if settings.speed.is_finite() {
            settings.speed.clamp(0.01, 1000.0)
        } else {
            1.0
        };
        let trader = Trader {
            seed: settings.seed,
            speed,
            clock,
            news: news.clone(),
            fault,
            held,
            listed: Vec::new(),
        };
        tasks.spawn(trader.run(ordered));
        Self { news, orders }
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    /// Somebody holds a channel of this ticker: it begins to trade.
    pub(super) fn hold(&self, ticker: &Ticker) {
        self.order(Order::Hold(ticker.clone()));
    }

    /// This many channels are held no more.
    pub(super) fn release(&self, channels: usize) {
        self.order(Order::Release(channels));
    }

    /// Where a ticker stands; `None` if nobody has asked for it yet.
    pub(super) async fn price(&self, ticker: &Ticker) -> Option<Price> {
        let (sender, price) = oneshot::channel();
        self.order(Order::Price(ticker.clone(), sender));
        price.await.ok()?
    }

    /// From now on this is wrong; it is when this returns.
    pub(super) async fn fault(&self, fault: Fault) {
        let (done, in_force) = oneshot::channel();
        self.order(Order::Fault(fault, done));
        if in_force.await.is_err() {
            log::debug!("simulator: the market has closed");
        }
    }

    fn order(&self, order: Order) {
        if self.orders.send(order).is_err() {
            log::debug!("simulator: the market has closed");
        }
    }
}

struct Trader {
    seed: u64,
    speed: f64,
    clock: Clock,
    news: broadcast::Sender<News>,
    fault: watch::Sender<Fault>,
    /// How many channels are held, by all connections, and traded.
    held: watch::Sender<usize>,
    listed: Vec<Listed>,
}

struct Listed {
    walk: Walk,
    due: Moment,
    minute: Minute,
}

/// The bar that is being made.
struct Minute {
    due: Moment,
    open: Price,
    high: Price,
    low: Price,
    day_open: Price,
}

impl Trader {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            let due = self
                .listed
                .iter()
                .map(|listed| listed.due.min(listed.minute.due))
                .min();
            let due = self.clock.sleep_until(due.unwrap_or(Moment::NEVER));
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Hold(ticker)) => {
                        self.list(&ticker);
                        self.held.send_modify(|held| *held += 1);
                    }
                    Some(Order::Release(channels)) => self.held.send_modify(|held| *held -= channels),
                    Some(Order::Price(ticker, sender)) => {
                        let found = self.listed.iter().find(|listed| *listed.walk.ticker() == ticker);
                        // Whoever asked may have stopped waiting.
                        sender.send(found.map(|listed| listed.walk.price())).ok();
                    }
                    Some(Order::Fault(fault, done)) => {
                        self.trade();
                        self.fault.send_replace(fault);
                        self.tell(News::Fault(fault));
                        // Whoever asked may have stopped waiting.
                        done.send(()).ok();
                    }
                    None => return,
                },
                () = due => self.trade(),
            }
        }
    }

    fn interval(&self, of: Duration) -> Duration {
        of.div_f64(self.speed).max(Duration::from_millis(1))
    }

    fn list(&mut self, ticker: &Ticker) {
        if self
            .listed
            .iter()
            .any(|listed| listed.walk.ticker() == ticker)
        {
            return;
        }
        let Some(walk) = Walk::new(ticker, self.seed) else {
            return;
        };
        let now = self.clock.now().monotonic;
        let price = walk.price();
        self.listed.push(Listed {
            // Soon, so that nobody waits 15 s for a first look at a demo.
            due: now + self.interval(Duration::from_secs(1)),
            minute: Minute {
                due: now + self.interval(MINUTE),
                open: price,
                high: price,
                low: price,
                day_open: price,
            },
            walk,
        });
    }

    fn trade(&mut self) {
        let now = self.clock.now();
        for at in 0..self.listed.len() {
            // All that is due by now, one by one: a clock moved by hand skips no value.
            while self.listed[at].due <= now.monotonic {
                let interval = self.interval(self.listed[at].walk.interval());
                let listed = &mut self.listed[at];
                let due = listed.due;
                listed.due = due + interval;
                let price = listed.walk.step();
                listed.minute.high = listed.minute.high.max(price);
                listed.minute.low = listed.minute.low.min(price);
                let tick = listed.tick(price, wall(now, due));
                self.tell(News::Tick(Arc::new(tick)));
            }
            if self.listed[at].minute.due <= now.monotonic {
                let interval = self.interval(MINUTE);
                let listed = &mut self.listed[at];
                let due = listed.minute.due;
                listed.minute.due = due + interval;
                let bar = listed.bar(wall(now, due));
                self.tell(News::Tick(Arc::new(bar)));
            }
        }
    }

    fn tell(&self, news: News) {
        // Nobody listening is no fault of the market.
        let _listeners = self.news.send(news).unwrap_or(0);
    }
}

/// The wall time of a moment that has passed.
fn wall(now: Now, at: Moment) -> i64 {
    let utc = now.utc.unwrap_or(Utc::PLAUSIBLE);
    let ago = i64::try_from(now.monotonic.since(at).as_millis()).unwrap_or(0);
    utc.0.saturating_sub(ago)
}

impl Listed {
    fn tick(&self, price: Price, millis: i64) -> Tick {
        let ticker = self.walk.ticker();
        let (kind, json) = match self.walk.class() {
            Class::Index => (
                Kind::Value,
                json!({ "ev": "V", "val": price.as_f64(), "T": ticker.as_str(), "t": millis }),
            ),
            Class::Option | Class::Equity => {
                let (bid, ask) = self.walk.around(price);
                (
                    Kind::Quote,
                    json!({ "ev": "Q", "sym": ticker.as_str(), "bx": 302, "ax": 302, "bp": bid.as_f64(), "ap": ask.as_f64(),
                            "bs": 17, "as": 24, "t": millis, "q": millis }),
                )
            }
        };
        Tick {
            channel: Channel {
                kind,
                ticker: ticker.clone(),
            },
            json: json.to_string(),
        }
    }

    /// The bar that ends now; the next begins where it ends.
    fn bar(&mut self, end: i64) -> Tick {
        let ticker = self.walk.ticker().clone();
        let close = self.walk.price();
        let minute = &mut self.minute;
        let json = json!({
            "ev": "AM", "sym": ticker.as_str(), "op": minute.day_open.as_f64(), "o": minute.open.as_f64(),
            "c": close.as_f64(), "h": minute.high.as_f64(), "l": minute.low.as_f64(), "s": end - 60_000, "e": end,
        });
        (minute.open, minute.high, minute.low) = (close, close, close);
        Tick {
            channel: Channel {
                kind: Kind::Minute,
                ticker,
            },
            json: json.to_string(),
        }
    }
}
