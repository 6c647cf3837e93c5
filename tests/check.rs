//! `ravelin check`, the real binary: what it prints where, and how it ends.
//!
//! The reports themselves have golden files in `rules/tests/policies`.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ravelin_tests::daemon::binary;

#[test]
fn a_refused_policy_ends_with_1_and_its_golden_report() {
    let output = check(&["tests/policies/bad/everything-at-once.toml"]);
    let golden = fs::read_to_string(rules().join("tests/policies/bad/everything-at-once.txt"));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), golden.expect("the golden report"));
}

#[test]
fn an_accepted_policy_ends_with_0_and_says_what_it_holds() {
    let output = check(&["tests/policies/good/limits.toml"]);
    assert_eq!(output.status.code(), Some(0));
    let summary = stdout(&output);
    for part in [
        "accepted",
        "1 rule (0 global, 1 host)",
        "1 set on eth0",
        "  set `",
        "2 listeners, 1 upstream",
        "is denied",
    ] {
        assert!(summary.contains(part), "{part}: {summary}");
    }
}

#[test]
fn warnings_are_printed_and_do_not_refuse() {
    let output = check(&["tests/policies/doubtful/unused-set.toml"]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    assert!(
        text.contains("warning[W0001]") && text.contains("accepted"),
        "{text}"
    );
}

#[test]
fn a_policy_that_cannot_be_opened_ends_with_2_and_prints_no_report() {
    let output = check(&["tests/policies/no-such-file.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stdout(&output), "");
    let error = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(
        error.contains("no-such-file.toml") && error.contains("No such file"),
        "{error}"
    );
}

#[test]
fn json_is_one_object_with_or_without_findings() {
    for (policy, errors, code) in [
        ("tests/policies/bad/everything-at-once.toml", 8, 1),
        ("tests/policies/good/empty.toml", 0, 0),
    ] {
        let output = check(&["--format", "json", policy]);
        assert_eq!(output.status.code(), Some(code), "{policy}");
        let json: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        assert_eq!(json["errors"], errors, "{policy}");
        assert_eq!(
            json["diagnostics"].as_array().map(Vec::len),
            Some(errors),
            "{policy}"
        );
    }
}

#[test]
fn a_policy_that_does_not_fit_the_tables_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("policy.toml");
    let rules = (0..20_000).map(|number| format!("[[rule]]\nname = \"r{number}\"\naction = \"deny\"\n"));
    let rules: String = rules.collect();
    fs::write(&path, format!("[firewall]\nstateful = false\n{rules}")).expect("a policy");
    let output = check(&[path.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains("error[E0501]: 20000 rules"),
        "{}",
        stdout(&output)
    );
}

/// Runs the command where the golden reports were made: their paths are relative.
fn check(arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    let output = command.current_dir(rules()).arg("check").args(arguments).output();
    output.expect("ravelin runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn rules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules")
}
