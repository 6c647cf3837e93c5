//! A trace as text for people, and as JSON.

use std::fmt;

use ravelin_datapath::{Decision, Reason, Verdict};
use serde_json::json;

use super::question::Upper;
use super::words::flag_words;
use super::{Trace, Tried};
use crate::policy::Direction;
use crate::reference::Met;

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "packet      {}", self.packet())?;
        for (at, class) in self.tables.seen.iter().enumerate() {
            let heading = if at == 0 { "class" } else { "" };
            writeln!(f, "{heading:<11} {}: {}", class.label(), class.sentence())?;
        }
        writeln!(f, "essentials  {}", self.essentials_say())?;
        if self.flows {
            writeln!(
                f,
                "flows       not asked: a packet of a flow that was let through passes here, before the rules"
            )?;
        }
        self.rules(f)?;
        writeln!(f, "verdict     {}", self.conclusion())?;
        if let Some(limit) = &self.limit {
            writeln!(f, "limit       not asked, and what is over it is denied: {limit}")?;
        }
        if let Some(budget) = &self.syn_budget {
            writeln!(
                f,
                "syn_budget  not asked, and what is over it is denied where the source is not known: {budget}"
            )?;
        }
        if self.observe && self.verdict() == Verdict::Deny {
            writeln!(
                f,
                "            `[firewall] mode` is `observe`: the packet passes all the same"
            )?;
        }
        if !self.is_consistent() {
            writeln!(
                f,
                "\nthis is a bug in Ravelin, please report it with the policy and this text:"
            )?;
            writeln!(f, "  the tables say  {}", self.names(&self.tables))?;
            writeln!(f, "  the oracle says {}", self.names(&self.oracle))?;
        }
        Ok(())
    }
}

impl Trace {
    fn rules(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.reached_rules {
            return writeln!(f, "rules       not asked");
        }
        if self.tried.is_empty() && self.inert.is_empty() {
            return writeln!(f, "rules       the policy has none");
        }
        let width = self.tried.iter().map(|rule| rule.name.len()).max().unwrap_or(0);
        for (at, rule) in self.tried.iter().enumerate() {
            let heading = if at == 0 { "rules" } else { "" };
            writeln!(f, "{heading:<11} {:<width$}  {}", rule.name, rule.says())?;
        }
        match self.not_asked {
            0 => {}
            1 => writeln!(f, "            1 more rule, not asked")?,
            more => writeln!(f, "            {more} more rules, not asked")?,
        }
        for (name, scope) in self.inert.iter().take(MOST_INERT) {
            writeln!(f, "            {name} is not for this host: its scope is {scope}")?;
        }
        match self.inert.len().saturating_sub(MOST_INERT) {
            0 => Ok(()),
            more => writeln!(f, "            {more} more rules that are not for this host"),
        }
    }

    fn packet(&self) -> String {
        let way = match (self.direction, &self.interface) {
            (Direction::Inbound, None) => String::new(),
            (Direction::Inbound, Some(interface)) => format!(", in on {interface}"),
            (Direction::Outbound, None) => ", outbound".to_owned(),
            (Direction::Outbound, Some(interface)) => format!(", out on {interface}"),
        };
        let packet = self.packet.map_or_else(
            || format!("a frame of {} bytes", self.bytes),
            |packet| packet.says(),
        );
        packet + &way
    }

    fn essentials_say(&self) -> String {
        match self.tables.reason {
            _ if !self.essentials => "off".to_owned(),
            reason if is_essential(reason) => format!("{}: {}", reason.label(), without_prefix(reason)),
            _ if !self.reached_rules => "not asked".to_owned(),
            _ => "none applies".to_owned(),
        }
    }

    fn conclusion(&self) -> String {
        let verdict = self.tables.verdict.word();
        match self.tables.reason {
            Reason::Rule => match self.deciding() {
                Some(rule) => format!("{verdict} by rule `{}` ({})", rule.name, rule.place),
                None => format!("{verdict} by a rule"),
            },
            Reason::Default => format!(
                "{verdict}: no rule matched, and `[firewall] {}` is `{verdict}`",
                self.direction.word()
            ),
            reason => format!("{verdict} by `{}`", reason.label()),
        }
    }

    fn deciding(&self) -> Option<&Tried> {
        self.tried.iter().find(|rule| rule.met == Met::Decided)
    }

    fn names(&self, decision: &Decision) -> String {
        let seen: Vec<&str> = decision.seen.iter().map(|class| class.label()).collect();
        format!(
            "{}, reason {}, rule {}, classes [{}]",
            decision.verdict.word(),
            decision.reason.label(),
            decision
                .rule
                .map_or_else(|| "none".to_owned(), |rule| rule.to_string()),
            seen.join(", ")
        )
    }
}

impl Tried {
    fn says(&self) -> String {
        let place = &self.place;
        if self.met == Met::Expired {
            let end = self.expires.map_or_else(String::new, |end| end.to_string());
            return format!("not there ({place}): it ended at {end}");
        }
        if self.met == Met::LeftOut {
            return format!("left out ({place}): a `next` before it went on with the next scope");
        }
        if self.met == Met::NoMatch {
            let failed = || self.conditions.iter().filter(|condition| !condition.holds);
            // A packet of another protocol lacks what the rule asks of its own; one reason is enough.
            let other_protocol = failed().any(|condition| condition.key == "protocol");
            let told = failed().filter(|condition| !(other_protocol && condition.absent));
            let why: Vec<&str> = told.map(|condition| condition.says.as_str()).collect();
            return format!("no match ({place}): {}", why.join("; "));
        }
        let held: Vec<&str> = self
            .conditions
            .iter()
            .map(|condition| condition.says.as_str())
            .collect();
        let why = if held.is_empty() {
            "it has no condition".to_owned()
        } else {
            held.join("; ")
        };
        let does = match self.met {
            Met::Observed => format!("only observed: would {}", self.action.word()),
            Met::Next => "next: on with the next scope".to_owned(),
            _ => self.action.word().to_owned(),
        };
        format!("match, {does} ({place}): {why}")
    }
}

pub(super) fn json(trace: &Trace) -> String {
    let packet = trace.packet;
    let upper = packet.map_or(Upper::Nothing, |packet| packet.upper);
    let (source_port, port) = match upper {
        Upper::Tcp {
            source, destination, ..
        }
        | Upper::Udp { source, destination }
        | Upper::Sctp { source, destination } => (Some(source), Some(destination)),
        Upper::Message { .. } | Upper::Nothing => (None, None),
    };
    let icmp = match upper {
        Upper::Message { kind, code } => Some(format!("{kind}/{code}")),
        _ => None,
    };
    let tcp_flags = match upper {
        Upper::Tcp { flags, .. } => Some(flag_words(flags)),
        _ => None,
    };
    let rules: Vec<_> = trace.tried.iter().map(rule_json).collect();
    let classes: Vec<&str> = trace.tables.seen.iter().map(|class| class.label()).collect();
    let deciding = trace.deciding();
    let document = json!({
        "packet": {
            "source": packet.map(|packet| packet.source),
            "destination": packet.map(|packet| packet.destination),
            "protocol": packet.map(|packet| packet.protocol),
            "port": port,
            "source_port": source_port,
            "icmp": icmp,
            "tcp_flags": tcp_flags,
            "bytes": trace.bytes,
            "direction": trace.direction.word(),
            "interface": trace.interface,
        },
        "classes": classes,
        "passes_in_a_flow": trace.flows,
        "rules": rules,
        "rules_not_asked": trace.not_asked,
        "rules_of_other_scopes": trace.inert.iter().map(|(name, scope)| json!({ "name": name, "scope": scope })).collect::<Vec<_>>(),
        "verdict": trace.tables.verdict.word(),
        "reason": trace.tables.reason.label(),
        "observed": trace.tried.iter().find(|rule| rule.met == Met::Observed).map(|rule| &rule.name),
        "rule": deciding.map(|rule| &rule.name),
        "place": deciding.map(|rule| &rule.place),
        "limit": trace.limit,
        "syn_budget": trace.syn_budget,
        "mode": if trace.observe { "observe" } else { "enforce" },
        "consistent": trace.is_consistent(),
    });
    format!("{document:#}\n")
}

fn rule_json(rule: &Tried) -> serde_json::Value {
    let conditions: Vec<_> = rule
        .conditions
        .iter()
        .map(|condition| json!({ "key": condition.key, "holds": condition.holds, "says": condition.says }))
        .collect();
    json!({
        "name": rule.name,
        "place": rule.place,
        "action": rule.action.word(),
        "matched": matches!(rule.met, Met::Decided | Met::Next | Met::Observed),
        "outcome": outcome(rule.met),
        "conditions": conditions,
    })
}

/// Stable words for programs.
fn outcome(met: Met) -> &'static str {
    match met {
        Met::OtherDirection => "other-direction",
        Met::Expired => "expired",
        Met::LeftOut => "left-out",
        Met::NoMatch => "no-match",
        Met::Observed => "observed",
        Met::Next => "next",
        Met::Decided => "decided",
    }
}

/// A company's baseline has rules for every region; an answer about one packet is about one host.
const MOST_INERT: usize = 8;

fn is_essential(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Loopback
            | Reason::Arp
            | Reason::IcmpError
            | Reason::Ndp
            | Reason::Mld
            | Reason::DhcpClient
            | Reason::Dhcpv6Client
    )
}

fn without_prefix(reason: Reason) -> &'static str {
    let sentence = reason.sentence();
    sentence.strip_prefix("essential: ").unwrap_or(sentence)
}
