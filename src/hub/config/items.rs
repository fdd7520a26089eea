//! The lists in the configuration of a hub: clusters, origins, host names and proxies.

use std::collections::HashSet;
use std::net::IpAddr;

use toml::Spanned;

use crate::config::{ConfigReader, Mistake, nearest};
use crate::market::Cluster;

impl ConfigReader<'_> {
    pub(super) fn clusters(&self, names: Option<Spanned<Vec<Spanned<String>>>>) -> Vec<Cluster> {
        let Some(names) = names else {
            // The default does not include stocks, because stocks are not in every plan.
            return vec![Cluster::Indices, Cluster::Options];
        };
        let known = || Cluster::ALL.into_iter();
        let mut clusters = Vec::new();
        for name in names.get_ref() {
            let cluster = self.item("clusters", name, |name: &str| {
                let plain = name.trim().to_ascii_lowercase();
                let reason = format!("{name:?}, expected \"indices\", \"options\" or \"stocks\"");
                let near = match plain.as_str() {
                    "index" | "indexes" => Some(Cluster::Indices.path()),
                    "shares" | "equities" => Some(Cluster::Stocks.path()),
                    _ => nearest(&plain, known().map(Cluster::path)),
                };
                match (known().find(|cluster| cluster.path() == plain), near) {
                    (Some(cluster), _) => Ok(cluster),
                    (None, Some(near)) => Err(Mistake::with(reason, format!("\"{near}\""))),
                    (None, None) => Err(reason.into()),
                }
            });
            clusters.extend(cluster.filter(|cluster| !clusters.contains(cluster)));
        }
        if names.get_ref().is_empty() {
            let reason = "the list is empty; add a cluster, or remove this line";
            self.mistake("clusters", names.span(), reason);
        }
        clusters
    }

    pub(super) fn origins(&self, origins: Option<Spanned<Vec<Spanned<String>>>>) -> Vec<String> {
        let origins = origins.map(Spanned::into_inner).unwrap_or_default();
        let each = origins.iter().filter_map(|origin| {
            self.item("origins", origin, |origin: &str| {
                let text = origin.trim_end_matches('/').to_ascii_lowercase();
                let reason = format!("{origin:?}, expected origins like \"https://desk.example\"");
                match text.split_once("://") {
                    _ if text.contains(char::is_whitespace) => Err(reason.into()),
                    Some(("http" | "https", host)) if !host.is_empty() && !host.contains('/') => {
                        Ok(text)
                    }
                    Some((scheme @ ("http" | "https"), host)) if !host.starts_with('/') => {
                        let host = host.split('/').next().unwrap_or_default();
                        Err(Mistake::with(reason, format!("\"{scheme}://{host}\"")))
                    }
                    _ => Err(reason.into()),
                }
            })
        });
        each.collect()
    }

    pub(super) fn hosts(&self, hosts: Option<Spanned<Vec<Spanned<String>>>>) -> Vec<String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        let hosts = hosts.map(Spanned::into_inner).unwrap_or_default();
        let each = hosts.iter().filter_map(|host| {
            self.item("hosts", host, |text: &str| {
                let text = text.to_ascii_lowercase();
                match !text.is_empty() && text.bytes().all(plain) {
                    true => Ok(text),
                    false => Err(format!(
                        "{text:?}, expected names without a port like \"hub.example\""
                    )),
                }
            })
        });
        each.collect()
    }

    pub(super) fn proxies(&self, addresses: Option<Spanned<Vec<Spanned<String>>>>) -> Vec<IpAddr> {
        let mut seen = HashSet::new();
        for address in addresses.map(Spanned::into_inner).unwrap_or_default() {
            let parsed = self.item("trusted_proxy", &address, |address: &str| {
                let parsed = address.trim().parse::<IpAddr>().ok();
                // No connection comes from an address like 0.0.0.0.
                let parsed = parsed.filter(|address| !address.is_unspecified());
                parsed.ok_or_else(|| format!("{address:?}, expected addresses like \"127.0.0.1\""))
            });
            seen.extend(parsed.map(|address| address.to_canonical()));
        }
        seen.into_iter().collect()
    }
}
