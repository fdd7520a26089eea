//! The only connection of a cluster to the server above this hub, which is the vendor or another hub.
//! Owns the wanted subscriptions and the limit for silence. This module opens no socket: the session
//! connects, and delivers the events unchanged.

pub(super) mod hub_above;
pub(super) mod silence;
mod sink;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::health::ReportSender;
use super::metrics::Metrics;
use super::rest::aggregates::BarCache;
use super::{Arrival, Interest, UpstreamEvent, UpstreamServer};
use crate::feed::session::{Session, SubscriptionDemand};
use crate::market::{Calendar, Channel, ChannelKind, Cluster, WILDCARD};
use crate::net::connector::Connector;
use crate::net::failure::Failure;
use crate::net::hub_path::HubPath;
use crate::net::source::{FeedProvider, FeedSource};
use crate::time::Clock;
use sink::UpstreamSink;

/// The maximum number of contracts whose quotes one connection may carry, from the vendor's
/// documentation.
pub const CONTRACTS: usize = 1000;

/// The interval between checks of the trading hours. Markets open and close on the minute, and NTP
/// may set the wall clock at any time.
const CHECK_INTERVAL: Duration = Duration::from_secs(15);

/// The first wait after the vendor refuses a key that it has never accepted for this cluster. A
/// refusal may pass, for example while the vendor restarts a server.
const DENIED_AT_FIRST: Duration = Duration::from_secs(30);
/// The longest wait after such refusals. Each wait is twice as long as the previous one, because
/// the vendor may block a client that retries too often.
const DENIED_AT_MOST: Duration = Duration::from_secs(600);

/// Everything that an upstream needs to run.
#[derive(Debug)]
pub struct Upstream {
    /// The cluster of the upstream.
    pub cluster: Cluster,
    /// The server above this hub. Each update ends the wait after a refusal.
    pub server: watch::Receiver<UpstreamServer>,
    /// The connector for the outgoing connection.
    pub connector: Connector,
    /// The channels that the clients want. The connection is open while this set is not empty.
    pub interest: watch::Receiver<Interest>,
    /// The place of this hub in a tree of hubs.
    pub hub_path: HubPath,
    /// The reports to the event loop of the cluster.
    pub reports: ReportSender,
    /// The cache that stores the one-minute bars.
    pub minutes: BarCache,
    /// The vendor's last report: true if its prices are simulated; `None` before the first report.
    pub greeted: watch::Sender<Option<bool>>,
    /// The metrics of the hub.
    pub metrics: Arc<Metrics>,
    /// The monotonic clock and the wall clock.
    pub clock: Clock,
}

/// The reason for the end of a session with the vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionEnd {
    /// The hub stops.
    Stopped,
    /// The server above refuses this cluster.
    Denied,
    /// The server above has another secret.
    NewSecret,
}

impl Upstream {
    /// Keeps the connection until `stop` becomes true, and then closes it.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut refusals = 0;
        let mut moves = self.connector.changes();
        loop {
            moves.mark_unchanged();
            match self.session(stop.clone()).await {
                SessionEnd::Stopped => return,
                SessionEnd::NewSecret => {
                    log::info!("{}: the hub connects with the new secret", self.cluster);
                    refusals = 0;
                    // The clients must know that values can be missing between both sessions.
                    let gap = UpstreamEvent::Down(Failure::Restarting);
                    if self.reports.is_up() && self.reports.send(gap).await.is_err() {
                        return;
                    }
                    continue;
                }
                SessionEnd::Denied => refusals += 1,
            }
            let wait = denied_for(refusals);
            let until = self.clock.now().monotonic + wait;
            self.reports.retry_at(until);
            let (who, cause) = match self.server.borrow().source.provider {
                FeedProvider::Vendor => ("vendor", "the plan does not include this cluster"),
                FeedProvider::Hub => ("hub above", "that hub does not serve this cluster"),
            };
            log::warn!(
                "{}: the {who} refused this cluster; the hub retries in {} seconds, or at once \
                 after SIGHUP, and refuses displays until then (if {cause}, remove it from clusters)",
                self.cluster,
                wait.as_secs()
            );
            tokio::select! {
                () = crate::hub::stopped(&mut stop) => return,
                // Without further updates only the wait can end.
                Ok(()) = self.server.changed() => refusals = 0,
                Ok(()) = moves.changed() => refusals = 0,
                () = self.clock.sleep_until(until) => {}
            }
            let ended = UpstreamEvent::Down(Failure::Done);
            if self.reports.send(ended).await.is_err() {
                return;
            }
        }
    }

    /// Keeps the connection with the current secret until the server above refuses the cluster, the
    /// secret changes or the hub stops.
    async fn session(&mut self, stop: watch::Receiver<bool>) -> SessionEnd {
        let (demand, wanted) = watch::channel(SubscriptionDemand::default());
        let (marked, simulated) = watch::channel(false);
        let source = Arc::new(self.server.borrow_and_update().source.clone());
        let session = Session {
            cluster: self.cluster,
            source: source.clone(),
            connector: self.connector.clone(),
            demand: wanted,
            updates: UpstreamSink {
                reports: self.reports.clone(),
                last_report: None,
                provider: source.provider,
                simulated: marked,
                proven: false,
                cut_off: Arrival::default(),
                minutes: self.minutes.clone(),
                greeted: self.greeted.clone(),
                cluster: self.cluster,
                metrics: self.metrics.clone(),
                clock: self.clock.clone(),
            },
            clock: self.clock.clone(),
        };
        let policy = UpstreamPolicy {
            cluster: self.cluster,
            interest: self.interest.clone(),
            simulated,
            demand,
            held: Interest::new(),
            refused: false,
            reports: self.reports.clone(),
            server: self.server.clone(),
            hub_path: self.hub_path.clone(),
            source,
            clock: self.clock.clone(),
        };
        let ((), end) = tokio::join!(session.run(), policy.run(stop));
        end
    }
}

/// Returns the wait after this number of refusals in a row.
fn denied_for(refusals: u32) -> Duration {
    let doubled = DENIED_AT_FIRST * 2_u32.saturating_pow(refusals.saturating_sub(1).min(9));
    doubled.min(DENIED_AT_MOST)
}

/// Converts the clients' interest and the trading hours into the demand of the session.
struct UpstreamPolicy {
    cluster: Cluster,
    interest: watch::Receiver<Interest>,
    simulated: watch::Receiver<bool>,
    demand: watch::Sender<SubscriptionDemand>,
    /// The channels of the last demand.
    held: Interest,
    /// True if a part of the interest cannot be served and the log already contains the warning.
    refused: bool,
    reports: ReportSender,
    server: watch::Receiver<UpstreamServer>,
    hub_path: HubPath,
    /// The source and its secret in this session.
    source: Arc<FeedSource>,
    clock: Clock,
}

impl UpstreamPolicy {
    async fn run(mut self, mut stop: watch::Receiver<bool>) -> SessionEnd {
        let mut barred = self.reports.barred_changes();
        let end = loop {
            if self.reports.barred() {
                break SessionEnd::Denied;
            }
            let changes = self.hub_path.changes();
            if self.hub_path.is_loop() {
                let barred = UpstreamEvent::Barred(Failure::Loop);
                match self.reports.send(barred).await {
                    Ok(()) => break SessionEnd::Denied,
                    Err(_) => break SessionEnd::Stopped,
                }
            }
            if self.server.borrow_and_update().source != *self.source {
                break SessionEnd::NewSecret;
            }
            self.order();
            let next = self.clock.now().monotonic + CHECK_INTERVAL;
            tokio::select! {
                // An error from one of these receivers means that the hub is ending.
                _ = stop.wait_for(|stop| *stop) => break SessionEnd::Stopped,
                changed = self.interest.changed() => if changed.is_err() {
                    break SessionEnd::Stopped;
                },
                changed = self.simulated.changed() => if changed.is_err() {
                    break SessionEnd::Stopped;
                },
                changed = barred.changed() => if changed.is_err() { break SessionEnd::Stopped },
                () = self.demand.closed() => break SessionEnd::Stopped,
                // A simulated vendor has no updates.
                Ok(()) = self.server.changed() => {}
                () = changes => {}
                () = self.clock.sleep_until(next) => {}
            }
        };
        self.demand.send_modify(|demand| demand.stop = true);
        end
    }

    fn order(&mut self) {
        let interest = self.interest.borrow_and_update();
        let wanted = within_plan(self.cluster, &interest, &self.held);
        let refused = wanted.len() < interest.len();
        drop(interest);
        if refused && !self.refused {
            log::warn!(
                "{}: clients subscribe to more than the vendor allows on one connection (quotes of \
                 {CONTRACTS} contracts, and never \"Q.*\" of options); the hub does not subscribe \
                 to the rest",
                self.cluster
            );
        }
        self.refused = refused;
        let calendar = if *self.simulated.borrow_and_update() {
            Calendar::always_open()
        } else {
            Calendar::us()
        };
        // One late value is no reason for a new connection.
        let limit = silence::limit(&wanted, &calendar, self.clock.now());
        let max_silence = limit.map(|limit| 2 * limit);
        self.demand.send_if_modified(|demand| {
            let same = demand.channels.iter().eq(&wanted);
            let changed = !same || demand.max_silence != max_silence;
            if changed {
                demand.channels = wanted.iter().cloned().collect();
                demand.max_silence = max_silence;
            }
            changed
        });
        self.held = wanted;
    }
}

/// Returns the part of the interest that one connection may carry. Channels that are already
/// subscribed have priority. For options, the vendor has no `Q.*` and limits the number of
/// contracts with quotes.
fn within_plan(cluster: Cluster, wanted: &Interest, held: &Interest) -> Interest {
    let limited =
        |channel: &Channel| cluster == Cluster::Options && channel.kind == ChannelKind::Quote;
    let mut carried: Interest = wanted
        .iter()
        .filter(|channel| !limited(channel))
        .cloned()
        .collect();
    let contracts = wanted
        .iter()
        .filter(|channel| limited(channel) && channel.ticker != WILDCARD);
    let (old, new): (Vec<&Channel>, Vec<&Channel>) =
        contracts.partition(|channel| held.contains(*channel));
    carried.extend(old.into_iter().chain(new).take(CONTRACTS).cloned());
    carried
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interest(names: &[&str]) -> Interest {
        names
            .iter()
            .map(|name| Channel::parse(name).unwrap())
            .collect()
    }

    #[test]
    fn the_wait_after_a_refusal_grows_from_half_a_minute_to_ten_minutes() {
        let waits = (1..9).map(|refusals| denied_for(refusals).as_secs());
        let expected = [30, 60, 120, 240, 480, 600, 600, 600];
        assert_eq!(waits.collect::<Vec<_>>(), expected);
        assert_eq!(denied_for(u32::MAX).as_secs(), 600);
    }

    #[test]
    fn a_connection_has_at_most_a_thousand_contracts_and_keeps_its_current_contracts() {
        let quotes = |numbers: std::ops::Range<usize>| -> Interest {
            numbers
                .map(|n| Channel::parse(&format!("Q.O:SPY251219C{:08}", n + 1)).unwrap())
                .collect()
        };
        let held = quotes(500..1500);
        let wanted = quotes(0..1500);
        let planned = |wanted: &Interest| within_plan(Cluster::Options, wanted, &held);
        assert_eq!(planned(&wanted), held);
        let others = interest(&["T.O:SPY251219C00650000", "T.*", "Q.*"]);
        let wanted = wanted.union(&others).cloned().collect();
        assert_eq!(planned(&wanted).len(), 1002, "there is no Q.* on options");
        let shares = interest(&["Q.*", "Q.SPY"]);
        assert_eq!(within_plan(Cluster::Stocks, &shares, &held), shares);
    }
}
