//! Limits of rules with the real daemon and real packets: over sources, reloads, kills, in the command and in the metrics.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::net::{IpAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use ravelin_daemon::network::hash_table::MappedLines;
use ravelin_daemon::network::shared;
use ravelin_datapath::hash_table::HashTable;
use ravelin_datapath::wire::{ABI, BUCKET_KEY_WORDS, BUCKET_LINE, BUCKET_WORDS};
use ravelin_tests::daemon::Daemon;
use ravelin_tests::netns::expect_success;
use ravelin_tests::scene::{SILENCE, Scene};
use ravelin_tests::{requires, wait};

#[test]
fn a_source_gets_what_its_bucket_holds_and_the_others_theirs() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("limits-source");
    let mut filter = scene.filter("limits-source", &policy("packets = \"5/h\", burst = 5"));
    assert_eq!(arrived(&scene, "10.77.0.1", "10.77.0.2", 8), 5);
    assert_eq!(arrived(&scene, "10.77.0.1", "10.77.0.2", 2), 0);
    assert_eq!(arrived(&scene, "10.77.0.9", "10.77.0.2", 8), 5);
    assert_eq!(arrived(&scene, "fd00:77::1", "fd00:77::2", 8), 5);
    assert_eq!(filter.reason_packets("deny", "limit"), 11);
    assert_eq!(filter.reason_packets("allow", "rule"), 15);
    assert_eq!(
        filter.rule_packets()["dns"],
        26,
        "what is over it counts for the rule"
    );
    let events = |event: &str| filter.series(&format!("ravelin_limit_events_total{{event=\"{event}\"}}"));
    assert_eq!((events("made"), events("table_full")), (3.0, 0.0));

    let listed = filter.json("limits");
    assert_eq!(listed["buckets"], 3, "{listed}");
    let rows = listed["shown"].as_array().expect("rows");
    let mut sources: Vec<&str> = rows.iter().filter_map(|row| row["source"].as_str()).collect();
    sources.sort_unstable();
    assert_eq!(sources, ["10.77.0.1/32", "10.77.0.9/32", "fd00:77::/64"]);
    for row in rows {
        assert_eq!(
            (&row["rule"], &row["tokens"], &row["burst"]),
            (&"dns".into(), &0.into(), &5.into())
        );
    }
    let one = filter.ravelin(&["limits", "--address", "10.77.0.9"]);
    expect_success("ravelin limits", &one);
    let text = String::from_utf8_lossy(&one.stdout).into_owned();
    assert!(
        text.contains("10.77.0.9/32") && !text.contains("10.77.0.1/32"),
        "{text}"
    );

    // A bucket survives a reload that leaves its limit alone, a daemon that is killed, and one that comes back.
    filter.write_policy(&format!(
        "{}[[rule]]\nname = \"other\"\naction = \"deny\"\n",
        policy("packets = \"5/h\", burst = 5")
    ));
    filter.reload();
    assert_eq!(arrived(&scene, "10.77.0.1", "10.77.0.2", 2), 0, "after a reload");
    filter.kill();
    assert_eq!(
        arrived(&scene, "10.77.0.1", "10.77.0.2", 2),
        0,
        "without a daemon"
    );
    filter.start();
    assert_eq!(arrived(&scene, "10.77.0.1", "10.77.0.2", 2), 0, "after a restart");
    // Another limit begins anew, and the buckets of the one before go with a sweep.
    filter.write_policy(&policy("packets = \"6/h\", burst = 3"));
    filter.reload();
    assert_eq!(arrived(&scene, "10.77.0.1", "10.77.0.2", 8), 3);
    wait::until("buckets of a limit that is no more are swept", SWEEP, || {
        (filter.json("limits")["buckets"] == 1 && pinned_buckets(&filter) == 1).then_some(())
    });
}

#[test]
fn a_limit_of_a_rule_is_one_for_all_and_bytes_are_counted_as_bytes() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("limits-rule");
    let filter = scene.filter(
        "limits-rule",
        &policy("packets = \"4/h\", burst = 4, per = \"rule\""),
    );
    assert_eq!(arrived(&scene, "10.77.0.1", "10.77.0.2", 3), 3);
    assert_eq!(arrived(&scene, "10.77.0.9", "10.77.0.2", 3), 1);
    assert_eq!(arrived(&scene, "fd00:77::1", "fd00:77::2", 3), 0);
    // Frames of 14 + 20 + 8 + 5 bytes, each of which waits in vain for more than 32 of 1,514 bytes.
    filter.write_policy(&policy("bytes = \"1B/h\", burst = 1514, per = \"rule\""));
    filter.reload();
    assert_eq!(arrived(&scene, "10.77.0.1", "10.77.0.2", 40), 1514 / 47);
}

#[test]
fn new_connections_are_limited_and_those_that_are_there_go_on() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("limits-flows");
    let filter = scene.filter(
        "limits-flows",
        &stateful("limit = { new_flows = \"2/h\", burst = 2 }", ""),
    );
    assert!(scene.tcp_works("10.77.0.1", "10.77.0.2:5300"));
    assert!(scene.tcp_works("10.77.0.1", "10.77.0.2:5300"));
    assert!(!scene.tcp_works("10.77.0.1", "10.77.0.2:5301"));
    assert!(
        scene.tcp_works("10.77.0.9", "10.77.0.2:5302"),
        "another source has its own"
    );
    assert!(filter.reason_packets("deny", "limit") > 0);
}

#[test]
fn the_budget_of_syns_is_for_those_who_are_not_known() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("limits-budget");
    let budget = "[flood]\nsyn_budget = { rate = \"1/h\", burst = 2 }\n";
    let filter = scene.filter("limits-budget", &stateful("", budget));
    assert!(
        scene.tcp_works("10.77.0.1", "10.77.0.2:5300"),
        "the first is nobody yet"
    );
    for _ in 0..5 {
        assert!(
            scene.tcp_works("10.77.0.1", "10.77.0.2:5300"),
            "it has completed a connection"
        );
    }
    assert!(
        scene.tcp_works("10.77.0.9", "10.77.0.2:5300"),
        "the second of the budget"
    );
    assert!(
        !scene.tcp_works("fd00:77::1", "[fd00:77::2]:5300"),
        "the third is over it"
    );
    assert!(filter.reason_packets("deny", "syn_budget") > 0);
    assert!(scene.tcp_works("10.77.0.9", "10.77.0.2:5300"));
    let listed = filter.json("limits");
    assert_eq!(
        (
            &listed["shown"][0]["rule"],
            &listed["shown"][0]["source"],
            &listed["shown"][0]["tokens"]
        ),
        (&serde_json::Value::Null, &"wan".into(), &0.into()),
        "{listed}"
    );
}

#[test]
fn a_policy_without_limits_has_no_tables_for_them() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("limits-none");
    let filter = scene.filter("limits-none", &policy("packets = \"5/h\", burst = 5"));
    let pinned = |name: &str| map(&filter, name).exists();
    assert!(shared::WITH_LIMITS.iter().all(|name| pinned(name)));
    assert!(!pinned(shared::SOURCES_KNOWN), "no flow tells who is known");
    let file = filter.policy();
    let mut question = vec!["explain", file.to_str().expect("a path of letters"), "--live"];
    question.extend([
        "--source",
        "10.77.0.1",
        "--destination",
        "10.77.0.2",
        "--protocol",
        "udp",
        "--port",
        "5300",
    ]);
    let refused = filter.ravelin(&question);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("limits something"));
    assert_eq!(refused.status.code(), Some(2));
    filter.write_policy(&policy("").replace("limit = {  }\n", ""));
    filter.reload();
    assert!(!shared::WITH_LIMITS.iter().any(|name| pinned(name)));
    assert_eq!(arrived(&scene, "10.77.0.1", "10.77.0.2", 8), 8);
    let answer = filter.ravelin(&["limits"]);
    assert_eq!(answer.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&answer.stderr).contains("nothing is limited"));
}

/// How many of so many datagrams arrive.
fn arrived(scene: &Scene, from: &str, to: &str, count: usize) -> usize {
    let address = |host: &str, port: u16| (host.parse::<IpAddr>().expect("an address"), port);
    let receiver = scene
        .host
        .run(|| UdpSocket::bind(address(to, 5300)).expect("a receiver"));
    let sender = scene
        .client
        .run(|| UdpSocket::bind(address(from, 0)).expect("a sender"));
    for _ in 0..count {
        sender.send_to(b"hello", address(to, 5300)).expect("send");
    }
    receiver.set_read_timeout(Some(SILENCE)).expect("a timeout");
    let mut got = 0;
    while receiver.recv(&mut [0; 8]).is_ok() {
        got += 1;
    }
    got
}

fn pinned_buckets(filter: &Daemon) -> usize {
    let [table, secret] = [shared::LIMITS_SOURCES, shared::HASH_SECRET].map(|name| map(filter, name));
    let others = MappedLines::open(&table, &secret, BUCKET_LINE).expect("they are pinned");
    HashTable::<_, BUCKET_KEY_WORDS, BUCKET_WORDS>::new(others.lines())
        .entries()
        .filter(|entry| !entry.kept)
        .count()
}

fn map(filter: &Daemon, name: &str) -> PathBuf {
    let folder = filter.home().pins().join("ravelin").join(format!("maps-{ABI}"));
    folder.join(name)
}

fn policy(limit: &str) -> String {
    format!(
        "[firewall]\ninterfaces = [\"wan\"]\nstateful = false\n[metrics]\nbind = \"127.0.0.1:9465\"\n\
         [[rule]]\nname = \"dns\"\naction = \"allow\"\nprotocol = \"udp\"\nports = 5300\nlimit = {{ {limit} }}\n"
    )
}

fn stateful(limit: &str, flood: &str) -> String {
    format!(
        "[firewall]\ninterfaces = [\"wan\"]\n{flood}\
         [[rule]]\nname = \"web\"\naction = \"allow\"\nprotocol = \"tcp\"\nports = \"5300-5309\"\n{limit}\n"
    )
}

/// Longer than from one sweep to the next.
const SWEEP: Duration = Duration::from_secs(40);
