//! The implicit rules before all others: what a host needs to be on a network at all.

use crate::Reason;
use crate::packet::{Packet, UpperKind};
use crate::wire::Plane;

/// The essential that `packet` belongs to (`docs/semantics.md`, section 5). ARP and loopback are decided earlier.
#[inline(always)]
pub(crate) fn matching(packet: &Packet) -> Option<Reason> {
    let upper = packet.upper;
    match (packet.plane, upper.kind) {
        (Plane::V4, UpperKind::Icmp) if matches!(upper.icmp_type(), 3 | 11 | 12) => Some(Reason::IcmpError),
        (Plane::V6, UpperKind::Icmp) => match upper.icmp_type() {
            1..=4 => Some(Reason::IcmpError),
            // RFC 4861: with this hop limit no router has forwarded it, so it comes from this link.
            133..=136 if packet.hop_limit == 255 => Some(Reason::Ndp),
            130..=132 | 143 if packet.hop_limit == 1 => Some(Reason::Mld),
            _ => None,
        },
        (Plane::V4, UpperKind::Ports) if is_dhcp(packet, 67, 68) => Some(Reason::DhcpClient),
        (Plane::V6, UpperKind::Ports) if is_dhcp(packet, 547, 546) => Some(Reason::Dhcpv6Client),
        _ => None,
    }
}

#[inline(always)]
const fn is_dhcp(packet: &Packet, server: u16, client: u16) -> bool {
    packet.protocol == UDP && packet.upper.source_port == server && packet.upper.key == client
}

const UDP: u8 = 17;
