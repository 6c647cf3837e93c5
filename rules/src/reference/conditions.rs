//! The oracle's reading of one rule: section 6 of `docs/semantics.md`.
//!
//! Facts + rule → **the first condition that does not hold**, or none. Every list is tried entry by entry.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Facts, Upper};
use crate::policy::{AddressMatch, IcmpMatch, PortRange, Rule};

/// A condition of a rule, by its TOML key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Source,
    Destination,
    Protocol,
    Ports,
    SourcePorts,
    Icmp,
    TcpFlags,
}

/// The first condition of `rule` that the packet does not meet; `None`: the rule matches.
pub(crate) fn first_failure(rule: &Rule, facts: &Facts) -> Option<Condition> {
    let ports = match facts.upper {
        Some(Upper::Tcp {
            source, destination, ..
        })
        | Some(Upper::Udp { source, destination })
        | Some(Upper::Sctp { source, destination }) => Some((source, destination)),
        _ => None,
    };
    let icmp = match facts.upper {
        Some(Upper::Icmp { kind, code }) | Some(Upper::Icmpv6 { kind, code }) => Some((kind, code)),
        _ => None,
    };
    let flags = match facts.upper {
        Some(Upper::Tcp { flags, .. }) => Some(flags),
        _ => None,
    };

    if !address_holds(&rule.source, facts.source) {
        return Some(Condition::Source);
    }
    if !address_holds(&rule.destination, facts.destination) {
        return Some(Condition::Destination);
    }
    if !rule.protocols.contains(facts.protocol) {
        return Some(Condition::Protocol);
    }
    if !rule.ports.is_empty() && !ports.is_some_and(|(_, destination)| in_ranges(&rule.ports, destination)) {
        return Some(Condition::Ports);
    }
    if !rule.source_ports.is_empty()
        && !ports.is_some_and(|(source, _)| in_ranges(&rule.source_ports, source))
    {
        return Some(Condition::SourcePorts);
    }
    if !rule.icmp.is_empty() && !icmp.is_some_and(|(kind, code)| in_messages(&rule.icmp, kind, code)) {
        return Some(Condition::Icmp);
    }
    if let Some(wanted) = rule.tcp_flags
        && !flags.is_some_and(|flags| flags & wanted.set == wanted.set && flags & wanted.clear == 0)
    {
        return Some(Condition::TcpFlags);
    }
    None
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

fn address_holds(wanted: &AddressMatch, address: IpAddr) -> bool {
    match wanted {
        AddressMatch::Anywhere => true,
        AddressMatch::Prefixes(set) => set
            .elements()
            .iter()
            .any(|element| covers(&element.prefix, address)),
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
