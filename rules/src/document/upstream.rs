//! `[[upstream]]`.

use super::cursor::Cursor;
use super::listener::EXAMPLE;
use super::schema::{Key, Kind, Table, Word};
use super::upstream_terms::{EJECT, Eject, HEALTH, Health};
use super::upstream_tls::{UPSTREAM_TLS, UpstreamTls};
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
    pub(crate) tls: Option<UpstreamTls>,
    pub(crate) health: Option<Health>,
    pub(crate) eject: Option<Eject>,
}

impl Upstream {
    pub(crate) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        let tls = table.table("tls", reporter);
        let health = table.table("health", reporter);
        let eject = table.word_or_table("eject", reporter);
        Self {
            name: table.text("name", reporter),
            servers: table.texts("servers", reporter),
            balance: table.word("balance", reporter),
            proxy_protocol: table.word("proxy_protocol", reporter),
            connect_timeout: table.text("connect_timeout", reporter),
            tls: tls.map(|table| UpstreamTls::read(table, reporter)),
            health: health.map(|table| Health::read(table, reporter)),
            eject: eject.map(|eject| Eject::read(eject, reporter)),
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
                Word::new("v1", "version 1, a line of text with the addresses alone"),
                Word::new("v2", "version 2, with server name, ALPN and TLS version"),
            ]),
            "off",
            "The PROXY protocol header sent before the client's bytes, and before the TLS handshake if there is one: it tells the \
             server who the client is.",
            "proxy_protocol = \"v2\"",
        ),
        Key::optional(
            "connect_timeout",
            Kind::Text,
            "`\"3s\"`",
            "How long reaching a server may take, the TLS handshake with it included. Each server is tried once, so a client waits \
             at most for as many of these as there are servers.",
            "connect_timeout = \"3s\"",
        ),
        Key::optional(
            "tls",
            Kind::Table(&UPSTREAM_TLS),
            "bytes go to the servers unencrypted",
            "How the servers are spoken to over TLS.",
            "tls = { server_name = \"app.internal\", ca = \"internal.pem\" }",
        ),
        Key::optional(
            "health",
            Kind::Table(&HEALTH),
            "nothing is checked",
            "Checks whether the servers can be reached, without waiting for a client. See [upstreams](upstreams.md#health-checks).",
            "health = { every = \"5s\", timeout = \"1s\", rise = 2, fall = 3 }",
        ),
        Key::optional(
            "eject",
            Kind::WordOrTable(
                &[Word::new(
                    "off",
                    "a server that cannot be reached is tried again each time it is its turn",
                )],
                &EJECT,
            ),
            "`{ failures = 5, for = \"10s\" }`",
            "When a server that clients could not be connected to is left out for a while. See [upstreams](upstreams.md#ejection).",
            "eject = { failures = 5, for = \"10s\" }",
        ),
    ],
};
