//! The server above the hub in its configuration: the vendor in the table `[massive]`, or another hub in
//! the table `[upstream]`.

use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;

use crate::config::{ConfigReader, ConfigTable, KEY, UPSTREAM_TOKEN, endpoint};
use crate::market::Cluster;
use crate::net::endpoint::Endpoint;
use crate::net::source::{FeedProvider, FeedSource};
use crate::secret::{Environment, Secret};

/// The settings of `[massive]`.
const MASSIVE: [&str; 5] = ["url", "rest_url", "key_file", "ca_file", "clusters"];

/// The server above the hub. A missing source has an error in the reader.
pub(super) struct UpstreamConfig {
    pub(super) source: Option<FeedSource>,
    pub(super) rest: Option<FeedSource>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) ca_span: Option<Range<usize>>,
    pub(super) clusters: Vec<Cluster>,
}

impl ConfigReader<'_> {
    /// Reads the table `[massive]`, which may be missing.
    pub(super) fn vendor(
        &self,
        mut table: Option<ConfigTable<'_, '_>>,
        simulate: bool,
        environment: &Environment,
    ) -> UpstreamConfig {
        let mut text_of = |name| table.as_mut().and_then(|table| table.text(name));
        let (url, rest_url) = (text_of("url"), text_of("rest_url"));
        let (key_file, ca_file) = (text_of("key_file"), text_of("ca_file"));
        let clusters = table.as_mut().and_then(|table| table.list("clusters"));
        let clusters = self.clusters(clusters);
        if let Some(table) = table {
            table.finish();
        }
        let secret = match simulate {
            true => Secret::new("simulated").ok(),
            false => self.secret(&KEY, None, &key_file, environment),
        };
        let stream = self.endpoint(&url);
        let mut rest = stream.clone();
        self.set(&mut rest, "rest_url", &rest_url, |url: &str| {
            endpoint(url).map(Some)
        });
        let source = |endpoint: Option<Endpoint>| {
            let secret = Some(secret.clone()?);
            Some(FeedSource::new(FeedProvider::Vendor, endpoint?, secret))
        };
        UpstreamConfig {
            source: source(stream),
            rest: source(rest),
            ca_span: ca_file.as_ref().map(Spanned::span),
            ca_file: ca_file.and_then(|file| self.resolve("ca_file", &file)),
            clusters,
        }
    }

    /// Reads the table `[upstream]`. The table `massive` must then have no settings.
    pub(super) fn hub_above(
        &self,
        massive: Option<ConfigTable<'_, '_>>,
        mut table: ConfigTable<'_, '_>,
        simulate: bool,
        environment: &Environment,
    ) -> UpstreamConfig {
        let span = table.span();
        if massive.is_some_and(|massive| MASSIVE.iter().any(|name| massive.has(name))) {
            let reason = "expected either [massive] (the vendor) or [upstream] (another hub), not \
                          both; write a # before each line of the table that you do not need";
            self.note(self.error(Some(span.clone()), reason));
        }
        let (has_hub, hubs) = (table.has("hub"), table.list("hub"));
        let (token_file, ca_file) = (table.text("token_file"), table.text("ca_file"));
        let clusters = table.list("clusters");
        let clusters = self.clusters(clusters);
        let is_wrong = table.is_wrong();
        table.finish();
        if !has_hub && !is_wrong {
            let reason = "[upstream] has no line `hub`, for example hub = \"wss://hub.example\"";
            self.note_missing(self.error(Some(span.clone()), reason));
        }
        let endpoints = hubs.and_then(|hubs| self.endpoints(FeedProvider::Hub, "hub", &hubs));
        let secret = match simulate {
            true => Secret::new("simulated").ok(),
            false => self.secret(&UPSTREAM_TOKEN, Some(span), &token_file, environment),
        };
        let mut endpoints = endpoints.into_iter().flatten();
        let source = endpoints
            .next()
            .zip(secret)
            .map(|(first, secret)| FeedSource {
                alternatives: endpoints.collect(),
                ..FeedSource::new(FeedProvider::Hub, first, Some(secret))
            });
        UpstreamConfig {
            rest: source.clone(),
            source,
            ca_span: ca_file.as_ref().map(Spanned::span),
            ca_file: ca_file.and_then(|file| self.resolve("ca_file", &file)),
            clusters,
        }
    }
}
