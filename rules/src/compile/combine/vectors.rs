//! Bit vectors: for each class of each dimension, one bit a row.

use ravelin_datapath::classify::{Combine, FirstMatch};
use ravelin_datapath::wire::{MAX_ROWS, MAX_ROWS_WITH_NEXT};

use super::super::CompileError;
use super::super::bits::Bits;
use super::super::walk::Walk;
use super::super::words::Words;
use super::{Classes, Combination};
use crate::image::Combined;

/// Bytes that the vectors take.
pub(super) fn bytes(classes: Classes<'_>, walk: &Walk<'_>) -> u64 {
    let words = walk.rows().len().div_ceil(64) as u64;
    let vectors = [classes.sources, classes.destinations, classes.services];
    let count: u64 = vectors.iter().map(|classes| classes.len() as u64).sum();
    count * (words + words.div_ceil(64)) * 8 + walk.rows().len() as u64 * 8
}

/// Writes the vectors.
pub(super) fn write(
    classes: Classes<'_>,
    walk: &Walk<'_>,
    words: &mut Words,
) -> Result<Combination, CompileError> {
    let rows = walk.rows();
    let limit = if walk.goes_on() {
        MAX_ROWS_WITH_NEXT
    } else {
        MAX_ROWS
    };
    let count = u32::try_from(rows.len())
        .ok()
        .filter(|count| *count <= limit)
        .ok_or_else(|| match walk.goes_on() {
            true => CompileError::TooManyRulesWithNext {
                rows: rows.len(),
                limit,
            },
            false => CompileError::TooManyRules {
                rows: rows.len(),
                limit,
            },
        })?;
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
    // The packet path reads through windows of full summary words, also of the last vector.
    let window = (1 + 64) * rows.len().div_ceil(64 * 64);
    words.doubles(std::iter::repeat_n(0, window))?;
    let matches: Vec<u32> = rows.iter().map(|row| FirstMatch::rule(row.rule).pack()).collect();
    let width = count.div_ceil(64);
    Ok(Combination {
        combine: Combine::BitVectors,
        sources,
        destinations,
        services,
        width,
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
        ..Combination::of(Combined::BitVectors { words: width })
    })
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
