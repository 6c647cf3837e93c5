//! What it takes to change the tables of a generation in place.
//!
//! live words, policy, change → **`Patch`** → the daemon stores it. Must not know where the words live.
//!
//! One cell of a range trie leads to a small part of the address line. The part that holds the change is built anew in room that the
//! tables keep for that, and the cell is replaced: one store. What cannot be done so is left to a new generation: a prefix wider
//! than one cell's part, a class that no address has yet (the tables that combine classes do not know it), more than one trie.

use std::path::Path;

use ipnet::IpNet;
use ravelin_datapath::wire::{Cell, Lanes, Plane};

use super::address::{Shape, Trie, Written};
use super::partition::{Run, Span};
use super::ranges::{self, Lists};
use super::side::{Numbers, SPARE_STEPS, Side};
use super::spoofed::Spoofed;
use super::words::{self, Words};
use super::{bitmap, span, spans};
use crate::ir::Addresses;
use crate::lower::lower;
use crate::policy::{Element, PrefixSet};
use crate::{Change, Direction, HostFacts, Policy, TableImage};

/// What it takes to change the tables of a generation in place, kept beside the live ones.
#[derive(Clone, Debug, Default)]
pub struct Amender {
    host: HostFacts,
    direction: Direction,
    tries: Vec<LiveTrie>,
    /// Words of the tables that nothing leads to yet.
    room: Room,
}

/// One change of live tables: words for room that no packet reads yet, then stores that lead packets to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// Index of the first of `words`.
    pub first: u32,
    /// What is written there, before anything is stored.
    pub words: Vec<u32>,
    /// 64-bit words, each with its index (counted in 64-bit words) and its new value, to be stored in this order, each in one
    /// store. Each address is judged as before until one of them, and as after from then on.
    pub stores: Vec<(u32, u64)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Room {
    next: u32,
    end: u32,
}

/// A trie that can be changed.
#[derive(Clone, Debug)]
struct LiveTrie {
    plane: Plane,
    side: Side,
    trie: Trie,
    lanes: Lanes,
    lists: Lists,
    numbers: Numbers,
}

impl Amender {
    pub(super) fn of(host: &HostFacts, direction: Direction) -> Self {
        Self {
            host: host.clone(),
            direction,
            ..Self::default()
        }
    }

    /// Remembers a trie, if it can be changed at all.
    pub(super) fn keep(&mut self, plane: Plane, side: Side, written: Written, numbers: Numbers) {
        let Written { trie, lists } = written;
        if let (Shape::Ranges { lanes, .. }, Some(lists)) = (trie.shape, lists) {
            self.tries.push(LiveTrie {
                plane,
                side,
                trie,
                lanes,
                lists,
                numbers,
            });
        }
    }

    /// Sets words aside for changes: a thirty-second of the tables, and no less than some changes need.
    pub(super) fn make_room(&mut self, words: &mut Words) {
        if self.tries.is_empty() {
            return;
        }
        let wanted = (words.bytes() / 32).max(LEAST_ROOM);
        if wanted > words.left() / 2 {
            return;
        }
        let length = usize::try_from(wanted / 4).unwrap_or(0);
        if let Ok(first) = words
            .line_of_doubles()
            .and_then(|_line| words.table(&vec![0; length]))
        {
            self.room = Room {
                next: first,
                end: first.saturating_add(u32::try_from(length).unwrap_or(0)),
            };
        }
    }

    /// The patch after which packets are judged as by `policy` with `change`; `double` reads the live words, 64 bits at a time. `None`:
    /// not possible in place, a new generation has to be built.
    pub fn amend(
        &mut self,
        double: impl Fn(u32) -> Option<u64>,
        policy: &Policy,
        change: &Change,
    ) -> Option<Patch> {
        let ir = lower(policy, &self.host, self.direction);
        let mut touched = Vec::new();
        for plane in Plane::ALL {
            let hull = hull(plane, change);
            for side in Side::BOTH {
                let mut conditions = ir.rows.iter().filter_map(|row| side.of(row));
                let asks = |addresses: &Addresses| holds(addresses, &change.file);
                if let Some(hull) = hull
                    && conditions.any(asks)
                {
                    touched.push((plane, side, hull));
                }
            }
        }
        let (plane, side, hull) = match touched.as_slice() {
            [] => return Some(Patch::default()),
            [touched] => *touched,
            _ => return None,
        };
        // A row whose set had no address of this family is not in the tables at all.
        if ir
            .rows
            .iter()
            .any(|row| side.of(row).is_some_and(|of| holds(of, &change.file)) && !row.reaches(plane))
        {
            return None;
        }
        let spoofed = Spoofed::of(policy, &self.host, self.direction).ok()?;
        let live = self
            .tries
            .iter_mut()
            .find(|live| live.plane == plane && live.side == side)?;
        let place = live.find(&double, hull)?;
        let window = place.window;
        let (partition, classes) = side.classes(plane, &ir.rows, &spoofed, |addresses| {
            let inside = spans(plane, &narrowed(addresses, plane, window, change));
            inside
                .into_iter()
                .filter_map(|span| clipped(span, window))
                .collect()
        });
        // Outside of the window classes are made up, and may have no number.
        let inside = partition.within(window);
        let runs = live.numbers.runs(&inside, &classes)?;
        live.patch(&double, &place, &runs, &mut self.room)
    }
}

/// A cell of a live trie, and the addresses that it leads to.
struct Place {
    /// Its index, in doubles.
    cell: u32,
    /// Bits that lead to it.
    depth: u32,
    /// Tables and lines on the way, the root left out.
    steps: u32,
    window: Span,
}

impl LiveTrie {
    /// The last cell that all addresses of `hull` share.
    fn find(&self, double: &impl Fn(u32) -> Option<u64>, hull: Span) -> Option<Place> {
        let (mut first, mut bits) = (self.trie.root, self.trie.root_bits);
        let (mut depth, mut steps, mut found) = (0, 0, None);
        loop {
            let position = |address: u128| (address << depth) >> (128 - bits);
            if depth + bits > 128 || position(hull.first) != position(hull.last) {
                return found;
            }
            let cell = first.checked_add(u32::try_from(position(hull.first)).ok()?)?;
            depth += bits;
            let size = u128::MAX.checked_shr(depth).unwrap_or(0);
            found = Some(Place {
                cell,
                depth,
                steps,
                window: Span {
                    first: hull.first & !size,
                    last: hull.first | size,
                },
            });
            match Cell::unpack(double(cell)?, self.lanes) {
                Cell::Table {
                    first: table,
                    bits: more,
                } => (first, bits) = (table, more),
                Cell::Ranges { .. } | Cell::Far { .. } => return found,
            }
            steps += 1;
        }
    }

    /// Leads the cell to `runs`.
    fn patch(
        &mut self,
        double: &impl Fn(u32) -> Option<u64>,
        place: &Place,
        runs: &[Run],
        room: &mut Room,
    ) -> Option<Patch> {
        // A whole subtree of a large table is not a small change.
        if runs.len() > MOST_RUNS {
            return None;
        }
        let first = room.next.next_multiple_of(LINE_WORDS);
        let built = ranges::rebuild(self.lanes, &mut self.lists, runs, place.depth, first / 2)?;
        let words: Vec<u32> = built.doubles.iter().copied().flat_map(words::halves).collect();
        let end = first.checked_add(u32::try_from(words.len()).ok()?)?;
        if place.steps + built.steps > self.trie.levels + SPARE_STEPS || end > room.end {
            return None;
        }
        let mut stores = vec![(place.cell, built.cell)];
        if let Some(bitmap) = self.trie.bitmap {
            stores.extend(bitmap::stores(bitmap, runs, place.window, double)?);
        }
        room.next = end;
        Some(Patch { first, words, stores })
    }
}

/// The addresses of one family that a change is about; `None`: there are none.
fn hull(plane: Plane, change: &Change) -> Option<Span> {
    let added = change.added.iter().map(|(_, prefix)| prefix);
    let spans = change
        .removed
        .iter()
        .chain(added)
        .filter_map(|prefix| span(plane, *prefix));
    spans.reduce(|hull, span| Span {
        first: hull.first.min(span.first),
        last: hull.last.max(span.last),
    })
}

/// Whether the condition names entries of the file.
fn holds(addresses: &Addresses, file: &Path) -> bool {
    let in_set = |set: &PrefixSet| {
        let mut of_file = OfFile::new(file);
        set.elements().iter().any(|element| of_file.is(element))
    };
    addresses.include.as_ref().is_some_and(in_set) || in_set(&addresses.exclude)
}

/// The condition with the change, as far as it is about addresses of the window.
fn narrowed(addresses: &Addresses, plane: Plane, window: Span, change: &Change) -> Addresses {
    let meets = |prefix: &IpNet| span(plane, *prefix).is_some_and(|span| clipped(span, window).is_some());
    let narrow = |set: &PrefixSet| {
        let mut of_file = OfFile::new(&change.file);
        let mut list = None;
        let mut inside = Vec::new();
        for element in set.elements() {
            if of_file.is(element) {
                list = Some(&element.origin);
                if change.lines.contains(&element.origin.line) {
                    continue;
                }
            }
            if meets(&element.prefix) {
                inside.push(element.clone());
            }
        }
        if let Some(origin) = list {
            let added = change.added.iter().filter(|(_, prefix)| meets(prefix));
            inside.extend(added.map(|(line, prefix)| Element {
                prefix: *prefix,
                expires: None,
                origin: crate::policy::Origin {
                    line: *line,
                    ..origin.clone()
                },
            }));
        }
        PrefixSet::new(inside)
    };
    Addresses {
        include: addresses.include.as_ref().map(narrow),
        exclude: narrow(&addresses.exclude),
        ..addresses.clone()
    }
}

/// Asks elements, of which a million share one list, whether they are of a file.
struct OfFile<'f> {
    file: &'f Path,
    /// The list that was asked last, by its memory, and the answer.
    last: (usize, bool),
}

impl<'f> OfFile<'f> {
    fn new(file: &'f Path) -> Self {
        Self {
            file,
            last: (0, false),
        }
    }

    fn is(&mut self, element: &Element) -> bool {
        let list = &element.origin.list;
        let memory = std::sync::Arc::as_ptr(list).addr();
        if self.last.0 != memory {
            self.last = (memory, list.feed && list.file == self.file);
        }
        self.last.1
    }
}

fn clipped(span: Span, window: Span) -> Option<Span> {
    let (first, last) = (span.first.max(window.first), span.last.min(window.last));
    (first <= last).then_some(Span { first, last })
}

impl TableImage {
    /// What changes these tables in place once they are live.
    #[must_use]
    pub fn amender(&self) -> Amender {
        self.amender.clone()
    }

    /// Changes the tables as they will be changed in the kernel.
    pub fn apply(&mut self, patch: &Patch) {
        let first = usize::try_from(patch.first).unwrap_or(usize::MAX);
        for (word, new) in self.words.iter_mut().skip(first).zip(&patch.words) {
            *word = *new;
        }
        for (at, value) in &patch.stores {
            let low = usize::try_from(*at).unwrap_or(usize::MAX).saturating_mul(2);
            for (word, half) in self.words.iter_mut().skip(low).zip(words::halves(*value)) {
                *word = half;
            }
        }
    }
}

/// Bytes that are set aside at least.
const LEAST_ROOM: u64 = 64 << 10;
/// Runs that one patch may write: it bounds the time of a change.
const MOST_RUNS: usize = 1 << 14;
/// Words of a cache line.
const LINE_WORDS: u32 = 16;
