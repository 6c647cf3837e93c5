//! The implicit rules before all others: what a host needs to be on a network at all.

use crate::Reason;
use crate::packet::{Packet, Upper};
use crate::wire::Plane;

/// The essential that `packet` belongs to (`docs/semantics.md`, section 5). ARP and loopback are decided earlier.
#[inline(always)]
pub(crate) fn matching(packet: &Packet) -> Option<Reason> {
    match (packet.plane, packet.upper) {
        (
            Plane::V4,
            Upper::Icmp {
                kind: 3 | 11 | 12, ..
            },
        ) => Some(Reason::IcmpError),
        (Plane::V6, Upper::Icmp { kind: 1..=4, .. }) => Some(Reason::IcmpError),
        // RFC 4861: a router cannot have forwarded it, so it comes from this link.
        (Plane::V6, Upper::Icmp { kind: 133..=136, .. }) if packet.hop_limit == 255 => Some(Reason::Ndp),
        (
            Plane::V6,
            Upper::Icmp {
                kind: 130..=132 | 143,
                ..
            },
        ) if packet.hop_limit == 1 => Some(Reason::Mld),
        (
            Plane::V4,
            Upper::Ports {
                source: 67,
                destination: 68,
            },
        ) if packet.protocol == UDP => Some(Reason::DhcpClient),
        (
            Plane::V6,
            Upper::Ports {
                source: 547,
                destination: 546,
            },
        ) if packet.protocol == UDP => Some(Reason::Dhcpv6Client),
        _ => None,
    }
}

const UDP: u8 = 17;
