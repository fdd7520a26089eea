//! The corrections in the messages about a configuration. Each corrected line is read again, in
//! place of the wrong line, before a message shows it.

use std::fmt;

use super::{ConfigError, ConfigErrors};

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
    /// Removes each correction whose line `read` refuses. If a corrected line has another error
    /// with a correction, the message shows the line with both corrections.
    pub(crate) fn verified(mut self, text: &str, read: impl Fn(&str) -> Option<Self>) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let duplicates = |errors: &[ConfigError]| {
            let twice = |error: &&ConfigError| error.message.contains("duplicate");
            errors.iter().filter(twice).count()
        };
        let before = duplicates(&self.0);
        // Returns the line that is accepted in place of this line of the text.
        let accepted = |number: usize, first: &str| {
            let mut line = first.to_owned();
            // A list can have 64 symbols.
            for _ in 0..=64 {
                if lines
                    .get(number - 1)
                    .is_none_or(|old| old.trim_matches([' ', '\t']) == line)
                {
                    return None;
                }
                let mut new = lines.clone();
                new[number - 1] = &line;
                let errors = read(&new.join("\n")).map_or_else(Vec::new, |errors| errors.0);
                let here = || errors.iter().filter(|error| error.line == Some(number));
                let next = here().find_map(|error| match &error.correction {
                    Some(Correction::Line(corrected)) => Some(corrected.line.clone()),
                    _ => None,
                });
                match next {
                    Some(next) => line = next,
                    None if here().count() == 0 && duplicates(&errors) <= before => {
                        return Some(line);
                    }
                    None => return None,
                }
            }
            None
        };
        // All errors of a line have the same corrected line.
        let mut last = (0, None);
        for error in &mut self.0 {
            let (Some(number), Some(correction)) = (error.line, &mut error.correction) else {
                continue;
            };
            let kept = match correction {
                Correction::Line(corrected) if corrected.line.starts_with('[') => true,
                Correction::Line(corrected) => {
                    let CorrectedLine { line, shown } = &mut **corrected;
                    if last.0 != number {
                        last = (number, accepted(number, line));
                    }
                    if let (Some(new), true) = (&last.1, line == shown) {
                        shown.clone_from(new);
                    }
                    last.1.is_some()
                }
                Correction::Example(line) => {
                    let old = lines.get(number - 1).copied().unwrap_or_default();
                    let open = old.matches('[').count() != old.matches(']').count();
                    let name =
                        |line: &str| line.split('=').next().map(|name| name.trim().to_owned());
                    open || name(old) != name(line) || accepted(number, line).is_some()
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
