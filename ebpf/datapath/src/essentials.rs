//! The implicit rules before all others: what a host needs to be on a network at all.

use crate::Reason;
use crate::packet::{Packet, UpperKind};
use crate::wire::Plane;

/// The essential that `packet` belongs to (`docs/semantics.md`, section 5). ARP and loopback are decided earlier.
#[inline(always)]
pub(crate) fn matching(packet: &Packet, outbound: bool) -> Option<Reason> {
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
        (Plane::V4, UpperKind::Ports) if is_dhcp(packet, outbound, 67, 68) => Some(Reason::DhcpClient),
        (Plane::V6, UpperKind::Ports) if is_dhcp(packet, outbound, 547, 546) => Some(Reason::Dhcpv6Client),
        _ => None,
    }
}

/// Between this host's client and a server: what the server answers comes in, what the client asks goes out.
#[inline(always)]
const fn is_dhcp(packet: &Packet, outbound: bool, server: u16, client: u16) -> bool {
    let (from, to) = if outbound {
        (client, server)
    } else {
        (server, client)
    };
    packet.protocol == UDP && packet.upper.source_port == from && packet.upper.key == to
}

const UDP: u8 = 17;
