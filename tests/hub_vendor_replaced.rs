//! A simulated vendor is replaced by a real one at the same address: what the hub had of it is
//! repeated to nobody. Over real sockets, with time moved by hand.
#![allow(clippy::unwrap_used)]

#[path = "support/hub_server/mod.rs"]
mod hub_server;

use std::net::SocketAddr;

use deskticker::simulator;
use deskticker::time::{Clock, ManualClock, Moment, Now};
use futures_util::{SinkExt, StreamExt};
use hub_server::{BEARER, HubUnderTest, START, TOKEN, block_on, hub_before, hub_behind};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

/// An address behind which one vendor takes another's place.
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
                        // The old one's connections end with it.
                        _ = current.changed() => {}
                    }
                });
            }
        });
        Self { address, behind }
    }
}

/// A vendor that says that its prices are simulated, and what moves its time.
async fn simulated_vendor() -> (simulator::Simulator, ManualClock) {
    let (clock, hand) = Clock::manual(Now::new(Moment::ZERO, START));
    let settings = simulator::SimulatorSettings {
        values: true,
        key: TOKEN.to_owned(),
        ..simulator::SimulatorSettings::default()
    };
    let simulator = simulator::Simulator::start(settings, clock).await.unwrap();
    (simulator, hand)
}

/// A vendor whose prices are real, as far as it says.
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
    let reply = hub.ask(&format!("GET {path}"), BEARER).await;
    assert!(matches!(reply.status, 200 | 503), "{reply:?}");
    reply.json()
}

#[test]
fn a_vendor_that_is_known_by_rest_alone_is_known_to_be_another() {
    block_on(async {
        let (simulator, _hand) = simulated_vendor().await;
        let switch = Switch::to(simulator.address()).await;
        let hub = hub_behind(switch.address, TOKEN).await;
        for answer in answers(&hub).await {
            assert_eq!(answer["simulated"], true, "{answer}");
        }
        switch.behind.send_replace(real_vendor().await);
        // Its quotes are asked for again: all the other answers would be good for a minute or more.
        hub.hand.advance(std::time::Duration::from_secs(2));
        let [quotes, minutes, market, health] = answers(&hub).await;
        for answer in [&quotes, &minutes, &market] {
            assert_eq!(answer.get("simulated"), None, "{answer}");
        }
        assert_eq!(health["simulated"], false);
        assert_eq!(minutes["results"][0]["c"], 6100.0);
        assert_eq!(market["market"], "closed");
    });
}

/// All that the hub says by REST: of quotes, minutes, markets and itself.
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
fn nothing_of_a_simulated_vendor_is_repeated_once_a_real_one_is_in_its_place() {
    block_on(async {
        let (behind, _simulator) = hub_before(simulator::SimulatorSettings::default()).await;
        // A hub before a hub that simulates, which says so on its sockets.
        let switch = Switch::to(behind.address()).await;
        let hub = hub_behind(switch.address, TOKEN).await;
        let mut early = hub.join("indices").await;
        early.subscribe("V.I:SPX").await;
        let simulated = early.event(|event| event["status"] == "simulated");
        hub.while_time_passes(simulated).await;
        let value = early.event(|event| event["ev"] == "V");
        let time = async {
            loop {
                behind.hand.advance(std::time::Duration::from_millis(500));
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = value => {}
            () = time => unreachable!("time goes on"),
        }
        assert_eq!(get(&hub, "/healthz").await["simulated"], true);

        switch.behind.send_replace(real_vendor().await);
        assert_eq!(hub.while_time_passes(early.closed()).await, 1012);
        let [quotes, minutes, market, health] = answers(&hub).await;
        for answer in [&quotes, &minutes, &market] {
            assert_eq!(answer.get("simulated"), None, "{answer}");
        }
        assert_eq!(health["simulated"], false);
        assert_eq!(quotes["results"][0]["last"], 6100.5);
        let mut late = hub.join("indices").await;
        // The greeting is a frame of its own, and the value would stand before the answer.
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
fn answers_that_are_kept_are_let_go_of_with_the_vendor_that_gave_them() {
    block_on(async {
        let (simulator, _hand) = simulated_vendor().await;
        let switch = Switch::to(simulator.address()).await;
        let hub = hub_behind(switch.address, TOKEN).await;
        // Nobody wants a channel: REST alone says what it is.
        let [quotes, minutes, market, health] = answers(&hub).await;
        for answer in [&quotes, &minutes, &market, &health] {
            assert_eq!(answer["simulated"], true, "{answer}");
        }
        assert_eq!(health["clusters"]["indices"]["state"], "idle");
        switch.behind.send_replace(real_vendor().await);
        // No time has passed: by their age all of these would be good for longer. A client's
        // interest brings the vendor's greeting.
        let mut client = hub.join("indices").await;
        client.subscribe("V.I:SPX").await;
        let live = async {
            while get(&hub, "/healthz").await["clusters"]["indices"]["state"] != "live" {
                tokio::task::yield_now().await;
            }
        };
        live.await;
        let [quotes, minutes, market, health] = answers(&hub).await;
        for answer in [&quotes, &minutes, &market] {
            assert_eq!(answer.get("simulated"), None, "{answer}");
        }
        assert_eq!(health["simulated"], false);
        assert_eq!(quotes["results"][0]["last"], 6100.5);
        assert_eq!(minutes["results"][0]["c"], 6100.0);
        assert_eq!(market["market"], "closed");
    });
}
