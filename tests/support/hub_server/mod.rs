//! A hub on a free port. The test moves the clock and writes its requests byte by byte.
#![allow(dead_code, unused_imports, unreachable_pub, clippy::unwrap_used)]

#[path = "../basics.rs"]
mod basics;
#[path = "../ws_client.rs"]
pub mod ws_client;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use deskticker::demo;
use deskticker::hub::auth::authenticator::Authenticator;
use deskticker::hub::{Hub, HubSettings, HubSetup, UpstreamServer};
use deskticker::market::{Calendar, Cluster};
use deskticker::net::connector::{Connector, NetStream};
use deskticker::net::endpoint::Endpoint;
use deskticker::net::source::{FeedProvider, FeedSource};
use deskticker::secret::Secret;
use deskticker::simulator::{self, Simulator};
use deskticker::systemd::Supervisor;
use deskticker::time::{Clock, ManualClock, Moment, Now, Utc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

pub use basics::{TIME_LIMIT, block_on, directory};
use ws_client::Client;

/// The static token of each hub in these tests.
pub const TOKEN: &str = "a-static-token-of-sufficient-length";
/// The vendor key of each hub in these tests.
pub const KEY: &str = "the-key-of-the-vendor";
/// 2026-06-01 00:00:00 UTC.
pub const START: Utc = Utc(1_780_272_000_000);
/// The header with the static token.
pub const BEARER: &str = "Authorization: Bearer a-static-token-of-sufficient-length\r\n";
/// The headers of each upgrade request.
pub const UPGRADE: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
                           Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

pub struct HubUnderTest {
    pub hub: Hub,
    pub authenticator: Arc<Authenticator>,
    pub manual_clock: ManualClock,
    pub settings: watch::Sender<HubSettings>,
}

/// An HTTP response.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

pub async fn hub(settings: HubSettings) -> HubUnderTest {
    hub_with(settings, None).await
}

/// A hub whose vendor does not respond. It accepts the devices of `file` and the static token.
pub async fn hub_with(settings: HubSettings, file: Option<PathBuf>) -> HubUnderTest {
    let token = Secret::new(TOKEN).unwrap();
    let authenticator = Arc::new(Authenticator::new(file, Some(&token)).unwrap());
    let (clock, manual_clock) = Clock::manual(Now::new(Moment::ZERO, START));
    // Nothing listens at this address.
    let source = FeedSource::new(
        FeedProvider::Vendor,
        Endpoint::parse("ws://127.0.0.1:1").unwrap(),
        Some(Secret::new(KEY).unwrap()),
    );
    let setup = HubSetup {
        upstream: fixed_vendor(source.clone(), source),
        connector: Connector::new(None).unwrap(),
        clusters: vec![Cluster::Indices, Cluster::Options],
        simulated: false,
        authenticator,
        settings: watch::channel(settings).1,
        calendar: Calendar::always_open(),
        clock,
        supervisor: Supervisor::default(),
    };
    start(setup, manual_clock).await
}

fn fixed_vendor(source: FeedSource, rest: FeedSource) -> watch::Receiver<UpstreamServer> {
    watch::channel(UpstreamServer { source, rest }).1
}

/// Starts a hub whose settings the test can change.
async fn start(setup: HubSetup, manual_clock: ManualClock) -> HubUnderTest {
    start_at("127.0.0.1:0".parse().unwrap(), setup, manual_clock).await
}

async fn start_at(
    address: SocketAddr,
    mut setup: HubSetup,
    manual_clock: ManualClock,
) -> HubUnderTest {
    let (settings, current) = watch::channel(setup.settings.borrow().clone());
    setup.settings = current;
    let authenticator = setup.authenticator.clone();
    let hub = Hub::start(setup, address).await;
    HubUnderTest {
        hub: hub.unwrap(),
        authenticator,
        manual_clock,
        settings,
    }
}

/// A hub of all clusters with a simulator as its vendor. The simulator also has values for REST.
pub async fn hub_before(vendor: simulator::SimulatorSettings) -> (HubUnderTest, Simulator) {
    hub_before_with(vendor, |_| {}).await
}

/// A hub with a simulator as its vendor, after a change of its setup.
pub async fn hub_before_with(
    vendor: simulator::SimulatorSettings,
    change: impl FnOnce(&mut HubSetup),
) -> (HubUnderTest, Simulator) {
    hub_before_at("127.0.0.1:0".parse().unwrap(), vendor, change).await
}

/// A hub at this address with a simulator as its vendor, after a change of its setup.
pub async fn hub_before_at(
    address: SocketAddr,
    vendor: simulator::SimulatorSettings,
    change: impl FnOnce(&mut HubSetup),
) -> (HubUnderTest, Simulator) {
    let (clock, manual_clock) = Clock::manual(Now::new(Moment::ZERO, START));
    let token = Secret::new(TOKEN).unwrap();
    let vendor = simulator::SimulatorSettings {
        values: true,
        ..vendor
    };
    let (mut setup, simulator) = demo::simulated_hub(vendor, &token, clock).await.unwrap();
    change(&mut setup);
    (start_at(address, setup, manual_clock).await, simulator)
}

/// The source of a hub or a display below these hubs.
pub fn source_of(hubs: &[SocketAddr], token: &str) -> FeedSource {
    let endpoint = |hub: &SocketAddr| Endpoint::parse(&format!("ws://{hub}")).unwrap();
    let token = Some(Secret::new(token).unwrap());
    FeedSource {
        alternatives: hubs[1..].iter().map(endpoint).collect(),
        ..FeedSource::new(FeedProvider::Hub, endpoint(&hubs[0]), token)
    }
}

/// A hub of all clusters below these hubs.
pub async fn hub_below(hubs: &[SocketAddr], token: &str) -> HubUnderTest {
    let any = "127.0.0.1:0".parse().unwrap();
    hub_below_at(any, source_of(hubs, token), |_| {}).await
}

/// A hub of all clusters with this vendor. The hub treats the vendor as a real one.
pub async fn hub_behind(vendor: SocketAddr, key: &str) -> HubUnderTest {
    let source = FeedSource {
        provider: FeedProvider::Vendor,
        ..source_of(&[vendor], key)
    };
    hub_below_at("127.0.0.1:0".parse().unwrap(), source, |_| {}).await
}

/// A hub of all clusters at this address and below the hubs of this source, after a change of its
/// setup.
pub async fn hub_below_at(
    address: SocketAddr,
    source: FeedSource,
    change: impl FnOnce(&mut HubSetup),
) -> HubUnderTest {
    let (clock, manual_clock) = Clock::manual(Now::new(Moment::ZERO, START));
    let token = Secret::new(TOKEN).unwrap();
    let unused = simulator::SimulatorSettings::default();
    let (mut setup, _simulator) = demo::simulated_hub(unused, &token, clock).await.unwrap();
    setup.upstream = fixed_vendor(source.clone(), source);
    setup.simulated = false;
    change(&mut setup);
    start_at(address, setup, manual_clock).await
}

impl HubUnderTest {
    pub fn address(&self) -> SocketAddr {
        self.hub.address()
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address()).await.unwrap()
    }

    /// Sends a request line with headers and returns the response.
    pub async fn request(&self, request: &str, headers: &str) -> Reply {
        let mut stream = self.connect().await;
        let text = format!("{request} HTTP/1.1\r\nHost: hub.local:3000\r\n{headers}\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        reply(&mut stream).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.request(&format!("GET {path}"), "").await
    }

    /// The status of an upgrade request.
    pub async fn upgrade(&self, path: &str, headers: &str) -> u16 {
        let headers = format!("{UPGRADE}{headers}");
        self.request(&format!("GET {path}"), &headers).await.status
    }

    /// Connects a WebSocket client to a cluster.
    pub async fn join(&self, cluster: &str) -> Client<NetStream> {
        let endpoint = Endpoint::parse(&format!("ws://{}", self.address())).unwrap();
        let path = format!("/ws/{cluster}?token={TOKEN}");
        let connector = Connector::new(None).unwrap();
        let joining = connector.websocket(&endpoint, &path);
        Client(joining.await.unwrap().socket)
    }

    /// Moves the clock forward in steps of half a second until the future is ready.
    pub async fn while_time_passes<T>(&self, doing: impl Future<Output = T>) -> T {
        self.while_steps_pass(Duration::from_millis(500), doing)
            .await
    }

    async fn while_steps_pass<T>(&self, step: Duration, doing: impl Future<Output = T>) -> T {
        let passing = async {
            loop {
                self.manual_clock.advance(step);
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
            }
        };
        let both = async {
            tokio::select! {
                done = doing => done,
                () = passing => unreachable!("time goes on"),
            }
        };
        tokio::time::timeout(TIME_LIMIT, both).await.unwrap()
    }

    /// The value of a metric.
    pub async fn metric(&self, name: &str) -> f64 {
        let reply = self.get("/metrics").await;
        let line = reply
            .body
            .lines()
            .find_map(|line| line.strip_prefix(&format!("deskticker_hub_{name} ")));
        line.unwrap().parse().unwrap()
    }

    /// Moves the clock forward second by second until the connection is closed. Returns the
    /// received text.
    pub async fn until_closed(&self, stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        // A reset also ends the connection.
        let reading = async { stream.read_to_end(&mut text).await.ok() };
        self.while_steps_pass(Duration::from_secs(1), reading).await;
        String::from_utf8(text).unwrap()
    }
}

/// Reads a response to its end. For an upgrade, it reads only the head.
pub async fn reply(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let reading = async {
        loop {
            let head = bytes.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(head) = head {
                let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
                let length = text.split_once("\r\ncontent-length: ").map(|(_, rest)| {
                    let end = rest.find('\r').unwrap_or(rest.len());
                    rest[..end].parse::<usize>().unwrap()
                });
                // The hub keeps the connection of a device open after a response.
                let is_complete = length.is_some_and(|length| bytes.len() >= head + 4 + length);
                if is_complete || bytes.starts_with(b"HTTP/1.1 101") {
                    return;
                }
            }
            match stream.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    };
    tokio::time::timeout(TIME_LIMIT, reading).await.unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no reply but {text:?}"));
    Reply {
        status: head[9..12].parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
