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

/// The run that holds `address`; it is not before the run `from`.
pub(super) fn run_of(runs: &[Run], address: u128, from: usize) -> usize {
    let later = runs.get(from + 1..).unwrap_or_default();
    from + later.iter().take_while(|run| run.first <= address).count()
}
