//! The fuzz targets of `tests/fuzz`: built with the counters libFuzzer reads, run for a bounded time each.
//!
//! The stable compiler is enough: libFuzzer needs coverage counters, and Ravelin's readers have no unsafe code for a
//! sanitizer to watch. Panics, overflows, hangs and memory out of proportion to the input are what is looked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::failure::Failure;
use crate::progress::{heading, human, run, shown};
use crate::rings::cargo;
use crate::workspace;

/// What reads bytes from outside.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// Folders and files of the repository with inputs to start from.
    seeds: &'static [&'static str],
    /// The longest input tried, in bytes.
    longest: u32,
}

/// Every target, one binary of `tests/fuzz` each.
pub(crate) const TARGETS: [Target; 6] = [
    Target {
        name: "policy",
        seeds: &[
            "rules/tests/policies/bad",
            "rules/tests/policies/doubtful",
            "rules/tests/policies/good",
            "rules/tests/lints",
        ],
        longest: 8 << 10,
    },
    Target {
        name: "set_file",
        seeds: &["tests/fuzz/seeds/set_file"],
        longest: 32 << 10,
    },
    Target {
        name: "capture",
        seeds: &["tests/fuzz/seeds/capture"],
        longest: 8 << 10,
    },
    Target {
        name: "import",
        seeds: &[
            "rules/tests/imports/anypoint-vpc",
            "rules/tests/imports/aws-network-acl",
            "rules/tests/imports/aws-security-group",
            "rules/tests/imports/iptables",
            "rules/tests/imports/nftables",
        ],
        longest: 16 << 10,
    },
    Target {
        name: "client_hello",
        seeds: &["tests/fuzz/seeds/client_hello"],
        longest: 96 << 10,
    },
    Target {
        name: "proxy_header",
        seeds: &["tests/fuzz/seeds/proxy_header"],
        longest: 5 << 10,
    },
];

/// `cargo xtask fuzz`.
pub(crate) fn command(arguments: &[String]) -> Result<(), Failure> {
    let mut seconds = SECONDS;
    let mut chosen = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--seconds" {
            let text = arguments.next().map_or("", String::as_str);
            seconds = text.parse().ok().filter(|seconds| *seconds > 0).ok_or_else(|| {
                Failure::cannot(format!(
                    "`{text}` is no number of seconds\nhelp: `--seconds {SECONDS}`"
                ))
            })?;
        } else {
            chosen.push(find(argument)?);
        }
    }
    if chosen.is_empty() {
        chosen.extend(&TARGETS);
    }
    heading("build: the fuzz targets");
    build()?;
    for target in chosen {
        heading(&format!("fuzz: {}", target.name));
        fuzz(target, seconds)?;
    }
    Ok(())
}

fn find(name: &str) -> Result<&'static Target, Failure> {
    TARGETS.iter().find(|target| target.name == name).ok_or_else(|| {
        let known: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        Failure::cannot(format!(
            "unknown fuzz target `{name}`\nhelp: {} are known",
            known.join(", ")
        ))
    })
}

fn build() -> Result<(), Failure> {
    let mut command = cargo(&["build", "--release", "--locked", "--quiet", "--bins"]);
    command
        .args(["--manifest-path", "tests/fuzz/Cargo.toml"])
        // Named, so that build scripts and macros are built without the counters.
        .args(["--target", HOST])
        .arg("--target-dir")
        .arg(folder())
        .env("RUSTFLAGS", COVERAGE.join(" "));
    run("fuzz targets", &mut command)
}

fn fuzz(target: &Target, seconds: u32) -> Result<(), Failure> {
    let cannot = |what: &Path, error: std::io::Error| {
        Failure::cannot(format!("cannot make {}: {error}", what.display()))
    };
    // What was found earlier is kept and tried first.
    let corpus = folder().join("corpus").join(target.name);
    fs::create_dir_all(&corpus).map_err(|error| cannot(&corpus, error))?;
    let log = folder().join(format!("{}.log", target.name));
    let output = fs::File::create(&log).map_err(|error| cannot(&log, error))?;
    let found = folder().join(format!("{}-", target.name));
    let mut command = Command::new(folder().join(HOST).join("release").join(target.name));
    command.arg(&corpus);
    command.args(target.seeds.iter().map(|seed| workspace().join(seed)));
    command.args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={}", target.longest),
        format!("-timeout={SECONDS_PER_INPUT}"),
        format!("-rss_limit_mb={MEBIBYTES}"),
        format!("-artifact_prefix={}", found.display()),
        "-print_final_stats=1".to_owned(),
        "-verbosity=1".to_owned(),
    ]);
    println!("    $ {}", shown(&command));
    let started = Instant::now();
    let status = command
        .current_dir(workspace())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output)
        .status()
        .map_err(|error| Failure::cannot(format!("cannot start `{}`: {error}", shown(&command))))?;
    let told = fs::read(&log).unwrap_or_default();
    let told = String::from_utf8_lossy(&told);
    if !status.success() {
        let lines: Vec<&str> = told.lines().collect();
        let last = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default();
        return Err(Failure::no(format!(
            "{}\n\nfuzz target {} failed ({status}); the input is in {}*, the log in {}",
            last.join("\n"),
            target.name,
            found.display(),
            log.display()
        )));
    }
    let runs = statistic(&told, "stat::number_of_executed_units:").unwrap_or(0);
    if runs == 0 {
        return Err(Failure::no(format!("fuzz target {} ran nothing", target.name)));
    }
    println!(
        "    {}: {runs} inputs in {}, 0 crashes, at most {} MiB resident, {} inputs kept",
        target.name,
        human(started.elapsed()),
        statistic(&told, "stat::peak_rss_mb:").unwrap_or(0),
        fs::read_dir(&corpus).map_or(0, Iterator::count),
    );
    Ok(())
}

fn statistic(log: &str, name: &str) -> Option<u64> {
    log.lines()
        .find_map(|line| line.strip_prefix(name))?
        .trim()
        .parse()
        .ok()
}

fn folder() -> PathBuf {
    workspace().join("target/fuzz")
}

/// As `cargo fuzz` builds without a sanitizer: counters a branch, the table of blocks, the operands of comparisons.
const COVERAGE: [&str; 6] = [
    "--cfg fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

#[cfg(target_arch = "x86_64")]
const HOST: &str = "x86_64-unknown-linux-gnu";
#[cfg(target_arch = "aarch64")]
const HOST: &str = "aarch64-unknown-linux-gnu";

/// A target's time in CI.
const SECONDS: u32 = 60;

/// An input of some kilobytes that takes this long would hang a reload.
const SECONDS_PER_INPUT: u32 = 10;

/// Far above what the targets allow an input; the corpus itself is held in memory.
const MEBIBYTES: u32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_read_from_the_log() {
        let log = "Done 5 runs\nstat::number_of_executed_units: 5\nstat::peak_rss_mb:              81\n";
        assert_eq!(statistic(log, "stat::number_of_executed_units:"), Some(5));
        assert_eq!(statistic(log, "stat::peak_rss_mb:"), Some(81));
        assert_eq!(statistic("", "stat::peak_rss_mb:"), None);
    }

    #[test]
    fn every_target_is_a_program_with_seeds() {
        for target in &TARGETS {
            let program = format!("tests/fuzz/src/bin/{}.rs", target.name);
            assert!(workspace().join(&program).is_file(), "{program}");
            for seed in target.seeds {
                let inputs = fs::read_dir(workspace().join(seed)).unwrap().count();
                assert!(inputs > 0, "{seed} is empty");
            }
            assert_eq!(find(target.name).ok().unwrap().name, target.name);
        }
        let programs = fs::read_dir(workspace().join("tests/fuzz/src/bin"))
            .unwrap()
            .count();
        assert_eq!(programs, TARGETS.len());
        assert!(command(&["moon".to_owned()]).is_err() && command(&["--seconds".to_owned()]).is_err());
    }
}
