//! Tests of the cluster stocks, which some plans do not include. If the plan includes the cluster,
//! the hub serves it like the others. If not, the hub closes each client with a reason.
#![allow(clippy::unwrap_used)]

#[path = "support/hub_server/mod.rs"]
mod hub_server;

use std::time::Duration;

use deskticker::market::Cluster;
use deskticker::simulator::{self, Simulator};

use hub_server::{BEARER, HubUnderTest, TIME_LIMIT, UPGRADE, block_on, hub_before};

#[test]
fn shares_and_contracts_have_trades_quotes_and_bars() {
    block_on(async {
        let (hub, _simulator) = hub_before(simulator::SimulatorSettings::default()).await;
        for (cluster, ticker) in [("stocks", "SPY"), ("options", "O:SPY251219C00650000")] {
            let mut client = hub.join(cluster).await;
            let kinds = ["T", "Q", "A", "AM"];
            let names = kinds.map(|kind| format!("{kind}.{ticker}")).join(",");
            client.subscribe_amid_events(&names).await;
            let mut prices = Vec::new();
            for kind in kinds {
                let event = client.event(|event| event["ev"] == kind && event["sym"] == ticker);
                let event = hub.while_time_passes(event).await;
                let number = |word: &str| event[word].as_f64();
                let size = number("s").or(number("bs"));
                assert!(size.unwrap() > 0.0, "{event}");
                prices.extend(number("p").or(number("bp")).or(number("c")));
                if kind == "AM" {
                    assert!(
                        number("v").unwrap() > 0.0 && number("av") > number("v"),
                        "{event}"
                    );
                }
            }
            let near = |price: &f64| (price - prices[0]).abs() < prices[0] * 0.05;
            assert!(prices.len() == 4 && prices.iter().all(near), "{prices:?}");
        }
    });
}

async fn without_stocks() -> (HubUnderTest, Simulator) {
    hub_before(simulator::SimulatorSettings {
        excluded: vec![Cluster::Stocks],
        ..simulator::SimulatorSettings::default()
    })
    .await
}

/// Connects, subscribes, and checks that the hub closes the connection with the reason.
async fn is_sent_away(hub: &HubUnderTest) {
    let mut client = hub.join("stocks").await;
    client.request_channels("T.SPY").await;
    let told = client
        .event(|event| event["status"] == "upstream_down")
        .await;
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("plan does not include this data"));
    assert_eq!(client.close_code().await, 1013);
}

#[test]
fn a_client_of_a_cluster_outside_the_plan_is_closed_and_the_next_upgrade_gets_404() {
    block_on(async {
        let (hub, _simulator) = without_stocks().await;
        is_sent_away(&hub).await;
        let answer = async |path: &str| hub.request(&format!("GET {path}"), UPGRADE).await;
        let refused = answer("/ws/stocks").await;
        assert_eq!(refused.status, 404);
        assert_eq!(refused.header("retry-after"), Some("30"));
        let error = refused.json()["error"].clone();
        assert!(
            error
                .as_str()
                .unwrap()
                .contains("the plan does not include it")
        );
        // The other clusters and REST are not affected.
        assert_eq!(answer("/ws/indices").await.status, 101);
        let quotes = hub.request("GET /api/quotes?tickers=SPY", BEARER).await;
        assert_eq!(quotes.json()["results"][0]["source"], "stocks");
        let health = hub.get("/healthz").await;
        assert_eq!(health.status, 503);
        assert_eq!(health.json()["clusters"]["stocks"]["state"], "refused");

        hub.manual_clock.advance(Duration::from_secs(29));
        assert_eq!(answer("/ws/stocks").await.header("retry-after"), Some("1"));
        hub.manual_clock.advance(Duration::from_secs(1));
        let open = async {
            while answer("/ws/stocks").await.status != 101 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(TIME_LIMIT, open).await.unwrap();
        is_sent_away(&hub).await;
        assert_eq!(answer("/ws/stocks").await.status, 404);
    });
}
