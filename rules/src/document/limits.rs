//! `[listener.limits]`.

use super::cursor::Cursor;
use super::listener::EXAMPLE;
use super::schema::{Key, Kind, Table, Word};
use crate::diagnostic::Reporter;
use crate::source::{Span, Written};

/// `[listener.limits]` as written.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) mode: Option<Written<&'static str>>,
    pub(crate) handshake_timeout: Option<Written<String>>,
    pub(crate) proxy_timeout: Option<Written<String>>,
    pub(crate) idle_timeout: Option<Written<String>>,
    pub(crate) close_timeout: Option<Written<String>>,
    pub(crate) lifetime: Option<Written<String>>,
    pub(crate) connections: Option<Connections>,
    pub(crate) handshakes: Option<Handshakes>,
    pub(crate) delay: Option<Delay>,
    pub(crate) concurrent: Option<Concurrent>,
    pub(crate) bandwidth: Option<Bandwidth>,
    pub(crate) network: Option<Network>,
    pub(crate) max_sources: Option<Written<i64>>,
    pub(crate) ban: Option<Ban>,
}

impl Limits {
    pub(crate) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        let connections = table.table("connections", reporter);
        let handshakes = table.table("handshakes", reporter);
        let bandwidth = table.table("bandwidth", reporter);
        let network = table.table("network", reporter);
        let delay = table.table("delay", reporter);
        let concurrent = table.table("concurrent", reporter);
        let ban = table.table("ban", reporter);
        Self {
            mode: table.word("mode", reporter),
            handshake_timeout: table.text("handshake_timeout", reporter),
            proxy_timeout: table.text("proxy_timeout", reporter),
            idle_timeout: table.text("idle_timeout", reporter),
            close_timeout: table.text("close_timeout", reporter),
            lifetime: table.text("lifetime", reporter),
            connections: connections.map(|table| Connections::read(table, reporter)),
            handshakes: handshakes.map(|table| Handshakes::read(table, reporter)),
            delay: delay.map(|table| Delay {
                span: table.span,
                max: table.text("max", reporter),
                queue: table.integer("queue", reporter),
            }),
            concurrent: concurrent.map(|table| Concurrent {
                per_source: table.integer("per_source", reporter),
                per_network: table.integer("per_network", reporter),
                total: table.integer("total", reporter),
            }),
            bandwidth: bandwidth.map(|table| Bandwidth {
                span: table.span,
                per_connection: table.text("per_connection", reporter),
                per_source: table.text("per_source", reporter),
            }),
            network: network.map(|table| Network {
                span: table.span,
                v4: table.integer("v4", reporter),
                v6: table.integer("v6", reporter),
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
    pub(crate) per_network: Option<PerNetwork>,
}

impl Connections {
    fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        // One word is supported; reading it refuses the others.
        table.word("per", reporter);
        let per_network = table.table("per_network", reporter);
        Self {
            rate: table.text("rate", reporter),
            burst: table.integer("burst", reporter),
            over: table.word("over", reporter),
            per_network: per_network.map(|table| PerNetwork {
                rate: table.text("rate", reporter),
                burst: table.integer("burst", reporter),
            }),
        }
    }
}

/// `connections.per_network` as written.
#[derive(Debug)]
pub(crate) struct PerNetwork {
    pub(crate) rate: Option<Written<String>>,
    pub(crate) burst: Option<Written<i64>>,
}

/// `handshakes` as written.
#[derive(Debug)]
pub(crate) struct Handshakes {
    pub(crate) rate: Option<Written<String>>,
    pub(crate) burst: Option<Written<i64>>,
    pub(crate) per: Option<Written<&'static str>>,
}

impl Handshakes {
    fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        // One word is supported; reading it refuses the others.
        table.word("over", reporter);
        Self {
            rate: table.text("rate", reporter),
            burst: table.integer("burst", reporter),
            per: table.word("per", reporter),
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
    pub(crate) per_network: Option<Written<i64>>,
    pub(crate) total: Option<Written<i64>>,
}

/// `bandwidth` as written.
#[derive(Debug)]
pub(crate) struct Bandwidth {
    pub(crate) span: Span,
    pub(crate) per_connection: Option<Written<String>>,
    pub(crate) per_source: Option<Written<String>>,
}

/// `network` as written.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) span: Span,
    pub(crate) v4: Option<Written<i64>>,
    pub(crate) v6: Option<Written<i64>>,
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
    about: "Bounds on what clients may do. A source is an IPv4 address or an IPv6 /64; a network is what `network` says. [Limits](limits.md) \
            says how each is judged.",
    example: EXAMPLE,
    keys: &[
        Key::optional(
            "mode",
            Kind::Word(&[
                Word::new(
                    "enforce",
                    "what is over a limit is refused, delayed or slowed down",
                ),
                Word::new(
                    "observe",
                    "it is judged and counted (`ravelin_edge_would_refuse_total`, `ravelin_edge_would_delay_total`), and goes on; nobody is banned. \
                     `concurrent.total` and the time-outs hold all the same: they protect the host",
                ),
            ]),
            "enforce",
            "Whether limits are in force, or only tried out.",
            "mode = \"observe\"",
        ),
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
            "handshakes",
            Kind::Table(&HANDSHAKES),
            "not limited",
            "How many TLS handshakes may begin: they cost a hundred times what a refusal costs.",
            "handshakes = { rate = \"500/s\", burst = 500, per = \"listener\" }",
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
            "bandwidth",
            Kind::Table(&BANDWIDTH),
            "not limited",
            "How many bytes may be relayed in a time.",
            "bandwidth = { per_connection = \"20MB/s\", per_source = \"100MB/s\" }",
        ),
        Key::optional(
            "network",
            Kind::Table(&NETWORK),
            "see there",
            "What counts as one network, for `connections.per_network` and `concurrent.per_network`.",
            "network = { v4 = 24, v6 = 48 }",
        ),
        Key::optional(
            "max_sources",
            Kind::Integer,
            "`100000`",
            "1 to 10000000: how many sources, and how many networks, have a bucket of their own. The bound on the limiter's memory; those \
             beyond it share one bucket.",
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
                    "write `per = \"source\"`, and bound the whole listener with `concurrent.total` and `handshakes`",
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
        Key::optional(
            "per_network",
            Kind::Table(&PER_NETWORK),
            "not limited",
            "A second bucket, for all sources of a network together: for who can come from many addresses. What is over it is refused, also \
             with `over = \"delay\"`.",
            "per_network = { rate = \"500/s\", burst = 1000 }",
        ),
    ],
};

static PER_NETWORK: Table = Table {
    heading: "listener.limits.connections.per_network",
    about: "New connections per network: a token bucket.",
    example: EXAMPLE,
    keys: &[
        Key::required("rate", Kind::Text, "As of `connections`.", "rate = \"500/s\""),
        Key::optional(
            "burst",
            Kind::Integer,
            "the number of `rate`",
            "1 to 1000000000: how many may come at once.",
            "burst = 1000",
        ),
    ],
};

static HANDSHAKES: Table = Table {
    heading: "listener.limits.handshakes",
    about: "TLS handshakes that begin: a token bucket. Judged when a connection would go on to TLS, before the TLS stack sees a byte; a \
            connection that another limit refuses takes nothing from it, and one that it refuses takes nothing from another.",
    example: EXAMPLE,
    keys: &[
        Key::required(
            "rate",
            Kind::Text,
            "The sustained rate: a number, perhaps with `k` or `M`, and `/s`, `/m` or `/h`.",
            "rate = \"500/s\"",
        ),
        Key::optional(
            "burst",
            Kind::Integer,
            "the number of `rate`",
            "1 to 1000000000: how many may begin at once.",
            "burst = 500",
        ),
        Key::optional(
            "per",
            Kind::Word(&[
                Word::new("listener", "everybody"),
                Word::new("source", "an IPv4 address or an IPv6 /64"),
            ]),
            "listener",
            "Who shares a bucket.",
            "per = \"listener\"",
        ),
        Key::optional(
            "over",
            Kind::Word(&[
                Word::new("refuse", "closed before the TLS stack sees a byte"),
                Word::later(
                    "delay",
                    "write `over = \"refuse\"`; `connections` can delay, and its turns come at its rate",
                ),
            ]),
            "refuse",
            "What happens to a connection over the rate.",
            "over = \"refuse\"",
        ),
    ],
};

static BANDWIDTH: Table = Table {
    heading: "listener.limits.bandwidth",
    about: "Bytes relayed inside TLS, of both directions together: token buckets. A bucket holds what comes in a tenth of a second, and at \
            least 64 KiB. A connection whose bucket is empty reads on when there is room again; no byte is lost. At least one of the keys.",
    example: EXAMPLE,
    keys: &[
        Key::optional(
            "per_connection",
            Kind::Text,
            "not limited",
            "Of each connection: a number with `B`, `KB`, `MB`, `GB`, `KiB`, `MiB` or `GiB`, and `/s`, `/m` or `/h`; at least `1KB/s`.",
            "per_connection = \"20MB/s\"",
        ),
        Key::optional(
            "per_source",
            Kind::Text,
            "not limited",
            "Of all connections of a source together, which take turns.",
            "per_source = \"100MB/s\"",
        ),
    ],
};

static NETWORK: Table = Table {
    heading: "listener.limits.network",
    about: "The length of the prefix that all sources of a network share. Without a `per_network` it has no effect, which is a warning.",
    example: EXAMPLE,
    keys: &[
        Key::optional(
            "v4",
            Kind::Integer,
            "`24`",
            "8 to 31: the prefix length in IPv4.",
            "v4 = 24",
        ),
        Key::optional(
            "v6",
            Kind::Integer,
            "`48`",
            "16 to 63: the prefix length in IPv6.",
            "v6 = 48",
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
            "per_network",
            Kind::Integer,
            "no cap",
            "1 to 10000000: connections open at once from one network.",
            "per_network = 2000",
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
