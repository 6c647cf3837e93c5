//! `[listener.tls] client_auth`.

use super::listener::EXAMPLE;
use super::schema::{Key, Kind, Table, Word};

pub(super) static CLIENT_AUTH: Table = Table {
    heading: "listener.tls.client_auth",
    about: "Client certificates. They are not asked for yet.",
    example: EXAMPLE,
    keys: &[
        Key::required(
            "mode",
            Kind::Word(&[
                Word::new("none", "clients are not asked for a certificate"),
                Word::later(
                    "optional",
                    "write `mode = \"none\"`: client certificates are not asked for yet",
                ),
                Word::later(
                    "required",
                    "write `mode = \"none\"`: client certificates are not asked for yet",
                ),
            ]),
            "Whether clients show a certificate.",
            "mode = \"none\"",
        ),
        Key::later("ca", NO_CLIENT_CERTIFICATES),
        Key::later("crl", NO_CLIENT_CERTIFICATES),
        Key::later("crl_policy", NO_CLIENT_CERTIFICATES),
        Key::later("allow_dns", NO_CLIENT_CERTIFICATES),
        Key::later("allow_uri", NO_CLIENT_CERTIFICATES),
        Key::later("allow_cn", NO_CLIENT_CERTIFICATES),
        Key::later("allow_spki", NO_CLIENT_CERTIFICATES),
    ],
};

const NO_CLIENT_CERTIFICATES: &str = "leave it out: client certificates are not asked for yet";
