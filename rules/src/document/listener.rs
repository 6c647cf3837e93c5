//! `[[listener]]`.

use super::cursor::Cursor;
use super::limits::{LIMITS, Limits};
use super::route::{ROUTE, Route};
use super::schema::{Key, Kind, Table, Word};
use super::tls::{TLS, Tls};
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
    pub(crate) proxy_protocol: Option<Written<&'static str>>,
    pub(crate) trusted_proxies: Option<Written<Vec<Written<String>>>>,
    /// Clients come through a proxy, or whoever wrote this thinks so: refused keys count too.
    pub(crate) behind_proxy: bool,
}

impl Listener {
    pub(crate) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
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
            proxy_protocol: table.word("proxy_protocol", reporter),
            trusted_proxies: table.texts("trusted_proxies", reporter),
            behind_proxy: table.key_span("trusted_proxies").is_some()
                || table.raw_text("proxy_protocol") == Some("require"),
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
        Key::optional(
            "tls",
            Kind::Table(&TLS),
            "required, unless every route has `passthrough`",
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
                Word::new(
                    "require",
                    "a connection comes from one of `trusted_proxies` and begins with a PROXY protocol header, version 1 or 2, or is closed",
                ),
            ]),
            "off",
            "Whether clients come through a proxy that names them. `allow`, `deny`, limits, logs and the header for the upstream then go by the \
             client it names.",
            "proxy_protocol = \"require\"",
        ),
        Key::optional(
            "trusted_proxies",
            Kind::TextOrTexts,
            "required with `proxy_protocol = \"require\"`",
            "The proxies that are believed: `@set`, a prefix, or an address, and nobody who is not a proxy. Others are refused before a byte is \
             read.",
            "trusted_proxies = [\"10.20.0.0/16\"]",
        ),
    ],
};

pub(super) const EXAMPLE: &str = r#"[[listener]]
name = "api"
bind = ["0.0.0.0:443", "[::]:443"]
routes = [{ sni = "api.example.com", upstream = "app" }, { sni = "*.example.com", upstream = "app" }]

[listener.tls]
certificates = [{ cert = "api.pem", key = "api.key" }]
alpn = ["h2", "http/1.1"]

[listener.limits]
handshake_timeout = "5s"
connections = { rate = "50/s", burst = 100, over = "delay", per_network = { rate = "500/s", burst = 1000 } }
delay = { max = "2s", queue = 1000 }
handshakes = { rate = "500/s", burst = 500, per = "listener" }
concurrent = { per_source = 200, per_network = 2000, total = 20000 }
network = { v4 = 24, v6 = 48 }
bandwidth = { per_connection = "20MB/s", per_source = "100MB/s" }
ban = { offences = 20, window = "1m", for = "10m" }

[[upstream]]
name = "app"
servers = ["127.0.0.1:8080"]
proxy_protocol = "v2"
"#;
