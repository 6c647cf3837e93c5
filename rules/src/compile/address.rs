//! Runs of addresses → the tables that map an address to its class, in the shape that costs a packet least.

use ravelin_datapath::wire::{Lanes, Plane};

use super::CompileError;
use super::bitmap::{self, Bitmap};
use super::multibit::{self, Plan};
use super::partition::Run;
use super::ranges::{self, Lists};
use super::words::Words;
use crate::image::{AddressReport, TrieReport};

/// Where a trie stands in the image.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trie {
    /// 0: one class for all addresses, and `root` is that class.
    pub(super) root_bits: u32,
    /// The root's first word; of a range trie, its first double.
    pub(super) root: u32,
    /// Levels of pages, or steps, below the root.
    pub(super) levels: u32,
    /// Table reads that one address takes, at most.
    pub(super) reads: u32,
    pub(super) shape: Shape,
    /// What is asked first.
    pub(super) bitmap: Option<Bitmap>,
}

/// What is below a trie's root.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Shape {
    /// Nothing.
    #[default]
    OneClass,
    /// Pages that each consume so many bits.
    Multibit { stride: u32, pages: u32 },
    /// Cells with so many lanes, lists from this word on; how many tables and lines there are.
    Ranges { lanes: Lanes, lists: u32, nodes: u32 },
}

impl Trie {
    /// What it is, for people.
    pub(super) fn report(self, classes: usize) -> AddressReport {
        let (root_bits, levels) = (self.root_bits, self.levels);
        AddressReport {
            classes,
            bitmap: self.bitmap.map(|bitmap| 1 << (bitmap.bits - 3)),
            trie: match self.shape {
                Shape::OneClass => TrieReport::OneClass,
                Shape::Ranges { lanes, nodes, .. } => TrieReport::Ranges {
                    root_bits,
                    keys: lanes.count,
                    levels,
                    nodes,
                    reads: self.reads,
                },
                Shape::Multibit { stride, pages } => TrieReport::Multibit {
                    root_bits,
                    stride,
                    levels,
                    pages,
                },
            },
        }
    }
}

/// A trie in the image, and what is needed to change it.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) trie: Trie,
    /// Of a range trie.
    pub(super) lists: Option<Lists>,
}

/// Writes the trie of `runs`, whose classes are the words of the leaves.
pub(super) fn write(
    plane: Plane,
    runs: &[Run],
    only_ranges: bool,
    words: &mut Words,
) -> Result<Written, CompileError> {
    let before = words.bytes();
    if let [run] = runs {
        let trie = Trie {
            root: run.class,
            ..Trie::default()
        };
        return Ok(Written { trie, lists: None });
    }
    let mut written = match Plan::cheapest(plane, runs, words.left() / 4).filter(|_| !only_ranges) {
        Some(plan) => Written {
            trie: multibit::write(runs, plan, words)?,
            lists: None,
        },
        None => ranges::write(plane, runs, words)?,
    };
    if only_ranges || words.bytes() - before > WITHOUT_BITMAP {
        written.trie.bitmap = bitmap::write(plane, runs, words)?;
    }
    Ok(written)
}

/// Bytes of a trie that the second cache level holds, more or less, with what else a packet needs: no bitmap is faster.
const WITHOUT_BITMAP: u64 = 512 << 10;

/// Part of the address line: all addresses that begin with the same `depth` bits.
#[derive(Clone, Copy)]
pub(super) struct Range {
    pub(super) first: u128,
    depth: u32,
    /// Tables that lead to it, the root among them, when all of them consume bits alike.
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

    fn last(self) -> u128 {
        self.first | u128::MAX.checked_shr(self.depth).unwrap_or(0)
    }

    /// The class of all its addresses, when it is one.
    pub(super) fn class(self, runs: &[Run]) -> Option<u32> {
        let last = self.last();
        let whole = runs.get(self.run + 1).is_none_or(|next| next.first > last);
        runs.get(self.run).filter(|_| whole).map(|run| run.class)
    }
}
