//! The sources one shard of the limiter knows: a table that cannot grow.
//!
//! limiter → **table**. All memory is set aside at the start (untouched pages cost nothing), so a flood of new sources cannot
//! make it larger: entries that stand for nothing any more are used again, and when there is none the caller is told so.

use std::hash::{BuildHasher, RandomState};

use super::source::Source;

/// At most `capacity` entries, found by source.
#[derive(Debug)]
pub(super) struct Table {
    entries: Vec<Entry>,
    /// Heads of the chains: an entry's number + 1, or 0.
    heads: Vec<u32>,
    capacity: usize,
    /// Where the search for an entry to use again goes on.
    hand: usize,
    hasher: RandomState,
}

/// One source.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    source: Source,
    /// When its bucket is full again.
    pub(super) full_at: u64,
    /// Connections it holds now.
    pub(super) open: u32,
    /// The next entry of the chain, as in `heads`.
    next: u32,
}

impl Table {
    /// The most memory one source takes: its entry, and up to two chain heads.
    pub(super) const BYTES_PER_SOURCE: usize = size_of::<Entry>() + 2 * size_of::<u32>();

    /// An empty table. The hasher is keyed: a client that can choose its addresses cannot choose its chain.
    pub(super) fn new(capacity: usize, hasher: RandomState) -> Self {
        let capacity = capacity.max(1);
        Self {
            entries: Vec::with_capacity(capacity),
            heads: vec![0; capacity.next_power_of_two()],
            capacity,
            hand: 0,
            hasher,
        }
    }

    /// How many sources it knows.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many it can know.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// What is set aside, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.heads.capacity() * size_of::<u32>()
    }

    /// The entry of `source`.
    pub(super) fn find(&mut self, source: Source) -> Option<&mut Entry> {
        let mut number = self.heads[self.chain(source)];
        while number != 0 {
            let index = number as usize - 1;
            if self.entries[index].source == source {
                return self.entries.get_mut(index);
            }
            number = self.entries[index].next;
        }
        None
    }

    /// A new entry for `source`, which is not in the table. `None`: full, and no entry looked at stands for nothing.
    pub(super) fn insert(&mut self, source: Source, full_at: u64, now: u64) -> Option<&mut Entry> {
        let index = if self.entries.len() < self.capacity {
            self.entries.len()
        } else {
            self.reclaim(now)?
        };
        let chain = self.chain(source);
        let entry = Entry {
            source,
            full_at,
            open: 0,
            next: self.heads[chain],
        };
        // Numbers fit: `max_sources` is a `u32`, and number 2^32 would need 96 GiB of entries before it.
        self.heads[chain] = u32::try_from(index + 1).ok()?;
        if index == self.entries.len() {
            self.entries.push(entry);
        } else {
            self.entries[index] = entry;
        }
        self.entries.get_mut(index)
    }

    /// Takes an entry out of its chain whose source holds no connection and whose bucket is full: forgetting it changes
    /// no future judgement. A flood pays for [`RECLAIM_STEPS`] looks per connection, not for a walk of the table.
    fn reclaim(&mut self, now: u64) -> Option<usize> {
        for _ in 0..RECLAIM_STEPS.min(self.entries.len()) {
            let index = self.hand;
            self.hand = if index + 1 < self.entries.len() {
                index + 1
            } else {
                0
            };
            let entry = &self.entries[index];
            if entry.open == 0 && entry.full_at <= now {
                self.unlink(index);
                return Some(index);
            }
        }
        None
    }

    fn unlink(&mut self, index: usize) {
        let Entry { source, next, .. } = self.entries[index];
        let chain = self.chain(source);
        let mut before = self.heads[chain];
        if before as usize == index + 1 {
            self.heads[chain] = next;
            return;
        }
        while before != 0 {
            let entry = &mut self.entries[before as usize - 1];
            if entry.next as usize == index + 1 {
                entry.next = next;
                return;
            }
            before = entry.next;
        }
    }

    fn chain(&self, source: Source) -> usize {
        let mask = self.heads.len() - 1;
        // Only the low bits are used; the high ones chose the shard.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "masked to the number of chains anyway"
        )]
        let hash = self.hasher.hash_one(source) as usize;
        hash & mask
    }
}

/// How many entries one newcomer may look at when the table is full.
pub(super) const RECLAIM_STEPS: usize = 64;

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn source(number: u32) -> Source {
        Source::of(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    #[test]
    fn a_full_table_takes_no_newcomer_until_a_bucket_is_full_again() {
        let mut table = Table::new(8, RandomState::new());
        for number in 0..8 {
            assert!(table.insert(source(number), 100, 0).is_some());
        }
        assert!(table.insert(source(8), 100, 99).is_none());
        table.find(source(3)).unwrap().full_at = 50;
        assert!(table.insert(source(8), 100, 60).is_some());
        assert!(table.find(source(3)).is_none());
        assert!(table.find(source(8)).is_some());
        assert_eq!(table.len(), 8);
    }

    #[test]
    fn an_entry_with_open_connections_is_never_used_again() {
        let mut table = Table::new(2, RandomState::new());
        table.insert(source(1), 0, 0).unwrap().open = 1;
        table.insert(source(2), 0, 0).unwrap().open = 1;
        assert!(table.insert(source(3), 0, u64::MAX).is_none());
    }

    #[test]
    fn every_source_is_found_after_many_have_come_and_gone() {
        let mut table = Table::new(100, RandomState::new());
        for number in 0..10_000 {
            assert!(
                table
                    .insert(source(number), u64::from(number), u64::from(number))
                    .is_some()
            );
            assert!(table.find(source(number)).is_some());
        }
        assert_eq!(
            (0..10_000)
                .filter(|number| table.find(source(*number)).is_some())
                .count(),
            100
        );
        assert!(table.memory() <= 100 * Table::BYTES_PER_SOURCE);
    }
}
