//! Finds a toolchain for the eBPF target and builds Ravelin's kernel programs with it.
//!
//! `bpfel-unknown-none` has no prebuilt `core`, so the compiler's own library source is needed, and a linker that speaks
//! BPF. Used by the daemon's build script (embeds the object) and by `xtask` (installs what is missing). Standard library
//! only: it runs before anything else is built.

#![forbid(unsafe_code)]

mod build;
mod toolchain;

pub use build::{BuildError, build};
pub use toolchain::{Missing, Source, Toolchain, find};

/// Names a cargo to build the eBPF program with; its `rustc` must be beside it and have the library source.
pub const CARGO_VARIABLE: &str = "RAVELIN_EBPF_CARGO";

/// Names a finished object: nothing is built.
pub const OBJECT_VARIABLE: &str = "RAVELIN_EBPF_OBJECT";

/// Names the folder where `cargo xtask setup` keeps tools it built, below the workspace.
pub const TOOLS_FOLDER: &str = "target/tools";
