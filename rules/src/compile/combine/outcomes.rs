//! What the walk through the rows of a pair finds, for every class of the third dimension at once.

use std::collections::HashMap;

use ravelin_datapath::classify::FirstMatch;

use super::super::bits::{Bits, ones_of};
use super::super::walk::Walk;
use crate::ir::Effect;

/// The walk, with the third dimension turned round: for each row, the classes that satisfy it.
pub(super) struct Columns<'a> {
    walk: &'a Walk<'a>,
    satisfied: Vec<Narrow>,
    count: usize,
    observes: bool,
}

/// A bitmap without the words of zeros before and behind what is set.
struct Narrow {
    first: usize,
    words: Vec<u64>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(third: &[Bits], walk: &'a Walk<'a>) -> Self {
        let mut columns: Vec<Bits> = walk.rows().iter().map(|_| Bits::none(third.len())).collect();
        for (class, rows) in third.iter().enumerate() {
            for row in rows.iter() {
                if let Some(column) = columns.get_mut(row) {
                    column.set(class, true);
                }
            }
        }
        Self {
            walk,
            satisfied: columns.iter().map(Narrow::of).collect(),
            count: third.len(),
            observes: walk.observes(),
        }
    }

    /// What each class meets on a walk through `rows`, as words: the rule that decides, or an outcome when rows observe.
    /// `work` grows by the words that were read.
    pub(super) fn through(&self, rows: &Bits, outcomes: &mut Outcomes, work: &mut u64) -> Vec<u32> {
        let mut decided = vec![FirstMatch::NONE.pack(); self.count];
        let mut observed = if self.observes {
            decided.clone()
        } else {
            Vec::new()
        };
        // Classes that walk on, and those that wait for the next scope.
        let mut walking = ones(self.count);
        let mut waiting = vec![0; walking.len()];
        let mut left = self.count;
        let mut level = None;
        for at in rows.iter() {
            let (Some(row), Some(satisfied)) = (self.walk.rows().get(at), self.satisfied.get(at)) else {
                break;
            };
            if level.is_some_and(|level| level != row.level) {
                for (walking, waiting) in walking.iter_mut().zip(&mut waiting) {
                    *walking |= std::mem::take(waiting);
                }
            }
            level = Some(row.level);
            *work += 1 + satisfied.words.len() as u64;
            let matched = FirstMatch::rule(row.rule).pack();
            let here = walking
                .iter_mut()
                .zip(&mut waiting)
                .enumerate()
                .skip(satisfied.first)
                .zip(&satisfied.words);
            for ((index, (walking, waiting)), satisfied) in here {
                let hits = *walking & satisfied;
                match row.effect {
                    Effect::Decide => {
                        *walking &= !hits;
                        for class in bits_of(index, hits) {
                            if let Some(decided) = decided.get_mut(class) {
                                *decided = matched;
                            }
                            left -= 1;
                        }
                    }
                    Effect::Next => {
                        *walking &= !hits;
                        *waiting |= hits;
                    }
                    Effect::Observe => {
                        for class in bits_of(index, hits) {
                            if let Some(observed) = observed
                                .get_mut(class)
                                .filter(|word| **word == FirstMatch::NONE.pack())
                            {
                                *observed = matched;
                            }
                        }
                    }
                }
            }
            if left == 0 {
                break;
            }
        }
        if self.observes {
            for (decided, observed) in decided.iter_mut().zip(observed) {
                *decided = outcomes.number([*decided, observed]);
            }
        }
        decided
    }
}

impl Narrow {
    fn of(bits: &Bits) -> Self {
        let words = bits.words();
        let first = words.iter().position(|word| *word != 0).unwrap_or(words.len());
        let end = words
            .iter()
            .rposition(|word| *word != 0)
            .map_or(first, |last| last + 1);
        Self {
            first,
            words: words.get(first..end).unwrap_or_default().to_vec(),
        }
    }
}

/// Numbers distinct outcomes of the walk: the deciding and the observing match.
#[derive(Default)]
pub(super) struct Outcomes {
    numbers: HashMap<[u32; 2], u32>,
    outcomes: Vec<[u32; 2]>,
}

impl Outcomes {
    fn number(&mut self, outcome: [u32; 2]) -> u32 {
        *self.numbers.entry(outcome).or_insert_with(|| {
            self.outcomes.push(outcome);
            u32::try_from(self.outcomes.len() - 1).unwrap_or(u32::MAX)
        })
    }

    pub(super) const fn count(&self) -> usize {
        self.outcomes.len()
    }

    /// The deciding match in the low half, the observing one in the high half.
    pub(super) fn doubles(&self) -> impl Iterator<Item = u64> {
        self.outcomes
            .iter()
            .map(|[decided, observed]| u64::from(*decided) | u64::from(*observed) << 32)
    }
}

fn ones(count: usize) -> Vec<u64> {
    let mut words = vec![u64::MAX; count.div_ceil(64)];
    if let Some(last) = words.last_mut()
        && !count.is_multiple_of(64)
    {
        *last = (1 << (count % 64)) - 1;
    }
    words
}

/// The numbers that are set in word `index` of a bitmap.
fn bits_of(index: usize, word: u64) -> impl Iterator<Item = usize> {
    ones_of(word).map(move |bit| index * 64 + bit)
}
