//! The hub: one upstream connection per cluster, and any number of clients.
//!
//! ```text
//! vendor ─ Upstream ─ UpstreamEvent ─▶ Fanout ─ LastValueCache ─ frames ─▶ subscribed clients
//!              ◀────── Interest ────────┘  ▲
//!                   Router ─ PendingClient ┘  (authenticated, upgraded)
//! ```
//!
//! One `Fanout` task owns the last-value cache and the clients of a cluster. A slow client costs no
//! additional memory: the cache stores the newest event of each channel once, and each client has
//! only a position in the cache. Trades are the exception: they are queued, once for all clients.
//! Beside this path, `BarCache` stores the one-minute bars that pass, and `QuoteCache` sends each
//! REST request to the vendor once for all clients.

pub mod announcement;
pub mod auth;
pub mod broker;
pub mod certificate;
pub mod config;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod health;
pub mod listen_address;
pub mod local_api;
pub mod metrics;
pub mod rest;
pub mod server;
pub mod session;
pub mod upstream;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::market::{Calendar, Channel, Cluster};
use crate::massive::websocket::ChannelRefusal;
use crate::net::Boxed;
use crate::net::connector::Connector;
use crate::net::failure::Failure;
use crate::net::hub_path::HubPath;
use crate::net::source::{FeedProvider, FeedSource};
use crate::systemd::Supervisor;
use crate::time::Clock;
use auth::authenticator::Authenticator;
pub use broker::age::Arrival;
use broker::event_loop::Fanout;
use health::ReportSender;
use metrics::Metrics;
use rest::aggregates::BarCache;
use rest::quotes::QuoteCache;
use server::admission::Admission;
use server::limits::{ConnectionSlots, Limits, RateLimiter};
use server::listener;
use server::router::Router;
use server::tls::Tls;
use upstream::Upstream;
use upstream::hub_above::{AboveReport, HubAbove};

/// The maximum number of queued events between an upstream and its event loop. A full queue makes
/// the upstream stop reading.
const QUEUE: usize = 64;
/// The time limit of the shutdown. A close message that no client reads in this time is dropped.
/// The event loops stop a little earlier. The hub must end within two seconds, and a small busy
/// machine needs a part of this time to free a thousand clients.
const END_LIMIT: Duration = Duration::from_millis(1200);

/// An event from an upstream for the subscribed clients.
#[derive(Clone, Debug, PartialEq)]
pub struct RelayedEvent {
    /// The channel of the event.
    pub channel: Channel,
    /// The event as the vendor sent it: one JSON object. The bytes are a slice of the received
    /// frame. Code that stores the event for a long time must copy the bytes; otherwise the whole
    /// frame stays in memory.
    pub json: Bytes,
    /// The receive time of the event, and the age of the event at that time.
    pub arrival: Arrival,
}

/// A report from the upstream of a cluster to its event loop.
#[derive(Clone, Debug, PartialEq)]
pub enum UpstreamEvent {
    /// The connection is in use, and the upstream has requested all wanted subscriptions.
    Up {
        /// True if the other side reports simulated prices.
        simulated: bool,
    },
    /// The connection is not in use, for this reason. The broker deletes its values, and forgets
    /// which channels the vendor has confirmed.
    Down(Failure),
    /// No prices come over the connection, for this reason, but the connection and its
    /// subscriptions still exist. The broker deletes its values. The confirmations stay valid,
    /// because the vendor does not send them a second time.
    Stalled(Failure),
    /// The hub above has lost its own upstream, at the time of this report less its age. The broker
    /// deletes its values, as for `Stalled`.
    CutOff(Arrival),
    /// The vendor refuses this cluster and has never accepted it: the key is wrong
    /// ([`Failure::Key`]), or the plan does not include the cluster ([`Failure::Plan`]). The
    /// upstream waits for half a minute or longer, sends `Down(Done)` and tries again.
    Barred(Failure),
    /// The vendor does not send this channel, for this reason.
    Unanswered(Channel, ChannelRefusal),
    /// The vendor has confirmed the subscriptions to these channels.
    Confirmed(Vec<Channel>),
    /// The upstream has cancelled the subscription to this channel.
    Unsubscribed(Channel),
    /// The events of one frame, in order.
    Events(Vec<RelayedEvent>),
}

/// The channels that the clients of a cluster want together. The upstream subscribes to these
/// channels.
pub type Interest = BTreeSet<Channel>;

/// The settings that can change while a hub runs.
#[derive(Clone, Debug, Default)]
pub struct HubSettings {
    /// The web origins that may use the hub besides its own, as `https://host` in lower case.
    pub origins: Vec<String>,
    /// Further host names of the hub, in lower case. A browser must use one of these names, an
    /// address of the hub, `localhost`, a name in `*.local` or the name of the machine.
    pub hosts: Vec<String>,
    /// True if `/metrics` and the details of `/healthz` are for all clients, and not only for
    /// clients with a loopback or private address.
    pub public_metrics: bool,
    /// The reverse proxies whose `X-Forwarded-For` header the hub trusts.
    pub trusted_proxies: Vec<IpAddr>,
    /// The certificate and the key, if the hub itself serves TLS.
    pub tls: Option<Tls>,
    /// The limits for connections, requests and clients. Some limits keep their values from the
    /// start of the hub (see [`Limits::values`]).
    pub limits: Limits,
}

/// The server above this hub: the vendor or another hub, with the secret for it. The hub replaces
/// this value only as a whole, so a secret never reaches an endpoint of another configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamServer {
    /// The source of the stream, with its secret.
    pub source: FeedSource,
    /// The source of the REST responses, with its secret. For a hub, it equals `source`.
    pub rest: FeedSource,
}

/// Everything that a hub needs to run.
#[derive(Debug)]
pub struct HubSetup {
    /// The server above this hub, with its updates: a new secret.
    pub upstream: watch::Receiver<UpstreamServer>,
    /// The connector for outgoing connections.
    pub connector: Connector,
    /// The vendor's clusters that the hub serves.
    pub clusters: Vec<Cluster>,
    /// True if the vendor is a simulator, so that the prices count as simulated before its first
    /// report.
    pub simulated: bool,
    /// The authenticator of the clients.
    pub authenticator: Arc<Authenticator>,
    /// The settings that can change, with their updates.
    pub settings: watch::Receiver<HubSettings>,
    /// The trading hours of the markets.
    pub calendar: Calendar,
    /// The monotonic clock and the wall clock.
    pub clock: Clock,
    /// The supervisor, which receives the readiness of the hub and the heartbeats of its event
    /// loops.
    pub supervisor: Supervisor,
}

/// Serves the clients of the listener until `stop` becomes true or its sender is dropped. The hub
/// then closes every client connection with code 1012 (service restart) and ends within two
/// seconds.
#[inline(never)]
pub fn run(
    setup: HubSetup,
    listener: TcpListener,
    stop: watch::Receiver<bool>,
) -> Boxed<'static, ()> {
    Box::pin(serve(setup, listener, stop))
}

async fn serve(setup: HubSetup, listener: TcpListener, stop: watch::Receiver<bool>) {
    let HubSetup {
        upstream: server,
        connector,
        simulated,
        authenticator,
        settings,
        calendar,
        clock,
        supervisor,
        ..
    } = setup;
    let metrics = Arc::new(Metrics::default());
    let mut limits = settings.borrow().limits.clone();
    // Each cluster has an equal part, so that the clients of one cluster cannot use up all of it.
    let count = setup.clusters.len().max(1) as u64;
    limits.waiting_bytes /= count;
    limits.handshakes = (limits.handshakes / count).max(1);
    let hub_path = HubPath::default();
    let is_below_a_hub = server.borrow().source.provider == FeedProvider::Hub;
    let connector = match is_below_a_hub {
        true => connector.below_a_hub(hub_path.clone()),
        false => connector,
    };
    let news = Arc::new(Notify::new());
    let mut tasks = JoinSet::new();
    let minutes = BarCache::default();
    let (mut acceptors, mut health, mut followed) = (Vec::new(), Vec::new(), Vec::new());
    let greeted = watch::Sender::new(simulated.then_some(true));
    minutes.seen(simulated, &[]);
    for cluster in setup.clusters {
        let (interest, wanted) = watch::channel(Interest::new());
        let (queue, arriving) = mpsc::channel(QUEUE);
        let reports = ReportSender::new(queue, simulated, clock.clone()).notifying(news.clone());
        health.push(reports.health(cluster, wanted.clone()));
        followed.push(reports.health(cluster, wanted.clone()));
        let upstream = Upstream {
            cluster,
            server: server.clone(),
            connector: connector.clone(),
            interest: wanted,
            hub_path: hub_path.clone(),
            reports,
            minutes: minutes.clone(),
            greeted: greeted.clone(),
            metrics: metrics.clone(),
            clock: clock.clone(),
        };
        let (mut fanout, acceptor) = Fanout::new(
            cluster,
            arriving,
            interest,
            authenticator.clone(),
            limits.clone(),
            metrics.clone(),
            clock.clone(),
        );
        fanout.heartbeat = supervisor.heartbeat();
        fanout.announce_simulated(simulated);
        tasks.spawn(upstream.run(stop.clone()));
        tasks.spawn(fanout.run(stop.clone()));
        acceptors.push((cluster, acceptor));
    }
    tasks.spawn(authenticator.clone().watch(clock.clone(), stop.clone()));
    let local_api = local_api::serve(authenticator.clone(), clock.clone(), stop.clone());
    tasks.spawn(local_api);
    let quotes = Arc::new(QuoteCache::new(
        server.clone(),
        connector.clone(),
        calendar,
        clock.clone(),
        greeted.subscribe(),
        metrics.clone(),
    ));
    let (report, above) = watch::channel(AboveReport::default());
    if is_below_a_hub {
        let hub_above = HubAbove {
            server: server.clone(),
            connector,
            clusters: followed,
            news,
            quotes: quotes.clone(),
            hub_path: hub_path.clone(),
            report,
            clock: clock.clone(),
        };
        tasks.spawn(hub_above.run(stop.clone()));
    }
    let router = Arc::new(Router {
        authenticator,
        acceptors,
        quotes,
        hub_path,
        above: is_below_a_hub.then_some(above),
        minutes,
        health,
        admission: Admission::new(metrics.clone()),
        handshakes: Mutex::default(),
        metrics,
        settings,
        calendar,
        clock,
        log_rates: Mutex::new(RateLimiter::new(1000)),
        bar_rates: Mutex::new(RateLimiter::new(1 << 16)),
        visits: ConnectionSlots::default(),
        kept: ConnectionSlots::default(),
    });
    let heartbeat = supervisor.heartbeat();
    tasks.spawn(listener::serve(listener, router, heartbeat, stop.clone()));
    supervisor.ready();

    let mut stop = stop;
    stopped(&mut stop).await;
    supervisor.stopping();
    let all = async { while tasks.join_next().await.is_some() {} };
    // This timeout uses the real clock, because a simulated clock might stand still.
    if tokio::time::timeout(END_LIMIT, all).await.is_err() {
        log::debug!("some clients did not read the close frame in time");
    }
}

/// Waits until `stop` becomes true or its sender is dropped.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is dropped, which also stops the hub.
    stop.wait_for(|stop| *stop).await.ok();
}

/// A hub that runs as a background task, for the demo and the tests.
#[derive(Debug)]
pub struct Hub {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Hub {
    /// Listens at this address and serves clients from now on. Port 0 selects a free port. A
    /// dropped `Hub` stops as [`Hub::stop`] does, but without waiting.
    ///
    /// # Errors
    /// The hub cannot listen at the address.
    pub async fn start(setup: HubSetup, listen: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(run(setup, listener, stopped));
        Ok(Self {
            address,
            stop,
            task,
        })
    }

    /// Returns the address at which the hub listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops the hub and waits until all its tasks have ended.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            log::error!("a task of the hub failed: {error}");
        }
    }
}
