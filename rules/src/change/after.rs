//! The policy after an edit, as a whole reading would give it, for a fraction of the time.
//!
//! `Policy`, `Edit` → **after** → `Policy`. What shared memory before shares memory afterwards: the compiler knows equal sets by it.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;

use super::{Change, Edit};
use crate::Policy;
use crate::check::lists::distinct_prefixes;
use crate::policy::{AddressMatch, Element, Origin, PrefixSet};

/// Makes sets as they are after an edit. The sets before it must outlive it: they are known by their memory.
pub(super) struct After<'e> {
    edit: &'e Edit,
    done: HashMap<usize, PrefixSet>,
}

impl<'e> After<'e> {
    pub(super) fn new(edit: &'e Edit) -> Self {
        Self {
            edit,
            done: HashMap::new(),
        }
    }

    /// The policy after the edit, but for what it says of its sets.
    pub(super) fn policy(&mut self, policy: &Policy) -> Policy {
        let mut policy = policy.clone();
        for rule in policy.rules.iter_mut().chain(&mut policy.inert) {
            self.condition(&mut rule.source);
            self.condition(&mut rule.destination);
        }
        for listener in &mut policy.listeners {
            self.condition(&mut listener.allow);
            self.condition(&mut listener.deny);
        }
        policy
    }

    fn condition(&mut self, condition: &mut AddressMatch) {
        for set in condition.include.iter_mut().chain([&mut condition.exclude]) {
            *set = self.set(set);
        }
    }

    /// The set after the edit.
    pub(super) fn set(&mut self, set: &PrefixSet) -> PrefixSet {
        let memory = set.elements().as_ptr().addr();
        if let Some(done) = self.done.get(&memory) {
            return done.clone();
        }
        let after = self
            .elements(set.elements())
            .map_or_else(|| set.clone(), PrefixSet::new);
        self.done.insert(memory, after.clone());
        after
    }

    /// `None`: the elements are not of the file.
    fn elements(&self, elements: &[Element]) -> Option<Vec<Element>> {
        let Edit { change, now, .. } = self.edit;
        let run = run(elements, &change.file)?;
        let list = &elements.get(run.start)?.origin.list;
        let (gone, end) = gone(elements, &run, &change.lines)?;
        let mut after = Vec::with_capacity(elements.len() + change.added.len());
        after.extend_from_slice(elements.get(..gone.start)?);
        after.extend(change.added.iter().map(|(line, prefix)| Element {
            prefix: *prefix,
            expires: None,
            origin: Origin {
                list: Arc::clone(list),
                line: *line,
            },
        }));
        after.extend(elements.get(gone.end..end)?.iter().map(|element| {
            let mut element = element.clone();
            // The line is behind those that are gone, and a text has fewer lines than a `u32` counts.
            element.origin.line = element.origin.line - change.lines.end + now.end;
            element
        }));
        after.extend_from_slice(elements.get(end..)?);
        Some(after)
    }
}

/// How many prefixes of a set lie in no other after a change, when it was `distinct` before.
pub(super) fn distinct(distinct: u64, elements: &[Element], change: &Change) -> u64 {
    // Nothing moves but inside of these, and prefixes are inside or outside as a whole.
    let mut regions = IpNet::aggregate(&change.prefixes().copied().collect());
    regions.sort_unstable_by_key(|prefix| (prefix.network(), prefix.prefix_len()));
    let Some((gone, _)) = run(elements, &change.file).and_then(|run| gone(elements, &run, &change.lines))
    else {
        return distinct;
    };
    let mut inside = Vec::new();
    let mut covered = vec![false; regions.len()];
    for (at, element) in elements.iter().enumerate() {
        if gone.contains(&at) {
            continue;
        }
        let first = regions.partition_point(|region| region.broadcast() < element.prefix.network());
        let rest = regions.iter().zip(&mut covered).skip(first);
        for (region, covered) in rest.take_while(|(region, _)| region.network() <= element.prefix.broadcast())
        {
            if element.prefix.contains(region) {
                *covered = true;
            } else {
                inside.push(element.prefix);
            }
        }
    }
    // Where an element that stays holds the whole region, nothing inside ever counts.
    let counts = |prefix: &IpNet| {
        let mut regions = regions.iter().zip(&covered);
        regions.any(|(region, covered)| !covered && region.contains(prefix))
    };
    inside.retain(counts);
    let with = |others: &mut dyn Iterator<Item = &IpNet>| {
        let others = others.filter(|prefix| counts(prefix)).copied();
        distinct_prefixes(inside.iter().copied().chain(others).collect())
    };
    let before = with(&mut change.removed.iter());
    let after = with(&mut change.added.iter().map(|(_, prefix)| prefix));
    distinct.saturating_sub(before).saturating_add(after)
}

/// Where the elements of the file stand: in a row, because files are read one after the other and no list names a set twice.
fn run(elements: &[Element], file: &Path) -> Option<Range<usize>> {
    let mut at = 0;
    while let Some(first) = elements.get(at) {
        let list = &first.origin.list;
        let same = |element: &&Element| Arc::ptr_eq(&element.origin.list, list);
        let length = elements.iter().skip(at).take_while(same).count();
        if list.feed && list.file == file {
            return Some(at..at + length);
        }
        at += length;
    }
    None
}

/// The elements of a run whose lines are gone, and the end of the run.
fn gone(elements: &[Element], run: &Range<usize>, lines: &Range<u32>) -> Option<(Range<usize>, usize)> {
    let of_file = elements.get(run.clone())?;
    let before = |line: u32| run.start + of_file.partition_point(|element| element.origin.line < line);
    Some((before(lines.start)..before(lines.end), run.end))
}
