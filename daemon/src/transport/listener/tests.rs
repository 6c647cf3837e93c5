//! Whether a live connection would still be let in, asked of listeners that real policies make.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use tempfile::TempDir;

use super::*;

/// A folder with a policy, an authority and its revocation list.
struct World {
    folder: TempDir,
    authority: Issuer<'static, KeyPair>,
}

const SERIAL: u64 = 42;

impl World {
    fn new() -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
            authority: Self::authority("clients"),
        };
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(["api.example.com".to_owned()]).unwrap();
        let server = server.self_signed(&key).unwrap();
        world.write("api.pem", &server.pem());
        world.write("api.key", &key.serialize_pem());
        world.trust(&world.authority);
        world
    }

    fn authority(name: &str) -> Issuer<'static, KeyPair> {
        Issuer::new(Self::authority_params(name), KeyPair::generate().unwrap())
    }

    fn authority_params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    /// `clients.pem` and an empty `clients.crl`.
    fn trust(&self, authority: &Issuer<'static, KeyPair>) {
        let params = Self::authority_params("clients");
        self.write("clients.pem", &params.self_signed(authority.key()).unwrap().pem());
        self.revoke(authority, &[]);
    }

    fn revoke(&self, authority: &Issuer<'static, KeyPair>, serials: &[u64]) {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2096, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        self.write("clients.crl", &list.signed_by(authority).unwrap().pem().unwrap());
    }

    fn client(&self) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(SERIAL));
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2090, 1, 1);
        params.distinguished_name.push(DnType::CommonName, "billing");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, &self.authority).unwrap().der().clone()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        // A key that others can read is refused.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The listener as it is served now.
    fn listener(&self, mode: &str, more: &str, route: &str) -> Listener {
        let policy = format!(
            "[[listener]]\nname = \"api\"\nbind = [\"127.0.0.1:0\"]\nroutes = [{{ sni = \"api.example.com\", upstream = \"app\"{route} }}]\n\
             [listener.tls]\ncertificates = [{{ cert = \"api.pem\", key = \"api.key\" }}]\nclient_auth = {{ mode = \"{mode}\", ca = \
             \"clients.pem\", crl = \"clients.crl\"{more} }}\n[[upstream]]\nname = \"app\"\nservers = [\"127.0.0.1:1\"]\n"
        );
        self.write("ravelin.toml", &policy);
        let policy = ravelin_rules::load(&self.folder.path().join("ravelin.toml"));
        let policy = policy.map_err(|report| report.render()).unwrap().policy;
        let metrics = EdgeMetrics::new().unwrap();
        let (bans, _nobody) = BanQueue::bounded();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let counters = metrics.upstream("app");
        let upstream = Upstream::new(&policy.upstreams[0], None, counters, &provider).unwrap();
        Listener::new(
            &policy.listeners[0],
            |_| Some(Arc::clone(&upstream)),
            None,
            &provider,
            &metrics,
            &bans,
        )
        .unwrap()
    }
}

#[test]
fn a_live_client_is_judged_by_what_holds_now() {
    let world = World::new();
    let chain = [world.client()];
    let now = UnixTime::now();
    let name = Some("api.example.com");
    let asks = |mode: &str, more: &str, route: &str, chain: &[CertificateDer<'static>]| {
        world.listener(mode, more, route).still_accepts(name, chain, now)
    };
    assert_eq!(asks("required", "", "", &chain), Ok(()));
    assert_eq!(asks("required", "", "", &[]), Err(ClientRefusal::NoCertificate));
    assert_eq!(asks("optional", "", "", &[]), Ok(()));
    // The list of names.
    assert_eq!(asks("required", ", allow_cn = [\"billing\"]", "", &chain), Ok(()));
    let elsewhere = ", allow_cn = [\"payroll\"]";
    assert_eq!(
        asks("required", elsewhere, "", &chain),
        Err(ClientRefusal::NotAllowed)
    );
    assert_eq!(
        asks("optional", elsewhere, "", &chain),
        Err(ClientRefusal::NotAllowed)
    );
    // The route beats the listener, and a listener that asks decides where the route is gone.
    let (lowered, raised) = (", client_auth = \"none\"", ", client_auth = \"required\"");
    assert_eq!(asks("none", "", raised, &[]), Err(ClientRefusal::NoCertificate));
    assert_eq!(asks("required", elsewhere, lowered, &chain), Ok(()));
    let gone = world.listener("required", "", lowered);
    let unrouted = gone.still_accepts(Some("gone.example.com"), &[], now);
    assert_eq!(unrouted, Err(ClientRefusal::NoCertificate));
    // Time.
    let later = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs() + 70 * 365 * 86_400));
    let expired = world
        .listener("required", "", "")
        .still_accepts(name, &chain, later);
    assert_eq!(expired, Err(ClientRefusal::Expired));
    // The revocation list, then the authority.
    world.revoke(&world.authority, &[SERIAL]);
    assert_eq!(asks("required", "", "", &chain), Err(ClientRefusal::Revoked));
    let soft = ", crl_policy = \"soft\"";
    assert_eq!(asks("required", soft, "", &chain), Err(ClientRefusal::Revoked));
    world.trust(&World::authority("clients"));
    assert!(asks("required", "", "", &chain).is_err());
}
