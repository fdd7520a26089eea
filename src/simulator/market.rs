//! The one owner of the simulated prices: it walks every ticker that somebody has asked for and
//! tells all connections of each step. What a step is in events is the `tape`'s.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::tape::{Listed, Standing, Traded};
use super::{Fault, Settings, Walk};
use crate::clock::{Clock, Moment, Now, Utc};
use crate::market::{Channel, Ticker};

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
    Standing(Ticker, oneshot::Sender<Option<Standing>>),
    Minutes(Ticker, oneshot::Sender<Vec<Traded>>),
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

    /// Where a ticker stands; `None` if nobody knows it.
    pub(super) async fn standing(&self, ticker: &Ticker) -> Option<Standing> {
        let (sender, standing) = oneshot::channel();
        self.order(Order::Standing(ticker.clone(), sender));
        standing.await.ok()?
    }

    /// The minutes of the session so far, with the one that goes on.
    pub(super) async fn minutes(&self, ticker: &Ticker) -> Vec<Traded> {
        let (sender, minutes) = oneshot::channel();
        self.order(Order::Minutes(ticker.clone(), sender));
        minutes.await.unwrap_or_default()
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

impl Trader {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            let due = self
                .listed
                .iter()
                .map(|listed| listed.due.min(listed.ends))
                .min();
            let due = self.clock.sleep_until(due.unwrap_or(Moment::NEVER));
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Hold(ticker)) => {
                        self.list(&ticker);
                        self.held.send_modify(|held| *held += 1);
                    }
                    Some(Order::Release(channels)) => self.held.send_modify(|held| *held -= channels),
                    // Whoever asked may have stopped waiting.
                    Some(Order::Standing(ticker, sender)) => {
                        sender.send(self.seen(&ticker, Listed::standing)).ok();
                    }
                    Some(Order::Minutes(ticker, sender)) => {
                        sender.send(self.seen(&ticker, Listed::minutes).unwrap_or_default()).ok();
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
        if let Some(listed) = self.open(ticker) {
            self.listed.push(listed);
        }
    }

    /// A ticker as it is when its trading begins.
    fn open(&self, ticker: &Ticker) -> Option<Listed> {
        let walk = Walk::new(ticker, self.seed)?;
        let now = self.clock.now();
        // Soon, so that nobody waits 15 s for a first look at a demo.
        let due = now.monotonic + self.interval(Duration::from_secs(1));
        Some(Listed::new(walk, due, now, self.interval(MINUTE)))
    }

    /// What somebody sees who looks at a ticker, whether it is traded or not.
    fn seen<T>(&self, ticker: &Ticker, look: impl Fn(&Listed) -> T) -> Option<T> {
        let mut all = self.listed.iter();
        match all.find(|listed| listed.walk.ticker() == ticker) {
            Some(listed) => Some(look(listed)),
            None => Some(look(&self.open(ticker)?)),
        }
    }

    fn trade(&mut self) {
        let now = self.clock.now();
        let minute = self.interval(MINUTE);
        for at in 0..self.listed.len() {
            let interval = self.interval(self.listed[at].walk.interval());
            // All that is due by now, one by one: a clock moved by hand skips no value.
            loop {
                let listed = &mut self.listed[at];
                let due = listed.due.min(listed.ends);
                if due > now.monotonic {
                    break;
                }
                let millis = wall(now, due);
                let ticks = if listed.due == due {
                    listed.due = due + interval;
                    listed.step(millis)
                } else {
                    listed.ends = due + minute;
                    vec![listed.bar(millis)]
                };
                for tick in ticks {
                    self.tell(News::Tick(Arc::new(tick)));
                }
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
