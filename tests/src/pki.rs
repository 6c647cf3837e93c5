//! A throw-away certificate authority and what it issues.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    CrlIssuingDistributionPoint, CustomExtension, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RevokedCertParams, RsaKeySize, SanType,
    SerialNumber, date_time_ymd,
};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
    /// The PEM of the authorities between it and its root, its own first; empty for a root.
    links: String,
    serial: u64,
}

/// What a certificate for a client says.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    common_names: Vec<DnValue>,
    alternatives: Vec<SanType>,
    valid: (Moment, Moment),
    usage: ExtendedKeyUsagePurpose,
}

/// A time, in seconds from now.
pub type Moment = i64;

/// An hour.
pub const HOUR: Moment = 3_600;

/// A certificate and its key, both PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub cert: String,
    /// The private key.
    pub key: String,
    /// The serial number.
    pub serial: u64,
    /// The certificate as it is sent.
    pub der: CertificateDer<'static>,
}

impl Authority {
    /// A new one, unlike any other.
    #[must_use]
    pub fn new() -> Self {
        Self::named("Ravelin test authority")
    }

    /// A new one of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = authority(name);
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            issuer: Issuer::new(params, key),
            certificate,
            links: String::new(),
            serial: 0,
        }
    }

    /// An authority that this one vouches for.
    #[must_use]
    pub fn intermediate(&self, name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = authority(name);
        let serial = next_serial();
        params.serial_number = Some(SerialNumber::from(serial));
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Self {
            issuer: Issuer::new(params, key),
            links: certificate.pem() + &self.links,
            certificate,
            serial,
        }
    }

    /// Its serial number, where another one has issued it.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Its own certificate and key: an authority that poses as a client.
    #[must_use]
    pub fn as_pair(&self) -> Pair {
        Pair {
            cert: self.pem(),
            key: self.issuer.key().serialize_pem(),
            serial: self.serial,
            der: self.der().clone(),
        }
    }

    /// A client's certificate and key; the certificates of intermediates follow it in the PEM.
    #[must_use]
    pub fn issue_client(&self, certificate: &ClientCertificate) -> Pair {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        // rcgen keeps one value for each kind; the second kind is the same one by its number.
        let kinds = [DnType::CommonName, DnType::CustomDnType(vec![2, 5, 4, 3])];
        for (kind, name) in kinds.into_iter().zip(&certificate.common_names) {
            params.distinguished_name.push(kind, name.clone());
        }
        params.subject_alt_names.clone_from(&certificate.alternatives);
        (params.not_before, params.not_after) = (at(certificate.valid.0), at(certificate.valid.1));
        params.extended_key_usages = vec![certificate.usage.clone()];
        self.sign_params(params, KeyPair::generate().expect("a key"))
    }

    /// A revocation list, PEM: issued at `this_update`, to be replaced by `next_update`.
    #[must_use]
    pub fn crl(&self, serials: &[u64], this_update: Moment, next_update: Moment) -> String {
        self.crl_for(serials, this_update, next_update, None)
    }

    /// The same for certificates that name a distribution point: these certificates do not.
    #[must_use]
    pub fn partial_crl(&self, serials: &[u64], point: &str) -> String {
        let point = CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint {
                uris: vec![point.to_owned()],
            },
            scope: None,
        };
        self.crl_for(serials, -HOUR, HOUR, Some(point))
    }

    fn crl_for(
        &self,
        serials: &[u64],
        this_update: Moment,
        next_update: Moment,
        point: Option<CrlIssuingDistributionPoint>,
    ) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: at(this_update),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: at(this_update),
            next_update: at(next_update),
            crl_number: SerialNumber::from(next_serial()),
            issuing_distribution_point: point,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).expect("a revocation list");
        list.pem().expect("PEM")
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

    /// An ECDSA P-256 certificate for these names whose time is over.
    #[must_use]
    pub fn issue_expired(&self, names: &[&str]) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign_params(params, KeyPair::generate().expect("a key"))
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
        let pair = self.sign_params(params, key);
        Pair {
            cert: format!("{}{}", pair.cert, self.pem()),
            ..pair
        }
    }

    fn sign(&self, names: &[&str], key: KeyPair) -> Pair {
        let mut params = params(names);
        params.distinguished_name.push(DnType::CommonName, "Ravelin test");
        self.sign_params(params, key)
    }

    fn sign_params(&self, mut params: CertificateParams, key: KeyPair) -> Pair {
        let serial = next_serial();
        params.serial_number = Some(SerialNumber::from(serial));
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair {
            cert: certificate.pem() + &self.links,
            key: key.serialize_pem(),
            serial,
            der: certificate.der().clone(),
        }
    }
}

impl ClientCertificate {
    /// For a client of this common name, from an hour ago to an hour from now.
    #[must_use]
    pub fn named(common_name: &str) -> Self {
        Self {
            common_names: vec![DnValue::Utf8String(common_name.to_owned())],
            alternatives: Vec::new(),
            valid: (-HOUR, HOUR),
            usage: ExtendedKeyUsagePurpose::ClientAuth,
        }
    }

    /// With one more common name.
    #[must_use]
    pub fn also_named(mut self, common_name: &str) -> Self {
        self.common_names
            .push(DnValue::Utf8String(common_name.to_owned()));
        self
    }

    /// With a DNS name.
    #[must_use]
    pub fn dns(mut self, name: &str) -> Self {
        self.alternatives.push(SanType::DnsName(ascii(name)));
        self
    }

    /// With a URI.
    #[must_use]
    pub fn uri(mut self, uri: &str) -> Self {
        self.alternatives.push(SanType::URI(ascii(uri)));
        self
    }

    /// Valid in this time alone.
    #[must_use]
    pub fn valid(mut self, from: Moment, until: Moment) -> Self {
        self.valid = (from, until);
        self
    }

    /// A server's certificate in the hands of a client.
    #[must_use]
    pub fn for_servers(mut self) -> Self {
        self.usage = ExtendedKeyUsagePurpose::ServerAuth;
        self
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn ascii(text: &str) -> Ia5String {
    Ia5String::try_from(text).expect("ASCII")
}

/// Certificates count whole seconds.
fn at(moment: Moment) -> OffsetDateTime {
    let now = SystemTime::now();
    let by = Duration::from_secs(moment.unsigned_abs());
    OffsetDateTime::from(if moment < 0 { now - by } else { now + by })
}

fn next_serial() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
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
