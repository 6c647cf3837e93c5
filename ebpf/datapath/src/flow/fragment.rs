//! Memory between fragments: the later ones follow the first, which alone has the header that rules ask about.
//!
//! Section 10 of `docs/semantics.md`. Fragments are not put together again: that would hold packets back, for whoever sends first
//! fragments and nothing behind them.

use super::{Claim, FlowCell, Flows};
use crate::packet::Packet;
use crate::wire::{FLOW_WORDS, FlowKey, FlowRecord, Plane, word};
use crate::{Origin, Verdict};

/// What became of the first fragment of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Followed {
    /// It is not known, or was denied.
    Unknown = 0,
    /// It passed, and this one follows.
    Allowed = 1,
    /// Another one was denied; or this one reaches into it, and so whatever follows is denied too.
    Denied = 2,
}

impl Followed {
    /// The answer of a register.
    #[inline(always)]
    #[must_use]
    pub const fn unpack(word: u32) -> Self {
        match word {
            0 => Self::Unknown,
            1 => Self::Allowed,
            _ => Self::Denied,
        }
    }
}

impl Claim {
    /// What a fragment claims: to be of a datagram.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "units have 16 bits")]
    pub(crate) fn of_fragment(packet: &Packet, outbound: bool, origin: Origin) -> Self {
        Self {
            tick: origin.tick,
            now: 0,
            key: key(packet, outbound),
            interface: 0,
            outbound: outbound.into(),
            kind: 0,
            flags: 0,
            sequence: 0,
            acknowledged: 0,
            payload: packet.fragment.units() as u32,
            proven: 0,
        }
    }
}

/// The datagram: RFC 791, section 3.2, and RFC 8200, section 4.5, where the protocol is none of its names.
#[inline(always)]
fn key(packet: &Packet, outbound: bool) -> FlowKey {
    let (source, destination) = (packet.source, packet.destination);
    let protocol = match packet.plane {
        Plane::V4 => u64::from(packet.protocol),
        Plane::V6 => 0,
    };
    [
        source.high,
        source.low,
        destination.high,
        destination.low,
        u64::from(packet.fragment.id()) << 32
            | (packet.plane as u64) << 9
            | u64::from(outbound) << 8
            | protocol,
    ]
}

/// Remembers a first fragment that passed. One that was denied leaves nothing, so that a flood of what no rule allows pushes nothing out;
/// but where another first fragment of the same datagram has passed before, it is somebody's trick: what follows is denied.
#[inline(always)]
pub fn first(flows: &impl Flows, claim: &Claim, denied: bool) {
    let mut units = u64::from(claim.payload);
    let mut mark = 0;
    if let Some(cell) = flows.datagram(&claim.key) {
        let before = cell.load();
        if is_there(&before, claim) {
            let state = before[word::STATE];
            if denied {
                cell.store(word::STATE, state | DENIED);
            }
            mark = state & DENIED;
            // The receiver may keep either.
            if state >> 1 > units {
                units = state >> 1;
            }
        }
    }
    if denied {
        return;
    }
    let mut record: FlowRecord = [0; FLOW_WORDS];
    record[word::SEEN] = claim.tick;
    record[word::STATE] = units << 1 | mark;
    flows.begin(&claim.key, &record);
}

/// What a later fragment follows.
#[inline(always)]
pub fn follow(flows: &impl Flows, claim: &Claim) -> Followed {
    let Some(cell) = flows.datagram(&claim.key) else {
        return Followed::Unknown;
    };
    let record = cell.load();
    if !is_there(&record, claim) {
        return Followed::Unknown;
    }
    let state = record[word::STATE];
    if state & DENIED != 0 {
        return Followed::Denied;
    }
    if u64::from(claim.payload) < state >> 1 {
        // It would replace what was judged (RFC 1858, section 3; RFC 5722).
        cell.store(word::STATE, state | DENIED);
        return Followed::Denied;
    }
    Followed::Allowed
}

#[inline(always)]
fn is_there(record: &FlowRecord, claim: &Claim) -> bool {
    claim.tick.saturating_sub(record[word::SEEN]) < LIFETIME
}

/// How a verdict is remembered.
#[inline(always)]
pub(crate) const fn is_denied(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Deny)
}

const DENIED: u64 = 1;

/// How long the rest of a datagram is waited for, in nanoseconds: as Linux does (`ipfrag_time`, 30 s).
const LIFETIME: u64 = 30_000_000_000;
