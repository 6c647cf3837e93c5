//! `[listener.tls] client_auth`.

use super::cursor::Cursor;
use super::listener::EXAMPLE;
use super::schema::{Key, Kind, Table, Word};
use crate::diagnostic::Reporter;
use crate::source::{Span, Written};

/// `client_auth` as written.
#[derive(Debug)]
pub(crate) struct ClientAuth {
    pub(crate) span: Span,
    pub(crate) mode: Option<Written<&'static str>>,
    pub(crate) ca: Option<Written<String>>,
    pub(crate) crl: Option<Written<Vec<Written<String>>>>,
    pub(crate) crl_policy: Option<Written<&'static str>>,
    pub(crate) allow_dns: Option<Written<Vec<Written<String>>>>,
    pub(crate) allow_uri: Option<Written<Vec<Written<String>>>>,
    pub(crate) allow_cn: Option<Written<Vec<Written<String>>>>,
    pub(crate) allow_spki: Option<Written<Vec<Written<String>>>>,
    /// `ca` stands there, readable or not.
    pub(crate) names_a_ca: bool,
}

impl ClientAuth {
    pub(super) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        Self {
            span: table.span,
            mode: table.word("mode", reporter),
            ca: table.text("ca", reporter),
            crl: table.texts("crl", reporter),
            crl_policy: table.word("crl_policy", reporter),
            allow_dns: table.texts("allow_dns", reporter),
            allow_uri: table.texts("allow_uri", reporter),
            allow_cn: table.texts("allow_cn", reporter),
            allow_spki: table.texts("allow_spki", reporter),
            names_a_ca: table.key_span("ca").is_some(),
        }
    }
}

pub(super) static CLIENT_AUTH: Table = Table {
    heading: "listener.tls.client_auth",
    about: "Client certificates: who is asked for one, whose are trusted, and which of those are let in. The `allow` lists add up: a \
            certificate that one of them names is let in. Without any, every certificate that `ca` vouches for is.",
    example: EXAMPLE,
    keys: &[
        Key::required(
            "mode",
            Kind::Word(CLIENT_AUTH_WORDS),
            "Whether clients show a certificate. A route may say otherwise for its connections.",
            "mode = \"required\"",
        ),
        Key::optional(
            "ca",
            Kind::Text,
            "none; needed where clients are asked",
            "A PEM file: the certificates of the authorities that vouch for clients, with those of their intermediates that issue CRLs.",
            "ca = \"clients.pem\"",
        ),
        Key::optional(
            "crl",
            Kind::TextOrTexts,
            "none; nothing is revoked",
            "PEM files: the revocation lists of these authorities. With one, every certificate of a chain but the root is looked up.",
            "crl = [\"clients.crl\"]",
        ),
        Key::optional(
            "crl_policy",
            Kind::Word(&[
                Word::new(
                    "strict",
                    "a certificate that no list speaks about, or only one past its `nextUpdate`, is refused",
                ),
                Word::new("soft", "it is let in and counted; a revoked certificate never is"),
            ]),
            "strict",
            "What becomes of clients while the revocation lists are missing or old.",
            "crl_policy = \"strict\"",
        ),
        Key::optional(
            "allow_dns",
            Kind::Texts,
            "none",
            "DNS names in the certificate. `*` stands for a label, or for a part of one.",
            "allow_dns = [\"*.clients.example.com\"]",
        ),
        Key::optional(
            "allow_uri",
            Kind::Texts,
            "none",
            "URIs in the certificate, as SPIFFE writes them. `*` stands for one segment of the path, `**` at the end for the rest.",
            "allow_uri = [\"spiffe://acme/billing/*\"]",
        ),
        Key::optional(
            "allow_cn",
            Kind::Texts,
            "none",
            "Common names. `*` stands for a run without a dot.",
            "allow_cn = [\"billing\"]",
        ),
        Key::optional(
            "allow_spki",
            Kind::Texts,
            "none",
            "SHA-256 of the public key (SubjectPublicKeyInfo), as `sha256/` with base64 or `sha256:` with hexadecimal digits.",
            "allow_spki = [\"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"]",
        ),
    ],
};

/// Shared with routes.
pub(super) const CLIENT_AUTH_WORDS: &[Word] = &[
    Word::new("none", "clients are not asked for a certificate"),
    Word::new(
        "optional",
        "clients are asked; who shows none is let in, who shows one must be let in by it",
    ),
    Word::new("required", "who shows no certificate is refused"),
];
