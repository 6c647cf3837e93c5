//! One generation: a freshly loaded program with its own tables and settings, and the shared maps of all generations.
//!
//! `TableImage` → **load** → attach. When [`Generation::load`] returns, the kernel has verified the program and the tables
//! are complete; nothing on the packet path has changed yet.

use aya::maps::{MapData, MapError};
use aya::programs::{ProgramError, Xdp};
use aya::{Ebpf, EbpfError, EbpfLoader, include_bytes_aligned};
use ravelin_datapath::wire::{BanKey, Setting, Settings};
use ravelin_rules::{Amender, Change, Policy, TableImage};

use super::bans::never::{self, NEVER_BAN, NEVER_BAN_LENGTHS, Never};
use super::pins::PinDir;
use super::shared;
use super::slots::{self, Directory, RuleCounters, SlotsError};
use super::tables::{TABLES, TableMap, TablesError};

/// A generation in the kernel. Dropped, its program goes away with the last link that holds it.
#[derive(Debug)]
pub struct Generation {
    ebpf: Ebpf,
    slots: Vec<u32>,
    tables: TableMap,
    /// `None` when what it knows of the tables may be wrong.
    amender: Option<Amender>,
}

impl Generation {
    /// Loads the program with the tables of `image`, and what is `never` banned, under the number `number`. Shared maps are made if they are not
    /// pinned yet.
    ///
    /// # Errors
    ///
    /// The step that the kernel refused.
    pub fn load(pins: &PinDir, image: &TableImage, never: &Never, number: u32) -> Result<Self, LoadError> {
        let mut settings = image.settings().clone();
        settings.set(Setting::Generation, number);
        let mut tables = TableMap::create(image)?;
        let path = pins.map(TABLES);
        let pin = tables.pin(&path)?;
        let never = never.keys();
        let lengths = never::lengths(&never);
        let mut loader = EbpfLoader::new();
        loader
            .override_global(Settings::GLOBAL, &settings.0, true)
            .override_global(NEVER_BAN_LENGTHS, &lengths[..], true)
            .map_max_entries(NEVER_BAN, u32::try_from(never.len().max(1)).unwrap_or(u32::MAX))
            .map_pin_path(TABLES, path.as_path());
        for name in shared::ALL {
            loader.map_pin_path(name, pins.map(name));
        }
        let mut ebpf = loader.load(OBJECT).map_err(LoadError::Object)?;
        drop(pin);

        fill_never(&mut ebpf, &never)?;
        let slots = assign_slots(&mut ebpf, image)?;
        tables.write(image, &slots);

        let mut generation = Self {
            ebpf,
            slots,
            tables,
            amender: Some(image.amender()),
        };
        generation.program()?.load().map_err(LoadError::Program)?;
        Ok(generation)
    }

    /// The program.
    ///
    /// # Errors
    ///
    /// When the embedded object has none of that name: a bug in the build.
    pub fn program(&mut self) -> Result<&mut Xdp, LoadError> {
        let program = self
            .ebpf
            .program_mut(PROGRAM)
            .ok_or(LoadError::Missing(PROGRAM))?;
        program.try_into().map_err(LoadError::Program)
    }

    /// The counter slot of each rule, in the order of judgement.
    #[must_use]
    pub fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// The size of the tables in the kernel.
    #[must_use]
    pub const fn table_bytes(&self) -> u64 {
        self.tables.bytes() as u64
    }

    /// Changes the tables in place, so that packets are judged by `policy`, which they are judged by now, with `change`. Says whether
    /// it could; if not, nothing has changed.
    ///
    /// # Errors
    ///
    /// When the change that was found does not fit the tables; then nothing has changed either.
    pub fn amend(&mut self, policy: &Policy, change: &Change) -> Result<bool, TablesError> {
        let Some(mut amender) = self.amender.take() else {
            return Ok(false);
        };
        let patch = amender.amend(|index| self.tables.double(index), policy, change);
        if let Some(patch) = &patch {
            // Otherwise it knows of a change that was not made.
            self.tables.amend(patch)?;
        }
        self.amender = Some(amender);
        Ok(patch.is_some())
    }
}

/// Why a generation could not be loaded. Nothing on the packet path has changed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A map of the object could not be used.
    #[error("cannot use the map `{name}`")]
    Map {
        /// The map.
        name: &'static str,
        /// Why.
        source: MapError,
    },
    /// The embedded object lacks a part: a bug in the build.
    #[error("the embedded program has no `{0}`: this is a bug in ravelin, please report it")]
    Missing(&'static str),
    /// The object's maps could not be created.
    #[error("the kernel refused the maps of the program (needs CAP_BPF and CAP_NET_ADMIN)")]
    Object(#[source] EbpfError),
    /// The verifier's log is in the source.
    #[error("the kernel refused the program `{PROGRAM}`")]
    Program(#[source] ProgramError),
    /// Rules without counters.
    #[error(transparent)]
    Slots(#[from] SlotsError),
    /// The table map.
    #[error(transparent)]
    Tables(#[from] TablesError),
}

fn fill_never(ebpf: &mut Ebpf, keys: &[BanKey]) -> Result<(), LoadError> {
    let failed = |source| LoadError::Map {
        name: NEVER_BAN,
        source,
    };
    let map = ebpf.map_mut(NEVER_BAN).ok_or(LoadError::Missing(NEVER_BAN))?;
    never::fill(&mut map.try_into().map_err(failed)?, keys).map_err(failed)
}

fn assign_slots(ebpf: &mut Ebpf, image: &TableImage) -> Result<Vec<u32>, LoadError> {
    let mut directory = None;
    let mut counters = None;
    for (name, map) in ebpf.maps_mut() {
        match name {
            shared::RULE_SLOTS => directory = Some(map),
            shared::RULE_COUNTERS => counters = Some(map),
            _ => {}
        }
    }
    let directory = directory.ok_or(LoadError::Missing(shared::RULE_SLOTS))?;
    let counters = counters.ok_or(LoadError::Missing(shared::RULE_COUNTERS))?;
    let mut directory: Directory<&mut MapData> = directory.try_into().map_err(|source| LoadError::Map {
        name: shared::RULE_SLOTS,
        source,
    })?;
    let mut counters: RuleCounters<&mut MapData> = counters.try_into().map_err(|source| LoadError::Map {
        name: shared::RULE_COUNTERS,
        source,
    })?;
    Ok(slots::assign(&mut directory, &mut counters, image.rule_names())?)
}

/// The program in the object; with this name the kernel lists it.
pub const PROGRAM: &str = "ravelin_ingress";

/// The eBPF object, embedded: the binary needs no other file.
pub static OBJECT: &[u8] = include_bytes_aligned!(env!("RAVELIN_EBPF_OBJECT_PATH"));
