//! The chain of IPv6 extension headers (RFC 8200, section 4), between the fixed header and the upper one.

use super::DATAGRAM_MAX;
use crate::Frame;

/// Extension headers walked. A bound on work a packet can ask for: chains are the cheapest way to make a filter slow.
const MAX_EXTENSIONS: u32 = 8;

pub(super) const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;

/// Where a chain begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The number of the first extension header.
    pub protocol: u8,
    /// Where it stands in the frame.
    pub at: usize,
    /// Where the packet ends.
    pub end: usize,
}

/// What a chain led to. The classes of what was met on the way are seen by whoever asked for the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The number of the header that ended it; of a header that is cut, its own.
    pub protocol: u8,
    /// A routing header of type 0.
    pub routing_header_0: Seen,
    /// A fragment header, of whatever.
    pub fragment_header: bool,
    /// A fragment header of a first fragment.
    pub first_fragment: bool,
    /// A later fragment ends behind the longest datagram there can be.
    pub beyond: bool,
    /// The identification in the last fragment header.
    pub id: u32,
    /// How it ended.
    pub end: ChainEnd,
}

/// Whether something was met, and on which side of the first fragment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Seen {
    /// Never.
    Never = 0,
    /// Before a fragment header, or without one.
    Before = 1,
    /// Behind it.
    After = 2,
}

/// How a chain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainEnd {
    /// With an upper header, at this offset of the frame.
    Upper(usize),
    /// With one extension header more than are walked.
    TooLong,
    /// With a header that goes on behind the packet.
    Cut,
    /// With the header of a later fragment.
    LaterFragment {
        /// Its offset, in units of 8 bytes.
        offset: u16,
    },
}

/// Walks a chain.
#[inline(always)]
pub fn walk(frame: &impl Frame, from: Link) -> Chain {
    let Link { protocol, at, end } = from;
    let mut at = at;
    let mut chain = Chain {
        protocol,
        routing_header_0: Seen::Never,
        fragment_header: false,
        first_fragment: false,
        beyond: false,
        id: 0,
        end: ChainEnd::TooLong,
    };
    let mut walked = 0;
    while is_extension(chain.protocol) {
        if walked == MAX_EXTENSIONS {
            return chain;
        }
        walked += 1;
        let extension = frame.read::<8>(at).filter(|_| at + 8 <= end);
        let length = match extension {
            Some(extension) if chain.protocol != FRAGMENT => (usize::from(extension[1]) + 1) * 8,
            _ => 8,
        };
        let Some(extension) = extension.filter(|_| at + length <= end) else {
            chain.end = ChainEnd::Cut;
            return chain;
        };
        if chain.protocol == ROUTING && extension[2] == 0 && chain.routing_header_0 == Seen::Never {
            chain.routing_header_0 = match chain.first_fragment {
                false => Seen::Before,
                true => Seen::After,
            };
        }
        if chain.protocol == FRAGMENT {
            let fragment = u16::from_be_bytes([extension[2], extension[3]]);
            chain.fragment_header = true;
            let (offset, more) = (fragment >> 3, fragment & 1 != 0);
            chain.id = u32::from_be_bytes([extension[4], extension[5], extension[6], extension[7]]);
            if offset != 0 {
                chain.protocol = extension[0];
                chain.beyond = usize::from(offset) * 8 + (end - (at + 8)) > DATAGRAM_MAX;
                chain.end = ChainEnd::LaterFragment { offset };
                return chain;
            }
            chain.first_fragment |= more;
        }
        chain.protocol = extension[0];
        at += length;
    }
    chain.end = ChainEnd::Upper(at);
    chain
}

/// Hop-by-hop, routing, fragment, destination options, mobility, HIP, shim6.
#[inline(always)]
pub(super) const fn is_extension(next_header: u8) -> bool {
    matches!(
        next_header,
        HOP_BY_HOP | ROUTING | FRAGMENT | 60 | 135 | 139 | 140
    )
}

impl Chain {
    /// The chain in one register.
    #[inline(always)]
    #[must_use]
    pub const fn pack(self) -> u64 {
        let (end, detail) = match self.end {
            ChainEnd::Upper(at) => (0, at as u64),
            ChainEnd::TooLong => (1, 0),
            ChainEnd::Cut => (2, 0),
            ChainEnd::LaterFragment { offset } => (3, offset as u64),
        };
        (self.id as u64) << 32
            | (self.fragment_header as u64) << 31
            | (self.beyond as u64) << 30
            | detail << 13
            | end << 11
            | (self.first_fragment as u64) << 10
            | (self.routing_header_0 as u64) << 8
            | self.protocol as u64
    }

    /// The chain of a register.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "fields of a 64-bit word")]
    pub const fn unpack(word: u64) -> Self {
        // An offset of a frame has 17 bits.
        let detail = word >> 13 & 0x1_ffff;
        Self {
            protocol: word as u8,
            routing_header_0: match word >> 8 & 3 {
                0 => Seen::Never,
                1 => Seen::Before,
                _ => Seen::After,
            },
            fragment_header: word >> 31 & 1 == 1,
            first_fragment: word >> 10 & 1 == 1,
            beyond: word >> 30 & 1 == 1,
            id: (word >> 32) as u32,
            end: match word >> 11 & 3 {
                0 => ChainEnd::Upper(detail as usize),
                1 => ChainEnd::TooLong,
                2 => ChainEnd::Cut,
                _ => ChainEnd::LaterFragment {
                    offset: detail as u16,
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_holds_every_chain() {
        for end in [
            ChainEnd::Upper(0),
            ChainEnd::Upper(70_000),
            ChainEnd::TooLong,
            ChainEnd::Cut,
            ChainEnd::LaterFragment { offset: 0x1fff },
        ] {
            for routing_header_0 in [Seen::Never, Seen::Before, Seen::After] {
                for (fragment_header, first_fragment) in [(false, false), (true, false), (true, true)] {
                    let chain = Chain {
                        protocol: 255,
                        routing_header_0,
                        fragment_header,
                        first_fragment,
                        beyond: first_fragment,
                        id: u32::MAX,
                        end,
                    };
                    assert_eq!(Chain::unpack(chain.pack()), chain);
                }
            }
        }
    }
}
