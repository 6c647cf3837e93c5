//! The pinned maps of buckets, as one table.

use std::collections::{HashMap, HashSet};

use aya::maps::{HashMap as BpfHashMap, Map, MapData, MapError};
use ravelin_datapath::wire::{BucketKey, BucketRecord, Limit, LimitKey, Sharing, bucket_owner};

use super::super::pins::PinDir;
use super::super::shared::{LIMIT_NUMBERS, LIMITS_KNOWN, LIMITS_OTHERS, LIMITS_OWN};
use super::numbers::Numbers;

type Buckets = BpfHashMap<MapData, BucketKey, BucketRecord>;

/// The buckets of a pin folder.
#[derive(Debug)]
pub struct LimitTable {
    /// Of sources that are known, of others, and of limits themselves.
    buckets: [Buckets; 3],
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
    pub fn open(pins: &PinDir) -> Result<Option<Self>, LimitsError> {
        if !pins.map(LIMIT_NUMBERS).exists() {
            return Ok(None);
        }
        let open = |name: &'static str| {
            let map = MapData::from_pin(pins.map(name)).map(Map::HashMap);
            map.and_then(Buckets::try_from)
                .map_err(|source| LimitsError { name, source })
        };
        let numbers = MapData::from_pin(pins.map(LIMIT_NUMBERS)).map(Map::HashMap);
        Ok(Some(Self {
            buckets: [open(LIMITS_KNOWN)?, open(LIMITS_OTHERS)?, open(LIMITS_OWN)?],
            numbers: numbers
                .and_then(Numbers::try_from)
                .map_err(|source| LimitsError {
                    name: LIMIT_NUMBERS,
                    source,
                })?,
        }))
    }

    /// Every bucket of a limit that there is, as the tables hold them while they change.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        let limits = self.limits();
        let [known, others, own] = &self.buckets;
        let all = [(known, true), (others, false), (own, false)];
        let all = all.iter().flat_map(|(table, known)| {
            let found = table.iter().filter_map(Result::ok);
            found.map(move |(key, record)| (key, record, *known))
        });
        all.filter_map(|(key, record, known)| {
            let (owner, _) = bucket_owner(&key);
            Some(Listed {
                key,
                record,
                limit: *limits.get(&owner)?,
                known,
            })
        })
        .collect()
    }

    /// Takes out buckets that are full again at `now`, and those of limits that are no more; says how many. A bucket that is made anew is
    /// full too. What a packet takes in the microseconds between the look and the removal is given back.
    pub fn sweep(&mut self, now: u64) -> usize {
        let limits = self.limits();
        let is_over = |key: &BucketKey, record: &BucketRecord| {
            let (owner, _) = bucket_owner(key);
            limits.get(&owner).is_none_or(|limit| limit.is_full(record, now))
        };
        let mut swept = 0;
        for table in &mut self.buckets {
            let over: Vec<BucketKey> = table
                .iter()
                .filter_map(Result::ok)
                .filter(|(key, record)| is_over(key, record))
                .map(|(key, _)| key)
                .collect();
            swept += over.iter().filter(|key| table.remove(key).is_ok()).count();
        }
        swept
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

/// Why the tables of buckets cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the pinned map `{name}`")]
pub struct LimitsError {
    /// The map.
    pub name: &'static str,
    /// Why.
    pub source: MapError,
}
