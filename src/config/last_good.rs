//! The copy of the last good configuration, for a start with a wrong configuration. This module
//! owns the file of the copy. It never writes a secret or an incomplete text to the file.

use std::io;
use std::path::PathBuf;

use crate::files::replace_file;
use crate::secret::Secret;

/// The file with the copy of the last good configuration.
#[derive(Debug)]
pub struct LastGood {
    path: PathBuf,
    failed: bool,
}

impl LastGood {
    /// Creates the handle of a copy at this path and writes nothing yet. The directory must exist.
    pub fn at(path: PathBuf) -> Self {
        Self {
            path,
            failed: false,
        }
    }

    /// Stores the text of a good configuration; `secret` is the secret of its source. An error is
    /// logged only once, because the prices do not depend on the copy.
    pub fn remember(&mut self, text: &str, secret: Option<&Secret>) {
        let kept = match secret {
            // No setting accepts the secret itself, so the secret can only be in a comment.
            Some(secret) if text.contains(secret.reveal()) => Err(io::Error::other(
                "the configuration contains the token or key itself; write the token or key to its \
                 own file",
            )),
            _ => self.write(text),
        };
        if let Err(reason) = &kept
            && !self.failed
        {
            log::warn!(
                "{}: cannot store this configuration as the last good configuration: {reason}",
                self.path.display()
            );
        }
        self.failed = kept.is_err();
    }

    /// Writes the text only if it has changed, because each write wears out the memory card. The
    /// old copy stays until the new one is complete, because the power may fail at any time.
    fn write(&self, text: &str) -> io::Result<()> {
        if std::fs::read(&self.path).is_ok_and(|known| known == text.as_bytes()) {
            return Ok(());
        }
        replace_file(&self.path, text.as_bytes(), 0o600, true).map(drop)
    }
}
