//! `[listener.tls]`.

use super::client_auth::{CLIENT_AUTH, ClientAuth};
use super::cursor::Cursor;
use super::listener::EXAMPLE;
use super::schema::{Key, Kind, Table, Word};
use super::tickets::{TICKETS, Tickets};
use crate::diagnostic::Reporter;
use crate::source::{Span, Written};

/// `[listener.tls]` as written.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) certificates: Option<Written<Vec<Certificate>>>,
    pub(crate) min_version: Option<Written<&'static str>>,
    pub(crate) alpn: Vec<Written<String>>,
    pub(crate) client_auth: Option<ClientAuth>,
    pub(crate) tickets: Option<Tickets>,
    pub(crate) strict_permissions: Option<Written<bool>>,
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
            tickets: table
                .word_or_table("tickets", reporter)
                .map(|tickets| Tickets::read(tickets, reporter)),
            strict_permissions: table.boolean("strict_permissions", reporter),
        }
    }
}

/// One of `certificates` as written.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) span: Span,
    pub(crate) cert: Option<Written<String>>,
    pub(crate) key: Option<Written<String>>,
    pub(crate) ocsp: Option<Written<String>>,
}

impl Certificate {
    pub(super) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        Self {
            span: table.span,
            cert: table.text("cert", reporter),
            key: table.text("key", reporter),
            ocsp: table.text("ocsp", reporter),
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
        Key::optional(
            "tickets",
            Kind::WordOrTable(
                &[Word::new("off", "every connection makes a whole handshake")],
                &TICKETS,
            ),
            "`{ rotate = \"6h\", lifetime = \"12h\" }`",
            "Session tickets, with which clients come back sooner.",
            "tickets = { rotate = \"1h\", lifetime = \"2h\" }",
        ),
        Key::optional(
            "strict_permissions",
            Kind::Boolean,
            "true",
            "Whether a private key that every user of the host can read, or that its group can change, is refused. Owner and group may read \
             (`chmod 640`), so that the edge's own user can. With `false` it is a warning.",
            "strict_permissions = false",
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
        Key::optional(
            "ocsp",
            Kind::Text,
            "no OCSP",
            "A DER file: the OCSP response of the issuer for this certificate, sent to clients that ask (stapling). While it is absent, of another \
             certificate, or too old, the certificate is served without; that is a warning, not an error.",
            "ocsp = \"api.ocsp\"",
        ),
    ],
};
