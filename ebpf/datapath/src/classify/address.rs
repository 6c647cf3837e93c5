//! Address → class, in one of two ways that the compiler chooses for the addresses at hand.
//!
//! A *multibit trie* (Srinivasan and Varghese, "Fast Address Lookups Using Controlled Prefix Expansion", SIGMETRICS 1998): a
//! root table, then pages that each consume the same number of bits, one read each and no decision on the way. A *Poptrie*,
//! whose shape is in [`crate::wire::Node`]: compressed, for sets whose pages would not fit.

use crate::Tables;
use crate::packet::Address;
use crate::wire::{Child, Node, Plane, STRIDE, Setting, ends_early};

/// Levels below the smallest root that 128 bits can need. A constant bound for the verifier.
const MAX_LEVELS_V6: u32 = 22;
/// The same for 32 bits.
const MAX_LEVELS_V4: u32 = 6;

/// The settings that describe the lookup of one dimension.
#[derive(Clone, Copy)]
pub(super) struct Lookup {
    /// Bits that index the root; 0: there is one class.
    pub(super) root_bits: Setting,
    /// First word of the root.
    pub(super) root: Setting,
    /// Levels below the root.
    pub(super) levels: Setting,
    /// Bits that a page consumes; 0: the levels are nodes of a Poptrie.
    pub(super) stride: Setting,
}

/// The class of `address`; `None` when the tables are broken.
#[inline(always)]
pub(super) fn class<const PLANE: u8, T: Tables>(tables: &T, address: Address, lookup: Lookup) -> Option<u32> {
    let root_bits = tables.setting(lookup.root_bits);
    if root_bits == 0 {
        // One class: its number and mark stand where the root would.
        return Some(tables.setting(lookup.root));
    }
    let (top, rest) = address.split(root_bits);
    let cell = tables.word(tables.setting(lookup.root).wrapping_add(top))?;
    let levels = tables.setting(lookup.levels);
    let stride = tables.setting(lookup.stride);
    if stride == 0 {
        poptrie::<PLANE, T>(tables, rest, cell, levels)
    } else {
        multibit::<PLANE, T>(tables, rest, cell, levels, stride)
    }
}

#[inline(always)]
fn multibit<const PLANE: u8, T: Tables>(
    tables: &T,
    mut rest: Address,
    mut cell: u32,
    levels: u32,
    stride: u32,
) -> Option<u32> {
    let mut level = 0;
    while level < bound::<PLANE>() && level < levels {
        if ends_early(levels) && matches!(Child::unpack(cell), Child::Leaf(_)) {
            break;
        }
        let (position, after) = rest.split(stride);
        cell = tables.word(cell.wrapping_add(position))?;
        rest = after;
        level += 1;
    }
    match Child::unpack(cell) {
        Child::Leaf(class) => Some(class),
        Child::Node(_) => None,
    }
}

#[inline(always)]
fn poptrie<const PLANE: u8, T: Tables>(tables: &T, mut rest: Address, cell: u32, levels: u32) -> Option<u32> {
    let mut child = Child::unpack(cell);
    let mut level = 0;
    while level < bound::<PLANE>() {
        let index = match child {
            Child::Leaf(class) => return Some(class),
            Child::Node(index) => index,
        };
        if level == levels {
            return None;
        }
        level += 1;
        let node = Node::unpack(tables.node(index)?);
        let (position, after) = rest.split(STRIDE);
        let upto = u64::MAX >> (63 - position);
        if node.children >> position & 1 == 1 {
            let before = (node.children & upto).count_ones();
            child = Child::Node(node.first_child.wrapping_add(before).wrapping_sub(1));
        } else {
            let before = (node.leaves & upto).count_ones();
            return tables.word(node.first_leaf.wrapping_add(before).wrapping_sub(1));
        }
        rest = after;
    }
    match child {
        Child::Leaf(class) => Some(class),
        Child::Node(_) => None,
    }
}

#[inline(always)]
const fn bound<const PLANE: u8>() -> u32 {
    if PLANE == Plane::V4 as u8 {
        MAX_LEVELS_V4
    } else {
        MAX_LEVELS_V6
    }
}
