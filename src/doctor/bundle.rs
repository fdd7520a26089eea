//! A report that can be shown to strangers: what the doctor found, and the configuration with all
//! that is not known to be harmless left out. It holds the content of no other file.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{CheckReport, network, summary, text};
use crate::net::connector::Endpoint;

const MASK: &str = "(hidden)";
const TABLES: [&str; 6] = [
    "[hub]",
    "[massive]",
    "[panel]",
    "[pages]",
    "[[alert]]",
    "[[night]]",
];
const NUMBERS: [&str; 6] = [
    "1,234.56", "1.234,56", "1 234,56", "1'234.56", "1234.56", "1234,56",
];
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// The longest symbol is that of a contract, like `O:SPXW261218C06500000`.
const SYMBOL: usize = 24;
/// Where a path begins that is one: a token may begin with a slash too.
const ROOTS: [&str; 8] = ["etc", "home", "run", "var", "root", "usr", "opt", "boot"];
/// A longer name of a file is a token.
const NAME: usize = 24;

/// A report that is to be written.
#[derive(Clone, Debug)]
pub struct Bundle {
    file: PathBuf,
}

impl Bundle {
    /// A report in this file, which must not exist: what is there may be an older report, which
    /// somebody wants to compare, or another file altogether.
    ///
    /// # Errors
    /// It exists, or its folder does not.
    pub fn new(file: PathBuf) -> Result<Self, String> {
        let shown = file.display();
        if file.symlink_metadata().is_ok() {
            return Err(format!(
                "{shown} is there already, and nothing is overwritten: remove it, or name another file"
            ));
        }
        let folder = file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        if folder.is_some_and(|folder| !folder.is_dir()) {
            return Err(format!("{shown}: there is no such folder"));
        }
        Ok(Self { file })
    }

    /// Writes it, for its owner's eyes: who shows it to others decides that. Returns where it is.
    ///
    /// # Errors
    /// What the file system says.
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
        report.push_str(&format!(
            "\n{}, without what is private:\n",
            config.display()
        ));
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

/// A configuration, whether it can be used or not, with the settings whose value shows by its form
/// that it is what it should be. Comments and everything that is not known are left out.
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
        "watchlist" | "show" | "pin" | "symbol" => given(words(value).all(symbol)),
        "days" => given(words(value).all(|day| DAYS.contains(&day))),
        "from" | "to" => given(time_of_day(value)),
        "above" | "below" | "change_percent" => given(!quoted && price(value)),
        "off" | "shift" => among(&["true", "false"]),
        "clock" => among(&["24h", "12h"]),
        "numbers" => among(&NUMBERS),
        "url" => Endpoint::parse(value)
            .ok()
            .map(|endpoint| network::place(&endpoint)),
        "token_file" | "key_file" | "ca_file" | "file" => path(value),
        "bus" => given(
            value
                .strip_prefix("/dev/i2c-")
                .is_some_and(|number| number.parse::<u32>().is_ok()),
        ),
        "kind" => among(&["oled", "terminal", "png"]),
        "chip" => among(&["ssd1306", "ssd1315", "ssd1309", "sh1106"]),
        "size" => among(&["128x64", "128x32"]),
        "address" | "rotation" | "brightness" | "column_offset" | "interval" | "seconds" => {
            given(value.len() <= 4 && !quoted && !value.is_empty())
        }
        _ => return out.push_str(MASK),
    };
    out.push_str(name);
    out.push_str(" = ");
    out.push_str(shown.as_deref().unwrap_or(MASK));
}

/// The words of a list, or of a value that has several.
fn words(value: &str) -> impl Iterator<Item = &str> {
    value
        .split([',', '"', '\'', ' '])
        .filter(|word| !word.is_empty())
}

/// Whether it is written like one on the watchlist, or is the page of the connection.
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

/// What a configuration names as the file of a secret, or of an authority, and which can hardly be a
/// file: most likely it is the secret, pasted in the wrong place.
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

/// What stands between the quotes or brackets that a value begins with, else its first word: what
/// follows is a comment.
fn content(value: &str) -> (&str, bool) {
    let mut chars = value.chars();
    let end = match chars.next() {
        Some(quote @ ('"' | '\'')) => quote,
        Some('[') => ']',
        _ => {
            return (
                value.split([' ', '\t', '#']).next().unwrap_or_default(),
                false,
            );
        }
    };
    let inner = chars.as_str();
    (inner.split(end).next().unwrap_or(inner), true)
}

/// A path, if it can hardly be anything else.
fn path(value: &str) -> Option<String> {
    let mut names = value.strip_prefix('/')?.split('/');
    let plain = |name: &str| {
        name.len() <= NAME
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let rooted = |first: &str| ROOTS.contains(&first);
    let good = value.split('/').all(plain) && names.next().is_some_and(rooted);
    good.then(|| value.to_owned())
}
