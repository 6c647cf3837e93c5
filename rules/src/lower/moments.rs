//! What ends when: the moments after which rules and set entries are not there any more, and what is there between them.

use std::collections::{BTreeSet, HashMap};

use crate::policy::{AddressMatch, Clock, Element, PrefixSet, Rule, Timestamp};

/// The moments that lie ahead, of all rules, and the memory of what was asked before.
pub(super) struct Ends {
    /// The present, in nanoseconds since 1970.
    now: u64,
    /// Ascending.
    moments: Vec<Timestamp>,
    /// The ends of each set's entries, by the set's memory: a set can have a million entries and be used by many rules.
    of_sets: HashMap<usize, BTreeSet<Timestamp>>,
    /// What is left of each set in each stretch: rules that share a set share what is left of it.
    left: HashMap<(usize, u64), PrefixSet>,
}

/// A stretch of time in which a rule stays the same.
pub(super) struct Stretch {
    /// When it begins, in nanoseconds since 1970.
    pub(super) from: u64,
    /// The epochs it covers, first and last; `None`: all of them.
    pub(super) epochs: Option<(u32, u32)>,
}

impl Ends {
    pub(super) fn of<'r>(rules: impl Iterator<Item = &'r Rule>, clock: Clock) -> Self {
        let mut ends = Self {
            now: clock.unix,
            moments: Vec::new(),
            of_sets: HashMap::new(),
            left: HashMap::new(),
        };
        let mut moments = BTreeSet::new();
        for rule in rules {
            moments.extend(ends.of_rule(rule));
        }
        ends.moments = moments.into_iter().collect();
        ends
    }

    pub(super) fn into_moments(self) -> Vec<Timestamp> {
        self.moments
    }

    /// The stretches of time, from the present on, in which the rule is there. None for a rule that has ended.
    pub(super) fn stretches(&mut self, rule: &Rule) -> Vec<Stretch> {
        let end = rule.expires.map(nanoseconds);
        if end.is_some_and(|end| end <= self.now) {
            return Vec::new();
        }
        let changes = self.of_rule(rule);
        let mut stretches = Vec::new();
        let last_epoch = u32::try_from(self.moments.len()).unwrap_or(u32::MAX);
        let (mut from, mut first) = (self.now, 0);
        for moment in changes {
            // Epoch n begins at moment n - 1.
            let index = self.moments.partition_point(|known| *known < moment);
            let epoch = u32::try_from(index).unwrap_or(u32::MAX);
            stretches.push(Stretch {
                from,
                epochs: Some((first, epoch)),
            });
            (from, first) = (nanoseconds(moment), epoch.saturating_add(1));
            if Some(from) == end {
                return stretches;
            }
        }
        stretches.push(Stretch {
            from,
            epochs: (first > 0).then_some((first, last_epoch)),
        });
        stretches
    }

    /// The entries of `set` that are there when the stretch begins, and so until it ends.
    pub(super) fn living(&mut self, set: &PrefixSet, stretch: &Stretch) -> PrefixSet {
        if !set.elements().iter().any(|element| element.expires.is_some()) {
            return set.clone();
        }
        let left = self.left.entry((memory(set), stretch.from));
        let left = left.or_insert_with(|| {
            let there =
                |element: &&Element| element.expires.is_none_or(|end| stretch.from < nanoseconds(end));
            PrefixSet::new(set.elements().iter().filter(there).cloned().collect())
        });
        left.clone()
    }

    /// The moments ahead at which the rule changes, its own end the last of them.
    fn of_rule(&mut self, rule: &Rule) -> BTreeSet<Timestamp> {
        let mut moments = BTreeSet::new();
        for AddressMatch { include, exclude, .. } in [&rule.source, &rule.destination] {
            for set in include.iter().chain([exclude]) {
                moments.extend(self.of_set(set));
            }
        }
        moments.extend(rule.expires);
        let (now, end) = (self.now, rule.expires);
        moments.retain(|moment| nanoseconds(*moment) > now && end.is_none_or(|end| *moment <= end));
        moments
    }

    fn of_set(&mut self, set: &PrefixSet) -> BTreeSet<Timestamp> {
        let ends = || {
            set.elements()
                .iter()
                .filter_map(|element| element.expires)
                .collect()
        };
        self.of_sets.entry(memory(set)).or_insert_with(ends).clone()
    }
}

fn memory(set: &PrefixSet) -> usize {
    set.elements().as_ptr().addr()
}

fn nanoseconds(moment: Timestamp) -> u64 {
    moment.unix().saturating_mul(1_000_000_000)
}
