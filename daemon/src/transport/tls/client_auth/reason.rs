//! rustls' errors about a client's certificate, as the closed set that is counted and told.

use rustls::{CertificateError, Error};

use crate::metrics::labels::ClientRefusal;

/// Why the client is refused; `None` when the error is about something else than its certificate.
pub(super) fn reason(error: &Error) -> Option<ClientRefusal> {
    use CertificateError as Cause;
    Some(match error {
        Error::NoCertificatesPresented => ClientRefusal::NoCertificate,
        Error::InvalidCertificate(cause) => match cause {
            Cause::ApplicationVerificationFailure => ClientRefusal::NotAllowed,
            Cause::BadEncoding => ClientRefusal::Malformed,
            Cause::Expired | Cause::ExpiredContext { .. } => ClientRefusal::Expired,
            Cause::ExpiredRevocationList | Cause::ExpiredRevocationListContext { .. } => {
                ClientRefusal::CrlExpired
            }
            Cause::InvalidPurpose | Cause::InvalidPurposeContext { .. } => ClientRefusal::WrongUsage,
            Cause::NotValidYet | Cause::NotValidYetContext { .. } => ClientRefusal::NotYetValid,
            Cause::Revoked => ClientRefusal::Revoked,
            Cause::UnknownIssuer => ClientRefusal::UnknownCa,
            Cause::UnknownRevocationStatus => ClientRefusal::RevocationUnknown,
            _ => ClientRefusal::Other,
        },
        Error::InvalidCertRevocationList(_) => ClientRefusal::Other,
        _ => return None,
    })
}
