//! The toolchain for the eBPF program: a compiler with its library source, and a linker for the same LLVM.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use ravelin_ebpf_build::{CARGO_VARIABLE, Missing, OBJECT_VARIABLE, Source, Toolchain, find};

use super::packages::{Wanted, install_packages};
use super::{Lack, relative, tools};
use crate::failure::Failure;
use crate::{machine, progress, workspace};

/// Installs the parts of the toolchain that are not there.
pub(crate) fn install() -> Result<(), Failure> {
    if env::var_os(OBJECT_VARIABLE).is_some() {
        return Ok(());
    }
    if find(&workspace()).is_err_and(|missing| missing.compiler) {
        install_packages(&COMPILER.map(|(package, reason)| wanted(package, reason)))?;
    }
    if let Some(llvm) = linker_to_build()? {
        install_linker(llvm)?;
    }
    let toolchain = find(&workspace()).map_err(cannot_find)?;
    say(&toolchain);
    Ok(())
}

/// What is missing, only told.
pub(crate) fn lacks() -> Vec<Lack> {
    if env::var_os(OBJECT_VARIABLE).is_some() {
        return Vec::new();
    }
    match find(&workspace()) {
        Ok(_) => Vec::new(),
        Err(missing) => vec![Lack {
            what: "the toolchain for the eBPF program".to_owned(),
            remedy: missing.to_string(),
        }],
    }
}

/// The LLVM version to build a linker for; none when a good one is there.
fn linker_to_build() -> Result<Option<u32>, Failure> {
    match find(&workspace()) {
        Ok(toolchain) => Ok(stale_linker(&toolchain)),
        Err(Missing {
            compiler: false,
            linker: Some(Some(llvm)),
        }) => Ok(Some(llvm)),
        Err(missing) => Err(cannot_find(missing)),
    }
}

/// The LLVM version the linker must be rebuilt for: it reads what the compiler writes, so it must not be older.
fn stale_linker(toolchain: &Toolchain) -> Option<u32> {
    let compiler = toolchain.llvm_major()?;
    let linker = machine::linked_llvm(&toolchain.linker)?;
    (linker < compiler).then(|| {
        println!(
            "    {} is built for LLVM {linker}, the compiler has LLVM {compiler}: another one is needed",
            toolchain.linker.display()
        );
        compiler
    })
}

fn install_linker(llvm: u32) -> Result<(), Failure> {
    if !LINKER_KNOWS.contains(&llvm) {
        return Err(Failure::cannot(format!(
            "the compiler for the eBPF target has LLVM {llvm}; bpf-linker {LINKER} knows {LINKER_KNOWS:?}\n\
             help: set ${CARGO_VARIABLE} to the cargo of another toolchain with its library source"
        )));
    }
    let packages: Vec<Wanted> = [
        (format!("llvm-{llvm}-dev"), "LLVM, which bpf-linker is built on"),
        (format!("libpolly-{llvm}-dev"), "a library LLVM is linked with"),
        ("libzstd-dev".to_owned(), "a library LLVM is linked with"),
        ("pkg-config".to_owned(), "to find these libraries"),
    ]
    .into_iter()
    .filter(|(package, _)| !machine::has_package(package))
    .map(|(package, reason)| wanted(&package, reason))
    .collect();
    install_packages(&packages)?;

    let (root, target) = (tools(), tools().join("build"));
    println!(
        "    will build bpf-linker {LINKER} for LLVM {llvm} into {} (about a minute)",
        relative(&root)
    );
    let path = env::var_os("PATH").unwrap_or_default();
    let llvm_first = [PathBuf::from(format!("/usr/lib/llvm-{llvm}/bin"))]
        .into_iter()
        .chain(env::split_paths(&path));
    let path = env::join_paths(llvm_first).map_err(|error| Failure::cannot(error.to_string()))?;
    progress::run(
        "bpf-linker",
        Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args([
                "install",
                "bpf-linker",
                "--locked",
                "--force",
                "--version",
                LINKER,
                "--no-default-features",
            ])
            .args(["--features", &format!("llvm-{llvm}")])
            .arg("--root")
            .arg(&root)
            .arg("--target-dir")
            .arg(&target)
            .env("PATH", path),
    )?;
    // Some hundred megabytes that nothing reads again.
    fs::remove_dir_all(&target).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(Failure::cannot(format!(
            "cannot remove {}: {error}",
            target.display()
        ))),
    })
}

fn cannot_find(missing: Missing) -> Failure {
    Failure::cannot(missing.to_string())
}

fn say(toolchain: &Toolchain) {
    let source = match toolchain.source {
        Source::Environment => CARGO_VARIABLE,
        Source::Rustup => "rustup nightly",
        Source::Debian => "Debian",
    };
    println!(
        "    eBPF toolchain: {source} ({}), linker {}",
        toolchain.rustc.display(),
        relative(&toolchain.linker)
    );
}

fn wanted(package: &str, reason: &str) -> Wanted {
    Wanted {
        package: package.to_owned(),
        reason: reason.to_owned(),
    }
}

const COMPILER: [(&str, &str); 3] = [
    (
        "rustc-web",
        "a Rust compiler that comes with its library source: `core` is built for the bpf target",
    ),
    ("cargo-web", "its cargo"),
    ("rust-web-src", "the source of `core`"),
];

const LINKER: &str = "0.13.0";

/// The LLVM versions that release can be built for.
const LINKER_KNOWS: [u32; 3] = [21, 22, 23];
