//! A reload is one step: no packet is judged by half a policy or by none, and a policy that does not load changes nothing.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBufForce;
use ravelin_tests::daemon::{Daemon, Half, ask};
use ravelin_tests::netns::{End, expect_success, veth};
use ravelin_tests::scene::Scene;
use ravelin_tests::{figures, requires, wait};

#[test]
fn three_hundred_reloads_under_full_load_lose_nothing_and_let_nothing_through() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("reload-load");
    veth(
        End {
            namespace: &scene.client,
            interface: "flood",
            addresses: &["10.78.0.1/24"],
        },
        End {
            namespace: &scene.host,
            interface: "lan",
            addresses: &["10.78.0.2/24"],
        },
    );
    let filter = scene.filter("reload-load", &policies()[0]);
    let allowed = scene
        .host
        .run(|| UdpSocket::bind("10.77.0.2:5300").expect("bind"));
    // The kernel's own buffer must not be what loses packets.
    setsockopt(&allowed, RcvBufForce, &(16 << 20)).expect("a large buffer");
    let denied = scene
        .host
        .run(|| UdpSocket::bind("10.78.0.2:5301").expect("bind"));
    let stop = AtomicBool::new(false);
    let (sent, received, flooded, leaked) = (
        AtomicU64::new(0),
        AtomicU64::new(0),
        AtomicU64::new(0),
        AtomicU64::new(0),
    );
    let start = Instant::now();
    let mut slowest = Duration::ZERO;

    thread::scope(|scope| {
        scope.spawn(|| count(&allowed, &received, &stop));
        scope.spawn(|| count(&denied, &leaked, &stop));
        let senders = [
            // As fast as the receiver keeps up: a packet that is lost anywhere is missing at the end.
            scene.client.enter_and(scope, || {
                send("10.77.0.2:5300", &sent, &stop, Some((&received, WINDOW)))
            }),
            // As fast as it goes: the veth's ring overflows, and what gets past it must be judged "deny", each packet.
            scene
                .client
                .enter_and(scope, || send("10.78.0.2:5301", &flooded, &stop, None)),
        ];
        wait::until("both flows to run", Duration::from_secs(10), || {
            (received.load(Ordering::Relaxed) > 1000 && flooded.load(Ordering::Relaxed) > 1000).then_some(())
        });
        let descriptors = open_descriptors(&filter);
        for round in 0..RELOADS {
            filter.write_policy(&policies()[usize::from(round % 2 == 0)]);
            let begin = Instant::now();
            let answer = ask(&filter.home().socket(), "reload").expect("an answer");
            slowest = slowest.max(begin.elapsed());
            if answer["answer"] != "reloaded" {
                stop.store(true, Ordering::Relaxed);
                panic!("reload {round}: {answer}");
            }
        }
        stop.store(true, Ordering::Relaxed);
        let now = open_descriptors(&filter);
        assert!(
            now <= descriptors + 4,
            "old generations are kept: {descriptors} descriptors became {now}"
        );
        for sender in senders {
            sender.join().expect("a sender");
        }
    });

    let elapsed = start.elapsed();
    let rules = filter.rule_packets();
    let generation = filter.filter_status()["filter"]["generation"]
        .as_u64()
        .expect("a generation");
    let (sent, received) = (sent.into_inner(), received.into_inner());
    let (flooded, leaked) = (flooded.into_inner(), leaked.into_inner());
    let overflowed = transmit_drops(&scene, "flood");
    figures::show(&format!(
        "{RELOADS} reloads ({generation} generations) in {elapsed:.1?}, slowest {slowest:.1?}; \
         allowed: sent {sent}, counted {}, received {received}; \
         denied: sent {flooded}, dropped before the filter {overflowed}, counted {}, received {leaked}",
        rules["flow"], rules["noise"]
    ));
    assert!(generation > u64::from(RELOADS), "every reload is a generation");
    assert_eq!(received, sent, "the receiver misses packets");
    assert_eq!(
        rules["flow"], sent,
        "packets were judged by another rule, or by none"
    );
    assert_eq!(leaked, 0, "denied packets arrived");
    assert_eq!(
        rules["noise"] + overflowed,
        flooded,
        "packets were judged by another rule, or by none"
    );
}

#[test]
fn a_policy_that_does_not_load_changes_nothing_and_the_gauge_says_so_until_it_is_mended() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("reload-bad");
    let good = policy("allow");
    let filter = scene.filter("reload-bad", &good);
    assert_eq!(filter.gauge(GAUGE), 1.0);
    for bad in [
        "nonsense",
        "[firewall]\ninterfaces = [\"wan\"]\ninbuond = \"allow\"\n",
        "[firewall]\nstateful = false\n",
    ] {
        filter.write_policy(bad);
        let output = filter.ravelin(&["reload"]);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert!(
            words.contains("help:") || words.contains("`interfaces`"),
            "{words}"
        );
        assert_eq!(filter.gauge(GAUGE), 0.0);
        assert!(
            scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300"),
            "the last good policy stays"
        );
    }
    let accepted = &filter.filter_status()["last_reload"]["accepted"];
    assert_eq!(accepted, 1, "only the start was accepted");
    filter.write_policy(&good);
    filter.reload();
    assert_eq!(filter.gauge(GAUGE), 1.0);
    assert!(scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300"));
}

#[test]
fn a_changed_file_and_a_hangup_each_reload() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("reload-causes");
    let filter = scene.filter("reload-causes", &policy("deny"));
    assert!(!scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300"));
    filter.write_policy(&policy("allow"));
    wait::until("the changed file to be live", PATIENCE, || {
        scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300").then_some(())
    });
    let before = generation(&filter);
    filter.signal(Signal::SIGHUP);
    wait::until("a new generation", PATIENCE, || {
        (generation(&filter) > before).then_some(())
    });
}

#[test]
fn a_changed_set_file_and_a_new_included_file_reload() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("reload-files");
    let filter = Daemon::new(
        "reload-files",
        Half::Filter,
        "include = [\"rules.d/*.toml\"]\n[firewall]\ninterfaces = [\"wan\"]\nstateful = false\n\
         [[set]]\nname = \"friends\"\nfiles = [\"friends.txt\"]\n",
    )
    .inside(&scene.host);
    let rule = |port: u16| {
        format!(
            "[[rule]]\nname = \"port-{port}\"\naction = \"allow\"\nsource = \"@friends\"\nprotocol = \"udp\"\nports = [{port}]\n"
        )
    };
    filter.home().write("friends.txt", "192.0.2.1\n");
    filter.home().write("rules.d/one.toml", &rule(5300));
    let filter = filter.started();
    assert!(!scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300"));
    filter.home().write("friends.txt", "10.77.0.0/24\n");
    wait::until("the set file to be live", PATIENCE, || {
        scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300").then_some(())
    });
    filter.home().write("rules.d/two.toml", &rule(5301));
    wait::until("the new file to be live", PATIENCE, || {
        scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5301").then_some(())
    });
}

#[test]
fn a_host_that_boots_with_a_broken_policy_gets_the_last_good_one() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("reload-boot");
    let mut filter = scene.filter("reload-boot", &policy("allow"));
    // A boot: the kernel forgets everything, the disk does not.
    expect_success("ravelin detach", &filter.ravelin(&["detach"]));
    filter.await_end();
    filter.write_policy("nonsense");
    filter.start();
    assert_eq!(filter.gauge(GAUGE), 0.0);
    assert!(scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300"));
    assert!(
        !scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5999"),
        "it is the policy, not an open door"
    );
    filter.write_policy(&policy("deny"));
    wait::until("the mended policy to be live", PATIENCE, || {
        (filter.gauge(GAUGE) == 1.0).then_some(())
    });
    assert!(!scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300"));
}

#[test]
fn a_host_that_never_had_a_good_policy_is_told_what_is_wrong_and_nothing_is_attached() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("reload-never");
    let mut filter = Daemon::new("reload-never", Half::Filter, "nonsense").inside(&scene.host);
    assert_eq!(filter.run_to_end().code(), Some(1));
    assert!(filter.logs().contains("ravelin.toml:1:"), "{}", filter.logs());
    assert!(scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300"));
}

/// Two policies that agree on the flows of the test and on little else: other rules before them, other defaults, another order.
fn policies() -> [String; 2] {
    let head = |inbound: &str| {
        format!("[firewall]\ninterfaces = [\"wan\", \"lan\"]\ninbound = \"{inbound}\"\nstateful = false\n")
    };
    let flow = "[[rule]]\nname = \"flow\"\naction = \"allow\"\nprotocol = \"udp\"\nports = [5300]\n";
    let noise = "[[rule]]\nname = \"noise\"\naction = \"deny\"\nprotocol = \"udp\"\nports = [5301]\n";
    let others: String = (0..40)
        .map(|n| {
            format!(
                "[[rule]]\nname = \"other-{n}\"\naction = \"{}\"\nsource = \"192.0.2.{n}\"\nprotocol = \"tcp\"\nports = [{}]\n",
                if n % 2 == 0 { "allow" } else { "deny" },
                1000 + n
            )
        })
        .collect();
    [
        [&head("deny"), flow, noise].concat(),
        [&head("allow"), others.as_str(), noise, flow].concat(),
    ]
}

fn policy(action: &str) -> String {
    format!(
        "[firewall]\ninterfaces = [\"wan\"]\nstateful = false\n\
         [[rule]]\nname = \"flow\"\naction = \"{action}\"\nprotocol = \"udp\"\nports = [5300]\n"
    )
}

fn generation(filter: &Daemon) -> u64 {
    filter.filter_status()["filter"]["generation"]
        .as_u64()
        .expect("a generation")
}

fn open_descriptors(filter: &Daemon) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", filter.pid()))
        .expect("the filter's descriptors")
        .count()
}

/// Counts what arrives until `stop`, and then what is still on its way.
fn count(socket: &UdpSocket, counter: &AtomicU64, stop: &AtomicBool) {
    socket
        .set_read_timeout(Some(Duration::from_millis(500)))
        .expect("a timeout");
    let mut buffer = [0; 64];
    loop {
        match socket.recv(&mut buffer) {
            Ok(_) => {
                counter.fetch_add(1, Ordering::Release);
            }
            Err(_) if stop.load(Ordering::Relaxed) => return,
            Err(_) => {}
        }
    }
}

/// Sends to `target` until `stop` or the time is up; with a window, never more ahead of the counter than that.
fn send(target: &str, sent: &AtomicU64, stop: &AtomicBool, window: Option<(&AtomicU64, u64)>) {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
    socket.connect(target).expect("connect");
    let start = Instant::now();
    while !stop.load(Ordering::Relaxed) && start.elapsed() < LONGEST {
        if let Some((received, window)) = window
            && sent.load(Ordering::Relaxed) - received.load(Ordering::Acquire) >= window
        {
            thread::yield_now();
            continue;
        }
        if socket.send(&[0; 32]).is_ok() {
            sent.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Packets that the client's end of a veth pair dropped because the other end's ring was full.
fn transmit_drops(scene: &Scene, interface: &str) -> u64 {
    let output = scene
        .client
        .command("ip")
        .args(["-json", "-stats", "link", "show", "dev", interface])
        .output()
        .expect("ip runs");
    let links: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    links[0]["stats64"]["tx"]["dropped"].as_u64().expect("a count")
}

const RELOADS: u32 = 300;
/// Below the 256 packets that a veth's ring takes, so that nothing is lost before the filter.
const WINDOW: u64 = 200;
/// The senders stop by themselves.
const LONGEST: Duration = Duration::from_secs(300);
const PATIENCE: Duration = Duration::from_secs(20);
const GAUGE: &str = "ravelin_config_last_reload_successful";
