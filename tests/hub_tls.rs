//! Tests of a hub that serves TLS with its own certificate. The client is the client of the
//! display.
#![allow(clippy::unwrap_used)]

#[path = "support/hub_server/mod.rs"]
mod hub_server;

use std::path::{Path, PathBuf};
use std::time::Duration;

use deskticker::hub::HubSettings;
use deskticker::hub::server::tls::Tls;
use deskticker::net::connector::Connector;
use deskticker::net::endpoint::Endpoint;
use deskticker::net::failure::Failure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use hub_server::{TIME_LIMIT, TOKEN, block_on, directory, hub};

/// A certificate for 127.0.0.1 and its key, in files.
fn certificate(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let paths = (
        folder.join(format!("{name}.crt")),
        folder.join(format!("{name}.key")),
    );
    std::fs::write(&paths.0, made.cert.pem()).unwrap();
    std::fs::write(&paths.1, made.signing_key.serialize_pem()).unwrap();
    paths
}

#[test]
fn a_client_that_trusts_the_certificate_connects_over_tls_and_another_client_does_not() {
    block_on(async {
        let (certificate, key) = certificate(&directory("tls"), "hub");
        let hub = hub(HubSettings {
            tls: Some(Tls::load(&certificate, &key).unwrap()),
            ..HubSettings::default()
        })
        .await;
        let endpoint = Endpoint::parse(&format!("wss://{}", hub.address())).unwrap();
        let path = format!("/ws/indices?token={TOKEN}");
        let connector = Connector::new(Some(&certificate)).unwrap();
        assert!(connector.websocket(&endpoint, &path).await.is_ok());
        let wrong = connector.websocket(&endpoint, "/ws/indices?token=x").await;
        assert_eq!(wrong.err(), Some(Failure::Token));
        let stranger = Connector::new(None).unwrap();
        assert_eq!(
            stranger.websocket(&endpoint, &path).await.err(),
            Some(Failure::Tls)
        );

        // The hub closes the TLS session properly. Otherwise the client reports a truncated
        // response as an error.
        let mut stream = connector.stream(&endpoint).await.unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let mut text = String::new();
        let reading = tokio::time::timeout(TIME_LIMIT, stream.read_to_string(&mut text));
        reading.await.unwrap().unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    });
}

#[test]
fn a_client_that_does_not_start_tls_is_closed_in_time() {
    block_on(async {
        let (certificate, key) = certificate(&directory("tls-silent"), "hub");
        let hub = hub(HubSettings {
            tls: Some(Tls::load(&certificate, &key).unwrap()),
            ..HubSettings::default()
        })
        .await;
        let mut silent = hub.connect().await;
        assert_eq!(hub.until_closed(&mut silent).await, "");
        // The hub closes a plain HTTP connection at once, so the clock does not have to move.
        let mut plain = hub.connect().await;
        plain
            .write_all(b"GET /healthz HTTP/1.1\r\n\r\n")
            .await
            .unwrap();
        let mut bytes = Vec::new();
        let reading = plain.read_to_end(&mut bytes);
        tokio::time::timeout(Duration::from_secs(5), reading)
            .await
            .unwrap()
            .ok();
        assert!(!bytes.starts_with(b"HTTP"));
    });
}

#[test]
fn a_certificate_that_does_not_match_its_key_is_reported() {
    let folder = directory("tls-wrong");
    let (certificate_a, key_a) = certificate(&folder, "a");
    let (_, key_b) = certificate(&folder, "b");
    let told = |certificate: &Path, key: &Path| Tls::load(certificate, key).unwrap_err();
    assert!(told(&certificate_a, &key_b).contains("does not match the key"));
    assert!(told(&key_a, &key_a).contains("contains no certificate"));
    assert!(told(&certificate_a, &certificate_a).contains("contains no private key"));
    assert!(told(Path::new("/nowhere"), &key_a).starts_with("/nowhere: "));
}
