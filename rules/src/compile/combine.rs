//! Source, destination and service classes → the tables that give the first matching row, one way or another.
//!
//! Cross products are two or three reads, and grow with the product of the classes. Bit vectors are a few reads for every
//! 64 rows, and grow with classes × rows. A family takes the first that fits what is left of the budget.

mod cross;
mod outcomes;
mod vectors;

use ravelin_datapath::classify::{Combine, Pairing};

use self::cross::CrossProduct;
use super::CompileError;
use super::bits::Bits;
use super::walk::Walk;
use super::words::Words;
use crate::image::Combined;

/// What the tables of a generation may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of all tables.
    pub bytes: u64,
    /// The ways to combine classes that may be chosen.
    pub strategy: Strategy,
    /// Every address goes through a range trie, also where a multibit trie fits, and a bitmap before it; tests prove both.
    pub ranges: bool,
}

/// Ways to combine classes. Operators get [`Strategy::Any`]; tests prove each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The cheapest for a packet.
    #[default]
    Any,
    /// Bit vectors.
    BitVectors,
    /// Cross products in tiles of so many cells, as a power of two; 0: without tiles.
    CrossProduct(u32),
}

impl Budget {
    /// Any strategy within so many bytes.
    #[must_use]
    pub const fn of(bytes: u64) -> Self {
        Self {
            bytes,
            strategy: Strategy::Any,
            ranges: false,
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

impl<'a> Classes<'a> {
    /// The two that are paired, and the third.
    fn in_order(self, pairing: Pairing) -> [&'a [Bits]; 3] {
        match pairing {
            Pairing::SourceDestination => [self.sources, self.destinations, self.services],
            Pairing::SourceService => [self.sources, self.services, self.destinations],
            Pairing::DestinationService => [self.destinations, self.services, self.sources],
        }
    }
}

/// The combination of one family, and where its tables stand. What it does not use is 0.
#[derive(Clone, Debug)]
pub(super) struct Combination {
    pub(super) combine: Combine,
    pub(super) report: Combined,
    pub(super) pairing: Pairing,
    pub(super) pairs: u32,
    pub(super) pairs_width: u32,
    pub(super) tile_bits: u32,
    pub(super) index: u32,
    pub(super) row_width: u32,
    pub(super) cells: u32,
    pub(super) sources: u32,
    pub(super) destinations: u32,
    pub(super) services: u32,
    pub(super) width: u32,
    pub(super) rows: u32,
    /// What rows that observe need.
    pub(super) outcomes: u32,
    /// What rows that go on with the next scope need.
    pub(super) resumes: u32,
}

impl Combination {
    const fn of(report: Combined) -> Self {
        Self {
            combine: Combine::Nothing,
            report,
            pairing: Pairing::SourceDestination,
            pairs: 0,
            pairs_width: 0,
            tile_bits: 0,
            index: 0,
            row_width: 0,
            cells: 0,
            sources: 0,
            destinations: 0,
            services: 0,
            width: 0,
            rows: 0,
            outcomes: 0,
            resumes: 0,
        }
    }
}

/// Writes the tables of one family.
pub(super) fn write(
    classes: Classes<'_>,
    walk: &Walk<'_>,
    budget: Budget,
    words: &mut Words,
) -> Result<Combination, CompileError> {
    let left = words.left();
    let cross = |tile_bits| CrossProduct::of(classes, walk, tile_bits, left);
    let over = || CompileError::OverBudget {
        budget: budget.bytes,
        left,
        bit_vectors: vectors::bytes(classes, walk),
    };
    match budget.strategy {
        Strategy::BitVectors => vectors::write(classes, walk, words),
        Strategy::CrossProduct(tile_bits) => {
            let product = cross(Some(tile_bits)).ok_or_else(over)?;
            place(&product, walk, words)
        }
        Strategy::Any => match cross(None) {
            Some(product) => place(&product, walk, words),
            None if vectors::bytes(classes, walk) > left => Err(over()),
            None => vectors::write(classes, walk, words),
        },
    }
}

/// Writes a cross product.
fn place(product: &CrossProduct, walk: &Walk<'_>, words: &mut Words) -> Result<Combination, CompileError> {
    let tiled = product.tile_bits > 0;
    // The last tile of a row is as long as all others.
    let length = if tiled {
        1 << product.tile_bits
    } else {
        product.thirds
    };
    let tiles = product.tiles.iter().flat_map(|tile| {
        let left_over = std::iter::repeat_n(0, length - tile.len().min(length));
        tile.iter().copied().chain(left_over)
    });
    let cells = words.halves(tiles)?;
    let index = if tiled {
        words.table(&product.rows.concat())?
    } else {
        0
    };
    let across = product.rows.first().map_or(0, Vec::len);
    Ok(Combination {
        combine: Combine::CrossProduct,
        pairing: product.pairing,
        pairs: words.halves(product.pairs.iter().copied())?,
        pairs_width: u32::try_from(product.width).unwrap_or(u32::MAX),
        tile_bits: product.tile_bits,
        index,
        row_width: u32::try_from(if tiled { across } else { length }).unwrap_or(u32::MAX),
        cells,
        outcomes: if walk.observes() {
            words.doubles(product.outcomes.doubles())?
        } else {
            0
        },
        ..Combination::of(Combined::CrossProduct {
            paired: product.pairing,
            pairs: product.pairs.len() as u64,
            rows: product.rows.len() as u64,
            tile: tiled.then_some(1 << product.tile_bits),
            cells: product.cells(),
        })
    })
}
