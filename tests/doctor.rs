//! Tests of the doctor with real sockets: its findings about a machine and a network. The doctor
//! changes nothing, and it sends the token only to a hub.
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
use deskticker::net::source::{FeedProvider, FeedSource};
use deskticker::secret::{Environment, Secret};
use deskticker::simulator::{Simulator, SimulatorSettings};
use deskticker::systemd::Supervisor;
use deskticker::time::{Clock, Moment, Now, Utc};
use tokio::sync::watch;

use fake_machine::{Machine, TOKEN, echo_server, simulated};
use proxy_server::{Proxy, ProxyBehaviour, ProxyEvent};
use running_ticker::Background;

/// Replaces measured times and the port, because they differ in each run.
fn without_measurements(finding: &Finding, port: u16) -> Finding {
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
fn a_healthy_machine_passes_every_check() {
    let hub = simulated();
    let port = hub.value.0.port();
    let mut machine = Machine::pi("good").with_hub(format!("ws://127.0.0.1:{port}"));
    let doctor_run = machine.run_doctor();
    let path = machine.file().display().to_string();
    let mut said = String::new();
    for finding in &doctor_run.findings {
        let mut finding = without_measurements(finding, port);
        finding.found = finding.found.replace(&path, "desk.toml");
        // Either symbol can be the first one that receives a value.
        finding.found = finding.found.replace("(SPX)", "(VIX)");
        said.push_str(&text(&finding, false));
    }
    let expected = "\
ok       board         Raspberry Pi 4 Model B Rev 1.5
ok       kernel        Linux 6.12.47+rpt-rpi-v8, ARCH
ok       bus           /dev/i2c-1 exists
ok       permission    /dev/i2c-1 can be opened
ok       panel         0x3c answers on /dev/i2c-1
ok       speed         400 kHz
ok       configuration desk.toml: 2 instruments, ws://127.0.0.1:3000
ok       token         from the variable MASSIVE_PROXY_TOKEN
ok       dns           127.0.0.1 is an address, not a name
ok       tcp           127.0.0.1:3000 in 7 ms
skipped  tls           ws:// is not encrypted: use this url only inside your own
                       network
ok       clock         set by the network (NTP); the server's clock shows the
                       same time
ok       hub           a deskticker-hub that reports the status: ok
ok       access        the token is accepted
ok       upstream      indices live, simulated
ok       channels      4 of 4 confirmed; first value (VIX) in 7 ms
";
    assert_eq!(said, expected.replace("ARCH", std::env::consts::ARCH));
    assert_eq!(doctor_run.code, 0);
    assert!(doctor_run.text().ends_with("all checks passed\n"));
}

#[test]
fn a_missing_bus_is_reported_with_a_remedy_for_this_machine() {
    let missing = |machine: Machine| {
        let mut machine = machine.with_hub("ws://hub.invalid");
        std::fs::remove_file(machine.root.join("dev/i2c-1")).ok();
        let doctor_run = machine.run_doctor();
        doctor_run.assert_skipped(&["permission", "panel", "speed"]);
        assert!(machine.probes.is_empty());
        let bus = doctor_run.finding("bus").clone();
        assert_eq!(bus.state, CheckState::Failed);
        (bus.found, bus.remedy.unwrap())
    };
    let (found, remedy) = missing(Machine::new("pc"));
    assert_eq!(found, "there is no /dev/i2c-1, and no other /dev/i2c-*");
    assert!(remedy.contains("a bridge from USB to I2C"), "{remedy}");
    assert!(remedy.contains("bus = \"/dev/i2c-N\""), "{remedy}");
    let armbian = Machine::new("armbian").with("proc/device-tree/model", "OrangePi Zero3\0");
    let (_, remedy) = missing(armbian);
    assert_eq!(
        remedy,
        "Add to /boot/armbianEnv.txt, and reboot:\n  overlays=i2c3-ph"
    );
    let off = Machine::new("off").with("proc/device-tree/model", "Raspberry Pi 3 Model B\0");
    // These are the buses of the two HDMI connectors. The panel is never on them.
    let off = off.with("dev/i2c-21", "").with("dev/i2c-20", "");
    let (found, remedy) = missing(off.with("dev/i2c", ""));
    assert_eq!(
        found,
        "there is no /dev/i2c-1, only /dev/i2c-20, /dev/i2c-21"
    );
    assert!(remedy.contains("\n  dtparam=i2c_arm=on\n  dtparam=i2c_arm_baudrate=400000\n"));
    assert!(remedy.contains("\n  sudo raspi-config nonint do_i2c 0"));
    // The kernel has the bus, but its device file does not exist.
    let (_, remedy) = missing(Machine::pi("module"));
    assert!(remedy.contains("\n  sudo modprobe i2c-dev\n"), "{remedy}");
}

#[test]
fn the_panel_is_probed_without_side_effects() {
    let mut machine = Machine::pi("asked").with_hub("ws://hub.invalid");
    machine.answers = |_, _| Err(BusFault::NoAnswer);
    let doctor_run = machine.run_doctor();
    doctor_run.assert_finding(
        "panel",
        CheckState::Failed,
        "nothing answers at 0x3c",
        "SDA on pin 3, SCL on pin 5",
    );
    // The configured address receives a command that does nothing (NOP). The other address receives
    // an empty message. Each address is probed once.
    let probes: Vec<_> = machine
        .probes
        .iter()
        .map(|(_, address, how)| (*address, *how))
        .collect();
    assert_eq!(probes, [(0x3c, BusProbe::Nop), (0x3d, BusProbe::Empty)]);
    assert!(
        machine
            .probes
            .iter()
            .all(|(bus, ..)| bus.ends_with("dev/i2c-1"))
    );
    machine.answers = |address, _| match address {
        0x3d => Ok(()),
        _ => Err(BusFault::NoAnswer),
    };
    let doctor_run = machine.run_doctor();
    doctor_run.assert_finding(
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
        (|_, _| Err(BusFault::Claimed), "uses 0x3c", "dtoverlay"),
        (
            |_, _| Err(BusFault::Errno(5)),
            "Input/output error",
            "pin 3",
        ),
    ] {
        machine.answers = answers;
        machine.probes.clear();
        machine
            .run_doctor()
            .assert_finding("panel", CheckState::Failed, found, remedy);
        assert_eq!(
            machine.probes.len(),
            1,
            "nobody else is asked on such a bus"
        );
    }
    let other = "[hub]\nurl = \"ws://hub.invalid\"\n[panel]\naddress = 0x40\n";
    let mut machine = Machine::pi("address").with_config(other);
    machine.answers = |_, _| Err(BusFault::NoAnswer);
    machine
        .run_doctor()
        .assert_finding("panel", CheckState::Failed, "at 0x40", "pin 3");
    let probes: Vec<_> = machine
        .probes
        .iter()
        .map(|(_, address, _)| *address)
        .collect();
    assert_eq!(probes, [0x40, 0x3c, 0x3d]);
}

#[test]
fn the_reset_line_is_checked_and_an_ssd1309_without_one_is_told_of_it() {
    let config = |panel: &str| format!("[hub]\nurl = \"ws://hub.invalid\"\n[panel]\n{panel}\n");
    let mut machine = Machine::pi("reset").with_config(&config("chip = \"ssd1309\""));
    let words =
        "answers on /dev/i2c-1; if the panel stays dark: an SSD1309 usually needs its RES pin";
    let doctor_run = machine.run_doctor();
    let panel = doctor_run.finding("panel");
    assert!(panel.found.contains(words), "{}", panel.found);
    machine.answers = |_, _| Err(BusFault::NoAnswer);
    let words = "an SSD1309 usually needs its RES pin";
    let doctor_run = machine.run_doctor();
    doctor_run.assert_finding("panel", CheckState::Failed, "nothing answers", words);

    let mut machine = Machine::pi("reset-line").with_config(&config("reset = 17"));
    let (found, remedy) = ("there is no /dev/gpiochip0", "ls /dev/gpiochip*");
    let doctor_run = machine.run_doctor();
    doctor_run.assert_finding("reset", CheckState::Failed, found, remedy);
    let mut machine = machine.with("dev/gpiochip0", "");
    let (found, remedy) = ("/dev/gpiochip0 is not a GPIO chip", "gpiodetect");
    let doctor_run = machine.run_doctor();
    doctor_run.assert_finding("reset", CheckState::Failed, found, remedy);
}

#[test]
fn a_panel_on_spi_is_checked_without_a_probe() {
    let text = "[hub]\nurl = \"ws://hub.invalid\"\n[panel]\nbus = \"/dev/spidev0.0\"\ndc = 24\n";
    let mut machine = Machine::pi("spi").with_config(text);
    let doctor_run = machine.run_doctor();
    let (found, remedy) = (
        "there is no /dev/spidev0.0, and no other /dev/spidev*",
        "dtparam=spi=on",
    );
    doctor_run.assert_finding("bus", CheckState::Failed, found, remedy);
    doctor_run.assert_finding(
        "bus",
        CheckState::Failed,
        found,
        "raspi-config nonint do_spi 0",
    );
    // The program opens the line first, and reports its chip.
    let (found, remedy) = ("there is no /dev/gpiochip0", "(dc, reset)");
    doctor_run.assert_finding("dc", CheckState::Failed, found, remedy);
    let mut machine = machine.with("dev/spidev0.0", "");
    let doctor_run = machine.run_doctor();
    doctor_run.assert_finding(
        "dc",
        CheckState::Failed,
        "there is no /dev/gpiochip0",
        "gpiochip*",
    );
    doctor_run.assert_skipped(&["panel", "speed"]);
    assert!(machine.probes.is_empty());
}

#[test]
fn an_input_device_that_does_not_exist_is_named_with_those_that_exist() {
    let text = "buttons = [\"AB Shuter3\"]\n[hub]\nurl = \"ws://hub.invalid\"\n";
    let machine = Machine::pi("buttons").with_config(text);
    let mut machine = machine.with("sys/class/input/event2/device/name", "AB Shutter3\n");
    let found = "there is no input device \"AB Shuter3\"; this machine has \"AB Shutter3\"";
    let doctor_run = machine.run_doctor();
    doctor_run.assert_finding("buttons", CheckState::Warning, found, "`buttons`");
    let mut machine = machine.with("sys/class/input/event3/device/name", "AB Shuter3\n");
    let finding = machine.run_doctor().finding("buttons").clone();
    assert_eq!(finding.state, CheckState::Ok);
}

#[test]
fn a_ticker_stuck_in_a_write_is_reported_for_every_panel() {
    let told = "panel stuck 2026-11-27T00:15:11Z\n";
    let mut machine = Machine::pi("stuck").with_hub("ws://hub.invalid");
    machine = machine.with("run/deskticker/state", told);
    let words = "stuck in a write to its panel since 2026-11-27T00:15:11Z";
    let doctor_run = machine.run_doctor();
    doctor_run.assert_finding("panel", CheckState::Failed, words, "systemctl restart");
    assert!(machine.probes.is_empty(), "it would hang as well");
    let picture = "[hub]\nurl = \"ws://hub.invalid\"\n[panel]\nkind = \"png\"\n";
    let mut machine = Machine::pi("stuck-picture").with_config(picture);
    machine = machine.with("run/deskticker/state", told);
    let doctor_run = machine.run_doctor();
    doctor_run.assert_finding("panel", CheckState::Failed, words, "disk or network drive");
    doctor_run.assert_skipped(&["bus", "permission", "speed"]);
    let mut machine = machine.with("run/deskticker/state", "panel shown\n");
    machine.run_doctor().assert_skipped(&["panel"]);
}

#[test]
fn a_slow_bus_is_reported_with_the_setting_for_a_faster_bus() {
    const FILE: &str = "sys/bus/i2c/devices/i2c-1/of_node/clock-frequency";
    let speed = |name, cell: &[u8], kernel| {
        let machine = Machine::pi(name)
            .with_hub("ws://hub.invalid")
            .with(FILE, cell);
        let mut machine = machine.with("proc/sys/kernel/osrelease", kernel);
        machine.run_doctor().finding("speed").clone()
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
        assert!(unknown.found.contains("does not report"));
    }
    assert_eq!(speed("zero", &[0; 4], "6").state, CheckState::Warning);
}

#[test]
fn a_machine_without_an_oled_is_not_probed_for_a_bus() {
    let text = "[hub]\nurl = \"ws://hub.invalid\"\n[panel]\nkind = \"png\"\n";
    let mut machine = Machine::pi("png").with_config(text);
    machine
        .run_doctor()
        .assert_skipped(&["bus", "permission", "panel", "speed"]);
    assert!(machine.probes.is_empty());
}

#[test]
fn a_bus_that_no_configuration_names_is_not_checked_after_an_error() {
    let hub = "[hub]\nurl = \"ws://hub.invalid\"\n";
    for (text, bus) in [
        (
            format!("watchlst = [\"SPX\"]\n{hub}[panel]\nkind = \"png\"\n"),
            "",
        ),
        (format!("{hub}[panel]\nkind = \"pgn\"\n"), ""),
        (format!("watchlst = [\"SPX\"]\n{hub}"), ""),
        ("watchlist = [".to_owned(), ""),
        (
            format!("watchlst = 1\n{hub}[panel]\nbus = \"/dev/i2c-7\"\n"),
            "/dev/i2c-7",
        ),
    ] {
        let mut machine = Machine::new("no-bus").with_config(&text);
        let doctor_run = machine.run_doctor();
        assert_eq!(doctor_run.code, 78);
        match bus {
            "" => doctor_run.assert_skipped(&["bus", "permission", "panel", "speed"]),
            bus => doctor_run.assert_finding("bus", CheckState::Failed, bus, ""),
        }
        assert!(machine.probes.is_empty());
    }
}

#[test]
fn an_unknown_host_name_and_a_closed_port_are_reported() {
    let doctor_run = Machine::pi("nameless")
        .with_hub("ws://hub.invalid:3000")
        .run_doctor();
    doctor_run.assert_finding("dns", CheckState::Failed, "hub.invalid", "/etc/resolv.conf");
    doctor_run.assert_skipped(&["tcp", "tls", "hub", "access", "upstream", "channels"]);
    assert_eq!(doctor_run.code, 1);
    let doctor_run = Machine::pi("local")
        .with_hub("ws://no-such-hub.local")
        .run_doctor();
    doctor_run.assert_finding(
        "dns",
        CheckState::Failed,
        "no-such-hub.local",
        "avahi-daemon",
    );

    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = dead.local_addr().unwrap();
    drop(dead);
    let doctor_run = Machine::pi("dead")
        .with_hub(format!("ws://{address}"))
        .run_doctor();
    doctor_run.assert_finding(
        "tcp",
        CheckState::Failed,
        "refused",
        "systemctl status deskticker-hub",
    );
    doctor_run.assert_skipped(&["tls", "hub", "access", "upstream", "channels"]);
    doctor_run.assert_finding("clock", CheckState::Ok, "set by the network", "");
}

#[test]
fn each_certificate_fault_is_reported_with_its_remedy() {
    let hub = simulated();
    let doctor_run = |name: &str, names: &[&str], years: (i32, i32), trusted: bool| {
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
        Machine::pi(&format!("tls-{name}"))
            .with_config(&text)
            .run_doctor()
    };
    let good = doctor_run("good", &["localhost"], (2000, 4000), true);
    good.assert_finding("tls", CheckState::Ok, "until 4000-01-01", "");
    good.assert_finding("channels", CheckState::Ok, "4 of 4 confirmed", "");
    assert_eq!(good.code, 0);
    for (name, names, years, trusted, found, remedy) in [
        (
            "unknown",
            "localhost",
            (2000, 4000),
            false,
            "issuer of the server's certificate is not trusted",
            "ca_file = ",
        ),
        (
            "expired",
            "localhost",
            (2000, 2001),
            true,
            "expired on 2001-01-01",
            "Renew the certificate",
        ),
        (
            "future",
            "localhost",
            (3000, 4000),
            true,
            "begins on 3000-01-01",
            "set-ntp true",
        ),
        (
            "name",
            "hub.local",
            (2000, 4000),
            true,
            "is not for localhost, but for hub.local",
            "url with a host name",
        ),
    ] {
        let doctor_run = doctor_run(name, &[names], years, trusted);
        doctor_run.assert_finding("tls", CheckState::Failed, found, remedy);
        doctor_run.assert_skipped(&["hub", "access", "upstream", "channels"]);
        assert_eq!(doctor_run.code, 1);
    }
    // The server does not use TLS.
    let plain = hub.value.0.port();
    let doctor_run = Machine::pi("plain")
        .with_hub(format!("wss://localhost:{plain}"))
        .run_doctor();
    let found = "the server does not use TLS at this port";
    doctor_run.assert_finding("tls", CheckState::Failed, found, "write ws:// in the url");
}

#[test]
fn a_relay_without_rest_is_checked_if_the_configuration_trusts_it() {
    let relay = proxy(|behaviour| behaviour.relay = true);
    let doctor_run = |more: &str, address| {
        let text = format!("[hub]\nurl = \"ws://{address}\"\n{more}");
        let mut machine = Machine::pi("relay").with_config(&text);
        machine.time_limit = Duration::from_secs(1);
        machine.run_doctor()
    };
    let doubtful = doctor_run("", relay.address);
    doubtful.assert_finding("hub", CheckState::Failed, "status 426", "trust = true");
    doubtful.assert_skipped(&["access", "upstream", "channels"]);
    let trusted = doctor_run("trust = true", relay.address);
    trusted.assert_finding("hub", CheckState::Ok, "trust = true", "");
    trusted.assert_finding("access", CheckState::Ok, "no short-lived tokens", "");
    trusted.assert_finding("channels", CheckState::Warning, "0 of 4 confirmed", "");
    let usual = doctor_run("trust = true", proxy(|_| {}).address);
    usual.assert_finding(
        "hub",
        CheckState::Warning,
        "like the proxy",
        "remove the line",
    );
}

#[test]
fn each_of_several_hubs_is_checked() {
    let hub = simulated();
    let good = format!("ws://{}", hub.value.0);
    let text = format!("[hub]\nurl = [\"ws://127.0.0.1:1\", \"{good}\"]\n");
    let doctor_run = Machine::pi("two-hubs").with_config(&text).run_doctor();
    let configuration = doctor_run.finding("configuration");
    let both = format!("ws://127.0.0.1:1 or {good}");
    assert!(configuration.found.ends_with(&both), "{configuration:?}");
    let found = |check: &str| -> Vec<(CheckState, String)> {
        let findings = doctor_run.findings.iter();
        let findings = findings.filter(|finding| finding.check == check);
        findings
            .map(|finding| (finding.state, finding.found.clone()))
            .collect()
    };
    let tcp = found("tcp");
    assert_eq!([tcp[0].0, tcp[1].0], [CheckState::Failed, CheckState::Ok]);
    assert!(tcp[0].1.starts_with("ws://127.0.0.1:1: "), "{tcp:?}");
    assert!(tcp[1].1.starts_with(&format!("{good}: ")), "{tcp:?}");
    let channels = found("channels");
    assert_eq!(
        [channels[0].0, channels[1].0],
        [CheckState::Skipped, CheckState::Ok]
    );
}

#[test]
fn no_token_is_sent_to_a_server_that_is_not_a_hub() {
    for (answer, found) in [
        (
            "HTTP/1.1 302 Found\r\nLocation: http://login.hotel/?from=me\r\nContent-Length: 0\r\n\r\n",
            "PORTAL: a redirect to login.hotel instead of JSON",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nlogin",
            "PORTAL: a web page or other data instead of the report of a hub",
        ),
        (
            "HTTP/1.1 511 Network Authentication Required\r\nContent-Length: 0\r\n\r\n",
            "PORTAL",
        ),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "the server is not recognised as a hub (status 404)",
        ),
        // The ticker does not accept this response as a hub either: a hub reports a missing token
        // in JSON.
        (
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
            "something in front of the hub refuses the request (status 401)",
        ),
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n",
            "something in front of the hub refuses the request (status 403)",
        ),
        (
            "HTTP/1.1 521 Down\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n",
            "a proxy answers, but the hub behind it does not answer (status 521)",
        ),
        (
            "HTTP/1.1 525 Handshake\r\nContent-Length: 0\r\n\r\n",
            "a proxy answers, but the hub behind it does not answer (status 525)",
        ),
        (
            "HTTP/1.1 500 Oh\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"error\":\"bad\"}",
            "the server is overloaded or has an internal error (status 500)",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"a\":1}\r\n",
            "PORTAL: a web page or other data",
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n", "the connection was lost"),
    ] {
        let server = echo_server(answer);
        let (address, heard) = &server.value;
        let doctor_run = Machine::pi("portal")
            .with_hub(format!("ws://{address}"))
            .run_doctor();
        doctor_run.assert_finding("hub", CheckState::Failed, found, "");
        doctor_run.assert_skipped(&["access", "upstream", "channels"]);
        assert_eq!(doctor_run.code, 1);
        // Such a server can also receive an attempt of a TLS handshake.
        let heard = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
        assert!(heard.contains("GET /healthz HTTP/1.1\r\n"), "{heard}");
        assert!(
            !heard.contains("token") && !heard.contains("s3cr3t"),
            "{heard}"
        );
        assert!(!doctor_run.text().contains("from=me"));
    }
}

#[test]
fn an_unknown_token_is_reported_with_the_command_that_creates_one() {
    let hub = simulated();
    let mut machine = Machine::pi("unknown").with_hub(format!("ws://{}", hub.value.0));
    machine.environment.token = Some("another-token".into());
    let doctor_run = machine.run_doctor();
    doctor_run.assert_finding(
        "access",
        CheckState::Failed,
        "the hub refused the token",
        "\n  deskticker-hub token add NAME",
    );
    doctor_run.assert_skipped(&["upstream", "channels"]);
    assert_eq!(doctor_run.code, 1);
}

#[test]
fn a_server_with_a_valid_certificate_gets_the_token_after_a_bare_403() {
    let authority = tls_front::authority();
    let acceptor = tls_front::acceptor(&authority, &["localhost"], 2000, 4000);
    let ca_file = tls_front::ca_file("doctor-terse", &authority.pem());
    let server = echo_server("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let (behind, heard) = (server.value.0, &server.value.1);
    let tls = Background::start(move || tls_front::before(behind, acceptor));
    let port = tls.value.port();
    let text = format!("[hub]\nurl = \"wss://localhost:{port}\"\nca_file = {ca_file:?}\n");
    let doctor_run = Machine::pi("terse").with_config(&text).run_doctor();
    doctor_run.assert_finding("hub", CheckState::Ok, "its certificate is valid", "");
    doctor_run.assert_finding(
        "access",
        CheckState::Failed,
        "the hub refused the token",
        "",
    );
    let heard = String::from_utf8(heard.lock().unwrap().clone()).unwrap();
    let first = heard.find("GET /healthz ").unwrap();
    assert!(first < heard.find(TOKEN).unwrap(), "{heard}");
}

/// A hub of these clusters. Nothing listens at the address of its vendor.
fn hub_without_vendor(clusters: &'static [Cluster]) -> Background<(SocketAddr, Hub)> {
    Background::start(move || async move {
        let source = FeedSource::new(
            FeedProvider::Vendor,
            Endpoint::parse("ws://127.0.0.1:1").unwrap(),
            Some(Secret::new("key").unwrap()),
        );
        let token = Secret::new(TOKEN).unwrap();
        let setup = hub::HubSetup {
            upstream: watch::channel(hub::UpstreamServer {
                rest: source.clone(),
                source,
            })
            .1,
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
fn a_hub_without_its_vendor_is_reported_as_a_failure() {
    let hub = hub_without_vendor(&[Cluster::Indices]);
    let place = format!("ws://{}", hub.value.0);
    let mut machine = Machine::pi("orphan").with_hub(&place);
    // No value arrives, so the test uses a short time limit.
    machine.time_limit = Duration::from_secs(3);
    let doctor_run = machine.run_doctor();
    doctor_run.assert_finding(
        "upstream",
        CheckState::Failed,
        "indices down",
        "journalctl -u deskticker-hub",
    );
    doctor_run.assert_finding(
        "channels",
        CheckState::Warning,
        "; no value in",
        "the log of the server",
    );
    assert_eq!(doctor_run.code, 1);
    // The hub does not serve this cluster.
    let option = format!("watchlist = [\"O:SPY271217C00650000\"]\n[hub]\nurl = \"{place}\"\n");
    let doctor_run = Machine::pi("options").with_config(&option).run_doctor();
    doctor_run.assert_finding(
        "upstream",
        CheckState::Failed,
        "options not offered by this hub",
        "journalctl",
    );
    doctor_run.assert_finding(
        "channels",
        CheckState::Failed,
        "options: the server has nothing at this address",
        "log",
    );
}

fn proxy(change: impl FnOnce(&mut ProxyBehaviour)) -> Proxy {
    let proxy = Proxy::start(Clock::system());
    proxy.behave(|behaviour| {
        behaviour.token = TOKEN.into();
        change(behaviour);
    });
    proxy
}

#[test]
fn the_proxy_is_recognised_by_its_responses_and_its_silence_is_no_fault() {
    let mut proxy = proxy(|_| {});
    let place = format!("ws://{}", proxy.address);
    let mut machine = Machine::pi("proxy").with_hub(&place);
    let (clock, _manual_clock) = Clock::manual(Now::new(Moment::ZERO, Utc::PLAUSIBLE));
    // The clock shows midnight of New Year's Day, when the market is closed and no value is due.
    (machine.clock, machine.calendar) = (clock, Calendar::us());
    machine.time_limit = Duration::from_secs(2);
    let doctor_run = machine.run_doctor();
    doctor_run.assert_finding("hub", CheckState::Ok, "responds like the proxy", "");
    doctor_run.assert_finding("access", CheckState::Ok, "the check `channels`", "");
    doctor_run.assert_skipped(&["upstream"]);
    doctor_run.assert_finding("channels", CheckState::Ok, "0 of 4 confirmed, not ", "");
    doctor_run.assert_finding("channels", CheckState::Ok, "; the market is closed", "");
    assert_eq!(
        proxy.wait_for_subscriptions(4),
        ["AM.I:SPX", "AM.I:VIX", "V.I:SPX", "V.I:VIX"]
    );
    let farewell =
        proxy.until(|seen| matches!(seen, ProxyEvent::Farewell(_) | ProxyEvent::Gone(_)));
    assert_eq!(farewell, ProxyEvent::Farewell(1000));

    // A value without a timestamp has an unknown age.
    let mut machine = Machine::pi("proxy-undated").with_hub(&place);
    let visiting = std::thread::spawn(move || machine.run_doctor());
    proxy.wait_for_subscriptions(4);
    for kind in ["V", "AM"] {
        for name in ["I:VIX", "I:SPX"] {
            let acknowledged = format!("subscribed to: {kind}.{name}");
            proxy.text(format!(
                r#"[{{"ev":"status","status":"success","message":"{acknowledged}"}}]"#
            ));
        }
    }
    proxy.text(r#"[{"ev":"V","val":17.25,"T":"I:VIX","t":0}]"#);
    let doctor_run = visiting.join().unwrap();
    let found = "; a value of VIX has no usable timestamp (field t)";
    let remedy = "The ticker shows no such value as live";
    doctor_run.assert_finding("channels", CheckState::Warning, found, remedy);

    // A value on a channel confirms its subscription and ends the wait.
    let mut machine = Machine::pi("proxy-open").with_hub(&place);
    let visiting = std::thread::spawn(move || machine.run_doctor());
    proxy.wait_for_subscriptions(4);
    for name in ["I:VIX", "I:SPX"] {
        let bar = r#""op":17.5,"o":17.5,"c":17.25,"h":17.5,"l":17.25,"s":1795444140000,"e":1795444200000"#;
        let value = format!(r#"[{{"ev":"V","val":17.25,"T":"{name}","t":1795444200000}}]"#);
        proxy.text(value);
        proxy.text(format!(r#"[{{"ev":"AM","sym":"{name}",{bar}}}]"#));
    }
    let doctor_run = visiting.join().unwrap();
    let found = "4 of 4 confirmed; first value (VIX) in ";
    doctor_run.assert_finding("channels", CheckState::Ok, found, "");
}

#[test]
fn a_token_refused_at_the_upgrade_is_reported() {
    let proxy = proxy(|behaviour| behaviour.token = "another".into());
    let doctor_run = Machine::pi("upgrade")
        .with_hub(format!("ws://{}", proxy.address))
        .run_doctor();
    doctor_run.assert_finding(
        "channels",
        CheckState::Failed,
        "the hub refused the token",
        "token add NAME",
    );
    assert_eq!(doctor_run.code, 1);
}

#[test]
fn the_key_check_does_not_evict_a_running_ticker() {
    let vendor = Background::start(|| async {
        Simulator::start(SimulatorSettings::default(), Clock::system())
            .await
            .unwrap()
    });
    let place = vendor.value.address();
    let mut machine =
        Machine::pi("vendor").with_config(&format!("[massive]\nurl = \"ws://{place}\"\n"));
    machine.environment = Environment {
        key: Some(SimulatorSettings::default().key),
        ..Environment::default()
    };
    let doctor_run = machine.run_doctor();
    doctor_run.assert_finding("token", CheckState::Ok, "MASSIVE_API_KEY", "");
    doctor_run.assert_finding("hub", CheckState::Ok, "responds like Massive", "");
    doctor_run.assert_finding("access", CheckState::Ok, "the key is accepted", "");
    doctor_run.assert_skipped(&["upstream", "channels"]);
    assert_eq!(doctor_run.code, 0);
    machine.environment.key = Some("another-key".into());
    let doctor_run = machine.run_doctor();
    doctor_run.assert_finding(
        "access",
        CheckState::Failed,
        "the vendor refused the key",
        "massive.com",
    );
    assert_eq!(vendor.value.connections(), 0, "no socket was opened");
}

#[test]
fn a_wrong_clock_is_found_by_the_clock_of_the_hub() {
    let hub = simulated();
    let mut machine = Machine::pi("clock").with_hub(format!("ws://{}", hub.value.0));
    let wrong = Utc(Utc::PLAUSIBLE.0 + 86_400_000);
    let (clock, _manual_clock) = Clock::manual(Now::new(Moment::ZERO, wrong));
    machine.clock = clock;
    let doctor_run = machine.run_doctor();
    doctor_run.assert_finding(
        "clock",
        CheckState::Failed,
        "behind the server's clock",
        "set-ntp true",
    );
    assert_eq!(doctor_run.code, 1);
}

#[test]
fn a_share_at_a_hub_without_a_stream_of_shares_comes_by_rest() {
    let hub = |denied: &'static [&'static str]| {
        Background::start(move || async move {
            let vendor = SimulatorSettings {
                speed: 20.0,
                values: true,
                denied: denied.iter().map(|name| (*name).to_owned()).collect(),
                ..SimulatorSettings::default()
            };
            let token = Secret::new(TOKEN).unwrap();
            let setup = deskticker::demo::simulated_hub(vendor, &token, Clock::system());
            let (mut setup, simulator) = setup.await.unwrap();
            setup.clusters = vec![Cluster::Indices, Cluster::Options];
            let hub = Hub::start(setup, "127.0.0.1:0".parse().unwrap()).await;
            let hub = hub.unwrap();
            (hub.address(), hub, simulator)
        })
    };
    for (watchlist, upstream, channels) in [
        ("SPY", "shares come by REST", "shares come by REST"),
        (
            r#"SPX", "SPY"#,
            "indices live, simulated, shares come by REST",
            "2 of 2 confirmed; shares come by REST; first value (SPX) in",
        ),
    ] {
        let hub = hub(&[]);
        let text = format!(
            "watchlist = [\"{watchlist}\"]\n[hub]\nurl = \"ws://{}\"\n",
            hub.value.0
        );
        let doctor_run = Machine::pi("shares").with_config(&text).run_doctor();
        doctor_run.assert_finding("upstream", CheckState::Ok, upstream, "");
        doctor_run.assert_finding("channels", CheckState::Ok, channels, "");
        assert_eq!(doctor_run.code, 0);
    }
    let hub = hub(&["SPY"]);
    let text = format!(
        "watchlist = [\"SPY\"]\n[hub]\nurl = \"ws://{}\"\n",
        hub.value.0
    );
    let doctor_run = Machine::pi("denied-share").with_config(&text).run_doctor();
    let found = "the vendor refuses the REST request for SPY";
    doctor_run.assert_finding("channels", CheckState::Warning, found, "NO ACCESS");
}
