//! Converts the syntax errors of the TOML parser into errors that name the setting, if a setting is
//! known for the line. Removes the errors that are only a result of a syntax error.

use toml::de::Error;

use super::schema::{Kind, nearest};
use super::unknown_key::REMOVE;
use super::{ConfigReader, Correction, LONGEST_NAME, shortened, without_comment};

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
        // True after an error in a list of one line: the parser reads the list on the next lines.
        let mut in_list = false;
        for (position, reason) in found {
            let span = position..position;
            let line = self.line(&span);
            lines.push(line);
            if line >= doubtful || in_list && reason.contains("array") {
                continue;
            }
            let value = self.line_at(position).split_once('=').unwrap_or_default().1;
            in_list = value.trim_start().starts_with('[');
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
    fn wrong_line(&self, position: usize, reason: &str) -> Option<(String, Option<Correction>)> {
        let line = self.line_at(position);
        let invisible = |c: &char| {
            let space = c.is_whitespace() && !c.is_ascii();
            space || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
        };
        if let Some(c) = line.chars().find(invisible) {
            let message = format!(
                "the line contains the invisible character U+{:04X}, expected only ordinary spaces",
                u32::from(c)
            );
            let plain = |c| if invisible(&c) { ' ' } else { c };
            let new: String = line.chars().map(plain).collect();
            // The line of a secret is not repeated.
            let secret = new.contains("_file");
            let new = new.trim();
            let header = self.schema.header_of(new);
            let header = header.is_some_and(|(table, _)| self.schema.header(table) == new);
            let correction = Correction::whole(new.to_owned());
            let correction =
                Some(correction).filter(|_| !secret && (header || !new.starts_with('[')));
            return Some((message, correction));
        }
        let line = line.trim();
        if ["<<<<<<<", "=======", ">>>>>>>"]
            .iter()
            .any(|mark| line.starts_with(mark))
        {
            let message = "this line is the mark of a merge conflict".to_owned();
            let words = "keep one of the two versions, and remove the marks";
            return Some((message, Some(Correction::words(words))));
        }
        if line.starts_with('{') {
            let message = "this is JSON, expected TOML: a line for each setting".to_owned();
            let example = Correction::words("for example: watchlist = [\"SPX\", \"VIX\"]");
            return Some((message, Some(example)));
        }
        if let Some((table, false)) = self.schema.header_of(line) {
            let header = self.schema.header(table);
            if reason.starts_with("duplicate") {
                let message = format!("{header} is a duplicate: this table has a line above");
                let words = "move the settings below the first of the two, and remove this line";
                return Some((message, Some(Correction::words(words))));
            }
            let message = format!("{}, expected {header}", shortened(line));
            return (line != header).then(|| (message, Some(Correction::whole(header))));
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
        let tail = tail(value);
        if tail.is_none() && value.starts_with('[') && !value.ends_with(']')
            || value.starts_with("\"\"\"")
        {
            return None;
        }
        let Some(key) = meant else {
            let correction = Correction::words(REMOVE);
            // A long word can be a secret in the wrong place.
            let message = match name.len() <= LONGEST_NAME {
                true => format!("unknown key `{name}`: {reason}"),
                false => reason.to_owned(),
            };
            return assigned.then_some((message, Some(correction)));
        };
        if reason.starts_with("duplicate") {
            let correction = Correction::words("remove one of the two lines");
            return Some((format!("{name}: {reason}"), Some(correction)));
        }
        if matches!(key.kind, Kind::Table | Kind::Tables) {
            if !value.is_empty() {
                return None;
            }
            let header = self.schema.header(key.name);
            let message = format!("{}, expected {header}", shortened(line));
            return Some((message, Some(Correction::whole(header))));
        }
        if value.contains('\\') && matches!(key.kind, Kind::Text | Kind::Gpio | Kind::Secret) {
            let message = format!(
                "{name}: a \\ between double quotes has a special meaning; write the value between \
                 single quotes, or / in place of \\"
            );
            let bare = value.trim_matches('"');
            let line = (key.kind == Kind::Text && !bare.contains(['\'', '"']))
                .then(|| Correction::whole(format!("{} = '{bare}'", key.name)));
            return Some((
                message,
                line.or_else(|| self.example(name, &(position..position))),
            ));
        }
        if let Some((kept, rest)) = tail.filter(|_| assigned && key.kind != Kind::Secret) {
            let message = format!(
                "{name}: {} follows the value; only a comment with # may follow",
                shortened(rest)
            );
            let line = format!("{} = {kept}", key.name);
            return Some((message, Some(Correction::whole(line))));
        }
        let expected = key.kind.expected();
        let found = match key.kind {
            Kind::Secret => String::new(),
            _ if !assigned => format!("the \"=\" is missing: {}, ", shortened(line)),
            _ if value.is_empty() => "there is no value, ".to_owned(),
            _ => format!("{}, ", shortened(value)),
        };
        let correction = match key.kind.guess(key.name, value) {
            Some(value) => Correction::whole(format!("{} = {value}", key.name)),
            None => Correction::Example(format!("{} = {}", key.name, key.example)),
        };
        let place = match known {
            Some(_) => name.to_owned(),
            None => format!("unknown key `{name}`, did you mean `{}`", key.name),
        };
        Some((format!("{place}: {found}{expected}"), Some(correction)))
    }
}

/// Splits a value from the text after it, if this text cannot be a part of the value: a comment
/// with another mark, or punctuation.
fn tail(value: &str) -> Option<(&str, &str)> {
    let end = match value.chars().next()? {
        '[' => value.rfind(']')? + 1,
        quote @ ('"' | '\'') => value[1..].find(quote)? + 2,
        _ => value.find(|c: char| c.is_whitespace() || c == ';')?,
    };
    let (kept, rest) = (value[..end].trim(), value[end..].trim());
    let comment = ["//", "--", "/*"].iter().any(|mark| rest.starts_with(mark));
    let punctuation = !rest.is_empty() && rest.chars().all(|c| ";,.\"'".contains(c));
    (comment || punctuation).then_some((kept, rest))
}
