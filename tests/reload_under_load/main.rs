//! Reloads and upgrades of the real `ravelin edge` while 200 connections a second come in and long transfers run: nothing is lost.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod load;
mod storm;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use load::{Counts, Load};
use ravelin_tests::backend::Backend;
use ravelin_tests::daemon::{Daemon, Half, ask};
use ravelin_tests::netns::Namespace;
use ravelin_tests::pki::{Authority, Pair};
use ravelin_tests::requires;
use storm::Storm;

const NAME: &str = "api.example.com";
const LISTENER: &str = "127.0.0.1:8443";
const SECOND: &str = "127.0.0.1:8444";

const RELOADS: usize = 300;
const UPGRADES: usize = 20;

struct World {
    daemon: Daemon,
    authority: Authority,
    backends: [Backend; 2],
    namespace: Namespace,
}

/// The policy of each turn: every second has another upstream and other limits, every third another listener besides.
fn policy(turn: usize, backends: &[Backend; 2]) -> String {
    let rate = 100_000 + turn;
    let idle = 60 + turn % 2;
    let second = if turn % 3 == 1 {
        format!(
            r#"
[[listener]]
name = "second"
bind = "{SECOND}"
routes = [{{ upstream = "app" }}]
tls = {{ certificates = [{{ cert = "api.pem", key = "api.key" }}] }}
"#
        )
    } else {
        String::new()
    };
    format!(
        r#"
[[listener]]
name = "api"
bind = "{LISTENER}"
routes = [{{ sni = "{NAME}", upstream = "app" }}, {{ sni = "*.turn-{turn}.example.com", upstream = "app" }}]
[listener.tls]
certificates = [{{ cert = "api.pem", key = "api.key" }}]
[listener.limits]
idle_timeout = "{idle}s"
connections = {{ rate = "100k/s", burst = {rate} }}
{second}
[[upstream]]
name = "app"
servers = "{}"
[edge]
drain_timeout = "2m"
"#,
        backends[turn % 2].address()
    )
}

fn world(test: &str) -> World {
    let namespace = Namespace::new(test, "edge");
    let backends = namespace.run(|| [Backend::echo(), Backend::echo()]);
    let authority = Authority::new();
    let daemon = Daemon::new(test, Half::Edge, &policy(0, &backends)).inside(&namespace);
    write_pair(&daemon, &authority.issue(&[NAME]));
    World {
        daemon: daemon.started(),
        authority,
        backends,
        namespace,
    }
}

/// One after the other, as tools do: what is read between the two does not fit.
fn write_pair(daemon: &Daemon, pair: &Pair) {
    daemon.home().write("api.pem", &pair.cert);
    daemon.home().write("api.key", &pair.key);
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

#[track_caller]
fn assert_nothing_lost(counts: &Counts, took: Duration) {
    assert_eq!(
        (counts.refused, counts.reset, counts.other),
        (0, 0, 0),
        "of {} connections: {:?}",
        counts.opened,
        counts.first_error
    );
    let per_second = counts.opened as f64 / took.as_secs_f64();
    assert!(per_second >= 190.0, "{per_second:.0} connections a second");
    assert!(counts.transferred > 0);
}

#[test]
fn three_hundred_reloads_lose_nothing() {
    requires!(Root, NetworkNamespaces);
    let world = world("load-reloads");
    let socket = world.daemon.home().edge_socket();
    let load = Load::start(&world.namespace, &world.authority, address(LISTENER));
    let began = Instant::now();
    let mut served_twice = 0;
    for turn in 1..=RELOADS {
        let before = load.opened();
        if turn % 2 == 0 {
            write_pair(&world.daemon, &world.authority.issue(&[NAME]));
        }
        world.daemon.write_policy(&policy(turn, &world.backends));
        let answer = ask(&socket, "reload").expect("an answer");
        assert_eq!(answer["answer"], "reloaded", "{answer}");
        assert!(answer.get("kept").is_none(), "{answer}");
        if turn % 3 == 1 {
            world
                .namespace
                .run(|| std::net::TcpStream::connect(address(SECOND)))
                .expect("the second listener");
            served_twice += 1;
        }
        ravelin_tests::wait::until("connections between two reloads", load::SOON, || {
            (load.opened() >= before + 6).then_some(())
        });
    }
    let took = began.elapsed();
    let counts = load.finish();
    eprintln!("{RELOADS} reloads in {took:.1?} ({served_twice} with a second listener): {counts}",);
    assert_nothing_lost(&counts, took);
}

#[test]
fn twenty_upgrades_lose_nothing_and_leave_no_process_behind() {
    requires!(Root, NetworkNamespaces);
    let mut world = world("load-upgrades");
    let load = Load::start(&world.namespace, &world.authority, address(LISTENER));
    let began = Instant::now();
    let mut relieved = Vec::new();
    for turn in 1..=UPGRADES {
        let before = load.opened();
        relieved.push(world.daemon.take_over());
        // Some connections for each, or the next would take over from one that has had none.
        ravelin_tests::wait::until(&format!("connections after upgrade {turn}"), load::SOON, || {
            (load.opened() >= before + 50).then_some(())
        });
    }
    let took = began.elapsed();
    let counts = load.finish();
    let ends: Vec<_> = relieved.into_iter().map(|old| old.await_end().code()).collect();
    eprintln!("{UPGRADES} upgrades in {took:.1?}: {counts}");
    assert_nothing_lost(&counts, took);
    assert_eq!(ends, vec![Some(0); UPGRADES], "{}", world.daemon.logs());
    assert!(world.daemon.stop().success());
}

#[test]
fn what_waits_in_the_queue_survives_an_upgrade() {
    requires!(Root, NetworkNamespaces);
    let mut world = world("load-queue");
    let storm = Storm::start(&world.namespace, address(LISTENER));
    let began = Instant::now();
    for turn in 1..=UPGRADES {
        let before = storm.ended();
        let old = world.daemon.take_over();
        assert_eq!(old.await_end().code(), Some(0), "{}", world.daemon.logs());
        ravelin_tests::wait::until(&format!("connections after upgrade {turn}"), load::SOON, || {
            (storm.ended() >= before + 500).then_some(())
        });
    }
    let took = began.elapsed();
    let (ended, failed) = storm.finish();
    let [refused, reset, other] = failed;
    eprintln!(
        "{UPGRADES} upgrades in {took:.1?}: {ended} connections, {refused} refused, {reset} reset, {other} other failures"
    );
    assert_eq!(failed, [0, 0, 0], "of {ended} connections");
}
