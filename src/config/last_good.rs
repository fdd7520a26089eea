//! The last good configuration, remembered for a start that finds only a bad one. Owns that file;
//! never writes a secret to it, and never half of anything.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Secret;

/// The file, and whether it has been told that it cannot be written.
#[derive(Debug)]
pub struct LastGood {
    path: PathBuf,
    failed: bool,
}

impl LastGood {
    /// At this path, in a directory that is there.
    pub fn at(path: PathBuf) -> Self {
        Self {
            path,
            failed: false,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Remembers the text of a configuration whose secret is this. What goes wrong is told once:
    /// the prices do not depend on it.
    pub fn remember(&mut self, text: &str, secret: Option<&Secret>) {
        let kept = match secret {
            // In a comment, for nothing else would take it.
            Some(secret) if text.contains(secret.reveal()) => Err(io::Error::other(
                "the configuration holds the token or key itself, which belongs into a file of its own",
            )),
            _ => self.write(text),
        };
        match kept {
            Ok(()) => self.failed = false,
            Err(reason) => {
                if !self.failed {
                    let path = self.path.display();
                    log::warn!(
                        "{path}: the configuration is not remembered for a start without a good one: {reason}"
                    );
                }
                self.failed = true;
            }
        }
    }

    /// A card wears out, so only another text is written; and power may fail at any time, so the
    /// old one is there until the new one is whole.
    fn write(&self, text: &str) -> io::Result<()> {
        if std::fs::read(&self.path).is_ok_and(|known| known == text.as_bytes()) {
            return Ok(());
        }
        let mut temporary = self.path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&temporary)?;
        // One that a lost power left may have another mode.
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, &self.path)?;
        let directory = self.path.parent().filter(|path| *path != Path::new(""));
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    }
}
