//! What is changed in the configuration while the built program runs is changed on the glass, and
//! what is wrong there is said on it while the last good one stays in force.
#![allow(clippy::unwrap_used)]

#[path = "support/child_process.rs"]
mod child_process;
#[path = "support/proxy_server.rs"]
mod proxy_server;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use child_process::{Program, configured, directory, run};
use deskticker::display::png;
use deskticker::render;
use deskticker::render::{DrawCache, FontSet, Format, Frame, LinkIcon, PageView, Size, View};
use deskticker::time::Clock;
use proxy_server::{Proxy, ProxyEvent};
use rustix::process::Signal;

/// Longer than anything here takes, shorter than anybody's patience.
const PATIENCE: Duration = Duration::from_secs(20);

/// Pages that turn as fast as they may, a clock that this test knows, and a picture that stays
/// where it is.
const STEADY: &str = "time_zone = \"UTC\"\n[pages]\ninterval = 3\n";
const PNG: &str = "kind = \"png\"\nshift = false";

/// A configuration of these lines above those of a hub at this address.
fn station(name: &str, proxy: &Proxy) -> (PathBuf, String) {
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

/// The pictures of a page of words, whatever the link does; `timed` with the time of now, or of a
/// minute ago.
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
        .map(|(time, sign)| {
            let view = View {
                page: PageView::Notice { title, text },
                time: *time,
                sign,
                simulated: false,
                misconfigured: true,
                alert: None,
                format: Format::default(),
            };
            let mut frame = Frame::new(Size::Tall);
            render::draw(&view, &FontSet::new(), &mut DrawCache::new(), &mut frame);
            png::encode(&frame).unwrap()
        })
        .collect()
}

/// Waits until something is so.
#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A picture without its text, which says until when it is good (PNG specification, tEXt).
fn without_text(mut picture: Vec<u8>) -> Vec<u8> {
    if let Some(name) = picture.windows(4).position(|name| name == b"tEXt") {
        let start = name - 4;
        let length = u32::from_be_bytes(picture[start..name].try_into().unwrap());
        // Length, name, text, checksum.
        picture.drain(start..start + 12 + length as usize);
    }
    picture
}

/// Waits until the picture says this.
#[track_caller]
fn shows(screen: &Path, title: &str, text: &str) {
    until(text, || {
        let picture = without_text(std::fs::read(screen).unwrap_or_default());
        notices(title, text, true).contains(&picture)
    });
}

#[test]
fn another_watchlist_in_the_file_is_shown_without_a_word_to_anybody_and_without_a_reconnect() {
    let mut proxy = Proxy::start(Clock::system());
    let (config, text) = station("changed", &proxy);
    std::fs::write(&config, &text).unwrap();
    let mut program = start(&config, &[]);
    proxy.subscribed(4);
    let more = format!("watchlist = [\"SPX\", \"VIX\", \"NDX\"]\n{text}");
    std::fs::write(&config, more).unwrap();
    program.says("watchlist: SPX, VIX, NDX");
    assert_eq!(proxy.subscribed(2), ["AM.I:NDX", "V.I:NDX"]);
    assert_eq!(proxy.upgrades().len(), 1, "on one and the same connection");
    assert_eq!(program.end(Signal::TERM).0, Some(0));
}

#[test]
fn a_wrong_file_changes_nothing_and_is_told_until_it_is_mended() {
    let mut proxy = Proxy::start(Clock::system());
    let (config, text) = station("wrong-change", &proxy);
    std::fs::write(&config, &text).unwrap();
    let mut program = start(&config, &[]);
    proxy.subscribed(4);
    std::fs::write(&config, format!("watchlist = [\"^SPX\"]\n{text}")).unwrap();
    let line = program.says("the configuration stays as it was");
    let place = format!("{}:1: watchlist: ", config.display());
    assert!(line.contains(&place), "{line}");
    let reason = line.split_once(&place).unwrap().1.trim();
    let told = format!("desk.toml:1: watchlist: {reason}");
    shows(&screen_of(&config), "CONFIG", &told);
    std::fs::write(&config, format!("watchlist = [\"SPX\"]\n{text}")).unwrap();
    program.says("watchlist: SPX\n");
    let says = || {
        let picture = without_text(std::fs::read(screen_of(&config)).unwrap());
        notices("CONFIG", &told, true).contains(&picture)
    };
    until("it is gone", || !says());
    // While it was wrong, every other three seconds.
    let end = Instant::now() + Duration::from_secs(7);
    while Instant::now() < end {
        assert!(!says(), "it still says so");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(proxy.upgrades().len(), 1, "on one and the same connection");
    assert_eq!(program.end(Signal::TERM).0, Some(0));
    assert_eq!(program.said().matches("stays as it was").count(), 1);
}

#[test]
fn another_source_token_or_panel_makes_anew_what_has_to_be() {
    let mut first = Proxy::start(Clock::system());
    let mut second = Proxy::start(Clock::system());
    let (config, text) = station("remade", &first);
    std::fs::write(&config, &text).unwrap();
    let mut program = start(&config, &[]);
    first.subscribed(4);
    let (old, new) = (first.address.to_string(), second.address.to_string());
    let text = text.replace(&old, &new);
    std::fs::write(&config, &text).unwrap();
    program.says(&new);
    let farewell =
        first.until(|seen| matches!(seen, ProxyEvent::Farewell(_) | ProxyEvent::Gone(_)));
    assert_eq!(farewell, ProxyEvent::Farewell(1000));
    second.subscribed(4);

    second.behave(|manner| manner.token = "another-token".into());
    std::fs::write(config.with_file_name("token"), "another-token\n").unwrap();
    program.says("showing SPX, VIX");
    second.subscribed(4);

    let text = text.replace("screen.png", "elsewhere.png");
    std::fs::write(&config, &text).unwrap();
    program.says("showing SPX, VIX");
    second.subscribed(4);
    let elsewhere = config.with_file_name("elsewhere.png");
    until("a picture elsewhere", || elsewhere.exists());
    let ended = render::notice(Size::Tall, "ENDED", "nothing here is live");
    let left = std::fs::read(screen_of(&config)).unwrap();
    assert!(left == png::encode(&ended).unwrap(), "no price stays");
    assert_eq!(program.end(Signal::TERM).0, Some(0), "{}", program.said());
}

#[test]
fn the_last_good_configuration_is_remembered_and_shown_when_there_is_only_a_bad_one() {
    let mut proxy = Proxy::start(Clock::system());
    let (config, text) = station("last-good", &proxy);
    std::fs::write(&config, &text).unwrap();
    let last = config.with_file_name("last-good.toml");
    let more = ["--last-good", last.to_str().unwrap()];
    let mut program = start(&config, &more);
    proxy.subscribed(4);
    assert_eq!(std::fs::read_to_string(&last).unwrap(), text);
    assert_eq!(last.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(program.end(Signal::TERM).0, Some(0));

    std::fs::write(&config, "watchlist = 3\n").unwrap();
    let mut program = start(&config, &more);
    program.says("desk.toml:1: ");
    program.says("the last good configuration is in force");
    proxy.subscribed(4);
    let told = "desk.toml:1: invalid type: integer `3`, expected a list, like [\"SPX\", \"VIX\"]";
    shows(&screen_of(&config), "CONFIG", told);
    assert_eq!(std::fs::read_to_string(&last).unwrap(), text);

    let mended = format!("watchlist = [\"SPX\", \"VIX\", \"NDX\"]\n{text}");
    std::fs::write(&config, &mended).unwrap();
    assert_eq!(proxy.subscribed(2), ["AM.I:NDX", "V.I:NDX"]);
    until("it is remembered", || {
        std::fs::read_to_string(&last).unwrap() == mended
    });
    assert_eq!(program.end(Signal::TERM).0, Some(0));
}

#[test]
fn without_any_good_configuration_it_says_what_is_wrong_and_waits() {
    let mut proxy = Proxy::start(Clock::system());
    let (config, text) = station("none-good", &proxy);
    std::fs::write(&config, format!("clock = \"25h\"\n{text}")).unwrap();
    let last = config.with_file_name("last-good.toml");
    let mut program = start(&config, &["--last-good", last.to_str().unwrap()]);
    program.says("desk.toml:1: clock: \"25h\", expected");
    let told = "desk.toml:1: clock: \"25h\", expected \"24h\" or \"12h\"";
    let screen = screen_of(&config);
    until("a notice", || {
        let picture = without_text(std::fs::read(&screen).unwrap_or_default());
        notices("CONFIG", told, false).contains(&picture)
    });
    assert!(program.lives() && !last.exists());
    std::fs::write(&config, &text).unwrap();
    program.says("showing SPX, VIX");
    proxy.subscribed(4);
    assert_eq!(std::fs::read_to_string(&last).unwrap(), text);
    assert_eq!(program.end(Signal::TERM).0, Some(0));

    // One that waits ends as well as any other.
    std::fs::remove_file(&config).unwrap();
    std::fs::remove_file(&last).unwrap();
    let mut program = start(&config, &["--last-good", last.to_str().unwrap()]);
    program.says("cannot be read");
    let (code, took) = program.end(Signal::TERM);
    assert_eq!(code, Some(0), "{}", program.said());
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn what_went_wrong_with_the_setup_is_told_while_its_file_says_so() {
    let mut proxy = Proxy::start(Clock::system());
    let (config, text) = station("setup", &proxy);
    std::fs::write(&config, &text).unwrap();
    let fault = config.with_file_name("error");
    std::fs::write(&fault, "wifi.txt:2: expected psk\nand more\n").unwrap();
    let variable = ("DESKTICKER_FAULT_FILE", fault.to_str().unwrap());
    let arguments = ["--config", config.to_str().unwrap()];
    let mut program = Program::start(&arguments, &[variable]);
    program.says("the setup went wrong: wifi.txt:2: expected psk");
    shows(&screen_of(&config), "SETUP", "wifi.txt:2: expected psk");
    std::fs::write(&fault, "").unwrap();
    program.says("has been mended");
    proxy.subscribed(4);
    assert_eq!(program.end(Signal::TERM).0, Some(0));
}

#[test]
fn a_check_says_which_security_each_name_means() {
    let config = configured("check-names", &"hub:3000", "");
    let text = std::fs::read_to_string(&config).unwrap();
    let list = "watchlist = [\"AMpB\", \"BACpL\", \"GEVw\", \"COMP\", \"stock:comp\"]\n";
    std::fs::write(&config, format!("{list}{text}")).unwrap();
    let path = config.to_str().unwrap();
    let (code, out, err) = run(&["check", "--config", path]);
    let named = "ok: 5 symbols (AMpB, BACpL, GEVw, COMP, stock:COMP), ";
    assert!(code == 0 && out.starts_with(named), "{out}{err}");
    let meant =
        format!("{path}:1: watchlist: COMP is taken as the index; write stock:COMP for the share");
    assert!(err.contains(&meant), "{err}");
}

#[test]
fn a_configuration_can_be_checked_without_showing_it() {
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
    let expired =
        format!("{path}:1: watchlist: O:SPY201218C00350000 had its last day on 2020-12-18");
    assert!(err.contains(&expired), "{err}");
    std::fs::write(&config, format!("{list}clock = 24\n{text}")).unwrap();
    let (code, out, err) = run(&["check", "--config", path]);
    assert_eq!((code, out.as_str()), (78, ""));
    assert!(err.contains(&format!("{path}:2: ")), "{err}");
    let gone = directory("check-gone").join("none.toml");
    assert_eq!(run(&["check", "--config", gone.to_str().unwrap()]).0, 78);
}
