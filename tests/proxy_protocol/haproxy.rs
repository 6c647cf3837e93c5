//! HAProxy in front of the edge.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;

use ravelin_daemon::transport::proxy::{Origin, Unparsed, parse};
use ravelin_tests::client::{connect_from, curl};
use ravelin_tests::haproxy::HaProxy;
use ravelin_tests::home::Home;
use ravelin_tests::requires;
use ravelin_tests::runtime::runtime;

use super::{NAME, v2_client, world};

/// Options of a server line, the version they ask for, and the seed that shows them.
const OPTIONS: [(&str, &str, &str); 4] = [
    ("send-proxy", "v1", "haproxy-v1"),
    ("send-proxy-v2", "v2", "haproxy-v2"),
    (
        "send-proxy-v2 proxy-v2-options crc32c,unique-id",
        "v2",
        "haproxy-v2-checksum",
    ),
    (
        "send-proxy-v2-ssl-cn proxy-v2-options crc32c,authority,ssl",
        "v2",
        "haproxy-v2-ssl",
    ),
];

#[test]
fn the_upstream_hears_of_the_client_in_front_of_haproxy() {
    requires!(Tool("haproxy"), Tool("curl"));
    let world = world("proxy-haproxy", "", "");
    for (options, _, name) in OPTIONS {
        let haproxy = HaProxy::new(world.edge.home(), name, world.to(), options);
        let to = haproxy.address();
        let arguments = ["--interface", "127.0.0.9"];
        let output = curl(world.edge.home(), &world.authority, to, NAME, &arguments);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{options}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(said.starts_with("127.0.0.9:"), "{options}: {said}");
        assert!(said.ends_with(&format!(" to {to}")), "{options}: {said}");
    }
    assert_eq!((world.headers("v1"), world.headers("v2")), (1.0, 3.0));
}

#[test]
fn a_client_that_haproxy_names_is_refused_by_the_lists() {
    requires!(Tool("haproxy"), Tool("curl"));
    let world = world("proxy-haproxy-deny", "deny = [\"127.0.0.8\"]", "");
    let haproxy = HaProxy::new(world.edge.home(), "front", world.to(), "send-proxy-v2");
    for (client, served) in [("127.0.0.8", false), ("127.0.0.9", true)] {
        let output = curl(
            world.edge.home(),
            &world.authority,
            haproxy.address(),
            NAME,
            &["--interface", client],
        );
        assert_eq!(output.status.success(), served, "{client}");
    }
    // HAProxy tries again.
    assert!(world.refused("address") >= 1.0);
}

/// The headers that the fuzzer begins with. `RAVELIN_BLESS=1` keeps those of today.
#[test]
fn the_headers_of_haproxy_are_read() {
    requires!(Tool("haproxy"));
    let home = Home::new("proxy-seeds");
    let mut headers = vec![("by-hand-v2", v2_client())];
    for (options, version, name) in OPTIONS {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let to = listener.local_addr().expect("an address");
        let haproxy = HaProxy::new(&home, name, to, options);
        let client = runtime()
            .block_on(connect_from("127.0.0.9", haproxy.address()))
            .expect("connect");
        let (mut stream, _) = listener.accept().expect("haproxy");
        let mut bytes = Vec::new();
        let header = loop {
            match parse(&bytes) {
                Ok(header) => break header,
                Err(Unparsed::Incomplete(wanted)) => {
                    let from = bytes.len();
                    bytes.resize(wanted, 0);
                    stream.read_exact(&mut bytes[from..]).expect("a whole header");
                }
                Err(wrong) => panic!("{options}: {wrong:?} in {bytes:x?}"),
            }
        };
        let ends = match (header.origin, version) {
            (Origin::V1(ends), "v1") | (Origin::V2(ends), "v2") => ends,
            (other, _) => panic!("{options}: {other:?}"),
        };
        assert_eq!(ends.client, client.local_addr().expect("an address"));
        assert_eq!(ends.local, haproxy.address());
        headers.push((name, bytes));
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/proxy_header");
    for (name, bytes) in headers {
        if std::env::var_os("RAVELIN_BLESS").is_some() {
            fs::write(folder.join(name), &bytes).expect("a seed");
        }
        let seed = fs::read(folder.join(name)).expect("a seed");
        assert!(parse(&seed).is_ok(), "{name}");
    }
}
