//! Tests of the configuration reload, one look at the files at a time. The time is an argument, so
//! no test waits.
#![allow(clippy::unwrap_used)]

#[path = "support/basics.rs"]
mod basics;
#[path = "support/captured_log.rs"]
mod captured_log;

use std::path::{Path, PathBuf};

use deskticker::config::LastGood;
use deskticker::secret::{Environment, Secret};
use deskticker::ticker::app::{ConfigUpdate, ConfigWatcher, Files, InitialConfig};
use deskticker::time::{Moment, Now, Utc};

const TEXT: &str = "[hub]\nurl = \"ws://hub:3000\"\n";

struct ReloadUnderTest {
    directory: PathBuf,
    config_watcher: ConfigWatcher,
}

/// A directory of this test that contains only a valid configuration.
fn fixture(name: &str) -> ReloadUnderTest {
    let directory = basics::directory(name);
    let files = Files {
        config: directory.join("desk.toml"),
        last_good: Some(directory.join("last-good.toml")),
        fault: Some(directory.join("error")),
        phone: Some(directory.join("phone")),
    };
    let environment = Environment {
        token: Some("s3cr3t".into()),
        ..Environment::default()
    };
    let fixture = ReloadUnderTest {
        config_watcher: ConfigWatcher::new(files, environment),
        directory,
    };
    fixture.write("desk.toml", TEXT);
    fixture
}

impl ReloadUnderTest {
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

    /// Returns the fault that the next look at the files reports.
    #[track_caller]
    fn fault(&mut self, secs: u64) -> String {
        let update = self.look(secs).expect("it brings something");
        assert!(update.loaded.is_none());
        update.fault.expect("a fault").text
    }
}

fn at(secs: u64) -> Now {
    Now::new(Moment::from_secs(secs), Utc::PLAUSIBLE)
}

/// Returns the symbols of the new configuration. The update must report no fault.
#[track_caller]
fn good(update: Option<ConfigUpdate>) -> String {
    let update = update.expect("it brings something");
    assert_eq!(update.fault, None);
    update.loaded.expect("a good one").names()
}

#[test]
fn a_half_written_file_is_not_parsed() {
    let mut fixture = fixture("half");
    assert!(matches!(fixture.begin(), (InitialConfig::Good(_), None)));
    assert!(fixture.look(2).is_none(), "it is as it was");
    fixture.write("desk.toml", "watchlist = [\"NDX\"");
    assert!(fixture.look(4).is_none());
    fixture.write("desk.toml", &format!("watchlist = [\"NDX\"]\n{TEXT}"));
    assert!(fixture.look(6).is_none());
    assert_eq!(good(fixture.look(8)), "NDX");
    assert!(fixture.look(10).is_none());
}

#[test]
fn a_requested_reload_parses_the_file_at_once() {
    let mut fixture = fixture("asked");
    fixture.begin();
    fixture.write("desk.toml", &format!("watchlist = [\"NDX\"]\n{TEXT}"));
    assert_eq!(good(fixture.config_watcher.look(true, at(1))), "NDX");
    assert!(fixture.look(2).is_none() && fixture.look(4).is_none());
    fixture.write("desk.toml", "watchlist = [");
    let update = fixture.config_watcher.look(true, at(5)).unwrap();
    assert!(update.fault.unwrap().text.starts_with("desk.toml:1: "));
    // A fault that stays the same is reported once.
    assert!(fixture.look(6).is_none() && fixture.look(8).is_none());
}

#[test]
fn a_missing_file_is_reported_after_ten_seconds_and_its_return_is_detected() {
    let mut fixture = fixture("gone");
    fixture.begin();
    fixture.remove("desk.toml");
    for secs in [2, 4, 6, 8, 10] {
        assert!(fixture.look(secs).is_none(), "{secs}");
    }
    assert!(fixture.fault(12).starts_with("desk.toml: cannot be read"));
    assert!(fixture.look(14).is_none());
    fixture.write("desk.toml", TEXT);
    assert!(fixture.look(16).is_none());
    assert_eq!(good(fixture.look(18)), "SPX, VIX");
}

#[test]
fn a_new_or_changed_token_file_is_read_without_a_change_of_the_configuration() {
    let mut fixture = fixture("token");
    let token = fixture.directory.join("token");
    fixture.write("desk.toml", &format!("{TEXT}token_file = {token:?}\n"));
    let (beginning, fault) = fixture.begin();
    assert!(matches!(beginning, InitialConfig::Nothing(_)));
    assert!(fault.unwrap().starts_with("desk.toml:3: token_file: "));
    assert!(fixture.look(2).is_none());
    let mut read = Vec::new();
    for (secs, text) in [(4, "first"), (8, "second")] {
        fixture.write("token", text);
        assert!(fixture.look(secs).is_none());
        let update = fixture.look(secs + 2).unwrap();
        let source = update.loaded.unwrap().config.source;
        read.push(source.secret.unwrap().reveal().to_owned());
    }
    assert_eq!(read, ["first", "second"]);
    fixture.remove("token");
    assert!(fixture.look(12).is_none());
    assert!(fixture.fault(14).starts_with("desk.toml:3: token_file: "));
}

#[test]
fn a_configuration_fault_is_reported_before_a_setup_fault() {
    let mut fixture = fixture("setup");
    fixture.write("error", "\n wifi.txt:2: expected psk \nmore\n");
    assert_eq!(fixture.begin().1.unwrap(), "wifi.txt:2: expected psk");
    fixture.write("desk.toml", "watchlist = [");
    assert!(fixture.look(2).is_none());
    assert!(fixture.fault(4).starts_with("desk.toml:1: "));
    // Without a network, the notice of the set-up by phone comes first.
    fixture.write("phone", "join the Wi-Fi desk\n#.#\n.#.\n");
    let update = fixture.look(5).unwrap().fault.unwrap();
    assert_eq!(
        (&*update.title, &*update.text),
        ("PHONE", "join the Wi-Fi desk")
    );
    assert_eq!(update.code.as_deref(), Some("#.#\n.#."));
    fixture.write("phone", "");
    assert!(fixture.fault(6).starts_with("desk.toml:1: "));
    fixture.write("desk.toml", TEXT);
    assert!(fixture.look(6).is_none());
    let update = fixture.look(8).unwrap();
    assert_eq!(update.fault.unwrap().text, "wifi.txt:2: expected psk");
    fixture.write("error", "");
    assert!(fixture.look(10).unwrap().fault.is_none());
}

#[test]
fn the_last_good_file_is_written_only_for_a_new_text_without_the_secret() {
    use std::os::unix::fs::MetadataExt;
    static LOG: std::sync::Once = std::sync::Once::new();
    LOG.call_once(|| captured_log::start(log::LevelFilter::Info));
    let fixture = fixture("remembered");
    let path = fixture.directory.join("kept.toml");
    let secret = Secret::new("s3cr3t").unwrap();
    let mut last = LastGood::at(path.clone(), Path::new("/etc/desk.toml"));
    let inode = || path.metadata().unwrap().ino();
    last.remember(TEXT, Some(&secret));
    let first = inode();
    last.remember(TEXT, Some(&secret));
    assert_eq!(inode(), first, "it was written again");
    let told = || {
        let lines = captured_log::take();
        let ours = lines.into_iter().filter(|line| line.contains("kept.toml"));
        ours.collect::<Vec<_>>()
    };
    assert!(told().is_empty());
    for _ in 0..2 {
        last.remember(&format!("# s3cr3t\n{TEXT}"), Some(&secret));
    }
    let [line] = told().try_into().unwrap();
    assert!(
        line.contains("contains the token") && !line.contains("s3cr3t"),
        "{line}"
    );
    let copy = format!("{TEXT}# The last good copy of /etc/desk.toml\n");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), copy);
    assert_eq!(last.text(), Some(copy));
    let other = LastGood::at(path.clone(), Path::new("/etc/other.toml"));
    assert_eq!(other.text(), None);
    // A directory that does not exist is no reason to stop.
    let mut nowhere = LastGood::at(
        fixture.directory.join("none/kept.toml"),
        Path::new("/etc/desk.toml"),
    );
    nowhere.remember(TEXT, None);
    nowhere.remember(TEXT, None);
    assert_eq!(told().len(), 1);
    assert_eq!(
        std::fs::read_dir(&fixture.directory).unwrap().count(),
        2,
        "nothing is left behind"
    );
}
