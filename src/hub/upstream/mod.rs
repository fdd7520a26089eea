//! The only connection of a cluster to the vendor. Owns the wanted subscriptions and the limit for
//! silence. This module opens no socket: the session connects, and delivers the events unchanged.

pub(super) mod silence;

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::health::ReportSender;
use super::metrics::Metrics;
use super::rest::aggregates::BarCache;
use super::{Arrival, Interest, RelayedEvent, UpstreamEvent, Vendor};
use crate::feed::ConnectionStatus;
use crate::feed::connection_status::ConnectionPhase;
use crate::feed::session::{Session, SubscriptionDemand};
use crate::feed::sink::{ConsumerGone, EventSink, ServerState};
use crate::market::{Calendar, Channel, ChannelKind, Cluster, Ticker, WILDCARD};
use crate::massive::websocket::{self, ChannelRefusal, RelayedEventRef, StatusKind};
use crate::net::connector::Connector;
use crate::net::failure::Failure;
use crate::net::source::FeedSource;
use crate::time::{Clock, Moment};

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
    /// The vendor. Each update ends the wait after a refusal.
    pub vendor: watch::Receiver<Vendor>,
    /// The connector for the outgoing connection.
    pub connector: Connector,
    /// The channels that the clients want. The connection is open while this set is not empty.
    pub interest: watch::Receiver<Interest>,
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
    /// The vendor has refused the key.
    Denied,
    /// The vendor has another key.
    NewKey,
}

impl Upstream {
    /// Keeps the connection until `stop` becomes true, and then closes it.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut refusals = 0;
        loop {
            match self.session(stop.clone()).await {
                SessionEnd::Stopped => return,
                SessionEnd::NewKey => {
                    log::info!("{}: the hub connects with the new key", self.cluster);
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
            log::warn!(
                "{}: the vendor refused this cluster; the hub retries in {} seconds, or at once \
                 after SIGHUP, and refuses displays until then (if the plan does not include this \
                 cluster, remove the cluster from massive.clusters)",
                self.cluster,
                wait.as_secs()
            );
            tokio::select! {
                () = crate::hub::stopped(&mut stop) => return,
                // Without further updates only the wait can end.
                Ok(()) = self.vendor.changed() => refusals = 0,
                () = self.clock.sleep_until(until) => {}
            }
            let ended = UpstreamEvent::Down(Failure::Done);
            if self.reports.send(ended).await.is_err() {
                return;
            }
        }
    }

    /// Keeps the connection with the current key until the vendor refuses the key, the key changes
    /// or the hub stops.
    async fn session(&mut self, stop: watch::Receiver<bool>) -> SessionEnd {
        let (demand, wanted) = watch::channel(SubscriptionDemand::default());
        let (marked, simulated) = watch::channel(false);
        let source = Arc::new(self.vendor.borrow_and_update().source.clone());
        let session = Session {
            cluster: self.cluster,
            source: source.clone(),
            connector: self.connector.clone(),
            demand: wanted,
            updates: UpstreamSink {
                reports: self.reports.clone(),
                last_report: None,
                simulated: marked,
                proven: false,
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
            vendor: self.vendor.clone(),
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
    vendor: watch::Receiver<Vendor>,
    /// The vendor's endpoint and key in this session.
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
            if self.vendor.borrow_and_update().source != *self.source {
                break SessionEnd::NewKey;
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
                Ok(()) = self.vendor.changed() => {}
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

/// Reports the events of the session to the event loop.
struct UpstreamSink {
    reports: ReportSender,
    /// The last report about the connection, stored so that no report is sent twice in a row.
    last_report: Option<UpstreamEvent>,
    simulated: watch::Sender<bool>,
    /// True if the vendor has accepted the key before: the key is valid, and the plan includes this
    /// cluster.
    proven: bool,
    minutes: BarCache,
    greeted: watch::Sender<Option<bool>>,
    cluster: Cluster,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl EventSink for UpstreamSink {
    async fn status(&mut self, _: Cluster, status: ConnectionStatus) -> Result<(), ConsumerGone> {
        let is_simulated = status.simulated == Some(true);
        self.simulated.send_if_modified(|simulated| {
            std::mem::replace(simulated, is_simulated) != is_simulated
        });
        if status.phase == ConnectionPhase::Live {
            self.proven = true;
            // This update comes before the report, so that the hub repeats no data of another
            // vendor afterwards.
            let before = self.greeted.send_replace(Some(is_simulated));
            if before != Some(is_simulated) {
                self.minutes.seen(is_simulated, &[]);
            }
        }
        let report = match (status.phase, status.reason) {
            // During the wait the session requests nothing, so there is nothing to report.
            _ if self.reports.barred() => return Ok(()),
            // A refused upgrade has another reason, because it comes from a server in front of the
            // vendor.
            (ConnectionPhase::Refused, Some(reason @ (Failure::Key | Failure::Plan)))
                if !self.proven =>
            {
                self.last_report = None;
                return self.reports.send(UpstreamEvent::Barred(reason)).await;
            }
            // The vendor of this hub is a hub, which has lost its own vendor.
            (ConnectionPhase::Live, _) if status.cut_off => {
                UpstreamEvent::Stalled(Failure::HubUpstream)
            }
            (ConnectionPhase::Live, _) => UpstreamEvent::Up {
                simulated: is_simulated,
            },
            (ConnectionPhase::Silent, Some(reason)) => UpstreamEvent::Stalled(reason),
            (ConnectionPhase::Idle, _) => UpstreamEvent::Down(Failure::Done),
            // The hub sends a key to the vendor, so a token error here means the key and not the
            // token of a client.
            (_, Some(Failure::Token)) => UpstreamEvent::Down(Failure::Key),
            (_, Some(reason)) => UpstreamEvent::Down(reason),
            // The first connection attempt is in progress: the state is neither up nor a failure.
            (_, None) => return Ok(()),
        };
        if self.last_report.as_ref() == Some(&report) {
            return Ok(());
        }
        self.last_report = Some(report.clone());
        self.reports.send(report).await
    }

    async fn frame(
        &mut self,
        frame: &Utf8Bytes,
        server: &mut ServerState,
        now: Moment,
    ) -> Result<(), ConsumerGone> {
        let (mut events, mut bars, mut confirmed) = (Vec::new(), Vec::new(), Vec::new());
        let bytes = Bytes::from(frame.clone());
        self.metrics.messages_received.of(self.cluster).add(1);
        let length = bytes.len() as u64;
        self.metrics.bytes_received.of(self.cluster).add(length);
        let utc = self.clock.now().utc_of(now);
        for passing in websocket::passing(frame) {
            match passing {
                Ok(RelayedEventRef::Status(status_kind, message)) => {
                    server.handle_status(status_kind, &message, now);
                    if status_kind == StatusKind::Success {
                        confirmed.extend(websocket::subscribed(&message));
                    }
                }
                Ok(RelayedEventRef::Data {
                    kind,
                    ticker,
                    age,
                    stamp,
                    json,
                }) => {
                    // A repeated event does not show the latency of the connection.
                    if let (None, Some(utc), Some(stamp)) = (age, utc, stamp) {
                        self.metrics
                            .vendor_latency
                            .of(self.cluster)
                            .observe(utc.since(stamp));
                    }
                    // An event that arrives after the end of its subscription is dropped, because
                    // no client wants this event.
                    if server.data(kind, &ticker, now)
                        && let Ok(ticker) = Ticker::try_from(ticker.as_ref())
                    {
                        let relayed = RelayedEvent {
                            channel: Channel { kind, ticker },
                            json: bytes.slice_ref(json.as_bytes()),
                            arrival: Arrival {
                                at: now,
                                age: age.unwrap_or_default(),
                            },
                        };
                        if kind == ChannelKind::Minute {
                            bars.push(relayed.clone());
                        }
                        events.push(relayed);
                    }
                }
                Ok(RelayedEventRef::Unused) => {}
                Err(parse_error) => server.count_parse_error(parse_error, frame),
            }
        }
        if !confirmed.is_empty() {
            self.reports
                .send(UpstreamEvent::Confirmed(confirmed))
                .await?;
        }
        if events.is_empty() {
            return Ok(());
        }
        if !bars.is_empty() {
            let simulated = *self.simulated.borrow();
            self.minutes.seen(simulated, &bars);
        }
        self.reports.send(UpstreamEvent::Events(events)).await
    }

    async fn unsubscribed(&mut self, channel: Channel) -> Result<(), ConsumerGone> {
        self.reports
            .send(UpstreamEvent::Unsubscribed(channel))
            .await
    }

    async fn unanswered(
        &mut self,
        channel: Channel,
        refusal: ChannelRefusal,
    ) -> Result<(), ConsumerGone> {
        let report = UpstreamEvent::Unanswered(channel, refusal);
        self.reports.send(report).await
    }
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
