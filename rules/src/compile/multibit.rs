//! Runs of addresses → a multibit trie (Srinivasan and Varghese, "Fast Address Lookups Using Controlled Prefix Expansion",
//! SIGMETRICS 1998): a root table, then pages of one size. Equal pages are written once.

use std::collections::HashMap;

use ravelin_datapath::wire::{Child, ends_early};

use super::CompileError;
use super::address::{Trie, run_of};
use super::partition::Run;
use super::words::Words;

/// How the bits of an address are consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    root_bits: u32,
    stride: u32,
    levels: u32,
}

impl Plan {
    /// The plan that costs a packet least; `None` when every plan takes more memory than it is worth.
    pub(super) fn cheapest(runs: &[Run]) -> Option<Self> {
        if runs.len() > MOST_RUNS {
            return None;
        }
        let shape = Shape::of(runs);
        let plans = ROOT_BITS.flat_map(|root_bits| STRIDES.map(move |stride| (root_bits, stride)));
        let plans = plans.filter_map(|(root_bits, stride)| {
            let plan = Self {
                root_bits,
                stride,
                levels: shape.depth.saturating_sub(root_bits).div_ceil(stride),
            };
            Some((shape.cost(plan)?, plan))
        });
        plans.min_by_key(|(cost, _)| *cost).map(|(_, plan)| plan)
    }
}

/// What the runs ask of any plan.
struct Shape {
    /// Bits after which every address is in one run.
    depth: u32,
    /// For each number of bits, how many prefixes of that length hold more than one run.
    divided: Vec<u64>,
}

impl Shape {
    fn of(runs: &[Run]) -> Self {
        let edges: Vec<u128> = runs
            .iter()
            .map(|run| run.first)
            .filter(|first| *first != 0)
            .collect();
        let depth_of = |edge: u128| 128 - edge.trailing_zeros();
        let depth = edges.iter().map(|edge| depth_of(*edge)).max().unwrap_or(0);
        let divided = (0..=128).map(|bits| {
            let inside = edges.iter().filter(|edge| depth_of(**edge) > bits);
            let mut prefixes = inside.map(|edge| edge.checked_shr(128 - bits).unwrap_or(0));
            let mut last = prefixes.next();
            u64::from(last.is_some())
                + prefixes.fold(0, |count, prefix| {
                    count + u64::from(last.replace(prefix) != Some(prefix))
                })
        });
        Self {
            depth,
            divided: divided.collect(),
        }
    }

    /// Cycles that a packet waits for the reads of a plan, about; `None` when it takes too much memory.
    fn cost(&self, plan: Plan) -> Option<u64> {
        let depths = (0..plan.levels).map(|level| plan.root_bits + level * plan.stride);
        let pages = depths.map(|depth| {
            let divided = usize::try_from(depth)
                .ok()
                .and_then(|depth| self.divided.get(depth));
            divided.copied().unwrap_or(0) << plan.stride
        });
        let cells: Vec<u64> = std::iter::once(1 << plan.root_bits).chain(pages).collect();
        let bytes = cells.iter().sum::<u64>() * 4;
        if bytes > MOST_BYTES || plan.levels > self.most_levels() {
            return None;
        }
        let reads = cells.iter().map(|cells| latency(cells * 4));
        Some(match ends_early(plan.levels) {
            false => reads.sum(),
            // Most packets end near the root, and the branch that says so is often guessed wrong.
            true => {
                reads
                    .zip([4, 4, 3, 2].into_iter().chain(std::iter::repeat(1)))
                    .map(|(read, weight)| read * weight / 4)
                    .sum::<u64>()
                    + BRANCH
            }
        })
    }

    /// The bound of the packet path's loop, less what its smallest root could need.
    const fn most_levels(&self) -> u32 {
        if self.depth <= 32 { 6 } else { 20 }
    }
}

/// Cycles until a read of a table of that many bytes is there and the next one can start: first, second, third cache level
/// of current servers.
const fn latency(bytes: u64) -> u64 {
    match bytes >> 10 {
        0..8 => 8,
        8..64 => 10,
        64..512 => 16,
        512..4096 => 32,
        _ => 60,
    }
}

const ROOT_BITS: std::ops::RangeInclusive<u32> = 6..=18;
const STRIDES: std::ops::RangeInclusive<u32> = 4..=14;
/// Cycles that a branch costs when it was guessed wrong.
const BRANCH: u64 = 15;
/// Beyond this a compressed trie wins, by what it leaves of the caches.
const MOST_BYTES: u64 = 8 << 20;
/// A bound on the time it takes to look for a plan.
const MOST_RUNS: usize = 1 << 17;

/// Writes the trie of `runs`.
pub(super) fn write(runs: &[Run], plan: Plan, words: &mut Words) -> Result<Trie, CompileError> {
    let mut builder = Builder {
        runs,
        plan,
        base: words.table(&[])?,
        pages: Vec::new(),
        known: HashMap::new(),
        whole: HashMap::new(),
    };
    let mut run = 0;
    let root: Vec<u32> = (0..1u128 << plan.root_bits)
        .map(|cell| {
            let first = cell << (128 - plan.root_bits);
            run = run_of(runs, first, run);
            builder.child(Range {
                first,
                depth: plan.root_bits,
                level: 0,
                run,
            })
        })
        .collect();
    let Builder { pages, known, .. } = builder;
    words.table(&pages)?;
    Ok(Trie {
        root_bits: plan.root_bits,
        root: words.table(&root)?,
        levels: plan.levels,
        stride: plan.stride,
        pages: u32::try_from(known.len()).unwrap_or(u32::MAX),
    })
}

/// All addresses that begin with the same `depth` bits.
#[derive(Clone, Copy)]
struct Range {
    first: u128,
    depth: u32,
    /// Pages that lead to it.
    level: u32,
    /// The run that holds `first`.
    run: usize,
}

struct Builder<'a> {
    runs: &'a [Run],
    plan: Plan,
    /// The word index of the first page.
    base: u32,
    pages: Vec<u32>,
    /// Pages written, and where.
    known: HashMap<Vec<u32>, u32>,
    /// Pages below which all is one class, by level and class.
    whole: HashMap<(u32, u32), u32>,
}

impl Builder<'_> {
    /// The word that leads on from `range`.
    fn child(&mut self, range: Range) -> u32 {
        let last = range.first | u128::MAX.checked_shr(range.depth).unwrap_or(0);
        let next = self.runs.get(range.run + 1);
        let class = self.runs.get(range.run).map_or(0, |run| run.class);
        if next.is_none_or(|next| next.first > last) {
            return self.whole(range.level, class);
        }
        let depth = range.depth + self.plan.stride;
        let mut run = range.run;
        let mut page = Vec::with_capacity(1 << self.plan.stride);
        for position in 0..1u128 << self.plan.stride {
            // The last page of a 128-bit address has positions below the last bit: they repeat their neighbours.
            let offset = if depth <= 128 {
                position << (128 - depth)
            } else {
                position >> (depth - 128)
            };
            let first = range.first | offset;
            run = run_of(self.runs, first, run);
            page.push(self.child(Range {
                first,
                depth: depth.min(128),
                level: range.level + 1,
                run,
            }));
        }
        self.page(page)
    }

    /// The word for addresses that are all of one class: the class itself where a lookup may end, pages that repeat
    /// themselves where it reads on.
    fn whole(&mut self, level: u32, class: u32) -> u32 {
        if level == self.plan.levels || ends_early(self.plan.levels) {
            return Child::Leaf(class).pack();
        }
        if let Some(page) = self.whole.get(&(level, class)) {
            return *page;
        }
        let below = self.whole(level + 1, class);
        let page = self.page(vec![below; 1 << self.plan.stride]);
        self.whole.insert((level, class), page);
        page
    }

    fn page(&mut self, page: Vec<u32>) -> u32 {
        if let Some(index) = self.known.get(&page) {
            return *index;
        }
        let local = u32::try_from(self.pages.len()).unwrap_or(u32::MAX);
        let index = self.base.saturating_add(local);
        self.pages.extend_from_slice(&page);
        self.known.insert(page, index);
        index
    }
}
