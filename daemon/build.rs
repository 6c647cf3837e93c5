//! Builds the eBPF object and puts it where `include_bytes!` finds it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let (Some(manifest), Some(out)) = (env::var_os("CARGO_MANIFEST_DIR"), env::var_os("OUT_DIR")) else {
        return ExitCode::FAILURE;
    };
    let (manifest, out) = (PathBuf::from(manifest), PathBuf::from(out));
    let workspace = manifest.parent().unwrap_or_else(|| Path::new("."));
    for input in [
        "ebpf/xdp/src",
        "ebpf/xdp/Cargo.toml",
        "ebpf/xdp/Cargo.lock",
        "ebpf/datapath/src",
    ] {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    println!(
        "cargo::rerun-if-env-changed={}",
        ravelin_ebpf_build::CARGO_VARIABLE
    );
    println!(
        "cargo::rerun-if-env-changed={}",
        ravelin_ebpf_build::OBJECT_VARIABLE
    );
    match ravelin_ebpf_build::build(workspace, &target_folder(&out).join("ebpf")) {
        Ok(object) => {
            println!("cargo::rustc-env=RAVELIN_EBPF_OBJECT_PATH={}", object.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            for line in error.to_string().lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

/// The target folder, from `target/<profile>/build/<package>/out`: one eBPF build serves all profiles.
fn target_folder(out: &Path) -> &Path {
    out.ancestors().nth(4).unwrap_or(out)
}
