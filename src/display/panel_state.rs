//! What a running program says of its panel to other programs: one line in a file that goes with it.
//! Owns that file and its words; judges nothing.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;

/// What has become of the panel of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PanelState {
    /// It is shown what there is to show.
    Shown,
    /// Its thread has not come back from a write: what it shows is old, since then if anybody knows
    /// when that was.
    Stuck(Option<Timestamp>),
    /// The program has ended and left it as it shall be without one.
    Left,
}

impl PanelState {
    /// The name of the file, in the folder that systemd makes for as long as the program runs
    /// (RuntimeDirectory=, systemd.exec(5)). That is in memory.
    pub const FILE: &str = "state";

    /// Writes it to a file, which is there whole at any moment.
    ///
    /// # Errors
    /// That cannot be written.
    pub fn write(self, path: &Path) -> io::Result<()> {
        let temporary = path.with_extension("tmp");
        fs::write(&temporary, format!("{self}\n"))?;
        fs::rename(&temporary, path)
    }

    /// What a file says; `None` if there is none, or it says nothing of this kind.
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
    fn what_is_written_is_read_and_nothing_else_is() {
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
