//! The command `check`: prints a summary of the configuration, or all its errors. The start of the
//! hub uses the same words.

use std::net::SocketAddr;
use std::path::Path;

use deskticker::hub::config::{self, HubConfig};
use deskticker::hub::listen_address::foreign_address;
use deskticker::net::source::FeedProvider;
use deskticker::secret::{Environment, UNIT_SECRETS};

use crate::{ExitReason, devices, say};

/// Prints a summary of a valid configuration. Returns all errors of an invalid configuration.
pub(super) fn check(path: Option<&Path>) -> Result<(), ExitReason> {
    // A command that a user starts finds the key where the systemd unit finds it.
    let environment = Environment {
        unit_secrets: Some(UNIT_SECRETS.into()),
        ..Environment::from_process()
    };
    let config = HubConfig::check(path, &environment).map_err(ExitReason::config)?;
    for line in &config.warnings {
        log::warn!("{line}");
    }
    let authenticator = devices(&config.devices).map_err(ExitReason::config)?;
    warn_if_loopback(config.listen, &config);
    if let Some(hint) = foreign_address(config.listen) {
        log::warn!("the hub cannot listen: {hint}");
    }
    let devices = match authenticator.registry().borrow().len() {
        1 => "1 display with a token".to_owned(),
        count => format!("{count} displays with a token"),
    };
    let missing = path.is_none() && !Path::new(config::DEFAULT_PATH).exists();
    say(&format!(
        "ok: {}clusters {}, upstream {}, listening on {}://{}, {devices}\n",
        match missing {
            true => format!(
                "{} is missing, so the defaults apply: ",
                config::DEFAULT_PATH
            ),
            false => String::new(),
        },
        clusters(&config),
        upstream(&config),
        scheme(&config),
        config.listen
    ))
}

pub(super) fn clusters(config: &HubConfig) -> String {
    let clusters = config.clusters.iter().map(|cluster| cluster.path());
    clusters.collect::<Vec<_>>().join(", ")
}

pub(super) fn upstream(config: &HubConfig) -> String {
    match config.simulate {
        true => "simulated prices".to_owned(),
        false => {
            let source = &config.upstream.source;
            let hubs = std::iter::once(&source.endpoint).chain(&source.alternatives);
            let hubs: Vec<String> = hubs.map(ToString::to_string).collect();
            match source.provider {
                FeedProvider::Vendor => hubs.concat(),
                FeedProvider::Hub => format!("the hub {}", hubs.join(", then ")),
            }
        }
    }
}

pub(super) fn scheme(config: &HubConfig) -> &'static str {
    if config.tls.is_some() { "wss" } else { "ws" }
}

/// Logs a warning if displays on other machines cannot connect. A reverse proxy on this machine
/// connects to the loopback address.
pub(super) fn warn_if_loopback(address: SocketAddr, config: &HubConfig) {
    if address.ip().is_loopback() && config.trusted_proxies.is_empty() {
        log::warn!(
            "only programs on this machine can connect to {address}: for displays on other \
             machines write listen = \"0.0.0.0:{}\"",
            address.port()
        );
    }
}
