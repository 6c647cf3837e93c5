//! Sets of small numbers as bitmaps: rows that match, address sets that hold a value.

use std::collections::HashMap;

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

    /// The lowest number in both sets that is not below `floor`.
    pub(super) fn first_common(&self, other: &Self, floor: usize) -> Option<usize> {
        let pairs = self.0.iter().zip(&other.0).enumerate().skip(floor / 64);
        let words = pairs.map(|(index, (a, b))| {
            let above = if index == floor / 64 {
                u64::MAX << (floor % 64)
            } else {
                u64::MAX
            };
            (index, a & b & above)
        });
        let (index, word) = words.into_iter().find(|(_, word)| *word != 0)?;
        Some(index * 64 + usize::try_from(word.trailing_zeros()).ok()?)
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.0
    }
}

/// Numbers distinct sets in the order in which they first appear.
#[derive(Debug, Default)]
pub(super) struct Interner {
    numbers: HashMap<Bits, u32>,
    sets: Vec<Bits>,
}

impl Interner {
    pub(super) fn number(&mut self, set: Bits) -> u32 {
        if let Some(number) = self.numbers.get(&set) {
            return *number;
        }
        let number = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
        self.sets.push(set.clone());
        self.numbers.insert(set, number);
        number
    }

    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }

    pub(super) fn into_sets(self) -> Vec<Bits> {
        self.sets
    }
}
