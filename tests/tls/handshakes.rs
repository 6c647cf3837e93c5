//! Versions, keys, ALPN and resumption, with curl and openssl.

use ravelin_tests::backend::Backend;
use ravelin_tests::client::{curl, s_client};
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::Authority;
use ravelin_tests::requires;

use super::{NAME, policy};

#[test]
fn curl_and_openssl_speak_tls_1_2_and_1_3() {
    requires!(Tool("curl"), Tool("openssl"));
    let authority = Authority::new();
    let backend = Backend::http("hello from behind");
    let edge = Edge::start(
        "tls-versions",
        &policy(backend.address(), "", ""),
        &[("api", &authority.issue(&[NAME]))],
    );
    let to = edge.address("api");
    for (version, arguments) in [
        ("1.2", ["--tlsv1.2", "--tls-max", "1.2"]),
        ("1.3", ["--tlsv1.3", "--tls-max", "1.3"]),
    ] {
        let output = curl(edge.home(), &authority, to, NAME, &arguments);
        assert!(
            output.status.success(),
            "TLS {version}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(String::from_utf8_lossy(&output.stdout), "hello from behind");
        let flag = format!("-tls{}", version.replace('.', "_"));
        let said = s_client(
            to,
            &[&flag, "-servername", NAME, "-quiet"],
            "GET / HTTP/1.1\r\n\r\n",
        );
        assert!(said.contains("hello from behind"), "TLS {version}: {said}");
        let series = format!(
            "ravelin_edge_tls_handshakes_total{{listener=\"api\",resumed=\"no\",version=\"{version}\"}}"
        );
        assert_eq!(edge.metric(&series), 2.0);
    }
}

#[test]
fn a_version_below_the_minimum_gets_the_alert_for_it() {
    requires!(Tool("openssl"));
    let authority = Authority::new();
    let backend = Backend::http("");
    let pair = authority.issue(&[NAME]);
    for (test, settings, flag) in [
        ("tls-below-1-2", "", "-tls1_1"),
        ("tls-below-1-3", "min_version = \"1.3\"", "-tls1_2"),
    ] {
        let edge = Edge::start(test, &policy(backend.address(), settings, ""), &[("api", &pair)]);
        let said = s_client(edge.address("api"), &[flag, "-cipher", "DEFAULT@SECLEVEL=0"], "");
        assert!(said.contains("alert protocol version"), "{flag}: {said}");
        assert_eq!(edge.ended("api", "handshake_failed"), 1.0);
        let series = "ravelin_edge_handshake_failures_total{cause=\"incompatible\",listener=\"api\"}";
        assert_eq!(edge.metric(series), 1.0);
    }
    assert_eq!(backend.accepted(), 0);
}

#[test]
fn an_ecdsa_and_an_rsa_certificate_stand_side_by_side() {
    requires!(Tool("openssl"));
    let authority = Authority::new();
    let backend = Backend::http("");
    let policy = policy(backend.address(), "", "").replace(
        "[{ cert = \"api.pem\", key = \"api.key\" }]",
        "[{ cert = \"api.pem\", key = \"api.key\" }, { cert = \"rsa.pem\", key = \"rsa.key\" }]",
    );
    let pairs = [
        ("api", &authority.issue(&[NAME])),
        ("rsa", &authority.issue_rsa(&[NAME])),
    ];
    let edge = Edge::start("tls-rsa", &policy, &pairs);
    let to = edge.address("api");
    let said = s_client(to, &["-servername", NAME], "");
    assert!(said.contains("Peer signature type: ECDSA"), "{said}");
    let said = s_client(to, &["-servername", NAME, "-sigalgs", "RSA-PSS+SHA256"], "");
    assert!(said.contains("Peer signature type: RSA-PSS"), "{said}");
}

#[test]
fn alpn_takes_the_listeners_first_choice_and_refuses_when_none_fits() {
    requires!(Tool("openssl"));
    let authority = Authority::new();
    let backend = Backend::http("");
    let settings = "alpn = [\"h2\", \"http/1.1\"]";
    let edge = Edge::start(
        "tls-alpn",
        &policy(backend.address(), settings, ""),
        &[("api", &authority.issue(&[NAME]))],
    );
    let to = edge.address("api");
    assert!(s_client(to, &["-alpn", "http/1.1,h2"], "").contains("ALPN protocol: h2"));
    assert!(s_client(to, &["-alpn", "http/1.1"], "").contains("ALPN protocol: http/1.1"));
    assert!(s_client(to, &[], "").contains("No ALPN negotiated"));
    let said = s_client(to, &["-alpn", "spdy/3"], "");
    assert!(said.contains("no application protocol"), "{said}");
    let series = "ravelin_edge_handshake_failures_total{cause=\"no_application_protocol\",listener=\"api\"}";
    assert_eq!(edge.metric(series), 1.0);
}

#[test]
fn a_session_resumes_after_the_certificate_was_replaced() {
    requires!(Tool("openssl"));
    let authority = Authority::new();
    let backend = Backend::http("");
    let edge = Edge::start(
        "tls-resume",
        &policy(backend.address(), "", ""),
        &[("api", &authority.issue(&[NAME]))],
    );
    let session = edge.home().directory().join("session");
    let session = session.to_str().expect("a path");
    for version in ["-tls1_2", "-tls1_3"] {
        let request = "GET / HTTP/1.1\r\n\r\n";
        let said = s_client(
            edge.address("api"),
            &[version, "-servername", NAME, "-ign_eof", "-sess_out", session],
            request,
        );
        assert!(said.contains("New, TLSv1"), "{said}");
        edge.write_pair("api", &authority.issue(&[NAME]));
        edge.reload().expect("the new pair loads");
        let said = s_client(
            edge.address("api"),
            &[version, "-servername", NAME, "-sess_in", session],
            "",
        );
        assert!(said.contains("Reused, TLSv1"), "{version}: {said}");
    }
}
