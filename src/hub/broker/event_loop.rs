//! The owner of a cluster's clients: one task that takes in what the upstream and the clients say
//! and writes to each what it has not seen. Owns when that is done; never what is said.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::{mpsc, watch};

use super::Broker;
use super::last_value::PublishOutcome;
use crate::hub::auth::authenticator::{Authenticator, Device};
use crate::hub::metrics::Metrics;
use crate::hub::server::limits::Limits;
pub use crate::hub::session::transport::Transport;
use crate::hub::{Interest, RelayedEvent, UpstreamEvent};
use crate::market::Cluster;
use crate::systemd::Heartbeat;
use crate::time::{Clock, Moment};

/// How often it is looked after who is late, dead or no longer wanted.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);

/// How much of one kind is taken in before the others get their turn.
const BATCH_LIMIT: usize = 256;

/// How long all farewells together may take.
const CLOSE_ALL_LIMIT: Duration = Duration::from_millis(1000);

/// Somebody who has come in.
#[derive(Debug)]
pub struct PendingClient {
    /// The connection.
    pub socket: Transport,
    /// What was read behind the head of the request.
    pub read_ahead: Bytes,
    /// Who it is; `None` for one that is still to authenticate, by an `auth` action.
    pub device: Option<Device>,
}

/// Where guests are let in.
#[derive(Clone, Debug)]
pub struct Acceptor(mpsc::Sender<PendingClient>);

impl Acceptor {
    /// Lets somebody in; gives the guest back if there is no room.
    ///
    /// # Errors
    /// The guest, if the fan-out has ended or cannot take another now.
    pub fn admit(&self, pending_client: PendingClient) -> Result<(), PendingClient> {
        self.0
            .try_send(pending_client)
            .map_err(|error| error.into_inner())
    }
}

/// What a fan-out is made of.
#[derive(Debug)]
pub struct Fanout {
    /// Which cluster.
    pub cluster: Cluster,
    /// What its upstream says.
    pub reports: mpsc::Receiver<UpstreamEvent>,
    /// What its clients want.
    pub interest: watch::Sender<Interest>,
    /// Who is let in, and who no longer is.
    pub authenticator: Arc<Authenticator>,
    /// How much a client may ask.
    pub limits: Limits,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Time.
    pub clock: Clock,
    /// Who wants to know that this turns; nobody, unless it is set.
    pub heartbeat: Heartbeat,
    /// Clients are told that the prices are simulated before the upstream has said so; they are
    /// not, unless it is set.
    pub simulated: bool,
    pending_clients: mpsc::Receiver<PendingClient>,
}

impl Fanout {
    /// A fan-out and the door to it.
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

    /// Serves until told to stop; then closes every client with 1012.
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
        // Not before this is the next sweep, and then.
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
        // By the machine's clock: whoever stops the program waits by that too.
        tokio::time::timeout(CLOSE_ALL_LIMIT, farewells).await.ok();
    }
}

/// When the next sweep may begin, after one of so many frames. A write costs the same for one
/// event as for ten, so the more clients a sweep has, the more events it should have: a hub for a
/// family sends each event at once, one for a thousand displays gathers for 20 ms from sweep to
/// sweep. However long a sweep takes, others get their turn behind it.
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
            metrics.events_in.add(events.len() as u64);
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
