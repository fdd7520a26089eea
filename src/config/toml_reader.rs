//! The text of a configuration and the errors in it. This module owns the position and the text of
//! an error. It knows no particular setting.

use std::borrow::Borrow;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

/// The error text for a setting that must name the file of a secret. The text does not repeat the
/// wrong value, which may be the secret itself.
pub(super) const NO_PATH: &str = "expected the path of a file, like \"/etc/deskticker/token\"";

/// The phrases of the TOML parser, and their replacements in the terms of the configuration file.
const WORDS: [(&str, &str); 9] = [
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
        let file = name.unwrap_or_else(|| self.file.clone());
        Self {
            file,
            ..self.clone()
        }
        .to_string()
    }
}

/// The text of a configuration and its path, for the position of errors.
pub(crate) struct ConfigReader<'a> {
    pub(crate) text: &'a str,
    pub(crate) path: &'a Path,
}

impl ConfigReader<'_> {
    /// Parses the text as TOML. An error is in the terms of the configuration file.
    pub(crate) fn file<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        toml::from_str(self.text).map_err(|error: toml::de::Error| {
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            let message = WORDS.iter().fold(message, |message, (theirs, ours)| {
                message.replace(theirs, ours)
            });
            self.error(error.span(), message)
        })
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

    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.bytes().take(span.start);
        before.filter(|byte| *byte == b'\n').count() + 1
    }

    /// Converts the value of a setting. An error has the line and the key of the setting.
    pub(crate) fn read<T: Borrow<B>, B: ?Sized, V, E: fmt::Display>(
        &self,
        key: &str,
        value: &Spanned<T>,
        convert: impl FnOnce(&B) -> Result<V, E>,
    ) -> Result<V, ConfigError> {
        convert(value.get_ref().borrow())
            .map_err(|reason| self.error(Some(value.span()), format!("{key}: {reason}")))
    }

    /// Replaces a default value, if the file contains the setting; see [`ConfigReader::read`].
    pub(crate) fn set<T: Borrow<B>, B: ?Sized, V, E: fmt::Display>(
        &self,
        to: &mut V,
        key: &str,
        value: &Option<Spanned<T>>,
        convert: impl FnOnce(&B) -> Result<V, E>,
    ) -> Result<(), ConfigError> {
        if let Some(value) = value {
            *to = self.read(key, value, convert)?;
        }
        Ok(())
    }
}

/// Reads a whole number within a range; `expected` describes the range for the error message.
pub(crate) fn number<T: TryFrom<i64> + PartialOrd>(
    value: i64,
    range: RangeInclusive<T>,
    expected: &str,
) -> Result<T, String> {
    let number = T::try_from(value)
        .ok()
        .filter(|number| range.contains(number));
    number.ok_or_else(|| format!("{value}, expected {expected}"))
}

/// Deserializes the path of the file of a secret. A wrong value may be the secret itself, so the
/// error does not repeat it.
pub(crate) fn secret_file<'de, D: Deserializer<'de>>(
    value: D,
) -> Result<Option<Spanned<PathBuf>>, D::Error> {
    let path = Spanned::deserialize(value).map(Some);
    path.map_err(|_| D::Error::custom(format!("invalid type, {NO_PATH}")))
}
