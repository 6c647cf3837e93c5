//! What tables and keys the policy language has: one definition for the reader, its messages, and the reference page.
//!
//! Keys that the language will have are here too, marked as later: they get a better message than a misspelt key. Knows
//! no text and no values.

/// A table of the language.
#[derive(Debug)]
pub(crate) struct Table {
    /// As written: `[firewall]`, `[[rule]]`, or what an inline table is for: `rule.limit`.
    pub(crate) heading: &'static str,
    /// What it is for: Markdown for the reference page.
    pub(crate) about: &'static str,
    /// A whole policy that shows the table, for the reference page. It must load.
    pub(crate) example: &'static str,
    /// Its keys, in the order of the reference page.
    pub(crate) keys: &'static [Key],
}

impl Table {
    /// The heading in a sentence: `[firewall]` in code quotes, words as they are.
    pub(crate) fn title(&self) -> String {
        if self.heading.contains(' ') {
            return self.heading.to_owned();
        }
        format!("`{}`", self.heading)
    }

    /// The key of that name.
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// A key of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) need: Need,
    /// What it means: Markdown for the reference page.
    pub(crate) meaning: &'static str,
    /// How it is written, as TOML: `ports = [443, "8000-8100"]`.
    pub(crate) example: &'static str,
    pub(crate) support: Support,
}

/// What a key takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Boolean,
    Integer,
    /// A whole number or a text, or a list of them.
    Scalars,
    Table(&'static Table),
    Tables(&'static Table),
    Text,
    /// A list of texts.
    Texts,
    /// A list of texts or tables.
    TextsOrTables(&'static Table),
    /// A text or a list of texts.
    TextOrTexts,
    /// One of a closed list.
    Word(&'static [Word]),
    /// One of a closed list, or a table.
    WordOrTable(&'static [Word], &'static Table),
    /// A date and a time with its offset from UTC, in whole seconds.
    Moment,
}

impl Kind {
    /// For messages and the reference page: what the key takes.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Boolean => "a boolean",
            Self::Integer => "a whole number",
            Self::Scalars => "a number, a text, or a list of them",
            Self::Table(_) => "a table",
            Self::Tables(_) => "a list of tables",
            Self::Text | Self::Word(_) => "a text",
            Self::WordOrTable(..) => "a text or a table",
            Self::Moment => "a date with a time",
            Self::Texts => "a list of texts",
            Self::TextsOrTables(_) => "a list of texts or tables",
            Self::TextOrTexts => "a text or a list of texts",
        }
    }

    /// The closed list, for the kinds that have one.
    pub(crate) const fn words(self) -> &'static [Word] {
        match self {
            Self::Word(words) | Self::WordOrTable(words, _) => words,
            _ => &[],
        }
    }

    /// The table below, for the kinds that have one.
    pub(crate) const fn table(self) -> Option<&'static Table> {
        match self {
            Self::Table(table)
            | Self::Tables(table)
            | Self::TextsOrTables(table)
            | Self::WordOrTable(_, table) => Some(table),
            _ => None,
        }
    }
}

/// Whether a key may be left out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Need {
    /// With this default, in words or as written.
    Optional(&'static str),
    Required,
}

/// Whether this release does what the key says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Support {
    /// Not yet; the text tells what to write instead.
    Later(&'static str),
    Now,
}

/// A word of a closed list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) support: Support,
}

impl Word {
    /// A word that may be written.
    pub(crate) const fn new(name: &'static str, meaning: &'static str) -> Self {
        Self {
            name,
            meaning,
            support: Support::Now,
        }
    }

    /// A word that this release refuses; `help` tells what to write instead.
    pub(crate) const fn later(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            meaning: "",
            support: Support::Later(help),
        }
    }
}

impl Key {
    /// What it means, as Markdown: the sentence and what each word of a closed list stands for.
    pub(crate) fn explained(&self) -> String {
        let words = self
            .kind
            .words()
            .iter()
            .filter(|word| matches!(word.support, Support::Now));
        let words: Vec<String> = words
            .map(|word| match word.meaning {
                "" => format!("`{}`", word.name),
                meaning => format!("`{}`: {meaning}", word.name),
            })
            .collect();
        let sentence = format!(
            "{}{}",
            self.meaning.get(..1).unwrap_or_default().to_uppercase(),
            self.meaning.get(1..).unwrap_or_default()
        );
        let end = if self.meaning.ends_with('.') { "" } else { "." };
        match words.as_slice() {
            [] => format!("{sentence}{end}"),
            words => format!("{sentence}{end} {}.", words.join("; ")),
        }
    }

    /// A key that has to be there.
    pub(crate) const fn required(
        name: &'static str,
        kind: Kind,
        meaning: &'static str,
        example: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            need: Need::Required,
            meaning,
            example,
            support: Support::Now,
        }
    }

    /// A key that may be left out.
    pub(crate) const fn optional(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        meaning: &'static str,
        example: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            need: Need::Optional(default),
            meaning,
            example,
            support: Support::Now,
        }
    }

    /// A key that this release refuses; `help` tells what to write instead.
    pub(crate) const fn later(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Text,
            need: Need::Optional(""),
            meaning: "",
            example: "",
            support: Support::Later(help),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::document::{ROOT, tables};
    use crate::{Code, Report, load};

    /// What is reported about `key` written as `value` in `table`, which is wrapped into the tables above it.
    fn report(table: &'static Table, line: &str) -> Report {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        fs::write(&path, wrap(&ROOT, table, line).unwrap()).unwrap();
        load(&path).map_or_else(|report| report, |loaded| loaded.warnings)
    }

    fn wrap(from: &'static Table, to: &'static Table, line: &str) -> Option<String> {
        if std::ptr::eq(from, to) {
            return Some(line.to_owned());
        }
        from.keys.iter().find_map(|key| {
            let inner = wrap(key.kind.table()?, to, line)?;
            Some(match key.kind {
                Kind::Table(_) | Kind::WordOrTable(..) => format!("{} = {{ {inner} }}", key.name),
                _ => format!("{} = [{{ {inner} }}]", key.name),
            })
        })
    }

    fn supported() -> impl Iterator<Item = (&'static Table, &'static Key)> {
        let keys = tables(&ROOT)
            .into_iter()
            .flat_map(|table| table.keys.iter().map(move |key| (table, key)));
        keys.filter(|(_, key)| matches!(key.support, Support::Now))
    }

    #[test]
    fn every_key_of_the_schema_is_read() {
        for (table, key) in supported() {
            // No key takes a date without a time: who reads the key must object.
            let report = report(table, &format!("{} = 2026-12-31", key.name));
            let objected = report.diagnostics().iter().any(|diagnostic| {
                diagnostic.code == Code::WrongType && diagnostic.message.contains(&format!("`{}`", key.name))
            });
            assert!(objected, "{} {} is never read", table.heading, key.name);
        }
    }

    #[test]
    fn every_example_of_a_key_has_the_form_the_key_takes() {
        let form = [
            Code::Syntax,
            Code::UnknownKey,
            Code::WrongType,
            Code::NotSupported,
            Code::UnknownWord,
            Code::OutOfRange,
            Code::BadAddress,
            Code::BadDuration,
            Code::BadRate,
        ];
        for (table, key) in supported().filter(|(_, key)| !key.example.starts_with('[')) {
            let report = report(table, key.example);
            let wrong = report
                .diagnostics()
                .iter()
                .find(|diagnostic| form.contains(&diagnostic.code));
            assert!(wrong.is_none(), "{} {}: {wrong:?}", table.heading, key.example);
        }
    }

    #[test]
    fn a_key_is_in_a_table_once_and_says_what_it_means() {
        for table in tables(&ROOT) {
            for (index, key) in table.keys.iter().enumerate() {
                let again = table.keys[..index].iter().any(|other| other.name == key.name);
                assert!(!again, "{} {} twice", table.heading, key.name);
                match key.support {
                    Support::Later(help) => assert!(!help.is_empty(), "{} {}", table.heading, key.name),
                    Support::Now => assert!(!key.meaning.is_empty(), "{} {}", table.heading, key.name),
                }
            }
        }
    }

    #[test]
    fn every_key_that_is_not_supported_yet_is_refused_as_such() {
        let keys = tables(&ROOT)
            .into_iter()
            .flat_map(|table| table.keys.iter().map(move |key| (table, key)));
        for (table, key) in keys.filter(|(_, key)| matches!(key.support, Support::Later(_))) {
            let report = report(table, &format!("{} = 1", key.name));
            let refused = report.diagnostics().iter().any(|diagnostic| {
                diagnostic.code == Code::NotSupported
                    && diagnostic.message.contains(&format!("`{}`", key.name))
            });
            assert!(refused, "{} {}", table.heading, key.name);
        }
    }
}
