//! `health` and `eject` of `[[upstream]]`: when a server is left out.

use super::cursor::{Cursor, WordOrTable};
use super::listener::EXAMPLE;
use super::schema::{Key, Kind, Table};
use crate::diagnostic::Reporter;
use crate::source::Written;

/// `health` as written.
#[derive(Debug)]
pub(crate) struct Health {
    pub(crate) every: Option<Written<String>>,
    pub(crate) timeout: Option<Written<String>>,
    pub(crate) rise: Option<Written<i64>>,
    pub(crate) fall: Option<Written<i64>>,
}

impl Health {
    pub(super) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        Self {
            every: table.text("every", reporter),
            timeout: table.text("timeout", reporter),
            rise: table.integer("rise", reporter),
            fall: table.integer("fall", reporter),
        }
    }
}

/// `eject` as written.
#[derive(Debug)]
pub(crate) enum Eject {
    Off,
    After {
        failures: Option<Written<i64>>,
        /// `for`, which is no name in Rust.
        lasts: Option<Written<String>>,
    },
}

impl Eject {
    pub(super) fn read(written: WordOrTable<'_>, reporter: &mut Reporter) -> Self {
        match written {
            // There is one word.
            WordOrTable::Word(_) => Self::Off,
            WordOrTable::Table(table) => Self::After {
                failures: table.integer("failures", reporter),
                lasts: table.text("for", reporter),
            },
        }
    }
}

pub(super) static HEALTH: Table = Table {
    heading: "upstream.health",
    about: "A check connects to a server, shakes hands if the upstream has `tls`, and closes. A server that is down gets no \
            connection while another is up; when all are down, all are tried, because the checks may be wrong.",
    example: EXAMPLE,
    keys: &[
        Key::optional(
            "every",
            Kind::Text,
            "`\"5s\"`",
            "From one round of checks to the next, `100ms` to `1h`. The first comes at a random moment within it.",
            "every = \"5s\"",
        ),
        Key::optional(
            "timeout",
            Kind::Text,
            "`\"1s\"`, or `every` if that is shorter",
            "A check that takes longer has failed. At most `every`.",
            "timeout = \"1s\"",
        ),
        Key::optional(
            "rise",
            Kind::Integer,
            "`2`",
            "1 to 100: after so many checks in a row that succeed, a server that is down is up.",
            "rise = 2",
        ),
        Key::optional(
            "fall",
            Kind::Integer,
            "`3`",
            "1 to 100: after so many checks in a row that fail, a server that is up is down.",
            "fall = 3",
        ),
    ],
};

pub(super) static EJECT: Table = Table {
    heading: "upstream.eject",
    about: "A server that clients cannot be connected to is left out for a while, unless it is the last one. Then it is tried \
            again: one more failure leaves it out again, a success forgets all of them.",
    example: EXAMPLE,
    keys: &[
        Key::optional(
            "failures",
            Kind::Integer,
            "`5`",
            "1 to 1000: how many attempts in a row have to fail.",
            "failures = 5",
        ),
        Key::optional(
            "for",
            Kind::Text,
            "`\"10s\"`",
            "How long it is left out, at most `1h`.",
            "for = \"10s\"",
        ),
    ],
};
