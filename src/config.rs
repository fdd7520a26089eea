//! The whole configuration as one value: the file, what it leaves to defaults, and the secret.
//! The program never writes it.

mod panel;
mod secret;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::feed::link::Via;
use crate::feed::net::{Connector, Endpoint};
use crate::feed::session::Source;
use crate::market::{Symbol, Watchlist, WatchlistError};
use panel::PanelTable;
pub use panel::{Panel, PanelKind};
pub(crate) use secret::warn_if_readable_by_all;
pub use secret::{Environment, Secret};
use secret::{is_blank, read_secret};

/// Where the configuration is looked for unless told otherwise.
pub const DEFAULT_PATH: &str = "/etc/deskticker/deskticker.toml";

/// The vendor's real-time sockets.
pub(crate) const MASSIVE: &str = "wss://socket.massive.com";

/// What is said of a file for a secret when the value may be the secret itself.
const NO_PATH: &str = "expected the path of a file, like \"/etc/deskticker/token\"";

/// The parser's words for a type, and those of who writes such a file.
const WORDS: [(&str, &str); 9] = [
    ("wanted string or table", "expected a string in quotes"),
    ("expected i64", "expected a whole number"),
    (
        "expected path string",
        "expected a path, a string in quotes",
    ),
    ("expected a string", "expected a string in quotes"),
    (
        "expected a sequence",
        "expected a list, like [\"SPX\", \"VIX\"]",
    ),
    (
        "expected struct HubTable",
        "expected a table: a line [hub], and its settings below",
    ),
    (
        "expected struct MassiveTable",
        "expected a table: a line [massive], and its settings below",
    ),
    (
        "expected struct PanelTable",
        "expected a table: a line [panel], and its settings below",
    ),
    ("floating point", "decimal number"),
];

/// What is wrong with a configuration, where, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: PathBuf,
    line: Option<usize>,
    message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.message)
    }
}

impl std::error::Error for ConfigError {}

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is shown, in this order; checked to fit.
    pub watchlist: Vec<Symbol>,
    /// Who serves the feed.
    pub source: Source,
    /// An authority to trust besides the usual ones.
    pub ca_file: Option<PathBuf>,
    /// Where it is shown.
    pub panel: Panel,
    /// Where an error of `ca_file` is to be looked for.
    ca_place: (PathBuf, Option<usize>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    watchlist: Option<Spanned<Vec<Spanned<String>>>>,
    hub: Option<Spanned<HubTable>>,
    massive: Option<Spanned<MassiveTable>>,
    #[serde(default)]
    panel: PanelTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HubTable {
    url: Spanned<String>,
    token_file: Option<Spanned<PathBuf>>,
    ca_file: Option<Spanned<PathBuf>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MassiveTable {
    url: Option<Spanned<String>>,
    key_file: Option<Spanned<PathBuf>>,
    ca_file: Option<Spanned<PathBuf>>,
}

impl Config {
    /// Reads and checks a configuration file, and the secret it leads to.
    ///
    /// # Errors
    /// The first thing that is wrong, with file and line.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let bytes = std::fs::read(path).map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::NotFound => {
                    "; write one (the README shows how), name another with --config, or try `deskticker demo`"
                }
                _ => "",
            };
            ConfigError { file: path.to_owned(), line: None, message: format!("cannot be read: {error}{hint}") }
        })?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Self::parse(text, path, environment),
            Err(error) => {
                let before = &bytes[..error.valid_up_to()];
                Err(ConfigError {
                    file: path.to_owned(),
                    line: Some(before.iter().filter(|byte| **byte == b'\n').count() + 1),
                    message: "expected text in UTF-8; save the file with that encoding".into(),
                })
            }
        }
    }

    /// The same of a text that has been read from `path`.
    ///
    /// # Errors
    /// See [`Config::load`].
    pub fn parse(text: &str, path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let reader = Reader { text, path };
        let file: File = reader.file()?;
        let watchlist = reader.watchlist(file.watchlist)?;
        let (source, ca_file) = reader.source(file.hub, file.massive, environment)?;
        let panel = reader.panel(file.panel)?;
        let ca_line = ca_file.as_ref().map(|ca_file| reader.line(&ca_file.span()));
        Ok(Self {
            watchlist,
            source,
            ca_file: ca_file.map(Spanned::into_inner),
            panel,
            ca_place: (path.to_owned(), ca_line),
        })
    }

    /// What opens connections to the source, with the authority of `ca_file`.
    ///
    /// # Errors
    /// That file cannot be read, or is no certificate; with the line that names it.
    pub fn connector(&self) -> Result<Connector, ConfigError> {
        Connector::new(self.ca_file.as_deref()).map_err(|why| {
            let (file, line) = self.ca_place.clone();
            let expected = "expected a PEM file with the certificate of an authority";
            let message = format!("ca_file: {why}; {expected}");
            ConfigError {
                file,
                line,
                message,
            }
        })
    }
}

/// The text with its name, to give errors their place.
pub(crate) struct Reader<'a> {
    pub(crate) text: &'a str,
    pub(crate) path: &'a Path,
}

impl Reader<'_> {
    /// The text as a table.
    pub(crate) fn file<T: serde::de::DeserializeOwned>(&self) -> Result<T, ConfigError> {
        toml::from_str(self.text).map_err(|error| self.parser_error(&error))
    }

    pub(crate) fn error(
        &self,
        span: Option<Range<usize>>,
        message: impl Into<String>,
    ) -> ConfigError {
        ConfigError {
            file: self.path.to_owned(),
            line: span.map(|span| self.line(&span)),
            message: message.into(),
        }
    }

    fn before(&self, span: &Range<usize>) -> &[u8] {
        let text = self.text.as_bytes();
        text.get(..span.start).unwrap_or(text)
    }

    fn line(&self, span: &Range<usize>) -> usize {
        let breaks = self.before(span).iter().filter(|byte| **byte == b'\n');
        breaks.count() + 1
    }

    /// What the parser has to say, in words of the file rather than of this program.
    fn parser_error(&self, error: &toml::de::Error) -> ConfigError {
        let line = |span| self.before(&span).rsplit(|byte| *byte == b'\n').next();
        let secret = error.span().and_then(line).is_some_and(|before| {
            // Up to the value: the key and its equals sign, in a table of whichever form.
            let key = before.trim_ascii_end();
            let key = key.strip_suffix(b"=").unwrap_or(key).trim_ascii_end();
            let key = key.strip_suffix(b"\"").unwrap_or(key);
            key.ends_with(b"token_file") || key.ends_with(b"key_file")
        });
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        // The value may be the secret itself, which the parser would repeat.
        let message = match secret && message.starts_with("invalid type") {
            true => format!("invalid type, {NO_PATH}"),
            false => WORDS.iter().fold(message, |message, (theirs, ours)| {
                message.replace(theirs, ours)
            }),
        };
        self.error(error.span(), message)
    }

    fn watchlist(
        &self,
        entries: Option<Spanned<Vec<Spanned<String>>>>,
    ) -> Result<Vec<Symbol>, ConfigError> {
        let Some(entries) = entries else {
            return ["SPX", "VIX"]
                .iter()
                .map(|text| {
                    text.parse()
                        .map_err(|error| self.error(None, format!("{error}")))
                })
                .collect();
        };
        let span = entries.span();
        let entries = entries.into_inner();
        let mut symbols: Vec<Symbol> = Vec::with_capacity(entries.len());
        for entry in &entries {
            let symbol: Symbol = entry
                .get_ref()
                .parse()
                .map_err(|error| self.error(Some(entry.span()), format!("watchlist: {error}")))?;
            if symbol.cluster().is_none() {
                let message = format!(
                    "watchlist: {symbol} is a share or a fund, and no channel of the feed carries those; \
                     expected indices (\"SPX\", \"I:NDX\") and options (\"O:SPY251219C00650000\")"
                );
                return Err(self.error(Some(entry.span()), message));
            }
            if symbols.contains(&symbol) {
                return Err(self.error(
                    Some(entry.span()),
                    format!("watchlist: {symbol} is there twice"),
                ));
            }
            symbols.push(symbol);
        }
        // Duplicates have been found with their line; what is left is about the list as a whole.
        match Watchlist::new(&symbols) {
            Ok(_) => Ok(symbols),
            Err(
                error @ (WatchlistError::Empty
                | WatchlistError::Duplicate(_)
                | WatchlistError::Full(_)),
            ) => Err(self.error(Some(span), format!("watchlist: {error}"))),
        }
    }

    fn source(
        &self,
        hub: Option<Spanned<HubTable>>,
        massive: Option<Spanned<MassiveTable>>,
        environment: &Environment,
    ) -> Result<(Source, Option<Spanned<PathBuf>>), ConfigError> {
        match (hub, massive) {
            (None, None) => Err(self.error(
                None,
                "nothing says where the prices come from; expected a table [hub] with url = \"ws://HOST:3000\", or [massive]",
            )),
            (Some(_), Some(massive)) => {
                Err(self.error(Some(massive.span()), "expected either [hub] or [massive], not both"))
            }
            (Some(hub), None) => {
                let table = hub.span();
                let hub = hub.into_inner();
                let endpoint = self.endpoint(&hub.url)?;
                let secret = self.secret(Some(table), hub.token_file, environment, "token", "MASSIVE_PROXY_TOKEN", &environment.token)?;
                Ok((Source { via: Via::Hub, endpoint, secret: Some(secret) }, hub.ca_file))
            }
            (None, Some(massive)) => {
                let table = massive.span();
                let massive = massive.into_inner();
                let endpoint = match &massive.url {
                    Some(url) => self.endpoint(url)?,
                    None => Endpoint::parse(MASSIVE).map_err(|message| self.error(None, message))?,
                };
                let secret = self.secret(Some(table), massive.key_file, environment, "key", "MASSIVE_API_KEY", &environment.key)?;
                Ok((Source { via: Via::Vendor, endpoint, secret: Some(secret) }, massive.ca_file))
            }
        }
    }

    pub(crate) fn endpoint(&self, url: &Spanned<String>) -> Result<Endpoint, ConfigError> {
        Endpoint::parse(url.get_ref())
            .map_err(|message| self.error(Some(url.span()), format!("url: {message}")))
    }

    /// The secret, from the first place that has one: the file named, systemd, the environment.
    /// `table` is where it could have been named.
    pub(crate) fn secret(
        &self,
        table: Option<Range<usize>>,
        file: Option<Spanned<PathBuf>>,
        environment: &Environment,
        name: &str,
        variable: &str,
        value: &Option<String>,
    ) -> Result<Secret, ConfigError> {
        let found = self.optional_secret(file, environment, name, variable, value)?;
        found.ok_or_else(|| {
            self.error(
                table,
                format!(
                    "there is no {name}; expected {name}_file = \"/path\" here, a systemd credential named {name} \
                     (the service takes it from /etc/deskticker/{name}), or the variable {variable}"
                ),
            )
        })
    }

    /// The same of one that need not be.
    pub(crate) fn optional_secret(
        &self,
        file: Option<Spanned<PathBuf>>,
        environment: &Environment,
        name: &str,
        variable: &str,
        value: &Option<String>,
    ) -> Result<Option<Secret>, ConfigError> {
        if let Some(file) = file {
            let span = Some(file.span());
            let path = file.get_ref();
            return read_secret(path).map(Some).map_err(|why| {
                // What is no path is most likely the secret, pasted in the wrong place.
                let message = match path.is_absolute() || path.exists() {
                    true => format!("{name}_file: {}: {why}", path.display()),
                    false => format!("{name}_file: no such file, {NO_PATH}"),
                };
                self.error(span, message)
            });
        }
        let credential = environment
            .credentials
            .as_ref()
            .map(|directory| directory.join(name));
        // A blank one is none: our units fall back on that, for systemd starts nothing whose
        // credential is missing, and then nobody could be told what is.
        if let Some(path) = credential.filter(|path| path.exists() && !is_blank(path)) {
            return read_secret(&path)
                .map(Some)
                .map_err(|why| self.error(None, format!("credential {}: {why}", path.display())));
        }
        let value = value.as_deref().map(Secret::new).transpose();
        value.map_err(|why| self.error(None, format!("{variable}: {why}")))
    }
}
