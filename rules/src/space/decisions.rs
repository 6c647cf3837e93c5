//! What a policy decides about every packet, as one diagram, built from the last rule to the first.

use std::collections::{HashMap, HashSet};

use ravelin_datapath::wire::Plane;

use super::{Diagram, Level, Run, Space, TooLarge};
use crate::compile::{merged, spans};
use crate::ir::{Addresses, Effect, Ir, Row};
use crate::policy::Timestamp;

/// What happens to a packet at the rules: the deciding rule and the observed one, by their indices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Answer {
    /// `None`: the default.
    pub(crate) rule: Option<u32>,
    pub(crate) observed: Option<u32>,
}

/// The decisions of one policy.
#[derive(Debug)]
pub(crate) struct Decisions {
    answers: Vec<Answer>,
    /// For every packet, the number of its answer plus one.
    pub(crate) diagram: Diagram,
    /// For each row, the packets that it matches.
    pub(crate) matching: Vec<Diagram>,
    /// For each row, the decisions about packets that get past it.
    pub(crate) behind: Vec<Diagram>,
}

impl Decisions {
    pub(crate) fn of(space: &mut Space, rows: &[Row]) -> Result<Self, TooLarge> {
        let mut numbers = Numbers::default();
        let default = Diagram::always(numbers.of(Answer::default()));
        let mut matching = Vec::with_capacity(rows.len());
        let mut known = HashMap::new();
        for row in rows {
            matching.push(matches(space, row, &mut known)?);
        }
        let (mut next_scope, mut behind_row) = (default, default);
        let mut level = rows.last().map(|row| row.level);
        let mut behind = vec![default; rows.len()];
        for ((row, matched), behind) in rows.iter().zip(&matching).zip(&mut behind).rev() {
            if level != Some(row.level) {
                level = Some(row.level);
                next_scope = behind_row;
            }
            *behind = behind_row;
            let then = match row.effect {
                Effect::Decide => Diagram::always(numbers.of(Answer {
                    rule: Some(row.rule),
                    observed: None,
                })),
                Effect::Next => next_scope,
                // The first rule that observes is the one that is noted: this one stands before all that were noted so far.
                Effect::Observe => space.map(behind_row, &mut |number| {
                    let answer = numbers.answer(number);
                    numbers.of(Answer {
                        observed: Some(row.rule),
                        ..answer
                    })
                })?,
            };
            behind_row = space.choose(*matched, then, behind_row)?;
        }
        Ok(Self {
            answers: numbers.answers,
            diagram: behind_row,
            matching,
            behind,
        })
    }

    /// The answer of that number.
    pub(crate) fn answer(&self, number: u32) -> Option<Answer> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.answers.get(index).copied()
    }
}

/// Numbers answers, from 1.
#[derive(Debug, Default)]
struct Numbers {
    answers: Vec<Answer>,
    numbers: HashMap<Answer, u32>,
}

impl Numbers {
    fn of(&mut self, answer: Answer) -> u32 {
        *self.numbers.entry(answer).or_insert_with(|| {
            self.answers.push(answer);
            u32::try_from(self.answers.len()).unwrap_or(u32::MAX)
        })
    }

    fn answer(&self, number: u32) -> Answer {
        let index = usize::try_from(number)
            .ok()
            .and_then(|number| number.checked_sub(1));
        let answer = index.and_then(|index| self.answers.get(index));
        answer.copied().unwrap_or_default()
    }
}

type Known = HashMap<(usize, u8), Vec<Run>>;

/// The packets that a row matches.
fn matches(space: &mut Space, row: &Row, known: &mut Known) -> Result<Diagram, TooLarge> {
    let values = |values: &[u8], offset: u128| -> Vec<Run> {
        let values = values.iter().map(|value| u128::from(*value) + offset);
        values
            .map(|value| Run {
                first: value,
                last: value,
            })
            .collect()
    };
    let mut below = Diagram::EVERYTHING;
    if let Some(flags) = &row.flags {
        below = space.split(Level::Flags, &values(flags, 1), below, Diagram::NOTHING)?;
    }
    for (level, ranges) in [(Level::SourcePort, &row.source_port), (Level::Key, &row.key)] {
        if let Some(ranges) = ranges {
            let mut runs: Vec<Run> = ranges
                .iter()
                .map(|range| Run {
                    first: 1 + u128::from(range.first),
                    last: 1 + u128::from(range.last),
                })
                .collect();
            join_runs(&mut runs);
            below = space.split(level, &runs, below, Diagram::NOTHING)?;
        }
    }
    if let Some(protocols) = &row.protocols {
        below = space.split(Level::Protocol, &values(protocols, 0), below, Diagram::NOTHING)?;
    }
    let mut families = [below; 2];
    for (plane, family) in Plane::ALL.into_iter().zip(&mut families) {
        for (level, addresses) in [
            (Level::Destination, &row.destination),
            (Level::Source, &row.source),
        ] {
            if let Some(addresses) = addresses {
                let runs = runs_of(addresses, plane, known);
                *family = space.split(level, runs, *family, Diagram::NOTHING)?;
            }
        }
        if let Some((first, last)) = row.epochs {
            let run = Run {
                first: first.into(),
                last: last.into(),
            };
            *family = space.split(Level::Time, &[run], *family, Diagram::NOTHING)?;
        }
        if let Some(interfaces) = &row.interfaces {
            let mut runs: Vec<Run> = interfaces
                .iter()
                .map(|place| place.map_or(0, |place| 1 + place as u128))
                .map(|value| Run {
                    first: value,
                    last: value,
                })
                .collect();
            join_runs(&mut runs);
            *family = space.split(Level::Interface, &runs, *family, Diagram::NOTHING)?;
        }
    }
    let [v4, v6] = families;
    space.split(Level::Family, &[Run { first: 0, last: 0 }], v4, v6)
}

/// The addresses of one family; rules that share a condition share its runs.
fn runs_of<'k>(addresses: &std::sync::Arc<Addresses>, plane: Plane, known: &'k mut Known) -> &'k [Run] {
    let memory = std::sync::Arc::as_ptr(addresses).addr();
    known.entry((memory, plane as u8)).or_insert_with(|| {
        merged(&spans(plane, addresses))
            .into_iter()
            .map(|span| Run {
                first: span.first,
                last: span.last,
            })
            .collect()
    })
}

/// Sorts runs and joins those that touch.
fn join_runs(runs: &mut Vec<Run>) {
    runs.sort_unstable();
    runs.dedup_by(|next, before| {
        let touch = next.first <= before.last.saturating_add(1);
        if touch {
            before.last = before.last.max(next.last);
        }
        touch
    });
}

/// The rows of two policies over one line of time: the moments of both, ascending.
pub(crate) fn rows_of_both(one: &mut Ir, other: &mut Ir) -> Vec<Timestamp> {
    let mut moments: Vec<Timestamp> = one.moments.iter().chain(&other.moments).copied().collect();
    moments.sort_unstable();
    moments.dedup();
    for ir in [one, other] {
        let place = |epoch: u32| -> u32 {
            let began = epoch
                .checked_sub(1)
                .and_then(|moment| ir.moments.get(moment as usize));
            let place = began.map_or(0, |moment| moments.partition_point(|known| known <= moment));
            u32::try_from(place).unwrap_or(u32::MAX)
        };
        let last = u32::try_from(moments.len()).unwrap_or(u32::MAX);
        let own_last = u32::try_from(ir.moments.len()).unwrap_or(u32::MAX);
        let spread: Vec<Option<(u32, u32)>> = ir
            .rows
            .iter()
            .map(|row| {
                row.epochs.map(|(first, until)| {
                    let end = if until >= own_last {
                        last
                    } else {
                        place(until + 1) - 1
                    };
                    (place(first), end)
                })
            })
            .collect();
        for (row, epochs) in ir.rows.iter_mut().zip(spread) {
            row.epochs = epochs;
        }
    }
    moments
}

impl Space {
    /// The answers that some packet gets, of those that are no `land` packets unless `land` says so.
    ///
    /// Whether source and destination are the same is nothing that a diagram asks; a run of a single source address is
    /// remembered until the destination is asked for.
    pub(crate) fn answers(&self, diagram: Diagram, land: bool) -> HashSet<u32> {
        let mut answers = HashSet::new();
        let mut seen = HashSet::new();
        let mut left = vec![(diagram, None, None)];
        while let Some((diagram, family, source)) = left.pop() {
            if !seen.insert((diagram, family, source)) {
                continue;
            }
            let Some(level) = self.level(diagram) else {
                answers.extend(diagram.answer());
                continue;
            };
            for (run, child) in self.runs(diagram, level) {
                match level {
                    Level::Family => left.push((child, Some(run.first), source)),
                    Level::Source if !land && is_one_address(run, family) => {
                        left.push((child, family, Some(run)));
                    }
                    // The only source has the only destination.
                    Level::Destination if source == Some(run) => {}
                    Level::Source | Level::Interface | Level::Time => left.push((child, family, source)),
                    // From here on the addresses are known to differ.
                    _ => left.push((child, None, None)),
                }
            }
        }
        answers
    }
}

/// Whether a run holds a single address of its family; of either family, when it is not known.
fn is_one_address(run: Run, family: Option<u128>) -> bool {
    let size = run.last - run.first;
    match family {
        Some(0) => size < 1 << 96,
        _ => size == 0,
    }
}
