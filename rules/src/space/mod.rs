//! Sets of packets, exactly: decision diagrams over what rules may ask.
//!
//! A function from packets to answers is a diagram: one level for each thing that rules ask about (family, interface, time,
//! source, destination, protocol, key, source port, flags), each node a line of values cut into runs, each run with its child, answers
//! at the end (Gouda and Liu, "Structured firewall design", Computer Networks 51, 2007). Nodes are shared and canonical: in one
//! [`Space`], two functions are the same exactly when their diagrams have the same number. A set is a function to yes and no.
//!
//! `Ir → `**`Space`** → lints, differences. Knows no text, no tables and no kernel.

mod boxes;
mod decisions;
mod facts;

use std::collections::HashMap;

pub(crate) use boxes::{Block, blocks};
pub(crate) use decisions::{Answer, Decisions, rows_of_both};
pub(crate) use facts::{Arrivals, FRAGMENT, Side, is_marked};

/// What rules ask about, in the order of the levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Level {
    /// 0: IPv4, 1: IPv6.
    Family,
    /// 0: any that is not filtered; else its place in the host's facts plus one.
    Interface,
    /// The epoch, see [`crate::ir::Ir::moments`].
    Time,
    /// Left-aligned in 128 bits.
    Source,
    /// Left-aligned in 128 bits.
    Destination,
    /// The protocol number.
    Protocol,
    /// 0: none; else the destination port, or the ICMP type and code, plus one.
    Key,
    /// 0: none; else the source port plus one.
    SourcePort,
    /// 0: none; else the flags plus one.
    Flags,
}

impl Level {
    pub(crate) const ALL: [Self; 9] = [
        Self::Family,
        Self::Interface,
        Self::Time,
        Self::Source,
        Self::Destination,
        Self::Protocol,
        Self::Key,
        Self::SourcePort,
        Self::Flags,
    ];

    /// The highest value of the line.
    pub(crate) const fn last(self) -> u128 {
        match self {
            Self::Family => 1,
            Self::Interface | Self::Time => u32::MAX as u128,
            Self::Source | Self::Destination => u128::MAX,
            Self::Protocol => 255,
            Self::Key | Self::SourcePort => 65_536,
            Self::Flags => 256,
        }
    }
}

/// Values `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Run {
    pub(crate) first: u128,
    pub(crate) last: u128,
}

/// A function from packets to answers, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Diagram(u32);

/// The diagrams need more nodes than [`Space`] may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policy's rules overlap in too many ways to be compared exactly")]
pub(crate) struct TooLarge;

/// One line of values: where each run ends, and what is asked next of its values. The last run ends with the line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    level: Level,
    runs: Vec<(u128, Diagram)>,
}

/// The home of diagrams.
#[derive(Debug, Default)]
pub(crate) struct Space {
    nodes: Vec<Node>,
    numbers: HashMap<Node, Diagram>,
    /// Runs in all nodes: what the memory goes into.
    runs: usize,
    /// Runs looked at: what the time goes into.
    steps: usize,
}

impl Diagram {
    const ANSWER: u32 = 1 << 31;

    /// The function that gives the same answer for every packet.
    pub(crate) const fn always(answer: u32) -> Self {
        Self(answer | Self::ANSWER)
    }

    /// The answer, when nothing more is asked.
    pub(crate) const fn answer(self) -> Option<u32> {
        if self.0 & Self::ANSWER == 0 {
            None
        } else {
            Some(self.0 & !Self::ANSWER)
        }
    }

    /// No packet.
    pub(crate) const NOTHING: Self = Self::always(0);
    /// Every packet.
    pub(crate) const EVERYTHING: Self = Self::always(1);
}

impl Space {
    /// The level that `diagram` asks about first, and its runs; `None` for an answer.
    fn node(&self, diagram: Diagram) -> Option<&Node> {
        match diagram.answer() {
            Some(_) => None,
            None => self.nodes.get(usize::try_from(diagram.0).ok()?),
        }
    }

    /// The runs of `diagram` at `level`: one of everything when it does not ask about it.
    pub(crate) fn runs(&self, diagram: Diagram, level: Level) -> Vec<(Run, Diagram)> {
        let Some(node) = self.node(diagram).filter(|node| node.level == level) else {
            let everything = Run {
                first: 0,
                last: level.last(),
            };
            return vec![(everything, diagram)];
        };
        let mut first = 0;
        let runs = node.runs.iter().map(|(last, child)| {
            let run = Run { first, last: *last };
            first = last.saturating_add(1);
            (run, *child)
        });
        runs.collect()
    }

    /// The level that `diagram` asks about first.
    pub(crate) fn level(&self, diagram: Diagram) -> Option<Level> {
        self.node(diagram).map(|node| node.level)
    }

    /// The diagram that asks about `level` first. Runs with the same child become one, and a question whose answer does not matter
    /// is not asked.
    fn ask(&mut self, level: Level, runs: Vec<(u128, Diagram)>) -> Result<Diagram, TooLarge> {
        let mut joined: Vec<(u128, Diagram)> = Vec::with_capacity(runs.len());
        for (last, child) in runs {
            match joined.last_mut() {
                Some(run) if run.1 == child => run.0 = last,
                _ => joined.push((last, child)),
            }
        }
        if let [(_, child)] = joined.as_slice() {
            return Ok(*child);
        }
        let node = Node { level, runs: joined };
        if let Some(known) = self.numbers.get(&node) {
            return Ok(*known);
        }
        self.runs += node.runs.len();
        if self.runs > MAX_RUNS {
            return Err(TooLarge);
        }
        let number = Diagram(u32::try_from(self.nodes.len()).map_err(|_many| TooLarge)?);
        self.nodes.push(node.clone());
        self.numbers.insert(node, number);
        Ok(number)
    }

    /// `inside` for values of `level` in one of the runs (sorted, apart), `outside` for the others. Both ask about later levels only.
    pub(crate) fn split(
        &mut self,
        level: Level,
        runs: &[Run],
        inside: Diagram,
        outside: Diagram,
    ) -> Result<Diagram, TooLarge> {
        let mut cut = Vec::with_capacity(runs.len() * 2 + 1);
        for run in runs {
            if let Some(before) = run.first.checked_sub(1) {
                cut.push((before, outside));
            }
            cut.push((run.last.min(level.last()), inside));
        }
        if cut.last().is_none_or(|(last, _)| *last < level.last()) {
            cut.push((level.last(), outside));
        }
        // Two runs that touch leave nothing between them.
        cut.dedup_by(|next, before| next.0 == before.0);
        self.ask(level, cut)
    }

    /// For every packet, what `join` makes of both answers.
    pub(crate) fn join(
        &mut self,
        a: Diagram,
        b: Diagram,
        join: &mut impl FnMut(u32, u32) -> u32,
    ) -> Result<Diagram, TooLarge> {
        self.joined(a, b, join, &mut HashMap::new())
    }

    fn joined(
        &mut self,
        a: Diagram,
        b: Diagram,
        join: &mut impl FnMut(u32, u32) -> u32,
        known: &mut HashMap<(Diagram, Diagram), Diagram>,
    ) -> Result<Diagram, TooLarge> {
        if let (Some(a), Some(b)) = (a.answer(), b.answer()) {
            return Ok(Diagram::always(join(a, b)));
        }
        if let Some(joined) = known.get(&(a, b)) {
            return Ok(*joined);
        }
        if self.steps > MAX_STEPS {
            return Err(TooLarge);
        }
        let level = match (self.level(a), self.level(b)) {
            (Some(a), Some(b)) => a.min(b),
            (Some(level), None) | (None, Some(level)) => level,
            (None, None) => return Err(TooLarge),
        };
        let (left, right) = (self.runs(a, level), self.runs(b, level));
        let (mut left, mut right) = (left.into_iter(), right.into_iter());
        let (mut one, mut other) = (left.next(), right.next());
        let mut runs = Vec::new();
        while let (Some((x, a)), Some((y, b))) = (one, other) {
            let last = x.last.min(y.last);
            self.steps += 1;
            runs.push((last, self.joined(a, b, join, known)?));
            if x.last == last {
                one = left.next();
            }
            if y.last == last {
                other = right.next();
            }
        }
        let joined = self.ask(level, runs)?;
        known.insert((a, b), joined);
        Ok(joined)
    }

    /// For every packet, what `change` makes of the answer.
    pub(crate) fn map(
        &mut self,
        diagram: Diagram,
        change: &mut impl FnMut(u32) -> u32,
    ) -> Result<Diagram, TooLarge> {
        self.join(diagram, Diagram::NOTHING, &mut |answer, _| change(answer))
    }

    /// Packets in both sets.
    pub(crate) fn and(&mut self, a: Diagram, b: Diagram) -> Result<Diagram, TooLarge> {
        self.join(a, b, &mut |a, b| a & b)
    }

    /// Packets in one of the sets.
    pub(crate) fn or(&mut self, a: Diagram, b: Diagram) -> Result<Diagram, TooLarge> {
        self.join(a, b, &mut |a, b| a | b)
    }

    /// Packets in the first set and not in the second.
    pub(crate) fn minus(&mut self, a: Diagram, b: Diagram) -> Result<Diagram, TooLarge> {
        self.join(a, b, &mut |a, b| a & !b)
    }

    /// `then` for the packets of the set, `otherwise` for the others.
    pub(crate) fn choose(
        &mut self,
        set: Diagram,
        then: Diagram,
        otherwise: Diagram,
    ) -> Result<Diagram, TooLarge> {
        // The set's packets first get an answer that nobody gives, which is then looked at once more.
        let marked = self.join(set, otherwise, &mut |inside, answer| {
            if inside == 1 { UNDECIDED } else { answer }
        })?;
        self.join(marked, then, &mut |answer, then| {
            if answer == UNDECIDED { then } else { answer }
        })
    }
}

/// An answer that stands for no answer while a diagram is made.
const UNDECIDED: u32 = (1 << 31) - 1;

/// About 48 bytes each. A policy that is made to blow up the diagrams ends here, and is told so.
const MAX_RUNS: usize = 12_000_000;

/// Some seconds of work, for the same reason.
const MAX_STEPS: usize = 20_000_000;

#[cfg(test)]
mod tests;
