//! The header after IP: ports, ICMP type and code, TCP flags. Steps: `docs/semantics.md`, section 4.

use super::TCP;
use crate::judge::{Judge, Step, Witness};
use crate::packet::{Packet, Quotation, Upper, UpperKind};
use crate::wire::Plane;
use crate::{Frame, ParseClass, Tables, essentials};

/// Reads the upper header of `packet` between `start` and `end`.
#[inline(always)]
pub(super) fn upper<T: Tables, W: Witness>(
    judge: &mut Judge<'_, T, W>,
    frame: &impl Frame,
    packet: &Packet,
    start: usize,
    end: usize,
    first_fragment: bool,
) -> Step<Upper> {
    let left = end - start;
    let (whole, upper) = match (packet.plane, packet.protocol) {
        (_, TCP) => tcp(frame, start, left),
        (_, 17) => ports::<8>(frame, start, left),
        (_, 132) => ports::<12>(frame, start, left),
        (Plane::V4, 1) | (Plane::V6, 58) => icmp(judge, frame, packet, start, left),
        _ => return Step::Continue(Upper::NONE),
    };
    match whole {
        Whole::Yes => Step::Continue(upper),
        // RFC 1858, 3128, 7112: a first fragment without the whole upper header is made to fool filters.
        Whole::Cut | Whole::CutByOffset if first_fragment => {
            judge.see(ParseClass::FragmentTiny)?;
            Step::Continue(Upper::NONE)
        }
        Whole::Cut => judge.end(ParseClass::Truncated),
        Whole::BadOffset | Whole::CutByOffset => judge.end(ParseClass::BadHeaderLength),
    }
}

/// What a fragment after the first goes through. `beyond`: it ends behind the longest datagram there can be.
#[inline(always)]
pub(super) fn later_fragment<T: Tables, W: Witness>(
    judge: &mut Judge<'_, T, W>,
    overlaps_tcp_header: bool,
    beyond: bool,
) -> Step<()> {
    if beyond {
        // Put together, it is longer than a length field can say (the "ping of death", CERT CA-1996-26).
        return judge.end(ParseClass::BadHeaderLength);
    }
    if overlaps_tcp_header {
        judge.see(ParseClass::FragmentTiny)?;
    }
    judge.see(ParseClass::FragmentLater)?;
    if judge.remembers() {
        // It may follow the first.
        return Step::Continue(());
    }
    judge.see(ParseClass::FragmentOrphan)
}

/// Whole units of 8 bytes, in which fragments are counted. A packet has fewer than 2^16 of them.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "as above")]
pub(super) const fn units(bytes: usize) -> u16 {
    (bytes >> 3) as u16
}

/// Whether the whole upper header is there.
enum Whole {
    /// TCP's data offset is below its minimum.
    BadOffset,
    /// Fewer bytes than the header's fixed size.
    Cut,
    /// TCP's data offset points past the end.
    CutByOffset,
    Yes,
}

#[inline(always)]
fn tcp(frame: &impl Frame, start: usize, left: usize) -> (Whole, Upper) {
    let Some(header) = frame.read::<20>(start).filter(|_| left >= 20) else {
        return (Whole::Cut, Upper::NONE);
    };
    let length = usize::from(header[12] >> 4) * 4;
    let whole = if length < 20 {
        Whole::BadOffset
    } else if length > left {
        Whole::CutByOffset
    } else {
        Whole::Yes
    };
    (
        whole,
        Upper {
            flags: header[13],
            sequence: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            acknowledged: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
            payload: payload(left, length),
            ..with_ports(UpperKind::Tcp, [header[0], header[1], header[2], header[3]])
        },
    )
}

#[inline(always)]
fn ports<const SIZE: usize>(frame: &impl Frame, start: usize, left: usize) -> (Whole, Upper) {
    let Some(header) = frame.read::<SIZE>(start).filter(|_| left >= SIZE) else {
        return (Whole::Cut, Upper::NONE);
    };
    (
        Whole::Yes,
        with_ports(UpperKind::Ports, [header[0], header[1], header[2], header[3]]),
    )
}

#[inline(always)]
fn icmp<T: Tables, W: Witness>(
    judge: &Judge<'_, T, W>,
    frame: &impl Frame,
    packet: &Packet,
    start: usize,
    left: usize,
) -> (Whole, Upper) {
    let Some(header) = frame.read::<8>(start).filter(|_| left >= 8) else {
        return (Whole::Cut, Upper::NONE);
    };
    let quotes = judge.matches_errors() && !packet.in_parts && essentials::is_error(packet.plane, header[0]);
    (
        Whole::Yes,
        Upper {
            kind: UpperKind::Icmp,
            key: u16::from_be_bytes([header[0], header[1]]),
            identifier: u16::from_be_bytes([header[4], header[5]]),
            quotation: if quotes {
                Quotation::new(frame, start + 8, left.wrapping_sub(8))
            } else {
                Quotation::NONE
            },
            ..Upper::NONE
        },
    )
}

/// An upper header that begins with source and destination port.
#[inline(always)]
const fn with_ports(kind: UpperKind, [s0, s1, d0, d1]: [u8; 4]) -> Upper {
    Upper {
        kind,
        key: u16::from_be_bytes([d0, d1]),
        source_port: u16::from_be_bytes([s0, s1]),
        ..Upper::NONE
    }
}

/// Bytes behind a header of that length.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a packet has fewer than 2^32 bytes"
)]
const fn payload(left: usize, header: usize) -> u32 {
    left.wrapping_sub(header) as u32
}
