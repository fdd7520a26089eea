//! Tests of the shares of the devices: one device cannot use up the connections, the channels or the
//! contracts of the hub, and each refusal names the channel and the limit.
#![allow(clippy::unwrap_used)]

#[path = "support/hub_server/mod.rs"]
mod hub_server;
#[path = "support/ws_client.rs"]
mod ws_client;

use deskticker::hub::HubSettings;
use deskticker::hub::auth::registry::RegistryFile;
use deskticker::hub::server::limits::Limits;
use deskticker::net::connector::{Connector, NetStream};
use deskticker::net::endpoint::Endpoint;

use hub_server::{HubUnderTest, block_on, directory, hub, hub_with};
use ws_client::Client;

/// A hub with two devices, and the tokens of both.
async fn two_devices(name: &str, limits: Limits) -> (HubUnderTest, String, String) {
    let path = directory(name).join("devices");
    let registry = RegistryFile::new(&path);
    let tokens = ["kitchen", "hallway"].map(|device| registry.add(device).unwrap());
    let settings = HubSettings {
        limits,
        ..HubSettings::default()
    };
    let hub = hub_with(settings, Some(path)).await;
    let [kitchen, hallway] = tokens;
    (hub, kitchen, hallway)
}

/// The next status messages that are not about the vendor, which these tests do not have.
async fn answers(client: &mut Client<NetStream>) -> Vec<String> {
    loop {
        let mut statuses = client.statuses().await;
        statuses.retain(|status| !status.starts_with("upstream_down"));
        if !statuses.is_empty() {
            return statuses;
        }
    }
}

/// A client that authenticates with a message, as the official clients do.
async fn join(hub: &HubUnderTest, cluster: &str, token: &str) -> (Client<NetStream>, Vec<String>) {
    let endpoint = Endpoint::parse(&format!("ws://{}", hub.address())).unwrap();
    let connector = Connector::new(None).unwrap();
    let path = format!("/ws/{cluster}");
    let joining = connector.websocket(&endpoint, &path);
    let mut client = Client(joining.await.unwrap().socket);
    client.statuses().await;
    client
        .send_text(&format!(r#"{{"action":"auth","params":"{token}"}}"#))
        .await;
    let answer = answers(&mut client).await;
    (client, answer)
}

async fn request(client: &mut Client<NetStream>, names: &[String]) -> Vec<String> {
    let names = names.join(",");
    client
        .send_text(&format!(r#"{{"action":"subscribe","params":"{names}"}}"#))
        .await;
    answers(client).await
}

fn indices(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|n| format!("V.I:X{n}")).collect()
}

fn quotes(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|n| format!("Q.O:SPY251219C{n:08}")).collect()
}

#[test]
fn one_device_has_only_its_share_of_the_connections() {
    block_on(async {
        let limits = Limits {
            device_connections: 2,
            ..Limits::default()
        };
        let (hub, kitchen, hallway) = two_devices("share_connections", limits).await;
        let first = join(&hub, "indices", &kitchen).await;
        let second = join(&hub, "options", &kitchen).await;
        for (_, answer) in [&first, &second] {
            assert_eq!(answer, &["auth_success authenticated"]);
        }
        let (mut third, answer) = join(&hub, "indices", &kitchen).await;
        let words = "error this device has as many connections as it may, 2 (device_connections)";
        assert_eq!(answer, [words, "retry_after 10"]);
        assert_eq!(third.close_code().await, 1013);
        let (_other, answer) = join(&hub, "indices", &hallway).await;
        assert_eq!(answer, ["auth_success authenticated"]);
        // A request with a token gets the same answer before the upgrade.
        let bearer = format!("Authorization: Bearer {kitchen}\r\n");
        assert_eq!(hub.upgrade("/ws/indices", &bearer).await, 503);
        assert_eq!(
            hub.metric(r#"refused_total{reason="device_share"}"#).await,
            2.0
        );
        drop(second);
        let again = async { while hub.upgrade("/ws/indices", &bearer).await != 101 {} };
        tokio::time::timeout(hub_server::TIME_LIMIT, again)
            .await
            .unwrap();
    });
}

#[test]
fn one_device_has_only_its_share_of_the_channels_and_contracts() {
    block_on(async {
        let limits = Limits {
            channels: 6,
            device_channels: 4,
            device_contracts: 2,
            ..Limits::default()
        };
        let (hub, kitchen, hallway) = two_devices("share_channels", limits).await;
        let (mut first, _) = join(&hub, "indices", &kitchen).await;
        let (mut second, _) = join(&hub, "indices", &kitchen).await;
        assert_eq!(
            request(&mut first, &indices(0..3)).await[2],
            "pending requested from the vendor: V.I:X2"
        );
        // Both connections of the device have one share.
        let answers = request(&mut second, &indices(2..5)).await;
        assert_eq!(
            answers,
            [
                "pending requested from the vendor: V.I:X2",
                "pending requested from the vendor: V.I:X3",
                "error not subscribed to: V.I:X4: this device holds as many channels as it may, \
                 4 (device_channels)"
            ]
        );
        let (mut other, _) = join(&hub, "indices", &hallway).await;
        let answers = request(&mut other, &indices(0..7)).await;
        assert_eq!(answers[5], "pending requested from the vendor: V.I:X5");
        assert_eq!(
            answers[6],
            "error not subscribed to: V.I:X6: the hub holds as many channels as it may, 6 (channels)"
        );
        let (mut options, _) = join(&hub, "options", &kitchen).await;
        let answers = request(&mut options, &quotes(0..3)).await;
        assert_eq!(
            answers[1],
            "pending requested from the vendor: Q.O:SPY251219C00000001"
        );
        assert_eq!(
            answers[2],
            "error not subscribed to: Q.O:SPY251219C00000002: this device holds as many contracts \
             as it may, 2 (device_contracts)"
        );
        assert_eq!(
            hub.metric(r#"refused_total{reason="device_share"}"#).await,
            2.0
        );
        assert_eq!(hub.metric(r#"refused_total{reason="channels"}"#).await, 1.0);
    });
}

#[test]
fn the_only_token_of_a_hub_may_use_the_whole_hub() {
    block_on(async {
        let limits = Limits {
            device_connections: 1,
            device_channels: 1,
            ..Limits::default()
        };
        let settings = HubSettings {
            limits,
            ..HubSettings::default()
        };
        let hub = hub(settings).await;
        let mut held = Vec::new();
        for _ in 0..3 {
            let (mut client, answer) = join(&hub, "indices", hub_server::TOKEN).await;
            assert_eq!(answer, ["auth_success authenticated"]);
            let names = ["V.I:A".to_owned(), "V.I:B".to_owned()];
            let confirmed = request(&mut client, &names).await;
            assert!(confirmed.iter().all(|answer| answer.starts_with("pending")));
            held.push(client);
        }
    });
}

#[test]
fn a_contract_above_the_limit_of_the_vendor_is_never_confirmed() {
    block_on(async {
        let hub = hub(HubSettings::default()).await;
        let (mut first, _) = join(&hub, "options", hub_server::TOKEN).await;
        for part in 0..2 {
            let answers = request(&mut first, &quotes(part * 500..part * 500 + 500)).await;
            assert!(answers.iter().all(|answer| answer.starts_with("pending")));
        }
        let (mut second, _) = join(&hub, "options", hub_server::TOKEN).await;
        assert_eq!(
            request(&mut second, &quotes(999..1001)).await,
            [
                "pending requested from the vendor: Q.O:SPY251219C00000999",
                "error not subscribed to: Q.O:SPY251219C00001000: the vendor allows the quotes of \
                 1000 contracts, and all are in use"
            ]
        );
    });
}

#[test]
fn one_device_has_only_its_share_of_the_requests_for_bars_and_of_the_tickers() {
    block_on(async {
        let limits = Limits {
            device_bars: 3,
            device_tickers: 2,
            ..Limits::default()
        };
        let (hub, kitchen, hallway) = two_devices("share_rest", limits).await;
        let ask = async |token: &str, path: &str| {
            let bearer = format!("Authorization: Bearer {token}\r\n");
            hub.request(&format!("GET {path}"), &bearer).await
        };
        // This hub has no vendor, so an allowed request gets the status 502.
        for number in 0..5 {
            let path = format!("/v2/aggs/ticker/I:X{number}/prev");
            let reply = ask(&kitchen, &path).await;
            let expected = if number < 3 { 502 } else { 429 };
            assert_eq!(reply.status, expected, "{reply:?}");
            let words = reply.json()["error"].as_str().unwrap().to_owned();
            assert!(reply.status == 502 || words.contains("device_bars"));
        }
        let reply = ask(&hallway, "/v2/aggs/ticker/I:X9/prev").await;
        assert_eq!(reply.status, 502);
        let quotes = ask(&kitchen, "/v3/snapshot?ticker.any_of=I:A,I:B,I:C").await;
        let rows = quotes.json();
        let error = |row: usize| rows["results"][row]["error"].as_str();
        assert_eq!(error(1), Some("NO_ANSWER"), "{rows}");
        assert_eq!(error(2), Some("TOO_MANY_TICKERS"), "{rows}");
        let reply = ask(&hallway, "/v3/snapshot?ticker.any_of=I:C").await;
        assert_eq!(reply.status, 502);
        let refused = hub.metric(r#"refused_total{reason="device_share"}"#);
        assert_eq!(refused.await, 3.0);
    });
}
