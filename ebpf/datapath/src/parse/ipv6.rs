//! IPv6 and its extension headers (RFC 8200). Steps and their order: `docs/semantics.md`, section 3.

use super::chain::{ChainEnd, HOP_BY_HOP, Link, Seen, is_extension};
use super::{TCP, big, upper};
use crate::judge::{Judge, Step, Witness};
use crate::packet::{Address, Fragment, Packet, Upper};
use crate::wire::Plane;
use crate::{Frame, ParseClass, Tables};

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
    let field = u16::from_be_bytes([header[4], header[5]]);
    let payload_length = big::length(judge, frame, start + 40, field);
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
        fragment: Fragment::WHOLE,
        in_parts: false,
        upper: Upper::NONE,
    };

    let mut at = start + 40;
    let mut first_fragment = false;
    if is_extension(packet.protocol) {
        let chain = frame.chain(Link {
            protocol: packet.protocol,
            at,
            end,
        });
        packet.protocol = chain.protocol;
        packet.in_parts = chain.fragment_header;
        if chain.routing_header_0 == Seen::Before {
            judge.see(ParseClass::RoutingHeader0)?;
        }
        if chain.first_fragment {
            judge.see(ParseClass::FragmentFirst)?;
        }
        if chain.routing_header_0 == Seen::After {
            judge.see(ParseClass::RoutingHeader0)?;
        }
        if chain.first_fragment && judge.remembers() {
            packet.fragment = Fragment::first(chain.id, 0);
        }
        match chain.end {
            ChainEnd::Upper(upper) => {
                at = upper;
                if chain.first_fragment && judge.remembers() {
                    packet.fragment = Fragment::first(chain.id, upper::units(end.wrapping_sub(upper)));
                }
            }
            ChainEnd::TooLong => return judge.end(ParseClass::ExtHeaderChain),
            ChainEnd::Cut if chain.first_fragment => {
                judge.see(ParseClass::FragmentTiny)?;
                return Step::Continue((packet, source_class));
            }
            ChainEnd::Cut => return judge.end(ParseClass::Truncated),
            ChainEnd::LaterFragment { offset } => {
                if judge.remembers() {
                    packet.fragment = Fragment::later(chain.id, offset);
                }
                upper::later_fragment(judge, packet.protocol == TCP && offset == 1, chain.beyond)?;
                return Step::Continue((packet, source_class));
            }
        }
        first_fragment = chain.first_fragment;
    }
    if !is_named(packet.protocol) {
        judge.see(ParseClass::UnknownNextHeader)?;
    }
    packet.upper = upper::upper(judge, frame, &packet, at, end, first_fragment)?;
    Step::Continue((packet, source_class))
}

#[inline(always)]
pub(crate) const fn half<const AT: usize>(header: &[u8; 40]) -> u64 {
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
/// TCP, UDP, GRE, ESP, AH, ICMPv6, none, SCTP.
#[inline(always)]
const fn is_named(protocol: u8) -> bool {
    matches!(protocol, 6 | 17 | 47 | 50 | 51 | 58 | 59 | 132)
}
