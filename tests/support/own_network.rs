//! A network of its own for a test: the test runs itself again in a new network namespace.
#![allow(clippy::unwrap_used, clippy::print_stderr, unreachable_pub)]

use std::process::Command;

/// The variable that tells a test that it runs in its own network.
const INSIDE: &str = "DESKTICKER_TEST_NETWORK";

/// Runs the test with this name in a new network. Returns true in the process inside this network,
/// after these arguments of the command `ip`. Some machines do not allow a network of one's own;
/// `.ci/run` runs where it is allowed.
pub fn in_own_network(test: &str, interfaces: &[&str]) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        interfaces.iter().for_each(|arguments| ip(arguments));
        return true;
    }
    let mut options = vec!["--net", "--uts"];
    if !rustix::process::geteuid().is_root() {
        options.push("--map-root-user");
    }
    let mut attempt = Command::new("unshare");
    let attempt = attempt.args(&options).args(["ip", "link"]).output();
    if !attempt.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped, because this machine allows no network name space");
        return false;
    }
    let mut command = Command::new("unshare");
    command.args(options).arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]);
    let ran = command.env(INSIDE, "yes").status().unwrap();
    assert!(ran.success(), "the test failed in its own network");
    false
}

/// Runs the command `ip` with these arguments.
pub fn ip(arguments: &str) {
    let ran = Command::new("ip").args(arguments.split(' ')).status();
    assert!(ran.unwrap().success(), "ip {arguments}");
}
