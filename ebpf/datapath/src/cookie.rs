//! SYN cookies (RFC 4987, section 3.6): answers to SYNs over the budget, in the host's stead. Section 12 of `docs/semantics.md`.
//!
//! SYN over the budget → **segment → the host's TCP makes a cookie** → the answer's bytes; ACK without a flow → **segment → the host's
//! TCP knows its cookie** → an established flow. Nothing is kept in between, so a flood of forged SYNs fills nothing. Must not know
//! how a cookie is made: that is the host's, which has to accept the ACK too.

mod answer;

use crate::packet::Address;
use crate::wire::{PROBES, PROXIED_DOUBLES, Plane, Setting, proxied_cell, proxied_entry};
use crate::{Frame, Tables, parse};

pub use answer::{LONGEST, answer};

/// What the host's TCP says of cookies: the seam between the packet path and whoever has sockets.
pub trait HostTcp {
    /// A cookie for this SYN. `None`: nobody listens there, or TCP makes none.
    fn cookie(&self, syn: &Segment) -> Option<Cookie>;

    /// Whether this ACK brings back a cookie that the host's TCP has made for the same ends.
    fn knows(&self, ack: &Segment) -> bool;
}

/// A cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// The sequence number of the host's SYN.
    pub number: u32,
    /// The largest segment that it stands for, in bytes: what the host will send at most.
    pub mss: u16,
}

impl Cookie {
    /// The word; never 0, because no segment is of 0 bytes.
    #[inline(always)]
    #[must_use]
    pub const fn pack(self) -> u64 {
        (self.mss as u64) << 32 | self.number as u64
    }

    /// The cookie of a word, also of one that the kernel's helper gives.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a word")]
    pub const fn unpack(word: u64) -> Option<Self> {
        let (number, mss) = (word as u32, (word >> 32) as u16);
        if mss == 0 {
            return None;
        }
        Some(Self { number, mss })
    }
}

/// A TCP packet, as far as cookies ask about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The family.
    pub plane: Plane,
    /// Who sent it.
    pub source: Address,
    /// The host's address.
    pub destination: Address,
    /// The port of who sent it.
    pub source_port: u16,
    /// The host's port.
    pub port: u16,
    /// Its sequence number.
    pub sequence: u32,
    /// Its acknowledgement number.
    pub acknowledged: u32,
    /// Its flags.
    pub flags: u8,
    /// Where its IP header begins in the frame: 14, 18 or 22. The TCP header follows at once.
    pub start: usize,
    /// Bytes of its TCP header: 20 to 60.
    pub header: usize,
    /// Bytes behind that.
    pub payload: usize,
    /// It was sent to one station, and by one.
    pub unicast: bool,
}

/// What the answer to an ACK is: it brings back a cookie.
pub const KNOWN: u64 = 1;

/// Asks the host's TCP about a packet: a [`Cookie`], packed, for a SYN that it answers; [`KNOWN`] for an ACK whose cookie it knows; otherwise 0.
#[inline(always)]
pub fn ask(tables: &impl Tables, tcp: &impl HostTcp, frame: &impl Frame) -> u64 {
    let Some(segment) = segment(frame) else {
        return 0;
    };
    if !is_proxied(tables, &segment) {
        return 0;
    }
    if segment.is_answerable() {
        return tcp.cookie(&segment).map_or(0, Cookie::pack);
    }
    if acknowledges(segment.flags) && tcp.knows(&segment) {
        return KNOWN;
    }
    0
}

impl Segment {
    /// Whether it is a SYN that is answered: one that the answer is not longer than, so that nobody is sent more than was sent in his name.
    /// Data in it would have to be forgotten, and whoever sends some sends again without (RFC 7413, section 4.1.3).
    #[inline(always)]
    const fn is_answerable(&self) -> bool {
        self.flags & (FIN | SYN | RST | ACK) == SYN
            && self.payload == 0
            && self.header >= answer::TCP_BYTES
            && self.unicast
    }
}

/// Whether a packet of these flags may bring back a cookie.
#[inline(always)]
const fn acknowledges(flags: u8) -> bool {
    flags & (SYN | RST | ACK) == ACK
}

/// The segment of a frame whose IP header has neither options nor extension headers and that is no fragment; `None`: of another. The frame
/// was parsed before: what is broken in it has been judged.
#[inline(always)]
#[must_use]
pub fn segment(frame: &impl Frame) -> Option<Segment> {
    let ethernet = frame.read::<14>(0)?;
    let (mut kind, mut start) = (u16::from_be_bytes([ethernet[12], ethernet[13]]), 14);
    if parse::is_tag(kind) {
        let tag = frame.read::<4>(14)?;
        (kind, start) = (u16::from_be_bytes([tag[2], tag[3]]), 18);
        if parse::is_tag(kind) {
            let tag = frame.read::<4>(18)?;
            (kind, start) = (u16::from_be_bytes([tag[2], tag[3]]), 22);
        }
    }
    let unicast = (ethernet[0] | ethernet[6]) & GROUP == 0;
    match kind {
        parse::IPV4 => {
            let ip = frame.read::<20>(start)?;
            let fragment = u16::from_be_bytes([ip[6], ip[7]]) & (MORE | OFFSET);
            if ip[0] != VERSION_4 || fragment != 0 || ip[9] != parse::TCP {
                return None;
            }
            let tcp = frame.read::<20>(start + 20)?;
            let length = usize::from(u16::from_be_bytes([ip[2], ip[3]])).checked_sub(20)?;
            let source = Address::v4([ip[12], ip[13], ip[14], ip[15]]);
            let destination = Address::v4([ip[16], ip[17], ip[18], ip[19]]);
            of(Plane::V4, [source, destination], &tcp, start, length, unicast)
        }
        parse::IPV6 => {
            let ip = frame.read::<40>(start)?;
            if ip[0] >> 4 != 6 || ip[6] != parse::TCP {
                return None;
            }
            let tcp = frame.read::<20>(start + 40)?;
            let length = usize::from(u16::from_be_bytes([ip[4], ip[5]]));
            let source = Address {
                high: parse::half::<8>(&ip),
                low: parse::half::<16>(&ip),
            };
            let destination = Address {
                high: parse::half::<24>(&ip),
                low: parse::half::<32>(&ip),
            };
            of(Plane::V6, [source, destination], &tcp, start, length, unicast)
        }
        _ => None,
    }
}

#[inline(always)]
fn of(
    plane: Plane,
    [source, destination]: [Address; 2],
    tcp: &[u8; 20],
    start: usize,
    length: usize,
    unicast: bool,
) -> Option<Segment> {
    let header = usize::from(tcp[12] >> 4) * 4;
    if header < 20 {
        return None;
    }
    Some(Segment {
        plane,
        source,
        destination,
        source_port: u16::from_be_bytes([tcp[0], tcp[1]]),
        port: u16::from_be_bytes([tcp[2], tcp[3]]),
        sequence: u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]),
        acknowledged: u32::from_be_bytes([tcp[8], tcp[9], tcp[10], tcp[11]]),
        flags: tcp[13],
        start,
        header,
        payload: length.checked_sub(header)?,
        unicast,
    })
}

/// Whether the tables name the segment's destination among those that are answered for. A table that breaks says no.
#[inline(always)]
fn is_proxied(tables: &impl Tables, segment: &Segment) -> bool {
    let wanted = proxied_entry(segment.plane, segment.destination, segment.port);
    let cell = proxied_cell(&wanted, tables.setting(Setting::ProxiedBits));
    let first = tables.setting(Setting::Proxied);
    let mut probe = 0;
    while probe < PROBES {
        let at = cell.wrapping_add(probe).wrapping_mul(PROXIED_DOUBLES);
        match tables.doubles::<{ PROXIED_DOUBLES as usize }>(first.wrapping_add(at)) {
            Some(entry) if entry[0] == wanted[0] && entry[1] == wanted[1] && entry[2] == wanted[2] => {
                return true;
            }
            Some(_) => probe += 1,
            None => return false,
        }
    }
    false
}

const FIN: u8 = 1;
const SYN: u8 = 1 << 1;
const RST: u8 = 1 << 2;
const ACK: u8 = 1 << 4;

/// The bit of a MAC address that makes it one of a group (IEEE 802).
const GROUP: u8 = 1;
/// An IPv4 header without options.
const VERSION_4: u8 = 0x45;
/// RFC 791: more fragments follow.
const MORE: u16 = 0x2000;
/// RFC 791: where the fragment begins.
const OFFSET: u16 = 0x1fff;
