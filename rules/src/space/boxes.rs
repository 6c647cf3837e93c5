//! A set of packets as boxes: products of sets, one for each level.

use std::collections::HashMap;

use super::{Diagram, Level, Run, Space};

/// A box: packets whose every value lies in the runs of its level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// For each level, in their order, sorted runs that are apart.
    pub(crate) sides: Vec<Vec<Run>>,
    /// The answer of its packets.
    pub(crate) answer: u32,
}

impl Block {
    pub(crate) fn side(&self, level: Level) -> &[Run] {
        self.sides.get(level as usize).map_or(&[], Vec::as_slice)
    }
}

/// The packets with an answer other than 0, as boxes that do not overlap. At most `limit`; whether there are more.
pub(crate) fn blocks(space: &Space, diagram: Diagram, limit: usize) -> (Vec<Block>, bool) {
    let mut walk = Walk {
        space,
        limit,
        found: Vec::new(),
        more: false,
    };
    walk.down(diagram, 0, &mut Vec::new());
    let Walk { mut found, more, .. } = walk;
    while merge(&mut found) {}
    (found, more)
}

struct Walk<'s> {
    space: &'s Space,
    limit: usize,
    found: Vec<Block>,
    more: bool,
}

impl Walk<'_> {
    fn down(&mut self, diagram: Diagram, depth: usize, sides: &mut Vec<Vec<Run>>) {
        if diagram == Diagram::NOTHING || self.more {
            return;
        }
        let Some(level) = Level::ALL.get(depth).copied() else {
            if self.found.len() >= self.limit {
                self.more = true;
                return;
            }
            self.found.push(Block {
                sides: sides.clone(),
                answer: diagram.answer().unwrap_or(0),
            });
            return;
        };
        if level == Level::Family {
            // The same bits are other addresses in the other family.
            for (run, child) in self.space.runs(diagram, level) {
                for family in run.first..=run.last {
                    sides.push(vec![Run {
                        first: family,
                        last: family,
                    }]);
                    self.down(child, depth + 1, sides);
                    sides.pop();
                }
            }
            return;
        }
        // Runs with the same child are one side of one box.
        let mut order: Vec<Diagram> = Vec::new();
        let mut by_child: HashMap<Diagram, Vec<Run>> = HashMap::new();
        for (run, child) in self.space.runs(diagram, level) {
            by_child
                .entry(child)
                .or_insert_with(|| {
                    order.push(child);
                    Vec::new()
                })
                .push(run);
        }
        for child in order {
            let runs = by_child.remove(&child).unwrap_or_default();
            sides.push(runs);
            self.down(child, depth + 1, sides);
            sides.pop();
        }
    }
}

/// Joins boxes that differ in one side only; whether there were any. Greedy: the order of levels decides which of several ways is
/// taken.
fn merge(blocks: &mut Vec<Block>) -> bool {
    let before = blocks.len();
    for level in (0..Level::ALL.len()).rev() {
        // Boxes that are the same but for this side.
        let mut order: Vec<Block> = Vec::new();
        let mut groups: HashMap<(Vec<Vec<Run>>, u32), usize> = HashMap::new();
        for block in blocks.drain(..) {
            let mut rest = block.sides.clone();
            let side = rest.get_mut(level).map(std::mem::take).unwrap_or_default();
            match groups.get(&(rest.clone(), block.answer)) {
                Some(&at) if level != Level::Family as usize || names_no_address(&rest) => {
                    if let Some(known) = order.get_mut(at).and_then(|block| block.sides.get_mut(level)) {
                        known.extend(side);
                        known.sort_unstable();
                        join(known);
                    }
                }
                _ => {
                    groups.insert((rest, block.answer), order.len());
                    order.push(block);
                }
            }
        }
        *blocks = order;
    }
    blocks.len() < before
}

/// Whether both address sides are everything: only then do both families' boxes mean the same.
fn names_no_address(sides: &[Vec<Run>]) -> bool {
    let all = |level: Level| {
        let side = sides.get(level as usize);
        side.is_some_and(|runs| runs.iter().any(|run| run.first == 0 && run.last == level.last()))
    };
    all(Level::Source) && all(Level::Destination)
}

/// Joins runs that touch.
fn join(runs: &mut Vec<Run>) {
    runs.dedup_by(|next, before| {
        let touch = before.last.checked_add(1).is_none_or(|after| next.first <= after);
        if touch {
            before.last = before.last.max(next.last);
        }
        touch
    });
}
