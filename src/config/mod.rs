//! The complete configuration: the values of the file, the default values, and the secret. The
//! module never writes the configuration file. If enabled, it stores a copy of the last good text
//! in another file.

mod alerts;
mod buttons;
mod decimals;
mod dimming;
mod file_watch;
mod last_good;
mod listen;
mod pages;
mod panel;
mod reader;
mod screen;
pub mod settings;
mod source;
mod web;
mod wiring;

use std::path::{Path, PathBuf};

use crate::files::FileStamp;
use crate::market::Calendar;
use crate::net::connector::Connector;
use crate::net::source::FeedSource;
use crate::secret::Environment;
use crate::time::Utc;
pub(crate) use dimming::DAYS;
pub use file_watch::{FileStamps, FileWatch};
pub use last_good::LastGood;
pub(crate) use listen::{completed_address, listen_address};
pub(crate) use pages::NUMBERS;
pub use panel::{PanelConfig, PanelKind};
use reader::Correction;
pub(crate) use reader::schema::{Key, Kind, Schema, key, nearest};
pub(crate) use reader::table::ConfigTable;
pub use reader::{ConfigError, ConfigErrors};
pub(crate) use reader::{ConfigReader, Mistake, number};
use settings::TickerSettings;
use source::SourceConfig;
pub(crate) use source::{KEY, SecretName, TOKEN, UPSTREAM_TOKEN, endpoint, server};
pub use web::PageConfig;
pub use wiring::{bus_path, wiring_conflict};

/// The default path of the configuration file.
pub const DEFAULT_PATH: &str = "/etc/deskticker/deskticker.toml";

/// The WebSocket address of the vendor's real-time feed.
pub(crate) const MASSIVE: &str = "wss://socket.massive.com";

/// All settings in the configuration of a display.
const SCHEMA: Schema = Schema(&[reader::schema::KEYS]);

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
    /// The web page; `None` without the table `[page]`.
    pub page: Option<PageConfig>,
    /// The configuration file, and the line of `ca_file` in it, for errors about `ca_file`.
    ca_place: (PathBuf, Option<usize>),
    /// The metadata of `ca_file` at the time of the read.
    ca_stamp: Option<FileStamp>,
    /// The line of each symbol in the file; empty for the default watchlist.
    lines: Vec<usize>,
    /// Settings that are valid, but possibly not meant in this way. Each text has a file and a
    /// line.
    pub warnings: Vec<String>,
}

/// Reads the text of a configuration file. `trial` is a command that needs no configuration.
///
/// # Errors
/// The file cannot be read, or is not UTF-8.
pub(crate) fn file_text(path: &Path, schema: Schema, trial: &str) -> Result<String, ConfigError> {
    let bytes = std::fs::read(path).map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => format!(
                "; write this file (the README has an example), give another file with --config, \
                 or try `{trial}`"
            ),
            _ => String::new(),
        };
        let reason = format!("cannot be read: {error}{hint}");
        ConfigReader::new("", path, schema).error(None, reason)
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let text = &String::from_utf8_lossy(error.as_bytes());
        let reason = "expected text in UTF-8; save the file with that encoding";
        ConfigReader::new(text, path, schema).error(Some(valid..valid), reason)
    })
}

impl Config {
    /// Reads and checks a configuration file and the secret of its source.
    ///
    /// # Errors
    /// All problems, with file and line.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, ConfigErrors> {
        Self::parse(&Self::text(path)?, path, environment)
    }

    /// Reads the text of a configuration file.
    ///
    /// # Errors
    /// The file cannot be read, or is not UTF-8.
    pub fn text(path: &Path) -> Result<String, ConfigError> {
        file_text(path, SCHEMA, "deskticker demo")
    }

    /// Checks a text that has been read from `path`, and reads the secret of its source.
    ///
    /// # Errors
    /// See [`Config::load`].
    pub fn parse(text: &str, path: &Path, environment: &Environment) -> Result<Self, ConfigErrors> {
        let trial = |text: &str| {
            let reader = ConfigReader::trial(text, path, SCHEMA);
            Self::read(reader, environment).err()
        };
        let reader = ConfigReader::new(text, path, SCHEMA);
        Self::read(reader, environment).map_err(|errors| errors.verified(text, trial))
    }

    fn read(reader: ConfigReader<'_>, environment: &Environment) -> Result<Self, ConfigErrors> {
        let path = reader.path;
        let (mut root, syntax_errors) = reader.root();
        let named = root.has("watchlist");
        let (watchlist, lines) = reader.watchlist(root.list("watchlist"), named);
        let named = root.has("hub") || root.has("massive") || root.has_stray(&["hub", "massive"]);
        let (hub, massive) = (root.table("hub"), root.table("massive"));
        let source = reader.source(hub, massive, named, environment);
        let mut settings = TickerSettings::of(watchlist);
        settings.decimals = reader.decimals(root.list("decimals"), &settings.watchlist);
        let (zone, format) = (&mut settings.zone, &mut settings.format);
        reader.set(zone, "time_zone", &root.text("time_zone"), pages::zone);
        let numbers = &mut format.numbers;
        reader.set(numbers, "numbers", &root.text("numbers"), pages::numbers);
        let twelve_hours = &mut format.twelve_hours;
        reader.set(
            twelve_hours,
            "clock",
            &root.text("clock"),
            pages::twelve_hours,
        );
        if let Some(buttons) = root.list("buttons") {
            settings.buttons = reader.buttons(buttons.get_ref());
        }
        if let Some(table) = root.table("pages") {
            reader.pages(table, &mut settings, &lines);
        }
        for alert in root.tables("alert") {
            let rule = reader.alert(alert, &settings.watchlist);
            settings.alerts.extend(rule);
        }
        for night in root.tables("night") {
            settings.dimming_periods.extend(reader.night(night));
        }
        let page = root.table("page").map(|table| reader.page(table));
        let (panel, screen) = (root.table("panel"), root.table("screen"));
        let panel = reader.panel(panel, screen, environment, &mut settings);
        root.finish();
        reader.syntax_errors(syntax_errors);
        let missing = reader.error(None, "the source of the prices is missing");
        let warnings = reader.finish()?;
        let Some(SourceConfig {
            source,
            secret_file,
            ca_file,
            ca_line,
        }) = source
        else {
            // The reader has an error if there is no source, so `finish` has returned it.
            return Err(missing.into());
        };
        Ok(Self {
            settings,
            source,
            secret_file,
            ca_stamp: ca_file.as_deref().and_then(FileStamp::of),
            ca_file,
            panel,
            page,
            ca_place: (path.to_owned(), ca_line),
            lines,
            warnings,
        })
    }

    /// Returns the panel of a configuration that may have errors in other settings, or else the
    /// default panel of the board. The panel is an assumption if the table `[panel]` is missing or
    /// wrong.
    pub fn panel_of(text: &str, path: &Path, environment: &Environment) -> PanelConfig {
        let reader = ConfigReader::new(text, path, SCHEMA);
        let (mut root, syntax_errors) = reader.root();
        let (table, screen) = (root.table("panel"), root.table("screen"));
        let mut settings = TickerSettings::of(Vec::new());
        // The kind may be in a part of the file that cannot be read.
        let named =
            (table.as_ref()).is_some_and(|table| syntax_errors.is_empty() || table.has("kind"));
        let named = named || table.is_none() && screen.is_some();
        let panel = reader.panel(table, screen, environment, &mut settings);
        let good = reader.is_good();
        PanelConfig {
            assumed: !named || !good,
            ..match good {
                true => panel,
                false => reader.panel(None, None, environment, &mut settings),
            }
        }
    }

    /// Checks only the panel of a configuration.
    ///
    /// # Errors
    /// The setting and the reason of each error.
    pub(crate) fn check_panel(
        text: &str,
        path: &Path,
        environment: &Environment,
    ) -> Result<(), Vec<(String, String)>> {
        let reader = ConfigReader::trial(text, path, SCHEMA);
        let (mut root, _) = reader.root();
        let table = root.table("panel");
        let screen = root.table("screen");
        reader.panel(
            table,
            screen,
            environment,
            &mut TickerSettings::of(Vec::new()),
        );
        drop(root);
        reader.finish().map(drop).map_err(|errors| errors.by_key())
    }

    /// Returns the connector for the source, which also trusts the authority in `ca_file`.
    ///
    /// # Errors
    /// The file cannot be read, or contains no certificate. The error has the line that names the
    /// file.
    pub fn connector(&self) -> Result<Connector, ConfigErrors> {
        Connector::new(self.ca_file.as_deref()).map_err(|reason| {
            let (file, line) = self.ca_place.clone();
            let expected = "expected a PEM file with the certificate of a certificate authority";
            ConfigError {
                file,
                line,
                message: format!("ca_file: {reason}; {expected}"),
                correction: None,
                other: self.ca_file.clone(),
            }
            .into()
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
        let symbols = self.settings.watchlist.iter().zip(&self.lines);
        let notices = symbols.filter_map(|(symbol, line)| {
            let contract = symbol.contract()?;
            let last = contract.expiry;
            let expired = calendar.days_left(&contract, now)? < 0;
            let file = self.ca_place.0.display();
            let text = format!("{symbol} expired on {last}; remove this contract");
            expired.then(|| format!("{file}:{line}: watchlist: {text}"))
        });
        notices.collect()
    }
}
