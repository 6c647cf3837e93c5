//! `cargo xtask gen-docs`: pages and pictures of `docs/` that are made by the code they describe. A test fails while one is stale.

use std::fs;

use crate::failure::Failure;
use crate::progress::{heading, output_of};
use crate::rings::cargo;
use crate::workspace;

/// Writes the generated pages.
pub(crate) fn generate((): ()) -> Result<(), Failure> {
    heading("generated pages and pictures");
    let page = "docs/policy-reference.md";
    let mut command = cargo(&[
        "run",
        "--quiet",
        "--package",
        "ravelin-rules",
        "--example",
        "policy-reference",
    ]);
    let text = output_of(&mut command).ok_or_else(|| Failure::no("the example `policy-reference` failed"))?;
    fs::write(workspace().join(page), text + "\n")
        .map_err(|error| Failure::cannot(format!("cannot write {page}: {error}")))?;
    println!("    {page}");
    pictures()
}

fn pictures() -> Result<(), Failure> {
    let folder = "docs/pictures";
    let mut command = cargo(&[
        "run",
        "--quiet",
        "--package",
        "ravelin-rules",
        "--example",
        "classifier-pictures",
        "--",
        folder,
    ]);
    output_of(&mut command).ok_or_else(|| Failure::no("the example `classifier-pictures` failed"))?;
    println!("    {folder}");
    Ok(())
}
