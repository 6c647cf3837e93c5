//! Every fault of a certificate has its alert, its count and its line, and no byte of it reaches a server.

use ravelin_tests::backend::Backend;
use ravelin_tests::client::{curl, s_client};
use ravelin_tests::pki::{Authority, ClientCertificate, HOUR, Pair};
use ravelin_tests::requires;

use super::{REQUIRED, TLS12, TLS13, VERSIONS, World, alert, policy, world};

struct Fault {
    description: &'static str,
    pair: Option<Pair>,
    /// In TLS 1.2 and 1.3; RFC 9846 section 6.
    alerts: [u8; 2],
    result: &'static str,
}

fn faults(clients: &Authority) -> Vec<Fault> {
    let stranger = Authority::named("Somebody else");
    let billing = ClientCertificate::named("billing");
    let fault = |description, pair, alerts, result| Fault {
        description,
        pair,
        alerts,
        result,
    };
    let revoked = clients.issue_client(&billing);
    vec![
        fault("no certificate", None, [40, 116], "no_certificate"),
        fault(
            "of a stranger",
            Some(stranger.issue_client(&billing)),
            [48, 48],
            "unknown_ca",
        ),
        fault(
            "past its end",
            Some(clients.issue_client(&billing.clone().valid(-2 * HOUR, -HOUR))),
            [45, 45],
            "expired",
        ),
        fault(
            "before its begin",
            Some(clients.issue_client(&billing.clone().valid(HOUR, 2 * HOUR))),
            [45, 45],
            "not_yet_valid",
        ),
        fault(
            "for servers",
            Some(clients.issue_client(&billing.clone().for_servers())),
            [43, 43],
            "wrong_usage",
        ),
        fault("revoked", Some(revoked), [44, 44], "revoked"),
        fault(
            "of a name that is not let in",
            Some(clients.issue_client(&ClientCertificate::named("guest"))),
            [49, 49],
            "not_allowed",
        ),
    ]
}

fn start(test: &str, backend: &Backend) -> (World, Vec<Fault>) {
    let clients = Authority::named("Ravelin test clients");
    let faults = faults(&clients);
    let revoked = faults.iter().find(|fault| fault.result == "revoked");
    let serial = revoked
        .and_then(|fault| fault.pair.as_ref())
        .map(|pair| pair.serial);
    let crl = clients.crl(&[serial.expect("a revoked one")], -HOUR, HOUR);
    let policy = policy(
        backend.address(),
        &format!("{REQUIRED}, crl = \"clients.crl\", allow_cn = [\"billing\"]"),
    );
    (world(test, &policy, clients, &[("clients.crl", &crl)]), faults)
}

#[test]
fn each_fault_gets_the_alert_made_for_it() {
    let backend = Backend::http("let in");
    let (world, faults) = start("auth-alerts", &backend);
    for fault in &faults {
        for (version, expected) in VERSIONS.into_iter().zip(fault.alerts) {
            let outcome = world.ask(version, fault.pair.as_ref());
            let got = u8::from(alert(outcome));
            assert_eq!(got, expected, "{} {}", fault.description, version.1);
        }
        world.expect_counted(fault.result, 2);
    }
    assert_eq!(backend.accepted(), 0, "a byte reached the server");
    assert_eq!(
        world.edge.ended("api", "client_refused"),
        2.0 * faults.len() as f64
    );
    let good = world.clients.issue_client(&ClientCertificate::named("billing"));
    for version in VERSIONS {
        let answer = world.ask(version, Some(&good)).expect("let in");
        assert!(answer.ends_with("let in"), "{answer}");
    }
    world.expect_counted("accepted", 2);
    assert_eq!(backend.accepted(), 2);
}

#[test]
fn openssl_is_told_the_same() {
    requires!(Tool("openssl"));
    let backend = Backend::http("let in");
    let (world, faults) = start("auth-alerts-openssl", &backend);
    let home = world.edge.home();
    let path = |name: &str| home.directory().join(name).display().to_string();
    for fault in &faults {
        for (version, expected) in VERSIONS.into_iter().zip(fault.alerts) {
            let mut arguments = vec![version.1.to_owned(), "-ign_eof".to_owned()];
            if let Some(pair) = &fault.pair {
                home.write("client.pem", &pair.cert);
                home.write("client.key", &pair.key);
                arguments.extend([
                    "-cert".to_owned(),
                    path("client.pem"),
                    "-key".to_owned(),
                    path("client.key"),
                ]);
            }
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let said = s_client(world.edge.address("api"), &arguments, "GET / HTTP/1.1\r\n\r\n");
            let number = format!("SSL alert number {expected}");
            assert!(
                said.contains(&number),
                "{} {}: {said}",
                fault.description,
                version.1
            );
        }
    }
    assert_eq!(backend.accepted(), 0, "a byte reached the server");
}

#[test]
fn curl_with_a_certificate_is_let_in_and_without_is_not() {
    requires!(Tool("curl"));
    let backend = Backend::http("let in");
    let (world, _) = start("auth-curl", &backend);
    let home = world.edge.home();
    let good = world.clients.issue_client(&ClientCertificate::named("billing"));
    home.write("client.pem", &good.cert);
    home.write("client.key", &good.key);
    let path = |name: &str| home.directory().join(name).display().to_string();
    let (cert, key) = (path("client.pem"), path("client.key"));
    let to = world.edge.address("api");
    for version in ["1.2", "1.3"] {
        let only = format!("--tlsv{version}");
        let arguments = [
            only.as_str(),
            "--tls-max",
            version,
            "--cert",
            &cert,
            "--key",
            &key,
        ];
        let output = curl(home, &world.servers, to, super::NAME, &arguments);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "let in",
            "TLS {version}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let output = curl(home, &world.servers, to, super::NAME, &arguments[..3]);
        assert!(!output.status.success(), "TLS {version}");
    }
    assert_eq!(backend.accepted(), 2);
}

#[test]
fn a_certificate_that_is_no_certificate_is_refused_as_such() {
    // TLS sends whatever bytes the client calls its certificate.
    let backend = Backend::http("let in");
    let (world, _) = start("auth-malformed", &backend);
    let good = world.clients.issue_client(&ClientCertificate::named("billing"));
    let garbage = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
    for version in [TLS12, TLS13] {
        let outcome = ravelin_tests::client::show_bytes(
            &world.servers,
            version.0,
            garbage,
            &good.key,
            world.edge.address("api"),
            super::NAME,
        );
        assert_eq!(u8::from(alert(outcome)), 42, "{}", version.1);
    }
    world.expect_counted("malformed", 2);
    assert_eq!(backend.accepted(), 0);
}
