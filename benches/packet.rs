//! What one packet costs in the kernel, by rule set and number of rules: the trace of each rule set replayed, all rule sets
//! in turn in every round.
//!
//! "Net" is above a program that only drops, in the same replay.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench talks to people and stops when it cannot measure"
)]

use ravelin_benches::{Peer, Replay, Spread};
use ravelin_rules::{Direction, HostFacts, Policy, TableImage};
use ravelin_tests::classbench::{FAMILIES, policy, trace};
use ravelin_tests::prog_run::{Bench, Kernel, interface};

struct Subject {
    name: String,
    kernel: Kernel,
    replay: Replay,
    combined: String,
    net: Vec<f64>,
}

fn main() {
    let bench = Bench::new("bench-packet");
    bench.run(|| {
        let mut subjects = vec![Subject::new(
            "no rules",
            &Policy {
                rules: vec![],
                ..policy("acl1", 100)
            },
            &trace("acl1", 1000),
        )];
        for family in FAMILIES {
            for size in [100, 1000, 10000] {
                let name = format!("{family} {size}");
                subjects.push(Subject::new(&name, &policy(family, size), &trace(family, size)));
            }
        }
        for _ in 0..ROUNDS {
            subjects.iter_mut().for_each(Subject::round);
        }
        print(&mut subjects);
    });
}

impl Subject {
    fn new(name: &str, policy: &Policy, frames: &[Vec<u8>]) -> Self {
        let image =
            TableImage::compile(policy, &HostFacts::default(), Direction::Inbound).expect("the set compiles");
        let combined = image.report().families[0].combined.to_string();
        Self {
            name: name.to_owned(),
            kernel: Kernel::load(&image),
            replay: Replay::new(frames, interface()),
            combined,
            net: vec![],
        }
    }

    fn round(&mut self) {
        let empty = self.replay.peer(Peer::Empty);
        self.net.push(self.replay.subject(self.kernel.fd()) - empty);
    }
}

fn print(subjects: &mut [Subject]) {
    println!(
        "{:<12} {:>8} {:>8} {:>8} {:>10} {:>8}  combined by",
        "rule set", "low ns", "net", "high", "verified", "jited B"
    );
    for subject in subjects {
        let Spread { low, median, high } = Spread::of(subject.net.clone()).expect("rounds were run");
        println!(
            "{:<12} {low:>8.1} {median:>8.1} {high:>8.1} {:>10} {:>8}  {}",
            subject.name,
            subject.kernel.verified_instructions(),
            subject.kernel.jited_bytes(),
            subject.combined
        );
    }
}

const ROUNDS: usize = 9;
