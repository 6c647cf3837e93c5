//! IPv4 (RFC 791). Steps and their order: `docs/semantics.md`, section 2.

use super::{DATAGRAM_MAX, TCP, big, upper};
use crate::judge::{Judge, Step, Witness};
use crate::packet::{Address, Fragment, Packet, Upper};
use crate::wire::Plane;
use crate::{Frame, ParseClass, Tables};

/// The packet whose header starts at `start`, and the class of its source.
#[inline(always)]
pub(crate) fn ipv4<T: Tables, W: Witness>(
    judge: &mut Judge<'_, T, W>,
    frame: &impl Frame,
    start: usize,
) -> Step<(Packet, u32)> {
    let Some(header) = frame.read::<20>(start) else {
        return judge.end(ParseClass::Truncated);
    };
    if header[0] >> 4 != 4 {
        return judge.end(ParseClass::BadVersion);
    }
    let header_length = usize::from(header[0] & 0x0f) * 4;
    let total_length = big::length(judge, frame, start, u16::from_be_bytes([header[2], header[3]]));
    if header_length < 20 || total_length < header_length {
        return judge.end(ParseClass::BadHeaderLength);
    }
    if !frame.holds(start + total_length) {
        return judge.end(ParseClass::Truncated);
    }
    if header_length > 20 {
        judge.see(ParseClass::IpOptions)?;
    }
    let source = Address::v4([header[12], header[13], header[14], header[15]]);
    let destination = Address::v4([header[16], header[17], header[18], header[19]]);
    let source_class = judge.source::<{ Plane::V4 as u8 }>(source)?;
    if source == destination {
        judge.see(ParseClass::Land)?;
    }
    let mut packet = Packet {
        plane: Plane::V4,
        source,
        destination,
        hop_limit: header[8],
        protocol: header[9],
        fragment: Fragment::WHOLE,
        in_parts: false,
        upper: Upper::NONE,
    };
    let id = u16::from_be_bytes([header[4], header[5]]).into();
    let fragment = u16::from_be_bytes([header[6], header[7]]);
    let (offset, more) = (fragment & 0x1fff, fragment & 0x2000 != 0);
    if offset != 0 {
        if judge.remembers() {
            packet.fragment = Fragment::later(id, offset);
        }
        let beyond = usize::from(offset) * 8 + total_length > DATAGRAM_MAX;
        upper::later_fragment(judge, packet.protocol == TCP && offset == 1, beyond)?;
        return Step::Continue((packet, source_class));
    }
    if more {
        judge.see(ParseClass::FragmentFirst)?;
        packet.in_parts = true;
        if judge.remembers() {
            packet.fragment = Fragment::first(id, upper::units(total_length - header_length));
        }
    }
    packet.upper = upper::upper(
        judge,
        frame,
        &packet,
        start + header_length,
        start + total_length,
        more,
    )?;
    Step::Continue((packet, source_class))
}
