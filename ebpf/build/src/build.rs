//! Calls the eBPF toolchain.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Missing, OBJECT_VARIABLE, find};

/// Why there is no eBPF object.
#[derive(Debug)]
pub enum BuildError {
    /// The compiler ran and refused the program; its own messages say why.
    Compile(String),
    /// The compiler could not be started.
    Start(PathBuf, io::Error),
    /// The machine lacks a part of the toolchain.
    Toolchain(Missing),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compile(messages) => write!(f, "the eBPF program does not compile:\n{messages}"),
            Self::Start(cargo, error) => write!(f, "cannot start {}: {error}", cargo.display()),
            Self::Toolchain(missing) => missing.fmt(f),
        }
    }
}

impl std::error::Error for BuildError {}

/// Builds the eBPF object and returns its path. `workspace` is the folder of the top `Cargo.toml`; build products go
/// below `target`.
///
/// # Errors
///
/// [`BuildError`] tells what is missing or what the compiler said.
pub fn build(workspace: &Path, target: &Path) -> Result<PathBuf, BuildError> {
    if let Some(object) = std::env::var_os(OBJECT_VARIABLE) {
        return Ok(PathBuf::from(object));
    }
    let toolchain = find(workspace).map_err(BuildError::Toolchain)?;
    let flags = [
        "-Cdebuginfo=2".to_owned(),
        // 32-bit arithmetic and jumps: Linux 5.1.
        "-Ctarget-cpu=v3".to_owned(),
        format!("-Clinker={}", toolchain.linker.display()),
        "-Clink-arg=--btf".to_owned(),
    ];
    let mut command = Command::new(&toolchain.cargo);
    // A build script inherits its cargo's own settings (flags, wrappers, target folder): none is meant for this compiler.
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_cargo_setting(name)) {
        command.env_remove(name);
    }
    let output = command
        .current_dir(workspace.join("ebpf/xdp"))
        .env("RUSTC", &toolchain.rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .args([
            "build",
            "--release",
            "--locked",
            "-Zbuild-std=core",
            "--target",
            "bpfel-unknown-none",
            "--target-dir",
        ])
        .arg(target)
        .output()
        .map_err(|error| BuildError::Start(toolchain.cargo.clone(), error))?;
    if !output.status.success() {
        return Err(BuildError::Compile(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ));
    }
    Ok(target.join("bpfel-unknown-none/release/ravelin-xdp"))
}

fn is_cargo_setting(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let kept = ["CARGO_HOME", "CARGO_HTTP_CAINFO", "CARGO_NET_GIT_FETCH_WITH_CLI"];
    (name.starts_with("CARGO") || name.starts_with("RUST") && name != "RUSTUP_HOME")
        && !kept.contains(&&*name)
}
