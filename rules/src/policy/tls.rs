//! `[listener.tls]`.

use std::path::PathBuf;
use std::time::Duration;

use super::client_auth::ClientAuth;
use super::rule::Place;

/// `[listener.tls]`.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// At least one, unless every route passes TLS through; chosen by the names inside.
    pub certificates: Vec<CertificateFiles>,
    /// `min_version`.
    pub min_version: TlsVersion,
    /// `alpn`, in order of preference; empty: no ALPN.
    pub alpn: Vec<String>,
    /// `client_auth`; `None`: neither the listener nor a route asks for client certificates.
    pub client_auth: Option<ClientAuth>,
    /// `tickets`; `None`: no session is resumed.
    pub tickets: Option<Tickets>,
    /// `strict_permissions`: whether a private key that others can read or change is refused.
    pub strict_permissions: bool,
}

/// A certificate chain and its key, both PEM, paths resolved against the policy file's folder.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// The OCSP response for the leaf, DER. It may be absent when the listener starts.
    pub ocsp: Option<PathBuf>,
    /// Where the pair was written.
    pub place: Place,
}

/// How session tickets are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tickets {
    /// `rotate`: how long a key seals tickets.
    pub rotate: Duration,
    /// `lifetime`: how long a key opens them. At least `rotate`.
    pub lifetime: Duration,
}

impl Tickets {
    /// No key opens tickets for longer. Far below the week that TLS allows (RFC 9846, section 4.6.1).
    pub const LONGEST: Duration = Duration::from_secs(12 * 3_600);

    /// Clients are told in seconds.
    pub const SHORTEST: Duration = Duration::from_secs(1);

    /// The most keys that open tickets besides the one that seals. Each is tried with every ticket that a client brings.
    pub const MOST_KEYS: u32 = 8;
}

impl Default for Tickets {
    fn default() -> Self {
        Self {
            rotate: Self::LONGEST / 2,
            lifetime: Self::LONGEST,
        }
    }
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
