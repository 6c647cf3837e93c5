//! Policy → Ir.

use ravelin_datapath::wire::Plane;

use crate::ir::{Ir, Row};
use crate::policy::{AddressMatch, IcmpMatch, PortRange, PrefixSet, Protocols, Rule, TcpFlags};

/// The rules of a policy as rows.
#[must_use]
pub fn lower(rules: &[Rule]) -> Ir {
    let mut count = 0;
    let rows = rules.iter().zip(0..).map(|(rule, index)| {
        count = index + 1;
        row(rule, index)
    });
    Ir {
        rows: rows.collect(),
        rules: count,
    }
}

impl Row {
    /// Whether packets of this family can match at all.
    #[must_use]
    pub fn reaches(&self, plane: Plane) -> bool {
        let holds = |set: &PrefixSet| {
            set.elements().iter().any(|element| match plane {
                Plane::V4 => element.prefix.addr().is_ipv4(),
                Plane::V6 => element.prefix.addr().is_ipv6(),
            })
        };
        [&self.source, &self.destination]
            .into_iter()
            .all(|set| set.as_ref().is_none_or(holds))
            && self
                .protocols
                .as_ref()
                .is_none_or(|protocols| !protocols.is_empty())
    }
}

fn row(rule: &Rule, index: u32) -> Row {
    let mut protocols = match &rule.protocols {
        Protocols::Any => None,
        Protocols::Only(numbers) => Some(numbers.clone()),
    };
    // The key dimension holds ports and ICMP types alike: which of them a row means, its protocols say.
    if !rule.ports.is_empty() {
        restrict(&mut protocols, &WITH_PORTS);
    }
    if !rule.icmp.is_empty() {
        restrict(&mut protocols, &WITH_ICMP);
    }
    let key = match (rule.ports.is_empty(), rule.icmp.is_empty()) {
        (true, true) => None,
        (false, _) => Some(rule.ports.clone()),
        (true, false) => Some(rule.icmp.iter().map(icmp_range).collect()),
    };
    Row {
        rule: index,
        source: addresses(&rule.source),
        destination: addresses(&rule.destination),
        protocols,
        key,
        source_port: (!rule.source_ports.is_empty()).then(|| rule.source_ports.clone()),
        flags: rule.tcp_flags.map(flags),
    }
}

fn addresses(condition: &AddressMatch) -> Option<PrefixSet> {
    condition.include.clone()
}

fn restrict(protocols: &mut Option<Vec<u8>>, to: &[u8]) {
    match protocols {
        Some(numbers) => numbers.retain(|number| to.contains(number)),
        None => *protocols = Some(to.to_vec()),
    }
}

fn icmp_range(icmp: &IcmpMatch) -> PortRange {
    let (low, high) = icmp.code.map_or((0, u8::MAX), |code| (code, code));
    PortRange {
        first: u16::from_be_bytes([icmp.kind, low]),
        last: u16::from_be_bytes([icmp.kind, high]),
    }
}

fn flags(flags: TcpFlags) -> Vec<u8> {
    (0..=u8::MAX)
        .filter(|byte| byte & flags.set == flags.set && byte & flags.clear == 0)
        .collect()
}

/// Protocols with ports: TCP, UDP, SCTP. Sorted.
const WITH_PORTS: [u8; 3] = [6, 17, 132];
/// Protocols with a type and a code: ICMP, ICMPv6. Sorted.
const WITH_ICMP: [u8; 2] = [1, 58];
