//! The pinned table of flows.

use nix::time::{ClockId, clock_gettime};
use ravelin_datapath::flow;
use ravelin_datapath::hash_table::{Entered, SliceLines};
use ravelin_datapath::wire::{Ends, FLOW_LINE, Flow};
use ravelin_rules::policy::FlowTimeouts;

use super::super::hash_table::{HashTableError, MappedLines};
use super::super::pins::PinDir;
use super::super::shared::{FLOWS, HASH_SECRET};

/// The flow table of a pin folder.
#[derive(Debug)]
pub struct FlowTable(MappedLines);

/// A flow in the table.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// Who talks with whom.
    pub ends: Ends,
    /// What is remembered.
    pub flow: Flow,
}

impl FlowTable {
    /// The table that is pinned; `None` when the live policy keeps no flows.
    ///
    /// # Errors
    ///
    /// When it is there and cannot be opened.
    pub fn open(pins: &PinDir) -> Result<Option<Self>, HashTableError> {
        if !pins.map(FLOWS).exists() {
            return Ok(None);
        }
        MappedLines::open(&pins.map(FLOWS), &pins.map(HASH_SECRET), FLOW_LINE).map(|lines| Some(Self(lines)))
    }

    /// Every flow, as the table holds them while they change: one that comes or goes meanwhile may be met or not.
    pub fn iter(&self) -> impl Iterator<Item = Listed> {
        self.table().iter().map(|(ends, flow)| Listed { ends, flow })
    }

    /// Enters a flow whose both ends are there, and says whether there was room. A flow that is known stays as it is.
    #[must_use]
    pub fn enter(&self, ends: Ends, flow: &Flow) -> bool {
        self.table().enter_settled(&ends.key(), &flow.pack()) == Entered::Done
    }

    /// Takes out what has been idle for too long at `now`; says how much that was. The programs do not look at such a flow; where
    /// nothing is pushed out, it would stand in the way of others.
    #[must_use]
    pub fn sweep(&self, timeouts: &FlowTimeouts, now: u64) -> usize {
        self.table().sweep(|ends, flow| {
            u128::from(now.saturating_sub(flow.seen)) >= timeouts.of(ends, flow.stage).as_nanos()
        })
    }

    fn table(&self) -> flow::FlowTable<SliceLines<'_>> {
        flow::FlowTable::new(self.0.lines())
    }
}

/// The clock of flows, as the programs read it: nanoseconds since boot, suspended time not counted.
#[must_use]
pub fn now() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).map_or(0, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        seconds * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0)
    })
}
