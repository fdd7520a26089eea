//! A broker without its HTTP server. The test controls the upstream events, the clients and the
//! clock. The sockets are real.
#![allow(dead_code, unused_imports, unreachable_pub, clippy::unwrap_used)]

#[path = "ws_client.rs"]
mod ws_client;

use std::sync::Arc;
use std::time::Duration;

use deskticker::hub::auth::authenticator::Authenticator;
use deskticker::hub::auth::registry::Device;
use deskticker::hub::broker::event_loop::{Acceptor, Fanout, PendingClient, Transport};
use deskticker::hub::metrics::Metrics;
use deskticker::hub::server::limits::Limits;
use deskticker::hub::{Arrival, Interest, RelayedEvent, UpstreamEvent};
use deskticker::market::{Channel, Cluster};
use deskticker::time::{Clock, ManualClock, Moment, Now, Utc};
use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use ws_client::{Client, within_time};

pub const TOKEN: &str = "a token";

/// A broker and all of its inputs and outputs.
pub struct FanoutUnderTest {
    pub acceptor: Acceptor,
    pub listener: TcpListener,
    pub reports: mpsc::Sender<UpstreamEvent>,
    pub interest: watch::Receiver<Interest>,
    pub authenticator: Arc<Authenticator>,
    pub metrics: Arc<Metrics>,
    pub manual_clock: ManualClock,
    /// The session with the vendor sees no change of the interest while this lock is held.
    pub session: Arc<tokio::sync::Mutex<()>>,
    pub stop: watch::Sender<bool>,
    pub task: JoinHandle<()>,
}

pub fn device() -> Device {
    "kitchen".into()
}

impl FanoutUnderTest {
    pub async fn new() -> Self {
        Self::with(Cluster::Indices, Limits::default()).await
    }

    pub async fn with(cluster: Cluster, limits: Limits) -> Self {
        let (reports, inbox) = mpsc::channel(64);
        let (wanted, interest) = watch::channel(Interest::new());
        let authenticator = Arc::new(Authenticator::single(device(), TOKEN).unwrap());
        let metrics = Arc::new(Metrics::default());
        let (clock, manual_clock) = Clock::manual(Now::new(Moment::ZERO, Utc(1_795_444_200_000)));
        let (fanout, acceptor) = Fanout::new(
            cluster,
            inbox,
            wanted,
            authenticator.clone(),
            limits,
            metrics.clone(),
            clock,
        );
        let (stop, stopped) = watch::channel(false);
        let session = Arc::default();
        let double = confirm_all(interest.clone(), reports.clone(), Arc::clone(&session));
        tokio::spawn(double);
        Self {
            acceptor,
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            reports,
            interest,
            authenticator,
            metrics,
            manual_clock,
            session,
            stop,
            task: tokio::spawn(fanout.run(stopped)),
        }
    }

    /// A connection after its WebSocket upgrade, which is the task of another module.
    pub async fn connect(&self, device: Option<Device>, read_ahead: &'static [u8]) -> TcpStream {
        let address = self.listener.local_addr().unwrap();
        let (ours, theirs) = tokio::join!(TcpStream::connect(address), self.listener.accept());
        let pending_client = PendingClient {
            socket: Transport::Tcp(theirs.unwrap().0),
            read_ahead: Bytes::from_static(read_ahead),
            device,
            address: None,
            unauthenticated_slot: None,
            below: None,
        };
        self.acceptor
            .admit(pending_client)
            .expect("room at the door");
        ours.unwrap()
    }

    pub async fn unauthenticated(&self) -> Client {
        let mut client = Client::new(self.connect(None, b"").await).await;
        assert_eq!(
            client.statuses().await,
            ["connected Connected Successfully"]
        );
        client
    }

    pub async fn authenticated(&self) -> Client {
        let mut client = Client::new(self.connect(Some(device()), b"").await).await;
        assert_eq!(
            client.statuses().await,
            ["connected Connected Successfully"]
        );
        assert_eq!(client.statuses().await, ["auth_success authenticated"]);
        client
    }

    pub async fn report(&self, report: UpstreamEvent) {
        self.reports.send(report).await.unwrap();
    }

    pub async fn publish(&self, events: &[(&str, u64)]) {
        self.report(UpstreamEvent::Events(
            events.iter().map(|&(name, n)| event(name, n)).collect(),
        ))
        .await;
    }

    /// Publishes values until the socket of the slow client is full and at least `least` values were
    /// sent. The quick client must receive each value at once. The slow client must then receive the
    /// newest value, without most of the missed values. `length` is the length of the filler of each
    /// value, in bytes.
    pub async fn assert_conflation<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        slow: &mut Client<S>,
        quick: &mut Client,
        least: u64,
        length: impl Fn(u64) -> u64,
    ) {
        let mut last = 0;
        while self.metrics.clients_blocked.value() == 0 || last < least {
            last += 1;
            let filler = "x".repeat(length(last) as usize);
            let json = format!(r#"{{"c":"V.I:SPX","n":{last},"x":"{filler}"}}"#);
            let relayed = RelayedEvent {
                json: json.into(),
                ..event("V.I:SPX", 0)
            };
            self.report(UpstreamEvent::Events(vec![relayed])).await;
            assert_eq!(quick.values().await, [format!("V.I:SPX {last}")]);
        }
        let (mut before, mut count) = (0, 0);
        while before < last {
            let event = slow.frame().await.remove(0);
            let now = event["n"].as_u64().unwrap();
            assert!(now > before, "never an older after a newer");
            assert_eq!(event["x"].as_str().unwrap().len() as u64, length(now));
            before = now;
            count += 1;
        }
        assert!(count < last, "the hub has sent no missed values");
        slow.assert_only_pong().await;
    }

    pub async fn wait_for_interest(&mut self, names: &[&str]) {
        let wanted: Interest = names
            .iter()
            .map(|name| Channel::parse(name).unwrap())
            .collect();
        within_time(self.interest.wait_for(|interest| *interest == wanted))
            .await
            .unwrap();
    }

    /// Moves the clock forward one second at a time. The witness waits for a response after each
    /// second, so the broker has finished all work of that second.
    pub async fn advance(&self, seconds: u64, witness: &mut Client) {
        for _ in 0..seconds {
            self.manual_clock.advance(Duration::from_secs(1));
            witness.assert_only_pong().await;
        }
    }
}

/// Cancels each removed channel and confirms each new channel once, as the session and the vendor
/// do. The channel `V.I:NDX` is not in the plan.
async fn confirm_all(
    mut interest: watch::Receiver<Interest>,
    reports: mpsc::Sender<UpstreamEvent>,
    session: Arc<tokio::sync::Mutex<()>>,
) {
    let mut before = Interest::new();
    while interest.changed().await.is_ok() {
        let _turn = session.lock().await;
        let wanted = interest.borrow_and_update().clone();
        for removed in before.difference(&wanted) {
            let removed = UpstreamEvent::Unsubscribed(removed.clone());
            if reports.send(removed).await.is_err() {
                return;
            }
        }
        let new = wanted.difference(&before);
        let new = new.filter(|channel| channel.ticker != "I:NDX").cloned();
        let confirmed = UpstreamEvent::Confirmed(new.collect());
        if reports.send(confirmed).await.is_err() {
            return;
        }
        before = wanted;
    }
}

pub fn event(name: &str, n: u64) -> RelayedEvent {
    RelayedEvent {
        channel: Channel::parse(name).unwrap(),
        json: format!(r#"{{"c":"{name}","n":{n}}}"#).into(),
        arrival: Arrival::default(),
    }
}
