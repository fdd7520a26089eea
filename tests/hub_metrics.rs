//! Tests of the metrics of a hub that has prices.
#![allow(clippy::unwrap_used)]

#[path = "support/hub_server/mod.rs"]
mod hub_server;

use deskticker::simulator::{InjectedFault, SimulatorSettings};

use hub_server::{START, TOKEN, block_on, hub_before};

#[test]
fn each_cluster_has_its_own_counts_and_its_delays_from_the_vendor_to_the_client() {
    block_on(async {
        let (hub, _simulator) = hub_before(SimulatorSettings::default()).await;
        let mut client = hub.join("indices").await;
        client.subscribe_amid_events("V.I:SPX").await;
        let value = client.event(|event| event["ev"] == "V");
        hub.while_time_passes(value).await;
        for name in [
            "clients",
            "subscriptions",
            "upstream_up",
            "upstream_connections_total",
        ] {
            let of = |cluster: &str| format!("{name}{{cluster=\"{cluster}\"}}");
            assert_eq!(hub.metric(&of("indices")).await, 1.0, "{name}");
            assert_eq!(hub.metric(&of("options")).await, 0.0, "{name}");
        }
        for name in [
            "messages_received_total",
            "bytes_received_total",
            "events_received_total",
            "frames_sent_total",
            "bytes_sent_total",
            "vendor_latency_seconds_count",
            "delivery_latency_seconds_count",
            "delivery_duration_seconds_count",
        ] {
            let of = |cluster: &str| format!("{name}{{cluster=\"{cluster}\"}}");
            assert!(hub.metric(&of("indices")).await >= 1.0, "{name}");
            assert_eq!(hub.metric(&of("options")).await, 0.0, "{name}");
        }
        let live = r#"upstream_state{cluster="indices",state="live"}"#;
        assert_eq!(hub.metric(live).await, 1.0);
        let idle = r#"upstream_state{cluster="options",state="idle"}"#;
        assert_eq!(hub.metric(idle).await, 1.0);
    });
}

#[test]
fn the_time_of_the_last_event_stays_while_the_vendor_is_silent() {
    block_on(async {
        let (hub, simulator) = hub_before(SimulatorSettings::default()).await;
        let mut client = hub.join("indices").await;
        client.subscribe_amid_events("V.I:SPX").await;
        let value = client.event(|event| event["ev"] == "V");
        hub.while_time_passes(value).await;
        simulator.fault(InjectedFault::Silence);
        let last = || hub.metric(r#"upstream_last_event_timestamp_seconds{cluster="indices"}"#);
        let before = last().await;
        assert!(before >= START.0 as f64 / 1000.0);
        hub.manual_clock.advance(std::time::Duration::from_secs(3));
        assert_eq!(last().await, before);
    });
}

#[test]
fn requests_are_counted_by_path_and_status_and_never_by_their_parameters() {
    block_on(async {
        let (hub, _simulator) = hub_before(SimulatorSettings::default()).await;
        let quotes = format!("/api/quotes?tickers=SPX&token={TOKEN}");
        for (path, times) in [(&*quotes, 2), ("/api/quotes?tickers=SPX", 1), ("/etc/x", 1)] {
            for _ in 0..times {
                hub.get(path).await;
            }
        }
        for (labels, count) in [
            (r#"path="/api/quotes",code="200""#, 2.0),
            (r#"path="/api/quotes",code="401""#, 1.0),
            (r#"path="(unknown path)",code="404""#, 1.0),
        ] {
            let name = format!("http_requests_total{{{labels}}}");
            assert_eq!(hub.metric(&name).await, count, "{labels}");
        }
        // The second request was answered from the cache.
        let vendor = r#"vendor_requests_total{path="/v3/snapshot",code="ok"}"#;
        assert_eq!(hub.metric(vendor).await, 1.0);
        let page = hub.get("/metrics").await.body;
        assert!(!page.contains("SPX") && !page.contains("/etc/x"), "{page}");
    });
}
