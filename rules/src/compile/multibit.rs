//! Runs of addresses → a multibit trie (Srinivasan and Varghese, "Fast Address Lookups Using Controlled Prefix Expansion",
//! SIGMETRICS 1998): a root table, then pages of one size. Equal pages are written once.

use std::collections::HashMap;

use ravelin_datapath::wire::Plane;

use super::CompileError;
use super::address::{Range, Shape as TrieShape, Trie};
use super::latency;
use super::partition::Run;
use super::ranges;
use super::words::Words;

/// How the bits of an address are consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    root_bits: u32,
    stride: u32,
    levels: u32,
}

impl Plan {
    /// The plan that costs a packet least; `None` when every plan takes more memory than it is worth, or a range trie costs
    /// less.
    pub(super) fn cheapest(plane: Plane, runs: &[Run], most_bytes: u64) -> Option<Self> {
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
            Some((shape.cost(plan, most_bytes.min(MOST_BYTES))?, plan))
        });
        let (cost, plan) = plans.min_by_key(|(cost, _)| *cost)?;
        (cost <= ranges::cost(plane, runs)).then_some(plan)
    }
}

/// What the runs ask of any plan.
struct Shape {
    /// Bits after which every address is in one run.
    depth: u32,
    /// For each number of bits, how many prefixes of that length hold more than one run.
    divided: Vec<u64>,
    /// For each number of bits, how many classes hold a whole prefix of that length: each needs a page that repeats itself.
    whole: Vec<u64>,
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
            whole: whole(runs),
        }
    }

    /// Cycles that a packet waits for the reads of a plan, about; `None` when it takes too much memory.
    fn cost(&self, plan: Plan, most_bytes: u64) -> Option<u64> {
        let depths = (0..plan.levels).map(|level| plan.root_bits + level * plan.stride);
        let pages = depths.map(|depth| (at(&self.divided, depth) + at(&self.whole, depth)) << plan.stride);
        let cells: Vec<u64> = std::iter::once(1 << plan.root_bits).chain(pages).collect();
        let bytes = cells.iter().sum::<u64>() * 4;
        if bytes > most_bytes || plan.levels > MOST_LEVELS {
            return None;
        }
        Some(cells.iter().map(|cells| latency::cycles(cells * 4)).sum())
    }
}

/// How many classes hold a whole prefix, by its length.
fn whole(runs: &[Run]) -> Vec<u64> {
    let mut shortest: HashMap<u32, u32> = HashMap::new();
    for (index, run) in runs.iter().enumerate() {
        let last = runs.get(index + 1).map_or(u128::MAX, |next| next.first - 1);
        let length = (0..=128).find(|length| {
            let size = u128::MAX.checked_shr(*length).unwrap_or(0);
            let first = run.first.checked_add(size).map_or(u128::MAX, |end| end & !size);
            first >= run.first && first.checked_add(size).is_some_and(|end| end <= last)
        });
        if let Some(length) = length {
            let known = shortest.entry(run.class).or_insert(length);
            *known = length.min(*known);
        }
    }
    let mut counts = vec![0; 129];
    for length in shortest.into_values() {
        for count in counts.iter_mut().skip(usize::try_from(length).unwrap_or(0)) {
            *count += 1;
        }
    }
    counts
}

fn at(counts: &[u64], bits: u32) -> u64 {
    let count = usize::try_from(bits).ok().and_then(|bits| counts.get(bits));
    count.copied().unwrap_or(0)
}

const ROOT_BITS: std::ops::RangeInclusive<u32> = 6..=18;
const STRIDES: std::ops::RangeInclusive<u32> = 4..=14;
/// What the packet path goes down: it reads every level, because a few more reads cost less than a branch that goes one way
/// or the other.
const MOST_LEVELS: u32 = 6;
/// Beyond this a range trie wins, by what it leaves of the caches.
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
    let root: Vec<u32> = Range::ALL
        .parts(plan.root_bits, runs)
        .map(|range| builder.child(range))
        .collect();
    let Builder { pages, known, .. } = builder;
    words.table(&pages)?;
    Ok(Trie {
        root_bits: plan.root_bits,
        root: words.table(&root)?,
        levels: plan.levels,
        reads: 1 + plan.levels,
        shape: TrieShape::Multibit {
            stride: plan.stride,
            pages: u32::try_from(known.len()).unwrap_or(u32::MAX),
        },
        bitmap: None,
    })
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
        if let Some(class) = range.class(self.runs) {
            return self.whole(range.level, class);
        }
        let parts = range.parts(self.plan.stride, self.runs);
        let page = parts.map(|part| self.child(part)).collect();
        self.page(page)
    }

    /// The word for addresses that are all of one class: the class itself where the lookup ends, pages that repeat themselves
    /// where it reads on.
    fn whole(&mut self, level: u32, class: u32) -> u32 {
        if level > self.plan.levels {
            return class;
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
