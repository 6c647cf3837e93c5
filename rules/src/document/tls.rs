//! `[listener.tls]`.

use super::client_auth::{CLIENT_AUTH, ClientAuth};
use super::cursor::Cursor;
use super::listener::EXAMPLE;
use super::schema::{Key, Kind, Table, Word};
use crate::diagnostic::Reporter;
use crate::source::{Span, Written};

/// `[listener.tls]` as written.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) certificates: Option<Written<Vec<Certificate>>>,
    pub(crate) min_version: Option<Written<&'static str>>,
    pub(crate) alpn: Vec<Written<String>>,
    pub(crate) client_auth: Option<ClientAuth>,
}

impl Tls {
    pub(super) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        let certificates = table.tables("certificates", reporter);
        Self {
            certificates: certificates.map(|list| list.map(|table| Certificate::read(table, reporter))),
            min_version: table.word("min_version", reporter),
            alpn: table
                .texts("alpn", reporter)
                .map_or_else(Vec::new, |alpn| alpn.value),
            client_auth: table
                .table("client_auth", reporter)
                .map(|table| ClientAuth::read(table, reporter)),
        }
    }
}

/// One of `certificates` as written.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) span: Span,
    pub(crate) cert: Option<Written<String>>,
    pub(crate) key: Option<Written<String>>,
}

impl Certificate {
    pub(super) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        Self {
            span: table.span,
            cert: table.text("cert", reporter),
            key: table.text("key", reporter),
        }
    }
}

pub(super) static TLS: Table = Table {
    heading: "[listener.tls]",
    about: "How the listener speaks TLS.",
    example: EXAMPLE,
    keys: &[
        Key::required(
            "certificates",
            Kind::Tables(&CERTIFICATE),
            "Certificates with their keys. Each connection gets the one whose names fit.",
            "certificates = [{ cert = \"api.pem\", key = \"api.key\" }]",
        ),
        Key::optional(
            "min_version",
            Kind::Word(&[
                Word::new("1.2", "TLS 1.2 and 1.3"),
                Word::new("1.3", "TLS 1.3 alone"),
            ]),
            "1.2",
            "The lowest version spoken.",
            "min_version = \"1.3\"",
        ),
        Key::optional(
            "alpn",
            Kind::Texts,
            "no ALPN",
            "The application protocols offered, most wanted first.",
            "alpn = [\"h2\", \"http/1.1\"]",
        ),
        Key::optional(
            "client_auth",
            Kind::Table(&CLIENT_AUTH),
            "`{ mode = \"none\" }`",
            "Whether clients show a certificate, and whose are let in.",
            "client_auth = { mode = \"required\", ca = \"clients.pem\" }",
        ),
        Key::later(
            "tickets",
            "leave `tickets` out: the rotation of session tickets cannot be set yet",
        ),
    ],
};

static CERTIFICATE: Table = Table {
    heading: "listener.tls.certificates",
    about: "One certificate. Paths are relative to the file they are written in. A file that is not there is a warning, \
            because a policy may be checked elsewhere than it runs; the edge refuses to start without it.",
    example: EXAMPLE,
    keys: &[
        Key::required(
            "cert",
            Kind::Text,
            "A PEM file: the chain, leaf first.",
            "cert = \"api.pem\"",
        ),
        Key::required(
            "key",
            Kind::Text,
            "A PEM file: the private key.",
            "key = \"api.key\"",
        ),
    ],
};
