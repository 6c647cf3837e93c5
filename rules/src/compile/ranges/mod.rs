//! Runs of addresses → a range trie, whose shape is in [`ravelin_datapath::wire::Cell`].

mod lists;
mod part;

use ravelin_datapath::wire::{Cell, FAR_DOUBLES, FAR_KEYS, Lanes, MAX_FAR_BITS, MAX_LANES, Plane};

pub(super) use self::lists::Lists;
use self::part::Part;
use super::CompileError;
use super::address::{Shape, Trie, Written};
use super::latency;
use super::partition::Run;
use super::words::Words;

/// Writes the trie of `runs`, whose classes are the words of the leaves.
pub(super) fn write(plane: Plane, runs: &[Run], words: &mut Words) -> Result<Written, CompileError> {
    let all = Part::all(runs);
    let root_bits = root_bits(plane, all);
    let mut classes: Vec<u32> = runs.iter().map(|run| run.class).collect();
    classes.sort_unstable();
    classes.dedup();
    let (lanes, lists) = lanes(plane, root_bits, &classes).ok_or_else(|| words.too_large())?;
    let mut builder = Builder::new(lanes, lists);
    let (first, root) = builder.table(all, root_bits);
    let nodes = builder.nodes;
    let base = words.line_of_doubles()?;
    let (doubles, mut lists) = builder.place(base);
    words.doubles(doubles.into_iter())?;
    let trie = Trie {
        root_bits,
        root: first + base,
        levels: root.steps,
        reads: 2 + root.reads,
        shape: Shape::Ranges {
            lanes,
            lists: words.table(lists.words())?,
            nodes,
        },
        bitmap: None,
    };
    lists.closed = true;
    Ok(Written {
        trie,
        lists: Some(lists),
    })
}

/// Part of a trie, built anew.
pub(super) struct Rebuilt {
    /// What leads to it.
    pub(super) cell: u64,
    /// Its tables and lines.
    pub(super) doubles: Vec<u64>,
    /// Steps of its longest path.
    pub(super) steps: u32,
}

/// Builds the part of a trie behind `depth` bits, whose addresses are those of `runs`, for the place that begins with this double.
/// `None` when no list ends with one of their classes: one that other addresses have, but spoofed here and not there.
pub(super) fn rebuild(
    lanes: Lanes,
    lists: &mut Lists,
    runs: &[Run],
    depth: u32,
    base: u32,
) -> Option<Rebuilt> {
    if runs.iter().any(|run| lists.number(&[run.class]).is_none()) {
        return None;
    }
    let mut builder = Builder::new(lanes, std::mem::take(lists));
    let below = builder.below(Part::behind(depth, runs));
    let cell = builder.moved(below.cell, base);
    let (doubles, kept) = builder.place(base);
    *lists = kept;
    Some(Rebuilt {
        cell,
        doubles,
        steps: below.steps,
    })
}

/// Cycles that a packet waits, about, whose address is near the end of some run.
pub(super) fn cost(plane: Plane, runs: &[Run]) -> u64 {
    let all = Part::all(runs);
    let root_bits = root_bits(plane, all);
    let root = latency::cycles(8 << root_bits) + latency::COMPARE;
    let Some(lanes) = widest_lanes(plane, root_bits).next() else {
        return u64::MAX;
    };
    let held = all.held(root_bits, lanes.count as usize, lanes.digit_bits());
    let below = runs.len() as u64 * 2 * 8;
    // Each further step is a guess of the processor, and often not the last.
    let step = latency::BRANCH + latency::cycles(below) + latency::COMPARE;
    root + step * 2 * (runs.len() as u64).saturating_sub(held) / (runs.len() as u64).max(1)
}

/// A root that leaves few runs to each of its cells.
fn root_bits(plane: Plane, all: Part<'_>) -> u32 {
    let (least, most) = match plane {
        Plane::V4 => (6, 22),
        Plane::V6 => (6, 16),
    };
    bits(all, most, ROOT_ROOM).max(least)
}

/// How many bits a table should consume: so many that few runs are left to a cell, while not too many cells are of one class.
fn bits(part: Part<'_>, most: u32, room: u64) -> u32 {
    let divided = part.divided(most);
    let runs = part.inside.len() as u64;
    let mut best = 1;
    for (bits, divided) in (0..).zip(&divided).skip(1) {
        if 1 << bits > (*divided).max(1) * room {
            break;
        }
        best = bits;
        if runs * 10 <= divided * RUNS_OF_TEN_CELLS {
            break;
        }
    }
    best
}

/// The lanes of a trie's cells: as many keys as there is room for, beside the numbers of the lists that cells of one class
/// need, and as many again.
fn lanes(plane: Plane, root_bits: u32, classes: &[u32]) -> Option<(Lanes, Lists)> {
    let narrow = [21, 13].map(|bits| Lanes { count: 2, bits });
    widest_lanes(plane, root_bits).chain(narrow).find_map(|lanes| {
        if classes.len() as u64 * 2 > lanes.lists() {
            return None;
        }
        let lists = Lists::of(classes, lanes.count as usize + 1, lanes.lists())?;
        Some((lanes, lists))
    })
}

/// Lanes as wide as a key is long behind the root, most keys first.
fn widest_lanes(plane: Plane, root_bits: u32) -> impl Iterator<Item = Lanes> {
    let bits = match plane {
        // A key reaches to the end of the address.
        Plane::V4 => 33 - root_bits,
        // A key behind a root of 16 bits reaches to the end of a /44.
        Plane::V6 => 29,
    };
    let counts = (2..=MAX_LANES).rev();
    counts
        .map(move |count| Lanes { count, bits })
        .filter(|lanes| lanes.all_bits() < 63)
}

/// What a part of the address line became.
#[derive(Clone, Copy, Debug, Default)]
struct Below {
    cell: u64,
    /// Steps of the longest path.
    steps: u32,
    /// Reads of the most expensive path.
    reads: u32,
}

/// What is built of a trie. Tables stand apart from lines: those that most packets read then share pages, and the processor keeps
/// what it knows of them.
struct Builder {
    lanes: Lanes,
    lists: Lists,
    /// Cells of tables, whose numbers count from the first.
    tables: Vec<u64>,
    /// Lines, likewise.
    lines: Vec<u64>,
    /// Tables and lines below the root.
    nodes: u32,
}

impl Builder {
    fn new(lanes: Lanes, lists: Lists) -> Self {
        Self {
            lanes,
            lists,
            tables: Vec::new(),
            lines: Vec::new(),
            nodes: 0,
        }
    }

    /// What leads from `part` to its classes.
    fn below(&mut self, part: Part<'_>) -> Below {
        if let Some(cell) = self.ranges(part) {
            return Below {
                cell,
                ..Below::default()
            };
        }
        self.nodes = self.nodes.saturating_add(1);
        let bits = bits(part, MOST_BITS, ROOM).max(LEAST_BITS);
        let far = FAR_TRIES
            .into_iter()
            .filter(|tried| *tried == MAX_FAR_BITS || *tried > bits)
            .find_map(|tried| Some((tried, part.keys(tried, FAR_KEYS)?)));
        if let Some((far_bits, keys)) = far {
            return self.far(part, far_bits, &keys);
        }
        let (first, below) = self.table(part, bits);
        Below {
            cell: Cell::Table { first, bits }.pack(self.lanes),
            steps: below.steps + 1,
            reads: below.reads + 1,
        }
    }

    /// The cell that holds all keys of the part, when one can.
    fn ranges(&mut self, part: Part<'_>) -> Option<u64> {
        let bits = self.lanes.digit_bits();
        if part.inside.len() > self.lanes.count as usize || !part.is_exact(bits) {
            return None;
        }
        let keys = part.keys(bits, self.lanes.count as usize)?;
        let classes: Vec<u32> = std::iter::once(part.class)
            .chain(part.inside.iter().map(|run| run.class))
            .collect();
        let keys = self.lanes.pack(&keys);
        let list = self.lists.number(&classes)?;
        Some(Cell::Ranges { keys, list }.pack(self.lanes))
    }

    /// A line of keys, and the cells between them.
    fn far(&mut self, part: Part<'_>, bits: u32, keys: &[u64]) -> Below {
        let first = self.lines.len();
        self.lines.resize(first + FAR_DOUBLES as usize, 0);
        let beyond = std::iter::repeat(u64::MAX);
        fill(
            &mut self.lines,
            first,
            keys.iter().copied().chain(beyond).take(FAR_KEYS),
        );
        let mut most = Below::default();
        for (at, part) in part.cut(keys.iter().copied(), bits).enumerate() {
            let below = self.below(part);
            fill(&mut self.lines, first + FAR_KEYS + at, [below.cell]);
            most = most.or(below);
        }
        let line = number(first) / FAR_DOUBLES;
        Below {
            cell: Cell::Far { line, bits }.pack(self.lanes),
            steps: most.steps + 1,
            reads: most.reads + number(FAR_KEYS) + 1,
        }
    }

    /// A table that the next `bits` index, by the index of its first cell.
    fn table(&mut self, part: Part<'_>, bits: u32) -> (u32, Below) {
        let first = self.tables.len().next_multiple_of(LINE_DOUBLES.min(1 << bits));
        self.tables.resize(first + (1 << bits), 0);
        let mut most = Below::default();
        for (at, part) in part.cut(1..1 << bits, bits).enumerate() {
            let below = self.below(part);
            fill(&mut self.tables, first + at, [below.cell]);
            most = most.or(below);
        }
        (number(first), most)
    }

    /// All tables and all lines, for the place that begins with this double.
    fn place(mut self, base: u32) -> (Vec<u64>, Lists) {
        let mut lines = std::mem::take(&mut self.lines);
        for line in lines.chunks_exact_mut(LINE_DOUBLES) {
            let cells = line.iter_mut().skip(FAR_KEYS).take(FAR_KEYS + 1);
            cells.for_each(|cell| *cell = self.moved(*cell, base));
        }
        let mut doubles: Vec<u64> = self.tables.iter().map(|cell| self.moved(*cell, base)).collect();
        doubles.resize(doubles.len().next_multiple_of(LINE_DOUBLES), 0);
        doubles.append(&mut lines);
        (doubles, self.lists)
    }

    /// A cell that leads to where things stand, when tables begin with the double `base`, a multiple of a line, and lines behind them.
    fn moved(&self, cell: u64, base: u32) -> u64 {
        let lines =
            base / FAR_DOUBLES + number(self.tables.len().next_multiple_of(LINE_DOUBLES)) / FAR_DOUBLES;
        match Cell::unpack(cell, self.lanes) {
            Cell::Table { first, bits } => Cell::Table {
                first: first + base,
                bits,
            },
            Cell::Far { line, bits } => Cell::Far {
                line: line + lines,
                bits,
            },
            ranges @ Cell::Ranges { .. } => ranges,
        }
        .pack(self.lanes)
    }
}

fn fill(cells: &mut [u64], from: usize, with: impl IntoIterator<Item = u64>) {
    for (cell, value) in cells.iter_mut().skip(from).zip(with) {
        *cell = value;
    }
}

/// An index into tables, which are never larger than 512 MiB.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

impl Below {
    /// The worse of both.
    fn or(self, other: Self) -> Self {
        Self {
            cell: 0,
            steps: self.steps.max(other.steps),
            reads: self.reads.max(other.reads),
        }
    }
}

/// A table grows while ten of its cells that are not of one class hold more runs than this.
const RUNS_OF_TEN_CELLS: u64 = 30;
/// Cells of a root for each that is not of one class: one step less is worth memory that nobody reads.
const ROOT_ROOM: u64 = 8;
/// The same of a table below.
const ROOM: u64 = 2;
/// Doubles of a cache line.
const LINE_DOUBLES: usize = FAR_DOUBLES as usize;
/// What a table consumes at most.
const MOST_BITS: u32 = 18;
/// What a table consumes at least: it bounds the steps.
const LEAST_BITS: u32 = 2;
/// Numbers of bits that a line may compare, longest first. The long ones end paths, the others pass over bits that all runs of a
/// part share.
const FAR_TRIES: [u32; 8] = [MAX_FAR_BITS, 48, 40, 32, 24, 16, 12, 8];
