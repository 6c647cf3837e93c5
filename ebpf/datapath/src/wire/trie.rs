//! The shape of a range trie: what a cell holds that leads from one table to the next, or to a class.
//!
//! A table is indexed by the next bits of the address, as many as its part of the address line is worth (a level-compressed
//! trie: Nilsson and Karlsson, "IP-Address Lookup Using LC-Tries", IEEE JSAC 17(6), 1999). Where few runs of addresses are
//! left, their first digits stand in the cell itself, side by side, and one subtraction compares them all (after DXR: Zec,
//! Rizzo and Mikuc, "DXR: Towards a Billion Routing Lookups Per Second in Software", CCR 2012, which searches them in a table of
//! their own). What a packet waits for is memory: most sources end with the one cell that they read first.

/// Key bits of a cell: lanes of equal width, the first of which is the lowest.
///
/// The highest bit of a lane is free, so that no lane borrows from its neighbour when the digit is compared with all keys at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes {
    /// Keys in a cell: at least 2, at most [`MAX_LANES`].
    pub count: u32,
    /// Bits of a lane; keys are numbers of one bit less.
    pub bits: u32,
}

/// Keys of a cell: four of 13 bits are what 20 bits leave of an IPv4 address.
pub const MAX_LANES: u32 = 4;

/// What a cell leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Keys in lanes, and the number of the list of classes between them.
    Ranges {
        /// The keys, packed.
        keys: u64,
        /// The list.
        list: u32,
    },
    /// A table.
    Table {
        /// Its first cell, in doubles.
        first: u32,
        /// Address bits that index it.
        bits: u32,
    },
    /// Keys too long for lanes, and the cells between them, in a [`FAR_DOUBLES`] of their own.
    Far {
        /// Which line of the tables.
        line: u32,
        /// Address bits that are compared: the keys are numbers of so many bits.
        bits: u32,
    },
}

/// Set in a cell that leads on.
pub(crate) const ON: u64 = 1 << 63;
/// Set in a cell that leads on to a line.
pub(crate) const FAR: u64 = 1 << 62;
/// Where the bits of a table or a line stand; where it is fills the low half.
pub(crate) const BITS: u32 = 32;

/// Keys of a line.
pub const FAR_KEYS: usize = 3;
/// 64-bit words of a line: the keys, the cells between them, and one to spare. A cache line.
pub const FAR_DOUBLES: u32 = 8;
/// Address bits that a line can compare.
pub const MAX_FAR_BITS: u32 = 63;

impl Cell {
    /// The 64-bit word of the cell, in a trie with these lanes.
    #[must_use]
    pub const fn pack(self, lanes: Lanes) -> u64 {
        match self {
            Self::Ranges { keys, list } => keys | (list as u64) << lanes.all_bits(),
            Self::Table { first, bits } => ON | (bits as u64) << BITS | first as u64,
            Self::Far { line, bits } => ON | FAR | (bits as u64) << BITS | line as u64,
        }
    }

    /// What the word of a cell means.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "fields of a 64-bit word")]
    pub const fn unpack(word: u64, lanes: Lanes) -> Self {
        let (low, bits) = (word as u32, (word >> BITS) as u32 & 63);
        match (word & ON, word & FAR) {
            (0, _) => Self::Ranges {
                keys: word & ((1 << lanes.all_bits()) - 1),
                list: (word >> lanes.all_bits()) as u32,
            },
            (_, 0) => Self::Table { first: low, bits },
            _ => Self::Far { line: low, bits },
        }
    }
}

impl Lanes {
    /// Bits of all lanes; above them stands the number of a list.
    #[must_use]
    pub const fn all_bits(self) -> u32 {
        self.count * self.bits
    }

    /// Address bits that are compared.
    #[must_use]
    pub const fn digit_bits(self) -> u32 {
        self.bits - 1
    }

    /// Numbers of lists that a cell has room for.
    #[must_use]
    pub const fn lists(self) -> u64 {
        1 << (63 - self.all_bits())
    }

    /// A one at the low end of each lane.
    #[must_use]
    pub const fn ones(self) -> u64 {
        let mut ones = 0;
        let mut lane = 0;
        while lane < self.count {
            ones |= 1 << (lane * self.bits);
            lane += 1;
        }
        ones
    }

    /// The keys side by side; lanes that are left over hold a key that no digit reaches.
    #[must_use]
    pub fn pack(self, keys: &[u64]) -> u64 {
        let beyond = 1 << self.digit_bits();
        (0..self.count)
            .zip(keys.iter().copied().chain(core::iter::repeat(beyond)))
            .fold(0, |word, (lane, key)| word | key << (self.bits * lane))
    }
}

/// How many of the keys in `cell` are not greater than `digit`; `ones` has a one at the low end of each lane.
#[must_use]
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "three bits are kept")]
pub(crate) const fn rank(cell: u64, digit: u64, ones: u64, lanes: Lanes) -> u32 {
    let firsts = ones << (lanes.digit_bits() & 63);
    // In each lane: 2^(bits - 1) + digit - key, whose first bit is set when the key is not greater.
    let compared = (digit.wrapping_mul(ones) | firsts).wrapping_sub(cell) & firsts;
    // The product adds all lanes up in the last one; above it stand sums of fewer.
    let sums = (compared >> (lanes.digit_bits() & 63)).wrapping_mul(ones);
    (sums >> ((lanes.bits * (lanes.count - 1)) & 63)) as u32 & 7
}

const _: () = assert!(MAX_LANES < 8, "three bits hold a rank");
const _: () = assert!(FAR_KEYS + FAR_KEYS < FAR_DOUBLES as usize);

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Lanes; 4] = [
        Lanes { count: 4, bits: 13 },
        Lanes { count: 4, bits: 15 },
        Lanes { count: 3, bits: 17 },
        Lanes { count: 2, bits: 29 },
    ];

    #[test]
    fn a_cell_says_what_it_was_made_of() {
        for lanes in ALL {
            let last_list = u32::try_from(lanes.lists() - 1).unwrap_or(u32::MAX);
            for cell in [
                Cell::Ranges {
                    keys: lanes.pack(&[]),
                    list: 0,
                },
                Cell::Ranges {
                    keys: lanes.pack(&[0, 1]),
                    list: last_list,
                },
                Cell::Table { first: 0, bits: 1 },
                Cell::Table {
                    first: (1 << 26) - 1,
                    bits: 31,
                },
                Cell::Far { line: 0, bits: 1 },
                Cell::Far {
                    line: (1 << 23) - 1,
                    bits: MAX_FAR_BITS,
                },
            ] {
                assert_eq!(Cell::unpack(cell.pack(lanes), lanes), cell);
            }
        }
    }

    #[test]
    fn a_rank_is_the_number_of_keys_up_to_the_digit() {
        for lanes in ALL {
            let last = (1 << lanes.digit_bits()) - 1;
            let keys = [0, 1, 2, last / 2, last - 1, last];
            for from in 0..keys.len() {
                let to = keys.len().min(from + lanes.count as usize);
                let chosen = keys.get(from..to).unwrap_or_default();
                for list in [0, lanes.lists() - 1] {
                    let cell = lanes.pack(chosen) | list << lanes.all_bits();
                    for digit in [0, 1, 2, 3, last / 2 - 1, last / 2, last - 1, last] {
                        let expected = chosen.iter().filter(|key| **key <= digit).count();
                        let rank = rank(cell, digit, lanes.ones(), lanes);
                        assert_eq!(rank as usize, expected, "{lanes:?} {chosen:?} {digit}");
                    }
                }
            }
        }
    }
}
