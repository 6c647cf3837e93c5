//! A certificate chain and its key, read from their files and checked against each other, with its OCSP staple.
//!
//! policy → **certificate** → config. A pair that does not fit is never served: files are replaced one after the other, and
//! what is read between the two must not reach a client. A staple that does not fit is left out.

use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ravelin_rules::policy::{CertificateFiles, SniPattern};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error as RustlsError, InconsistentKeys};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::file::{FileError, MAX_BYTES, Whole};
use super::staple::Staple;

/// A pair ready to be served.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The chain and the key.
    pub(super) key: Served,
    /// The DNS names inside, lower case.
    pub names: Vec<SniPattern>,
    /// When the leaf expires, in seconds since the epoch.
    pub not_after: i64,
    /// The file of the chain, as the policy names it.
    pub file: PathBuf,
    /// The file of the key.
    pub(super) key_file: PathBuf,
}

/// A chain and its key as the library wants them, with and without the staple.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) plain: Arc<CertifiedKey>,
    stapled: Option<(Staple, Arc<CertifiedKey>)>,
}

impl Served {
    /// What to serve now: a response that has run out, or does not hold yet, would be worse for clients than none.
    pub(super) fn now(&self) -> &Arc<CertifiedKey> {
        match &self.stapled {
            Some((staple, stapled)) if staple.holds.contains(&seconds()) => stapled,
            _ => &self.plain,
        }
    }
}

/// What becomes of a key that others can read or change.
#[derive(Clone, Copy, Debug)]
pub enum OpenKeys {
    /// It is not used.
    Refused,
    /// It is not used, and this setting would change that.
    RefusedUnless(&'static str),
    /// It is used, and told of.
    Told,
}

/// What is read of a leaf.
struct Leaf {
    names: Vec<SniPattern>,
    not_after: i64,
    serial: Vec<u8>,
    /// The bits of its modulus, if its key is one of RSA.
    rsa_bits: Option<usize>,
}

impl Certificate {
    /// Reads the pair and checks that key and leaf belong together.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, is not PEM, the two do not fit, or the key is open to others or too weak.
    pub fn load(
        files: &CertificateFiles,
        open_keys: OpenKeys,
        provider: &CryptoProvider,
    ) -> Result<Self, CertificateError> {
        let CertificateFiles { cert, key, ocsp, .. } = files;
        let chain: Vec<CertificateDer<'static>> = Whole::read(cert, MAX_BYTES)?.sections()?;
        let leaf = chain
            .first()
            .ok_or_else(|| CertificateError::NoCertificate { path: cert.clone() })?;
        let leaf = Leaf::read(leaf).ok_or_else(|| CertificateError::Leaf { path: cert.clone() })?;
        if let Some(bits) = leaf.rsa_bits.filter(|bits| *bits < MIN_RSA_BITS) {
            return Err(CertificateError::Weak {
                path: cert.clone(),
                bits,
            });
        }
        let private = Whole::read(key, MAX_BYTES)?;
        check_permissions(key, &private.metadata, open_keys)?;
        let private = private.sections::<PrivateKeyDer<'static>>()?.into_iter().next();
        let private = private.ok_or_else(|| CertificateError::NoKey { path: key.clone() })?;
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
        let staple = ocsp.as_ref().and_then(|ocsp| staple(ocsp, cert, &leaf));
        let stapled = staple.map(|staple| {
            let mut stapled = certified.clone();
            stapled.ocsp = Some(staple.der.clone());
            (staple, Arc::new(stapled))
        });
        Ok(Self {
            key: Served {
                plain: Arc::new(certified),
                stapled,
            },
            names: leaf.names,
            not_after: leaf.not_after,
            file: cert.clone(),
            key_file: key.clone(),
        })
    }

    /// When its staple runs out, in seconds since the epoch; `None`: it has none.
    #[must_use]
    pub fn staple_ends(&self) -> Option<i64> {
        self.key.stapled.as_ref().map(|(staple, _)| staple.holds.end)
    }
}

impl Leaf {
    fn read(leaf: &CertificateDer<'_>) -> Option<Self> {
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
        let rsa_bits = match leaf.public_key().parsed().ok()? {
            PublicKey::RSA(key) => Some(modulus_bits(key.modulus)),
            _ => None,
        };
        Some(Self {
            names,
            not_after: leaf.validity().not_after.timestamp(),
            serial: leaf.raw_serial().to_vec(),
            rsa_bits,
        })
    }
}

fn modulus_bits(modulus: &[u8]) -> usize {
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let first = modulus.get(zeros).map_or(0, |byte| byte.leading_zeros() as usize);
    (modulus.len() - zeros) * 8 - first
}

/// The response to send along, if there is one that may be. Its absence is told and changes nothing else: an authority whose
/// responder is down must not take a server down.
fn staple(ocsp: &Path, cert: &Path, leaf: &Leaf) -> Option<Staple> {
    let without = |reason: &dyn std::fmt::Display| {
        tracing::warn!(
            ocsp = %ocsp.display(), certificate = %cert.display(),
            "this OCSP response is not sent, the certificate is served without: {reason}"
        );
    };
    let staple = Staple::load(ocsp, &leaf.serial)
        .inspect_err(|error| without(error))
        .ok()?;
    if staple.holds.end <= seconds() {
        without(&"it has run out");
    }
    Some(staple)
}

fn seconds() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}

/// A key that is no secret proves nothing.
fn check_permissions(key: &Path, metadata: &Metadata, open_keys: OpenKeys) -> Result<(), CertificateError> {
    let mode = metadata.permissions().mode() & 0o777;
    if mode & OPEN == 0 {
        return Ok(());
    }
    let open = CertificateError::OpenKey {
        path: key.to_owned(),
        mode,
        way_out: match open_keys {
            OpenKeys::RefusedUnless(setting) => format!("; or set `{setting}`"),
            OpenKeys::Refused | OpenKeys::Told => String::new(),
        },
    };
    match open_keys {
        OpenKeys::Refused | OpenKeys::RefusedUnless(_) => Err(open),
        OpenKeys::Told => {
            tracing::warn!("{open}");
            Ok(())
        }
    }
}

/// Why a pair cannot be served. The operator's files are at fault.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// One of the files.
    #[error(transparent)]
    File(#[from] FileError),
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
    /// Others can read or change the key.
    #[error("the private key `{}` is open to other users of this host (mode {mode:03o})\nhelp: `chmod 640` it and give it to the group that the edge runs in{way_out}", path.display())]
    OpenKey {
        /// The key.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What else helps, for the end of the line.
        way_out: String,
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
    /// An RSA key that can be broken.
    #[error("the RSA key of `{}` has {bits} bits\nhelp: use {MIN_RSA_BITS} at least, or an ECDSA key, which is smaller and faster", path.display())]
    Weak {
        /// The chain.
        path: PathBuf,
        /// Of the modulus.
        bits: usize,
    },
}

/// Permission bits that let others in: read, write or execute for everybody, write for the group. The group may read: the edge has a
/// user of its own, and a key that belongs to root reaches it by its group.
const OPEN: u32 = 0o027;

/// RFC 9325, section 4.5.
const MIN_RSA_BITS: usize = 2048;
