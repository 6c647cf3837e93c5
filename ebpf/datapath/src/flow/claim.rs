//! Which flow a packet belongs to, and what it does there.

use super::tcp::{ACK, RST, SYN};
use crate::judge::Origin;
use crate::packet::{Fragment, Packet, Upper, UpperKind};
use crate::wire::{Ends, FlowKey, Plane, SourceKey};

/// A packet, as far as flows ask about it. Plain numbers without a gap: the kernel's functions hand it on by address.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Claim {
    /// The clock of flows, in nanoseconds.
    pub tick: u64,
    /// Nanoseconds since boot, for rules that end.
    pub now: u64,
    /// The flow's key.
    pub key: FlowKey,
    /// The interface, by the kernel's number.
    pub interface: u32,
    /// 1: the packet goes out.
    pub outbound: u32,
    /// An [`UpperKind`].
    pub kind: u32,
    /// TCP: its flags.
    pub flags: u32,
    /// TCP: its sequence number.
    pub sequence: u32,
    /// TCP: its acknowledgement number.
    pub acknowledged: u32,
    /// TCP: bytes behind the header.
    pub payload: u32,
    /// 1: it brings back a cookie of the host's TCP, so its source is where it says.
    pub proven: u32,
}

impl Claim {
    /// What a packet claims: to belong to the flow with these ends.
    #[inline(always)]
    pub(crate) fn of(packet: &Packet, ends: Ends, outbound: bool, origin: Origin) -> Self {
        let upper = packet.upper;
        Self {
            tick: origin.tick,
            now: origin.now,
            key: ends.key(),
            interface: origin.interface,
            outbound: outbound.into(),
            kind: upper.kind as u32,
            flags: upper.flags.into(),
            sequence: upper.sequence,
            acknowledged: upper.acknowledged,
            payload: upper.payload,
            proven: 0,
        }
    }

    /// How the other host is known, as [`crate::wire::source_key`] has it; the words are those of [`Ends::key`].
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "fields of 64-bit words")]
    pub(super) const fn remote(&self) -> SourceKey {
        [
            (self.key[0] >> 32) as u32,
            self.key[0] as u32,
            (self.key[4] >> 8) as u32 & 1,
        ]
    }

    /// Whether it is TCP.
    #[inline(always)]
    pub(super) const fn is_tcp(&self) -> bool {
        self.kind == UpperKind::Tcp as u32
    }

    /// Whether it opens a connection.
    #[inline(always)]
    pub(super) const fn opens_connection(&self) -> bool {
        self.is_tcp() && self.flags & (SYN | ACK) == SYN
    }

    /// Whether it may bring back a cookie.
    #[inline(always)]
    #[must_use]
    pub const fn acknowledges(&self) -> bool {
        self.is_tcp() && self.flags & (SYN | RST | ACK) == ACK
    }

    /// Whether it brings back a cookie.
    #[inline(always)]
    pub(super) const fn is_proven(&self) -> bool {
        self.proven != 0
    }

    /// Whether the packet goes out.
    #[inline(always)]
    pub(super) const fn is_outbound(&self) -> bool {
        self.outbound != 0
    }

    /// The upper header that was read.
    #[inline(always)]
    pub(super) const fn upper_kind(&self) -> UpperKind {
        match self.kind {
            1 => UpperKind::Icmp,
            2 => UpperKind::Ports,
            3 => UpperKind::Tcp,
            _ => UpperKind::None,
        }
    }
}

/// Whether a packet opens a connection rather than goes on with one: rules judge it, whatever flow there is.
#[inline(always)]
pub(crate) const fn opens_connection(packet: &Packet) -> bool {
    matches!(packet.upper.kind, UpperKind::Tcp) && packet.upper.flags as u32 & (SYN | ACK) == SYN
}

/// The ends of the flow that a packet can belong to; `None`: it is judged alone.
///
/// TCP, UDP and SCTP by addresses and ports, ICMP echo by addresses, identifier and who asks, every other protocol by addresses alone. A
/// fragment without its upper header belongs to none.
#[inline(always)]
pub(crate) const fn ends(packet: &Packet, outbound: bool) -> Option<Ends> {
    let upper = packet.upper;
    let (source_port, port) = match upper.kind {
        UpperKind::Tcp | UpperKind::Ports => (upper.source_port, upper.key),
        UpperKind::Icmp => match echo(packet.plane, upper) {
            Some(asks) => {
                // Who asks stands where the other host's port would, so that two hosts that ask each other with one identifier
                // have two flows.
                let remote = (asks == outbound) as u16 ^ 1;
                if outbound {
                    (upper.identifier, remote)
                } else {
                    (remote, upper.identifier)
                }
            }
            None => return None,
        },
        UpperKind::None if has_header(packet.plane, packet.protocol) => return None,
        UpperKind::None => (0, 0),
    };
    let (remote, local, remote_port, local_port) = if outbound {
        (packet.destination, packet.source, port, source_port)
    } else {
        (packet.source, packet.destination, source_port, port)
    };
    Some(Ends {
        plane: packet.plane,
        protocol: packet.protocol,
        remote,
        local,
        remote_port,
        local_port,
    })
}

/// The packet that opens a flow with these ends, sent by the other host or by this one: what rules are asked about again after a
/// reload.
#[inline(always)]
pub(super) const fn first_packet(ends: Ends, by_remote: bool, kind: UpperKind) -> Packet {
    let (source, destination) = if by_remote {
        (ends.remote, ends.local)
    } else {
        (ends.local, ends.remote)
    };
    let (source_port, port) = if by_remote {
        (ends.remote_port, ends.local_port)
    } else {
        (ends.local_port, ends.remote_port)
    };
    let upper = match kind {
        UpperKind::Tcp => Upper {
            kind,
            key: port,
            source_port,
            flags: OPENING,
            ..Upper::NONE
        },
        UpperKind::Ports => Upper {
            kind,
            key: port,
            source_port,
            ..Upper::NONE
        },
        UpperKind::Icmp => Upper {
            kind,
            key: match ends.plane {
                Plane::V4 => (ECHO_REQUEST as u16) << 8,
                Plane::V6 => (ECHO_REQUEST_V6 as u16) << 8,
            },
            ..Upper::NONE
        },
        UpperKind::None => Upper::NONE,
    };
    Packet {
        plane: ends.plane,
        source,
        destination,
        hop_limit: 0,
        protocol: ends.protocol,
        fragment: Fragment::WHOLE,
        in_parts: false,
        upper,
    }
}

/// Whether an ICMP message is an echo that asks (`true`) or answers.
#[inline(always)]
const fn echo(plane: Plane, upper: Upper) -> Option<bool> {
    match (plane, upper.key) {
        (Plane::V4, key) if key == (ECHO_REQUEST as u16) << 8 => Some(true),
        (Plane::V4, 0) => Some(false),
        (Plane::V6, key) if key == (ECHO_REQUEST_V6 as u16) << 8 => Some(true),
        (Plane::V6, key) if key == (ECHO_REPLY_V6 as u16) << 8 => Some(false),
        _ => None,
    }
}

/// Protocols whose upper header is read: without it, a packet of theirs is a fragment.
#[inline(always)]
const fn has_header(plane: Plane, protocol: u8) -> bool {
    matches!(protocol, 6 | 17 | 132) || matches!((plane, protocol), (Plane::V4, 1) | (Plane::V6, 58))
}

/// The flags of a TCP packet that opens a connection.
const OPENING: u8 = 1 << 1;

/// RFC 792.
const ECHO_REQUEST: u8 = 8;
/// RFC 4443.
const ECHO_REQUEST_V6: u8 = 128;
/// RFC 4443.
const ECHO_REPLY_V6: u8 = 129;

const _: () = assert!(OPENING as u32 == SYN);
