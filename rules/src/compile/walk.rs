//! The walk through the rows that match: what a cross product does while compiling, and bit vectors for each packet.

use super::bits::Bits;
use crate::ir::{Effect, Row};

/// Rows, and where the walk goes on behind those that end their scope.
pub(super) struct Walk<'r> {
    rows: &'r [Row],
}

impl<'r> Walk<'r> {
    pub(super) const fn of(rows: &'r [Row]) -> Self {
        Self { rows }
    }

    pub(super) const fn rows(&self) -> &'r [Row] {
        self.rows
    }

    /// Some row observes.
    pub(super) fn observes(&self) -> bool {
        self.rows.iter().any(|row| row.effect == Effect::Observe)
    }

    /// Some row goes on with the next scope.
    pub(super) fn goes_on(&self) -> bool {
        self.rows.iter().any(|row| row.effect == Effect::Next)
    }

    /// The rows that do not observe.
    pub(super) fn enforcing(&self) -> Bits {
        let mut enforcing = Bits::none(self.rows.len());
        for (at, row) in self.rows.iter().enumerate() {
            enforcing.set(at, row.effect != Effect::Observe);
        }
        enforcing
    }

    /// For each row, the row that the walk goes on from; 0 for the rows that decide.
    pub(super) fn resumes(&self) -> Vec<u32> {
        let resume = |(at, row): (usize, &Row)| match row.effect {
            Effect::Next => u32::try_from(self.behind(at)).unwrap_or(u32::MAX),
            Effect::Decide | Effect::Observe => 0,
        };
        self.rows.iter().enumerate().map(resume).collect()
    }

    /// The first row of the next level; behind the last row when there is none.
    fn behind(&self, at: usize) -> usize {
        let level = self.rows.get(at).map(|row| row.level);
        self.rows.partition_point(|row| Some(row.level) <= level)
    }
}
