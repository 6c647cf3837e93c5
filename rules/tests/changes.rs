//! A policy that was edited in place is the policy that a whole reading gives: the same prefixes with the same lines, the same
//! counts, and as few copies of them; so it judges and explains the same.
//!
//! Random files and random edits of them, many in a row, so that a mistake in what is kept shows in the next.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use ravelin_rules::policy::{AddressMatch, PrefixSet};
use ravelin_rules::{Loaded, Policy, load};

/// A line and how it ends.
type Line = (String, &'static str);

/// An edit: of which file, from which line, how many of its lines go, what comes, and whether the file's last line has an end.
type Edit = (usize, Index, usize, Vec<Line>, bool);

fn line() -> impl Strategy<Value = Line> {
    // Few addresses, so that there are duplicates, and prefixes inside of others.
    let entry = prop_oneof![
        8 => (0..32_u8).prop_map(|host| format!("198.51.100.{host}")),
        4 => (0..8_u8).prop_map(|net| format!("198.51.100.{}/30", net * 4)),
        2 => (0..2_u8).prop_map(|net| format!("198.51.100.{}/28", net * 16)),
        1 => Just("198.51.100.0/27".to_owned()),
        3 => (0..20_u8, 0..20_u8).prop_map(|(first, more)| format!("198.51.100.{first}-198.51.100.{}", first + more)),
        3 => (0..16_u8).prop_map(|host| format!("2001:db8::{host:x}")),
        1 => (0..4_u8).prop_map(|net| format!("2001:db8::{:x}/126", net * 4)),
    ];
    let text = prop_oneof![
        20 => entry.clone(),
        3 => entry.prop_map(|entry| format!("  {entry}\t; a comment")),
        2 => Just("# 198.51.100.1".to_owned()),
        2 => Just(String::new()),
        1 => Just("\u{feff}198.51.100.9".to_owned()),
    ];
    let end = prop_oneof![4 => Just("\n"), 1 => Just("\r\n")];
    (text, end)
}

fn edit() -> impl Strategy<Value = Edit> {
    let lines = prop::collection::vec(line(), 0..4);
    (
        0..FILES.len(),
        any::<Index>(),
        0..4_usize,
        lines,
        prop::bool::weighted(0.8),
    )
}

#[test]
fn an_edited_policy_is_the_policy_that_a_whole_reading_gives() {
    let files = prop::collection::vec(prop::collection::vec(line(), 1..12), FILES.len());
    let case = (files, prop::collection::vec(edit(), 1..8), any::<bool>());
    let taken = AtomicUsize::new(0);
    let config = Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let result = runner.run(&case, |(files, edits, never_ban)| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("policy.toml"), policy(never_ban)).unwrap();
        let mut files = files;
        for (name, lines) in FILES.iter().zip(&files) {
            write(&folder.path().join(name), lines, true);
        }
        let Ok(mut live) = load(&folder.path().join("policy.toml")) else {
            return Ok(());
        };
        for (file, at, gone, lines, ended) in edits {
            let content = &mut files[file];
            let first = at.index(content.len() + 1);
            content.splice(first..(first + gone).min(content.len()), lines);
            let path = folder.path().join(FILES[file]);
            write(&path, content, ended);
            let fresh = load(&folder.path().join("policy.toml"));
            let Some(edits) = live.set_files.edits(std::slice::from_ref(&path), &live.policy) else {
                // Without `[never_ban]`, all that is refused is what a whole reading refuses too.
                prop_assert!(never_ban || fresh.is_err(), "{content:?}");
                let Ok(fresh) = fresh else { return Ok(()) };
                live = fresh;
                continue;
            };
            let Ok(fresh) = fresh else {
                return Err(TestCaseError::fail(format!(
                    "taken, and not by a whole reading: {content:?}"
                )));
            };
            let [edit] = edits.as_slice() else {
                // Written again, and nothing changed but the time.
                continue;
            };
            live.policy = live.set_files.take(&live.policy, edit);
            taken.fetch_add(1, Ordering::Relaxed);
            let bytes = fs::read(&path).unwrap();
            prop_assert_eq!(live.set_files.text(&path), Some(bytes.as_slice()));
            same(&live, &fresh)?;
        }
        Ok(())
    });
    result.unwrap();
    assert!(taken.into_inner() > 500, "edits are taken in place");
}

fn same(edited: &Loaded, fresh: &Loaded) -> Result<(), TestCaseError> {
    let texts = [&edited.policy, &fresh.policy].map(|policy| format!("{policy:#?}"));
    let mut lines = texts[0].lines().zip(texts[1].lines());
    let differing = lines.find(|(edited, fresh)| edited != fresh);
    prop_assert!(differing.is_none(), "{:?}", differing);
    prop_assert_eq!(texts[0].len(), texts[1].len());
    prop_assert_eq!(shared(&edited.policy), shared(&fresh.policy));
    prop_assert_eq!(edited.warnings.render(), fresh.warnings.render());
    Ok(())
}

/// For each set of prefixes in the policy, the first that shares its memory.
fn shared(policy: &Policy) -> Vec<usize> {
    let conditions = policy.rules.iter().chain(&policy.inert);
    let conditions = conditions.flat_map(|rule| [&rule.source, &rule.destination]);
    let listeners = policy.listeners.iter();
    let conditions = conditions.chain(listeners.flat_map(|listener| [&listener.allow, &listener.deny]));
    let sets =
        conditions.flat_map(|condition: &AddressMatch| condition.include.iter().chain([&condition.exclude]));
    let mut first = HashMap::new();
    let sets = sets.filter(|set| !set.elements().is_empty()).enumerate();
    sets.map(|(at, set): (usize, &PrefixSet)| *first.entry(set.elements().as_ptr()).or_insert(at))
        .collect()
}

#[test]
fn what_a_whole_reading_would_refuse_or_warn_of_is_not_edited() {
    let many: String = (0..200).map(|host| format!("198.51.100.{host}\n")).collect();
    let small = "198.51.100.1\n198.51.100.2\n2001:db8::1\n";
    for (why, set, rest, old, new, edited) in [
        (
            "nothing is wrong",
            "",
            "",
            small,
            "198.51.100.1\n2001:db8::1\n",
            true,
        ),
        ("it is written again", "", "", small, small, true),
        (
            "a line is no entry",
            "",
            "",
            small,
            "198.51.100.1\n198.51.100.2\n2001:db8::1\nx\n",
            false,
        ),
        (
            "host bits are set",
            "",
            "",
            small,
            "198.51.100.1/24\n2001:db8::1\n",
            false,
        ),
        ("nothing is left", "", "", "198.51.100.1\n", "# empty\n", false),
        (
            "a family is gone",
            "",
            "",
            small,
            "198.51.100.1\n198.51.100.2\n",
            false,
        ),
        ("a family is new", "", "", "198.51.100.1\n", small, false),
        (
            "it is JSON now",
            "",
            "",
            small,
            "{\"prefixes\": [{\"ip_prefix\": \"198.51.100.0/24\"}]}",
            false,
        ),
        (
            "it is too wide",
            "min_prefix = { v4 = 24, v6 = 48 }",
            "",
            small,
            "198.51.0.0/16\n198.51.100.1\n198.51.100.2\n2001:db8::1\n",
            false,
        ),
        (
            "it is narrow enough",
            "min_prefix = { v4 = 24, v6 = 48 }",
            "",
            small,
            "198.51.100.0/24\n2001:db8::1\n",
            true,
        ),
        (
            "it grows too much",
            "max_change = \"30%\"",
            "",
            small,
            "198.51.100.1\n198.51.100.2\n198.51.100.3\n2001:db8::1\n",
            false,
        ),
        (
            "it covers too much",
            "max_change = \"30%\"",
            "",
            &many,
            &format!("{many}198.51.100.0/24\n"),
            false,
        ),
        (
            "it changes little",
            "max_change = \"30%\"",
            "",
            &many,
            &format!("{many}198.51.100.0/30\n"),
            true,
        ),
        (
            "nobody may ban it",
            "",
            NEVER_BAN,
            small,
            "198.51.100.1\n198.51.100.2\n192.0.2.0/30\n2001:db8::1\n",
            false,
        ),
        (
            "it was cut before",
            "",
            NEVER_BAN,
            "192.0.2.0/24\n",
            "192.0.2.0/24\n198.51.100.3\n",
            false,
        ),
        (
            "others are banned",
            "",
            NEVER_BAN,
            small,
            "198.51.100.1\n198.51.100.2\n198.51.100.3\n2001:db8::1\n",
            true,
        ),
        (
            "it is never banned",
            "",
            "[never_ban]\nentries = [\"@feed\"]\n",
            small,
            "198.51.100.1\n2001:db8::1\n",
            false,
        ),
        (
            "another set has it",
            "",
            "[[set]]\nname = \"again\"\nfiles = [\"feed.txt\"]\n",
            small,
            "198.51.100.1\n2001:db8::1\n",
            false,
        ),
        (
            "the same set has it twice",
            "files = [\"feed.txt\", \"feed.txt\"]",
            "",
            small,
            "198.51.100.1\n2001:db8::1\n",
            false,
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let feed = folder.path().join("feed.txt");
        let files = if set.contains("files") {
            ""
        } else {
            "files = [\"feed.txt\"]"
        };
        let policy = format!(
            "[firewall]\nstateful = false\n[[set]]\nname = \"feed\"\n{files}\n{set}\n{rest}\n[[rule]]\nname = \"a\"\naction = \"deny\"\nsource = \"@feed\"\n"
        );
        fs::write(folder.path().join("policy.toml"), policy).unwrap();
        fs::write(&feed, old).unwrap();
        let loaded = load(&folder.path().join("policy.toml"))
            .unwrap_or_else(|report| panic!("{why}: {}", report.render()));
        fs::write(&feed, new).unwrap();
        let edits = loaded.set_files.edits(&[feed], &loaded.policy);
        assert_eq!(edits.is_some(), edited, "{why}");
        assert_eq!(edits.is_some_and(|edits| edits.is_empty()), old == new, "{why}");
    }
}

#[test]
fn files_of_several_sets_are_edited_together_and_two_of_one_set_are_not() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("policy.toml"), policy(false)).unwrap();
    let old = [("198.51.100.1".to_owned(), "\n")];
    let new = [
        ("198.51.100.1".to_owned(), "\n"),
        ("198.51.100.2".to_owned(), "\n"),
    ];
    let paths = FILES.map(|name| folder.path().join(name));
    for path in &paths {
        write(path, &old, true);
    }
    let mut loaded = load(&folder.path().join("policy.toml")).unwrap();
    for path in &paths {
        write(path, &new, true);
    }
    let edits = |paths: &[&PathBuf]| {
        let paths: Vec<PathBuf> = paths.iter().map(|path| (*path).clone()).collect();
        loaded.set_files.edits(&paths, &loaded.policy)
    };
    assert!(
        edits(&[&paths[0], &paths[1]]).is_none(),
        "both are files of `feed`"
    );
    assert!(edits(&[&folder.path().join("policy.toml")]).is_none());
    let edits = edits(&[&paths[0], &paths[2]]).unwrap();
    assert_eq!(edits.len(), 2);
    for edit in &edits {
        loaded.policy = loaded.set_files.take(&loaded.policy, edit);
    }
    // The third file is on disk as it was when it was read.
    write(&paths[1], &old, true);
    same(&loaded, &load(&folder.path().join("policy.toml")).unwrap()).unwrap();
}

fn write(path: &Path, lines: &[Line], ended: bool) {
    let mut text: String = lines
        .iter()
        .flat_map(|(line, end)| [line.as_str(), end])
        .collect();
    if !ended {
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
    }
    fs::write(path, text).unwrap();
}

/// Sets alone, joined, spared and excepted, in rules that are judged and in one that is not.
fn policy(never_ban: bool) -> String {
    let never = if never_ban {
        "[never_ban]\nentries = [\"198.51.100.30\"]\n"
    } else {
        ""
    };
    never.to_owned() + POLICY
}

const FILES: [&str; 3] = ["a.txt", "b.txt", "c.txt"];
const NEVER_BAN: &str = "[never_ban]\nentries = [\"192.0.2.1\"]\n";
const POLICY: &str = r#"
[firewall]
stateful = false
[[set]]
name    = "feed"
entries = ["203.0.113.0/24", "2001:db8:1::/48"]
files   = ["a.txt", "b.txt"]
[[set]]
name    = "other"
entries = ["198.51.100.16/28", "2001:db8:2::/48"]
files   = ["c.txt"]
[[rule]]
name   = "ban"
action = "deny"
source = "@feed"
[[rule]]
name   = "ban-others"
action = "deny"
source = ["@other", "@feed", "192.0.2.9"]
[[rule]]
name        = "allow"
action      = "allow"
source      = "@feed"
destination = ["anywhere", "!@other"]
[[rule]]
name   = "both"
action = "allow"
source = ["@feed", "@other"]
[[rule]]
name        = "both-again"
action      = "allow"
destination = ["@feed", "@other"]
[[policy]]
name  = "elsewhere"
scope = { region = "eu-west-1" }
[[policy.rule]]
name   = "inert"
action = "deny"
source = ["@other"]
[[listener]]
name   = "api"
bind   = ["127.0.0.1:8443"]
allow  = ["@other"]
deny   = ["@feed"]
routes = [{ upstream = "app" }]
[listener.tls]
certificates = [{ cert = "cert.pem", key = "key.pem" }]
[[upstream]]
name    = "app"
servers = ["127.0.0.1:9000"]
"#;
