//! Tests of the WebSocket clients of a hub with TLS: each promise to a client without TLS holds with
//! TLS too, and a client needs little memory and one file descriptor.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "support/child_process.rs"]
mod child_process;
#[path = "support/fanout_host.rs"]
mod fanout_host;
#[path = "support/hub_server/mod.rs"]
mod hub_server;
#[path = "bench/usage.rs"]
mod usage;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use deskticker::hub::auth::registry::Device;
use deskticker::hub::broker::event_loop::{PendingClient, Transport};
use deskticker::hub::server::tls::Tls;
use deskticker::hub::{HubSettings, RelayedEvent, UpstreamEvent};
use deskticker::net::connector::Connector;
use deskticker::net::endpoint::Endpoint;
use hyper::body::Bytes;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use child_process::{Program, clean_command};
use fanout_host::{Client, FanoutUnderTest, TOKEN, device, event, within_time};
use hub_server::{UPGRADE, block_on, directory, hub};

/// The TLS settings of a server and of a client that trusts the server.
fn settings(versions: &[&'static SupportedProtocolVersion]) -> (TlsAcceptor, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], made.signing_key.into())
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server).into(), Arc::new(client).into())
}

/// Adds a client with TLS to the broker. Returns the client's side of the connection.
async fn join(
    fixture: &FanoutUnderTest,
    versions: &[&'static SupportedProtocolVersion],
    device: Option<Device>,
) -> TlsStream<TcpStream> {
    let (acceptor, connector) = settings(versions);
    let address = fixture.listener.local_addr().unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(address), fixture.listener.accept());
    let name = ServerName::try_from("localhost").unwrap();
    let (ours, theirs) = tokio::join!(
        connector.connect(name, ours.unwrap()),
        acceptor.accept(theirs.unwrap().0)
    );
    let (socket, connection) = theirs.unwrap().into_inner();
    let pending_client = PendingClient {
        socket: Transport::tls(socket, connection),
        read_ahead: Bytes::new(),
        device,
        address: None,
        unauthenticated_slot: None,
        below: None,
    };
    fixture.acceptor.admit(pending_client).unwrap();
    ours.unwrap()
}

async fn authenticated(fixture: &FanoutUnderTest) -> Client<TlsStream<TcpStream>> {
    let stream = join(fixture, &[&rustls::version::TLS13], Some(device())).await;
    let mut client = Client::new(stream).await;
    client.statuses().await;
    assert_eq!(client.statuses().await, ["auth_success authenticated"]);
    client
}

#[tokio::test]
async fn a_client_with_tls_is_served_like_a_client_without_tls() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let fixture = FanoutUnderTest::new().await;
        let mut client = Client::new(join(&fixture, &[version], None).await).await;
        client.statuses().await;
        client
            .send_text(&format!(r#"{{"action":"auth","params":"{TOKEN}"}}"#))
            .await;
        assert_eq!(client.statuses().await, ["auth_success authenticated"]);
        client.subscribe("V.I:SPX").await;
        fixture.publish(&[("V.I:SPX", 1)]).await;
        assert_eq!(client.values().await, ["V.I:SPX 1"]);
        // A request that needs several TLS records and several reads.
        let names: Vec<String> = (0..900).map(|n| format!("V.I:N{n:06}")).collect();
        client.subscribe(&names.join(",")).await;
        // A change of the keys, which only the TLS library sees.
        if version == &rustls::version::TLS13 {
            let connection = client.0.get_mut().get_mut().1;
            connection.refresh_traffic_keys().unwrap();
        }
        client.assert_only_pong().await;
    }
}

#[tokio::test]
async fn a_slow_client_with_tls_delays_no_other_client_and_later_receives_the_newest_values() {
    let fixture = FanoutUnderTest::new().await;
    let mut slow = authenticated(&fixture).await;
    let mut quick = fixture.authenticated().await;
    slow.subscribe("V.I:SPX").await;
    quick.subscribe("V.I:SPX").await;
    // The lengths differ, so that the socket is full at every place of a TLS record.
    let length = |number| number * 7919 % 30_000;
    fixture
        .assert_conflation(&mut slow, &mut quick, 1000, length)
        .await;
    assert_eq!(fixture.metrics.bytes_waiting.value(), 0);
}

#[tokio::test]
async fn a_client_with_tls_that_reads_nothing_is_dropped() {
    let fixture = FanoutUnderTest::new().await;
    let mut witness = fixture.authenticated().await;
    let mut deaf = authenticated(&fixture).await;
    deaf.subscribe("V.I:SPX").await;
    let json = format!(r#"{{"c":"V.I:SPX","n":1,"x":"{}"}}"#, "x".repeat(200_000));
    while fixture.metrics.clients_blocked.value() == 0 {
        let relayed = RelayedEvent {
            json: json.clone().into(),
            ..event("V.I:SPX", 0)
        };
        fixture.report(UpstreamEvent::Events(vec![relayed])).await;
        witness.assert_only_pong().await;
    }
    fixture.advance(91, &mut witness).await;
    assert_eq!(fixture.metrics.clients_dead.value(), 1);
    assert_eq!(fixture.metrics.bytes_waiting.value(), 0);
}

#[tokio::test]
async fn the_hub_ends_the_tls_session_properly_after_both_kinds_of_close() {
    let fixture = FanoutUnderTest::new().await;
    // The client ends its side. Without the end of the TLS session, this read would be an error.
    let mut stream = join(&fixture, &[&rustls::version::TLS13], None).await;
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    within_time(stream.read_to_end(&mut rest)).await.unwrap();
    assert!(String::from_utf8_lossy(&rest).contains("Connected Successfully"));
    // The hub ends its side.
    let mut client = authenticated(&fixture).await;
    fixture.stop.send_replace(true);
    assert_eq!(client.close_code().await, 1012);
    let mut stream = client.0.into_inner();
    stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
    within_time(stream.read_to_end(&mut rest)).await.unwrap();
}

#[tokio::test]
async fn the_bytes_that_tls_adds_count_for_the_limits_of_a_client() {
    let fixture = FanoutUnderTest::new().await;
    let mut witness = fixture.authenticated().await;
    let mut stream = join(&fixture, &[&rustls::version::TLS13], None).await;
    // The payload of one frame, one byte in each TLS record of 23 bytes. 1,000 bytes are below the
    // limit of 4,096 bytes for a client without authentication, but 23,000 bytes are not.
    stream
        .write_all(&[0x82, 0xfe, 0x10, 0, 0, 0, 0, 0])
        .await
        .unwrap();
    let mut sent = 0;
    while fixture.metrics.paused_unauthenticated.value() == 0 {
        stream.write_all(b"x").await.unwrap();
        stream.flush().await.unwrap();
        sent += 1;
        assert!(sent < 1000, "the hub reads on and on");
        witness.assert_only_pong().await;
    }
}

/// A certificate for 127.0.0.1 and its key, in files.
fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let paths = (folder.join("hub.crt"), folder.join("hub.key"));
    std::fs::write(&paths.0, made.cert.pem()).unwrap();
    std::fs::write(&paths.1, made.signing_key.serialize_pem()).unwrap();
    paths
}

#[test]
fn a_frame_directly_after_the_upgrade_request_is_not_lost_with_tls() {
    block_on(async {
        let (certificate, key) = certificate(&directory("tls-read-ahead"));
        let hub = hub(HubSettings {
            tls: Some(Tls::load(&certificate, &key).unwrap()),
            ..HubSettings::default()
        })
        .await;
        let endpoint = Endpoint::parse(&format!("wss://{}", hub.address())).unwrap();
        let connector = Connector::new(Some(&certificate)).unwrap();
        let mut stream = connector.stream(&endpoint).await.unwrap();
        let token = hub_server::TOKEN;
        let mut bytes =
            format!("GET /ws/indices?token={token} HTTP/1.1\r\nHost: 127.0.0.1\r\n{UPGRADE}\r\n")
                .into_bytes();
        // A frame with a ping action. Its mask is zero. A second one is in a TLS record of its own.
        let mut frame = vec![0x81, 0x80 | 17, 0, 0, 0, 0];
        frame.extend(br#"{"action":"ping"}"#);
        bytes.extend(&frame);
        stream.write_all(&bytes).await.unwrap();
        stream.write_all(&frame).await.unwrap();
        let mut text = Vec::new();
        while String::from_utf8_lossy(&text).matches(r#""pong""#).count() < 4 {
            let count = within_time(stream.read_buf(&mut text)).await.unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&text));
        }
    });
}

#[test]
fn an_endless_tls_handshake_is_closed_after_8_kib() {
    block_on(async {
        let (certificate, key) = certificate(&directory("tls-endless"));
        let hub = hub(HubSettings {
            tls: Some(Tls::load(&certificate, &key).unwrap()),
            ..HubSettings::default()
        })
        .await;
        let mut stream = hub.connect().await;
        // A first message of 60,000 bytes in records of 1,000 bytes. The clock stands still, so the
        // time limit of the handshake does not end the connection.
        let mut sent = 0;
        let mut message = vec![1, 0, 0xea, 0x60];
        message.resize(1000, 0);
        loop {
            let mut record = vec![0x16, 3, 1, 0x03, 0xe8];
            record.extend(&message);
            if stream.write_all(&record).await.is_err() {
                break;
            }
            sent += 1;
            message = vec![0; 1000];
            // The response is an alert and the end of the stream, or a reset.
            let mut byte = [0; 64];
            let reading = stream.read(&mut byte);
            let wait = if sent < 9 {
                Duration::from_millis(20)
            } else {
                Duration::from_secs(10)
            };
            match tokio::time::timeout(wait, reading).await {
                Err(_) if sent < 9 => {}
                Err(_) => panic!("the hub reads on and on"),
                Ok(_) => break,
            }
        }
        assert!((8..=9).contains(&sent), "{sent} records of 1005 bytes");
    });
}

/// The resident memory of the hub in KiB, and the number of its open file descriptors.
fn usage_of(hub: &Program) -> (f64, usize) {
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", hub.id())).unwrap();
    (
        usage::memory(hub.id(), "VmRSS").unwrap(),
        descriptors.count(),
    )
}

/// With the variable `HUB`, the test measures another build of the hub, for example the release
/// build.
#[test]
fn an_idle_client_with_tls_needs_at_most_12_kib_and_one_file_descriptor() {
    const WARM: usize = 50;
    const CLIENTS: usize = 400;
    let folder = directory("tls-idle");
    let (certificate, key) = certificate(&folder);
    let config = folder.join("hub.toml");
    let lines = format!(
        "listen = \"127.0.0.1:0\"\n[tls]\ncert = {certificate:?}\nkey = {key:?}\n[devices]\nfile = {:?}\n\
         [limits]\nhandshakes = 10000\n",
        folder.join("devices")
    );
    std::fs::write(&config, lines).unwrap();
    let program = std::env::var("HUB");
    let built = env!("CARGO_BIN_EXE_deskticker-hub").to_owned();
    let mut command = clean_command(&program.unwrap_or(built));
    command.arg("--config").arg(config);
    command.env("MASSIVE_API_KEY", "k");
    command.env("MASSIVE_PROXY_TOKEN", hub_server::TOKEN);
    let mut hub = Program::spawn(&mut command);
    let line = hub.wait_for_line("listening on wss://127.0.0.1:");
    let port = line.trim().rsplit(':').next().unwrap();
    let endpoint = Endpoint::parse(&format!("wss://127.0.0.1:{port}")).unwrap();
    let path = format!("/ws/indices?token={}", hub_server::TOKEN);
    let connector = Connector::new(Some(&certificate)).unwrap();
    block_on(async {
        let mut clients = Vec::new();
        let join = async || {
            let joined = connector.websocket(&endpoint, &path).await.unwrap();
            let mut client = hub_server::ws_client::Client(joined.socket);
            // The hub cannot reach its vendor, so it does not confirm the channels.
            client
                .send_text(r#"{"action":"subscribe","params":"V.I:SPX,V.I:VIX"}"#)
                .await;
            client.event(|event| event["status"] == "pending").await;
            client
        };
        for _ in 0..WARM {
            clients.push(join().await);
        }
        let before = usage_of(&hub);
        for _ in 0..CLIENTS {
            clients.push(join().await);
        }
        // The hub has finished its work for all connections after it answers all clients.
        for client in &mut clients {
            client.send_text(r#"{"action":"ping"}"#).await;
            client.event(|event| event["status"] == "pong").await;
        }
        let after = usage_of(&hub);
        let each = (after.0 - before.0) / CLIENTS as f64;
        let descriptors = after.1 - before.1;
        eprintln!("{each:.1} KiB and {descriptors} descriptors for {CLIENTS} clients");
        assert!(each <= 12.0, "{each:.1} KiB");
        // The hub sometimes has a few more, while it tries to reach its vendor.
        assert!(
            (CLIENTS..CLIENTS + 8).contains(&descriptors),
            "{descriptors}"
        );
    });
}
