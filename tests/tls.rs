//! Tests of real TLS handshakes with certificates from the test: the client trusts only valid
//! certificates and reports a separate reason for each refusal.
#![allow(clippy::unwrap_used)]

#[path = "support/running_ticker.rs"]
mod running_ticker;
#[path = "support/tls_front.rs"]
mod tls_front;

use std::net::SocketAddr;
use std::path::Path;

use deskticker::net::connector::Connector;
use deskticker::net::endpoint::Endpoint;
use deskticker::net::failure::Failure;
use deskticker::net::source::{FeedProvider, FeedSource};
use deskticker::simulator::{Simulator, SimulatorSettings};
use deskticker::time::{Clock, Moment, Now};
use rcgen::KeyPair;
use tokio_rustls::TlsAcceptor;

use running_ticker::{Background, TIME_LIMIT, TickerUnderTest};
use tls_front::{acceptor, authority, ca_file};

/// A simulator behind a TLS server. The value contains the address of the TLS server.
fn front(acceptor: TlsAcceptor, clock: Clock) -> Background<(SocketAddr, Simulator)> {
    Background::start(|| async move {
        let simulator = Simulator::start(SimulatorSettings::default(), clock)
            .await
            .unwrap();
        let address = tls_front::before(simulator.address(), acceptor).await;
        (address, simulator)
    })
}

fn endpoint(host: &str, address: SocketAddr) -> Endpoint {
    Endpoint::parse(&format!("wss://{host}:{}", address.port())).unwrap()
}

/// The result of an attempt to open a WebSocket.
fn attempt(connector: &Connector, endpoint: &Endpoint) -> Result<(), Failure> {
    running_ticker::block_on(async {
        let opening = connector.websocket(endpoint, "/indices");
        let outcome = tokio::time::timeout(TIME_LIMIT, opening).await;
        outcome
            .expect("no hang")
            .map(drop)
            .map_err(|error| error.reason)
    })
}

fn standing_clock() -> Clock {
    let now = Now {
        monotonic: Moment::ZERO,
        utc: None,
    };
    Clock::manual(now).0
}

/// The result of a connection to a server with this certificate, for a client that trusts the
/// authority.
fn trusting(name: &str, names: &[&str], from: i32, until: i32, host: &str) -> Result<(), Failure> {
    let authority = authority();
    let front = front(acceptor(&authority, names, from, until), standing_clock());
    let connector = Connector::new(Some(&ca_file(name, &authority.pem()))).unwrap();
    attempt(&connector, &endpoint(host, front.value.0))
}

#[test]
fn a_display_with_the_configured_authority_goes_live_over_tls() {
    let authority = authority();
    let (clock, manual_clock) = running_ticker::manual_clock();
    let acceptor = acceptor(&authority, &["localhost"], 2000, 4000);
    let front = front(acceptor, clock.clone());
    let source = FeedSource {
        provider: FeedProvider::Vendor,
        endpoint: endpoint("localhost", front.value.0),
        ..running_ticker::vendor("127.0.0.1:1", "simulated")
    };
    let connector = Connector::new(Some(&ca_file("live", &authority.pem()))).unwrap();
    let mut display =
        TickerUnderTest::new(source, connector, &["SPX", "VIX"], (clock, manual_clock));
    let mut held = front.value.1.subscriptions();
    running_ticker::block_on(async {
        let all = tokio::time::timeout(TIME_LIMIT, held.wait_for(|held| *held == 4)).await;
        all.expect("four channels").unwrap();
    });
    display.advance(1);
    // The picture is the same as on a plain connection. Its quotes come over HTTPS.
    display.shows("story-02-first-values");
}

#[test]
fn an_unconfigured_authority_is_not_trusted() {
    let authority = authority();
    let acceptor = acceptor(&authority, &["localhost"], 2000, 4000);
    let (clock, manual_clock) = running_ticker::manual_clock();
    let front = front(acceptor, clock.clone());
    let place = endpoint("localhost", front.value.0);
    let usual = Connector::new(None).unwrap();
    assert_eq!(attempt(&usual, &place), Err(Failure::Issuer));
    // The certificate of another authority does not help.
    let other = self::authority();
    let other = Connector::new(Some(&ca_file("other", &other.pem()))).unwrap();
    assert_eq!(attempt(&other, &place), Err(Failure::CaFile));
    assert!(Failure::Issuer.to_string().contains("ca_file"));
    let source = FeedSource {
        provider: FeedProvider::Vendor,
        endpoint: place,
        ..running_ticker::vendor("127.0.0.1:1", "simulated")
    };
    let mut display = TickerUnderTest::new(source, usual, &["SPX", "VIX"], (clock, manual_clock));
    display.shows("tls-not-trusted");
}

#[test]
fn a_certificate_is_valid_for_its_names_only() {
    assert_eq!(
        trusting("name", &["localhost"], 2000, 4000, "localhost"),
        Ok(())
    );
    assert_eq!(
        trusting("ip", &["127.0.0.1"], 2000, 4000, "127.0.0.1"),
        Ok(())
    );
    assert_eq!(
        trusting("wrong", &["hub.local"], 2000, 4000, "localhost"),
        Err(Failure::HostName)
    );
    assert_eq!(
        trusting("no-ip", &["localhost"], 2000, 4000, "127.0.0.1"),
        Err(Failure::HostName)
    );
}

#[test]
fn a_certificate_from_the_future_means_a_clock_that_is_not_set() {
    // A Pi without a battery starts with a clock in the past.
    let outcome = trusting("future", &["localhost"], 3000, 4000, "localhost");
    assert_eq!(outcome, Err(Failure::Clock));
    assert!(Failure::Clock.to_string().contains("clock is not set"));
}

#[test]
fn an_expired_certificate_is_named_and_is_no_clock_failure() {
    let outcome = trusting("expired", &["localhost"], 2000, 2001, "localhost");
    assert_eq!(outcome, Err(Failure::Expired));
}

#[test]
fn a_server_without_tls_is_an_error_at_once() {
    let simulator = Background::start(|| async {
        Simulator::start(SimulatorSettings::default(), standing_clock())
            .await
            .unwrap()
    });
    let connector = Connector::new(None).unwrap();
    let place = endpoint("127.0.0.1", simulator.value.address());
    let outcome = attempt(&connector, &place).unwrap_err();
    assert_eq!(outcome, Failure::PlainPort);
}

#[test]
fn a_silent_server_is_disconnected_after_the_time_limit() {
    let (clock, manual_clock) = running_ticker::manual_clock();
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let source = FeedSource {
        endpoint: endpoint("127.0.0.1", mute.local_addr().unwrap()),
        ..running_ticker::vendor("127.0.0.1:1", "simulated")
    };
    let connector = Connector::new(None).unwrap();
    let mut display =
        TickerUnderTest::new(source, connector, &["SPX", "VIX"], (clock, manual_clock));
    // One connection is the WebSocket, and the other one requests the quotes.
    let _calls = [mute.accept().unwrap(), mute.accept().unwrap()];
    display.shows("tls-joining");
    display.advance(10);
    display.shows("tls-no-answer");
}

#[test]
fn a_plain_client_of_a_tls_server_gets_an_error_and_does_not_hang() {
    let authority = authority();
    let acceptor = acceptor(&authority, &["localhost"], 2000, 4000);
    let front = front(acceptor, standing_clock());
    let connector = Connector::new(None).unwrap();
    let plain = Endpoint::parse(&format!("ws://{}", front.value.0)).unwrap();
    assert!(attempt(&connector, &plain).is_err());
}

#[test]
fn a_file_without_a_certificate_is_reported_with_its_name_and_the_expected_content() {
    let error = |path: &Path| Connector::new(Some(path)).unwrap_err();
    let missing = error(Path::new("/no/such/ca.pem"));
    assert!(missing.starts_with("/no/such/ca.pem: "), "{missing}");
    assert!(missing.contains("No such file"), "{missing}");
    let folder = error(Path::new(env!("CARGO_TARGET_TMPDIR")));
    assert!(folder.contains("directory"), "{folder}");
    let key = KeyPair::generate().unwrap().serialize_pem();
    let good = authority().pem();
    for (name, content) in [
        ("empty", ""),
        ("prose", "this is my certificate\n"),
        ("key", key.as_str()),
        ("cut", &good[..good.len() / 2]),
        (
            "hollow",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ),
        (
            "no-base64",
            "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
        ),
    ] {
        let path = ca_file(name, content);
        let told = error(&path);
        assert!(told.starts_with(&format!("{}: ", path.display())), "{told}");
        assert!(
            told.contains("certificate") || told.contains("PEM"),
            "{name}: {told}"
        );
        // The message must be readable text, not the debug output of a type.
        assert!(!told.contains(['{', '[']), "{name}: {told}");
    }
    // A file with two certificates is valid, and so is a comment in the file.
    let two = format!("# ours\n{good}{}", authority().pem());
    assert!(Connector::new(Some(&ca_file("two", &two))).is_ok());
}
