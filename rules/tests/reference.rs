//! The reference page is what the code says, and what it shows works.

use std::fs;
use std::path::Path;

#[test]
fn the_page_in_docs_is_the_one_the_code_writes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policy-reference.md");
    let page = fs::read_to_string(path).unwrap();
    assert!(
        page == ravelin_rules::policy_reference(),
        "docs/policy-reference.md is stale: run `cargo run --package ravelin-rules --example policy-reference > docs/policy-reference.md`"
    );
}

#[test]
fn every_policy_on_the_page_is_accepted() {
    let page = ravelin_rules::policy_reference();
    let examples: Vec<&str> = page
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(examples.len() > 8, "the page has lost its examples");
    for example in examples {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        fs::write(&path, example).unwrap();
        if let Err(report) = ravelin_rules::load(&path) {
            panic!("{example}\n{}", report.render());
        }
    }
}
