//! The maps that all generations share: their names, their shapes, and the check that a pinned one is ours.
//!
//! A map of the wrong shape under our name would be handed to the new program as it is, and counters would land in
//! somebody else's memory; so it is refused before anything is loaded.

use aya::maps::{MapError, MapInfo, MapType};
use ravelin_datapath::wire;

use super::pins::PinDir;

/// Packets and bytes by rule slot.
pub const RULE_COUNTERS: &str = "RULE_COUNTERS";
/// Packets and bytes by reason and verdict.
pub const REASON_COUNTERS: &str = "REASON_COUNTERS";
/// Packets and bytes by parse class.
pub const CLASS_COUNTERS: &str = "CLASS_COUNTERS";
/// Rule name → slot.
pub const RULE_SLOTS: &str = "RULE_SLOTS";

/// Prefix → ban.
pub const BANS: &str = "BANS";
/// What packets read before that.
pub const BAN_FILTER: &str = "BAN_FILTER";
/// Number → reason of bans.
pub const BAN_REASONS: &str = "BAN_REASONS";
/// Flows whose both ends are there.
pub const FLOWS_SETTLED: &str = "FLOWS_SETTLED";
/// Flows of which one end has spoken.
pub const FLOWS_OPENING: &str = "FLOWS_OPENING";
/// Datagrams in fragments.
pub const FRAGMENTS: &str = "FRAGMENTS";
/// What became of flows.
pub const FLOW_COUNTERS: &str = "FLOW_COUNTERS";

/// The shared maps of every generation.
pub const ALWAYS: [&str; 7] = [
    BANS,
    BAN_FILTER,
    BAN_REASONS,
    CLASS_COUNTERS,
    REASON_COUNTERS,
    RULE_COUNTERS,
    RULE_SLOTS,
];
/// Those of generations that keep flows: they take the memory of all flows at once, so others do without.
pub const WITH_FLOWS: [&str; 4] = [FLOWS_SETTLED, FLOWS_OPENING, FRAGMENTS, FLOW_COUNTERS];

/// The shared maps of a generation.
pub fn of(keeps_flows: bool) -> impl Iterator<Item = &'static str> {
    let flows: &[&str] = if keeps_flows { &WITH_FLOWS } else { &[] };
    ALWAYS.iter().chain(flows).copied()
}

/// Checks the shape of every shared map that is pinned already.
///
/// # Errors
///
/// The first map that is not ours.
pub fn verify(pins: &PinDir) -> Result<(), SharedError> {
    for name in of(true) {
        let path = pins.map(name);
        if !path.exists() {
            continue;
        }
        let info = MapInfo::from_pin(&path).map_err(|source| SharedError::Open { name, source })?;
        let found = Shape {
            kind: info.map_type().ok(),
            key: info.key_size(),
            value: info.value_size(),
            entries: info.max_entries(),
        };
        let expected = Shape::of(name);
        if found != expected {
            return Err(SharedError::Foreign {
                name,
                path: path.display().to_string(),
            });
        }
    }
    Ok(())
}

/// Why the pinned maps cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    /// A pinned map has our name and another shape.
    #[error(
        "the map pinned at `{path}` has another shape than `{name}` of this version: `ravelin detach` removes it, and the counters in it"
    )]
    Foreign {
        /// The map.
        name: &'static str,
        /// Where it is pinned.
        path: String,
    },
    /// A pinned map cannot be opened.
    #[error("cannot open the pinned map `{name}`")]
    Open {
        /// The map.
        name: &'static str,
        /// Why.
        source: MapError,
    },
}

#[derive(Debug, PartialEq)]
struct Shape {
    kind: Option<MapType>,
    key: u32,
    value: u32,
    entries: u32,
}

impl Shape {
    fn of(name: &str) -> Self {
        let counters = |entries| Self {
            kind: Some(MapType::PerCpuArray),
            key: 4,
            value: COUNTER_BYTES,
            entries,
        };
        let hash = |key, value, entries| Self {
            kind: Some(MapType::Hash),
            key,
            value,
            entries,
        };
        let flows = |kind, entries| Self {
            kind: Some(kind),
            key: FLOW_KEY_BYTES,
            value: FLOW_BYTES,
            entries,
        };
        match name {
            FLOWS_SETTLED => flows(MapType::Hash, wire::FLOWS),
            FLOWS_OPENING => flows(MapType::LruHash, wire::FLOWS),
            FRAGMENTS => flows(MapType::LruHash, wire::DATAGRAMS),
            FLOW_COUNTERS => Self {
                value: 8,
                ..counters(wire::FlowTables::COUNTERS)
            },
            BANS => hash(BAN_WORDS, BAN_WORDS, wire::BANS),
            BAN_FILTER => Self {
                kind: Some(MapType::Array),
                key: 4,
                value: wire::FILTER_WORDS * 8,
                entries: 1,
            },
            BAN_REASONS => hash(4, REASON_BYTES, wire::BAN_REASONS),
            CLASS_COUNTERS => counters(wire::CLASS_COUNTERS),
            REASON_COUNTERS => counters(wire::REASON_COUNTERS),
            RULE_COUNTERS => counters(wire::RULE_SLOTS),
            _ => hash(NAME_BYTES, 4, wire::RULE_SLOTS),
        }
    }
}

const COUNTER_BYTES: u32 = 16;
const FLOW_KEY_BYTES: u32 = 40;
const FLOW_BYTES: u32 = 40;
const NAME_BYTES: u32 = 64;
const BAN_WORDS: u32 = 24;
const REASON_BYTES: u32 = 64;

const _: () = assert!(size_of::<wire::FlowKey>() == FLOW_KEY_BYTES as usize);
const _: () = assert!(size_of::<wire::FlowRecord>() == FLOW_BYTES as usize);
const _: () = assert!(size_of::<wire::Counter>() == COUNTER_BYTES as usize);
const _: () = assert!(wire::RULE_NAME_BYTES == NAME_BYTES as usize);
const _: () = assert!(size_of::<wire::BanKey>() == BAN_WORDS as usize);
const _: () = assert!(size_of::<wire::BanValue>() == BAN_WORDS as usize);
const _: () = assert!(wire::BAN_REASON_BYTES == REASON_BYTES as usize);
