//! A stop: not ready, not listening, connections finish, what does not is cut and counted in the exit code.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;

use nix::sys::signal::Signal;
use ravelin_tests::daemon::Half;
use ravelin_tests::{requires, wait};
use tokio::io::AsyncReadExt as _;

use super::SOON;
use super::world::{LISTENER, World, address, echoes, ends, world};

fn drain(timeout: &str) -> String {
    format!("[edge]\ndrain_timeout = \"{timeout}\"\n")
}

fn refuses(world: &World) -> Option<()> {
    world
        .namespace
        .run(|| std::net::TcpStream::connect(address(LISTENER)))
        .err()
        .map(drop)
}

#[test]
fn an_edge_whose_connections_finish_ends_well_and_at_once() {
    requires!(Root, NetworkNamespaces);
    let mut world = world("drain-well", Half::Edge, &drain("1h")).started();
    let mut live = world.session();
    assert_eq!(world.page("/readyz").0, 200);
    world.daemon.signal(Signal::SIGTERM);
    wait::until("the address to be closed", SOON, || refuses(&world));
    assert_eq!(world.page("/readyz").0, 503);
    assert_eq!(world.page("/healthz").0, 200);
    world.run(async {
        echoes(&mut live).await.expect("it is still served");
        ends(live).await.expect("it ends in order");
    });
    assert_eq!(
        world.daemon.await_end().code(),
        Some(0),
        "{}",
        world.daemon.logs()
    );
}

#[test]
fn what_does_not_finish_is_cut_and_counted_with_the_time_of_the_last_reload() {
    requires!(Root, NetworkNamespaces);
    let mut world = world("drain-cut", Half::Edge, &drain("1h")).started();
    let (mut one, mut other) = (world.session(), world.session());
    let policy = super::world::policy(world.backend.address(), &drain("300ms"));
    world.daemon.write_policy(&policy);
    world.daemon.reload();
    world.daemon.signal(Signal::SIGTERM);
    world.run(async {
        one.read(&mut [0]).await.expect_err("cut");
        other.read(&mut [0]).await.expect_err("cut");
    });
    assert_eq!(world.daemon.await_end().code(), Some(1));
    let logs = world.daemon.logs();
    assert!(logs.contains("cut=2"), "{logs}");
}

#[test]
fn a_service_manager_is_told_how_long_the_drain_may_take() {
    requires!(Root, NetworkNamespaces);
    let world = world("drain-notify", Half::Edge, &drain("2h"));
    let socket = world.daemon.home().directory().join("notify.sock");
    let manager = UnixDatagram::bind(&socket).expect("bind");
    manager.set_read_timeout(Some(SOON)).expect("a timeout");
    // The edge has become another user by then.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).expect("permissions");
    let mut world = World {
        daemon: world.daemon.variable("NOTIFY_SOCKET", &socket).started(),
        ..world
    };
    assert!(world.daemon.stop().success());
    let mut told = String::new();
    while !told.contains("STOPPING=1") {
        let mut message = [0; 4096];
        let length = manager.recv(&mut message).expect("a message");
        told.push_str(&String::from_utf8_lossy(&message[..length]));
    }
    // Two hours and what is left to do then, in microseconds.
    assert!(told.contains("EXTEND_TIMEOUT_USEC=7205000000"), "{told}");
}
