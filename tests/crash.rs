//! Killed at any moment, the filter goes on filtering, and whoever comes back finds everything as it was left.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ravelin_tests::daemon::{Daemon, Half, ask};
use ravelin_tests::random::{self, Random};
use ravelin_tests::scene::Scene;
use ravelin_tests::{figures, requires, wait};

ravelin_tests::at_each_hook! {
    fifty_kills_at_random_moments_leave_packets_judged_and_counters_growing,
    a_restarted_filter_adopts_what_is_attached_and_leaves_no_moment_without_a_program,
    a_filter_that_restarts_with_a_broken_policy_keeps_what_is_attached,
    an_interface_that_went_away_and_came_back_is_filtered_again,
}

fn fifty_kills_at_random_moments_leave_packets_judged_and_counters_growing(hook: &'static str) {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::at(hook, "crash");
    let mut daemon = scene.daemon("crash", Half::Both, &policy(0)).started();
    let seed = random::seed();
    let mut random = Random::new(seed);
    let (mut filters, mut edges, mut dead, mut probes) = (0, 0, Duration::ZERO, 0_u32);
    let mut counters = daemon.rule_packets();
    figures::show(&format!("seed {seed}"));

    for round in 0..KILLS {
        // A moment: idle, or somewhere in a reload that has just begun.
        if random.below(2) == 0 {
            daemon.write_policy(&policy(round));
            daemon.signal(Signal::SIGHUP);
        }
        sleep(Duration::from_millis(random.below(60)));
        if random.below(3) == 0 {
            edges += 1;
            let edge = edge(&daemon);
            kill(edge, Signal::SIGKILL).expect("kill the edge");
            probe(&scene);
            wait::until("another edge", PATIENCE, || {
                let status = ask(&daemon.home().edge_socket(), "status").ok()?;
                (status["pid"].as_i64()? != i64::from(edge.as_raw())).then_some(())
            });
        } else {
            filters += 1;
            daemon.kill();
            let died = Instant::now();
            probe(&scene);
            probes += 1;
            dead += died.elapsed();
            daemon.start();
        }
        probe(&scene);
        let now = daemon.rule_packets();
        assert_grown(&counters, &now, round);
        counters = now;
    }
    figures::show(&format!(
        "{KILLS} kills ({filters} of the filter, {edges} of the edge); {probes} probes in {dead:.1?} without a filter \
         process; counters at the end {counters:?}"
    ));
    assert!(filters > 0 && edges > 0);
    // Each probe sends one packet of each kind, after each kill and after each restart; none was counted twice or not at all.
    assert_eq!(counters["let-in"], u64::from(KILLS * 2));
    assert_eq!(counters["kept-out"], u64::from(KILLS * 2));
    assert_eq!(counters["let-out"], u64::from(KILLS * 2));
}

fn a_restarted_filter_adopts_what_is_attached_and_leaves_no_moment_without_a_program(hook: &'static str) {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::at(hook, "crash-adopt");
    let mut filter = scene.filter("crash-adopt", &policy(0));
    let before = filter.filter_status()["filter"].clone();
    filter.kill();
    filter.start();
    let after = filter.filter_status()["filter"].clone();
    assert_ne!(
        before["interfaces"][0]["program"], after["interfaces"][0]["program"],
        "a new program"
    );
    assert_eq!(before["interfaces"][0]["index"], after["interfaces"][0]["index"]);
    assert!(
        after["generation"].as_u64() > before["generation"].as_u64(),
        "generations are counted on"
    );
}

fn a_filter_that_restarts_with_a_broken_policy_keeps_what_is_attached(hook: &'static str) {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::at(hook, "crash-broken");
    let mut filter = scene.filter("crash-broken", &policy(0));
    probe(&scene);
    filter.kill();
    filter.write_policy("nonsense");
    filter.start();
    probe(&scene);
    assert_eq!(filter.gauge("ravelin_config_last_reload_successful"), 0.0);
    assert_eq!(filter.filter_status()["filter"]["interfaces"][0]["name"], "wan");
    assert_eq!(
        filter.rule_packets()["let-in"],
        2,
        "counters are read by the names that are pinned"
    );
    filter.write_policy(&policy(1));
    filter.reload();
    probe(&scene);
    assert_eq!(filter.rule_packets()["let-in"], 3);
}

fn an_interface_that_went_away_and_came_back_is_filtered_again(hook: &'static str) {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::at(hook, "crash-interface");
    let filter = scene.filter("crash-interface", &policy(0));
    let index = |filter: &Daemon| filter.filter_status()["filter"]["interfaces"][0]["index"].clone();
    let before = index(&filter);
    scene.host.ip(&["link", "del", "dev", "wan"]);
    scene.join();
    wait::until("the new interface to be filtered", PATIENCE, || {
        (index(&filter) != before).then_some(())
    });
    probe(&scene);
}

#[test]
fn the_edge_ends_with_its_parent_and_holds_none_of_its_rights() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("crash-rights");
    let mut daemon = Daemon::new("crash-rights", Half::Both, &policy(0))
        .inside(&scene.host)
        .started();
    let edge = edge(&daemon);
    let facts = fs::read_to_string(format!("/proc/{edge}/status")).expect("the edge's facts");
    let fact = |name: &str| {
        let line = facts
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.expect(name)
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert!(fact("Uid").iter().all(|uid| uid != "0"), "{facts}");
    assert!(fact("Gid").iter().all(|gid| gid != "0"), "{facts}");
    assert!(!fact("Groups").contains(&"0".to_owned()), "{facts}");
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        // CAP_NET_BIND_SERVICE is the tenth.
        assert_eq!(
            u64::from_str_radix(&fact(set)[0], 16),
            Ok(1 << 10),
            "{set}: {facts}"
        );
    }
    for set in ["CapInh", "CapAmb"] {
        assert_eq!(u64::from_str_radix(&fact(set)[0], 16), Ok(0), "{set}: {facts}");
    }
    assert_eq!(fact("NoNewPrivs"), ["1"]);
    daemon.kill();
    wait::until("the edge to end", PATIENCE, || {
        // A zombie counts: init takes its time.
        let state = fs::read_to_string(format!("/proc/{edge}/stat")).unwrap_or_default();
        (state.is_empty() || state.contains(") Z ")).then_some(())
    });
}

fn policy(round: u32) -> String {
    format!(
        "[firewall]\ninterfaces = [\"wan\"]\nstateful = false\n[metrics]\nbind = \"127.0.0.1:9465\"\n\
         [[rule]]\nname = \"round-{round}\"\naction = \"deny\"\nsource = \"192.0.2.{}\"\n\
         [[rule]]\nname = \"let-in\"\naction = \"allow\"\nprotocol = \"udp\"\nports = [5300]\n\
         [[rule]]\nname = \"kept-out\"\naction = \"deny\"\nprotocol = \"udp\"\nports = [5301]\n\
         [[rule]]\nname = \"let-out\"\naction = \"allow\"\ndirection = \"outbound\"\nprotocol = \"udp\"\nports = [5302]\n",
        round % 200
    )
}

/// One packet that must arrive, one that must not, and one that goes out.
#[track_caller]
fn probe(scene: &Scene) {
    assert!(
        scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300"),
        "an allowed packet was dropped"
    );
    assert!(
        !scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5301"),
        "a denied packet arrived"
    );
    assert!(
        scene.udp_leaves("10.77.0.2:0", "10.77.0.1:5302"),
        "a packet that goes out was dropped"
    );
}

#[track_caller]
fn assert_grown(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>, round: u32) {
    for (name, count) in before {
        // Rules of one round only are not listed once they have left the policy.
        if let Some(now) = after.get(name) {
            assert!(
                now >= count,
                "round {round}: `{name}` went back from {count} to {now}"
            );
        }
    }
}

fn edge(daemon: &Daemon) -> Pid {
    let status = ask(&daemon.home().edge_socket(), "status").expect("the edge answers");
    let pid = status["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    Pid::from_raw(pid.expect("a pid"))
}

const KILLS: u32 = 50;
const PATIENCE: Duration = Duration::from_secs(30);
