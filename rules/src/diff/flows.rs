//! What a change does to flows and limits: a box tells of one packet by itself, and flows let through others because of it, or limits keep
//! them out.

use std::collections::BTreeSet;

use crate::Direction;
use crate::Policy;
use crate::policy::{Action, FlowTimeouts, Limit, Rule, RuleName};

/// Tells `compare` the settings that decide which packets flows let through, with their words before and now.
pub(super) fn settings(old: &Policy, new: &Policy, compare: &mut impl FnMut(String, &str, &str)) {
    let word = |on: bool| if on { "true" } else { "false" };
    let turned = old.firewall.stateful != new.firewall.stateful;
    let of = |policy: &Policy, rule: &Rule| rule.stateful == policy.firewall.stateful;
    let mut inherited = false;
    for (before, now) in pairs(old, new) {
        // A rule that says nothing itself turns with the setting, and one line tells all of them.
        if turned && of(old, before) && of(new, now) {
            inherited = true;
        } else {
            compare(
                format!("rule.{}.stateful", now.name),
                word(before.stateful),
                word(now.stateful),
            );
        }
    }
    let allows = |policy: &Policy| {
        let mut directions = Direction::ALL.iter();
        directions.any(|direction| policy.firewall.default_of(*direction) == ravelin_datapath::Verdict::Allow)
    };
    if inherited || (allows(old) && allows(new)) {
        compare(
            "firewall.stateful".to_owned(),
            word(old.firewall.stateful),
            word(new.firewall.stateful),
        );
    }
    limits(old, new, compare);
    proxies(old, new, compare);
    if old.keeps_flows() && new.keeps_flows() {
        timeouts(&old.firewall.flow_timeouts, &new.firewall.flow_timeouts, compare);
    }
}

/// Limits of rules, by their names, and the budget: a box that is allowed says nothing of them.
fn limits(old: &Policy, new: &Policy, compare: &mut impl FnMut(String, &str, &str)) {
    let word = |limit: Option<Limit>| limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string());
    let budget = |policy: &Policy| policy.flood.budget_words().unwrap_or_else(|| "none".to_owned());
    let limit = |policy: &Policy, name: &RuleName| {
        let mut rules = policy.rules.iter();
        let rule = rules.find(|rule| rule.name == *name);
        rule.map_or_else(|| "not there".to_owned(), |rule| word(rule.limit))
    };
    let limited: BTreeSet<&RuleName> = [old, new]
        .into_iter()
        .flat_map(|policy| policy.rules.iter().filter(|rule| rule.limit.is_some()))
        .map(|rule| &rule.name)
        .collect();
    for name in limited {
        compare(format!("rule.{name}.limit"), &limit(old, name), &limit(new, name));
    }
    compare("flood.syn_budget".to_owned(), &budget(old), &budget(new));
}

/// What is answered instead of denied, by the names of listeners.
fn proxies(old: &Policy, new: &Policy, compare: &mut impl FnMut(String, &str, &str)) {
    let word = |policy: &Policy, name: &str| {
        let mut listeners = policy.listeners.iter();
        match listeners.find(|listener| listener.name == name) {
            Some(listener) if listener.syn_proxy => "auto",
            Some(_) => "off",
            None => "not there",
        }
    };
    let proxied: BTreeSet<&str> = [old, new]
        .into_iter()
        .flat_map(|policy| policy.listeners.iter().filter(|listener| listener.syn_proxy))
        .map(|listener| listener.name.as_str())
        .collect();
    for name in proxied {
        compare(
            format!("listener.{name}.syn_proxy"),
            word(old, name),
            word(new, name),
        );
    }
}

/// Rules that allow, in both policies under the same name. What another rule allows is told by boxes.
fn pairs<'p>(old: &'p Policy, new: &'p Policy) -> impl Iterator<Item = (&'p Rule, &'p Rule)> {
    let before: std::collections::HashMap<_, _> = old.rules.iter().map(|rule| (&rule.name, rule)).collect();
    let allows = |rule: &Rule| rule.action == Action::Allow;
    let pair = move |now: &'p Rule| Some((*before.get(&now.name)?, now));
    new.rules
        .iter()
        .filter_map(pair)
        .filter(move |(before, now)| allows(before) && allows(now))
}

fn timeouts(old: &FlowTimeouts, new: &FlowTimeouts, compare: &mut impl FnMut(String, &str, &str)) {
    for (key, old, new) in [
        ("tcp", old.tcp, new.tcp),
        ("tcp_opening", old.tcp_short, new.tcp_short),
        ("udp", old.udp, new.udp),
        ("udp_replied", old.udp_both, new.udp_both),
        ("icmp", old.icmp, new.icmp),
    ] {
        compare(
            format!("firewall.flows.{key}"),
            &format!("{old:?}"),
            &format!("{new:?}"),
        );
    }
}
