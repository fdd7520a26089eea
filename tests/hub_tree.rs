//! Tests of a tree of hubs over real sockets: a simulated vendor, a hub before it, a hub below that hub,
//! and clients or displays of the last hub. Nothing that waited, is lost or is simulated on the way
//! looks fresh at the end.
#![allow(clippy::unwrap_used)]

#[path = "support/hub_server/mod.rs"]
mod hub_server;
#[path = "support/proxy_server.rs"]
mod proxy_server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use deskticker::hub::HubSetup;
use deskticker::hub::auth::authenticator::Authenticator;
use deskticker::hub::auth::registry::RegistryFile;
use deskticker::net::connector::NetStream;
use deskticker::secret::Secret;
use deskticker::simulator::{InjectedFault, Simulator, SimulatorSettings};
use deskticker::time::{Clock, Moment, Now};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use hub_server::ws_client::Client;
use hub_server::{
    BEARER, HubUnderTest, START, TIME_LIMIT, TOKEN, block_on, directory, hub_before, hub_before_at,
    hub_before_with, hub_below, hub_below_at, source_of,
};
use proxy_server::Proxy;

/// Any free port.
const ANY: &str = "127.0.0.1:0";

/// A hub below a hub before a simulator.
async fn tree() -> (HubUnderTest, HubUnderTest, Simulator) {
    let (root, simulator) = hub_before(SimulatorSettings::default()).await;
    let leaf = hub_below(&[root.address()], TOKEN).await;
    (leaf, root, simulator)
}

/// Lets the time of these hubs pass until the future is ready: a tenth of a second in ten milliseconds,
/// so that the requests between the hubs are not too slow for the time limits.
async fn in_time<T>(hubs: &[&HubUnderTest], doing: impl Future<Output = T>) -> T {
    let passing = async {
        loop {
            for hub in hubs {
                hub.manual_clock.advance(Duration::from_millis(100));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
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

async fn status(client: &mut Client<NetStream>, status: &str) -> Value {
    client.event(|event| event["status"] == status).await
}

async fn value(client: &mut Client<NetStream>) -> Value {
    client.event(|event| event["ev"] == "V").await
}

/// Waits until the simulator has this number of subscriptions.
async fn subscriptions(simulator: &Simulator, count: usize) {
    let mut channels = simulator.subscriptions();
    let held = channels.wait_for(|held| *held == count);
    let found = tokio::time::timeout(TIME_LIMIT, held).await;
    found.expect("the channels are held").unwrap();
}

/// Waits until the health report of the first hub satisfies the condition, while the time of all hubs
/// passes.
async fn health(hubs: &[&HubUnderTest], is_wanted: impl Fn(&Value) -> bool) -> Value {
    let asking = async {
        loop {
            let report = hubs[0].get("/healthz").await.json();
            if is_wanted(&report) {
                return report;
            }
            tokio::task::yield_now().await;
        }
    };
    in_time(hubs, asking).await
}

#[test]
fn a_value_that_waited_at_the_upper_hub_keeps_its_age_at_the_lower_hub() {
    block_on(async {
        let (leaf, root, simulator) = tree().await;
        let mut early = root.join("indices").await;
        early.subscribe_amid_events("V.I:SPX").await;
        in_time(&[&root], value(&mut early)).await;
        simulator.fault(InjectedFault::Silence);
        root.manual_clock.advance(Duration::from_millis(3000));
        early.assert_only_pong().await;

        let mut client = leaf.join("indices").await;
        client.request_channels("V.I:SPX").await;
        let first = value(&mut client).await;
        let age = first["age"].as_u64().expect("the value has waited");
        assert!((3000..3600).contains(&age), "{first}");
        leaf.manual_clock.advance(Duration::from_millis(2500));
        let mut late = leaf.join("indices").await;
        late.request_channels("V.I:SPX").await;
        let again = value(&mut late).await;
        assert_eq!(again["age"], age + 2500, "{again}");
        assert_eq!(again["val"], first["val"]);
        // A value that is too old at the upper hub and the lower hub together is not repeated.
        leaf.manual_clock.advance(Duration::from_millis(6000));
        let mut last = leaf.join("indices").await;
        last.subscribe_amid_events("V.I:SPX").await;
        last.assert_only_pong().await;
    });
}

#[test]
fn a_client_that_comes_after_the_loss_of_the_vendor_gets_no_value_and_hears_of_the_loss() {
    block_on(async {
        let (leaf, root, simulator) = tree().await;
        let mut first = leaf.join("indices").await;
        first.subscribe_amid_events("V.I:SPX").await;
        in_time(&[&root, &leaf], value(&mut first)).await;
        simulator.fault(InjectedFault::Abort);
        simulator.fault(InjectedFault::Refusal);
        in_time(&[&root, &leaf], status(&mut first, "upstream_down")).await;
        // A new hub below the upper hub is never live, not even for a moment.
        let other = hub_below(&[root.address()], TOKEN).await;
        root.manual_clock.advance(Duration::from_secs(60));
        let mut ages = Vec::new();
        for hub in [&leaf, &other] {
            let mut late = hub.join("indices").await;
            late.request_channels("V.I:SPX").await;
            let heard = async {
                loop {
                    for event in late.frame().await {
                        assert!(
                            event["ev"] != "V" && event["status"] != "upstream_up",
                            "{event}"
                        );
                        if event["status"] == "upstream_down" {
                            return event;
                        }
                    }
                }
            };
            let lost = in_time(&[&root, hub], heard).await;
            assert!(
                lost["message"].as_str().unwrap().contains("vendor"),
                "{lost}"
            );
            ages.push(lost["age"].as_u64().unwrap());
            let report = hub.get("/healthz").await;
            assert_eq!(report.status, 503, "{report:?}");
        }
        // The new hub has just heard of the loss, which is as old as at the upper hub.
        assert!(ages[1] >= 60_000, "{ages:?}");
    });
}

#[test]
fn simulated_prices_are_announced_through_the_tree_before_the_first_value() {
    block_on(async {
        let (leaf, root, _simulator) = tree().await;
        let mut first = leaf.join("indices").await;
        first.request_channels("V.I:SPX").await;
        let announced = async {
            loop {
                for event in first.frame().await {
                    assert_ne!(event["ev"], "V", "a value before the mark");
                    if event["status"] == "simulated" {
                        return;
                    }
                }
            }
        };
        in_time(&[&root, &leaf], announced).await;
        // The connection to the upper hub ends and returns: the clients stay, and the mark stays.
        let address = root.address();
        root.hub.stop().await;
        in_time(&[&leaf], status(&mut first, "upstream_down")).await;
        let vendor = SimulatorSettings::default();
        let (root, _simulator) = hub_before_at(address, vendor, |_| {}).await;
        in_time(&[&root, &leaf], status(&mut first, "upstream_up")).await;
        in_time(&[&root, &leaf], value(&mut first)).await;
        let mut later = leaf.join("indices").await;
        let greeting = later.statuses().await;
        assert!(
            greeting
                .iter()
                .any(|status| status.starts_with("simulated "))
        );
    });
}

/// A vendor that answers each REST request with one delayed index.
async fn delayed_vendor() -> SocketAddr {
    const BODY: &str = r#"{"status":"OK","results":[{"ticker":"I:SPX","type":"indices","value":5900.5,"market_status":"regular_trading","timeframe":"DELAYED","last_updated":1780271100000000000,"session":{"previous_close":5890}}]}"#;
    let listener = TcpListener::bind(ANY).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            let read = socket.read(&mut head).await;
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{BODY}",
                BODY.len()
            );
            if read.is_ok() {
                socket.write_all(answer.as_bytes()).await.ok();
            }
        }
    });
    address
}

#[test]
fn a_delayed_price_is_marked_as_delayed_through_the_tree() {
    block_on(async {
        let vendor = delayed_vendor().await;
        let root = hub_server::hub_behind(vendor, "key").await;
        let leaf = hub_below(&[root.address()], TOKEN).await;
        for path in [
            "GET /api/quotes?tickers=SPX",
            "GET /v3/snapshot?ticker.any_of=I:SPX",
        ] {
            let reply = leaf.request(path, BEARER).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            let row = reply.json()["results"][0].clone();
            assert_eq!(
                (&row["delayed"], &row["simulated"]),
                (&true.into(), &false.into())
            );
        }
    });
}

#[test]
fn clients_of_the_lower_hub_stay_subscribed_while_the_upper_hub_is_killed_and_comes_back() {
    block_on(async {
        let (leaf, root, simulator) = tree().await;
        let mut clients = [leaf.join("indices").await, leaf.join("indices").await];
        for client in &mut clients {
            client.subscribe_amid_events("V.I:SPX,V.I:VIX").await;
        }
        // The sum of the interests goes up once.
        subscriptions(&simulator, 2).await;
        let address = root.address();
        drop((root, simulator));
        for client in &mut clients {
            let lost = in_time(&[&leaf], status(client, "upstream_down")).await;
            assert_eq!(lost["cluster"], "indices");
        }
        // The last report of the upper hub does not look true for long.
        let is_lost = |report: &Value| report["through"]["why"].is_string();
        let report = health(&[&leaf], is_lost).await;
        assert_eq!(report["through"]["report"], Value::Null, "{report}");
        let reply = leaf.request("GET /api/quotes?tickers=SPX", BEARER).await;
        assert_eq!(reply.status, 502, "{reply:?}");
        let vendor = SimulatorSettings::default();
        let (root, simulator) = hub_before_at(address, vendor, |_| {}).await;
        for client in &mut clients {
            in_time(&[&root, &leaf], status(client, "upstream_up")).await;
            in_time(&[&root, &leaf], value(client)).await;
        }
        subscriptions(&simulator, 2).await;
        let rows = async {
            while leaf
                .request("GET /api/quotes?tickers=SPX", BEARER)
                .await
                .status
                != 200
            {
                tokio::task::yield_now().await;
            }
        };
        in_time(&[&leaf], rows).await;
    });
}

#[test]
fn the_second_upper_hub_replaces_the_first_one_until_that_one_works_again() {
    block_on(async {
        let (first, vendor) = hub_before(SimulatorSettings::default()).await;
        let (second, other_vendor) = hub_before(SimulatorSettings::default()).await;
        let leaf = hub_below(&[first.address(), second.address()], TOKEN).await;
        let mut client = leaf.join("indices").await;
        client.subscribe_amid_events("V.I:SPX").await;
        subscriptions(&vendor, 1).await;
        assert_eq!(*other_vendor.subscriptions().borrow(), 0);

        // The vendor refuses the first hub, which is then cut off.
        vendor.fault(InjectedFault::Abort);
        vendor.fault(InjectedFault::Refusal);
        in_time(&[&first, &leaf], status(&mut client, "upstream_down")).await;
        let moved = async { subscriptions(&other_vendor, 1).await };
        in_time(&[&second, &leaf], moved).await;
        in_time(&[&second, &leaf], status(&mut client, "upstream_up")).await;
        in_time(&[&second, &leaf], value(&mut client)).await;
        let through = leaf.get("/healthz").await.json()["through"]["url"].clone();
        assert_eq!(through, format!("ws://{}", second.address()));
        let rows = leaf.request("GET /api/quotes?tickers=SPX", BEARER).await;
        assert_eq!(rows.status, 200, "{rows:?}");

        // The first hub is connected to its vendor again, and gets its leaf back.
        vendor.fault(InjectedFault::None);
        let back = async { subscriptions(&vendor, 1).await };
        in_time(&[&first, &second, &leaf], back).await;
        let unused = async { subscriptions(&other_vendor, 0).await };
        in_time(&[&second, &leaf], unused).await;
        in_time(&[&first, &leaf], value(&mut client)).await;

        // The first hub ends.
        first.hub.stop().await;
        let moved = async { subscriptions(&other_vendor, 1).await };
        in_time(&[&second, &leaf], moved).await;
        in_time(&[&second, &leaf], value(&mut client)).await;
    });
}

#[test]
fn a_refused_token_and_a_revoked_token_are_named_to_the_clients_and_in_the_health() {
    block_on(async {
        let path = directory("tokens").join("devices");
        let registry = RegistryFile::new(&path);
        registry.add("other").unwrap();
        let token = registry.add("leaf").unwrap();
        let change = |setup: &mut HubSetup| {
            let token = Secret::new(TOKEN).unwrap();
            setup.authenticator = Arc::new(Authenticator::new(Some(path), Some(&token)).unwrap());
        };
        let (root, _simulator) = hub_before_with(SimulatorSettings::default(), change).await;
        let wrong = hub_below(&[root.address()], "a-token-that-nobody-knows").await;
        let leaf = hub_below(&[root.address()], &token).await;
        let words = "the hub above refuses the token of this hub";
        let is_named = |text: &Value| text.as_str().is_some_and(|text| text.contains(words));

        let mut client = wrong.join("indices").await;
        client.request_channels("V.I:SPX").await;
        let lost = in_time(&[&wrong], status(&mut client, "upstream_down")).await;
        assert!(is_named(&lost["message"]), "{lost}");
        let report = health(&[&wrong], |report| is_named(&report["through"]["why"])).await;
        assert!(is_named(&report["clusters"]["indices"]["why"]), "{report}");
        let reply = wrong.request("GET /api/quotes?tickers=SPX", BEARER).await;
        assert_eq!(reply.status, 502, "{reply:?}");
        assert!(is_named(&reply.json()["message"]), "{reply:?}");

        let mut client = leaf.join("indices").await;
        client.subscribe_amid_events("V.I:SPX").await;
        in_time(&[&root, &leaf], value(&mut client)).await;
        registry.revoke("leaf").unwrap();
        root.authenticator.check_file();
        let lost = in_time(&[&root, &leaf], status(&mut client, "upstream_down")).await;
        assert!(is_named(&lost["message"]), "{lost}");
    });
}

#[test]
fn the_health_of_the_lower_hub_tells_the_whole_path_to_the_vendor() {
    block_on(async {
        let (middle, root, simulator) = tree().await;
        let leaf = hub_below(&[middle.address()], TOKEN).await;
        let mut client = leaf.join("indices").await;
        client.subscribe_amid_events("V.I:SPX").await;
        let state_of = |report: &Value| report["clusters"]["indices"]["state"].clone();
        let is_live = |report: &Value| {
            let above = &report["through"]["report"];
            let top = &above["through"]["report"];
            [report, above, top].map(state_of) == ["live", "live", "live"]
        };
        let all = [&leaf, &middle, &root];
        let report = health(&all, is_live).await;
        let above = &report["through"];
        assert_eq!(above["url"], format!("ws://{}", middle.address()));
        let top = &above["report"]["through"];
        assert_eq!(top["url"], format!("ws://{}", root.address()));
        assert_eq!(report["hubs"].as_array().unwrap().len(), 3, "{report}");
        assert_eq!(top["report"]["version"], env!("CARGO_PKG_VERSION"));
        assert!(above["ageSeconds"].as_f64().unwrap() < 10.0);

        simulator.fault(InjectedFault::Abort);
        simulator.fault(InjectedFault::Refusal);
        let is_lost = |report: &Value| {
            let top = &report["through"]["report"]["through"]["report"];
            state_of(report) == "down" && state_of(top) == "down"
        };
        let report = health(&all, is_lost).await;
        let why = report["clusters"]["indices"]["why"].as_str().unwrap();
        assert!(why.contains("the vendor does not answer the hub"), "{why}");
        let top = &report["through"]["report"]["through"]["report"];
        assert!(top["clusters"]["indices"]["why"].is_string(), "{report}");
    });
}

/// A port that is free now.
async fn free_address() -> SocketAddr {
    let listener = TcpListener::bind(ANY).await.unwrap();
    listener.local_addr().unwrap()
}

#[test]
fn hubs_that_would_get_their_prices_from_each_other_or_from_themselves_say_so() {
    block_on(async {
        let is_loop = |event: &Value| {
            let message = event["message"].as_str().unwrap_or_default();
            message.contains("a loop") && message.contains("[upstream]")
        };
        let own = free_address().await;
        let alone = hub_below_at(own, source_of(&[own], TOKEN), |_| {}).await;
        let mut client = alone.join("indices").await;
        client.request_channels("V.I:SPX").await;
        in_time(&[&alone], client.event(is_loop)).await;

        // The chain of two hubs and of three hubs ends at its first hub.
        for count in [2, 3] {
            let mut addresses = Vec::new();
            for _ in 0..count {
                addresses.push(free_address().await);
            }
            let mut hubs = Vec::new();
            for at in 0..count {
                let above = source_of(&[addresses[(at + 1) % count]], TOKEN);
                hubs.push(hub_below_at(addresses[at], above, |_| {}).await);
            }
            let mut client = hubs[0].join("indices").await;
            client.request_channels("V.I:SPX").await;
            let lost = status(&mut client, "upstream_down");
            let all: Vec<_> = hubs.iter().rev().collect();
            let lost = in_time(&all, lost).await;
            assert!(lost["message"].is_string());
            let is_told = |report: &Value| report["clusters"]["indices"]["why"].is_string();
            let report = health(&all, is_told).await;
            let why = report["clusters"]["indices"]["why"].as_str().unwrap();
            assert!(why.contains("a loop"), "{count} hubs: {report}");
        }
    });
}

#[test]
fn a_proxy_cannot_be_the_hub_above() {
    let (clock, _hand) = Clock::manual(Now::new(Moment::ZERO, START));
    let proxy = Proxy::start(clock);
    block_on(async {
        let leaf = hub_below(&[proxy.address], proxy_server::TOKEN).await;
        let mut client = leaf.join("indices").await;
        client.request_channels("V.I:SPX").await;
        let lost = in_time(&[&leaf], status(&mut client, "upstream_down")).await;
        let words = lost["message"].as_str().unwrap();
        assert!(words.contains("no deskticker-hub"), "{words}");
    });
}

#[test]
fn a_cluster_that_the_upper_hub_does_not_serve_is_refused_and_its_prices_come_by_rest() {
    block_on(async {
        let vendor = SimulatorSettings::default();
        let (root, _simulator) = hub_before_with(vendor, |setup| {
            setup
                .clusters
                .retain(|cluster| *cluster != deskticker::market::Cluster::Stocks);
        })
        .await;
        let leaf = hub_below(&[root.address()], TOKEN).await;
        let mut client = leaf.join("stocks").await;
        client.request_channels("T.SPY").await;
        let closed = in_time(&[&leaf], client.close_code()).await;
        assert_eq!(closed, 1013);
        assert_eq!(leaf.upgrade("/ws/stocks", BEARER).await, 404);
        let rows = leaf.request("GET /api/quotes?tickers=SPY", BEARER).await;
        assert_eq!(rows.status, 200);
        assert_eq!(rows.json()["results"][0]["source"], "stocks");
    });
}

/// A relay that passes on the bytes to this server. After `hold` becomes true, it passes on no bytes
/// from the server until `hold` is false again.
async fn relay(to: SocketAddr, hold: tokio::sync::watch::Receiver<bool>) -> SocketAddr {
    let listener = TcpListener::bind(ANY).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(to).await.unwrap();
            rustix::net::sockopt::set_socket_recv_buffer_size(&server, 4096).unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move {
                tokio::io::copy(&mut from_client, &mut to_server).await.ok();
            });
            let mut hold = hold.clone();
            tokio::spawn(async move {
                let mut bytes = [0; 512];
                loop {
                    if hold.wait_for(|hold| !hold).await.is_err() {
                        return;
                    }
                    match from_server.read(&mut bytes).await {
                        Ok(count) if count > 0 => {
                            if to_client.write_all(&bytes[..count]).await.is_err() {
                                return;
                            }
                        }
                        _ => return,
                    }
                }
            });
        }
    });
    address
}

#[test]
fn a_slow_lower_hub_gets_the_newest_values_with_their_ages_and_delays_no_other_client() {
    block_on(async {
        let vendor = SimulatorSettings {
            speed: 1000.0,
            ..SimulatorSettings::default()
        };
        let (root, simulator) = hub_before(vendor).await;
        let (hold, held) = tokio::sync::watch::channel(false);
        let between = relay(root.address(), held).await;
        let leaf = hub_below(&[between], TOKEN).await;
        let channels = "V.I:SPX,V.I:VIX,V.I:NDX";
        let mut client = leaf.join("indices").await;
        client.subscribe_amid_events(channels).await;
        let mut other = root.join("indices").await;
        other.subscribe_amid_events(channels).await;
        hold.send_replace(true);
        // The socket to the slow hub fills up. Meanwhile the other client gets each value at once.
        let blocked = r#"clients_blocked_total{cluster="indices"}"#;
        let mut more = 5;
        while more > 0 {
            if root.metric(blocked).await > 0.0 {
                more -= 1;
            }
            root.manual_clock.advance(Duration::from_millis(20));
            other.send_text(r#"{"action":"ping"}"#).await;
            loop {
                let frame = other.frame().await;
                assert!(frame.iter().all(|event| event.get("age").is_none()));
                if frame[0]["status"] == "pong" {
                    break;
                }
            }
        }
        simulator.fault(InjectedFault::Silence);
        root.manual_clock.advance(Duration::from_millis(4000));
        hold.send_replace(false);
        let waited = |event: &Value| event["age"].as_u64().is_some_and(|age| age >= 4000);
        let event = in_time(&[&root], client.event(waited)).await;
        assert!(event["val"].is_number(), "{event}");
    });
}
