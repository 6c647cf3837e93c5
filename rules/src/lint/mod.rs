//! What rules do, and do not do: findings about a policy that is well-formed.
//!
//! Policy + host → rows → [`crate::space`] → **`Finding`s**. Exact: a rule is called unreachable when no packet exists that it decides,
//! and only then. What cannot be decided within the bounds of the algebra is said to be undecided. Knows no text.

mod ends;
mod prefixes;
mod reach;

use crate::diagnostic::Code;
use crate::policy::rule::Place;
use crate::policy::{Action, Mode, Rule, Scope};
use crate::{Direction, HostFacts, Policy};

/// Which lints are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thoroughness {
    /// None.
    None,
    /// Those whose findings are mistakes nearly always.
    #[default]
    Likely,
    /// Also those that tell how rules share the traffic.
    All,
}

/// One finding.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) place: Place,
    pub(crate) related: Vec<(Place, String)>,
    pub(crate) help: String,
}

impl Finding {
    fn new(code: Code, rule: &Rule, message: String, help: impl Into<String>) -> Self {
        Self {
            code,
            message,
            place: rule.place.clone(),
            related: Vec::new(),
            help: help.into(),
        }
    }

    fn with(mut self, related: impl Iterator<Item = (Place, String)>) -> Self {
        self.related.extend(related);
        self
    }
}

/// Every finding about `policy` on `host`.
pub(crate) fn lint(policy: &Policy, host: &HostFacts, thoroughness: Thoroughness) -> Vec<Finding> {
    if thoroughness == Thoroughness::None {
        return Vec::new();
    }
    let mut findings = ends::lint(policy, host);
    findings.extend(prefixes::lint(policy, thoroughness));
    // What `self` stands for decides which packets a rule matches: without it there is nothing exact to say.
    let mentions_self = |rule: &Rule| rule.source.mentions_self() || rule.destination.mentions_self();
    let known = host.addresses().next().is_some();
    if known || !policy.rules.iter().any(mentions_self) {
        for direction in Direction::ALL {
            findings.extend(reach::lint(policy, host, direction, thoroughness));
        }
    }
    if thoroughness == Thoroughness::All {
        findings.extend(policy.inert.iter().map(inert));
    }
    findings
}

fn inert(rule: &Rule) -> Finding {
    let scope = match &rule.scope {
        Scope::Region(region) => format!("of region `{region}`"),
        Scope::Vpc(vpc) => format!("of VPC `{vpc}`"),
        Scope::Global | Scope::Host => "of every host".to_owned(),
    };
    Finding::new(
        Code::Inert,
        rule,
        format!(
            "rule `{}` is for the hosts {scope}, and this is none of them",
            rule.name
        ),
        "nothing to do, unless `[host]` should say otherwise",
    )
}

/// Whether it makes a difference which of two rules decides about a packet: by the verdict, by whether its flow is kept, or by a limit, which
/// has buckets of its own.
fn differ(one: &Rule, other: &Rule) -> bool {
    let allow = one.action == Action::Allow && other.action == Action::Allow;
    let limited = one.limit.is_some() || other.limit.is_some();
    opposite(one, other) || (allow && (limited || one.stateful != other.stateful))
}

/// Whether two rules would give a packet different verdicts.
fn opposite(one: &Rule, other: &Rule) -> bool {
    match (one.action, other.action) {
        (Action::Next, _) | (_, Action::Next) => true,
        (one, other) => one != other,
    }
}

/// Whether the rule can decide at all.
fn decides(rule: &Rule) -> bool {
    rule.mode == Mode::Enforce && rule.action != Action::Next
}
