//! Source, destination and service classes → the tables that give the first matching row, one way or another.
//!
//! Cross products are two reads, and grow with the product of the classes. Bit vectors are a few reads more, and grow
//! with classes × rows. A family takes the first if it fits the budget.

use std::collections::HashMap;

use ravelin_datapath::classify::{Combine, FirstMatch};
use ravelin_datapath::wire::{MAX_ROWS, MAX_ROWS_WITH_NEXT};

use super::CompileError;
use super::bits::{Bits, Interner};
use super::walk::Walk;
use super::words::Words;

/// What a cross product may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Cells of both its tables in one family, 4 bytes each.
    pub cells: u64,
}

impl Default for Budget {
    /// 16 MiB a family.
    fn default() -> Self {
        Self {
            cells: 4 * 1024 * 1024,
        }
    }
}

/// The rows that each class satisfies, dimension by dimension.
#[derive(Clone, Copy)]
pub(super) struct Classes<'a> {
    pub(super) sources: &'a [Bits],
    pub(super) destinations: &'a [Bits],
    pub(super) services: &'a [Bits],
}

/// The combination of one family, and where its tables stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Combination {
    pub(super) combine: Combine,
    pub(super) sources: u32,
    pub(super) destinations: u32,
    pub(super) services: u32,
    pub(super) width: u32,
    pub(super) rows: u32,
    /// What rows that observe need; 0: there are none.
    pub(super) outcomes: u32,
    /// What rows that go on with the next scope need; 0: there are none, or nothing is left to do for them.
    pub(super) resumes: u32,
    /// Cells that the cross product has, or would have at least.
    pub(super) cells: u64,
}

/// Writes the tables of one family.
pub(super) fn write(
    classes: Classes<'_>,
    walk: &Walk<'_>,
    budget: Budget,
    words: &mut Words,
) -> Result<Combination, CompileError> {
    match cross_product(classes, walk, budget, words)? {
        Ok(combination) => Ok(combination),
        Err(cells) => bit_vectors(classes, walk, words, cells),
    }
}

/// Writes a cross product, or tells how many cells it would at least take.
fn cross_product(
    classes: Classes<'_>,
    walk: &Walk<'_>,
    budget: Budget,
    words: &mut Words,
) -> Result<Result<Combination, u64>, CompileError> {
    let pairs = product(classes.sources, classes.destinations);
    if pairs > budget.cells {
        return Ok(Err(pairs));
    }
    let mut pair_classes = Interner::default();
    let mut cells = Vec::with_capacity(classes.sources.len() * classes.destinations.len());
    for source in classes.sources {
        for destination in classes.destinations {
            cells.push(pair_classes.number(source.and(destination)));
            let total = pairs + pair_classes.len() as u64 * classes.services.len() as u64;
            if total > budget.cells {
                return Ok(Err(total));
            }
        }
    }
    let pair_classes = pair_classes.into_sets();
    let mut outcomes = Outcomes::default();
    let matches: Vec<u32> = pair_classes
        .iter()
        .flat_map(|pair| {
            classes
                .services
                .iter()
                .map(move |service| walk.through(pair, service))
        })
        .map(|[decided, observed]| {
            if walk.observes() {
                outcomes.number([decided, observed])
            } else {
                decided
            }
        })
        .collect();
    Ok(Ok(Combination {
        combine: Combine::CrossProduct,
        sources: words.table(&cells)?,
        destinations: u32::try_from(classes.destinations.len()).unwrap_or(u32::MAX),
        services: words.table(&matches)?,
        width: u32::try_from(classes.services.len()).unwrap_or(u32::MAX),
        rows: 0,
        outcomes: if walk.observes() {
            words.doubles(outcomes.doubles())?
        } else {
            0
        },
        resumes: 0,
        cells: cells.len() as u64 + matches.len() as u64,
    }))
}

fn bit_vectors(
    classes: Classes<'_>,
    walk: &Walk<'_>,
    words: &mut Words,
    cells: u64,
) -> Result<Combination, CompileError> {
    let rows = walk.rows();
    let (limit, rows_here) = (
        if walk.goes_on() {
            MAX_ROWS_WITH_NEXT
        } else {
            MAX_ROWS
        },
        rows.len(),
    );
    let too_many = || match walk.goes_on() {
        true => CompileError::TooManyRulesWithNext {
            rows: rows_here,
            limit,
        },
        false => CompileError::TooManyRules {
            rows: rows_here,
            limit,
        },
    };
    let count = u32::try_from(rows_here)
        .ok()
        .filter(|count| *count <= limit)
        .ok_or_else(too_many)?;
    let mut vectors = |of: &[Bits]| {
        words.doubles(
            of.iter()
                .flat_map(|rows| summary(rows).into_iter().chain(rows.words().iter().copied())),
        )
    };
    let (sources, destinations, services) = (
        vectors(classes.sources)?,
        vectors(classes.destinations)?,
        vectors(classes.services)?,
    );
    let matches: Vec<u32> = rows.iter().map(|row| FirstMatch::rule(row.rule).pack()).collect();
    Ok(Combination {
        combine: Combine::BitVectors,
        sources,
        destinations,
        services,
        width: count.div_ceil(64),
        rows: words.table(&matches)?,
        outcomes: if walk.observes() {
            words.doubles(walk.enforcing().words().iter().copied())?
        } else {
            0
        },
        resumes: if walk.goes_on() {
            words.table(&walk.resumes())?
        } else {
            0
        },
        cells,
    })
}

/// Numbers distinct outcomes of the walk: the deciding and the observing match.
#[derive(Default)]
struct Outcomes {
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

    /// The deciding match in the low half, the observing one in the high half.
    fn doubles(&self) -> impl Iterator<Item = u64> {
        self.outcomes
            .iter()
            .map(|[decided, observed]| u64::from(*decided) | u64::from(*observed) << 32)
    }
}

/// One bit for each word of `rows` that is not zero.
fn summary(rows: &Bits) -> Vec<u64> {
    let bit = |word: &u64| u64::from(*word != 0);
    rows.words()
        .chunks(64)
        .map(|chunk| {
            chunk
                .iter()
                .enumerate()
                .fold(0, |summary, (index, word)| summary | bit(word) << index)
        })
        .collect()
}

fn product(a: &[Bits], b: &[Bits]) -> u64 {
    (a.len() as u64).saturating_mul(b.len() as u64)
}
