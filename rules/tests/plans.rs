//! What good policies compile to: their rows, and the size of their tables, in a golden file beside each.
//!
//! A difference here is a change of what rules mean or of what they cost, and wants to be looked at:
//! `RAVELIN_UPDATE_GOLDEN=1 cargo test --package ravelin-rules --test plans`, and read the diff.

#![expect(clippy::expect_used, reason = "a test that cannot go on panics")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use ravelin_rules::lower::lower;
use ravelin_rules::{Direction, HostFacts, TableImage, load};

#[test]
fn every_good_policy_compiles_to_its_golden_plan() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies/good");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("a readable folder").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let golden = path.with_extension("plan");
        let plan = plan(&path);
        if std::env::var_os("RAVELIN_UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &plan).expect("the golden file can be written");
        }
        let expected =
            fs::read_to_string(&golden).unwrap_or_else(|error| panic!("{}: {error}", golden.display()));
        assert_eq!(
            plan,
            expected,
            "{} compiles to something else than its plan",
            path.display()
        );
        count += 1;
    }
    assert!(count >= 10, "only {count} plans");
}

fn plan(policy: &Path) -> String {
    let policy = load(policy)
        .unwrap_or_else(|report| panic!("{}", report.render()))
        .policy;
    let image = TableImage::compile(&policy, &HostFacts::default(), Direction::Inbound)
        .expect("a good policy compiles");
    let report = image.report();
    let mut plan = lower(&policy, &HostFacts::default(), Direction::Inbound).to_string();
    for (rule, name) in image.rule_names().iter().enumerate() {
        let _ok = writeln!(plan, "rule {rule} is {name}");
    }
    let _ok = writeln!(
        plan,
        "{} bytes, {} service classes in {} reads",
        report.bytes, report.service_classes, report.service_reads
    );
    for family in &report.families {
        let _ok = writeln!(
            plan,
            "{:?}: source {}; destination {}; {}; {} reads at worst",
            family.plane,
            family.source,
            family.destination,
            family.combined,
            report.worst_reads(family)
        );
    }
    plan
}
