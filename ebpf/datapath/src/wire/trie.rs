//! The shape of the compressed address tries: a Poptrie (Asai and Ohara, "Poptrie: A Compressed Trie with Population Count for Fast
//! and Scalable Software IP Routing Table Lookup", SIGCOMM 2015).
//!
//! A root table indexed by the first bits of the address, then nodes that each consume six bits. A node holds two bitmaps
//! of 64: which of its children are nodes, and where runs of equal leaves begin. Counting ones up to a position gives the
//! index, so nodes and leaves are stored without gaps.

use super::NODE_WORDS;

/// Whether a lookup in a multibit trie of so many levels below the root looks for a leaf before each of them, or reads all
/// levels. Reading a few more words costs less than a branch that goes one way or the other.
#[must_use]
#[inline(always)]
pub const fn ends_early(levels: u32) -> bool {
    levels > 6
}

/// Address bits consumed by one node.
pub const STRIDE: u32 = 6;

/// What a root cell or a position in a node leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Child {
    /// The class of the address.
    Leaf(u32),
    /// Another node, by its index (in nodes, from the start of the image).
    Node(u32),
}

impl Child {
    /// Set in a word that is a leaf.
    const LEAF: u32 = 1 << 31;

    /// The word of a root cell.
    #[must_use]
    pub const fn pack(self) -> u32 {
        match self {
            Self::Leaf(class) => class | Self::LEAF,
            Self::Node(index) => index,
        }
    }

    /// The child of a root cell's word.
    #[must_use]
    #[inline(always)]
    pub const fn unpack(word: u32) -> Self {
        if word & Self::LEAF == 0 {
            Self::Node(word)
        } else {
            Self::Leaf(word & !Self::LEAF)
        }
    }
}

/// One node: 32 bytes, half a cache line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Bit `i`: position `i` leads to a node.
    pub children: u64,
    /// Bit `i`: position `i` leads to a leaf, and it is not the same leaf as that of the leaf position before it.
    pub leaves: u64,
    /// Index of the first child node.
    pub first_child: u32,
    /// Word index of the first leaf.
    pub first_leaf: u32,
}

impl Node {
    /// The words of the node.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a 64-bit bitmap")]
    pub const fn pack(self) -> [u32; NODE_WORDS] {
        [
            self.children as u32,
            (self.children >> 32) as u32,
            self.leaves as u32,
            (self.leaves >> 32) as u32,
            self.first_child,
            self.first_leaf,
            0,
            0,
        ]
    }

    /// The node of these words.
    #[must_use]
    #[inline(always)]
    pub const fn unpack(words: [u32; NODE_WORDS]) -> Self {
        let [c0, c1, l0, l1, first_child, first_leaf, _, _] = words;
        Self {
            children: c0 as u64 | (c1 as u64) << 32,
            leaves: l0 as u64 | (l1 as u64) << 32,
            first_child,
            first_leaf,
        }
    }
}
