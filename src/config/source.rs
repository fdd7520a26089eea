//! The source of the prices in the configuration: the tables `[hub]` and `[massive]`.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::{ConfigError, ConfigReader, MASSIVE};
use crate::net::endpoint::Endpoint;
use crate::net::source::{FeedProvider, FeedSource};
use crate::secret::Environment;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HubTable {
    url: Spanned<String>,
    pub(super) token_file: Option<Spanned<PathBuf>>,
    ca_file: Option<Spanned<PathBuf>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MassiveTable {
    url: Option<Spanned<String>>,
    pub(super) key_file: Option<Spanned<PathBuf>>,
    ca_file: Option<Spanned<PathBuf>>,
}

impl ConfigReader<'_> {
    pub(super) fn source(
        &self,
        hub: Option<Spanned<HubTable>>,
        massive: Option<Spanned<MassiveTable>>,
        environment: &Environment,
    ) -> Result<(FeedSource, Option<Spanned<PathBuf>>), ConfigError> {
        match (hub, massive) {
            (None, None) => Err(self.error(
                None,
                "the source of the prices is missing; expected a table [hub] with url = \
                 \"ws://HOST:3000\", or [massive]",
            )),
            (Some(_), Some(massive)) => Err(self.error(
                Some(massive.span()),
                "expected either [hub] or [massive], not both",
            )),
            (Some(hub), None) => {
                let table = hub.span();
                let hub = hub.into_inner();
                let endpoint = self.endpoint(&hub.url)?;
                let secret = self.secret(
                    Some(table),
                    hub.token_file,
                    environment,
                    "token",
                    "MASSIVE_PROXY_TOKEN",
                    &environment.token,
                )?;
                Ok((
                    FeedSource {
                        provider: FeedProvider::Hub,
                        endpoint,
                        secret: Some(secret),
                    },
                    hub.ca_file,
                ))
            }
            (None, Some(massive)) => {
                let table = massive.span();
                let massive = massive.into_inner();
                let endpoint = match &massive.url {
                    Some(url) => self.endpoint(url)?,
                    None => {
                        Endpoint::parse(MASSIVE).map_err(|message| self.error(None, message))?
                    }
                };
                let secret = self.secret(
                    Some(table),
                    massive.key_file,
                    environment,
                    "key",
                    "MASSIVE_API_KEY",
                    &environment.key,
                )?;
                Ok((
                    FeedSource {
                        provider: FeedProvider::Vendor,
                        endpoint,
                        secret: Some(secret),
                    },
                    massive.ca_file,
                ))
            }
        }
    }
}
