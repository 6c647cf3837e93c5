//! What gets to each rule, and what the rule changes: by the algebra of packet sets.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ravelin_datapath::{ClassVerdict, ParseClass, Verdict};

use super::{Finding, Thoroughness, differ};
use crate::diagnostic::Code;
use crate::ir::{Effect, Ir, Row};
use crate::lower::lower;
use crate::policy::{Action, Mode, Rule};
use crate::space::{Answer, Arrivals, Decisions, Diagram, Side, Space, TooLarge, blocks};
use crate::words::boxed;
use crate::{Direction, HostFacts, Policy};

pub(super) fn lint(
    policy: &Policy,
    host: &HostFacts,
    direction: Direction,
    thoroughness: Thoroughness,
) -> Vec<Finding> {
    let Some(first) = policy.rules.iter().find(|rule| rule.direction == direction) else {
        return Vec::new();
    };
    let side = Side {
        policy,
        host,
        direction,
    };
    Reach::lint(side, thoroughness).unwrap_or_else(|too_large| {
        vec![Finding::new(
            Code::LintsNotDecided,
            first,
            format!(
                "{too_large}: which {} rules do nothing is not known",
                direction.word()
            ),
            "nothing is wrong with the policy; ask about single packets with `ravelin explain`",
        )]
    })
}

/// One rule and its rows.
struct Rows<'r> {
    index: u32,
    rule: &'r Rule,
    rows: Vec<usize>,
}

struct Reach<'a> {
    side: Side<'a>,
    space: Space,
    rows: Vec<Row>,
    decisions: Decisions,
    /// What reaches the rules.
    reaching: Diagram,
    /// The answers about it; 0 for packets that do not reach the rules.
    answers: Diagram,
    /// Packets whose source is their destination reach the rules too.
    land: bool,
}

impl<'a> Reach<'a> {
    fn lint(side: Side<'a>, thoroughness: Thoroughness) -> Result<Vec<Finding>, TooLarge> {
        let Ir { rows, moments } = lower(side.policy, side.host, side.direction);
        let mut space = Space::default();
        let arrivals = Arrivals::of(&mut space, side, moments.len())?;
        let reaching = arrivals.reaching(&mut space, side.policy)?;
        let decisions = Decisions::of(&mut space, &rows)?;
        let answers = space.choose(reaching, decisions.diagram, Diagram::NOTHING)?;
        let mut reach = Self {
            side,
            space,
            rows,
            decisions,
            reaching,
            answers,
            land: side.policy.firewall.classes.of(ParseClass::Land) == ClassVerdict::Judge,
        };
        reach.findings(thoroughness)
    }

    fn findings(&mut self, thoroughness: Thoroughness) -> Result<Vec<Finding>, TooLarge> {
        let hits = self.hits()?;
        let all = self.space.answers(self.answers, self.land);
        let given: Vec<Answer> = all
            .iter()
            .filter_map(|number| self.decisions.answer(*number))
            .collect();
        let deciding: HashSet<u32> = given.iter().filter_map(|answer| answer.rule).collect();
        let observing: HashSet<u32> = given.iter().filter_map(|answer| answer.observed).collect();
        let mut findings = Vec::new();
        for of in self.rules() {
            let acts = match (of.rule.mode, of.rule.action) {
                (Mode::Observe, _) => observing.contains(&of.index),
                (Mode::Enforce, Action::Next) => {
                    let mut acts = false;
                    for row in &of.rows {
                        acts |= hits.get(*row).is_some_and(|hit| self.is_some(*hit));
                    }
                    acts
                }
                (Mode::Enforce, Action::Allow | Action::Deny) => deciding.contains(&of.index),
            };
            if acts {
                findings.extend(self.acting(&of, &hits, thoroughness)?);
            } else {
                findings.push(self.idle(&of)?);
            }
        }
        Ok(findings)
    }

    /// The rules that are there on this host, now or later, each with its rows.
    fn rules(&self) -> Vec<Rows<'a>> {
        let now = self.side.host.clock.unix / 1_000_000_000;
        let mut rules = Vec::new();
        for (index, rule) in (0..).zip(&self.side.policy.rules) {
            let there =
                rule.direction == self.side.direction && rule.expires.is_none_or(|end| now < end.unix());
            if there {
                let rows = self.rows.iter().enumerate();
                let rows = rows.filter(|(_, row)| row.rule == index).map(|(at, _)| at);
                rules.push(Rows {
                    index,
                    rule,
                    rows: rows.collect(),
                });
            }
        }
        rules
    }

    /// For each row, the packets that get to it and that it matches.
    fn hits(&mut self) -> Result<Vec<Diagram>, TooLarge> {
        let mut alive = self.reaching;
        let mut next_scope = Diagram::NOTHING;
        let mut level = None;
        let mut hits = Vec::with_capacity(self.rows.len());
        for (row, matched) in self.rows.iter().zip(&self.decisions.matching) {
            if level != Some(row.level) {
                level = Some(row.level);
                alive = self.space.or(alive, next_scope)?;
                next_scope = Diagram::NOTHING;
            }
            let hit = self.space.and(alive, *matched)?;
            hits.push(hit);
            match row.effect {
                Effect::Observe => {}
                Effect::Decide => alive = self.space.minus(alive, hit)?,
                Effect::Next => {
                    alive = self.space.minus(alive, hit)?;
                    next_scope = self.space.or(next_scope, hit)?;
                }
            }
        }
        Ok(hits)
    }

    /// Whether the set holds a packet that is no `land` packet, unless those are judged too.
    fn is_some(&self, set: Diagram) -> bool {
        self.space.answers(set, self.land).contains(&1)
    }

    /// What the rule would match if it stood first.
    fn matching(&mut self, of: &Rows<'_>) -> Result<Diagram, TooLarge> {
        let mut matching = Diagram::NOTHING;
        for row in &of.rows {
            if let Some(matched) = self.decisions.matching.get(*row).copied() {
                matching = self.space.or(matching, matched)?;
            }
        }
        self.space.and(matching, self.reaching)
    }

    /// The rules that decide about some packet of the set, and whether the default does.
    fn deciders(&mut self, set: Diagram) -> Result<(Vec<&'a Rule>, bool), TooLarge> {
        let answers = self.space.choose(set, self.answers, Diagram::NOTHING)?;
        let numbers = self.space.answers(answers, self.land);
        let answers = numbers.iter().filter_map(|number| self.decisions.answer(*number));
        let rules: BTreeSet<Option<u32>> = answers.map(|answer| answer.rule).collect();
        let found = rules.iter().flatten();
        let found = found.filter_map(|index| self.side.policy.rules.get(usize::try_from(*index).ok()?));
        Ok((found.collect(), rules.contains(&None)))
    }

    /// A rule that does nothing.
    fn idle(&mut self, of: &Rows<'_>) -> Result<Finding, TooLarge> {
        let rule = of.rule;
        let matching = self.matching(of)?;
        if !self.is_some(matching) {
            return Ok(Finding::new(
                Code::Unreachable,
                rule,
                format!(
                    "rule `{}` never matches: no packet that gets to the rules is like that",
                    rule.name
                ),
                "take it out, or look at its conditions: essentials, spoofed sources and interfaces are decided before the rules",
            ));
        }
        let (deciders, default) = self.deciders(matching)?;
        let names = named(&deciders);
        let related = deciders.iter().take(MAX_TOLD);
        let related: Vec<_> = related
            .map(|decider| {
                (
                    decider.place.clone(),
                    format!("`{}` is judged before it", decider.name),
                )
            })
            .collect();
        let same = !default && deciders.iter().all(|decider| !differ(decider, rule));
        let (code, message, help) = if same {
            (
                Code::Redundant,
                format!(
                    "rule `{}` does nothing: {names} already {} all that it matches",
                    rule.name,
                    verb(rule, deciders.len())
                ),
                "take it out".to_owned(),
            )
        } else {
            (
                Code::Shadowed,
                format!(
                    "rule `{}` does nothing: what it matches is decided before it by {names}",
                    rule.name
                ),
                format!("move it in front of {names}, or take it out: the first rule that matches decides"),
            )
        };
        Ok(Finding::new(code, rule, message, help).with(related.into_iter()))
    }

    /// A rule that does something.
    fn acting(
        &mut self,
        of: &Rows<'_>,
        hits: &[Diagram],
        thoroughness: Thoroughness,
    ) -> Result<Vec<Finding>, TooLarge> {
        let rule = of.rule;
        let mut findings = Vec::new();
        let (Mode::Enforce, Some(verdict)) = (rule.mode, rule.action.verdict()) else {
            return Ok(findings);
        };
        // A limit keeps something out.
        if verdict == Verdict::Allow && rule.limit.is_none() && self.covers_everything(of)? {
            findings.push(Finding::new(
                Code::AllowsAll,
                rule,
                format!("rule `{}` lets everything through that gets to it", rule.name),
                format!(
                    "name whom it is for; if everybody is meant, `{} = \"allow\"` says so",
                    self.side.direction.word()
                ),
            ));
        }
        // A `deny` in front of a default that denies is a guard against rules to come: only who asks wants to hear of it.
        if thoroughness < Thoroughness::All {
            return Ok(findings);
        }
        if rule.limit.is_none() && self.is_redundant(of, hits, verdict)? {
            findings.push(Finding::new(
                Code::Redundant,
                rule,
                format!(
                    "rule `{}` changes nothing: without it, every packet gets the same verdict",
                    rule.name
                ),
                "take it out, unless its counter is what you want",
            ));
        } else {
            findings.extend(self.partly_shadowed(of, hits)?);
        }
        Ok(findings)
    }

    /// Whether the rule's conditions leave out no packet of a family that gets to the rules.
    fn covers_everything(&mut self, of: &Rows<'_>) -> Result<bool, TooLarge> {
        let matching = self.matching(of)?;
        Ok(matching == self.reaching)
    }

    /// Whether all that gets to the rule, which has no limit, would get the same verdict behind it without one, and its flows be kept or not as by
    /// the rule.
    fn is_redundant(&mut self, of: &Rows<'_>, hits: &[Diagram], verdict: Verdict) -> Result<bool, TooLarge> {
        for row in &of.rows {
            let (Some(hit), Some(behind)) = (hits.get(*row), self.decisions.behind.get(*row)) else {
                continue;
            };
            let answers = self.space.choose(*hit, *behind, Diagram::NOTHING)?;
            for number in self.space.answers(answers, self.land) {
                let Some(answer) = self.decisions.answer(number) else {
                    continue;
                };
                let (behind, kept, limited) = self.outcome(answer);
                let same = kept == of.rule.stateful && !limited;
                if behind != verdict || (verdict == Verdict::Allow && !same) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The verdict, whether the flow of what is allowed is kept, and whether it is limited.
    fn outcome(&self, answer: Answer) -> (Verdict, bool, bool) {
        let policy = self.side.policy;
        let rule = answer
            .rule
            .and_then(|index| policy.rules.get(usize::try_from(index).ok()?));
        rule.and_then(|rule| Some((rule.action.verdict()?, rule.stateful, rule.limit.is_some())))
            .unwrap_or_else(|| {
                (
                    policy.firewall.default_of(self.side.direction),
                    policy.firewall.stateful,
                    false,
                )
            })
    }

    /// A rule that rules before it take part of the traffic from, with another verdict.
    fn partly_shadowed(&mut self, of: &Rows<'_>, hits: &[Diagram]) -> Result<Option<Finding>, TooLarge> {
        let mut left = Diagram::NOTHING;
        for row in &of.rows {
            if let Some(hit) = hits.get(*row).copied() {
                left = self.space.or(left, hit)?;
            }
        }
        let matching = self.matching(of)?;
        let taken = self.space.minus(matching, left)?;
        if !self.is_some(taken) {
            return Ok(None);
        }
        let (deciders, _) = self.deciders(taken)?;
        let others: Vec<&Rule> = deciders
            .into_iter()
            .filter(|decider| differ(decider, of.rule))
            .collect();
        if others.is_empty() {
            return Ok(None);
        }
        let (boxes, more) = blocks(&self.space, left, MAX_BOXES);
        let mut shown: BTreeMap<usize, String> = BTreeMap::new();
        for (at, block) in boxes.iter().take(MAX_TOLD).enumerate() {
            shown.insert(at, boxed(block, self.side.host));
        }
        let rest = match (more, boxes.len().saturating_sub(MAX_TOLD)) {
            (true, _) => format!(", and more than {} other boxes", MAX_BOXES - MAX_TOLD),
            (false, 0) => String::new(),
            (false, rest) => format!(", and {rest} more"),
        };
        let shown: Vec<String> = shown.into_values().collect();
        let message = format!(
            "{} takes part of what rule `{}` matches; what is left: {}{rest}",
            named(&others),
            of.rule.name,
            shown.join("; ")
        );
        let related = others.iter().take(MAX_TOLD);
        let related: Vec<_> = related
            .map(|other| {
                (
                    other.place.clone(),
                    format!("`{}` is judged before it", other.name),
                )
            })
            .collect();
        let help = "nothing to do if that is meant; otherwise change the order of the rules";
        Ok(Some(
            Finding::new(Code::PartlyShadowed, of.rule, message, help).with(related.into_iter()),
        ))
    }
}

fn named(rules: &[&Rule]) -> String {
    let names: Vec<String> = rules
        .iter()
        .take(MAX_TOLD)
        .map(|rule| format!("`{}`", rule.name))
        .collect();
    match (names.as_slice(), rules.len().saturating_sub(MAX_TOLD)) {
        ([], _) => "the default".to_owned(),
        (_, 0) => names.join(" and "),
        (_, more) => format!("{} and {more} more", names.join(", ")),
    }
}

fn verb(rule: &Rule, subjects: usize) -> String {
    let word = match rule.action {
        Action::Allow => "allow",
        Action::Deny => "den",
        Action::Next => "leave",
    };
    match (rule.action, subjects) {
        (Action::Deny, 1) => "denies".to_owned(),
        (Action::Deny, _) => "deny".to_owned(),
        (_, 1) => format!("{word}s"),
        _ => word.to_owned(),
    }
}

/// A message is a line.
const MAX_TOLD: usize = 3;
const MAX_BOXES: usize = 200;
