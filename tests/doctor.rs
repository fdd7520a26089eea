//! The doctor: what it says of a machine and of a network, over real sockets; that it disturbs
//! nothing, and gives the token to nobody but a hub.
#![allow(clippy::unwrap_used)]

#[path = "support/fake_machine.rs"]
mod fake_machine;
#[path = "support/proxy_server.rs"]
mod proxy_server;
#[path = "support/running_ticker.rs"]
mod running_ticker;
#[path = "support/tls_front.rs"]
mod tls_front;

use std::net::SocketAddr;
use std::time::Duration;

use deskticker::display::BusFault;
use deskticker::doctor::{BusProbe, CheckState, Finding, text};
use deskticker::hub::auth::authenticator::Authenticator;
use deskticker::hub::{self, Hub};
use deskticker::market::{Calendar, Cluster};
use deskticker::net::connector::Connector;
use deskticker::net::endpoint::Endpoint;
use deskticker::net::source::FeedProvider;
use deskticker::net::source::FeedSource;
use deskticker::secret::{Environment, Secret};
use deskticker::simulator::{Simulator, SimulatorSettings};
use deskticker::systemd::Supervisor;
use deskticker::time::{Clock, Moment, Now, Utc};
use fake_machine::{Machine, TOKEN, echo_server, simulated};
use proxy_server::{Proxy, ProxyBehaviour, ProxyEvent};
use running_ticker::Background;
use tokio::sync::watch;

/// What takes a while, takes another one at each run.
fn settled(finding: &Finding, port: u16) -> Finding {
    let mut words: Vec<&str> = finding.found.split(' ').collect();
    for at in 1..words.len() {
        if words[at].trim_end_matches([')', ',']) == "ms" {
            words[at - 1] = if words[at - 1].starts_with('(') {
                "(7"
            } else {
                "7"
            };
        }
    }
    let found = words.join(" ").replace(&port.to_string(), "3000");
    Finding {
        found,
        ..finding.clone()
    }
}

#[test]
fn a_machine_in_good_order_is_told_so_line_by_line() {
    let hub = simulated();
    let port = hub.value.0.port();
    let mut machine = Machine::pi("good").of(format!("ws://127.0.0.1:{port}"));
    let visit = machine.examined();
    let path = machine.file().display().to_string();
    let mut said = String::new();
    for finding in &visit.findings {
        let mut finding = settled(finding, port);
        finding.found = finding.found.replace(&path, "desk.toml");
        // Whichever of the two comes first.
        finding.found = finding.found.replace("(SPX)", "(VIX)");
        said.push_str(&text(&finding, false));
    }
    let expected = "\
ok       board         Raspberry Pi 4 Model B Rev 1.5
ok       kernel        Linux 6.12.47+rpt-rpi-v8, ARCH
ok       bus           /dev/i2c-1 is there
ok       permission    /dev/i2c-1 opens
ok       panel         0x3c answers on /dev/i2c-1
ok       speed         400 kHz
ok       configuration desk.toml: 2 instruments, ws://127.0.0.1:3000
ok       token         from the variable MASSIVE_PROXY_TOKEN
ok       dns           127.0.0.1 is an address, no name
ok       tcp           127.0.0.1:3000 in 7 ms
skipped  tls           ws:// is not encrypted: fine within one's own network,
                       nowhere else
ok       clock         set by the network (NTP); the server's says the same
ok       hub           a deskticker-hub, and it says: ok
ok       access        the token is accepted
ok       upstream      indices live, simulated
ok       channels      4 of 4 confirmed; first value (VIX) in 7 ms
";
    assert_eq!(said, expected.replace("ARCH", std::env::consts::ARCH));
    assert_eq!(visit.code, 0);
    assert!(visit.text().ends_with("all is well\n"));
}

#[test]
fn a_bus_that_is_missing_is_told_with_what_this_machine_needs() {
    let missing = |machine: Machine| {
        let mut machine = machine.of("ws://hub.invalid");
        std::fs::remove_file(machine.root.join("dev/i2c-1")).ok();
        let visit = machine.examined();
        visit.skipped(&["permission", "panel", "speed"]);
        assert!(machine.asked.is_empty());
        let bus = visit.of("bus").clone();
        assert_eq!(bus.state, CheckState::Failed);
        (bus.found, bus.remedy.unwrap())
    };
    let (found, remedy) = missing(Machine::new("pc"));
    assert_eq!(found, "there is no /dev/i2c-1, nor any other /dev/i2c-*");
    assert!(remedy.contains("bus = \"/dev/i2c-N\""), "{remedy}");
    let off = Machine::new("off").with("proc/device-tree/model", "Raspberry Pi 3 Model B\0");
    // The buses of the two HDMI connectors: never the panel's.
    let off = off.with("dev/i2c-21", "").with("dev/i2c-20", "");
    let (found, remedy) = missing(off.with("dev/i2c", ""));
    assert_eq!(
        found,
        "there is no /dev/i2c-1, only /dev/i2c-20, /dev/i2c-21"
    );
    assert!(remedy.contains("\n  dtparam=i2c_arm=on\n  dtparam=i2c_arm_baudrate=400000\n"));
    assert!(remedy.contains("\n  sudo raspi-config nonint do_i2c 0"));
    // The kernel has the bus, and no file was made for it.
    let (_, remedy) = missing(Machine::pi("module"));
    assert!(remedy.contains("\n  sudo modprobe i2c-dev\n"), "{remedy}");
}

#[test]
fn the_panel_is_asked_without_disturbing_anybody() {
    let mut machine = Machine::pi("asked").of("ws://hub.invalid");
    machine.answers = |_, _| Err(BusFault::NoAnswer);
    let visit = machine.examined();
    visit.says(
        "panel",
        CheckState::Failed,
        "nothing answers at 0x3c",
        "SDA on pin 3, SCL on pin 5",
    );
    // What is configured gets a command that does nothing, the other not even that; once each.
    let asked: Vec<_> = machine
        .asked
        .iter()
        .map(|(_, address, how)| (*address, *how))
        .collect();
    assert_eq!(asked, [(0x3c, BusProbe::Nop), (0x3d, BusProbe::Empty)]);
    assert!(
        machine
            .asked
            .iter()
            .all(|(bus, ..)| bus.ends_with("dev/i2c-1"))
    );
    machine.answers = |address, _| match address {
        0x3d => Ok(()),
        _ => Err(BusFault::NoAnswer),
    };
    let visit = machine.examined();
    visit.says(
        "panel",
        CheckState::Failed,
        "at 0x3c on /dev/i2c-1, but 0x3d does",
        "\n  address = 0x3d",
    );
    for (answers, found, remedy) in [
        (
            (|_, _| Err(BusFault::Stuck)) as fake_machine::Answers,
            "is stuck",
            "SDA and SCL",
        ),
        (|_, _| Err(BusFault::Claimed), "has 0x3c", "dtoverlay"),
        (
            |_, _| Err(BusFault::Errno(5)),
            "Input/output error",
            "pin 3",
        ),
    ] {
        machine.answers = answers;
        machine.asked.clear();
        machine
            .examined()
            .says("panel", CheckState::Failed, found, remedy);
        assert_eq!(machine.asked.len(), 1, "nobody else is asked on such a bus");
    }
    let other = "[hub]\nurl = \"ws://hub.invalid\"\n[panel]\naddress = 0x40\n";
    let mut machine = Machine::pi("address").told(other);
    machine.answers = |_, _| Err(BusFault::NoAnswer);
    machine
        .examined()
        .says("panel", CheckState::Failed, "at 0x40", "pin 3");
    let asked: Vec<_> = machine
        .asked
        .iter()
        .map(|(_, address, _)| *address)
        .collect();
    assert_eq!(asked, [0x40, 0x3c, 0x3d]);
}

#[test]
fn a_ticker_that_hangs_in_a_write_is_told_whatever_its_panel_is() {
    let told = "panel stuck 2026-11-27T00:15:11Z\n";
    let mut machine = Machine::pi("stuck").of("ws://hub.invalid");
    machine = machine.with("run/deskticker/state", told);
    let words = "stuck in a write to its panel since 2026-11-27T00:15:11Z";
    let visit = machine.examined();
    visit.says("panel", CheckState::Failed, words, "systemctl restart");
    assert!(machine.asked.is_empty(), "it would hang as well");
    let picture = "[hub]\nurl = \"ws://hub.invalid\"\n[panel]\nkind = \"png\"\n";
    let mut machine = Machine::pi("stuck-picture").told(picture);
    machine = machine.with("run/deskticker/state", told);
    let visit = machine.examined();
    visit.says("panel", CheckState::Failed, words, "disk or network drive");
    visit.skipped(&["bus", "permission", "speed"]);
    let mut machine = machine.with("run/deskticker/state", "panel shown\n");
    machine.examined().skipped(&["panel"]);
}

#[test]
fn a_slow_bus_is_told_with_the_line_that_makes_it_fast() {
    const FILE: &str = "sys/bus/i2c/devices/i2c-1/of_node/clock-frequency";
    let speed = |name, cell: &[u8], kernel| {
        let machine = Machine::pi(name).of("ws://hub.invalid").with(FILE, cell);
        let mut machine = machine.with("proc/sys/kernel/osrelease", kernel);
        machine.examined().of("speed").clone()
    };
    let slow = speed("slow", &100_000_u32.to_be_bytes(), "6.12.47+rpt-rpi-v8");
    assert_eq!(slow.state, CheckState::Warning);
    assert_eq!(slow.found, "100 kHz: a whole picture takes 94 ms");
    assert!(
        slow.remedy
            .unwrap()
            .ends_with("\n  dtparam=i2c_arm_baudrate=400000")
    );
    let debian = speed("debian", &250_000_u32.to_be_bytes(), "6.12.48+deb13-arm64");
    assert!(debian.remedy.unwrap().contains("overlay"));
    for cell in [&b""[..], b"abc", b"abcde"] {
        let unknown = speed("unknown", cell, "6");
        assert_eq!(unknown.state, CheckState::Ok);
        assert!(unknown.found.contains("does not tell"));
    }
    assert_eq!(speed("zero", &[0; 4], "6").state, CheckState::Warning);
}

#[test]
fn without_an_oled_nothing_is_asked_of_a_bus() {
    let text = "[hub]\nurl = \"ws://hub.invalid\"\n[panel]\nkind = \"png\"\n";
    let mut machine = Machine::pi("png").told(text);
    machine
        .examined()
        .skipped(&["bus", "permission", "panel", "speed"]);
    assert!(machine.asked.is_empty());
}

#[test]
fn a_name_without_an_address_and_a_port_without_a_server_are_told() {
    let visit = Machine::pi("nameless")
        .of("ws://hub.invalid:3000")
        .examined();
    visit.says("dns", CheckState::Failed, "hub.invalid", "/etc/resolv.conf");
    visit.skipped(&["tcp", "tls", "hub", "access", "upstream", "channels"]);
    assert_eq!(visit.code, 1);
    let visit = Machine::pi("local").of("ws://no-such-hub.local").examined();
    visit.says(
        "dns",
        CheckState::Failed,
        "no-such-hub.local",
        "avahi-daemon",
    );

    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = dead.local_addr().unwrap();
    drop(dead);
    let visit = Machine::pi("dead").of(format!("ws://{address}")).examined();
    visit.says(
        "tcp",
        CheckState::Failed,
        "refused",
        "systemctl status deskticker-hub",
    );
    visit.skipped(&["tls", "hub", "access", "upstream", "channels"]);
    visit.says("clock", CheckState::Ok, "set by the network", "");
}

#[test]
fn a_certificate_is_told_by_what_is_wrong_with_it() {
    let hub = simulated();
    let visit = |name: &str, names: &[&str], years: (i32, i32), trusted: bool| {
        let authority = tls_front::authority();
        let acceptor = tls_front::acceptor(&authority, names, years.0, years.1);
        let behind = hub.value.0;
        let tls = Background::start(move || tls_front::before(behind, acceptor));
        let ca_file = tls_front::ca_file(&format!("doctor-{name}"), &authority.pem());
        let ca_file = match trusted {
            true => format!("ca_file = {ca_file:?}\n"),
            false => String::new(),
        };
        let port = tls.value.port();
        let text = format!("[hub]\nurl = \"wss://localhost:{port}\"\n{ca_file}");
        Machine::pi(&format!("tls-{name}")).told(&text).examined()
    };
    let good = visit("good", &["localhost"], (2000, 4000), true);
    good.says("tls", CheckState::Ok, "until 4000-01-01", "");
    good.says("channels", CheckState::Ok, "4 of 4 confirmed", "");
    assert_eq!(good.code, 0);
    for (name, names, years, trusted, found, remedy) in [
        (
            "unknown",
            "localhost",
            (2000, 4000),
            false,
            "authority is not trusted",
            "ca_file = ",
        ),
        (
            "expired",
            "localhost",
            (2000, 2001),
            true,
            "ended 2001-01-01",
            "Renew it",
        ),
        (
            "future",
            "localhost",
            (3000, 4000),
            true,
            "begins 3000-01-01",
            "set-ntp true",
        ),
        (
            "name",
            "hub.local",
            (2000, 4000),
            true,
            "is not for localhost",
            "url with a name",
        ),
    ] {
        let visit = visit(name, &[names], years, trusted);
        visit.says("tls", CheckState::Failed, found, remedy);
        visit.skipped(&["hub", "access", "upstream", "channels"]);
        assert_eq!(visit.code, 1);
    }
    // A server without TLS.
    let plain = hub.value.0.port();
    let visit = Machine::pi("plain")
        .of(format!("wss://localhost:{plain}"))
        .examined();
    visit.says("tls", CheckState::Failed, "", "ws:// in place of wss://");
}

#[test]
fn no_token_goes_to_what_is_no_hub() {
    for (answer, found) in [
        (
            "HTTP/1.1 302 Found\r\nLocation: http://login.hotel/?from=me\r\nContent-Length: 0\r\n\r\n",
            "PORTAL: a redirect to login.hotel, where JSON was due",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nlogin",
            "PORTAL: a web page, where JSON was due",
        ),
        (
            "HTTP/1.1 511 Network Authentication Required\r\nContent-Length: 0\r\n\r\n",
            "PORTAL",
        ),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "it answers 404: that is no hub",
        ),
        // The ticker would not take it for one either: a hub says in JSON what is missing.
        (
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
            "it answers 401: that is no hub",
        ),
        (
            "HTTP/1.1 500 Oh\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"error\":\"bad\"}",
            "it answers 500: that is no hub",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"a\":1}\r\n",
            "it answers 200: that is no hub",
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n", "the connection was lost"),
    ] {
        let server = echo_server(answer);
        let (address, heard) = &server.value;
        let visit = Machine::pi("portal")
            .of(format!("ws://{address}"))
            .examined();
        visit.says("hub", CheckState::Failed, found, "");
        visit.skipped(&["access", "upstream", "channels"]);
        assert_eq!(visit.code, 1);
        let heard = String::from_utf8(heard.lock().unwrap().clone()).unwrap();
        assert!(heard.contains("GET /healthz HTTP/1.1\r\n"), "{heard}");
        assert!(
            !heard.contains("token") && !heard.contains("s3cr3t"),
            "{heard}"
        );
        assert!(!visit.text().contains("from=me"));
    }
}

#[test]
fn a_token_that_the_hub_does_not_know_is_told_with_the_command_that_makes_one() {
    let hub = simulated();
    let mut machine = Machine::pi("unknown").of(format!("ws://{}", hub.value.0));
    machine.environment.token = Some("another-token".into());
    let visit = machine.examined();
    visit.says(
        "access",
        CheckState::Failed,
        "does not know this token",
        "\n  deskticker-hub token add NAME",
    );
    visit.skipped(&["upstream", "channels"]);
    assert_eq!(visit.code, 1);
}

#[test]
fn whom_a_certificate_has_shown_need_not_say_more_before_the_token() {
    let authority = tls_front::authority();
    let acceptor = tls_front::acceptor(&authority, &["localhost"], 2000, 4000);
    let ca_file = tls_front::ca_file("doctor-terse", &authority.pem());
    let server = echo_server("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let (behind, heard) = (server.value.0, &server.value.1);
    let tls = Background::start(move || tls_front::before(behind, acceptor));
    let port = tls.value.port();
    let text = format!("[hub]\nurl = \"wss://localhost:{port}\"\nca_file = {ca_file:?}\n");
    let visit = Machine::pi("terse").told(&text).examined();
    visit.says("hub", CheckState::Ok, "wants a token", "");
    visit.says("access", CheckState::Failed, "does not know this token", "");
    let heard = String::from_utf8(heard.lock().unwrap().clone()).unwrap();
    let first = heard.find("GET /healthz ").unwrap();
    assert!(first < heard.find(TOKEN).unwrap(), "{heard}");
}

/// A hub of these clusters, whose vendor is at an address where nobody listens.
fn orphan(clusters: &'static [Cluster]) -> Background<(SocketAddr, Hub)> {
    Background::start(move || async move {
        let source = FeedSource {
            provider: FeedProvider::Vendor,
            endpoint: Endpoint::parse("ws://127.0.0.1:1").unwrap(),
            secret: Some(Secret::new("key").unwrap()),
        };
        let token = Secret::new(TOKEN).unwrap();
        let setup = hub::HubSetup {
            rest: source.clone(),
            source,
            connector: Connector::new(None).unwrap(),
            clusters: clusters.to_vec(),
            simulated: false,
            authenticator: Authenticator::new(None, Some(&token)).unwrap().into(),
            settings: watch::channel(hub::HubSettings::default()).1,
            calendar: Calendar::always_open(),
            clock: Clock::system(),
            supervisor: Supervisor::default(),
        };
        let hub = Hub::start(setup, "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        (hub.address(), hub)
    })
}

#[test]
fn a_hub_without_its_vendor_is_told_from_one_that_has_it() {
    let hub = orphan(&[Cluster::Indices]);
    let place = format!("ws://{}", hub.value.0);
    let mut machine = Machine::pi("orphan").of(&place);
    // Nothing will come.
    machine.time_limit = Duration::from_secs(3);
    let visit = machine.examined();
    visit.says(
        "upstream",
        CheckState::Failed,
        "indices down",
        "journalctl -u deskticker-hub",
    );
    visit.says("channels", CheckState::Warning, "; no value in", "its log");
    assert_eq!(visit.code, 1);
    // What it does not serve at all.
    let option = format!("watchlist = [\"O:SPY271217C00650000\"]\n[hub]\nurl = \"{place}\"\n");
    let visit = Machine::pi("options").told(&option).examined();
    visit.says(
        "upstream",
        CheckState::Failed,
        "options not served",
        "journalctl",
    );
    visit.says(
        "channels",
        CheckState::Failed,
        "options: nothing is served at this address",
        "log",
    );
}

fn proxy(change: impl FnOnce(&mut ProxyBehaviour)) -> Proxy {
    let proxy = Proxy::start(Clock::system());
    proxy.behave(|manner| {
        manner.token = TOKEN.into();
        change(manner);
    });
    proxy
}

#[test]
fn the_proxy_is_known_by_its_answers_and_its_silence_is_no_fault() {
    let mut proxy = proxy(|_| {});
    let place = format!("ws://{}", proxy.address);
    let mut machine = Machine::pi("proxy").of(&place);
    let (clock, _hand) = Clock::manual(Now::new(Moment::ZERO, Utc::PLAUSIBLE));
    // At midnight of a New Year's day nothing is due.
    (machine.clock, machine.calendar) = (clock, Calendar::us());
    machine.time_limit = Duration::from_secs(2);
    let visit = machine.examined();
    visit.says("hub", CheckState::Ok, "answers like the proxy", "");
    visit.says("access", CheckState::Ok, "see channels", "");
    visit.skipped(&["upstream"]);
    visit.says("channels", CheckState::Ok, "0 of 4 confirmed, not ", "");
    visit.says("channels", CheckState::Ok, "; the market is closed", "");
    assert_eq!(
        proxy.subscribed(4),
        ["AM.I:SPX", "AM.I:VIX", "V.I:SPX", "V.I:VIX"]
    );
    let farewell =
        proxy.until(|seen| matches!(seen, ProxyEvent::Farewell(_) | ProxyEvent::Gone(_)));
    assert_eq!(farewell, ProxyEvent::Farewell(1000));

    // What comes on a channel confirms it as well, and ends the waiting.
    let mut machine = Machine::pi("proxy-open").of(&place);
    let visiting = std::thread::spawn(move || machine.examined());
    proxy.subscribed(4);
    for name in ["I:VIX", "I:SPX"] {
        let bar = r#""op":17.5,"o":17.5,"c":17.25,"h":17.5,"l":17.25,"s":1795444140000,"e":1795444200000"#;
        proxy.text(format!(r#"[{{"ev":"V","val":17.25,"T":"{name}"}}]"#));
        proxy.text(format!(r#"[{{"ev":"AM","sym":"{name}",{bar}}}]"#));
    }
    let visit = visiting.join().unwrap();
    let found = "4 of 4 confirmed; first value (VIX) in ";
    visit.says("channels", CheckState::Ok, found, "");
}

#[test]
fn a_token_that_the_proxy_refuses_only_at_the_upgrade_is_told_too() {
    let proxy = proxy(|manner| manner.token = "another".into());
    let visit = Machine::pi("upgrade")
        .of(format!("ws://{}", proxy.address))
        .examined();
    visit.says(
        "channels",
        CheckState::Failed,
        "does not know this token",
        "token add NAME",
    );
    assert_eq!(visit.code, 1);
}

#[test]
fn the_vendor_is_asked_for_the_key_without_evicting_the_ticker_that_runs() {
    let vendor = Background::start(|| async {
        Simulator::start(SimulatorSettings::default(), Clock::system())
            .await
            .unwrap()
    });
    let place = vendor.value.address();
    let mut machine = Machine::pi("vendor").told(&format!("[massive]\nurl = \"ws://{place}\"\n"));
    machine.environment = Environment {
        key: Some(SimulatorSettings::default().key),
        ..Environment::default()
    };
    let visit = machine.examined();
    visit.says("token", CheckState::Ok, "MASSIVE_API_KEY", "");
    visit.says("hub", CheckState::Ok, "answers like Massive", "");
    visit.says("access", CheckState::Ok, "the key is accepted", "");
    visit.skipped(&["upstream", "channels"]);
    assert_eq!(visit.code, 0);
    machine.environment.key = Some("another-key".into());
    let visit = machine.examined();
    visit.says(
        "access",
        CheckState::Failed,
        "the key was refused",
        "massive.com",
    );
    assert_eq!(vendor.value.connections(), 0, "no socket was opened");
}

#[test]
fn a_clock_that_is_wrong_is_found_by_the_hubs() {
    let hub = simulated();
    let mut machine = Machine::pi("clock").of(format!("ws://{}", hub.value.0));
    let wrong = Utc(Utc::PLAUSIBLE.0 + 86_400_000);
    let (clock, _hand) = Clock::manual(Now::new(Moment::ZERO, wrong));
    machine.clock = clock;
    let visit = machine.examined();
    visit.says(
        "clock",
        CheckState::Failed,
        "behind the server's clock",
        "set-ntp true",
    );
    assert_eq!(visit.code, 1);
}
