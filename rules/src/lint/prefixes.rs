//! Prefixes that are not what they seem: order is not length, and an exception has to be in the list.

use ipnet::IpNet;

use super::{Finding, Thoroughness, decides, opposite};
use crate::Policy;
use crate::diagnostic::Code;
use crate::policy::{AddressMatch, PrefixSet, Rule};

pub(super) fn lint(policy: &Policy, thoroughness: Thoroughness) -> Vec<Finding> {
    let mut findings: Vec<Finding> = policy.rules.iter().flat_map(exceptions).collect();
    if thoroughness == Thoroughness::All {
        findings.extend(order(policy));
    }
    findings
}

/// Exceptions for addresses that the list does not include anyway.
fn exceptions(rule: &Rule) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (key, side) in [("source", &rule.source), ("destination", &rule.destination)] {
        let AddressMatch {
            include: Some(include),
            include_self: false,
            exclude,
            ..
        } = side
        else {
            continue;
        };
        // A set of exceptions is used by many rules, and seldom fits each of them.
        let own = exclude
            .elements()
            .iter()
            .filter(|element| element.origin.list.set.is_none());
        for element in own.take(MAX_TOLD) {
            if !overlaps(include, &element.prefix) {
                findings.push(Finding::new(
                    Code::NothingExcluded,
                    rule,
                    format!(
                        "`!{}` in `{key}` of rule `{}` excludes nothing",
                        element.prefix, rule.name
                    ),
                    "take it out: no other word of the list includes any of its addresses",
                ));
            }
        }
    }
    findings
}

fn overlaps(set: &PrefixSet, prefix: &IpNet) -> bool {
    let mut elements = set.elements().iter();
    elements.any(|element| element.prefix.contains(prefix) || prefix.contains(&element.prefix))
}

/// A wider prefix in front of a narrower one, with the opposite action. Longest prefix is not priority.
fn order(policy: &Policy) -> Vec<Finding> {
    let mut findings = Vec::new();
    let rules: Vec<&Rule> = policy
        .rules
        .iter()
        .filter(|rule| decides(rule))
        .take(MAX_RULES)
        .collect();
    for (at, later) in rules.iter().enumerate() {
        let mut earlier = rules.iter().take(at).filter(|earlier| {
            earlier.direction == later.direction
                && opposite(earlier, later)
                && (is_narrower(&later.source, &earlier.source)
                    || is_narrower(&later.destination, &earlier.destination))
        });
        if let Some(earlier) = earlier.next_back() {
            let finding = Finding::new(
                Code::PrefixOrder,
                later,
                format!(
                    "rule `{}` names a part of the addresses of `{}`, which stands before it and does the opposite",
                    later.name, earlier.name
                ),
                format!(
                    "put it in front of `{}` if it is the exception: the first rule that matches decides, not the longest prefix",
                    earlier.name
                ),
            );
            findings
                .push(finding.with([(earlier.place.clone(), "the rule before it".to_owned())].into_iter()));
        }
    }
    findings
}

/// Whether a prefix of the one lies inside a wider one of the other.
fn is_narrower(one: &AddressMatch, other: &AddressMatch) -> bool {
    let (Some(one), Some(other)) = (&one.include, &other.include) else {
        return false;
    };
    one.elements().iter().take(MAX_PREFIXES).any(|narrow| {
        let mut wider = other.elements().iter().take(MAX_PREFIXES);
        wider.any(|wide| wide.prefix != narrow.prefix && wide.prefix.contains(&narrow.prefix))
    })
}

/// Every rule is compared with every other, prefix by prefix; people write lists that are shorter than this.
const MAX_PREFIXES: usize = 64;
const MAX_RULES: usize = 500;
/// A list of exceptions for the wrong network is one mistake.
const MAX_TOLD: usize = 3;
