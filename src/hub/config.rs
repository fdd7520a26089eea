//! The complete configuration of a hub: the file, the default values and the secrets. Every setting
//! except the vendor's key has a default, so a hub can run without a file. The program never writes
//! the file.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::auth::registry;
use super::server::limits::{Limits, LimitsTable};
use crate::config::{ConfigError, ConfigReader, secret_file};
use crate::market::Cluster;
use crate::net::endpoint::Endpoint;
use crate::net::source::{FeedProvider, FeedSource};
use crate::secret::{Environment, Secret};

/// The default path of the configuration file. The file may be missing.
pub const DEFAULT_PATH: &str = "/etc/deskticker/hub.toml";
/// The default listen address: every network interface, and the port of the existing proxy.
pub const DEFAULT_LISTEN: &str = "0.0.0.0:3000";

/// All settings of a hub.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// The address and the port at which the hub listens.
    pub listen: SocketAddr,
    /// True if the hub announces itself in the local network as `hub.local`.
    pub announce: bool,
    /// The vendor's WebSocket endpoint, with the key.
    pub source: FeedSource,
    /// The vendor's REST endpoint, with the key. The default is the endpoint of `source`.
    pub rest: FeedSource,
    /// The file of a certificate authority that is trusted in addition to the usual authorities.
    pub ca_file: Option<PathBuf>,
    /// The vendor's clusters that the hub serves.
    pub clusters: Vec<Cluster>,
    /// The device registry and the static token.
    pub devices: Devices,
    /// The certificate file and the key file (both PEM), if the hub itself serves TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The web origins that may use the hub besides its own, as `https://host` in lower case.
    pub origins: Vec<String>,
    /// The host names of the hub besides its addresses, `localhost`, `*.local` and the name of the
    /// machine, in lower case.
    pub hosts: Vec<String>,
    /// True if `/metrics` and the details of `/healthz` are for all clients.
    pub public_metrics: bool,
    /// The reverse proxies whose `X-Forwarded-For` header the hub trusts.
    pub trusted_proxies: Vec<IpAddr>,
    /// The limits for connections, requests and clients.
    pub limits: Limits,
}

/// The device registry and the static token, which identify the clients that are allowed to
/// connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devices {
    /// The path of the device registry. The file may be missing and may appear later.
    pub file: PathBuf,
    /// The optional static token.
    pub fixed: Option<Secret>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct HubConfigFile {
    listen: Option<Spanned<String>>,
    announce: Option<bool>,
    origins: Option<Vec<Spanned<String>>>,
    hosts: Option<Vec<Spanned<String>>>,
    trusted_proxy: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    massive: MassiveTable,
    #[serde(default)]
    devices: DevicesTable,
    tls: Option<TlsTable>,
    #[serde(default)]
    metrics: MetricsTable,
    #[serde(default)]
    limits: LimitsTable,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct MetricsTable {
    public: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct MassiveTable {
    url: Option<Spanned<String>>,
    rest_url: Option<Spanned<String>>,
    #[serde(default, deserialize_with = "secret_file")]
    key_file: Option<Spanned<PathBuf>>,
    ca_file: Option<PathBuf>,
    clusters: Option<Spanned<Vec<Spanned<String>>>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct DevicesTable {
    file: Option<PathBuf>,
    #[serde(default, deserialize_with = "secret_file")]
    token_file: Option<Spanned<PathBuf>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsTable {
    cert: PathBuf,
    key: PathBuf,
}

impl HubConfig {
    /// Reads and checks a configuration file and the secrets that it refers to. If `path` is
    /// `None`, reads [`DEFAULT_PATH`]; this default file may be missing.
    ///
    /// # Errors
    /// The first error in the configuration, with the file and the line.
    pub fn load(path: Option<&Path>, environment: &Environment) -> Result<Self, ConfigError> {
        let (text, path) = text(path)?;
        Self::parse(&text, path, environment)
    }

    /// Checks a configuration like [`HubConfig::load`], from a text that was read from `path`.
    ///
    /// # Errors
    /// The first error in the configuration, with the file and the line.
    pub fn parse(text: &str, path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let reader = ConfigReader { text, path };
        let file: HubConfigFile = reader.file()?;
        let key_file = &file.massive.key_file;
        let secret = reader.secret(FeedProvider::Vendor, None, key_file, environment)?;
        let endpoint = reader.endpoint(&file.massive.url)?;
        let mut rest = endpoint.clone();
        let rest_url = &file.massive.rest_url;
        reader.set(&mut rest, "rest_url", rest_url, Endpoint::parse)?;
        let source = |endpoint| FeedSource {
            provider: FeedProvider::Vendor,
            endpoint,
            secret: Some(secret.clone()),
        };
        let token_file = &file.devices.token_file;
        let fixed = reader.optional_secret(FeedProvider::Hub, token_file, environment)?;
        if let Some(token) = &fixed {
            check_static_token(token)
                .map_err(|reason| reader.error(token_file.as_ref().map(Spanned::span), reason))?;
        }
        Ok(Self {
            listen: reader.listen(file.listen)?,
            announce: file.announce.unwrap_or(true),
            rest: source(rest),
            source: source(endpoint),
            ca_file: file.massive.ca_file,
            clusters: reader.clusters(file.massive.clusters)?,
            devices: Devices {
                // The path is set even if the file is missing: the first `token add` must not
                // require a restart.
                file: file
                    .devices
                    .file
                    .unwrap_or_else(|| registry::DEFAULT_PATH.into()),
                fixed,
            },
            tls: file.tls.map(|tls| (tls.cert, tls.key)),
            origins: reader.origins(file.origins.unwrap_or_default())?,
            hosts: reader.hosts(file.hosts.unwrap_or_default())?,
            public_metrics: file.metrics.public.unwrap_or(false),
            trusted_proxies: reader.proxies(file.trusted_proxy.unwrap_or_default())?,
            limits: file.limits.check(&reader)?,
        })
    }
}

/// Returns the path of the device registry, for the commands that change the registry. These
/// commands do not need the vendor's key, so this function does not read the key.
///
/// # Errors
/// The configuration cannot be read or is invalid.
pub fn devices_file(path: Option<&Path>) -> Result<PathBuf, ConfigError> {
    let (text, path) = text(path)?;
    let file: HubConfigFile = ConfigReader { text: &text, path }.file()?;
    let named = file.devices.file;
    Ok(named.unwrap_or_else(|| registry::DEFAULT_PATH.into()))
}

/// Returns the text and the path of the configuration. The text is empty if the default file is
/// missing.
fn text(path: Option<&Path>) -> Result<(String, &Path), ConfigError> {
    let usual = Path::new(DEFAULT_PATH);
    let from = path.unwrap_or(usual);
    match std::fs::read_to_string(from) {
        Ok(text) => Ok((text, from)),
        Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            Ok((String::new(), from))
        }
        Err(error) => {
            let (text, path) = ("", from);
            let reader = ConfigReader { text, path };
            Err(reader.error(None, format!("cannot be read: {error}")))
        }
    }
}

impl ConfigReader<'_> {
    fn unexpected(&self, key: &str, value: &Spanned<String>, expected: &str) -> ConfigError {
        let message = format!("{key}: {:?}, expected {expected}", value.get_ref());
        self.error(Some(value.span()), message)
    }

    fn listen(&self, listen: Option<Spanned<String>>) -> Result<SocketAddr, ConfigError> {
        let text = listen
            .as_ref()
            .map_or(DEFAULT_LISTEN, |text| text.get_ref());
        let span = listen.as_ref().map(Spanned::span);
        parse_listen(text).map_err(|reason| self.error(span, format!("listen: {reason}")))
    }

    fn clusters(
        &self,
        names: Option<Spanned<Vec<Spanned<String>>>>,
    ) -> Result<Vec<Cluster>, ConfigError> {
        let Some(names) = names else {
            // The default does not include stocks, because stocks are not in every plan.
            return Ok(vec![Cluster::Indices, Cluster::Options]);
        };
        let span = names.span();
        let mut clusters = Vec::new();
        for name in names.into_inner() {
            let found = Cluster::ALL
                .into_iter()
                .find(|cluster| cluster.path() == name.get_ref());
            let expected = "\"indices\", \"options\" or \"stocks\"";
            let cluster = found.ok_or_else(|| self.unexpected("clusters", &name, expected))?;
            if !clusters.contains(&cluster) {
                clusters.push(cluster);
            }
        }
        if clusters.is_empty() {
            return Err(self.error(
                Some(span),
                "clusters: the list is empty; add a cluster, or remove this line",
            ));
        }
        Ok(clusters)
    }

    fn origins(&self, origins: Vec<Spanned<String>>) -> Result<Vec<String>, ConfigError> {
        let each = origins.into_iter().map(|origin| {
            let text = origin.get_ref().trim_end_matches('/').to_ascii_lowercase();
            match text.split_once("://") {
                Some(("http" | "https", host)) if !host.is_empty() && !host.contains('/') => {
                    Ok(text)
                }
                _ => {
                    let expected = "origins like \"https://desk.example\"";
                    Err(self.unexpected("origins", &origin, expected))
                }
            }
        });
        each.collect()
    }

    fn hosts(&self, hosts: Vec<Spanned<String>>) -> Result<Vec<String>, ConfigError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        let each = hosts.into_iter().map(|host| {
            let text = host.get_ref().to_ascii_lowercase();
            if !text.is_empty() && text.bytes().all(plain) {
                return Ok(text);
            }
            let expected = "names without a port like \"hub.example\"";
            Err(self.unexpected("hosts", &host, expected))
        });
        each.collect()
    }

    fn proxies(&self, addresses: Vec<Spanned<String>>) -> Result<Vec<IpAddr>, ConfigError> {
        let mut seen = HashSet::new();
        for address in addresses {
            let expected = "addresses like \"127.0.0.1\"";
            let parsed: IpAddr = (address.get_ref().parse())
                .map_err(|_| self.unexpected("trusted_proxy", &address, expected))?;
            seen.insert(parsed.to_canonical());
        }
        Ok(seen.into_iter().collect())
    }
}

/// The minimum length of the static token, and the length below which the hub warns.
const STATIC_TOKEN: (usize, usize) = (8, 16);

/// Checks that nobody can guess the static token, as far as its length shows this.
///
/// # Errors
/// The token is too short; the message says how to create a better one.
pub fn check_static_token(token: &Secret) -> Result<(), String> {
    const BETTER: &str = "create a token for each display with `deskticker-hub token add NAME`, or \
                          a static one with `openssl rand -base64 24`";
    let (refused, warned) = STATIC_TOKEN;
    match token.reveal().chars().count() {
        length if length < refused => Err(format!(
            "the static token (token_file, credential or MASSIVE_PROXY_TOKEN) has {length} \
             characters and can be guessed; at least {refused} are necessary: {BETTER}"
        )),
        length if length < warned => {
            log::warn!("the static token has only {length} characters: {BETTER}");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Parses a listen address from the file or from the option `--listen`.
///
/// # Errors
/// The text is not an address with a port; the message shows the expected form.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("{text:?}, expected an address and a port like \"{DEFAULT_LISTEN}\""))
}
