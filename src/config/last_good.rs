//! The copy of the last good configuration, for a start with a wrong configuration. This module
//! owns the file of the copy, whose last line names the configuration. It never writes a secret or
//! an incomplete text to the file, and never uses or replaces the copy of another configuration.

use std::io;
use std::path::{Path, PathBuf};

use crate::files::{check_regular, replace_file};
use crate::secret::Secret;

/// The start of the last line of a copy. The path of the configuration follows.
const OWNER: &str = "# The last good copy of ";

/// The file with the copy of the last good configuration.
#[derive(Debug)]
pub struct LastGood {
    path: PathBuf,
    /// The absolute path of the configuration.
    config: PathBuf,
    failed: bool,
}

impl LastGood {
    /// Creates the handle of a copy at `path` of the configuration `config`, and writes nothing
    /// yet. The directory must exist.
    pub fn at(path: PathBuf, config: &Path) -> Self {
        Self {
            path,
            config: std::path::absolute(config).unwrap_or_else(|_| config.to_owned()),
            failed: false,
        }
    }

    /// Returns the text of the copy. Returns `None` if there is no copy of this configuration.
    pub fn text(&self) -> Option<String> {
        check_regular(&self.path).ok()?;
        let text = std::fs::read_to_string(&self.path).ok()?;
        (owner(&text) == Some(&self.config)).then_some(text)
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
        let end = if text.ends_with('\n') { "" } else { "\n" };
        let copy = format!("{text}{end}{OWNER}{}\n", self.config.display());
        check_regular(&self.path)?;
        let known = std::fs::read_to_string(&self.path).unwrap_or_default();
        if known == copy {
            return Ok(());
        }
        if let Some(other) = owner(&known).filter(|other| *other != self.config && other.exists()) {
            return Err(io::Error::other(format!(
                "this file has the copy of {}; each display needs a file of its own for --last-good",
                other.display()
            )));
        }
        replace_file(&self.path, copy.as_bytes(), 0o600, true).map(drop)
    }
}

/// Returns the configuration that a copy belongs to.
fn owner(copy: &str) -> Option<&Path> {
    let last = copy.trim_end().lines().last()?;
    last.strip_prefix(OWNER).map(Path::new)
}
