//! The certificates of authorities, read from a file.
//!
//! policy → **authorities** → connector. A file without one is refused: trusting nobody would look like servers that are down.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use super::file::{FileError, MAX_BYTES, Whole};

/// Reads every certificate of the PEM file at `path`.
///
/// # Errors
///
/// When it cannot be read, is no PEM, holds no certificate, or one that cannot vouch for others.
pub(super) fn authorities(path: &Path) -> Result<RootCertStore, AuthorityError> {
    let mut store = RootCertStore::empty();
    for certificate in Whole::read(path, MAX_BYTES)?.sections::<CertificateDer<'static>>()? {
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
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// No certificate in the file.
    #[error("no certificate in `{}`\nhelp: the file must hold the `BEGIN CERTIFICATE` sections of the authorities", path.display())]
    None {
        /// The file.
        path: PathBuf,
    },
    /// A certificate that nothing can be verified with.
    #[error("a certificate in `{}` cannot be trusted as an authority", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
}
