//! `[[upstream]]`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::tls::CertificateFiles;

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
    /// `tls`; `None`: bytes go unencrypted.
    pub tls: Option<UpstreamTls>,
    /// `health`; `None`: nothing is checked.
    pub health: Option<HealthChecks>,
    /// `eject`; `None`: nothing is ejected.
    pub eject: Option<Ejection>,
}

impl Upstream {
    /// The files that its TLS settings are read from.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.tls.iter().flat_map(|tls| {
            let pair = tls.certificate.iter();
            std::iter::once(&tls.ca).chain(pair.flat_map(|pair| [&pair.cert, &pair.key]))
        })
    }
}

/// `tls` of an upstream.
#[derive(Clone, Debug)]
pub struct UpstreamTls {
    /// `server_name`: the DNS name, lower case, or the address that the servers' certificates must hold.
    pub server_name: String,
    /// `ca`: who may vouch for the servers; PEM.
    pub ca: PathBuf,
    /// `cert` and `key`: shown to a server that asks.
    pub certificate: Option<CertificateFiles>,
    /// `alpn`; `None`: what the client and the listener agreed on.
    pub alpn: Option<Vec<String>>,
}

/// `health` of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthChecks {
    /// `every`. Default 5 s.
    pub every: Duration,
    /// `timeout`, at most `every`. Default 1 s.
    pub timeout: Duration,
    /// `rise`. Default 2.
    pub rise: u32,
    /// `fall`. Default 3.
    pub fall: u32,
}

/// `eject` of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// `failures`. Default 5.
    pub failures: u32,
    /// `for`. Default 10 s.
    pub lasts: Duration,
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
    /// Version 1: a line of text with the addresses.
    V1,
    /// Version 2, with the server name, ALPN and TLS version.
    V2,
}
