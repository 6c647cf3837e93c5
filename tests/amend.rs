//! A line that comes or goes in a long set file is live in the generation that is there, and a bad one changes nothing.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use ravelin_daemon::network::tables::TableMap;
use ravelin_rules::{Direction, HostFacts, Patch, Policy, TableImage};
use ravelin_tests::daemon::{Daemon, Half, ask};
use ravelin_tests::netns::expect_success;
use ravelin_tests::scene::Scene;
use ravelin_tests::{figures, requires, wait};

#[test]
fn a_line_of_a_hundred_thousand_comes_and_goes_at_every_place_of_the_file() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("amend");
    let filter = filter(&scene, "amend", "");
    let (plain, lines) = (list(&[]), list(&[]).lines().count());
    for (round, at) in [0, 1, lines / 2, lines - 1, lines].into_iter().enumerate() {
        let before = generation(&filter);
        assert!(passes(&scene, "10.77.0.9"), "nobody lists it");
        reload(&filter, &list(&[(at, BANNED)]));
        assert!(!passes(&scene, "10.77.0.9"), "line {at} lists it");
        assert!(passes(&scene, "10.77.0.1"), "and nobody else");
        assert_eq!(entries(&filter), lines + 1);
        reload(&filter, &plain);
        assert!(passes(&scene, "10.77.0.9"), "line {at} is gone");
        assert_eq!(entries(&filter), lines);
        assert_amended(&filter, before, 2 * (round + 1));
    }
    // What changed is told by what is kept of the file: a restart knows only the disk.
    let mut filter = filter;
    reload(&filter, &list(&[(7, BANNED)]));
    filter.kill();
    assert!(!passes(&scene, "10.77.0.9"), "the kernel goes on");
    filter.start();
    assert!(!passes(&scene, "10.77.0.9"), "and so does who comes back");
    reload(&filter, &plain);
    assert!(passes(&scene, "10.77.0.9"));
}

#[test]
fn a_bad_line_keeps_the_last_good_list_and_the_next_good_one_is_taken() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("amend-bad");
    let mut filter = filter(&scene, "amend-bad", "");
    let before = generation(&filter);
    reload(&filter, &list(&[(50, BANNED)]));
    assert!(!passes(&scene, "10.77.0.9"));
    filter.home().write(FEED, &list(&[(50, "10.77.0.9/24")]));
    let output = filter.ravelin(&["reload"]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("feed.txt:51"), "{words}");
    assert_eq!(filter.gauge("ravelin_config_last_reload_successful"), 0.0);
    assert!(!passes(&scene, "10.77.0.9"), "the last good list stays");
    assert!(passes(&scene, "10.77.0.1"));

    // A boot: the kernel forgets everything, and the list on disk is bad.
    expect_success("ravelin detach", &filter.ravelin(&["detach"]));
    filter.await_end();
    assert!(passes(&scene, "10.77.0.9"));
    filter.start();
    assert!(!passes(&scene, "10.77.0.9"), "the last good copy has the line");

    reload(&filter, &list(&[]));
    assert!(passes(&scene, "10.77.0.9"));
    let before_mended = generation(&filter);
    assert!(before_mended > before, "it was a new generation after the boot");
    reload(&filter, &list(&[(50, BANNED)]));
    assert!(!passes(&scene, "10.77.0.9"));
    assert_eq!(generation(&filter), before_mended, "changed in place");
}

#[test]
fn a_changed_comment_touches_no_table_and_moves_the_lines_that_are_explained() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("amend-comment");
    let filter = filter(&scene, "amend-comment", "");
    reload(&filter, &list(&[(0, BANNED)]));
    let (before, amended) = (generation(&filter), amended(&filter));
    reload(&filter, &list(&[(0, "# of today"), (0, BANNED)]));
    assert!(!passes(&scene, "10.77.0.9"));
    assert_eq!(generation(&filter), before, "comments are not in the tables");
    assert_eq!(self::amended(&filter), amended + 1);
    // The line is one further down: removing it finds it there.
    reload(&filter, &list(&[(0, "# of today")]));
    assert!(passes(&scene, "10.77.0.9"));
}

#[test]
fn changes_of_a_list_and_of_other_files_at_once_are_a_new_generation() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("amend-both");
    let filter = filter(&scene, "amend-both", "");
    let before = generation(&filter);
    filter.home().write(FEED, &list(&[(3, BANNED)]));
    filter.write_policy(&policy(
        "[[rule]]\nname = \"port\"\npriority = 1\naction = \"allow\"\nprotocol = \"udp\"\nports = [5301]\n",
    ));
    filter.reload();
    assert!(!passes(&scene, "10.77.0.9"));
    assert!(
        scene.udp_arrives("10.77.0.9:0", "10.77.0.2:5301"),
        "the new rule is before it"
    );
    assert!(generation(&filter) > before);
    // A new generation is amended as the one before it was.
    let before = generation(&filter);
    reload(&filter, &list(&[]));
    assert!(passes(&scene, "10.77.0.9"));
    assert_amended(&filter, before, 1);
}

#[test]
fn edits_of_several_lists_are_taken_together_in_place_or_not() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("amend-lists");
    let more = "[[set]]\nname = \"more\"\nfiles = [\"more.txt\"]\n\
                [[rule]]\nname = \"more\"\npriority = 3\naction = \"deny\"\nsource = \"@more\"\n";
    let mut filter = filter(&scene, "amend-lists", more);
    let before = generation(&filter);
    // The first is in place whatever the compiler can do; when the second is not, all of it is built.
    let commented = list(&[(0, "# of today")]);
    filter.home().write("more.txt", &format!("192.0.2.1\n{BANNED}\n"));
    reload(&filter, &commented);
    assert!(!passes(&scene, "10.77.0.9"));
    assert!(passes(&scene, "10.77.0.1"));
    assert_eq!(count(&filter, "ravelin_set_entries{set=\"more\"}"), 2);
    assert_amended(&filter, before, 1);
    // Both are among the last good copies.
    filter.write_policy("nonsense");
    expect_success("ravelin detach", &filter.ravelin(&["detach"]));
    filter.await_end();
    filter.start();
    assert!(!passes(&scene, "10.77.0.9"));
    assert!(passes(&scene, "10.77.0.1"));
}

#[test]
fn a_list_that_outbound_rules_use_too_is_right_in_both_directions_in_place_or_not() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("amend-ways");
    let rule = |condition: &str| {
        format!("[[rule]]\nname = \"out\"\ndirection = \"outbound\"\naction = \"deny\"\n{condition}\n")
    };
    let leaves = |target: &str| scene.udp_leaves("10.77.0.2:0", &format!("{target}:5300"));
    let filter = filter(&scene, "amend-ways", &rule("destination = \"@feed\""));
    let before = generation(&filter);
    for round in 0..2 {
        reload(&filter, &list(&[(round, BANNED)]));
        assert!(!passes(&scene, "10.77.0.9") && !leaves("10.77.0.9"), "both ways");
        assert!(
            passes(&scene, "10.77.0.1") && leaves("10.77.0.1"),
            "and nobody else"
        );
        reload(&filter, &list(&[]));
        assert!(passes(&scene, "10.77.0.9") && leaves("10.77.0.9"));
    }
    assert_amended(&filter, before, 4);

    // An outbound side that does not ask for the list is left as it is.
    filter.write_policy(&policy(&rule("destination = \"10.77.0.1\"")));
    filter.reload();
    let before = generation(&filter);
    reload(&filter, &list(&[(5, BANNED)]));
    assert!(!passes(&scene, "10.77.0.9") && leaves("10.77.0.9"));
    assert!(passes(&scene, "10.77.0.1") && !leaves("10.77.0.1"));
    assert_amended(&filter, before, 5);

    // What one direction cannot change in place is built anew for both: here two of its tables hold the list.
    filter.write_policy(&policy(&format!(
        "{}[[rule]]\nname = \"never\"\ndirection = \"outbound\"\naction = \"deny\"\nsource = \"@feed\"\n",
        rule("destination = \"@feed\"")
    )));
    reload(&filter, &list(&[]));
    assert!(passes(&scene, "10.77.0.9") && leaves("10.77.0.9"));
    let before = generation(&filter);
    reload(&filter, &list(&[(6, BANNED)]));
    assert!(!passes(&scene, "10.77.0.9") && !leaves("10.77.0.9"));
    assert!(passes(&scene, "10.77.0.1") && leaves("10.77.0.1"));
    assert!(generation(&filter) > before, "a new generation");
    reload(&filter, &list(&[]));
    assert!(passes(&scene, "10.77.0.9") && leaves("10.77.0.9"));
}

#[test]
fn a_list_that_is_only_replaced_is_noticed_and_live_and_a_wish_without_a_change_is_a_new_generation() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("amend-watch");
    let filter = filter(&scene, "amend-watch", "");
    let before = generation(&filter);
    filter.home().write(FEED, &list(&[(9, BANNED)]));
    wait::until("the changed list to be live", PATIENCE, || {
        (!passes(&scene, "10.77.0.9")).then_some(())
    });
    assert_amended(&filter, before, 1);
    let before = generation(&filter);
    filter.reload();
    assert_eq!(generation(&filter), before + 1);
    assert!(!passes(&scene, "10.77.0.9"));
    // The change has been noticed by now, and was live already.
    reload(&filter, &list(&[]));
    let before = generation(&filter);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(generation(&filter), before, "nothing was built twice");
}

#[test]
fn new_addresses_of_the_host_and_a_roll_back_find_the_amended_list() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("amend-host");
    let filter = filter(&scene, "amend-host", "");
    reload(&filter, &list(&[(99, BANNED)]));
    let before = generation(&filter);
    let words = ["address", "add", "10.77.0.3/24", "dev", "wan"];
    expect_success(
        "ip address add",
        &scene.host.command("ip").args(words).output().expect("ip runs"),
    );
    wait::until("the new address to be known", PATIENCE, || {
        (generation(&filter) > before).then_some(())
    });
    assert!(!passes(&scene, "10.77.0.9"), "the same policy, as it was amended");
    // An interface that is not there: the kernel refuses, and everything goes back to what was live.
    filter.write_policy(&policy("").replace("\"wan\"", "\"wan\", \"nowhere\""));
    assert_ne!(filter.ravelin(&["reload"]).status.code(), Some(0));
    assert!(!passes(&scene, "10.77.0.9"));
    assert!(passes(&scene, "10.77.0.1"));
}

#[test]
fn a_patch_writes_its_words_and_its_stores_and_one_that_does_not_fit_changes_nothing() {
    requires!(Root, Bpf);
    // Without flows: no word of theirs moves with a patch.
    let mut policy = Policy::default();
    policy.firewall.stateful = false;
    let image = TableImage::compile(&policy, &HostFacts::default(), Direction::Inbound);
    let image = image.expect("it fits");
    let mut tables = TableMap::create(Direction::Inbound, &image).expect("room for the tables");
    tables.write(&image, &[], 0);
    let words = u32::try_from(image.word_count()).expect("a few words");
    let doubles =
        |tables: &TableMap| -> Vec<u64> { (0..words / 2).filter_map(|at| tables.double(at)).collect() };
    let before = doubles(&tables);
    let patch = |first: u32, words: &[u32], at: u32| Patch {
        first,
        words: words.to_vec(),
        stores: vec![(0, 9), (at, 0x0102_0304_0506_0708)],
    };
    for bad in [
        patch(words - 1, &[1, 2], 0),
        patch(u32::MAX, &[1], 0),
        patch(0, &[1], words / 2),
        patch(0, &[1], u32::MAX),
    ] {
        tables.amend(&bad).expect_err("there is no such word");
        assert_eq!(doubles(&tables), before, "{bad:?}");
    }
    tables.amend(&patch(words - 2, &[7, 8], 1)).expect("it fits");
    let after = doubles(&tables);
    let last = after.len() - 1;
    assert_eq!(after[..2], [9, 0x0102_0304_0506_0708]);
    assert_eq!(after[last], 8 << 32 | 7);
    assert_eq!(after[2..last], before[2..last]);
}

/// The list replaced and taken.
#[track_caller]
fn reload(filter: &Daemon, list: &str) {
    filter.home().write(FEED, list);
    let started = Instant::now();
    let answer = ask(&filter.home().socket(), "reload").expect("an answer");
    figures::show(&format!("reload answered after {:.1?}", started.elapsed()));
    assert_eq!(answer["answer"], "reloaded", "{answer}");
}

/// Nothing but the list changed since `before`: `times` edits since the process began.
#[track_caller]
fn assert_amended(filter: &Daemon, before: u64, times: usize) {
    assert_eq!(generation(filter), before, "changed in place");
    assert_eq!(amended(filter), times, "counted");
}

fn generation(filter: &Daemon) -> u64 {
    filter.filter_status()["filter"]["generation"]
        .as_u64()
        .expect("a generation")
}

fn amended(filter: &Daemon) -> usize {
    count(filter, "ravelin_reloads_amended_total")
}

fn entries(filter: &Daemon) -> usize {
    count(filter, "ravelin_set_entries{set=\"feed\"}")
}

fn count(filter: &Daemon, series: &str) -> usize {
    let value = filter.series(series).to_string();
    value.parse().expect("a whole number")
}

fn passes(scene: &Scene, source: &str) -> bool {
    scene.udp_arrives(&format!("{source}:0"), "10.77.0.2:5300")
}

fn filter(scene: &Scene, test: &str, more: &str) -> Daemon {
    let filter = Daemon::new(test, Half::Filter, &policy(more)).inside(&scene.host);
    filter.home().write(FEED, &list(&[]));
    filter.home().write("more.txt", "192.0.2.1\n");
    // An address that comes later is one more fact of the host, and a new generation.
    let words = ["-6", "address", "show", "dev", "wan", "scope", "link"];
    wait::until("the link-local address", PATIENCE, || {
        let output = scene.host.command("ip").args(words).output().expect("ip runs");
        (!output.stdout.is_empty()).then_some(())
    });
    filter.started()
}

/// A hundred thousand addresses that nobody here has, and before so many of them these lines.
fn list(more: &[(usize, &str)]) -> String {
    let mut text = String::new();
    for number in 0..=LINES {
        let here = more
            .iter()
            .filter(|(before, _)| u32::try_from(*before) == Ok(number));
        for (_, line) in here {
            let _ = writeln!(text, "{line}");
        }
        if number < LINES {
            let [_, b, c, d] = (number * 37).to_be_bytes();
            let _ = writeln!(text, "{}.{b}.{c}.{d}", 100 + number % 7);
        }
    }
    text
}

fn policy(more: &str) -> String {
    format!(
        "[firewall]\ninterfaces = [\"wan\"]\ninbound = \"allow\"\nstateful = false\n\
         [[set]]\nname = \"feed\"\nfiles = [\"{FEED}\"]\n\
         [[rule]]\nname = \"feed\"\npriority = 2\naction = \"deny\"\nsource = \"@feed\"\n{more}"
    )
}

const LINES: u32 = 100_000;
const FEED: &str = "feed.txt";
const BANNED: &str = "10.77.0.9";
const PATIENCE: Duration = Duration::from_secs(20);
