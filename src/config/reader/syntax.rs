//! Converts the syntax errors of the TOML parser into errors that name the setting, if a setting is
//! known for the line. Removes the errors that are only a result of a syntax error.

use toml::de::Error;

use super::schema::{Kind, nearest};
use super::{ConfigReader, LONGEST_NAME, shortened, without_comment};

impl ConfigReader<'_> {
    /// Collects the syntax errors. Removes the errors that are only a result of a syntax error.
    pub(crate) fn syntax_errors(&self, errors: Vec<Error>) {
        if errors.is_empty() {
            return;
        }
        let place = |error: &Error| {
            let position = error.span().map_or(self.text.len(), |span| span.start);
            let before = &self.text[..position.min(self.text.len())];
            // An error at the end of a line can point to the start of the next line.
            match self.line_at(position).trim().is_empty() {
                true => before.trim_end().len().saturating_sub(1),
                false => before.len(),
            }
        };
        let mut found: Vec<(usize, String)> = Vec::new();
        for error in errors {
            found.push((place(&error), error.message().replace('\n', ", ")));
        }
        found.sort_by_key(|(position, _)| *position);
        found.dedup_by_key(|(position, _)| self.line(&(*position..*position)));
        let mut lines: Vec<usize> = Vec::new();
        // From this line on, the text may have been read wrong.
        let mut doubtful = usize::MAX;
        let mut noted = Vec::new();
        for (position, reason) in found {
            let span = position..position;
            let line = self.line(&span);
            lines.push(line);
            if line >= doubtful {
                continue;
            }
            let (line, error) = match self.open_list(position) {
                Some((start, key)) => {
                    let message = format!(
                        "{key}: the list has no end, or a comma between its texts is missing"
                    );
                    let span = start..start;
                    let mut error = self.error(Some(span.clone()), message);
                    error.correction = self.example(key, &span);
                    (self.line(&span), error)
                }
                None => match self.wrong_line(position, &reason) {
                    Some((message, correction)) => {
                        let mut error = self.error(Some(span), message);
                        error.correction = correction;
                        let header = self.line_at(position).trim_start().starts_with('[');
                        (if header { line } else { usize::MAX }, error)
                    }
                    None => (line, self.error(Some(span), reason)),
                },
            };
            doubtful = doubtful.min(line);
            noted.push(error);
        }
        self.keep_errors(|line| !lines.contains(&line) && line < doubtful);
        for error in noted {
            self.note(error);
        }
    }

    /// Returns the position and the key of a list of several lines that is not closed before the
    /// line at this position.
    fn open_list(&self, position: usize) -> Option<(usize, &'static str)> {
        let end = self.text[..position].rfind('\n').map_or(0, |at| at + 1);
        let mut start = end;
        for line in self.text[..end].split_inclusive('\n').rev() {
            start -= line.len();
            let (name, value) = line.split_once('=').unwrap_or_default();
            let keys = || self.schema.keys().filter(|key| key.kind == Kind::List);
            if let Some(key) = keys().find(|key| key.name == name.trim()) {
                let open = value.trim_start().starts_with('[');
                let lines = self.text[start..end].lines().map(without_comment);
                let brackets = |text: &str, bracket| text.matches(bracket).count();
                let depth = lines.fold((0, 0), |(opened, closed), line| {
                    (opened + brackets(line, '['), closed + brackets(line, ']'))
                });
                return (open && depth.0 > depth.1).then_some((start, key.name));
            }
        }
        None
    }

    /// Returns the message and the correction for a line with a syntax error. `None` if the line is
    /// not one of a known setting.
    fn wrong_line(&self, position: usize, reason: &str) -> Option<(String, Option<String>)> {
        let line = self.line_at(position).trim();
        if let Some((table, false)) = self.schema.header_of(line) {
            let header = self.schema.header(table);
            let message = format!("{}, expected {header}", shortened(line));
            return (line != header).then(|| (message, Some(format!("write: {header}"))));
        }
        let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        let (name, rest) = line.split_at(end);
        let table = self.table_at(position);
        let elsewhere = || self.schema.keys().find(|key| key.name == name);
        let known = self.schema.find(table, name).or_else(elsewhere);
        let meant = || nearest(name, self.schema.names(table, false));
        let meant = known.or_else(|| self.schema.find(table, meant()?));
        let rest = rest.trim_start();
        let assigned = rest.starts_with('=');
        let value = without_comment(rest.trim_start_matches(['=', ':', ' ', '\t'])).trim();
        // The value continues on the next lines.
        if value.starts_with('[') && !value.ends_with(']') || value.starts_with("\"\"\"") {
            return None;
        }
        let Some(key) = meant else {
            let correction = "remove this line, or write a # before it".to_owned();
            // A long word can be a secret in the wrong place.
            let message = match name.len() <= LONGEST_NAME {
                true => format!("unknown key `{name}`: {reason}"),
                false => reason.to_owned(),
            };
            return assigned.then_some((message, Some(correction)));
        };
        if reason.starts_with("duplicate") {
            let correction = "remove one of the two lines".to_owned();
            return Some((format!("{name}: {reason}"), Some(correction)));
        }
        if matches!(key.kind, Kind::Table | Kind::Tables) {
            return None;
        }
        let expected = key.kind.expected();
        let found = match key.kind {
            Kind::Secret => String::new(),
            _ if !assigned => format!("the \"=\" is missing: {}, ", shortened(line)),
            _ if value.is_empty() => "there is no value, ".to_owned(),
            _ => format!("{}, ", shortened(value)),
        };
        let correction = match key.kind.guess(key.name, value) {
            Some(value) => format!("write: {} = {value}", key.name),
            None => format!("for example: {} = {}", key.name, key.example),
        };
        let place = match known {
            Some(_) => name.to_owned(),
            None => format!("unknown key `{name}`, did you mean `{}`", key.name),
        };
        Some((format!("{place}: {found}{expected}"), Some(correction)))
    }
}
