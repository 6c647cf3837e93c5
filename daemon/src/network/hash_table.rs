//! A hash table that programs in the kernel change too, mapped into this process, and the secret of all such tables.

#![expect(unsafe_code, reason = "memory that the kernel shares")]

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use aya::Ebpf;
use aya::maps::{Array, Map, MapData, MapError};
use memmap2::{MmapOptions, MmapRaw};
use ravelin_datapath::hash_table::SliceLines;
use ravelin_datapath::wire::HASH_NUMBERS;

use super::shared::HASH_SECRET;

type Secret<M = MapData> = Array<M, [u64; HASH_NUMBERS]>;

/// The lines of a table.
#[derive(Debug)]
pub struct MappedLines {
    /// Raw: no reference to its bytes may ever exist, as others write them.
    value: MmapRaw,
    /// Words of a line.
    line: usize,
    secret: [u64; HASH_NUMBERS],
}

impl MappedLines {
    /// Maps the table that is pinned at `table`, with lines of so many words and the numbers of the map at `secret`.
    ///
    /// # Errors
    ///
    /// When it cannot be opened or mapped.
    pub fn open(table: &Path, secret: &Path, line: usize) -> Result<Self, HashTableError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| HashTableError::Open { path, source }
        };
        let numbers = MapData::from_pin(secret)
            .map(Map::Array)
            .and_then(Secret::try_from);
        let numbers = numbers.and_then(|map| map.get(&0, 0)).map_err(failed(secret))?;
        let map = MapData::from_pin(table).map_err(failed(table))?;
        let info = map.info().map_err(failed(table))?;
        let bytes = info.value_size() as usize * info.max_entries() as usize;
        Ok(Self {
            value: MmapOptions::new()
                .len(bytes)
                .map_raw(map.fd().as_fd().as_raw_fd())
                .map_err(HashTableError::Map)?,
            line,
            secret: numbers,
        })
    }

    /// The lines.
    #[must_use]
    pub fn lines(&self) -> SliceLines<'_> {
        let words = self.value.as_mut_ptr().cast::<AtomicU64>();
        // SAFETY: the mapping is writable, aligned to a page, and lives as long as `self`; nobody in this process has another reference to it than
        // by this method, and whoever else writes to it, in the kernel, writes whole words.
        let words = unsafe { std::slice::from_raw_parts(words, self.value.len() / size_of::<u64>()) };
        SliceLines::new(words, self.line, &self.secret)
    }
}

/// Draws the secret numbers if the map was just made. No packet has been judged by the programs that have it.
///
/// # Errors
///
/// When the map cannot be read or written.
pub fn draw_secret(ebpf: &mut Ebpf) -> Result<(), MapError> {
    let Some(map) = ebpf.map_mut(HASH_SECRET) else {
        return Ok(());
    };
    let mut map: Secret<&mut MapData> = map.try_into()?;
    if map.get(&0, 0)?[0] != 0 {
        return Ok(());
    }
    // Keyed with what the system draws: who does not know the key knows none of the numbers.
    let drawn = RandomState::new();
    // The first one tells that they are drawn, and the others must not be even: an even number loses a bit of what it is multiplied with.
    let numbers = std::array::from_fn(|index| drawn.hash_one(index) | 1);
    map.set(0, numbers, 0)
}

/// Why a hash table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HashTableError {
    /// It cannot be opened.
    #[error("cannot open the pinned map `{}`", path.display())]
    Open {
        /// Where it is pinned.
        path: PathBuf,
        /// Why.
        source: MapError,
    },
    /// It cannot be mapped.
    #[error("cannot map a table into memory")]
    Map(#[source] io::Error),
}
