//! Tests of a hub whose simulated vendor is replaced by a real one at the same address: the hub
//! repeats no data of the simulated vendor. They use real sockets, and the test moves the clock.
#![allow(clippy::unwrap_used)]

#[path = "support/hub_server/mod.rs"]
mod hub_server;

use std::net::SocketAddr;

use deskticker::simulator;
use deskticker::time::{Clock, ManualClock, Moment, Now};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use hub_server::{BEARER, HubUnderTest, START, TOKEN, block_on, hub_before, hub_behind};

/// A TCP relay at a fixed address. It can switch to another vendor.
struct Switch {
    address: SocketAddr,
    behind: watch::Sender<SocketAddr>,
}

impl Switch {
    async fn to(first: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (behind, current) = watch::channel(first);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut current = current.clone();
                tokio::spawn(async move {
                    let behind = *current.borrow_and_update();
                    let mut behind = TcpStream::connect(behind).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut stream, &mut behind) => {}
                        // The connections to the old vendor end with the switch.
                        _ = current.changed() => {}
                    }
                });
            }
        });
        Self { address, behind }
    }
}

/// A vendor that marks its prices as simulated, and the handle that moves its clock.
async fn simulated_vendor() -> (simulator::Simulator, ManualClock) {
    let (clock, manual_clock) = Clock::manual(Now::new(Moment::ZERO, START));
    let settings = simulator::SimulatorSettings {
        values: true,
        key: TOKEN.to_owned(),
        ..simulator::SimulatorSettings::default()
    };
    let simulator = simulator::Simulator::start(settings, clock).await.unwrap();
    (simulator, manual_clock)
}

/// A vendor that does not mark its prices as simulated.
async fn real_vendor() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(real(stream));
        }
    });
    address
}

async fn real(mut stream: TcpStream) {
    let mut head = [0; 4096];
    let size = stream.peek(&mut head).await.unwrap();
    let head = String::from_utf8_lossy(&head[..size]).into_owned();
    let path = head.split(' ').nth(1).unwrap();
    if path == "/indices" {
        return talk(stream).await;
    }
    let body = if path.starts_with("/v3/snapshot") {
        json!({ "status": "OK", "results": [{ "ticker": "I:SPX", "value": 6100.5,
                "market_status": "regular_trading", "last_updated": START.0 * 1_000_000 }] })
    } else if path.starts_with("/v1/marketstatus") {
        json!({ "market": "closed", "serverTime": "2026-06-01T00:00:00Z" })
    } else {
        let start = START.0 - 60_000;
        json!({ "status": "OK", "results": [{ "t": start, "o": 6100, "h": 6101, "l": 6099, "c": 6100 }] })
    };
    let body = body.to_string();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
}

async fn talk(stream: TcpStream) {
    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
    let status = |status: &str, message: &str| {
        Message::text(json!([{ "ev": "status", "status": status, "message": message }]).to_string())
    };
    let greeting = status("connected", "Connected Successfully");
    socket.send(greeting).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else {
            continue;
        };
        let said: Value = serde_json::from_str(&text).unwrap();
        let answer = match said["action"].as_str().unwrap() {
            "auth" => status("auth_success", "authenticated"),
            _ => status(
                "success",
                &format!("subscribed to: {}", said["params"].as_str().unwrap()),
            ),
        };
        socket.send(answer).await.unwrap();
    }
}

async fn get(hub: &HubUnderTest, path: &str) -> Value {
    let reply = hub.request(&format!("GET {path}"), BEARER).await;
    assert!(matches!(reply.status, 200 | 503), "{reply:?}");
    reply.json()
}

#[test]
fn a_replaced_vendor_is_detected_by_rest_alone() {
    block_on(async {
        let (simulator, _manual_clock) = simulated_vendor().await;
        let switch = Switch::to(simulator.address()).await;
        let hub = hub_behind(switch.address, TOKEN).await;
        for answer in answers(&hub).await {
            let row = answer
                .get("simulated")
                .or(answer["results"][0].get("simulated"));
            assert_eq!(row, Some(&json!(true)), "{answer}");
        }
        switch.behind.send_replace(real_vendor().await);
        // The quotes expire after two seconds. The other cached responses would be valid for a
        // minute or longer.
        hub.manual_clock.advance(std::time::Duration::from_secs(2));
        let [quotes, minutes, market, health] = answers(&hub).await;
        for answer in [&quotes["results"][0], &minutes, &market] {
            assert_eq!(answer["simulated"], false, "{answer}");
        }
        assert_eq!(health["simulated"], false);
        assert_eq!(minutes["results"][0]["c"], 6100.0);
        assert_eq!(market["market"], "closed");
    });
}

/// The REST responses of the hub: quotes, minute bars, market status and health.
async fn answers(hub: &HubUnderTest) -> [Value; 4] {
    let (from, to) = (START.0 - 60_000, START.0 - 1);
    let minutes = format!("/v2/aggs/ticker/I:SPX/range/1/minute/{from}/{to}");
    [
        get(hub, "/api/quotes?tickers=SPX").await,
        get(hub, &minutes).await,
        get(hub, "/api/market/status").await,
        get(hub, "/healthz").await,
    ]
}

#[test]
fn no_simulated_data_is_repeated_after_a_real_vendor_replaces_the_simulated_one() {
    block_on(async {
        let (behind, _simulator) = hub_before(simulator::SimulatorSettings::default()).await;
        // The vendor of the tested hub is a hub with simulated prices, which sends that status on
        // its WebSocket.
        let switch = Switch::to(behind.address()).await;
        let hub = hub_behind(switch.address, TOKEN).await;
        let mut early = hub.join("indices").await;
        early.request_channels("V.I:SPX").await;
        let simulated = early.event(|event| event["status"] == "simulated");
        hub.while_time_passes(simulated).await;
        let value = early.event(|event| event["ev"] == "V");
        let time = async {
            loop {
                behind
                    .manual_clock
                    .advance(std::time::Duration::from_millis(500));
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = value => {}
            () = time => unreachable!("time goes on"),
        }
        assert_eq!(get(&hub, "/healthz").await["simulated"], true);

        switch.behind.send_replace(real_vendor().await);
        assert_eq!(hub.while_time_passes(early.close_code()).await, 1012);
        let [quotes, minutes, market, health] = answers(&hub).await;
        for answer in [&quotes["results"][0], &minutes, &market] {
            assert_eq!(answer["simulated"], false, "{answer}");
        }
        assert_eq!(health["simulated"], false);
        assert_eq!(quotes["results"][0]["last"], 6100.5);
        let mut late = hub.join("indices").await;
        // The greeting is a separate frame. A replayed value would arrive before the pong.
        let events = |text: &str| -> Vec<Value> { serde_json::from_str(text).unwrap() };
        late.0
            .send(Message::text(
                r#"{"action":"subscribe","params":"V.I:SPX"}"#,
            ))
            .await
            .unwrap();
        late.0
            .send(Message::text(r#"{"action":"ping"}"#))
            .await
            .unwrap();
        loop {
            let Message::Text(text) = late.0.next().await.unwrap().unwrap() else {
                continue;
            };
            for event in events(&text) {
                assert_eq!(event["ev"], "status", "a value of the old one: {event}");
                assert_ne!(event["status"], "simulated");
            }
            if text.contains("pong") {
                break;
            }
        }
    });
}

#[test]
fn cached_responses_are_dropped_with_their_vendor() {
    block_on(async {
        let (simulator, _manual_clock) = simulated_vendor().await;
        let switch = Switch::to(simulator.address()).await;
        let hub = hub_behind(switch.address, TOKEN).await;
        // The hub has no subscription, so only REST reports that the prices are simulated.
        let [quotes, minutes, market, health] = answers(&hub).await;
        for answer in [&quotes["results"][0], &minutes, &market, &health] {
            assert_eq!(answer["simulated"], true, "{answer}");
        }
        assert_eq!(health["clusters"]["indices"]["state"], "idle");
        switch.behind.send_replace(real_vendor().await);
        // The clock has not moved, so all cached responses are still valid by age. The subscription
        // of a client opens the vendor connection, and its greeting shows the change.
        let mut client = hub.join("indices").await;
        client.subscribe_amid_events("V.I:SPX").await;
        let live = async {
            while get(&hub, "/healthz").await["clusters"]["indices"]["state"] != "live" {
                tokio::task::yield_now().await;
            }
        };
        live.await;
        let [quotes, minutes, market, health] = answers(&hub).await;
        for answer in [&quotes["results"][0], &minutes, &market] {
            assert_eq!(answer["simulated"], false, "{answer}");
        }
        assert_eq!(health["simulated"], false);
        assert_eq!(quotes["results"][0]["last"], 6100.5);
        assert_eq!(minutes["results"][0]["c"], 6100.0);
        assert_eq!(market["market"], "closed");
    });
}
