//! What a change of policy changes: which traffic is now allowed, which denied, which judged by another rule.
//!
//! Two policies → two functions from packets to outcomes → **`Difference`**: boxes of packets whose outcome is another one, exactly.
//! There are none if and only if every packet, by itself, gets the same verdict by the rule of the same name. Each box has an example that both
//! oracles have confirmed.

mod covers;
mod example;
mod flows;
mod outcome;
mod render;

use ravelin_datapath::{ParseClass, Verdict};

use self::outcome::Outcomes;
pub use self::outcome::{Outcome, Who};
use crate::ir::Ir;
use crate::lower::lower;
use crate::policy::Timestamp;
use crate::space::{Block, Diagram, Level, Run, Side, Space, blocks, rows_of_both};
use crate::{Direction, HostFacts, Policy};

/// How a comparison is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// Packets that get the same verdict by another rule are no difference.
    pub verdicts_only: bool,
}

/// Everything that is different.
#[derive(Clone, Debug)]
pub struct Difference {
    /// By what happens to the packets: allowed, denied, by another rule.
    pub changes: Vec<Change>,
    /// Settings that decide about packets which no box can describe: fragments, also of ICMP messages, ICMPv6 from `::`, malformed headers, frames that are not IP; and what flows
    /// let through.
    pub settings: Vec<SettingChange>,
    /// There are more boxes than are listed.
    pub more: bool,
}

/// A setting that is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingChange {
    /// As in the policy: `firewall.classes.vlan`.
    pub key: String,
    /// Before.
    pub old: String,
    /// Now.
    pub new: String,
}

/// A box of packets whose outcome is another one.
#[derive(Clone, Debug)]
pub struct Change {
    /// What happens to them.
    pub kind: Kind,
    /// Which way they go.
    pub direction: Direction,
    /// What happened to them.
    pub old: Outcome,
    /// What happens to them now.
    pub new: Outcome,
    /// The packets, in the words of policies.
    pub packets: String,
    /// From this moment on; `None`: from now on.
    pub from: Option<Timestamp>,
    /// Until this moment; `None`: for ever.
    pub until: Option<Timestamp>,
    /// One of them, which the oracle has judged by both policies. `None` for packets that no question can ask about.
    pub example: Option<Example>,
    block: Block,
}

/// One packet of a box.
#[derive(Clone, Debug)]
pub struct Example {
    /// The packet.
    pub question: crate::explain::Question,
    /// The interface, when the packet is on a filtered one.
    pub interface: Option<String>,
}

/// What happens to packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// They were denied.
    Allowed,
    /// They were allowed.
    Denied,
    /// The same verdict, by another rule.
    OtherRule,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiffError {
    /// The diagrams would be too large.
    #[error(
        "the rules of the two policies overlap in too many ways to be compared exactly; compare single packets with `ravelin explain`"
    )]
    TooLarge,
    /// An example is judged otherwise than its box says: a bug.
    #[error(
        "the comparison and the oracle disagree about `{packet}`: this is a bug in Ravelin, please report it with both policies"
    )]
    Inconsistent {
        /// The box.
        packet: String,
    },
}

impl From<crate::space::TooLarge> for DiffError {
    fn from(_: crate::space::TooLarge) -> Self {
        Self::TooLarge
    }
}

impl Difference {
    /// No packet gets another outcome.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.settings.is_empty()
    }

    /// The difference as one JSON document.
    #[must_use]
    pub fn to_json(&self) -> String {
        render::json(self)
    }
}

/// Compares two policies on one host, from its present moment on. `host` has the interfaces of both.
///
/// # Errors
///
/// [`DiffError`] when the answer would be too large, or not the truth.
pub fn diff(
    old: &Policy,
    new: &Policy,
    host: &HostFacts,
    directions: &[Direction],
    terms: Terms,
) -> Result<Difference, DiffError> {
    let mut difference = Difference {
        changes: Vec::new(),
        settings: settings(old, new),
        more: false,
    };
    for direction in directions {
        compare(old, new, host, *direction, terms, &mut difference)?;
    }
    difference
        .changes
        .sort_by_key(|change| (change.kind, change.direction));
    Ok(difference)
}

fn compare(
    old: &Policy,
    new: &Policy,
    host: &HostFacts,
    direction: Direction,
    terms: Terms,
    difference: &mut Difference,
) -> Result<(), DiffError> {
    let [before, after] = [old, new].map(|policy| Side {
        policy,
        host,
        direction,
    });
    let [mut ir, mut new_ir]: [Ir; 2] = [old, new].map(|policy| lower(policy, host, direction));
    let moments = rows_of_both(&mut ir, &mut new_ir);
    let mut space = Space::default();
    let mut outcomes = Outcomes::default();
    let one = outcome::of(&mut space, before, &ir.rows, moments.len(), &mut outcomes)?;
    let other = outcome::of(&mut space, after, &new_ir.rows, moments.len(), &mut outcomes)?;
    let mut pairs = Pairs::default();
    let changed = space.join(one, other, &mut |one, other| {
        let (Some(a), Some(b)) = (outcomes.get(one), outcomes.get(other)) else {
            return 0;
        };
        let same = one == other || a.verdict == b.verdict && (terms.verdicts_only || a.who == b.who);
        if same { 0 } else { pairs.number(one, other) }
    })?;
    let last = Run {
        first: 0,
        last: moments.len() as u128,
    };
    let epochs = space.split(Level::Time, &[last], Diagram::EVERYTHING, Diagram::NOTHING)?;
    let changed = space.choose(epochs, changed, Diagram::NOTHING)?;
    let (boxes, more) = blocks(&space, changed, MAX_BOXES);
    difference.more |= more;
    let judged = [old, new]
        .iter()
        .any(|policy| outcome::judges(policy, ParseClass::Land));
    for block in boxes {
        if !judged && is_land(&block) {
            continue;
        }
        let pair = pairs
            .get(block.answer)
            .and_then(|(one, other)| Some((outcomes.get(one)?.clone(), outcomes.get(other)?.clone())));
        let Some((was, is)) = pair else {
            continue;
        };
        for (block, from, until) in stretches(block, &moments) {
            let packets = crate::words::boxed(&block, host);
            let example =
                example::of(&block, [before, after], [&was, &is], from, judged).map_err(|_disagreement| {
                    DiffError::Inconsistent {
                        packet: packets.clone(),
                    }
                })?;
            difference.changes.push(Change {
                kind: kind(&was, &is),
                direction,
                old: was.clone(),
                new: is.clone(),
                packets,
                from,
                until,
                example,
                block,
            });
        }
    }
    Ok(())
}

fn kind(old: &Outcome, new: &Outcome) -> Kind {
    match (old.verdict, new.verdict) {
        (Verdict::Deny, Verdict::Allow) => Kind::Allowed,
        (Verdict::Allow, Verdict::Deny) => Kind::Denied,
        _ => Kind::OtherRule,
    }
}

/// The box in each stretch of time that it is about, with the stretch's ends.
fn stretches(block: Block, moments: &[Timestamp]) -> Vec<(Block, Option<Timestamp>, Option<Timestamp>)> {
    let time = block.side(Level::Time).to_vec();
    let at = |epoch: u128| usize::try_from(epoch).unwrap_or(usize::MAX);
    time.iter()
        .map(|run| {
            let mut block = block.clone();
            if let Some(side) = block.sides.get_mut(Level::Time as usize) {
                *side = vec![*run];
            }
            let from = run
                .first
                .checked_sub(1)
                .and_then(|moment| moments.get(at(moment)));
            (block, from.copied(), moments.get(at(run.last)).copied())
        })
        .collect()
}

/// Whether the box holds nothing but packets whose source is their destination.
fn is_land(block: &Block) -> bool {
    let v4 = block.side(Level::Family).iter().all(|run| run.last == 0);
    let single = |run: &Run| run.last - run.first < if v4 { 1 << 96 } else { 1 };
    match (block.side(Level::Source), block.side(Level::Destination)) {
        ([source], [destination]) => source == destination && single(source),
        _ => false,
    }
}

/// What decides about packets that boxes do not describe.
fn settings(old: &Policy, new: &Policy) -> Vec<SettingChange> {
    let mut changes = Vec::new();
    let mut compare = |key: String, old: &str, new: &str| {
        if old != new {
            changes.push(SettingChange {
                key,
                old: old.to_owned(),
                new: new.to_owned(),
            });
        }
    };
    let word = |on: bool| if on { "true" } else { "false" };
    compare(
        "firewall.essentials".to_owned(),
        word(old.firewall.essentials),
        word(new.firewall.essentials),
    );
    compare(
        "firewall.bans".to_owned(),
        word(old.firewall.bans),
        word(new.firewall.bans),
    );
    let mode = |policy: &Policy| match policy.firewall.mode {
        crate::policy::Mode::Enforce => "enforce",
        crate::policy::Mode::Observe => "observe",
    };
    compare("firewall.mode".to_owned(), mode(old), mode(new));
    flows::settings(old, new, &mut compare);
    for class in ParseClass::ALL {
        let verdict = |policy: &Policy| policy.firewall.classes.of(*class).word();
        compare(
            format!("firewall.classes.{}", class.label()),
            verdict(old),
            verdict(new),
        );
    }
    let interfaces = |policy: &Policy| {
        let names = policy
            .firewall
            .interfaces
            .iter()
            .map(|interface| interface.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    compare(
        "firewall.interfaces".to_owned(),
        &interfaces(old),
        &interfaces(new),
    );
    changes
}

/// Numbers pairs of outcomes, from 1.
#[derive(Default)]
struct Pairs {
    pairs: Vec<(u32, u32)>,
    numbers: std::collections::HashMap<(u32, u32), u32>,
}

impl Pairs {
    fn number(&mut self, one: u32, other: u32) -> u32 {
        *self.numbers.entry((one, other)).or_insert_with(|| {
            self.pairs.push((one, other));
            u32::try_from(self.pairs.len()).unwrap_or(u32::MAX)
        })
    }

    fn get(&self, number: u32) -> Option<(u32, u32)> {
        self.pairs
            .get(usize::try_from(number).ok()?.checked_sub(1)?)
            .copied()
    }
}

/// Two policies that have nothing in common differ in more boxes than anybody reads.
const MAX_BOXES: usize = 20_000;
