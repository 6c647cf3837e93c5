//! What a source address costs in the kernel, by the size of the set that it is looked up in: a deny rule with a set of random
//! prefixes, IPv4 and IPv6, for sources inside and outside. Beside it the kernel's own longest-prefix-match trie with the same
//! prefixes, which does nothing else: no parsing, no rules, no counters.
//!
//! "Net" is above a program that only drops, in the same replay; "alone" is above the same policy without the rule.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench talks to people and stops when it cannot measure"
)]

use std::net::IpAddr;

use ipnet::IpNet;
use ravelin_benches::{Peer, Replay, Spread, prefixes};
use ravelin_rules::{Direction, HostFacts, Policy, TableImage, load};
use ravelin_tests::packet::ether;
use ravelin_tests::prog_run::{Bench, Kernel, interface};
use ravelin_tests::random::Random;

/// One set, and packets of one kind.
struct Subject {
    name: String,
    with: Kernel,
    without: Kernel,
    replay: Replay,
    trie: Peer,
    shape: String,
    /// Net of the harness: the whole program, the same without the rule, the kernel's trie.
    rounds: [Vec<f64>; 3],
}

fn main() {
    Bench::new("bench-lookup").run(|| {
        println!(
            "{:<26} {:>10} {:>10} {:>12} {:>10}  {ROUNDS} rounds, median (least - most)",
            "set", "net ns", "alone ns", "LPM trie ns", "tables MiB"
        );
        for six in [false, true] {
            for size in SIZES {
                measure(size, six);
            }
        }
    });
}

fn measure(size: usize, six: bool) {
    let mut random = Random::new(11);
    let set = prefixes::prefixes(&mut random, size, if six { 10 } else { 0 });
    let folder = tempfile::tempdir().expect("a folder");
    let path = prefixes::write_policy(folder.path(), &set, 1);
    let policy = load(&path).expect("the policy is good").policy;
    let image = compile(&policy);
    let bare = compile(&Policy {
        rules: vec![],
        ..policy
    });
    for inside in [true, false] {
        let frames: Vec<Vec<u8>> = (0..PACKETS)
            .map(|_| frame(&mut random, &set, six, inside))
            .collect();
        let family = usize::from(six);
        let mut subject = Subject {
            name: format!(
                "{} {size}, {}",
                if six { "IPv6" } else { "IPv4" },
                if inside { "inside" } else { "outside" }
            ),
            with: Kernel::load(&image),
            without: Kernel::load(&bare),
            replay: Replay::with_prefixes(&frames, interface(), &set),
            trie: if six { Peer::Trie6 } else { Peer::Trie4 },
            shape: image.report().families[family].source.to_string(),
            rounds: Default::default(),
        };
        (0..ROUNDS).for_each(|_| subject.round());
        subject.print(image.report().bytes);
    }
}

impl Subject {
    fn round(&mut self) {
        let empty = self.replay.peer(Peer::Empty);
        let figures = [
            self.replay.subject(self.with.fd()),
            self.replay.subject(self.without.fd()),
            self.replay.peer(self.trie),
        ];
        for (rounds, figure) in self.rounds.iter_mut().zip(figures) {
            rounds.push(figure - empty);
        }
    }

    fn print(&self, bytes: usize) {
        let alone = self.rounds[0]
            .iter()
            .zip(&self.rounds[1])
            .map(|(with, without)| with - without)
            .collect();
        let [net, alone, trie] = [self.rounds[0].clone(), alone, self.rounds[2].clone()]
            .map(|rounds| Spread::of(rounds).expect("rounds were run"));
        println!(
            "{:<26} {:>10.1} {:>10.1} {:>12.1} {:>10}  net {:.1} - {:.1}, alone {:.1} - {:.1}, trie {:.1} - {:.1}; {}",
            self.name,
            net.median,
            alone.median,
            trie.median,
            bytes >> 20,
            net.low,
            net.high,
            alone.low,
            alone.high,
            trie.low,
            trie.high,
            self.shape
        );
    }
}

fn compile(policy: &Policy) -> TableImage {
    TableImage::compile(policy, &HostFacts::default(), Direction::Inbound).expect("it fits")
}

/// A packet whose source is in a prefix of the set, or anywhere that prefixes are drawn from.
fn frame(random: &mut Random, set: &[IpNet], six: bool, inside: bool) -> Vec<u8> {
    let anywhere = if six {
        IpAddr::V6(prefixes::address6(random))
    } else {
        IpAddr::V4(prefixes::address4(random))
    };
    let source = if inside {
        within(set[random.index(set.len())], anywhere)
    } else {
        anywhere
    };
    match source {
        IpAddr::V4(source) => ether().ipv4().source(source).tcp(443).bytes(),
        IpAddr::V6(source) => ether().ipv6().source(source).tcp(443).bytes(),
    }
}

/// The address of the prefix that ends as `host` does.
fn within(prefix: IpNet, host: IpAddr) -> IpAddr {
    match (prefix.network(), prefix.hostmask(), host) {
        (IpAddr::V4(network), IpAddr::V4(mask), IpAddr::V4(host)) => (network | (host & mask)).into(),
        (IpAddr::V6(network), IpAddr::V6(mask), IpAddr::V6(host)) => (network | (host & mask)).into(),
        (network, ..) => network,
    }
}

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
const PACKETS: usize = 50_000;
const ROUNDS: usize = 9;
