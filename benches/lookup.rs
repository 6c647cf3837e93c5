//! What a source address costs in the kernel, by the size of the set that it is looked up in: a deny rule with a set of random
//! prefixes, IPv4 and IPv6, for sources inside and outside, and for sources of which few prefixes send most. Beside it the
//! kernel's own longest-prefix-match trie with the same prefixes, which does nothing else: no parsing, no rules, no
//! counters; and nftables with the same prefixes as an interval set.
//!
//! "Net" is above a program that only drops, in the same replay; "alone" is above the same policy without the rule. nftables gets
//! live frames: its net is above the same frames on an interface without rules.

#![expect(clippy::expect_used, reason = "a bench stops when it cannot measure")]

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use ravelin_benches::{Cell, Device, Mark, Peer, Plot, Replay, Report, Spread, Table, nft, prefixes};
use ravelin_rules::{Direction, HostFacts, Policy, TableImage, load};
use ravelin_tests::packet::ether;
use ravelin_tests::prog_run::{Bench, Kernel};
use ravelin_tests::random::Random;

/// Where packets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sources {
    /// Every prefix of the set as often as another.
    Inside,
    /// The n-th prefix one n-th as often as the first (Zipf), as flows in the Internet.
    Skewed,
    /// Anywhere that prefixes are drawn from.
    Outside,
}

/// One set, and packets of one kind.
struct Subject {
    size: u32,
    six: bool,
    sources: Sources,
    replay: Replay,
    /// Net of the harness: the whole program, and what the rule adds.
    net: Vec<f64>,
    alone: Vec<f64>,
    trie: Vec<f64>,
    nft: Vec<f64>,
}

/// What all packets of a set are judged by.
struct Judges {
    with: Kernel,
    without: Kernel,
    trie: Peer,
    // Before the interface that it names.
    nft: Option<nft::Table>,
    hooked: Device,
    silent: Device,
}

fn main() {
    let mut report = Report::new("lookup");
    Bench::new("bench-lookup").run(|| {
        report.say(&format!("{ROUNDS} rounds in turn: median (least - most)\n"));
        let columns = [
            ("net", "ns"),
            ("alone", "ns"),
            ("LPM trie", "ns"),
            ("nft set", "ns"),
            ("tables", "KiB"),
            ("nft -f", "s"),
            ("looked up by", ""),
        ];
        let mut table = Table::new("set", &columns);
        let mut subjects = vec![];
        for six in [false, true] {
            for size in SIZES {
                subjects.extend(measure(&mut table, size, six));
            }
        }
        report.table(&table);
        for six in [false, true] {
            report.plot(&plot(&subjects, six));
        }
    });
    report.finish();
}

fn measure(table: &mut Table, size: u32, six: bool) -> Vec<Subject> {
    let mut random = Random::new(11);
    let set = prefixes::prefixes(&mut random, size as usize, if six { 10 } else { 0 });
    let folder = tempfile::tempdir().expect("a folder");
    let path = prefixes::write_policy(folder.path(), &set, 1);
    let policy = load(&path).expect("the policy is good").policy;
    let image = compile(&policy);
    let bare = compile(&Policy {
        rules: vec![],
        ..policy
    });
    let hooked = Device::new("hooked");
    let mut judges = Judges {
        with: Kernel::load(&image),
        without: Kernel::load(&bare),
        trie: if six { Peer::Trie6 } else { Peer::Trie4 },
        nft: nft::Table::load("lookup", &nft::set("lookup", hooked.name(), &set)),
        hooked,
        silent: Device::new("silent"),
    };
    let mut subjects: Vec<Subject> = Sources::ALL
        .into_iter()
        .map(|sources| {
            let frames: Vec<Vec<u8>> = (0..PACKETS)
                .map(|_| frame(&mut random, &set, six, sources))
                .collect();
            Subject {
                size,
                six,
                sources,
                replay: Replay::with_prefixes(&frames, judges.hooked.index(), &set),
                net: vec![],
                alone: vec![],
                trie: vec![],
                nft: vec![],
            }
        })
        .collect();
    for _ in 0..ROUNDS {
        for subject in &mut subjects {
            subject.round(&mut judges);
        }
    }
    for subject in &mut subjects {
        let took = judges.nft.as_ref();
        let cells = [
            Cell::of(subject.net.clone()),
            Cell::of(subject.alone.clone()),
            Cell::of(subject.trie.clone()),
            Cell::of(subject.nft.clone()),
            Cell::Count((image.report().bytes >> 10) as u64),
            took.map_or(Cell::Missing, |table| Cell::Number(table.took.as_secs_f64())),
            Cell::Words(image.report().families[usize::from(six)].source.to_string()),
        ];
        table.row(&subject.to_string(), cells);
    }
    subjects
}

impl Subject {
    fn round(&mut self, judges: &mut Judges) {
        let empty = self.replay.peer(Peer::Empty);
        let with = self.replay.subject(judges.with.fd());
        let without = self.replay.subject(judges.without.fd());
        self.net.push(with - empty);
        self.alone.push(with - without);
        self.trie.push(self.replay.peer(judges.trie) - empty);
        if judges.nft.is_some() {
            let [hooked, silent] = [&judges.hooked, &judges.silent].map(Device::index);
            self.nft.push(self.replay.stack(hooked, silent, LIVE));
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.six { "IPv6" } else { "IPv4" };
        write!(f, "{family} {}, {}", self.size, self.sources.word())
    }
}

impl Sources {
    const ALL: [Self; 3] = [Self::Inside, Self::Skewed, Self::Outside];

    const fn word(self) -> &'static str {
        match self {
            Self::Inside => "inside",
            Self::Skewed => "skewed",
            Self::Outside => "outside",
        }
    }
}

fn plot(subjects: &[Subject], six: bool) -> Plot {
    let axes = ["prefixes in the set", "nanoseconds a packet"];
    let mut plot = if six {
        Plot::new("lookup6", "What a set of IPv6 prefixes costs", axes)
    } else {
        Plot::new("lookup4", "What a set of IPv4 prefixes costs", axes)
    };
    let mut add = |name: &str, rounds: fn(&Subject) -> &Vec<f64>, sources| {
        let of_kind = subjects.iter();
        let of_kind = of_kind.filter(|subject| subject.six == six && subject.sources == sources);
        let points = of_kind.filter_map(|subject| {
            let spread = Spread::of(rounds(subject).clone())?;
            Some((f64::from(subject.size), spread.median))
        });
        plot.add(&format!("{name}, {}", sources.word()), Mark::Line, points);
    };
    for sources in Sources::ALL {
        add("Ravelin's set alone", |subject| &subject.alone, sources);
    }
    for sources in [Sources::Inside, Sources::Outside] {
        add("LPM trie", |subject| &subject.trie, sources);
        add("nft set", |subject| &subject.nft, sources);
    }
    plot.add("target", Mark::Target, TARGETS);
    plot
}

fn compile(policy: &Policy) -> TableImage {
    TableImage::compile(policy, &HostFacts::default(), Direction::Inbound).expect("it fits")
}

fn frame(random: &mut Random, set: &[IpNet], six: bool, sources: Sources) -> Vec<u8> {
    let anywhere = if six {
        IpAddr::V6(prefixes::address6(random))
    } else {
        IpAddr::V4(prefixes::address4(random))
    };
    let source = match sources {
        Sources::Inside => prefixes::within(set[random.index(set.len())], anywhere),
        Sources::Skewed => prefixes::within(set[prefixes::zipf(random, set.len())], anywhere),
        Sources::Outside => anywhere,
    };
    match source {
        IpAddr::V4(source) => ether().ipv4().source(source).tcp(443).bytes(),
        IpAddr::V6(source) => ether().ipv6().source(source).tcp(443).bytes(),
    }
}

const SIZES: [u32; 7] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];
const PACKETS: usize = 50_000;
/// Frames of one measurement of nftables.
const LIVE: u32 = 20_000;
const ROUNDS: usize = 9;
const TARGETS: [(f64, f64); 3] = [(1_000.0, 10.0), (100_000.0, 25.0), (1_000_000.0, 50.0)];
