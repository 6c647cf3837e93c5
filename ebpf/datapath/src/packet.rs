//! The facts a rule may ask about a packet: owned, copied, without bytes.

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
}

/// What the upper header said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upper {
    /// ICMP in IPv4, ICMPv6 in IPv6.
    Icmp {
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
    },
    /// No upper header was read: another protocol, or a fragment without it.
    None,
    /// UDP or SCTP.
    Ports {
        /// The source port.
        source: u16,
        /// The destination port.
        destination: u16,
    },
    /// TCP.
    Tcp {
        /// The source port.
        source: u16,
        /// The destination port.
        destination: u16,
        /// The flags byte.
        flags: u8,
    },
}

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
    /// The upper header.
    pub upper: Upper,
}
