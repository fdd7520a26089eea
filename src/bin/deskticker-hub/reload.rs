//! The settings of a running hub, and their reload after SIGHUP. Never stops the hub: after an error,
//! the hub keeps its previous settings.

use deskticker::config::ConfigErrors;
use deskticker::hub::auth::authenticator::Authenticator;
use deskticker::hub::config::HubConfig;
use deskticker::hub::server::limits::Limits;
use deskticker::hub::server::tls::Tls;
use deskticker::hub::{HubSettings, UpstreamServer};
use deskticker::net::source::{FeedProvider, FeedSource};
use tokio::sync::watch;

/// Returns the settings that can change while the hub runs.
pub(crate) fn settings(config: &HubConfig) -> Result<HubSettings, String> {
    let files = config.tls.as_ref();
    let tls = files.map(|(certificate, key)| Tls::load(certificate, key));
    Ok(HubSettings {
        origins: config.origins.clone(),
        hosts: config.hosts.clone(),
        public_metrics: config.public_metrics,
        trusted_proxies: config.trusted_proxies.clone(),
        tls: tls.transpose().map_err(|error| format!("tls: {error}"))?,
        limits: config.limits.clone(),
    })
}

/// Reloads the device registry and the settings after SIGHUP. An invalid file changes nothing. A
/// changed setting that needs a restart causes a warning in the log.
pub(crate) fn read_again(
    config: &HubConfig,
    new: Result<HubConfig, ConfigErrors>,
    authenticator: &Authenticator,
    current: &watch::Sender<HubSettings>,
    upstream: &watch::Sender<UpstreamServer>,
) {
    match authenticator.reload() {
        Ok(()) => log::info!(
            "the device registry has been read again; registered devices: {}",
            authenticator.registry().borrow().len()
        ),
        Err(error) => log::error!("the hub keeps its previous device registry: {error}"),
    }
    let read = new.map_err(|error| error.to_string());
    let (new, settings) = match read.and_then(|new| settings(&new).map(|found| (new, found))) {
        Ok(read) => read,
        Err(error) => {
            for line in error.lines() {
                log::error!("the hub keeps its previous settings: {line}");
            }
            return;
        }
    };
    current.send_replace(settings);
    let fixed = |limits: &Limits| -> Vec<_> {
        let values = limits.values();
        values.filter(|(_, _, restart)| *restart).collect()
    };
    let names: Vec<&str> = fixed(&new.limits).iter().map(|(name, ..)| *name).collect();
    let limits = format!("limits: {}", names.join(", "));
    let (source, rest) = (&config.upstream.source, &config.upstream.rest);
    let devices = "devices (file, static token)";
    let place = |source: &FeedSource| {
        let alternatives = source.alternatives.clone();
        (source.provider, source.endpoint.clone(), alternatives)
    };
    let new_url = place(&new.upstream.source) != place(source);
    let new_rest_url = new.upstream.rest.endpoint != rest.endpoint;
    let is_same_vendor = !new_url
        && !new_rest_url
        && new.ca_file == config.ca_file
        && new.simulate == config.simulate;
    let mut is_key_kept = false;
    upstream.send_modify(|server| {
        // The new key may be for the new endpoint, and the old endpoint must never receive it.
        is_key_kept = !is_same_vendor && server.source.secret != new.upstream.source.secret;
        if is_same_vendor {
            *server = new.upstream.clone();
        }
    });
    let (address, table, secret) = match source.provider {
        FeedProvider::Vendor => ("massive.url", "massive", "the vendor's key"),
        FeedProvider::Hub => ("upstream.hub", "upstream", "the token of the hub above"),
    };
    for (changed, what) in [
        (new.listen != config.listen, "listen"),
        (new.announce != config.announce, "announce"),
        (new.simulate != config.simulate, "simulate"),
        (new_url, address),
        (new_rest_url, "massive.rest_url"),
        (new.ca_file != config.ca_file, &format!("{table}.ca_file")),
        (
            is_key_kept,
            &format!("{secret}, because its endpoint has changed"),
        ),
        (
            new.clusters != config.clusters,
            &format!("{table}.clusters"),
        ),
        (new.devices != config.devices, devices),
        (fixed(&new.limits) != fixed(&config.limits), &limits),
    ] {
        if changed {
            log::warn!("a changed setting takes effect only after a restart of the hub: {what}");
        }
    }
    log::info!("the settings have been read again");
}
