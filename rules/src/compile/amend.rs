//! What it takes to change the tables of a generation in place.
//!
//! live words, policy, change → **`Patch`** → the daemon stores it. Must not know where the words live.

use crate::{Change, Policy, TableImage};

/// What it takes to change the tables of a generation in place, kept beside the live ones.
#[derive(Clone, Debug, Default)]
pub struct Amender {}

/// One change of live tables: words for room that no packet reads yet, then one store that leads packets to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Index of the first of `words`.
    pub first: u32,
    /// What is written there, before the cell.
    pub words: Vec<u32>,
    /// The 64-bit word (its index counted in 64-bit words) that is stored last, in one store, and its new value.
    pub cell: u32,
    /// Its new value.
    pub value: u64,
}

impl Amender {
    /// The patch after which packets are judged as by `policy` with `change`; `tables` are the live words. `None`: not possible in
    /// place, a new generation has to be built.
    pub fn amend(&mut self, tables: &[u8], policy: &Policy, change: &Change) -> Option<Patch> {
        let _nothing_yet = (tables, policy, change);
        None
    }
}

impl TableImage {
    /// What changes these tables in place once they are live.
    #[must_use]
    pub fn amender(&self) -> Amender {
        Amender::default()
    }
}
