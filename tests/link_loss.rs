//! Tests of a display whose network fails under an open connection: the real programs, each in a
//! network of its own, with a cable between both.
#![allow(clippy::unwrap_used)]

#[path = "support/child_process.rs"]
mod child_process;
#[path = "support/own_network.rs"]
mod own_network;

use std::process::Command;
use std::time::{Duration, Instant};

use child_process::{Program, clean_command, directory};
use own_network::{in_own_network, ip};

const TOKEN: &str = "the-secret-token-of-this-display-0123456789";
/// The log line about a network that has failed.
const LOST: &str = "indices: no connection: this machine has no network";
/// The longest time until the failure has a name. The check of the interface runs every 2 s, and
/// confirms a failure after another second.
const LIMIT: Duration = Duration::from_secs(8);

/// A hub at the other end of the cable `hub1`, in a network of its own.
fn hub() -> Program {
    let program = env!("CARGO_BIN_EXE_deskticker-hub");
    let script = format!(
        "until ip link show hub1 >/dev/null 2>&1; do sleep 0.05; done
         ip link set lo up && ip address add 192.0.2.1/24 dev hub1 && ip link set hub1 up
         exec {program} --simulate --listen 192.0.2.1:3000"
    );
    let mut command = clean_command("unshare");
    command.args(["--net", "sh", "-c", &script]);
    let mut hub = Program::spawn(command.env("MASSIVE_PROXY_TOKEN", TOKEN));
    // `unshare` becomes the shell, which can still be in the old network at this time.
    let end = Instant::now() + Duration::from_secs(20);
    let id = hub.id().to_string();
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    while std::fs::read_link(format!("/proc/{id}/ns/net")).unwrap() == own {
        assert!(Instant::now() < end, "the hub has no network of its own");
        std::thread::yield_now();
    }
    ip(&format!("link set hub1 netns {id}"));
    hub.wait_for_line("Simulated prices, listening on");
    hub
}

/// Sets the other end of the cable up or down. This is what a pulled cable does to this end.
fn set_other_end(hub: &Program, state: &str) {
    let namespace = format!("--net=/proc/{}/ns/net", hub.id());
    let mut command = Command::new("nsenter");
    command.args([&namespace, "ip", "link", "set", "hub1", state]);
    assert!(command.status().unwrap().success());
}

#[test]
fn a_failed_interface_or_a_pulled_cable_is_named_within_seconds_and_its_end_is_noticed() {
    let test =
        "a_failed_interface_or_a_pulled_cable_is_named_within_seconds_and_its_end_is_noticed";
    let interfaces = [
        "link set lo up",
        "link add hub0 type veth peer name hub1",
        "address add 192.0.2.2/24 dev hub0",
        "link set hub0 up",
    ];
    if !in_own_network(test, &interfaces) {
        return;
    }
    let hub = hub();
    let config = directory("loss").join("desk.toml");
    let text = "[hub]\nurl = \"ws://192.0.2.1:3000\"\n[panel]\nkind = \"png\"\n";
    std::fs::write(&config, text).unwrap();
    let mut display = Program::start(
        &["run", "--config", config.to_str().unwrap()],
        &[("MASSIVE_PROXY_TOKEN", TOKEN)],
    );
    display.wait_for_line("all values have arrived");

    let start = Instant::now();
    ip("link set hub0 down");
    display.wait_for_line(LOST);
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    let start = Instant::now();
    ip("link set hub0 up");
    display.wait_for_line("indices: connection live");
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());

    let start = Instant::now();
    set_other_end(&hub, "down");
    display.wait_for_line(LOST);
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    // The kernel keeps the route, and still the failure keeps its name.
    let end = Instant::now() + Duration::from_secs(6);
    display.assert_silent_until(end, "no connection");
    let start = Instant::now();
    set_other_end(&hub, "up");
    display.wait_for_line("indices: connection live");
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
}
