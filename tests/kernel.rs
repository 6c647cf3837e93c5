//! The law that holds Ravelin together, in the kernel: the oracle and the loaded program say the same of every packet,
//! and the counters say so too.

use std::sync::Arc;

use ravelin_datapath::wire::MAX_ROWS;
use ravelin_datapath::{Decision, Origin, ParseClass};
use ravelin_rules::{Budget, Direction, HostFacts, TableImage, reference};
use ravelin_tests::fixture;
use ravelin_tests::prog_run::{Bench, Kernel};
use ravelin_tests::random::{self, Difference, Probe, Sketch, Spread};
use ravelin_tests::requires;

#[test]
fn the_oracle_and_the_kernel_agree_on_random_policies_and_packets() {
    requires!(Root, Bpf, NetworkNamespaces);
    let bench = Bench::new("kernel-random");
    let seed = random::seed();
    let spread = bench.run(|| {
        let mut spread = Spread::default();
        for (number, case) in random::cases(seed, POLICIES, PACKETS_PER_POLICY).enumerate() {
            let budget = if number % 2 == 0 {
                Budget::default()
            } else {
                BIT_VECTORS
            };
            let (policy, host) = (case.policy(), case.host());
            let image = TableImage::compile_within(&policy, &host, Direction::Inbound, budget)
                .unwrap_or_else(|error| panic!("{error}\n{}", case.sketch.toml()));
            let mut kernel = Kernel::load(&image);
            for probe in case.probes.iter().filter(|probe| fits_a_test_run(probe)) {
                let bytes = probe.packet.bytes();
                let said = [
                    reference::judge(
                        &policy,
                        &host,
                        Direction::Inbound,
                        Origin {
                            loopback: probe.loopback,
                            ..Origin::default()
                        },
                        &bytes,
                    ),
                    kernel.decide(&bytes, probe.loopback),
                ];
                if said[0] != said[1] {
                    let difference = Difference {
                        seed: case.seed,
                        sketch: case.sketch.clone(),
                        probe: probe.clone(),
                        said: [("oracle", said[0]), ("kernel", said[1])],
                    };
                    panic!(
                        "{budget:?}\n{}",
                        difference.shrink(|sketch, probe| anew(sketch, probe, budget))
                    );
                }
                spread.count(&said[0]);
            }
        }
        spread
    });
    println!(
        "seed {seed}: {} pairs in the kernel, 0 differences\n{spread}",
        spread.pairs()
    );
    assert!(spread.pairs() >= 2_000);
}

#[test]
fn the_kernel_decides_as_every_fixture_row_says() {
    requires!(Root, Bpf, NetworkNamespaces);
    let bench = Bench::new("kernel-rows");
    let rows = fixture::all();
    let (run, short): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.fits_a_test_run());
    bench.run(|| {
        // Rows of one policy stand together: one generation serves them.
        for rows in run.chunk_by(|a, b| Arc::ptr_eq(a.policy(), b.policy()) && a.host() == b.host()) {
            let row = rows[0];
            let image = TableImage::compile(row.policy(), &row.host(), Direction::Inbound)
                .unwrap_or_else(|error| panic!("{}: {}: {error}", row.file, row.description));
            let mut kernel = Kernel::load(&image);
            for row in rows {
                row.assert("the kernel", &kernel.decide(&row.frame(), row.loopback));
            }
        }
    });
    println!(
        "{} rows in the kernel; {} with a frame too short for it",
        run.len(),
        short.len()
    );
    assert!(
        run.len() > 20 * short.len(),
        "nearly every row must run in the kernel"
    );
}

#[test]
fn the_richest_policy_leaves_the_verifier_half_its_budget() {
    requires!(Root, Bpf, NetworkNamespaces);
    let bench = Bench::new("kernel-rich");
    // Every dimension used, both families, tries of full depth, the longest bit vectors.
    let mut text = String::from("[firewall]\nstateful = false\n[firewall.classes]\n");
    for class in ParseClass::ALL
        .iter()
        .filter(|class| class.judgeable() && **class != ParseClass::FragmentLater)
    {
        text += &format!("{} = \"judge\"\n", class.label());
    }
    for rule in 0..MAX_ROWS {
        text += &format!(
            "[[rule]]\nname = \"r{rule}\"\naction = \"allow\"\nprotocol = \"tcp\"\nports = {}\nsource_ports = {}\ntcp_flags = \"syn\"\n\
             source = [\"2001:db8::{:x}:{:x}\", \"198.51.{}.{}\"]\ndestination = [\"2001:db8:1::{rule:x}\", \"203.0.{}.{}\"]\n",
            rule % 60_000,
            rule % 1000,
            rule >> 4,
            rule % 16,
            rule >> 8,
            rule & 255,
            rule & 255,
            rule >> 8,
        );
    }
    let file = tempfile::Builder::new()
        .suffix(".toml")
        .tempfile()
        .expect("a temporary file");
    std::fs::write(file.path(), text).expect("the file can be written");
    let policy = ravelin_rules::load(file.path())
        .unwrap_or_else(|report| panic!("{}", report.render()))
        .policy;
    let image = TableImage::compile_within(&policy, &HostFacts::default(), Direction::Inbound, BIT_VECTORS)
        .expect("it compiles");
    let walked = bench.run(|| Kernel::load(&image).verified_instructions());
    println!(
        "{} rules, {} MiB of tables: {walked} instructions walked",
        policy.rules.len(),
        image.report().bytes >> 20
    );
    assert!(walked < 500_000, "the verifier gives up at a million");
}

/// Both answers of a policy that is compiled and loaded for this packet alone.
fn anew(sketch: &Sketch, probe: &Probe, budget: Budget) -> Option<[Decision; 2]> {
    let (policy, host) = (sketch.policy(), sketch.host());
    let image = TableImage::compile_within(&policy, &host, Direction::Inbound, budget).ok()?;
    let bytes = probe.packet.bytes();
    let oracle = reference::judge(
        &policy,
        &host,
        Direction::Inbound,
        Origin {
            loopback: probe.loopback,
            ..Origin::default()
        },
        &bytes,
    );
    Some([oracle, Kernel::load(&image).decide(&bytes, probe.loopback)])
}

/// The kernel runs no frame without a whole Ethernet header; no driver delivers one either.
fn fits_a_test_run(probe: &Probe) -> bool {
    probe.packet.bytes().len() >= 14
}

/// No cell for cross products: both ways to combine classes must obey the law.
const BIT_VECTORS: Budget = Budget { cells: 0 };
const POLICIES: usize = 60;
const PACKETS_PER_POLICY: usize = 50;
