//! nmap against a filtered host on which more listens than the policy lets in: every kind of scan finds what is allowed, and
//! nothing else.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::net::{TcpListener, UdpSocket};

use ravelin_tests::requires;
use ravelin_tests::scene::Scene;

/// Listening on the host; only the last is let in.
const LISTENING: [u16; 4] = [22, 80, 8080, 443];

#[test]
fn no_scan_finds_what_the_policy_does_not_allow() {
    requires!(Root, Bpf, NetworkNamespaces, Tool("nmap"));
    let scene = Scene::new("scan");
    let _filter = scene.filter("scan", POLICY);
    let (listeners, datagrams) = scene.host.run(|| {
        let listener = |port| TcpListener::bind(("0.0.0.0", port)).expect("a listener");
        let socket = UdpSocket::bind("0.0.0.0:53").expect("a socket");
        (LISTENING.map(listener), socket)
    });
    for (scan, allowed) in SCANS {
        let found = found(&scene, scan);
        assert_eq!(found.len(), PORTS.split(',').count(), "{scan:?}: {found:?}");
        for (port, state) in found {
            let expected = if port == 443 { allowed } else { silence(scan) };
            assert_eq!(state, expected, "{scan:?}, port {port}");
        }
    }
    drop((listeners, datagrams));
}

/// Every kind of scan that nmap sends by hand, and what it makes of the port that is open: a packet that belongs to no connection is
/// answered by the host, where the policy lets it in.
const SCANS: [(&[&str], &str); 10] = [
    (&["-sS"], "open"),
    (&["-sS", "--source-port", "53"], "open"),
    (&["-sS", "--data-length", "1400"], "open"),
    (&["-sS", "-f"], "filtered"),
    (&["-sA"], "unfiltered"),
    (&["-sW"], "closed"),
    (&["-sM"], "closed"),
    (&["-sF"], "open|filtered"),
    (&["-sX"], "open|filtered"),
    (&["-sU"], "open|filtered"),
];

const PORTS: &str = "22,53,80,443,8080,9999";

/// What nmap says of a port that says nothing.
fn silence(scan: &[&str]) -> &'static str {
    match scan {
        ["-sS" | "-sA" | "-sW", ..] => "filtered",
        _ => "open|filtered",
    }
}

/// Each port and its state.
fn found(scene: &Scene, scan: &[&str]) -> Vec<(u16, String)> {
    let mut nmap = scene.client.command("nmap");
    // No names, no ping, no long waits: all that is scanned is at the other end of the wire.
    nmap.args([
        "-n",
        "-Pn",
        "--max-retries",
        "1",
        "--max-rtt-timeout",
        "100ms",
        "-oG",
        "-",
        "-p",
        PORTS,
    ]);
    let output = nmap.args(scan).arg("10.77.0.2").output().expect("nmap runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let ports = text.lines().find_map(|line| line.split_once("Ports: "));
    let (_, ports) =
        ports.unwrap_or_else(|| panic!("{scan:?}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    ports
        .split(", ")
        .map(|port| {
            let mut fields = port.trim().split('/');
            let number = fields.next().and_then(|number| number.parse().ok());
            (
                number.expect("a port"),
                fields.next().expect("a state").to_owned(),
            )
        })
        .collect()
}

const POLICY: &str = "[firewall]\ninterfaces = [\"wan\"]\n[metrics]\nbind = \"127.0.0.1:9465\"\n\
     [[rule]]\nname = \"https\"\naction = \"allow\"\nprotocol = \"tcp\"\nports = 443\n";
