//! The text of a configuration, and the errors and warnings about it. This module owns the position
//! and the text of an error. It knows no particular setting.

mod correction;
pub(crate) mod schema;
mod syntax;
pub(crate) mod table;
mod unknown_key;

use std::borrow::Borrow;
use std::cell::RefCell;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use toml::Spanned;

use correction::CorrectedLine;
pub(in crate::config) use correction::Correction;
use schema::Schema;

/// The error text for a setting whose value must be the path of a file with a secret. The text does
/// not repeat the wrong value, because that value may be the secret itself.
pub(in crate::config) const NO_PATH: &str =
    "expected the path of a file, like \"/etc/deskticker/token\"";

/// The maximum length of a line that a message repeats.
const LINE: usize = 120;
/// The maximum length of an unknown name in a message. A longer name can be a secret in the wrong
/// place.
const LONGEST_NAME: usize = 20;
/// The maximum number of errors in one report.
const MOST_ERRORS: usize = 50;

/// The maximum number of characters of a wrong value in a message.
const SHOWN: usize = 60;

/// An error of a configuration: its position, the wrong value, and the expected value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub(in crate::config) file: PathBuf,
    pub(in crate::config) line: Option<usize>,
    pub(in crate::config) message: String,
    /// The corrected line, an example, or words about the remedy.
    pub(in crate::config) correction: Option<Correction>,
    /// The file with the error, if it is not the configuration file. A change of only this file may
    /// correct the error.
    pub(in crate::config) other: Option<PathBuf>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.message)?;
        match &self.correction {
            Some(correction) => write!(f, "; {correction}"),
            None => Ok(()),
        }
    }
}

/// All errors of a configuration, in the order of their lines. There is at least one error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

/// Writes each error on a line of its own.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, error) in self.0.iter().enumerate() {
            let end = if place == 0 { "" } else { "\n" };
            write!(f, "{end}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl ConfigErrors {
    /// Returns each error.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }

    /// Returns the reasons of the errors for a person who has just typed the value of the setting
    /// `key`. Only the errors about other settings contain their position in the file.
    pub(crate) fn reasons(&self, key: &str) -> String {
        let reasons = self.0.iter().map(|error| {
            let reason = error.message.strip_prefix(key);
            let reason = reason.and_then(|reason| reason.strip_prefix(": "));
            reason.map_or_else(|| error.to_string(), str::to_owned)
        });
        reasons.collect::<Vec<_>>().join("\n")
    }

    /// Returns the setting and the reason of each error, without the place in the file.
    pub(crate) fn by_key(&self) -> Vec<(String, String)> {
        let parts = self.0.iter().map(|error| {
            let parts = error.message.split_once(": ");
            let (key, reason) = parts.unwrap_or(("[panel]", &error.message));
            (key.to_owned(), reason.to_owned())
        });
        parts.collect()
    }

    /// Returns the files with the errors, for all errors that are not in the configuration file
    /// itself.
    pub fn other_files(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter_map(|error| error.other.as_deref())
    }

    /// Returns the first error for a small display: with the name of the file instead of its path,
    /// and without a correction.
    pub fn brief(&self) -> String {
        let Some(first) = self.0.first() else {
            return String::new();
        };
        let name = first.file.file_name().map(PathBuf::from);
        let error = ConfigError {
            file: name.unwrap_or_else(|| first.file.clone()),
            correction: None,
            ..first.clone()
        };
        error.to_string()
    }
}

/// The reason why a value is wrong.
#[derive(Debug)]
pub(crate) struct Mistake {
    reason: String,
    /// The TOML texts that must replace the value, if they are known. More than one text is possible
    /// only in a list.
    instead: Vec<String>,
}

impl Mistake {
    /// A mistake with only one possible correction.
    pub(crate) fn with(reason: impl Into<String>, instead: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            instead: vec![instead.into()],
        }
    }

    /// Creates a mistake whose correction replaces one text by several texts of a list.
    pub(crate) fn items<T: AsRef<str>>(reason: impl Into<String>, items: &[T]) -> Self {
        Self {
            reason: reason.into(),
            instead: items
                .iter()
                .map(|text| format!("{:?}", text.as_ref()))
                .collect(),
        }
    }

    /// Returns the text that must replace the value, without quotes, if there is only one.
    pub(crate) fn meant(&self) -> Option<&str> {
        match self.instead.as_slice() {
            [only] => Some(only.trim_matches('"')),
            _ => None,
        }
    }

    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }
}

impl From<String> for Mistake {
    fn from(reason: String) -> Self {
        Self {
            reason,
            instead: Vec::new(),
        }
    }
}

impl From<&str> for Mistake {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

/// An error. `missing` is true if the error is about a missing setting or value.
#[derive(Debug)]
struct Noted {
    error: ConfigError,
    missing: bool,
}

/// The text of a configuration and its path, for the position of errors. The reader collects all
/// errors and warnings.
#[derive(Debug)]
pub(crate) struct ConfigReader<'a> {
    pub(crate) text: &'a str,
    pub(crate) path: &'a Path,
    pub(super) schema: Schema,
    /// True if no file is read: the reader only checks a corrected line.
    pub(super) trial: bool,
    errors: RefCell<Vec<Noted>>,
    warnings: RefCell<Vec<(usize, String)>>,
}

impl<'a> ConfigReader<'a> {
    pub(crate) fn new(text: &'a str, path: &'a Path, schema: Schema) -> Self {
        Self {
            text,
            path,
            schema,
            trial: false,
            errors: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// Returns a reader that reads no secret.
    pub(crate) fn trial(text: &'a str, path: &'a Path, schema: Schema) -> Self {
        let trial = true;
        Self {
            trial,
            ..Self::new(text, path, schema)
        }
    }

    /// Returns the warnings, each with file and line, or all errors.
    pub(crate) fn finish(self) -> Result<Vec<String>, ConfigErrors> {
        let errors = self.errors.into_inner();
        if errors.is_empty() {
            let mut warnings = self.warnings.into_inner();
            warnings.sort_by_key(|(line, _)| *line);
            let path = self.path.display();
            let full = |(line, text): (usize, String)| format!("{path}:{line}: {text}");
            return Ok(warnings.into_iter().map(full).collect());
        }
        let mut errors: Vec<ConfigError> = errors.into_iter().map(|noted| noted.error).collect();
        errors.sort_by_key(|error| error.line.unwrap_or(usize::MAX));
        errors.dedup();
        errors.truncate(MOST_ERRORS);
        Err(ConfigErrors(errors))
    }

    /// Returns true if no error has been noted.
    pub(crate) fn is_good(&self) -> bool {
        self.errors.borrow().is_empty()
    }

    /// Removes the errors that may only be the result of a syntax error. An error with a line stays
    /// only if `kept` returns true for the line.
    pub(super) fn keep_errors(&self, kept: impl Fn(usize) -> bool) {
        let mut errors = self.errors.borrow_mut();
        errors.retain(|noted| !noted.missing && noted.error.line.is_none_or(&kept));
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
            correction: None,
            other: None,
        }
    }

    /// Collects an error.
    pub(crate) fn note(&self, error: ConfigError) {
        let missing = false;
        self.errors.borrow_mut().push(Noted { error, missing });
    }

    /// Collects an error about a missing setting or value. The error is removed if the file also
    /// has a syntax error, because the syntax error can be the cause.
    pub(crate) fn note_missing(&self, error: ConfigError) {
        let missing = true;
        self.errors.borrow_mut().push(Noted { error, missing });
    }

    /// Collects a warning.
    pub(crate) fn warn(&self, span: &Range<usize>, text: impl Into<String>) {
        let line = self.line(span);
        self.warnings.borrow_mut().push((line, text.into()));
    }

    pub(in crate::config) fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.bytes().take(span.start);
        before.filter(|byte| *byte == b'\n').count() + 1
    }

    /// Converts the value of a setting. An error has the line and the key of the setting, and the
    /// corrected line or an example.
    pub(crate) fn read<T: Borrow<B>, B: ?Sized, V, E: Into<Mistake>>(
        &self,
        key: &str,
        value: &Spanned<T>,
        convert: impl FnOnce(&B) -> Result<V, E>,
    ) -> Option<V> {
        match convert(value.get_ref().borrow()) {
            Ok(value) => Some(value),
            Err(mistake) => {
                self.mistake(key, value.span(), mistake);
                None
            }
        }
    }

    /// Converts a text of a list; see [`ConfigReader::read`]. A text with commas is several texts.
    pub(crate) fn item<V, E: Into<Mistake>>(
        &self,
        key: &str,
        text: &Spanned<String>,
        convert: impl FnOnce(&str) -> Result<V, E>,
    ) -> Option<V> {
        self.read(key, text, |text: &str| {
            convert(text).map_err(|mistake| {
                let texts = text.split([',', ';']).map(str::trim);
                let texts: Vec<&str> = texts.filter(|text| !text.is_empty()).collect();
                // An address with these characters can contain a secret.
                match text.contains([',', ';']) && !text.contains(['@', '?']) {
                    true => {
                        let reason = format!("{text:?}, expected one text in each pair of quotes");
                        Mistake::items(reason, &texts)
                    }
                    false => mistake.into(),
                }
            })
        })
    }

    /// Collects an error about a value.
    pub(crate) fn mistake(&self, key: &str, span: Range<usize>, mistake: impl Into<Mistake>) {
        let Mistake { reason, instead } = mistake.into();
        let before = self.text[..span.start].trim_end();
        let line = match instead.as_slice() {
            [] => None,
            [_, _, ..] if before.ends_with('=') => {
                self.replaced(&span, &format!("[{}]", instead.join(", ")))
            }
            _ => self.replaced(&span, &instead.join(", ")),
        };
        let correction = line.or_else(|| self.example(key, &span));
        self.note(ConfigError {
            correction,
            ..self.error(Some(span), format!("{key}: {reason}"))
        });
    }

    /// Returns an example of a line with this setting.
    pub(super) fn example(&self, key: &str, span: &Range<usize>) -> Option<Correction> {
        let table = self.table_at(span.start);
        let keys = self.schema.keys().filter(|known| known.name == key);
        let mut keys = keys.filter(|known| !known.example.is_empty());
        let first = keys.next()?;
        let here = keys.find(|known| known.table == table);
        let known = here.filter(|_| first.table != table).unwrap_or(first);
        Some(Correction::Example(format!("{key} = {}", known.example)))
    }

    /// Returns the name of the table that begins above a position.
    pub(super) fn table_at(&self, position: usize) -> &'static str {
        let before = self.text.get(..position).unwrap_or_default();
        let headers = before
            .lines()
            .rev()
            .filter_map(|line| self.schema.header_of(line));
        let mut headers = headers.filter(|(_, comment)| !comment);
        headers.next().map_or("", |(name, _)| name)
    }

    /// Returns the text of the line at a position.
    pub(super) fn line_at(&self, position: usize) -> &'a str {
        let position = position.min(self.text.len());
        let start = self.text[..position].rfind('\n').map_or(0, |at| at + 1);
        let end = self.text[start..].find('\n');
        self.text[start..end.map_or(self.text.len(), |end| start + end)].trim_end_matches('\r')
    }

    /// Returns the line with the text `instead` at this position, and without the comment at the
    /// end of the line. If the line is longer than [`LINE`], a message shows only `instead`.
    /// Returns `None` if the position covers several lines, or if the line contains an inline table,
    /// which can have a secret.
    pub(in crate::config) fn replaced(
        &self,
        span: &Range<usize>,
        instead: &str,
    ) -> Option<Correction> {
        let line = self.line_at(span.start);
        let start = self.text[..span.start].rfind('\n').map_or(0, |at| at + 1);
        let (from, to) = (span.start - start, span.end - start);
        if line.contains('{') {
            return None;
        }
        let (before, behind) = (line.get(..from)?, line.get(to..)?);
        let line = format!("{before}{instead}{}", without_comment(behind));
        let line = line.trim().to_owned();
        let shown = match line.len() <= LINE {
            true => line.clone(),
            false => instead.to_owned(),
        };
        Some(Correction::Line(Box::new(CorrectedLine { line, shown })))
    }

    /// Replaces a default value, if the file contains the setting; see [`ConfigReader::read`].
    pub(crate) fn set<T: Borrow<B>, B: ?Sized, V, E: Into<Mistake>>(
        &self,
        to: &mut V,
        key: &str,
        value: &Option<Spanned<T>>,
        convert: impl FnOnce(&B) -> Result<V, E>,
    ) {
        if let Some(value) = value
            && let Some(value) = self.read(key, value, convert)
        {
            *to = value;
        }
    }

    /// Returns the absolute path of a file that the configuration names. A relative path is
    /// relative to the folder of the configuration.
    pub(crate) fn resolve(&self, key: &str, file: &Spanned<String>) -> Option<PathBuf> {
        self.read(key, file, |text: &str| {
            let path = Path::new(text);
            if text.trim().is_empty() {
                return Err(Mistake::from("the path is empty"));
            }
            if text.starts_with('~') {
                let reason = "\"~\" has no meaning here, expected the whole path, like \
                              \"/home/pi/screen.png\"";
                return Err(Mistake::from(reason));
            }
            Ok(self.in_folder(path))
        })
    }

    /// Returns the absolute path of a path that is relative to the folder of the configuration.
    pub(crate) fn in_folder(&self, path: &Path) -> PathBuf {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let path = folder.join(path);
        std::path::absolute(&path).unwrap_or(path)
    }
}

/// Returns the start of a text, on one line.
fn shortened(text: &str) -> String {
    let text = text.trim().replace(char::is_control, " ");
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Removes a comment after a value.
fn without_comment(text: &str) -> &str {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (c, quote) {
            ('#', None) => return text[..at].trim_end(),
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
    }
    text.trim_end()
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
