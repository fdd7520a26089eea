//! The configurations that the packages bring: what they say in comments is what the programs know.

use std::path::Path;

use deskticker::config::{Config, Environment};
use deskticker::hub;

const DISPLAY: &str = include_str!("../systemd/deb/deskticker.toml");
const HUB: &str = include_str!("../systemd/deb/hub.toml");

fn environment() -> Environment {
    Environment {
        token: Some("0123456789".into()),
        key: Some("0123456789".into()),
        ..Environment::default()
    }
}

/// The sample with every setting in force: prose has a space after its `#`, and settings have none.
fn in_force(sample: &str, without: &str) -> String {
    sample
        .split_inclusive('\n')
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with([' ', '\n']) => setting,
            _ => line,
        })
        .collect::<String>()
        .replace(without, "")
}

#[test]
fn the_display_as_packaged_says_that_it_lacks_a_source() {
    let error = Config::parse(DISPLAY, Path::new("deskticker.toml"), &environment())
        .expect_err("nothing is set")
        .to_string();
    assert!(
        error.contains("nothing says where the prices come from") && error.contains("[hub]"),
        "{error}"
    );
}

#[test]
fn every_setting_in_the_sample_of_the_display_is_one_that_it_knows() {
    let hub = "[hub]\nurl = \"ws://hub.local:3000\"\n";
    let vendor = "[massive]\nurl = \"wss://socket.massive.com\"\n";
    for other in [vendor, hub] {
        let text = in_force(DISPLAY, other);
        assert!(
            !text.contains(other.lines().next().unwrap_or_default()),
            "{text}"
        );
        let config = Config::parse(&text, Path::new("deskticker.toml"), &environment());
        let config = config.unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(config.watchlist.len(), 2);
    }
}

#[test]
fn the_hub_as_packaged_needs_nothing_but_the_key() {
    let config = hub::config::Config::parse(HUB, Path::new("hub.toml"), &environment());
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.listen.to_string(), hub::config::DEFAULT_LISTEN);
}

#[test]
fn every_setting_in_the_sample_of_the_hub_is_one_that_it_knows() {
    let text = in_force(HUB, "\0");
    let config = hub::config::Config::parse(&text, Path::new("hub.toml"), &environment());
    let config = config.unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert!(config.tls.is_some() && !config.trusted_proxies.is_empty());
}
