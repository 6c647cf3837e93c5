//! `cargo xtask demo`: set-up → build → **the demo takes this process's place**.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::failure::Failure;
use crate::progress::{self, heading};
use crate::rings::cargo;
use crate::setup::{self, Purpose};

/// Sets up, builds and runs the demo; does not come back when it starts.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    setup::run(Purpose::Demo, ())?;
    heading("build: the binary and the demo");
    progress::run(
        "build",
        &mut cargo(&["build", "--workspace", "--bins", "--locked"]),
    )?;
    let this =
        std::env::current_exe().map_err(|error| Failure::cannot(format!("cannot find myself: {error}")))?;
    let demo = this.with_file_name("ravelin-demo");
    // Replaced, not started: Ctrl-C reaches the demo alone, and it cleans up before the prompt is back.
    let error = Command::new(&demo)
        .args(arguments)
        .env("PATH", setup::path_with_tools())
        .exec();
    Err(Failure::cannot(format!(
        "cannot start {}: {error}",
        demo.display()
    )))
}
