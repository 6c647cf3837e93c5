//! Which keys are served, which key exchange is made, and when a certificate ends.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use ravelin_tests::backend::Backend;
use ravelin_tests::client::Client;
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::{Authority, Pair};
use ravelin_tests::runtime::runtime;
use ravelin_tests::{requires, wait};
use rustls::NamedGroup;

use super::{NAME, SOON, policy};

fn start(test: &str, tls: &str) -> (Edge, Backend, Authority) {
    let authority = Authority::new();
    let backend = Backend::echo();
    let policy = policy(backend.address(), tls, "");
    (
        Edge::start(test, &policy, &[("api", &authority.issue(&[NAME]))]),
        backend,
        authority,
    )
}

#[test]
fn a_key_that_others_can_read_or_change_is_refused_unless_the_policy_takes_it() {
    let (edge, backend, authority) = start("keys-open", "");
    let key = edge.home().directory().join("api.key");
    let mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).expect("chmod");
    for closed in [0o400, 0o600, 0o640, 0o440] {
        mode(closed);
        edge.reload()
            .unwrap_or_else(|error| panic!("{closed:o}: {error}"));
    }
    for open in [0o644, 0o604, 0o660, 0o602, 0o666] {
        mode(open);
        let error = edge.reload().expect_err("it is open");
        let named = format!("api.key` is open to other users of this host (mode {open:03o})");
        assert!(error.contains(&named) && error.contains("chmod 640"), "{error}");
        assert!(error.contains("or set `strict_permissions = false`"), "{error}");
        let client = Client::new(&authority);
        let session = client.connect(edge.address("api"), NAME);
        drop(runtime().block_on(session).expect("what was good is served"));
    }
    edge.write_policy(&policy(backend.address(), "strict_permissions = false", ""));
    edge.reload().expect("the policy takes it");
}

#[test]
fn an_rsa_key_below_2048_bits_is_refused() {
    requires!(Tool("openssl"));
    let (edge, _backend, _) = start("keys-weak", "");
    for (bits, taken) in [("1024", false), ("2047", false), ("2048", true), ("3072", true)] {
        let pair = self_signed_rsa(&edge, bits);
        edge.write_pair("api", &pair);
        let reloaded = edge.reload();
        if taken {
            reloaded.unwrap_or_else(|error| panic!("{bits}: {error}"));
        } else {
            let error = reloaded.expect_err("it is too short");
            assert!(
                error.contains(&format!("has {bits} bits")) && error.contains("2048"),
                "{error}"
            );
        }
    }
}

fn self_signed_rsa(edge: &Edge, bits: &str) -> Pair {
    let folder = edge.home().directory();
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-nodes",
            "-newkey",
            &format!("rsa:{bits}"),
            "-subj",
            "/CN=weak",
        ])
        .args(["-keyout", "weak-key.pem", "-out", "weak.pem"])
        .current_dir(folder)
        .output()
        .expect("`openssl` runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = |name: &str| fs::read_to_string(folder.join(name)).expect("written");
    Pair {
        cert: text("weak.pem"),
        key: text("weak-key.pem"),
        der: Vec::new().into(),
        serial: 0,
    }
}

#[test]
fn the_post_quantum_key_exchange_comes_first() {
    let (edge, _backend, authority) = start("keys-group", "");
    let stream = runtime()
        .block_on(Client::new(&authority).connect(edge.address("api"), NAME))
        .expect("a session");
    let group = stream
        .get_ref()
        .1
        .negotiated_key_exchange_group()
        .expect("a group");
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
    wait::until("it to be counted", SOON, || {
        (exchanges(&edge, "x25519mlkem768") == 1.0).then_some(())
    });
}

#[test]
fn older_clients_choose_among_the_older_groups() {
    requires!(Tool("openssl"));
    let (edge, _backend, authority) = start("keys-older-groups", "");
    // With an ECDSA certificate the groups of TLS 1.2 are those of signatures too.
    edge.write_pair("api", &authority.issue_rsa(&[NAME]));
    edge.reload().expect("the pair loads");
    for (name, group) in [
        ("X25519", "x25519"),
        ("P-256", "secp256r1"),
        ("P-384", "secp384r1"),
    ] {
        for version in ["-tls1_2", "-tls1_3"] {
            let arguments = [version, "-servername", NAME, "-groups", name];
            let said = ravelin_tests::client::s_client(edge.address("api"), &arguments, "");
            assert!(said.contains("New, TLSv1"), "{name} {version}: {said}");
        }
        wait::until("them to be counted", SOON, || {
            (exchanges(&edge, group) == 2.0).then_some(())
        });
    }
    let arguments = ["-servername", NAME, "-groups", "P-521"];
    let said = ravelin_tests::client::s_client(edge.address("api"), &arguments, "");
    assert!(said.contains("alert handshake failure"), "{said}");
}

#[test]
fn the_end_of_each_certificate_is_a_metric() {
    let (edge, _backend, _) = start("keys-expiry", "");
    let file = edge.home().directory().join("api.pem");
    let series = format!(
        "ravelin_edge_tls_certificate_not_after_timestamp_seconds{{certificate=\"{}\",listener=\"api\"}}",
        file.display()
    );
    // What the test authority gives: the year 4096.
    assert_eq!(edge.metric(&series), 67_090_118_400.0);
}

fn exchanges(edge: &Edge, group: &str) -> f64 {
    edge.metric(&format!(
        "ravelin_edge_tls_key_exchanges_total{{group=\"{group}\",listener=\"api\"}}"
    ))
}
