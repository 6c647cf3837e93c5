//! One generation: freshly loaded programs with their own tables and settings, and the shared maps of all generations.
//!
//! `TableImage`s → **load** → attach. When [`Generation::load`] returns, the kernel has verified the programs and the tables
//! are complete; nothing on the packet path has changed yet.

use std::collections::HashSet;

use aya::maps::{MapData, MapError};
use aya::programs::{Program, ProgramError, SchedClassifier, Xdp};
use aya::{Ebpf, EbpfError, EbpfLoader, include_bytes_aligned};
use ravelin_datapath::Direction;
use ravelin_datapath::wire::{BanKey, LimitKey, Setting, Settings};
use ravelin_rules::{Amender, Change, Policy, TableImage};

use super::bans::never::{self, NEVER_BAN, NEVER_BAN_LENGTHS, Never};
use super::flows;
use super::hash_table;
use super::limits::numbers::{self, Numbers};
use super::pins::PinDir;
use super::shared::{self, Uses};
use super::slots::{self, Directory, RuleCounters, SlotsError};
use super::tables::{self, TableMap, TablesError};

/// What a generation is made of.
#[derive(Clone, Copy, Debug)]
pub struct Images<'i> {
    /// What is said of packets that come in.
    pub inbound: &'i TableImage,
    /// What is said of packets that go out; `None`: nothing, and no program is loaded for them.
    pub outbound: Option<&'i TableImage>,
}

impl<'i> Images<'i> {
    fn each(self) -> impl Iterator<Item = (Direction, &'i TableImage)> {
        let outbound = self.outbound.map(|image| (Direction::Outbound, image));
        std::iter::once((Direction::Inbound, self.inbound)).chain(outbound)
    }
}

/// A generation in the kernel. Dropped, its programs go away with the last link that holds them.
#[derive(Debug)]
pub struct Generation {
    ebpf: Ebpf,
    slots: Vec<u32>,
    sides: Vec<Side>,
    uses: Uses,
    /// What its limits are called.
    limits: HashSet<LimitKey>,
}

/// What a generation has for one direction.
#[derive(Debug)]
struct Side {
    direction: Direction,
    tables: TableMap,
    /// `None` when what it knows of the tables may be wrong.
    amender: Option<Amender>,
}

impl Generation {
    /// Loads the programs with the tables of `images`, and what is `never` banned, under the number `number`. Shared maps are made if they are not
    /// pinned yet.
    ///
    /// # Errors
    ///
    /// The step that the kernel refused.
    pub fn load(pins: &PinDir, images: Images<'_>, never: &Never, number: u32) -> Result<Self, LoadError> {
        let mut sides = Vec::new();
        let mut all = Vec::new();
        for (direction, image) in images.each() {
            let mut settings = image.settings().clone();
            settings.set(Setting::Generation, number);
            sides.push(Side {
                direction,
                tables: TableMap::create(direction, image)?,
                amender: Some(image.amender()),
            });
            all.push((direction, settings, pins.map(tables::name(direction))));
        }
        let never = never.keys();
        let lengths = never::lengths(&never);
        let mut loader = EbpfLoader::new();
        loader
            .override_global(NEVER_BAN_LENGTHS, &lengths[..], true)
            .map_max_entries(NEVER_BAN, u32::try_from(never.len().max(1)).unwrap_or(u32::MAX));
        let mut held = Vec::new();
        for (side, (direction, settings, path)) in sides.iter().zip(&all) {
            held.push(side.tables.pin(path)?);
            loader
                .override_global(Settings::global(*direction), &settings.0, true)
                .map_pin_path(tables::name(*direction), path);
        }
        let uses = Uses::of(images.each().map(|(_, image)| image));
        for name in uses.unused().filter(|name| !FEW.contains(name)) {
            loader.map_max_entries(name, 1);
        }
        for name in uses.maps() {
            loader.map_pin_path(name, pins.map(name));
        }
        let mut ebpf = loader.load(OBJECT).map_err(LoadError::Object)?;
        drop(held);

        fill_never(&mut ebpf, &never)?;
        hash_table::draw_secret(&mut ebpf).map_err(|source| LoadError::Map {
            name: shared::HASH_SECRET,
            source,
        })?;
        let slots = assign_slots(&mut ebpf, images.inbound)?;
        let mut limits = HashSet::new();
        if uses.limits {
            for (_, image) in images.each() {
                enter_limits(&mut ebpf, image, &slots)?;
                limits.extend(numbers::of(image, &slots).map(|(key, _)| key));
            }
        }
        for (side, (_, image)) in sides.iter_mut().zip(images.each()) {
            side.tables.write(image, &slots, flows::first_epoch(number));
        }
        let mut generation = Self {
            ebpf,
            slots,
            sides,
            uses,
            limits,
        };
        let failed = |name| move |source| LoadError::Program { name, source };
        generation.inbound()?.load().map_err(failed(INBOUND))?;
        if images.outbound.is_some() {
            generation.outbound()?.load().map_err(failed(OUTBOUND))?;
        }
        Ok(generation)
    }

    /// Whether packets of this direction are judged.
    #[must_use]
    pub fn judges(&self, direction: Direction) -> bool {
        self.sides.iter().any(|side| side.direction == direction)
    }

    /// The program for packets that come in.
    ///
    /// # Errors
    ///
    /// When the embedded object has none of that name: a bug in the build.
    pub fn inbound(&mut self) -> Result<&mut Xdp, LoadError> {
        self.program(INBOUND)
    }

    /// The program for packets that go out, loaded when they are judged.
    ///
    /// # Errors
    ///
    /// When the embedded object has none of that name: a bug in the build.
    pub fn outbound(&mut self) -> Result<&mut SchedClassifier, LoadError> {
        self.program(OUTBOUND)
    }

    fn program<'p, P>(&'p mut self, name: &'static str) -> Result<&'p mut P, LoadError>
    where
        &'p mut P: TryFrom<&'p mut Program, Error = ProgramError>,
    {
        let program = self.ebpf.program_mut(name).ok_or(LoadError::Missing(name))?;
        program
            .try_into()
            .map_err(|source| LoadError::Program { name, source })
    }

    /// The counter slot of each rule, in the order of judgement.
    #[must_use]
    pub fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// What it makes use of.
    #[must_use]
    pub const fn uses(&self) -> Uses {
        self.uses
    }

    /// What its limits are called, where their numbers are kept.
    #[must_use]
    pub const fn limits(&self) -> &HashSet<LimitKey> {
        &self.limits
    }

    /// The size of the tables in the kernel.
    #[must_use]
    pub fn table_bytes(&self) -> u64 {
        self.sides.iter().map(|side| side.tables.bytes() as u64).sum()
    }

    /// Changes the tables in place, so that packets are judged by `policy`, which they are judged by now, with `change`. Says whether
    /// it could, in every direction; if not, nothing has changed.
    ///
    /// # Errors
    ///
    /// When the change that was found does not fit the tables; then nothing has changed either.
    pub fn amend(&mut self, policy: &Policy, change: &Change) -> Result<bool, TablesError> {
        let mut found = Vec::new();
        if self
            .sides
            .iter()
            .any(|side| side.tables.epoch().is_some_and(flows::is_last_epoch))
        {
            return Ok(false);
        }
        for side in &mut self.sides {
            // Taken out until the change is made: an amender of a change that was not made knows what is wrong.
            let Some(mut amender) = side.amender.take() else {
                return Ok(false);
            };
            let Some(patch) = amender.amend(|index| side.tables.double(index), policy, change) else {
                return Ok(false);
            };
            side.tables.place(&patch)?;
            found.push((amender, patch));
        }
        for (side, (amender, patch)) in self.sides.iter_mut().zip(found) {
            side.tables.amend(&patch)?;
            side.amender = Some(amender);
        }
        Ok(true)
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
    #[error("the kernel refused the program `{name}`")]
    Program {
        /// The program.
        name: &'static str,
        /// Why.
        source: ProgramError,
    },
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

fn enter_limits(ebpf: &mut Ebpf, image: &TableImage, slots: &[u32]) -> Result<(), LoadError> {
    let name = shared::LIMIT_NUMBERS;
    let failed = |source| LoadError::Map { name, source };
    let map = ebpf.map_mut(name).ok_or(LoadError::Missing(name))?;
    let mut map: Numbers<&mut MapData> = map.try_into().map_err(failed)?;
    numbers::enter(&mut map, image, slots).map_err(failed)
}

/// They are few numbers, of a shape that the object fixes.
const FEW: [&str; 3] = [shared::FLOW_COUNTERS, shared::HASH_SECRET, shared::LIMIT_COUNTERS];

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

/// The program in the object for packets that come in; with this name the kernel lists it.
pub const INBOUND: &str = "ravelin_ingress";
/// The same for packets that go out.
pub const OUTBOUND: &str = "ravelin_egress";

/// The eBPF object, embedded: the binary needs no other file.
pub static OBJECT: &[u8] = include_bytes_aligned!(env!("RAVELIN_EBPF_OBJECT_PATH"));
