//! IPv6 and its extension headers (RFC 8200). Steps and their order: `docs/semantics.md`, section 3.

use super::{TCP, upper};
use crate::judge::{Judge, Step, Witness};
use crate::packet::{Address, Packet, Upper};
use crate::wire::Plane;
use crate::{Frame, ParseClass, Tables};

/// Extension headers walked. A bound on work a packet can ask for: chains are the cheapest way to make a filter slow.
const MAX_EXTENSIONS: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;

/// The packet whose header starts at `start`, and the class of its source.
#[inline(always)]
pub(crate) fn ipv6<T: Tables, W: Witness>(
    judge: &mut Judge<'_, T, W>,
    frame: &impl Frame,
    start: usize,
) -> Step<(Packet, u32)> {
    let Some(header) = frame.read::<40>(start) else {
        return judge.end(ParseClass::Truncated);
    };
    if header[0] >> 4 != 6 {
        return judge.end(ParseClass::BadVersion);
    }
    let payload_length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    if payload_length == 0 && header[6] == HOP_BY_HOP {
        return judge.end(ParseClass::ExtHeaderChain);
    }
    let end = start + 40 + payload_length;
    if !frame.holds(end) {
        return judge.end(ParseClass::Truncated);
    }
    let source = Address {
        high: half::<8>(&header),
        low: half::<16>(&header),
    };
    let destination = Address {
        high: half::<24>(&header),
        low: half::<32>(&header),
    };
    let source_class = judge.source::<{ Plane::V6 as u8 }>(source)?;
    if source == destination {
        judge.see(ParseClass::Land)?;
    }
    let mut packet = Packet {
        plane: Plane::V6,
        source,
        destination,
        hop_limit: header[7],
        protocol: header[6],
        upper: Upper::NONE,
    };

    let mut at = start + 40;
    let mut first_fragment = false;
    let mut routing_header_0 = false;
    let mut walked = 0;
    while is_extension(packet.protocol) {
        if walked == MAX_EXTENSIONS {
            return judge.end(ParseClass::ExtHeaderChain);
        }
        walked += 1;
        let extension = frame.read::<8>(at).filter(|_| at + 8 <= end);
        let length = match extension {
            Some(extension) if packet.protocol != FRAGMENT => (usize::from(extension[1]) + 1) * 8,
            _ => 8,
        };
        let Some(extension) = extension.filter(|_| at + length <= end) else {
            if !first_fragment {
                return judge.end(ParseClass::Truncated);
            }
            judge.see(ParseClass::FragmentTiny)?;
            return Step::Continue((packet, source_class));
        };
        // A packet counts once in a class, however often a header repeats.
        if packet.protocol == ROUTING && extension[2] == 0 && !routing_header_0 {
            judge.see(ParseClass::RoutingHeader0)?;
            routing_header_0 = true;
        }
        if packet.protocol == FRAGMENT {
            packet.protocol = extension[0];
            let fragment = u16::from_be_bytes([extension[2], extension[3]]);
            let (offset, more) = (fragment >> 3, fragment & 1 != 0);
            if offset != 0 {
                upper::later_fragment(judge, packet.protocol == TCP && offset == 1)?;
                return Step::Continue((packet, source_class));
            }
            if more && !first_fragment {
                judge.see(ParseClass::FragmentFirst)?;
                first_fragment = true;
            }
        } else {
            packet.protocol = extension[0];
        }
        at += length;
    }
    if !is_named(packet.protocol) {
        judge.see(ParseClass::UnknownNextHeader)?;
    }
    packet.upper = upper::upper(judge, frame, &packet, at, end, first_fragment)?;
    Step::Continue((packet, source_class))
}

#[inline(always)]
const fn half<const AT: usize>(header: &[u8; 40]) -> u64 {
    u64::from_be_bytes([
        header[AT],
        header[AT + 1],
        header[AT + 2],
        header[AT + 3],
        header[AT + 4],
        header[AT + 5],
        header[AT + 6],
        header[AT + 7],
    ])
}
/// Hop-by-hop, routing, fragment, destination options, mobility, HIP, shim6.
#[inline(always)]
const fn is_extension(next_header: u8) -> bool {
    matches!(
        next_header,
        HOP_BY_HOP | ROUTING | FRAGMENT | 60 | 135 | 139 | 140
    )
}

/// TCP, UDP, GRE, ESP, AH, ICMPv6, none, SCTP.
#[inline(always)]
const fn is_named(protocol: u8) -> bool {
    matches!(protocol, 6 | 17 | 47 | 50 | 51 | 58 | 59 | 132)
}
