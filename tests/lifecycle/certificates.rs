//! A certificate that cannot be read keeps its own names at the last good pair, and nothing else from being served.

use ravelin_tests::backend::Backend;
use ravelin_tests::client::Client;
use ravelin_tests::daemon::Half;
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::Authority;
use ravelin_tests::requires;
use ravelin_tests::runtime::runtime;
use rustls_pki_types::CertificateDer;

use super::world::world;

const FIRST: &str = "first.example.com";
const SECOND: &str = "second.example.com";
const THIRD: &str = "third.example.com";

fn policy(server: std::net::SocketAddr, pairs: &[&str], routes: &[&str]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|name| format!("{{ cert = \"{name}.pem\", key = \"{name}.key\" }}"))
        .collect();
    let routes: Vec<String> = routes
        .iter()
        .map(|name| format!("{{ sni = \"{name}\", upstream = \"app\" }}"))
        .collect();
    format!(
        r#"
[[listener]]
name = "api"
bind = "127.0.0.1:0"
routes = [{}]
tls = {{ certificates = [{}] }}
[[upstream]]
name = "app"
servers = "{server}"
"#,
        routes.join(", "),
        pairs.join(", ")
    )
}

fn served(edge: &Edge, authority: &Authority, name: &str) -> Option<CertificateDer<'static>> {
    runtime().block_on(async {
        let stream = Client::new(authority)
            .connect(edge.address("api"), name)
            .await
            .ok()?;
        Some(stream.get_ref().1.peer_certificates()?[0].clone())
    })
}

#[test]
fn one_broken_pair_keeps_its_names_and_everything_else_is_new() {
    let (backend, authority) = (Backend::echo(), Authority::new());
    let (first, second) = (authority.issue(&[FIRST]), authority.issue(&[SECOND]));
    let before = policy(backend.address(), &["first", "second"], &[FIRST, SECOND]);
    let edge = Edge::start("lg-one", &before, &[("first", &first), ("second", &second)]);

    let (renewed, third) = (authority.issue(&[SECOND]), authority.issue(&[THIRD]));
    edge.home()
        .write("first.pem", &first.cert[..first.cert.len() / 2]);
    edge.write_pair("second", &renewed);
    edge.write_pair("third", &third);
    edge.write_policy(&policy(
        backend.address(),
        &["first", "second", "third"],
        &[FIRST, SECOND, THIRD],
    ));
    let error = edge.reload().expect_err("it is told");
    assert!(
        error.contains("listener `api`") && error.contains("first.pem"),
        "{error}"
    );
    assert!(
        !error.contains("second.pem") && !error.contains("third.pem"),
        "{error}"
    );
    let successful = "ravelin_config_last_reload_successful{half=\"edge\"}";
    assert_eq!(edge.metric(successful), 0.0);
    assert_eq!(served(&edge, &authority, FIRST), Some(first.der.clone()));
    assert_eq!(served(&edge, &authority, SECOND), Some(renewed.der.clone()));
    assert_eq!(served(&edge, &authority, THIRD), Some(third.der));

    // It stays the last good one, however often is looked.
    edge.reload().expect_err("it is still told");
    assert_eq!(served(&edge, &authority, FIRST), Some(first.der));
    let repaired = authority.issue(&[FIRST]);
    edge.write_pair("first", &repaired);
    edge.reload().expect("all is well");
    assert_eq!(edge.metric(successful), 1.0);
    assert_eq!(served(&edge, &authority, FIRST), Some(repaired.der));
}

#[test]
fn a_pair_that_was_never_good_refuses_the_whole_reload() {
    let (backend, authority) = (Backend::echo(), Authority::new());
    let first = authority.issue(&[FIRST]);
    let before = policy(backend.address(), &["first"], &[FIRST]);
    let edge = Edge::start("lg-never", &before, &[("first", &first)]);
    edge.home().write("second.pem", "half a file");
    edge.write_policy(&policy(backend.address(), &["first", "second"], &[FIRST, SECOND]));
    let error = edge.reload().expect_err("there is no last good pair");
    assert!(error.contains("second.pem"), "{error}");
    assert_eq!(
        served(&edge, &authority, SECOND),
        None,
        "the new route is not served"
    );
    assert_eq!(served(&edge, &authority, FIRST), Some(first.der));
}

#[test]
fn the_command_says_so_and_a_start_is_refused() {
    requires!(Root, NetworkNamespaces);
    let mut world = world("lg-command", Half::Edge, "").started();
    let other = world.authority.issue(&[super::NAME]);
    world.daemon.home().write("api.key", &other.key);
    let output = world.daemon.ravelin(&["reload"]);
    let (words, told) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(1), "{words}{told}");
    assert!(words.contains("the policy is live"), "{words}");
    assert!(
        told.contains("the last good pair of") && told.contains("does not belong to"),
        "{told}"
    );
    assert!(world.daemon.stop().success());
    assert_eq!(
        world.daemon.run_to_end().code(),
        Some(2),
        "at the start everything must be good"
    );
}
