//! Reads the pinned counters: the sum over all processors of each element.
//!
//! kernel → **counters** → metrics, `ravelin rules`. Opens its own handles, so reading never waits for a reload.

use std::path::PathBuf;

use aya::maps::{MapData, MapError, PerCpuArray};
use ravelin_datapath::wire::{Counter, FlowTables, class_counter, reason_counter};
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
        let name = shared::FLOW_COUNTERS;
        if !self.flows.exists() {
            return Ok(None);
        }
        let map = MapData::from_pin(&self.flows).and_then(aya::maps::Map::from_map_data);
        let map: PerCpuArray<MapData, u64> = map
            .and_then(TryInto::try_into)
            .map_err(|source| CountersError::Open { name, source })?;
        let mut counts = [0; FlowTables::ALL.len()];
        for (event, count) in FlowTables::ALL.iter().zip(&mut counts) {
            let values = map
                .get(&(*event as u32), 0)
                .map_err(|source| CountersError::Read { name, source })?;
            *count = values.iter().fold(0, |sum: u64, value| sum.wrapping_add(*value));
        }
        Ok(Some(counts))
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
