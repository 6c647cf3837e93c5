//! The documentation tells the truth: policies in it load, commands in it exist, links in it lead somewhere.
//!
//! Every fenced `toml` block of README, CONTRIBUTING, `docs/` and `systemd/` is a whole policy. A block that is meant to be
//! refused is fenced as `toml refused`.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ravelin_rules::load;
use ravelin_tests::daemon::binary;

/// One page.
struct Page {
    path: PathBuf,
    name: String,
    text: String,
}

/// A fenced block.
struct Block<'a> {
    line: usize,
    language: &'a str,
    text: String,
}

#[test]
fn every_policy_in_the_docs_does_what_the_docs_say() {
    let mut loaded = 0;
    for page in pages() {
        for block in blocks(&page.text) {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("policy.toml");
            fs::write(&path, &block.text).expect("a policy");
            match (block.language, load(&path)) {
                ("toml", Ok(_)) | ("toml refused", Err(_)) => loaded += 1,
                ("toml", Err(report)) => panic!("{}:{}: {}", page.name, block.line, report.render()),
                ("toml refused", Ok(_)) => panic!("{}:{}: this policy is accepted", page.name, block.line),
                _ => {}
            }
        }
    }
    assert!(loaded >= 2, "the policies of the README were not found");
}

#[test]
fn every_command_in_the_docs_exists() {
    let ravelin = Program::new(binary());
    let xtask = Program::new(binary().with_file_name("xtask"));
    let mut complaints = Vec::new();
    let mut found = 0;
    for page in pages() {
        for code in code(&page.text) {
            for command in invocations(&code, "ravelin ") {
                found += 1;
                complaints.extend(
                    ravelin
                        .complaint(&command)
                        .map(|complaint| format!("{}: {complaint}", page.name)),
                );
            }
            for command in invocations(&code, "cargo xtask ") {
                found += 1;
                complaints.extend(
                    xtask
                        .complaint(&command)
                        .map(|complaint| format!("{}: {complaint}", page.name)),
                );
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(found > 20, "the commands in the docs were not found");
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    let ravelin = Program::new(binary());
    let complaint =
        |words: &[&str]| ravelin.complaint(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
    assert!(complaint(&["fly"]).is_some());
    assert!(
        complaint(&["top"]).is_some(),
        "planned commands are not there for users"
    );
    assert!(complaint(&["check", "--sideways"]).is_some());
    assert!(complaint(&["check", "FILE"]).is_none());
}

#[test]
fn every_command_of_the_programs_is_in_the_docs() {
    let all: String = pages().into_iter().map(|page| page.text).collect();
    for (program, call) in [("ravelin", "ravelin"), ("xtask", "cargo xtask")] {
        for command in Program::new(binary().with_file_name(program)).commands() {
            assert!(
                all.contains(&format!("{call} {command}")),
                "`{call} {command}` is not in the docs"
            );
        }
    }
}

#[test]
fn every_link_in_the_docs_leads_somewhere() {
    let mut complaints = Vec::new();
    for page in pages() {
        for target in links(&page.text).filter(|target| !target.contains("://") && !target.starts_with('#')) {
            let file = target.split('#').next().unwrap_or(target);
            if !page.path.parent().expect("a folder").join(file).exists() {
                complaints.push(format!("{}: `{target}` does not exist", page.name));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// A program and what its help says.
struct Program {
    path: PathBuf,
    commands: BTreeSet<String>,
}

impl Program {
    fn new(path: PathBuf) -> Self {
        let help = help(&path, &[]);
        // A command stands at the start of an indented line of the overview.
        let commands = help
            .lines()
            .filter_map(|line| line.strip_prefix("  "))
            .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
            .filter_map(|line| line.split_whitespace().next())
            .filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && *word != "help")
            .map(str::to_owned)
            .collect();
        Self { path, commands }
    }

    fn commands(&self) -> impl Iterator<Item = &str> {
        self.commands.iter().map(String::as_str)
    }

    /// What is wrong with these words as a call of the program.
    fn complaint(&self, words: &[String]) -> Option<String> {
        let (command, rest) = words.split_first()?;
        if command.starts_with('-') {
            return None;
        }
        if !self.commands.contains(command) {
            return Some(format!("`{}` has no command `{command}`", self.path.display()));
        }
        let help = help(&self.path, &[command]);
        let option = rest
            .iter()
            .filter(|word| word.starts_with("--"))
            .find(|option| !help.contains(option.as_str()))?;
        Some(format!("`{command}` has no option `{option}`"))
    }
}

fn help(program: &Path, before: &[&str]) -> String {
    let output = Command::new(program).args(before).arg("--help").output();
    let output =
        output.unwrap_or_else(|error| panic!("{}: {error}; build the workspace first", program.display()));
    String::from_utf8(output.stdout).expect("help is UTF-8")
}

fn pages() -> Vec<Page> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the workspace");
    let folders = [
        "",
        "docs",
        "docs/decisions",
        "docs/guide",
        "systemd",
        "tests",
        "benches",
    ]
    .map(|folder| root.join(folder));
    let mut pages = Vec::new();
    for entry in folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .flatten()
    {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let name = path
                .strip_prefix(&root)
                .expect("below the workspace")
                .display()
                .to_string();
            let text = fs::read_to_string(&path).expect("a page");
            pages.push(Page { path, name, text });
        }
    }
    assert!(pages.len() > 8, "the docs were not found");
    pages
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            let inside: Vec<&str> = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| !line.trim_start().starts_with("```"))
                .collect();
            blocks.push(Block {
                line: index + 1,
                language: language.trim(),
                text: inside.join("\n"),
            });
        }
    }
    blocks
}

/// What is written as code: blocks of shell, and the words between backticks outside of blocks.
fn code(text: &str) -> Vec<String> {
    let shell = ["sh", "console"];
    let mut code: Vec<String> = blocks(text)
        .into_iter()
        .filter(|block| shell.contains(&block.language))
        .map(|block| block.text)
        .collect();
    let mut inside = false;
    let prose = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    });
    let prose: Vec<&str> = prose.collect();
    code.extend(
        prose
            .join("\n")
            .split('`')
            .skip(1)
            .step_by(2)
            .map(|code| code.replace('\n', " ")),
    );
    code
}

/// The words after `program` in each call of it that stands at the start of a command.
fn invocations(code: &str, program: &str) -> Vec<Vec<String>> {
    let commands = code
        .lines()
        .flat_map(|line| line.split("&&"))
        .map(|command| command.trim().trim_start_matches("$ "));
    commands
        .filter_map(|command| command.strip_prefix(program))
        .map(|rest| rest.split(" #").next().unwrap_or(rest))
        .map(|rest| rest.split_whitespace().map(str::to_owned).collect())
        .collect()
}

fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}
