//! ClassBench rule sets and their traces: the datapath's and the kernel's verdict and rule against the oracle's, packet
//! by packet.

use std::time::Instant;

use ravelin_datapath::{Origin, Reason, SliceFrame, decide};
use ravelin_rules::{HostFacts, TableImage, reference};
use ravelin_tests::classbench::{FAMILIES, policy, trace};
use ravelin_tests::prog_run::{Bench, Kernel};
use ravelin_tests::requires;

#[test]
fn every_trace_packet_gets_the_oracles_verdict_and_rule_in_the_kernel() {
    requires!(Root, Bpf, NetworkNamespaces);
    let bench = Bench::new("classbench-1000");
    for family in FAMILIES {
        let policy = policy(family, 1000);
        let image = TableImage::compile(&policy, &HostFacts::default()).expect("1,000 rules compile");
        let frames = trace(family, 1000);
        let ruled = bench.run(|| {
            let mut kernel = Kernel::load(&image);
            println!(
                "{family}: {} instructions verified; {:?}",
                kernel.verified_instructions(),
                image.report()
            );
            let decisions = frames.iter().map(|frame| {
                let expected = reference::judge(&policy, &HostFacts::default(), false, frame);
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
        let image = TableImage::compile(&policy, &HostFacts::default()).expect("10,000 rules compile");
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
            // Packets that each rule was written for: its own first addresses.
            for frame in trace(family, 1000).iter().step_by(40) {
                let expected = reference::judge(&policy, &HostFacts::default(), false, frame);
                kernel.confirm(frame, &expected);
            }
        });
    }
}
