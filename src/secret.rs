//! The secret of a data source: its valid form, and the file or environment variable that contains
//! it. Debug output never contains a secret: code must call [`Secret::reveal`] explicitly.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::board::{self, Board};
use crate::files::warn_if_readable_by_all;

/// The maximum size of a token file, in bytes. A larger file does not contain a token.
const SECRET_SIZE_LIMIT: u64 = 4096;

/// The names that people write before a secret, in lower case, and the kind of the secret.
const NAMES: [(&str, &str); 5] = [
    ("token", "token"),
    ("deskticker_upstream_token", "token"),
    ("massive_proxy_token", "token"),
    ("key", "key"),
    ("massive_api_key", "key"),
];

/// The directory from which the systemd units load their credentials.
pub const UNIT_SECRETS: &str = "/etc/deskticker";

/// A token or API key. `Debug` never prints its value, so a log cannot contain it by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Creates a secret from its exact value.
    ///
    /// # Errors
    /// The text is empty, or contains white space, quotes or other characters that a token never has.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("the value is empty; expected a token on one line");
        }
        let valid = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\'';
        if !text.bytes().all(valid) {
            return Err(
                "expected one token of printable characters, without spaces or further lines, and \
                 with quotes at both ends or without quotes",
            );
        }
        Ok(Self(text.to_owned()))
    }

    /// Creates a secret from the text of a file or an environment variable, as people write it:
    /// with white space, a byte order mark, comments, quotes, or its name before the value
    /// (`NAME=value`). The kind is `token` or `key`.
    ///
    /// # Errors
    /// The text contains no secret, more than one, a secret of the other kind, or the hash of a
    /// token; or [`Secret::new`] refuses its value.
    pub fn from_text(text: &str, kind: &str) -> Result<Self, &'static str> {
        let lines = text.trim_start_matches('\u{feff}').split(['\n', '\r']);
        let mut lines = lines
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut value = lines.next().unwrap_or_default();
        if lines.next().is_some() {
            return Err("there is more than one line; expected one token on one line");
        }
        if let Some((name, rest)) = value.split_once(['=', ':']) {
            let name = name.trim().to_ascii_lowercase();
            let name = name.strip_prefix("export ").unwrap_or(&name).trim();
            if let Some((_, named)) = NAMES.iter().find(|known| known.0 == name) {
                match *named == kind {
                    true => value = rest.trim(),
                    false if kind == "token" => {
                        return Err(
                            "this is the key of the vendor, by its name; expected the token of the \
                             hub, which `deskticker-hub token add NAME` prints",
                        );
                    }
                    false => {
                        return Err(
                            "this is the token of a hub, by its name; expected the key of the vendor",
                        );
                    }
                }
            }
        }
        if value.contains("sha256:") {
            return Err(
                "this is the hash of a token, from the file of the hub; the token is the text that \
                 `deskticker-hub token add NAME` printed",
            );
        }
        Self::new(without_quotes(value))
    }

    /// The value of the secret. Send it only to the server that it was created for.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Removes quotes around a value, and a comment after the value. Returns the text unchanged if its
/// quotes have no clear meaning.
fn without_quotes(text: &str) -> &str {
    let mut rest = text.chars();
    let ends: &[char] = match rest.next() {
        Some('"') => &['"'],
        Some('\'') => &['\''],
        Some('\u{201c}'..='\u{201e}') => &['\u{201c}', '\u{201d}'],
        Some('\u{2018}'..='\u{201a}') => &['\u{2018}', '\u{2019}'],
        _ => &[],
    };
    let (value, tail) = match ends {
        [] => text.split_at(text.find(char::is_whitespace).unwrap_or(text.len())),
        _ => rest.as_str().split_once(ends).unwrap_or((text, "-")),
    };
    match tail.trim() {
        "" => value,
        tail if tail.starts_with('#') => value,
        _ => text,
    }
}

/// Returns the text of a file. Editors of Windows write UTF-16, with or without a byte order mark.
/// Bytes that are no text become U+FFFD, which no token contains.
fn text_of(bytes: &[u8]) -> String {
    let utf_16 = |unit: fn([u8; 2]) -> u16| {
        let units = bytes.as_chunks().0.iter().copied().map(unit);
        String::from_utf16_lossy(&units.collect::<Vec<_>>())
    };
    match bytes {
        [0xFF, 0xFE, ..] | [_, 0, ..] => utf_16(u16::from_le_bytes),
        [0xFE, 0xFF, ..] | [0, _, ..] => utf_16(u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The values that are read from the environment of the process. They are an argument, so that
/// tests do not need to change the real environment.
#[derive(Clone, Default)]
pub struct Environment {
    /// `CREDENTIALS_DIRECTORY`: the directory in which systemd stores credentials.
    pub credentials: Option<PathBuf>,
    /// The directory of the files that the systemd unit loads as credentials. A user who starts the
    /// program by hand has no credential from systemd, but may have permission to read these files.
    pub unit_secrets: Option<PathBuf>,
    /// `MASSIVE_PROXY_TOKEN`: the token for a hub.
    pub token: Option<String>,
    /// `MASSIVE_API_KEY`: the API key for the vendor.
    pub key: Option<String>,
    /// `DESKTICKER_UPSTREAM_TOKEN`: the token of a hub for the hub above it.
    pub upstream_token: Option<String>,
    /// `RUNTIME_DIRECTORY`: the directory of the running service. systemd sets it for the service.
    pub runtime: Option<PathBuf>,
    /// The board that the process runs on. It provides the default I2C bus.
    pub board: &'static Board,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| Secret(String::new()));
        f.debug_struct("Environment")
            .field("credentials", &self.credentials)
            .field("unit_secrets", &self.unit_secrets)
            .field("token", &hidden(&self.token))
            .field("key", &hidden(&self.key))
            .field("upstream_token", &hidden(&self.upstream_token))
            .field("runtime", &self.runtime)
            .field("board", &self.board.name)
            .finish()
    }
}

impl Environment {
    /// Reads the environment of this process. The result has no `unit_secrets`.
    pub fn from_process() -> Self {
        Self {
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            unit_secrets: None,
            token: std::env::var("MASSIVE_PROXY_TOKEN").ok(),
            key: std::env::var("MASSIVE_API_KEY").ok(),
            upstream_token: std::env::var("DESKTICKER_UPSTREAM_TOKEN").ok(),
            runtime: std::env::var_os("RUNTIME_DIRECTORY")
                .and_then(|folders| std::env::split_paths(&folders).next()),
            board: Board::for_machine(&board::MODEL),
        }
    }

    /// Returns the credential of this name. A blank credential counts as missing: the systemd units
    /// of this project provide a blank credential as a default, because systemd does not start a
    /// service without its credential, and the display could then not show the problem.
    pub(crate) fn credential(&self, name: &str) -> Option<PathBuf> {
        self.credentials
            .as_deref()
            .and_then(|folder| written(folder, name))
    }

    /// Returns the file that the systemd unit would load as the credential of this name. Returns
    /// `None` for a process with credentials, because the user of such a process cannot read the
    /// file.
    pub(crate) fn unit_secret(&self, name: &str) -> Option<PathBuf> {
        let folder = self.unit_secrets.as_deref();
        let folder = folder.filter(|_| self.credentials.is_none());
        folder.and_then(|folder| written(folder, name))
    }
}

/// Returns the path of this file, if the file exists and is not blank.
fn written(folder: &Path, name: &str) -> Option<PathBuf> {
    Some(folder.join(name)).filter(|path| path.exists() && !is_blank(path))
}

/// Returns true if the file is readable and contains only white space.
fn is_blank(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| bytes.trim_ascii().is_empty())
}

/// Reads the secret of this kind from a file.
///
/// # Errors
/// A message for the user: the file is not readable, is too large, or contains no valid token.
pub(crate) fn read_secret(path: &Path, kind: &str) -> Result<Secret, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| {
        warn_if_readable_by_all(path);
        file.take(SECRET_SIZE_LIMIT + 1).read_to_end(&mut bytes)
    });
    read.map_err(|error| error.to_string())?;
    // Without this check, the first bytes of a large file would be sent as a token, and the server
    // would reject them each time.
    if bytes.len() as u64 > SECRET_SIZE_LIMIT {
        return Err(format!(
            "the file is larger than {SECRET_SIZE_LIMIT} bytes; expected a token on one line"
        ));
    }
    Secret::from_text(&text_of(&bytes), kind).map_err(str::to_owned)
}
