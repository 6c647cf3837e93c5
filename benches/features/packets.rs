//! Packets for the features: of one kind with everything else random, or aimed at the rules of a policy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ravelin_benches::prefixes::{address4, address6, within};
use ravelin_rules::policy::{AddressMatch, PortRange, Protocols, Rule};
use ravelin_rules::{Direction, Policy};
use ravelin_tests::packet::{Packet, ether};
use ravelin_tests::random::Random;

/// Draws one packet.
pub(crate) type Draw = fn(&mut Random) -> Vec<u8>;

/// One protocol each.
pub(crate) const KINDS: [(&str, Draw); 4] = [("TCP", tcp), ("UDP", udp), ("ICMP", icmp), ("IPv6, TCP", tcp6)];

/// Half of the sources are in 10.0.0.0/12, half of the destinations in 198.51.100.0/24.
pub(crate) fn tcp(random: &mut Random) -> Vec<u8> {
    let flags = if random.chance(50) { 0x02 } else { 0x10 };
    let ports = (port(random), port(random));
    let packet = ip(random).tcp(ports.0).with("source-port", ports.1.into());
    packet.with("flags", flags).bytes()
}

pub(crate) fn udp(random: &mut Random) -> Vec<u8> {
    let ports = (port(random), port(random));
    let packet = ip(random).udp(ports.0);
    packet.with("source-port", ports.1.into()).bytes()
}

pub(crate) fn icmp(random: &mut Random) -> Vec<u8> {
    // Echo requests and answers: errors pass before all rules.
    let kind = if random.chance(50) { 8 } else { 0 };
    ip(random).icmp(kind, 0).bytes()
}

pub(crate) fn tcp6(random: &mut Random) -> Vec<u8> {
    let (source, destination, port) = (address6(random), address6(random), port(random));
    let packet = ether().ipv6().source(source).destination(destination);
    packet.tcp(port).bytes()
}

/// Most packets are what some rule of the policy asks for, the others come from anywhere.
pub(crate) fn towards(policy: &Policy, count: usize) -> Vec<Vec<u8>> {
    let mut random = Random::new(17);
    let rules: Vec<&Rule> = policy
        .rules
        .iter()
        .filter(|rule| rule.direction == Direction::Inbound)
        .collect();
    (0..count)
        .map(|_| {
            if rules.is_empty() || random.chance(20) {
                return tcp(&mut random);
            }
            let rule = rules[random.index(rules.len())];
            meeting(&mut random, rule)
        })
        .collect()
}

fn meeting(random: &mut Random, rule: &Rule) -> Vec<u8> {
    let six = match among(random, &rule.source, None) {
        Some(address) => address.is_ipv6(),
        None => among(random, &rule.destination, None).is_some_and(|address| address.is_ipv6()),
    };
    let [source, destination] = [&rule.source, &rule.destination].map(|condition| {
        among(random, condition, Some(six)).unwrap_or_else(|| {
            if six {
                address6(random).into()
            } else {
                address4(random).into()
            }
        })
    });
    let packet = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ether().ipv4().source(source).destination(destination)
        }
        (source, destination) => {
            let six = |address| match address {
                IpAddr::V6(address) => address,
                IpAddr::V4(address) => Ipv4Addr::to_ipv6_mapped(&address),
            };
            let [source, destination]: [Ipv6Addr; 2] = [source, destination].map(six);
            ether().ipv6().source(source).destination(destination)
        }
    };
    let number = match &rule.protocols {
        Protocols::Any => 6,
        Protocols::Only(numbers) => numbers[random.index(numbers.len())],
    };
    let ports = (
        within_ports(random, &rule.ports),
        within_ports(random, &rule.source_ports),
    );
    let with_ports = |packet: Packet| packet.with("source-port", ports.1.into());
    match (number, six) {
        (6, _) => {
            let flags = rule.tcp_flags.map_or(0x10, |flags| u64::from(flags.set));
            with_ports(packet.tcp(ports.0)).with("flags", flags)
        }
        (17, _) => with_ports(packet.udp(ports.0)),
        (1, false) => packet.icmp(rule.icmp.first().map_or(8, |message| message.kind), 0),
        (58, true) => packet.icmpv6(rule.icmp.first().map_or(128, |message| message.kind), 0),
        _ => packet.tcp(ports.0),
    }
    .bytes()
}

/// An address that the condition asks for, of the family; `None` when it asks for none.
fn among(random: &mut Random, condition: &AddressMatch, six: Option<bool>) -> Option<IpAddr> {
    let elements = condition.include.as_ref()?.elements();
    let of_family: Vec<_> = elements
        .iter()
        .filter(|element| six.is_none_or(|six| six == element.prefix.addr().is_ipv6()))
        .collect();
    let prefix = of_family.get(random.index(of_family.len().max(1)))?.prefix;
    let host = if prefix.addr().is_ipv6() {
        IpAddr::V6(address6(random))
    } else {
        IpAddr::V4(address4(random))
    };
    Some(within(prefix, host))
}

fn within_ports(random: &mut Random, ranges: &[PortRange]) -> u16 {
    match ranges {
        [] => port(random),
        ranges => ranges[random.index(ranges.len())].first,
    }
}

/// Often one that rules are about.
fn port(random: &mut Random) -> u16 {
    let usual = [22, 25, 53, 80, 123, 443, 3306, 5432, 8080, 8443];
    if random.chance(50) {
        return usual[random.index(usual.len())];
    }
    u16::try_from(1024 + random.below(64_000)).unwrap_or(u16::MAX)
}

fn ip(random: &mut Random) -> Packet {
    let (source, destination) = (address4(random), address4(random));
    let near = |address: Ipv4Addr, mask: u32, network: [u8; 4]| {
        Ipv4Addr::from_bits(address.to_bits() & mask | Ipv4Addr::from_octets(network).to_bits())
    };
    let source = if random.chance(50) {
        near(source, 0x000f_ffff, [10, 0, 0, 0])
    } else {
        source
    };
    let destination = if random.chance(50) {
        near(destination, 0xff, [198, 51, 100, 0])
    } else {
        destination
    };
    ether().ipv4().source(source).destination(destination)
}
