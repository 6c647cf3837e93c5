//! Why the files for client certificates cannot be used. The operator's files are at fault.

use std::path::PathBuf;

use rustls::server::VerifierBuilderError;

use crate::transport::tls::file::FileError;

/// Why client certificates cannot be judged as the policy asks.
#[derive(Debug, thiserror::Error)]
pub enum ClientAuthError {
    /// A section of the bundle is not a certificate.
    #[error("certificate {number} in `{}` cannot be read", path.display())]
    Certificate {
        /// The bundle.
        path: PathBuf,
        /// Which, from 1.
        number: usize,
    },
    /// A revocation list is not one.
    #[error("revocation list {number} in `{}` cannot be read", path.display())]
    Crl {
        /// The file.
        path: PathBuf,
        /// Which, from 1.
        number: usize,
    },
    /// A revocation list of somebody else, or one that was tampered with.
    #[error("revocation list {number} in `{}` is not signed by an authority of `{}`; it names `{issuer}`\nhelp: add the certificate of the authority that signed it to `ca`", path.display(), ca.display())]
    CrlForeign {
        /// The file.
        path: PathBuf,
        /// Which, from 1.
        number: usize,
        /// The bundle.
        ca: PathBuf,
        /// Whom the list names.
        issuer: String,
    },
    /// A kind of revocation list that cannot be checked against.
    #[error("revocation list {number} in `{}` cannot be used", path.display())]
    CrlUnsupported {
        /// The file.
        path: PathBuf,
        /// Which, from 1.
        number: usize,
        /// What rustls said.
        source: VerifierBuilderError,
    },
    /// One of the files.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nothing to begin a chain with.
    #[error("no certificate in `{}` stands on its own: each is issued by another one\nhelp: add the root", path.display())]
    NoAnchor {
        /// The bundle.
        path: PathBuf,
    },
    /// No certificate in the bundle.
    #[error("no certificate in `{}`\nhelp: the file must hold the `BEGIN CERTIFICATE` sections of the authorities that vouch for clients", path.display())]
    NoCertificate {
        /// The bundle.
        path: PathBuf,
    },
    /// No list in the file.
    #[error("no revocation list in `{}`\nhelp: the file must hold a `BEGIN X509 CRL` section: `openssl crl -inform DER -in LIST -out PEM` makes one", path.display())]
    NoCrl {
        /// The file.
        path: PathBuf,
    },
    /// Somebody who may not vouch for others.
    #[error("certificate {number} in `{}`, of `{subject}`, is not an authority's: it may sign no certificates\nhelp: put the certificate that issued it there; to let in one client alone, name its key in `allow_spki`", path.display())]
    NotAnAuthority {
        /// The bundle.
        path: PathBuf,
        /// Which, from 1.
        number: usize,
        /// Whose it is.
        subject: String,
    },
    /// More than anybody has.
    #[error("`{}` holds more than {most} certificates", path.display())]
    TooMany {
        /// The bundle.
        path: PathBuf,
        /// The bound.
        most: usize,
    },
    /// A route asks for certificates, and nobody is trusted.
    #[error(
        "this is a bug in ravelin, please report: clients are asked for a certificate without an authority"
    )]
    Unasked,
    /// rustls does not take the whole.
    #[error("`{}` cannot be used", path.display())]
    Verifier {
        /// The bundle.
        path: PathBuf,
        /// What rustls said.
        source: VerifierBuilderError,
    },
}
