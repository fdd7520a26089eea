//! The service of a program under systemd, and other commands of the system. Only root can use
//! this.

use std::process::{Command, Stdio};

/// Runs a command of the system, and returns its standard output. The error has the standard error
/// of the command, or the reason why the command does not run.
pub(super) fn system(command: &[&str]) -> Result<String, String> {
    let [name, arguments @ ..] = command else {
        return Ok(String::new());
    };
    let mut command = Command::new(name);
    let output = command.args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{name}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => {
            let words = String::from_utf8_lossy(&output.stderr);
            Err(format!("{name} {}: {}", arguments.join(" "), words.trim()))
        }
    }
}

/// Returns true if systemd knows the unit of this name.
pub(super) fn exists(unit: &str) -> bool {
    system(&["systemctl", "cat", unit]).is_ok()
}

/// Returns true if the unit runs, or waits for its next start after a failure.
pub(super) fn runs(unit: &str) -> bool {
    let state = system(&[
        "systemctl",
        "show",
        "--property=ActiveState",
        "--value",
        unit,
    ]);
    state.is_ok_and(|state| !matches!(state.trim(), "" | "inactive" | "failed"))
}

/// Starts the unit now and at each start of the machine. A unit that runs starts again, because it
/// reads its secrets only at its start.
///
/// # Errors
/// The message of systemd.
pub(super) fn start(unit: &str) -> Result<(), String> {
    system(&["systemctl", "enable", unit])?;
    system(&["systemctl", "restart", unit]).map(drop)
}

/// A running unit that is stopped until this value is dropped.
pub(super) struct Paused(&'static str);

impl Paused {
    /// Stops the unit. Returns `None` if the unit does not run or cannot be stopped.
    pub(super) fn stop(unit: &'static str) -> Option<Self> {
        let stopped = runs(unit) && system(&["systemctl", "stop", unit]).is_ok();
        stopped.then_some(Self(unit))
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        // A failure has no other remedy here; the end of the set-up starts the unit again.
        let _ = system(&["systemctl", "start", self.0]);
    }
}
