//! Which certificate and which upstream a server name gets.

use ravelin_tests::backend::Backend;
use ravelin_tests::client::{Client, curl, s_client};
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::Authority;
use ravelin_tests::requires;
use ravelin_tests::runtime::runtime;

struct World {
    authority: Authority,
    edge: Edge,
    _backends: [Backend; 2],
}

fn world(test: &str, sni_policy: &str) -> World {
    let authority = Authority::new();
    let backends = [Backend::http("exact"), Backend::http("wildcard")];
    let [exact, wildcard] = [&backends[0], &backends[1]].map(Backend::address);
    let policy = format!(
        r#"
[[listener]]
name = "api"
bind = ["127.0.0.1:0"]
sni_policy = "{sni_policy}"
routes = [{{ sni = "api.example.com", upstream = "exact" }}, {{ sni = "*.example.com", upstream = "wildcard" }}]
[listener.tls]
certificates = [{{ cert = "wildcard.pem", key = "wildcard.key" }}, {{ cert = "exact.pem", key = "exact.key" }}]
[[upstream]]
name = "exact"
servers = ["{exact}"]
[[upstream]]
name = "wildcard"
servers = ["{wildcard}"]
"#
    );
    let pairs = [
        ("wildcard", &authority.issue(&["*.example.com"])),
        ("exact", &authority.issue(&["api.example.com"])),
    ];
    let edge = Edge::start(test, &policy, &pairs);
    World {
        authority,
        edge,
        _backends: backends,
    }
}

#[test]
fn an_exact_name_beats_a_wildcard_for_the_certificate_and_the_route() {
    requires!(Tool("curl"), Tool("openssl"));
    let World {
        authority,
        edge,
        _backends,
    } = world("names-exact", "strict");
    let to = edge.address("api");
    for (name, upstream) in [
        ("api.example.com", "exact"),
        ("API.Example.COM", "exact"),
        ("web.example.com", "wildcard"),
    ] {
        let output = curl(edge.home(), &authority, to, name, &[]);
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(String::from_utf8_lossy(&output.stdout), upstream, "{name}");
    }
    let client = Client::new(&authority);
    let leaf = |name: &'static str| {
        let stream = runtime().block_on(client.connect(to, name)).expect("a session");
        stream.get_ref().1.peer_certificates().expect("certificates")[0].clone()
    };
    let exact = leaf("api.example.com");
    assert_ne!(exact, leaf("web.example.com"));
    assert_eq!(exact, leaf("api.example.com"));
}

#[test]
fn strict_refuses_unknown_and_absent_names_with_the_alert_for_it() {
    requires!(Tool("openssl"));
    let World { edge, _backends, .. } = world("names-strict", "strict");
    let to = edge.address("api");
    let unknown: &[&[&str]] = &[
        &["-servername", "other.example.net"],
        &["-servername", "a.b.example.com"],
        &["-servername", "example.com"],
        &["-noservername"],
        &["-tls1_2", "-servername", "other.example.net"],
        // No name: RFC 6066, section 3, permits none.
        &["-servername", "127.0.0.1"],
        &["-servername", "2001:db8::1"],
    ];
    for arguments in unknown {
        let said = s_client(to, arguments, "");
        assert!(said.contains("alert number 112"), "{arguments:?}: {said}");
        assert!(
            said.contains("no peer certificate available"),
            "{arguments:?}: {said}"
        );
    }
    assert_eq!(edge.ended("api", "unknown_name"), unknown.len() as f64);
}

#[test]
fn default_sends_unknown_and_absent_names_to_the_first_route() {
    requires!(Tool("openssl"));
    let World { edge, _backends, .. } = world("names-default", "default");
    let to = edge.address("api");
    let request = "GET / HTTP/1.1\r\n\r\n";
    for arguments in [
        &["-quiet", "-servername", "other.example.net"][..],
        &["-quiet", "-noservername"],
        &["-quiet", "-servername", "127.0.0.1"],
    ] {
        let said = s_client(to, arguments, request);
        assert!(
            said.ends_with("exact") || said.contains("\r\n\r\nexact"),
            "{arguments:?}: {said}"
        );
    }
}
