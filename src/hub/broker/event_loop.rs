//! The event loop of one cluster: one task that receives upstream events and client input and
//! passes both to the broker. Owns the timing of the deliveries; never decides the content of a
//! message.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::{mpsc, watch};

use super::Broker;
use super::clients::Clients;
use super::upstream_view::UpstreamView;
use crate::hub::auth::authenticator::Authenticator;
use crate::hub::auth::registry::Device;
use crate::hub::metrics::Metrics;
use crate::hub::server::admission::UnauthenticatedSlot;
use crate::hub::server::limits::Limits;
use crate::hub::session::client::{ClientId, ClientInput};
pub use crate::hub::session::transport::Transport;
use crate::hub::{Interest, UpstreamEvent};
use crate::market::Cluster;
use crate::net::hub_path::HubBelow;
use crate::systemd::Heartbeat;
use crate::time::{Clock, Moment};

/// The interval between two liveness checks.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);

/// The number of inputs of one kind that the loop handles after the first input in one turn. The
/// limit lets the other kinds of input get their turn.
const BATCH_LIMIT: usize = 256;

/// The time limit for the inputs of clients or for new clients in one turn. Many busy clients must
/// not delay the delivery of events.
const TURN_LIMIT: Duration = Duration::from_millis(2);

/// The time limit for the close handshakes of all clients together at shutdown.
const CLOSE_ALL_LIMIT: Duration = Duration::from_millis(1000);

/// An upgraded connection that the broker has not added as a client yet.
#[derive(Debug)]
pub struct PendingClient {
    /// The upgraded connection of the client.
    pub socket: Transport,
    /// The bytes that the HTTP server read after the head of the request.
    pub read_ahead: Bytes,
    /// The authenticated device, or `None` for a client that must still send an `auth` action.
    pub device: Option<Device>,
    /// The address of the client; `None` if it is unknown.
    pub address: Option<IpAddr>,
    /// The place of the client among the unauthenticated connections; `None` for a client that has
    /// authenticated, and in tests.
    pub unauthenticated_slot: Option<UnauthenticatedSlot>,
    /// The place of a client that is a hub, in the tree of hubs.
    pub below: Option<Arc<HubBelow>>,
}

/// The sender that passes new clients from the HTTP server to the event loop.
#[derive(Clone, Debug)]
pub struct Acceptor(mpsc::Sender<PendingClient>);

impl Acceptor {
    /// Passes a client to the event loop without waiting.
    ///
    /// # Errors
    /// Returns the client if the event loop has ended or the queue of new clients is full.
    pub fn admit(&self, pending_client: PendingClient) -> Result<(), PendingClient> {
        self.0
            .try_send(pending_client)
            .map_err(|error| error.into_inner())
    }
}

/// The event loop of one cluster, with its inputs and outputs.
#[derive(Debug)]
pub struct Fanout {
    /// The heartbeat that reports to systemd that the event loop runs. The default heartbeat sends
    /// nothing.
    pub heartbeat: Heartbeat,
    broker: Broker,
    reports: mpsc::Receiver<UpstreamEvent>,
    interest: watch::Sender<Interest>,
    pending_clients: mpsc::Receiver<PendingClient>,
    inputs: mpsc::Receiver<(ClientId, ClientInput)>,
}

impl Fanout {
    /// Creates an event loop and the acceptor that passes new clients to the event loop. `reports`
    /// are the events from the upstream of the cluster. `interest` sends the subscriptions of all
    /// clients together to the upstream. All clusters share the metrics.
    pub fn new(
        cluster: Cluster,
        reports: mpsc::Receiver<UpstreamEvent>,
        interest: watch::Sender<Interest>,
        authenticator: Arc<Authenticator>,
        limits: Limits,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> (Self, Acceptor) {
        let (acceptor, pending_clients) = mpsc::channel(1024);
        let (input_sender, inputs) = mpsc::channel(1024);
        let fanout = Self {
            heartbeat: Heartbeat::default(),
            broker: Broker {
                clients: Clients::new(cluster, limits, metrics, clock, input_sender),
                upstream: UpstreamView::default(),
                authenticator,
            },
            reports,
            interest,
            pending_clients,
            inputs,
        };
        (fanout, Acceptor(acceptor))
    }

    /// Announces simulated prices to clients before the upstream reports simulated prices.
    pub fn announce_simulated(&mut self, simulated: bool) {
        self.broker.upstream.simulated = simulated;
    }

    /// Runs until `stop` is true or the sender of `stop` is dropped. Then closes every client with
    /// close code 1012 (service restart).
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let Self {
            mut heartbeat,
            mut broker,
            mut reports,
            interest,
            mut pending_clients,
            mut inputs,
        } = self;
        let clock = broker.clients.clock.clone();
        let mut registry = broker.authenticator.registry();
        // `paced` is the earliest time of the next delivery. `checked` is the time of the last
        // liveness check.
        let mut paced = Moment::ZERO;
        let mut checked = Moment::ZERO;
        // The earliest time of the next report of the subscriptions to the upstream.
        let mut reported = Moment::ZERO;
        loop {
            let mut due = heartbeat.due();
            if broker.clients.last_values.is_dirty() {
                due = due.min(paced);
            }
            if broker.clients.is_interest_new() {
                due = due.min(reported);
            }
            if !broker.clients.is_empty() || broker.clients.subscriptions.is_lingering() {
                due = due.min(checked + HOUSEKEEPING_INTERVAL);
            }
            let mut gives_way = false;
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                Some(report) = reports.recv() => {
                    broker.upstream.handle_report(report, &mut broker.clients);
                    for _ in 0..BATCH_LIMIT {
                        let Ok(report) = reports.try_recv() else { break };
                        broker.upstream.handle_report(report, &mut broker.clients);
                    }
                }
                Some((client_id, heard)) = inputs.recv() => {
                    gives_way = true;
                    let end = clock.now().monotonic + TURN_LIMIT;
                    broker.handle_input(client_id, heard);
                    for _ in 0..BATCH_LIMIT {
                        if clock.now().monotonic >= end {
                            break;
                        }
                        let Ok((client_id, heard)) = inputs.try_recv() else { break };
                        broker.handle_input(client_id, heard);
                    }
                }
                Some(pending_client) = pending_clients.recv() => {
                    gives_way = true;
                    let end = clock.now().monotonic + TURN_LIMIT;
                    broker.admit(pending_client);
                    while clock.now().monotonic < end
                        && let Ok(pending_client) = pending_clients.try_recv()
                    {
                        broker.admit(pending_client);
                    }
                }
                Ok(()) = registry.changed() => broker.disconnect_revoked(),
                () = clock.sleep_until(due) => {}
            }
            let now = clock.now().monotonic;
            if broker.clients.last_values.is_dirty() && now >= paced {
                let frames = broker.clients.deliver(None);
                paced = pace(now, clock.now().monotonic, frames);
            }
            if now >= checked + HOUSEKEEPING_INTERVAL {
                checked = now;
                broker.housekeeping();
            }
            heartbeat.beat(now);
            if now >= reported
                && let Some(wanted) = broker.clients.new_interest()
            {
                reported = now + report_interval(wanted.len());
                interest.send_if_modified(|known| {
                    let changed = *known != wanted;
                    *known = wanted;
                    changed
                });
            }
            if gives_way {
                // The upstream gets its turn, although the next inputs of clients already wait.
                tokio::task::yield_now().await;
            }
        }
        broker.clients.close_at_end();
        let farewells = async {
            while !broker.clients.is_empty()
                && let Some((client_id, heard)) = inputs.recv().await
            {
                broker.handle_input(client_id, heard);
            }
        };
        // This limit uses real time and not `clock`, because the process that stops the hub also
        // waits in real time.
        tokio::time::timeout(CLOSE_ALL_LIMIT, farewells).await.ok();
    }
}

/// Returns the interval between two reports of this number of subscriptions. A report costs time
/// for each subscription, so clients that change one subscription again and again must not cause a
/// report of many thousands each time.
fn report_interval(subscriptions: usize) -> Duration {
    Duration::from_millis(subscriptions as u64 / 400)
}

/// The maximum pause between two deliveries. A delivery that takes very long may be the fault of
/// other programs, so it does not delay the next delivery for longer.
const MAX_PAUSE: Duration = Duration::from_millis(5);
/// A delivery of this number of frames is always followed by a pause of a millisecond, although its
/// duration may be too short for the clock.
const COUNTED_FRAMES: u64 = 50;

/// Returns the earliest time of the next delivery after a delivery of `frames` frames. An idle hub
/// sends each event at once, for any number of clients. The events that arrive during a delivery and
/// the pause after it are sent together, because a socket write costs the same for one event as for
/// ten events. The pause is a sixteenth of the delivery: a longer pause would delay single events.
fn pace(begun: Moment, ended: Moment, frames: u64) -> Moment {
    let least = Duration::from_millis(u64::from(frames >= COUNTED_FRAMES));
    ended + (ended.since(begun) / 16).clamp(least, MAX_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_hub_sends_at_once_and_a_busy_hub_pauses_after_each_delivery() {
        let at = Moment::from_millis;
        for (begun, ended, frames, next) in [
            (100, 100, 1, 100),
            (100, 100, 49, 100),
            (100, 100, 50, 101),
            (100, 132, 1000, 134),
            (100, 500, 9000, 505),
        ] {
            assert_eq!(pace(at(begun), at(ended), frames), at(next));
        }
    }
}
