//! A certificate chain and its key, read from their files and checked against each other.
//!
//! policy → **certificate** → config. A pair that does not fit is never served: files are replaced one after the other, and
//! what is read between the two must not reach a client.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ravelin_rules::policy::{CertificateFiles, SniPattern};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::sign::CertifiedKey;
use rustls::{Error as RustlsError, InconsistentKeys};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A pair ready to be served.
#[derive(Debug)]
pub struct Certificate {
    /// The chain and the key.
    pub(super) key: Arc<CertifiedKey>,
    /// The DNS names inside, lower case.
    pub names: Vec<SniPattern>,
    /// When the leaf expires, in seconds since the epoch.
    pub not_after: i64,
    /// The file of the chain, as the policy names it.
    pub file: PathBuf,
}

impl Certificate {
    /// Reads the pair and checks that key and leaf belong together.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, is not PEM, or the two do not fit.
    pub fn load(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Self, CertificateError> {
        let CertificateFiles { cert, key, .. } = files;
        let chain = CertificateDer::pem_slice_iter(&read(cert)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| CertificateError::Pem {
                path: cert.clone(),
                source,
            })?;
        let leaf = chain
            .first()
            .ok_or_else(|| CertificateError::NoCertificate { path: cert.clone() })?;
        let (names, not_after) =
            read_leaf(leaf).ok_or_else(|| CertificateError::Leaf { path: cert.clone() })?;
        warn_if_open(key);
        let private = match PrivateKeyDer::from_pem_slice(&read(key)?) {
            Ok(private) => private,
            Err(pem::Error::NoItemsFound) => return Err(CertificateError::NoKey { path: key.clone() }),
            Err(source) => {
                return Err(CertificateError::Pem {
                    path: key.clone(),
                    source,
                });
            }
        };
        let certified = CertifiedKey::from_der(chain, private, provider).map_err(|source| match source {
            RustlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => CertificateError::Mismatch {
                cert: cert.clone(),
                key: key.clone(),
            },
            source => CertificateError::Unusable {
                cert: cert.clone(),
                key: key.clone(),
                source,
            },
        })?;
        Ok(Self {
            key: Arc::new(certified),
            names,
            not_after,
            file: cert.clone(),
        })
    }
}

/// The bytes of a PEM file, which are bounded.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let unreadable = |source| CertificateError::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = Vec::new();
    File::open(path)
        .map_err(unreadable)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(CertificateError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(text)
}

/// The DNS names and the end of validity of a leaf.
fn read_leaf(leaf: &CertificateDer<'_>) -> Option<(Vec<SniPattern>, i64)> {
    let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
    let mut names = Vec::new();
    if let Some(alternatives) = leaf.subject_alternative_name().ok()? {
        for name in &alternatives.value.general_names {
            if let GeneralName::DNSName(name) = name {
                let name = name.to_ascii_lowercase();
                names.push(match name.strip_prefix("*.") {
                    Some(parent) => SniPattern::Wildcard(parent.to_owned()),
                    None => SniPattern::Exact(name),
                });
            }
        }
    }
    Some((names, leaf.validity().not_after.timestamp()))
}

/// A key that everybody on the host can read still works; the operator should know.
fn warn_if_open(key: &Path) {
    if let Ok(metadata) = fs::metadata(key)
        && metadata.permissions().mode() & OTHERS != 0
    {
        tracing::warn!(key = %key.display(), "every user of this host can read or change this private key");
    }
}

/// Why a pair cannot be served. The operator's files are at fault.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The leaf is not a certificate.
    #[error("the first certificate in `{}` cannot be read\nhelp: write the server's own certificate first, then its issuers", path.display())]
    Leaf {
        /// The chain.
        path: PathBuf,
    },
    /// The key is another certificate's.
    #[error("the key `{}` does not belong to the certificate `{}`\nhelp: replace both files", key.display(), cert.display())]
    Mismatch {
        /// The chain.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// No certificate in the file.
    #[error("no certificate in `{}`\nhelp: the file must hold `BEGIN CERTIFICATE` sections, the server's own first", path.display())]
    NoCertificate {
        /// The chain.
        path: PathBuf,
    },
    /// No key in the file.
    #[error("no private key in `{}`\nhelp: the file must hold a `BEGIN PRIVATE KEY` section that is not encrypted", path.display())]
    NoKey {
        /// The key.
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
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No chain is this long.
    #[error("`{}` is larger than {MAX_FILE_BYTES} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The kind of key, or the certificate, is not supported.
    #[error("the pair `{}` and `{}` cannot be used", cert.display(), key.display())]
    Unusable {
        /// The chain.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// What rustls said.
        source: RustlsError,
    },
}

/// A chain is some kilobytes. A path that leads to a device or a log must not be read into memory.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Permission bits of users who are neither the owner nor in the group.
const OTHERS: u32 = 0o007;
