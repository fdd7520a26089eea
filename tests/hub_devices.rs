//! Tests of the state of the displays as the operator of a hub sees it: the metrics of the devices
//! and `deskticker-hub token list`.
#![allow(clippy::unwrap_used)]

#[path = "support/hub_server/mod.rs"]
mod hub_server;
#[path = "support/proxy_server.rs"]
mod proxy_server;
#[path = "support/running_ticker.rs"]
mod running_ticker;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use deskticker::demo;
use deskticker::hub::auth::authenticator::Authenticator;
use deskticker::hub::auth::registry::RegistryFile;
use deskticker::hub::{Hub, HubSettings, local_api};
use deskticker::net::connector::Connector;
use deskticker::secret::Secret;
use deskticker::simulator::{InjectedFault, Simulator, SimulatorSettings};
use deskticker::time::Clock;

use hub_server::{TIME_LIMIT, TOKEN, block_on, directory, hub_with};
use proxy_server::{Proxy, ProxyEvent};
use running_ticker::{Background, TickerUnderTest, manual_clock};

type HubAndVendor = Background<(SocketAddr, Hub, Simulator)>;

fn hub(file: &RegistryFile, clock: &Clock) -> HubAndVendor {
    let (path, clock) = (file.path().to_owned(), clock.clone());
    Background::start(move || async move {
        // This vendor has no values for REST, so a silent stream makes the values stale.
        let vendor = SimulatorSettings::default();
        let token = Secret::new(TOKEN).unwrap();
        let hub = demo::simulated_hub(vendor, &token, clock).await;
        let (mut setup, simulator) = hub.unwrap();
        setup.authenticator = Authenticator::new(Some(path), None).unwrap().into();
        let hub = Hub::start(setup, "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        (hub.address(), hub, simulator)
    })
}

fn metrics(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

/// Lets the time pass until the metrics contain this line. Returns the page.
#[track_caller]
fn until_metrics_have(display: &TickerUnderTest, address: SocketAddr, line: &str) -> String {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let page = metrics(address);
        if page.contains(line) {
            return page;
        }
        assert!(Instant::now() < end, "never {line} in:\n{page}");
        display.manual_clock.advance(Duration::from_millis(200));
    }
}

fn list(file: &RegistryFile) -> Output {
    let program = env!("CARGO_BIN_EXE_deskticker-hub");
    let mut command = Command::new(program);
    command.args(["token", "list", "--file"]).arg(file.path());
    command.env("TZ", "UTC").output().unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_operator_sees_each_display_with_its_version_its_page_and_the_freshness_that_it_shows() {
    let file = RegistryFile::new(directory("devices-seen").join("devices"));
    let token = file.add("kitchen").unwrap();
    file.add("attic").unwrap();
    let (clock, manual) = manual_clock();
    let hub = hub(&file, &clock);
    let address = hub.value.0;
    let source = running_ticker::hub(address, &token);
    let connector = Connector::new(None).unwrap();
    let display = TickerUnderTest::new(source, connector, &["SPX", "VIX"], (clock, manual));
    let live = "deskticker_hub_device_values{device=\"kitchen\",freshness=\"live\"} 2\n";
    let page = until_metrics_have(&display, address, live);
    let version = env!("CARGO_PKG_VERSION");
    for line in [
        "device_connections{device=\"attic\"} 0".to_owned(),
        "devices{state=\"connected\"} 1".to_owned(),
        "devices{state=\"not seen\"} 1".to_owned(),
        format!("device_info{{device=\"kitchen\",version=\"{version}\",page=\"SPX VIX\"}} 1"),
        "device_values{device=\"kitchen\",freshness=\"stale\"} 0".to_owned(),
    ] {
        let line = format!("deskticker_hub_{line}\n");
        assert!(page.contains(&line), "{line} in:\n{page}");
    }
    // The display may have connected twice, because the clock of this test is fast.
    assert!(!page.contains("device_connections{device=\"kitchen\"} 0\n"));
    assert!(!page.contains("device_last_seen_timestamp_seconds{device=\"attic\"}"));
    let output = list(&file);
    let listed = text(output.stdout);
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[0].starts_with("NAME     STATE"), "{listed}");
    assert!(lines[1].starts_with("attic    not seen"), "{listed}");
    assert!(
        lines[2].starts_with("kitchen  connected, 2 live"),
        "{listed}"
    );
    assert!(
        lines[2].contains("2026-11-23") && lines[2].contains("127.0.0.1"),
        "{listed}"
    );
    assert!(lines[2].ends_with(version) && lines.len() == 3, "{listed}");
    assert!(!listed.contains(&token) && !page.contains(&token));

    // The vendor becomes silent, and the display says so.
    hub.value.2.fault(InjectedFault::Silence);
    let stale = "deskticker_hub_device_values{device=\"kitchen\",freshness=\"stale\"} 2\n";
    until_metrics_have(&display, address, stale);
    // The clock stays, so that the last sign of life is known.
    drop(display);
    let end = Instant::now() + Duration::from_secs(20);
    while !text(list(&file).stdout).contains("kitchen  disconnected") {
        assert!(Instant::now() < end);
    }
    let page = metrics(address);
    assert!(
        page.contains("devices{state=\"disconnected\"} 1\n"),
        "{page}"
    );
    assert!(!page.contains("device_info{device=\"kitchen\""), "{page}");
    assert!(page.contains("device_last_seen_timestamp_seconds{device=\"kitchen\"} 1795"));
}

#[test]
fn without_a_running_hub_the_list_has_the_names_and_says_why_there_is_no_more() {
    let file = RegistryFile::new(directory("devices-alone").join("devices"));
    file.add("kitchen").unwrap();
    let output = list(&file);
    assert_eq!(text(output.stdout), "kitchen\n");
    let words = text(output.stderr);
    assert!(
        words.contains("No running hub uses") && words.contains("devices, so"),
        "{words}"
    );
    assert!(output.status.success());
}

#[test]
fn a_server_that_is_no_hub_gets_no_report_of_the_display() {
    let (clock, manual) = manual_clock();
    let mut proxy = Proxy::start(clock.clone());
    let source = running_ticker::hub(proxy.address, proxy_server::TOKEN);
    let connector = Connector::new(None).unwrap();
    let display = TickerUnderTest::new(source, connector, &["SPX"], (clock, manual));
    proxy.wait_for_subscriptions(1);
    // The display would report after five seconds. It sends a ping after 20 seconds without data.
    let ping = |event: &ProxyEvent| {
        if let ProxyEvent::Text(text) = event {
            assert!(!text.contains("report"), "{text}");
        }
        matches!(event, ProxyEvent::Ping)
    };
    for _ in 0..40 {
        display.manual_clock.advance(Duration::from_secs(1));
        if proxy.sees_soon(ping) {
            return;
        }
    }
    panic!("no ping arrives");
}

#[test]
fn a_hub_whose_local_socket_was_taken_opens_it_when_it_is_free() {
    block_on(async {
        let path = directory("devices-socket").join("devices");
        RegistryFile::new(&path).add("kitchen").unwrap();
        let start = || hub_with(HubSettings::default(), Some(path.clone()));
        let list = || {
            let path = path.clone();
            tokio::task::spawn_blocking(move || local_api::devices(&path))
        };
        // A hub answers its first request after it has tried to open the local socket.
        let first = start().await;
        first.metric("unauthenticated_connections").await;
        let second = start().await;
        second.metric("unauthenticated_connections").await;
        assert!(list().await.unwrap().is_ok());
        drop(first);
        let freed = async { while list().await.unwrap().is_ok() {} };
        tokio::time::timeout(TIME_LIMIT, freed).await.unwrap();
        let served = async {
            loop {
                if let Ok(devices) = list().await.unwrap() {
                    return devices;
                }
            }
        };
        let devices = second.while_time_passes(served).await;
        assert!(devices.iter().any(|row| row.device == "kitchen"));
    });
}
