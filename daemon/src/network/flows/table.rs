//! The two pinned maps of flows, as one table.

use aya::maps::{HashMap as BpfHashMap, Map, MapData, MapError};
use nix::time::{ClockId, clock_gettime};
use ravelin_datapath::wire::{Ends, Flow, FlowKey, FlowRecord};
use ravelin_rules::policy::FlowTimeouts;

use super::super::pins::PinDir;
use super::super::shared::{FLOWS_OPENING, FLOWS_SETTLED};

type Flows = BpfHashMap<MapData, FlowKey, FlowRecord>;

/// The flow tables of a pin folder.
#[derive(Debug)]
pub struct FlowTable {
    settled: Flows,
    opening: Flows,
}

/// A flow in the tables.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// Who talks with whom.
    pub ends: Ends,
    /// What is remembered.
    pub flow: Flow,
}

impl FlowTable {
    /// The tables that are pinned; `None` when the live policy keeps no flows.
    ///
    /// # Errors
    ///
    /// When they are there and cannot be opened.
    pub fn open(pins: &PinDir) -> Result<Option<Self>, FlowsError> {
        if !pins.map(FLOWS_SETTLED).exists() {
            return Ok(None);
        }
        let open = |name: &'static str, kind: fn(MapData) -> Map| {
            let map = MapData::from_pin(pins.map(name)).map(kind);
            map.and_then(Flows::try_from)
                .map_err(|source| FlowsError { name, source })
        };
        Ok(Some(Self {
            settled: open(FLOWS_SETTLED, Map::HashMap)?,
            opening: open(FLOWS_OPENING, Map::LruHashMap)?,
        }))
    }

    /// Every flow, as the tables hold them while they change: one that moves from one table to the other may be met twice or
    /// not at all.
    pub fn iter(&self) -> impl Iterator<Item = Listed> {
        // An entry that went away while it was read is not there.
        let all = self
            .settled
            .iter()
            .chain(self.opening.iter())
            .filter_map(Result::ok);
        all.map(|(key, record)| Listed {
            ends: Ends::of(&key),
            flow: Flow::unpack(&record),
        })
    }

    /// Enters a flow whose both ends are there. A flow that is known stays as it is.
    ///
    /// # Errors
    ///
    /// When there is no room.
    pub fn enter(&mut self, ends: Ends, flow: &Flow) -> Result<(), MapError> {
        match self.settled.insert(ends.key(), flow.pack(), BPF_NOEXIST) {
            Err(MapError::KeyNotFound) => Ok(()),
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(EEXIST) => Ok(()),
            done => done,
        }
    }

    /// Takes out what has been idle for too long at `now`; says how much that was. The programs do not look at such a flow; where
    /// nothing is pushed out, it would stand in the way of others.
    pub fn sweep(&mut self, timeouts: &FlowTimeouts, now: u64) -> usize {
        let over: Vec<FlowKey> = self
            .settled
            .iter()
            .filter_map(Result::ok)
            .filter(|(key, record)| {
                let (ends, flow) = (Ends::of(key), Flow::unpack(record));
                u128::from(now.saturating_sub(flow.seen)) >= timeouts.of(ends, flow.stage).as_nanos()
            })
            .map(|(key, _)| key)
            .collect();
        over.iter().filter(|key| self.settled.remove(key).is_ok()).count()
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

/// linux/bpf.h: an element that is there is not replaced.
const BPF_NOEXIST: u64 = 1;
/// errno(3).
const EEXIST: i32 = 17;

/// Why the flow tables cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the pinned map `{name}`")]
pub struct FlowsError {
    /// The map.
    pub name: &'static str,
    /// Why.
    pub source: MapError,
}
