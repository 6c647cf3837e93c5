//! ClassBench rule sets and their traces: the datapath's and the kernel's verdict and rule against the oracle's, packet
//! by packet.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::collections::HashMap;
use std::time::Instant;

use ravelin_datapath::wire::Setting;
use ravelin_datapath::{Decision, Onto, Origin, Reason, SliceFrame, Tables, Window, decide};
use ravelin_rules::{Direction, HostFacts, Policy, TableImage, reference};
use ravelin_tests::classbench::{FAMILIES, packets_of, policy, trace};
use ravelin_tests::prog_run::{Bench, Kernel};
use ravelin_tests::requires;

#[test]
fn every_trace_packet_gets_the_oracles_verdict_and_rule_in_the_kernel() {
    requires!(Root, Bpf, NetworkNamespaces);
    for (family, size) in FAMILIES
        .iter()
        .flat_map(|family| [100, 1000, 10000].map(|size| (family, size)))
    {
        let policy = policy(family, size);
        let start = Instant::now();
        let image = TableImage::compile(&policy, &HostFacts::default(), Direction::Inbound)
            .expect("the rules compile");
        let compiled = start.elapsed();
        let frames = trace(family, size);
        let ruled = Bench::new("classbench").run(|| {
            let start = Instant::now();
            let mut kernel = Kernel::load(&image);
            println!(
                "{family}: compiled in {compiled:?}, loaded in {:?}, {} instructions verified; {:?}",
                start.elapsed(),
                kernel.verified_instructions(),
                image.report()
            );
            // Traces repeat their packets, and the oracle walks thousands of rules for each.
            let mut said: HashMap<&[u8], Decision> = HashMap::new();
            for frame in &frames {
                let expected = *said.entry(frame).or_insert_with(|| {
                    reference::judge(
                        &policy,
                        &HostFacts::default(),
                        Direction::Inbound,
                        Origin::default(),
                        frame,
                    )
                });
                let decided = decide(&SliceFrame(frame), &image, Origin::default());
                assert_eq!(
                    decided, expected,
                    "{family}: the datapath differs from the oracle on {frame:02x?}"
                );
                if let Err(said) = kernel.confirm(frame, &expected) {
                    panic!("{family}: {said}");
                }
            }
            let decisions = frames.iter().filter_map(|frame| said.get(&**frame));
            decisions
                .filter(|decision| decision.reason == Reason::Rule)
                .count()
        });
        println!(
            "{family}: {} rules, {} packets, {ruled} decided by a rule, 0 differences",
            policy.rules.len(),
            frames.len()
        );
        // The sets of 100 lost rules to the removal of redundant ones, and their traces did not.
        let least = if size == 100 { 3 } else { 9 };
        assert!(
            ruled * 10 > frames.len() * least,
            "a trace drawn from the rules must mostly match them"
        );
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

    fn doubles<const N: usize>(&self, first: u32) -> Option<[u64; N]> {
        self.read(self.image.doubles(first))
    }

    fn window(&self, first: u32, length: u32) -> Option<impl Window> {
        Onto::new(self, first, length)
    }
}
