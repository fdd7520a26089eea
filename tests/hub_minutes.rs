//! Tests of the minute bars of the hub, over real sockets: the hub stores the bars of its stream
//! and requests each other range from the vendor once.
#![allow(clippy::unwrap_used)]

#[path = "support/hub_server/mod.rs"]
mod hub_server;

use deskticker::hub::HubSettings;
use deskticker::simulator::{self, InjectedFault};
use serde_json::{Value, json};

use hub_server::{BEARER, HubUnderTest, Reply, START, block_on, hub, hub_before, hub_behind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const MINUTE: i64 = 60_000;

async fn minutes(hub: &HubUnderTest, ticker: &str, from: i64, to: i64) -> Reply {
    let path = format!("/v2/aggs/ticker/{ticker}/range/1/minute/{from}/{to}?sort=asc&limit=50000");
    hub.request(&format!("GET {path}"), BEARER).await
}

fn rows(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["results"].as_array().unwrap().clone()
}

fn starts(rows: &[Value]) -> Vec<i64> {
    rows.iter().map(|row| row["t"].as_i64().unwrap()).collect()
}

#[test]
fn minutes_without_a_subscriber_are_requested_from_the_vendor_once() {
    block_on(async {
        let (hub, simulator) = hub_before(simulator::SimulatorSettings::default()).await;
        let from = START.0 - 390 * MINUTE;
        let (one, two, three) = tokio::join!(
            minutes(&hub, "I:SPX", from, START.0),
            minutes(&hub, "I%3ASPX", from, START.0 + 999),
            minutes(&hub, "I:SPX", from + 200 * MINUTE, START.0),
        );
        assert_eq!(simulator.requests(), 1);
        let body = one.json();
        assert_eq!(
            (&body["ticker"], &body["status"]),
            (&json!("I:SPX"), &json!("OK"))
        );
        assert_eq!(
            (&body["queryCount"], &body["resultsCount"]),
            (&json!(391), &json!(391))
        );
        assert_eq!(
            (&body["stale"], &body["simulated"]),
            (&json!(false), &json!(true))
        );
        assert_eq!(
            (&body["age"], &body["delayed"]),
            (&json!(0.0), &json!(false))
        );
        let all = rows(&one);
        assert_eq!(
            starts(&all),
            (0..=390).map(|at| from + at * MINUTE).collect::<Vec<_>>()
        );
        assert_eq!(all[390]["c"], 5912.34, "the curve leads to the price");
        assert_eq!(all[0].get("v"), None, "an index has no volume");
        assert_eq!(rows(&two), all);
        assert_eq!(rows(&three), all[200..]);
        // The same range, given as a day in New York (the day before in UTC).
        let day = "/v2/aggs/ticker/I:SPX/range/1/minute/2026-05-31/2026-05-31";
        let day = hub.request(&format!("GET {day}"), BEARER).await;
        assert_eq!(rows(&day), all);
        let share = rows(&minutes(&hub, "SPY", from, START.0).await);
        for field in ["v", "vw", "n"] {
            assert!(share[0][field].as_f64().unwrap() > 0.0, "{field}");
        }
    });
}

#[test]
fn streamed_minutes_are_stored_unchanged_and_not_requested() {
    block_on(async {
        let (hub, simulator) = hub_before(simulator::SimulatorSettings::default()).await;
        let mut client = hub.join("indices").await;
        client.subscribe_amid_events("AM.I:SPX").await;
        let mut bars = Vec::new();
        for _ in 0..3 {
            let bar = client.event(|event| event["ev"] == "AM");
            bars.push(hub.while_time_passes(bar).await);
        }
        let last = bars[2]["e"].as_i64().unwrap();
        let first = bars[0]["s"].as_i64().unwrap();
        let expected: Vec<Value> = bars
            .iter()
            .map(|bar| {
                json!({ "t": bar["s"], "o": bar["o"], "h": bar["h"], "l": bar["l"], "c": bar["c"] })
            })
            .collect();
        let passed = minutes(&hub, "I:SPX", first, last - 1).await;
        assert_eq!(rows(&passed), expected);
        assert_eq!(simulator.requests(), 0);
        // The vendor has earlier bars. For the bars of the stream, the hub keeps its own values.
        let whole = rows(&minutes(&hub, "I:SPX", first - 390 * MINUTE, last - 1).await);
        assert_eq!(whole.len(), 393);
        assert_eq!(whole[390..], expected);
        assert_eq!(simulator.requests(), 1);
        // From now on, the bars of the stream are enough.
        let bar = client.event(|event| event["ev"] == "AM");
        let next = hub.while_time_passes(bar).await;
        let to = next["e"].as_i64().unwrap() - 1;
        let whole = rows(&minutes(&hub, "I:SPX", first - 390 * MINUTE, to).await);
        assert_eq!(whole.last().unwrap()["t"], next["s"]);
        assert_eq!((whole.len(), simulator.requests()), (394, 1));
    });
}

#[test]
fn streamed_minutes_are_served_as_stale_while_the_vendor_refuses_requests() {
    block_on(async {
        let (hub, simulator) = hub_before(simulator::SimulatorSettings::default()).await;
        let mut client = hub.join("indices").await;
        client.subscribe_amid_events("AM.I:SPX").await;
        let bar = client.event(|event| event["ev"] == "AM");
        let bar = hub.while_time_passes(bar).await;
        simulator.fault(InjectedFault::Refusal);
        let start = bar["s"].as_i64().unwrap();
        let reply = minutes(&hub, "I:SPX", start - 60 * MINUTE, start + MINUTE).await;
        assert_eq!(starts(&rows(&reply)), [start]);
        assert_eq!(reply.json()["stale"], true);
        // The hub has no bars of this symbol.
        let nothing = minutes(&hub, "I:VIX", start - 60 * MINUTE, start).await;
        assert_eq!(nothing.status, 502);
        assert!(nothing.json()["message"].is_string());
    });
}

#[test]
fn a_ticker_outside_the_plan_is_refused_without_effect_on_other_tickers() {
    block_on(async {
        let (hub, simulator) = hub_before(simulator::SimulatorSettings {
            denied: vec!["I:NDX".into()],
            ..simulator::SimulatorSettings::default()
        })
        .await;
        for _ in 0..3 {
            let denied = minutes(&hub, "I:NDX", START.0 - MINUTE, START.0).await;
            assert_eq!(denied.status, 403);
            assert_eq!(denied.header("retry-after"), Some("60"));
        }
        assert_eq!(simulator.requests(), 1);
        let other = minutes(&hub, "I:SPX", START.0 - MINUTE, START.0).await;
        assert_eq!(rows(&other).len(), 2);
    });
}

#[test]
fn minutes_need_a_token_and_no_other_aggregates_are_served() {
    block_on(async {
        let hub = hub(HubSettings::default()).await;
        let path = "/v2/aggs/ticker/I:SPX/range/1/minute/2026-05-31/2026-05-31";
        assert_eq!(hub.get(path).await.status, 401);
        let wrong = "Authorization: Bearer wrong\r\n";
        assert_eq!(hub.request(&format!("GET {path}"), wrong).await.status, 403);
        assert_eq!(
            hub.request(&format!("POST {path}"), BEARER).await.status,
            405
        );
        let away = hub.request(&format!("GET {path}"), BEARER).await;
        assert_eq!(away.status, 502);
        for (path, status) in [
            ("I:SPX/range/5/minute/2026-06-01/2026-06-01", 404),
            ("I:SPX/range/1/day/2026-06-01/2026-06-01", 404),
            ("I:SPX/prev/x", 404),
            ("spx/prev", 400),
            ("I:SPX/prev?limit=1", 400),
            ("I:SPX/range/1/minute/2030-01-01/2030-01-02", 400),
            ("I:SPX/range/1/minute/2010-01-04/2010-01-04", 400),
            ("I:SPX/range/1/minute/2026-06-01/2026-05-31", 400),
            (
                "I:SPX/range/1/minute/2026-06-01/2026-06-01?explain=true",
                400,
            ),
            ("I:SPX/range/1/minute/now/then", 400),
            ("NO%20TICKER/range/1/minute/2026-06-01/2026-06-01", 400),
        ] {
            let path = format!("GET /v2/aggs/ticker/{path}");
            let reply = hub.request(&path, BEARER).await;
            assert_eq!(reply.status, status, "{path}");
            assert!(reply.json()["error"].is_string());
        }
    });
}

#[test]
fn a_senseless_question_reaches_no_vendor_and_holds_no_other_question() {
    block_on(async {
        let (hub, simulator) = hub_before(simulator::SimulatorSettings::default()).await;
        for times in [
            "2030-01-01/2030-01-02",
            "2010-01-04/2010-01-04",
            "2026-06-01/2026-05-31",
        ] {
            let path = format!("GET /v2/aggs/ticker/I:SPX/range/1/minute/{times}");
            let reply = hub.request(&path, BEARER).await;
            assert_eq!(reply.status, 400);
            assert!(
                reply.json()["error"].as_str().unwrap().len() > 20,
                "{reply:?}"
            );
        }
        assert_eq!(simulator.requests(), 0);
        rows(&minutes(&hub, "I:SPX", START.0 - MINUTE, START.0).await);
        let quotes = hub.request("GET /api/quotes?tickers=SPX", BEARER).await;
        assert_eq!(quotes.json()["results"][0]["last"], 5912.34);
    });
}

#[test]
fn a_long_span_is_complete_although_the_hub_keeps_fewer_bars() {
    block_on(async {
        let vendor = long_history().await;
        let hub = hub_behind(vendor, "the-key").await;
        let from = START.0 - 6 * 24 * 60 * MINUTE;
        for _ in 0..2 {
            let all = rows(&minutes(&hub, "SPY", from, START.0).await);
            let expected: Vec<i64> = (0..6 * 24 * 60).map(|at| from + at * MINUTE).collect();
            assert_eq!(starts(&all), expected);
        }
        let path = format!(
            "GET /v2/aggs/ticker/SPY/range/1/minute/{from}/{}?sort=desc&limit=2",
            START.0
        );
        let reply = hub.request(&path, BEARER).await;
        let newest = START.0 - MINUTE;
        assert_eq!(starts(&rows(&reply)), [newest, newest - MINUTE]);
        let next = reply.json()["next_url"].as_str().unwrap().to_owned();
        let path = next.strip_prefix("http://hub.local:3000").unwrap();
        let reply = hub.request(&format!("GET {path}"), BEARER).await;
        assert_eq!(
            starts(&rows(&reply)),
            [newest - 2 * MINUTE, newest - 3 * MINUTE]
        );
    });
}

/// A vendor with a bar for each minute of the last six days.
async fn long_history() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let from = START.0 - 6 * 24 * 60 * MINUTE;
    let bar = |at| json!({ "t": from + at * MINUTE, "o": 5, "h": 5, "l": 5, "c": 5, "v": 9 });
    let bars: Vec<Value> = (0..6 * 24 * 60).map(bar).collect();
    let body = json!({ "ticker": "SPY", "status": "OK", "results": bars }).to_string();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
            let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}
