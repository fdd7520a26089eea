//! Tests of the log of the hub: it contains each refused request, and one address cannot suppress
//! the log lines of another one.
#![allow(clippy::unwrap_used)]

#[path = "support/captured_log.rs"]
mod captured_log;
#[path = "support/hub_server/mod.rs"]
mod hub_server;

use deskticker::hub::HubSettings;

use hub_server::{block_on, hub};

#[test]
fn the_log_limit_of_one_address_does_not_affect_another_address() {
    captured_log::start(log::LevelFilter::Trace);
    block_on(async {
        let hub = hub(HubSettings {
            trusted_proxies: vec!["127.0.0.1".parse().unwrap()],
            ..HubSettings::default()
        })
        .await;
        let ask = async |method: &str, from: &str| {
            let headers = format!("X-Forwarded-For: {from}\r\nX-Massive-Proxy-Token: wrong\r\n");
            let request = format!("{method} /api/market/status");
            hub.request(&request, &headers).await.status
        };
        for _ in 0..20 {
            assert_eq!(ask("GET", "192.0.2.1").await, 403);
        }
        assert_eq!(ask("GET", "192.0.2.2").await, 403);
        for method in ["DELETE", "OPTIONS", "MADE-UP"] {
            assert_eq!(ask(method, "192.0.2.3").await, 405);
        }
    });
    let log = captured_log::text();
    let told = |words: &str| log.lines().filter(|line| line.starts_with(words)).count();
    assert_eq!(told("INFO 192.0.2.1 GET /api/market/status 403"), 6);
    assert_eq!(told("INFO 192.0.2.2 GET /api/market/status 403"), 1);
    for method in ["DELETE", "OPTIONS", "(unknown method)"] {
        let words = format!("INFO 192.0.2.3 {method} /api/market/status 405");
        assert_eq!(told(&words), 1, "{method}");
    }
    assert!(!log.contains("MADE-UP"));
}
