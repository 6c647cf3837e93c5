//! The header after IP: ports, ICMP type and code, TCP flags. Steps: `docs/semantics.md`, section 4.

use super::TCP;
use crate::judge::{Judge, Step};
use crate::packet::{Packet, Upper};
use crate::wire::Plane;
use crate::{Frame, ParseClass, Tables};

/// Reads the upper header of `packet` between `start` and `end`.
#[inline(always)]
pub(super) fn upper<T: Tables>(
    judge: &mut Judge<'_, T>,
    frame: &impl Frame,
    packet: &Packet,
    start: usize,
    end: usize,
    first_fragment: bool,
) -> Step<Upper> {
    let left = end - start;
    let header = match (packet.plane, packet.protocol) {
        (_, TCP) => tcp(frame, start, left),
        (_, 17) => ports::<8>(frame, start, left),
        (_, 132) => ports::<12>(frame, start, left),
        (Plane::V4, 1) | (Plane::V6, 58) => icmp(frame, start, left),
        _ => return Step::Continue(Upper::None),
    };
    match header {
        Header::Whole(upper) => Step::Continue(upper),
        // RFC 1858, 3128, 7112: a first fragment without the whole upper header is made to fool filters.
        Header::Cut | Header::CutByOffset if first_fragment => {
            judge.see(ParseClass::FragmentTiny)?;
            Step::Continue(Upper::None)
        }
        Header::Cut => judge.end(ParseClass::Truncated),
        Header::BadOffset | Header::CutByOffset => judge.end(ParseClass::BadHeaderLength),
    }
}

/// What a fragment after the first goes through.
#[inline(always)]
pub(super) fn later_fragment<T: Tables>(judge: &mut Judge<'_, T>, overlaps_tcp_header: bool) -> Step<()> {
    if overlaps_tcp_header {
        judge.see(ParseClass::FragmentTiny)?;
    }
    judge.see(ParseClass::FragmentLater)?;
    judge.see(ParseClass::FragmentOrphan)
}

enum Header {
    /// TCP's data offset is below its minimum.
    BadOffset,
    /// Fewer bytes than the header's fixed size.
    Cut,
    /// TCP's data offset points past the end.
    CutByOffset,
    Whole(Upper),
}

#[inline(always)]
fn tcp(frame: &impl Frame, start: usize, left: usize) -> Header {
    let Some(header) = frame.read::<20>(start).filter(|_| left >= 20) else {
        return Header::Cut;
    };
    let length = usize::from(header[12] >> 4) * 4;
    if length < 20 {
        return Header::BadOffset;
    }
    if length > left {
        return Header::CutByOffset;
    }
    Header::Whole(Upper::Tcp {
        source: u16::from_be_bytes([header[0], header[1]]),
        destination: u16::from_be_bytes([header[2], header[3]]),
        flags: header[13],
    })
}

#[inline(always)]
fn ports<const SIZE: usize>(frame: &impl Frame, start: usize, left: usize) -> Header {
    let Some(header) = frame.read::<SIZE>(start).filter(|_| left >= SIZE) else {
        return Header::Cut;
    };
    Header::Whole(Upper::Ports {
        source: u16::from_be_bytes([header[0], header[1]]),
        destination: u16::from_be_bytes([header[2], header[3]]),
    })
}

#[inline(always)]
fn icmp(frame: &impl Frame, start: usize, left: usize) -> Header {
    let Some(header) = frame.read::<8>(start).filter(|_| left >= 8) else {
        return Header::Cut;
    };
    Header::Whole(Upper::Icmp {
        kind: header[0],
        code: header[1],
    })
}
