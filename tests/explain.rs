//! `ravelin explain`, the real binary: every `tests/fixtures/explain/*.case` is a question and the whole answer.
//!
//! First line: the arguments, which may begin with the name of a policy other than `policy.toml`. Second line: `exit N`. Then standard output, then, behind a line
//! `--- stderr`, standard error. `RAVELIN_BLESS=1` writes the answers anew.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ravelin_tests::daemon::binary;

#[test]
fn every_question_gets_the_answer_that_is_written_down() {
    let bless = std::env::var_os("RAVELIN_BLESS").is_some();
    let files = cases();
    assert!(files.len() >= 70, "only {} cases were found", files.len());
    for file in files {
        let text = fs::read_to_string(&file).expect("a case can be read");
        let (arguments, expected) = text.split_once('\n').expect("a case has more than one line");
        let answer = answer(arguments);
        if bless {
            fs::write(&file, format!("{arguments}\n{answer}")).expect("a case can be written");
        } else {
            assert_eq!(answer, expected, "{}: {arguments}", file.display());
        }
    }
}

fn answer(arguments: &str) -> String {
    let output = Command::new(binary())
        .current_dir(folder())
        .arg("explain")
        .args(arguments.starts_with("--").then_some("policy.toml"))
        .args(arguments.split_whitespace())
        .output()
        .expect("ravelin runs");
    let mut answer = format!("exit {}\n", output.status.code().expect("it ends by itself"));
    answer.push_str(&String::from_utf8(output.stdout).expect("it prints UTF-8"));
    if !output.stderr.is_empty() {
        answer.push_str("--- stderr\n");
        answer.push_str(&String::from_utf8(output.stderr).expect("it prints UTF-8"));
    }
    answer
}

fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).expect("the folder of cases");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "case"))
        .collect();
    files.sort();
    files
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/explain")
}
