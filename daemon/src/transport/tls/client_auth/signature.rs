//! Whether a key has signed a certificate or a revocation list.

use rustls::crypto::WebPkiSupportedAlgorithms;
use x509_parser::prelude::{AlgorithmIdentifier, SubjectPublicKeyInfo};

/// A certificate or revocation list as it was signed.
pub(super) struct Signed<'a> {
    pub(super) message: &'a [u8],
    pub(super) algorithm: &'a AlgorithmIdentifier<'a>,
    pub(super) signature: &'a [u8],
}

impl Signed<'_> {
    /// Whether `key` made the signature. Algorithms that chains are not verified with count for nothing here either.
    pub(super) fn by(&self, key: &SubjectPublicKeyInfo<'_>, algorithms: &WebPkiSupportedAlgorithms) -> bool {
        algorithms.all.iter().any(|candidate| {
            is(&candidate.public_key_alg_id(), key.algorithm.algorithm.as_bytes())
                && is(&candidate.signature_alg_id(), self.algorithm.algorithm.as_bytes())
                && candidate
                    .verify_signature(&key.subject_public_key.data, self.message, self.signature)
                    .is_ok()
        })
    }
}

/// Whether the inside of an `AlgorithmIdentifier` begins with this object identifier. Parameters are left to the verification, which
/// fails where they differ.
fn is(identifier: &[u8], oid: &[u8]) -> bool {
    const OBJECT_IDENTIFIER: u8 = 6;
    let length = u8::try_from(oid.len()).ok();
    match identifier {
        [OBJECT_IDENTIFIER, written, rest @ ..] => Some(*written) == length && rest.starts_with(oid),
        _ => false,
    }
}
