//! The maps that all generations share: their names, their shapes, and the check that a pinned one is ours.
//!
//! A map of the wrong shape under our name would be handed to the new program as it is, and counters would land in
//! somebody else's memory; so it is refused before anything is loaded.

use aya::maps::{MapError, MapInfo, MapType};
use ravelin_datapath::wire::{self, Setting};
use ravelin_rules::TableImage;

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
/// Flows.
pub const FLOWS: &str = "FLOWS";
/// The secret numbers of hash tables.
pub const HASH_SECRET: &str = "HASH_SECRET";
/// Datagrams in fragments.
pub const FRAGMENTS: &str = "FRAGMENTS";
/// What became of flows.
pub const FLOW_COUNTERS: &str = "FLOW_COUNTERS";

/// Buckets of sources.
pub const LIMITS_SOURCES: &str = "LIMITS_SOURCES";
/// Buckets that belong to limits.
pub const LIMITS_OWN: &str = "LIMITS_OWN";
/// The numbers of limits.
pub const LIMIT_NUMBERS: &str = "LIMIT_NUMBERS";
/// What came to pass in the tables of buckets.
pub const LIMIT_COUNTERS: &str = "LIMIT_COUNTERS";
/// Who has completed a connection.
pub const SOURCES_KNOWN: &str = "SOURCES_KNOWN";

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
pub const WITH_FLOWS: [&str; 3] = [FLOWS, FRAGMENTS, FLOW_COUNTERS];

/// Those of generations that limit something.
pub const WITH_LIMITS: [&str; 4] = [LIMITS_SOURCES, LIMITS_OWN, LIMIT_NUMBERS, LIMIT_COUNTERS];
/// That of generations that have hash tables of our own.
pub const WITH_HASH_TABLES: [&str; 1] = [HASH_SECRET];
/// That of generations that remember who has completed a connection.
pub const WITH_SOURCES: [&str; 1] = [SOURCES_KNOWN];

/// What a generation makes use of, and so which shared maps it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// It keeps flows.
    pub flows: bool,
    /// It limits something.
    pub limits: bool,
    /// It remembers who has completed a connection.
    pub sources: bool,
}

impl Uses {
    const ALL: Self = Self {
        flows: true,
        limits: true,
        sources: true,
    };

    /// What tables make use of.
    pub fn of<'i>(images: impl Iterator<Item = &'i TableImage>) -> Self {
        images.fold(Self::default(), |uses, image| {
            let on = |setting| image.settings().of(setting) != 0;
            Self {
                flows: uses.flows || on(Setting::FlowsUsed),
                limits: uses.limits || on(Setting::LimitsUsed) || on(Setting::SynBudgetUsed),
                sources: uses.sources || on(Setting::SourcesUsed),
            }
        })
    }

    /// The shared maps of such a generation.
    pub fn maps(self) -> impl Iterator<Item = &'static str> {
        ALWAYS.into_iter().chain(self.optional(true))
    }

    /// The maps that such a generation does without.
    pub fn unused(self) -> impl Iterator<Item = &'static str> {
        self.optional(false)
    }

    fn optional(self, used: bool) -> impl Iterator<Item = &'static str> {
        let groups: [(bool, &[&str]); 4] = [
            (self.flows, &WITH_FLOWS),
            (self.limits, &WITH_LIMITS),
            (self.flows || self.limits, &WITH_HASH_TABLES),
            (self.sources, &WITH_SOURCES),
        ];
        let groups = groups.into_iter().filter(move |(uses, _)| *uses == used);
        groups.flat_map(|(_, names)| names.iter().copied())
    }
}

/// Checks the shape of every shared map that is pinned already.
///
/// # Errors
///
/// The first map that is not ours.
pub fn verify(pins: &PinDir) -> Result<(), SharedError> {
    for name in Uses::ALL.maps() {
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
        let array = |value, entries| Self {
            kind: Some(MapType::Array),
            key: 4,
            value,
            entries,
        };
        match name {
            FLOWS => array(FLOW_LINE_BYTES, wire::FLOW_LINES),
            HASH_SECRET => array(SECRET_BYTES, 1),
            FRAGMENTS => Self {
                kind: Some(MapType::LruHash),
                key: FLOW_KEY_BYTES,
                value: FLOW_BYTES,
                entries: wire::DATAGRAMS,
            },
            FLOW_COUNTERS => Self {
                value: 8,
                ..counters(wire::FlowTables::COUNTERS)
            },
            LIMITS_SOURCES => array(BUCKET_LINE_BYTES, wire::BUCKET_LINES),
            LIMITS_OWN => array(BUCKET_LINE_BYTES, wire::OWN_BUCKET_LINES),
            LIMIT_NUMBERS => hash(LIMIT_KEY_BYTES, LIMIT_BYTES, wire::LIMITS),
            LIMIT_COUNTERS => Self {
                value: 8,
                ..counters(wire::LimitTables::COUNTERS)
            },
            SOURCES_KNOWN => Self {
                kind: Some(MapType::LruHash),
                key: SOURCE_KEY_BYTES,
                value: 8,
                entries: wire::SOURCES,
            },
            BANS => hash(BAN_WORDS, BAN_WORDS, wire::BANS),
            BAN_FILTER => array(wire::FILTER_WORDS * 8, 1),
            BAN_REASONS => hash(4, REASON_BYTES, wire::BAN_REASONS),
            CLASS_COUNTERS => counters(wire::CLASS_COUNTERS),
            REASON_COUNTERS => counters(wire::REASON_COUNTERS),
            RULE_COUNTERS => counters(wire::RULE_SLOTS),
            _ => hash(NAME_BYTES, 4, wire::RULE_SLOTS),
        }
    }
}

const COUNTER_BYTES: u32 = 16;
const FLOW_LINE_BYTES: u32 = 704;
const SECRET_BYTES: u32 = 88;
const FLOW_KEY_BYTES: u32 = 40;
const FLOW_BYTES: u32 = 40;
const BUCKET_LINE_BYTES: u32 = 384;
const LIMIT_KEY_BYTES: u32 = 8;
const LIMIT_BYTES: u32 = 40;
const SOURCE_KEY_BYTES: u32 = 12;
const NAME_BYTES: u32 = 64;
const BAN_WORDS: u32 = 24;
const REASON_BYTES: u32 = 64;

const _: () = assert!(wire::FLOW_LINE * 8 == FLOW_LINE_BYTES as usize);
const _: () = assert!(wire::HASH_NUMBERS * 8 == SECRET_BYTES as usize);
const _: () = assert!(size_of::<wire::FlowKey>() == FLOW_KEY_BYTES as usize);
const _: () = assert!(size_of::<wire::FlowRecord>() == FLOW_BYTES as usize);
const _: () = assert!(wire::BUCKET_LINE * 8 == BUCKET_LINE_BYTES as usize);
const _: () = assert!(size_of::<wire::LimitKey>() == LIMIT_KEY_BYTES as usize);
const _: () = assert!(size_of::<wire::LimitRecord>() == LIMIT_BYTES as usize);
const _: () = assert!(size_of::<wire::SourceKey>() == SOURCE_KEY_BYTES as usize);
const _: () = assert!(size_of::<wire::Counter>() == COUNTER_BYTES as usize);
const _: () = assert!(wire::RULE_NAME_BYTES == NAME_BYTES as usize);
const _: () = assert!(size_of::<wire::BanKey>() == BAN_WORDS as usize);
const _: () = assert!(size_of::<wire::BanValue>() == BAN_WORDS as usize);
const _: () = assert!(wire::BAN_REASON_BYTES == REASON_BYTES as usize);
