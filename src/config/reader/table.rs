//! A table of the configuration. Each setting is taken out of the table once; the settings that
//! remain are unknown. Every problem is collected in the reader, so that one report has all of
//! them.

use std::cell::Cell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue, Error};

use super::schema::{Key, Kind};
use super::{ConfigReader, Correction, Mistake, shortened};

/// A table of the configuration; see the module documentation.
pub(crate) struct ConfigTable<'r, 'a> {
    pub(super) reader: &'r ConfigReader<'a>,
    /// The name of the table; empty for the settings before the first table.
    pub(super) name: &'static str,
    span: Range<usize>,
    table: DeTable<'a>,
    /// True if the table contains a value of a wrong type.
    wrong: Cell<bool>,
}

impl<'a> ConfigReader<'a> {
    /// Parses the text. Returns the readable part as a table, and the syntax errors.
    pub(crate) fn root(&self) -> (ConfigTable<'_, 'a>, Vec<Error>) {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        let root = ConfigTable {
            reader: self,
            name: "",
            span: 0..0,
            table: table.into_inner(),
            wrong: Cell::new(false),
        };
        (root, errors)
    }
}

impl<'r, 'a> ConfigTable<'r, 'a> {
    /// The position of the line that begins the table.
    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Returns true if the table contains a value of a wrong type, or a setting that has not been
    /// taken. Another setting can then be missing only because of its type or of its name.
    pub(crate) fn is_wrong(&self) -> bool {
        self.wrong.get() || !self.table.is_empty()
    }

    /// Returns true if the table contains this setting.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// Returns true if the table contains a setting that belongs to one of `tables`, or an unknown
    /// table.
    pub(crate) fn has_stray(&self, tables: &[&str]) -> bool {
        let stray = |key: &Key, name: &str| key.name == name && tables.contains(&key.table);
        let mut unknown = self.table.iter();
        unknown.any(|(name, value)| {
            let name: &str = name.get_ref();
            let is_stray = self.reader.schema.keys().any(|key| stray(key, name));
            self.known(name).is_none() && (value.get_ref().is_table() || is_stray)
        })
    }

    /// Returns the position of the value of this setting.
    pub(crate) fn span_of(&self, name: &str) -> Option<Range<usize>> {
        self.table.get(name).map(Spanned::span)
    }

    /// Returns true if a single value counts as a list with one text. For some settings, a number
    /// or another single value counts too.
    fn takes(&self, name: &str, single: &DeValue<'a>) -> bool {
        let is_text = self.known(name).is_some_and(|key| key.kind == Kind::Text);
        single.is_str() || is_text && !single.is_table()
    }

    pub(super) fn known(&self, name: &str) -> Option<&'static Key> {
        self.reader.schema.find(self.name, name)
    }

    fn take(&mut self, name: &str) -> Option<Spanned<DeValue<'a>>> {
        let (key, value) = self.table.remove_entry(name)?;
        self.warn_if_header_is_a_comment(name, key.span());
        Some(value)
    }

    /// Takes a text. A number or another single value counts as its text in the file.
    pub(crate) fn text(&mut self, name: &str) -> Option<Spanned<String>> {
        let value = self.take(name)?;
        self.as_text(name, value)
    }

    fn as_text(&self, name: &str, value: Spanned<DeValue<'a>>) -> Option<Spanned<String>> {
        let span = value.span();
        let secret = self.known(name).is_some_and(|key| key.kind == Kind::Secret);
        let text = match value.into_inner() {
            DeValue::String(text) => text.into_owned(),
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
                if !secret =>
            {
                self.reader.text.get(span.clone())?.to_owned()
            }
            other => {
                self.wrong_type(name, span, &other);
                return None;
            }
        };
        Some(Spanned::new(span, text))
    }

    /// Takes a whole number. A number in quotes counts too.
    pub(crate) fn whole(&mut self, name: &str) -> Option<Spanned<i64>> {
        let value = self.take(name)?;
        let span = value.span();
        let number = match value.get_ref() {
            DeValue::Integer(number) => whole(number),
            DeValue::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number {
            Some(number) => Some(Spanned::new(span, number)),
            None => {
                self.wrong_type(name, span, value.get_ref());
                None
            }
        }
    }

    /// Takes a number. A number in quotes counts too.
    pub(crate) fn number(&mut self, name: &str) -> Option<Spanned<f64>> {
        let value = self.take(name)?;
        let span = value.span();
        let number = match value.get_ref() {
            DeValue::Integer(number) => whole(number).map(|number| number as f64),
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number {
            Some(number) => Some(Spanned::new(span, number)),
            None => {
                self.wrong_type(name, span, value.get_ref());
                None
            }
        }
    }

    /// Takes true or false.
    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        let value = self.take(name)?;
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            other => {
                self.wrong_type(name, value.span(), other);
                None
            }
        }
    }

    /// Takes a list of texts. A single text counts as a list of one text.
    pub(crate) fn list(&mut self, name: &str) -> Option<Spanned<Vec<Spanned<String>>>> {
        let value = self.take(name)?;
        let span = value.span();
        let texts = match value.into_inner() {
            DeValue::Array(values) => {
                let mut texts = Vec::with_capacity(values.len());
                let mut complete = true;
                for value in values {
                    match value.get_ref() {
                        DeValue::String(_) => texts.extend(self.as_text(name, value)),
                        other => {
                            self.wrong_type(name, value.span(), other);
                            complete = false;
                        }
                    }
                }
                if !complete {
                    return None;
                }
                texts
            }
            single if self.takes(name, &single) => {
                vec![self.as_text(name, Spanned::new(span.clone(), single))?]
            }
            other => {
                self.wrong_type(name, span, &other);
                return None;
            }
        };
        Some(Spanned::new(span, texts))
    }

    /// Takes a table that occurs once.
    pub(crate) fn table(&mut self, name: &'static str) -> Option<ConfigTable<'r, 'a>> {
        let value = self.take(name)?;
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => Some(self.inner(name, span, table)),
            other => {
                let mut span = span;
                // `[[panel]]` is a list of tables, and its first table has the right position.
                if let DeValue::Array(tables) = &other
                    && let Some(first) = tables.iter().next()
                {
                    span = first.span();
                }
                self.wrong_table(name, span, &other);
                None
            }
        }
    }

    /// Takes the tables of a list.
    pub(crate) fn tables(&mut self, name: &'static str) -> Vec<ConfigTable<'r, 'a>> {
        let Some(value) = self.take(name) else {
            return Vec::new();
        };
        let span = value.span();
        let DeValue::Array(values) = value.into_inner() else {
            self.wrong_table(name, span, &DeValue::Boolean(false));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for value in values {
            let span = value.span();
            match value.into_inner() {
                DeValue::Table(table) => tables.push(self.inner(name, span, table)),
                other => self.wrong_table(name, span, &other),
            }
        }
        tables
    }

    fn inner(
        &self,
        name: &'static str,
        span: Range<usize>,
        table: DeTable<'a>,
    ) -> ConfigTable<'r, 'a> {
        ConfigTable {
            reader: self.reader,
            name,
            span,
            table,
            wrong: Cell::new(false),
        }
    }

    /// Collects an error for a value of another type.
    fn wrong_type(&self, name: &str, span: Range<usize>, value: &DeValue<'a>) {
        self.wrong.set(true);
        let kind = self.known(name).map_or(Kind::Text, |key| key.kind);
        let written = self.reader.text.get(span.clone()).unwrap_or_default();
        let found = match value {
            _ if kind == Kind::Secret => String::new(),
            DeValue::Table(_) => "a table, ".to_owned(),
            _ => format!("{}, ", shortened(written)),
        };
        let reason = format!("{found}{}", kind.expected());
        match kind.guess(name, written).filter(|_| kind != Kind::List) {
            Some(value) => self
                .reader
                .mistake(name, span, Mistake::with(reason, value)),
            None => self.reader.mistake(name, span, reason),
        }
    }

    /// Collects an error for a value in place of a table, or for a table with wrong brackets.
    fn wrong_table(&self, name: &str, span: Range<usize>, value: &DeValue<'a>) {
        let kind = self.known(name).map_or(Kind::Table, |key| key.kind);
        let header = self.reader.schema.header(name);
        let line = shortened(self.reader.line_at(span.start));
        let mut error = self.reader.error(
            Some(span),
            match value {
                DeValue::Table(_) | DeValue::Array(_) => {
                    format!("{name}: {line}, expected {header}")
                }
                _ => format!("{name}: {line}, {}", kind.expected()),
            },
        );
        error.correction = Some(Correction::whole(header));
        self.reader.note(error);
    }

    /// Collects an error for each unknown setting: a setting that no call has taken out of the
    /// table.
    pub(crate) fn finish(self) {
        for (key, value) in &self.table {
            let is_table = match value.get_ref() {
                DeValue::Table(_) => true,
                DeValue::Array(values) => values.iter().any(|value| value.get_ref().is_table()),
                _ => false,
            };
            self.unknown(key.get_ref(), key.span(), is_table);
        }
    }
}

fn whole(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}
