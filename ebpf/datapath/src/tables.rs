//! How tables are looked up: the seam between the classifier and whoever holds them.

use crate::wire::{NODE_WORDS, Setting};

/// The tables of one generation: settings, and one array of words that holds everything else.
pub trait Tables {
    /// A constant of the generation.
    fn setting(&self, setting: Setting) -> u32;

    /// The word at `index`, or `None` outside the tables.
    fn word(&self, index: u32) -> Option<u32>;

    /// The 64-bit word whose halves are the words `2 * index` and `2 * index + 1`, low half first.
    fn double(&self, index: u32) -> Option<u64>;

    /// The words of the trie node at `index`, counted in nodes.
    fn node(&self, index: u32) -> Option<[u32; NODE_WORDS]>;
}
