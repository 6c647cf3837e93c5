//! What happens to a packet and by whom, as one diagram.

use std::collections::HashMap;

use ravelin_datapath::{ClassVerdict, ParseClass, Verdict};

use crate::Policy;
use crate::ir::Row;
use crate::space::{Arrivals, Decisions, Diagram, Side, Space, TooLarge};

/// What happens to a packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// Who says so.
    pub who: Who,
}

/// Who decides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// The rule of that name.
    Rule(String),
    /// The default of the direction.
    Default,
    /// An essential.
    Essential,
    /// A parse class, by its label.
    Class(&'static str),
}

/// Numbers outcomes, from 1.
#[derive(Default)]
pub(super) struct Outcomes {
    outcomes: Vec<Outcome>,
    numbers: HashMap<Outcome, u32>,
}

impl Outcomes {
    fn number(&mut self, outcome: Outcome) -> u32 {
        *self.numbers.entry(outcome).or_insert_with_key(|outcome| {
            self.outcomes.push(outcome.clone());
            u32::try_from(self.outcomes.len()).unwrap_or(u32::MAX)
        })
    }

    pub(super) fn get(&self, number: u32) -> Option<&Outcome> {
        self.outcomes.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }
}

/// Whether packets of the class go on to the rules.
pub(super) fn judges(policy: &Policy, class: ParseClass) -> bool {
    policy.firewall.classes.of(class) == ClassVerdict::Judge
}

/// For every packet there can be, the number of its outcome; 0 for the others.
pub(super) fn of(
    space: &mut Space,
    side: Side<'_>,
    rows: &[Row],
    moments: usize,
    outcomes: &mut Outcomes,
) -> Result<Diagram, TooLarge> {
    let policy = side.policy;
    let arrivals = Arrivals::of(space, side, moments)?;
    let decisions = Decisions::of(space, rows)?;
    let mut diagram = space.map(decisions.diagram, &mut |number| {
        let rule = decisions.answer(number).and_then(|answer| answer.rule);
        let rule = rule.and_then(|index| policy.rules.get(usize::try_from(index).ok()?));
        outcomes.number(match rule {
            Some(rule) => Outcome {
                verdict: rule.action.verdict().unwrap_or(Verdict::Deny),
                who: Who::Rule(rule.name.to_string()),
            },
            None => Outcome {
                verdict: policy.firewall.default_of(side.direction),
                who: Who::Default,
            },
        })
    })?;
    if policy.firewall.essentials {
        let allowed = outcomes.number(Outcome {
            verdict: Verdict::Allow,
            who: Who::Essential,
        });
        diagram = space.choose(arrivals.essential, Diagram::always(allowed), diagram)?;
    }
    // What is looked at first decides first, and so comes last here.
    let fragments = !judges(policy, ParseClass::FragmentOrphan) && !judges(policy, ParseClass::FragmentTiny);
    for (class, packets, decides) in [
        (
            ParseClass::SpoofedSource,
            arrivals.unspecified,
            !judges(policy, ParseClass::SpoofedSource),
        ),
        (
            ParseClass::UnknownNextHeader,
            arrivals.unknown,
            !judges(policy, ParseClass::UnknownNextHeader),
        ),
        (ParseClass::FragmentOrphan, arrivals.headerless, fragments),
        (
            ParseClass::SpoofedSource,
            arrivals.spoofed,
            !judges(policy, ParseClass::SpoofedSource),
        ),
    ] {
        if decides {
            let verdict = match policy.firewall.classes.of(class) {
                ClassVerdict::Allow => Verdict::Allow,
                ClassVerdict::Deny | ClassVerdict::Judge => Verdict::Deny,
            };
            let outcome = outcomes.number(Outcome {
                verdict,
                who: Who::Class(class.label()),
            });
            diagram = space.choose(packets, Diagram::always(outcome), diagram)?;
        }
    }
    space.choose(arrivals.all, diagram, Diagram::NOTHING)
}
