//! The hub: one upstream connection per cluster, any number of displays.
//!
//! ```text
//! vendor ─ upstream ─ Report ─▶ fanout ─ Room ─ frame ─▶ every client that wants it
//!                        ◀─ Interest ─┘   ▲
//!                            http ─ Guest ┘  (authenticated, upgraded)
//! ```
//!
//! One `fanout` task owns the room and the clients of a cluster; `room` is pure. A client costs
//! the hub no memory by being slow: the newest of each channel is kept once, and for each client
//! only how far it has seen. Beside that way stand `minutes`, which keeps the bars that pass, and
//! `quotes`, which asks the vendor's REST once for all.

pub mod auth;
pub mod broker;
pub mod config;
pub mod health;
pub mod metrics;
pub mod rest;
pub mod server;
pub mod session;
pub mod simulated;
pub mod upstream;

use crate::hub::server::listener;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::feed::session::FeedSource;
use crate::feed::{Boxed, Failure};
use crate::market::{Calendar, Channel, Cluster};
use crate::net::connector::Connector;
use crate::systemd::Supervisor;
use crate::time::Clock;
use auth::authenticator::Authenticator;
pub use broker::age::Arrival;
use broker::event_loop::Fanout;
use health::UpstreamHealth;
use metrics::Metrics;
use rest::aggregates::BarCache;
use rest::quotes::QuoteCache;
use server::limits::{ConnectionSlots, Limits, RateLimiter};
use server::router::Router;
use server::tls::Tls;
use upstream::Upstream;

/// Reports that may wait for a fan-out before its upstream stops reading.
const QUEUE: usize = 64;
/// What the end may take: farewells that nobody reads are given up. The fan-outs give up a little
/// before, and what they have said then still has to pass through TLS. Two seconds are promised,
/// and a small machine that is busy needs some of them to let go of a thousand clients.
const END_LIMIT: Duration = Duration::from_millis(1200);

/// One event on its way from an upstream to whoever wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct RelayedEvent {
    /// On which channel.
    pub channel: Channel,
    /// The event as the vendor wrote it: one JSON object. A slice of the frame it came in; whoever
    /// keeps it for long copies it, or it keeps the whole frame.
    pub json: Bytes,
    /// When it came, and how old it was then.
    pub arrival: Arrival,
}

/// What the upstream of a cluster tells the fan-out.
#[derive(Clone, Debug, PartialEq)]
pub enum UpstreamEvent {
    /// The connection is in use; what is wanted has been asked for.
    Up {
        /// The other side has said that its prices are simulated.
        simulated: bool,
    },
    /// It is not, and this is why. Values go on being old.
    Down(Failure),
    /// The vendor does not let us in here, and never has: the key is wrong, or the plan lacks the
    /// cluster. It is left alone for [`upstream::DENIED_FOR`]; `Down(Done)` is said when that is over.
    Barred,
    /// The vendor has twice not answered for a channel: it is not in the plan.
    Unanswered(Channel),
    /// The events of one frame, in order.
    Events(Vec<RelayedEvent>),
}

/// What the clients of a cluster want together; the upstream subscribes to it.
pub type Interest = BTreeSet<Channel>;

/// What can change while a hub runs.
#[derive(Clone, Debug, Default)]
pub struct HubSettings {
    /// Pages that may use the hub besides its own, as `https://host`, in small letters.
    pub origins: Vec<String>,
    /// Reverse proxies whose `X-Forwarded-For` is to be believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Certificate and key, for a hub that speaks TLS itself.
    pub tls: Option<Tls>,
    /// How much anybody may ask. The clients' own limits (`authentication`, `subscriptions`,
    /// `channels`, `message`, `trades`) hold as they were at the start.
    pub limits: Limits,
}

/// What a hub is made of; everything it needs is here.
#[derive(Debug)]
pub struct HubSetup {
    /// The vendor's sockets, with the key.
    pub source: FeedSource,
    /// The vendor's REST, with the key.
    pub rest: FeedSource,
    /// How to get there.
    pub connector: Connector,
    /// What of the vendor is served.
    pub clusters: Vec<Cluster>,
    /// The vendor is a simulator of ours: its prices are not real, before it has said so.
    pub simulated: bool,
    /// Who is let in.
    pub authenticator: Arc<Authenticator>,
    /// The rest of the settings, now and from now on.
    pub settings: watch::Receiver<HubSettings>,
    /// When the markets are open.
    pub calendar: Calendar,
    /// Time.
    pub clock: Clock,
    /// Who is told that this serves, and that its loops still turn.
    pub supervisor: Supervisor,
}

/// Serves whoever comes to the listener, until told to stop or nobody is left to say so. Then every
/// client is told that the hub restarts (1012), and all is over within two seconds.
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
        source,
        rest,
        connector,
        clusters,
        simulated,
        authenticator,
        settings,
        calendar,
        clock,
        supervisor,
    } = setup;
    let source = Arc::new(source);
    let metrics = Arc::new(Metrics::default());
    let limits = settings.borrow().limits.clone();
    let mut tasks = JoinSet::new();
    let (minutes, keeping) = BarCache::new();
    let (mut acceptors, mut health) = (Vec::new(), Vec::new());
    let greeted = watch::Sender::new(simulated.then_some(true));
    minutes.seen(simulated, Vec::new()).await;
    for cluster in clusters {
        let (interest, wanted) = watch::channel(Interest::new());
        let (reports, passing) = mpsc::channel(QUEUE);
        let (onward, arriving) = mpsc::channel(QUEUE);
        let upstream = Upstream {
            cluster,
            source: source.clone(),
            connector: connector.clone(),
            interest: wanted.clone(),
            reports,
            minutes: minutes.clone(),
            greeted: greeted.clone(),
            clock: clock.clone(),
        };
        let (seen, watching) =
            UpstreamHealth::between(cluster, simulated, passing, onward, wanted, clock.clone());
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
        fanout.simulated = simulated;
        tasks.spawn(upstream.run(stop.clone()));
        tasks.spawn(watching);
        tasks.spawn(fanout.run(stop.clone()));
        acceptors.push((cluster, acceptor));
        health.push(seen);
    }
    tasks.spawn({
        let mut stop = stop.clone();
        async move {
            tokio::select! {
                () = keeping => {}
                () = stopped(&mut stop) => {}
            }
        }
    });
    tasks.spawn({
        let (authenticator, clock, stop) = (authenticator.clone(), clock.clone(), stop.clone());
        async move { authenticator.watch(clock, stop).await }
    });
    let router = Arc::new(Router {
        authenticator,
        acceptors,
        quotes: QuoteCache::new(
            Arc::new(rest),
            connector,
            calendar,
            clock.clone(),
            greeted.subscribe(),
        ),
        minutes,
        health,
        metrics,
        settings,
        calendar,
        clock,
        rates: Mutex::new(RateLimiter::default()),
        log_rates: Mutex::new(RateLimiter::default()),
        visits: ConnectionSlots::default(),
        refusal_slots: ConnectionSlots::default(),
    });
    let heartbeat = supervisor.heartbeat();
    tasks.spawn(listener::serve(listener, router, heartbeat, stop.clone()));
    supervisor.ready();

    let mut stop = stop;
    stopped(&mut stop).await;
    supervisor.stopping();
    let all = async { while tasks.join_next().await.is_some() {} };
    // By the machine's own clock: a simulated one might stand still.
    if tokio::time::timeout(END_LIMIT, all).await.is_err() {
        log::debug!("not every farewell was read in time");
    }
}

/// Waits for the end.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody is left to say stop.
    stop.wait_for(|stop| *stop).await.ok();
}

/// A hub that runs beside other things: the demo's, and the tests'.
#[derive(Debug)]
pub struct Hub {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Hub {
    /// Listens at this address (port 0 for any that is free) and serves from now on. A hub that is
    /// dropped ends as if it had been stopped.
    ///
    /// # Errors
    /// The address cannot be had.
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

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it, and returns when everybody has been told.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            log::error!("the hub ended badly: {error}");
        }
    }
}
