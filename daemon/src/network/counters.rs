//! Reads the pinned counters: the sum over all processors of each element.
//!
//! kernel → **counters** → metrics, `ravelin rules`. Opens its own handles, so reading never waits for a reload.

use std::path::{Path, PathBuf};

use aya::maps::{MapData, MapError, PerCpuArray};
use ravelin_datapath::wire::{Counter, FlowTables, LimitTables, class_counter, reason_counter};
use ravelin_datapath::{Direction, ParseClass, Reason, Verdict};
use ravelin_rules::policy::RuleName;

use super::pins::PinDir;
use super::shared;
use super::slots::{self, Directory, SlotsError};

/// Handles on every counter map.
pub struct Counters {
    rules: PerCpuArray<MapData, Counter>,
    reasons: PerCpuArray<MapData, Counter>,
    classes: PerCpuArray<MapData, Counter>,
    directory: Directory<MapData>,
    /// Where the counters of flows are pinned while flows are kept: a later generation may begin to.
    flows: PathBuf,
    /// Where the counters of buckets are pinned while something is limited, for the same reason.
    limits: PathBuf,
}

/// How much of something went by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes of whole frames.
    pub bytes: u64,
}

impl Counters {
    /// Opens the pinned maps.
    ///
    /// # Errors
    ///
    /// When they are not pinned.
    pub fn open(pins: &PinDir) -> Result<Self, CountersError> {
        let open = |name: &'static str| {
            MapData::from_pin(pins.map(name))
                .and_then(aya::maps::Map::from_map_data)
                .map_err(|source| CountersError::Open { name, source })
        };
        let counters = |name: &'static str| {
            PerCpuArray::try_from(open(name)?).map_err(|source| CountersError::Open { name, source })
        };
        Ok(Self {
            rules: counters(shared::RULE_COUNTERS)?,
            reasons: counters(shared::REASON_COUNTERS)?,
            classes: counters(shared::CLASS_COUNTERS)?,
            directory: open(shared::RULE_SLOTS)?
                .try_into()
                .map_err(|source| CountersError::Open {
                    name: shared::RULE_SLOTS,
                    source,
                })?,
            flows: pins.map(shared::FLOW_COUNTERS),
            limits: pins.map(shared::LIMIT_COUNTERS),
        })
    }

    /// The packets that the rule at `slot` decided.
    ///
    /// # Errors
    ///
    /// When the kernel does not answer.
    pub fn rule(&self, slot: u32) -> Result<Count, CountersError> {
        sum(&self.rules, slot, shared::RULE_COUNTERS)
    }

    /// The packets of one direction that got `verdict` for `reason`.
    ///
    /// # Errors
    ///
    /// When the kernel does not answer.
    pub fn reason(
        &self,
        direction: Direction,
        reason: Reason,
        verdict: Verdict,
    ) -> Result<Count, CountersError> {
        let counter = reason_counter(direction, reason, verdict);
        sum(&self.reasons, counter, shared::REASON_COUNTERS)
    }

    /// The packets of one direction in which `class` was seen.
    ///
    /// # Errors
    ///
    /// When the kernel does not answer.
    pub fn class(&self, direction: Direction, class: ParseClass) -> Result<Count, CountersError> {
        sum(
            &self.classes,
            class_counter(direction, class),
            shared::CLASS_COUNTERS,
        )
    }

    /// How often each thing has become of a flow since flows are kept; `None` when they are not.
    ///
    /// # Errors
    ///
    /// When the kernel does not answer.
    pub fn flows(&self) -> Result<Option<[u64; FlowTables::ALL.len()]>, CountersError> {
        let events = FlowTables::ALL.map(|event| event as u32);
        happened(&self.flows, shared::FLOW_COUNTERS, events)
    }

    /// How often each thing has come to pass in the tables of buckets since something is limited; `None` when nothing is.
    ///
    /// # Errors
    ///
    /// When the kernel does not answer.
    pub fn limits(&self) -> Result<Option<[u64; LimitTables::ALL.len()]>, CountersError> {
        let events = LimitTables::ALL.map(|event| event as u32);
        happened(&self.limits, shared::LIMIT_COUNTERS, events)
    }

    /// Every name that has a counter, of this policy or an earlier one, sorted.
    ///
    /// # Errors
    ///
    /// When the kernel does not answer.
    pub fn names(&self) -> Result<Vec<(RuleName, u32)>, CountersError> {
        let mut names: Vec<(RuleName, u32)> = slots::read(&self.directory)?.into_iter().collect();
        names.sort_unstable();
        Ok(names)
    }
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counters").finish_non_exhaustive()
    }
}

/// Why counters cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CountersError {
    /// The directory.
    #[error(transparent)]
    Directory(#[from] SlotsError),
    /// A map is not pinned, or is not what it should be.
    #[error("cannot open the pinned map `{name}`")]
    Open {
        /// The map.
        name: &'static str,
        /// Why.
        source: MapError,
    },
    /// An element could not be read.
    #[error("cannot read the map `{name}`")]
    Read {
        /// The map.
        name: &'static str,
        /// Why.
        source: MapError,
    },
}

/// How often each event is counted in a map that may not be there.
fn happened<const N: usize>(
    pin: &Path,
    name: &'static str,
    events: [u32; N],
) -> Result<Option<[u64; N]>, CountersError> {
    if !pin.exists() {
        return Ok(None);
    }
    let map = MapData::from_pin(pin).and_then(aya::maps::Map::from_map_data);
    let map: PerCpuArray<MapData, u64> = map
        .and_then(TryInto::try_into)
        .map_err(|source| CountersError::Open { name, source })?;
    let mut counts = [0; N];
    for (event, count) in events.iter().zip(&mut counts) {
        let values = map
            .get(event, 0)
            .map_err(|source| CountersError::Read { name, source })?;
        *count = values.iter().fold(0, |sum: u64, value| sum.wrapping_add(*value));
    }
    Ok(Some(counts))
}

fn sum(map: &PerCpuArray<MapData, Counter>, index: u32, name: &'static str) -> Result<Count, CountersError> {
    let values = map
        .get(&index, 0)
        .map_err(|source| CountersError::Read { name, source })?;
    Ok(values
        .iter()
        .fold(Count::default(), |count, [packets, bytes]| Count {
            packets: count.packets.wrapping_add(*packets),
            bytes: count.bytes.wrapping_add(*bytes),
        }))
}
