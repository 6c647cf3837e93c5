//! What has ended: rules, entries, whole sets.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::Finding;
use crate::diagnostic::Code;
use crate::policy::rule::Place;
use crate::policy::{Element, Rule};
use crate::{HostFacts, Policy};

pub(super) fn lint(policy: &Policy, host: &HostFacts) -> Vec<Finding> {
    let now = host.clock.unix / 1_000_000_000;
    let mut findings = Vec::new();
    // Entries stand in every rule that uses their set, and are told of once.
    let mut ended: BTreeMap<(PathBuf, u32, String), Option<String>> = BTreeMap::new();
    let mut sets: BTreeMap<String, (bool, Place)> = BTreeMap::new();
    for rule in policy.rules.iter().chain(&policy.inert) {
        if let Some(end) = rule.expires.filter(|end| end.unix() <= now) {
            let message = format!("rule `{}` ended at {end}", rule.name);
            findings.push(Finding::new(
                Code::Expired,
                rule,
                message,
                "take it out, or give it a new `expires`",
            ));
        }
        for element in elements(rule) {
            let origin = &element.origin;
            let over = !element.lives_at(now);
            if let Some(set) = &origin.list.set {
                let known = sets.entry(set.clone()).or_insert_with(|| (true, place(element)));
                known.0 &= over;
            }
            if over {
                let place = (origin.list.file.clone(), origin.line, element.prefix.to_string());
                ended.insert(place, element.expires.map(|end| end.to_string()));
            }
        }
    }
    for ((file, line, prefix), end) in ended {
        findings.push(Finding {
            code: Code::Expired,
            message: format!("entry `{prefix}` ended at {}", end.unwrap_or_default()),
            place: Place {
                file: Arc::new(file),
                line,
                column: 1,
            },
            related: Vec::new(),
            help: "take it out, or give it a new `expires`".to_owned(),
        });
    }
    for (set, (_, place)) in sets.into_iter().filter(|(_, (over, _))| *over) {
        findings.push(Finding {
            code: Code::SetOver,
            message: format!("set `{set}` is empty: all its entries have ended"),
            place,
            related: Vec::new(),
            help: "give it entries that are there, or take out the rules that use it".to_owned(),
        });
    }
    findings
}

fn elements(rule: &Rule) -> impl Iterator<Item = &Element> {
    let sides = [&rule.source, &rule.destination].into_iter();
    let sets = sides.flat_map(|side| side.include.iter().chain([&side.exclude]));
    sets.flat_map(|set| set.elements())
}

fn place(element: &Element) -> Place {
    Place {
        file: Arc::new(element.origin.list.file.clone()),
        line: element.origin.line,
        column: 1,
    }
}
