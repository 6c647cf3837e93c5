//! `[listener.limits]`.

use super::cursor::Cursor;
use super::listener::EXAMPLE;
use super::schema::{Key, Kind, Table, Word};
use crate::diagnostic::Reporter;
use crate::source::{Span, Written};

/// `[listener.limits]` as written.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) handshake_timeout: Option<Written<String>>,
    pub(crate) proxy_timeout: Option<Written<String>>,
    pub(crate) idle_timeout: Option<Written<String>>,
    pub(crate) close_timeout: Option<Written<String>>,
    pub(crate) lifetime: Option<Written<String>>,
    pub(crate) connections: Option<Connections>,
    pub(crate) delay: Option<Delay>,
    pub(crate) concurrent: Option<Concurrent>,
    pub(crate) max_sources: Option<Written<i64>>,
    pub(crate) ban: Option<Ban>,
}

impl Limits {
    pub(crate) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        let connections = table.table("connections", reporter);
        let delay = table.table("delay", reporter);
        let concurrent = table.table("concurrent", reporter);
        let ban = table.table("ban", reporter);
        Self {
            handshake_timeout: table.text("handshake_timeout", reporter),
            proxy_timeout: table.text("proxy_timeout", reporter),
            idle_timeout: table.text("idle_timeout", reporter),
            close_timeout: table.text("close_timeout", reporter),
            lifetime: table.text("lifetime", reporter),
            connections: connections.map(|table| Connections::read(table, reporter)),
            delay: delay.map(|table| Delay {
                span: table.span,
                max: table.text("max", reporter),
                queue: table.integer("queue", reporter),
            }),
            concurrent: concurrent.map(|table| Concurrent {
                per_source: table.integer("per_source", reporter),
                total: table.integer("total", reporter),
            }),
            max_sources: table.integer("max_sources", reporter),
            ban: ban.map(|table| Ban {
                span: table.span,
                offences: table.integer("offences", reporter),
                window: table.text("window", reporter),
                lasts: table.text("for", reporter),
            }),
        }
    }
}

/// `connections` as written.
#[derive(Debug)]
pub(crate) struct Connections {
    pub(crate) rate: Option<Written<String>>,
    pub(crate) burst: Option<Written<i64>>,
    pub(crate) over: Option<Written<&'static str>>,
}

impl Connections {
    fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        // One word is supported; reading it refuses the others.
        table.word("per", reporter);
        Self {
            rate: table.text("rate", reporter),
            burst: table.integer("burst", reporter),
            over: table.word("over", reporter),
        }
    }
}

/// `delay` as written.
#[derive(Debug)]
pub(crate) struct Delay {
    pub(crate) span: Span,
    pub(crate) max: Option<Written<String>>,
    pub(crate) queue: Option<Written<i64>>,
}

/// `concurrent` as written.
#[derive(Debug)]
pub(crate) struct Concurrent {
    pub(crate) per_source: Option<Written<i64>>,
    pub(crate) total: Option<Written<i64>>,
}

/// `ban` as written.
#[derive(Debug)]
pub(crate) struct Ban {
    pub(crate) span: Span,
    pub(crate) offences: Option<Written<i64>>,
    pub(crate) window: Option<Written<String>>,
    /// `for`, which is no name in Rust.
    pub(crate) lasts: Option<Written<String>>,
}

pub(super) static LIMITS: Table = Table {
    heading: "[listener.limits]",
    about: "Bounds on what clients may do. A source is an IPv4 address or an IPv6 /64.",
    example: EXAMPLE,
    keys: &[
        Key::optional(
            "handshake_timeout",
            Kind::Text,
            "`\"10s\"`",
            "From accept to a finished TLS handshake; a connection that takes longer is closed.",
            "handshake_timeout = \"10s\"",
        ),
        Key::optional(
            "proxy_timeout",
            Kind::Text,
            "`\"3s\"`",
            "With `proxy_protocol = \"require\"`: from accept to a whole PROXY header; a connection that takes longer is closed.",
            "proxy_timeout = \"3s\"",
        ),
        Key::optional(
            "idle_timeout",
            Kind::Text,
            "`\"1h\"`",
            "How long a connection may stay without a byte in either direction.",
            "idle_timeout = \"1h\"",
        ),
        Key::optional(
            "close_timeout",
            Kind::Text,
            "`\"60s\"`",
            "The same from the moment one side has finished sending: how long the other may stay without a byte. A byte starts it anew.",
            "close_timeout = \"60s\"",
        ),
        Key::optional(
            "lifetime",
            Kind::Text,
            "not bounded",
            "From accept: a connection that is older is closed, whatever it does.",
            "lifetime = \"24h\"",
        ),
        Key::optional(
            "connections",
            Kind::Table(&CONNECTIONS),
            "not limited",
            "How many new connections a source may open.",
            "connections = { rate = \"50/s\", burst = 100 }",
        ),
        Key::optional(
            "delay",
            Kind::Table(&DELAY),
            "see there",
            "The bounds of waiting, for `over = \"delay\"`.",
            "delay = { max = \"2s\", queue = 1000 }",
        ),
        Key::optional(
            "concurrent",
            Kind::Table(&CONCURRENT),
            "see there",
            "How many connections may be open at once.",
            "concurrent = { per_source = 200, total = 20000 }",
        ),
        Key::optional(
            "max_sources",
            Kind::Integer,
            "`100000`",
            "1 to 10000000: how many sources have a bucket of their own. The bound on the limiter's memory; sources beyond it \
             share one bucket.",
            "max_sources = 100000",
        ),
        Key::optional(
            "ban",
            Kind::Table(&BAN),
            "nobody is banned",
            "Sources that offend again and again are banned: the filter drops every packet of theirs for a while. [Bans](bans.md) \
             says what an offence is.",
            "ban = { offences = 20, window = \"1m\", for = \"10m\" }",
        ),
        Key::later("bandwidth", "leave `bandwidth` out: bytes are not limited yet"),
    ],
};

static CONNECTIONS: Table = Table {
    heading: "listener.limits.connections",
    about: "New connections per source: a token bucket.",
    example: EXAMPLE,
    keys: &[
        Key::required(
            "rate",
            Kind::Text,
            "The sustained rate: a number, perhaps with `k` or `M`, and `/s`, `/m` or `/h`.",
            "rate = \"50/s\"",
        ),
        Key::optional(
            "burst",
            Kind::Integer,
            "the number of `rate`",
            "1 to 1000000000: how many may come at once.",
            "burst = 100",
        ),
        Key::optional(
            "per",
            Kind::Word(&[
                Word::new("source", "an IPv4 address or an IPv6 /64"),
                Word::later(
                    "rule",
                    "write `per = \"source\"`, and bound the whole listener with `concurrent.total`",
                ),
            ]),
            "source",
            "Who shares a bucket.",
            "per = \"source\"",
        ),
        Key::optional(
            "over",
            Kind::Word(&[
                Word::new("refuse", "closed before the TLS stack sees a byte"),
                Word::new("delay", "waits for its turn, first come first served"),
            ]),
            "refuse",
            "What happens to a connection over the rate.",
            "over = \"refuse\"",
        ),
    ],
};

static DELAY: Table = Table {
    heading: "listener.limits.delay",
    about: "The bounds of waiting. Without `over = \"delay\"` it has no effect, which is a warning.",
    example: EXAMPLE,
    keys: &[
        Key::optional(
            "max",
            Kind::Text,
            "`\"2s\"`",
            "A connection that would wait longer is refused.",
            "max = \"2s\"",
        ),
        Key::optional(
            "queue",
            Kind::Integer,
            "`1000`",
            "1 to 1000000: how many may wait at once on the listener; more are refused.",
            "queue = 1000",
        ),
    ],
};

static CONCURRENT: Table = Table {
    heading: "listener.limits.concurrent",
    about: "Caps on open connections.",
    example: EXAMPLE,
    keys: &[
        Key::optional(
            "per_source",
            Kind::Integer,
            "no cap",
            "1 to 10000000: connections open at once from one source.",
            "per_source = 200",
        ),
        Key::optional(
            "total",
            Kind::Integer,
            "`20000`",
            "1 to 10000000: connections open at once on the listener. Always there: it bounds descriptors and memory.",
            "total = 20000",
        ),
    ],
};

static BAN: Table = Table {
    heading: "listener.limits.ban",
    about: "When a source is banned: at an offence, if it and the offences before it make `offences` within `window`. Each listener \
            counts for itself. Not on a listener whose clients come through a proxy: the ban would be the proxy's.",
    example: EXAMPLE,
    keys: &[
        Key::required(
            "offences",
            Kind::Integer,
            "1 to 1000: how many are too many.",
            "offences = 20",
        ),
        Key::required(
            "window",
            Kind::Text,
            "The longest time from the first of them to the last.",
            "window = \"1m\"",
        ),
        Key::required(
            "for",
            Kind::Text,
            "How long the ban lasts, at most `7d`. Then the source begins with a clean record.",
            "for = \"10m\"",
        ),
    ],
};
