//! The policy guide as a reader has it: each page's files in a folder of its own.
//!
//! A block ` ```toml file=NAME ` or ` ```text file=NAME ` of docs/guide is a file.

use std::fs;
use std::path::{Path, PathBuf};

use ravelin_rules::{Policy, load};

/// Every policy of the guide, by the name of its file, in the order of the pages.
///
/// # Panics
/// When a page cannot be read, or a policy of it does not load.
#[must_use]
pub fn policies() -> Vec<(String, Policy)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide");
    let pages = fs::read_dir(folder).expect("the guide");
    let mut pages: Vec<PathBuf> = pages.map(|entry| entry.expect("an entry").path()).collect();
    pages.sort();
    pages.iter().flat_map(|page| policies_of(page)).collect()
}

fn policies_of(page: &Path) -> Vec<(String, Policy)> {
    let text = fs::read_to_string(page).expect("a page");
    let folder = tempfile::tempdir().expect("a folder");
    let mut names = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else {
            continue;
        };
        let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if let Some((_, name)) = info.split_once(" file=") {
            fs::write(folder.path().join(name), inside.join("\n") + "\n").expect("a file");
            names.extend(name.ends_with(".toml").then(|| name.to_owned()));
        }
    }
    let policy = |name: String| match load(&folder.path().join(&name)) {
        Ok(loaded) => (name, loaded.policy),
        Err(report) => panic!("{name}: {}", report.render()),
    };
    names.into_iter().map(policy).collect()
}
