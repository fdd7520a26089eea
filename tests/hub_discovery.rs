//! Tests of a display without the address of its hub: the real programs in a network of their own,
//! with the real announcement of the hub. Each test runs itself again in a new network namespace.
#![allow(clippy::unwrap_used)]

#[path = "support/child_process.rs"]
mod child_process;
#[path = "support/notice.rs"]
mod notice;
#[path = "support/own_network.rs"]
mod own_network;

use std::io::{Cursor, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use deskticker::render::LinkIcon;
use ring::digest::{SHA256, digest};
use rustix::process::Signal;
use simple_dns::rdata::{A, PTR, RData, SRV, TXT};
use simple_dns::{CLASS, Name, Packet, PacketFlag, ResourceRecord};

use child_process::{Program, clean_command, directory};

/// The address of this machine in the network of a test.
const HERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const TOKEN: &str = "the-secret-token-of-this-display-0123456789";
const OTHER: &str = "another-token-that-this-display-does-not-know";

/// The network of a test: this machine has one interface besides the loopback interface.
const INTERFACES: &[&str] = &[
    "link set lo up",
    "link add hub0 type veth peer name hub1",
    "link set hub0 up",
    "link set hub1 up",
    "address add 192.0.2.1/24 dev hub0",
];

fn in_own_network(test: &str) -> bool {
    own_network::in_own_network(test, INTERFACES)
}

/// A hub with simulated prices on a machine with this name.
fn hub(machine: &str, listen: &str, token: &str) -> Program {
    let mut command = clean_command("unshare");
    let hub = env!("CARGO_BIN_EXE_deskticker-hub");
    let script = format!("hostname {machine} && exec {hub} --simulate --listen {listen}");
    command.args(["--uts", "sh", "-c", &script]);
    command.env("MASSIVE_PROXY_TOKEN", token);
    let mut program = Program::spawn(&mut command);
    program.wait_for_line("Simulated prices, listening on");
    program
}

/// A configuration without the address of a hub.
fn configuration(name: &str) -> PathBuf {
    let config = directory(name).join("desk.toml");
    let picture = config.with_file_name("screen.png");
    let text = format!("[hub]\n[panel]\nkind = \"png\"\nfile = {picture:?}\n");
    std::fs::write(&config, text).unwrap();
    config
}

fn display(config: &Path) -> Program {
    let arguments = ["run", "--config", config.to_str().unwrap()];
    Program::start(
        &arguments,
        &[("MASSIVE_PROXY_TOKEN", TOKEN), ("RUST_LOG", "debug")],
    )
}

/// The findings of the doctor, each on one line.
fn doctor(config: &Path) -> String {
    let mut command = clean_command(env!("CARGO_BIN_EXE_deskticker"));
    command.args(["doctor", "--config"]).arg(config);
    command.env("MASSIVE_PROXY_TOKEN", TOKEN);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Runs the doctor until its findings contain this text: a hub announces itself only after it has
/// asked for three times 250 ms if another machine has its name (RFC 6762, section 8.1).
#[track_caller]
fn wait_for_finding(config: &Path, part: &str) -> String {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let said = doctor(config);
        if said.contains(part) {
            return said;
        }
        assert!(Instant::now() < end, "{part}\n{said}");
    }
}

#[test]
fn a_display_without_an_address_shows_the_prices_of_the_only_hub() {
    if !in_own_network("a_display_without_an_address_shows_the_prices_of_the_only_hub") {
        return;
    }
    let config = configuration("only");
    let mut display = display(&config);
    display.wait_for_line("no hub announces itself in this network");
    let mut first = hub("attic", "0.0.0.0:3000", TOKEN);
    display.wait_for_line("the hub is deskticker-hub on attic (192.0.2.1:3000)");
    display.wait_for_line("all values have arrived");
    let said = doctor(&config);
    for part in [
        "found deskticker-hub on attic (192.0.2.1:3000), which knows the token",
        "tcp 192.0.2.1:3000 in",
        "the token is accepted",
        "4 of 4 confirmed",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    // The hub moves to another port.
    first.end(Signal::TERM);
    let _second = hub("attic", "0.0.0.0:3001", TOKEN);
    display.wait_for_line("the hub is deskticker-hub on attic (192.0.2.1:3001)");
    display.wait_for_line("indices: connection live");
    let said = display.output();
    assert!(!said.contains(TOKEN) && !said.contains(&hash(TOKEN)));
}

#[test]
fn several_hubs_are_named_and_none_of_them_is_used() {
    if !in_own_network("several_hubs_are_named_and_none_of_them_is_used") {
        return;
    }
    let mut attic = hub("attic", "0.0.0.0:3000", TOKEN);
    let _kitchen = hub("kitchen", "0.0.0.0:3001", TOKEN);
    let names =
        "deskticker-hub on attic (192.0.2.1:3000), deskticker-hub on kitchen (192.0.2.1:3001)";
    let config = configuration("several");
    let found = format!("2 hubs announce themselves, and none of them is used: {names}");
    wait_for_finding(&config, &found);
    let mut display = display(&config);
    display.wait_for_line(&format!("2 hubs announce themselves: {names}"));
    display.wait_for_line("several hubs announce themselves in this network");
    let text = "attic (192.0.2.1:3000), kitchen (192.0.2.1:3001): write one as url";
    wait_for_notice(&config.with_file_name("screen.png"), "2 HUBS", text);
    assert!(!display.output().contains("connection live"));
    // One of them ends, and the other one is then the only hub.
    attic.end(Signal::TERM);
    display.wait_for_line("the hub is deskticker-hub on kitchen (192.0.2.1:3001)");
    display.wait_for_line("all values have arrived");
}

#[test]
fn a_false_hub_does_not_get_the_token() {
    if !in_own_network("a_false_hub_does_not_get_the_token") {
        return;
    }
    // The real hub is not announced, and the false hub can reach it.
    let _hub = hub("attic", "127.0.0.1:3000", TOKEN);
    announce_falsely();
    let config = configuration("false");
    for behaviour in [Behaviour::Junk, Behaviour::Mirror, Behaviour::Forward] {
        let received = false_hub(behaviour);
        let said = doctor(&config);
        let found = "found deskticker-hub on evil (192.0.2.1:4000), but it is not used";
        assert!(said.contains(found), "{behaviour:?}: {said}");
        assert!(said.contains("does not know the token"), "{said}");
        let mut display = display(&config);
        display.wait_for_line("does not know the token of this display");
        display.assert_silent_until(Instant::now() + Duration::from_secs(4), "connection live");
        drop(display);
        let received = received.lock().unwrap().clone();
        assert!(received.contains("POST /api/hub-proof"), "{received}");
        assert!(!received.contains(TOKEN) && !received.contains(&hash(TOKEN)));
        // The false hub sees no other request than the one for the proof.
        assert_eq!(
            received.matches(" HTTP/1.1").count(),
            received.matches("hub-proof").count()
        );
    }
}

#[test]
fn a_hub_that_does_not_know_the_token_is_not_used() {
    if !in_own_network("a_hub_that_does_not_know_the_token_is_not_used") {
        return;
    }
    let _hub = hub("attic", "0.0.0.0:3000", OTHER);
    let config = configuration("stranger");
    let mut display = display(&config);
    display.wait_for_line("does not know the token of this display");
    let said = doctor(&config);
    assert!(said.contains("deskticker-hub token add NAME"), "{said}");
}

fn hash(token: &str) -> String {
    data_encoding::HEXLOWER.encode(digest(&SHA256, token.as_bytes()).as_ref())
}

/// Waits until the picture shows a notice with this title and this text.
fn wait_for_notice(path: &Path, title: &str, text: &str) {
    let icons = [
        LinkIcon::Joining,
        LinkIcon::Silent,
        LinkIcon::Down,
        LinkIcon::Refused,
    ];
    let expected = icons.map(|sign| pixels(&notice::picture(title, text, None, sign)).unwrap());
    let end = Instant::now() + Duration::from_secs(40);
    loop {
        let shown = std::fs::read(path).ok().and_then(|bytes| pixels(&bytes));
        if shown.is_some_and(|shown| expected.contains(&shown)) {
            return;
        }
        assert!(Instant::now() < end, "the picture never shows {title}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn pixels(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().ok()?;
    let mut pixels = vec![0; reader.output_buffer_size()?];
    reader.next_frame(&mut pixels).ok()?;
    Some(pixels)
}

/// Answers each question for a hub with the announcement of a false hub at port 4000.
fn announce_falsely() {
    let socket = UdpSocket::bind("0.0.0.0:5353").unwrap();
    let group = Ipv4Addr::new(224, 0, 0, 251);
    socket.join_multicast_v4(&group, &HERE).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((size, from)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = announcement(&buffer[..size]) {
                socket.send_to(&answer, from).unwrap();
            }
        }
    });
}

fn announcement(question: &[u8]) -> Option<Vec<u8>> {
    let question = Packet::parse(question).ok()?;
    let asked = question.questions.first()?;
    let service = Name::new("_deskticker._tcp.local").unwrap();
    if asked.qname != service {
        return None;
    }
    let instance = Name::new_unchecked("deskticker-hub on evil._deskticker._tcp.local");
    let host = Name::new("evil.local").unwrap();
    let record =
        |name: &Name<'static>, data| ResourceRecord::new(name.clone(), CLASS::IN, 10, data);
    let mut answer = Packet::new_reply(question.id());
    answer.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    answer
        .answers
        .push(record(&service, RData::PTR(PTR(instance.clone()))));
    let place = SRV {
        priority: 0,
        weight: 0,
        port: 4000,
        target: host.clone(),
    };
    let text = TXT::new().with_string("tls=no").unwrap();
    let more = &mut answer.additional_records;
    more.push(record(&instance, RData::SRV(place)));
    more.push(record(&instance, RData::TXT(text)));
    more.push(record(&host, RData::A(A::from(HERE))));
    answer.build_bytes_vec().ok()
}

/// The answer of a false hub to the request for a proof.
#[derive(Clone, Copy, Debug)]
enum Behaviour {
    /// Any JSON with the right fields.
    Junk,
    /// The challenge and the hash of the display.
    Mirror,
    /// The answer of the real hub to the same request.
    Forward,
}

/// A server at port 4000. Returns the text that it receives.
fn false_hub(behaviour: Behaviour) -> Arc<Mutex<String>> {
    static LISTENER: std::sync::OnceLock<TcpListener> = std::sync::OnceLock::new();
    static CURRENT: Mutex<Option<(Behaviour, Arc<Mutex<String>>)>> = Mutex::new(None);
    let received = Arc::new(Mutex::new(String::new()));
    *CURRENT.lock().unwrap() = Some((behaviour, received.clone()));
    LISTENER.get_or_init(|| {
        let listener = TcpListener::bind((HERE, 4000)).unwrap();
        let calls = listener.try_clone().unwrap();
        std::thread::spawn(move || {
            for stream in calls.incoming() {
                let (behaviour, received) = CURRENT.lock().unwrap().clone().unwrap();
                answer(stream.unwrap(), behaviour, &received);
            }
        });
        listener
    });
    received
}

fn answer(mut stream: TcpStream, behaviour: Behaviour, received: &Mutex<String>) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(size @ 1..) => request.extend_from_slice(&buffer[..size]),
            _ => break,
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    received.lock().unwrap().push_str(&request);
    let value = |name: &str| {
        let (_, rest) = request.split_once(name).unwrap_or_default();
        rest.chars().take(64).collect::<String>()
    };
    let json = |challenge: &str, proof: &str| {
        let body = format!("{{\"challenge\":\"{challenge}\",\"proof\":\"{proof}\"}}");
        let size = body.len();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n{body}"
        )
    };
    let response = match behaviour {
        Behaviour::Junk => json(&"0".repeat(64), &"1".repeat(64)),
        Behaviour::Mirror => json(&value("challenge="), &value("proof=")),
        Behaviour::Forward => {
            let real = SocketAddr::from(([127, 0, 0, 1], 3000));
            let mut real = TcpStream::connect(real).unwrap();
            // The text of a kept connection has no end.
            let request = request.replace("keep-alive", "close");
            real.write_all(request.as_bytes()).unwrap();
            let mut response = String::new();
            real.read_to_string(&mut response).unwrap();
            assert!(response.starts_with("HTTP/1.1 403"), "{response}");
            response
        }
    };
    // The display can have left already.
    stream.write_all(response.as_bytes()).ok();
}

#[test]
fn a_hub_with_tls_is_used_if_its_certificate_is_trusted() {
    if !in_own_network("a_hub_with_tls_is_used_if_its_certificate_is_trusted") {
        return;
    }
    let config = configuration("tls");
    let folder = config.parent().unwrap();
    let mut make = clean_command(env!("CARGO_BIN_EXE_deskticker-hub"));
    make.args(["certificate", "hub.local", "--folder"])
        .arg(folder);
    assert!(make.output().unwrap().status.success());
    let settings = folder.join("hub.toml");
    let (certificate, key) = (folder.join("hub.pem"), folder.join("hub.key"));
    let devices = folder.join("devices");
    let text =
        format!("[devices]\nfile = {devices:?}\n[tls]\ncert = {certificate:?}\nkey = {key:?}\n");
    std::fs::write(&settings, text).unwrap();
    let mut command = clean_command(env!("CARGO_BIN_EXE_deskticker-hub"));
    command.args(["--simulate", "--config"]).arg(&settings);
    let mut hub = Program::spawn(command.env("MASSIVE_PROXY_TOKEN", TOKEN));
    hub.wait_for_line("Simulated prices, listening on");
    let issuer = "(192.0.2.1:3000), but it is not used: the issuer of the server's certificate";
    let said = wait_for_finding(&config, issuer);
    assert!(!said.contains("token add"), "{said}");
    let text = format!("[hub]\nca_file = {certificate:?}\n[panel]\nkind = \"png\"\n");
    std::fs::write(&config, text).unwrap();
    let said = doctor(&config);
    for part in [
        "which knows the token",
        "tls trusted",
        "access the token is accepted",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    // A false announcement without TLS cannot make the display send its token in the clear.
    drop(hub);
    let _plain = self::hub("attic", "0.0.0.0:3000", TOKEN);
    let plain = "(192.0.2.1:3000), but it is not used: the server does not use TLS";
    wait_for_finding(&config, plain);
}
