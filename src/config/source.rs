//! The source of the prices in the configuration, the tables `[hub]` and `[massive]`, and the secret
//! of the source.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::toml_reader::{NO_PATH, secret_file};
use super::{ConfigError, ConfigReader, MASSIVE};
use crate::net::endpoint::Endpoint;
use crate::net::source::{FeedProvider, FeedSource};
use crate::secret::{Environment, Secret, UNIT_SECRETS, read_secret};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(expecting = "a table: a line [hub], and its settings below")]
pub(super) struct HubTable {
    url: Option<Spanned<String>>,
    #[serde(default, deserialize_with = "secret_file")]
    token_file: Option<Spanned<PathBuf>>,
    ca_file: Option<Spanned<PathBuf>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(expecting = "a table: a line [massive], and its settings below")]
pub(super) struct MassiveTable {
    url: Option<Spanned<String>>,
    #[serde(default, deserialize_with = "secret_file")]
    key_file: Option<Spanned<PathBuf>>,
    ca_file: Option<Spanned<PathBuf>>,
}

/// The source, and the files that the configuration names for it.
pub(super) struct SourceConfig {
    pub(super) source: FeedSource,
    pub(super) secret_file: Option<PathBuf>,
    pub(super) ca_file: Option<Spanned<PathBuf>>,
}

/// Returns the name of the secret of a source, which is also the name of its systemd credential,
/// and the environment variable that may contain the secret.
pub(crate) const fn secret_names(provider: FeedProvider) -> (&'static str, &'static str) {
    match provider {
        FeedProvider::Hub => ("token", "MASSIVE_PROXY_TOKEN"),
        FeedProvider::Vendor => ("key", "MASSIVE_API_KEY"),
    }
}

/// Returns the value of the environment variable for the secret of a source.
fn secret_variable(provider: FeedProvider, environment: &Environment) -> Option<&str> {
    match provider {
        FeedProvider::Hub => environment.token.as_deref(),
        FeedProvider::Vendor => environment.key.as_deref(),
    }
}

/// Returns the file that contains the secret of a source; `named` is the file in the configuration.
/// Without a result, the secret is in the environment variable.
pub(crate) fn secret_source(
    provider: FeedProvider,
    named: Option<&Path>,
    environment: &Environment,
) -> Option<PathBuf> {
    let (name, _) = secret_names(provider);
    let file = named.map(Path::to_owned);
    let file = file.or_else(|| environment.credential(name));
    file.or_else(|| match secret_variable(provider, environment) {
        Some(_) => None,
        None => environment.unit_secret(name),
    })
}

impl ConfigReader<'_> {
    pub(super) fn source(
        &self,
        hub: Option<Spanned<HubTable>>,
        massive: Option<Spanned<MassiveTable>>,
        environment: &Environment,
    ) -> Result<SourceConfig, ConfigError> {
        let (provider, table, url, secret_file, ca_file) = match (hub, massive) {
            (Some(hub), None) => {
                let (table, hub) = (hub.span(), hub.into_inner());
                let HubTable {
                    url,
                    token_file,
                    ca_file,
                } = hub;
                (FeedProvider::Hub, table, url, token_file, ca_file)
            }
            (None, Some(massive)) => {
                let (table, massive) = (massive.span(), massive.into_inner());
                let MassiveTable {
                    url,
                    key_file,
                    ca_file,
                } = massive;
                (FeedProvider::Vendor, table, url, key_file, ca_file)
            }
            (None, None) => {
                let reason = "the source of the prices is missing; expected a table [hub] with url \
                              = \"ws://HOST:3000\", or [massive]";
                return Err(self.error(None, reason));
            }
            (Some(_), Some(massive)) => {
                let reason = "expected either [hub] or [massive], not both";
                return Err(self.error(Some(massive.span()), reason));
            }
        };
        let endpoint = match (provider, &url) {
            (FeedProvider::Hub, None) => Endpoint::announced(),
            _ => self.endpoint(&url)?,
        };
        let secret = self.secret(provider, Some(table), &secret_file, environment)?;
        Ok(SourceConfig {
            source: FeedSource {
                provider,
                endpoint,
                secret: Some(secret),
            },
            secret_file: secret_file.map(Spanned::into_inner),
            ca_file,
        })
    }

    /// Reads the address of a server; the default is the address of the vendor.
    pub(crate) fn endpoint(&self, url: &Option<Spanned<String>>) -> Result<Endpoint, ConfigError> {
        match url {
            Some(url) => self.read("url", url, Endpoint::parse),
            None => Endpoint::parse(MASSIVE).map_err(|reason| self.error(None, reason)),
        }
    }

    /// Reads the secret from the first place that has one: the named file, a systemd credential, the
    /// environment variable, or the file of the systemd unit. The error for a missing secret points
    /// to the position `table`.
    pub(crate) fn secret(
        &self,
        provider: FeedProvider,
        table: Option<Range<usize>>,
        file: &Option<Spanned<PathBuf>>,
        environment: &Environment,
    ) -> Result<Secret, ConfigError> {
        let (name, variable) = secret_names(provider);
        self.optional_secret(provider, file, environment)?
            .ok_or_else(|| {
                self.error(
                    table,
                    format!(
                        "there is no {name}; expected {name}_file = \"/path\" in this table, a \
                         systemd credential with the name {name} (the service reads \
                         {UNIT_SECRETS}/{name} at its start), or the environment variable \
                         {variable}"
                    ),
                )
            })
    }

    /// Reads the secret as [`ConfigReader::secret`] does, but returns `None` if no place has a
    /// secret.
    pub(crate) fn optional_secret(
        &self,
        provider: FeedProvider,
        file: &Option<Spanned<PathBuf>>,
        environment: &Environment,
    ) -> Result<Option<Secret>, ConfigError> {
        let (name, variable) = secret_names(provider);
        if let Some(file) = file {
            let path = file.get_ref();
            return read_secret(path, name).map(Some).map_err(|reason| {
                // A value that is not a path is most likely the secret itself, in the wrong place.
                let message = match path.is_absolute() || path.exists() {
                    true => format!("{name}_file: {}: {reason}", path.display()),
                    false => format!("{name}_file: no such file, {NO_PATH}"),
                };
                ConfigError {
                    other: Some(path.clone()),
                    ..self.error(Some(file.span()), message)
                }
            });
        }
        if let Some(path) = environment.credential(name) {
            return read_secret(&path, name).map(Some).map_err(|reason| {
                self.error(None, format!("credential {}: {reason}", path.display()))
            });
        }
        if let Some(value) = secret_variable(provider, environment) {
            let secret = Secret::from_text(value, name).map(Some);
            return secret.map_err(|reason| self.error(None, format!("{variable}: {reason}")));
        }
        let Some(path) = environment.unit_secret(name) else {
            return Ok(None);
        };
        read_secret(&path, name).map(Some).map_err(|reason| {
            let message = format!(
                "{}: {reason}; the service reads this file as root: run this command with sudo, or \
                 write the {name} to the file again",
                path.display()
            );
            self.error(None, message)
        })
    }
}
