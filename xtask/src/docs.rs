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
    let text = example("policy-reference", &[])?;
    fs::write(workspace().join(page), text + "\n")
        .map_err(|error| Failure::cannot(format!("cannot write {page}: {error}")))?;
    println!("    {page}");
    pictures()
}

fn pictures() -> Result<(), Failure> {
    let folder = "docs/pictures";
    example("classifier-pictures", &[folder])?;
    println!("    {folder}");
    Ok(())
}

/// What an example of the rules prints.
fn example(name: &str, arguments: &[&str]) -> Result<String, Failure> {
    let run = [
        "run",
        "--quiet",
        "--package",
        "ravelin-rules",
        "--example",
        name,
        "--",
    ];
    output_of(&mut cargo(&[&run, arguments].concat()))
        .ok_or_else(|| Failure::no(format!("the example `{name}` failed")))
}
