//! Reads one TOML table against its schema.
//!
//! Opening a cursor reports unknown, unsupported and missing keys; each reading method reports a value of the wrong type
//! and then answers as if the key were absent, so that one mistake hides no other.

use toml::de::{DeInteger, DeTable, DeValue};

use super::moment;
use super::schema::{Kind, Need, Support, Table, Word};
use crate::diagnostic::{Code, Reporter, closest, list, quote};
use crate::policy::Timestamp;
use crate::source::{Span, Written};

/// A table being read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    schema: &'static Table,
    table: &'a DeTable<'a>,
    /// The table's heading, or its braces.
    pub(crate) span: Span,
}

/// A number or a text.
#[derive(Clone, Debug)]
pub(crate) enum Scalar {
    Integer(i64),
    Text(String),
}

/// A word, or a table in its place.
pub(crate) enum WordOrTable<'a> {
    Table(Cursor<'a>),
    Word(Written<&'static str>),
}

/// A text, or a table in its place.
pub(crate) enum TextOrTable<'a> {
    Table(Cursor<'a>),
    Text(String),
}

impl<'a> Cursor<'a> {
    /// Starts reading `table`.
    pub(crate) fn open(
        schema: &'static Table,
        table: &'a DeTable<'a>,
        span: Span,
        reporter: &mut Reporter,
    ) -> Self {
        let cursor = Self { schema, table, span };
        cursor.report_keys(reporter);
        cursor.report_missing(reporter);
        cursor
    }

    /// Where the key stands, if it does.
    pub(crate) fn key_span(&self, key: &str) -> Option<Span> {
        self.table
            .iter()
            .find(|(name, _)| name.get_ref() == key)
            .map(|(name, _)| self.span.file.span(name.span()))
    }

    /// The key's text as it stands there, unchecked and without a report: for questions beside the reading.
    pub(crate) fn raw_text(&self, key: &str) -> Option<&'a str> {
        match self.table.get(key)?.get_ref() {
            DeValue::String(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn boolean(&self, key: &str, reporter: &mut Reporter) -> Option<Written<bool>> {
        let (value, span) = self.value(key)?;
        let DeValue::Boolean(value) = value else {
            self.wrong_type(key, value, span, reporter);
            return None;
        };
        Some(Written { value: *value, span })
    }

    pub(crate) fn integer(&self, key: &str, reporter: &mut Reporter) -> Option<Written<i64>> {
        let (value, span) = self.value(key)?;
        let DeValue::Integer(value) = value else {
            self.wrong_type(key, value, span, reporter);
            return None;
        };
        Some(Written {
            value: integer(value),
            span,
        })
    }

    pub(crate) fn text(&self, key: &str, reporter: &mut Reporter) -> Option<Written<String>> {
        let (value, span) = self.value(key)?;
        let DeValue::String(value) = value else {
            self.wrong_type(key, value, span, reporter);
            return None;
        };
        Some(Written {
            value: value.to_string(),
            span,
        })
    }

    /// One of the words that the schema lists for the key.
    pub(crate) fn word(&self, key: &str, reporter: &mut Reporter) -> Option<Written<&'static str>> {
        let schema = self.schema.key(key)?;
        let words = schema.kind.words();
        let (_, span) = self.value(key)?;
        let written = self.text(key, reporter)?;
        let Some(word) = words.iter().find(|word| word.name == written.value) else {
            let message = format!("`{key}` has no word {}", quote(&written.value));
            let help = match closest(&written.value, words.iter().map(name)) {
                Some(word) => format!(
                    "did you mean `{word}`? allowed: {}",
                    list(words.iter().filter(now).map(name))
                ),
                None => allowed(words.iter().filter(now).map(name)),
            };
            reporter.report(Code::UnknownWord, span, message, help);
            return None;
        };
        if let Support::Later(help) = word.support {
            let message = format!("`{key} = \"{}\"` is not supported yet", word.name);
            reporter.report(Code::NotSupported, span, message, help);
            return None;
        }
        Some(Written {
            value: word.name,
            span,
        })
    }

    /// One of the words that the schema lists for the key, or a table in their place.
    pub(crate) fn word_or_table(&self, key: &str, reporter: &mut Reporter) -> Option<WordOrTable<'a>> {
        match self.value(key)? {
            (DeValue::Table(_), _) => self.table(key, reporter).map(WordOrTable::Table),
            _ => self.word(key, reporter).map(WordOrTable::Word),
        }
    }

    /// A moment: a date and a time with its offset from UTC, after 1970, in whole seconds.
    pub(crate) fn moment(&self, key: &str, reporter: &mut Reporter) -> Option<Written<Timestamp>> {
        let (value, span) = self.value(key)?;
        let DeValue::Datetime(written) = value else {
            self.wrong_type(key, value, span, reporter);
            return None;
        };
        if written.date.is_none() || written.time.is_none() {
            self.wrong_type(key, value, span, reporter);
            return None;
        }
        match moment::read(written) {
            Ok(value) => Some(Written { value, span }),
            Err(error) => {
                let message = format!("`{key} = {written}` {}", error.message());
                reporter.report(Code::BadMoment, span, message, error.help(written));
                None
            }
        }
    }

    /// A list of texts; one text is a list of one where the schema says so.
    pub(crate) fn texts(&self, key: &str, reporter: &mut Reporter) -> Option<Written<Vec<Written<String>>>> {
        let single = matches!(self.schema.key(key)?.kind, Kind::TextOrTexts);
        self.elements(key, single, reporter, |value, _, _| match value {
            DeValue::String(text) => Some(text.to_string()),
            _ => None,
        })
    }

    /// A number or a text, or a list of them.
    pub(crate) fn scalars(
        &self,
        key: &str,
        reporter: &mut Reporter,
    ) -> Option<Written<Vec<Written<Scalar>>>> {
        self.elements(key, true, reporter, |value, _, _| match value {
            DeValue::String(text) => Some(Scalar::Text(text.to_string())),
            DeValue::Integer(number) => Some(Scalar::Integer(integer(number))),
            _ => None,
        })
    }

    /// A list of texts or tables.
    pub(crate) fn texts_or_tables(
        &self,
        key: &str,
        reporter: &mut Reporter,
    ) -> Option<Written<Vec<Written<TextOrTable<'a>>>>> {
        let schema = self.schema.key(key)?.kind.table()?;
        self.elements(key, false, reporter, |value, span, reporter| match value {
            DeValue::String(text) => Some(TextOrTable::Text(text.to_string())),
            DeValue::Table(table) => Some(TextOrTable::Table(Self::open(schema, table, span, reporter))),
            _ => None,
        })
    }

    pub(crate) fn table(&self, key: &str, reporter: &mut Reporter) -> Option<Self> {
        let schema = self.schema.key(key)?.kind.table()?;
        let (value, span) = self.value(key)?;
        let DeValue::Table(table) = value else {
            self.wrong_type(key, value, span, reporter);
            return None;
        };
        Some(Self::open(schema, table, span, reporter))
    }

    /// The tables of `[[key]]`, or of a list of inline tables.
    pub(crate) fn tables(&self, key: &str, reporter: &mut Reporter) -> Option<Written<Vec<Self>>> {
        let schema = self.schema.key(key)?.kind.table()?;
        let tables = self.elements(key, false, reporter, |value, span, reporter| match value {
            DeValue::Table(table) => Some(Self::open(schema, table, span, reporter)),
            _ => None,
        })?;
        Some(tables.map(|table| table.value))
    }

    /// The key's value. Keys that are not supported yet are never asked for: `open` has refused them.
    fn value(&self, key: &str) -> Option<(&'a DeValue<'a>, Span)> {
        debug_assert!(
            self.schema.key(key).is_some(),
            "{}: no key {key}",
            self.schema.heading
        );
        let value = self.table.get(key)?;
        Some((value.get_ref(), self.span.file.span(value.span())))
    }

    fn elements<T>(
        &self,
        key: &str,
        single: bool,
        reporter: &mut Reporter,
        read: impl Fn(&'a DeValue<'a>, Span, &mut Reporter) -> Option<T>,
    ) -> Option<Written<Vec<Written<T>>>> {
        let (value, span) = self.value(key)?;
        let mut elements = Vec::new();
        let mut element = |value, span, reporter: &mut Reporter| match read(value, span, reporter) {
            Some(value) => elements.push(Written { value, span }),
            None => self.wrong_type(key, value, span, reporter),
        };
        let empty = match value {
            DeValue::Array(array) => {
                for value in array.iter() {
                    element(value.get_ref(), self.span.file.span(value.span()), reporter);
                }
                array.is_empty()
            }
            one if single => {
                element(one, span, reporter);
                false
            }
            other => {
                self.wrong_type(key, other, span, reporter);
                return None;
            }
        };
        // A list of nothing but faulty elements is not an empty list.
        (empty || !elements.is_empty()).then_some(Written {
            value: elements,
            span,
        })
    }

    fn report_keys(&self, reporter: &mut Reporter) {
        let title = self.schema.title();
        for (key, _) in self.table.iter() {
            let span = self.span.file.span(key.span());
            match self.schema.key(key.get_ref()).map(|key| key.support) {
                Some(Support::Now) => {}
                Some(Support::Later(help)) => {
                    let message = format!("`{}` in {title} is not supported yet", key.get_ref());
                    reporter.report(Code::NotSupported, span, message, help);
                }
                None if reporter.skip(Code::UnknownKey) => {}
                None => {
                    let message = format!("{title} has no key {}", quote(key.get_ref()));
                    reporter.report(Code::UnknownKey, span, message, self.allowed_keys(key.get_ref()));
                }
            }
        }
    }

    fn report_missing(&self, reporter: &mut Reporter) {
        for key in self.schema.keys {
            let missing = matches!(key.need, Need::Required) && !self.table.contains_key(key.name);
            if missing {
                let message = format!("{} has no `{}`", self.schema.title(), key.name);
                let help = format!("add it, for example `{}`", key.example);
                reporter.report(Code::MissingKey, self.span, message, help);
            }
        }
    }

    fn allowed_keys(&self, written: &str) -> String {
        let keys = self.schema.keys;
        let supported = keys.iter().filter(|key| matches!(key.support, Support::Now));
        let allowed = list(supported.map(|key| key.name));
        match closest(written, keys.iter().map(|key| key.name)) {
            Some(key) => format!("did you mean `{key}`? allowed: {allowed}"),
            None => format!("take it out; allowed: {allowed}"),
        }
    }

    fn wrong_type(&self, key: &str, found: &DeValue<'_>, span: Span, reporter: &mut Reporter) {
        if reporter.skip(Code::WrongType) {
            return;
        }
        let Some(schema) = self.schema.key(key) else {
            return;
        };
        let message = format!(
            "`{key}` takes {}, found {}",
            schema.kind.describe(),
            describe(found)
        );
        let help = match schema.kind.words().iter().find(now) {
            Some(word) => format!("write it like `{key} = \"{}\"`", word.name),
            None => format!("write it like `{}`", schema.example),
        };
        reporter.report(Code::WrongType, span, message, help);
    }
}

/// The number, or the nearest one that fits: every range check refuses both ends.
fn integer(number: &DeInteger<'_>) -> i64 {
    i64::from_str_radix(number.as_str(), number.radix()).unwrap_or_else(|_| {
        if number.as_str().starts_with('-') {
            i64::MIN
        } else {
            i64::MAX
        }
    })
}

fn describe(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::Array(_) => "a list",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Integer(_) => "a whole number",
        DeValue::String(_) => "a text",
        DeValue::Table(_) => "a table",
    }
}

fn allowed<'w>(words: impl Iterator<Item = &'w str>) -> String {
    format!("write {}", list(words))
}

fn name(word: &Word) -> &'static str {
    word.name
}

fn now(word: &&Word) -> bool {
    matches!(word.support, Support::Now)
}
