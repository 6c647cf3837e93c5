//! A range trie for the 256 addresses of 10.0.0.0/24: what the compiler builds for 32 bits, small enough to be drawn.
//!
//! prefixes → **cells** → pictures. Three bits index the root; a cell holds four keys of the five bits behind them.

use super::svg::{Anchor, Area, Canvas, EDGE, FAINT, INK, INSIDE, OUTSIDE, PAPER};

/// A prefix of 10.0.0.0/24: its last byte, and its length.
pub(super) type Prefix = (u32, u32);

pub(super) const SET: [Prefix; 8] = [
    (32, 28),
    (64, 26),
    (130, 31),
    (136, 30),
    (144, 30),
    (196, 30),
    (208, 29),
    (248, 29),
];

pub(super) const ADDRESSES: u32 = 256;
/// Addresses of a cell of the root.
pub(super) const OF_ROOT: u32 = 32;
/// Addresses of a bit of the bitmap.
pub(super) const OF_BIT: u32 = 8;
/// Keys that a cell has room for.
const KEYS: usize = 4;
/// Cells of a table below the root.
const OF_TABLE: u32 = 4;

/// What a cell leads to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    /// The digits at which a class ends, and the classes before, between and behind them: whether inside.
    Ranges { keys: Vec<u32>, classes: Vec<bool> },
    /// Cells for equal parts.
    Table(Vec<Self>),
}

/// Addresses of a prefix.
pub(super) const fn size(prefix: Prefix) -> u32 {
    1 << (32 - prefix.1)
}

pub(super) fn holds(set: &[Prefix], address: u32) -> bool {
    set.iter()
        .any(|prefix| (prefix.0..prefix.0 + size(*prefix)).contains(&address))
}

/// Whether each bit is set: an address of the set has it.
pub(super) fn bitmap(set: &[Prefix]) -> Vec<bool> {
    (0..ADDRESSES / OF_BIT)
        .map(|bit| (bit * OF_BIT..(bit + 1) * OF_BIT).any(|address| holds(set, address)))
        .collect()
}

pub(super) fn root(set: &[Prefix]) -> Vec<Cell> {
    (0..ADDRESSES / OF_ROOT)
        .map(|cell| Cell::of(set, cell * OF_ROOT, OF_ROOT))
        .collect()
}

/// The digits at which the class changes, among so many addresses.
pub(super) fn keys(set: &[Prefix], first: u32, size: u32) -> Vec<u32> {
    (1..size)
        .filter(|digit| holds(set, first + digit) != holds(set, first + digit - 1))
        .collect()
}

impl Cell {
    fn of(set: &[Prefix], first: u32, size: u32) -> Self {
        let class = |digit: u32| holds(set, first + digit);
        let keys = keys(set, first, size);
        if keys.len() > KEYS {
            let part = size / OF_TABLE;
            let parts = 0..OF_TABLE;
            return Self::Table(parts.map(|at| Self::of(set, first + at * part, part)).collect());
        }
        let classes = std::iter::once(0)
            .chain(keys.iter().copied())
            .map(class)
            .collect();
        Self::Ranges { keys, classes }
    }

    /// How many keys are not greater than the digit.
    pub(super) fn rank(keys: &[u32], digit: u32) -> usize {
        keys.iter().filter(|key| **key <= digit).count()
    }

    /// The class of an address that has this digit among so many.
    pub(super) fn class(&self, digit: u32, size: u32) -> bool {
        match self {
            Self::Ranges { keys, classes } => classes[Self::rank(keys, digit)],
            Self::Table(cells) => {
                let part = size / OF_TABLE;
                cells[(digit / part) as usize].class(digit % part, part)
            }
        }
    }

    /// The cell as a box of four lanes, and its classes below.
    pub(super) fn draw(&self, canvas: &mut Canvas, x: f64, y: f64) {
        let whole = Area {
            x,
            y,
            width: CELL,
            height: LANE_HEIGHT,
        };
        let Self::Ranges { keys, classes } = self else {
            canvas.area(whole, PAPER, INK, 1.2);
            canvas.small(x + CELL / 2.0, y + 15.0, Anchor::Middle, INK, "table");
            return;
        };
        for lane in 0..KEYS {
            let area = Area {
                x: x + lane as f64 * LANE,
                width: LANE,
                ..whole
            };
            canvas.area(area, PAPER, EDGE, 0.8);
            let (ink, text) = keys
                .get(lane)
                .map_or_else(|| (EDGE, "–".to_owned()), |key| (INK, key.to_string()));
            canvas.small(area.x + LANE / 2.0, y + 15.0, Anchor::Middle, ink, &text);
        }
        canvas.area(whole, "none", INK, 1.2);
        for (at, inside) in classes.iter().enumerate() {
            canvas.area(class_area(x, y, at), color(*inside), EDGE, 0.8);
        }
    }
}

/// Where the class of a rank is drawn, below a cell.
pub(super) fn class_area(x: f64, y: f64, rank: usize) -> Area {
    let width = CELL / (KEYS + 1) as f64;
    Area {
        x: x + rank as f64 * width + 1.5,
        y: y + LANE_HEIGHT + 4.0,
        width: width - 3.0,
        height: CLASS_HEIGHT,
    }
}

pub(super) const fn color(inside: bool) -> &'static str {
    if inside { INSIDE } else { OUTSIDE }
}

pub(super) const fn word(inside: bool) -> &'static str {
    if inside { "inside" } else { "outside" }
}

/// What the two colours mean, beginning at a point.
pub(super) fn legend(canvas: &mut Canvas, x: f64, y: f64) {
    for (inside, x) in [(true, x), (false, x + 78.0)] {
        let area = Area {
            x,
            y: y - 10.0,
            width: 14.0,
            height: 12.0,
        };
        canvas.area(area, color(inside), EDGE, 0.8);
        canvas.small(x + 20.0, y, Anchor::Start, FAINT, word(inside));
    }
}

/// Pixels of a cell, and of one of its lanes.
pub(super) const CELL: f64 = LANE * KEYS as f64;
pub(super) const LANE: f64 = 22.0;
pub(super) const LANE_HEIGHT: f64 = 22.0;
const CLASS_HEIGHT: f64 = 9.0;
