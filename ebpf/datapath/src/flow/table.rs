//! Where flows stand: in one hash table for all of them.
//!
//! A flow that is opening gives way to a newer one when there is no room, so a flood of forged first packets pushes out nothing but first
//! packets. One that both ends have proven to be there is kept where it stands, and nothing pushes it out. One way of each line is never kept, so that
//! clients that stay leave room for flows that open.

use super::FlowCell;
use crate::hash_table::{Entered, HashTable, Line, Lines};
use crate::wire::{Ends, FLOW_KEY_WORDS, FLOW_WORDS, Flow, FlowKey, FlowRecord, FlowTables, word};

/// The flows in these lines.
#[derive(Clone, Copy, Debug)]
pub struct FlowTable<L>(HashTable<L, FLOW_KEY_WORDS, FLOW_WORDS>);

/// A flow in its table.
#[derive(Clone, Copy, Debug)]
pub struct TableCell<L>(L);

impl<L: Lines> FlowTable<L> {
    /// The table.
    #[inline(always)]
    pub const fn new(lines: L) -> Self {
        Self(HashTable::new(lines))
    }

    /// The flow of that key.
    #[inline(always)]
    pub fn find(&self, key: &FlowKey) -> Option<TableCell<L::Line>> {
        self.0.find(key).map(TableCell)
    }

    /// Enters a flow, or replaces it.
    #[inline(always)]
    pub fn open(&self, key: &FlowKey, record: &FlowRecord) -> FlowTables {
        match self.0.enter(key, record, age(record)) {
            Entered::Done => FlowTables::Opened,
            Entered::NoRoom => FlowTables::NoRoom,
        }
    }

    /// A flow has proven that both its ends are there.
    #[inline(always)]
    pub fn settle(&self, key: &FlowKey) -> FlowTables {
        if self.0.keep(key) {
            FlowTables::Settled
        } else {
            FlowTables::NotSettled
        }
    }

    /// Enters a flow whose both ends are there; one that is known stays as it is.
    pub fn enter_settled(&self, key: &FlowKey, record: &FlowRecord) -> Entered {
        self.0.enter_to_stay(key, record, false)
    }

    /// Every flow, while they change.
    pub fn iter(self) -> impl Iterator<Item = (Ends, Flow)> {
        self.0
            .entries()
            .map(|entry| (Ends::of(&entry.key), Flow::unpack(&entry.value)))
    }

    /// Takes out every flow of which `is_over` says so; says how many they were.
    pub fn sweep(self, is_over: impl Fn(Ends, Flow) -> bool) -> usize {
        self.0
            .sweep(|key, record| is_over(Ends::of(key), Flow::unpack(record)))
    }

    /// Forgets a flow.
    #[inline(always)]
    pub fn remove(&self, key: &FlowKey) {
        self.0.remove(key);
    }
}

impl<L: Line> TableCell<L> {
    /// The record that begins with this word.
    #[inline(always)]
    pub const fn new(record: L) -> Self {
        Self(record)
    }
}

impl<L: Line> FlowCell for TableCell<L> {
    #[inline(always)]
    fn load(&self) -> FlowRecord {
        let mut record = [0; FLOW_WORDS];
        let mut index = 0;
        while index < FLOW_WORDS {
            record[index] = self.0.load(index);
            index += 1;
        }
        record
    }

    #[inline(always)]
    fn store(&self, index: usize, word: u64) {
        self.0.store(index, word);
    }
}

/// When a flow was entered, for comparisons: in steps of four milliseconds, which go round after half a year.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "it goes round")]
const fn age(record: &FlowRecord) -> u32 {
    (record[word::SEEN] >> 22) as u32
}
