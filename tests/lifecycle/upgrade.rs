//! A new process in place of the old one: nothing is refused, nothing is cut, and when it fails nothing happens.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use ravelin_tests::daemon::{Half, ask, binary};
use ravelin_tests::netns::expect_success;
use ravelin_tests::{requires, wait};

use super::SOON;
use super::world::{World, echoes, ends, policy, world};

const DRAIN: &str = "[edge]\ndrain_timeout = \"1h\"\n";

/// The process that answers on the edge's control socket.
fn answering(world: &World) -> i64 {
    let status = ask(&world.daemon.home().edge_socket(), "status").expect("an answer");
    status["pid"].as_i64().expect("a pid")
}

#[test]
fn the_new_edge_serves_and_the_old_one_drains() {
    requires!(Root, NetworkNamespaces);
    let mut world = world("upgrade-serves", Half::Edge, DRAIN).started();
    let mut live = world.session();
    let first = i64::from(world.daemon.pid().as_raw());
    assert_eq!(answering(&world), first);
    let mut old = world.daemon.take_over();
    let second = i64::from(world.daemon.pid().as_raw());
    assert_ne!(second, first);
    assert_eq!(answering(&world), second);
    world
        .run(echoes(&mut live))
        .expect("the old one serves what it has");
    let open = "ravelin_edge_open_connections{listener=\"api\"}";
    assert_eq!(world.metric(open), 0.0, "the page is the new one's");
    assert_eq!(world.page("/readyz").0, 200);
    let newer = world.session();
    assert_eq!(world.metric(open), 1.0);

    // The new one is an edge like any other: it reloads, and is taken over from.
    world.daemon.reload();
    assert!(old.runs());
    world.run(ends(live)).expect("it ends in order");
    assert_eq!(old.await_end().code(), Some(0));
    let second = world.daemon.take_over();
    world.run(ends(newer)).expect("it ends in order");
    assert_eq!(second.await_end().code(), Some(0));
    world.run(ends(world.session())).expect("it ends in order");
    assert!(world.daemon.stop().success(), "{}", world.daemon.logs());
}

#[test]
fn a_new_edge_that_cannot_serve_leaves_the_old_one_as_it_was() {
    requires!(Root, NetworkNamespaces);
    let mut world = world("upgrade-fails", Half::Edge, DRAIN).started();
    let mut live = world.session();
    let good = policy(world.backend.address(), DRAIN);
    world.daemon.write_policy("nonsense");
    assert_eq!(world.daemon.fail_to_take_over().code(), Some(1));
    // The policy loads, and its address cannot be bound.
    world
        .daemon
        .write_policy(&good.replace("[::1]:8443", "192.0.2.77:8443"));
    assert_eq!(world.daemon.fail_to_take_over().code(), Some(2));
    world.daemon.write_policy(&good);
    world.run(echoes(&mut live)).expect("it is still served");
    world.run(ends(world.session())).expect("it serves new ones");
    assert_eq!(answering(&world), i64::from(world.daemon.pid().as_raw()));
    // Neither are reloads held up, nor the next attempt.
    world.daemon.reload();
    let old = world.daemon.take_over();
    world.run(ends(live)).expect("it ends in order");
    assert_eq!(old.await_end().code(), Some(0));
}

#[test]
fn addresses_may_come_and_go_on_the_way() {
    requires!(Root, NetworkNamespaces);
    let mut world = world("upgrade-moves", Half::Edge, DRAIN).started();
    let moved = policy(world.backend.address(), DRAIN).replace("[::1]:8443", "127.0.0.1:8444");
    world.daemon.home().write("ravelin.toml", &moved);
    let old = world.daemon.take_over();
    assert_eq!(old.await_end().code(), Some(0));
    let connect = |to: &str| {
        world
            .namespace
            .run(|| std::net::TcpStream::connect(super::world::address(to)))
    };
    connect("127.0.0.1:8444").expect("the new address is bound");
    wait::until("the old address to be closed", SOON, || {
        connect("[::1]:8443").err()
    });
}

#[test]
fn without_an_edge_there_is_nothing_to_take_over_and_it_starts_as_ever() {
    requires!(Root, NetworkNamespaces);
    let world = world("upgrade-first", Half::Edge, DRAIN);
    let world = World {
        daemon: world.daemon.argument("--take-over").started(),
        ..world
    };
    world.run(ends(world.session())).expect("it ends in order");
    // An edge alone has nobody who could start another.
    let output = world.daemon.ravelin(&["upgrade"]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("ravelin edge --take-over"), "{told}");
}

#[test]
fn ravelin_upgrade_starts_the_binary_that_is_on_disk_now() {
    requires!(Root, Bpf, NetworkNamespaces);
    let more = format!("{DRAIN}[firewall]\ninterfaces = [\"wan\"]\ninbound = \"allow\"\n");
    let world = world("upgrade-run", Half::Both, &more);
    world
        .namespace
        .ip(&["link", "add", "wan", "type", "veth", "peer", "name", "lan"]);
    let copy = world.daemon.home().directory().join("ravelin");
    fs::copy(binary(), &copy).expect("a copy");
    let mut world = World {
        daemon: world.daemon.running(copy.clone()).started(),
        ..world
    };
    let mut live = world.session();
    let first = answering(&world);

    let beside = copy.with_extension("new");
    fs::copy(binary(), &beside).expect("another copy");
    fs::rename(&beside, &copy).expect("the binary is replaced");
    let output = world.daemon.ravelin(&["upgrade"]);
    expect_success("ravelin upgrade", &output);
    let second = answering(&world);
    assert_ne!(second, first);
    let inode = |path: &str| fs::metadata(path).expect("a binary").ino();
    assert_eq!(
        inode(&format!("/proc/{second}/exe")),
        fs::metadata(&copy).expect("a binary").ino()
    );
    world
        .run(echoes(&mut live))
        .expect("the old one serves what it has");
    world.run(ends(world.session())).expect("the new one serves");

    // One that cannot serve: the answer says so, and the old one stays.
    world.daemon.write_policy("nonsense");
    let output = world.daemon.ravelin(&["upgrade"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(answering(&world), second);
    world.daemon.write_policy(&policy(world.backend.address(), &more));

    world.run(ends(live)).expect("it ends in order");
    let gone = format!("/proc/{first}");
    wait::until("the old process to be gone", SOON, || {
        (!fs::exists(&gone).ok()?).then_some(())
    });
    assert!(world.daemon.stop().success(), "{}", world.daemon.logs());
}
