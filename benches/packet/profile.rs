//! Where the nanoseconds of a packet go: the same tables with one part of the packet path after the other.
//!
//! A part that is switched off is a constant in the program, and the verifier deletes its code. What a part costs is what the
//! program costs with it, less what it costs without. Counting and reading headers are measured as programs of their own.

use ravelin_benches::{Cell, Device, Peer, Replay, Report, Spread, Table};
use ravelin_datapath::wire::Setting;
use ravelin_rules::{Direction, HostFacts, TableImage};
use ravelin_tests::classbench::{FAMILIES, policy, trace};
use ravelin_tests::prog_run::Kernel;

use crate::{ROUNDS, SIZES};

/// A rule set, by the parts that are there.
struct Parts {
    name: String,
    replay: Replay,
    kernels: [Kernel; PARTS],
    /// Of the two programs and of each of those above an empty one, round by round.
    net: [Vec<f64>; PEERS.len() + PARTS],
    _device: Device,
}

/// No rules and no source, no rules, no service, everything.
const PARTS: usize = 4;
const PEERS: [Peer; 2] = [Peer::Headers, Peer::Counted];

pub(crate) fn profile(report: &mut Report) {
    let mut sets: Vec<Parts> = FAMILIES
        .into_iter()
        .flat_map(|family| SIZES.map(|rules| Parts::new(family, rules)))
        .collect();
    for _ in 0..ROUNDS {
        sets.iter_mut().for_each(Parts::round);
    }
    report.say(
        "where the nanoseconds go: medians, each part above the program without it; \"headers\" and \"counters\" are programs of their own, and in \"parse\" already\n",
    );
    let columns = [
        ("headers", "ns"),
        ("counters", "ns"),
        ("parse, count", "ns"),
        ("source", "ns"),
        ("destination, combine", "ns"),
        ("service", "ns"),
        ("all", "ns"),
    ];
    let mut table = Table::new("rule set", &columns);
    for set in sets {
        let medians = set
            .net
            .map(|net| Spread::of(net).map_or(0.0, |spread| spread.median));
        let [headers, counters, parse, source, destination, all] = medians;
        let cells = [
            headers,
            counters,
            parse,
            source - parse,
            destination - source,
            all - destination,
            all,
        ];
        table.row(&set.name, cells.map(Cell::Number));
    }
    report.table(&table);
}

impl Parts {
    fn new(family: &str, rules: u32) -> Self {
        let policy = policy(family, rules as usize);
        let image = || {
            TableImage::compile(&policy, &HostFacts::default(), Direction::Inbound).expect("the set compiles")
        };
        let without_rules = |image: TableImage| image.with(Setting::Combine4, 0).with(Setting::Combine6, 0);
        let name = format!("p{}{rules}", family.replace(' ', ""));
        let device = Device::new(&name);
        Self {
            name: format!("{family} {rules}"),
            replay: Replay::new(&trace(family, rules as usize), device.index()),
            kernels: [
                without_rules(image())
                    .with(Setting::SourceRootBits4, 0)
                    .with(Setting::SourceRoot4, 0),
                without_rules(image()),
                image().with(Setting::ServiceUsed, 0),
                image(),
            ]
            .map(|image| Kernel::load(&image)),
            net: Default::default(),
            _device: device,
        }
    }

    fn round(&mut self) {
        let empty = self.replay.peer(Peer::Empty);
        let (peers, parts) = self.net.split_at_mut(PEERS.len());
        for (peer, net) in PEERS.into_iter().zip(peers) {
            net.push(self.replay.peer(peer) - empty);
        }
        for (kernel, net) in self.kernels.iter_mut().zip(parts) {
            net.push(self.replay.subject(kernel.fd()) - empty);
        }
    }
}
