//! A broker without its HTTP server. The test controls the upstream events, the clients and the
//! clock. The sockets are real.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

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
use futures_util::{SinkExt, StreamExt};
use hyper::body::Bytes;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

/// The time limit of each wait.
pub const TIME_LIMIT: Duration = Duration::from_secs(10);

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
    pub stop: watch::Sender<bool>,
    pub task: JoinHandle<()>,
}

pub fn device() -> Device {
    "kitchen".into()
}

pub async fn within_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIME_LIMIT, what)
        .await
        .expect("an answer")
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
        Self {
            acceptor,
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            reports,
            interest,
            authenticator,
            metrics,
            manual_clock,
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

pub fn event(name: &str, n: u64) -> RelayedEvent {
    RelayedEvent {
        channel: Channel::parse(name).unwrap(),
        json: format!(r#"{{"c":"{name}","n":{n}}}"#).into(),
        arrival: Arrival::default(),
    }
}

/// A WebSocket client from a library that is not part of this project.
pub struct Client<S = TcpStream>(pub WebSocketStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub async fn new(socket: S) -> Self {
        Self(WebSocketStream::from_raw_socket(socket, Role::Client, None).await)
    }

    pub async fn send_text(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    pub async fn message(&mut self) -> Message {
        within_time(self.0.next())
            .await
            .expect("no end")
            .expect("no failure")
    }

    /// The events of the next text frame.
    pub async fn frame(&mut self) -> Vec<Value> {
        loop {
            match self.message().await {
                Message::Text(text) => return serde_json::from_str(&text).expect("an array"),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?} is no text"),
            }
        }
    }

    pub async fn statuses(&mut self) -> Vec<String> {
        let frame = self.frame().await;
        let text = |event: &Value, key: &str| event[key].as_str().unwrap_or("none").to_owned();
        frame
            .iter()
            .map(|event| format!("{} {}", text(event, "status"), text(event, "message")))
            .collect()
    }

    /// The values of the next frame, for example `V.I:SPX 7`.
    pub async fn values(&mut self) -> Vec<String> {
        let frame = self.frame().await;
        frame
            .iter()
            .map(|event| format!("{} {}", event["c"].as_str().unwrap_or("?"), event["n"]))
            .collect()
    }

    pub async fn subscribe(&mut self, names: &str) {
        self.send_text(&format!(r#"{{"action":"subscribe","params":"{names}"}}"#))
            .await;
        let expected: Vec<String> = names
            .split(',')
            .map(|name| format!("success subscribed to: {name}"))
            .collect();
        assert_eq!(self.statuses().await, expected);
    }

    /// Checks that the pong is the next frame and that no other frame comes before the pong.
    pub async fn assert_only_pong(&mut self) {
        self.send_text(r#"{"action":"ping"}"#).await;
        assert_eq!(self.statuses().await, ["pong pong"]);
    }

    pub async fn close_code(&mut self) -> u16 {
        loop {
            match self.message().await {
                Message::Close(Some(frame)) => return frame.code.into(),
                Message::Close(None) => return 0,
                _ => {}
            }
        }
    }
}
