//! Golden lints and differences: `lints/*.toml` with the findings in `*.txt`, `diffs/*/{old,new}.toml` with what changes in `diff.txt`.
//! `RAVELIN_BLESS=1` writes them anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::{Path, PathBuf};

use ravelin_rules::diff::{Terms, diff};
use ravelin_rules::policy::{Clock, HostFacts};
use ravelin_rules::{Code, Direction, Loaded, Thoroughness, load};

#[test]
fn every_policy_gets_the_findings_that_are_written_down() {
    let policies = entries("tests/lints", |path| {
        path.extension().is_some_and(|extension| extension == "toml")
    });
    assert!(policies.len() >= 30, "only {} policies", policies.len());
    let mut shown = Vec::new();
    for path in policies {
        let loaded = loaded(&path);
        let report = loaded.lint(&host(&loaded), Thoroughness::All);
        shown.extend(report.diagnostics().iter().map(|finding| finding.code));
        for finding in report.diagnostics() {
            assert!(
                !finding.help.is_empty() && finding.at.spot.is_some(),
                "{}: {finding:?}",
                path.display()
            );
        }
        compare(&path.with_extension("txt"), &report.render());
    }
    let lints = Code::ALL.iter().filter(|code| code.text().starts_with("W01"));
    // A policy that cannot be decided takes longer than a golden file is worth.
    let hidden: Vec<&str> = lints
        .filter(|code| !shown.contains(code) && **code != Code::LintsNotDecided)
        .map(|code| code.text())
        .collect();
    assert!(hidden.is_empty(), "no policy shows {hidden:?}");
}

#[test]
fn every_pair_of_policies_differs_as_is_written_down() {
    let pairs = entries("tests/diffs", Path::is_dir);
    assert!(pairs.len() >= 10, "only {} pairs", pairs.len());
    for folder in pairs {
        let [old, new] = ["old.toml", "new.toml"].map(|name| loaded(&folder.join(name)));
        let host = host(&old);
        let difference = diff(&old.policy, &new.policy, &host, &Direction::ALL, Terms::default())
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        compare(&folder.join("diff.txt"), &difference.to_string());
    }
}

fn loaded(path: &Path) -> Loaded {
    load(path).unwrap_or_else(|report| panic!("{}", report.render()))
}

/// In the year 2026.
fn host(loaded: &Loaded) -> HostFacts {
    HostFacts {
        clock: Clock {
            unix: 1_790_000_000_000_000_000,
            boot: 0,
        },
        ..HostFacts::assumed(&loaded.policy, &[])
    }
}

fn entries(folder: &str, wanted: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| wanted(path))
        .collect();
    paths.sort();
    paths
}

fn compare(golden: &Path, text: &str) {
    if std::env::var_os("RAVELIN_BLESS").is_some() {
        fs::write(golden, text).unwrap();
    }
    let expected = fs::read_to_string(golden).unwrap_or_else(|error| panic!("{}: {error}", golden.display()));
    assert_eq!(text, expected, "{}", golden.display());
}
