//! The oracle's reading of one rule: section 6 of `docs/semantics.md`.
//!
//! Facts + rule → **whether each condition holds**. Every list is tried entry by entry.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Facts, Scene, Upper};
use crate::policy::{AddressMatch, IcmpMatch, PortRange, PrefixSet, Protocols, Rule};

/// Whether every condition of `rule` holds.
pub(crate) fn matches(rule: &Rule, scene: &Scene, facts: &Facts) -> bool {
    Condition::ALL
        .iter()
        .all(|condition| condition.holds(rule, scene, facts))
}

/// A condition of a rule, by its TOML key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Interface,
    Source,
    Destination,
    Protocol,
    Ports,
    SourcePorts,
    Icmp,
    TcpFlags,
}

impl Condition {
    pub(crate) const ALL: [Self; 8] = [
        Self::Interface,
        Self::Source,
        Self::Destination,
        Self::Protocol,
        Self::Ports,
        Self::SourcePorts,
        Self::Icmp,
        Self::TcpFlags,
    ];

    /// Whether `rule` has this condition at all.
    pub(crate) fn is_in(self, rule: &Rule) -> bool {
        match self {
            Self::Interface => rule.interface.is_some(),
            Self::Source => !rule.source.is_anywhere(),
            Self::Destination => !rule.destination.is_anywhere(),
            Self::Protocol => rule.protocols != Protocols::Any,
            Self::Ports => !rule.ports.is_empty(),
            Self::SourcePorts => !rule.source_ports.is_empty(),
            Self::Icmp => !rule.icmp.is_empty(),
            Self::TcpFlags => rule.tcp_flags.is_some(),
        }
    }

    /// Whether the packet meets it. A condition that the rule does not have always holds.
    pub(crate) fn holds(self, rule: &Rule, scene: &Scene, facts: &Facts) -> bool {
        if !self.is_in(rule) {
            return true;
        }
        match self {
            Self::Interface => rule.interface == scene.interface,
            Self::Source => address_holds(&rule.source, facts.source, scene),
            Self::Destination => address_holds(&rule.destination, facts.destination, scene),
            Self::Protocol => protocol_holds(&rule.protocols, facts.protocol),
            Self::Ports => facts
                .ports()
                .is_some_and(|(_, destination)| in_ranges(&rule.ports, destination)),
            Self::SourcePorts => facts
                .ports()
                .is_some_and(|(source, _)| in_ranges(&rule.source_ports, source)),
            Self::Icmp => facts
                .message()
                .is_some_and(|(kind, code)| in_messages(&rule.icmp, kind, code)),
            Self::TcpFlags => match (rule.tcp_flags, facts.tcp_flags()) {
                (Some(wanted), Some(flags)) => flags & wanted.set == wanted.set && flags & wanted.clear == 0,
                _ => false,
            },
        }
    }
}

impl Facts {
    /// Source and destination port, where the packet has an upper header with ports.
    pub(crate) fn ports(&self) -> Option<(u16, u16)> {
        match self.upper? {
            Upper::Tcp {
                source, destination, ..
            }
            | Upper::Udp { source, destination }
            | Upper::Sctp { source, destination } => Some((source, destination)),
            Upper::Icmp { .. } | Upper::Icmpv6 { .. } => None,
        }
    }

    /// Type and code, where the packet has an ICMP or ICMPv6 header.
    pub(crate) fn message(&self) -> Option<(u8, u8)> {
        match self.upper? {
            Upper::Icmp { kind, code, .. } | Upper::Icmpv6 { kind, code, .. } => Some((kind, code)),
            Upper::Tcp { .. } | Upper::Udp { .. } | Upper::Sctp { .. } => None,
        }
    }

    /// The flags, where the packet has a TCP header.
    pub(crate) fn tcp_flags(&self) -> Option<u8> {
        match self.upper? {
            Upper::Tcp { flags, .. } => Some(flags),
            _ => None,
        }
    }
}

/// Whether `address` is in `prefix`: same family, and the first bits are the same, compared one by one.
pub(crate) fn covers(prefix: &IpNet, address: IpAddr) -> bool {
    fn agree(length: u8, a: &[u8], b: &[u8]) -> bool {
        let bit = |bytes: &[u8], at: usize| bytes[at / 8] >> (7 - at % 8) & 1;
        (0..usize::from(length)).all(|at| bit(a, at) == bit(b, at))
    }
    match (prefix, address) {
        (IpNet::V4(net), IpAddr::V4(address)) => {
            agree(net.prefix_len(), &net.addr().octets(), &address.octets())
        }
        (IpNet::V6(net), IpAddr::V6(address)) => {
            agree(net.prefix_len(), &net.addr().octets(), &address.octets())
        }
        _ => false,
    }
}

/// Included and not excluded.
fn address_holds(wanted: &AddressMatch, address: IpAddr, scene: &Scene) -> bool {
    let own = scene.own.contains(&address);
    let included = match &wanted.include {
        None => true,
        Some(set) => among(set, address, scene) || wanted.include_self && own,
    };
    let excluded = among(&wanted.exclude, address, scene) || wanted.exclude_self && own;
    included && !excluded
}

/// In an element that is there.
fn among(set: &PrefixSet, address: IpAddr, scene: &Scene) -> bool {
    set.elements()
        .iter()
        .any(|element| scene.before(element.expires) && covers(&element.prefix, address))
}

fn protocol_holds(wanted: &Protocols, number: u8) -> bool {
    match wanted {
        Protocols::Any => true,
        Protocols::Only(numbers) => numbers.contains(&number),
    }
}

fn in_ranges(ranges: &[PortRange], port: u16) -> bool {
    ranges
        .iter()
        .any(|range| range.first <= port && port <= range.last)
}

fn in_messages(messages: &[IcmpMatch], kind: u8, code: u8) -> bool {
    messages
        .iter()
        .any(|message| message.kind == kind && message.code.is_none_or(|wanted| wanted == code))
}
