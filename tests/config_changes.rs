//! Tests of a configuration that changes while the built program runs. A valid change appears on
//! the display. An invalid change appears as an error, and the last good configuration stays in
//! use.
#![allow(clippy::unwrap_used)]

#[path = "support/child_process.rs"]
mod child_process;
#[path = "support/notice.rs"]
mod notice;
#[path = "support/proxy_server.rs"]
mod proxy_server;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use deskticker::display::png;
use deskticker::render::{self, LinkIcon, Size};
use deskticker::time::Clock;
use rustix::process::Signal;

use child_process::{Program, configured, directory, run};
use proxy_server::{Proxy, ProxyEvent};

/// The time limit of each wait. Only a failed test waits this long.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// Settings that make pictures predictable: pages change at the shortest interval, the clock shows
/// UTC, and the picture does not shift.
const STEADY: &str = "time_zone = \"UTC\"\n[pages]\ninterval = 3\n";
const PNG: &str = "kind = \"png\"\nshift = false";

/// A configuration of the steady settings and of a hub at the address of this proxy.
fn steady_configuration(name: &str, proxy: &Proxy) -> (PathBuf, String) {
    let config = configured(name, &proxy.address, PNG);
    let text = std::fs::read_to_string(&config).unwrap();
    (config, format!("{STEADY}{text}"))
}

fn screen_of(config: &Path) -> PathBuf {
    config.with_file_name("screen.png")
}

fn start(config: &Path, more: &[&str]) -> Program {
    let mut arguments = vec!["run", "--config", config.to_str().unwrap()];
    arguments.extend(more);
    Program::start(&arguments, &[])
}

/// The possible pictures of a notice page, one for each link icon. `timed` adds the time of the
/// current or the previous minute.
fn notices(title: &str, text: &str, timed: bool) -> Vec<Vec<u8>> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let minute = now.unwrap().as_secs() / 60;
    let times = [minute - 1, minute].map(|minute| {
        let of_day = minute % (24 * 60);
        timed.then_some(((of_day / 60) as u8, (of_day % 60) as u8))
    });
    let signs = [
        LinkIcon::Live,
        LinkIcon::Joining,
        LinkIcon::Silent,
        LinkIcon::Down,
        LinkIcon::Refused,
    ];
    let views = times.iter().flat_map(|time| signs.map(|sign| (time, sign)));
    views
        .map(|(time, sign)| notice::picture(title, text, *time, sign))
        .collect()
}

/// Waits until the condition is true.
#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + TIME_LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A picture without its tEXt chunk, which contains the time at which the picture expires (PNG
/// specification, tEXt).
fn without_text(mut picture: Vec<u8>) -> Vec<u8> {
    if let Some(name) = picture.windows(4).position(|name| name == b"tEXt") {
        let start = name - 4;
        let length = u32::from_be_bytes(picture[start..name].try_into().unwrap());
        // A chunk contains its length, its name, its data and a checksum.
        picture.drain(start..start + 12 + length as usize);
    }
    picture
}

/// The copy of the last good configuration: its text, and the path of its configuration.
fn copy_of(config: &Path, text: &str) -> String {
    format!("{text}# The last good copy of {}\n", config.display())
}

#[test]
fn a_copy_of_the_last_good_configuration_belongs_to_one_display() {
    let mut proxy = Proxy::start(Clock::system());
    let (first, text) = steady_configuration("one-copy-first", &proxy);
    let (second, other) = steady_configuration("one-copy-second", &proxy);
    let last = first.with_file_name("last-good.toml");
    let more = ["--last-good", last.to_str().unwrap()];
    std::fs::write(&first, &text).unwrap();
    let mut program = start(&first, &more);
    proxy.wait_for_subscriptions(4);
    // The second display neither replaces nor uses the copy of the first one.
    std::fs::write(&second, &other).unwrap();
    let mut beside = start(&second, &more);
    let line = beside.wait_for_line("cannot store this configuration");
    assert!(line.contains(first.to_str().unwrap()), "{line}");
    assert!(line.contains("a file of its own"), "{line}");
    assert_eq!(beside.end(Signal::TERM).0, Some(0));
    std::fs::write(&second, "watchlist = 3\n").unwrap();
    let mut beside = start(&second, &more);
    beside.wait_for_line("the ticker waits until this error is corrected");
    assert_eq!(beside.end(Signal::TERM).0, Some(0));
    assert_eq!(
        std::fs::read_to_string(&last).unwrap(),
        copy_of(&first, &text)
    );
    assert_eq!(program.end(Signal::TERM).0, Some(0));
}

/// Waits until the picture shows this title and text.
#[track_caller]
fn shows(screen: &Path, title: &str, text: &str) {
    until(text, || {
        let picture = without_text(std::fs::read(screen).unwrap_or_default());
        notices(title, text, true).contains(&picture)
    });
}

#[test]
fn a_changed_watchlist_file_is_applied_without_a_signal_and_without_a_reconnect() {
    let mut proxy = Proxy::start(Clock::system());
    let (config, text) = steady_configuration("changed", &proxy);
    std::fs::write(&config, &text).unwrap();
    let mut program = start(&config, &[]);
    proxy.wait_for_subscriptions(4);
    let more = format!("watchlist = [\"SPX\", \"VIX\", \"NDX\"]\n{text}");
    std::fs::write(&config, more).unwrap();
    program.wait_for_line("the new configuration is in effect; showing SPX, VIX, NDX");
    assert_eq!(proxy.wait_for_subscriptions(2), ["AM.I:NDX", "V.I:NDX"]);
    assert_eq!(proxy.upgrades().len(), 1, "on one and the same connection");
    assert_eq!(program.end(Signal::TERM).0, Some(0));
}

#[test]
fn a_wrong_file_changes_nothing_and_is_reported_until_its_correction() {
    let mut proxy = Proxy::start(Clock::system());
    let (config, text) = steady_configuration("wrong-change", &proxy);
    std::fs::write(&config, &text).unwrap();
    let mut program = start(&config, &[]);
    proxy.wait_for_subscriptions(4);
    std::fs::write(&config, format!("watchlist = [\"^FTSE\"]\n{text}")).unwrap();
    let line = program.wait_for_line("the ticker keeps its previous configuration");
    let place = format!("{}:1: watchlist: ", config.display());
    assert!(line.contains(&place), "{line}");
    let reason = line.split_once(&place).unwrap().1.trim();
    let (reason, correction) = reason.split_once("; write: ").unwrap();
    assert_eq!(correction, "watchlist = [\"I:FTSE\"]");
    let told = format!("desk.toml:1: watchlist: {reason}");
    shows(&screen_of(&config), "CONFIG", &told);
    std::fs::write(&config, format!("watchlist = [\"SPX\"]\n{text}")).unwrap();
    program.wait_for_line("the new configuration is in effect; showing SPX\n");
    let says = || {
        let picture = without_text(std::fs::read(screen_of(&config)).unwrap());
        notices("CONFIG", &told, true).contains(&picture)
    };
    until("it is gone", || !says());
    // A wrong configuration shows its notice in every second interval of 3 s, so 7 s are enough to
    // see that the notice is gone.
    let end = Instant::now() + Duration::from_secs(7);
    while Instant::now() < end {
        assert!(!says(), "it still says so");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(proxy.upgrades().len(), 1, "on one and the same connection");
    assert_eq!(program.end(Signal::TERM).0, Some(0));
    assert_eq!(
        program
            .output()
            .matches("keeps its previous configuration")
            .count(),
        1
    );
}

#[test]
fn a_changed_source_token_or_panel_replaces_the_connection_or_the_panel() {
    let mut first = Proxy::start(Clock::system());
    let mut second = Proxy::start(Clock::system());
    let (config, text) = steady_configuration("remade", &first);
    std::fs::write(&config, &text).unwrap();
    let mut program = start(&config, &[]);
    first.wait_for_subscriptions(4);
    let (old, new) = (first.address.to_string(), second.address.to_string());
    let text = text.replace(&old, &new);
    std::fs::write(&config, &text).unwrap();
    program.wait_for_line(&new);
    let farewell =
        first.until(|seen| matches!(seen, ProxyEvent::Farewell(_) | ProxyEvent::Gone(_)));
    assert_eq!(farewell, ProxyEvent::Farewell(1000));
    second.wait_for_subscriptions(4);

    second.behave(|behaviour| behaviour.token = "another-token".into());
    std::fs::write(config.with_file_name("token"), "another-token\n").unwrap();
    program.wait_for_line("showing SPX, VIX");
    second.wait_for_subscriptions(4);

    let text = text.replace("screen.png", "elsewhere.png");
    std::fs::write(&config, &text).unwrap();
    program.wait_for_line("showing SPX, VIX");
    second.wait_for_subscriptions(4);
    let elsewhere = config.with_file_name("elsewhere.png");
    until("a picture elsewhere", || elsewhere.exists());
    let ended = render::notice(Size::Tall, "ENDED", "nothing here is live");
    let left = std::fs::read(screen_of(&config)).unwrap();
    assert!(left == png::encode(&ended).unwrap(), "no price stays");
    assert_eq!(program.end(Signal::TERM).0, Some(0), "{}", program.output());
}

#[test]
fn the_last_good_configuration_is_stored_and_replaces_a_bad_one() {
    let mut proxy = Proxy::start(Clock::system());
    let (config, text) = steady_configuration("last-good", &proxy);
    std::fs::write(&config, &text).unwrap();
    let last = config.with_file_name("last-good.toml");
    let more = ["--last-good", last.to_str().unwrap()];
    let mut program = start(&config, &more);
    proxy.wait_for_subscriptions(4);
    assert_eq!(
        std::fs::read_to_string(&last).unwrap(),
        copy_of(&config, &text)
    );
    assert_eq!(last.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(program.end(Signal::TERM).0, Some(0));

    std::fs::write(&config, "watchlist = 3\n").unwrap();
    let mut program = start(&config, &more);
    program.wait_for_line("desk.toml:1: ");
    program.wait_for_line("the ticker uses the last good configuration");
    proxy.wait_for_subscriptions(4);
    let told = "desk.toml:1: watchlist: 3, expected a list of texts in quotes";
    shows(&screen_of(&config), "CONFIG", told);
    assert_eq!(
        std::fs::read_to_string(&last).unwrap(),
        copy_of(&config, &text)
    );

    let mended = format!("watchlist = [\"SPX\", \"VIX\", \"NDX\"]\n{text}");
    std::fs::write(&config, &mended).unwrap();
    assert_eq!(proxy.wait_for_subscriptions(2), ["AM.I:NDX", "V.I:NDX"]);
    until("it is remembered", || {
        std::fs::read_to_string(&last).unwrap() == copy_of(&config, &mended)
    });
    assert_eq!(program.end(Signal::TERM).0, Some(0));
}

#[test]
fn a_last_good_file_that_is_a_fifo_is_reported_and_the_program_ends_as_usual() {
    let proxy = Proxy::start(Clock::system());
    let (config, text) = steady_configuration("last-good-fifo", &proxy);
    std::fs::write(&config, &text).unwrap();
    let last = config.with_file_name("last-good.toml");
    let made = Command::new("mkfifo").arg(&last).status();
    assert!(made.unwrap().success());
    let mut program = start(&config, &["--last-good", last.to_str().unwrap()]);
    program.wait_for_line("this is a FIFO; expected a regular file or a new one");
    assert_eq!(program.end(Signal::TERM).0, Some(0));
}

#[test]
fn a_ticker_without_a_good_configuration_shows_the_error_and_waits() {
    let mut proxy = Proxy::start(Clock::system());
    let (config, text) = steady_configuration("none-good", &proxy);
    std::fs::write(&config, format!("clock = \"25h\"\n{text}")).unwrap();
    let last = config.with_file_name("last-good.toml");
    let mut program = start(&config, &["--last-good", last.to_str().unwrap()]);
    program.wait_for_line("desk.toml:1: clock: \"25h\", expected");
    let told = "desk.toml:1: clock: \"25h\", expected \"24h\" or \"12h\"";
    let screen = screen_of(&config);
    until("a notice", || {
        let picture = without_text(std::fs::read(&screen).unwrap_or_default());
        notices("CONFIG", told, false).contains(&picture)
    });
    assert!(program.is_running() && !last.exists());
    std::fs::write(&config, &text).unwrap();
    program.wait_for_line("showing SPX, VIX");
    proxy.wait_for_subscriptions(4);
    assert_eq!(
        std::fs::read_to_string(&last).unwrap(),
        copy_of(&config, &text)
    );
    assert_eq!(program.end(Signal::TERM).0, Some(0));

    // A program that waits for a valid configuration ends like any other program.
    std::fs::remove_file(&config).unwrap();
    std::fs::remove_file(&last).unwrap();
    let mut program = start(&config, &["--last-good", last.to_str().unwrap()]);
    program.wait_for_line("cannot be read");
    // No file names an OLED, so the log gives no advice about its bus.
    program.wait_for_line(
        "the configuration has no valid [panel], and no panel answers at the default address",
    );
    let (code, took) = program.end(Signal::TERM);
    assert_eq!(code, Some(0), "{}", program.output());
    assert!(
        !program.output().contains("there is no /dev/"),
        "{}",
        program.output()
    );
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn a_setup_fault_is_shown_while_its_file_contains_the_fault() {
    let mut proxy = Proxy::start(Clock::system());
    let (config, text) = steady_configuration("setup", &proxy);
    std::fs::write(&config, &text).unwrap();
    let fault = config.with_file_name("error");
    std::fs::write(&fault, "wifi.txt:2: expected psk\nand more\n").unwrap();
    let variable = ("DESKTICKER_FAULT_FILE", fault.to_str().unwrap());
    let arguments = ["--config", config.to_str().unwrap()];
    let mut program = Program::start(&arguments, &[variable]);
    program.wait_for_line("the setup has an error: wifi.txt:2: expected psk");
    shows(&screen_of(&config), "SETUP", "wifi.txt:2: expected psk");
    std::fs::write(&fault, "").unwrap();
    program.wait_for_line("has been corrected");
    proxy.wait_for_subscriptions(4);
    assert_eq!(program.end(Signal::TERM).0, Some(0));
}

#[test]
fn the_check_command_reports_which_security_each_name_means() {
    let config = configured("check-names", &"hub:3000", "");
    let text = std::fs::read_to_string(&config).unwrap();
    let list = "watchlist = [\"AMpB\", \"BACpL\", \"GEVw\", \"COMP\", \"stock:comp\"]\n";
    std::fs::write(&config, format!("{list}{text}")).unwrap();
    let path = config.to_str().unwrap();
    let (code, out, err) = run(&["check", "--config", path]);
    let named = "ok: 5 symbols (AMpB, BACpL, GEVw, COMP, stock:COMP), ";
    assert!(code == 0 && out.starts_with(named), "{out}{err}");
    let meant =
        format!("{path}:1: watchlist: COMP means the index; write stock:COMP for the share");
    assert!(err.contains(&meant), "{err}");
}

#[test]
fn the_check_command_tests_a_configuration_without_a_panel() {
    let config = configured("check", &"hub:3000", "");
    let text = std::fs::read_to_string(&config).unwrap();
    let list = "watchlist = [\"SPX\", \"O:SPY201218C00350000\"]\n";
    std::fs::write(&config, format!("{list}{text}")).unwrap();
    let path = config.to_str().unwrap();
    let (code, out, err) = run(&["check", "--config", path]);
    assert_eq!(
        (code, out.as_str()),
        (
            0,
            "ok: 2 symbols (SPX, O:SPY201218C00350000), 2 pages, 0 alerts, 0 nights, from ws://hub:3000\n"
        ),
        "{err}"
    );
    let expired = format!("{path}:1: watchlist: O:SPY201218C00350000 expired on 2020-12-18");
    assert!(err.contains(&expired), "{err}");
    std::fs::write(&config, format!("{list}clock = 25\n{text}clok = 1\n")).unwrap();
    let (code, out, err) = run(&["check", "--config", path]);
    assert_eq!((code, out.as_str()), (78, ""));
    let lines: Vec<&str> = err.lines().collect();
    let told = format!("deskticker: {path}:2: clock: \"25\", expected");
    assert!(lines[0].starts_with(&told) && lines.len() == 2, "{err}");
    assert!(
        lines[1].contains("unknown key `clok`, did you mean `clock`"),
        "{err}"
    );
    let gone = directory("check-gone").join("none.toml");
    assert_eq!(run(&["check", "--config", gone.to_str().unwrap()]).0, 78);
}
