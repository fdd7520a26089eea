//! The source of the prices in the configuration, the tables `[hub]` and `[massive]`, and the
//! secret of the source.

use std::net::IpAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::reader::NO_PATH;
use super::{ConfigError, ConfigReader, ConfigTable, Correction, MASSIVE, Mistake};
use crate::market::Cluster;
use crate::net::endpoint::Endpoint;
use crate::net::source::{FeedProvider, FeedSource};
use crate::secret::{Environment, Secret, UNIT_SECRETS, read_secret};

/// The source, and the files that the configuration names for it.
pub(super) struct SourceConfig {
    pub(super) source: FeedSource,
    pub(super) secret_file: Option<PathBuf>,
    pub(super) ca_file: Option<PathBuf>,
    /// The line of `ca_file`.
    pub(super) ca_line: Option<usize>,
}

/// A secret, and the places that can contain it.
#[derive(Debug)]
pub(crate) struct SecretName {
    /// The kind of the secret: `token` or `key`.
    pub(crate) kind: &'static str,
    /// The name of the systemd credential, and of the file that the unit loads as this credential.
    pub(crate) credential: &'static str,
    /// The environment variable.
    pub(crate) variable: &'static str,
    value: fn(&Environment) -> Option<&str>,
}

/// The token of a display for its hub, and the static token of a hub.
pub(crate) const TOKEN: SecretName = SecretName {
    kind: "token",
    credential: "token",
    variable: "MASSIVE_PROXY_TOKEN",
    value: |environment| environment.token.as_deref(),
};

/// The key for the vendor.
pub(crate) const KEY: SecretName = SecretName {
    kind: "key",
    credential: "key",
    variable: "MASSIVE_API_KEY",
    value: |environment| environment.key.as_deref(),
};

/// The token of a hub for the hub above it.
pub(crate) const UPSTREAM_TOKEN: SecretName = SecretName {
    kind: "token",
    credential: "upstream-token",
    variable: "DESKTICKER_UPSTREAM_TOKEN",
    value: |environment| environment.upstream_token.as_deref(),
};

impl SecretName {
    /// Returns the secret of a display for its source.
    pub(crate) const fn of(provider: FeedProvider) -> &'static Self {
        match provider {
            FeedProvider::Hub => &TOKEN,
            FeedProvider::Vendor => &KEY,
        }
    }

    /// Returns the file that contains the secret; `named` is the file in the configuration. Without
    /// a result, the secret is in the environment variable.
    pub(crate) fn file(&self, named: Option<&Path>, environment: &Environment) -> Option<PathBuf> {
        let file = named.map(Path::to_owned);
        let file = file.or_else(|| environment.credential(self.credential));
        file.or_else(|| match (self.value)(environment) {
            Some(_) => None,
            None => environment.unit_secret(self.credential),
        })
    }
}

impl ConfigReader<'_> {
    /// Reads the source. `named` is true if the file contains one of the two tables, even with a
    /// wrong value.
    pub(super) fn source(
        &self,
        hub: Option<ConfigTable<'_, '_>>,
        massive: Option<ConfigTable<'_, '_>>,
        named: bool,
        environment: &Environment,
    ) -> Option<SourceConfig> {
        let (provider, mut table) = match (hub, massive) {
            (Some(hub), None) => (FeedProvider::Hub, hub),
            (None, Some(massive)) => (FeedProvider::Vendor, massive),
            (None, None) if named => return None,
            (None, None) => {
                let reason = "the source of the prices is missing; expected a table [hub] with url \
                              = \"ws://HOST:3000\", or [massive]";
                self.note_missing(self.error(None, reason));
                return None;
            }
            (Some(_), Some(massive)) => {
                let reason = "expected either [hub] or [massive], not both";
                let mut error = self.error(Some(massive.span()), reason);
                let words = "write a # before each line of the table that you do not need";
                error.correction = Some(Correction::words(words));
                self.note(error);
                return None;
            }
        };
        let span = table.span();
        let (trust, trust_span) = match provider {
            FeedProvider::Hub => {
                let span = table.span_of("trust");
                (table.flag("trust").unwrap_or(false), span)
            }
            FeedProvider::Vendor => (false, None),
        };
        let has_url = table.has("url");
        let urls = match provider {
            FeedProvider::Hub => table.list("url"),
            FeedProvider::Vendor => table
                .text("url")
                .map(|url| Spanned::new(url.span(), vec![url])),
        };
        let secret_file = match provider {
            FeedProvider::Hub => table.text("token_file"),
            FeedProvider::Vendor => table.text("key_file"),
        };
        let ca_file = table.text("ca_file");
        table.finish();
        let endpoints = match &urls {
            Some(urls) => self.endpoints(provider, "url", urls),
            None if provider == FeedProvider::Hub => {
                (!has_url).then(|| vec![Endpoint::announced()])
            }
            None => Endpoint::parse(MASSIVE).ok().map(|vendor| vec![vendor]),
        };
        let mut endpoints = endpoints.into_iter().flatten();
        let endpoint = endpoints.next();
        let alternatives: Vec<Endpoint> = endpoints.collect();
        let mut all = endpoint.iter().chain(&alternatives);
        if trust && endpoint.is_some() && all.all(|one| one.secure || one.is_announced()) {
            let reason = "trust: true has a meaning only for a url with ws://: with wss:// the \
                          certificate identifies the server, and a hub that is found without a url \
                          must know the token";
            let mut error = self.error(trust_span, reason);
            error.correction = Some(Correction::words("remove this line"));
            self.note(error);
        }
        let name = SecretName::of(provider);
        let secret = self.secret(name, Some(span), &secret_file, environment);
        let secret_file = secret_file.map(|file| self.in_folder(Path::new(file.get_ref())));
        let mut all = endpoint.iter().chain(&alternatives);
        if let Some(file) = &ca_file
            && endpoint.is_some()
            && !all.any(|one| one.secure || one.is_announced())
        {
            let text =
                "ca_file: only wss:// has a certificate, and nothing is encrypted with ws://";
            self.warn(&file.span(), text);
        }
        let ca_line = ca_file.as_ref().map(|file| self.line(&file.span()));
        let ca_file = match ca_file {
            Some(file) => Some(self.resolve("ca_file", &file)?),
            None => None,
        };
        Some(SourceConfig {
            source: FeedSource {
                trusted: trust,
                alternatives,
                ..FeedSource::new(provider, endpoint?, Some(secret?))
            },
            secret_file,
            ca_file,
            ca_line,
        })
    }

    /// Reads the addresses of the source, without a repetition. `name` is the name of the setting.
    pub(crate) fn endpoints(
        &self,
        provider: FeedProvider,
        name: &str,
        urls: &Spanned<Vec<Spanned<String>>>,
    ) -> Option<Vec<Endpoint>> {
        let mut endpoints = Vec::new();
        let mut complete = true;
        for url in urls.get_ref() {
            let Some(endpoint) = self.item(name, url, |text| server(provider, text)) else {
                complete = false;
                continue;
            };
            if endpoint
                .host
                .parse()
                .is_ok_and(|ip: IpAddr| ip.is_unspecified())
            {
                let text = format!(
                    "{name}: this address means this machine; write the address of the hub"
                );
                self.warn(&url.span(), text);
            }
            if provider == FeedProvider::Hub && endpoint.lacks_port(url.get_ref()) {
                let mut text =
                    format!("{name}: there is no port, so port 80 is meant; hubs use 3000");
                // A path can contain a secret, so a message does not repeat the path.
                let new = format!("\"ws://{}:3000\"", endpoint.authority());
                if endpoint.base.is_empty()
                    && let Some(line) = self.replaced(&url.span(), &new)
                {
                    text = format!("{text}; {line}");
                }
                self.warn(&url.span(), text);
            }
            if let Some(prefix) = without_own_path(&endpoint.base) {
                let mut text = format!(
                    "{name}: the program itself adds the path of the cluster to the url, so this \
                     path is wrong"
                );
                if prefix.is_empty() && !endpoint.lacks_port(url.get_ref()) {
                    let base = String::new();
                    let place = Endpoint {
                        base,
                        ..endpoint.clone()
                    };
                    text = format!("{text}; write: {name} = \"{place}\"");
                }
                self.warn(&url.span(), text);
            }
            if endpoints.contains(&endpoint) {
                let reason = format!("{endpoint} occurs twice in the list; remove one of both");
                self.mistake(name, url.span(), reason);
                complete = false;
            }
            endpoints.push(endpoint);
        }
        if urls.get_ref().is_empty() {
            self.mistake(name, urls.span(), "the list is empty");
            complete = false;
        }
        complete.then_some(endpoints)
    }

    /// Reads the address of a server; the default is the address of the vendor.
    pub(crate) fn endpoint(&self, url: &Option<Spanned<String>>) -> Option<Endpoint> {
        match url {
            Some(url) => self.read("url", url, |text: &str| server(FeedProvider::Vendor, text)),
            None => Endpoint::parse(MASSIVE).ok(),
        }
    }

    /// Reads the secret from the first place that has one: the named file, a systemd credential,
    /// the environment variable, or the file of the systemd unit. The error for a missing secret
    /// points to the position `table`.
    pub(crate) fn secret(
        &self,
        name: &SecretName,
        table: Option<Range<usize>>,
        file: &Option<Spanned<String>>,
        environment: &Environment,
    ) -> Option<Secret> {
        match self.optional_secret(name, file, environment) {
            Ok(None) => {
                let SecretName {
                    kind,
                    credential,
                    variable,
                    ..
                } = name;
                let missing = format!(
                    "there is no {kind}; expected {kind}_file = \"/path\" in this table, a systemd \
                     credential with the name {credential} (the service reads \
                     {UNIT_SECRETS}/{credential} at its start), or the environment variable {variable}"
                );
                self.note_missing(self.error(table, missing));
                None
            }
            Ok(secret) => secret,
            Err(error) => {
                self.note(error);
                None
            }
        }
    }

    /// Reads the secret as [`ConfigReader::secret`] does, but returns `None` if no place has a
    /// secret.
    pub(crate) fn optional_secret(
        &self,
        name: &SecretName,
        file: &Option<Spanned<String>>,
        environment: &Environment,
    ) -> Result<Option<Secret>, ConfigError> {
        let SecretName {
            kind,
            credential,
            variable,
            value,
        } = name;
        if self.trial {
            return Ok(Secret::new("no-secret-is-read").ok());
        }
        if let Some(file) = file {
            let written = Path::new(file.get_ref());
            let path = self.in_folder(written);
            return read_secret(&path, kind).map(Some).map_err(|reason| {
                // A value that is not a path is most likely the secret itself, in the wrong place.
                let message = match written.is_absolute() || path.exists() {
                    true => format!("{kind}_file: {}: {reason}", path.display()),
                    false => format!("{kind}_file: no such file, {NO_PATH}"),
                };
                ConfigError {
                    other: Some(path),
                    ..self.error(Some(file.span()), message)
                }
            });
        }
        if let Some(path) = environment.credential(credential) {
            return read_secret(&path, kind).map(Some).map_err(|reason| {
                self.error(None, format!("credential {}: {reason}", path.display()))
            });
        }
        if let Some(value) = value(environment) {
            let secret = Secret::from_text(value, kind).map(Some);
            return secret.map_err(|reason| self.error(None, format!("{variable}: {reason}")));
        }
        let Some(path) = environment.unit_secret(credential) else {
            return Ok(None);
        };
        read_secret(&path, kind).map(Some).map_err(|reason| {
            let message = format!(
                "{}: {reason}; the service reads this file as root: run this command with sudo, or \
                 write the {kind} to the file again",
                path.display()
            );
            self.error(None, message)
        })
    }
}

/// Parses the address of a hub, or of the real-time feed of the vendor.
pub(crate) fn server(provider: FeedProvider, text: &str) -> Result<Endpoint, Mistake> {
    let endpoint = endpoint(text)?;
    let (name, domain) = endpoint.host.split_once('.').unwrap_or_default();
    match (provider, name) {
        _ if !matches!(domain, "massive.com" | "polygon.io") => Ok(endpoint),
        (FeedProvider::Hub, _) => {
            Err("this is the vendor and no hub; for prices of the vendor write [massive]".into())
        }
        (FeedProvider::Vendor, "api") => Err(Mistake::with(
            "this address has only REST, and no real-time feed",
            format!("\"wss://socket.{domain}\""),
        )),
        (FeedProvider::Vendor, _) => Ok(endpoint),
    }
}

/// Returns the path of an address without the part that the program adds to each address; `None` if
/// the path does not end with this part.
fn without_own_path(base: &str) -> Option<&str> {
    let clusters = Cluster::ALL.iter();
    let mut rests = clusters.filter_map(|one| base.strip_suffix(one.path())?.strip_suffix('/'));
    let rest = rests.next().unwrap_or(base);
    let rest = rest.strip_suffix("/ws").unwrap_or(rest);
    (rest != base).then_some(rest)
}

/// Parses the address of a server. For an address without a scheme, the error contains the
/// corrected address.
pub(crate) fn endpoint(text: &str) -> Result<Endpoint, Mistake> {
    Endpoint::parse(text).map_err(|reason| {
        let meant = format!("ws://{}", text.trim());
        match !text.contains("://") && !text.contains(['/', '@', '?', '#']) {
            true if Endpoint::parse(&meant).is_ok() => {
                let port = if meant.matches(':').count() < 2 {
                    ":3000"
                } else {
                    ""
                };
                Mistake::with(reason, format!("\"{meant}{port}\""))
            }
            _ => reason.into(),
        }
    })
}
