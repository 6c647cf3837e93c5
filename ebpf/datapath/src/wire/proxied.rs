//! The addresses and ports of the host for which SYNs over the budget are answered: a hash table in the tables of a generation.

use super::Plane;
use crate::packet::Address;

/// An entry: the address, and the port with a mark. An empty cell is all zeros.
pub type ProxiedEntry = [u64; PROXIED_DOUBLES as usize];

/// Doubles of an entry.
pub const PROXIED_DOUBLES: u32 = 3;

/// Cells that are looked at from an entry's own on. A bound: the compiler takes a table in which no entry stands further away.
pub const PROBES: u32 = 8;

/// Addresses with ports that a generation can answer for.
pub const MAX_PROXIED: usize = 1024;

/// What stands in the table for an address and a port.
#[must_use]
#[inline(always)]
pub const fn proxied_entry(plane: Plane, address: Address, port: u16) -> ProxiedEntry {
    [
        address.high,
        address.low,
        MARK | (plane as u64) << 16 | port as u64,
    ]
}

/// The cell from which on an entry is looked for, in a table of `2^bits` cells. Multiplicative hashing (Knuth, TAOCP volume 3, section 6.4):
/// who may choose what is looked up gains nothing from it, because only the policy enters anything.
#[must_use]
#[inline(always)]
pub const fn proxied_cell(entry: &ProxiedEntry, bits: u32) -> u32 {
    let mixed = entry[0].wrapping_mul(FACTOR)
        ^ entry[1].wrapping_mul(FACTOR).rotate_left(31)
        ^ entry[2].rotate_left(40);
    let cell = (mixed.wrapping_mul(FACTOR) >> 32) as u32;
    cell >> ((32 - bits) & 31)
}

/// 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
/// No empty cell has it.
const MARK: u64 = 1 << 32;
