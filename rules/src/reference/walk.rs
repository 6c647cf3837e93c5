//! The walk through the rules: section 6 of `docs/semantics.md`.

use ravelin_datapath::Reason;

use super::{Decided, Facts, Scene, matches};
use crate::policy::{Action, Level, Mode, Policy, Rule};

/// What the walk did at one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// It is a rule of the other direction.
    OtherDirection,
    /// It has ended.
    Expired,
    /// A rule before it in the scope went on with the next scope.
    LeftOut,
    /// A condition does not hold.
    NoMatch,
    /// It matches, and only observes.
    Observed,
    /// It matches, and the rest of the scope is left out.
    Next,
    /// It matches and decides.
    Decided,
}

/// One rule on the way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit<'p> {
    pub(crate) index: u32,
    pub(crate) rule: &'p Rule,
    pub(crate) met: Met,
}

/// Every rule up to the one that decides, in the order of judgement, with what the walk does there.
pub(crate) fn walk<'p>(
    policy: &'p Policy,
    scene: &'p Scene,
    facts: &'p Facts,
) -> impl Iterator<Item = Visit<'p>> {
    // The level that a `next` has left.
    let mut left: Option<Level> = None;
    let mut over = false;
    let rules = (0..).zip(&policy.rules);
    rules.map_while(move |(index, rule)| {
        if over {
            return None;
        }
        let met = if rule.direction != scene.direction {
            Met::OtherDirection
        } else if left == Some(rule.scope.level()) {
            Met::LeftOut
        } else if !scene.before(rule.expires) {
            Met::Expired
        } else if !matches(rule, scene, facts) {
            Met::NoMatch
        } else {
            match (rule.mode, rule.action) {
                (Mode::Observe, _) => Met::Observed,
                (Mode::Enforce, Action::Next) => Met::Next,
                (Mode::Enforce, Action::Allow | Action::Deny) => Met::Decided,
            }
        };
        match met {
            Met::Next => left = Some(rule.scope.level()),
            Met::Decided => over = true,
            _ => {}
        }
        Some(Visit { index, rule, met })
    })
}

/// Section 6, and step 10 of section 1.
pub(super) fn by_rules(policy: &Policy, scene: &Scene, facts: &Facts) -> Decided {
    let mut decided = Decided {
        verdict: policy.firewall.default_of(scene.direction),
        reason: Reason::Default,
        rule: None,
        observed: None,
    };
    for Visit { index, rule, met } in walk(policy, scene, facts) {
        match (met, rule.action.verdict()) {
            (Met::Observed, _) if decided.observed.is_none() => decided.observed = Some(index),
            (Met::Decided, Some(verdict)) => {
                decided.verdict = verdict;
                decided.reason = Reason::Rule;
                decided.rule = Some(index);
            }
            _ => {}
        }
    }
    decided
}
