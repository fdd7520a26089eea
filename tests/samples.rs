//! Tests of the sample configuration in the package of the hub: the hub accepts each setting in its
//! comments. `config.rs` tests the sample of the display.

use std::path::Path;

use deskticker::hub::config::HubConfig;
use deskticker::hub::listen_address::DEFAULT_LISTEN;
use deskticker::secret::Environment;

const HUB: &str = include_str!("../systemd/deb/hub.toml");

fn parsed(text: &str) -> HubConfig {
    let environment = Environment {
        key: Some("0123456789".into()),
        ..Environment::default()
    };
    HubConfig::parse(text, Path::new("hub.toml"), &environment)
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn the_packaged_hub_configuration_needs_only_the_key() {
    assert_eq!(parsed(HUB).listen.to_string(), DEFAULT_LISTEN);
}

#[test]
fn every_setting_in_the_hub_sample_is_valid() {
    // In the sample, a text has a space after its `#`, and a setting has none.
    let in_force: String = HUB
        .split_inclusive('\n')
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with([' ', '\n']) => setting,
            _ => line,
        })
        .collect();
    let config = parsed(&in_force);
    assert!(config.tls.is_some() && !config.trusted_proxies.is_empty());
}
