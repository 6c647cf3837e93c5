//! `[edge]`.

use super::cursor::Cursor;
use super::schema::{Key, Kind, Table};
use crate::diagnostic::Reporter;
use crate::source::Written;

/// `[edge]` as written.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) drain_timeout: Option<Written<String>>,
}

impl Edge {
    pub(crate) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        Self {
            drain_timeout: table.text("drain_timeout", reporter),
        }
    }
}

pub(crate) static EDGE: Table = Table {
    heading: "[edge]",
    about: "The process that serves all listeners. Main file only.",
    example: "[edge]\ndrain_timeout = \"1m\"\n",
    keys: &[Key::optional(
        "drain_timeout",
        Kind::Text,
        "`\"30s\"`",
        "How long connections may go on when the edge stops, or has handed its listeners to a new process; what is left then is cut.",
        "drain_timeout = \"30s\"",
    )],
};
