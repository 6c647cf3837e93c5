//! What the edge does: listeners, TLS, limits, upstreams.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::rule::Place;
use super::{AddressMatch, Rate};

/// `[[listener]]`: a TLS endpoint.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Unique; the metrics label.
    pub name: String,
    /// Addresses to listen on; at least one.
    pub bind: Vec<SocketAddr>,
    /// Client addresses let in. Default: anywhere.
    pub allow: AddressMatch,
    /// Client addresses refused, also when `allow` names them. Default: none.
    pub deny: AddressMatch,
    /// At least one.
    pub routes: Vec<Route>,
    /// `sni_policy`.
    pub sni_policy: SniPolicy,
    /// `[listener.tls]`.
    pub tls: Tls,
    /// `[listener.limits]`.
    pub limits: ListenerLimits,
    /// `syn_proxy`: whether SYNs over the budget are answered with cookies.
    pub syn_proxy: bool,
    /// Where the listener was written.
    pub place: Place,
}

/// One route: which server names go to which upstream.
#[derive(Clone, Debug)]
pub struct Route {
    /// `sni`.
    pub sni: SniPattern,
    /// `upstream`: names an upstream that exists.
    pub upstream: String,
}

/// A server name pattern, lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SniPattern {
    /// Every name, and no name: a route without `sni`.
    Any,
    /// Exactly this name.
    Exact(String),
    /// `*.example.com`, kept as `example.com`: one more label on the left, no more.
    Wildcard(String),
}

impl SniPattern {
    /// Whether the server name `sni` (lower case; `None` when the client sent none) fits.
    #[must_use]
    pub fn matches(&self, sni: Option<&str>) -> bool {
        match (self, sni) {
            (Self::Any, _) => true,
            (_, None) => false,
            (Self::Exact(name), Some(sni)) => name == sni,
            (Self::Wildcard(parent), Some(sni)) => sni
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
        }
    }
}

/// What an unknown or absent server name gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SniPolicy {
    /// The first route.
    Default,
    /// Refused with `unrecognized_name`.
    #[default]
    Strict,
}

/// `[listener.tls]`.
#[derive(Clone, Debug)]
pub struct Tls {
    /// At least one; chosen by the names inside.
    pub certificates: Vec<CertificateFiles>,
    /// `min_version`.
    pub min_version: TlsVersion,
    /// `alpn`, in order of preference; empty: no ALPN.
    pub alpn: Vec<String>,
}

/// A certificate chain and its key, both PEM, paths resolved against the policy file's folder.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// Where the pair was written.
    pub place: Place,
}

/// The lowest TLS version a listener speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// `[listener.limits]`, defaults filled in.
#[derive(Clone, Debug)]
pub struct ListenerLimits {
    /// From accept to a finished handshake. Default 10 s.
    pub handshake_timeout: Duration,
    /// Without a byte in either direction. Default 1 h.
    pub idle_timeout: Duration,
    /// `connections`: `None` when not limited.
    pub connections: Option<ConnectionLimit>,
    /// `concurrent`.
    pub concurrent: ConcurrentLimit,
    /// The bound on limiter memory: this many sources have a bucket of their own, newcomers share one. Default 100,000.
    pub max_sources: u32,
    /// `ban`: `None` when nobody is banned.
    pub ban: Option<SourceBan>,
}

/// When a source is banned, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceBan {
    /// How many offences are too many; at least 1.
    pub offences: u32,
    /// From the first of them to the last, at most.
    pub window: Duration,
    /// `for`: how long the ban lasts.
    pub lasts: Duration,
}

impl SourceBan {
    /// The longest ban that an edge may ask for. The filter holds it too: somebody who has taken over the edge must not be able to
    /// shut people out for longer than it takes to notice.
    pub const LONGEST: Duration = Duration::from_secs(7 * 86_400);
}

/// New connections per source (IPv4 /32, IPv6 /64).
#[derive(Clone, Debug)]
pub struct ConnectionLimit {
    /// The sustained rate.
    pub rate: Rate,
    /// How many may come at once; at least 1.
    pub burst: u32,
    /// What happens over the limit.
    pub over: OverLimit,
}

/// What happens to a connection over the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverLimit {
    /// It waits for its turn, first come first served.
    Delay(DelayQueue),
    /// It is closed before the TLS stack sees a byte.
    Refuse,
}

/// The bounds of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelayQueue {
    /// A connection that would wait longer is refused. Default 2 s.
    pub max: Duration,
    /// Connections that may wait at once on this listener; over it: refused. Default 1,000.
    pub queue: u32,
}

/// Caps on open connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConcurrentLimit {
    /// Per source; `None`: no cap.
    pub per_source: Option<u32>,
    /// On the whole listener. Default 20,000: a bound on descriptors and memory, always there.
    pub total: u32,
}

/// `[[upstream]]`.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Unique; the metrics label.
    pub name: String,
    /// At least one.
    pub servers: Vec<SocketAddr>,
    /// `balance`.
    pub balance: Balance,
    /// `proxy_protocol`.
    pub proxy_protocol: ProxyHeader,
    /// `connect_timeout`. Default 3 s.
    pub connect_timeout: Duration,
}

/// How a server is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// The server with the fewest open connections.
    LeastConnections,
    /// One after the other.
    #[default]
    RoundRobin,
}

/// The PROXY protocol header sent to an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyHeader {
    /// None.
    #[default]
    Off,
    /// Version 2, with the server name, ALPN and TLS version.
    V2,
}
