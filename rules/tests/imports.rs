//! Golden imports: what another firewall prints in `imports/SOURCE/*`, the policy it becomes in `*.toml`, and what is not in it in
//! `*.txt`. `RAVELIN_BLESS=1` writes them anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use ravelin_rules::import::{ImportError, Source, import};
use ravelin_rules::{Direction, HostFacts, load_text};

#[test]
fn every_input_becomes_the_policy_that_is_written_down() {
    let inputs = inputs();
    assert!(inputs.len() >= 20, "only {} inputs", inputs.len());
    for (source, path) in inputs {
        let draft = import(source, &fs::read_to_string(&path).unwrap(), None)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut missing = String::new();
        for unmapped in draft.unmapped() {
            writeln!(missing, "{unmapped}").unwrap();
        }
        let policy = draft.to_string();
        compare(&path.with_extension("toml"), &policy);
        compare(&path.with_extension("txt"), &missing);
        for unmapped in draft.unmapped() {
            assert!(policy.contains(&unmapped.place), "{}: {unmapped}", path.display());
        }
        let loaded = load_text(&policy)
            .unwrap_or_else(|report| panic!("{}\n{policy}\n{}", path.display(), report.render()));
        assert_eq!(loaded.policy.rules.len(), draft.rules());
        for direction in Direction::ALL {
            let host = HostFacts::assumed(&loaded.policy, &[]);
            assert!(loaded.compile(&host, direction).is_ok());
        }
    }
}

#[test]
fn one_of_several_is_chosen_by_its_name() {
    let groups = input("aws-security-group/two-groups.json");
    let source = Source::AwsSecurityGroup;
    let all = import(source, &groups, None).unwrap().rules();
    let one = import(source, &groups, Some("sg-02")).unwrap().rules();
    assert!(one > 0 && one < all, "{one} of {all}");
    let error = import(source, &groups, Some("sg-99")).unwrap_err().to_string();
    assert_eq!(error, "there is no `sg-99`; there are sg-01, sg-02");

    let acl = input("aws-network-acl/default.json");
    let mut document: serde_json::Value = serde_json::from_str(&acl).unwrap();
    let list = document["NetworkAcls"].as_array_mut().unwrap();
    list.push(list[0].clone());
    list[1]["NetworkAclId"] = "acl-other".into();
    let text = document.to_string();
    let source = Source::AwsNetworkAcl;
    assert!(matches!(
        import(source, &text, None),
        Err(ImportError::Several { .. })
    ));
    assert_eq!(import(source, &text, Some("acl-other")).unwrap().rules(), 2);
}

#[test]
fn what_is_something_else_is_refused_with_what_to_give() {
    for source in Source::ALL {
        for text in ["", "{}", "[firewall]\n", "{\"data\": 1}"] {
            if let Err(error) = import(source, text, None) {
                assert!(error.to_string().contains(source.printed_by()), "{error}");
            } else {
                panic!("{source:?} takes {text:?}");
            }
        }
    }
}

/// A chain that jumps twice to the next, forty times over: 2^40 rules.
#[test]
fn chains_that_multiply_end_at_the_bound() {
    let mut text = "*filter\n:INPUT DROP [0:0]\n-A INPUT -j c0\n".to_owned();
    for chain in 0..40 {
        for _ in 0..2 {
            writeln!(text, "-A c{chain} -j c{}", chain + 1).unwrap();
        }
        writeln!(text, "-A c{chain} -p tcp --dport {} -j ACCEPT", chain + 1).unwrap();
    }
    text.push_str("COMMIT\n");
    let draft = import(Source::Iptables, &text, None).unwrap();
    assert!(draft.rules() <= 16_384);
    assert!(!draft.unmapped().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]
    #[test]
    fn damaged_inputs_are_imported_or_refused(which in 0..1_000_usize, at in any::<prop::sample::Index>(), with in "[ -~]{0,4}", take in 0..8_usize) {
        let inputs = inputs();
        let (source, path) = &inputs[which % inputs.len()];
        let mut text = fs::read_to_string(path).unwrap();
        let at = at.index(text.len());
        if text.is_char_boundary(at) {
            let end = (at + take).min(text.len());
            if text.is_char_boundary(end) {
                text.replace_range(at..end, &with);
            }
        }
        if let Ok(draft) = import(*source, &text, None) {
            let policy = draft.to_string();
            let loaded = load_text(&policy);
            prop_assert!(loaded.is_ok(), "{policy}\n{}", loaded.err().map_or_else(String::new, |report| report.render()));
        }
    }
}

fn inputs() -> Vec<(Source, PathBuf)> {
    let mut found = Vec::new();
    for source in Source::ALL {
        let folder = Path::new("tests/imports").join(source.word());
        let mut paths: Vec<PathBuf> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "json" || extension == "rules")
            })
            .collect();
        paths.sort();
        found.extend(paths.into_iter().map(|path| (source, path)));
    }
    found
}

fn input(name: &str) -> String {
    fs::read_to_string(Path::new("tests/imports").join(name)).unwrap()
}

fn compare(golden: &Path, text: &str) {
    if std::env::var_os("RAVELIN_BLESS").is_some() {
        fs::write(golden, text).unwrap();
        return;
    }
    let expected = fs::read_to_string(golden).unwrap_or_default();
    assert_eq!(text, expected, "{}", golden.display());
}
