//! The policy guide tells the truth: its policies load, its commands run, and they print what the pages show.
//!
//! A block ` ```toml file=NAME ` or ` ```text file=NAME ` is a file in the reader's folder. In a block ` ```console ` a line that
//! starts with `$` is a command, and each line below it must be part of a line of what it prints, in this order.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ravelin_rules::load;
use ravelin_tests::daemon::binary;

#[test]
fn every_policy_of_the_guide_loads() {
    let mut policies = 0;
    for page in pages() {
        let folder = page.folder();
        for (name, _) in page.files.iter().filter(|(name, _)| name.ends_with(".toml")) {
            if let Err(report) = load(&folder.path().join(name)) {
                panic!("{}: {}", page.name, report.render());
            }
            policies += 1;
        }
    }
    assert!(policies >= 10, "the policies of the guide were not found");
}

#[test]
fn every_command_of_the_guide_prints_what_the_page_shows() {
    let mut commands = 0;
    for page in pages() {
        let folder = page.folder();
        for step in &page.steps {
            commands += 1;
            let printed = run(&step.words, folder.path());
            let mut lines = printed.lines();
            for shown in &step.shows {
                assert!(
                    lines.any(|line| line.contains(shown.as_str())),
                    "{}: `ravelin {}` does not print `{shown}` (in this order), but\n{printed}",
                    page.name,
                    step.words.join(" ")
                );
            }
        }
    }
    assert!(commands >= 30, "the commands of the guide were not found");
}

/// What the command prints, both ways; it must not fail to run.
fn run(words: &[String], folder: &Path) -> String {
    let output = Command::new(binary())
        .args(words)
        .current_dir(folder)
        .output()
        .expect("the binary runs");
    let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed += &String::from_utf8_lossy(&output.stderr);
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "`ravelin {}` could not run:\n{printed}",
        words.join(" ")
    );
    printed
}

/// One page of the guide.
struct Page {
    name: String,
    /// Name and text.
    files: Vec<(String, String)>,
    steps: Vec<Step>,
}

/// One command, and what it must print.
struct Step {
    words: Vec<String>,
    shows: Vec<String>,
}

impl Page {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a page");
        let mut page = Self {
            name: path.file_name().unwrap_or_default().display().to_string(),
            files: Vec::new(),
            steps: Vec::new(),
        };
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let Some(info) = line.strip_prefix("```") else {
                continue;
            };
            let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if let Some((_, name)) = info.split_once(" file=") {
                page.files.push((name.to_owned(), inside.join("\n") + "\n"));
            } else if info == "console" {
                page.steps.extend(steps(&inside));
            }
        }
        page
    }

    /// A folder with the page's files.
    fn folder(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in &self.files {
            fs::write(folder.path().join(name), text).expect("a file");
        }
        folder
    }
}

fn steps(lines: &[&str]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in lines {
        match (line.strip_prefix("$ ravelin "), steps.last_mut()) {
            (Some(words), _) => steps.push(Step {
                words: words.split_whitespace().map(str::to_owned).collect(),
                shows: Vec::new(),
            }),
            (None, Some(step)) => step.shows.push((*line).to_owned()),
            (None, None) => panic!("a line of a console block without a command: {line}"),
        }
    }
    steps
}

fn pages() -> Vec<Page> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the guide")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths.iter().map(|path| Page::read(path)).collect()
}
