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
            .field("token", &hidden(&self.token))
            .field("key", &hidden(&self.key))
            .field("board", &self.board.name)
            .finish()
    }
}

impl Environment {
    /// Reads the environment of this process.
    pub fn from_process() -> Self {
        Self {
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            token: std::env::var("MASSIVE_PROXY_TOKEN").ok(),
            key: std::env::var("MASSIVE_API_KEY").ok(),
            board: Board::for_machine(&board::MODEL),
        }
    }
}

/// Returns true if the file is readable and contains only white space.
pub(crate) fn is_blank(path: &Path) -> bool {
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
