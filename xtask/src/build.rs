//! Builds that are not plain `cargo build`: the kernel program alone, the benchmarks.

use std::env;
use std::fs;

use crate::failure::Failure;
use crate::progress::{self, heading};
use crate::rings::cargo;
use crate::setup::{self, Purpose};
use crate::workspace;

/// `cargo xtask build-ebpf`.
pub(crate) fn ebpf(_arguments: ()) -> Result<(), Failure> {
    setup::run(Purpose::Build, ())?;
    heading("build: the kernel program");
    let object = ravelin_ebpf_build::build(&workspace(), &workspace().join("target/ebpf"))
        .map_err(|error| Failure::no(error.to_string()))?;
    let size = fs::metadata(&object)
        .map_err(|error| Failure::cannot(format!("{}: {error}", object.display())))?
        .len();
    println!("    {} ({size} bytes)", object.display());
    Ok(())
}

/// `cargo xtask bench`.
pub(crate) fn bench(arguments: &[String]) -> Result<(), Failure> {
    setup::run(Purpose::Bench, ())?;
    heading("benchmarks");
    let mut command = cargo(&["bench", "--package", "ravelin-benches", "--locked"]);
    let mut words = arguments.iter().filter(|word| *word != "--");
    let mut name = None;
    while let Some(word) = words.next() {
        match (word.as_str(), name) {
            ("--keep", _) => {
                let folder = words.next().ok_or_else(|| cannot("`--keep` names no folder"))?;
                let here = env::current_dir().map_err(|error| Failure::cannot(error.to_string()))?;
                // A bench runs in the folder of its package.
                command.env("RAVELIN_BENCH_KEEP", here.join(folder));
            }
            (word, None) if !word.starts_with('-') => name = Some(word),
            (extra, _) => return Err(cannot(&format!("unexpected argument `{extra}`"))),
        }
    }
    if let Some(name) = name {
        command.args(["--bench", name]);
    }
    if name.is_none_or(|name| WITH_DAEMON.contains(&name)) {
        let mut build = cargo(&["build", "--release", "--package", "ravelin-daemon", "--locked"]);
        progress::run("the daemon", build.env("PATH", setup::path_with_tools()))?;
    }
    progress::run("benchmarks", command.env("PATH", setup::path_with_tools()))
}

/// Benches that run a daemon: cargo builds binaries of other packages for none.
const WITH_DAEMON: [&str; 5] = ["bans", "flood", "instructions", "slow", "tls"];

fn cannot(what: &str) -> Failure {
    Failure::cannot(format!("{what}\nhelp: `cargo xtask bench --help`"))
}
