//! What the files around a ticker come to, look by look; the time is an argument.
#![allow(clippy::unwrap_used)]

#[path = "support/i2c_display/log_lines.rs"]
mod log_lines;

use std::path::{Path, PathBuf};

use deskticker::config::LastGood;
use deskticker::secret::{Environment, Secret};
use deskticker::ticker::app::{ConfigUpdate, ConfigWatcher, Files, InitialConfig};
use deskticker::time::{Moment, Now, Utc};

const TEXT: &str = "[hub]\nurl = \"ws://hub:3000\"\n";

struct FanoutUnderTest {
    directory: PathBuf,
    config_watcher: ConfigWatcher,
}

/// Files of one test's own: a configuration, and nothing else yet.
fn house(name: &str) -> FanoutUnderTest {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lookout-{name}"));
    std::fs::remove_dir_all(&directory).ok();
    std::fs::create_dir_all(&directory).unwrap();
    let files = Files {
        config: directory.join("desk.toml"),
        last_good: Some(directory.join("last-good.toml")),
        fault: Some(directory.join("error")),
    };
    let environment = Environment {
        token: Some("s3cr3t".into()),
        ..Environment::default()
    };
    let house = FanoutUnderTest {
        config_watcher: ConfigWatcher::new(files, environment),
        directory,
    };
    house.write("desk.toml", TEXT);
    house
}

impl FanoutUnderTest {
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.join(name), text).unwrap();
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.directory.join(name)).unwrap();
    }

    fn begin(&mut self) -> (InitialConfig, Option<String>) {
        let (beginning, fault) = self.config_watcher.begin(at(0)).unwrap();
        (beginning, fault.map(|fault| fault.text))
    }

    fn look(&mut self, secs: u64) -> Option<ConfigUpdate> {
        self.config_watcher.look(false, at(secs))
    }

    /// The fault that another look brings.
    #[track_caller]
    fn fault(&mut self, secs: u64) -> String {
        let news = self.look(secs).expect("it brings something");
        assert!(news.loaded.is_none());
        news.fault.expect("a fault").text
    }
}

fn at(secs: u64) -> Now {
    Now::new(Moment::from_secs(secs), Utc::PLAUSIBLE)
}

/// The symbols of a good one, and nothing is wrong any more.
#[track_caller]
fn good(news: Option<ConfigUpdate>) -> String {
    let news = news.expect("it brings something");
    assert_eq!(news.fault, None);
    news.loaded.expect("a good one").names()
}

#[test]
fn a_half_written_file_is_not_judged() {
    let mut house = house("half");
    assert!(matches!(house.begin(), (InitialConfig::Good(_), None)));
    assert!(house.look(2).is_none(), "it is as it was");
    house.write("desk.toml", "watchlist = [\"NDX\"");
    assert!(house.look(4).is_none());
    house.write("desk.toml", &format!("watchlist = [\"NDX\"]\n{TEXT}"));
    assert!(house.look(6).is_none());
    assert_eq!(good(house.look(8)), "NDX");
    assert!(house.look(10).is_none());
}

#[test]
fn who_asks_for_it_gets_it_judged_at_once() {
    let mut house = house("asked");
    house.begin();
    house.write("desk.toml", &format!("watchlist = [\"NDX\"]\n{TEXT}"));
    assert_eq!(good(house.config_watcher.look(true, at(1))), "NDX");
    assert!(house.look(2).is_none() && house.look(4).is_none());
    house.write("desk.toml", "watchlist = [");
    let news = house.config_watcher.look(true, at(5)).unwrap();
    assert!(news.fault.unwrap().text.starts_with("desk.toml:1: "));
    // What stays wrong is told once.
    assert!(house.look(6).is_none() && house.look(8).is_none());
}

#[test]
fn a_file_that_is_gone_is_missed_after_ten_seconds_and_found_again() {
    let mut house = house("gone");
    house.begin();
    house.remove("desk.toml");
    for secs in [2, 4, 6, 8, 10] {
        assert!(house.look(secs).is_none(), "{secs}");
    }
    assert!(house.fault(12).starts_with("desk.toml: cannot be read"));
    assert!(house.look(14).is_none());
    house.write("desk.toml", TEXT);
    assert!(house.look(16).is_none());
    assert_eq!(good(house.look(18)), "SPX, VIX");
}

#[test]
fn a_token_file_that_comes_late_or_changes_is_read_without_a_change_of_the_configuration() {
    let mut house = house("token");
    let token = house.directory.join("token");
    house.write("desk.toml", &format!("{TEXT}token_file = {token:?}\n"));
    let (beginning, fault) = house.begin();
    assert!(matches!(beginning, InitialConfig::Nothing(_)));
    assert!(fault.unwrap().starts_with("desk.toml:3: token_file: "));
    assert!(house.look(2).is_none());
    let mut read = Vec::new();
    for (secs, text) in [(4, "first"), (8, "second")] {
        house.write("token", text);
        assert!(house.look(secs).is_none());
        let news = house.look(secs + 2).unwrap();
        let source = news.loaded.unwrap().config.source;
        read.push(source.secret.unwrap().reveal().to_owned());
    }
    assert_eq!(read, ["first", "second"]);
    house.remove("token");
    assert!(house.look(12).is_none());
    assert!(house.fault(14).starts_with("desk.toml:3: token_file: "));
}

#[test]
fn what_is_wrong_with_the_configuration_is_told_before_what_is_with_the_setup() {
    let mut house = house("setup");
    house.write("error", "\n wifi.txt:2: expected psk \nmore\n");
    assert_eq!(house.begin().1.unwrap(), "wifi.txt:2: expected psk");
    house.write("desk.toml", "watchlist = [");
    assert!(house.look(2).is_none());
    assert!(house.fault(4).starts_with("desk.toml:1: "));
    house.write("desk.toml", TEXT);
    assert!(house.look(6).is_none());
    let news = house.look(8).unwrap();
    assert_eq!(news.fault.unwrap().text, "wifi.txt:2: expected psk");
    house.write("error", "");
    assert!(house.look(10).unwrap().fault.is_none());
}

#[test]
fn only_another_text_is_written_and_never_one_that_holds_the_secret() {
    use std::os::unix::fs::MetadataExt;
    static LOG: std::sync::Once = std::sync::Once::new();
    LOG.call_once(log_lines::install);
    let house = house("remembered");
    let path = house.directory.join("kept.toml");
    let secret = Secret::new("s3cr3t").unwrap();
    let mut last = LastGood::at(path.clone());
    let inode = || path.metadata().unwrap().ino();
    last.remember(TEXT, Some(&secret));
    let first = inode();
    last.remember(TEXT, Some(&secret));
    assert_eq!(inode(), first, "it was written again");
    let told = || {
        let lines = log_lines::take();
        let ours = lines.into_iter().filter(|line| line.contains("kept.toml"));
        ours.collect::<Vec<_>>()
    };
    assert!(told().is_empty());
    for _ in 0..2 {
        last.remember(&format!("# s3cr3t\n{TEXT}"), Some(&secret));
    }
    let [line] = told().try_into().unwrap();
    assert!(
        line.contains("holds the token") && !line.contains("s3cr3t"),
        "{line}"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), TEXT);
    // Nowhere to write to is no end either.
    let mut nowhere = LastGood::at(house.directory.join("none/kept.toml"));
    nowhere.remember(TEXT, None);
    nowhere.remember(TEXT, None);
    assert_eq!(told().len(), 1);
    assert_eq!(
        std::fs::read_dir(&house.directory).unwrap().count(),
        2,
        "nothing is left behind"
    );
}
