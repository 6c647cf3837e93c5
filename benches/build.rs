//! Builds the programs that benchmarks run around the one under test. They come out of the same build as the daemon's
//! object, which is finished by then.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let (Some(manifest), Some(out)) = (env::var_os("CARGO_MANIFEST_DIR"), env::var_os("OUT_DIR")) else {
        return ExitCode::FAILURE;
    };
    let (manifest, out) = (PathBuf::from(manifest), PathBuf::from(out));
    let workspace = manifest.parent().unwrap_or_else(|| Path::new("."));
    for input in ["ebpf/xdp/src", "ebpf/xdp/Cargo.toml", "ebpf/xdp/Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    // `target/<profile>/build/<package>/out`: one eBPF build serves all profiles.
    let target = out.ancestors().nth(4).unwrap_or(&out).join("ebpf");
    match ravelin_ebpf_build::build(workspace, &target) {
        Ok(object) => {
            let replay = object.with_file_name("ravelin-replay");
            println!("cargo::rustc-env=RAVELIN_REPLAY_OBJECT_PATH={}", replay.display());
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
