//! `[[upstream]]`.

use super::cursor::Cursor;
use super::listener::EXAMPLE;
use super::schema::{Key, Kind, Table, Word};
use crate::diagnostic::Reporter;
use crate::source::Written;

/// `[[upstream]]` as written.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) name: Option<Written<String>>,
    pub(crate) servers: Option<Written<Vec<Written<String>>>>,
    pub(crate) balance: Option<Written<&'static str>>,
    pub(crate) proxy_protocol: Option<Written<&'static str>>,
    pub(crate) connect_timeout: Option<Written<String>>,
}

impl Upstream {
    pub(crate) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        Self {
            name: table.text("name", reporter),
            servers: table.texts("servers", reporter),
            balance: table.word("balance", reporter),
            proxy_protocol: table.word("proxy_protocol", reporter),
            connect_timeout: table.text("connect_timeout", reporter),
        }
    }
}

pub(crate) static UPSTREAM: Table = Table {
    heading: "[[upstream]]",
    about: "Where connections are relayed to.",
    example: EXAMPLE,
    keys: &[
        Key::required(
            "name",
            Kind::Text,
            "Unique among upstreams; the label in metrics: 1 to 63 characters of `a-z A-Z 0-9 . _ -`, the first a letter or \
             a digit.",
            "name = \"app\"",
        ),
        Key::required(
            "servers",
            Kind::TextOrTexts,
            "Addresses with ports. Names are not supported yet.",
            "servers = [\"127.0.0.1:8080\", \"[2001:db8::8]:8080\"]",
        ),
        Key::optional(
            "balance",
            Kind::Word(&[
                Word::new("round-robin", "one after the other"),
                Word::new("least-connections", "the one with the fewest open connections"),
            ]),
            "round-robin",
            "How a server is chosen.",
            "balance = \"least-connections\"",
        ),
        Key::optional(
            "proxy_protocol",
            Kind::Word(&[
                Word::new("off", "none"),
                Word::new("v2", "version 2, with server name, ALPN and TLS version"),
                Word::later("v1", "write `proxy_protocol = \"v2\"` or `\"off\"`"),
            ]),
            "off",
            "The PROXY protocol header sent before the client's bytes: it tells the server who the client is.",
            "proxy_protocol = \"v2\"",
        ),
        Key::optional(
            "connect_timeout",
            Kind::Text,
            "`\"3s\"`",
            "How long connecting to a server may take.",
            "connect_timeout = \"3s\"",
        ),
        Key::later(
            "tls",
            "leave `tls` out: bytes go to the upstream unencrypted, so keep it on this host or a trusted network",
        ),
        Key::later(
            "health",
            "leave `health` out: a server that refuses a connection is seen when it does",
        ),
    ],
};
