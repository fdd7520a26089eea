//! Tests of the HTTP server of the hub: each client gets a clear response and does not disturb the
//! other clients.
#![allow(clippy::unwrap_used)]

#[path = "support/hub_server/mod.rs"]
mod hub_server;

use std::time::Duration;

use deskticker::hub::HubSettings;
use deskticker::hub::auth::registry::RegistryFile;
use deskticker::hub::server::limits::Limits;
use deskticker::simulator::SimulatorSettings;
use deskticker::time::Utc;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use hub_server::{
    BEARER, HubUnderTest, START, TIME_LIMIT, TOKEN, UPGRADE, block_on, directory, hub, hub_before,
    hub_with, reply,
};

fn limited(limits: Limits) -> HubSettings {
    HubSettings {
        limits,
        ..HubSettings::default()
    }
}

#[test]
fn an_unknown_path_gets_404_and_a_wrong_method_405() {
    block_on(async {
        let hub = hub(HubSettings::default()).await;
        for path in [
            "/",
            "/ws",
            "/ws/crypto",
            "/ws/indices/x",
            "/api",
            "/v3/snapshot/options/SPY",
            "/v3/reference/tickers",
        ] {
            assert_eq!(hub.get(path).await.status, 404, "{path}");
        }
        // This hub does not serve the cluster stocks.
        assert_eq!(hub.upgrade("/ws/stocks", BEARER).await, 404);
        for (request, allowed) in [
            ("POST /ws/indices", "GET"),
            ("GET /api/ws-token", "POST"),
            ("DELETE /api/quotes", "GET, HEAD"),
            ("POST /healthz", "GET, HEAD"),
        ] {
            let reply = hub.request(request, "").await;
            assert_eq!((reply.status, reply.header("allow")), (405, Some(allowed)));
        }
    });
}

#[test]
fn an_invalid_upgrade_is_refused() {
    block_on(async {
        let hub = hub(HubSettings::default()).await;
        let plain = hub.get("/ws/indices").await;
        assert_eq!(plain.status, 426);
        assert_eq!(plain.header("sec-websocket-version"), Some("13"));
        let old = UPGRADE.replace("Version: 13", "Version: 8");
        assert_eq!(hub.request("GET /ws/indices", &old).await.status, 426);
        let bad = UPGRADE.replace("dGhlIHNhbXBsZSBub25jZQ==", "short");
        assert_eq!(hub.request("GET /ws/indices", &bad).await.status, 400);
        let mut garbage = hub.connect().await;
        garbage
            .write_all(b"\x16\x03\x01 nonsense\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(reply(&mut garbage).await.status, 400);
    });
}

#[test]
fn an_upgrade_is_accepted_as_in_the_rfc_also_on_the_vendor_path() {
    block_on(async {
        let hub = hub(HubSettings::default()).await;
        for path in ["/ws/indices", "/ws/options", "/indices"] {
            let reply = hub.request(&format!("GET {path}"), UPGRADE).await;
            assert_eq!(reply.status, 101, "{path}");
            let accept = Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
            assert_eq!(reply.header("sec-websocket-accept"), accept);
            assert_eq!(reply.header("connection"), Some("Upgrade"));
        }
    });
}

#[test]
fn a_foreign_origin_is_refused_unless_it_is_configured() {
    block_on(async {
        let hub = hub(HubSettings {
            origins: vec!["https://desk.example".into()],
            ..HubSettings::default()
        })
        .await;
        let from = async |origin: &str| {
            let headers = format!("Origin: {origin}\r\n{BEARER}");
            hub.upgrade("/ws/indices", &headers).await
        };
        assert_eq!(from("http://evil.example").await, 403);
        assert_eq!(from("null").await, 403);
        assert_eq!(from("https://desk.example").await, 101);
        assert_eq!(from("http://hub.local:3000").await, 101);
        assert_eq!(hub.metric(r#"refused_total{reason="origin"}"#).await, 2.0);
    });
}

#[test]
fn a_web_page_of_a_configured_origin_may_read_rest_responses_and_no_other_page_may() {
    block_on(async {
        let settings = HubSettings {
            origins: vec!["https://desk.example".into()],
            hosts: vec!["hub.example".into()],
            ..HubSettings::default()
        };
        let hub = hub(settings).await;
        let ask = async |request: &str, origin: &str, more: &str| {
            hub.request(request, &format!("Origin: {origin}\r\n{more}"))
                .await
        };
        let asks = "Access-Control-Request-Method: GET\r\n\
                    Access-Control-Request-Headers: authorization\r\n";
        let allowed = |reply: &hub_server::Reply| {
            let origin = reply.header("access-control-allow-origin");
            assert!(origin.is_none() || reply.header("vary") == Some("Origin"));
            origin.map(str::to_owned)
        };
        let desk = Some("https://desk.example".to_owned());
        for path in ["/api/quotes", "/v3/snapshot", "/v2/aggs/ticker/SPY/prev"] {
            let request = format!("OPTIONS {path}");
            let reply = ask(&request, "https://desk.example", asks).await;
            assert_eq!((reply.status, allowed(&reply)), (204, desk.clone()));
            let methods = reply.header("access-control-allow-methods");
            assert_eq!(methods, Some("GET, HEAD"));
            let headers = reply.header("access-control-allow-headers").unwrap();
            assert!(headers.contains("Authorization"));
            let reply = ask(&request, "https://evil.example", asks).await;
            assert_eq!((reply.status, allowed(&reply)), (405, None));
            // The page can also read an error: here, that the vendor is away.
            let request = format!("GET {path}?tickers=SPX");
            let reply = ask(&request, "https://desk.example", BEARER).await;
            assert!(reply.status >= 400 && allowed(&reply) == desk, "{reply:?}");
            let reply = ask(&request, "https://evil.example", BEARER).await;
            assert_eq!(allowed(&reply), None);
        }
        let reply = ask("OPTIONS /api/ws-token", "https://desk.example", asks).await;
        assert_eq!(reply.header("access-control-allow-methods"), Some("POST"));
        let reply = ask("GET /metrics", "https://desk.example", "").await;
        assert_eq!((reply.status, allowed(&reply)), (200, None));
    });
}

#[test]
fn quotes_need_tickers_and_get_502_without_the_vendor() {
    block_on(async {
        let hub = hub(HubSettings::default()).await;
        let ask = async |query: &str| {
            hub.request(&format!("GET /api/quotes{query}"), BEARER)
                .await
        };
        for query in ["", "?tickers=", "?tickers=,%20,"] {
            let reply = ask(query).await;
            assert_eq!(reply.status, 400);
            let expected = json!({"status": "ERROR", "error": "tickers required"});
            assert_eq!(reply.json(), expected);
        }
        let many = format!("?tickers={}", vec!["SPX"; 251].join(","));
        assert_eq!(ask(&many).await.status, 400);
        assert_eq!(ask("?tickers=SP%0aX").await.status, 400);
        let away = ask("?tickers=SPX,VIX").await;
        assert_eq!(away.status, 502);
        assert!(away.json()["error"].is_string() && away.json()["message"].is_string());
        let market = hub.request("GET /api/market/status", BEARER).await;
        assert_eq!(market.status, 502);
    });
}

#[test]
fn a_silent_or_slow_client_gets_408_in_time() {
    block_on(async {
        let hub = hub(HubSettings::default()).await;
        let mut silent = hub.connect().await;
        assert!(
            hub.until_closed(&mut silent)
                .await
                .starts_with("HTTP/1.1 408")
        );
        let mut slow = hub.connect().await;
        slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-")
            .await
            .unwrap();
        assert!(
            hub.until_closed(&mut slow)
                .await
                .starts_with("HTTP/1.1 408")
        );
        assert_eq!(
            hub.metric(r#"disconnected_total{reason="timeout"}"#).await,
            2.0
        );
        // Other clients do not notice the timeouts.
        assert_eq!(hub.get("/healthz").await.status, 200);
    });
}

#[test]
fn every_response_has_the_date_of_the_hub_clock_unless_the_clock_is_not_set() {
    block_on(async {
        let (hub, simulator) =
            hub_before(deskticker::simulator::SimulatorSettings::default()).await;
        let asked = async |path: &str, headers: &str| {
            let reply = hub.request(&format!("GET {path}"), headers).await;
            let dates = reply.head.lines().filter(|line| line.starts_with("date: "));
            assert!(dates.count() <= 1, "{reply:?}");
            (reply.status, reply.header("date").map(str::to_owned))
        };
        let upgrade = format!("{UPGRADE}{BEARER}");
        let today = Some("Mon, 01 Jun 2026 00:00:00 GMT".to_owned());
        for (path, headers, status) in [
            ("/healthz", "", 200),
            ("/nothing", "", 404),
            ("/api/market/status", "", 401),
            ("/api/market/status", BEARER, 200),
            ("/ws/indices", &upgrade, 101),
        ] {
            assert_eq!(
                asked(path, headers).await,
                (status, today.clone()),
                "{path}"
            );
        }
        hub.manual_clock.set_utc(None);
        assert_eq!(asked("/healthz", "").await, (200, None));
        hub.manual_clock.set_utc(Some(Utc(START.0 - 86_400_000)));
        let yesterday = "Sun, 31 May 2026 00:00:00 GMT";
        assert_eq!(asked("/ws/indices", &upgrade).await.1.unwrap(), yesterday);

        // The simulator uses the same clock and sends the same dates.
        let key = "Authorization: Bearer simulated\r\n";
        for (path, headers, status) in [
            ("/indices", UPGRADE, 101),
            ("/v1/marketstatus/now", key, 200),
            ("/v1/marketstatus/now", "", 401),
            ("/nothing", "", 404),
        ] {
            let mut stream = TcpStream::connect(simulator.address()).await.unwrap();
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let reply = reply(&mut stream).await;
            assert_eq!(
                (reply.status, reply.header("date")),
                (status, Some(yesterday)),
                "{path}"
            );
        }

        hub.manual_clock.set_utc(Some(START));
        let mut silent = hub.connect().await;
        let told = hub.until_closed(&mut silent).await;
        let (head, _) = told.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 408") && head.contains("\r\nDate: Mon, 01 Jun 2026 00:00:")
        );
    });
}

#[test]
fn a_request_head_without_an_end_is_refused() {
    block_on(async {
        let hub = hub(HubSettings::default()).await;
        let mut stream = hub.connect().await;
        let head = format!("GET /healthz HTTP/1.1\r\nX: {}", "x".repeat(64 << 10));
        // The hub may close the connection before it has read the whole head.
        stream.write_all(head.as_bytes()).await.ok();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.ok();
        assert!(
            text.is_empty() || text.starts_with(b"HTTP/1.1 431"),
            "{text:?}"
        );
    });
}

#[test]
fn a_full_hub_returns_503_until_a_client_leaves() {
    block_on(async {
        let hub = hub(limited(Limits {
            connections: 1,
            ..Limits::default()
        }))
        .await;
        let mut holder = hub.connect().await;
        // The response to the second connection shows that the hub has accepted the first one.
        let refused = hub
            .request("GET /ws/indices", &format!("{UPGRADE}{BEARER}"))
            .await;
        assert_eq!(refused.status, 503);
        assert!(refused.header("retry-after").is_some());
        assert_eq!(hub.request("GET /api/quotes", BEARER).await.status, 503);
        // Monitoring must still work.
        assert_eq!(hub.get("/healthz").await.status, 200);
        assert_eq!(hub.metric(r#"refused_total{reason="full"}"#).await, 2.0);
        hub.until_closed(&mut holder).await;
        drop(holder);
        let let_in = async { while hub.upgrade("/ws/indices", BEARER).await != 101 {} };
        tokio::time::timeout(TIME_LIMIT, let_in).await.unwrap();
    });
}

#[test]
fn one_address_has_a_quarter_of_the_connections_without_authentication() {
    block_on(async {
        let hub = hub(limited(Limits {
            unauthenticated: 8,
            ..Limits::default()
        }))
        .await;
        let mut held = Vec::new();
        for half in ["", "GET /ws/indices HTTP/1.1\r\nX-"] {
            let mut stream = hub.connect().await;
            stream.write_all(half.as_bytes()).await.unwrap();
            held.push(stream);
        }
        // The hub closes further connections of this address before it reads from them.
        let mut refused = hub.connect().await;
        let mut told = String::new();
        refused.read_to_string(&mut told).await.ok();
        assert!(told.starts_with("HTTP/1.1 503"), "{told}");
        drop(held.pop());
        let let_in = async {
            loop {
                let mut stream = hub.connect().await;
                let mut first = [0; 1];
                stream
                    .write_all(
                        format!("GET /ws/indices HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\n").as_bytes(),
                    )
                    .await
                    .ok();
                stream.read_exact(&mut first).await.ok();
                let mut rest = [0; 11];
                if stream.read_exact(&mut rest).await.is_ok() && rest.ends_with(b"101") {
                    break;
                }
            }
        };
        tokio::time::timeout(TIME_LIMIT, let_in).await.unwrap();
        drop(held);
        assert_eq!(hub.upgrade("/ws/indices", BEARER).await, 101);
        assert!(
            hub.metric(r#"refused_total{reason="unauthenticated"}"#)
                .await
                >= 1.0
        );
    });
}

#[test]
fn an_address_with_too_many_requests_gets_429_for_a_while() {
    block_on(async {
        let mut settings = limited(Limits {
            per_minute: 2,
            ..Limits::default()
        });
        settings.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        let hub = hub(settings).await;
        let from = async |address: &str| {
            let headers = format!("X-Forwarded-For: {address}\r\n");
            hub.request("GET /healthz", &headers).await
        };
        assert_eq!(from("198.51.100.1").await.status, 200);
        assert_eq!(from("198.51.100.1:50123").await.status, 200);
        let refused = from("198.51.100.1").await;
        assert_eq!(refused.status, 429);
        assert!(refused.header("retry-after").is_some());
        assert_eq!(from("198.51.100.2").await.status, 200);
        hub.manual_clock.advance(Duration::from_secs(60));
        assert_eq!(from("198.51.100.1").await.status, 200);
        // A request through the proxy is never a request of this machine.
        for (address, status) in [
            ("127.0.0.1", 200),
            ("junk", 200),
            ("127.0.0.1:9", 200),
            ("junk", 200),
            ("127.0.0.1", 429),
            ("junk", 429),
        ] {
            assert_eq!(from(address).await.status, status, "{address}");
        }
        // Requests without this header have a loopback address, which has no rate limit.
        for _ in 0..9 {
            assert_eq!(hub.get("/healthz").await.status, 200);
        }
        assert_eq!(hub.metric(r#"refused_total{reason="rate"}"#).await, 3.0);
    });
}

#[test]
fn devices_behind_one_router_do_not_use_up_the_allowance_of_each_other() {
    block_on(async {
        let folder = hub_server::directory("devices_behind_one_router");
        let registry = RegistryFile::new(folder.join("devices"));
        let (kitchen, hallway) = (
            registry.add("kitchen").unwrap(),
            registry.add("hallway").unwrap(),
        );
        let mut settings = limited(Limits {
            per_minute: 2,
            ..Limits::default()
        });
        settings.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        let hub = hub_with(settings, Some(folder.join("devices"))).await;
        let join = async |token: &str| {
            let headers =
                format!("X-Forwarded-For: 198.51.100.1\r\nAuthorization: Bearer {token}\r\n");
            hub.upgrade("/ws/indices", &headers).await
        };
        // Somebody behind the same router guesses tokens.
        for status in [403, 403, 429, 429] {
            assert_eq!(join("wrong").await, status);
        }
        for token in [&kitchen, &hallway] {
            assert_eq!(join(token).await, 101);
            assert_eq!(join(token).await, 101);
            assert_eq!(join(token).await, 429);
        }
    });
}

#[test]
fn metrics_and_details_are_only_for_private_addresses_unless_they_are_public() {
    block_on(async {
        let mut settings = HubSettings {
            trusted_proxies: vec!["127.0.0.1".parse().unwrap()],
            ..HubSettings::default()
        };
        let hub = hub(settings.clone()).await;
        let from = async |address: &str| {
            let headers = format!("X-Forwarded-For: {address}\r\n");
            let metrics = hub.request("GET /metrics", &headers).await.status;
            let health = hub.request("GET /healthz", &headers).await.json();
            assert_eq!(health["status"], "ok");
            (metrics, health["clusters"]["indices"].is_object())
        };
        for private in ["192.168.1.9", "10.0.0.1:99", "fd00::1", "127.0.0.1:7"] {
            assert_eq!(from(private).await, (200, true), "{private}");
        }
        for public in ["198.51.100.1", "2001:db8::1", "junk"] {
            assert_eq!(from(public).await, (403, false), "{public}");
        }
        // A device gets the details at any address.
        let headers = format!("X-Forwarded-For: 198.51.100.1\r\n{BEARER}");
        let health = hub.request("GET /healthz", &headers).await.json();
        assert_eq!(health["clusters"]["indices"]["state"], "idle");
        assert_eq!(hub.get("/metrics").await.status, 200);
        settings.public_metrics = true;
        hub.settings.send_replace(settings.clone());
        assert_eq!(from("198.51.100.1").await, (200, true));
        // The client behind an unknown proxy is unknown.
        (settings.public_metrics, settings.trusted_proxies) = (false, Vec::new());
        hub.settings.send_replace(settings);
        assert_eq!(from("192.168.1.9").await, (403, false));
    });
}

#[test]
fn a_browser_that_uses_a_foreign_host_name_is_refused() {
    block_on(async {
        let hub = hub(HubSettings::default()).await;
        let asked = async |host: &str, headers: &str| {
            let mut stream = hub.connect().await;
            let text = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
            stream.write_all(text.as_bytes()).await.unwrap();
            reply(&mut stream).await.status
        };
        let browser = "Sec-Fetch-Site: same-origin\r\n";
        assert_eq!(asked("evil.example:3000", browser).await, 421);
        assert_eq!(asked("evil.example:3000", "").await, 200);
        assert_eq!(asked("hub.local:3000", browser).await, 200);
        assert_eq!(asked("192.168.1.9:3000", browser).await, 200);
    });
}

#[test]
fn each_request_that_a_browser_can_send_under_a_foreign_name_gets_nothing_of_the_hub() {
    block_on(async {
        let hub = hub(HubSettings::default()).await;
        let ask = async |request: &str, host: &str, headers: &str| {
            let mut stream = hub.connect().await;
            let text = format!("{request} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
            stream.write_all(text.as_bytes()).await.unwrap();
            reply(&mut stream).await
        };
        let foreign = "rebound.example:3000";
        // A secure page, a page that asks another host, a form, a WebSocket.
        let upgrade = format!("{UPGRADE}Origin: http://{foreign}\r\n");
        for (request, headers) in [
            ("GET /metrics", "Sec-Fetch-Site: same-origin\r\n"),
            ("GET /metrics", "Origin: http://rebound.example:3000\r\n"),
            ("POST /api/ws-token", "Origin: null\r\n"),
            ("GET /ws/indices", &upgrade),
        ] {
            assert_eq!(
                ask(request, foreign, headers).await.status,
                421,
                "{request}"
            );
        }
        // A page asks its own host over plain HTTP. This request has no mark but the language.
        let same = "Accept-Language: en\r\n";
        assert_eq!(ask("GET /metrics", foreign, same).await.status, 403);
        let health = ask("GET /healthz", foreign, same).await;
        assert_eq!(health.json(), json!({ "status": "ok", "clusters": {} }));
        for path in [
            "/api/quotes?tickers=SPX",
            "/v3/snapshot?ticker.any_of=I:SPX",
        ] {
            let refused = ask(&format!("GET {path}"), foreign, same).await;
            assert_eq!(refused.status, 401, "{path}");
        }
        // The own names of the hub, and programs that are no browser.
        for (host, headers) in [("hub.local:3000", same), ("127.0.0.1", same), (foreign, "")] {
            assert_eq!(
                ask("GET /metrics", host, headers).await.status,
                200,
                "{host}"
            );
            let health = ask("GET /healthz", host, headers).await.json();
            assert!(health["clusters"]["indices"].is_object(), "{host}");
        }
    });
}

#[test]
fn settings_change_while_the_hub_runs() {
    block_on(async {
        let hub = hub(HubSettings::default()).await;
        let foreign = format!("Origin: https://desk.example\r\n{BEARER}");
        assert_eq!(hub.upgrade("/ws/indices", &foreign).await, 403);
        let changed =
            |settings: &mut HubSettings| settings.origins = vec!["https://desk.example".into()];
        hub.settings.send_modify(changed);
        assert_eq!(hub.upgrade("/ws/indices", &foreign).await, 101);
    });
}

#[test]
fn health_needs_no_token_and_names_every_cluster() {
    block_on(async {
        let hub = hub(HubSettings::default()).await;
        let reply = hub.get("/healthz").await;
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (200, Some("application/json"))
        );
        let report = reply.json();
        assert_eq!(report["status"], "ok");
        assert_eq!(report["clusters"]["indices"]["state"], "idle");
        assert_eq!(
            report["clusters"]["options"]["lastEventAgeSeconds"],
            json!(null)
        );
        assert_eq!(hub.request("HEAD /healthz", "").await.body, "");
    });
}

#[test]
fn the_metrics_are_valid_prometheus_text() {
    block_on(async {
        let hub = hub(HubSettings::default()).await;
        hub.upgrade(&format!("/ws/indices?token={TOKEN}x"), "")
            .await;
        let reply = hub.get("/metrics").await;
        let kind = reply.header("content-type").unwrap();
        assert!(kind.starts_with("text/plain; version=0.0.4"));
        let (mut helped, mut typed, mut seen) = (Vec::new(), Vec::new(), Vec::new());
        assert!(reply.body.ends_with('\n'));
        for line in reply.body.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                helped.push(help.split(' ').next().unwrap().to_owned());
                continue;
            }
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert!(matches!(kind, "counter" | "gauge" | "histogram"));
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                typed.push(name.to_owned());
                assert_eq!(helped.last(), typed.last());
                continue;
            }
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            let parts = ["_bucket", "_sum", "_count"].map(|part| name.strip_suffix(part));
            let family = parts
                .into_iter()
                .flatten()
                .find(|name| name.ends_with("_seconds"));
            let name = family.unwrap_or(name);
            assert_eq!(typed.last().map(String::as_str), Some(name), "{line}");
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            assert!(name.chars().all(plain), "{line}");
            value.parse::<f64>().unwrap();
            assert!(
                !seen.contains(&sample.to_owned()),
                "{sample} is there twice"
            );
            seen.push(sample.to_owned());
        }
        assert_eq!(helped, typed);
        assert!(seen.len() > 20);
        assert_eq!(hub.metric(r#"refused_total{reason="token"}"#).await, 1.0);
    });
}

#[test]
fn a_stopped_hub_ends_despite_a_silent_client() {
    block_on(async {
        let hub = hub(HubSettings::default()).await;
        let mut silent = hub.connect().await;
        hub.get("/healthz").await;
        let stopping = tokio::time::timeout(Duration::from_secs(2), hub.hub.stop());
        stopping.await.unwrap();
        let mut text = Vec::new();
        silent.read_to_end(&mut text).await.ok();
        assert!(text.is_empty());
    });
}

const KEEP: &str = "Connection: keep-alive\r\n";

/// Sends a request on an open connection, and reads the response. Returns the status, and true if the
/// hub keeps the connection.
async fn ask(stream: &mut TcpStream, request: &str, headers: &str) -> Option<(u16, bool)> {
    let text = format!("{request} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    stream.write_all(text.as_bytes()).await.ok()?;
    let mut bytes = Vec::new();
    let reading = async {
        loop {
            let text = String::from_utf8_lossy(&bytes).to_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                if body.len() >= length?.parse().ok()? {
                    let status = head.split(' ').nth(1)?.parse().ok()?;
                    return Some((status, head.contains("\r\nconnection: keep-alive")));
                }
            }
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
    };
    tokio::time::timeout(TIME_LIMIT, reading).await.unwrap()
}

#[test]
fn the_connection_of_a_device_is_kept_and_ends_after_75_seconds_without_a_request() {
    block_on(async {
        let (hub, _simulator) = hub_before(SimulatorSettings::default()).await;
        let mut device = hub.connect().await;
        let headers = format!("{KEEP}{BEARER}");
        assert_eq!(
            ask(&mut device, "GET /healthz", KEEP).await,
            Some((200, true))
        );
        for _ in 0..3 {
            let path = "GET /api/quotes?tickers=SPX";
            assert_eq!(ask(&mut device, path, &headers).await, Some((200, true)));
            hub.manual_clock.advance(Duration::from_secs(70));
        }
        assert_eq!(
            ask(&mut device, "POST /api/ws-token", &headers).await,
            Some((200, true))
        );
        assert_eq!(hub.until_closed(&mut device).await, "");
        // The wait for a request is no fault of the client.
        assert_eq!(
            hub.metric(r#"disconnected_total{reason="timeout"}"#).await,
            0.0
        );
    });
}

#[test]
fn a_connection_without_a_token_or_with_a_refused_request_is_not_kept() {
    block_on(async {
        let (hub, _simulator) = hub_before(SimulatorSettings::default()).await;
        let mut stranger = hub.connect().await;
        assert_eq!(
            ask(&mut stranger, "GET /healthz", KEEP).await,
            Some((200, true))
        );
        hub.manual_clock.advance(Duration::from_secs(6));
        assert_eq!(hub.until_closed(&mut stranger).await, "");
        let mut refused = hub.connect().await;
        let wrong = format!("{KEEP}Authorization: Bearer wrong\r\n");
        let path = "GET /api/quotes?tickers=SPX";
        assert_eq!(ask(&mut refused, path, &wrong).await, Some((403, false)));
        let mut usual = hub.connect().await;
        assert_eq!(ask(&mut usual, path, BEARER).await, Some((200, false)));
    });
}

#[test]
fn a_client_without_a_token_cannot_lengthen_its_connection_by_further_requests() {
    block_on(async {
        let (hub, _simulator) = hub_before(SimulatorSettings::default()).await;
        let mut stranger = hub.connect().await;
        let mut answers = 0;
        while ask(&mut stranger, "GET /healthz", KEEP).await.is_some() {
            answers += 1;
            assert!(answers < 100, "the connection outlives its deadline");
            hub.manual_clock.advance(Duration::from_millis(900));
            // The hub notices the new time in its next turn.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        }
        // The deadline is five seconds, and one further second to read a response.
        assert_eq!(answers, 7);
    });
}

/// A hub with the devices "greedy" and "honest", and their headers for REST requests.
async fn two_devices(name: &str, limits: Limits) -> (HubUnderTest, [String; 2]) {
    let file = directory(name).join("devices");
    let registry = RegistryFile::new(&file);
    let tokens = ["greedy", "honest"].map(|name| registry.add(name).unwrap());
    let hub = hub_with(limited(limits), Some(file)).await;
    (
        hub,
        tokens.map(|token| format!("{KEEP}Authorization: Bearer {token}\r\n")),
    )
}

#[test]
fn kept_connections_count_for_their_device_and_leave_the_other_connections_to_websockets() {
    block_on(async {
        let token = "POST /api/ws-token";
        for (device_connections, kept) in [(3, 3), (10, 5)] {
            // At most an eighth of the connections are kept ones.
            let limits = Limits {
                connections: 40,
                device_connections,
                ..Limits::default()
            };
            let (hub, [greedy, honest]) = two_devices("http-kept-share", limits).await;
            let mut held = Vec::new();
            let mut answers = Vec::new();
            for _ in 0..40 {
                let mut stream = hub.connect().await;
                answers.push(ask(&mut stream, token, &greedy).await);
                held.push(stream);
            }
            let count = |answer| answers.iter().filter(|given| **given == answer).count();
            assert_eq!(count(Some((200, true))), kept);
            // A request above the share gets its response, and then its connection ends.
            assert_eq!(count(Some((200, false))), 40 - kept);
            for stream in &mut held[kept..] {
                assert_eq!(hub.until_closed(stream).await, "");
            }
            let mut stream = hub.connect().await;
            let answer = ask(&mut stream, token, &honest).await;
            assert_eq!(answer, Some((200, device_connections == 3)));
            assert_eq!(hub.upgrade("/ws/indices", &honest[KEEP.len()..]).await, 101);
            let expected = if device_connections == 3 { 503 } else { 101 };
            assert_eq!(
                hub.upgrade("/ws/indices", &greedy[KEEP.len()..]).await,
                expected
            );
            drop(held);
            // The place of a kept connection is free after its end.
            while ask(&mut hub.connect().await, token, &greedy).await != Some((200, true)) {}
        }
    });
}

#[test]
fn the_requests_of_a_device_on_a_kept_connection_count_in_its_allowance() {
    block_on(async {
        let limits = Limits {
            per_minute: 10,
            ..Limits::default()
        };
        let (hub, [greedy, honest]) = two_devices("http-kept-rate", limits).await;
        hub.settings.send_modify(|settings| {
            settings.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        });
        // A program on the same machine has no limit, so the requests come through a proxy.
        let [greedy, honest] =
            [greedy, honest].map(|headers| format!("{headers}X-Forwarded-For: 192.0.2.1\r\n"));
        let mut stream = hub.connect().await;
        for _ in 0..10 {
            let answer = ask(&mut stream, "POST /api/ws-token", &greedy).await;
            assert_eq!(answer, Some((200, true)));
        }
        let answer = ask(&mut stream, "POST /api/ws-token", &greedy).await;
        assert_eq!(answer, Some((429, false)));
        let mut other = hub.connect().await;
        let answer = ask(&mut other, "POST /api/ws-token", &honest).await;
        assert_eq!(
            answer,
            Some((200, true)),
            "the allowance belongs to a device"
        );
        // A stranger on the kept connection of a device counts for its own address.
        for status in std::iter::repeat_n(200, 10).chain([429]) {
            let headers = format!("{KEEP}X-Forwarded-For: 192.0.2.2\r\n");
            let answer = ask(&mut other, "GET /healthz", &headers).await;
            assert_eq!(answer.unwrap().0, status);
        }
    });
}

#[test]
fn requests_that_a_device_sends_at_once_wait_for_their_turn() {
    block_on(async {
        let (hub, [greedy, _]) = two_devices("http-pipelined", Limits::default()).await;
        let mut stream = hub.connect().await;
        let request = format!("POST /api/ws-token HTTP/1.1\r\nHost: x\r\n{greedy}\r\n");
        stream
            .write_all(request.repeat(250).as_bytes())
            .await
            .unwrap();
        let mut text = String::new();
        let mut read_until = async |count: usize| {
            while text.matches("HTTP/1.1 200").count() < count || !text.ends_with('}') {
                let mut bytes = [0; 4096];
                let length = stream.read(&mut bytes).await.unwrap();
                text.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
            }
            text.matches("HTTP/1.1 200").count()
        };
        // The allowance of four seconds, with 50 requests a second.
        assert_eq!(read_until(200).await, 200);
        while hub
            .metric(r#"paused_total{limit="messages_per_second"}"#)
            .await
            < 1.0
        {}
        hub.manual_clock.advance(Duration::from_millis(19));
        let none = tokio::time::timeout(Duration::from_millis(50), read_until(201)).await;
        assert!(none.is_err(), "a response came too early");
        assert_eq!(hub.while_time_passes(read_until(250)).await, 250);
    });
}
