//! Revocation lists (RFC 5280 section 5): which serial numbers their issuers have taken back.
//!
//! rustls looks a certificate up in the first list that it finds responsible. That is right for one list an issuer, and lets a
//! revoked certificate pass where an issuer has several, or where a list is wrongly found not responsible (RUSTSEC-2026-0049).
//! So every list is also kept as the plain statement that it is: an issuer's name and a serial number identify one
//! certificate, and a list that names them means that one.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

use super::authorities::Authorities;
use super::error::ClientAuthError;
use super::printable::printable;
use super::signature::Signed;
use crate::transport::tls::file::Whole;

/// Serial numbers by the name of their issuer.
#[derive(Default)]
pub(super) struct Revoked(HashMap<Box<[u8]>, HashSet<Box<[u8]>>>);

/// One list, and where it stands.
pub(super) struct Crl {
    pub(super) der: CertificateRevocationListDer<'static>,
    pub(super) path: PathBuf,
    pub(super) number: usize,
    this_update: i64,
}

impl Revoked {
    /// Reads the lists and checks that authorities of `ca` have signed them. The newest of an issuer comes first: that is the one
    /// whose age counts.
    pub(super) fn load(
        paths: &[PathBuf],
        ca: &Path,
        authorities: &Authorities,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(Self, Vec<Crl>), ClientAuthError> {
        let mut revoked = Self::default();
        let mut lists = Vec::new();
        for path in paths {
            let sections: Vec<CertificateRevocationListDer<'static>> =
                Whole::read(path, MAX_BYTES)?.sections()?;
            if sections.is_empty() {
                return Err(ClientAuthError::NoCrl { path: path.clone() });
            }
            for (number, der) in (1..).zip(sections) {
                let this_update = {
                    let Ok(([], list)) = CertificateRevocationList::from_der(&der) else {
                        return Err(ClientAuthError::Crl {
                            path: path.clone(),
                            number,
                        });
                    };
                    let signed = Signed {
                        message: list.tbs_cert_list.as_ref(),
                        algorithm: &list.signature_algorithm,
                        signature: &list.signature_value.data,
                    };
                    if !authorities.have_signed(list.issuer().as_raw(), &signed, algorithms) {
                        return Err(ClientAuthError::CrlForeign {
                            path: path.clone(),
                            number,
                            ca: ca.to_owned(),
                            issuer: printable(&list.issuer().to_string()),
                        });
                    }
                    warn_if_old(path, &list);
                    revoked.add(&list);
                    list.last_update().timestamp()
                };
                lists.push(Crl {
                    der,
                    path: path.clone(),
                    number,
                    this_update,
                });
            }
        }
        lists.sort_by_key(|list| std::cmp::Reverse(list.this_update));
        Ok((revoked, lists))
    }

    fn add(&mut self, list: &CertificateRevocationList<'_>) {
        let serials = self.0.entry(list.issuer().as_raw().into()).or_default();
        serials.extend(
            list.iter_revoked_certificates()
                .map(|entry| Box::from(entry.raw_serial())),
        );
    }

    /// Whether a list names it. Who cannot be read is not vouched for either, and never gets here.
    pub(super) fn names(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
            return true;
        };
        self.0
            .get(certificate.issuer().as_raw())
            .is_some_and(|serials| serials.contains(certificate.raw_serial()))
    }
}

fn warn_if_old(path: &Path, list: &CertificateRevocationList<'_>) {
    let next = list
        .next_update()
        .and_then(|next| u64::try_from(next.timestamp()).ok());
    if next.is_some_and(|next| next < UnixTime::now().as_secs()) {
        let issuer = printable(&list.issuer().to_string());
        tracing::warn!(crl = %path.display(), issuer, "this revocation list is past its `nextUpdate`");
    }
}

/// The largest lists in use are some tens of megabytes. A path that leads to a device or a log must not be read into memory.
const MAX_BYTES: u64 = 64 << 20;
