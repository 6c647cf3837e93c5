//! Every bad policy has a golden report beside it; a new case is a new file.
//!
//! `bad/*.toml` are refused, `doubtful/*.toml` are accepted with warnings, `good/*.toml` are accepted in silence. After a
//! change of wording: `RAVELIN_BLESS=1 cargo test --package ravelin-rules --test diagnostics`, and read the diff.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::{Path, PathBuf};

use ravelin_rules::{Code, Direction, HostFacts, Report, Severity, load};

#[test]
fn every_bad_policy_is_refused_with_the_golden_report() {
    let policies = policies("bad");
    assert!(policies.len() >= 70, "only {} bad policies", policies.len());
    for path in policies {
        let report = report(&path);
        assert!(report.has_errors(), "{} is accepted", path.display());
        compare(&path, &report.render());
    }
}

#[test]
fn every_doubtful_policy_is_accepted_with_the_golden_warnings() {
    for path in policies("doubtful") {
        let report = report(&path);
        assert!(
            !report.has_errors() && !report.is_empty(),
            "{}\n{}",
            path.display(),
            report.render()
        );
        compare(&path, &report.render());
    }
}

#[test]
fn every_good_policy_is_accepted_in_silence() {
    let policies = policies("good");
    assert!(policies.len() >= 10, "only {} good policies", policies.len());
    for path in policies {
        let report = report(&path);
        assert!(report.is_empty(), "{}\n{}", path.display(), report.render());
    }
}

#[test]
fn every_code_is_shown_by_a_policy() {
    let mut reports: Vec<Report> = policies("bad")
        .iter()
        .chain(&policies("doubtful"))
        .map(|path| report(path))
        .collect();
    reports.extend([
        policy_of_16_mebibytes(),
        policy_with_too_many_rules(),
        policy_with_an_old_set_file(),
        policy_with_a_set_that_changed_too_much(),
    ]);
    let shown: Vec<Code> = reports
        .iter()
        .flat_map(Report::diagnostics)
        .map(|diagnostic| diagnostic.code)
        .collect();
    let hidden: Vec<&str> = Code::ALL
        .iter()
        // What rules do and do not do is told by lints: `lints.rs`.
        .filter(|code| !shown.contains(code) && !code.text().starts_with("W01"))
        .map(|code| code.text())
        .collect();
    assert!(hidden.is_empty(), "no policy shows {hidden:?}");
}

#[test]
fn every_finding_has_a_place_a_help_line_and_the_house_style() {
    for path in policies("bad").iter().chain(&policies("doubtful")) {
        let report = report(path);
        for diagnostic in report.diagnostics() {
            let message = &diagnostic.message;
            let context = format!("{}: {message}", path.display());
            assert!(!diagnostic.help.is_empty(), "{context}: no help");
            assert!(
                !message.ends_with('.') && !diagnostic.help.ends_with('.'),
                "{context}: full stop"
            );
            let first = message.chars().next().unwrap();
            assert!(!first.is_uppercase(), "{context}: upper case");
            assert!(
                !message.contains('\n') && !diagnostic.help.contains('\n'),
                "{context}: more than a line"
            );
            if let Some(spot) = &diagnostic.at.spot {
                let width = u32::try_from(spot.excerpt.chars().count()).unwrap();
                let marked = spot.indent + spot.length <= width.max(spot.indent + 1);
                assert!(spot.line >= 1 && spot.column >= 1 && marked, "{context}: place");
            }
        }
        assert_eq!(
            report.render().matches("= help: ").count(),
            report.diagnostics().len(),
            "{}: a rendered finding without help",
            path.display()
        );
    }
}

#[test]
fn json_holds_what_the_text_holds() {
    let report = report(Path::new("tests/policies/bad/everything-at-once.toml"));
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["errors"], report.count(Severity::Error));
    let first = &json["diagnostics"][0];
    let expected = &report.diagnostics()[0];
    assert_eq!(first["code"], expected.code.text());
    assert_eq!(first["message"], expected.message);
    assert_eq!(first["help"], expected.help);
    assert_eq!(first["line"], expected.at.spot.as_ref().unwrap().line);
    assert_eq!(first["file"], "tests/policies/bad/everything-at-once.toml");
}

fn policy_with_an_old_set_file() -> Report {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.txt");
    fs::write(&list, "192.0.2.0/24\n").unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_hours(30);
    fs::File::options()
        .append(true)
        .open(&list)
        .unwrap()
        .set_modified(old)
        .unwrap();
    let path = folder.path().join("policy.toml");
    let policy = |max_age: &str| {
        format!(
            "[firewall]\nstateful = false\n[[set]]\nname = \"s\"\nfiles = [\"list.txt\"]\nmax_age = \"{max_age}\"\n[[rule]]\nname = \"r\"\naction = \"allow\"\nsource = \"@s\"\n"
        )
    };
    fs::write(&path, policy("31h")).unwrap();
    assert!(load(&path).unwrap().warnings.is_empty(), "young enough");
    fs::write(&path, policy("26h")).unwrap();
    let report = load(&path).unwrap().warnings;
    assert_eq!(report.diagnostics()[0].code, Code::SetFileOld);
    assert!(report.diagnostics()[0].message.contains("is 30 hours old"));
    report
}

fn policy_with_a_set_that_changed_too_much() -> Report {
    let folder = tempfile::tempdir().unwrap();
    let (path, copies) = (folder.path().join("policy.toml"), folder.path().join("copies"));
    let list = folder.path().join("list.txt");
    let copy = copies.join(ravelin_rules::way_in_copy(&list).unwrap());
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    // Ten entries that are six when merged.
    let last = "192.0.2.0/29\n192.0.2.1\n192.0.2.2\n192.0.2.2\n192.0.2.0/29\n10.0.0.1\n10.0.0.2\n10.0.0.3\n10.0.0.4\n2001:db8::1\n";
    fs::write(&copy, last).unwrap();
    fs::write(
        &path,
        "[firewall]\nstateful = false\n[[set]]\nname = \"s\"\nfiles = [\"list.txt\"]\nmax_change = \"50%\"\n[[rule]]\nname = \"r\"\naction = \"allow\"\nsource = \"@s\"\n",
    )
    .unwrap();
    fs::write(&list, "10.0.0.1\n10.0.0.2\n10.0.0.3\n").unwrap();
    let loaded = ravelin_rules::load_beside(&copies, &path).unwrap();
    assert!(
        loaded.warnings.is_empty() && !loaded.policy.sets[0].kept_back,
        "half of it"
    );
    fs::write(&list, "10.0.0.1\n10.0.0.2\n").unwrap();
    assert!(
        load(&path).unwrap().warnings.is_empty(),
        "nothing to compare with"
    );
    let loaded = ravelin_rules::load_beside(&copies, &path).unwrap();
    let set = &loaded.policy.sets[0];
    assert!(set.kept_back);
    assert_eq!((set.entries, set.covered), (10, 4));
    assert_eq!(loaded.warnings.diagnostics()[0].code, Code::SetKeptBack);
    assert!(
        loaded.warnings.diagnostics()[0]
            .message
            .contains("have 2 entries and had 6")
    );
    loaded.warnings
}

fn policy_of_16_mebibytes() -> Report {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    fs::write(&path, "#".repeat((16 << 20) + 1)).unwrap();
    let report = load(&path).unwrap_err();
    assert_eq!(report.diagnostics()[0].code, Code::TooLarge);
    report
}

fn policy_with_too_many_rules() -> Report {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    let rules = (0..20_000).map(|number| format!("[[rule]]\nname = \"r{number}\"\naction = \"deny\"\n"));
    let rules: String = rules.collect();
    fs::write(&path, format!("[firewall]\nstateful = false\n{rules}")).unwrap();
    let loaded = load(&path).unwrap();
    let report = loaded
        .compile(&HostFacts::default(), Direction::Inbound)
        .err()
        .unwrap();
    assert_eq!(report.diagnostics()[0].code, Code::DoesNotFit);
    report
}

fn report(path: &Path) -> Report {
    load(path).map_or_else(|report| report, |loaded| loaded.warnings)
}

/// The policies of a folder, by paths that are the same on every machine.
fn policies(folder: &str) -> Vec<PathBuf> {
    let found = glob::glob(&format!("tests/policies/{folder}/*.toml")).unwrap();
    let mut paths: Vec<PathBuf> = found.map(Result::unwrap).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no policies in {folder}");
    for path in &paths {
        let text = fs::read(path).unwrap();
        assert!(
            text.starts_with(b"# "),
            "{} does not start with a comment that tells why it is there",
            path.display()
        );
    }
    paths
}

#[track_caller]
fn compare(policy: &Path, rendered: &str) {
    let golden = policy.with_extension("txt");
    if std::env::var_os("RAVELIN_BLESS").is_some() {
        fs::write(&golden, rendered).unwrap();
        return;
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    assert!(
        expected == rendered,
        "{} differs\n--- golden ---\n{expected}\n--- now ---\n{rendered}",
        golden.display()
    );
}
