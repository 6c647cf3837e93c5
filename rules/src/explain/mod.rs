//! Explanations: what happens to one packet, and every rule tried on the way, with the condition that decided each.
//!
//! Question + policy → frame → **`Trace`**. The frame is judged twice, by the compiled tables and by the oracle: an
//! explanation that is not what the tables do would be worse than none.

mod question;
mod render;
mod words;

use std::net::IpAddr;

use ravelin_datapath::{Decision, Origin, SliceFrame, Verdict, decide};

use crate::policy::{Action, AddressMatch, Direction, Mode, PrefixSet, Protocols, Rule};
use crate::reference::{Condition, Facts, covers, examine};
use crate::{HostFacts, Policy, TableImage};

pub use question::{Question, QuestionError};
pub use words::{parse_icmp, parse_protocol, parse_tcp_flags};

use words::{flag_words, joined, message_words, port_words, protocol_word, wanted_flags};

/// Explains what `policy`, compiled to `image`, does with a packet.
///
/// # Errors
///
/// [`QuestionError`] when there is no such packet.
pub fn explain(
    policy: &Policy,
    host: &HostFacts,
    image: &TableImage,
    question: &Question,
) -> Result<Trace, QuestionError> {
    let upper = question.upper()?;
    let frame = question.frame()?;
    let tables = decide(&SliceFrame(&frame), image, Origin::default());
    let oracle = examine(policy, host, Direction::Inbound, Origin::default(), &frame);
    let asked = match &oracle.facts {
        None => 0,
        Some(_) => oracle
            .decision
            .rule
            .and_then(|rule| usize::try_from(rule).ok())
            .map_or(policy.rules.len(), |rule| rule + 1),
    };
    let tried = match &oracle.facts {
        None => Vec::new(),
        Some(facts) => policy
            .rules
            .iter()
            .take(asked)
            .map(|rule| tried(rule, facts))
            .collect(),
    };
    Ok(Trace {
        question: question.clone(),
        upper,
        bytes: frame.len(),
        essentials: policy.firewall.essentials,
        observe: policy.firewall.mode == Mode::Observe,
        reached_rules: oracle.facts.is_some(),
        not_asked: policy.rules.len() - asked,
        tried,
        tables,
        oracle: oracle.decision,
    })
}

/// Everything there is to say about the judgement of one packet. `Display` is the text for people.
#[derive(Clone, Debug)]
pub struct Trace {
    question: Question,
    upper: question::Upper,
    bytes: usize,
    essentials: bool,
    observe: bool,
    reached_rules: bool,
    not_asked: usize,
    tried: Vec<Tried>,
    tables: Decision,
    oracle: Decision,
}

impl Trace {
    /// What the tables decide.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.tables.verdict
    }

    /// Whether the tables and the oracle say the same. If not, Ravelin has a bug, and the trace says so.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        self.tables == self.oracle
    }

    /// The trace as one JSON document.
    #[must_use]
    pub fn to_json(&self) -> String {
        render::json(self)
    }
}

/// A rule that was asked.
#[derive(Clone, Debug)]
struct Tried {
    name: String,
    place: String,
    action: Action,
    /// Only the conditions that the rule has.
    conditions: Vec<Checked>,
}

impl Tried {
    fn matched(&self) -> bool {
        self.conditions.iter().all(|condition| condition.holds)
    }
}

/// A condition that was looked at.
#[derive(Clone, Debug)]
struct Checked {
    key: &'static str,
    holds: bool,
    /// It asks for a fact that the packet does not have.
    absent: bool,
    says: String,
}

fn tried(rule: &Rule, facts: &Facts) -> Tried {
    let conditions = Condition::ALL.iter().filter(|condition| condition.is_in(rule));
    Tried {
        name: rule.name.to_string(),
        place: format!("{}:{}", rule.place.file.display(), rule.place.line),
        action: rule.action,
        conditions: conditions
            .map(|condition| checked(*condition, rule, facts))
            .collect(),
    }
}

fn checked(condition: Condition, rule: &Rule, facts: &Facts) -> Checked {
    let holds = condition.holds(rule, facts);
    let is = if holds { "is" } else { "is not" };
    let fit = if holds { "fit" } else { "do not fit" };
    let fits = if holds { "fits" } else { "does not fit" };
    // The TOML key, what the packet has of it, and the name of what it may lack.
    let (key, fact, kind, wanted) = match condition {
        Condition::Source => return addressed("source", &rule.source, facts.source),
        Condition::Destination => return addressed("destination", &rule.destination, facts.destination),
        Condition::Protocol => {
            let wanted = match &rule.protocols {
                Protocols::Any => "any".to_owned(),
                Protocols::Only(numbers) => joined(numbers, |number| protocol_word(*number)),
            };
            let protocol = compared("protocol", &protocol_word(facts.protocol), is, &wanted);
            ("protocol", Some(protocol), "protocol", wanted)
        }
        Condition::Ports => {
            let wanted = port_words(&rule.ports);
            let port = facts.ports().map(|(_, destination)| destination.to_string());
            let port = port.map(|port| compared("port", &port, is, &wanted));
            ("ports", port, "ports", wanted)
        }
        Condition::SourcePorts => {
            let wanted = port_words(&rule.source_ports);
            let port = facts.ports().map(|(source, _)| source.to_string());
            let port = port.map(|port| compared("source port", &port, is, &wanted));
            ("source_ports", port, "ports", wanted)
        }
        Condition::Icmp => {
            let wanted = message_words(&rule.icmp);
            let message = facts.message();
            let message = message.map(|(kind, code)| format!("message {kind}/{code} {fits} {wanted}"));
            ("icmp", message, "ICMP message", wanted)
        }
        Condition::TcpFlags => {
            let wanted = rule.tcp_flags.map_or_else(String::new, wanted_flags);
            let flags = facts.tcp_flags();
            let flags = flags.map(|flags| format!("flags {} {fit} {wanted}", flag_words(flags)));
            ("tcp_flags", flags, "TCP flags", wanted)
        }
    };
    Checked {
        key,
        holds,
        absent: fact.is_none(),
        says: fact.unwrap_or_else(|| format!("the packet has no {kind}, and the rule wants {wanted}")),
    }
}

/// `port 80 is not 443`; `protocol is tcp` where fact and wish are the same word.
fn compared(subject: &str, fact: &str, is: &str, wanted: &str) -> String {
    if fact == wanted && is == "is" {
        return format!("{subject} is {fact}");
    }
    let among = match (is, wanted.contains(',')) {
        ("is", true) => "is one of",
        ("is not", true) => "is none of",
        _ => is,
    };
    format!("{subject} {fact} {among} {wanted}")
}

fn addressed(side: &'static str, wanted: &AddressMatch, address: IpAddr) -> Checked {
    let nothing = PrefixSet::default();
    let set = wanted.include.as_ref().unwrap_or(&nothing);
    let mut elements = set.elements().iter();
    let element = elements.find(|element| covers(&element.prefix, address));
    Checked {
        key: side,
        holds: element.is_some(),
        absent: false,
        says: match element {
            Some(element) => format!(
                "{side} {address} is in {} from {}",
                element.prefix, element.origin
            ),
            None => not_in(side, set, address),
        },
    }
}

fn not_in(side: &str, set: &PrefixSet, address: IpAddr) -> String {
    let (family, other) = if address.is_ipv4() {
        ("IPv4", "IPv6")
    } else {
        ("IPv6", "IPv4")
    };
    let mut elements = set.elements().iter();
    if elements.any(|element| element.prefix.addr().is_ipv4() == address.is_ipv4()) {
        let prefixes = joined(set.elements(), |element| element.prefix.to_string());
        format!("{side} {address} is not in {prefixes}")
    } else {
        format!("{side} {address} is {family}, and the rule names {other} addresses only")
    }
}

#[cfg(test)]
mod tests;
