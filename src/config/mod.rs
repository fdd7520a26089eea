//! The complete configuration: the values of the file, the default values, and the secret. The
//! module never writes the configuration file. If enabled, it stores a copy of the last good text
//! elsewhere.

mod alerts;
mod dimming;
mod file_watch;
mod last_good;
mod pages;
mod panel;
pub mod settings;
mod source;
mod toml_reader;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::files::FileStamp;
use crate::market::{Calendar, Symbol};
use crate::net::connector::Connector;
use crate::net::source::FeedSource;
use crate::secret::Environment;
use crate::time::Utc;
use alerts::AlertTable;
pub(crate) use dimming::DAYS;
use dimming::NightTable;
pub use file_watch::{FileStamps, FileWatch};
pub use last_good::LastGood;
pub(crate) use pages::NUMBERS;
use pages::{PagesTable, WatchlistEntry};
use panel::PanelTable;
pub use panel::{PanelConfig, PanelKind};
use settings::TickerSettings;
use source::{HubTable, MassiveTable, SourceConfig};
pub(crate) use source::{secret_names, secret_source};
pub use toml_reader::ConfigError;
pub(crate) use toml_reader::{ConfigReader, number, secret_file};

/// The default path of the configuration file.
pub const DEFAULT_PATH: &str = "/etc/deskticker/deskticker.toml";

/// The WebSocket address of the vendor's real-time feed.
pub(crate) const MASSIVE: &str = "wss://socket.massive.com";

/// The values of all settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// The content of the display and its format. The watchlist has been checked.
    pub settings: TickerSettings,
    /// The source of the feed.
    pub source: FeedSource,
    /// The configured file for the secret of the source, if any.
    pub secret_file: Option<PathBuf>,
    /// The file of an additional certificate authority to trust, if any.
    pub ca_file: Option<PathBuf>,
    /// The panel.
    pub panel: PanelConfig,
    /// The configuration file, and the line of `ca_file` in it, for errors about `ca_file`.
    ca_place: (PathBuf, Option<usize>),
    /// The metadata of `ca_file` at the time of the read.
    ca_stamp: Option<FileStamp>,
    /// The form of each symbol in the file; empty for the default watchlist.
    entries: Vec<WatchlistEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    watchlist: Option<Spanned<Vec<Spanned<String>>>>,
    time_zone: Option<Spanned<String>>,
    clock: Option<Spanned<String>>,
    numbers: Option<Spanned<String>>,
    hub: Option<Spanned<HubTable>>,
    massive: Option<Spanned<MassiveTable>>,
    #[serde(default)]
    panel: PanelTable,
    #[serde(default)]
    pages: PagesTable,
    #[serde(default)]
    alert: Vec<Spanned<AlertTable>>,
    #[serde(default)]
    night: Vec<Spanned<NightTable>>,
}

impl Config {
    /// Reads and checks a configuration file and the secret of its source.
    ///
    /// # Errors
    /// The first problem that is found, with file and line.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        Self::parse(&Self::text(path)?, path, environment)
    }

    /// Reads the text of a configuration file.
    ///
    /// # Errors
    /// The file cannot be read, or is not UTF-8.
    pub fn text(path: &Path) -> Result<String, ConfigError> {
        let place = ConfigReader { text: "", path };
        let bytes = std::fs::read(path).map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::NotFound => {
                    "; write this file (the README has an example), give another file with \
                     --config, or try `deskticker demo`"
                }
                _ => "",
            };
            place.error(None, format!("cannot be read: {error}{hint}"))
        })?;
        String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let text = &String::from_utf8_lossy(error.as_bytes());
            let reason = "expected text in UTF-8; save the file with that encoding";
            ConfigReader { text, path }.error(Some(valid..valid), reason)
        })
    }

    /// Checks a text that has been read from `path`, and reads the secret of its source.
    ///
    /// # Errors
    /// See [`Config::load`].
    pub fn parse(text: &str, path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let reader = ConfigReader { text, path };
        let file: ConfigFile = reader.file()?;
        let (watchlist, entries) = reader.watchlist(file.watchlist)?;
        let SourceConfig {
            source,
            secret_file,
            ca_file,
        } = reader.source(file.hub, file.massive, environment)?;
        let mut settings = TickerSettings::of(watchlist);
        let (zone, format) = (&mut settings.zone, &mut settings.format);
        reader.set(zone, "time_zone", &file.time_zone, pages::zone)?;
        let numbers = &mut format.numbers;
        reader.set(numbers, "numbers", &file.numbers, pages::numbers)?;
        let twelve_hours = &mut format.twelve_hours;
        reader.set(twelve_hours, "clock", &file.clock, pages::twelve_hours)?;
        reader.pages(&file.pages, &mut settings)?;
        for alert in &file.alert {
            let rule = reader.alert(alert, &settings.watchlist)?;
            settings.alerts.push(rule);
        }
        for night in &file.night {
            settings.dimming_periods.push(reader.night(night)?);
        }
        let panel = reader.panel(&file.panel, environment.board)?;
        let brightness = &file.panel.brightness;
        let to = &mut settings.brightness;
        reader.set(to, "brightness", brightness, dimming::brightness)?;
        settings.shift = file.panel.shift.unwrap_or(settings.shift);
        let ca_line = ca_file.as_ref().map(|ca_file| reader.line(&ca_file.span()));
        let ca_file = ca_file.map(Spanned::into_inner);
        Ok(Self {
            settings,
            source,
            secret_file,
            ca_stamp: ca_file.as_deref().and_then(FileStamp::of),
            ca_file,
            panel,
            ca_place: (path.to_owned(), ca_line),
            entries,
        })
    }

    /// Returns the panel of a configuration that may have errors elsewhere, or else the default
    /// panel of the board. This panel can show the errors.
    pub fn panel_of(text: &str, environment: &Environment) -> PanelConfig {
        #[derive(Deserialize)]
        struct ConfigFile {
            panel: PanelTable,
        }
        let path = Path::new("");
        let reader = ConfigReader { text, path };
        let file = reader.file();
        let panel = file.and_then(|file: ConfigFile| reader.panel(&file.panel, environment.board));
        panel.unwrap_or_else(|_| PanelConfig::of(environment.board))
    }

    /// Returns the connector for the source, which also trusts the authority in `ca_file`.
    ///
    /// # Errors
    /// The file cannot be read, or contains no certificate. The error has the line that names the
    /// file.
    pub fn connector(&self) -> Result<Connector, ConfigError> {
        Connector::new(self.ca_file.as_deref()).map_err(|reason| {
            let (file, line) = self.ca_place.clone();
            let expected = "expected a PEM file with the certificate of a certificate authority";
            ConfigError {
                file,
                line,
                message: format!("ca_file: {reason}; {expected}"),
                other: self.ca_file.clone(),
            }
        })
    }

    /// Returns true if both configurations use the same source, secret and certificate authority.
    pub fn same_source(&self, other: &Self) -> bool {
        self.source == other.source
            && self.ca_file == other.ca_file
            && self.ca_stamp == other.ca_stamp
    }

    /// Returns the other files that this configuration has read.
    pub fn files(&self) -> Vec<PathBuf> {
        let files = self.secret_file.iter().chain(&self.ca_file);
        files.cloned().collect()
    }

    /// Returns a warning for each contract whose last trading day is over. An expired contract is
    /// not an error, because it expires without a change of the file.
    pub fn expired(&self, calendar: &Calendar, now: Utc) -> Vec<String> {
        self.watchlist_notices(|symbol, _| {
            let contract = symbol.contract()?;
            let last = contract.expiry;
            let expired = calendar.days_left(&contract, now)? < 0;
            expired.then(|| format!("{symbol} expired on {last}; remove this contract"))
        })
    }

    /// Returns a notice for each name on the watchlist that has no prefix and can be an index or a
    /// share. Such a name selects the index.
    pub fn meant(&self) -> Vec<String> {
        self.watchlist_notices(|symbol, prefixed| {
            let share = symbol.share_alternative().filter(|_| !prefixed)?;
            Some(format!(
                "{symbol} means the index; write {share} for the share"
            ))
        })
    }

    /// Returns the notices about the symbols, each with the line of its symbol. The second argument
    /// of `notice` is true for a symbol with a prefix. The default watchlist has no notices.
    fn watchlist_notices(&self, notice: impl Fn(&Symbol, bool) -> Option<String>) -> Vec<String> {
        let symbols = self.settings.watchlist.iter().zip(&self.entries);
        let notices = symbols.filter_map(|(symbol, entry)| {
            let text = notice(symbol, entry.prefixed)?;
            let (file, line) = (self.ca_place.0.display(), entry.line);
            Some(format!("{file}:{line}: watchlist: {text}"))
        });
        notices.collect()
    }
}
