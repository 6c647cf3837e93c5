//! What flows let through, and how they come to be.

use super::{Again, Claim, FlowCell, Flows, tcp};
use crate::Tables;
use crate::packet::UpperKind;
use crate::wire::{Flow, FlowTables, Setting, Stage, marks, word};

/// What a flow says to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Passage {
    /// There is none: the rules are asked.
    Unknown = 0,
    /// The packet passes.
    Granted = 1,
    /// A lookup left its table.
    Fault = 2,
    /// It is a flow that this host opened, and other tables let in: those of today are to be asked first.
    StaleOfLocal = 3,
    /// The same of one that the other host opened.
    StaleOfRemote = 4,
}

impl Passage {
    /// The passage of a register.
    #[inline(always)]
    #[must_use]
    pub const fn unpack(word: u32) -> Self {
        match word {
            0 => Self::Unknown,
            1 => Self::Granted,
            3 => Self::StaleOfLocal,
            4 => Self::StaleOfRemote,
            _ => Self::Fault,
        }
    }
}

/// Whether the flow that a packet claims to belong to lets it through. If so, the flow has moved on by it. `again` is what tables
/// said of the flow, if they were asked.
#[inline(always)]
pub fn pass(
    tables: &impl Tables,
    other: &impl Tables,
    flows: &impl Flows,
    claim: &Claim,
    again: Again,
) -> Passage {
    let Some(cell) = flows.table().find(&claim.key) else {
        return Passage::Unknown;
    };
    let record = cell.load();
    let flow = Flow::unpack(&record);
    if is_over(tables, claim, &flow) {
        return Passage::Unknown;
    }
    let here = flow.by_remote != claim.is_outbound();
    let Some(epoch) = (if here { epoch(tables) } else { epoch(other) }) else {
        return Passage::Fault;
    };
    if flow.epoch != epoch {
        match again {
            Again::NOT_ASKED if flow.by_remote => return Passage::StaleOfRemote,
            Again::NOT_ASKED => return Passage::StaleOfLocal,
            Again::FAULT => return Passage::Fault,
            _ => {}
        }
        let Some(rule) = again.rule() else {
            flows.table().remove(&claim.key);
            return Passage::Unknown;
        };
        let stays = Flow { epoch, rule, ..flow };
        cell.store(word::JUDGED, stays.judged_word());
    }
    if advance(&cell, &flow, Flow::remote_fin_seen(&record), claim) {
        flows.count(flows.table().settle(&claim.key));
        // Only TCP proves that its opener is where it says: anybody can forge a question that the host answers.
        if tables.setting(Setting::SourcesUsed) != 0 && claim.is_tcp() && flow.by_remote {
            flows.know(&claim.remote(), claim.tick);
        }
    }
    Passage::Granted
}

/// Enters the flow of a packet that a stateful rule, or the default, has allowed. `None` when a table is broken.
#[inline(always)]
pub fn open(tables: &impl Tables, flows: &impl Flows, claim: &Claim, rule: u32) -> Option<()> {
    if !claim.is_outbound()
        && claim.opens_connection()
        && let Some(cell) = flows.table().find(&claim.key)
    {
        let flow = Flow::unpack(&cell.load());
        // A SYN that anybody can forge does not touch a connection that may be alive: its host answers it (RFC 5961,
        // section 4), and when the connection is gone, so does its reset.
        if !is_over(tables, claim, &flow) && !matches!(flow.stage, Stage::Closing) {
            return Some(());
        }
    }
    let epoch = epoch(tables)?;
    let proven = tables.setting(Setting::SynProxyUsed) != 0 && claim.is_proven();
    if let Some(flow) = opened(claim, epoch, rule, proven) {
        let table = flows.table();
        let opened = table.open(&claim.key, &flow.pack());
        flows.count(opened);
        if matches!(flow.stage, Stage::Established) && matches!(opened, FlowTables::Opened) {
            flows.count(table.settle(&claim.key));
        }
        if proven {
            flows.know(&claim.remote(), claim.tick);
        }
    }
    Some(())
}

/// The number of what these tables say now.
#[inline(always)]
fn epoch(tables: &impl Tables) -> Option<u32> {
    tables.word(tables.setting(Setting::FlowEpoch))
}

/// Whether a flow has been idle for too long.
#[inline(always)]
pub(super) fn is_over(tables: &impl Tables, claim: &Claim, flow: &Flow) -> bool {
    let idle = claim.tick.saturating_sub(flow.seen);
    let limit = tables.setting(match (claim.upper_kind(), flow.stage) {
        (UpperKind::Tcp, Stage::Established) => Setting::FlowTcp,
        (UpperKind::Tcp, _) => Setting::FlowTcpShort,
        (UpperKind::Icmp, _) => Setting::FlowIcmp,
        (_, Stage::Established) => Setting::FlowUdpBoth,
        _ => Setting::FlowUdp,
    });
    idle >= u64::from(limit) * NANOSECONDS_PER_MILLISECOND
}

/// Moves a flow; says whether it has just been established.
#[inline(always)]
fn advance(cell: &impl FlowCell, flow: &Flow, fin_seen: bool, claim: &Claim) -> bool {
    if claim.is_tcp() {
        return if claim.is_outbound() {
            tcp::sent(cell, flow, fin_seen, claim)
        } else {
            tcp::received(cell, flow, claim)
        };
    }
    cell.store(word::SEEN, claim.tick);
    let marked = flow.marks | end_mark(claim);
    if marked == flow.marks {
        return false;
    }
    let both = Flow {
        marks: marked,
        stage: Stage::Established,
        ..*flow
    };
    cell.store(word::STATE, both.state_word());
    true
}

/// The flow that a packet opens; `None` when it opens none.
#[inline(always)]
fn opened(claim: &Claim, epoch: u32, rule: u32, proven: bool) -> Option<Flow> {
    let flow = Flow {
        seen: claim.tick,
        next: 0,
        acked: 0,
        stage: Stage::Opening,
        by_remote: !claim.is_outbound(),
        marks: end_mark(claim),
        epoch,
        rule,
        remote_fin: 0,
    };
    if claim.is_tcp() {
        return tcp::opened(flow, claim, proven);
    }
    Some(flow)
}

#[inline(always)]
const fn end_mark(claim: &Claim) -> u16 {
    if claim.is_outbound() {
        marks::LOCAL
    } else {
        marks::REMOTE
    }
}

const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;
