//! Address → class, through the trie whose shape is in [`crate::wire::Node`].

use crate::Tables;
use crate::packet::Address;
use crate::wire::{Child, Node, Plane, STRIDE, Setting};

/// Levels of nodes below the smallest root (1 bit) that 128 bits can need. A constant bound for the verifier.
const MAX_LEVELS_V6: u32 = 22;
/// The same for 32 bits.
const MAX_LEVELS_V4: u32 = 6;

/// The class of `address` in the trie that these settings describe; `None` when the trie is broken.
#[inline(always)]
pub(super) fn class<const PLANE: u8, T: Tables>(
    tables: &T,
    address: Address,
    root_bits: Setting,
    root: Setting,
    levels: Setting,
) -> Option<u32> {
    let root_bits = tables.setting(root_bits);
    if root_bits == 0 {
        // One class: its number and mark stand where the root would.
        return Some(tables.setting(root));
    }
    let top = address.high >> ((64 - root_bits) & 63);
    #[expect(clippy::cast_possible_truncation, reason = "at most 16 root bits are left")]
    let mut child = Child::unpack(tables.word(tables.setting(root).wrapping_add(top as u32))?);
    let mut rest = Address {
        high: address.high << root_bits | address.low >> ((64 - root_bits) & 63),
        low: address.low << root_bits,
    };

    let levels = tables.setting(levels);
    let bound = if PLANE == Plane::V4 as u8 {
        MAX_LEVELS_V4
    } else {
        MAX_LEVELS_V6
    };
    let mut level = 0;
    while level < bound {
        let index = match child {
            Child::Leaf(class) => return Some(class),
            Child::Node(index) => index,
        };
        if level == levels {
            return None;
        }
        level += 1;
        let node = Node::unpack(tables.node(index)?);
        let position = rest.high >> (64 - STRIDE);
        let upto = u64::MAX >> (63 - position);
        if node.children >> position & 1 == 1 {
            let before = (node.children & upto).count_ones();
            child = Child::Node(node.first_child.wrapping_add(before).wrapping_sub(1));
        } else {
            let before = (node.leaves & upto).count_ones();
            return tables.word(node.first_leaf.wrapping_add(before).wrapping_sub(1));
        }
        rest = Address {
            high: rest.high << STRIDE | rest.low >> (64 - STRIDE),
            low: rest.low << STRIDE,
        };
    }
    match child {
        Child::Leaf(class) => Some(class),
        Child::Node(_) => None,
    }
}
