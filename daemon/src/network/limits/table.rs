//! The pinned maps of buckets, as one table.

use std::collections::{HashMap, HashSet};

use aya::maps::{Map, MapData};
use ravelin_datapath::hash_table::{Entry, HashTable, SliceLines};
use ravelin_datapath::wire::{
    BUCKET_KEY_WORDS, BUCKET_LINE, BUCKET_WORDS, BucketKey, BucketRecord, Limit, LimitKey, Sharing,
    bucket_owner,
};

use super::super::hash_table::{HashTableError, MappedLines};
use super::super::pins::PinDir;
use super::super::shared::{HASH_SECRET, LIMIT_NUMBERS, LIMITS_OWN, LIMITS_SOURCES};
use super::numbers::Numbers;

type BucketTable<'m> = HashTable<SliceLines<'m>, BUCKET_KEY_WORDS, BUCKET_WORDS>;

/// The buckets of a pin folder.
#[derive(Debug)]
pub struct LimitTable {
    /// Of sources, and of limits themselves.
    buckets: [MappedLines; 2],
    numbers: Numbers<MapData>,
}

/// A bucket in the tables.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// Whose it is.
    pub key: BucketKey,
    /// Its words.
    pub record: BucketRecord,
    /// The numbers of its limit.
    pub limit: Limit,
    /// Its source is known.
    pub known: bool,
}

impl LimitTable {
    /// The tables that are pinned; `None` when the live policy limits nothing.
    ///
    /// # Errors
    ///
    /// When they are there and cannot be opened.
    pub fn open(pins: &PinDir) -> Result<Option<Self>, HashTableError> {
        if !pins.map(LIMIT_NUMBERS).exists() {
            return Ok(None);
        }
        let open = |name| MappedLines::open(&pins.map(name), &pins.map(HASH_SECRET), BUCKET_LINE);
        let path = pins.map(LIMIT_NUMBERS);
        let numbers = MapData::from_pin(&path)
            .map(Map::HashMap)
            .and_then(Numbers::try_from);
        Ok(Some(Self {
            buckets: [open(LIMITS_SOURCES)?, open(LIMITS_OWN)?],
            numbers: numbers.map_err(|source| HashTableError::Open { path, source })?,
        }))
    }

    /// Every bucket of a limit that there is, as the tables hold them while they change.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        let limits = self.limits();
        let [sources, own] = &self.buckets;
        let sources = BucketTable::new(sources.lines()).entries();
        // What belongs to a limit has no source.
        let own = BucketTable::new(own.lines()).entries();
        let all = sources.chain(own.map(|entry| Entry { kept: false, ..entry }));
        all.filter_map(|entry| {
            let (owner, _) = bucket_owner(&entry.key);
            Some(Listed {
                key: entry.key,
                record: entry.value,
                limit: *limits.get(&owner)?,
                known: entry.kept,
            })
        })
        .collect()
    }

    /// Takes out buckets that are full again at `now`, and those of limits that are no more; says how many. A bucket that is made anew is
    /// full too. What a packet takes in the microseconds between the look and the removal is given back.
    #[must_use]
    pub fn sweep(&self, now: u64) -> usize {
        let limits = self.limits();
        let is_over = |key: &BucketKey, record: &BucketRecord| {
            let (owner, _) = bucket_owner(key);
            limits.get(&owner).is_none_or(|limit| limit.is_full(record, now))
        };
        let tables = self.buckets.iter().map(|table| BucketTable::new(table.lines()));
        tables.map(|table| table.sweep(is_over)).sum()
    }

    /// Forgets the numbers of all limits but these; the next sweep takes out their buckets.
    pub fn keep_only(&mut self, kept: &HashSet<LimitKey>) {
        let gone: Vec<LimitKey> = self
            .numbers
            .keys()
            .filter_map(Result::ok)
            .filter(|key| !kept.contains(key))
            .collect();
        for key in gone {
            let _not_there = self.numbers.remove(&key);
        }
    }

    fn limits(&self) -> HashMap<LimitKey, Limit> {
        let all = self.numbers.iter().filter_map(Result::ok);
        all.map(|(key, record)| (key, Limit::unpack(&record))).collect()
    }
}

impl Listed {
    /// With whom the bucket is shared.
    #[must_use]
    pub fn sharing(&self) -> Sharing {
        bucket_owner(&self.key).1
    }
}
