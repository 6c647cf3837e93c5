//! Address → class, in one of two ways that the compiler chooses for the addresses at hand: a *multibit trie* (Srinivasan and
//! Varghese, "Fast Address Lookups Using Controlled Prefix Expansion", SIGMETRICS 1998), or a range trie, whose shape is in
//! [`crate::wire::Cell`].

use crate::Tables;
use crate::packet::Address;
use crate::wire::{FAR_DOUBLES, FAR_KEYS, Lanes, Plane, Setting, trie};

/// Levels of a multibit trie below the root. A constant bound for the verifier.
const MAX_PAGES: u32 = 6;
/// Steps below the root of a range trie: each goes on for two bits at least.
const MAX_STEPS_V6: u32 = 62;
/// The same for 32 bits.
const MAX_STEPS_V4: u32 = 14;

/// The settings that describe the lookup of one dimension.
#[derive(Clone, Copy)]
pub(super) struct Lookup {
    /// Address bits that index the root; 0: everything is of class [`Lookup::root`].
    pub(super) root_bits: Setting,
    /// First word of the root; of a range trie in doubles.
    pub(super) root: Setting,
    /// Levels of pages, or steps, below the root.
    pub(super) levels: Setting,
    /// Bits that a page of a multibit trie consumes; 0: a range trie.
    pub(super) stride: Setting,
    /// Range trie: lanes of a cell.
    pub(super) lanes: Setting,
    /// Range trie: bits of a lane.
    pub(super) lane_bits: Setting,
    /// Range trie: a one at the low end of each lane; the low half.
    pub(super) ones_low: Setting,
    /// The high half.
    pub(super) ones_high: Setting,
    /// Range trie: first word of the lists of classes.
    pub(super) lists: Setting,
    /// Address bits that index the bitmap in front of the trie; 0: there is none.
    pub(super) bitmap_bits: Setting,
    /// The bitmap's first double.
    pub(super) bitmap: Setting,
    /// The word that holds the class of addresses whose bit is clear.
    pub(super) bitmap_class: Setting,
}

/// The class of an address; `None` when the trie is broken. Costs nothing when every address is of one class.
#[inline(always)]
pub(super) fn class<const PLANE: u8, T: Tables>(tables: &T, address: Address, lookup: Lookup) -> Option<u32> {
    let root_bits = tables.setting(lookup.root_bits);
    if root_bits == 0 {
        return Some(tables.setting(lookup.root));
    }
    if tables.setting(lookup.bitmap_bits) != 0 && !is_marked(tables, address, lookup)? {
        // Read, not a constant: to the verifier every path ends with any class, and what follows is walked once.
        return tables.word(tables.setting(lookup.bitmap_class));
    }
    if tables.setting(lookup.stride) == 0 {
        ranges::<PLANE, T>(tables, address, lookup)
    } else {
        multibit(tables, address, lookup)
    }
}

/// Whether the trie must be asked. Large sets hold a small part of all addresses: a bitmap of the others fits a cache that the
/// trie does not.
#[inline(always)]
fn is_marked(tables: &impl Tables, address: Address, lookup: Lookup) -> Option<bool> {
    let (position, _) = address.split(tables.setting(lookup.bitmap_bits));
    let double = tables.double(tables.setting(lookup.bitmap).wrapping_add(position >> 6))?;
    Some(double >> (position & 63) & 1 == 1)
}

/// One read a level, and no decision on the way.
#[inline(always)]
fn multibit(tables: &impl Tables, address: Address, lookup: Lookup) -> Option<u32> {
    let (position, mut rest) = address.split(tables.setting(lookup.root_bits));
    let mut word = tables.word(tables.setting(lookup.root).wrapping_add(position))?;
    let levels = tables.setting(lookup.levels);
    let mut level = 0;
    while level < MAX_PAGES && level < levels {
        let (position, after) = rest.split(tables.setting(lookup.stride));
        word = tables.word(word.wrapping_add(position))?;
        rest = after;
        level += 1;
    }
    Some(word)
}

/// A step a level, until a cell holds what tells the addresses apart that are left.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "fields of a 64-bit word")]
fn ranges<const PLANE: u8, T: Tables>(tables: &T, address: Address, lookup: Lookup) -> Option<u32> {
    let (position, mut rest) = address.split(tables.setting(lookup.root_bits));
    let mut cell = tables.double(tables.setting(lookup.root).wrapping_add(position))?;
    let levels = tables.setting(lookup.levels);
    let lanes = Lanes {
        count: tables.setting(lookup.lanes),
        bits: tables.setting(lookup.lane_bits),
    };
    let mut level = 0;
    while level < bound::<PLANE>() && level < levels {
        if cell & trie::ON == 0 {
            break;
        }
        let bits = (cell >> trie::BITS) as u32 & 63;
        let (digit, after) = rest.digit(bits);
        let mut next = cell as u32;
        if cell & trie::FAR == 0 {
            next = next.wrapping_add(digit as u32);
        } else {
            next = next.wrapping_mul(FAR_DOUBLES);
            let keys: [u64; FAR_KEYS] = tables.doubles(next)?;
            next = next.wrapping_add(FAR_KEYS as u32);
            let mut key = 0;
            while key < FAR_KEYS {
                next = next.wrapping_add(u32::from(keys[key] <= digit));
                key += 1;
            }
        }
        cell = tables.double(next)?;
        rest = after;
        level += 1;
    }
    if cell & trie::ON != 0 {
        return None;
    }
    let (digit, _) = rest.digit(lanes.bits.wrapping_sub(1));
    let ones = u64::from(tables.setting(lookup.ones_low)) | u64::from(tables.setting(lookup.ones_high)) << 32;
    let list = (cell >> (lanes.all_bits() & 63)) as u32;
    let class = list
        .wrapping_mul(lanes.count + 1)
        .wrapping_add(trie::rank(cell, digit, ones, lanes));
    tables.word(tables.setting(lookup.lists).wrapping_add(class))
}

#[inline(always)]
const fn bound<const PLANE: u8>() -> u32 {
    if PLANE == Plane::V4 as u8 {
        MAX_STEPS_V4
    } else {
        MAX_STEPS_V6
    }
}
