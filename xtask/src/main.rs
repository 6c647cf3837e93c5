//! The development commands of Ravelin: `cargo xtask COMMAND`.
//!
//! Arguments → **command** → exit code. `setup` brings the machine to where everything else works; `demo` and `test` call
//! it themselves. Standard library only: this is the first thing a stranger compiles.

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these commands talk to the person who typed them"
)]

mod build;
mod demo;
mod docs;
mod failure;
mod fuzz;
mod help;
mod machine;
mod progress;
mod rings;
mod setup;
mod tally;
mod test;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::failure::Failure;
use crate::setup::Purpose;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let text = failure.to_string();
            if !text.is_empty() {
                eprintln!("\n{text}");
            }
            failure.exit_code()
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Failure> {
    let Some((command, rest)) = arguments.split_first() else {
        println!("{}", help::OVERVIEW);
        return Ok(());
    };
    if rest
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
    {
        println!("{}", help::of(command)?);
        return Ok(());
    }
    match command.as_str() {
        "--help" | "-h" | "help" => println!("{}", help::OVERVIEW),
        "setup" => setup::run(Purpose::Everything, expect_none(rest)?)?,
        "demo" => demo::run(rest)?,
        "test" => test::run(&test::Request::parse(rest)?)?,
        "lint" => test::run(&test::Request::lint(expect_none(rest)?))?,
        "build-ebpf" => build::ebpf(expect_none(rest)?)?,
        "bench" => build::bench(rest)?,
        "fuzz" => fuzz::command(rest)?,
        "gen-docs" => docs::generate(expect_none(rest)?)?,
        other => return Err(help::unknown(other)),
    }
    Ok(())
}

fn expect_none(rest: &[String]) -> Result<(), Failure> {
    match rest.first() {
        None => Ok(()),
        Some(extra) => Err(Failure::cannot(format!(
            "unexpected argument `{extra}`\nhelp: `cargo xtask --help`"
        ))),
    }
}

/// The folder of the top `Cargo.toml`.
fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
