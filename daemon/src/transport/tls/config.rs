//! A listener's TLS settings as rustls wants them.
//!
//! certificate → **config** → handshake. Made anew on every reload; the ticket keys are not, so that clients can resume
//! across a change of certificates.

use std::sync::Arc;

use ravelin_rules::policy::{Tls, TlsVersion};
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ConfigBuilder, ServerConfig, WantsVerifier};

use super::certificate::{Certificate, Served};
use super::client_auth::Examination;
use super::sni::NameMap;
use super::tickets::TicketKeys;

/// Versions, certificates and ALPN of a listener, as every handshake of it begins.
#[derive(Debug)]
pub(crate) struct Settings {
    builder: ConfigBuilder<ServerConfig, WantsVerifier>,
    certificates: Arc<CertificateChoice>,
    alpn: Vec<Vec<u8>>,
    /// For connections that are not asked for a certificate.
    unasked: Arc<ServerConfig>,
}

impl Settings {
    /// Puts versions, certificates, ALPN and tickets together.
    pub(crate) fn new(
        tls: &Tls,
        certificates: &[Certificate],
        tickets: Option<Arc<TicketKeys>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let versions: &[_] = match tls.min_version {
            TlsVersion::V1_2 => &[&TLS13, &TLS12],
            TlsVersion::V1_3 => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(versions)
            .map_err(|source| TlsError::Versions { source })?;
        let certificates = Arc::new(CertificateChoice::new(certificates));
        let alpn: Vec<_> = tls
            .alpn
            .iter()
            .map(|protocol| protocol.as_bytes().to_vec())
            .collect();
        let mut unasked = builder
            .clone()
            .with_no_client_auth()
            .with_cert_resolver(Arc::<CertificateChoice>::clone(&certificates));
        unasked.alpn_protocols.clone_from(&alpn);
        // Sessions are resumed by tickets or not at all: a cache of sessions would know no lifetime, and be emptied by each reload.
        unasked.session_storage = Arc::new(NoServerSessionStorage {});
        match tickets {
            Some(keys) => unasked.ticketer = keys,
            None => unasked.send_tls13_tickets = 0,
        }
        Ok(Self {
            builder,
            certificates,
            alpn,
            unasked: Arc::new(unasked),
        })
    }

    /// For a connection that is not asked for a certificate: it may resume an earlier one that was not either.
    pub(crate) fn unasked(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.unasked)
    }

    /// For the one connection that `examination` examines. Nothing of an earlier session can be in it and none is kept: a resumed
    /// session would be let in by what was true of its certificate when it began (nginx CVE-2025-23419 and its kin).
    ///
    /// Made for each connection, because rustls calls a verifier without saying for whom: one for all could tell neither why a list that
    /// has run out was forgiven nor whose certificate failed, and an error that carried the latter would get the client another alert.
    pub(crate) fn asking(&self, examination: Arc<Examination>) -> Arc<ServerConfig> {
        let mut config = self
            .builder
            .clone()
            .with_client_cert_verifier(examination)
            .with_cert_resolver(Arc::<CertificateChoice>::clone(&self.certificates));
        config.alpn_protocols.clone_from(&self.alpn);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Arc::new(config)
    }
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
