//! Real clients of real servers, with the edge between them.

use std::process::Output;

use ravelin_tests::backend::Backend;
use ravelin_tests::client::{curl, s_client};
use ravelin_tests::edge::Edge;
use ravelin_tests::hello::shredder;
use ravelin_tests::requires;
use ravelin_tests::wait;

use super::{API, DB, SOON, World, without_certificate, world};

#[track_caller]
fn assert_says(output: &Output, expected: &str) {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn curl_reaches_the_upstream_that_ends_tls_and_the_one_behind_tls_that_is_ended_here() {
    requires!(Tool("curl"));
    let World {
        authority,
        edge,
        db,
        app,
    } = world("passthrough-curl");
    let to = edge.address("api");
    for version in ["--tlsv1.3", "--tls-max=1.2"] {
        // The authority vouches for each name once: the certificate for this one is the upstream's.
        let version: Vec<&str> = version.split('=').collect();
        assert_says(&curl(edge.home(), &authority, to, DB, &version), "ended behind");
        assert_says(&curl(edge.home(), &authority, to, API, &version), "ended here");
    }
    assert_eq!((db.accepted(), app.accepted()), (2, 2));
    wait::until("all four to end in order", SOON, || {
        (edge.ended("api", "completed") == 4.0).then_some(())
    });
    let handshakes: f64 = ["1.2", "1.3"]
        .map(|version| {
            edge.metric(&format!(
                "ravelin_edge_tls_handshakes_total{{listener=\"api\",resumed=\"no\",version=\"{version}\"}}"
            ))
        })
        .iter()
        .sum();
    assert_eq!(handshakes, 2.0, "only those that are ended here");
    assert_eq!(edge.metric("ravelin_edge_admitted_total{listener=\"api\"}"), 4.0);
    assert_eq!(
        edge.metric("ravelin_edge_open_connections{listener=\"api\"}"),
        0.0
    );
}

#[test]
fn a_hello_in_crumbs_is_put_together_and_passed_on_as_it_came() {
    requires!(Tool("curl"));
    let World { authority, edge, .. } = &world("passthrough-crumbs");
    for (record, segment) in [(1, 1), (3, 7), (16_384, 1), (16_384, 1200), (100, 100_000)] {
        let network = shredder(edge.address("api"), record, segment);
        for (name, expected) in [(DB, "ended behind"), (API, "ended here")] {
            let output = curl(edge.home(), authority, network.address(), name, &[]);
            assert_says(&output, expected);
        }
    }
}

#[test]
fn openssl_talks_to_openssl() {
    requires!(Tool("openssl"));
    let World { authority, edge, .. } = world("passthrough-openssl");
    let pair = authority.issue(&[DB]);
    edge.write_pair("db", &pair);
    let path = |name: &str| edge.home().directory().join(name);
    let mut server = std::process::Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cert"])
        .arg(path("db.pem"))
        .arg("-key")
        .arg(path("db.key"))
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("openssl runs");
    let said = std::io::BufRead::lines(std::io::BufReader::new(server.stdout.take().expect("piped")));
    let at = said
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("ACCEPT ")?.parse().ok())
        .expect("it says where it listens");
    edge.write_policy(&without_certificate(at, "", ""));
    edge.reload().expect("a good policy");
    let arguments = ["-quiet", "-servername", DB];
    let page = s_client(edge.address("through"), &arguments, "GET / HTTP/1.0\r\n\r\n");
    server.kill().expect("it runs");
    server.wait().expect("it ended");
    assert!(page.contains("s_server -accept"), "{page}");
}

#[test]
fn names_without_a_route_get_the_alert_also_where_there_is_no_certificate() {
    requires!(Tool("openssl"));
    let db = Backend::echo();
    let edge = Edge::start(
        "passthrough-unknown",
        &without_certificate(db.address(), "", ""),
        &[],
    );
    for arguments in [
        &["-servername", "other.example.net"][..],
        &["-noservername"],
        &["-servername", "a.db.example.com"],
    ] {
        let said = s_client(edge.address("through"), arguments, "");
        assert!(said.contains("alert number 112"), "{arguments:?}: {said}");
    }
    let old = s_client(
        edge.address("through"),
        &[
            "-tls1_1",
            "-cipher",
            "DEFAULT@SECLEVEL=0",
            "-servername",
            "other.example.net",
        ],
        "",
    );
    assert!(old.contains("alert protocol version"), "{old}");
    assert_eq!(edge.ended("through", "unknown_name"), 3.0);
    assert_eq!(edge.ended("through", "handshake_failed"), 1.0);
    assert_eq!(db.accepted(), 0);
}
