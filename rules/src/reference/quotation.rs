//! The oracle's reading of what an ICMP error quotes: section 10 of `docs/semantics.md`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ravelin_datapath::Verdict;

use super::{Facts, Upper};
use crate::policy::{Action, Mode, Policy};

/// Whether errors are let in by what they quote alone.
pub(super) fn is_asked_for(policy: &Policy) -> bool {
    if !policy.keeps_flows() {
        return false;
    }
    if !policy.firewall.essentials {
        return true;
    }
    let mut verdicts = [policy.firewall.inbound, policy.firewall.outbound].into_iter();
    let default_keeps_none = verdicts.any(|verdict| verdict == Verdict::Allow) && !policy.firewall.stateful;
    let rule_keeps_none = policy
        .rules
        .iter()
        .filter(|rule| rule.mode == Mode::Enforce && rule.action == Action::Allow)
        .any(|rule| !rule.stateful);
    !default_keeps_none && !rule_keeps_none
}

/// Whether a packet is an ICMP error.
pub(super) fn is_error(facts: &Facts) -> bool {
    match facts.upper {
        Some(Upper::Icmp { kind, .. }) => [3, 11, 12].contains(&kind),
        Some(Upper::Icmpv6 { kind, .. }) => (1..=4).contains(&kind),
        _ => false,
    }
}

/// The packet that an ICMP error quotes. `message` starts with the ICMP header.
pub(super) fn of(error: &Facts, message: &[u8]) -> Option<Box<Facts>> {
    let quotation = message.get(8..).filter(|_| is_error(error))?;
    let quotation = &quotation[..quotation.len().min(1280)];
    let facts = if error.source.is_ipv4() {
        ipv4(quotation)?
    } else {
        ipv6(quotation)?
    };
    Some(Box::new(facts))
}

fn ipv4(bytes: &[u8]) -> Option<Facts> {
    let fixed: &[u8; 20] = bytes.first_chunk()?;
    let words = usize::from(fixed[0] % 16);
    if fixed[0] / 16 != 4 || words < 5 {
        return None;
    }
    let source = Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]);
    let destination = Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]);
    let later = !fixed[6].is_multiple_of(32) || fixed[7] != 0;
    let upper = bytes.get(words * 4..).unwrap_or_default();
    quoted(source.into(), destination.into(), fixed[9], later, upper)
}

fn ipv6(bytes: &[u8]) -> Option<Facts> {
    let (fixed, mut rest) = bytes.split_first_chunk::<40>()?;
    if fixed[0] / 16 != 6 {
        return None;
    }
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&fixed[at..at + 16]);
        IpAddr::from(Ipv6Addr::from(octets))
    };
    let (mut next, mut headers, mut later) = (fixed[6], 0, false);
    while !later && [0, 43, 44, 60, 135, 139, 140].contains(&next) {
        headers += 1;
        let header: &[u8; 8] = rest.first_chunk().filter(|_| headers < 9)?;
        let length = if next == 44 {
            later = header[2] != 0 || header[3] / 8 != 0;
            8
        } else {
            8 + 8 * usize::from(header[1])
        };
        next = header[0];
        rest = rest.get(length..)?;
    }
    quoted(address(8), address(24), next, later, rest)
}

/// The facts of a quoted packet. `upper` starts with its upper header, unless it is a later fragment.
fn quoted(source: IpAddr, destination: IpAddr, protocol: u8, later: bool, upper: &[u8]) -> Option<Facts> {
    let word = |at: usize| Some(u16::from_be_bytes([*upper.get(at)?, *upper.get(at + 1)?]));
    let read = match (protocol, source) {
        (6 | 17 | 132, _) | (1, IpAddr::V4(_)) | (58, IpAddr::V6(_)) => !later,
        _ => false,
    };
    let upper = if read {
        if upper.len() < 8 {
            return None;
        }
        let (first, second, identifier) = (word(0)?, word(2)?, word(4)?);
        let [kind, code] = first.to_be_bytes();
        Some(match protocol {
            6 => Upper::Tcp {
                source: first,
                destination: second,
                flags: 0,
                sequence: 0,
                acknowledged: 0,
                payload: 0,
            },
            17 => Upper::Udp {
                source: first,
                destination: second,
            },
            132 => Upper::Sctp {
                source: first,
                destination: second,
            },
            1 => Upper::Icmp {
                kind,
                code,
                identifier,
            },
            _ => Upper::Icmpv6 {
                kind,
                code,
                identifier,
            },
        })
    } else {
        None
    };
    Some(Facts {
        source,
        destination,
        protocol,
        hop_limit: 0,
        upper,
        in_parts: false,
        quoted: None,
    })
}
