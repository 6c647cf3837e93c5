//! `[listener.tls]`.

use std::path::PathBuf;

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
