//! The test rings: what runs, in which order, with which rights. `docs/testing.md` says what each proves.

use std::env;
use std::fs;
use std::process::Command;

use crate::failure::Failure;
use crate::fuzz::{self, Target};
use crate::workspace;

/// A group of checks with the same needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ring {
    /// Formatting, clippy, rustdoc, the architecture.
    Lint,
    /// Tests beside the code, golden files and doc examples.
    Unit,
    /// Suites of the `tests` package that need no rights.
    Laws,
    /// Damaged input against everything that reads bytes from outside.
    Fuzz,
    /// Suites that load programs and run them by BPF_PROG_TEST_RUN.
    Kernel,
    /// Suites with namespaces, sockets and the real binary.
    System,
}

/// One command of a ring.
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) command: Command,
    /// Whether the output holds `test result:` lines to add up.
    pub(crate) is_test: bool,
}

impl Ring {
    pub(crate) const ALL: [Self; 6] = [
        Self::Lint,
        Self::Unit,
        Self::Laws,
        Self::Fuzz,
        Self::Kernel,
        Self::System,
    ];

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ring| ring.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lint => "lint",
            Self::Unit => "unit",
            Self::Laws => "laws",
            Self::Fuzz => "fuzz",
            Self::Kernel => "kernel",
            Self::System => "system",
        }
    }

    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Lint => "rustfmt, clippy and rustdoc without a warning, the architecture",
            Self::Unit => "tests beside the code, golden diagnostics and plans, doc examples",
            Self::Laws => "documentation, units, packet tables and oracle = datapath, in user space",
            Self::Fuzz => {
                "a minute of damaged policies, set files, captures, imports, ClientHellos and PROXY headers each, under libFuzzer"
            }
            Self::Kernel => "the same tables and laws through the loaded program (root)",
            Self::System => {
                "real sockets, real links, the real binary: traffic, reload, crash, TLS, limits (root)"
            }
        }
    }

    /// Whether its suites need root to show anything.
    pub(crate) fn needs_root(self) -> bool {
        matches!(self, Self::Kernel | Self::System)
    }

    /// Its commands, in order.
    pub(crate) fn steps(self) -> Result<Vec<Step>, Failure> {
        Ok(match self {
            Self::Lint => lint(&suites()?),
            Self::Unit => unit()?,
            Self::Fuzz => fuzz(),
            Self::Laws | Self::Kernel | Self::System => suites_of(self, &suites()?),
        })
    }
}

fn lint(suites: &[String]) -> Vec<Step> {
    let mut rustdoc = cargo(&[
        "doc",
        "--workspace",
        "--no-deps",
        "--locked",
        "--document-private-items",
    ]);
    // Private items have pages too, so that links to them lead somewhere.
    rustdoc.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links");
    let mut steps = vec![
        check("rustfmt", cargo(&["fmt", "--all", "--check"])),
        check(
            "rustfmt, kernel program",
            cargo(&["fmt", "--manifest-path", "ebpf/xdp/Cargo.toml", "--check"]),
        ),
        check(
            "clippy",
            cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--",
                "-D",
                "warnings",
            ]),
        ),
        check("rustdoc", rustdoc),
    ];
    steps.extend(suites_of(Ring::Lint, suites));
    steps
}

fn unit() -> Result<Vec<Step>, Failure> {
    let mut steps = vec![tested(
        "beside the code",
        test(&["--lib", "--bins", "--no-fail-fast"]),
    )];
    for name in golden_suites()? {
        steps.push(tested(&name, test(&["--test", &name])));
    }
    steps.push(tested("doc examples", test(&["--doc"])));
    Ok(steps)
}

fn fuzz() -> Vec<Step> {
    // The build tells of itself in the first.
    let step = |target: &Target| {
        check(
            target.name,
            cargo(&[
                "run",
                "--quiet",
                "--package",
                "xtask",
                "--locked",
                "--",
                "fuzz",
                target.name,
            ]),
        )
    };
    fuzz::TARGETS.iter().map(step).collect()
}

fn suites_of(ring: Ring, suites: &[String]) -> Vec<Step> {
    let mut steps = Vec::new();
    for name in suites.iter().filter(|name| ring_of(name) == ring) {
        let mut command = test(&["--test", name]);
        if ring.needs_root() {
            // They share one kernel: its links, its pins, its two cores.
            command.args(["--", "--test-threads=1"]);
        }
        steps.push(tested(name, command));
    }
    steps
}

/// A suite that is not listed is taken to need everything.
fn ring_of(suite: &str) -> Ring {
    match suite {
        "architecture" => Ring::Lint,
        "bans_law" | "buckets" | "check" | "cookies" | "diff" | "differential" | "docs" | "edits"
        | "explain" | "guide" | "hash_table" | "import" | "lint" | "packets" | "replay" | "robustness"
        | "sequences" | "units" | "worst" => Ring::Laws,
        "bans_kernel" | "buckets_kernel" | "classbench" | "evasion" | "flows" | "kernel" => Ring::Kernel,
        _ => Ring::System,
    }
}

/// Every suite of every package.
pub(crate) fn all_suites() -> Result<Vec<String>, Failure> {
    let mut all = golden_suites()?;
    all.extend(suites()?);
    Ok(all)
}

/// The suites of the `tests` package, as its manifest names them.
fn suites() -> Result<Vec<String>, Failure> {
    let path = workspace().join("tests/Cargo.toml");
    let manifest = fs::read_to_string(&path)
        .map_err(|error| Failure::cannot(format!("cannot read {}: {error}", path.display())))?;
    Ok(suite_names(&manifest))
}

fn suite_names(manifest: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut in_test = false;
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            in_test = line == "[[test]]";
        } else if let Some((key, value)) = line.split_once('=')
            && in_test
            && key.trim() == "name"
        {
            names.push(value.trim().trim_matches('"').to_owned());
        }
    }
    names
}

/// The suites that stand in a crate's own `tests` folder, where cargo finds them without being told.
fn golden_suites() -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for package in [
        "benches",
        "daemon",
        "ebpf/build",
        "ebpf/datapath",
        "rules",
        "xtask",
    ] {
        let Ok(entries) = fs::read_dir(workspace().join(package).join("tests")) else {
            continue;
        };
        for entry in entries {
            let path = entry
                .map_err(|error| Failure::cannot(format!("cannot read {package}/tests: {error}")))?
                .path();
            if path.extension().is_some_and(|extension| extension == "rs")
                && let Some(name) = path.file_stem()
            {
                names.push(name.to_string_lossy().into_owned());
            }
        }
    }
    names.sort();
    Ok(names)
}

/// Always on the whole workspace, also for one suite: features are then the same everywhere, and nothing is built twice.
pub(crate) fn test(what: &[&str]) -> Command {
    let mut command = cargo(&["test", "--workspace", "--locked"]);
    command.args(what);
    command
}

/// The cargo that started this command, in the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(workspace());
    command
}

fn check(name: &str, command: Command) -> Step {
    Step {
        name: name.to_owned(),
        command,
        is_test: false,
    }
}

fn tested(name: &str, command: Command) -> Step {
    Step {
        name: name.to_owned(),
        command,
        is_test: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_read_from_the_manifest() {
        let manifest = "[package]\nname = \"x\"\n[[test]]\nname = \"tls\"\npath = \"tls.rs\"\n\n[[bin]]\nname = \"demo\"\n[[test]]\nname=\"kernel\"\n";
        assert_eq!(suite_names(manifest), ["tls", "kernel"]);
    }

    #[test]
    fn a_suite_nobody_listed_runs_with_the_most_rights() {
        assert_eq!(ring_of("packets"), Ring::Laws);
        assert_eq!(ring_of("kernel"), Ring::Kernel);
        assert_eq!(ring_of("something-new"), Ring::System);
    }

    #[test]
    fn every_ring_is_found_by_its_name() {
        for ring in Ring::ALL {
            assert_eq!(Ring::parse(ring.name()), Some(ring));
        }
        assert_eq!(Ring::parse("all"), None);
    }
}
