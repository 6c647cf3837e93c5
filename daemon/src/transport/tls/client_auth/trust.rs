//! Judges a client's chain: built to an authority, in time, for clients, not revoked; then whether its names are let in.

use std::fmt;
use std::sync::Arc;

use ravelin_rules::policy::{ClientAuth, CrlPolicy, Identities};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, DistinguishedName, Error};

use super::authorities::Authorities;
use super::error::ClientAuthError;
use super::names::Names;
use super::reason::reason;
use super::revoked::Revoked;
use crate::metrics::labels::{ClientAcceptance, ClientRefusal};

/// Whom a listener lets in by certificate.
pub(crate) struct Trust {
    /// Every certificate of a chain but the anchor must be known not to be revoked, where there are lists at all.
    strict: Arc<dyn ClientCertVerifier>,
    /// `crl_policy = "soft"`: asked when `strict` cannot tell.
    soft: Option<Arc<dyn ClientCertVerifier>>,
    revoked: Revoked,
    links: Vec<CertificateDer<'static>>,
    allow: Identities,
    pub(super) hints: Vec<DistinguishedName>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    /// Reads the bundle and the revocation lists.
    ///
    /// # Errors
    ///
    /// When one of the files is not whole, or says something that cannot be checked.
    pub(crate) fn load(policy: &ClientAuth, provider: &Arc<CryptoProvider>) -> Result<Self, ClientAuthError> {
        let algorithms = provider.signature_verification_algorithms;
        let authorities = Authorities::load(&policy.ca, &algorithms)?;
        let (revoked, lists) = Revoked::load(&policy.crl, &policy.ca, &authorities, &algorithms)?;
        let hints = authorities.hints();
        let anchors = Arc::new(authorities.anchors);
        let builder =
            || WebPkiClientVerifier::builder_with_provider(Arc::clone(&anchors), Arc::clone(provider));
        for list in &lists {
            // One by one, to tell which it is.
            let unsupported = |source| ClientAuthError::CrlUnsupported {
                path: list.path.clone(),
                number: list.number,
                source,
            };
            builder()
                .with_crls([list.der.clone()])
                .build()
                .map_err(unsupported)?;
        }
        let unusable = |source| ClientAuthError::Verifier {
            path: policy.ca.clone(),
            source,
        };
        let with_lists = || builder().with_crls(lists.iter().map(|list| list.der.clone()));
        let strict = with_lists()
            .enforce_revocation_expiration()
            .build()
            .map_err(unusable)?;
        let soft = match policy.crl_policy {
            CrlPolicy::Soft if !lists.is_empty() => Some(
                with_lists()
                    .allow_unknown_revocation_status()
                    .build()
                    .map_err(unusable)?,
            ),
            CrlPolicy::Soft | CrlPolicy::Strict => None,
        };
        // rustls looks in the newest list of an issuer alone: a link that an older one names must not be there to be found.
        let live = |link: &CertificateDer<'_>| !revoked.names(link);
        let links = authorities.links.into_iter().filter(live).collect();
        Ok(Self {
            strict,
            soft,
            revoked,
            links,
            allow: policy.allow.clone(),
            hints,
            algorithms,
        })
    }

    /// Whether the chain, leaf first, is one whose holder is let in at `now`.
    pub(crate) fn accepts(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientAcceptance, ClientRefusal> {
        let (leaf, sent) = chain.split_first().ok_or(ClientRefusal::NoCertificate)?;
        let accepted = self.vouches(leaf, sent, now).and_then(|acceptance| {
            self.admits(leaf)?;
            Ok(acceptance)
        });
        accepted.map_err(|error| reason(&error).unwrap_or(ClientRefusal::Other))
    }

    /// Authentication: an authority vouches for the leaf.
    pub(super) fn vouches(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientAcceptance, Error> {
        let sent_bytes = sent.iter().map(AsRef::as_ref);
        let links = self.links.iter().map(AsRef::as_ref);
        let beside: Vec<CertificateDer<'_>> = sent_bytes.chain(links).map(CertificateDer::from).collect();
        let acceptance = match (self.strict.verify_client_cert(leaf, &beside, now), &self.soft) {
            (Ok(_), _) => ClientAcceptance::Accepted,
            (Err(error), Some(soft)) => {
                let forgiven = match reason(&error) {
                    Some(ClientRefusal::CrlExpired) => ClientAcceptance::CrlExpired,
                    Some(ClientRefusal::RevocationUnknown) => ClientAcceptance::RevocationUnknown,
                    _ => return Err(error),
                };
                soft.verify_client_cert(leaf, &beside, now)?;
                forgiven
            }
            (Err(error), None) => return Err(error),
        };
        // What the client sent is refused as a whole: which of it the chain was built from, rustls does not tell.
        if std::iter::once(leaf)
            .chain(sent)
            .any(|certificate| self.revoked.names(certificate))
        {
            return Err(CertificateError::Revoked.into());
        }
        Ok(acceptance)
    }

    /// Authorization: the leaf's names are let in.
    pub(super) fn admits(&self, leaf: &CertificateDer<'_>) -> Result<(), Error> {
        match Names::read(leaf) {
            Some(names) if names.are_among(&self.allow) => Ok(()),
            Some(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            None => Err(CertificateError::BadEncoding.into()),
        }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Trust").finish_non_exhaustive()
    }
}
