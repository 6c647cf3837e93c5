//! What one packet costs in the kernel, by rule set and number of rules: `BPF_PROG_TEST_RUN`, many runs of each of many
//! packets, all rule sets in turn in every round.
//!
//! "Net" is above the same program with a policy without rules. Packets of one measurement are drawn evenly from the
//! rules of the set, so that late rules count as much as early ones. The tables of a packet are warm in the caches: this
//! is the cost of the path, not of a cache miss.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench talks to people and stops when it cannot measure"
)]

use ravelin_benches::Spread;
use ravelin_rules::{Direction, HostFacts, Policy, TableImage};
use ravelin_tests::classbench::{FAMILIES, packets_of, policy};
use ravelin_tests::prog_run::{Bench, Kernel};

struct Subject {
    name: String,
    kernel: Kernel,
    frames: Vec<Vec<u8>>,
    combined: String,
    rounds: Vec<f64>,
}

fn main() {
    let bench = Bench::new("bench-packet");
    bench.run(|| {
        let mut subjects = vec![Subject::new(
            "no rules",
            &truncated("acl1", 1000, 0),
            &packets_of(&policy("acl1", 1000)),
        )];
        for family in FAMILIES {
            for (size, rules) in [(1000, 10), (100, 100), (1000, 1000), (10000, 10000)] {
                let policy = truncated(family, size, rules);
                subjects.push(Subject::new(
                    &format!("{family} {rules}"),
                    &policy,
                    &packets_of(&policy),
                ));
            }
        }
        for _ in 0..ROUNDS {
            subjects.iter_mut().for_each(Subject::round);
        }
        print(&subjects);
    });
}

fn truncated(family: &str, size: usize, rules: usize) -> Policy {
    let mut policy = policy(family, size);
    policy.rules.truncate(rules);
    policy
}

impl Subject {
    fn new(name: &str, policy: &Policy, frames: &[Vec<u8>]) -> Self {
        let image =
            TableImage::compile(policy, &HostFacts::default(), Direction::Inbound).expect("the set compiles");
        let frames = frames
            .iter()
            .step_by(frames.len().div_ceil(PACKETS))
            .cloned()
            .collect();
        let combined = image.report().families[0].combined.to_string();
        Self {
            name: name.to_owned(),
            kernel: Kernel::load(&image),
            frames,
            combined,
            rounds: vec![],
        }
    }

    fn round(&mut self) {
        let nanoseconds = self
            .frames
            .iter()
            .map(|frame| self.kernel.time(frame, REPEAT).as_secs_f64() * 1e9);
        self.rounds
            .push(nanoseconds.sum::<f64>() / self.frames.len() as f64);
    }
}

fn print(subjects: &[Subject]) {
    println!(
        "{:<12} {:>8} {:>8} {:>8} {:>8}  combined by",
        "rule set", "low ns", "median", "high", "net"
    );
    let spread = |subject: &Subject| Spread::of(subject.rounds.clone()).expect("rounds were run");
    let base = spread(&subjects[0]).median;
    for subject in subjects {
        let Spread { low, median, high } = spread(subject);
        println!(
            "{:<12} {low:>8.1} {median:>8.1} {high:>8.1} {:>8.1}  {}",
            subject.name,
            median - base,
            subject.combined
        );
    }
}

const ROUNDS: usize = 9;
const PACKETS: usize = 100;
const REPEAT: u32 = 2_000;
