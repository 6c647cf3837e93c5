//! Builds that are not plain `cargo build`: the kernel program alone, the benchmarks.

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
    setup::run(Purpose::Demo, ())?;
    heading("benchmarks");
    let mut command = cargo(&["bench", "--package", "ravelin-benches", "--locked"]);
    match arguments {
        [] => {}
        [name] => {
            command.args(["--bench", name]);
        }
        [_, extra, ..] => {
            return Err(Failure::cannot(format!(
                "unexpected argument `{extra}`\nhelp: `cargo xtask bench --help`"
            )));
        }
    }
    progress::run("benchmarks", command.env("PATH", setup::path_with_tools()))
}
