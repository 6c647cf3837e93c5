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
    /// One of a closed list, or a table that is not supported yet.
    WordOrTable(&'static [Word]),
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
            Self::Text | Self::Word(_) | Self::WordOrTable(_) => "a text",
            Self::Texts => "a list of texts",
            Self::TextsOrTables(_) => "a list of texts or tables",
            Self::TextOrTexts => "a text or a list of texts",
        }
    }

    /// The closed list, for the kinds that have one.
    pub(crate) const fn words(self) -> &'static [Word] {
        match self {
            Self::Word(words) | Self::WordOrTable(words) => words,
            _ => &[],
        }
    }

    /// The table below, for the kinds that have one.
    pub(crate) const fn table(self) -> Option<&'static Table> {
        match self {
            Self::Table(table) | Self::Tables(table) | Self::TextsOrTables(table) => Some(table),
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
