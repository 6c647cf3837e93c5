//! The implicit rules before all others: what a host needs to be on a network at all.

use crate::Reason;
use crate::packet::{Packet, UpperKind};
use crate::wire::Plane;

/// The essential that `packet` belongs to (`docs/semantics.md`, section 5). ARP and loopback are decided earlier.
///
/// `errors`: those of ICMP are essentials, as far as is known of this one.
#[inline(always)]
pub(crate) fn matching(packet: &Packet, outbound: bool, errors: bool) -> Option<Reason> {
    let upper = packet.upper;
    // None of these is long enough to be cut, and the first fragment of one is a trick (RFC 6980).
    let whole = !packet.in_parts;
    match (packet.plane, upper.kind) {
        (plane, UpperKind::Icmp) if is_error(plane, upper.icmp_type()) => {
            (errors && whole).then_some(Reason::IcmpError)
        }
        (Plane::V6, UpperKind::Icmp) if whole => match upper.icmp_type() {
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

/// Whether ICMP messages of this type are errors.
#[inline(always)]
pub(crate) const fn is_error(plane: Plane, icmp_type: u8) -> bool {
    match plane {
        Plane::V4 => matches!(icmp_type, 3 | 11 | 12),
        Plane::V6 => matches!(icmp_type, 1..=4),
    }
}

/// Whether a packet may come from `::` (RFC 4291, section 2.5.2): of a host that has no address yet, on this link.
#[inline(always)]
pub(crate) fn may_lack_source(packet: &Packet) -> bool {
    let asks = match packet.upper.icmp_type() {
        // Router solicitation, and duplicate address detection (RFC 4861, 4862).
        133 | 135 => packet.hop_limit == 255,
        // Reports of a listener (RFC 3590).
        131 | 132 | 143 => packet.hop_limit == 1,
        _ => false,
    };
    asks && matches!(packet.upper.kind, UpperKind::Icmp) && !packet.in_parts
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
