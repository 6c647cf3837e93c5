//! A listener's TLS settings as rustls wants them.
//!
//! certificate → **config** → handshake. Made anew on every reload; the ticket keys are not, so that clients can resume
//! across a change of certificates.

use std::sync::Arc;

use ravelin_rules::policy::{Tls, TlsVersion};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::certificate::{Certificate, Served};
use super::sni::NameMap;
use super::tickets::TicketKeys;

/// Puts versions, certificates, ALPN and tickets together.
pub(crate) fn server_config(
    tls: &Tls,
    certificates: &[Certificate],
    tickets: Option<Arc<TicketKeys>>,
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
    // Sessions are resumed by tickets or not at all: a cache of sessions would know no lifetime, and be emptied by each reload.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    match tickets {
        Some(keys) => config.ticketer = keys,
        None => config.send_tls13_tickets = 0,
    }
    Ok(Arc::new(config))
}

/// The certificates of a listener, by the names inside them.
#[derive(Debug)]
struct CertificateChoice {
    by_name: NameMap<Served>,
    all: Vec<Served>,
}

impl CertificateChoice {
    fn new(certificates: &[Certificate]) -> Self {
        let names = certificates.iter().flat_map(|certificate| {
            certificate
                .names
                .iter()
                .map(|name| (name.clone(), certificate.key.clone()))
        });
        Self {
            by_name: NameMap::new(names),
            all: certificates
                .iter()
                .map(|certificate| certificate.key.clone())
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
            .find(|served| served.now().key.choose_scheme(schemes).is_some());
        usable
            .or_else(|| candidates.first())
            .map(|served| Arc::clone(served.now()))
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
