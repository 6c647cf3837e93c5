//! Explanations: what happens to one packet, and every rule tried on the way, with the condition that decided each.
//!
//! Question or frame + policy → **`Trace`**. The frame is judged twice, by the compiled tables and by the oracle: an
//! explanation that is not what the tables do would be worse than none.

mod address;
mod packet;
mod question;
mod render;
mod words;

use ravelin_datapath::{Decision, Origin, Reason, SliceFrame, Verdict, decide};

use crate::policy::{Action, Direction, Mode, Protocols, Rule, Scope, Timestamp};
use crate::reference::{Condition, Facts, Met, Scene, Visit, examine, may_go_on, opens, walk};
use crate::{HostFacts, Policy, TableImage};

use packet::Packet;
pub use question::{Question, QuestionError};
pub use words::{parse_frame, parse_icmp, parse_protocol, parse_tcp_flags};

pub(crate) use words::{flag_words, protocol_word};
use words::{joined, message_words, port_words, wanted_flags};

/// Where, when and which way the packet of a question goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// The direction; the tables must be those of it.
    pub direction: Direction,
    /// The interface and the moment.
    pub origin: Origin,
}

/// Explains what `policy`, compiled to `image`, does with a packet.
///
/// # Errors
///
/// [`QuestionError`] when there is no such packet.
pub fn explain(
    policy: &Policy,
    host: &HostFacts,
    image: &TableImage,
    way: Way,
    question: &Question,
) -> Result<Trace, QuestionError> {
    let packet = Packet {
        source: question.source,
        destination: question.destination,
        protocol: question.protocol,
        upper: question.upper()?,
    };
    let frame = question.frame()?;
    let mut trace = explain_frame(policy, host, image, way, &frame);
    // The question says more than a judgement that ended early.
    trace.packet = Some(packet);
    Ok(trace)
}

/// Explains what `policy`, compiled to `image`, does with the bytes of an Ethernet frame, whatever they are.
#[must_use]
pub fn explain_frame(policy: &Policy, host: &HostFacts, image: &TableImage, way: Way, frame: &[u8]) -> Trace {
    let tables = decide(&SliceFrame(frame), image, way.origin);
    let oracle = examine(policy, host, way.direction, way.origin, frame);
    let scene = Scene::of(host, way.direction, way.origin);
    let mut asked = 0;
    let mut visited = Vec::new();
    if let Some(facts) = &oracle.facts {
        for visit in walk(policy, &scene, facts) {
            asked += 1;
            if visit.met != Met::OtherDirection {
                visited.push(tried(visit, &scene, facts));
            }
        }
    }
    let this_way = |rule: &&Rule| rule.direction == way.direction;
    let not_asked = policy.rules.iter().skip(asked).filter(this_way).count();
    Trace {
        packet: oracle.facts.as_ref().map(Packet::of),
        direction: way.direction,
        interface: scene.interface,
        bytes: frame.len(),
        essentials: policy.firewall.essentials,
        flows: policy.keeps_flows()
            && oracle
                .facts
                .as_ref()
                .is_some_and(|facts| may_go_on(policy, facts, way.direction)),
        limit: oracle
            .decision
            .rule
            .and_then(|index| policy.rules.get(usize::try_from(index).ok()?)?.limit)
            .map(|limit| limit.to_string()),
        syn_budget: policy.flood.budget_words().filter(|_| {
            let facts = oracle.facts.as_ref();
            oracle.decision.verdict == Verdict::Allow
                && way.direction == Direction::Inbound
                && facts.is_some_and(opens)
        }),
        observe: policy.firewall.mode == Mode::Observe,
        reached_rules: oracle.facts.is_some(),
        not_asked,
        inert: policy.inert.iter().filter(this_way).map(inert).collect(),
        tried: visited,
        tables,
        oracle: oracle.decision,
    }
}

/// A rule of another region or VPC, with its scope.
fn inert(rule: &Rule) -> (String, String) {
    let scope = match &rule.scope {
        Scope::Region(region) => format!("region {region}"),
        Scope::Vpc(vpc) => format!("VPC {vpc}"),
        Scope::Global | Scope::Host => "every host".to_owned(),
    };
    (rule.name.to_string(), scope)
}

/// Everything there is to say about the judgement of one packet. `Display` is the text for people.
#[derive(Clone, Debug)]
pub struct Trace {
    /// What the packet says; of a frame that was decided before it reached the rules, nothing is known.
    packet: Option<Packet>,
    direction: Direction,
    /// The interface, when it is one of the filtered ones.
    interface: Option<String>,
    bytes: usize,
    essentials: bool,
    /// A flow could let the packet through before any rule is asked; which flows there are, nobody was asked.
    flows: bool,
    /// The limit of the rule that decides, which nobody was asked for what is left of.
    limit: Option<String>,
    /// The same of the budget of SYNs, when the packet takes from it.
    syn_budget: Option<String>,
    observe: bool,
    reached_rules: bool,
    not_asked: usize,
    /// Rules of scopes that the host is not in, with the scope.
    inert: Vec<(String, String)>,
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

    /// Why they decide so.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.tables.reason
    }

    /// The name of the rule that decides, when one does.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        self.tables.rule?;
        let decides = self.tried.iter().find(|tried| tried.met == Met::Decided);
        decides.map(|tried| tried.name.as_str())
    }

    /// Whether the policy only observes: verdicts are counted and not carried out.
    #[must_use]
    pub fn observes(&self) -> bool {
        self.observe
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
    /// What the walk did here.
    met: Met,
    /// When the rule ends, if it does.
    expires: Option<Timestamp>,
    /// Only the conditions that the rule has.
    conditions: Vec<Checked>,
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

fn tried(visit: Visit<'_>, scene: &Scene, facts: &Facts) -> Tried {
    let rule = visit.rule;
    // Of a rule that was not looked at there is nothing to say.
    let looked_at = !matches!(visit.met, Met::Expired | Met::LeftOut);
    let conditions = Condition::ALL
        .iter()
        .filter(|condition| looked_at && condition.is_in(rule));
    Tried {
        name: rule.name.to_string(),
        place: format!("{}:{}", rule.place.file.display(), rule.place.line),
        action: rule.action,
        met: visit.met,
        expires: rule.expires,
        conditions: conditions
            .map(|condition| checked(*condition, rule, scene, facts))
            .collect(),
    }
}

fn checked(condition: Condition, rule: &Rule, scene: &Scene, facts: &Facts) -> Checked {
    let holds = condition.holds(rule, scene, facts);
    let is = if holds { "is" } else { "is not" };
    let fit = if holds { "fit" } else { "do not fit" };
    let fits = if holds { "fits" } else { "does not fit" };
    // The TOML key, what the packet has of it, and the name of what it may lack.
    let (key, fact, kind, wanted) = match condition {
        Condition::Interface => {
            let wanted = rule.interface.clone().unwrap_or_default();
            let here = scene.interface.as_deref().unwrap_or("none of the filtered ones");
            let interface = compared("interface", here, is, &wanted);
            ("interface", Some(interface), "interface", wanted)
        }
        Condition::Source => return address::addressed("source", &rule.source, facts.source, scene),
        Condition::Destination => {
            return address::addressed("destination", &rule.destination, facts.destination, scene);
        }
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

#[cfg(test)]
mod tests;
