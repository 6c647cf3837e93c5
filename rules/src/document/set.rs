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
    pub(crate) max_age: Option<Written<String>>,
    pub(crate) min_prefix: Option<MinPrefix>,
    pub(crate) max_change: Option<Written<String>>,
}

/// `min_prefix` as written.
#[derive(Debug)]
pub(crate) struct MinPrefix {
    pub(crate) v4: Option<Written<i64>>,
    pub(crate) v6: Option<Written<i64>>,
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
            max_age: table.text("max_age", reporter),
            min_prefix: table.table("min_prefix", reporter).map(|table| MinPrefix {
                v4: table.integer("v4", reporter),
                v6: table.integer("v6", reporter),
            }),
            max_change: table.text("max_change", reporter),
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
              [[rule]]\nname = \"partners\"\naction = \"allow\"\nsource = \"@partners\"\n",
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
            "Files of addresses, prefixes and ranges, relative to the file they are named in; what they are is seen from their first \
             character. Text: one entry a line, what follows `#` or `;` is a comment (plain lists, Spamhaus, FireHOL, Cloudflare). \
             JSON: the lists that AWS, Google, Cloudflare and Spamhaus publish. At most 256 MiB each.",
            "files = [\"partners.txt\"]",
        ),
        Key::optional(
            "max_age",
            Kind::Text,
            "no bound",
            "A file that was last written longer ago is reported; the set stays as it is. A duration: `26h`, `7d`.",
            "max_age = \"26h\"",
        ),
        Key::optional(
            "min_prefix",
            Kind::Table(&MIN_PREFIX),
            "no bound",
            "An entry wider than this is an error: a feed that lists half the internet is a mistake.",
            "min_prefix = { v4 = 8, v6 = 19 }",
        ),
        Key::optional(
            "max_change",
            Kind::Text,
            "no bound",
            "An update of the files that shrinks or grows the set by more than this part of what the filter last took is not taken: the set \
             keeps the last good copy of its files, with a warning, and the rest of the policy is applied. Counted in entries, after \
             duplicates and overlaps are merged. `1%` to `1000%`.",
            "max_change = \"30%\"",
        ),
    ],
};

static MIN_PREFIX: Table = Table {
    heading: "set.min_prefix",
    about: "The shortest prefix lengths that the entries of a set may have.",
    example: "[[set]]\nname = \"blocklist\"\nentries = [\"198.51.100.0/24\"]\nmin_prefix = { v4 = 8, v6 = 19 }\n\n\
              [[rule]]\nname = \"drop\"\naction = \"deny\"\nsource = \"@blocklist\"\n",
    keys: &[
        Key::optional(
            "v4",
            Kind::Integer,
            "0",
            "The shortest length of an IPv4 prefix, 0 to 32.",
            "v4 = 8",
        ),
        Key::optional(
            "v6",
            Kind::Integer,
            "0",
            "The shortest length of an IPv6 prefix, 0 to 128.",
            "v6 = 19",
        ),
    ],
};

/// `[never_ban]` as written.
#[derive(Debug)]
pub(crate) struct NeverBan {
    pub(crate) entries: Option<Written<Vec<Written<String>>>>,
}

impl NeverBan {
    pub(crate) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        Self {
            entries: table.texts("entries", reporter),
        }
    }
}

pub(crate) static NEVER_BAN: Table = Table {
    heading: "[never_ban]",
    about: "Addresses that no feed can ever cover: what the files of a set contribute to a rule with the action `deny` never covers one \
            of them. What is written inline is taken as written. Main file only.",
    example: "[never_ban]\nentries = [\"192.0.2.10\"]\n",
    keys: &[Key::required(
        "entries",
        Kind::Texts,
        "Addresses, prefixes, ranges `a-b`, and `@set`.",
        "entries = [\"192.0.2.10\", \"@on-call\"]",
    )],
};

static ENTRY: Table = Table {
    heading: "set.entries",
    about: "An entry written as a table.",
    example: "[[set]]\nname = \"on-call\"\nentries = [{ cidr = \"203.0.113.7/32\", comment = \"VPN change 4711\" }]\n\n\
              [[rule]]\nname = \"on-call\"\naction = \"allow\"\nsource = \"@on-call\"\n",
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
