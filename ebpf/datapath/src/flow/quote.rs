//! Which flow an ICMP error is about: that of the packet which it quotes. Section 10 of `docs/semantics.md`.
//!
//! Error → **the quoted packet's claim** → is its flow there? Anybody can send an error from anywhere; who quotes a packet of a flow has
//! seen one, or guesses addresses and ports (RFC 5927). Nothing here moves a flow.

use super::claim::ends;
use super::{Claim, FlowCell, Flows, pass};
use crate::chain::{ChainEnd, Link};
use crate::judge::Origin;
use crate::packet::{Address, Fragment, Packet, Quotation, Upper, UpperKind};
use crate::wire::{Flow, Plane};
use crate::{Frame, Tables};

/// What the packet claims that is quoted in an error for `to`: to have gone out, in a flow. `None`: it says too little, or that somebody
/// else has sent it (an error about one host's packet that is sent to another is a way around the filter in between).
#[inline(always)]
pub fn quoted<const PLANE: u8>(
    frame: &impl Frame,
    quotation: Quotation,
    to: Address,
    tick: u64,
) -> Option<Claim> {
    let packet = if PLANE == Plane::V4 as u8 {
        ipv4(frame, quotation)?
    } else {
        ipv6(frame, quotation)?
    };
    if packet.source != to {
        return None;
    }
    let ends = ends(&packet, true)?;
    let origin = Origin {
        tick,
        ..Origin::default()
    };
    Some(Claim::of(&packet, ends, true, origin))
}

/// Whether the flow of such a claim is there, by whatever tables it was let in.
#[inline(always)]
pub fn is_live(tables: &impl Tables, flows: &impl Flows, claim: &Claim) -> bool {
    match flows.table().find(&claim.key) {
        Some(cell) => !pass::is_over(tables, claim, &Flow::unpack(&cell.load())),
        None => false,
    }
}

#[inline(always)]
fn ipv4(frame: &impl Frame, quotation: Quotation) -> Option<Packet> {
    let (at, end) = quotation.span();
    let header = frame.read::<20>(at).filter(|_| at + 20 <= end)?;
    let length = usize::from(header[0] & 0x0f) * 4;
    if header[0] >> 4 != 4 || length < 20 {
        return None;
    }
    let later = u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0;
    let packet = Packet {
        plane: Plane::V4,
        source: Address::v4([header[12], header[13], header[14], header[15]]),
        destination: Address::v4([header[16], header[17], header[18], header[19]]),
        hop_limit: 0,
        protocol: header[9],
        fragment: Fragment::WHOLE,
        in_parts: false,
        upper: Upper::NONE,
    };
    if later {
        return Some(packet);
    }
    upper(frame, packet, at + length, end)
}

#[inline(always)]
fn ipv6(frame: &impl Frame, quotation: Quotation) -> Option<Packet> {
    let (at, end) = quotation.span();
    let header = frame.read::<40>(at).filter(|_| at + 40 <= end)?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let (_, rest) = header.split_at(8);
    let (source, destination) = rest.split_at(16);
    let chain = frame.chain(Link {
        protocol: header[6],
        at: at + 40,
        end,
    });
    let packet = Packet {
        plane: Plane::V6,
        source: Address::v6(source.try_into().ok()?),
        destination: Address::v6(destination.try_into().ok()?),
        hop_limit: 0,
        protocol: chain.protocol,
        fragment: Fragment::WHOLE,
        in_parts: false,
        upper: Upper::NONE,
    };
    match chain.end {
        ChainEnd::Upper(at) => upper(frame, packet, at, end),
        ChainEnd::LaterFragment { .. } => Some(packet),
        ChainEnd::TooLong | ChainEnd::Cut => None,
    }
}

/// The packet with its upper header, of which errors quote 8 bytes at least (RFC 792): the ports, or an echo's identifier.
#[inline(always)]
fn upper(frame: &impl Frame, packet: Packet, at: usize, end: usize) -> Option<Packet> {
    let kind = match (packet.plane, packet.protocol) {
        (_, 6) => UpperKind::Tcp,
        (_, 17 | 132) => UpperKind::Ports,
        (Plane::V4, 1) | (Plane::V6, 58) => UpperKind::Icmp,
        _ => return Some(packet),
    };
    let header = frame.read::<8>(at).filter(|_| at + 8 <= end)?;
    let [first, second, third] = [
        u16::from_be_bytes([header[0], header[1]]),
        u16::from_be_bytes([header[2], header[3]]),
        u16::from_be_bytes([header[4], header[5]]),
    ];
    let upper = if matches!(kind, UpperKind::Icmp) {
        Upper {
            kind,
            key: first,
            identifier: third,
            ..Upper::NONE
        }
    } else {
        Upper {
            kind,
            key: second,
            source_port: first,
            ..Upper::NONE
        }
    };
    Some(Packet { upper, ..packet })
}
