//! One of `[[listener]] routes`.

use super::client_auth::CLIENT_AUTH_WORDS;
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
    pub(crate) client_auth: Option<Written<&'static str>>,
    /// `sni` stands there, readable or not: the route is not a catch-all.
    pub(crate) names_a_server: bool,
    pub(crate) passthrough: Option<Written<bool>>,
}

impl Route {
    pub(super) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        Self {
            span: table.span,
            sni: table.text("sni", reporter),
            upstream: table.text("upstream", reporter),
            client_auth: table.word("client_auth", reporter),
            names_a_server: table.key_span("sni").is_some(),
            passthrough: table.boolean("passthrough", reporter),
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
        Key::optional(
            "client_auth",
            Kind::Word(CLIENT_AUTH_WORDS),
            "the `mode` of `[listener.tls] client_auth`",
            "Whether the clients of this route show a certificate.",
            "client_auth = \"required\"",
        ),
    ],
};
