//! A listener's TLS settings as rustls wants them.
//!
//! certificate → **config** → handshake. Made anew on every reload; the ticket keys are not, so that clients can resume
//! across a change of certificates.

use std::sync::Arc;

use ravelin_rules::policy::{Tls, TlsVersion};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::certificate::Certificate;
use super::sni::NameMap;

/// The keys session tickets are sealed with. Each listener has its own: a ticket of one never resumes on another.
pub type Tickets = Arc<dyn ProducesTickets>;

/// Fresh ticket keys. They change every 6 hours and are accepted for 12.
///
/// # Errors
///
/// When the system has no randomness.
pub fn tickets() -> Result<Tickets, TlsError> {
    aws_lc_rs::Ticketer::new().map_err(|source| TlsError::Tickets { source })
}

/// Puts versions, certificates, ALPN and tickets together.
pub(crate) fn server_config(
    tls: &Tls,
    certificates: &[Certificate],
    tickets: Tickets,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let versions: &[_] = match tls.min_version {
        TlsVersion::V1_2 => &[&TLS13, &TLS12],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(versions)
        .map_err(|source| TlsError::Versions { source })?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(CertificateChoice::new(certificates)));
    config.alpn_protocols = tls
        .alpn
        .iter()
        .map(|protocol| protocol.as_bytes().to_vec())
        .collect();
    config.ticketer = tickets;
    Ok(Arc::new(config))
}

/// The certificates of a listener, by the names inside them.
#[derive(Debug)]
struct CertificateChoice {
    by_name: NameMap<Arc<CertifiedKey>>,
    all: Vec<Arc<CertifiedKey>>,
}

impl CertificateChoice {
    fn new(certificates: &[Certificate]) -> Self {
        let names = certificates.iter().flat_map(|certificate| {
            certificate
                .names
                .iter()
                .map(|name| (name.clone(), Arc::clone(&certificate.key)))
        });
        Self {
            by_name: NameMap::new(names),
            all: certificates
                .iter()
                .map(|certificate| Arc::clone(&certificate.key))
                .collect(),
        }
    }
}

impl ResolvesServerCert for CertificateChoice {
    /// Of the certificates for the name (all of them when none is) the first the client can verify the signature of: so an
    /// ECDSA and an RSA certificate may stand side by side.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(normal);
        let named = self.by_name.find(name.as_deref());
        let candidates = if named.is_empty() { &self.all } else { named };
        let schemes = hello.signature_schemes();
        let usable = candidates
            .iter()
            .find(|certified| certified.key.choose_scheme(schemes).is_some());
        usable.or_else(|| candidates.first()).cloned()
    }
}

/// A server name as names are compared: lower case, without the dot of a rooted name.
pub(super) fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// Why a listener's TLS settings do not work.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No randomness.
    #[error("cannot make keys for session tickets")]
    Tickets {
        /// What the library said.
        source: rustls::Error,
    },
    /// No version left.
    #[error("the TLS library supports none of the versions asked for")]
    Versions {
        /// What the library said.
        source: rustls::Error,
    },
}
