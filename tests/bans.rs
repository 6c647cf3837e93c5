//! Bans with the real daemon and real packets: in effect, at their end, over restarts, against what is never banned, in batches.

use std::fmt::Write as _;
use std::process::Output;
use std::time::{Duration, Instant};

use ravelin_tests::daemon::Daemon;
use ravelin_tests::netns::expect_success;
use ravelin_tests::scene::Scene;
use ravelin_tests::{requires, wait};

#[test]
fn a_banned_source_is_dropped_and_others_are_not_until_it_is_unbanned() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("bans-effect");
    let filter = scene.filter("bans-effect", POLICY);
    assert!(scene.udp_arrives(GUEST, TARGET));
    ban(&filter, &["10.77.0.9", "--for", "1h", "--reason", "ssh scan"]);
    assert!(!scene.udp_arrives(GUEST, TARGET));
    assert!(!scene.tcp_works("10.77.0.9", "10.77.0.2:5302"));
    assert!(scene.udp_arrives(CLIENT, TARGET));
    assert!(scene.tcp_works("10.77.0.1", "10.77.0.2:5300"));
    assert!(filter.reason_packets("deny", "ban") > 0);

    let listed = filter.ravelin(&["bans"]);
    expect_success("ravelin bans", &listed);
    assert!(
        text(&listed).contains("10.77.0.9/32") && text(&listed).contains("ssh scan"),
        "{}",
        text(&listed)
    );
    assert_eq!(filter.ravelin(&["bans", "10.77.0.9"]).status.code(), Some(0));
    let other = filter.ravelin(&["bans", "10.77.0.1"]);
    assert_eq!(
        (other.status.code(), text(&other)),
        (Some(1), "10.77.0.1 is not banned\n".to_owned())
    );

    expect_success("ravelin unban", &filter.ravelin(&["unban", "10.77.0.9"]));
    assert!(scene.udp_arrives(GUEST, TARGET));
    let again = filter.ravelin(&["unban", "10.77.0.9"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        words(&again).contains("`10.77.0.9/32` is not banned"),
        "{}",
        words(&again)
    );
    assert_eq!(text(&filter.ravelin(&["bans"])), "nobody is banned\n");
}

#[test]
fn ipv6_sources_are_banned_by_address_and_by_prefix_and_neighbours_are_still_found() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("bans-six");
    let filter = scene.filter("bans-six", POLICY);
    assert!(scene.echo_answered("fd00:77::2"));
    for prefix in ["fd00:77::1", "fd00:77::/64", "fd00:70::/28"] {
        ban(&filter, &[prefix, "--for", "1h"]);
        let before = filter.reason_packets("allow", "ndp");
        let flushed = scene
            .client
            .command("ip")
            .args(["neigh", "flush", "dev", "up"])
            .output();
        expect_success("ip neigh flush", &flushed.expect("ip runs"));
        assert!(!scene.echo_answered("fd00:77::2"), "{prefix}");
        assert!(
            filter.reason_packets("allow", "ndp") > before,
            "essentials win over bans"
        );
        expect_success("ravelin unban", &filter.ravelin(&["unban", prefix]));
        assert!(scene.echo_answered("fd00:77::2"), "{prefix}");
    }
}

#[test]
fn a_ban_ends_by_itself_with_the_filter_running_and_with_it_killed() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("bans-end");
    let mut filter = scene.filter("bans-end", POLICY);
    let begin = Instant::now();
    ban(&filter, &["10.77.0.9", "--for", "2s"]);
    assert!(!scene.udp_arrives(GUEST, TARGET));
    wait::until("the end of the ban", WHILE, || {
        scene.udp_arrives(GUEST, TARGET).then_some(())
    });
    assert!(begin.elapsed() >= Duration::from_secs(2));

    let begin = Instant::now();
    ban(&filter, &["10.77.0.9", "--for", "2s"]);
    filter.kill();
    assert!(!scene.udp_arrives(GUEST, TARGET));
    wait::until("the end of the ban", WHILE, || {
        scene.udp_arrives(GUEST, TARGET).then_some(())
    });
    assert!(begin.elapsed() >= Duration::from_secs(2));
}

#[test]
fn bans_survive_kill_9_reloads_and_a_restart() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("bans-restart");
    let mut filter = scene.filter("bans-restart", POLICY);
    ban(&filter, &["10.77.0.9", "--for", "1h", "--reason", "kept"]);
    filter.kill();
    assert!(!scene.udp_arrives(GUEST, TARGET));
    filter.start();
    assert!(!scene.udp_arrives(GUEST, TARGET));
    filter.reload();
    assert!(!scene.udp_arrives(GUEST, TARGET));
    assert!(text(&filter.ravelin(&["bans"])).contains("kept"));
    assert_eq!(filter.series("ravelin_bans"), 1.0);
    expect_success("ravelin unban", &filter.ravelin(&["unban", "10.77.0.9"]));
    assert!(scene.udp_arrives(GUEST, TARGET));
}

#[test]
fn never_ban_wins_over_bans_and_follows_the_policy() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("bans-never");
    let never = [POLICY, "[never_ban]\nentries = [\"10.77.0.8/31\"]\n"].concat();
    let filter = scene.filter("bans-never", &never);
    let refused = filter.ravelin(&["ban", "10.77.0.9", "--for", "1h"]);
    assert_eq!(refused.status.code(), Some(1));
    let wanted = "`10.77.0.9/32` is in `10.77.0.8/31` of `[never_ban]`";
    assert!(words(&refused).contains(wanted), "{}", words(&refused));
    assert_eq!(
        filter.series("ravelin_bans_refused_total{reason=\"never_ban\"}"),
        1.0
    );

    // A wider one is taken, and passes over the address.
    ban(&filter, &["10.77.0.0/24", "--for", "1h"]);
    assert!(scene.udp_arrives(GUEST, TARGET));
    assert!(!scene.udp_arrives(CLIENT, TARGET));
    let shown = filter.ravelin(&["bans", "10.77.0.9"]);
    assert_eq!(shown.status.code(), Some(1));
    assert!(
        text(&shown).contains("`10.77.0.8/31` of `[never_ban]` covers it"),
        "{}",
        text(&shown)
    );

    filter.write_policy(POLICY);
    filter.reload();
    assert!(!scene.udp_arrives(GUEST, TARGET));
    filter.write_policy(&never);
    filter.reload();
    assert!(scene.udp_arrives(GUEST, TARGET));
}

#[test]
fn a_policy_can_switch_bans_off_and_on_again() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("bans-off");
    let filter = scene.filter("bans-off", POLICY);
    ban(&filter, &["10.77.0.9", "--for", "1h"]);
    assert!(!scene.udp_arrives(GUEST, TARGET));
    filter.write_policy(&POLICY.replace("stateful", "bans = false\nstateful"));
    filter.reload();
    assert!(scene.udp_arrives(GUEST, TARGET));
    let refused = filter.ravelin(&["ban", "10.77.0.1", "--for", "1h"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        words(&refused).contains("switches bans off"),
        "{}",
        words(&refused)
    );
    filter.write_policy(POLICY);
    filter.reload();
    assert!(!scene.udp_arrives(GUEST, TARGET));
}

#[test]
fn a_batch_of_100_000_lines_is_banned_and_bad_lines_are_named() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("bans-batch");
    let filter = scene.filter("bans-batch", POLICY);
    let mut lines = String::from("# a feed\n\n");
    for number in 0..BATCH {
        let address = std::net::Ipv4Addr::from_bits(0xc633_0000_u32.wrapping_sub(number * 7));
        writeln!(lines, "{address} {} listed", 3_600 + number % 7).expect("text");
    }
    lines += "10.77.0.9/24 1h\n10.77.0.9\nnobody 1h\n2001:db8:7::/48 90m\n";
    let begin = Instant::now();
    let output = filter.ravelin_reading(&["ban", "--from-stdin"], &lines);
    let took = begin.elapsed();
    println!("{BATCH} bans in {took:?}");
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    assert_eq!(text(&output), "banned 100001, refused 3\n");
    let wrong = [
        "line 100003: `10.77.0.9/24` has host bits set: write `10.77.0.0/24`",
        "line 100004: no duration",
        "line 100005: `nobody` is neither an address nor a prefix",
    ];
    for wrong in wrong {
        assert!(words(&output).contains(wrong), "{}", words(&output));
    }
    assert_eq!(filter.series("ravelin_bans"), f64::from(BATCH + 1));
    let listed = filter.ravelin(&["bans", "--format", "json"]);
    expect_success("ravelin bans", &listed);
    assert_eq!(text(&listed).lines().count(), BATCH as usize + 1);
    assert!(scene.udp_arrives(GUEST, TARGET));

    // The sweep of a table of that size takes away what has ended, without a word from anybody.
    ban(&filter, &["192.0.2.1", "192.0.2.2", "--for", "10ms"]);
    wait::until("the sweep", WHILE * 4, || {
        (filter.series("ravelin_bans") == f64::from(BATCH + 1)).then_some(())
    });
}

#[test]
fn what_is_no_ban_is_refused_with_what_to_write() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("bans-words");
    let filter = scene.filter("bans-words", POLICY);
    for (arguments, wanted) in [
        (["0.0.0.0/0", "1h", ""], "`0.0.0.0/0` is wider than /8"),
        (["2000::/3", "1h", ""], "`2000::/3` is wider than /19"),
        (["192.0.2.7/24", "1h", ""], "write `192.0.2.0/24`"),
        (["192.0.2.7", "forever", ""], "`forever` is not a duration"),
        (["192.0.2.7", "366d", ""], "at most `365d`"),
        (["192.0.2.7", "1h", "a\u{7}b"], "control characters"),
    ] {
        let [prefix, lasts, reason] = arguments;
        let output = filter.ravelin(&["ban", prefix, "--for", lasts, "--reason", reason]);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(
            words(&output).contains(wanted),
            "{arguments:?}: {}",
            words(&output)
        );
    }
    assert_eq!(filter.series("ravelin_bans"), 0.0);
    assert_eq!(
        filter.series("ravelin_bans_refused_total{reason=\"too_wide\"}"),
        2.0
    );
    assert_eq!(
        filter.series("ravelin_bans_refused_total{reason=\"invalid\"}"),
        4.0
    );
    let output = filter.ravelin(&["ban", "192.0.2.7"]);
    assert_eq!(
        output.status.code(),
        Some(2),
        "a ban without an end is a rule of the policy"
    );
}

#[track_caller]
fn ban(filter: &Daemon, arguments: &[&str]) {
    let output = filter.ravelin(&[&["ban"], arguments].concat());
    expect_success("ravelin ban", &output);
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const POLICY: &str = "[firewall]\ninterfaces = [\"wan\"]\nstateful = false\n\
    [[rule]]\nname = \"flow\"\naction = \"allow\"\nprotocol = [\"udp\", \"tcp\"]\nports = [5300, 5302]\n\
    [[rule]]\nname = \"ping\"\naction = \"allow\"\nprotocol = [\"icmp\", \"icmpv6\"]\n";
const CLIENT: &str = "10.77.0.1:0";
const GUEST: &str = "10.77.0.9:0";
const TARGET: &str = "10.77.0.2:5300";
const BATCH: u32 = 100_000;
const WHILE: Duration = Duration::from_secs(15);
