//! Which crate may know which. The chart is in `docs/architecture.md`; arrows point to what is depended upon.

use crate::assert_none;
use crate::metadata::{Metadata, Package};

/// One crate and the crates of this repository it may name.
struct Knows {
    package: &'static str,
    /// Linked into it.
    may: &'static [&'static str],
    /// Used by its build script.
    build: &'static [&'static str],
}

/// Every crate stands here: one that does not is a complaint too.
const CHART: [Knows; 8] = [
    Knows {
        package: "ravelin-datapath",
        may: &[],
        build: &[],
    },
    Knows {
        package: "ravelin-xdp",
        may: &["ravelin-datapath"],
        build: &[],
    },
    Knows {
        package: "ravelin-ebpf-build",
        may: &[],
        build: &[],
    },
    Knows {
        package: "ravelin-rules",
        may: &["ravelin-datapath"],
        build: &[],
    },
    Knows {
        package: "ravelin-daemon",
        may: &["ravelin-datapath", "ravelin-rules"],
        build: &["ravelin-ebpf-build"],
    },
    Knows {
        package: "ravelin-tests",
        may: EVERYTHING,
        build: EVERYTHING,
    },
    Knows {
        package: "ravelin-benches",
        may: EVERYTHING,
        build: EVERYTHING,
    },
    Knows {
        package: "xtask",
        may: &["ravelin-ebpf-build"],
        build: &[],
    },
];

/// `tests` is not among them: benches share its harness, nobody else knows it.
const EVERYTHING: &[&str] = &[
    "ravelin-daemon",
    "ravelin-datapath",
    "ravelin-ebpf-build",
    "ravelin-rules",
    "ravelin-tests",
];

/// What `datapath` and `ebpf/build` may name at all: they are compiled for a kernel, and before everything else.
const ALONE: [&str; 2] = ["ravelin-datapath", "ravelin-ebpf-build"];

fn complaints(metadata: &Metadata) -> Vec<String> {
    metadata.members().flat_map(of_package).collect()
}

fn of_package(package: &Package) -> Vec<String> {
    let Some(knows) = CHART.iter().find(|knows| knows.package == package.name) else {
        return vec![format!(
            "`{}` has no place in the chart of tests/architecture/edges.rs",
            package.name
        )];
    };
    let mut complaints = Vec::new();
    for dependency in &package.dependencies {
        let name = &*dependency.name;
        let allowed = match dependency.kind.as_deref() {
            Some("build") => knows.build.contains(&name),
            // What a crate tests with is not what it is made of, but the arrows hold for its tests too.
            _ => knows.may.contains(&name),
        };
        if dependency.path.is_some() && !allowed {
            complaints.push(format!("`{}` must not know `{name}`", package.name));
        }
        if dependency.path.is_none() && dependency.kind.is_none() && ALONE.contains(&&*package.name) {
            complaints.push(format!(
                "`{}` stands alone; it must not depend on `{name}`",
                package.name
            ));
        }
    }
    complaints
}

#[test]
fn no_crate_knows_one_it_must_not() {
    assert_none(&complaints(&Metadata::of_workspace()));
    assert_none(&complaints(&Metadata::of_kernel_program()));
}

#[test]
fn a_forbidden_edge_is_found() {
    let metadata = made_up(r#"{ "name": "ravelin-daemon", "kind": null, "path": "/r/daemon" }"#);
    assert_eq!(
        complaints(&metadata),
        ["`ravelin-rules` must not know `ravelin-daemon`"]
    );
    let metadata = made_up(r#"{ "name": "ravelin-tests", "kind": "dev", "path": "/r/tests" }"#);
    assert_eq!(
        complaints(&metadata),
        ["`ravelin-rules` must not know `ravelin-tests`"]
    );
    let metadata = made_up(r#"{ "name": "ravelin-datapath", "kind": "build", "path": "/r/ebpf/datapath" }"#);
    assert_eq!(
        complaints(&metadata),
        ["`ravelin-rules` must not know `ravelin-datapath`"]
    );
    let metadata = made_up(r#"{ "name": "ravelin-datapath", "kind": null, "path": "/r/ebpf/datapath" }"#);
    assert_none(&complaints(&metadata));
}

#[test]
fn a_crate_outside_the_chart_and_a_datapath_with_dependencies_are_found() {
    let metadata = parse(
        r#"{ "workspace_members": ["a", "b"], "packages": [
            { "id": "a", "name": "ravelin-common", "dependencies": [] },
            { "id": "b", "name": "ravelin-datapath", "dependencies": [{ "name": "serde", "kind": null, "path": null }] }
        ] }"#,
    );
    let complaints = complaints(&metadata);
    assert_eq!(complaints.len(), 2, "{complaints:?}");
    assert!(complaints[0].contains("`ravelin-common` has no place"));
    assert!(complaints[1].contains("must not depend on `serde`"));
}

fn made_up(dependency: &str) -> Metadata {
    parse(&format!(
        r#"{{ "workspace_members": ["x"], "packages": [{{ "id": "x", "name": "ravelin-rules", "dependencies": [{dependency}] }}] }}"#
    ))
}

fn parse(json: &str) -> Metadata {
    serde_json::from_str(json).expect("made-up metadata")
}
