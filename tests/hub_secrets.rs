//! Tests of secrets in the hub: no token and no key appears in the log, in a response or in a
//! metric, at any log level.
#![allow(clippy::unwrap_used)]

#[path = "support/captured_log.rs"]
mod captured_log;
#[path = "support/hub_server/mod.rs"]
mod hub_server;

use deskticker::hub::HubSettings;
use deskticker::hub::auth::registry::RegistryFile;
use tokio::io::AsyncWriteExt;

use hub_server::{KEY, TOKEN, UPGRADE, block_on, directory, hub_with};

#[test]
fn no_secret_appears_in_the_log_the_responses_or_the_metrics() {
    captured_log::start(log::LevelFilter::Trace);
    let path = directory("secrets").join("devices");
    let file = RegistryFile::new(&path);
    let kitchen = file.add("kitchen").unwrap();
    let answers = block_on(async {
        let hub = hub_with(HubSettings::default(), Some(path.clone())).await;
        let bearer = format!("Authorization: Bearer {kitchen}\r\n");
        let issued = hub.request("POST /api/ws-token", &bearer).await.json();
        let ticket = issued["token"].as_str().unwrap().to_owned();
        let mut answers = Vec::new();
        for token in [TOKEN, &kitchen, &ticket, "wrong-but-private", KEY] {
            for path in [
                format!("/ws/indices?token={token}"),
                format!("/ws/{token}?token={token}"),
                format!("/{token}"),
                format!("/api/quotes?tickers=SPX&token={token}"),
                format!("/api/market/status?token={token}"),
                format!("/healthz?token={token}"),
            ] {
                let headers = format!("{UPGRADE}Origin: http://{token}.example\r\n");
                let proxy = format!("X-Massive-Proxy-Token: {token}\r\nCookie: {token}\r\n");
                answers.push(hub.request(&format!("GET {path}"), "").await);
                answers.push(hub.request(&format!("GET {path}"), &headers).await);
                answers.push(hub.request(&format!("DELETE {path}"), &proxy).await);
                answers.push(
                    hub.request(&format!("GET {path}"), &format!("{UPGRADE}{proxy}"))
                        .await,
                );
            }
            let mut broken = hub.connect().await;
            let text = format!("GET /{token} {token}\r\n\r\n");
            broken.write_all(text.as_bytes()).await.unwrap();
            answers.push(hub_server::reply(&mut broken).await);
        }
        // The complaint about a wrong file must not repeat a token from that file.
        std::fs::write(&path, format!("{kitchen}\nkitchen {kitchen}\n")).unwrap();
        hub.authenticator.check_file();
        answers.push(hub.get("/metrics").await);
        answers.push(hub.get("/healthz").await);
        hub.hub.stop().await;
        for token in [&ticket, "wrong-but-private"] {
            absent(&captured_log::text(), token);
        }
        answers
    });
    let log = captured_log::text();
    let reasons = "POST /api/ws-token 200|GET /ws/indices 403 the token was refused";
    assert!(reasons.split('|').all(|reason| log.contains(reason)));
    assert!(
        log.contains("GET /ws/indices 101")
            && log.contains("GET (unknown path) 404 nothing is served")
            && log.contains("keeps its previous device registry")
    );
    let hash = |token: &str| {
        let digest = deskticker::hub::auth::registry::digest_of(token);
        digest
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    for secret in [TOKEN, KEY, &kitchen, &hash(&kitchen)] {
        absent(&log, secret);
        for answer in &answers {
            absent(&format!("{}\n{}", answer.head, answer.body), secret);
        }
    }
    // Only the metrics contain the names of devices, and they are for private addresses.
    for answer in &answers {
        let is_metrics = answer.body.contains("# TYPE deskticker_hub_clients");
        assert_eq!(
            answer.body.contains("kitchen"),
            is_metrics,
            "{}",
            answer.body
        );
    }
}

fn absent(text: &str, secret: &str) {
    if let Some(line) = text.lines().find(|line| line.contains(secret)) {
        panic!("a secret in {line:?}");
    }
}
