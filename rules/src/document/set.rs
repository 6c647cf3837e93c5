//! `[[set]]`.

use super::cursor::{Cursor, TextOrTable};
use super::schema::{Key, Kind, Table};
use crate::diagnostic::Reporter;
use crate::policy::Timestamp;
use crate::source::{Span, Written};

/// `[[set]]` as written.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) span: Span,
    pub(crate) name: Option<Written<String>>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) files: Vec<Written<String>>,
}

impl Set {
    pub(crate) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        Self {
            span: table.span,
            name: table.text("name", reporter),
            entries: entries(table, reporter),
            files: table
                .texts("files", reporter)
                .map_or_else(Vec::new, |files| files.value),
        }
    }
}

/// An entry as written.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) cidr: Written<String>,
    pub(crate) expires: Option<Written<Timestamp>>,
}

fn entries(table: Cursor<'_>, reporter: &mut Reporter) -> Vec<Entry> {
    let Some(written) = table.texts_or_tables("entries", reporter) else {
        return Vec::new();
    };
    let entries = written
        .value
        .into_iter()
        .filter_map(|element| match element.value {
            TextOrTable::Table(table) => {
                // A comment is for people; reading it checks its type.
                table.text("comment", reporter);
                let expires = table.moment("expires", reporter);
                table.text("cidr", reporter).map(|cidr| Entry { cidr, expires })
            }
            TextOrTable::Text(value) => Some(Entry {
                cidr: Written {
                    value,
                    span: element.span,
                },
                expires: None,
            }),
        });
    entries.collect()
}

pub(crate) static SET: Table = Table {
    heading: "[[set]]",
    about: "A named list of addresses and prefixes, IPv4 and IPv6 together. Rules and listeners use it as `@name`. A set \
            without a single element is an error: an empty allowlist must never be read by accident.",
    example: "[[set]]\nname = \"partners\"\nentries = [\"198.51.100.0/24\", \"2001:db8:1::/48\"]\n\n\
              [[rule]]\nname = \"partners\"\naction = \"allow\"\nsource = \"@partners\"\n\n\
              [firewall]\nstateful = false\n",
    keys: &[
        Key::required(
            "name",
            Kind::Text,
            "Unique among sets: 1 to 63 characters of `a-z A-Z 0-9 . _ -`, the first a letter or a digit.",
            "name = \"partners\"",
        ),
        Key::optional(
            "entries",
            Kind::TextsOrTables(&ENTRY),
            "none",
            "Addresses, prefixes and ranges `a-b`. A prefix has no host bits set.",
            "entries = [\"198.51.100.0/24\", \"2001:db8:1::/48\"]",
        ),
        Key::optional(
            "files",
            Kind::Texts,
            "none",
            "Files with one address or prefix a line, relative to the file they are named in. What follows `#` or `;` is a \
             comment (the formats of Spamhaus and FireHOL, and plain lists). At most 256 MiB each.",
            "files = [\"partners.txt\"]",
        ),
        Key::later(
            "max_age",
            "leave `max_age` out and watch the age of the file by other means",
        ),
        Key::later(
            "max_change",
            "leave `max_change` out: every readable file with an entry is taken",
        ),
        Key::later(
            "min_prefix",
            "leave `min_prefix` out: entries of every width are taken",
        ),
        Key::later("never_ban", "leave `never_ban` out: there are no bans yet"),
    ],
};

static ENTRY: Table = Table {
    heading: "set.entries",
    about: "An entry written as a table.",
    example: "[[set]]\nname = \"on-call\"\nentries = [{ cidr = \"203.0.113.7/32\", comment = \"VPN change 4711\" }]\n\n\
              [[rule]]\nname = \"on-call\"\naction = \"allow\"\nsource = \"@on-call\"\n\n\
              [firewall]\nstateful = false\n",
    keys: &[
        Key::required(
            "cidr",
            Kind::Text,
            "An address, a prefix or a range `a-b`.",
            "cidr = \"203.0.113.7/32\"",
        ),
        Key::optional(
            "comment",
            Kind::Text,
            "none",
            "For people.",
            "comment = \"VPN change 4711\"",
        ),
        Key::optional(
            "expires",
            Kind::Moment,
            "never",
            "From this second on the entry is not there; nothing has to be reloaded.",
            "expires = 2026-12-31T00:00:00Z",
        ),
    ],
};
