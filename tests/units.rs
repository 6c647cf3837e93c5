//! The systemd units: how much of the host they leave open, and that nothing in them goes unexplained.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ravelin_tests::daemon::binary;
use ravelin_tests::requires;

const UNITS: [&str; 3] = [
    "ravelin-edge.service",
    "ravelin-edge@.service",
    "ravelin-filter.service",
];

const SOCKETS: &str = "ravelin-edge.socket";

/// `systemd-analyze` counts in tenths: 20 is an exposure of 2.0. nginx, haproxy and firewalld are at 9.6.
const HIGHEST_EXPOSURE: &str = "--threshold=20";

#[test]
fn the_exposure_of_each_unit_is_at_most_two() {
    requires!(Tool("systemd-analyze"));
    for unit in UNITS {
        let output = analyze(
            &["security", "--offline=true", "--no-pager", HIGHEST_EXPOSURE],
            &folder().join(unit),
        );
        assert!(output.0, "{unit} is above the limit:\n{}", output.1);
        assert!(
            output.1.contains("Overall exposure level"),
            "{unit} was not measured:\n{}",
            output.1
        );
    }
}

#[test]
fn a_unit_without_a_sandbox_is_above_the_limit() {
    requires!(Tool("systemd-analyze"));
    let folder = tempfile::tempdir().expect("a folder");
    let unit = folder.path().join("open.service");
    fs::write(&unit, "[Service]\nExecStart=/bin/true\n").expect("a unit");
    assert!(
        !analyze(
            &["security", "--offline=true", "--no-pager", HIGHEST_EXPOSURE],
            &unit
        )
        .0
    );
}

#[test]
fn systemd_understands_every_line() {
    requires!(Tool("systemd-analyze"));
    for unit in UNITS.into_iter().chain([SOCKETS]) {
        let (_, words) = analyze(&["verify", "--man=no"], &folder().join(unit));
        // The binary need not be installed here.
        let complaints: Vec<&str> = words
            .lines()
            .filter(|line| line.contains("ravelin") && !line.contains("is not executable"))
            .collect();
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    }
}

#[test]
fn every_directive_is_explained_beside_the_units() {
    let readme = fs::read_to_string(folder().join("README.md")).expect("systemd/README.md");
    for unit in UNITS.into_iter().chain([SOCKETS]) {
        for directive in text(unit).lines().filter_map(directive) {
            assert!(
                readme.contains(&format!("`{directive}")),
                "systemd/README.md does not explain `{directive}` of {unit}"
            );
        }
    }
}

#[test]
fn the_commands_in_the_units_exist() {
    for unit in UNITS {
        let text = text(unit);
        let start = text
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart=/usr/bin/ravelin "))
            .expect("ExecStart");
        let mut words = start.split_whitespace();
        let command = words.next().expect("a command");
        let help = Command::new(binary())
            .args([command, "--help"])
            .output()
            .expect("ravelin starts");
        let help = String::from_utf8(help.stdout).expect("UTF-8");
        for option in words.filter(|word| word.starts_with("--")) {
            assert!(
                help.contains(option),
                "`ravelin {command}` has no option `{option}`"
            );
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd")
}

fn text(unit: &str) -> String {
    fs::read_to_string(folder().join(unit)).unwrap_or_else(|error| panic!("{unit}: {error}"))
}

/// The name before `=`, when the line is a setting.
fn directive(line: &str) -> Option<&str> {
    let (name, _) = line.split_once('=')?;
    (!line.starts_with('#')).then_some(name)
}

/// Whether `systemd-analyze` is content, and what it says.
fn analyze(arguments: &[&str], unit: &Path) -> (bool, String) {
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .arg(unit)
        .output()
        .expect("systemd-analyze starts");
    let words = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&words).into_owned(),
    )
}
