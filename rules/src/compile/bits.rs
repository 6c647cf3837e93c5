//! Sets of small numbers as bitmaps: rows that match, address sets that hold a value.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// A set of numbers below a length that its owner knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Bits(Box<[u64]>);

impl Bits {
    pub(super) fn none(length: usize) -> Self {
        Self(vec![0; length.div_ceil(64)].into())
    }

    pub(super) fn set(&mut self, index: usize, present: bool) {
        if let Some(word) = self.0.get_mut(index / 64) {
            let bit = 1 << (index % 64);
            *word = if present { *word | bit } else { *word & !bit };
        }
    }

    pub(super) fn contains(&self, index: usize) -> bool {
        self.0
            .get(index / 64)
            .is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }

    /// The numbers in the set, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0
            .iter()
            .enumerate()
            .flat_map(|(index, word)| ones_of(*word).map(move |bit| index * 64 + bit))
    }

    /// Whether the numbers in both sets are those of `these`.
    pub(super) fn both_are(&self, other: &Self, these: &Self) -> bool {
        let both = self.0.iter().zip(&other.0).zip(&these.0);
        both.fold(0, |differ, ((a, b), these)| differ | (a & b ^ these)) == 0
    }

    /// A number that sets with the same common numbers share, and few others. Four lanes, because a multiplication takes as
    /// long as four words take to read.
    pub(super) fn fingerprint_of_both(&self, other: &Self, seed: u64) -> u64 {
        let mut lanes = [seed; 4];
        let (some, some_left) = self.0.as_chunks::<4>();
        let (others, others_left) = other.0.as_chunks::<4>();
        for (some, others) in some.iter().zip(others) {
            for ((lane, a), b) in lanes.iter_mut().zip(some).zip(others) {
                *lane = mixed(*lane, a & b);
            }
        }
        let lanes = lanes.into_iter().fold(seed, mixed);
        some_left
            .iter()
            .zip(others_left)
            .fold(lanes, |print, (a, b)| mixed(print, a & b))
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.0
    }
}

/// Multiplication and rotation.
const fn mixed(print: u64, word: u64) -> u64 {
    (print ^ word).wrapping_mul(MULTIPLIER).rotate_left(29)
}

/// 2^64 divided by the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// The numbers of the bits of a word that are set, ascending.
pub(super) fn ones_of(word: u64) -> impl Iterator<Item = usize> {
    let mut left = word;
    std::iter::from_fn(move || {
        let bit = usize::try_from(left.trailing_zeros())
            .ok()
            .filter(|bit| *bit < 64)?;
        left &= left.wrapping_sub(1);
        Some(bit)
    })
}

/// Numbers distinct sets in the order in which they first appear.
#[derive(Debug, Default)]
pub(super) struct Interner {
    numbers: HashMap<Bits, u32, RandomState>,
    sets: Vec<Bits>,
}

impl Interner {
    pub(super) fn number(&mut self, set: &Bits) -> u32 {
        if let Some(number) = self.numbers.get(set) {
            return *number;
        }
        let number = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
        self.sets.push(set.clone());
        self.numbers.insert(set.clone(), number);
        number
    }

    pub(super) fn into_sets(self) -> Vec<Bits> {
        self.sets
    }
}
