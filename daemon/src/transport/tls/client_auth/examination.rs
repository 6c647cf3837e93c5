//! One client's certificate, examined inside one handshake.
//!
//! trust → **examination** → session. Each connection that is asked for a certificate has one of its own: rustls says what was wrong, but
//! not with whose certificate, and what is kept here is what the log line tells.
//!
//! Names are compared when the client has proven that the key is its own (in `CertificateVerify`), and before the handshake is done: a
//! certificate is no secret, so whoever only shows one must not learn whether it would be let in; and the alert still gets out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::names::Names;
use super::reason::reason;
use super::trust::Trust;
use crate::metrics::labels::{ClientAcceptance, ClientRefusal};

/// The verifier of one connection, and what it found.
#[derive(Debug)]
pub(crate) struct Examination {
    trust: Arc<Trust>,
    mandatory: bool,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    shown: Option<CertificateDer<'static>>,
    /// Authorities vouch for it.
    vouched: Option<ClientAcceptance>,
    /// Its key is the client's, and its names are let in.
    admitted: bool,
}

/// Who a client has proven to be.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// What it sent, leaf first: judged again when a reload changes who is let in. rustls bounds it (64 KiB).
    #[expect(dead_code, reason = "the review of live connections after a reload reads it")]
    pub(crate) chain: Arc<[CertificateDer<'static>]>,
    /// What the leaf says.
    pub(crate) names: Names,
}

/// A client that was asked, and is not let in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: ClientRefusal,
    /// Whom the certificate names, safe to write; `None` when it showed none that can be read.
    pub(crate) certificate: Option<String>,
}

impl Examination {
    /// For one connection; `mandatory`: who shows no certificate is refused.
    pub(crate) fn new(trust: &Arc<Trust>, mandatory: bool) -> Arc<Self> {
        Arc::new(Self {
            trust: Arc::clone(trust),
            mandatory,
            found: Mutex::default(),
        })
    }

    /// What came of a finished handshake. `chain` is what rustls says the client showed: if it was not examined, the client is refused.
    pub(crate) fn conclude(
        &self,
        chain: Option<&[CertificateDer<'static>]>,
    ) -> Result<(ClientAcceptance, Option<Identity>), Refused> {
        let (vouched, admitted) = {
            let found = self.found();
            (found.vouched, found.admitted)
        };
        match (chain.and_then(|chain| Some((chain, chain.first()?))), vouched) {
            (None, _) if self.mandatory => Err(self.refusal(ClientRefusal::NoCertificate)),
            (None, _) => Ok((ClientAcceptance::Anonymous, None)),
            (Some((chain, leaf)), Some(acceptance)) if admitted => match Names::read(leaf) {
                Some(names) => {
                    let chain = chain.into();
                    Ok((acceptance, Some(Identity { chain, names })))
                }
                None => Err(self.refusal(ClientRefusal::Malformed)),
            },
            (Some(_), _) => Err(self.refusal(ClientRefusal::Other)),
        }
    }

    /// What came of a handshake that failed with `error`; `None` when it is not about the certificate.
    pub(crate) fn refused(&self, error: &Error) -> Option<Refused> {
        reason(error).map(|reason| self.refusal(reason))
    }

    fn refusal(&self, reason: ClientRefusal) -> Refused {
        let names = self.found().shown.as_ref().and_then(Names::read);
        Refused {
            reason,
            certificate: names.map(|names| names.describe()),
        }
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        // Every change is a single assignment.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, leaf: &CertificateDer<'_>) -> Result<(), Error> {
        self.trust.admits(leaf)?;
        self.found().admitted = true;
        Ok(())
    }
}

impl ClientCertVerifier for Examination {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.trust.hints
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.found().shown = Some(leaf.clone().into_owned());
        let acceptance = self.trust.vouches(leaf, sent, now)?;
        self.found().vouched = Some(acceptance);
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let valid = verify_tls12_signature(message, leaf, signature, &self.trust.algorithms)?;
        self.admit(leaf)?;
        Ok(valid)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let valid = verify_tls13_signature(message, leaf, signature, &self.trust.algorithms)?;
        self.admit(leaf)?;
        Ok(valid)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms.supported_schemes()
    }
}
