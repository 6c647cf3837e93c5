//! Every rule of every scope, in the order of judgement.

use std::collections::HashMap;

use super::addresses::Words;
use super::names::Names;
use super::rule;
use super::zones::{Zones, label};
use crate::diagnostic::{Code, Reporter};
use crate::document::rule::{Policy as WrittenPolicy, Rule as WrittenRule, Scope as WrittenScope};
use crate::policy::{Firewall, Host, Rule, Scope};
use crate::source::Span;

/// The rules, by whether they are judged on this host.
pub(super) struct Rules {
    /// In the order of judgement.
    pub(super) here: Vec<Rule>,
    /// Of regions and VPCs that the host is not in, in file order.
    pub(super) inert: Vec<Rule>,
}

/// Checks the rules and puts them into the order of judgement: scope, then priority, then file order.
pub(super) fn check(
    policies: Vec<WrittenPolicy>,
    top_level: Vec<WrittenRule>,
    words: &mut Words<'_>,
    firewall: &Firewall,
    reporter: &mut Reporter,
) -> Rules {
    let mut titles = Names::new("policy");
    let mut names = Names::new("rule");
    let mut rules = Vec::new();
    let mut lists = Vec::new();
    for policy in policies {
        titles.check_title(policy.name.as_ref(), reporter);
        let scope = scope(policy.scope, words.zones, reporter);
        lists.push((scope, policy.rules));
    }
    lists.push((Scope::Host, top_level));
    for (scope, written) in lists {
        report_priorities(&written, reporter);
        for rule in &written {
            let name = names.check(rule.name.as_ref(), reporter);
            let place = rule.span;
            let rule = rule::check(rule, name, scope.clone(), words, firewall, reporter);
            rules.extend(rule.map(|rule| (place, rule)));
        }
    }
    // A `[[rule]]` may stand before a `[[policy]]` of the same scope: file order is the order of places, not of lists.
    rules.sort_by_key(|(place, rule)| (rule.scope.level(), rule.priority.is_none(), rule.priority, *place));
    let (here, inert): (Vec<_>, Vec<_>) = rules
        .into_iter()
        .partition(|(_, rule)| is_here(&rule.scope, &words.zones.host));
    let mut inert = inert;
    inert.sort_by_key(|(place, _)| *place);
    Rules {
        here: here.into_iter().map(|(_, rule)| rule).collect(),
        inert: inert.into_iter().map(|(_, rule)| rule).collect(),
    }
}

fn is_here(scope: &Scope, host: &Host) -> bool {
    match scope {
        Scope::Global | Scope::Host => true,
        Scope::Region(region) => host.region.as_ref() == Some(region),
        Scope::Vpc(vpc) => host.vpc.as_ref() == Some(vpc),
    }
}

/// The scope; one that makes no sense is reported, and its rules are checked as the host's.
fn scope(written: Option<WrittenScope>, zones: &Zones, reporter: &mut Reporter) -> Scope {
    match written {
        Some(WrittenScope::Word("global")) => Scope::Global,
        Some(WrittenScope::Word(_)) | None => Scope::Host,
        Some(WrittenScope::Table {
            region: Some(region),
            vpc: None,
            ..
        }) => label(region, "region", reporter).map_or(Scope::Host, Scope::Region),
        Some(WrittenScope::Table {
            region: None,
            vpc: Some(vpc),
            ..
        }) => match zones.find(&vpc, reporter) {
            Some(vpc) => Scope::Vpc(vpc.name.clone()),
            None => Scope::Host,
        },
        Some(WrittenScope::Table { span, region, .. }) => {
            let message = match region {
                Some(_) => "a scope of a region and a VPC",
                None => "a scope of nothing",
            };
            let help = "write one of `{ region = \"eu-west-1\" }` and `{ vpc = \"prod\" }`, or `\"global\"` or `\"host\"`";
            reporter.report(Code::BadScope, span, message, help);
            Scope::Host
        }
    }
}

fn report_priorities(rules: &[WrittenRule], reporter: &mut Reporter) {
    let mut seen: HashMap<i64, Span> = HashMap::new();
    for priority in rules.iter().filter_map(|rule| rule.priority) {
        if let Some(first) = seen.get(&priority.value) {
            let message = format!("priority {} is used twice in one policy", priority.value);
            let related = [(*first, "first used here")];
            let help = "give each rule a priority of its own, or leave both out to judge them in file order";
            reporter.report_with(Code::DuplicatePriority, priority.span, message, &related, help);
        } else {
            seen.insert(priority.value, priority.span);
        }
    }
}
