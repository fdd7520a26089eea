//! The whole configuration as one value: the file, what it leaves to defaults, and the secret.
//! The program never writes it.

use std::fmt;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::feed::link::Via;
use crate::feed::net::Endpoint;
use crate::feed::session::Source;
use crate::market::{Symbol, Watchlist, WatchlistError};
use crate::panel;
use crate::screen::Size;

/// Where the configuration is looked for unless told otherwise.
pub const DEFAULT_PATH: &str = "/etc/deskticker/deskticker.toml";

/// The vendor's real-time sockets.
pub(crate) const MASSIVE: &str = "wss://socket.massive.com";

/// A token file larger than this holds something else, in bytes.
const SECRET_LIMIT: u64 = 4096;

/// A token or key. It shows itself to nobody but who asks for it by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a token as it stands in a file or a variable: surrounding white space, such as the
    /// newline that every editor leaves, is not part of it.
    ///
    /// # Errors
    /// It is empty, or holds what no token holds.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        // Some editors begin a file with a byte order mark.
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            return Err("it is empty; expected a token on one line");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(
                "expected one token of printable characters, without spaces or further lines",
            );
        }
        Ok(Self(text.to_owned()))
    }

    /// The secret itself, to be sent to whom it was made for and to nobody else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What is taken from the process's environment; an argument, so that tests need not change it.
#[derive(Clone, Default)]
pub struct Environment {
    /// `CREDENTIALS_DIRECTORY`, where systemd puts credentials.
    pub credentials: Option<PathBuf>,
    /// `MASSIVE_PROXY_TOKEN`, a hub's token.
    pub token: Option<String>,
    /// `MASSIVE_API_KEY`, the vendor's key.
    pub key: Option<String>,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| Secret(String::new()));
        f.debug_struct("Environment")
            .field("credentials", &self.credentials)
            .field("token", &hidden(&self.token))
            .field("key", &hidden(&self.key))
            .finish()
    }
}

impl Environment {
    /// That of this process.
    pub fn of_process() -> Self {
        Self {
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            token: std::env::var("MASSIVE_PROXY_TOKEN").ok(),
            key: std::env::var("MASSIVE_API_KEY").ok(),
        }
    }
}

/// What is wrong with a configuration, where, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub(crate) file: PathBuf,
    pub(crate) line: Option<usize>,
    pub(crate) message: String,
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
}

/// The panel that is configured.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Which kind.
    pub kind: PanelKind,
    /// The file of a PNG panel.
    pub file: PathBuf,
    /// The wiring of an OLED; its size serves every kind.
    pub oled: panel::Settings,
}

/// The kinds of panel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PanelKind {
    /// An I2C display.
    Oled,
    /// The terminal that the program was started in.
    Terminal,
    /// A picture file, kept up to date.
    Png,
}

impl std::str::FromStr for PanelKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "oled" => Ok(Self::Oled),
            "terminal" => Ok(Self::Terminal),
            "png" => Ok(Self::Png),
            _ => Err(format!(
                "unknown panel {text:?}, expected oled, terminal or png"
            )),
        }
    }
}

impl Default for Panel {
    fn default() -> Self {
        // The panel and the wiring that most people have.
        let oled = panel::Settings {
            chip: panel::Chip::Ssd1306,
            size: Size::Tall,
            bus: PathBuf::from("/dev/i2c-1"),
            address: 0x3c,
            rotation: panel::Rotation::Upright,
            brightness: 0x7f,
        };
        Self {
            kind: PanelKind::Oled,
            file: PathBuf::from("deskticker.png"),
            oled,
        }
    }
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
    ca_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MassiveTable {
    url: Option<Spanned<String>>,
    key_file: Option<Spanned<PathBuf>>,
    ca_file: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct PanelTable {
    kind: Option<PanelKind>,
    file: Option<PathBuf>,
    chip: Option<Chip>,
    size: Option<Spanned<String>>,
    bus: Option<PathBuf>,
    address: Option<Spanned<i64>>,
    rotation: Option<Spanned<i64>>,
    brightness: Option<Spanned<i64>>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Chip {
    Ssd1306,
    Ssd1315,
    Ssd1309,
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
        Ok(Self {
            watchlist,
            source,
            ca_file,
            panel,
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
        toml::from_str(self.text).map_err(|error| {
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            self.error(error.span(), message)
        })
    }

    pub(crate) fn error(
        &self,
        span: Option<Range<usize>>,
        message: impl Into<String>,
    ) -> ConfigError {
        let line = span.map(|span| {
            let before = self
                .text
                .as_bytes()
                .get(..span.start)
                .unwrap_or(self.text.as_bytes());
            before.iter().filter(|byte| **byte == b'\n').count() + 1
        });
        ConfigError {
            file: self.path.to_owned(),
            line,
            message: message.into(),
        }
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
    ) -> Result<(Source, Option<PathBuf>), ConfigError> {
        match (hub, massive) {
            (None, None) => Err(self.error(
                None,
                "nothing says where the prices come from; expected a table [hub] with url = \"ws://HOST:3000\", or [massive]",
            )),
            (Some(_), Some(massive)) => {
                Err(self.error(Some(massive.span()), "expected either [hub] or [massive], not both"))
            }
            (Some(hub), None) => {
                let hub = hub.into_inner();
                let endpoint = self.endpoint(&hub.url)?;
                let secret = self.secret(hub.token_file, environment, "token", "MASSIVE_PROXY_TOKEN", &environment.token)?;
                Ok((Source { via: Via::Hub, endpoint, secret: Some(secret) }, hub.ca_file))
            }
            (None, Some(massive)) => {
                let massive = massive.into_inner();
                let endpoint = match &massive.url {
                    Some(url) => self.endpoint(url)?,
                    None => Endpoint::parse(MASSIVE).map_err(|message| self.error(None, message))?,
                };
                let secret = self.secret(massive.key_file, environment, "key", "MASSIVE_API_KEY", &environment.key)?;
                Ok((Source { via: Via::Vendor, endpoint, secret: Some(secret) }, massive.ca_file))
            }
        }
    }

    pub(crate) fn endpoint(&self, url: &Spanned<String>) -> Result<Endpoint, ConfigError> {
        Endpoint::parse(url.get_ref())
            .map_err(|message| self.error(Some(url.span()), format!("url: {message}")))
    }

    /// The secret, from the first place that has one: the file named, systemd, the environment.
    pub(crate) fn secret(
        &self,
        file: Option<Spanned<PathBuf>>,
        environment: &Environment,
        name: &str,
        variable: &str,
        value: &Option<String>,
    ) -> Result<Secret, ConfigError> {
        let found = self.optional_secret(file, environment, name, variable, value)?;
        found.ok_or_else(|| {
            self.error(
                None,
                format!(
                    "there is no {name}; expected {name}_file = \"/path\" here, a systemd credential named {name}, \
                     or the variable {variable}"
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
            return read_secret(file.get_ref()).map(Some).map_err(|why| {
                self.error(
                    span,
                    format!("{name}_file: {}: {why}", file.get_ref().display()),
                )
            });
        }
        let credential = environment
            .credentials
            .as_ref()
            .map(|directory| directory.join(name));
        if let Some(path) = credential.filter(|path| path.exists()) {
            return read_secret(&path)
                .map(Some)
                .map_err(|why| self.error(None, format!("credential {}: {why}", path.display())));
        }
        let value = value.as_deref().map(Secret::new).transpose();
        value.map_err(|why| self.error(None, format!("{variable}: {why}")))
    }

    fn panel(&self, table: PanelTable) -> Result<Panel, ConfigError> {
        let defaults = Panel::default();
        let mut oled = defaults.oled;
        if let Some(chip) = table.chip {
            oled.chip = match chip {
                Chip::Ssd1306 => panel::Chip::Ssd1306,
                Chip::Ssd1315 => panel::Chip::Ssd1315,
                Chip::Ssd1309 => panel::Chip::Ssd1309,
            };
        }
        if let Some(size) = table.size {
            oled.size = (size.get_ref().parse())
                .map_err(|why| self.error(Some(size.span()), format!("size: {why}")))?;
        }
        if let Some(bus) = table.bus {
            oled.bus = bus;
        }
        if let Some(address) = table.address {
            oled.address = self.number(
                &address,
                "address",
                0x08..=0x77,
                "expected a 7-bit address, mostly 0x3c or 0x3d",
            )?;
        }
        if let Some(rotation) = table.rotation {
            oled.rotation = match rotation.get_ref() {
                0 => panel::Rotation::Upright,
                180 => panel::Rotation::UpsideDown,
                other => {
                    return Err(self.error(
                        Some(rotation.span()),
                        format!("rotation: {other}, expected 0 or 180"),
                    ));
                }
            };
        }
        if let Some(brightness) = table.brightness {
            oled.brightness = self.number(
                &brightness,
                "brightness",
                0..=255,
                "expected 0 (dimmest) to 255",
            )?;
        }
        Ok(Panel {
            kind: table.kind.unwrap_or(defaults.kind),
            file: table.file.unwrap_or(defaults.file),
            oled,
        })
    }

    fn number(
        &self,
        value: &Spanned<i64>,
        key: &str,
        range: std::ops::RangeInclusive<u8>,
        expected: &str,
    ) -> Result<u8, ConfigError> {
        u8::try_from(*value.get_ref())
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                self.error(
                    Some(value.span()),
                    format!("{key}: {}, {expected}", value.get_ref()),
                )
            })
    }
}

/// Says so if a file that holds a secret is open to everybody.
pub(crate) fn warn_if_readable_by_all(path: &Path) {
    let open = |data: std::fs::Metadata| data.permissions().mode() & 0o004 != 0;
    if std::fs::metadata(path).is_ok_and(open) {
        log::warn!(
            "{} can be read by every user of this machine: chmod 600 it",
            path.display()
        );
    }
}

fn read_secret(path: &Path) -> Result<Secret, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    warn_if_readable_by_all(path);
    let mut bytes = Vec::new();
    file.take(SECRET_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    // The head of something larger would be sent as if it were a token, and refused for ever.
    if bytes.len() as u64 > SECRET_LIMIT {
        return Err(format!(
            "it is larger than {SECRET_LIMIT} bytes; expected a token on one line"
        ));
    }
    // What is not UTF-8 is no token either, which `Secret` says.
    Secret::new(&String::from_utf8_lossy(&bytes)).map_err(str::to_owned)
}
