//! The secret of a source: what one looks like, and the file or the environment it comes from.
//! Never shows it to who does not ask for it by name.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::board::{self, Board};

/// A token file larger than this holds something else, in bytes.
const SECRET_SIZE_LIMIT: u64 = 4096;

/// A token or key. It shows itself to nobody but who asks for it by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a token as it stands in a file or a variable: surrounding white space, such as the
    /// newline that every editor leaves, is not part of it.
    ///
    /// # Errors
    /// It is empty, or holds what no token holds.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        // Some editors begin a file with a byte order mark.
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            return Err("it is empty; expected a token on one line");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(
                "expected one token of printable characters, without spaces or further lines",
            );
        }
        Ok(Self(text.to_owned()))
    }

    /// The secret itself, to be sent to whom it was made for and to nobody else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What is taken from the process's environment; an argument, so that tests need not change it.
#[derive(Clone, Default)]
pub struct Environment {
    /// `CREDENTIALS_DIRECTORY`, where systemd puts credentials.
    pub credentials: Option<PathBuf>,
    /// `MASSIVE_PROXY_TOKEN`, a hub's token.
    pub token: Option<String>,
    /// `MASSIVE_API_KEY`, the vendor's key.
    pub key: Option<String>,
    /// What the process runs on, for the bus that nobody named.
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
    /// That of this process.
    pub fn from_process() -> Self {
        Self {
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            token: std::env::var("MASSIVE_PROXY_TOKEN").ok(),
            key: std::env::var("MASSIVE_API_KEY").ok(),
            board: Board::for_machine(&board::MODEL),
        }
    }
}

/// Says so if a file that holds a secret is open to everybody.
pub(crate) fn warn_if_readable_by_all(path: &Path) {
    let open = |data: std::fs::Metadata| data.permissions().mode() & 0o004 != 0;
    if std::fs::metadata(path).is_ok_and(open) {
        log::warn!(
            "{} can be read by every user of this machine: chmod 600 it",
            path.display()
        );
    }
}

/// Whether a file holds nothing but white space.
pub(crate) fn is_blank(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| bytes.trim_ascii().is_empty())
}

/// The secret that a file holds, or why it holds none.
pub(crate) fn read_secret(path: &Path) -> Result<Secret, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    warn_if_readable_by_all(path);
    let mut bytes = Vec::new();
    file.take(SECRET_SIZE_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    // The head of something larger would be sent as if it were a token, and refused for ever.
    if bytes.len() as u64 > SECRET_SIZE_LIMIT {
        return Err(format!(
            "it is larger than {SECRET_SIZE_LIMIT} bytes; expected a token on one line"
        ));
    }
    // What is not UTF-8 is no token either, which `Secret` says.
    Secret::new(&String::from_utf8_lossy(&bytes)).map_err(str::to_owned)
}
