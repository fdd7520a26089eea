//! The one owner of the simulated prices: it walks every ticker that somebody has asked for and
//! tells all connections of each step. What a step is in events is the `tape`'s.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::simulated_ticker::{DaySummary, SimulatedTicker, TradedBar};
use super::{InjectedFault, RandomWalk, SimulatorSettings};
use crate::market::{Channel, Ticker};
use crate::time::{Clock, Moment, Now, Utc};

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
pub(super) enum MarketNews {
    /// A price.
    Tick(Arc<Tick>),
    /// From now on this is wrong. It travels with the prices, so that what was traded before is
    /// never sent, or lost, as if it came after.
    Fault(InjectedFault),
}

/// What is asked of the market.
enum MarketCommand {
    Hold(Ticker),
    Release(usize),
    Standing(Ticker, oneshot::Sender<Option<DaySummary>>),
    Minutes(Ticker, oneshot::Sender<Vec<TradedBar>>),
    Fault(InjectedFault, oneshot::Sender<()>),
}

/// What connections hold of the market.
#[derive(Clone, Debug)]
pub(super) struct Market {
    news: broadcast::Sender<MarketNews>,
    commands: mpsc::UnboundedSender<MarketCommand>,
}

impl Market {
    /// The trader keeps the fault's state too, for those who join later.
    pub(super) fn start(
        settings: &SimulatorSettings,
        clock: Clock,
        fault: watch::Sender<InjectedFault>,
        held: watch::Sender<usize>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let (news, _) = broadcast::channel(QUEUE);
        let (commands, ordered) = mpsc::unbounded_channel();
        let speed = if settings.speed.is_finite() {
            settings.speed.clamp(0.01, 1000.0)
        } else {
            1.0
        };
        let trader = MarketTask {
            seed: settings.seed,
            speed,
            clock,
            news: news.clone(),
            fault,
            held,
            simulated_tickers: Vec::new(),
        };
        tasks.spawn(trader.run(ordered));
        Self { news, commands }
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<MarketNews> {
        self.news.subscribe()
    }

    /// Somebody holds a channel of this ticker: it begins to trade.
    pub(super) fn hold(&self, ticker: &Ticker) {
        self.order(MarketCommand::Hold(ticker.clone()));
    }

    /// This many channels are held no more.
    pub(super) fn release(&self, channels: usize) {
        self.order(MarketCommand::Release(channels));
    }

    /// Where a ticker stands; `None` if nobody knows it.
    pub(super) async fn day_summary(&self, ticker: &Ticker) -> Option<DaySummary> {
        let (sender, day_summary) = oneshot::channel();
        self.order(MarketCommand::Standing(ticker.clone(), sender));
        day_summary.await.ok()?
    }

    /// The minutes of the session so far, with the one that goes on.
    pub(super) async fn minutes(&self, ticker: &Ticker) -> Vec<TradedBar> {
        let (sender, minutes) = oneshot::channel();
        self.order(MarketCommand::Minutes(ticker.clone(), sender));
        minutes.await.unwrap_or_default()
    }

    /// From now on this is wrong; it is when this returns.
    pub(super) async fn fault(&self, fault: InjectedFault) {
        let (done, in_force) = oneshot::channel();
        self.order(MarketCommand::Fault(fault, done));
        if in_force.await.is_err() {
            log::debug!("simulator: the market has closed");
        }
    }

    fn order(&self, order: MarketCommand) {
        if self.commands.send(order).is_err() {
            log::debug!("simulator: the market has closed");
        }
    }
}

struct MarketTask {
    seed: u64,
    speed: f64,
    clock: Clock,
    news: broadcast::Sender<MarketNews>,
    fault: watch::Sender<InjectedFault>,
    /// How many channels are held, by all connections, and traded.
    held: watch::Sender<usize>,
    simulated_tickers: Vec<SimulatedTicker>,
}

impl MarketTask {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<MarketCommand>) {
        loop {
            let due = self
                .simulated_tickers
                .iter()
                .map(|simulated_tickers| simulated_tickers.due.min(simulated_tickers.ends))
                .min();
            let due = self.clock.sleep_until(due.unwrap_or(Moment::NEVER));
            tokio::select! {
                order = commands.recv() => match order {
                    Some(MarketCommand::Hold(ticker)) => {
                        self.list(&ticker);
                        self.held.send_modify(|held| *held += 1);
                    }
                    Some(MarketCommand::Release(channels)) => self.held.send_modify(|held| *held -= channels),
                    // Whoever asked may have stopped waiting.
                    Some(MarketCommand::Standing(ticker, sender)) => {
                        sender.send(self.seen(&ticker, SimulatedTicker::day_summary)).ok();
                    }
                    Some(MarketCommand::Minutes(ticker, sender)) => {
                        sender.send(self.seen(&ticker, SimulatedTicker::minutes).unwrap_or_default()).ok();
                    }
                    Some(MarketCommand::Fault(fault, done)) => {
                        self.trade();
                        self.fault.send_replace(fault);
                        self.tell(MarketNews::Fault(fault));
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
            .simulated_tickers
            .iter()
            .any(|simulated_tickers| simulated_tickers.walk.ticker() == ticker)
        {
            return;
        }
        if let Some(simulated_tickers) = self.open(ticker) {
            self.simulated_tickers.push(simulated_tickers);
        }
    }

    /// A ticker as it is when its trading begins.
    fn open(&self, ticker: &Ticker) -> Option<SimulatedTicker> {
        let walk = RandomWalk::new(ticker, self.seed)?;
        let now = self.clock.now();
        // Soon, so that nobody waits 15 s for a first look at a demo.
        let due = now.monotonic + self.interval(Duration::from_secs(1));
        Some(SimulatedTicker::new(walk, due, now, self.interval(MINUTE)))
    }

    /// What somebody sees who looks at a ticker, whether it is traded or not.
    fn seen<T>(&self, ticker: &Ticker, look: impl Fn(&SimulatedTicker) -> T) -> Option<T> {
        let mut all = self.simulated_tickers.iter();
        match all.find(|simulated_tickers| simulated_tickers.walk.ticker() == ticker) {
            Some(simulated_tickers) => Some(look(simulated_tickers)),
            None => Some(look(&self.open(ticker)?)),
        }
    }

    fn trade(&mut self) {
        let now = self.clock.now();
        let minute = self.interval(MINUTE);
        for at in 0..self.simulated_tickers.len() {
            let interval = self.interval(self.simulated_tickers[at].walk.interval());
            // All that is due by now, one by one: a clock moved by hand skips no value.
            loop {
                let simulated_tickers = &mut self.simulated_tickers[at];
                let due = simulated_tickers.due.min(simulated_tickers.ends);
                if due > now.monotonic {
                    break;
                }
                let millis = wall(now, due);
                let ticks = if simulated_tickers.due == due {
                    simulated_tickers.due = due + interval;
                    simulated_tickers.step(millis)
                } else {
                    simulated_tickers.ends = due + minute;
                    vec![simulated_tickers.bar(millis)]
                };
                for tick in ticks {
                    self.tell(MarketNews::Tick(Arc::new(tick)));
                }
            }
        }
    }

    fn tell(&self, news: MarketNews) {
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
