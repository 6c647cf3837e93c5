//! What one packet costs in the kernel, by rule set and number of rules: the trace of each rule set replayed, all rule sets
//! in turn in every round. Beside it nftables with the same rules in a row, at the ingress of the interface.
//!
//! "Net" is above a program that only drops, in the same replay. nftables gets the same packets as live frames: its net is
//! above the same frames on an interface without rules. What it drops goes no further, so its figures are a little too low.

#![expect(clippy::expect_used, reason = "a bench stops when it cannot measure")]

mod profile;

use ravelin_benches::{Cell, Device, Mark, Peer, Plot, Replay, Report, Spread, Table, nft};
use ravelin_rules::{Direction, HostFacts, Policy, TableImage};
use ravelin_tests::classbench::{FAMILIES, policy, trace};
use ravelin_tests::prog_run::{Bench, Kernel};

struct Subject {
    family: &'static str,
    rules: u32,
    kernel: Kernel,
    replay: Replay,
    combined: String,
    table_kib: u64,
    net: Vec<f64>,
    peer: Option<nft::Table>,
    peer_net: Vec<f64>,
    device: Device,
}

fn main() {
    let mut report = Report::new("packet");
    Bench::new("bench-packet").run(|| {
        let bare = Policy {
            rules: vec![],
            ..policy("acl1", 100)
        };
        let without = Device::new("without");
        let mut subjects = vec![Subject::new(NO_RULES, 0, &bare, &trace("acl1", 1000))];
        for family in FAMILIES {
            for size in SIZES {
                let trace = trace(family, size as usize);
                subjects.push(Subject::new(family, size, &policy(family, size as usize), &trace));
            }
        }
        for _ in 0..ROUNDS {
            subjects.iter_mut().for_each(|subject| subject.round(&without));
        }
        show(&mut report, &mut subjects);
        plot(&report, &subjects);
        drop(subjects);
        profile::profile(&mut report);
    });
    report.finish();
}

impl Subject {
    fn new(family: &'static str, rules: u32, policy: &Policy, frames: &[Vec<u8>]) -> Self {
        let image =
            TableImage::compile(policy, &HostFacts::default(), Direction::Inbound).expect("the set compiles");
        let name = format!("{}{rules}", family.replace(' ', ""));
        let device = Device::new(&name);
        let peer = nft::Table::load(&name, &nft::rules(&name, device.name(), policy));
        Self {
            family,
            rules,
            kernel: Kernel::load(&image),
            replay: Replay::new(frames, device.index()),
            combined: image.report().families[0].combined.to_string(),
            table_kib: (image.report().bytes >> 10) as u64,
            net: vec![],
            peer,
            peer_net: vec![],
            device,
        }
    }

    fn round(&mut self, without: &Device) {
        let empty = self.replay.peer(Peer::Empty);
        self.net.push(self.replay.subject(self.kernel.fd()) - empty);
        if self.peer.is_some() {
            // Rules in a row cost some 10 ns each: the time is bounded, and every round goes on in the trace.
            let packets = (3_000_000 / self.rules.max(1)).clamp(2_000, 20_000);
            let net = self.replay.stack(self.device.index(), without.index(), packets);
            self.peer_net.push(net);
        }
    }

    fn name(&self) -> String {
        match self.rules {
            0 => self.family.to_owned(),
            rules => format!("{} {rules}", self.family),
        }
    }
}

fn show(report: &mut Report, subjects: &mut [Subject]) {
    let columns = [
        ("net", "ns"),
        ("nft", "ns"),
        ("verified", ""),
        ("jited", "B"),
        ("tables", "KiB"),
        ("combined by", ""),
    ];
    let mut table = Table::new("rule set", &columns);
    for subject in subjects {
        let cells = [
            Cell::of(subject.net.clone()),
            Cell::of(subject.peer_net.clone()),
            Cell::Count(subject.kernel.verified_instructions().into()),
            Cell::Count(subject.kernel.jited_bytes().into()),
            Cell::Count(subject.table_kib),
            Cell::Words(subject.combined.clone()),
        ];
        table.row(&subject.name(), cells);
    }
    report.say(&format!("{ROUNDS} rounds in turn: median (least - most)\n"));
    report.table(&table);
}

fn plot(report: &Report, subjects: &[Subject]) {
    let axes = ["rules", "nanoseconds a packet, net"];
    let mut plot = Plot::new("packet", "What a packet costs, by the number of rules", axes);
    let points = |rounds: fn(&Subject) -> &Vec<f64>, family: &'static str| {
        let of_family = subjects.iter().filter(move |subject| subject.family == family);
        of_family.filter_map(move |subject| {
            let spread = Spread::of(rounds(subject).clone())?;
            Some((f64::from(subject.rules), spread.median))
        })
    };
    for family in FAMILIES {
        plot.add(
            &format!("Ravelin, {family}"),
            Mark::Line,
            points(|subject| &subject.net, family),
        );
    }
    for family in FAMILIES {
        plot.add(
            &format!("nftables, {family}"),
            Mark::Line,
            points(|subject| &subject.peer_net, family),
        );
    }
    plot.add("bpfilter (reference)", Mark::Published, BPFILTER);
    plot.add("target", Mark::Target, TARGETS);
    report.plot(&plot);
}

const NO_RULES: &str = "no rules";
const SIZES: [u32; 3] = [100, 1_000, 10_000];
const ROUNDS: usize = 9;
/// It does not load 10,000 rules.
const BPFILTER: [(f64, f64); 4] = [(100.0, 90.0), (100.0, 107.0), (1_000.0, 529.0), (1_000.0, 567.0)];
/// The fourth is for fw2.
const TARGETS: [(f64, f64); 4] = [
    (100.0, 20.0),
    (1_000.0, 30.0),
    (10_000.0, 60.0),
    (10_000.0, 150.0),
];
