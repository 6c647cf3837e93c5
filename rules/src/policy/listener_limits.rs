//! `[listener.limits]`.

use std::time::Duration;

use super::Rate;

/// `[listener.limits]`, defaults filled in.
#[derive(Clone, Debug)]
pub struct ListenerLimits {
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
