//! The complete configuration of a hub: the file, the default values and the secrets. Every setting
//! except the vendor's key has a default, so a hub can run without a file. The module never writes
//! the file.

mod items;
mod upstream;

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::UpstreamServer;
use super::auth::authenticator::Authenticator;
use super::auth::registry;
use super::server::limits::{self, Limits};
use super::server::tls::Tls;
use crate::config::{
    self, ConfigError, ConfigErrors, ConfigReader, ConfigTable, Key, Kind, Schema, TOKEN, key,
};
use crate::market::Cluster;
use crate::net::connector::Connector;
use crate::secret::{Environment, Secret};
use crate::time::Clock;

/// The default path of the configuration file. The file may be missing.
pub const DEFAULT_PATH: &str = "/etc/deskticker/hub.toml";

/// All settings of a hub.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// The address and the port at which the hub listens.
    pub listen: SocketAddr,
    /// True if the hub announces itself in the local network as `hub.local`.
    pub announce: bool,
    /// True for simulated prices in place of the vendor's; the hub then needs no key.
    pub simulate: bool,
    /// The server above this hub, with its secret. The vendor's default REST endpoint is its WebSocket
    /// endpoint.
    pub upstream: UpstreamServer,
    /// The file of a certificate authority that is trusted in addition to the usual authorities.
    pub ca_file: Option<PathBuf>,
    /// The clusters that the hub serves.
    pub clusters: Vec<Cluster>,
    /// The device registry and the static token.
    pub devices: Devices,
    /// The certificate file and the key file (both PEM), if the hub itself serves TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The web origins that may use the hub besides its own, as `https://host` in lower case.
    pub origins: Vec<String>,
    /// Further host names of the hub, in lower case. The addresses of the hub, `localhost`,
    /// `*.local` and the name of the machine are always valid.
    pub hosts: Vec<String>,
    /// True if `/metrics` and the details of `/healthz` are for all clients.
    pub public_metrics: bool,
    /// The reverse proxies whose `X-Forwarded-For` header the hub trusts.
    pub trusted_proxies: Vec<IpAddr>,
    /// The limits for connections, requests and clients.
    pub limits: Limits,
    /// Settings that are valid, but possibly not meant in this way. Each text has a file and a
    /// line.
    pub warnings: Vec<String>,
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

/// The settings of the hub except its limits.
const KEYS: &[Key] = &[
    key("", "listen", Kind::Text, "\"0.0.0.0:3000\""),
    key("", "announce", Kind::Flag, "true"),
    key("", "simulate", Kind::Flag, "false"),
    key("", "origins", Kind::List, "[\"https://desk.example\"]"),
    key("", "hosts", Kind::List, "[\"hub.example\"]"),
    key("", "trusted_proxy", Kind::List, "[\"127.0.0.1\"]"),
    key("", "massive", Kind::Table, ""),
    key("massive", "url", Kind::Text, "\"wss://socket.massive.com\""),
    key(
        "massive",
        "rest_url",
        Kind::Text,
        "\"https://api.massive.com\"",
    ),
    key(
        "massive",
        "key_file",
        Kind::Secret,
        "\"/etc/deskticker/key\"",
    ),
    key(
        "massive",
        "ca_file",
        Kind::Text,
        "\"/etc/deskticker/ca.pem\"",
    ),
    key(
        "massive",
        "clusters",
        Kind::List,
        "[\"indices\", \"options\"]",
    ),
    key("", "upstream", Kind::Table, ""),
    key("upstream", "hub", Kind::List, "\"wss://hub.example\""),
    key(
        "upstream",
        "token_file",
        Kind::Secret,
        "\"/etc/deskticker/upstream-token\"",
    ),
    key(
        "upstream",
        "ca_file",
        Kind::Text,
        "\"/etc/deskticker/ca.pem\"",
    ),
    key(
        "upstream",
        "clusters",
        Kind::List,
        "[\"indices\", \"options\"]",
    ),
    key("", "devices", Kind::Table, ""),
    key(
        "devices",
        "file",
        Kind::Text,
        "\"/var/lib/deskticker-hub/devices\"",
    ),
    key(
        "devices",
        "token_file",
        Kind::Secret,
        "\"/etc/deskticker/token\"",
    ),
    key("", "tls", Kind::Table, ""),
    key(
        "tls",
        "cert",
        Kind::Text,
        "\"/etc/deskticker/fullchain.pem\"",
    ),
    key("tls", "key", Kind::Text, "\"/etc/deskticker/privkey.pem\""),
    key("", "metrics", Kind::Table, ""),
    key("metrics", "public", Kind::Flag, "true"),
    key("", "limits", Kind::Table, ""),
];

/// All settings in the configuration of a hub.
const SCHEMA: Schema = Schema(&[KEYS, limits::KEYS]);

impl HubConfig {
    /// Reads and checks a configuration file and the secrets that it refers to. If `path` is
    /// `None`, reads [`DEFAULT_PATH`]; this default file may be missing.
    ///
    /// # Errors
    /// All errors in the configuration, with the file and the line.
    pub fn load(path: Option<&Path>, environment: &Environment) -> Result<Self, ConfigErrors> {
        let (text, path) = text(path)?;
        Self::parse(&text, path, environment)
    }

    /// Reads and checks a configuration like [`HubConfig::load`], for a hub with simulated prices.
    /// Such a hub needs no key, and it reads no file if `path` is `None`.
    ///
    /// # Errors
    /// All errors in the configuration, with the file and the line.
    pub fn load_simulated(
        path: Option<&Path>,
        environment: &Environment,
    ) -> Result<Self, ConfigErrors> {
        let unused = || Some("simulated".to_owned());
        let environment = Environment {
            key: environment.key.clone().or_else(unused),
            upstream_token: environment.upstream_token.clone().or_else(unused),
            ..environment.clone()
        };
        match path {
            None => Self::parse("", Path::new(DEFAULT_PATH), &environment),
            Some(_) => Self::load(path, &environment),
        }
    }

    /// Checks a configuration like [`HubConfig::load`], from a text that was read from `path`.
    ///
    /// # Errors
    /// All errors in the configuration, with the file and the line.
    pub fn parse(text: &str, path: &Path, environment: &Environment) -> Result<Self, ConfigErrors> {
        Self::checked(text, path, environment, false)
    }

    fn checked(
        text: &str,
        path: &Path,
        environment: &Environment,
        with_files: bool,
    ) -> Result<Self, ConfigErrors> {
        let trial = |text: &str| {
            let reader = ConfigReader::trial(text, path, SCHEMA);
            Self::read(reader, environment, false).err()
        };
        let reader = ConfigReader::new(text, path, SCHEMA);
        Self::read(reader, environment, with_files).map_err(|errors| errors.verified(text, trial))
    }

    /// Checks a configuration like [`HubConfig::load`], and also the files that it names: the
    /// certificate, its key, the authority and the device registry.
    ///
    /// # Errors
    /// All errors in the configuration and in these files, with the file and the line.
    pub fn check(path: Option<&Path>, environment: &Environment) -> Result<Self, ConfigErrors> {
        let (text, path) = text(path)?;
        Self::checked(&text, path, environment, true)
    }

    fn read(
        reader: ConfigReader<'_>,
        environment: &Environment,
        with_files: bool,
    ) -> Result<Self, ConfigErrors> {
        let (mut root, syntax_errors) = reader.root();
        let listen = reader.listen(root.text("listen"));
        let announce = root.flag("announce").unwrap_or(true);
        let simulate = root.flag("simulate").unwrap_or(false);
        let origins = reader.origins(root.list("origins"));
        let hosts = reader.hosts(root.list("hosts"));
        let trusted_proxies = reader.proxies(root.list("trusted_proxy"));
        let (massive, hub) = (root.table("massive"), root.table("upstream"));
        let upstream = match hub {
            None => reader.vendor(massive, simulate, environment),
            Some(hub) => reader.hub_above(massive, hub, simulate, environment),
        };
        let mut devices = root.table("devices");
        let mut text_of = |name| devices.as_mut().and_then(|table| table.text(name));
        let (file, token_file) = (text_of("file"), text_of("token_file"));
        if let Some(table) = devices {
            table.finish();
        }
        let tls = root.table("tls").and_then(|table| reader.tls(table));
        let mut metrics = root.table("metrics");
        let public_metrics = metrics.as_mut().and_then(|table| table.flag("public"));
        let public_metrics = public_metrics.unwrap_or(false);
        if let Some(table) = metrics {
            table.finish();
        }
        let limits = root.table("limits");
        let limits = limits.map_or_else(Limits::default, |table| Limits::read(&reader, table));
        root.finish();

        let file_span = file.as_ref().map(Spanned::span);
        // The path is set even if the file is missing: the first `token add` must not require a
        // restart.
        let file = match file {
            Some(file) => reader.resolve("file", &file),
            None => Some(registry::DEFAULT_PATH.into()),
        };
        // The token file in the folder of the systemd units belongs to a display, so the hub does
        // not use this file.
        let own = Environment {
            unit_secrets: None,
            ..environment.clone()
        };
        let fixed = reader.optional_secret(&TOKEN, &token_file, &own);
        let fixed = fixed.unwrap_or_else(|error| {
            reader.note(error);
            None
        });
        if let Some(token) = &fixed
            && let Err(reason) = registry::check_static_token(token)
        {
            reader.note(reader.error(token_file.as_ref().map(Spanned::span), reason));
        }
        if with_files {
            let note = |span: Option<Range<usize>>, name: &str, reason: Option<String>| {
                if let Some(reason) = reason {
                    reader.note(reader.error(span, format!("{name}: {reason}")));
                }
            };
            if let Some([(cert, cert_span), (key, key_span)]) = &tls {
                match Tls::load_each(cert, key) {
                    Ok(tls) => {
                        for warning in tls.warnings(Clock::system().now().utc) {
                            reader.warn(cert_span, format!("cert: {warning}"));
                        }
                    }
                    Err([cert_error, key_error]) => {
                        note(Some(cert_span.clone()), "cert", cert_error);
                        note(Some(key_span.clone()), "key", key_error);
                    }
                }
            }
            let ca_file = upstream.ca_file.as_deref();
            let authority = Connector::new(ca_file).err();
            note(upstream.ca_span.clone(), "ca_file", authority);
            let registry = Authenticator::new(file.clone(), None).err();
            note(file_span, "devices", registry);
        }
        reader.syntax_errors(syntax_errors);
        let error = reader.error(None, "is incomplete");
        let incomplete = || error.clone();
        let warnings = reader.finish()?;
        // The reader has an error for each value that is missing here, so `finish` has returned it.
        Ok(Self {
            listen: listen.ok_or_else(incomplete)?,
            announce,
            simulate,
            upstream: UpstreamServer {
                rest: upstream.rest.ok_or_else(incomplete)?,
                source: upstream.source.ok_or_else(incomplete)?,
            },
            ca_file: upstream.ca_file,
            clusters: upstream.clusters,
            devices: Devices {
                file: file.ok_or_else(incomplete)?,
                fixed,
            },
            tls: tls.map(|[(cert, _), (key, _)]| (cert, key)),
            origins,
            hosts,
            public_metrics,
            trusted_proxies,
            limits,
            warnings,
        })
    }
}

/// Returns the path of the device registry, for the commands that change the registry. These
/// commands do not need the vendor's key, so this function does not read the key.
///
/// # Errors
/// The configuration cannot be read or is not valid TOML.
pub fn devices_file(path: Option<&Path>) -> Result<PathBuf, ConfigErrors> {
    let (text, path) = text(path)?;
    let reader = ConfigReader::new(&text, path, SCHEMA);
    let (mut root, syntax_errors) = reader.root();
    let named = root
        .table("devices")
        .and_then(|mut table| table.text("file"));
    let file = match named {
        Some(file) => reader.resolve("file", &file),
        None => Some(registry::DEFAULT_PATH.into()),
    };
    reader.syntax_errors(syntax_errors);
    reader.finish()?;
    Ok(file.unwrap_or_else(|| registry::DEFAULT_PATH.into()))
}

/// Returns the port at which the hub listens. Like [`devices_file`], this function reads no secret.
///
/// # Errors
/// The configuration cannot be read or is invalid.
pub fn listen_port(path: Option<&Path>) -> Result<u16, ConfigErrors> {
    let (text, path) = text(path)?;
    let reader = ConfigReader::new(&text, path, SCHEMA);
    let (mut root, syntax_errors) = reader.root();
    let listen = reader.listen(root.text("listen"));
    let incomplete = reader.error(None, "is incomplete");
    reader.syntax_errors(syntax_errors);
    reader.finish()?;
    Ok(listen.ok_or(incomplete)?.port())
}

/// Returns the text and the path of the configuration. The text is empty if the default file is
/// missing.
fn text(path: Option<&Path>) -> Result<(String, &Path), ConfigError> {
    let usual = Path::new(DEFAULT_PATH);
    let from = path.unwrap_or(usual);
    if path.is_none() && !from.exists() {
        return Ok((String::new(), from));
    }
    let text = config::file_text(from, SCHEMA, "deskticker-hub --simulate")?;
    Ok((text, from))
}

impl ConfigReader<'_> {
    /// Reads the paths of the certificate and the key, with their positions.
    fn tls(&self, mut table: ConfigTable<'_, '_>) -> Option<[(PathBuf, Range<usize>); 2]> {
        let span = table.span();
        let texts = ["cert", "key"].map(|name| (name, table.text(name)));
        let wrong = table.is_wrong();
        table.finish();
        let [cert, key] = texts.map(|(name, file)| {
            if file.is_none() && !wrong {
                let reason =
                    format!("[tls] has no line `{name}`, for example {name} = \"/path.pem\"");
                self.note_missing(self.error(Some(span.clone()), reason));
            }
            let file = file?;
            Some((self.resolve(name, &file)?, file.span()))
        });
        Some([cert?, key?])
    }
}
