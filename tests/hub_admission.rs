//! Tests of the admission of a hub: all its clients come back after a loss, and no second has more
//! handshakes than allowed. The clients are the sessions of displays, over real sockets and in real
//! time.
#![allow(clippy::unwrap_used)]

#[path = "support/hub_server/mod.rs"]
mod hub_server;
#[path = "support/running_ticker.rs"]
mod running_ticker;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deskticker::demo;
use deskticker::feed::Update;
use deskticker::feed::connection_status::ConnectionPhase;
use deskticker::feed::session::{Session, SubscriptionDemand};
use deskticker::hub::server::limits::Limits;
use deskticker::hub::{Hub, HubSettings};
use deskticker::market::{Channel, Cluster};
use deskticker::net::connector::Connector;
use deskticker::secret::Secret;
use deskticker::simulator::{Simulator, SimulatorSettings};
use deskticker::time::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use hub_server::{HubUnderTest, TIME_LIMIT, TOKEN, block_on, hub};
use running_ticker::Background;

/// The number of clients, and the number of handshakes that the hub admits within any second.
const CLIENTS: usize = 1000;
const HANDSHAKES: u64 = 200;
/// The time in which all clients must be back. It is several times the time that the limit allows,
/// because tests are slow builds on busy machines.
const BACK: Duration = Duration::from_secs(60);

/// A hub before a simulator, at this address.
fn hub_at(address: SocketAddr) -> Background<(SocketAddr, Hub, Simulator)> {
    Background::start(move || async move {
        let token = Secret::new(TOKEN).unwrap();
        let vendor = SimulatorSettings::default();
        let made = demo::simulated_hub(vendor, &token, Clock::system()).await;
        let (mut setup, simulator) = made.unwrap();
        let limits = Limits {
            handshakes: HANDSHAKES,
            unauthenticated: 8 * CLIENTS as u64,
            ..Limits::default()
        };
        let settings = HubSettings {
            limits,
            ..HubSettings::default()
        };
        setup.settings = watch::channel(settings).1;
        let hub = Hub::start(setup, address).await.unwrap();
        (hub.address(), hub, simulator)
    })
}

/// The number of upgrades that the hub has accepted since its start, and the times before and after
/// the answer.
async fn accepted(address: SocketAddr) -> Option<(u64, Instant, Instant)> {
    let before = Instant::now();
    let mut socket = TcpStream::connect(address).await.ok()?;
    let request = "GET /metrics HTTP/1.1\r\nHost: hub.local\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).await.ok()?;
    let mut text = String::new();
    socket.read_to_string(&mut text).await.ok()?;
    let name = r#"deskticker_hub_http_requests_total{path="/ws/indices",code="101"} "#;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let count = line.map_or(0, |count| count.parse().unwrap());
    Some((count, before, Instant::now()))
}

/// Waits until all clients are connected. Checks that the hub has admitted no more handshakes within
/// any second than allowed.
async fn all_are_back(address: SocketAddr) -> Duration {
    let start = Instant::now();
    let mut seen: VecDeque<(u64, Instant, Instant)> = VecDeque::new();
    loop {
        assert!(start.elapsed() < BACK, "only {:?} are back", seen.back());
        if let Some(now) = accepted(address).await {
            for (count, before, _) in &seen {
                // Both answers came within one second, even if the first one was sent at once.
                if now.2.duration_since(*before) <= Duration::from_secs(1) {
                    assert!(
                        now.0 - count <= HANDSHAKES,
                        "{} within a second",
                        now.0 - count
                    );
                }
            }
            if now.0 >= CLIENTS as u64 {
                return start.elapsed();
            }
            seen.push_back(now);
            if seen.len() > 100 {
                seen.pop_front();
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_thousand_displays_come_back_and_no_second_has_more_handshakes_than_allowed() {
    let hub = hub_at("127.0.0.1:0".parse().unwrap());
    let address = hub.value.0;
    let clients = Background::start(move || async move {
        let source = Arc::new(running_ticker::hub(address, TOKEN));
        let mut sessions = JoinSet::new();
        let (updates, mut incoming) = mpsc::channel(1024);
        let (demand, _) = watch::channel(SubscriptionDemand {
            channels: vec![Channel::parse("V.I:SPX").unwrap()],
            ..SubscriptionDemand::default()
        });
        for _ in 0..CLIENTS {
            let session = Session {
                cluster: Cluster::Indices,
                source: source.clone(),
                connector: Connector::new(None).unwrap(),
                demand: demand.subscribe(),
                updates: updates.clone(),
                clock: Clock::system(),
            };
            sessions.spawn(session.run());
        }
        tokio::spawn(async move { while incoming.recv().await.is_some() {} });
        (sessions, demand)
    });
    let took = block_on(all_are_back(address));
    let least = Duration::from_secs(CLIENTS as u64 / HANDSHAKES - 1);
    assert!(took >= least, "{took:?}");

    // The hub is killed: no client hears a word.
    drop(hub);
    let hub = hub_at(address);
    let took = block_on(all_are_back(address));
    assert!(took >= least, "{took:?}");
    drop((clients, hub));
}

#[test]
fn a_hub_that_ends_gives_each_client_above_the_limit_its_own_time_to_come_back() {
    block_on(async {
        let limits = Limits {
            handshakes: 4,
            ..Limits::default()
        };
        let hub: HubUnderTest = hub(HubSettings {
            limits,
            ..HubSettings::default()
        })
        .await;
        // The limit is divided among the two clusters of this hub.
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(hub.while_time_passes(hub.join("indices")).await);
            hub.manual_clock.advance(Duration::from_secs(1));
        }
        let stopping = tokio::spawn(hub.hub.stop());
        let mut times = Vec::new();
        for client in &mut clients {
            let mut time = 0;
            loop {
                match client.message().await {
                    Message::Text(text) => {
                        let events: serde_json::Value = serde_json::from_str(&text).unwrap();
                        if events[0]["status"] == "retry_after" {
                            time = events[0]["message"].as_str().unwrap().parse().unwrap();
                        }
                    }
                    Message::Close(Some(frame)) => {
                        assert_eq!(u16::from(frame.code), 1012);
                        break;
                    }
                    _ => {}
                }
            }
            times.push(time);
        }
        assert_eq!(times, [0, 0, 1, 1, 2]);
        drop(clients);
        stopping.await.unwrap();
    });
}

#[test]
fn a_display_waits_as_long_as_the_hub_requests() {
    block_on(async {
        let limits = Limits {
            handshakes: 1,
            ..Limits::default()
        };
        let hub = hub(HubSettings {
            limits,
            ..HubSettings::default()
        })
        .await;
        let headers = format!("{}{}", hub_server::UPGRADE, hub_server::BEARER);
        for expected in [101, 503, 503, 503, 503, 503] {
            let reply = hub.request("GET /ws/indices", &headers).await;
            assert_eq!(reply.status, expected);
        }
        let (demand, wanted) = watch::channel(SubscriptionDemand {
            channels: vec![Channel::parse("V.I:SPX").unwrap()],
            ..SubscriptionDemand::default()
        });
        let (clock, manual_clock) = running_ticker::manual_clock();
        let (updates, mut incoming) = mpsc::channel(64);
        let session = Session {
            cluster: Cluster::Indices,
            source: Arc::new(running_ticker::hub(hub.address(), TOKEN)),
            connector: Connector::new(None).unwrap(),
            demand: wanted,
            updates,
            clock,
        };
        tokio::spawn(session.run());
        let mut phase = async |wanted: ConnectionPhase| {
            let reading = async {
                while let Some(update) = incoming.recv().await {
                    if let Update::Status(_, status) = update
                        && status.phase == wanted
                    {
                        return;
                    }
                }
            };
            tokio::time::timeout(TIME_LIMIT, reading).await.unwrap();
        };
        phase(ConnectionPhase::Down).await;
        // Five seconds are promised to the clients before.
        hub.manual_clock.advance(Duration::from_secs(10));
        let refused = r#"refused_total{reason="handshakes"}"#;
        for _ in 0..11 {
            manual_clock.advance(Duration::from_millis(500));
            assert_eq!(hub.metric(refused).await, 6.0);
        }
        manual_clock.advance(Duration::from_millis(1500));
        phase(ConnectionPhase::Live).await;
        drop(demand);
    });
}

#[test]
fn an_upgrade_above_the_limit_gets_status_503_and_a_time_with_room() {
    block_on(async {
        let limits = Limits {
            handshakes: 2,
            ..Limits::default()
        };
        let hub = hub(HubSettings {
            limits,
            ..HubSettings::default()
        })
        .await;
        let headers = format!("{}{}", hub_server::UPGRADE, hub_server::BEARER);
        let mut answers = Vec::new();
        for _ in 0..6 {
            let reply = hub.request("GET /ws/indices", &headers).await;
            let wait = reply.header("retry-after").map(str::to_owned);
            answers.push((reply.status, wait));
        }
        let after = |seconds: &str| (503, Some(seconds.to_owned()));
        let room = (101, None);
        let expected = [
            room.clone(),
            room,
            after("1"),
            after("1"),
            after("2"),
            after("2"),
        ];
        assert_eq!(answers, expected);
        // Clients without a token in the request need no place among the handshakes and use none.
        hub.manual_clock.advance(Duration::from_secs(5));
        for _ in 0..4 {
            assert_eq!(hub.upgrade("/ws/indices", "").await, 101);
        }
        for expected in [101, 101, 503] {
            let answer = hub.request("GET /ws/indices", &headers).await;
            assert_eq!(answer.status, expected);
        }
        // A wrong token and a request for quotes need no place among the handshakes.
        let wrong = format!("{}Authorization: Bearer wrong\r\n", hub_server::UPGRADE);
        assert_eq!(hub.request("GET /ws/indices", &wrong).await.status, 403);
        assert_eq!(
            hub.metric(r#"refused_total{reason="handshakes"}"#).await,
            5.0
        );
        hub.manual_clock.advance(Duration::from_secs(1));
        assert_eq!(hub.request("GET /ws/indices", &headers).await.status, 101);
    });
}
