//! What the halves tell a service manager: started only when the work is done, reloading, stopping.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use ravelin_tests::daemon::{Daemon, Half};
use ravelin_tests::requires;
use ravelin_tests::scene::Scene;

/// Receives until a message contains `word`; gives the messages so far.
#[track_caller]
fn told(manager: &UnixDatagram, word: &str) -> Vec<String> {
    let mut messages = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = manager
            .recv(&mut buffer)
            .unwrap_or_else(|error| panic!("{word}: {error}, after {messages:?}"));
        messages.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        if messages.last().is_some_and(|message| message.contains(word)) {
            return messages;
        }
    }
}

#[test]
fn a_filter_is_ready_when_packets_are_judged_and_tells_of_reloads_and_its_end() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("notify");
    let policy = "[firewall]\ninterfaces = [\"wan\"]\nstateful = false\n";
    let daemon = Daemon::new("notify", Half::Filter, policy).inside(&scene.host);
    let socket = daemon.home().directory().join("notify.sock");
    let manager = UnixDatagram::bind(&socket).expect("bind");
    manager
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout");
    let mut daemon = daemon.variable("NOTIFY_SOCKET", &socket);
    daemon.spawn();
    let messages = told(&manager, "READY=1");
    assert!(
        !scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300"),
        "ready means that packets are judged"
    );
    assert!(
        messages.concat().contains("STATUS=generation 1 on wan (native)"),
        "{messages:?}"
    );
    daemon.await_ready();

    daemon.reload();
    let messages = told(&manager, "RELOADING=1");
    assert!(messages.concat().contains("MONOTONIC_USEC="), "{messages:?}");
    told(&manager, "READY=1");

    daemon.write_policy("nonsense");
    assert_eq!(daemon.ravelin(&["reload"]).status.code(), Some(1));
    told(&manager, "last reload refused");
    assert!(daemon.stop().success());
    told(&manager, "STOPPING=1");
}

#[test]
fn a_watchdog_is_fed() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("notify-watchdog");
    let policy = "[firewall]\ninterfaces = [\"wan\"]\nstateful = false\n";
    let daemon = Daemon::new("notify-watchdog", Half::Filter, policy).inside(&scene.host);
    let socket = daemon.home().directory().join("notify.sock");
    let manager = UnixDatagram::bind(&socket).expect("bind");
    manager
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout");
    let _daemon = daemon
        .variable("NOTIFY_SOCKET", &socket)
        .variable("WATCHDOG_USEC", "200000".as_ref())
        .started();
    told(&manager, "WATCHDOG=1");
    told(&manager, "WATCHDOG=1");
}
