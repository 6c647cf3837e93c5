//! No bytes make the reader panic: not damaged policies, not damaged set files, not noise.
//!
//! Each case is a good policy of `tests/policies/good`, damaged, in a copy of its folder so that what it includes is there.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use ravelin_rules::{Direction, HostFacts, load};
use tempfile::TempDir;

/// One way to damage a text.
#[derive(Clone, Debug)]
enum Damage {
    /// The byte at this place is replaced.
    Flip(prop::sample::Index, u8),
    /// The text ends here.
    Truncate(prop::sample::Index),
    /// Two lines change places.
    SwapLines(prop::sample::Index, prop::sample::Index),
    /// A line is there twice.
    RepeatLine(prop::sample::Index),
    /// These bytes stand in front of that place.
    Insert(prop::sample::Index, Vec<u8>),
    /// What stands behind the `=` of a line is replaced by this value.
    Value(prop::sample::Index, String),
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    // Values of every type, at the ends of ranges, and texts close to what is meant.
    let value = prop::sample::select(vec![
        "[]",
        "{}",
        "[[]]",
        "[{}]",
        "true",
        "-1",
        "0",
        "65536",
        "9223372036854775807",
        "99999999999999999999",
        "1.5",
        "nan",
        "2026-12-31",
        "\"\"",
        "\"@\"",
        "\"@partners\"",
        "\"/\"",
        "\"-\"",
        "\"!\"",
        "\"*.\"",
        "\"0.0.0.0/0\"",
        "\"::/0\"",
        "\"[::]:0\"",
        "\"99999999999999999999s\"",
        "\"99999999999999999999M/s\"",
        "\"0/s\"",
        "\"\\u0000\"",
        "\"**\"",
        "\"/\\u0000\"",
        "[\"\"]",
        "[1, \"a\", []]",
        "{ a.b.c = 1 }",
        "\"\u{202e}\"",
        "\"ä-ö\"",
    ]);
    prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, byte)| Damage::Flip(at, byte)),
        index().prop_map(Damage::Truncate),
        (index(), index()).prop_map(|(one, other)| Damage::SwapLines(one, other)),
        index().prop_map(Damage::RepeatLine),
        (index(), prop::collection::vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (index(), value).prop_map(|(line, value)| Damage::Value(line, value.to_owned())),
    ]
}

fn apply(text: &mut Vec<u8>, damage: &Damage) {
    let mut lines: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    match damage {
        Damage::Flip(at, byte) if !text.is_empty() => {
            let at = at.index(text.len());
            text[at] = *byte;
            return;
        }
        Damage::Flip(..) => return,
        Damage::Truncate(at) => return text.truncate(at.index(text.len() + 1)),
        Damage::Insert(at, bytes) => {
            let at = at.index(text.len() + 1);
            text.splice(at..at, bytes.iter().copied());
            return;
        }
        Damage::SwapLines(one, other) => {
            let (one, other) = (one.index(lines.len()), other.index(lines.len()));
            lines.swap(one, other);
        }
        Damage::RepeatLine(line) => {
            let line = line.index(lines.len());
            lines.insert(line, lines[line].clone());
        }
        Damage::Value(line, value) => {
            let line = line.index(lines.len());
            if let Some(equals) = lines[line].iter().position(|byte| *byte == b'=') {
                lines[line].truncate(equals + 1);
                lines[line].extend(value.bytes());
            }
        }
    }
    *text = lines.join(&b'\n');
}

/// Loads, compiles and renders: everything `ravelin check` does with a policy.
fn exercise(path: &Path) {
    let report = match load(path).and_then(|loaded| {
        loaded
            .compile(&HostFacts::default(), Direction::Inbound)
            .map(|_| loaded)
    }) {
        Ok(loaded) => loaded.warnings,
        Err(report) => {
            assert!(report.has_errors(), "refused without an error");
            report
        }
    };
    let _text = report.render();
    serde_json::from_str::<serde_json::Value>(&report.to_json()).unwrap();
}

thread_local! {
    // One for each test: copying the files costs more than reading them.
    static COPY: (TempDir, Vec<PathBuf>) = copy();
}

/// A copy of the good policies, and their paths in it.
fn copy() -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let mut policies = Vec::new();
    for path in glob::glob("tests/policies/good/**/*")
        .unwrap()
        .map(Result::unwrap)
    {
        let to = folder
            .path()
            .join(path.strip_prefix("tests/policies/good").unwrap());
        if path.is_dir() {
            fs::create_dir_all(&to).unwrap();
        } else {
            fs::copy(&path, &to).unwrap();
            if path.extension().is_some_and(|extension| extension == "toml") {
                policies.push(to);
            }
        }
    }
    (folder, policies)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_policy_is_accepted_or_refused(which in any::<prop::sample::Index>(), damages in prop::collection::vec(damage(), 1..6)) {
        COPY.with(|(folder, policies)| {
            let mut text = fs::read(which.get(policies)).unwrap();
            for damage in &damages {
                apply(&mut text, damage);
            }
            let path = folder.path().join("damaged.toml");
            fs::write(&path, text).unwrap();
            exercise(&path);
        });
    }

    #[test]
    fn a_damaged_set_file_is_accepted_or_refused(damages in prop::collection::vec(damage(), 1..6)) {
        COPY.with(|(folder, _)| {
            let mut text = fs::read("tests/policies/good/files/drop.txt").unwrap();
            for damage in &damages {
                apply(&mut text, damage);
            }
            fs::write(folder.path().join("files/drop.txt"), text).unwrap();
            exercise(&folder.path().join("mail-server.toml"));
        });
    }

    #[test]
    fn noise_is_accepted_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,200}") {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        fs::write(&path, bytes).unwrap();
        exercise(&path);
        fs::write(&path, text).unwrap();
        exercise(&path);
    }
}

#[test]
fn nesting_and_repetition_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    let many = 100_000;
    for text in [
        "a.".repeat(many) + "a = 1",
        format!("[{}a]", "a.".repeat(many)),
        format!("x = {{ {}a = 1 }}", "a.".repeat(many)),
        "a = ".to_owned() + &"[".repeat(many),
        "x = ".to_owned() + &"{ x = ".repeat(many),
        "[[rule]]\n".repeat(many),
        "[[set]]\nentries = [\"x\"]\n".repeat(many / 10),
        format!("[[set]]\nname = \"s\"\nentries = [{}]", "\"x\", ".repeat(many)),
        format!("[[rule]]\nname = \"{}\"", "x".repeat(many)),
        format!("include = [{}]", "\"*.toml\", ".repeat(many / 100)),
        "=\n".repeat(many),
    ] {
        fs::write(&path, text).unwrap();
        exercise(&path);
    }
}
