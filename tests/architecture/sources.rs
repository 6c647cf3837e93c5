//! What every source file must look like.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{assert_none, workspace};

/// A Rust source file, by its path in the workspace.
struct Source {
    path: String,
    text: String,
}

/// Where `unsafe` may stand, each with the reason why it cannot be done without.
const UNSAFE: [(&str, &str); 17] = [
    (
        "daemon/src/network/bans/batch.rs",
        "a system call that aya does not have writes into buffers",
    ),
    (
        "daemon/src/network/bans/filter.rs",
        "stores into mapped memory that the kernel shares",
    ),
    (
        "daemon/src/runtime/activation.rs",
        "descriptors that a service manager has opened come as numbers",
    ),
    (
        "daemon/src/network/tables.rs",
        "tables are mapped memory that the kernel shares",
    ),
    (
        "daemon/src/network/hash_table.rs",
        "tables are mapped memory that the kernel shares",
    ),
    ("ebpf/xdp/src/bans.rs", "map values are shared with user space"),
    ("ebpf/xdp/src/clock.rs", "map values are changed in place"),
    (
        "ebpf/xdp/src/cookies.rs",
        "helpers take sockets and places in maps",
    ),
    (
        "ebpf/xdp/src/lines.rs",
        "arithmetic that the compiler must not see through",
    ),
    ("ebpf/xdp/src/words.rs", "map values are shared with user space"),
    ("ebpf/xdp/src/limits.rs", "map values are shared with user space"),
    (
        "ebpf/xdp/src/frame.rs",
        "packet bytes lie between two raw pointers",
    ),
    (
        "ebpf/xdp/src/bin/replay.rs",
        "packet bytes lie between two raw pointers",
    ),
    ("ebpf/xdp/src/flows.rs", "map values are changed in place"),
    ("ebpf/xdp/src/maps.rs", "map values are shared with user space"),
    (
        "ebpf/xdp/src/skb.rs",
        "packet bytes lie between two raw pointers, or come by a call",
    ),
    ("tests/architecture/sources.rs", "examples of what the rule finds"),
];

/// Crates that may never contain it, not even by an `allow`.
const FORBIDS: [&str; 5] = [
    "ebpf/build/src/lib.rs",
    "ebpf/datapath/src/lib.rs",
    "rules/src/lib.rs",
    "tests/src/lib.rs",
    "xtask/src/main.rs",
];

const LONGEST: usize = 600;

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 7] = ["common", "data", "helper", "helpers", "manager", "util", "utils"];

#[test]
fn no_file_is_longer_than_600_lines() {
    assert_none(&every(too_long));
}

#[test]
fn unsafe_code_stands_only_where_it_is_listed() {
    assert_none(&every(unlisted_unsafe));
    for (path, _) in UNSAFE {
        assert!(
            workspace().join(path).exists(),
            "`{path}` is listed and does not exist"
        );
    }
}

#[test]
fn crates_forbid_unsafe_code() {
    for path in FORBIDS {
        let text =
            fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(
            text.lines().any(|line| line == "#![forbid(unsafe_code)]"),
            "`{path}` does not forbid unsafe code"
        );
    }
}

#[test]
fn every_file_says_first_what_it_is() {
    assert_none(&every(without_header));
}

#[test]
fn no_file_has_an_empty_name() {
    assert_none(&every(empty_name));
}

#[test]
fn the_layers_of_the_daemon_know_only_what_is_below() {
    assert_none(&every(sideways));
}

#[test]
fn no_suite_is_forgotten() {
    let manifest = fs::read_to_string(workspace().join("tests/Cargo.toml")).expect("tests/Cargo.toml");
    let manifest: toml::Table = manifest.parse().expect("a manifest");
    let named: Vec<&str> = ["bin", "test"]
        .iter()
        .filter_map(|kind| manifest.get(*kind)?.as_array())
        .flatten()
        .filter_map(|target| target.get("path")?.as_str())
        .collect();
    let mut complaints = Vec::new();
    let readme = fs::read_to_string(workspace().join("tests/README.md")).expect("tests/README.md");
    for suite in manifest["test"].as_array().into_iter().flatten() {
        let name = suite["name"].as_str().expect("a name");
        if !readme.contains(&format!("| `{name}` |")) {
            complaints.push(format!(
                "tests/README.md does not say what the suite `{name}` shows"
            ));
        }
    }
    for entry in fs::read_dir(workspace().join("tests")).expect("tests").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let folder_suite = format!("{name}/main.rs");
        let is_suite = name.ends_with(".rs") || entry.path().join("main.rs").exists() && name != "src";
        if is_suite && !named.contains(&&*name) && !named.contains(&&*folder_suite) {
            complaints.push(format!(
                "`tests/{name}` has no [[test]] entry in tests/Cargo.toml: it never runs"
            ));
        }
    }
    assert_none(&complaints);
}

#[test]
fn each_rule_about_files_can_complain() {
    let source = |path: &str, text: &str| Source {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let found = |rule: Rule, path: &str, text: &str| rule(&source(path, text)).is_some();

    assert!(found(too_long, "a.rs", &"x\n".repeat(601)));
    assert!(!found(too_long, "a.rs", &"x\n".repeat(600)));

    assert!(found(
        unlisted_unsafe,
        "daemon/src/a.rs",
        "let x = unsafe { *p };"
    ));
    assert!(found(
        unlisted_unsafe,
        "daemon/src/a.rs",
        "unsafe impl Pod for X {}"
    ));
    assert!(!found(
        unlisted_unsafe,
        "daemon/src/a.rs",
        "// unsafe is not used\n#![forbid(unsafe_code)]"
    ));
    assert!(!found(unlisted_unsafe, "daemon/src/a.rs", "#[unsafe(no_mangle)]"));
    assert!(!found(unlisted_unsafe, "ebpf/xdp/src/frame.rs", "unsafe { *p }"));

    assert!(found(without_header, "a.rs", "use std::fs;"));
    assert!(!found(without_header, "a.rs", "//! Says it.\n"));

    assert!(found(empty_name, "rules/src/common/mod.rs", ""));
    assert!(found(empty_name, "rules/src/utils.rs", ""));
    assert!(!found(empty_name, "rules/src/policy/mod.rs", ""));

    assert!(found(
        sideways,
        "daemon/src/network/attach.rs",
        "use crate::transport::Listener;"
    ));
    assert!(found(
        sideways,
        "daemon/src/metrics/export.rs",
        "use crate::{\n    runtime::X };\n crate::runtime::f()"
    ));
    assert!(!found(
        sideways,
        "daemon/src/network/attach.rs",
        "use crate::metrics::Registry; // not crate::transport"
    ));
}

type Rule = fn(&Source) -> Option<String>;

fn too_long(source: &Source) -> Option<String> {
    let lines = source.text.lines().count();
    (lines > LONGEST).then(|| {
        format!(
            "`{}` has {lines} lines; {LONGEST} are the limit: split it by ideas",
            source.path
        )
    })
}

fn unlisted_unsafe(source: &Source) -> Option<String> {
    if UNSAFE.iter().any(|(path, _)| *path == source.path) {
        return None;
    }
    source.text.lines().enumerate().find_map(|(index, line)| {
        let code = code_of(line).replace("#[unsafe(", "").replace("#![unsafe(", "");
        let found = code
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|word| word == "unsafe");
        found.then(|| {
            format!(
                "`{}:{}` is unsafe code, and the file is not listed",
                source.path,
                index + 1
            )
        })
    })
}

fn without_header(source: &Source) -> Option<String> {
    let has = source.text.starts_with("//! ");
    (!has).then(|| {
        format!(
            "`{}` does not begin with a `//!` line that says what it is",
            source.path
        )
    })
}

fn empty_name(source: &Source) -> Option<String> {
    let empty = source
        .path
        .trim_end_matches(".rs")
        .split('/')
        .find(|name| EMPTY_NAMES.contains(name))?;
    Some(format!(
        "`{}`: `{empty}` does not say what is inside",
        source.path
    ))
}

fn sideways(source: &Source) -> Option<String> {
    let forbidden: &[&str] = match source
        .path
        .strip_prefix("daemon/src/")?
        .split(['/', '.'])
        .next()?
    {
        // What packets and connections are judged by does not know who starts it or asks it.
        "network" => &["transport", "runtime", "control", "cli"],
        "transport" => &["network", "runtime", "control", "cli"],
        "metrics" => &["network", "transport", "runtime", "control", "cli"],
        _ => return None,
    };
    source.text.lines().map(code_of).find_map(|line| {
        let module = forbidden
            .iter()
            .find(|module| line.contains(&format!("crate::{module}")))?;
        Some(format!("`{}` must not know `crate::{module}`", source.path))
    })
}

/// A line without its comment. Good enough: no string of ours holds ` //`.
fn code_of(line: &str) -> &str {
    let trimmed = line.trim_start();
    if trimmed.starts_with("//") {
        return "";
    }
    line.split(" //").next().unwrap_or(line)
}

fn every(rule: Rule) -> Vec<String> {
    let sources = sources();
    assert!(sources.len() > 50, "the sources were not found");
    sources.iter().filter_map(rule).collect()
}

fn sources() -> Vec<Source> {
    let root = workspace();
    let mut folders: Vec<PathBuf> = ["benches", "daemon", "ebpf", "rules", "tests", "xtask"]
        .iter()
        .map(|name| root.join(name))
        .collect();
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .flatten()
        {
            let path = entry.path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(read(&root, &path));
            }
        }
    }
    sources
}

fn read(root: &Path, path: &Path) -> Source {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let path = path.strip_prefix(root).unwrap_or(path).display().to_string();
    Source { path, text }
}
