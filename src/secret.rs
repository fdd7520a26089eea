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

/// The directory from which the systemd units load their credentials.
pub const UNIT_SECRETS: &str = "/etc/deskticker";

/// A token or API key. `Debug` never prints its value, so a log cannot contain it by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Creates a secret from the text of a file or an environment variable. White space at both
    /// ends is removed, because most editors add a newline.
    ///
    /// # Errors
    /// The text is empty, or contains white space or other characters that no token contains.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        // Some editors write a byte order mark at the start of a file.
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            return Err("the value is empty; expected a token on one line");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(
                "expected one token of printable characters, without spaces or further lines",
            );
        }
        Ok(Self(text.to_owned()))
    }

    /// The value of the secret. Send it only to the server that it was created for.
    pub fn reveal(&self) -> &str {
        &self.0
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

    /// Returns the file that the systemd unit would load as the credential of this name. A process
    /// with credentials has none, because its user cannot read such a file.
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

/// Reads the secret from a file.
///
/// # Errors
/// A message for the user: the file is not readable, is too large, or contains no valid token.
pub(crate) fn read_secret(path: &Path) -> Result<Secret, String> {
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
    // Bytes that are not UTF-8 become U+FFFD, which `Secret::new` rejects.
    Secret::new(&String::from_utf8_lossy(&bytes)).map_err(str::to_owned)
}
