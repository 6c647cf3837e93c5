//! `listener.tls.tickets`.

use super::cursor::{Cursor, WordOrTable};
use super::listener::EXAMPLE;
use super::schema::{Key, Kind, Table};
use crate::diagnostic::Reporter;
use crate::source::Written;

/// `tickets` as written.
#[derive(Debug)]
pub(crate) enum Tickets {
    /// `tickets = "off"`: the only word there is.
    Off,
    Table {
        rotate: Option<Written<String>>,
        lifetime: Option<Written<String>>,
    },
}

impl Tickets {
    pub(super) fn read(written: WordOrTable<'_>, reporter: &mut Reporter) -> Self {
        match written {
            WordOrTable::Word(_) => Self::Off,
            WordOrTable::Table(table) => Self::from_table(table, reporter),
        }
    }

    fn from_table(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        Self::Table {
            rotate: table.text("rotate", reporter),
            lifetime: table.text("lifetime", reporter),
        }
    }
}

pub(super) static TICKETS: Table = Table {
    heading: "listener.tls.tickets",
    about: "Session tickets: a client that comes back skips most of the handshake. They are sealed with keys that live in memory alone, \
            are kept over reloads while this table stays as it is, and belong to one listener.",
    example: EXAMPLE,
    keys: &[
        Key::optional(
            "rotate",
            Kind::Text,
            "`\"6h\"`",
            "How long one key seals new tickets, at most `6h`.",
            "rotate = \"1h\"",
        ),
        Key::optional(
            "lifetime",
            Kind::Text,
            "`\"12h\"`",
            "How long a key opens tickets before it is erased: from `rotate` to eight times as long, at most `12h`. Twice `rotate` when it is not written, and \
             `rotate` is half of it.",
            "lifetime = \"2h\"",
        ),
    ],
};
