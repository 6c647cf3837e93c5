//! TCP (RFC 9293), as far as it takes to know when a connection is there and when it is gone.
//!
//! The host's own packets are trusted: its TCP has checked what it answers. So what *it* sends keeps a connection alive, and what
//! *it* acknowledges has arrived. A forged packet makes a live host answer at most with an acknowledgement (RFC 5961, section 3
//! to 5), which is the truth, and a host without that connection with a reset, which ends the flow.

use super::{Claim, FlowCell};
use crate::wire::{Flow, Stage, marks, word};

pub(super) const FIN: u32 = 1;
pub(super) const SYN: u32 = 1 << 1;
pub(super) const RST: u32 = 1 << 2;
pub(super) const ACK: u32 = 1 << 4;

/// The flow that a segment opens: not a reset, and not an answer to a SYN that no rule let in.
#[inline(always)]
pub(super) fn opened(flow: Flow, claim: &Claim, proven: bool) -> Option<Flow> {
    if claim.flags & RST != 0 || claim.flags & (SYN | ACK) == SYN | ACK {
        return None;
    }
    if proven {
        return Some(completed(flow, claim));
    }
    if !claim.is_outbound() {
        return Some(flow);
    }
    let mut flow = Flow {
        next: end(claim),
        marks: flow.marks | marks::NEXT,
        ..flow
    };
    if claim.flags & ACK != 0 {
        flow.acked = claim.acknowledged;
        flow.marks |= marks::ACKED;
    }
    if claim.flags & FIN != 0 {
        flow.marks |= marks::LOCAL_FIN;
    }
    // In the middle of a connection, which is there: its host goes on with it.
    if claim.flags & SYN == 0 {
        flow.stage = Stage::Established;
    }
    Some(flow)
}

/// The flow of a segment that brings back a cookie: the handshake is over, and its numbers are those of the segment.
#[inline(always)]
const fn completed(flow: Flow, claim: &Claim) -> Flow {
    Flow {
        next: claim.acknowledged,
        acked: claim.sequence,
        marks: flow.marks | marks::NEXT | marks::ACKED,
        stage: Stage::Established,
        ..flow
    }
}

/// A segment of this host; says whether the flow has just been established.
#[inline(always)]
pub(super) fn sent(cell: &impl FlowCell, flow: &Flow, fin_seen: bool, claim: &Claim) -> bool {
    let known = flow.marks & marks::NEXT != 0;
    if claim.flags & RST != 0 {
        // The answer to a packet that names a number it made up has that number, and the connection goes on (RFC 9293, section
        // 3.10.7.3).
        if !known || claim.sequence == flow.next {
            close(cell, flow);
        }
        return false;
    }
    let mut after = *flow;
    let end = end(claim);
    if !known || is_after(end, flow.next) {
        after.next = end;
    }
    after.marks |= marks::NEXT;
    if claim.flags & ACK != 0 {
        if flow.marks & marks::ACKED == 0 || is_after(claim.acknowledged, flow.acked) {
            after.acked = claim.acknowledged;
        }
        after.marks |= marks::ACKED;
        // The other host's FIN counts once this host has taken it.
        if fin_seen && claim.acknowledged == flow.remote_fin {
            after.marks |= marks::REMOTE_FIN;
        }
    }
    if claim.flags & FIN != 0 {
        after.marks |= marks::LOCAL_FIN;
    }
    let both = marks::LOCAL_FIN | marks::REMOTE_FIN;
    if after.marks & both == both {
        after.stage = Stage::Closing;
    } else if claim.flags & SYN == 0 {
        after.stage = Stage::Established;
    }
    cell.store(word::SEEN, claim.tick);
    cell.store(word::SENT, after.sent_word());
    if after.state_word() != flow.state_word() {
        cell.store(word::STATE, after.state_word());
    }
    matches!(after.stage, Stage::Established) && !matches!(flow.stage, Stage::Established)
}

/// A segment of the other host; says whether the flow has just been established.
#[inline(always)]
pub(super) fn received(cell: &impl FlowCell, flow: &Flow, claim: &Claim) -> bool {
    let names_next =
        claim.flags & ACK != 0 && flow.marks & marks::NEXT != 0 && claim.acknowledged == flow.next;
    let opening = matches!(flow.stage, Stage::Opening);
    if claim.flags & RST != 0 {
        // Exact, as the host itself demands (RFC 5961, section 3.2); refused connections by the number of the SYN.
        let exact = flow.marks & marks::ACKED != 0 && claim.sequence == flow.acked;
        if exact || opening && !flow.by_remote && names_next {
            close(cell, flow);
        }
        return false;
    }
    if claim.flags & FIN != 0 {
        cell.store(word::REMOTE_FIN, Flow::fin_word(end(claim)));
    }
    // The last step of a handshake that the other host began: only who got the host's SYN knows its number.
    if opening && flow.by_remote && claim.flags & SYN == 0 && names_next {
        let after = Flow {
            stage: Stage::Established,
            ..*flow
        };
        cell.store(word::SEEN, claim.tick);
        cell.store(word::STATE, after.state_word());
        return true;
    }
    false
}

#[inline(always)]
fn close(cell: &impl FlowCell, flow: &Flow) {
    let after = Flow {
        stage: Stage::Closing,
        ..*flow
    };
    cell.store(word::STATE, after.state_word());
}

/// The sequence number that follows a segment.
#[inline(always)]
const fn end(claim: &Claim) -> u32 {
    let flags = (claim.flags & SYN != 0) as u32 + (claim.flags & FIN != 0) as u32;
    claim.sequence.wrapping_add(claim.payload).wrapping_add(flags)
}

/// Whether a sequence number comes after another, on the circle of 32 bits (RFC 9293, section 3.4).
#[inline(always)]
const fn is_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).wrapping_sub(1) < 0x7fff_ffff
}
