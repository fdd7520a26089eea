//! What one check has found, and what mends it.

/// How a check ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// It works, and could be better.
    Warning,
    /// It does not work.
    Failed,
    /// Not looked at, for what it needs is not there.
    Skipped,
}

impl CheckState {
    /// In one word.
    pub const fn word(self) -> &'static str {
        match self {
            CheckState::Ok => "ok",
            CheckState::Warning => "warning",
            CheckState::Failed => "failed",
            CheckState::Skipped => "skipped",
        }
    }
}

/// What one check has found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Which check, in one word.
    pub check: &'static str,
    /// How it ended.
    pub state: CheckState,
    /// What was found, on one line.
    pub found: String,
    /// What mends it: lines of prose, and lines to be typed as they are, which begin with a space.
    pub remedy: Option<String>,
}

// Each is one function, called: this is told once in the life of a process, and the program is to
// stay small.
impl Finding {
    /// All is well.
    #[inline(never)]
    pub fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, CheckState::Ok, found.into(), None)
    }

    /// It works, and this would make it better.
    #[inline(never)]
    pub fn warning(
        check: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(
            check,
            CheckState::Warning,
            found.into(),
            Some(remedy.into()),
        )
    }

    /// It does not work, and this mends it.
    #[inline(never)]
    pub fn failed(
        check: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(check, CheckState::Failed, found.into(), Some(remedy.into()))
    }

    /// It was not looked at, for this reason.
    #[inline(never)]
    pub fn skipped(check: &'static str, reason: impl Into<String>) -> Self {
        Self::new(check, CheckState::Skipped, reason.into(), None)
    }

    #[inline(never)]
    const fn new(
        check: &'static str,
        state: CheckState,
        found: String,
        remedy: Option<String>,
    ) -> Self {
        Self {
            check,
            state,
            found,
            remedy,
        }
    }
}
