//! The certificates of authorities, read from a file.
//!
//! policy → **authorities** → connector. A file without one is refused: trusting nobody would look like servers that are down.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};

use super::certificate::{CertificateError, read};

/// Reads every certificate of the PEM file at `path`.
///
/// # Errors
///
/// When it cannot be read, is no PEM, holds no certificate, or one that cannot vouch for others.
pub(super) fn authorities(path: &Path) -> Result<RootCertStore, AuthorityError> {
    let mut store = RootCertStore::empty();
    let (text, _) = read(path).map_err(|error| error.of(path))?;
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|source| AuthorityError::Pem {
            path: path.to_owned(),
            source,
        })?;
        store
            .add(certificate)
            .map_err(|source| AuthorityError::Unusable {
                path: path.to_owned(),
                source,
            })?;
    }
    if store.is_empty() {
        return Err(AuthorityError::None {
            path: path.to_owned(),
        });
    }
    Ok(store)
}

/// Why the authorities of a file cannot be trusted. The operator's file is at fault.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// No certificate in the file.
    #[error("no certificate in `{}`\nhelp: the file must hold the `BEGIN CERTIFICATE` sections of the authorities", path.display())]
    None {
        /// The file.
        path: PathBuf,
    },
    /// Not PEM, or cut off.
    #[error("`{}` is not a whole PEM file", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] CertificateError),
    /// A certificate that nothing can be verified with.
    #[error("a certificate in `{}` cannot be trusted as an authority", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
}
