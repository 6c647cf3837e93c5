//! Two dimensions paired: which pairs of their classes satisfy the same rows.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use super::bits::Bits;

/// The classes of pairs.
pub(super) struct Pairs {
    /// The class of each pair, row by row of the first dimension.
    pub(super) cells: Vec<u32>,
    /// The rows that each class satisfies.
    pub(super) rows: Vec<Bits>,
}

/// What pairing may take. A policy that is made to keep the compiler busy ends as one that does not fit.
#[derive(Clone, Copy)]
pub(super) struct Most {
    pub(super) pairs: u64,
    pub(super) classes: u64,
    /// Words that are read: a thousand million take about a second.
    pub(super) work: u64,
}

impl Pairs {
    /// Pairs two dimensions; `None` when there are more pairs or classes than these, or finding them takes too long.
    ///
    /// Pairs are told apart by their rows, all of them. What is kept of a pair until its class is known is a fingerprint and
    /// one pair that has it: most pairs are like an earlier one, and none of their bitmaps is written down.
    pub(super) fn of(first: &[Bits], second: &[Bits], most: Most) -> Option<Self> {
        if pairs(first, second) > most.pairs || work(first, second) > most.work {
            return None;
        }
        let most = usize::try_from(most.classes.min(MOST_WORDS / words(first))).unwrap_or(usize::MAX);
        let seed = RandomState::new().hash_one(0);
        let mut known: HashMap<u64, Vec<u32>, foldhash::fast::RandomState> = HashMap::default();
        let mut rows: Vec<Bits> = Vec::new();
        let mut cells = Vec::with_capacity(first.len() * second.len());
        for one in first {
            for other in second {
                let alike = known.entry(one.fingerprint_of_both(other, seed)).or_default();
                let class = alike
                    .iter()
                    .copied()
                    .find(|class| rows_of(&rows, *class).is_some_and(|rows| one.both_are(other, rows)));
                cells.push(match class {
                    Some(class) => class,
                    None => {
                        let class = u32::try_from(rows.len()).ok().filter(|_| rows.len() < most)?;
                        rows.push(one.and(other));
                        alike.push(class);
                        class
                    }
                });
            }
        }
        Some(Self { cells, rows })
    }
}

fn rows_of(rows: &[Bits], class: u32) -> Option<&Bits> {
    rows.get(usize::try_from(class).ok()?)
}

/// How many pairs there are.
pub(super) fn pairs(first: &[Bits], second: &[Bits]) -> u64 {
    (first.len() as u64).saturating_mul(second.len() as u64)
}

/// Words that are read to find their classes.
pub(super) fn work(first: &[Bits], second: &[Bits]) -> u64 {
    pairs(first, second).saturating_mul(words(first))
}

fn words(classes: &[Bits]) -> u64 {
    classes
        .first()
        .map_or(1, |rows| (rows.words().len() as u64).max(1))
}

/// Words of bitmaps that the classes may have: 256 MiB while compiling.
const MOST_WORDS: u64 = 32 << 20;
