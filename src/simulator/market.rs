//! Owns the simulated prices: moves every subscribed ticker and sends each step to all connections.
//! `SimulatedTicker` creates the events of a step.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::simulated_ticker::{DaySummary, SimulatedTicker, Tick, TradedBar};
use super::{InjectedFault, RandomWalk, SimulatorSettings};
use crate::market::Ticker;
use crate::time::{Clock, Moment, Now, Utc};

/// The number of events that a connection may lag behind. A slower connection loses events.
const QUEUE: usize = 4096;
const MINUTE: Duration = Duration::from_secs(60);

/// A message from the market to all connections, in chronological order.
#[derive(Clone, Debug)]
pub(super) enum MarketNews {
    /// An event on a channel.
    Tick(Arc<Tick>),
    /// The new active fault. The fault uses the same queue as the events, so that each connection
    /// applies the fault to later events only.
    Fault(InjectedFault),
}

/// A request to the market task.
enum MarketCommand {
    Hold(Ticker),
    Release(usize),
    Standing(Ticker, oneshot::Sender<Option<DaySummary>>),
    Minutes(Ticker, oneshot::Sender<Vec<TradedBar>>),
    Fault(InjectedFault, oneshot::Sender<()>),
}

/// The handle of a connection for requests to the market task.
#[derive(Clone, Debug)]
pub(super) struct Market {
    news: broadcast::Sender<MarketNews>,
    commands: mpsc::UnboundedSender<MarketCommand>,
}

impl Market {
    /// Starts the market task. The task also publishes the active fault, so that later connections
    /// can read the fault.
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

    /// Reports a new subscription to a channel of this ticker, so that the ticker begins to trade.
    pub(super) fn hold(&self, ticker: &Ticker) {
        self.order(MarketCommand::Hold(ticker.clone()));
    }

    /// Reports that this number of subscriptions has ended.
    pub(super) fn release(&self, channels: usize) {
        self.order(MarketCommand::Release(channels));
    }

    /// The current price and day summary of a ticker; `None` for an unknown ticker.
    pub(super) async fn day_summary(&self, ticker: &Ticker) -> Option<DaySummary> {
        let (sender, day_summary) = oneshot::channel();
        self.order(MarketCommand::Standing(ticker.clone(), sender));
        day_summary.await.ok()?
    }

    /// The minute bars of the session so far, including the unfinished minute.
    pub(super) async fn minutes(&self, ticker: &Ticker) -> Vec<TradedBar> {
        let (sender, minutes) = oneshot::channel();
        self.order(MarketCommand::Minutes(ticker.clone(), sender));
        minutes.await.unwrap_or_default()
    }

    /// Activates a fault. The fault is active when this function returns.
    pub(super) async fn fault(&self, fault: InjectedFault) {
        let (done, in_force) = oneshot::channel();
        self.order(MarketCommand::Fault(fault, done));
        if in_force.await.is_err() {
            log::debug!("simulator: the task of the market has ended");
        }
    }

    fn order(&self, order: MarketCommand) {
        if self.commands.send(order).is_err() {
            log::debug!("simulator: the task of the market has ended");
        }
    }
}

struct MarketTask {
    seed: u64,
    speed: f64,
    clock: Clock,
    news: broadcast::Sender<MarketNews>,
    fault: watch::Sender<InjectedFault>,
    /// The number of subscriptions of all connections together.
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
                    // The requester may no longer wait for the response.
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
                        // The requester may no longer wait for the response.
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

    /// Creates a ticker in its state at the start of trading; `None` for an unknown ticker.
    fn open(&self, ticker: &Ticker) -> Option<SimulatedTicker> {
        let walk = RandomWalk::new(ticker, self.seed)?;
        let now = self.clock.now();
        // The first step is due after one second, so that a demo shows VIX without a wait of 15 s.
        let due = now.monotonic + self.interval(Duration::from_secs(1));
        Some(SimulatedTicker::new(walk, due, now, self.interval(MINUTE)))
    }

    /// Applies `look` to a ticker, traded or not; `None` for an unknown ticker.
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
            // The loop processes each due step separately, so that no value is lost if a manual
            // clock jumps.
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
        // The broadcast fails only if no connection listens, and the market continues without
        // listeners.
        let _listeners = self.news.send(news).unwrap_or(0);
    }
}

/// The wall clock time of a past moment, in milliseconds since the Unix epoch.
fn wall(now: Now, at: Moment) -> i64 {
    let utc = now.utc.unwrap_or(Utc::PLAUSIBLE);
    let ago = i64::try_from(now.monotonic.since(at).as_millis()).unwrap_or(0);
    utc.0.saturating_sub(ago)
}
