//! ClassBench rule sets and their traces: the datapath's and the kernel's verdict and rule against the oracle's, packet
//! by packet.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::time::Instant;

use ravelin_datapath::wire::{NODE_WORDS, Setting};
use ravelin_datapath::{Origin, Reason, SliceFrame, Tables, decide};
use ravelin_rules::{Direction, HostFacts, Policy, TableImage, reference};
use ravelin_tests::classbench::{FAMILIES, packets_of, policy, trace};
use ravelin_tests::prog_run::{Bench, Kernel};
use ravelin_tests::requires;

#[test]
fn every_trace_packet_gets_the_oracles_verdict_and_rule_in_the_kernel() {
    requires!(Root, Bpf, NetworkNamespaces);
    let bench = Bench::new("classbench-1000");
    for family in FAMILIES {
        let policy = policy(family, 1000);
        let image = TableImage::compile(&policy, &HostFacts::default(), Direction::Inbound)
            .expect("1,000 rules compile");
        let frames = trace(family, 1000);
        let ruled = bench.run(|| {
            let mut kernel = Kernel::load(&image);
            println!(
                "{family}: {} instructions verified; {:?}",
                kernel.verified_instructions(),
                image.report()
            );
            let decisions = frames.iter().map(|frame| {
                let expected = reference::judge(
                    &policy,
                    &HostFacts::default(),
                    Direction::Inbound,
                    Origin::default(),
                    frame,
                );
                let decided = decide(&SliceFrame(frame), &image, Origin::default());
                assert_eq!(
                    decided, expected,
                    "{family}: the datapath differs from the oracle on {frame:02x?}"
                );
                kernel.confirm(frame, &expected);
                expected
            });
            decisions
                .filter(|decision| decision.reason == Reason::Rule)
                .count()
        });
        println!(
            "{family}: {} rules, {} packets, {ruled} decided by a rule, 0 differences",
            policy.rules.len(),
            frames.len()
        );
        assert!(
            ruled * 10 > frames.len() * 9,
            "a trace drawn from the rules must mostly match them"
        );
    }
}

#[test]
fn ten_thousand_rules_load() {
    requires!(Root, Bpf, NetworkNamespaces);
    let bench = Bench::new("classbench-10000");
    for family in FAMILIES {
        let policy = policy(family, 10000);
        let start = Instant::now();
        let image = TableImage::compile(&policy, &HostFacts::default(), Direction::Inbound)
            .expect("10,000 rules compile");
        let compiled = start.elapsed();
        bench.run(|| {
            let start = Instant::now();
            let mut kernel = Kernel::load(&image);
            println!(
                "{family}: {} rules, compiled in {compiled:?}, loaded in {:?}",
                policy.rules.len(),
                start.elapsed()
            );
            println!("{family}: {:?}", image.report());
            for frame in packets_of(&policy).iter().step_by(20) {
                let expected = reference::judge(
                    &policy,
                    &HostFacts::default(),
                    Direction::Inbound,
                    Origin::default(),
                    frame,
                );
                kernel.confirm(frame, &expected);
            }
        });
    }
}

#[test]
fn a_packet_costs_at_most_twice_the_table_reads_at_1000_rules_that_it_costs_at_10() {
    for family in FAMILIES {
        let large = policy(family, 1000);
        let mut small = large.clone();
        small.rules.truncate(10);
        let [small, large] = [small, large].map(|policy| mean_reads(&policy));
        println!("{family}: {small:.1} reads a packet at 10 rules, {large:.1} at 1,000");
        assert!(large <= 2.0 * small);
    }
}

/// Table reads a packet, over one packet for each rule.
fn mean_reads(policy: &Policy) -> f64 {
    let image =
        TableImage::compile(policy, &HostFacts::default(), Direction::Inbound).expect("the set compiles");
    let counting = Counting {
        image: &image,
        reads: Cell::new(0),
    };
    let frames = packets_of(policy);
    for frame in &frames {
        decide(&SliceFrame(frame), &counting, Origin::default());
    }
    f64::from(counting.reads.get()) / frames.len() as f64
}

/// Tables that count how often they are read.
struct Counting<'a> {
    image: &'a TableImage,
    reads: Cell<u32>,
}

impl Counting<'_> {
    fn read<T>(&self, value: T) -> T {
        self.reads.set(self.reads.get() + 1);
        value
    }
}

impl Tables for Counting<'_> {
    fn setting(&self, setting: Setting) -> u32 {
        self.image.setting(setting)
    }

    fn word(&self, index: u32) -> Option<u32> {
        self.read(self.image.word(index))
    }

    fn double(&self, index: u32) -> Option<u64> {
        self.read(self.image.double(index))
    }

    fn node(&self, index: u32) -> Option<[u32; NODE_WORDS]> {
        self.read(self.image.node(index))
    }
}
