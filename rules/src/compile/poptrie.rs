//! Runs of addresses → the compressed trie whose shape is in [`ravelin_datapath::wire::Node`].

use std::collections::VecDeque;

use ravelin_datapath::wire::{Child, Node, STRIDE};

use super::CompileError;
use super::address::{Range, Trie};
use super::partition::Run;
use super::words::Words;

/// Writes the trie of `runs`, whose classes are the words of the leaves.
pub(super) fn write(runs: &[Run], words: &mut Words) -> Result<Trie, CompileError> {
    let first_node = words.next_node()?;
    let mut builder = Builder {
        runs,
        next: first_node,
        pending: VecDeque::new(),
        nodes: Vec::new(),
        leaves: Vec::new(),
    };
    let root_bits = root_bits(runs.len());
    let cells: Vec<u32> = Range::ALL
        .parts(root_bits, runs)
        .map(|range| builder.child(range).pack())
        .collect();
    let mut levels = 0;
    while let Some(range) = builder.pending.pop_front() {
        levels = levels.max(range.level);
        builder.node(range);
    }
    let Builder { nodes, leaves, .. } = builder;
    words.nodes(&nodes)?;
    words.table(&leaves)?;
    let root = words.table(&cells)?;
    Ok(Trie {
        root_bits,
        root,
        levels,
        stride: 0,
        pages: u32::try_from(nodes.len()).unwrap_or(u32::MAX),
    })
}

struct Builder<'a> {
    runs: &'a [Run],
    /// The index of the next node that is promised.
    next: u32,
    /// Promised nodes, in the order of their indices.
    pending: VecDeque<Range>,
    nodes: Vec<Node>,
    leaves: Vec<u32>,
}

impl Builder<'_> {
    /// What a range leads to: its class when it has only one, a new node otherwise.
    fn child(&mut self, range: Range) -> Child {
        if let Some(class) = range.class(self.runs) {
            return Child::Leaf(class);
        }
        let index = self.next;
        self.next += 1;
        self.pending.push_back(range);
        Child::Node(index)
    }

    /// Writes the node of `range`. Its leaves are counted from the first leaf of the trie.
    fn node(&mut self, range: Range) {
        let first_leaf = u32::try_from(self.leaves.len()).unwrap_or(u32::MAX);
        let mut node = Node {
            first_child: self.next,
            first_leaf,
            ..Node::default()
        };
        let mut last_leaf = None;
        for (position, part) in range.parts(STRIDE, self.runs).enumerate() {
            match self.child(part) {
                Child::Leaf(class) => {
                    if last_leaf != Some(class) {
                        last_leaf = Some(class);
                        self.leaves.push(class);
                        node.leaves |= 1 << position;
                    }
                }
                Child::Node(_) => node.children |= 1 << position,
            }
        }
        self.nodes.push(node);
    }
}

/// A root of about four cells a run: small policies stay in the first cache level, large ones save a level of nodes.
pub(super) fn root_bits(runs: usize) -> u32 {
    (runs.next_power_of_two().ilog2() + 2).clamp(MIN_ROOT_BITS, MAX_ROOT_BITS)
}

const MIN_ROOT_BITS: u32 = 8;
const MAX_ROOT_BITS: u32 = 16;
