//! The result of one check, with a remedy. This module runs no checks.

/// The outcome of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CheckState {
    /// The checked part works as expected.
    Ok,
    /// The checked part works, but an improvement is possible.
    Warning,
    /// The checked part does not work.
    Failed,
    /// The check did not run, because a prerequisite is missing.
    Skipped,
}

impl CheckState {
    /// The state as one lower-case word, as in the JSON output.
    pub const fn word(self) -> &'static str {
        match self {
            CheckState::Ok => "ok",
            CheckState::Warning => "warning",
            CheckState::Failed => "failed",
            CheckState::Skipped => "skipped",
        }
    }
}

/// The result of one check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The name of the check, in one word.
    pub check: &'static str,
    /// The outcome of the check.
    pub state: CheckState,
    /// The observation, on one line.
    pub found: String,
    /// The remedy: lines of prose, and lines with a command for the user, which begin with a space.
    /// `None` for the states ok and skipped.
    pub remedy: Option<String>,
}

// These functions are never inlined: each call runs once in the life of a process, and a small
// binary is more important than speed here.
impl Finding {
    /// Creates a finding with the state ok.
    #[inline(never)]
    pub fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, CheckState::Ok, found, None)
    }

    /// Creates a finding with the state warning. `remedy` describes the improvement.
    #[inline(never)]
    pub fn warning(
        check: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(check, CheckState::Warning, found, Some(remedy.into()))
    }

    /// Creates a finding with the state failed. `remedy` describes the repair.
    #[inline(never)]
    pub fn failed(
        check: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(check, CheckState::Failed, found, Some(remedy.into()))
    }

    /// Creates a finding with the state skipped. `reason` names the missing prerequisite.
    #[inline(never)]
    pub fn skipped(check: &'static str, reason: impl Into<String>) -> Self {
        Self::new(check, CheckState::Skipped, reason, None)
    }

    #[inline(never)]
    fn new(
        check: &'static str,
        state: CheckState,
        found: impl Into<String>,
        remedy: Option<String>,
    ) -> Self {
        let found = found.into();
        Self {
            check,
            state,
            found,
            remedy,
        }
    }
}
