//! One line for a connection at its end, with what is known of it.

use ravelin_tests::client::s_client;
use ravelin_tests::daemon::Half;
use ravelin_tests::{requires, wait};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::world::{LISTENER, World, address, ends, policy, world};
use super::{NAME, SOON};

fn log(access: &str) -> String {
    format!("[log]\nformat = \"json\"\naccess = \"{access}\"\n")
}

/// The lines of the access log so far.
fn lines(world: &World) -> Vec<Value> {
    let logs = world.daemon.logs();
    let all = logs
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    all.filter(|line| line["target"] == "ravelin::access").collect()
}

#[track_caller]
fn await_lines(world: &World, count: usize) -> Vec<Value> {
    wait::until("lines of the access log", SOON, || {
        let lines = lines(world);
        (lines.len() >= count).then_some(lines)
    })
}

fn plaintext(world: &World) {
    world.namespace.run(|| {
        let mut stream = TcpStream::connect(address(LISTENER)).expect("connect");
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("send");
        let _reset = stream.read(&mut [0]);
    });
}

#[test]
fn a_line_holds_what_was_negotiated_and_what_was_moved() {
    requires!(Root, NetworkNamespaces);
    // The level is about everything else.
    let world = world("access-all", Half::Edge, &log("all"));
    let world = World {
        daemon: world.daemon.argument("--log-level").argument("error"),
        ..world
    }
    .started();
    let live = world.session();
    world.run(ends(live)).expect("it ends in order");
    let lines = await_lines(&world, 1);
    let line = &lines[0];
    for (field, value) in [
        ("listener", "api"),
        ("sni", NAME),
        ("version", "1.3"),
        ("group", "X25519MLKEM768"),
        ("route", "app"),
        ("result", "completed"),
    ] {
        assert_eq!(line[field], value, "{field} of {line}");
    }
    assert!(
        line["suite"]
            .as_str()
            .is_some_and(|suite| suite.starts_with("TLS13_")),
        "{line}"
    );
    assert!(
        line["client"]
            .as_str()
            .is_some_and(|client| client.starts_with("127.0.0.1:")),
        "{line}"
    );
    assert_eq!(line["server"], world.backend.address().to_string(), "{line}");
    assert_eq!(line["resumed"], false, "{line}");
    assert_eq!(
        (&line["to_upstream"], &line["to_client"]),
        (&Value::from(4), &Value::from(4)),
        "{line}"
    );
    assert!(
        line["handshake_ms"].is_u64() && line["duration_ms"].is_u64(),
        "{line}"
    );
    for absent in ["peer", "alpn", "suppressed"] {
        assert!(line.get(absent).is_none(), "{absent} of {line}");
    }
}

#[test]
fn names_and_protocols_of_a_client_are_told_also_when_it_fails() {
    requires!(Root, NetworkNamespaces, Tool("openssl"));
    let world = world("access-names", Half::Edge, &log("all")).started();
    let client = |arguments: &[&str]| {
        world
            .namespace
            .run(|| s_client(address(LISTENER), arguments, "Q\n"))
    };
    let _ended = client(&["-servername", "unknown.example.com"]);
    let line = &await_lines(&world, 1)[0];
    assert_eq!(line["result"], "unknown_name", "{line}");
    assert_eq!(line["sni"], "unknown.example.com", "{line}");
    assert_eq!(line["to_upstream"], 0, "{line}");
    let _ended = client(&["-servername", NAME, "-tls1_2", "-alpn", "h2"]);
    let line = &await_lines(&world, 2)[1];
    assert_eq!(
        (&line["version"], &line["alpn"]),
        (&Value::from("1.2"), &Value::from("h2")),
        "{line}"
    );
}

#[test]
fn failures_are_bounded_and_what_went_well_is_no_line() {
    requires!(Root, NetworkNamespaces);
    let world = world("access-failures", Half::Edge, &log("failures")).started();
    world.run(ends(world.session())).expect("it ends in order");
    for _ in 0..50 {
        plaintext(&world);
    }
    let series = "ravelin_edge_connections_total{listener=\"api\",result=\"not_tls\"}";
    wait::until("all to end", SOON, || {
        (world.metric(series) == 50.0).then_some(())
    });
    let lines = lines(&world);
    // Ten in ten seconds; a slow machine may see the next ten.
    assert!((10..=30).contains(&lines.len()), "{} lines", lines.len());
    assert!(lines.iter().all(|line| line["result"] == "not_tls"), "{lines:?}");
}

#[test]
fn off_is_no_line_and_a_reload_changes_that() {
    requires!(Root, NetworkNamespaces);
    let world = world("access-off", Half::Edge, &log("off")).started();
    plaintext(&world);
    let series = "ravelin_edge_connections_total{listener=\"api\",result=\"not_tls\"}";
    wait::until("it to end", SOON, || (world.metric(series) == 1.0).then_some(()));
    assert!(lines(&world).is_empty());
    let all = policy(world.backend.address(), &log("all"));
    world.daemon.write_policy(&all);
    world.daemon.reload();
    plaintext(&world);
    assert_eq!(await_lines(&world, 1)[0]["result"], "not_tls");
}
