//! `tls` of `[[upstream]]`.

use super::cursor::Cursor;
use super::listener::EXAMPLE;
use super::schema::{Key, Kind, Table};
use crate::diagnostic::Reporter;
use crate::source::{Span, Written};

/// `tls` as written.
#[derive(Debug)]
pub(crate) struct UpstreamTls {
    pub(crate) span: Span,
    pub(crate) server_name: Option<Written<String>>,
    pub(crate) ca: Option<Written<String>>,
    pub(crate) cert: Option<Written<String>>,
    pub(crate) key: Option<Written<String>>,
    pub(crate) alpn: Option<Vec<Written<String>>>,
}

impl UpstreamTls {
    pub(super) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        Self {
            span: table.span,
            server_name: table.text("server_name", reporter),
            ca: table.text("ca", reporter),
            cert: table.text("cert", reporter),
            key: table.text("key", reporter),
            alpn: table.texts("alpn", reporter).map(|alpn| alpn.value),
        }
    }
}

pub(super) static UPSTREAM_TLS: Table = Table {
    heading: "upstream.tls",
    about: "TLS 1.2 and 1.3 to the servers. There is no way to leave the verification out: a server whose certificate does not \
            hold gets no byte. Paths are relative to the file they are written in, and the files are read again when they change.",
    example: EXAMPLE,
    keys: &[
        Key::required(
            "server_name",
            Kind::Text,
            "The DNS name that the servers' certificates must hold, sent as SNI; or an address that they hold, which is not sent.",
            "server_name = \"app.internal\"",
        ),
        Key::required(
            "ca",
            Kind::Text,
            "A PEM file: the certificates of the authorities that may vouch for the servers. Those of the system are never trusted.",
            "ca = \"internal.pem\"",
        ),
        Key::optional(
            "cert",
            Kind::Text,
            "no certificate is shown",
            "A PEM file: the chain shown to servers that ask for a client certificate, leaf first. With `key`.",
            "cert = \"edge.pem\"",
        ),
        Key::optional(
            "key",
            Kind::Text,
            "none",
            "A PEM file: the private key of `cert`.",
            "key = \"edge.key\"",
        ),
        Key::optional(
            "alpn",
            Kind::Texts,
            "what the client and the listener agreed on",
            "The application protocols offered to the servers, most wanted first. Bytes are relayed as they are: name something only \
             where the clients' protocol is not negotiated.",
            "alpn = [\"http/1.1\"]",
        ),
    ],
};
