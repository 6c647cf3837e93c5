//! One dimension: the distinct sets that rows ask for, the classes they make, and the rows that each class satisfies.

use std::collections::HashMap;
use std::hash::Hash;

use super::bits::Bits;
use super::partition::{Partition, Span};

/// The conditions of all rows in one dimension, each distinct condition once.
#[derive(Debug)]
pub(super) struct Conditions {
    /// The distinct sets.
    pub(super) sets: Vec<Vec<Span>>,
    /// For each row, its set; `None`: no condition.
    rows: Vec<Option<usize>>,
}

impl Conditions {
    /// Collects the rows' conditions. `key` tells equal conditions cheaply, `spans` spells one out.
    pub(super) fn collect<'a, C: ?Sized + 'a, K: Eq + Hash>(
        rows: impl Iterator<Item = Option<&'a C>>,
        key: impl Fn(&'a C) -> K,
        spans: impl Fn(&'a C) -> Vec<Span>,
    ) -> Self {
        let mut numbers = HashMap::new();
        let mut sets = Vec::new();
        let rows = rows.map(|condition| {
            let condition = condition?;
            Some(*numbers.entry(key(condition)).or_insert_with(|| {
                sets.push(spans(condition));
                sets.len() - 1
            }))
        });
        let rows = rows.collect();
        Self { sets, rows }
    }

    /// Whether no row asks for this dimension.
    pub(super) fn unused(&self) -> bool {
        self.sets.is_empty()
    }

    /// For each class of `partition` (made of these sets, and perhaps others after them), the rows it satisfies.
    pub(super) fn rows_of(&self, partition: &Partition) -> Vec<Bits> {
        // A class lies in few of the sets: only the rows that ask for one of those are looked at.
        let mut always = Bits::none(self.rows.len());
        let mut asking: Vec<Vec<usize>> = vec![Vec::new(); self.sets.len()];
        for (row, set) in self.rows.iter().enumerate() {
            match set {
                None => always.set(row, true),
                Some(set) => asking.get_mut(*set).into_iter().for_each(|rows| rows.push(row)),
            }
        }
        let satisfied = |class: &Bits| {
            let mut rows = always.clone();
            for row in class.iter().filter_map(|set| asking.get(set)).flatten() {
                rows.set(*row, true);
            }
            rows
        };
        partition.classes.iter().map(satisfied).collect()
    }
}
