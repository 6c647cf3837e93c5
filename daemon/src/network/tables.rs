//! The table map of one generation: one element that holds every word, mapped into this process to be written.
//!
//! aya makes the maps of an object in the shapes that the object names, and takes a pinned one as it is. So this map is made
//! here, in the size that the image needs, and pinned for the moment in which the object is loaded.

#![expect(unsafe_code, reason = "mapping memory that the kernel shares")]

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};

use aya::maps::{MapData, MapError};
use aya::pin::PinError;
use aya_obj::generated::{BPF_F_MMAPABLE, bpf_map_type};
use aya_obj::maps::{LegacyMap, bpf_map_def};
use aya_obj::{EbpfSectionKind, Map};
use memmap2::{MmapMut, MmapOptions};
use ravelin_rules::TableImage;

/// The map's name, in the object and in the kernel.
pub const TABLES: &str = "TABLES";

/// A table map in the kernel.
#[derive(Debug)]
pub struct TableMap {
    map: MapData,
    bytes: usize,
}

/// The map's pin, gone when dropped.
#[derive(Debug)]
pub struct Pin<'a> {
    path: &'a Path,
}

impl TableMap {
    /// Makes a map that holds the words of `image`, all zero.
    ///
    /// # Errors
    ///
    /// When the kernel has no room.
    pub fn create(image: &TableImage) -> Result<Self, TablesError> {
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
        let map = MapData::create(map, TABLES, None).map_err(TablesError::Create)?;
        Ok(Self { map, bytes })
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

    /// Writes the words of `image`, with these counter slots. No program reads them yet.
    ///
    /// # Errors
    ///
    /// When the map cannot be mapped.
    pub fn write(&self, image: &TableImage, slots: &[u32]) -> Result<(), TablesError> {
        let mut mapping = self.mapping()?;
        image.write(slots, &mut mapping);
        Ok(())
    }

    /// The size of the map's value in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    fn mapping(&self) -> Result<MmapMut, TablesError> {
        let descriptor = self.map.fd().as_fd().as_raw_fd();
        // SAFETY: the descriptor is a map of ours of that length, which nothing can shorten, and whose words nobody else writes.
        unsafe { MmapOptions::new().len(self.bytes).map_mut(descriptor) }.map_err(TablesError::Mapping)
    }
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
