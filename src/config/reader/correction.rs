//! The corrections in the messages about a configuration. Each corrected line is read again, in
//! place of the wrong line, before a message shows it.

use std::collections::BTreeMap;
use std::fmt;

use super::{ConfigError, ConfigErrors};

/// The maximum size in bytes of a configuration whose corrections are read again. A larger file is
/// most likely no configuration, and each reading takes time.
const MAX_SIZE: usize = 65_536;

/// The correction of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) enum Correction {
    /// A sentence about the remedy.
    Words(String),
    /// A corrected line.
    Line(Box<CorrectedLine>),
    /// A line with another value of the same setting.
    Example(String),
}

/// A corrected line, and the part of it that a message shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct CorrectedLine {
    pub(super) line: String,
    pub(super) shown: String,
}

impl Correction {
    /// A corrected line that the message shows as a whole.
    pub(super) fn whole(line: String) -> Self {
        let shown = line.clone();
        Self::Line(Box::new(CorrectedLine { line, shown }))
    }

    pub(in crate::config) fn words(words: &str) -> Self {
        Self::Words(words.to_owned())
    }
}

impl fmt::Display for Correction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words(words) => f.write_str(words),
            Self::Line(corrected) => write!(f, "write: {}", corrected.shown),
            Self::Example(line) => write!(f, "for example: {line}"),
        }
    }
}

impl ConfigErrors {
    /// Applies all corrections to the text, and removes those that `read` refuses. If a corrected
    /// line has another error with a correction, the message shows the line with both corrections.
    pub(crate) fn verified(mut self, text: &str, read: impl Fn(&str) -> Option<Self>) -> Self {
        let old: Vec<&str> = text.lines().collect();
        let mut new: Vec<String> = old.iter().map(|&line| line.to_owned()).collect();
        let read =
            |lines: &[String]| read(&lines.join("\n")).map_or_else(Vec::new, |errors| errors.0);
        let mut candidates = BTreeMap::new();
        for error in &self.0 {
            if let (Some(number), Some(Correction::Line(corrected))) =
                (error.line, &error.correction)
                && old
                    .get(number - 1)
                    .is_some_and(|line| line.trim_matches([' ', '\t']) != corrected.line)
                && text.len() <= MAX_SIZE
            {
                candidates.entry(number).or_insert_with(|| {
                    new[number - 1].clone_from(&corrected.line);
                    true
                });
            }
        }
        // A list can have 64 symbols, and each reading finds the next error of a line.
        for _ in 0..64 + candidates.len() {
            let errors = read(&new);
            let mut changed = false;
            for (&number, good) in candidates.iter_mut().filter(|(_, good)| **good) {
                let line = &mut new[number - 1];
                if line.starts_with('[') {
                    continue;
                }
                let duplicate = |error: &&ConfigError| {
                    let twice = format!("{}: duplicate", name(line));
                    error.message.starts_with(&twice) && !self.0.contains(error)
                };
                let mut here = errors
                    .iter()
                    .filter(|error| error.line == Some(number))
                    .peekable();
                let wrong = here.peek().is_some() || errors.iter().any(|error| duplicate(&error));
                let next = here.find_map(|error| match &error.correction {
                    Some(Correction::Line(next)) if next.line != *line => Some(next.line.clone()),
                    _ => None,
                });
                changed |= wrong;
                match next {
                    Some(next) => *line = next,
                    None if wrong => {
                        *good = false;
                        *line = old[number - 1].to_owned();
                    }
                    None => {}
                }
            }
            if !changed {
                break;
            }
        }
        for error in &mut self.0 {
            let (Some(number), Some(correction)) = (error.line, &mut error.correction) else {
                continue;
            };
            let kept = match correction {
                Correction::Line(corrected) => {
                    if corrected.line == corrected.shown {
                        corrected.shown.clone_from(&new[number - 1]);
                    }
                    candidates.get(&number) == Some(&true)
                }
                Correction::Example(line) => {
                    let wrong = old.get(number - 1).copied().unwrap_or_default();
                    let open = wrong.matches('[').count() != wrong.matches(']').count();
                    open || name(wrong) != name(line) || {
                        let mut lines = new.clone();
                        lines[number - 1].clone_from(line);
                        let same = wrong.trim() == line || text.len() > MAX_SIZE;
                        !same && read(&lines).iter().all(|error| error.line != Some(number))
                    }
                }
                Correction::Words(_) => true,
            };
            if !kept {
                error.correction = None;
            }
        }
        self
    }
}

/// Returns the name of the setting in a line.
fn name(line: &str) -> &str {
    line.split('=').next().unwrap_or_default().trim()
}
