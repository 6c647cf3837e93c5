//! The house rules that no compiler checks: who may know whom, what may be linked, where `unsafe` may stand.
//!
//! Reads the workspace as text and as cargo sees it. Each rule is a function from what was read to a list of complaints,
//! so that it can be shown to complain: a rule that cannot fail is a wish.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod abi;
mod edges;
mod linked;
mod metadata;
mod sources;
mod vocabulary;

use std::path::{Path, PathBuf};

/// The folder of the top `Cargo.toml`.
fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("the tests package is in the workspace")
        .to_owned()
}

/// Fails with one complaint a line, if there are any.
#[track_caller]
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
