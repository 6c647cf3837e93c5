//! The lints are exact: a rule is said to do nothing if and only if no packet exists that it decides.
//!
//! Small random policies, and for each of their dimensions one value of every class that their rules tell apart: each combination
//! is a packet, and the oracle says which rules decide about any of them.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ravelin_datapath::Origin;
use ravelin_rules::policy::{Action, Direction, HostFacts, Mode, Policy, Rule};
use ravelin_rules::{Code, Thoroughness, load, reference};
use ravelin_tests::packet::{Packet, ether};
use ravelin_tests::random::{self, AddressWord, Sketch};

#[test]
fn a_rule_is_said_to_do_nothing_if_and_only_if_no_packet_exists_that_it_decides() {
    let (mut policies, mut rules, mut idle, mut packets) = (0, 0, 0, 0);
    for case in random::cases(random::seed() ^ 8, CANDIDATES, 0) {
        let sketch = small(case.sketch);
        let (policy, host) = (sketch.policy(), sketch.host());
        // Cut to size, some policies make no sense any more.
        let Some(said) = said(&sketch, &host) else {
            continue;
        };
        let mut acting = BTreeSet::new();
        for direction in Direction::ALL {
            packets += acting_rules(&policy, &host, direction, &mut acting);
        }
        for (index, rule) in (0..).zip(&policy.rules) {
            let now = host.clock.unix / 1_000_000_000;
            // A rule that goes on with the next scope decides nothing by itself, and one that has ended is another lint.
            let goes_on = rule.mode == Mode::Enforce && rule.action == Action::Next;
            if goes_on || rule.expires.is_some_and(|end| end.unix() <= now) {
                continue;
            }
            rules += 1;
            let acts = acting.contains(&index);
            idle += usize::from(!acts);
            assert_eq!(
                said.contains(rule.name.as_str()),
                !acts,
                "rule `{}`, seed {}: the oracle finds {} packet that it decides\n{}\nhost {host:?}",
                rule.name,
                case.seed,
                if acts { "a" } else { "no" },
                sketch.toml()
            );
        }
        policies += 1;
    }
    println!("{policies} policies, {rules} rules, {idle} of them do nothing, {packets} packets");
    assert!(policies >= 2_000 && idle * 10 >= rules && idle * 10 <= rules * 9);
}

/// The rules that the lints call idle.
fn said(sketch: &Sketch, host: &HostFacts) -> Option<BTreeSet<String>> {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = load(&sketch.write(folder.path())).ok()?;
    let report = loaded.lint(host, Thoroughness::Likely);
    let idle = report.diagnostics().iter().filter(|diagnostic| {
        let does_nothing =
            diagnostic.message.contains(" does nothing") || diagnostic.message.contains(" never matches:");
        assert_ne!(diagnostic.code, Code::LintsNotDecided);
        does_nothing && diagnostic.message.starts_with("rule `")
    });
    let names = idle.map(|diagnostic| {
        diagnostic
            .message
            .split('`')
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    });
    Some(names.collect())
}

/// A policy whose classes can be counted.
fn small(mut sketch: Sketch) -> Sketch {
    sketch.rules.truncate(5);
    sketch.classes.clear();
    for set in &mut sketch.sets {
        set.entries.truncate(3);
    }
    for rule in &mut sketch.rules {
        rule.ports.truncate(2);
        rule.source_ports.truncate(1);
        rule.icmp.truncate(2);
        rule.source.truncate(4);
        rule.destination.truncate(4);
        // Cutting a list may leave one that nothing can meet.
        for words in [&mut rule.source, &mut rule.destination] {
            words.retain(|word| !matches!(word, AddressWord::Set(_)) || !matches!(word, AddressWord::Not(_)));
        }
        if !rule.protocols.is_empty() && rule.protocols.iter().any(|number| matches!(number, 1 | 58)) {
            rule.source.clear();
            rule.destination.clear();
        }
    }
    sketch.host.iter_mut().for_each(|addresses| addresses.truncate(1));
    if sketch.host.iter().all(Vec::is_empty) {
        sketch.host[0].push("192.0.2.200".parse().expect("an address"));
    }
    sketch
}

/// Adds the rules that decide about, or observe, any packet; how many packets were judged.
fn acting_rules(policy: &Policy, host: &HostFacts, direction: Direction, acting: &mut BTreeSet<u32>) -> u64 {
    let rules: Vec<&Rule> = policy
        .rules
        .iter()
        .filter(|rule| rule.direction == direction)
        .collect();
    let mut packets = 0;
    for ipv4 in [true, false] {
        let services = services(&rules, ipv4);
        for interface in &host.interfaces {
            for now in moments(&rules, host) {
                let origin = Origin {
                    loopback: false,
                    interface: interface.index,
                    now,
                    ..Origin::default()
                };
                let unix = (host.clock.unix + (now - host.clock.boot)) / 1_000_000_000;
                let classes =
                    |source| addresses(policy, host, &rules, source, ipv4, &interface.addresses, unix);
                let (sources, destinations) = (classes(true), classes(false));
                for source in &sources {
                    for destination in &destinations {
                        for service in &services {
                            // Of the addresses of a class, one that is not the other side's.
                            let Some((source, destination)) = apart(source, destination) else {
                                continue;
                            };
                            let base = if ipv4 { ether().ipv4() } else { ether().ipv6() };
                            let frame = service
                                .on(base.source(source).destination(destination), ipv4)
                                .bytes();
                            let decision = reference::judge(policy, host, direction, origin, &frame);
                            acting.extend(decision.rule);
                            acting.extend(decision.observed);
                            packets += 1;
                        }
                    }
                }
            }
        }
    }
    packets
}

fn apart(sources: &[IpAddr], destinations: &[IpAddr]) -> Option<(IpAddr, IpAddr)> {
    let pairs = sources.iter().flat_map(|source| {
        destinations
            .iter()
            .map(move |destination| (*source, *destination))
    });
    pairs
        .into_iter()
        .find(|(source, destination)| source != destination)
}

/// The present, and right after everything that ends.
fn moments(rules: &[&Rule], host: &HostFacts) -> BTreeSet<u64> {
    let mut moments = BTreeSet::from([host.clock.boot]);
    for rule in rules {
        let sets = [&rule.source, &rule.destination].map(|side| side.include.iter().chain([&side.exclude]));
        let entries = sets.into_iter().flatten().flat_map(|set| set.elements());
        let ends = entries.filter_map(|element| element.expires).chain(rule.expires);
        for end in ends {
            let unix = end.unix() * 1_000_000_000;
            if unix > host.clock.unix {
                moments.insert(host.clock.boot + (unix - host.clock.unix));
            }
        }
    }
    moments
}

/// Up to two addresses of each class: those at the edges of everything, by what they satisfy.
fn addresses(
    policy: &Policy,
    host: &HostFacts,
    rules: &[&Rule],
    source: bool,
    ipv4: bool,
    own: &[IpAddr],
    unix: u64,
) -> Vec<Vec<IpAddr>> {
    let side = |rule: &'_ &Rule| {
        if source {
            rule.source.clone()
        } else {
            rule.destination.clone()
        }
    };
    let mut candidates: BTreeSet<IpAddr> = own.iter().copied().collect();
    for text in ["8.8.8.8", "8.8.4.4", "2600::1", "2600::2"] {
        candidates.insert(text.parse().expect("an address"));
    }
    for rule in rules {
        let side = side(rule);
        for element in side
            .include
            .iter()
            .chain([&side.exclude])
            .flat_map(|set| set.elements())
        {
            let (first, last) = (element.prefix.network(), element.prefix.broadcast());
            candidates.extend([
                first,
                last,
                step(first, false),
                step(last, true),
                step(first, true),
                step(last, false),
            ]);
        }
    }
    for vpc in &policy.vpcs {
        for element in vpc.cidrs.elements() {
            let (first, last) = (element.prefix.network(), element.prefix.broadcast());
            candidates.extend([
                first,
                last,
                step(first, false),
                step(last, true),
                step(first, true),
            ]);
        }
    }
    // What ends the sources that cannot come from the wire.
    for text in [
        "0.255.255.255",
        "1.0.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "223.255.255.255",
        "::",
        "::2",
        "::fffe:ffff:ffff",
        "::1:0:0:0",
        "feff:ffff::",
    ] {
        candidates.insert(text.parse().expect("an address"));
    }
    let mut classes: BTreeMap<Vec<bool>, Vec<IpAddr>> = BTreeMap::new();
    for address in candidates.into_iter().filter(|address| address.is_ipv4() == ipv4) {
        let mut satisfies: Vec<bool> = rules
            .iter()
            .map(|rule| side(rule).contains(address, own, unix))
            .collect();
        // Sources that are spoofed here are a class of their own: by VPC, by the fixed ranges, by being the host's.
        satisfies.extend(policy.vpcs.iter().map(|vpc| {
            vpc.cidrs
                .elements()
                .iter()
                .any(|element| element.prefix.contains(&address))
        }));
        satisfies.push(host.addresses().any(|own| own == address));
        satisfies.push(match address {
            IpAddr::V4(address) => matches!(address.octets()[0], 0 | 127 | 224..=255),
            IpAddr::V6(address) => {
                address.is_loopback() || address.is_multicast() || address.to_ipv4_mapped().is_some()
            }
        });
        // Which may send little.
        satisfies.push(address.is_unspecified());
        let class = classes.entry(satisfies).or_default();
        if class.len() < 3 {
            class.push(address);
        }
    }
    classes.into_values().collect()
}

fn step(address: IpAddr, up: bool) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let bits = address.to_bits();
            IpAddr::V4(
                if up {
                    bits.saturating_add(1)
                } else {
                    bits.saturating_sub(1)
                }
                .into(),
            )
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            IpAddr::V6(
                if up {
                    bits.saturating_add(1)
                } else {
                    bits.saturating_sub(1)
                }
                .into(),
            )
        }
    }
}

/// What a packet has besides addresses.
#[derive(Clone, Copy)]
enum Service {
    /// Protocol, source port, destination port, flags.
    Ports(u8, u16, u16, u8),
    /// Type and code, of the family's own ICMP.
    Message(u8, u8),
    Other(u8),
    /// A later fragment of this protocol.
    Fragment(u8),
}

impl Service {
    fn on(self, packet: Packet, ipv4: bool) -> Packet {
        match self {
            Self::Ports(number, source_port, port, flags) => {
                let packet = match number {
                    6 => packet.tcp(port).with("flags", flags.into()),
                    17 => packet.udp(port),
                    _ => packet.sctp(port),
                };
                packet.with("source-port", source_port.into())
            }
            Self::Message(kind, code) if ipv4 => packet.icmp(kind, code),
            Self::Message(kind, code) => packet.icmpv6(kind, code),
            Self::Other(number) => {
                let field = if ipv4 { "protocol" } else { "next" };
                packet.with(field, number.into()).payload(8)
            }
            Self::Fragment(number) if ipv4 => packet
                .with("protocol", number.into())
                .with("offset", 2)
                .payload(8),
            Self::Fragment(number) => packet.fragment(2, false).with("next", number.into()).payload(8),
        }
    }
}

/// One packet, still without addresses, for each class of protocol, ports, messages and flags.
fn services(rules: &[&Rule], ipv4: bool) -> Vec<Service> {
    let mut ports: BTreeSet<u16> = BTreeSet::from([7, 67, 68, 546, 547]);
    let mut source_ports = ports.clone();
    let mut numbers: BTreeSet<u8> = BTreeSet::from([6, 17, 132, 253]);
    let mut messages: BTreeSet<(u8, u8)> = BTreeSet::from([(200, 0), (8, 0), (128, 0)]);
    for rule in rules {
        for (ranges, edges) in [(&rule.ports, &mut ports), (&rule.source_ports, &mut source_ports)] {
            for range in ranges {
                edges.extend([
                    range.first,
                    range.last,
                    range.first.saturating_sub(1),
                    range.last.saturating_add(1),
                ]);
            }
        }
        if let ravelin_rules::policy::Protocols::Only(only) = &rule.protocols {
            numbers.extend(only);
        }
        for message in &rule.icmp {
            let code = message.code.unwrap_or(0);
            messages.extend([
                (message.kind, code),
                (message.kind, code.wrapping_add(1)),
                (message.kind, 0),
            ]);
        }
    }
    let mut classes: BTreeMap<Vec<u32>, Service> = BTreeMap::new();
    let within = |ranges: &[ravelin_rules::policy::PortRange], port: u16| {
        ranges
            .iter()
            .any(|range| (range.first..=range.last).contains(&port))
    };
    for number in numbers {
        let of_protocol: Vec<u32> = rules
            .iter()
            .map(|rule| u32::from(rule.protocols.contains(number)))
            .collect();
        let kind = u32::from(number);
        classes.insert(vec![kind, u32::MAX], Service::Fragment(number));
        match number {
            6 | 17 | 132 => {
                for port in &ports {
                    for source_port in &source_ports {
                        let mut class = vec![kind];
                        class.extend(&of_protocol);
                        class.extend(rules.iter().map(|rule| u32::from(within(&rule.ports, *port))));
                        class.extend(
                            rules
                                .iter()
                                .map(|rule| u32::from(within(&rule.source_ports, *source_port))),
                        );
                        // A client of DHCP is answered before the rules.
                        let dhcp = number == 17
                            && matches!(
                                (*source_port, *port),
                                (67, 68) | (68, 67) | (546, 547) | (547, 546)
                            );
                        class.push(u32::from(dhcp));
                        let flags = if number == 6 { 0..=255u8 } else { 0..=0 };
                        for flags in flags {
                            let mut class = class.clone();
                            class.extend(rules.iter().map(|rule| {
                                u32::from(rule.tcp_flags.is_some_and(|wanted| {
                                    flags & wanted.set == wanted.set && flags & wanted.clear == 0
                                }))
                            }));
                            classes.entry(class).or_insert(Service::Ports(
                                number,
                                *source_port,
                                *port,
                                flags,
                            ));
                        }
                    }
                }
            }
            1 if ipv4 => {
                for (kind, code) in &messages {
                    classes.insert(
                        vec![1, (*kind).into(), (*code).into()],
                        Service::Message(*kind, *code),
                    );
                }
            }
            58 if !ipv4 => {
                for (kind, code) in &messages {
                    classes.insert(
                        vec![58, (*kind).into(), (*code).into()],
                        Service::Message(*kind, *code),
                    );
                }
            }
            // In IPv6 these announce extension headers.
            0 | 43 | 44 | 60 | 135 | 139 | 140 if !ipv4 => {}
            number => {
                classes.insert(vec![kind], Service::Other(number));
            }
        }
    }
    classes.into_values().collect()
}

const CANDIDATES: usize = 2_400;
