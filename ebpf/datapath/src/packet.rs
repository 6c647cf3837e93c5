//! The facts a rule may ask about a packet: owned, copied, without bytes.

use crate::Frame;
use crate::wire::Plane;

/// An address, left-aligned in 128 bits: an IPv4 address fills the top 32. One lookup serves both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The first 64 bits.
    pub high: u64,
    /// The last 64 bits.
    pub low: u64,
}

impl Address {
    /// An IPv4 address as on the wire.
    #[must_use]
    #[inline(always)]
    pub const fn v4(bytes: [u8; 4]) -> Self {
        Self {
            high: (u32::from_be_bytes(bytes) as u64) << 32,
            low: 0,
        }
    }

    /// An IPv6 address as on the wire.
    #[must_use]
    #[inline(always)]
    pub const fn v6(bytes: [u8; 16]) -> Self {
        let all = u128::from_be_bytes(bytes);
        #[expect(clippy::cast_possible_truncation, reason = "the low half")]
        Self {
            high: (all >> 64) as u64,
            low: all as u64,
        }
    }

    /// The first `bits`, 1 to 31 of them, as a number, and the address without them.
    #[inline(always)]
    pub(crate) const fn split(self, bits: u32) -> (u32, Self) {
        let (first, rest) = self.digit(bits);
        #[expect(clippy::cast_possible_truncation, reason = "at most 31 bits are left")]
        (first as u32, rest)
    }

    /// The first `bits`, 1 to 63 of them, as a number, and the address without them.
    #[inline(always)]
    pub(crate) const fn digit(self, bits: u32) -> (u64, Self) {
        let rest = Self {
            high: self.high << bits | self.low >> ((64 - bits) & 63),
            low: self.low << bits,
        };
        (self.high >> ((64 - bits) & 63), rest)
    }
}

/// What the upper header said. All fields always hold a value: an enum's unused bytes would be uninitialized registers
/// to the verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upper {
    /// Which header was read.
    pub kind: UpperKind,
    /// The destination port, or the ICMP type (high byte) and code; 0 when there is neither.
    pub key: u16,
    /// The source port; 0 when there is none.
    pub source_port: u16,
    /// The TCP flags byte; 0 when there is none.
    pub flags: u8,
    /// The identifier of an ICMP echo: bytes 4 and 5 of any ICMP message; 0 when there is none.
    pub identifier: u16,
    /// TCP's sequence number.
    pub sequence: u32,
    /// TCP's acknowledgement number.
    pub acknowledged: u32,
    /// Bytes behind the TCP header.
    pub payload: u32,
    /// What an ICMP error quotes, where errors are matched by that.
    pub quotation: Quotation,
}

/// Where the packet stands that an ICMP error quotes: one word, for the reason given at [`Fragment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotation(pub u32);

impl Quotation {
    /// None is asked for.
    pub const NONE: Self = Self(0);

    /// So many bytes from this offset of the frame on, of which no more than an error may quote are looked at: what stands behind has to be
    /// before [`crate::frame::MAX_OFFSET`], and no chain of headers in it may ask for more work.
    #[inline(always)]
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an offset of a header has 15 bits, and the length 11"
    )]
    pub(crate) fn new(frame: &impl Frame, at: usize, length: usize) -> Self {
        let length = if length > QUOTED { QUOTED } else { length };
        Self(frame.forget((length << 16 | at) as u64) as u32)
    }

    /// Whether there is one.
    #[inline(always)]
    #[must_use]
    pub const fn is_there(self) -> bool {
        self.0 != 0
    }

    /// Its first byte and the one behind its last, as offsets of the frame.
    #[inline(always)]
    #[must_use]
    pub const fn span(self) -> (usize, usize) {
        let at = (self.0 & 0xffff) as usize;
        (at, at + (self.0 >> 16) as usize)
    }
}

/// Bytes of a quotation that are looked at: an error is no longer than the smallest IPv6 MTU (RFC 4443, section 2.4), in IPv4 shorter (RFC 1812).
const QUOTED: usize = 1280;

/// Which upper header a packet has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum UpperKind {
    /// None was read: another protocol, or a fragment without it.
    None = 0,
    /// ICMP in IPv4, ICMPv6 in IPv6.
    Icmp = 1,
    /// UDP or SCTP.
    Ports = 2,
    /// TCP.
    Tcp = 3,
}

impl Upper {
    /// No upper header.
    pub const NONE: Self = Self {
        kind: UpperKind::None,
        key: 0,
        source_port: 0,
        flags: 0,
        identifier: 0,
        sequence: 0,
        acknowledged: 0,
        payload: 0,
        quotation: Quotation::NONE,
    };

    /// The ICMP type.
    #[must_use]
    #[inline(always)]
    pub const fn icmp_type(self) -> u8 {
        self.key.to_be_bytes()[0]
    }
}

/// Which part of its datagram a packet is: one word, so that what keeps it while rules are asked is one register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment(u64);

impl Fragment {
    /// All of it.
    pub const WHOLE: Self = Self(0);

    /// Its beginning; so many whole units of 8 bytes are judged by its upper header.
    #[inline(always)]
    #[must_use]
    pub const fn first(id: u32, units: u16) -> Self {
        Self(FIRST << 48 | (units as u64) << 32 | id as u64)
    }

    /// Something behind that, so many units from the start.
    #[inline(always)]
    #[must_use]
    pub const fn later(id: u32, offset: u16) -> Self {
        Self(LATER << 48 | (offset as u64) << 32 | id as u64)
    }

    /// Whether it is a beginning.
    #[inline(always)]
    #[must_use]
    pub const fn is_first(self) -> bool {
        self.0 >> 48 == FIRST
    }

    /// Whether it is something behind that.
    #[inline(always)]
    #[must_use]
    pub const fn is_later(self) -> bool {
        self.0 >> 48 == LATER
    }

    /// What the datagram is called.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the low half")]
    pub const fn id(self) -> u32 {
        self.0 as u32
    }

    /// Units of 8 bytes: of a beginning, how many are judged; of the rest, where it begins.
    #[inline(always)]
    #[must_use]
    pub const fn units(self) -> u64 {
        self.0 >> 32 & 0xffff
    }

    /// The same, of which the verifier knows nothing any more: each way through the parser leaves another number, and it would walk all that
    /// follows once for each.
    #[inline(always)]
    pub(crate) fn forgotten(self, frame: &impl Frame) -> Self {
        Self(frame.forget(self.0))
    }
}

const FIRST: u64 = 1;
const LATER: u64 = 2;

/// One IP packet, parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The family.
    pub plane: Plane,
    /// The source address.
    pub source: Address,
    /// The destination address.
    pub destination: Address,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// The upper protocol's number.
    pub protocol: u8,
    /// Which part of a datagram it is.
    pub fragment: Fragment,
    /// It came as a fragment: as one of several, or in IPv6 with a fragment header at all.
    pub in_parts: bool,
    /// The upper header.
    pub upper: Upper,
}
