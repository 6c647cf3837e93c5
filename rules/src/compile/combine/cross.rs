//! Cross products: two dimensions become pair classes, and those with the third become what the walk finds.
//!
//! (Gupta and McKeown, "Packet Classification on Multiple Fields", SIGCOMM 1999.) Which two are paired first decides how
//! large the tables get, so every way is tried that is not hopeless. Pair classes that meet the same in every class of the
//! third dimension share a row. Where the rows would be large, they are cut into tiles, and equal tiles written once.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use ravelin_datapath::classify::Pairing;

use super::super::latency;
use super::super::pairs::{self, Most, Pairs};
use super::super::walk::Walk;
use super::Classes;
use super::outcomes::{Columns, Outcomes};

/// A cross product, not yet placed.
pub(super) struct CrossProduct {
    pub(super) pairing: Pairing,
    /// For each pair, its row.
    pub(super) pairs: Vec<u32>,
    /// Classes of the pair's second dimension: the width of the table of pairs.
    pub(super) width: usize,
    /// Classes of the third dimension: the width of a row.
    pub(super) thirds: usize,
    /// The numbers of each row's tiles.
    pub(super) rows: Vec<Vec<u32>>,
    /// What the walk finds.
    pub(super) tiles: Vec<Vec<u32>>,
    /// Cells of a tile as a power of two; 0: every row is one tile.
    pub(super) tile_bits: u32,
    pub(super) outcomes: Outcomes,
}

impl CrossProduct {
    /// The cross product whose reads cost a packet least. `tile_bits` asks for tiles of that size. `None` when it
    /// takes more than `most` bytes, or too long to find out, or more rows or outcomes than half a word can number.
    pub(super) fn of(
        classes: Classes<'_>,
        walk: &Walk<'_>,
        tile_bits: Option<u32>,
        most: u64,
    ) -> Option<Self> {
        let (pairing, pairs) = cheapest_pairs(classes, most / HALF)?;
        let [_, second, third] = classes.in_order(pairing);
        let columns = Columns::of(third, walk);
        let left = most.saturating_sub(pairs.cells.len() as u64 * HALF);
        let sizes = match tile_bits {
            Some(bits) => vec![bits],
            None => sizes(&pairs, &columns, left),
        };
        let (tile_bits, rows) = sizes
            .into_iter()
            .find_map(|tile_bits| Some((tile_bits, Rows::of(&pairs, &columns, tile_bits, left)?)))?;
        let row_of = |class: &u32| {
            let class = usize::try_from(*class).ok();
            class
                .and_then(|class| rows.of_pair.get(class))
                .copied()
                .unwrap_or(0)
        };
        Some(Self {
            pairing,
            pairs: pairs.cells.iter().map(row_of).collect(),
            width: second.len(),
            thirds: third.len(),
            rows: rows.rows,
            tiles: rows.tiles,
            tile_bits,
            outcomes: rows.outcomes,
        })
    }

    /// Cells of all its tables.
    pub(super) fn cells(&self) -> u64 {
        let index = if self.tile_bits == 0 { 0 } else { count(&self.rows) };
        self.pairs.len() as u64 + index + count(&self.tiles)
    }
}

/// Pairs two of the three dimensions: those that leave the smallest table for the third.
fn cheapest_pairs(classes: Classes<'_>, most: u64) -> Option<(Pairing, Pairs)> {
    let product = |pairing: &Pairing| {
        let [first, second, _] = classes.in_order(*pairing);
        pairs::pairs(first, second)
    };
    let mut pairings = Pairing::ALL;
    pairings.sort_by_key(product);
    let mut cheapest: Option<(u64, Pairing, Pairs)> = None;
    for pairing in pairings {
        let [first, second, third] = classes.in_order(pairing);
        // The first that fits is tried whatever it takes, the others only when finding out is quick.
        if cheapest.is_some() && pairs::work(first, second) > QUICK_WORK {
            continue;
        }
        let cells = product(&pairing);
        let best = cheapest.as_ref().map_or(u64::MAX, |(cells, ..)| *cells);
        let most_classes = best.saturating_sub(cells) / (third.len() as u64).max(1);
        let limits = Most {
            pairs: most,
            classes: most_classes,
            work: MOST_WORK,
        };
        let Some(pairs) = Pairs::of(first, second, limits) else {
            continue;
        };
        let total = cells.saturating_add(pairs.rows.len() as u64 * third.len() as u64);
        if total < best {
            cheapest = Some((total, pairing, pairs));
        }
    }
    cheapest.map(|(_, pairing, pairs)| (pairing, pairs))
}

/// The rows of pair classes, in tiles.
struct Rows {
    /// The row of each pair class.
    of_pair: Vec<u32>,
    rows: Vec<Vec<u32>>,
    tiles: Vec<Vec<u32>>,
    outcomes: Outcomes,
}

impl Rows {
    /// `None` when they have more cells than `most`, or take too long.
    fn of(pairs: &Pairs, columns: &Columns<'_>, tile_bits: u32, most: u64) -> Option<Self> {
        let mut outcomes = Outcomes::default();
        let (mut rows, mut tiles) = (Interner::default(), Interner::default());
        let mut of_pair = Vec::with_capacity(pairs.rows.len());
        let mut work = 0;
        for pair in &pairs.rows {
            let cells = columns.through(pair, &mut outcomes, &mut work);
            let length = tile_length(tile_bits, cells.len());
            let row: Vec<u32> = cells.chunks(length).map(|tile| tiles.number(tile)).collect();
            of_pair.push(rows.number(&row));
            let index = if tile_bits == 0 { 0 } else { rows.cells * WORD };
            if tiles.cells * HALF + index > most || work > MOST_WORK {
                return None;
            }
        }
        let most = usize::from(u16::MAX);
        if rows.numbers.len() > most || outcomes.count() > most {
            return None;
        }
        Some(Self {
            of_pair,
            rows: rows.into_lists(),
            tiles: tiles.into_lists(),
            outcomes,
        })
    }
}

/// The sizes of tiles worth trying, best first, by what a sample of the rows says.
fn sizes(pairs: &Pairs, columns: &Columns<'_>, most: u64) -> Vec<u32> {
    let step = pairs.rows.len().div_ceil(SAMPLE).max(1);
    let mut outcomes = Outcomes::default();
    let sample: Vec<Vec<u32>> = pairs
        .rows
        .iter()
        .step_by(step)
        .map(|pair| columns.through(pair, &mut outcomes, &mut 0))
        .collect();
    let mut sizes: Vec<(u64, u64, u32)> = TILE_BITS
        .into_iter()
        .filter_map(|tile_bits| {
            let (index, tiles) = estimate(&sample, step, tile_bits);
            let (index, tiles) = (index * WORD, tiles * HALF);
            let reads = match tile_bits {
                0 => latency::cycles(tiles),
                _ => latency::cycles(index) + latency::cycles(tiles),
            };
            (index + tiles <= most.saturating_mul(2)).then_some((reads, index + tiles, tile_bits))
        })
        .collect();
    sizes.sort_unstable();
    sizes.into_iter().map(|(_, _, bits)| bits).take(TRIES).collect()
}

/// Cells of the index and of the tiles, when the sample stands for `step` times as many rows.
fn estimate(sample: &[Vec<u32>], step: usize, tile_bits: u32) -> (u64, u64) {
    let width = sample.first().map_or(0, Vec::len);
    let length = tile_length(tile_bits, width);
    let mut tiles: HashSet<&[u32], RandomState> = HashSet::default();
    let mut rows: HashSet<&[u32], RandomState> = HashSet::default();
    let mut half = [0; 2];
    // Every other row, and then those between.
    for first in [0, 1] {
        half = [rows.len(), tiles.len()];
        for row in sample.iter().skip(first).step_by(2) {
            rows.insert(row);
            tiles.extend(row.chunks(length));
        }
    }
    let (rows, tiles) = (
        grown(half[0], rows.len(), step),
        grown(half[1], tiles.len(), step),
    );
    let index = if tile_bits == 0 {
        0
    } else {
        rows * width.div_ceil(length) as u64
    };
    (index, tiles * length as u64)
}

/// How many distinct things there are among `step` times as many as those of which `whole` are distinct, and `half` in a half of them:
/// what doubling added once, it adds again, in proportion (Heaps' law).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an estimate of a few millions"
)]
fn grown(half: usize, whole: usize, step: usize) -> u64 {
    let rate = (whole as f64 / half.max(1) as f64).log2().clamp(0.0, 1.0);
    (whole as f64 * (step as f64).powf(rate)) as u64
}

fn tile_length(tile_bits: u32, width: usize) -> usize {
    match tile_bits {
        0 => width.max(1),
        bits => 1 << bits,
    }
}

fn count(lists: &[Vec<u32>]) -> u64 {
    lists.iter().map(|list| list.len() as u64).sum()
}

/// Numbers distinct lists in the order in which they first appear.
#[derive(Default)]
struct Interner {
    numbers: HashMap<Vec<u32>, u32, RandomState>,
    cells: u64,
}

impl Interner {
    fn number(&mut self, list: &[u32]) -> u32 {
        if let Some(number) = self.numbers.get(list) {
            return *number;
        }
        let number = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        self.cells += list.len() as u64;
        self.numbers.insert(list.to_vec(), number);
        number
    }

    fn into_lists(self) -> Vec<Vec<u32>> {
        let mut lists: Vec<(u32, Vec<u32>)> = self
            .numbers
            .into_iter()
            .map(|(list, number)| (number, list))
            .collect();
        lists.sort_unstable_by_key(|(number, _)| *number);
        lists.into_iter().map(|(_, list)| list).collect()
    }
}

/// Bytes of a row's number, or of what is found at the end.
const HALF: u64 = 2;
/// Bytes of a tile's number.
const WORD: u64 = 4;
/// A pairing that is not the smallest is tried when it reads no more words: a tenth of a second.
const QUICK_WORK: u64 = 120_000_000;
/// About a second for each of the pairings, and for the rows.
const MOST_WORK: u64 = 1_000_000_000;
/// Rows that are computed to choose the size of tiles.
const SAMPLE: usize = 512;
/// Sizes that are tried when the estimate of the first was wrong.
const TRIES: usize = 2;
/// Sizes of tiles; 0: no tiles.
const TILE_BITS: [u32; 7] = [0, 3, 4, 5, 6, 7, 8];
