//! Every metric of the edge: its name, its help, its labels.
//!
//! Names follow Prometheus' conventions (base units, `_total` for counters) and `promtool check metrics` reads them in the
//! tests. Label values come from the policy or from `labels`, never from the network: a peer cannot make a series.

/// A metric as it is registered.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The name on the wire.
    pub name: &'static str,
    /// One sentence; the unit is in the name.
    pub help: &'static str,
    /// Label names, in the order the code gives their values.
    pub labels: &'static [&'static str],
}

/// Connections that came to their end, by how they ended.
pub const CONNECTIONS: Metric = Metric {
    name: "ravelin_edge_connections_total",
    help: "Accepted connections that have ended, by listener and by how they ended.",
    labels: &["listener", "result"],
};

/// Connections that passed every limit.
pub const ADMITTED: Metric = Metric {
    name: "ravelin_edge_admitted_total",
    help: "Connections let through to the TLS stack by the address lists and limits of the listener.",
    labels: &["listener"],
};

/// Connections held now.
pub const OPEN: Metric = Metric {
    name: "ravelin_edge_open_connections",
    help: "Connections held now, waiting ones included.",
    labels: &["listener"],
};

/// Connections closed before the TLS stack saw a byte.
pub const REFUSED: Metric = Metric {
    name: "ravelin_edge_refused_total",
    help: "Connections closed before the TLS stack saw a byte, by the check that refused them.",
    labels: &["listener", "reason"],
};

/// PROXY headers of trusted proxies.
pub const PROXY_HEADERS: Metric = Metric {
    name: "ravelin_edge_proxy_headers_total",
    help: "Connections from trusted proxies by what became of the PROXY header, those without a byte left out; all but v1, v2 and local are closed.",
    labels: &["listener", "result"],
};

/// Connections that would be refused.
pub const WOULD_REFUSE: Metric = Metric {
    name: "ravelin_edge_would_refuse_total",
    help: "Connections let through because limits are only observed, by the check that would refuse them.",
    labels: &["listener", "reason"],
};

/// What would be slowed down.
pub const WOULD_DELAY: Metric = Metric {
    name: "ravelin_edge_would_delay_total",
    help: "Connections that would wait for their turn (rate) and reads that would pause (bandwidth), if limits were not only observed.",
    labels: &["listener", "reason"],
};

/// Reads that waited for bandwidth.
pub const PAUSES: Metric = Metric {
    name: "ravelin_edge_pauses_total",
    help: "How often a connection read no further until its bandwidth, or that of its source, let it.",
    labels: &["listener"],
};

/// From the end of the limits to a finished handshake.
pub const HANDSHAKE_SECONDS: Metric = Metric {
    name: "ravelin_edge_handshake_seconds",
    help: "Time from admission to a finished TLS handshake, of handshakes that finished.",
    labels: &["listener"],
};

/// Handshakes that failed.
pub const HANDSHAKE_FAILURES: Metric = Metric {
    name: "ravelin_edge_handshake_failures_total",
    help: "TLS handshakes that failed, by cause.",
    labels: &["listener", "cause"],
};

/// What became of clients that were asked for a certificate.
pub const CLIENT_AUTH: Metric = Metric {
    name: "ravelin_edge_client_auth_total",
    help: "Clients that were asked for a certificate and answered, by what came of it: accepted, or why they were refused.",
    labels: &["listener", "result"],
};

/// Handshakes by protocol version.
pub const TLS_VERSIONS: Metric = Metric {
    name: "ravelin_edge_tls_handshakes_total",
    help: "Finished TLS handshakes, by protocol version and by whether a session was resumed.",
    labels: &["listener", "version", "resumed"],
};

/// Handshakes by key exchange.
pub const KEY_EXCHANGES: Metric = Metric {
    name: "ravelin_edge_tls_key_exchanges_total",
    help: "Finished TLS handshakes with a key exchange, by its group; sessions resumed in TLS 1.2 have none.",
    labels: &["listener", "group"],
};

/// Expiry of each certificate.
pub const CERTIFICATE_NOT_AFTER: Metric = Metric {
    name: "ravelin_edge_tls_certificate_not_after_timestamp_seconds",
    help: "When the leaf certificate expires, by the certificate file of the policy.",
    labels: &["listener", "certificate"],
};

/// End of each OCSP staple.
pub const STAPLE_NEXT_UPDATE: Metric = Metric {
    name: "ravelin_edge_tls_ocsp_next_update_timestamp_seconds",
    help: "When the OCSP response stapled to a certificate runs out, by the certificate file of the policy; then it is sent no more.",
    labels: &["listener", "certificate"],
};

/// Relayed bytes.
pub const BYTES: Metric = Metric {
    name: "ravelin_edge_relayed_bytes_total",
    help: "Bytes relayed inside TLS, by direction.",
    labels: &["listener", "direction"],
};

/// How long delayed connections waited.
pub const DELAY_SECONDS: Metric = Metric {
    name: "ravelin_edge_delay_seconds",
    help: "How long connections over the rate waited for their turn, of those that got it.",
    labels: &["listener"],
};

/// Connections waiting for their turn.
pub const DELAY_QUEUE: Metric = Metric {
    name: "ravelin_edge_delay_queue_connections",
    help: "Connections over the rate that wait for their turn now.",
    labels: &["listener"],
};

/// Sources the limiter knows.
pub const LIMITER_SOURCES: Metric = Metric {
    name: "ravelin_edge_limiter_sources",
    help: "Sources that have an account of their own in the limiter.",
    labels: &["listener"],
};

/// Sources the limiter can know.
pub const LIMITER_CAPACITY: Metric = Metric {
    name: "ravelin_edge_limiter_capacity_sources",
    help: "Sources the limiter can hold; newcomers beyond it share one bucket.",
    labels: &["listener"],
};

/// The bound on limiter memory.
pub const LIMITER_MEMORY_BOUND: Metric = Metric {
    name: "ravelin_edge_limiter_memory_bound_bytes",
    help: "The most memory that the tables of sources and networks can take.",
    labels: &["listener"],
};

/// Connections judged by the shared bucket.
pub const LIMITER_SHARED: Metric = Metric {
    name: "ravelin_edge_limiter_shared_total",
    help: "Judgements by the shared buckets, because the table of sources or of networks was full.",
    labels: &["listener"],
};

/// What sources did that counts towards a ban.
pub const OFFENCES: Metric = Metric {
    name: "ravelin_edge_offences_total",
    help: "Failed handshakes and refused connections that a source is to blame for, by kind; `ban` of the listener counts these.",
    labels: &["listener", "offence"],
};

/// Offences of sources that there was no room to remember.
pub const OFFENCES_NOT_COUNTED: Metric = Metric {
    name: "ravelin_edge_offences_not_counted_total",
    help: "Offences that count towards no ban, because as many other sources are remembered as there is room for.",
    labels: &["listener"],
};

/// Sources that are remembered for what they did.
pub const OFFENDERS: Metric = Metric {
    name: "ravelin_edge_offenders",
    help: "Sources whose offences are remembered, with those that were banned and are left alone until the ban ends.",
    labels: &["listener"],
};

/// Sources that can be remembered.
pub const OFFENDERS_CAPACITY: Metric = Metric {
    name: "ravelin_edge_offenders_capacity",
    help: "Sources whose offences can be remembered; newcomers beyond it are not counted. 0: the listener bans nobody.",
    labels: &["listener"],
};

/// Bans asked for.
pub const BANS_ASKED: Metric = Metric {
    name: "ravelin_edge_bans_asked_total",
    help: "Bans that the offences of a source called for.",
    labels: &["listener"],
};

/// What came of bans that were asked for.
pub const BANS: Metric = Metric {
    name: "ravelin_edge_bans_total",
    help: "Bans that were asked for, by what came of them: made, refused by the filter, or lost because it did not answer in time.",
    labels: &["listener", "result"],
};

/// Connections to upstream servers.
pub const UPSTREAM_CONNECTS: Metric = Metric {
    name: "ravelin_edge_upstream_connects_total",
    help: "Attempts to connect to a server of the upstream, by outcome.",
    labels: &["upstream", "result"],
};

/// Connections to upstream servers held now.
pub const UPSTREAM_OPEN: Metric = Metric {
    name: "ravelin_edge_upstream_open_connections",
    help: "Connections to servers of the upstream held now.",
    labels: &["upstream"],
};

/// Attempts after the first.
pub const UPSTREAM_RETRIES: Metric = Metric {
    name: "ravelin_edge_upstream_retries_total",
    help: "Attempts at another server of the upstream after one could not be reached.",
    labels: &["upstream"],
};

/// Health checks.
pub const UPSTREAM_CHECKS: Metric = Metric {
    name: "ravelin_edge_upstream_checks_total",
    help: "Health checks of servers of the upstream, by outcome.",
    labels: &["upstream", "result"],
};

/// What the health checks say of each server.
pub const UPSTREAM_SERVER_UP: Metric = Metric {
    name: "ravelin_edge_upstream_server_up",
    help: "1 when the health checks find the server up, 0 when they find it down. Not there for upstreams without `health`.",
    labels: &["upstream", "server"],
};

/// Servers that are left out.
pub const UPSTREAM_SERVER_EJECTED: Metric = Metric {
    name: "ravelin_edge_upstream_server_ejected",
    help: "1 while the server is left out because clients could not be connected to it.",
    labels: &["upstream", "server"],
};

/// How often servers were left out.
pub const UPSTREAM_EJECTIONS: Metric = Metric {
    name: "ravelin_edge_upstream_ejections_total",
    help: "Ejections of servers of the upstream.",
    labels: &["upstream"],
};

/// Failures of accept.
pub const ACCEPT_FAILURES: Metric = Metric {
    name: "ravelin_edge_accept_failures_total",
    help: "Calls of accept that failed, by cause; out of descriptors or memory means the listener pauses.",
    labels: &["listener", "cause"],
};

/// Whether the last reload worked. The filter has it too, with `half="filter"`: one alert watches both.
pub const RELOAD_SUCCESSFUL: Metric = Metric {
    name: "ravelin_config_last_reload_successful",
    help: "1 when the last load of the policy and its files worked, 0 when the last good one is still served.",
    labels: &["half"],
};

/// When the last good load was.
pub const RELOAD_TIMESTAMP: Metric = Metric {
    name: "ravelin_config_last_reload_success_timestamp_seconds",
    help: "When the policy and its files were last loaded without an error.",
    labels: &["half"],
};

/// The `half` of these metrics.
pub const HALF: &str = "edge";

/// Version of the program.
pub const BUILD_INFO: Metric = Metric {
    name: "ravelin_build_info",
    help: "Always 1; the labels tell the build.",
    labels: &["version"],
};
