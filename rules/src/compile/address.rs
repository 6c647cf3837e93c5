//! Runs of addresses → the tables that map an address to its class, in the shape that costs a packet least.

use super::CompileError;
use super::multibit::{self, Plan};
use super::partition::Run;
use super::poptrie;
use super::words::Words;
use crate::image::{AddressReport, TrieReport};

/// Where a trie stands in the image.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trie {
    /// 0: one class for all addresses, and `root` is that class.
    pub(super) root_bits: u32,
    pub(super) root: u32,
    /// Levels below the root.
    pub(super) levels: u32,
    /// Bits that a page consumes; 0: the levels are nodes of a Poptrie.
    pub(super) stride: u32,
    /// Pages or nodes.
    pub(super) pages: u32,
}

impl Trie {
    /// What it is, for people.
    pub(super) fn report(self, classes: usize) -> AddressReport {
        AddressReport {
            classes,
            trie: match (self.root_bits, self.stride) {
                (0, _) => TrieReport::OneClass,
                (root_bits, 0) => TrieReport::Poptrie {
                    root_bits,
                    levels: self.levels,
                    nodes: self.pages,
                },
                (root_bits, stride) => TrieReport::Multibit {
                    root_bits,
                    stride,
                    levels: self.levels,
                    pages: self.pages,
                },
            },
        }
    }
}

/// Writes the trie of `runs`, whose classes are the words of the leaves.
pub(super) fn write(runs: &[Run], compressed: bool, words: &mut Words) -> Result<Trie, CompileError> {
    if let [run] = runs {
        return Ok(Trie {
            root: run.class,
            ..Trie::default()
        });
    }
    match Plan::cheapest(runs, words.left() / 4).filter(|_| !compressed) {
        Some(plan) => multibit::write(runs, plan, words),
        None => poptrie::write(runs, words),
    }
}

/// Part of the address line: all addresses that begin with the same `depth` bits.
#[derive(Clone, Copy)]
pub(super) struct Range {
    pub(super) first: u128,
    depth: u32,
    /// Tables that lead to it, the root among them.
    pub(super) level: u32,
    /// The run that holds `first`.
    run: usize,
}

impl Range {
    /// All addresses.
    pub(super) const ALL: Self = Self {
        first: 0,
        depth: 0,
        level: 0,
        run: 0,
    };

    /// The parts that the next `bits` tell apart, in order.
    pub(super) fn parts(self, bits: u32, runs: &[Run]) -> impl Iterator<Item = Self> {
        let depth = self.depth + bits;
        let mut run = self.run;
        (0..1u128 << bits).map(move |position| {
            // The last level of a 128-bit address has positions below the last bit: they repeat their neighbours.
            let offset = if depth <= 128 {
                position << (128 - depth)
            } else {
                position >> (depth - 128)
            };
            let first = self.first | offset;
            let later = runs.get(run + 1..).unwrap_or_default();
            run += later.iter().take_while(|run| run.first <= first).count();
            Self {
                first,
                depth: depth.min(128),
                level: self.level + 1,
                run,
            }
        })
    }

    /// The class of all its addresses, when it is one.
    pub(super) fn class(self, runs: &[Run]) -> Option<u32> {
        let last = self.first | u128::MAX.checked_shr(self.depth).unwrap_or(0);
        let whole = runs.get(self.run + 1).is_none_or(|next| next.first > last);
        runs.get(self.run).filter(|_| whole).map(|run| run.class)
    }
}
