//! A throw-away certificate authority and what it issues.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize,
};
use rustls_pki_types::CertificateDer;

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate and its key, both PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub cert: String,
    /// The private key.
    pub key: String,
    /// The certificate as it is sent.
    pub der: CertificateDer<'static>,
}

impl Authority {
    /// A new one, unlike any other.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "Ravelin test authority");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    /// The authority's own certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// The authority's private key, PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// The authority's own certificate.
    #[must_use]
    pub fn der(&self) -> &CertificateDer<'static> {
        self.certificate.der()
    }

    /// An ECDSA P-256 certificate for these names.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Pair {
        self.sign(names, KeyPair::generate().expect("a key"))
    }

    /// An RSA certificate for these names.
    #[must_use]
    pub fn issue_rsa(&self, names: &[&str]) -> Pair {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
        self.sign(names, key)
    }

    /// An ECDSA P-256 certificate as a public authority would issue it: for 90 days, for servers alone, and with the places where its
    /// state can be asked for. The chain holds the authority too.
    #[must_use]
    pub fn issue_as_in_public(&self, names: &[&str]) -> Pair {
        let mut params = params(names);
        let now = SystemTime::now();
        params.not_before = (now - DAY).into();
        params.not_after = (now + 89 * DAY).into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.crl_distribution_points = vec![CrlDistributionPoint {
            uris: vec!["http://crl.example.com/ca.crl".to_owned()],
        }];
        params.custom_extensions = vec![CustomExtension::from_oid_content(
            AUTHORITY_INFORMATION_ACCESS,
            ocsp_access("http://ocsp.example.com"),
        )];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair {
            cert: format!("{}{}", certificate.pem(), self.pem()),
            key: key.serialize_pem(),
            der: certificate.der().clone(),
        }
    }

    fn sign(&self, names: &[&str], key: KeyPair) -> Pair {
        let mut params = params(names);
        params.distinguished_name.push(DnType::CommonName, "Ravelin test");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair {
            cert: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().clone(),
        }
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).expect("names")
}

/// `AuthorityInfoAccessSyntax` (RFC 5280, section 4.2.2.1) that names one OCSP responder. Every length is below 128.
fn ocsp_access(uri: &str) -> Vec<u8> {
    let tagged = |tag: u8, content: &[u8]| {
        let length = u8::try_from(content.len()).expect("short");
        [&[tag, length], content].concat()
    };
    // id-ad-ocsp, 1.3.6.1.5.5.7.48.1
    let method = tagged(6, &[0x2b, 6, 1, 5, 5, 7, 0x30, 1]);
    let location = tagged(0x86, uri.as_bytes());
    let description = tagged(0x30, &[method, location].concat());
    tagged(0x30, &description)
}

const AUTHORITY_INFORMATION_ACCESS: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 1];

const DAY: Duration = Duration::from_secs(86_400);

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
