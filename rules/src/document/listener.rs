//! `[[listener]]`, its routes and its TLS table.

use super::cursor::Cursor;
use super::limits::{LIMITS, Limits};
use super::schema::{Key, Kind, Table, Word};
use crate::diagnostic::Reporter;
use crate::source::{Span, Written};

/// `[[listener]]` as written.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) span: Span,
    pub(crate) name: Option<Written<String>>,
    pub(crate) bind: Option<Written<Vec<Written<String>>>>,
    pub(crate) allow: Option<Written<Vec<Written<String>>>>,
    pub(crate) deny: Option<Written<Vec<Written<String>>>>,
    pub(crate) routes: Option<Written<Vec<Route>>>,
    pub(crate) sni_policy: Option<Written<&'static str>>,
    pub(crate) tls: Option<Tls>,
    pub(crate) limits: Option<Limits>,
    pub(crate) syn_proxy: Option<Written<&'static str>>,
    /// Clients come through a proxy, or whoever wrote this thinks so: refused keys count too.
    pub(crate) behind_proxy: bool,
}

impl Listener {
    pub(crate) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        // One word is supported; reading it refuses the others.
        table.word("proxy_protocol", reporter);
        let routes = table.tables("routes", reporter);
        Self {
            span: table.span,
            name: table.text("name", reporter),
            bind: table.texts("bind", reporter),
            allow: table.texts("allow", reporter),
            deny: table.texts("deny", reporter),
            routes: routes.map(|list| list.map(|table| Route::read(table, reporter))),
            sni_policy: table.word("sni_policy", reporter),
            tls: table
                .table("tls", reporter)
                .map(|table| Tls::read(table, reporter)),
            limits: table
                .table("limits", reporter)
                .map(|table| Limits::read(table, reporter)),
            syn_proxy: table.word("syn_proxy", reporter),
            behind_proxy: table.key_span("trusted_proxies").is_some()
                || table.raw_text("proxy_protocol") == Some("require"),
        }
    }
}

/// One of `routes` as written.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) span: Span,
    pub(crate) sni: Option<Written<String>>,
    pub(crate) upstream: Option<Written<String>>,
    /// `sni` stands there, readable or not: the route is not a catch-all.
    pub(crate) names_a_server: bool,
}

impl Route {
    fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        Self {
            span: table.span,
            sni: table.text("sni", reporter),
            upstream: table.text("upstream", reporter),
            names_a_server: table.key_span("sni").is_some(),
        }
    }
}

/// `[listener.tls]` as written.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) certificates: Option<Written<Vec<Certificate>>>,
    pub(crate) min_version: Option<Written<&'static str>>,
    pub(crate) alpn: Vec<Written<String>>,
}

impl Tls {
    fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        let certificates = table.tables("certificates", reporter);
        if let Some(table) = table.table("client_auth", reporter) {
            // One word is supported; reading it refuses the others.
            table.word("mode", reporter);
        }
        Self {
            certificates: certificates.map(|list| list.map(|table| Certificate::read(table, reporter))),
            min_version: table.word("min_version", reporter),
            alpn: table
                .texts("alpn", reporter)
                .map_or_else(Vec::new, |alpn| alpn.value),
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
    fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        Self {
            span: table.span,
            cert: table.text("cert", reporter),
            key: table.text("key", reporter),
        }
    }
}

pub(crate) static LISTENER: Table = Table {
    heading: "[[listener]]",
    about: "A TLS endpoint: it accepts connections, ends TLS, and relays the bytes to an upstream.",
    example: EXAMPLE,
    keys: &[
        Key::required(
            "name",
            Kind::Text,
            "Unique among listeners; the label in metrics: 1 to 63 characters of `a-z A-Z 0-9 . _ -`, the first a letter or \
             a digit.",
            "name = \"api\"",
        ),
        Key::required(
            "bind",
            Kind::TextOrTexts,
            "The addresses and ports to listen on; each may stand in one listener only.",
            "bind = [\"0.0.0.0:443\", \"[::]:443\"]",
        ),
        Key::optional(
            "allow",
            Kind::TextOrTexts,
            "`\"anywhere\"`",
            "The client addresses let in: `anywhere`, `@set`, a prefix, or an address.",
            "allow = [\"@partners\"]",
        ),
        Key::optional(
            "deny",
            Kind::TextOrTexts,
            "none",
            "The client addresses refused, also where `allow` names them.",
            "deny = [\"203.0.113.0/24\"]",
        ),
        Key::required(
            "routes",
            Kind::Tables(&ROUTE),
            "Which server name goes to which upstream. The first route that fits is taken.",
            "routes = [{ sni = \"api.example.com\", upstream = \"app\" }]",
        ),
        Key::optional(
            "sni_policy",
            Kind::Word(&[
                Word::new("strict", "refused with the TLS alert `unrecognized_name`"),
                Word::new("default", "sent to the first route"),
            ]),
            "strict",
            "What happens to a connection whose server name no route has.",
            "sni_policy = \"strict\"",
        ),
        Key::required(
            "tls",
            Kind::Table(&TLS),
            "Certificates and versions.",
            "tls = { certificates = [{ cert = \"api.pem\", key = \"api.key\" }] }",
        ),
        Key::optional(
            "limits",
            Kind::Table(&LIMITS),
            "see there",
            "Bounds on what clients may do.",
            "limits = { idle_timeout = \"10m\" }",
        ),
        Key::optional(
            "syn_proxy",
            Kind::Word(&[
                Word::new("off", "SYNs over `[flood] syn_budget` are denied"),
                Word::new(
                    "auto",
                    "they are answered with SYN cookies; whoever brings one back is let in and known. Needs `[flood] syn_budget` and flows; the \
                     filter sets `net.ipv4.tcp_syncookies` to 2",
                ),
            ]),
            "off",
            "What becomes of SYNs to this listener that are over the budget.",
            "syn_proxy = \"auto\"",
        ),
        Key::optional(
            "proxy_protocol",
            Kind::Word(&[
                Word::new("off", "the client is who opened the connection"),
                Word::later(
                    "require",
                    "write `proxy_protocol = \"off\"`: headers from a proxy in front are not read yet",
                ),
            ]),
            "off",
            "Whether clients come through a proxy that names them.",
            "proxy_protocol = \"off\"",
        ),
        Key::later(
            "trusted_proxies",
            "leave `trusted_proxies` out: headers from a proxy in front are not read yet",
        ),
    ],
};

static ROUTE: Table = Table {
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
        Key::later(
            "client_auth",
            "leave `client_auth` out: client certificates are not asked for yet",
        ),
    ],
};

static TLS: Table = Table {
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
            "Whether clients show a certificate.",
            "client_auth = { mode = \"none\" }",
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

static CLIENT_AUTH: Table = Table {
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

pub(super) const EXAMPLE: &str = r#"[[listener]]
name = "api"
bind = ["0.0.0.0:443", "[::]:443"]
routes = [{ sni = "api.example.com", upstream = "app" }, { sni = "*.example.com", upstream = "app" }]

[listener.tls]
certificates = [{ cert = "api.pem", key = "api.key" }]
alpn = ["h2", "http/1.1"]

[listener.limits]
handshake_timeout = "5s"
connections = { rate = "50/s", burst = 100, over = "delay" }
delay = { max = "2s", queue = 1000 }
concurrent = { per_source = 200, total = 20000 }
ban = { offences = 20, window = "1m", for = "10m" }

[[upstream]]
name = "app"
servers = ["127.0.0.1:8080"]
proxy_protocol = "v2"
"#;
