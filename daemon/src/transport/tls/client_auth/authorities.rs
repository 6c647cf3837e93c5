//! The bundle of authorities that vouch for clients.
//!
//! A certificate that another one of the bundle has issued is a **link**: it is put beside what clients send, and checked like
//! it. Were it trusted for itself, chains would end there, and nobody would see that its issuer has revoked it. All others are
//! **anchors**, where chains end: of those only name and key count (RFC 5280 section 6.1), not their dates.

use std::path::Path;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{DistinguishedName, RootCertStore};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::error::ClientAuthError;
use super::printable::printable;
use super::signature::Signed;
use crate::transport::tls::file::{MAX_BYTES, Whole};

/// Who vouches for clients.
#[derive(Debug)]
pub(super) struct Authorities {
    pub(super) anchors: RootCertStore,
    pub(super) links: Vec<CertificateDer<'static>>,
    all: Vec<CertificateDer<'static>>,
}

impl Authorities {
    /// Reads the bundle.
    pub(super) fn load(path: &Path, algorithms: &WebPkiSupportedAlgorithms) -> Result<Self, ClientAuthError> {
        let path_of = || path.to_owned();
        let all: Vec<CertificateDer<'static>> = Whole::read(path, MAX_BYTES)?.sections()?;
        if all.is_empty() {
            return Err(ClientAuthError::NoCertificate { path: path_of() });
        }
        if all.len() > MAX_AUTHORITIES {
            return Err(ClientAuthError::TooMany {
                path: path_of(),
                most: MAX_AUTHORITIES,
            });
        }
        let mut parsed = Vec::new();
        for (number, der) in (1..).zip(&all) {
            let certificate = parse(der).ok_or_else(|| ClientAuthError::Certificate {
                path: path_of(),
                number,
            })?;
            if !is_authority(&certificate) {
                return Err(ClientAuthError::NotAnAuthority {
                    path: path_of(),
                    number,
                    subject: printable(&certificate.subject().to_string()),
                });
            }
            warn_if_expired(path, &certificate);
            parsed.push(certificate);
        }
        let mut anchors = RootCertStore::empty();
        let mut links = Vec::new();
        for (number, (der, certificate)) in (1..).zip(all.iter().zip(&parsed)) {
            let issued_by = |other: &X509Certificate<'_>| issued(certificate, other, algorithms);
            if !issued_by(certificate) && parsed.iter().any(issued_by) {
                links.push(der.clone());
            } else {
                // rustls reads certificates in its own way, and may not like one.
                let refused = |_| ClientAuthError::Certificate {
                    path: path_of(),
                    number,
                };
                anchors.add(der.clone()).map_err(refused)?;
            }
        }
        if anchors.is_empty() {
            return Err(ClientAuthError::NoAnchor { path: path_of() });
        }
        Ok(Self { anchors, links, all })
    }

    /// Whether an authority of this name has signed it.
    pub(super) fn have_signed(
        &self,
        issuer: &[u8],
        signed: &Signed<'_>,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> bool {
        self.all.iter().filter_map(parse).any(|authority| {
            authority.subject().as_raw() == issuer && signed.by(authority.public_key(), algorithms)
        })
    }

    /// What clients are told of whose certificates are wanted, so that one that has several sends the right one. Too long a list is
    /// left out: it would not fit the message, and clients choose for themselves then.
    pub(super) fn hints(&self) -> Vec<DistinguishedName> {
        let mut names = self.anchors.clone();
        for link in &self.links {
            // A link that rustls does not read leads nowhere either.
            drop(names.add(link.clone()));
        }
        let hints = names.subjects();
        let bytes: usize = hints.iter().map(|name| name.as_ref().len()).sum();
        if bytes > MAX_HINT_BYTES { Vec::new() } else { hints }
    }
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Some(certificate),
        _ => None,
    }
}

/// RFC 5280 sections 4.2.1.3 and 4.2.1.9. An anchor is a name and a key to rustls: the key of a client that stands in the bundle by
/// mistake could sign certificates for anybody.
fn is_authority(certificate: &X509Certificate<'_>) -> bool {
    let constraints = certificate.basic_constraints().ok().flatten();
    let signs = match certificate.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
        Err(_) => false,
    };
    signs && constraints.is_some_and(|constraints| constraints.value.ca)
}

fn issued(
    certificate: &X509Certificate<'_>,
    by: &X509Certificate<'_>,
    algorithms: &WebPkiSupportedAlgorithms,
) -> bool {
    let signed = Signed {
        message: certificate.tbs_certificate.as_ref(),
        algorithm: &certificate.signature_algorithm,
        signature: &certificate.signature_value.data,
    };
    certificate.issuer().as_raw() == by.subject().as_raw() && signed.by(by.public_key(), algorithms)
}

fn warn_if_expired(path: &Path, certificate: &X509Certificate<'_>) {
    let not_after = u64::try_from(certificate.validity().not_after.timestamp());
    if not_after.is_ok_and(|not_after| not_after < UnixTime::now().as_secs()) {
        let subject = printable(&certificate.subject().to_string());
        tracing::warn!(ca = %path.display(), subject, "the certificate of this authority has expired");
    }
}

/// Each is compared with every other.
const MAX_AUTHORITIES: usize = 1_000;

/// The list of names has a length of two bytes (RFC 9846 section 4.2.4), and travels in every handshake.
const MAX_HINT_BYTES: usize = 16 * 1024;
