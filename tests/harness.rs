//! The harness itself: what it makes works, and is gone afterwards.

use std::net::{TcpListener, TcpStream};

use ravelin_tests::home::Home;
use ravelin_tests::netns::{End, Namespace, veth};
use ravelin_tests::requires;

#[test]
fn two_namespaces_talk_over_their_veth_pair_and_are_gone_afterwards() {
    requires!(Root, NetworkNamespaces);
    let client = Namespace::new("harness-veth", "client");
    let server = Namespace::new("harness-veth", "server");
    veth(
        End {
            namespace: &client,
            interface: "up0",
            addresses: &["10.77.0.1/24", "fd00:77::1/64"],
        },
        End {
            namespace: &server,
            interface: "up0",
            addresses: &["10.77.0.2/24", "fd00:77::2/64"],
        },
    );
    for address in ["10.77.0.2:0", "[fd00:77::2]:0"] {
        let listener = server.run(|| TcpListener::bind(address).expect("bind"));
        let address = listener.local_addr().expect("an address");
        client.run(|| TcpStream::connect(address).expect("connect"));
    }
    let path = client.path();
    assert!(path.exists());
    drop(client);
    assert!(!path.exists());
}

#[test]
fn a_namespace_left_behind_by_a_killed_run_is_replaced() {
    requires!(Root, NetworkNamespaces);
    let left_behind = Namespace::new("harness-left", "edge");
    std::mem::forget(left_behind);
    let again = Namespace::new("harness-left", "edge");
    assert!(again.path().exists());
}

#[test]
fn a_home_with_mounted_pins_is_gone_afterwards() {
    requires!(Root, Bpf, Tool("mount"));
    let home = Home::new("harness-home");
    home.mount_pins();
    home.write("rules.d/a.toml", "x");
    let directory = home.directory().to_owned();
    assert!(directory.join("rules.d/a.toml").is_file());
    drop(home);
    assert!(!directory.exists());
}
