//! The `allow` lists, and what servers are told of who was let in.

use std::sync::mpsc::sync_channel;

use ravelin_tests::backend::Backend;
use ravelin_tests::client::Client;
use ravelin_tests::pki::{Authority, ClientCertificate};
use ravelin_tests::requires;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{NAME, REQUIRED, SOON, TLS13, VERSIONS, World, ask, fingerprint, policy, world};

fn start(test: &str, backend: &Backend, allow: &str) -> World {
    let policy = policy(backend.address(), &format!("{REQUIRED}, {allow}"));
    world(test, &policy, Authority::named("Ravelin test clients"), &[])
}

#[test]
fn whoever_a_list_names_is_let_in_and_nobody_else() {
    requires!(Tool("openssl"));
    let backend = Backend::http("let in");
    let clients = Authority::named("Ravelin test clients");
    let pinned = clients.issue_client(&ClientCertificate::named("pinned"));
    let allow = format!(
        "allow_dns = [\"*.clients.example.com\"], allow_uri = [\"spiffe://acme/web/*\", \"spiffe://acme/db/**\"], allow_cn = \
         [\"billing-*\"], allow_spki = [\"sha256:{}\"]",
        fingerprint(&pinned.der)
    );
    let policy = policy(backend.address(), &format!("{REQUIRED}, {allow}"));
    let world = world("auth-allow", &policy, clients, &[]);
    let other = || ClientCertificate::named("other");
    let rows = [
        ("a name in its label", other().dns("a.clients.example.com"), true),
        ("in upper case", other().dns("A.Clients.Example.COM"), true),
        ("two labels", other().dns("b.a.clients.example.com"), false),
        ("the parent", other().dns("clients.example.com"), false),
        (
            "a name that only ends so",
            other().dns("aclients.example.com"),
            false,
        ),
        (
            "the second of two names",
            other().dns("no.example").dns("b.clients.example.com"),
            true,
        ),
        ("a segment", other().uri("spiffe://acme/web/1"), true),
        ("two segments", other().uri("spiffe://acme/web/1/2"), false),
        (
            "another trust domain",
            other().uri("spiffe://acme.evil/web/1"),
            false,
        ),
        ("the rest", other().uri("spiffe://acme/db/1/2"), true),
        ("a way up", other().uri("spiffe://acme/db/../web"), false),
        ("a URI as a DNS name", other().dns("spiffe://acme/web/1"), false),
        ("a common name", ClientCertificate::named("billing-eu"), true),
        (
            "a common name with a dot",
            ClientCertificate::named("billing-eu.evil"),
            false,
        ),
        (
            "a common name that ends in NUL",
            ClientCertificate::named("billing-eu\0"),
            false,
        ),
        (
            "a common name like a DNS name",
            ClientCertificate::named("a.clients.example.com"),
            false,
        ),
        (
            "two common names",
            ClientCertificate::named("billing-a").also_named("billing-b"),
            false,
        ),
        ("no name of all these", other(), false),
    ];
    for (description, certificate, expected) in rows {
        let pair = world.clients.issue_client(&certificate);
        for version in VERSIONS {
            let outcome = world.ask(version, Some(&pair));
            assert_eq!(
                outcome.is_ok(),
                expected,
                "{description} {}: {outcome:?}",
                version.1
            );
        }
    }
    assert!(world.ask(TLS13, Some(&pinned)).is_ok(), "the key that is pinned");
}

#[test]
fn an_optional_certificate_may_be_left_out_and_must_be_good_when_it_is_not() {
    let backend = Backend::http("let in");
    let clients = Authority::named("Ravelin test clients");
    let auth = "mode = \"optional\", ca = \"clients.pem\", allow_cn = [\"billing\"]";
    let world = world("auth-optional", &policy(backend.address(), auth), clients, &[]);
    let stranger = Authority::named("Somebody else");
    let billing = ClientCertificate::named("billing");
    for version in VERSIONS {
        assert!(world.ask(version, None).is_ok(), "without one");
        let good = world.clients.issue_client(&billing);
        assert!(world.ask(version, Some(&good)).is_ok(), "with a good one");
        let guest = world.clients.issue_client(&ClientCertificate::named("guest"));
        assert!(
            world.ask(version, Some(&guest)).is_err(),
            "with one that no list names"
        );
        let foreign = stranger.issue_client(&billing);
        assert!(world.ask(version, Some(&foreign)).is_err(), "with a stranger's");
    }
    for (result, count) in [
        ("anonymous", 2),
        ("accepted", 2),
        ("not_allowed", 2),
        ("unknown_ca", 2),
    ] {
        world.expect_counted(result, count);
    }
}

#[test]
fn an_authority_is_no_client_and_a_client_no_authority() {
    let backend = Backend::http("let in");
    let world = start("auth-self", &backend, "allow_cn = [\"*\"]");
    let root = world.clients.as_pair();
    assert!(
        world.ask(TLS13, Some(&root)).is_err(),
        "an authority's own certificate"
    );
    assert_eq!(backend.accepted(), 0);
}

#[test]
fn clients_of_an_intermediate_are_let_in_whether_they_send_it_or_not() {
    let backend = Backend::http("let in");
    let root = Authority::named("Ravelin test clients");
    let middle = root.intermediate("Ravelin test team");
    let bundle = root.pem() + &middle.pem();
    let policy = policy(backend.address(), REQUIRED);
    let world = world("auth-middle", &policy, root, &[("clients.pem", &bundle)]);
    let mut pair = middle.issue_client(&ClientCertificate::named("billing"));
    assert!(world.ask(TLS13, Some(&pair)).is_ok(), "with the intermediate");
    let end = pair
        .cert
        .find("-----END CERTIFICATE-----\n")
        .expect("a certificate")
        + 26;
    pair.cert.truncate(end);
    assert!(world.ask(TLS13, Some(&pair)).is_ok(), "without it");
}

#[test]
fn servers_are_told_who_was_verified_and_only_then() {
    let (told, telling) = sync_channel(4);
    let backend = Backend::new(move |mut stream| {
        let told = told.clone();
        async move {
            let mut header = vec![0; 16];
            stream.read_exact(&mut header).await?;
            let mut body = vec![0; usize::from(u16::from_be_bytes([header[14], header[15]]))];
            stream.read_exact(&mut body).await?;
            let _gone = told.send(body);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nlet in").await?;
            stream.shutdown().await
        }
    });
    let auth = "mode = \"optional\", ca = \"clients.pem\"";
    let policy = policy(backend.address(), auth).replace("servers =", "proxy_protocol = \"v2\"\nservers =");
    let world = world(
        "auth-proxy",
        &policy,
        Authority::named("Ravelin test clients"),
        &[],
    );
    let pair = world.clients.issue_client(&ClientCertificate::named("billing"));
    for version in VERSIONS {
        for (pair, flags, verify, name) in [(Some(&pair), 0x07, 0, Some("billing")), (None, 0x01, 1, None)] {
            world.ask(version, pair).expect("let in");
            let body = telling.recv_timeout(SOON).expect("a header");
            let ssl = field(&body[12..], 0x20).expect("PP2_TYPE_SSL");
            assert_eq!(ssl[0], flags, "PP2_CLIENT_SSL, _CERT_CONN, _CERT_SESS");
            assert_eq!(u32::from_be_bytes([ssl[1], ssl[2], ssl[3], ssl[4]]), verify);
            let told = field(&ssl[5..], 0x22).map(|name| String::from_utf8_lossy(name).into_owned());
            assert_eq!(told.as_deref(), name, "PP2_SUBTYPE_SSL_CN");
        }
    }
}

#[test]
fn clients_that_are_not_asked_tell_nothing_even_when_they_could() {
    let backend = Backend::http("let in");
    let world = world(
        "auth-unasked",
        &policy(backend.address(), "mode = \"none\""),
        Authority::named("Ravelin test clients"),
        &[],
    );
    let pair = world.clients.issue_client(&ClientCertificate::named("billing"));
    let client = Client::showing(&world.servers, TLS13.0, Some(&pair));
    assert!(ask(&client, world.edge.address("api"), NAME).is_ok());
    for result in ["accepted", "anonymous", "no_certificate"] {
        assert_eq!(world.counted(result), 0.0);
    }
}

/// The value of the field of this kind: kind, length in two bytes, value.
fn field(mut fields: &[u8], kind: u8) -> Option<&[u8]> {
    while let [found, high, low, rest @ ..] = fields {
        let (value, next) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        if *found == kind {
            return Some(value);
        }
        fields = next;
    }
    None
}
