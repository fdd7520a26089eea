//! The event loop of one cluster: one task that receives upstream events and client input and
//! passes both to the broker. Owns the timing of the deliveries; never decides the content of a
//! message.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::{mpsc, watch};

use super::Broker;
use super::delivery::PublishOutcome;
use crate::hub::auth::authenticator::Authenticator;
use crate::hub::auth::registry::Device;
use crate::hub::metrics::Metrics;
use crate::hub::server::limits::Limits;
pub use crate::hub::session::transport::Transport;
use crate::hub::{Interest, RelayedEvent, UpstreamEvent};
use crate::market::Cluster;
use crate::systemd::Heartbeat;
use crate::time::{Clock, Moment};

/// The interval between two liveness checks.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);

/// The number of inputs of one kind that the loop handles after the first input in one turn. The
/// limit lets the other kinds of input get their turn.
const BATCH_LIMIT: usize = 256;

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

/// The inputs, outputs and settings of the event loop of one cluster.
#[derive(Debug)]
pub struct Fanout {
    /// The cluster that the event loop serves.
    pub cluster: Cluster,
    /// The events from the upstream of the cluster.
    pub reports: mpsc::Receiver<UpstreamEvent>,
    /// The sender of the subscriptions of all clients together; the upstream is the receiver.
    pub interest: watch::Sender<Interest>,
    /// The authenticator, which checks tokens and reports revoked devices.
    pub authenticator: Arc<Authenticator>,
    /// The limits for each client and for the cluster.
    pub limits: Limits,
    /// The metrics, which all clusters share.
    pub metrics: Arc<Metrics>,
    /// The monotonic clock and the wall clock of the hub.
    pub clock: Clock,
    /// The heartbeat that reports to systemd that the event loop runs. The default heartbeat sends
    /// nothing.
    pub heartbeat: Heartbeat,
    /// True if the hub announces simulated prices to clients before the upstream reports simulated
    /// prices. The default is false.
    pub simulated: bool,
    pending_clients: mpsc::Receiver<PendingClient>,
}

impl Fanout {
    /// Creates an event loop and the acceptor that passes new clients to the event loop.
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
        (
            Self {
                cluster,
                reports,
                interest,
                authenticator,
                limits,
                metrics,
                clock,
                heartbeat: Heartbeat::default(),
                simulated: false,
                pending_clients,
            },
            Acceptor(acceptor),
        )
    }

    /// Runs until `stop` is true or the sender of `stop` is dropped. Then closes every client with
    /// close code 1012 (service restart).
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let (input_sender, mut inputs) = mpsc::channel(1024);
        let Self {
            cluster,
            mut reports,
            interest,
            authenticator,
            limits,
            metrics,
            clock,
            mut heartbeat,
            simulated,
            mut pending_clients,
        } = self;
        let mut registry = authenticator.registry();
        let mut broker = Broker::new(
            cluster,
            authenticator,
            limits,
            metrics.clone(),
            clock.clone(),
            input_sender,
        );
        broker.simulated = simulated;
        // `paced` is the earliest time of the next delivery. `checked` is the time of the last
        // liveness check.
        let mut paced = Moment::ZERO;
        let mut checked = Moment::ZERO;
        let (mut reporting, mut policed) = (true, true);
        loop {
            let mut due = if broker.last_values.is_dirty() {
                paced
            } else {
                Moment::NEVER
            };
            if !broker.is_empty() || broker.wanted.is_lingering() {
                due = due.min(checked + HOUSEKEEPING_INTERVAL);
            }
            due = due.min(heartbeat.due());
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                report = reports.recv(), if reporting => match report {
                    Some(report) => {
                        let mut next = Some(report);
                        for _ in 0..BATCH_LIMIT {
                            let Some(report) = next.take() else { break };
                            apply_upstream_event(&mut broker, &metrics, report);
                            next = reports.try_recv().ok();
                        }
                        if let Some(report) = next {
                            apply_upstream_event(&mut broker, &metrics, report);
                        }
                    }
                    None => reporting = false,
                },
                Some((client_id, heard)) = inputs.recv() => {
                    broker.handle_client_input(client_id, heard);
                    for _ in 0..BATCH_LIMIT {
                        let Ok((client_id, heard)) = inputs.try_recv() else { break };
                        broker.handle_client_input(client_id, heard);
                    }
                }
                pending_client = pending_clients.recv(), if !pending_clients.is_closed() || !pending_clients.is_empty() => {
                    if let Some(pending_client) = pending_client {
                        broker.admit(pending_client);
                    }
                }
                changed = registry.changed(), if policed => {
                    policed = changed.is_ok();
                    broker.disconnect_revoked();
                }
                () = clock.sleep_until(due) => {}
            }
            let now = clock.now().monotonic;
            if broker.last_values.is_dirty() && now >= paced {
                let frames = broker.deliver_pending();
                paced = pace(now, clock.now().monotonic, frames);
            }
            if now >= checked + HOUSEKEEPING_INTERVAL {
                checked = now;
                broker.housekeeping();
            }
            heartbeat.beat(now);
            if let Some(wanted) = broker.new_interest() {
                interest.send_if_modified(|known| {
                    let changed = *known != wanted;
                    *known = wanted;
                    changed
                });
            }
        }
        broker.close_all();
        let farewells = async {
            while !broker.is_empty()
                && let Some((client_id, heard)) = inputs.recv().await
            {
                broker.handle_client_input(client_id, heard);
            }
        };
        // This limit uses real time and not `clock`, because the process that stops the hub also
        // waits in real time.
        tokio::time::timeout(CLOSE_ALL_LIMIT, farewells).await.ok();
    }
}

/// Returns the earliest time of the next delivery after a delivery of `frames` frames. A socket
/// write costs the same for one event as for ten events, so a delivery to many clients should
/// contain many events. A hub with few clients sends each event at once; a hub with a thousand
/// clients collects events for 20 ms. After a large delivery there is always a pause of up to 4 ms,
/// so that other tasks can run.
fn pace(begun: Moment, ended: Moment, frames: u64) -> Moment {
    let gathered = begun + Duration::from_millis((frames / 50).min(20));
    let rested = ended + Duration::from_millis((frames / 256).min(4));
    gathered.max(rested)
}

fn apply_upstream_event(broker: &mut Broker, metrics: &Metrics, report: UpstreamEvent) {
    match report {
        UpstreamEvent::Up { simulated } => broker.upstream_up(simulated),
        UpstreamEvent::Down(reason) => broker.upstream_down(reason),
        UpstreamEvent::Barred => broker.upstream_barred(),
        UpstreamEvent::Unanswered(channel) => broker.upstream_unanswered(channel),
        UpstreamEvent::Events(events) => {
            metrics.events_received.add(events.len() as u64);
            broker.answered(&events);
            let mut conflated = 0;
            for event in &events {
                let RelayedEvent {
                    channel,
                    json,
                    arrival,
                } = event;
                conflated += u64::from(
                    broker.last_values.publish(channel, json, *arrival) != PublishOutcome::Kept,
                );
                if broker.last_values.should_flush_trades() {
                    broker.deliver_pending();
                }
            }
            metrics.events_conflated.add(conflated);
        }
    }
}
