//! The text of a configuration and the errors in it. This module owns the position and the text of
//! an error. It knows no particular setting.

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use toml::Spanned;

use crate::net::endpoint::Endpoint;
use crate::secret::{Environment, Secret, is_blank, read_secret};

/// The error text for a setting that must name the file of a secret. The text does not repeat the
/// wrong value, which may be the secret itself.
const NO_PATH: &str = "expected the path of a file, like \"/etc/deskticker/token\"";

/// The phrases of the TOML parser, and their replacements in the terms of the configuration file.
const WORDS: [(&str, &str); 15] = [
    (
        "invalid type: map, expected a sequence",
        "expected a list; each alert and each night begins with a line in double brackets, \
         [[alert]] or [[night]]",
    ),
    ("wanted string or table", "expected a string in quotes"),
    ("expected i64", "expected a whole number"),
    ("expected f64", "expected a number"),
    ("expected a boolean", "expected true or false"),
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
    (
        "expected struct PagesTable",
        "expected a table: a line [pages], and its settings below",
    ),
    (
        "expected struct AlertTable",
        "expected a table: a line [[alert]], and its settings below",
    ),
    (
        "expected struct NightTable",
        "expected a table: a line [[night]], and its settings below",
    ),
    ("floating point", "decimal number"),
];

/// An error of a configuration: its position, the wrong value, and the expected value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub(super) file: PathBuf,
    pub(super) line: Option<usize>,
    pub(super) message: String,
    /// The file that the error is about, if it is not the configuration file. A change of only this
    /// file may correct the error.
    pub(super) other: Option<PathBuf>,
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

impl ConfigError {
    /// Returns the file that the error is about, if the configuration only names that file.
    pub fn other_file(&self) -> Option<&Path> {
        self.other.as_deref()
    }

    /// Returns the error text for a small display: with the name of the file instead of its path.
    pub fn brief(&self) -> String {
        let name = self.file.file_name().map(PathBuf::from);
        let brief = Self {
            file: name.unwrap_or_else(|| self.file.clone()),
            ..self.clone()
        };
        brief.to_string()
    }
}

/// The text of a configuration and its path, for the position of errors.
pub(crate) struct ConfigReader<'a> {
    pub(crate) text: &'a str,
    pub(crate) path: &'a Path,
}

impl ConfigReader<'_> {
    /// Parses the text as TOML.
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
            other: None,
        }
    }

    fn before(&self, span: &Range<usize>) -> &[u8] {
        let text = self.text.as_bytes();
        text.get(..span.start).unwrap_or(text)
    }

    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        let breaks = self.before(span).iter().filter(|byte| **byte == b'\n');
        breaks.count() + 1
    }

    /// Returns the error of the parser in the terms of the configuration file.
    fn parser_error(&self, error: &toml::de::Error) -> ConfigError {
        let line = |span| self.before(&span).rsplit(|byte| *byte == b'\n').next();
        let secret = error.span().and_then(line).is_some_and(|before| {
            // The text before the value ends with the key and its equals sign, in any form of a
            // TOML table.
            let key = before.trim_ascii_end();
            let key = key.strip_suffix(b"=").unwrap_or(key).trim_ascii_end();
            let key = key.strip_suffix(b"\"").unwrap_or(key);
            key.ends_with(b"token_file") || key.ends_with(b"key_file")
        });
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        // The wrong value may be the secret itself, and the message of the parser would repeat it.
        let message = match secret && message.starts_with("invalid type") {
            true => format!("invalid type, {NO_PATH}"),
            false => WORDS.iter().fold(message, |message, (theirs, ours)| {
                message.replace(theirs, ours)
            }),
        };
        self.error(error.span(), message)
    }

    /// Reads a whole number within a range; `expected` describes the range for the error message.
    pub(super) fn number<T: TryFrom<i64> + PartialOrd>(
        &self,
        value: &Spanned<i64>,
        key: &str,
        range: RangeInclusive<T>,
        expected: &str,
    ) -> Result<T, ConfigError> {
        let number = T::try_from(*value.get_ref()).ok();
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                let message = format!("{key}: {}, expected {expected}", value.get_ref());
                self.error(Some(value.span()), message)
            })
    }

    pub(crate) fn endpoint(&self, url: &Spanned<String>) -> Result<Endpoint, ConfigError> {
        Endpoint::parse(url.get_ref())
            .map_err(|message| self.error(Some(url.span()), format!("url: {message}")))
    }

    /// Reads the secret from the first place that has one: the named file, a systemd credential, or
    /// the environment variable. The error for a missing secret points to the position `table`.
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
                    "there is no {name}; expected {name}_file = \"/path\" in this table, a systemd \
                     credential with the name {name} (the service reads /etc/deskticker/{name} at \
                     its start), or the environment variable {variable}"
                ),
            )
        })
    }

    /// Reads the secret as [`ConfigReader::secret`] does, but returns `None` if no place has a
    /// secret.
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
            return read_secret(path).map(Some).map_err(|reason| {
                // A value that is not a path is most likely the secret itself, in the wrong place.
                let message = match path.is_absolute() || path.exists() {
                    true => format!("{name}_file: {}: {reason}", path.display()),
                    false => format!("{name}_file: no such file, {NO_PATH}"),
                };
                ConfigError {
                    other: Some(path.clone()),
                    ..self.error(span, message)
                }
            });
        }
        let credential = environment
            .credentials
            .as_ref()
            .map(|directory| directory.join(name));
        // A blank credential counts as missing. Our systemd units provide a blank credential as a
        // default, because systemd does not start a service without its credential, and the display
        // could then not show the problem.
        if let Some(path) = credential.filter(|path| path.exists() && !is_blank(path)) {
            return read_secret(&path).map(Some).map_err(|reason| {
                self.error(None, format!("credential {}: {reason}", path.display()))
            });
        }
        let value = value.as_deref().map(Secret::new).transpose();
        value.map_err(|reason| self.error(None, format!("{variable}: {reason}")))
    }
}
