//! The table map of one generation: one element that holds every word, mapped into this process to be written.
//!
//! aya makes the maps of an object in the shapes that the object names, and takes a pinned one as it is. So this map is made
//! here, in the size that the image needs, and pinned for the moment in which the object is loaded.

#![expect(unsafe_code, reason = "mapping memory that the kernel shares")]

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use aya::maps::{MapData, MapError};
use aya::pin::PinError;
use aya_obj::generated::{BPF_F_MMAPABLE, bpf_map_type};
use aya_obj::maps::{LegacyMap, bpf_map_def};
use aya_obj::{EbpfSectionKind, Map};
use memmap2::{MmapMut, MmapOptions};
use ravelin_datapath::Direction;
use ravelin_datapath::wire::Setting;
use ravelin_rules::{Patch, TableImage};

/// The name of one direction's map, in the object and in the kernel.
#[must_use]
pub const fn name(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "TABLES",
        Direction::Outbound => "OUTBOUND_TABLES",
    }
}

/// A table map in the kernel.
#[derive(Debug)]
pub struct TableMap {
    map: MapData,
    /// Its value, of at least one page: mapped as long as the map may be changed.
    value: MmapMut,
    bytes: usize,
    /// Where the word stands by which flows know what let them in; `None`: no flows are kept.
    epoch: Option<usize>,
}

/// The map's pin, gone when dropped.
#[derive(Debug)]
pub struct Pin<'a> {
    path: &'a Path,
}

impl TableMap {
    /// Makes the map of one direction that holds the words of `image`, all zero.
    ///
    /// # Errors
    ///
    /// When the kernel has no room.
    pub fn create(direction: Direction, image: &TableImage) -> Result<Self, TablesError> {
        let bytes = image.word_count() * size_of::<u32>();
        let value_size = u32::try_from(bytes).map_err(|_overflow| TablesError::TooLarge)?;
        let definition = bpf_map_def {
            map_type: bpf_map_type::BPF_MAP_TYPE_ARRAY as u32,
            key_size: 4,
            value_size,
            max_entries: 1,
            map_flags: BPF_F_MMAPABLE,
            ..bpf_map_def::default()
        };
        let map = Map::Legacy(LegacyMap {
            section_index: 0,
            section_kind: EbpfSectionKind::Maps,
            symbol_index: None,
            def: definition,
            inner_def: None,
            data: Vec::new(),
        });
        let map = MapData::create(map, name(direction), None).map_err(TablesError::Create)?;
        let value = mapped(&map, bytes)?;
        let settings = image.settings();
        let epoch = match settings.of(Setting::FlowsUsed) {
            0 => None,
            _ => usize::try_from(settings.of(Setting::FlowEpoch)).ok(),
        };
        Ok(Self {
            map,
            value,
            bytes,
            epoch,
        })
    }

    /// Pins the map at `path` until the pin is dropped.
    ///
    /// # Errors
    ///
    /// When the file system refuses.
    pub fn pin<'a>(&self, path: &'a Path) -> Result<Pin<'a>, TablesError> {
        // Of a process that was killed between these two lines.
        let _not_there = fs::remove_file(path);
        self.map.pin(path).map_err(|source| TablesError::Pin {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        Ok(Pin { path })
    }

    /// Writes the words of `image`, with these counter slots, as those of this epoch. No program reads them yet.
    pub fn write(&mut self, image: &TableImage, slots: &[u32], epoch: u32) {
        image.write(slots, &mut self.value);
        self.set_epoch(epoch);
    }

    /// The epoch, if flows are kept.
    #[must_use]
    pub fn epoch(&self) -> Option<u32> {
        let (words, _) = self.value.as_chunks();
        words.get(self.epoch?).map(|word| u32::from_ne_bytes(*word))
    }

    fn set_epoch(&mut self, epoch: u32) {
        if let Some(at) = self.epoch
            && at < self.bytes / size_of::<u32>()
        {
            // SAFETY: as in `amend`: an aligned word of the mapping, whose place was just compared.
            let word = unsafe { AtomicU32::from_ptr(self.value.as_mut_ptr().cast::<u32>().add(at)) };
            // After the stores that it stands for: whoever sees it sees them.
            word.store(epoch, Ordering::Release);
        }
    }

    /// A 64-bit word as it is now.
    #[must_use]
    pub fn double(&self, index: u32) -> Option<u64> {
        let (doubles, _) = self.value.as_chunks();
        let bytes = doubles.get(usize::try_from(index).ok()?)?;
        Some(u64::from_ne_bytes(*bytes))
    }

    /// Changes the tables while programs read them: first the words, which no packet reads yet, then the stores, in
    /// their order, which lead packets to them. An address is looked up in the tables before or in the tables after.
    ///
    /// # Errors
    ///
    /// When the patch does not fit the tables. Then nothing was written.
    pub fn amend(&mut self, patch: &Patch) -> Result<(), TablesError> {
        let first = self.place(patch)?;
        let value = self.value.as_mut_ptr();
        for (index, word) in (first..).zip(&patch.words) {
            // SAFETY: the mapping is aligned to a page and lives as long as `self`; `index` counts words and is below `end`, which was
            // just compared with how many the value holds. `self` is borrowed mutably, so nobody else in this process has a reference to
            // it; programs of the kernel only load, and a store of one aligned word is whole for them.
            let at = unsafe { AtomicU32::from_ptr(value.cast::<u32>().add(index)) };
            at.store(*word, Ordering::Relaxed);
        }
        for (at, new) in &patch.stores {
            // SAFETY: as above, with `at` counting doubles; every one was compared.
            let at = unsafe { AtomicU64::from_ptr(value.cast::<u64>().add(*at as usize)) };
            // Release: whoever loads the new value and follows it finds the words, because its loads depend on it.
            at.store(*new, Ordering::Release);
        }
        if let Some(epoch) = self.epoch() {
            // What was let in before is judged again.
            self.set_epoch(epoch.wrapping_add(1));
        }
        Ok(())
    }

    /// Where the words of a patch go.
    ///
    /// # Errors
    ///
    /// When the patch does not fit the tables.
    pub fn place(&self, patch: &Patch) -> Result<usize, TablesError> {
        let first = usize::try_from(patch.first).map_err(|_overflow| TablesError::Patch)?;
        let end = first.checked_add(patch.words.len()).ok_or(TablesError::Patch)?;
        let inside =
            |(at, _): &(u32, u64)| usize::try_from(*at).is_ok_and(|at| at < self.bytes / size_of::<u64>());
        if end > self.bytes / size_of::<u32>() || !patch.stores.iter().all(inside) {
            return Err(TablesError::Patch);
        }
        Ok(first)
    }

    /// The size of the map's value in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The value of a map that has one element, of that many bytes.
pub(super) fn mapped(map: &MapData, bytes: usize) -> Result<MmapMut, TablesError> {
    let descriptor = map.fd().as_fd().as_raw_fd();
    // SAFETY: the descriptor is a map of ours of that length, which nothing can shorten, and whose words nobody else writes.
    unsafe { MmapOptions::new().len(bytes).map_mut(descriptor) }.map_err(TablesError::Mapping)
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        let _best_effort = fs::remove_file(self.path);
    }
}

/// Why there is no table map. Nothing on the packet path has changed.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// The kernel refused the map.
    #[error("the kernel has no room for the tables (needs CAP_BPF, and memory)")]
    Create(#[source] MapError),
    /// The map could not be mapped into this process.
    #[error("cannot map the tables into memory")]
    Mapping(#[source] io::Error),
    /// A patch that names words which are not there.
    #[error("the change does not fit the tables: this is a bug in ravelin, please report it")]
    Patch,
    /// The map could not be pinned.
    #[error("cannot pin the tables at `{}`", path.display())]
    Pin {
        /// Where.
        path: PathBuf,
        /// Why.
        source: Box<PinError>,
    },
    /// More words than a map can have.
    #[error("the tables are larger than a map can be")]
    TooLarge,
}
