//! Writes a report that the user can publish: the findings, and the configuration without any value
//! that may be private. The report contains no data from other files.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{CheckReport, network, summary, text};
use crate::config::{DAYS, NUMBERS, PanelKind};
use crate::display::screen::PixelFormat;
use crate::display::{Chip, GpioLine};
use crate::net::endpoint::Endpoint;
use crate::render::Size;

/// The text that replaces a secret or a private value.
pub(super) const MASK: &str = "(hidden)";
const TABLES: [&str; 6] = [
    "[hub]",
    "[massive]",
    "[panel]",
    "[pages]",
    "[[alert]]",
    "[[night]]",
];
/// The maximum length of a symbol, in bytes. The longest symbols are those of option contracts,
/// such as `O:SPXW261218C06500000`.
const SYMBOL: usize = 24;
/// The top-level directories that a real path can begin with. A token may also begin with a slash.
const ROOTS: [&str; 8] = ["etc", "home", "run", "var", "root", "usr", "opt", "boot"];
/// The maximum length of one path component, in bytes. A longer component is probably a token.
const NAME: usize = 24;

/// A report that is ready to be written to a file.
#[derive(Clone, Debug)]
pub struct Bundle {
    file: PathBuf,
}

impl Bundle {
    /// Prepares a report for this file. The file must not exist, because an existing file may be an
    /// older report that the user wants to compare, or an unrelated file.
    ///
    /// # Errors
    /// Returns a message if the file exists or if its directory does not exist.
    pub fn new(file: PathBuf) -> Result<Self, String> {
        let shown = file.display();
        if file.symlink_metadata().is_ok() {
            return Err(format!(
                "{shown} already exists, and the doctor never overwrites a file: remove the file, \
                 or choose another name"
            ));
        }
        let folder = file.parent().filter(|folder| *folder != Path::new(""));
        if folder.is_some_and(|folder| !folder.is_dir()) {
            return Err(format!("{shown}: the folder does not exist"));
        }
        Ok(Self { file })
    }

    /// Writes the report with mode 0600: only the owner can read the report and decide about its
    /// publication. Returns the path of the report.
    ///
    /// # Errors
    /// Returns the path and the error of the file system if the file cannot be created or written.
    pub fn write(self, examination: &CheckReport<'_>, config: &Path) -> Result<String, String> {
        let mut report = format!(
            "deskticker {} on {} {}\n\n",
            env!("CARGO_PKG_VERSION"),
            std::env::consts::ARCH,
            std::env::consts::OS
        );
        for finding in &examination.findings {
            report.push_str(&text(finding, false));
        }
        report.push('\n');
        report.push_str(&summary(&examination.findings));
        report.push_str(&format!("\n{}, without private data:\n", config.display()));
        match std::fs::read_to_string(config) {
            Ok(text) => report.push_str(&redacted(&text)),
            Err(error) => report.push_str(&format!("  cannot be read: {}\n", error.kind())),
        }
        examination.hidden.hide(&mut report);
        let place = self.file.display().to_string();
        let mut options = File::options();
        options.write(true).create_new(true).mode(0o600);
        let written = options
            .open(&self.file)
            .and_then(|mut file| file.write_all(report.as_bytes()));
        written.map_err(|error| format!("{place}: {error}"))?;
        Ok(place)
    }
}

/// Redacts a configuration, valid or invalid. Keeps only the values that have the expected form of
/// a known setting, masks all other values, and removes the comments.
pub fn redacted(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        out.push_str("  ");
        let table = TABLES.into_iter().find(|table| line.starts_with(table));
        match (table, line.split_once('=')) {
            (Some(table), _) => out.push_str(table),
            (None, Some((key, value))) => setting(&mut out, key.trim(), value.trim()),
            (None, None) => out.push_str(MASK),
        }
        out.push('\n');
    }
    out
}

fn setting(out: &mut String, key: &str, value: &str) {
    let name = key.rsplit('.').next().unwrap_or(key).trim();
    let (value, quoted) = content(value);
    let given = |shows: bool| shows.then(|| value.to_owned());
    let among = |set: &[&str]| given(set.contains(&value));
    let shown = match name {
        "watchlist" | "decimals" | "show" | "pin" | "symbol" => given(words(value).all(symbol)),
        "days" => given(words(value).all(|day| DAYS.contains(&day))),
        "from" | "to" => given(time_of_day(value)),
        "above" | "below" | "change_percent" => given(!quoted && price(value)),
        "off" | "shift" => among(&["true", "false"]),
        "colours" => among(&["yellow-blue"]),
        "clock" => among(&["24h", "12h"]),
        "numbers" => among(&NUMBERS.map(|(example, ..)| example)),
        "url" => Endpoint::parse(value)
            .ok()
            .map(|endpoint| network::place(&endpoint)),
        "token_file" | "key_file" | "ca_file" | "file" | "device" | "sysfs" => path(value),
        "bus" => {
            let number = value.strip_prefix("/dev/i2c-");
            let select = value.strip_prefix("/dev/spidev");
            let number = number.or(select).map(|number| number.replacen('.', "", 1));
            given(number.is_some_and(|number| number.parse::<u32>().is_ok()))
        }
        "kind" => given(value.parse::<PanelKind>().is_ok()),
        "dc" | "reset" => given(value.parse::<GpioLine>().is_ok()),
        "chip" => given(value.parse::<Chip>().is_ok()),
        "size" => given(value.parse::<Size>().is_ok()),
        "theme" => among(&["dark", "light"]),
        "format" => among(&PixelFormat::ALL.map(|(name, _)| name)),
        "address" | "rotation" | "brightness" | "column_offset" | "interval" | "seconds" => {
            given(value.len() <= 4 && !quoted && !value.is_empty())
        }
        _ => return out.push_str(MASK),
    };
    out.push_str(name);
    out.push_str(" = ");
    out.push_str(shown.as_deref().unwrap_or(MASK));
}

/// Splits a list, or a value with several words, into words.
fn words(value: &str) -> impl Iterator<Item = &str> {
    value
        .split([',', '"', '\'', ' '])
        .filter(|word| !word.is_empty())
}

/// Returns true if the word has the form of a symbol, or if the word is `link`, the connection
/// page.
fn symbol(word: &str) -> bool {
    let sign =
        |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b":.".contains(&byte);
    word == "link" || (word.len() <= SYMBOL && word.bytes().all(sign))
}

fn time_of_day(value: &str) -> bool {
    let two = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    value
        .split_once(':')
        .is_some_and(|(hour, minute)| two(hour) && two(minute))
}

fn price(value: &str) -> bool {
    value.len() <= 12 && value.parse::<f64>().is_ok_and(f64::is_finite)
}

/// The values of settings for a secret file or a CA file that are probably no paths. Such a value
/// is most likely the secret itself, pasted into the wrong place.
pub(super) fn pasted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let (key, value) = line.rsplit_once("_file")?;
        let key = key.trim_end_matches('"');
        let value = value
            .trim_start_matches(['"', ' ', '\t'])
            .strip_prefix('=')?;
        let known = ["token", "key", "ca"]
            .iter()
            .any(|name| key.ends_with(name));
        let (value, _) = content(value.trim());
        (known && path(value).is_none() && !Path::new(value).exists()).then_some(value)
    })
}

/// The text between the quotes or brackets at the start of a value, or else the first word, because
/// the rest may be a comment. The second result is true with quotes or brackets.
fn content(value: &str) -> (&str, bool) {
    let mut chars = value.chars();
    let end = match chars.next() {
        Some(quote @ ('"' | '\'')) => quote,
        Some('[') => ']',
        _ => {
            let word = value.split([' ', '\t', '#']).next();
            return (word.unwrap_or_default(), false);
        }
    };
    let inner = chars.as_str();
    (inner.split(end).next().unwrap_or(inner), true)
}

/// Returns the value if the value is almost certainly a path.
fn path(value: &str) -> Option<String> {
    let mut names = value.strip_prefix('/')?.split('/');
    let sign = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let plain = |name: &str| name.len() <= NAME && name.bytes().all(sign);
    let rooted = |first: &str| ROOTS.contains(&first);
    let good = value.split('/').all(plain) && names.next().is_some_and(rooted);
    good.then(|| value.to_owned())
}
