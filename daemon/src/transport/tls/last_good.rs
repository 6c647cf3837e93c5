//! The pairs of a listener, each as its files are now, or as they were when they could last be read.
//!
//! policy → certificate → **last good** → config. A tool that writes a certificate while another changes the policy must not take the
//! names of one pair off the air, nor keep the rest of the change from being served. Only for pairs: a list of who may come in is whole
//! or refused, because an older one may let in who must stay out.

use std::path::PathBuf;

use ravelin_rules::policy::Tls;
use rustls::crypto::CryptoProvider;

use super::certificate::{Certificate, CertificateError, OpenKeys};

/// A pair whose files cannot be served: the one that was read from them earlier goes on.
#[derive(Debug)]
pub(crate) struct KeptPair {
    /// The file of the chain.
    pub(crate) file: PathBuf,
    /// What is wrong with the pair as it is now.
    pub(crate) error: CertificateError,
}

/// Reads every pair. One that cannot be served is replaced by what `known` has from the same two files.
///
/// # Errors
///
/// When it has nothing: there is no last good pair for these names.
pub(crate) fn last_good(
    tls: &Tls,
    known: &[Certificate],
    provider: &CryptoProvider,
) -> Result<(Vec<Certificate>, Vec<KeptPair>), CertificateError> {
    let open_keys = if tls.strict_permissions {
        OpenKeys::RefusedUnless("strict_permissions = false")
    } else {
        OpenKeys::Told
    };
    let mut kept = Vec::new();
    let mut pairs = Vec::new();
    for files in &tls.certificates {
        let pair = Certificate::load(files, open_keys, provider).or_else(|error| {
            let same = |known: &&Certificate| known.file == files.cert && known.key_file == files.key;
            match known.iter().find(same) {
                Some(known) => {
                    let file = files.cert.clone();
                    kept.push(KeptPair { file, error });
                    Ok(known.clone())
                }
                None => Err(error),
            }
        });
        pairs.push(pair?);
    }
    Ok((pairs, kept))
}
