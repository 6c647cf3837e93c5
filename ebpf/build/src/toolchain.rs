//! Which compiler and linker can build for the eBPF target on this machine.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{CARGO_VARIABLE, TOOLS_FOLDER};

/// A complete toolchain for the eBPF target.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// Where it was found.
    pub source: Source,
    /// The `cargo` to call.
    pub cargo: PathBuf,
    /// The `rustc` it calls.
    pub rustc: PathBuf,
    /// The BPF linker.
    pub linker: PathBuf,
}

/// Where a toolchain came from, in the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The environment variable [`CARGO_VARIABLE`].
    Environment,
    /// A rustup nightly with `rust-src`.
    Rustup,
    /// Debian's `rustc-web`, `cargo-web` and `rust-web-src`.
    Debian,
}

/// What a machine lacks to build the eBPF program.
#[derive(Clone, Debug, Default)]
pub struct Missing {
    /// No compiler with its library source was found.
    pub compiler: bool,
    /// No `bpf-linker` was found; holds the LLVM major version it must be built for, when a compiler was found.
    pub linker: Option<Option<u32>>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.compiler {
            writeln!(f, "no compiler for the eBPF target: none of these was found:")?;
            writeln!(
                f,
                "  1. ${CARGO_VARIABLE}: a cargo whose rustc has its library source"
            )?;
            writeln!(
                f,
                "  2. rustup: `rustup toolchain install nightly --component rust-src`"
            )?;
            writeln!(
                f,
                "  3. Debian: `apt-get install rustc-web cargo-web rust-web-src`"
            )?;
        }
        if let Some(llvm) = self.linker {
            let major = llvm.map_or_else(
                || "the compiler's LLVM".to_owned(),
                |major| format!("LLVM {major}"),
            );
            writeln!(
                f,
                "no `bpf-linker` in PATH or {TOOLS_FOLDER}/bin; it must be built for {major}"
            )?;
        }
        write!(f, "`cargo xtask setup` installs them on Debian")
    }
}

impl std::error::Error for Missing {}

impl Toolchain {
    /// The LLVM major version of the compiler; the linker must be built for the same.
    #[must_use]
    pub fn llvm_major(&self) -> Option<u32> {
        llvm_major(&self.rustc)
    }
}

/// Finds a toolchain: the environment variable, then a rustup nightly with `rust-src`, then Debian's packages.
///
/// `workspace` is the folder of the top `Cargo.toml`; tools built by the project are looked for below it first.
///
/// # Errors
///
/// [`Missing`] names every part that was not found.
pub fn find(workspace: &Path) -> Result<Toolchain, Missing> {
    let compiler = from_environment().or_else(from_rustup).or_else(from_debian);
    let linker = find_linker(workspace);
    match (compiler, linker) {
        (Some((source, cargo, rustc)), Some(linker)) => Ok(Toolchain {
            source,
            cargo,
            rustc,
            linker,
        }),
        (None, linker) => Err(Missing {
            compiler: true,
            linker: linker.is_none().then_some(None),
        }),
        (Some((_, _, rustc)), None) => Err(Missing {
            compiler: false,
            linker: Some(llvm_major(&rustc)),
        }),
    }
}

fn from_environment() -> Option<(Source, PathBuf, PathBuf)> {
    let cargo = PathBuf::from(env::var_os(CARGO_VARIABLE)?);
    let rustc = cargo.with_file_name("rustc");
    has_library_source(&rustc).then_some((Source::Environment, cargo, rustc))
}

fn from_rustup() -> Option<(Source, PathBuf, PathBuf)> {
    let cargo = output(Command::new("rustup").args(["which", "--toolchain", "nightly", "cargo"]))?;
    let rustc = output(Command::new("rustup").args(["which", "--toolchain", "nightly", "rustc"]))?;
    let (cargo, rustc) = (PathBuf::from(cargo), PathBuf::from(rustc));
    has_library_source(&rustc).then_some((Source::Rustup, cargo, rustc))
}

fn from_debian() -> Option<(Source, PathBuf, PathBuf)> {
    let (cargo, rustc) = (PathBuf::from("/usr/bin/cargo"), PathBuf::from("/usr/bin/rustc"));
    (cargo.exists() && has_library_source(&rustc)).then_some((Source::Debian, cargo, rustc))
}

fn has_library_source(rustc: &Path) -> bool {
    output(Command::new(rustc).args(["--print", "sysroot"])).is_some_and(|sysroot| {
        Path::new(&sysroot)
            .join("lib/rustlib/src/rust/library/core/Cargo.toml")
            .exists()
    })
}

fn find_linker(workspace: &Path) -> Option<PathBuf> {
    let own = workspace.join(TOOLS_FOLDER).join("bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    std::iter::once(own)
        .chain(env::split_paths(&path))
        .chain(home.map(|home| home.join("bin")))
        .map(|folder| folder.join("bpf-linker"))
        .find(|linker| linker.exists())
}

fn llvm_major(rustc: &Path) -> Option<u32> {
    let version = output(Command::new(rustc).arg("-vV"))?;
    let line = version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))?;
    line.split('.').next()?.parse().ok()
}

fn output(command: &mut Command) -> Option<String> {
    // Inside a build script, cargo sets these for its own compiler; they would mislead another one.
    let command = command
        .env_remove("RUSTC")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO");
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
