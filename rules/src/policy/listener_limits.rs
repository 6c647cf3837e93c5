//! `[listener.limits]`.

use std::time::Duration;

use ravelin_datapath::wire::SourceLengths;

use super::Rate;

/// `[listener.limits]`, defaults filled in.
#[derive(Clone, Debug)]
pub struct ListenerLimits {
    /// `mode`: judge and count, and refuse, delay and ban nobody. `concurrent.total` and the time-outs hold.
    pub observe: bool,
    /// From accept to a finished handshake. Default 10 s.
    pub handshake_timeout: Duration,
    /// With trusted proxies: from accept to a whole PROXY header. Default 3 s.
    pub proxy_timeout: Duration,
    /// Without a byte in either direction. Default 1 h.
    pub idle_timeout: Duration,
    /// The same once one side has finished sending. Default 60 s.
    pub close_timeout: Duration,
    /// From accept; `None`: a connection may grow as old as it likes.
    pub lifetime: Option<Duration>,
    /// `connections`: `None` when not limited.
    pub connections: Option<ConnectionLimit>,
    /// `handshakes`: `None` when not limited.
    pub handshakes: Option<HandshakeLimit>,
    /// `concurrent`.
    pub concurrent: ConcurrentLimit,
    /// `bandwidth`.
    pub bandwidth: BandwidthLimit,
    /// `network`: the prefix lengths. Default /24 and /48.
    pub network: SourceLengths,
    /// The bound on limiter memory: this many sources have a bucket of their own, newcomers share one; and as many networks. Default 100,000.
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

/// New connections per source (IPv4 /32, IPv6 /64), and per network.
#[derive(Clone, Debug)]
pub struct ConnectionLimit {
    /// Of one source.
    pub per_source: Quota,
    /// Of one network, which is refused what is over it: `None` when not limited.
    pub per_network: Option<Quota>,
    /// What happens over the limit of a source.
    pub over: OverLimit,
}

/// A token bucket: at most `burst + rate × time`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The sustained rate.
    pub rate: Rate,
    /// How many may come at once; at least 1.
    pub burst: u32,
}

/// TLS handshakes that begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeLimit {
    /// How many.
    pub quota: Quota,
    /// Each source has a bucket of its own; else all share the listener's.
    pub per_source: bool,
}

/// Bytes relayed, of both directions together; `None`: not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BandwidthLimit {
    /// Of each connection.
    pub per_connection: Option<Rate>,
    /// Of all connections of a source together.
    pub per_source: Option<Rate>,
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
    /// Per network; `None`: no cap.
    pub per_network: Option<u32>,
    /// On the whole listener. Default 20,000: a bound on descriptors and memory, always there.
    pub total: u32,
}
