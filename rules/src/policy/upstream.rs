//! `[[upstream]]`.

use std::net::SocketAddr;
use std::time::Duration;

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
