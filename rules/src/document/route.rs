//! One of `[[listener]] routes`.

use super::cursor::Cursor;
use super::listener::EXAMPLE;
use super::schema::{Key, Kind, Table};
use crate::diagnostic::Reporter;
use crate::source::{Span, Written};

/// One of `routes` as written.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) span: Span,
    pub(crate) sni: Option<Written<String>>,
    pub(crate) upstream: Option<Written<String>>,
    /// `sni` stands there, readable or not: the route is not a catch-all.
    pub(crate) names_a_server: bool,
    pub(crate) passthrough: Option<Written<bool>>,
    /// `client_auth` stands there, sound or not.
    pub(crate) client_auth: Option<Span>,
}

impl Route {
    pub(super) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        Self {
            span: table.span,
            sni: table.text("sni", reporter),
            upstream: table.text("upstream", reporter),
            names_a_server: table.key_span("sni").is_some(),
            passthrough: table.boolean("passthrough", reporter),
            client_auth: table.key_span("client_auth"),
        }
    }
}

pub(super) static ROUTE: Table = Table {
    heading: "listener.routes",
    about: "One route.",
    example: EXAMPLE,
    keys: &[
        Key::optional(
            "sni",
            Kind::Text,
            "every name, and none",
            "A server name, or `*.` and a name: one more label on the left. A route without it fits everything and stands last.",
            "sni = \"*.example.com\"",
        ),
        Key::required(
            "upstream",
            Kind::Text,
            "The name of an `[[upstream]]`.",
            "upstream = \"app\"",
        ),
        Key::optional(
            "passthrough",
            Kind::Boolean,
            "`false`",
            "Whether TLS goes through as it is, for the upstream to end: Ravelin reads the server name and needs no certificate for it.",
            "passthrough = true",
        ),
        Key::later(
            "client_auth",
            "leave `client_auth` out: client certificates are not asked for yet",
        ),
    ],
};
