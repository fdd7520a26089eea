//! The state of the panel, which a running program reports to other programs as one line in a file.
//! This module owns the file and its format; it never decides about the state.

use std::path::Path;
use std::{fmt, fs, io};

use jiff::Timestamp;

use crate::files::replace_file;

/// The state of a program's panel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PanelState {
    /// The panel shows the current picture.
    Shown,
    /// The panel thread has not returned from a write, so the panel shows an old picture. The field
    /// is the time since which the panel has been stuck; `None` if this time is not known.
    Stuck(Option<Timestamp>),
    /// The program has ended, and the panel is in its final state.
    Left,
}

impl PanelState {
    /// The name of the file. The file is in the directory that systemd creates in memory for the
    /// lifetime of the program (RuntimeDirectory=, systemd.exec(5)).
    pub const FILE: &str = "state";

    /// Writes the state to a file. Another program that reads the file never sees a partial write.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn write(self, path: &Path) -> io::Result<()> {
        replace_file(path, format!("{self}\n").as_bytes(), 0o600, false).map(drop)
    }

    /// Reads the state from a file. Returns `None` if the file does not exist or does not contain a
    /// panel state.
    pub fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            ["panel", "shown"] => Some(PanelState::Shown),
            ["panel", "left"] => Some(PanelState::Left),
            ["panel", "stuck"] => Some(PanelState::Stuck(None)),
            ["panel", "stuck", since] => Some(PanelState::Stuck(since.parse().ok())),
            _ => None,
        }
    }
}

impl fmt::Display for PanelState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PanelState::Shown => f.write_str("panel shown"),
            PanelState::Stuck(None) => f.write_str("panel stuck"),
            PanelState::Stuck(Some(since)) => write!(f, "panel stuck {since:.0}"),
            PanelState::Left => f.write_str("panel left"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_written_state_is_read_back_and_other_text_is_refused() {
        let path = std::env::temp_dir().join(format!("deskticker-state-{}", std::process::id()));
        let since = "2026-11-27T00:15:11Z".parse().unwrap();
        for state in [
            PanelState::Shown,
            PanelState::Stuck(None),
            PanelState::Stuck(Some(since)),
            PanelState::Left,
        ] {
            state.write(&path).unwrap();
            assert_eq!(PanelState::read(&path), Some(state));
        }
        for text in ["", "panel", "panel well", "stuck"] {
            fs::write(&path, text).unwrap();
            assert_eq!(PanelState::read(&path), None, "{text:?}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(PanelState::read(&path), None);
    }
}
