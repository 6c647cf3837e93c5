//! Which features of the policy language random policies have, and which of them had a part in decisions.
//!
//! A feature of a rule takes part when the rule decides or is observed; a feature of the whole policy when the decision is of the
//! kind that it is about.

use std::fmt;

use ravelin_datapath::{Decision, Reason};
use ravelin_rules::Policy;
use ravelin_rules::policy::{Action, Direction};

use super::sketch::{NOW, RuleSketch, Sketch};
use super::words::{AddressWord, Block, ScopeSketch};

macro_rules! features {
    ($($name:literal => $holds:expr;)*) => {
        /// What a rule can have: a name, and whether a rule of a policy has it.
        const RULE_FEATURES: &[(&str, fn(&Sketch, &RuleSketch) -> bool)] = &[$(($name, $holds),)*];
    };
}

features! {
    "direction inbound" => |_, rule| rule.direction == Direction::Inbound;
    "direction outbound" => |_, rule| rule.direction == Direction::Outbound;
    "action allow" => |_, rule| rule.action == Action::Allow;
    "action deny" => |_, rule| rule.action == Action::Deny;
    "mode observe" => |_, rule| rule.observe;
    "mode observe, action next" => |_, rule| rule.observe && rule.action == Action::Next;
    "expires, ahead" => |_, rule| rule.expires.is_some_and(|end| end > NOW);
    "interface" => |_, rule| rule.interface.is_some();
    "priority" => |_, rule| rule.priority.is_some();
    "top-level rule" => |_, rule| rule.block == Block::TopLevel;
    "scope global" => |_, rule| matches!(rule.block, Block::Policy(ScopeSketch::Global, _));
    "scope region" => |_, rule| matches!(rule.block, Block::Policy(ScopeSketch::Region(_), _));
    "scope vpc" => |_, rule| matches!(rule.block, Block::Policy(ScopeSketch::Vpc(_), _));
    "scope host" => |_, rule| matches!(rule.block, Block::Policy(ScopeSketch::Host, _));
    "address prefix" => |_, rule| any_word(rule, |word| matches!(word, AddressWord::Prefix(_)));
    "address range" => |_, rule| any_word(rule, |word| matches!(word, AddressWord::Range(..)));
    "address @set" => |_, rule| any_word(rule, |word| matches!(word, AddressWord::Set(_)));
    "address @set from a file" => |sketch, rule| any_word(rule, |word| matches!(word, AddressWord::Set(at) if sketch.sets[*at].in_file));
    "address @set with ends" => |sketch, rule| any_word(rule, |word| matches!(word, AddressWord::Set(at) if sketch.sets[*at].entries.iter().any(|(_, end)| end.is_some())));
    "address self" => |_, rule| any_word(rule, |word| matches!(word, AddressWord::Own));
    "address local-vpc" => |_, rule| any_word(rule, |word| matches!(word, AddressWord::LocalVpc(_)));
    "address vpc:NAME" => |_, rule| any_word(rule, |word| matches!(word, AddressWord::Vpc(_)));
    "address !prefix" => |_, rule| any_exception(rule, |word| matches!(word, AddressWord::Prefix(_)));
    "address !range" => |_, rule| any_exception(rule, |word| matches!(word, AddressWord::Range(..)));
    "address !@set" => |_, rule| any_exception(rule, |word| matches!(word, AddressWord::Set(_)));
    "address !self" => |_, rule| any_exception(rule, |word| matches!(word, AddressWord::Own));
    "address !local-vpc" => |_, rule| any_exception(rule, |word| matches!(word, AddressWord::LocalVpc(_)));
    "address !vpc:NAME" => |_, rule| any_exception(rule, |word| matches!(word, AddressWord::Vpc(_)));
    "address, nothing but exceptions" => |_, rule| [&rule.source, &rule.destination].iter().any(|words| !words.is_empty() && words.iter().all(|word| matches!(word, AddressWord::Not(_))));
    "protocol" => |_, rule| !rule.protocols.is_empty();
    "ports" => |_, rule| !rule.ports.is_empty();
    "source_ports" => |_, rule| !rule.source_ports.is_empty();
    "icmp" => |_, rule| !rule.icmp.is_empty();
    "tcp_flags" => |_, rule| rule.tcp_flags.is_some();
}

/// What a whole policy can have, and the decisions it is about.
type PolicyFeature = (&'static str, fn(&Sketch) -> bool, fn(&Sketch, &Decision) -> bool);

const POLICY_FEATURES: &[PolicyFeature] = &[
    (
        "action next",
        |sketch| {
            sketch
                .rules
                .iter()
                .any(|rule| rule.action == Action::Next && !rule.observe)
        },
        |_, decision| decision.rule.is_some() || decision.reason == Reason::Default,
    ),
    (
        "rules of another region or vpc",
        |sketch| sketch.rules.iter().any(|rule| !sketch.is_here(rule)),
        |_, decision| decision.rule.is_some(),
    ),
    (
        "enabled = false",
        |sketch| sketch.rules.iter().any(|rule| !rule.enabled),
        |_, decision| decision.rule.is_some() || decision.reason == Reason::Default,
    ),
    (
        "expires, over",
        |sketch| {
            sketch
                .rules
                .iter()
                .any(|rule| rule.expires.is_some_and(|end| end <= NOW))
        },
        |_, decision| decision.rule.is_some() || decision.reason == Reason::Default,
    ),
    (
        "interfaces in VPCs",
        |sketch| sketch.vpcs.len() > 1 && sketch.interfaces.iter().any(Option::is_some),
        |_, decision| decision.reason == Reason::SpoofedSource,
    ),
    (
        "peers",
        |sketch| sketch.vpcs.iter().any(|vpc| !vpc.peers.is_empty()),
        |_, decision| decision.reason == Reason::SpoofedSource || decision.rule.is_some(),
    ),
    (
        "several interfaces",
        |sketch| sketch.interfaces.len() > 1,
        |_, decision| decision.rule.is_some(),
    ),
    (
        "never_ban, cutting a feed",
        |sketch| {
            sketch.rules.iter().any(|rule| rule.action == Action::Deny && any_word(rule, |word| matches!(word, AddressWord::Set(at) if sketch.sets[*at].in_file && sketch.is_cut(*at))))
        },
        |_, decision| decision.rule.is_some() || decision.reason == Reason::Default,
    ),
    (
        "essentials = false",
        |sketch| !sketch.essentials,
        |_, decision| decision.rule.is_some() || decision.reason == Reason::Default,
    ),
    (
        "firewall.classes",
        |sketch| !sketch.classes.is_empty(),
        |sketch, decision| {
            let mut classes = sketch.classes.iter();
            classes.any(|(class, _)| decision.seen.contains(*class))
        },
    ),
];

/// How often each feature was there, and how often it took part.
#[derive(Clone, Debug)]
pub struct Coverage {
    rules: [Seen; RULE_FEATURES.len()],
    policies: [Seen; POLICY_FEATURES.len()],
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Policies that have it.
    policies: u64,
    /// Decisions that it took part in.
    pairs: u64,
}

impl Default for Coverage {
    fn default() -> Self {
        Self {
            rules: [Seen::default(); RULE_FEATURES.len()],
            policies: [Seen::default(); POLICY_FEATURES.len()],
        }
    }
}

impl Coverage {
    pub(super) fn policy(&mut self, sketch: &Sketch) {
        for (seen, (_, has)) in self.rules.iter_mut().zip(RULE_FEATURES) {
            seen.policies += u64::from(sketch.rules.iter().any(|rule| has(sketch, rule)));
        }
        for (seen, (_, has, _)) in self.policies.iter_mut().zip(POLICY_FEATURES) {
            seen.policies += u64::from(has(sketch));
        }
    }

    pub(super) fn pair(&mut self, sketch: &Sketch, policy: &Policy, decision: &Decision) {
        for index in [decision.rule, decision.observed].into_iter().flatten() {
            let name = usize::try_from(index)
                .ok()
                .and_then(|index| policy.rules.get(index));
            let Some(rule) = name.and_then(|rule| {
                sketch
                    .rules
                    .iter()
                    .find(|sketch| sketch.name == rule.name.as_str())
            }) else {
                continue;
            };
            for (seen, (_, has)) in self.rules.iter_mut().zip(RULE_FEATURES) {
                seen.pairs += u64::from(has(sketch, rule));
            }
        }
        for (seen, (_, has, about)) in self.policies.iter_mut().zip(POLICY_FEATURES) {
            seen.pairs += u64::from(has(sketch) && about(sketch, decision));
        }
    }

    pub(super) fn missing(&self) -> Vec<&'static str> {
        let missing = self
            .rows()
            .filter(|(_, seen)| seen.policies == 0 || seen.pairs == 0);
        missing.map(|(name, _)| name).collect()
    }

    fn rows(&self) -> impl Iterator<Item = (&'static str, Seen)> {
        let names = RULE_FEATURES.iter().map(|(name, _)| *name);
        let names = names.chain(POLICY_FEATURES.iter().map(|(name, ..)| *name));
        names.zip(self.rules.iter().chain(&self.policies).copied())
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<34} {:>8} {:>8}", "feature", "policies", "pairs")?;
        for (name, Seen { policies, pairs }) in self.rows() {
            writeln!(f, "{name:<34} {policies:>8} {pairs:>8}")?;
        }
        Ok(())
    }
}

fn any_word(rule: &RuleSketch, holds: impl Fn(&AddressWord) -> bool) -> bool {
    rule.source.iter().chain(&rule.destination).any(holds)
}

fn any_exception(rule: &RuleSketch, holds: impl Fn(&AddressWord) -> bool) -> bool {
    any_word(rule, |word| matches!(word, AddressWord::Not(word) if holds(word)))
}
