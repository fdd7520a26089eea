//! Tests of a hub below another hub, for the stream and for REST: the second hub serves what the first
//! one has, and the ages of both hubs add up.
#![allow(clippy::unwrap_used)]

#[path = "support/hub_server/mod.rs"]
mod hub_server;
#[path = "support/running_ticker.rs"]
mod running_ticker;

use std::sync::Arc;
use std::time::Duration;

use deskticker::demo;
use deskticker::hub::auth::authenticator::Authenticator;
use deskticker::hub::auth::registry::RegistryFile;
use deskticker::hub::server::limits::Limits;
use deskticker::hub::{Hub, HubSettings, HubSetup, UpstreamServer};
use deskticker::net::connector::Connector;
use deskticker::net::endpoint::Endpoint;
use deskticker::net::upgrade::WebSocket;
use deskticker::secret::Secret;
use deskticker::simulator::{InjectedFault, Simulator, SimulatorSettings};
use deskticker::time::Clock;
use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use hub_server::{
    BEARER, HubUnderTest, START, TIME_LIMIT, TOKEN, block_on, directory, hub_before,
    hub_before_with, hub_below,
};
use running_ticker::{Background, TickerUnderTest, framed, manual_clock};

const MINUTE: i64 = 60_000;

/// A hub behind a hub behind a simulator.
async fn stack() -> (HubUnderTest, HubUnderTest, Simulator) {
    let (first, simulator) = hub_before(SimulatorSettings::default()).await;
    let second = hub_below(&[first.address()], TOKEN).await;
    (second, first, simulator)
}

async fn get(hub: &HubUnderTest, path: &str) -> Value {
    let reply = hub.request(&format!("GET {path}"), BEARER).await;
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    reply.json()
}

#[test]
fn the_ages_of_stacked_hubs_add_up_in_every_rest_response() {
    block_on(async {
        let (second, first, simulator) = stack().await;
        let bars = format!(
            "/v2/aggs/ticker/I:SPX/range/1/minute/{}/{}",
            START.0 - 9 * MINUTE,
            START.0 - 1
        );
        let paths = [
            "/v3/snapshot?ticker.any_of=I:SPX",
            "/v3/snapshot/indices?ticker.any_of=I:SPX",
            "/api/quotes?tickers=SPX",
            &*bars,
            "/v2/aggs/ticker/I:SPX/prev",
            "/v1/marketstatus/now",
            "/api/market/status",
            "/v1/marketstatus/upcoming",
        ];
        let facts = |body: &Value| {
            let row = body.get(0).unwrap_or(body);
            let row = if row.get("age").is_none() {
                &row["results"][0]
            } else {
                row
            };
            let [age, stale, simulated, delayed] =
                ["age", "stale", "simulated", "delayed"].map(|name| row[name].clone());
            assert!(stale.is_boolean() && delayed == false, "{body}");
            (age.as_f64().unwrap(), stale == true, simulated == true)
        };
        for path in paths {
            assert_eq!(
                facts(&get(&first, path).await),
                (0.0, false, true),
                "{path}"
            );
        }
        let asked = simulator.requests();
        // The first hub is alone with its responses for a second, and then the second hub.
        first.manual_clock.advance(Duration::from_millis(1000));
        for path in paths {
            let expected = match path {
                // The first hub has all these bars, up to now.
                path if path == bars => (0.0, false, true),
                _ => (1.0, false, true),
            };
            assert_eq!(facts(&get(&second, path).await), expected, "{path}");
        }
        second.manual_clock.advance(Duration::from_millis(500));
        assert_eq!(facts(&get(&second, paths[0]).await), (1.5, false, true));
        assert_eq!(simulator.requests(), asked, "all of it is in the first hub");
        // Without its vendor, the first hub says that its rows are stale, and so does the second.
        simulator.fault(InjectedFault::Refusal);
        first.manual_clock.advance(Duration::from_secs(5));
        second.manual_clock.advance(Duration::from_secs(5));
        let (age, stale, _) = facts(&get(&second, paths[0]).await);
        assert!(stale && age == 6.0, "{age}");
    });
}

#[test]
fn a_hub_behind_a_hub_passes_on_the_loss_of_the_vendor_and_keeps_its_confirmations() {
    block_on(async {
        let (second, first, simulator) = stack().await;
        let mut client = second.join("indices").await;
        client.subscribe_amid_events("V.I:SPX").await;
        simulator.fault(InjectedFault::Abort);
        simulator.fault(InjectedFault::Refusal);
        let lost = client.event(|event| event["status"] == "upstream_down");
        let lost = first
            .while_time_passes(second.while_time_passes(lost))
            .await;
        assert!(
            lost["message"].as_str().unwrap().contains("vendor"),
            "{lost}"
        );
        let health = second.get("/healthz").await;
        assert_eq!(health.status, 503);
        simulator.fault(InjectedFault::None);
        let back = client.event(|event| event["status"] == "upstream_up");
        first
            .while_time_passes(second.while_time_passes(back))
            .await;
        let mut later = second.join("indices").await;
        later.subscribe_amid_events("V.I:SPX").await;
    });
}

#[test]
fn bars_and_rows_are_the_same_behind_one_hub_and_two() {
    block_on(async {
        let (second, first, _simulator) = stack().await;
        let from = START.0 - 390 * MINUTE;
        for path in [
            format!("/v2/aggs/ticker/SPY/range/1/minute/{from}/{}", START.0 - 1),
            format!(
                "/v2/aggs/ticker/I:SPX/range/1/minute/{from}/{}?sort=desc",
                START.0 - 1
            ),
            "/v3/snapshot?ticker.any_of=SPY,I:VIX,O:SPY260619C00650000,I:NOSUCH,spy&limit=250"
                .into(),
            "/v2/aggs/ticker/SPY/prev".into(),
            "/api/quotes?tickers=SPY,VIX,stock:COMP,I:NOSUCH".into(),
        ] {
            let (one, two) = (get(&first, &path).await, get(&second, &path).await);
            assert_eq!(one["results"], two["results"], "{path}");
            assert!(!one["results"].as_array().unwrap().is_empty());
        }
        let rows = get(&second, "/v3/snapshot?ticker.any_of=I:NOSUCH,spy,SPY").await;
        let errors: Vec<_> = (0..3)
            .map(|n| rows["results"][n].get("error").cloned())
            .collect();
        let unknown = Some(json!("NOT_FOUND"));
        assert_eq!(errors, [unknown.clone(), unknown, None]);
    });
}

#[test]
fn a_refused_question_holds_no_other_question_at_either_hub() {
    block_on(async {
        let (first, _simulator) = hub_before(SimulatorSettings {
            denied: vec!["I:NDX".into()],
            ..SimulatorSettings::default()
        })
        .await;
        let second = hub_below(&[first.address()], TOKEN).await;
        let bars = "GET /v2/aggs/ticker/I:NDX/range/1/minute/2026-05-31/2026-05-31";
        assert_eq!(second.request(bars, BEARER).await.status, 403);
        assert_eq!(first.request(bars, BEARER).await.status, 403);
        for hub in [&second, &first] {
            let rows = get(hub, "/api/quotes?tickers=NDX,SPX").await;
            assert_eq!(rows["results"][0]["error"], "NOT_ENTITLED");
            assert_eq!(rows["results"][1]["last"], 5912.34);
            let bars = get(hub, &bars[4..].replace("NDX", "SPX")).await;
            assert_eq!(bars["results"].as_array().unwrap().len(), 391);
        }
    });
}

/// A hub with these limits and two devices behind a simulator, and a hub that is one of the devices.
async fn limited_stack(name: &str, limits: Limits) -> (HubUnderTest, HubUnderTest, Simulator) {
    let path = directory(name).join("devices");
    let registry = RegistryFile::new(&path);
    registry.add("other").unwrap();
    let token = registry.add("hub").unwrap();
    let limit = |setup: &mut HubSetup| {
        let token = Secret::new(TOKEN).unwrap();
        setup.authenticator = Arc::new(Authenticator::new(Some(path), Some(&token)).unwrap());
        let settings = HubSettings {
            limits,
            ..HubSettings::default()
        };
        setup.settings = watch::channel(settings).1;
    };
    let (first, simulator) = hub_before_with(SimulatorSettings::default(), limit).await;
    let second = hub_below(&[first.address()], &token).await;
    (second, first, simulator)
}

#[test]
fn a_limit_of_the_first_hub_for_bars_holds_no_quote_of_the_second() {
    block_on(async {
        let limits = Limits {
            device_bars: 1,
            ..Limits::default()
        };
        let (second, first, _simulator) = limited_stack("stacked_bars", limits).await;
        let bars = |ticker: &str| format!("GET /v2/aggs/ticker/{ticker}/prev");
        assert_eq!(second.request(&bars("I:SPX"), BEARER).await.status, 200);
        let refused = second.request(&bars("I:VIX"), BEARER).await;
        assert_eq!(
            (refused.status, refused.header("retry-after")),
            (502, Some("10"))
        );
        for _ in 0..3 {
            let rows = get(&second, "/api/quotes?tickers=SPX,VIX").await;
            let row = &rows["results"][0];
            assert_eq!((&row["age"], &row["stale"]), (&json!(0.0), &json!(false)));
            first.manual_clock.advance(Duration::from_secs(2));
            second.manual_clock.advance(Duration::from_secs(2));
        }
    });
}

#[test]
fn a_ticker_above_the_share_of_the_second_hub_says_so_and_costs_no_other_ticker_its_row() {
    block_on(async {
        let limits = Limits {
            device_tickers: 2,
            ..Limits::default()
        };
        let (second, first, _simulator) = limited_stack("stacked_tickers", limits).await;
        get(&second, "/api/quotes?tickers=SPX,VIX").await;
        for path in [
            "/api/quotes?tickers=SPX,NDX",
            "/v3/snapshot?ticker.any_of=I:SPX,I:NDX",
        ] {
            let rows = get(&second, path).await;
            assert_eq!(rows["results"][0].get("error"), None, "{rows}");
            let row = &rows["results"][1];
            assert_eq!(row["error"], "TOO_MANY_TICKERS");
            let words = row["message"].as_str().unwrap();
            assert!(
                words.contains("device_tickers") && !words.contains("this device"),
                "{words}"
            );
        }
        // A response with this row alone is no failure of the vendor.
        let row = get(&second, "/api/quotes?tickers=NDX").await;
        assert_eq!(row["results"][0]["error"], "TOO_MANY_TICKERS");
        assert_eq!(
            first
                .metric(r#"refused_total{reason="device_share"}"#)
                .await,
            1.0
        );
    });
}

#[test]
fn a_channel_above_a_limit_of_the_first_hub_is_refused_at_once_and_streams_when_there_is_room() {
    block_on(async {
        let limits = Limits {
            device_channels: 1,
            ..Limits::default()
        };
        let (second, first, _simulator) = limited_stack("stacked_channels", limits).await;
        let mut client = second.join("indices").await;
        client.subscribe_amid_events("V.I:SPX").await;
        client.request_channels("V.I:NDX").await;
        // No time passes, so the second hub does not wait for a confirmation.
        let refused = client.event(|event| event["status"] == "error").await;
        let words = refused["message"].as_str().unwrap();
        assert!(words.starts_with("not subscribed to: V.I:NDX: "), "{words}");
        assert!(words.contains("another hub"), "{words}");
        let unsubscribe = r#"{"action":"unsubscribe","params":"V.I:SPX"}"#;
        client.send_text(unsubscribe).await;
        let subscribed = |event: &Value| event["message"] == "subscribed to: V.I:NDX";
        let success = client.event(subscribed);
        let success = first.while_time_passes(second.while_time_passes(success));
        assert_eq!(success.await["status"], "success");
    });
}

#[test]
fn a_row_without_prices_does_not_make_the_prices_of_stacked_hubs_real() {
    block_on(async {
        let limits = Limits {
            device_tickers: 1,
            ..Limits::default()
        };
        let (second, first, _simulator) = limited_stack("stacked_kind", limits).await;
        for ticker in ["SPX", "NDX", "SPX"] {
            let rows = get(&second, &format!("/api/quotes?tickers={ticker}")).await;
            assert_eq!(rows["results"][0]["simulated"], true, "{rows}");
            let path = format!("/v3/snapshot?ticker.any_of=I:{ticker},I:NOSUCH,spy");
            let rows = get(&second, &path).await;
            for row in rows["results"].as_array().unwrap() {
                assert_eq!(row["simulated"], true, "{row}");
            }
            let health = second.get("/healthz").await.json();
            assert_eq!(health["simulated"], true, "{ticker}");
        }
        assert_eq!(first.get("/healthz").await.json()["simulated"], true);
    });
}

/// Waits until the simulator has this number of subscriptions.
fn wait_for_subscriptions(simulator: &Simulator, count: usize) {
    let mut channels = simulator.subscriptions();
    block_on(async {
        let held = channels.wait_for(|held| *held == count);
        let found = tokio::time::timeout(TIME_LIMIT, held).await;
        found.expect("the channels are held").unwrap();
    });
}

/// A simulator, the hub in front of it, the hub in front of that hub, and a client of the last one.
type Stack = (Simulator, Hub, Hub, WebSocket);

/// Starts a simulator and two hubs. A client of the second hub has a subscription, because a hub has
/// a connection to its vendor, and knows whether the prices are simulated, only with a subscription.
async fn started(clock: Clock) -> Stack {
    let token = Secret::new(TOKEN).unwrap();
    let vendor = SimulatorSettings::default();
    let listen = || "127.0.0.1:0".parse().unwrap();
    let (setup, simulator) = demo::simulated_hub(vendor, &token, clock.clone())
        .await
        .unwrap();
    let first = Hub::start(setup, listen()).await.unwrap();
    let unused = SimulatorSettings::default();
    let (mut setup, _) = demo::simulated_hub(unused, &token, clock).await.unwrap();
    let source = running_ticker::hub(first.address(), TOKEN);
    let vendor = UpstreamServer {
        rest: source.clone(),
        source,
    };
    setup.upstream = watch::Sender::new(vendor).subscribe();
    setup.simulated = false;
    let second = Hub::start(setup, listen()).await.unwrap();
    let endpoint = Endpoint::parse(&format!("ws://{}", second.address())).unwrap();
    let path = format!("/ws/indices?token={TOKEN}");
    let connector = Connector::new(None).unwrap();
    let client = connector.websocket(&endpoint, &path).await;
    let mut client = client.unwrap().socket;
    let subscribe = r#"{"action":"subscribe","params":"V.I:SPX"}"#;
    client.send(Message::text(subscribe)).await.unwrap();
    let mut channels = simulator.subscriptions();
    channels.wait_for(|held| *held == 1).await.unwrap();
    (simulator, first, second, client)
}

/// Waits until the display shows this golden picture. A busy hub collects values for some
/// milliseconds of the clock, so the clock moves on until then, by half a second at most.
fn shows_soon(display: &mut TickerUnderTest, name: &str) {
    let path = format!("{}/tests/screens/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let golden = std::fs::read_to_string(path).unwrap();
    let mut left = 50;
    while display.picture().map(|picture| framed(&picture)) != Some(golden.clone()) && left > 0 {
        display.manual_clock.advance(Duration::from_millis(10));
        left -= 1;
        std::thread::sleep(Duration::from_millis(10));
        display.take_drawn_pictures();
    }
    display.shows(name);
}

#[test]
fn a_display_behind_two_hubs_shows_what_a_display_at_the_vendor_shows() {
    let (clock, hand) = manual_clock();
    let stack = Background::start({
        let clock = clock.clone();
        || started(clock)
    });
    let (simulator, _, second, _) = &stack.value;
    let source = running_ticker::hub(second.address(), TOKEN);
    let connector = Connector::new(None).unwrap();
    let mut display = TickerUnderTest::new(source, connector, &["SPX", "VIX"], (clock, hand));
    wait_for_subscriptions(simulator, 4);
    display.advance(1);
    shows_soon(&mut display, "story-02-first-values");
    display.advance(4);
    shows_soon(&mut display, "story-03-spx-moves-and-vix-waits");
    // Without news from the vendor, the value becomes stale at its usual age.
    simulator.fault(InjectedFault::Silence);
    display.advance(11);
    shows_soon(&mut display, "story-05-silent-for-11s-is-stale");
}
