//! The state that all connections of the simulator share: the prices, the active fault and the
//! counters. Moves every subscribed ticker and sends each step to all connections;
//! `SimulatedTicker` creates the events of a step.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{broadcast, watch};

use super::random_walk::RandomWalk;
use super::simulated_ticker::{SimulatedTicker, Tick};
use super::{InjectedFault, SimulatorSettings};
use crate::market::{Cluster, Ticker};
use crate::time::{Clock, Moment, Utc};

/// The number of events that a connection may lag behind. A slower connection loses events.
const QUEUE: usize = 4096;

/// A message from the market to all connections, in chronological order.
#[derive(Clone, Debug)]
pub(super) enum MarketNews {
    /// An event on a channel.
    Tick(Arc<Tick>),
    /// The new active fault. The fault uses the same queue as the events, so that each connection
    /// applies the fault to later events only.
    Fault(InjectedFault),
}

/// The prices of all tickers, and everything else that the connections share.
#[derive(Debug)]
pub(super) struct Market {
    pub(super) settings: SimulatorSettings,
    pub(super) clock: Clock,
    /// The number of REST requests since the start.
    pub(super) requests: AtomicU64,
    /// The number of authenticated connections of each cluster since the start. The vendor allows
    /// one connection per cluster and evicts the older connection.
    pub(super) newest: HashMap<Cluster, watch::Sender<u64>>,
    pub(super) news: broadcast::Sender<MarketNews>,
    /// The active fault, for later connections.
    pub(super) fault: watch::Sender<InjectedFault>,
    /// The number of subscriptions of all connections together.
    pub(super) held: watch::Sender<usize>,
    tickers: Mutex<Vec<SimulatedTicker>>,
}

impl Market {
    pub(super) fn new(settings: SimulatorSettings, clock: Clock) -> Self {
        Self {
            settings,
            clock,
            requests: AtomicU64::default(),
            newest: Cluster::ALL
                .map(|cluster| (cluster, watch::Sender::default()))
                .into(),
            news: broadcast::Sender::new(QUEUE),
            fault: watch::Sender::default(),
            held: watch::Sender::default(),
            tickers: Mutex::default(),
        }
    }

    /// Returns true if the settings exclude this ticker from the entitlement.
    pub(super) fn denies(&self, ticker: &str) -> bool {
        self.settings.denied.iter().any(|denied| denied == ticker)
    }

    /// Returns the wall-clock time.
    pub(super) fn utc(&self) -> Utc {
        self.clock.now().utc.unwrap_or(Utc::PLAUSIBLE)
    }

    /// Returns true after the end of the trading hours.
    pub(super) fn is_closed(&self) -> bool {
        self.settings.closes.is_some_and(|bell| self.utc() >= bell)
    }

    /// Moves the prices forever.
    pub(super) async fn run(&self) {
        let mut held = self.held.subscribe();
        loop {
            let due = self.tickers().iter().map(SimulatedTicker::due).min();
            tokio::select! {
                () = self.clock.sleep_until(due.unwrap_or(Moment::NEVER)) => self.trade(),
                // A new ticker can be due before all other tickers.
                _ = held.changed() => {}
            }
        }
    }

    /// Counts a new subscription to a channel of this ticker, so that the ticker begins to trade.
    pub(super) fn hold(&self, ticker: &Ticker) {
        let mut tickers = self.tickers();
        if !tickers.iter().any(|traded| traded.walk.ticker == *ticker) {
            tickers.extend(self.open(ticker));
        }
        drop(tickers);
        self.held.send_modify(|held| *held += 1);
    }

    /// Counts the end of this number of subscriptions.
    pub(super) fn release(&self, channels: usize) {
        self.held.send_modify(|held| *held -= channels);
    }

    /// Applies `look` to a ticker, traded or not. Returns `None` for an unknown ticker.
    pub(super) fn look<T>(
        &self,
        ticker: &str,
        look: impl FnOnce(&SimulatedTicker) -> T,
    ) -> Option<T> {
        let tickers = self.tickers();
        let traded = tickers.iter().find(|traded| traded.walk.ticker == *ticker);
        match traded {
            Some(traded) => Some(look(traded)),
            None => Some(look(&self.open(ticker)?)),
        }
    }

    /// Activates a fault for all events after this call.
    pub(super) fn inject(&self, fault: InjectedFault) {
        self.trade();
        self.fault.send_replace(fault);
        self.news.send(MarketNews::Fault(fault)).ok();
    }

    /// Creates a ticker in its state at the start of trading; `None` for an unknown ticker.
    fn open(&self, ticker: &str) -> Option<SimulatedTicker> {
        let walk = RandomWalk::new(ticker, self.settings.seed)?;
        let speed = match self.settings.speed {
            speed if speed.is_finite() => speed.clamp(0.01, 1000.0),
            _ => 1.0,
        };
        Some(SimulatedTicker::new(walk, self.clock.now(), speed))
    }

    fn trade(&self) {
        let now = self.clock.now();
        let closed = self.is_closed();
        for ticker in self.tickers().iter_mut() {
            if closed {
                ticker.rest(now.monotonic);
                continue;
            }
            for tick in ticker.advance(now) {
                // An error means only that no connection listens.
                self.news.send(MarketNews::Tick(Arc::new(tick))).ok();
            }
        }
    }

    /// Locks the tickers. A poisoned lock is acceptable, because the prices are not real.
    fn tickers(&self) -> MutexGuard<'_, Vec<SimulatedTicker>> {
        self.tickers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
