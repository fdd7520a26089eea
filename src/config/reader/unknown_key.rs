//! The errors about unknown settings. The text names the setting or the table that was probably
//! meant. This module never reads a value.

use std::ops::Range;

use super::schema::{Key, Kind, nearest};
use super::table::ConfigTable;
use super::{Correction, LONGEST_NAME, shortened};

/// The remedy for a line that has no meaning.
pub(super) const REMOVE: &str = "remove this line, or write a # before it";

impl ConfigTable<'_, '_> {
    /// Collects an error for a setting that this table does not have.
    pub(super) fn unknown(&self, name: &str, span: Range<usize>, is_table: bool) {
        let reader = self.reader;
        let schema = reader.schema;
        let what = match is_table {
            _ if name.len() > LONGEST_NAME => "…".to_owned(),
            true => format!("[{}]", shortened(name)),
            false => format!("`{}`", shortened(name)),
        };
        let secret_file = format!("{name}_file");
        let (message, correction) = if self.is_secret(&secret_file) {
            let message = format!("unknown key {what}: the {name} is in a file of its own");
            (message, reader.example(&secret_file, &span))
        } else if let Some(other) = self.other_table(name, &span) {
            let (place, remedy) = self.place_of(other);
            let correction = match self.comment_header(&span, other) {
                Some(number) => {
                    format!("line {number} still has its #; write in line {number}: {place}")
                }
                None => remedy,
            };
            let correction = Correction::Words(correction);
            (format!("{what} belongs to {place}"), Some(correction))
        } else if let Some(meant) = nearest(name, schema.names(self.name, is_table)) {
            match is_table {
                true => (
                    format!(
                        "unknown table {what}, did you mean {}",
                        schema.header(meant)
                    ),
                    Some(Correction::whole(schema.header(meant))),
                ),
                false => (
                    format!("unknown key {what}, did you mean `{meant}`"),
                    reader
                        .replaced(&span, meant)
                        .filter(|_| !self.is_secret(meant)),
                ),
            }
        } else if let Some(known) = self.similar_elsewhere(name, is_table) {
            let (place, remedy) = self.place_of(known.table);
            let message = format!(
                "unknown key {what}, did you mean `{}` of {place}",
                known.name
            );
            (message, Some(Correction::Words(remedy)))
        } else {
            let known: Vec<&str> = schema.names(self.name, is_table).collect();
            let message = match is_table {
                true => format!(
                    "unknown table {what}, expected one of: {}",
                    known.join(", ")
                ),
                false => format!("unknown key {what}, expected one of: {}", known.join(", ")),
            };
            (message, Some(Correction::words(REMOVE)))
        };
        let mut error = reader.error(Some(span), message);
        error.correction = correction;
        reader.note(error);
    }

    /// Returns the name of a place in the file, and how to move a line to it.
    fn place_of(&self, table: &str) -> (String, String) {
        if table.is_empty() {
            let remedy = "move this line above the first line in brackets";
            return ("the top of the file".to_owned(), remedy.to_owned());
        }
        let header = self.reader.schema.header(table);
        let remedy = format!("move this line below a line {header}");
        (header, remedy)
    }

    fn is_secret(&self, name: &str) -> bool {
        self.known(name).is_some_and(|key| key.kind == Kind::Secret)
    }

    /// Returns another table that has a setting of this name. A table whose first line is a comment
    /// above the setting comes first.
    fn other_table(&self, name: &str, span: &Range<usize>) -> Option<&'static str> {
        let keys = self.reader.schema.keys();
        let tables = keys.filter(|key| key.name == name && key.table != self.name);
        let tables: Vec<&str> = tables.map(|key| key.table).collect();
        let mut near = tables.iter().copied();
        near.find(|table| self.comment_header(span, table).is_some())
            .or(tables.first().copied())
    }

    fn similar_elsewhere(&self, name: &str, is_table: bool) -> Option<&'static Key> {
        let keys = || {
            let keys = self.reader.schema.keys();
            keys.filter(|key| key.table != self.name)
        };
        let meant = nearest(name, keys().map(|key| key.name)).filter(|_| !is_table)?;
        keys().find(|key| key.name == meant)
    }

    /// Returns the line number of the last header above the position, if that header is a comment
    /// and names `table`. A header is the line that begins a table.
    fn comment_header(&self, span: &Range<usize>, table: &str) -> Option<usize> {
        let schema = self.reader.schema;
        let before = self.reader.text.get(..span.start)?;
        let lines: Vec<&str> = before.lines().collect();
        let mut headers = lines.iter().enumerate().rev();
        let found = headers.find_map(|(number, line)| {
            let (name, comment) = schema.header_of(line)?;
            Some((number + 1, name, comment))
        });
        let (number, name, comment) = found?;
        (comment && name == table && self.name != table).then_some(number)
    }

    /// Warns if a setting was probably meant for another table: the header of that table stands
    /// above the setting, but is still a comment.
    pub(super) fn warn_if_header_is_a_comment(&self, name: &str, span: Range<usize>) {
        let others = self.reader.schema.keys();
        let others = others.filter(|key| key.name == name && key.table != self.name);
        for other in others {
            if let Some(number) = self.comment_header(&span, other.table) {
                let schema = self.reader.schema;
                let (here, there) = (schema.header(self.name), schema.header(other.table));
                self.reader.warn(
                    &span,
                    format!(
                        "`{name}` is a setting of {here} here, because line {number} still has its \
                         #; if it belongs to {there}, write in line {number}: {there}"
                    ),
                );
            }
        }
    }
}
