//! Sockets that the service manager opens: used where the policy listens on their address, and closed where it does not.

use std::net::TcpStream;
use std::thread;

use ravelin_tests::daemon::Half;
use ravelin_tests::{requires, wait};

use super::SOON;
use super::world::{LISTENER, METRICS, World, address, ends, world};

const OTHER: &str = "127.0.0.1:9999";

/// A world whose edge is started by systemd's own tool, with these sockets.
fn activated(test: &str, sockets: &[&str]) -> World {
    let mut wrapper = vec!["systemd-socket-activate"];
    for socket in sockets {
        wrapper.extend(["--listen", socket]);
    }
    let world = world(test, Half::Edge, "");
    World {
        daemon: world.daemon.wrapped(&wrapper),
        ..world
    }
}

fn connects(world: &World, to: &str) -> bool {
    world.namespace.run(|| TcpStream::connect(address(to))).is_ok()
}

#[test]
fn inherited_sockets_are_served_and_what_came_before_the_start_too() {
    requires!(Root, NetworkNamespaces, Tool("systemd-socket-activate"));
    let mut world = activated("activation", &[LISTENER, METRICS, OTHER]);
    world.daemon.spawn();
    // The tool starts the edge at the first connection, which waits in the queue until then.
    let live = wait::until("the tool to listen", SOON, || {
        world.namespace.run(|| TcpStream::connect(address(LISTENER))).ok()
    });
    world.daemon.await_ready();
    drop(live);
    world.run(ends(world.session())).expect("it ends in order");
    assert_eq!(world.page("/readyz").0, 200, "the metrics' socket is among them");
    // The policy does not name it.
    assert!(!connects(&world, OTHER));
    let logs = world.daemon.logs();
    assert!(
        logs.contains("inherited socket closed") && logs.contains(OTHER),
        "{logs}"
    );
    // The other address of the listener was not among them: it is bound as ever.
    assert!(connects(&world, "[::1]:8443"));
    assert!(world.daemon.stop().success());
    wait::until("the address to be closed", SOON, || {
        (!connects(&world, LISTENER)).then_some(())
    });
}

#[test]
fn a_socket_for_both_families_is_refused_with_what_to_write() {
    requires!(Root, NetworkNamespaces, Tool("systemd-socket-activate"));
    let mut world = activated("activation-both", &["[::]:8443"]);
    thread::scope(|scope| {
        world.namespace.enter_and(scope, || {
            wait::until("the tool to listen", SOON, || {
                TcpStream::connect(address("[::1]:8443")).ok()
            })
        });
        assert_eq!(world.daemon.run_to_end().code(), Some(2));
    });
    let logs = world.daemon.logs();
    assert!(logs.contains("BindIPv6Only=ipv6-only"), "{logs}");
}
