//! Tricks to get past a filter: the oracle, the datapath and the kernel say of each packet what the table says, and the page tells what
//! nftables makes of the same frames.

use std::collections::BTreeMap;
use std::fs;

use ravelin_daemon::network::bans::never::Never;
use ravelin_datapath::wire::Setting;
use ravelin_datapath::{
    ClassSet, Decision, NoBans, Origin, Reason, Remembering, SliceFrame, Verdict, decide_with,
};
use ravelin_rules::reference::World;
use ravelin_rules::{Direction, HostFacts, Policy, TableImage};
use ravelin_tests::evasion::nftables::{self, Outcome};
use ravelin_tests::evasion::{Row, all, host, page};
use ravelin_tests::figures;
use ravelin_tests::fixture::fits_a_test_run;
use ravelin_tests::prog_run::{self, Bench, FlowMemory, Kernel, TestPins};
use ravelin_tests::requires;
use ravelin_tests::sequence::Remembered;

#[test]
fn the_table_has_150_tricks_and_each_has_a_name_of_its_own_and_a_packet_from_the_wire() {
    let rows = all();
    assert!(rows.len() >= 150, "only {} rows", rows.len());
    let mut names = BTreeMap::new();
    for row in &rows {
        let place = format!("{}: {}", row.group, row.description);
        assert!(!row.source.is_empty(), "{place}: nobody tells of it");
        assert!(row.trick().count() > 0, "{place}: nothing but what was before");
        for step in row.trick() {
            assert_eq!(step.direction, Direction::Inbound, "{place}: {}", step.packet);
        }
        for step in &row.steps {
            let frame = step.packet.bytes();
            assert!(
                fits_a_test_run(step.direction, &frame) && frame.len() <= 1518,
                "{place}: {} does not fit everywhere",
                step.packet
            );
        }
        let before = names.insert(place, ());
        assert_eq!(before, None, "{}: {} is there twice", row.group, row.description);
    }
}

#[test]
fn the_oracle_decides_as_every_row_says() {
    let mut differences = vec![];
    for row in all() {
        let host = host(row.policy());
        let mut oracle = World::default();
        for (number, step) in row.steps.iter().enumerate() {
            let (origin, bytes) = (origin(number, INTERFACE), step.packet.bytes());
            let decision = oracle.judge(row.policy(), &host, step.direction, origin, &bytes);
            differences.extend(row.difference(number, &decision));
        }
    }
    assert_none(&differences);
}

#[test]
fn the_datapath_decides_as_every_row_says() {
    let mut differences = vec![];
    for row in all() {
        let images = tables(row.policy(), &host(row.policy()));
        let remembered = Remembered::default();
        for (number, step) in row.steps.iter().enumerate() {
            let [inbound, outbound] = &images;
            let (tables, other) = match step.direction {
                Direction::Inbound => (inbound, outbound),
                Direction::Outbound => (outbound, inbound),
            };
            let memory = Remembering::new(tables, other, &remembered);
            let frame = step.packet.bytes();
            let decision = decide_with(
                &SliceFrame(&frame),
                tables,
                &NoBans,
                &memory,
                origin(number, INTERFACE),
            );
            differences.extend(row.difference(number, &decision));
        }
    }
    assert_none(&differences);
}

#[test]
fn the_kernel_decides_as_every_row_says() {
    requires!(Root, Bpf, NetworkNamespaces);
    let mut by_policy: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in all() {
        by_policy.entry(row.policy_file.clone()).or_default().push(row);
    }
    let bench = Bench::new("evasion-bench");
    let mut differences = vec![];
    for rows in by_policy.values() {
        bench.run(|| {
            let policy = rows[0].policy();
            let mut host = host(policy);
            host.interfaces[0].index = prog_run::interface();
            let [inbound, outbound] = tables(policy, &host);
            let (memory, pins) = (FlowMemory::new(), TestPins::new());
            let mut kernel = Kernel::both([&inbound, &outbound], &memory, &pins, &Never::of(policy));
            for row in rows {
                memory.forget();
                for (number, step) in row.steps.iter().enumerate() {
                    kernel.turn(step.direction, origin(number, 0).tick);
                    let decision = kernel.decide(&step.packet.bytes(), false);
                    differences.extend(row.difference(number, &decision));
                }
            }
        });
    }
    assert_none(&differences);
}

#[test]
fn a_decision_that_is_not_the_tables_is_a_difference() {
    let rows = all();
    let row = &rows[0];
    let decision = Decision {
        verdict: Verdict::Deny,
        reason: Reason::Default,
        rule: None,
        observed: None,
        seen: ClassSet::default(),
    };
    let difference = row.difference(0, &decision).expect("the row says `allow`");
    assert!(difference.contains(&row.description), "{difference}");
    assert!(page::differ(row, Outcome::Denied) && !page::differ(row, Outcome::ComesIn));
}

#[test]
fn the_page_says_what_becomes_of_every_row_at_a_host_with_nftables() {
    requires!(Root, NetworkNamespaces, Tool("nft"));
    let outcomes: Vec<(Row, Outcome)> = all()
        .into_iter()
        .map(|row| {
            let outcome = nftables::outcome(&row);
            (row, outcome)
        })
        .collect();
    figures::show(&page::summary(&outcomes));
    // What a ruleset that denies everything, or a wire that carries nothing, would get wrong.
    let plain: Vec<&(Row, Outcome)> = outcomes.iter().filter(|(row, _)| row.group == PLAIN).collect();
    assert!(!plain.is_empty(), "no row is called `{PLAIN}`");
    for (row, outcome) in plain {
        assert_eq!(*outcome, Outcome::ComesIn, "{}", row.description);
    }
    let unexplained: Vec<String> = outcomes
        .iter()
        .filter(|(row, outcome)| page::differ(row, *outcome) != row.nftables.is_some())
        .map(|(row, outcome)| format!("{}: {}: {outcome:?}", row.group, row.description))
        .collect();
    let page = page::render(&outcomes, &nftables::versions());
    if std::env::var_os("RAVELIN_BLESS").is_some() {
        fs::write(page::path(), &page).expect("the page can be written");
    }
    assert!(
        unexplained.is_empty(),
        "rows that differ have a word on why, and no others:\n{}",
        unexplained.join("\n")
    );
    let written = fs::read_to_string(page::path()).expect("docs/evasion.md");
    // Another kernel may well do the same.
    let measured = |line: &&str| !line.starts_with("Measured on ");
    for (written, page) in written
        .lines()
        .filter(measured)
        .zip(page.lines().filter(measured))
    {
        assert_eq!(
            written, page,
            "docs/evasion.md (left) is not what was measured: see its head for how to write it anew"
        );
    }
    assert_eq!(written.lines().count(), page.lines().count());
}

#[track_caller]
fn assert_none(differences: &[String]) {
    assert!(
        differences.is_empty(),
        "{} decisions are others than the table's:\n\n{}",
        differences.len(),
        differences.join("\n\n")
    );
}

/// When the packet of that number is seen.
fn origin(number: usize, interface: u32) -> Origin {
    Origin {
        interface,
        tick: 1_000_000_000_000 + number as u64 * 1_000_000,
        ..Origin::default()
    }
}

/// What a policy says of both directions, with a clock that is told.
fn tables(policy: &Policy, host: &HostFacts) -> [TableImage; 2] {
    Direction::ALL.map(|direction| {
        TableImage::compile(policy, host, direction)
            .unwrap_or_else(|error| panic!("a policy of four rules: {error}"))
            .with(Setting::FlowClockTold, 1)
    })
}

/// The group of what is no trick.
const PLAIN: &str = "Plain traffic, which has to come in";

/// As [`host`] numbers the interface.
const INTERFACE: u32 = 2;
