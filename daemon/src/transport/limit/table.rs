//! What is known of sources: a table that cannot grow.
//!
//! accounts, bandwidth → **table**. All memory is set aside at the start (untouched pages cost nothing), so a flood of new sources cannot
//! make it larger: entries that stand for nothing any more are used again, and when there is none the caller is told so.

use std::hash::{BuildHasher, RandomState};

use super::source::Source;

/// At most `capacity` entries, found by source.
#[derive(Debug)]
pub(super) struct Table<V> {
    entries: Vec<Entry<V>>,
    /// Heads of the chains: an entry's number + 1, or 0.
    heads: Vec<u32>,
    capacity: usize,
    /// Where the search for an entry to use again goes on.
    hand: usize,
    hasher: RandomState,
}

/// What a table holds of a source.
pub(super) trait Forgettable {
    /// Whether it stands for nothing at `now`: to forget it changes no future judgement.
    fn is_idle(&self, now: u64) -> bool;
}

/// One source.
#[derive(Clone, Debug)]
struct Entry<V> {
    source: Source,
    value: V,
    /// The next entry of the chain, as in `heads`.
    next: u32,
}

impl<V: Forgettable> Table<V> {
    /// The most memory one source takes: its entry, and up to two chain heads.
    pub(super) const BYTES_PER_SOURCE: usize = size_of::<Entry<V>>() + 2 * size_of::<u32>();

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
        self.entries.capacity() * size_of::<Entry<V>>() + self.heads.capacity() * size_of::<u32>()
    }

    /// The number of the entry of `source`; it is that until the next [`Table::insert`].
    pub(super) fn find(&self, source: Source) -> Option<usize> {
        let mut number = self.heads[self.chain(source)];
        while number != 0 {
            let index = number as usize - 1;
            let entry = &self.entries[index];
            if entry.source == source {
                return Some(index);
            }
            number = entry.next;
        }
        None
    }

    /// What the entry `index` holds.
    pub(super) fn value(&mut self, index: usize) -> &mut V {
        &mut self.entries[index].value
    }

    /// A new entry for `source`, which is not in the table. `None`: full, and no entry looked at stands for nothing.
    pub(super) fn insert(&mut self, source: Source, value: V, now: u64) -> Option<usize> {
        let index = if self.entries.len() < self.capacity {
            self.entries.len()
        } else {
            self.reclaim(now)?
        };
        let chain = self.chain(source);
        let next = self.heads[chain];
        // Numbers fit: `max_sources` is a `u32`, and number 2^32 would need 96 GiB of entries before it.
        self.heads[chain] = u32::try_from(index + 1).ok()?;
        let entry = Entry { source, value, next };
        if index == self.entries.len() {
            self.entries.push(entry);
        } else {
            self.entries[index] = entry;
        }
        Some(index)
    }

    /// Takes an entry out of its chain that stands for nothing. A flood pays for [`RECLAIM_STEPS`] looks per connection, not for a walk of the table.
    fn reclaim(&mut self, now: u64) -> Option<usize> {
        for _ in 0..RECLAIM_STEPS.min(self.entries.len()) {
            let index = self.hand;
            self.hand = if index + 1 < self.entries.len() {
                index + 1
            } else {
                0
            };
            if self.entries[index].value.is_idle(now) {
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

    /// Idle from this moment on.
    impl Forgettable for u64 {
        fn is_idle(&self, now: u64) -> bool {
            *self <= now
        }
    }

    fn source(number: u32) -> Source {
        Source::of(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    #[test]
    fn a_full_table_takes_no_newcomer_until_an_entry_stands_for_nothing() {
        let mut table = Table::new(8, RandomState::new());
        for number in 0..8 {
            assert!(table.insert(source(number), 100_u64, 0).is_some());
        }
        assert!(table.insert(source(8), 100, 99).is_none());
        let third = table.find(source(3)).unwrap();
        *table.value(third) = 50;
        assert!(table.insert(source(8), 100, 60).is_some());
        assert!(table.find(source(3)).is_none());
        assert!(table.find(source(8)).is_some());
        assert_eq!(table.len(), 8);
    }

    #[test]
    fn every_source_is_found_after_many_have_come_and_gone() {
        let mut table = Table::new(100, RandomState::new());
        for number in 0..10_000 {
            let now = u64::from(number);
            let index = table.insert(source(number), now, now).unwrap();
            assert_eq!(table.find(source(number)), Some(index));
            assert_eq!(*table.value(index), now);
        }
        assert_eq!(
            (0..10_000)
                .filter(|number| table.find(source(*number)).is_some())
                .count(),
            100
        );
        assert!(table.memory() <= 100 * Table::<u64>::BYTES_PER_SOURCE);
    }
}
