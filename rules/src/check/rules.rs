//! Every rule of every scope, in the order of judgement.

use std::collections::HashMap;

use super::names::Names;
use super::rule;
use super::sets::Sets;
use crate::diagnostic::{Code, Reporter};
use crate::document::rule::{Policy as WrittenPolicy, Rule as WrittenRule};
use crate::policy::{Rule, Scope};
use crate::source::Span;

/// Checks the rules and puts them into the order of judgement: scope, then priority, then file order.
pub(super) fn check(
    policies: Vec<WrittenPolicy>,
    top_level: Vec<WrittenRule>,
    sets: &mut Sets,
    reporter: &mut Reporter,
) -> Vec<Rule> {
    let mut titles = Names::new("policy");
    let mut names = Names::new("rule");
    let mut rules = Vec::new();
    let scoped = policies.into_iter().map(|policy| {
        titles.check_title(policy.name.as_ref(), reporter);
        let scope = match policy.scope.map(|word| word.value) {
            Some("global") => Scope::Global,
            _ => Scope::Host,
        };
        (scope, policy.rules)
    });
    let lists: Vec<_> = scoped.collect();
    for (scope, written) in lists.into_iter().chain([(Scope::Host, top_level)]) {
        report_priorities(&written, reporter);
        for rule in &written {
            let name = names.check(rule.name.as_ref(), reporter);
            let place = rule.span;
            let rule = rule::check(rule, name, scope.clone(), sets, reporter);
            rules.extend(rule.map(|rule| (place, rule)));
        }
    }
    // A `[[rule]]` may stand before a `[[policy]]` of the same scope: file order is the order of places, not of lists.
    rules.sort_by_key(|(place, rule)| (rule.scope.level(), rule.priority.is_none(), rule.priority, *place));
    rules.into_iter().map(|(_, rule)| rule).collect()
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
