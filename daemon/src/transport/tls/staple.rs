//! An OCSP response from a file, to be sent along with its certificate (RFC 6960; RFC 6066, section 8).
//!
//! file → **staple** → certificate. Read as far as it takes to know whose it is and until when it holds. The signature is for
//! the client to check: a forged response in the operator's own file harms nobody but the operator.

use std::io;
use std::ops::Range;
use std::path::Path;

use x509_parser::asn1_rs::{Any, FromDer as _};
use x509_parser::time::ASN1Time;

use super::file::{FileError, MAX_BYTES, Whole};

/// A response that says "good" about one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Staple {
    /// As it is sent.
    pub(super) der: Vec<u8>,
    /// When it holds, in seconds since the epoch: `thisUpdate` to `nextUpdate`.
    pub(super) holds: Range<i64>,
}

impl Staple {
    /// Reads the response for the certificate with this serial number.
    pub(super) fn load(path: &Path, serial: &[u8]) -> Result<Self, StapleError> {
        match Whole::read(path, MAX_BYTES) {
            Ok(file) => Self::parse(file.bytes, serial),
            Err(FileError::Read { source, .. }) => Err(StapleError::Read(source)),
            Err(FileError::TooLarge { .. } | FileError::Pem { .. }) => Err(StapleError::Malformed),
        }
    }

    fn parse(der: Vec<u8>, serial: &[u8]) -> Result<Self, StapleError> {
        let responses = responses(&der)?;
        let mut others = 0;
        for response in responses {
            if response.serial != serial {
                others += 1;
                continue;
            }
            return match response.status {
                GOOD => Ok(Self {
                    holds: response.this_update..response.next_update.ok_or(StapleError::NoEnd)?,
                    der,
                }),
                REVOKED => Err(StapleError::Revoked),
                _ => Err(StapleError::Unknown),
            };
        }
        if others == 0 {
            return Err(StapleError::Malformed);
        }
        Err(StapleError::OtherCertificate)
    }
}

/// What a response says about one certificate.
struct Single<'a> {
    serial: &'a [u8],
    /// The tag of `CertStatus`.
    status: u32,
    this_update: i64,
    next_update: Option<i64>,
}

/// `OCSPResponse`, RFC 6960, section 4.2.1, down to its list of single responses.
fn responses(der: &[u8]) -> Result<Vec<Single<'_>>, StapleError> {
    let mut response = Fields::whole(der).ok_or(StapleError::Malformed)?;
    let status = response.take().ok_or(StapleError::Malformed)?;
    if status.data != [SUCCESSFUL] {
        return Err(StapleError::Unsuccessful);
    }
    basic(response).ok_or(StapleError::Malformed)
}

fn basic(mut response: Fields<'_>) -> Option<Vec<Single<'_>>> {
    let mut bytes = Fields::whole(response.take()?.data)?;
    if bytes.take()?.data != ID_PKIX_OCSP_BASIC {
        return None;
    }
    let mut basic = Fields::whole(bytes.take()?.data)?;
    let mut data = Fields(basic.take()?.data);
    let mut next = data.take()?;
    // `version [0]` is there only when it is not 1; `responderID` is [1] or [2].
    if context_tag(&next) == Some(0) {
        next = data.take()?;
    }
    context_tag(&next)?;
    let _produced_at = data.take()?;
    let mut list = Fields(data.take()?.data);
    let mut singles = Vec::new();
    while let Some(single) = list.take() {
        singles.push(Single::read(Fields(single.data))?);
    }
    Some(singles)
}

impl<'a> Single<'a> {
    fn read(mut fields: Fields<'a>) -> Option<Self> {
        let mut id = Fields(fields.take()?.data);
        let (_algorithm, _name_hash, _key_hash) = (id.take()?, id.take()?, id.take()?);
        let serial = id.take()?.data;
        let status = context_tag(&fields.take()?)?;
        let this_update = time(fields.0)?;
        fields.take()?;
        let next_update = match fields.take() {
            Some(field) if context_tag(&field) == Some(0) => Some(time(field.data)?),
            _ => None,
        };
        Some(Self {
            serial,
            status,
            this_update,
            next_update,
        })
    }
}

/// The rest of the fields of a sequence.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The fields of the one value in `der`.
    fn whole(der: &'a [u8]) -> Option<Self> {
        let (rest, value) = Any::from_der(der).ok()?;
        rest.is_empty().then_some(Self(value.data))
    }

    fn take(&mut self) -> Option<Any<'a>> {
        let (rest, field) = Any::from_der(self.0).ok()?;
        self.0 = rest;
        Some(field)
    }
}

/// The number of a `[number]` field.
fn context_tag(field: &Any<'_>) -> Option<u32> {
    field
        .header
        .class()
        .eq(&x509_parser::asn1_rs::Class::ContextSpecific)
        .then(|| field.header.tag().0)
}

fn time(der: &[u8]) -> Option<i64> {
    ASN1Time::from_der(der).ok().map(|(_, time)| time.timestamp())
}

/// Why a response is not sent. The certificate is served without it.
#[derive(Debug, thiserror::Error)]
pub(super) enum StapleError {
    /// Not DER, or no OCSP response.
    #[error("it is not a whole OCSP response in DER")]
    Malformed,
    /// Without `nextUpdate` a response never ends.
    #[error("it does not say when the next one comes")]
    NoEnd,
    /// The response is about others.
    #[error("it is about another certificate")]
    OtherCertificate,
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Read(io::Error),
    /// The certificate is revoked.
    #[error("it says that the certificate is revoked: replace the certificate")]
    Revoked,
    /// The responder does not know the certificate.
    #[error("its responder does not know the certificate")]
    Unknown,
    /// The responder had an error.
    #[error("its responder could not answer")]
    Unsuccessful,
}

/// `OCSPResponseStatus` successful.
const SUCCESSFUL: u8 = 0;

/// 1.3.6.1.5.5.7.48.1.1
const ID_PKIX_OCSP_BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];

/// The choices of `CertStatus`.
const GOOD: u32 = 0;
const REVOKED: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `openssl ocsp` for a certificate with the serial number 0x1000, "good", for seven days.
    const RESPONSE: &[u8] = include_bytes!("staple/good.der");

    #[test]
    fn a_response_of_openssl_is_read() {
        let staple = Staple::parse(RESPONSE.to_vec(), &[0x10, 0x00]).unwrap();
        assert_eq!(staple.holds.end - staple.holds.start, 7 * 86_400);
        assert_eq!(staple.der, RESPONSE);
    }

    #[test]
    fn a_response_for_another_certificate_is_told() {
        let other = Staple::parse(RESPONSE.to_vec(), &[0x10, 0x01]);
        assert!(matches!(other, Err(StapleError::OtherCertificate)), "{other:?}");
    }

    #[test]
    fn a_revoked_certificate_and_a_responder_in_trouble_are_told() {
        let revoked = Staple::parse(include_bytes!("staple/revoked.der").to_vec(), &[0x10, 0x00]);
        assert!(matches!(revoked, Err(StapleError::Revoked)), "{revoked:?}");
        // tryLater
        let trouble = Staple::parse(vec![0x30, 3, 0x0a, 1, 3], &[0x10, 0x00]);
        assert!(matches!(trouble, Err(StapleError::Unsuccessful)), "{trouble:?}");
    }

    #[test]
    fn no_damaged_response_makes_it_panic() {
        for length in 0..RESPONSE.len() {
            assert!(Staple::parse(RESPONSE[..length].to_vec(), &[0x10, 0x00]).is_err());
        }
        for place in 0..RESPONSE.len() {
            for bit in 0..8 {
                let mut damaged = RESPONSE.to_vec();
                damaged[place] ^= 1 << bit;
                drop(Staple::parse(damaged, &[0x10, 0x00]));
            }
        }
    }
}
