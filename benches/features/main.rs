//! What each feature of a policy costs a packet: nothing at all, one condition alone, everything at once, and the policies of
//! the guide. Beside it xdp-filter with the same addresses and ports, where it is installed.
//!
//! "Net" is above a program that only drops, in the same replay; "alone" is above a policy without rules, for the same packets.
//! What the verifier walked and what the program became do not depend on how busy the machine is.

#![expect(clippy::expect_used, reason = "a bench stops when it cannot measure")]

mod conditions;
mod flows;
mod limits;
mod packets;
mod peer;

use ravelin_benches::{Cell, Column, Peer, Replay, Report, Table};
use ravelin_rules::policy::InterfaceFacts;
use ravelin_rules::{Direction, HostFacts, Policy, TableImage, load_text};
use ravelin_tests::guide;
use ravelin_tests::prog_run::{Bench, Kernel, interface, interfaces};
use ravelin_tests::random::Random;

/// A policy and packets for it.
struct Subject {
    name: String,
    kernel: Kernel,
    /// Without its rules, when it has some.
    bare: Option<Kernel>,
    replay: Replay,
    tables_kib: u64,
    net: Vec<f64>,
    alone: Vec<f64>,
}

fn main() {
    let mut report = Report::new("features");
    Bench::new("bench-features").run(|| {
        report.say(&format!("{ROUNDS} rounds in turn: median (least - most)\n"));
        no_rules(&mut report);
        conditions(&mut report);
        extremes(&mut report);
        show(
            &mut report,
            "flow state, above a policy without",
            flows::subjects(),
        );
        show(
            &mut report,
            "limits, above the same rule without",
            limits::subjects(),
        );
        real(&mut report);
        peer::compare(&mut report);
    });
    report.finish();
}

/// Parsing, the verdict without a rule, and counting.
fn no_rules(report: &mut Report) {
    let kinds = packets::KINDS.iter();
    let subjects = kinds.map(|(name, frame)| {
        let mut random = Random::new(3);
        let frames = (0..FRAMES).map(|_| frame(&mut random)).collect();
        Subject::new(name, &policy(""), frames)
    });
    show(report, "no rules", subjects.collect());
}

/// One condition in every rule, or one word in one.
fn conditions(report: &mut Report) {
    let subjects = conditions::ALONE.iter();
    let subjects = subjects.map(|(name, text, frame)| {
        let mut random = Random::new(5);
        let frames = (0..FRAMES).map(|_| frame(&mut random)).collect();
        Subject::new(name, &policy(&text()), frames)
    });
    show(report, "condition alone", subjects.collect());
}

/// What a policy does not use is gone from the program.
fn extremes(report: &mut Report) {
    let [least, bans, most] = [
        conditions::least() + "bans = false\n",
        conditions::least(),
        conditions::most(),
    ]
    .map(|text| loaded(&text));
    let subject = |name, policy: &Policy| Subject::new(name, policy, packets::towards(policy, FRAMES));
    let subjects = vec![
        subject("minimal policy", &least),
        subject("with bans, of which there is none", &bans),
        subject("maximal policy", &most),
    ];
    show(report, "pay for what you use", subjects);
}

/// The policies of the guide, with packets that their rules are about.
fn real(report: &mut Report) {
    let subjects = guide::policies().into_iter().map(|(name, policy)| {
        let frames = packets::towards(&policy, FRAMES);
        Subject::new(name.trim_end_matches(".toml"), &policy, frames)
    });
    show(report, "policy of the guide", subjects.collect());
}

fn show(report: &mut Report, title: &str, mut subjects: Vec<Subject>) {
    for _ in 0..ROUNDS {
        subjects.iter_mut().for_each(Subject::round);
    }
    let mut table = Table::new(title, &COLUMNS);
    for subject in &mut subjects {
        let cells = [
            Cell::of(subject.net.clone()),
            Cell::of(subject.alone.clone()),
            Cell::Count(subject.kernel.verified_instructions().into()),
            Cell::Count(subject.kernel.jited_bytes().into()),
            Cell::Count(subject.tables_kib),
        ];
        table.row(&subject.name, cells);
    }
    report.table(&table);
}

impl Subject {
    fn new(name: &str, policy: &Policy, frames: Vec<Vec<u8>>) -> Self {
        let image = compile(policy);
        let bare = Policy {
            rules: vec![],
            ..policy.clone()
        };
        let kernel = Kernel::load(&image);
        let bare = (!policy.rules.is_empty()).then(|| Kernel::load(&compile(&bare)));
        Self::of(name, kernel, bare, Replay::new(&frames, interface()), &image)
    }

    fn of(name: &str, kernel: Kernel, bare: Option<Kernel>, replay: Replay, image: &TableImage) -> Self {
        Self {
            name: name.to_owned(),
            kernel,
            bare,
            replay,
            tables_kib: (image.report().bytes >> 10) as u64,
            net: vec![],
            alone: vec![],
        }
    }

    fn round(&mut self) {
        let empty = self.replay.peer(Peer::Empty);
        let with = self.replay.subject(self.kernel.fd());
        self.net.push(with - empty);
        if let Some(bare) = &mut self.bare {
            self.alone.push(with - self.replay.subject(bare.fd()));
        }
    }
}

/// On a host whose interfaces are those of the bench.
fn compile(policy: &Policy) -> TableImage {
    TableImage::compile(policy, &host(policy), Direction::Inbound).expect("it fits")
}

fn host(policy: &Policy) -> HostFacts {
    let named = policy.firewall.interfaces.iter().zip(interfaces());
    HostFacts {
        interfaces: named
            .map(|(interface, index)| InterfaceFacts {
                name: interface.name.clone(),
                index,
                addresses: OWN.map(|address| address.parse().expect("an address")).to_vec(),
            })
            .collect(),
        ..HostFacts::default()
    }
}

/// These rules below the usual head.
fn policy(rules: &str) -> Policy {
    loaded(&format!("{HEAD}{rules}"))
}

fn loaded(text: &str) -> Policy {
    match load_text(text) {
        Ok(loaded) => loaded.policy,
        Err(report) => panic!("{}", report.render()),
    }
}

const HEAD: &str = "[firewall]\ninterfaces = [\"wan\", \"lan\"]\nstateful = false\nbans = false\n";
const OWN: [&str; 2] = ["198.51.100.1", "2001:db8:1::1"];
const COLUMNS: [Column; 5] = [
    ("net", "ns"),
    ("alone", "ns"),
    ("verified", ""),
    ("jited", "B"),
    ("tables", "KiB"),
];
const FRAMES: usize = 5_000;
const ROUNDS: usize = 9;
