//! Cuts a line of values into equivalence classes: values that lie in the same sets.
//!
//! The line is 128 bits wide: addresses of both families are left-aligned in it, ports and protocol numbers stand at
//! its low end.

use super::bits::{Bits, Interner};

/// Values `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u128,
    pub(crate) last: u128,
}

/// Which sets hold each value of the line.
#[derive(Debug)]
pub(super) struct Partition {
    /// Where each run of one class starts, in order; the first run starts at 0.
    pub(super) runs: Vec<Run>,
    /// For each class, the sets that hold its values. Class 0: no set at all.
    pub(super) classes: Vec<Bits>,
}

/// A run of values of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: u128,
    pub(super) class: u32,
}

impl Partition {
    /// The partition that `sets` make. Spans of one set may overlap and come in any order.
    pub(super) fn of(sets: &[Vec<Span>]) -> Self {
        let mut edges = Vec::with_capacity(sets.iter().map(Vec::len).sum::<usize>() * 2);
        for (number, set) in sets.iter().enumerate() {
            for span in merged(set) {
                edges.push((span.first, number, true));
                if let Some(after) = span.last.checked_add(1) {
                    edges.push((after, number, false));
                }
            }
        }
        edges.sort_unstable();

        let mut classes = Interner::default();
        let mut holding = Bits::none(sets.len());
        let mut runs = vec![Run {
            first: 0,
            class: classes.number(&holding),
        }];
        let mut edges = edges.into_iter().peekable();
        while let Some((first, set, enters)) = edges.next() {
            holding.set(set, enters);
            while let Some((_, set, enters)) = edges.next_if(|(next, ..)| *next == first) {
                holding.set(set, enters);
            }
            let class = classes.number(&holding);
            match runs.last_mut() {
                Some(run) if run.first == first => run.class = class,
                Some(run) if run.class == class => {}
                _ => runs.push(Run { first, class }),
            }
        }
        Self {
            runs,
            classes: classes.into_sets(),
        }
    }

    /// The runs of the values of a span, the first of which begins where the span does.
    pub(super) fn within(&self, window: Span) -> Self {
        let first = Run {
            first: window.first,
            class: self.class(window.first),
        };
        let inside = self
            .runs
            .iter()
            .filter(|run| window.first < run.first && run.first <= window.last);
        Self {
            runs: std::iter::once(first).chain(inside.copied()).collect(),
            classes: self.classes.clone(),
        }
    }

    /// The class of a value.
    pub(super) fn class(&self, value: u128) -> u32 {
        let after = self.runs.partition_point(|run| run.first <= value);
        after
            .checked_sub(1)
            .and_then(|index| self.runs.get(index))
            .map_or(0, |run| run.class)
    }
}

/// The values of `spans` that lie in none of `holes`.
pub(super) fn without(spans: &[Span], holes: &[Span]) -> Vec<Span> {
    let holes = merged(holes);
    let mut left = Vec::new();
    for span in merged(spans) {
        let mut first = Some(span.first);
        let from = holes.partition_point(|hole| hole.last < span.first);
        for hole in holes.iter().skip(from).take_while(|hole| hole.first <= span.last) {
            if let (Some(start), Some(before)) = (first, hole.first.checked_sub(1))
                && start <= before
            {
                left.push(Span {
                    first: start,
                    last: before,
                });
            }
            first = hole.last.checked_add(1);
        }
        if let Some(start) = first
            && start <= span.last
        {
            left.push(Span {
                first: start,
                last: span.last,
            });
        }
    }
    left
}

/// The same values as spans that neither overlap nor touch, in order.
pub(crate) fn merged(spans: &[Span]) -> Vec<Span> {
    let mut sorted = spans.to_vec();
    sorted.sort_unstable_by_key(|span| span.first);
    let mut merged: Vec<Span> = Vec::with_capacity(sorted.len());
    for span in sorted {
        match merged.last_mut() {
            Some(last) if last.last.checked_add(1).is_none_or(|after| span.first <= after) => {
                last.last = last.last.max(span.last)
            }
            _ => merged.push(span),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: u128, last: u128) -> Span {
        Span { first, last }
    }

    #[test]
    fn holes_are_cut_out_wherever_they_lie() {
        let holes = [span(0, 4), span(8, 9), span(19, 30), span(50, 50)];
        assert_eq!(
            without(&[span(5, 20), span(2, 3), span(40, 60)], &holes),
            [span(5, 7), span(10, 18), span(40, 49), span(51, 60)]
        );
        assert_eq!(
            without(&[span(3, u128::MAX)], &[span(7, u128::MAX)]),
            [span(3, 6)]
        );
        assert_eq!(without(&[span(0, u128::MAX)], &[span(0, u128::MAX)]), []);
        assert_eq!(without(&[span(5, 6)], &[]), [span(5, 6)]);
    }

    #[test]
    fn values_in_the_same_sets_share_a_class_wherever_they_lie() {
        let partition = Partition::of(&[vec![span(10, 19), span(30, 39)], vec![span(15, 34)]]);
        let classes = [0, 10, 14, 15, 19, 20, 29, 30, 34, 35, 39, 40].map(|value| partition.class(value));
        assert_eq!(classes, [0, 1, 1, 2, 2, 3, 3, 2, 2, 1, 1, 0]);
    }

    #[test]
    fn overlapping_and_touching_spans_of_one_set_leave_no_seam() {
        let partition = Partition::of(&[vec![span(5, 9), span(0, 3), span(4, 6), span(10, u128::MAX)]]);
        assert_eq!(partition.runs, [Run { first: 0, class: 1 }]);
    }

    #[test]
    fn no_set_makes_one_class() {
        assert_eq!(Partition::of(&[]).runs, [Run { first: 0, class: 0 }]);
    }
}
