//! The law for sequences in the kernel: both programs, with the flow tables that they share, say of every packet what the oracle says.
//!
//! `sequences.rs` asks the same of the datapath in user space. Hours pass here too: the clock of flows is told.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use ipnet::IpNet;
use ravelin_daemon::network::bans::never::Never;
use ravelin_daemon::network::bans::{Bans, Wish};
use ravelin_datapath::wire::Setting;
use ravelin_datapath::{ClassSet, Decision, Reason, Verdict};
use ravelin_rules::reference;
use ravelin_rules::{Direction, HostFacts, Policy, TableImage};
use ravelin_tests::cookies::Listening;
use ravelin_tests::packet::ether;
use ravelin_tests::prog_run::{self, Bench, FLOWS, FlowMemory, Kernel, TestPins};
use ravelin_tests::random;
use ravelin_tests::requires;
use ravelin_tests::sequence::{Sequence, host, sequences, story};

#[test]
fn the_oracle_and_the_kernel_agree_on_every_packet_of_a_sequence() {
    requires!(Root, Bpf, NetworkNamespaces);
    let bench = Bench::new("flows");
    let seed = random::seed();
    let mut reasons: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut packets = 0;
    for first in sequences(seed, POLICIES, PACKETS) {
        bench.run(|| {
            let mut world = World::of(&first);
            for round in 0..ROUNDS {
                for key in world.judge(&first.another(first.seed ^ round)) {
                    *reasons.entry(key).or_default() += 1;
                    packets += 1;
                }
            }
        });
    }
    println!(
        "seed {seed}: {} sequences, {packets} packets in the kernel, 0 differences\n{reasons:?}",
        POLICIES as u64 * ROUNDS
    );
    for reason in [Reason::Limit, Reason::SynBudget, Reason::SynCookie] {
        let count = reasons.get(&(reason.label(), Direction::Inbound.word()));
        assert!(
            count.is_some_and(|count| count * 1000 > packets),
            "too few of {reason:?}: {reasons:?}"
        );
    }
    for direction in Direction::ALL {
        let flows = reasons.get(&(Reason::Flow.label(), direction.word()));
        assert!(
            flows.is_some_and(|count| count * 15 > packets),
            "flows decide about too few packets to prove anything: {reasons:?}"
        );
    }
}

#[test]
fn a_flood_of_opening_flows_pushes_out_none_that_has_settled_and_what_finds_no_room_goes_on_among_them() {
    requires!(Root, Bpf, NetworkNamespaces);
    Bench::new("flows-full").run(|| {
        let sequence = Sequence::under_policy("[firewall]\ninterfaces = [\"eth0\"]\n");
        let mut world = World::of(&sequence);
        let kernel = &mut world.kernels[0];
        let mut passes = |direction: Direction, peer: u32, reason: Reason| {
            // A millisecond a peer: who came first is the oldest, and none of them is over.
            kernel.turn(direction, 1_000_000_000 + u64::from(peer) * 1_000_000);
            let verdict = match (direction, reason) {
                (Direction::Inbound, Reason::Default) => Verdict::Deny,
                _ => Verdict::Allow,
            };
            let expected = Decision {
                verdict,
                reason,
                rule: None,
                observed: None,
                seen: ClassSet::default(),
            };
            kernel.confirm(&datagram(direction, peer), &expected).is_ok()
        };
        let (settled, flood) = (FLOWS - 24, 10 * FLOWS);
        for peer in 0..settled {
            assert!(passes(Direction::Outbound, peer, Reason::Default));
            assert!(passes(Direction::Inbound, peer, Reason::Flow));
        }
        for peer in settled..settled + flood {
            assert!(passes(Direction::Outbound, peer, Reason::Default));
        }
        for peer in 0..settled {
            assert!(
                passes(Direction::Inbound, peer, Reason::Flow),
                "{peer} was settled"
            );
        }
        let [newest, oldest] = [settled + flood - 1, settled];
        assert!(passes(Direction::Inbound, newest, Reason::Flow));
        assert!(
            passes(Direction::Inbound, oldest, Reason::Default),
            "the oldest has given way"
        );

        // More settle than there is room for: they go on among those that may be pushed out.
        let more = 3 * FLOWS;
        for peer in settled + flood..settled + flood + more {
            assert!(passes(Direction::Outbound, peer, Reason::Default));
            assert!(passes(Direction::Inbound, peer, Reason::Flow));
        }
        for peer in 0..settled {
            assert!(
                passes(Direction::Inbound, peer, Reason::Flow),
                "{peer} was settled"
            );
        }
        let [opened, in_table, no_room, not_settled, ..] = kernel.flow_events();
        assert_eq!(opened, u64::from(settled + flood + more));
        // There are twice as many ways as there is room promised; one in eight is never kept.
        assert!((FLOWS..=FLOWS * 7 / 4).contains(&u32::try_from(in_table).expect("few")));
        assert_eq!(
            (no_room, in_table + not_settled),
            (0, u64::from(settled + 1 + more))
        );
    });
}

#[test]
fn who_brings_a_cookie_back_is_known_and_has_an_established_flow_and_who_brings_another_number_has_not() {
    requires!(Root, Bpf, NetworkNamespaces);
    Bench::new("cookies").run(|| {
        let sequence = Sequence::under_policy(COOKIES);
        let mut world = World::of(&sequence);
        let sockets = world.sockets.clone();
        let kernel = &mut world.kernels[0];
        for v6 in [false, true] {
            let now = 1_000_000_000_000;
            let [_, _, _, _, _, before] = kernel.flow_events();
            let said = |kernel: &mut Kernel, host: u8, tick: u64, flags: u64, numbers: [u32; 2]| {
                kernel.turn(Direction::Inbound, now + tick);
                let frame = tcp(v6, host, flags, numbers);
                let decision = kernel.decide(&frame, false);
                let cookie = kernel.answer().map(|answer| sockets.answered(&frame, answer));
                (decision.reason, cookie)
            };
            let (syn, ack, minute) = (2, 16, 60_000_000_000);
            // Whoever comes first may take what the budget has: the second of two is over it.
            said(kernel, 1, 0, syn, [1000, 0]);
            let (reason, honest) = said(kernel, 2, 0, syn, [1000, 0]);
            assert_eq!(reason, Reason::SynCookie);
            let honest = honest.expect("an answer");
            let (_, other) = said(kernel, 3, 0, syn, [1000, 0]);
            let guess = other.expect("an answer").wrapping_add(1 << 20);
            assert_eq!(
                said(kernel, 2, 1, ack, [1001, honest.wrapping_add(1)]).0,
                Reason::Rule
            );
            assert_eq!(said(kernel, 3, 1, ack, [1001, guess]).0, Reason::Rule);
            // Somebody else's cookie is nobody's.
            assert_eq!(
                said(kernel, 4, 1, ack, [1001, honest.wrapping_add(1)]).0,
                Reason::Rule
            );
            let [.., proven] = kernel.flow_events();
            assert_eq!(proven, before + 1);
            assert_eq!(said(kernel, 2, 2, syn, [2000, 0]).0, Reason::Rule, "it is known");
            assert_eq!(
                said(kernel, 3, 2, syn, [2000, 0]).0,
                Reason::SynCookie,
                "it is not"
            );
            assert_eq!(said(kernel, 4, 2, syn, [2000, 0]).0, Reason::SynCookie, "nor it");
            let later = 2 * minute;
            assert_eq!(
                said(kernel, 2, later, ack, [1001, 7]).0,
                Reason::Flow,
                "it is established"
            );
            assert_eq!(
                said(kernel, 3, later, ack, [1001, 7]).0,
                Reason::Rule,
                "it was opening, and is over"
            );
        }
    });
}

/// A TCP packet to the host's web server, of one of a few others.
fn tcp(v6: bool, host: u8, flags: u64, [sequence, acknowledged]: [u32; 2]) -> Vec<u8> {
    let ip = if v6 {
        let source = [0x2001, 0xdb8, 2, host.into(), 0, 0, 0, 7];
        ether()
            .ipv6()
            .source(IpAddr::from(source))
            .destination(IpAddr::from([0x2001, 0xdb8, 1, 0, 0, 0, 0, 9]))
    } else {
        ether()
            .ipv4()
            .source(IpAddr::from([10, 0, 0, host]))
            .destination(IpAddr::from([203, 0, 113, 9]))
    };
    ip.tcp(443)
        .with("source-port", 5000)
        .with("flags", flags)
        .with("sequence", sequence.into())
        .with("acknowledgement", acknowledged.into())
        .with("options", if flags == 2 { 4 } else { 0 })
        .bytes()
}

const COOKIES: &str = r#"
[firewall]
interfaces = ["eth0"]
[flood]
syn_budget = { rate = "1/h", burst = 1 }
[[rule]]
name = "web"
action = "allow"
protocol = "tcp"
ports = 443
[[listener]]
name = "web"
bind = ["0.0.0.0:443", "[::]:443"]
syn_proxy = "auto"
routes = [{ upstream = "app" }]
tls = { certificates = [{ cert = "a.pem", key = "a.key" }] }
[[upstream]]
name = "app"
servers = ["127.0.0.1:8080"]
"#;

#[test]
fn a_flood_of_first_fragments_pushes_out_the_oldest_and_what_is_denied_pushes_out_none() {
    requires!(Root, Bpf, NetworkNamespaces);
    Bench::new("fragments-full").run(|| {
        let sequence = Sequence::under_policy("[firewall]\ninterfaces = [\"eth0\"]\n");
        let mut world = World::of(&sequence);
        let kernel = &mut world.kernels[0];
        let mut said = |direction: Direction, id: u32, offset: u64| {
            kernel.turn(direction, 1_000_000_000);
            let decision = kernel.decide(&fragment(direction, id, offset), false);
            (decision.verdict, decision.reason)
        };
        let (follows, orphan) = (
            (Verdict::Allow, Reason::FragmentLater),
            (Verdict::Deny, Reason::FragmentOrphan),
        );
        assert_eq!(said(Direction::Outbound, 0, 0).0, Verdict::Allow);
        for id in 1..=10 * FLOWS {
            assert_eq!(said(Direction::Inbound, id, 0).0, Verdict::Deny);
        }
        assert_eq!(
            said(Direction::Outbound, 0, 2),
            follows,
            "a flood of what is denied"
        );
        assert_eq!(said(Direction::Inbound, 10 * FLOWS, 2), orphan);
        for id in 1..=10 * FLOWS {
            assert_eq!(said(Direction::Outbound, id, 0).0, Verdict::Allow);
        }
        assert_eq!(said(Direction::Outbound, 10 * FLOWS, 2), follows, "the newest");
        assert_eq!(
            said(Direction::Outbound, 1, 2),
            orphan,
            "the oldest has given way"
        );
        let [.., datagrams, _] = kernel.flow_events();
        assert_eq!(datagrams, u64::from(10 * FLOWS + 1));
    });
}

/// A fragment of a datagram between the host and a peer, which begins so many units from its start.
fn fragment(direction: Direction, id: u32, offset: u64) -> Vec<u8> {
    let (host, peer) = (IpAddr::from([203, 0, 113, 9]), IpAddr::from([10, 0, 0, 1]));
    let (from, to) = match direction {
        Direction::Inbound => (peer, host),
        Direction::Outbound => (host, peer),
    };
    let ip = ether().ipv4().source(from).destination(to);
    let ip = ip.with("id", u64::from(id & 0xffff)).with("offset", offset);
    if offset == 0 {
        return ip.with("flags", 1).udp(53).payload(8).bytes();
    }
    ip.with("protocol", 17).payload(8).bytes()
}

/// A datagram between the host and one of many peers.
fn datagram(direction: Direction, peer: u32) -> Vec<u8> {
    let (host, peer) = (
        IpAddr::from([203, 0, 113, 9]),
        IpAddr::from((0x0a00_0000 | peer).to_be_bytes()),
    );
    let (from, to) = match direction {
        Direction::Inbound => (peer, host),
        Direction::Outbound => (host, peer),
    };
    ether()
        .ipv4()
        .source(from)
        .destination(to)
        .udp(53)
        .with("source-port", 53)
        .bytes()
}

/// Two policies in the kernel, over one memory of flows.
struct World {
    policies: Vec<(Policy, HostFacts)>,
    images: Vec<[TableImage; 2]>,
    kernels: Vec<Kernel>,
    memory: FlowMemory,
    pins: TestPins,
    /// The host's sockets: on one port that policies answer for, nobody listens.
    sockets: Rc<Listening>,
    /// Counts the changes of policy over all sequences, so that no flow of one is known to the next.
    epoch: u32,
}

impl World {
    fn of(sequence: &Sequence) -> Self {
        let policies: Vec<(Policy, HostFacts)> = sequence
            .policies()
            .into_iter()
            .map(|policy| {
                let mut host = host(&policy);
                host.interfaces[0].index = prog_run::interface();
                (policy, host)
            })
            .collect();
        let images: Vec<[TableImage; 2]> = policies.iter().map(tables).collect();
        let (memory, pins) = (FlowMemory::new(), TestPins::new());
        let kernels = images
            .iter()
            .zip(&policies)
            .map(|([inbound, outbound], (policy, _))| {
                Kernel::both([inbound, outbound], &memory, &pins, &Never::of(policy))
            })
            .collect();
        Self {
            policies,
            images,
            kernels,
            memory,
            pins,
            sockets: Rc::new(Listening::on(&[443, 53])),
            epoch: 0,
        }
    }

    #[track_caller]
    fn judge(&mut self, sequence: &Sequence) -> Vec<(&'static str, &'static str)> {
        let mut oracle = reference::World::with_tcp(self.sockets.clone());
        self.memory.forget();
        self.sockets.forget();
        let mut book = Bans::open(self.pins.pins()).expect("the maps are there");
        let mut banned = vec![];
        let mut epoch = 0;
        let mut reasons = Vec::new();
        for (number, step) in sequence.steps.iter().enumerate() {
            if step.epoch != epoch {
                oracle.new_policy();
                epoch = step.epoch;
                self.epoch += 1;
                self.kernels[step.policy].rewrite(&self.images[step.policy], self.epoch);
            }
            if sequence.bans[step.bans] != banned {
                for prefix in banned {
                    book.unban(prefix).expect("the kernel answers");
                }
                banned = sequence.bans[step.bans].clone();
                for prefix in &banned {
                    book.ban(&for_an_hour(*prefix), 0).expect("room for a ban");
                }
                oracle.set_bans(sequence.banned(step));
            }
            let (policy, host) = &self.policies[step.policy];
            let (origin, mut bytes) = (step.origin(prog_run::interface()), step.packet.bytes());
            self.sockets.follow(step.direction, &mut bytes);
            let wanted = oracle.judge(policy, host, step.direction, origin, &bytes);
            let kernel = &mut self.kernels[step.policy];
            kernel.turn(step.direction, step.tick);
            if let Err(said) = kernel.confirm(&bytes, &wanted) {
                panic!(
                    "seed {}, packet {number}: {said}\n{}",
                    sequence.seed,
                    story(sequence, number)
                );
            }
            if let Some(answer) = kernel.answer() {
                self.sockets.answered(&bytes, answer);
            }
            reasons.push((wanted.reason.label(), step.direction.word()));
        }
        for prefix in banned {
            book.unban(prefix).expect("the kernel answers");
        }
        reasons
    }
}

/// Longer than the test lives.
fn for_an_hour(prefix: IpNet) -> Wish {
    Wish {
        prefix,
        lasts: Duration::from_secs(3600),
        reason: String::new(),
    }
}

/// What a policy says of both directions, with a clock that is told.
fn tables((policy, host): &(Policy, HostFacts)) -> [TableImage; 2] {
    Direction::ALL.map(|direction| {
        TableImage::compile(policy, host, direction)
            .unwrap_or_else(|error| panic!("a policy of five rules: {error}"))
            .with(Setting::FlowClockTold, 1)
    })
}

const POLICIES: usize = 50;
const ROUNDS: u64 = 10;
const PACKETS: usize = 60;
