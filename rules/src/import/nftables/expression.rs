//! The expressions of one rule: conditions, and what ends it.

use serde_json::Value;

use crate::import::chains::End;
use crate::import::matches::{Family, Matches, distinct, ports};
use crate::import::states::{NO_CONDITION, State};
use crate::import::value::{self, prefix, shown, text};
use crate::policy::Action;

/// One rule under way.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) matches: Matches,
    pub(super) end: Option<End>,
    /// The condition on connection state.
    pub(super) state: Option<State>,
}

/// What cannot be said, and why.
type Miss = (String, &'static str);

/// The elements of a set.
#[derive(Clone, Debug)]
pub(super) enum Words {
    /// The name that the set has in the policy.
    Addresses(String),
    Ports(Vec<(u16, u16)>),
    Empty,
}

/// Elements, before the set has a name.
pub(super) enum Elements {
    Addresses(Vec<String>),
    Ports(Vec<(u16, u16)>),
}

/// Addresses or ports.
pub(super) fn elements(list: &[Value]) -> Option<Elements> {
    let addresses: Option<Vec<String>> = list.iter().map(address).collect();
    match addresses {
        Some(addresses) => Some(Elements::Addresses(addresses)),
        None => list.iter().map(port).collect::<Option<_>>().map(Elements::Ports),
    }
}

impl Read {
    /// Takes in the expressions, in their order.
    pub(super) fn rule<'s>(
        mut self,
        expressions: &[Value],
        set: impl Fn(&str) -> Option<&'s Words>,
    ) -> Result<Self, Miss> {
        for expression in expressions {
            let Some((kind, value)) = expression.as_object().and_then(|object| object.iter().next()) else {
                return Err((shown(expression), UNKNOWN));
            };
            match kind.as_str() {
                "match" => self.condition(value, &set)?,
                "accept" => self.end = Some(End::Decide(Action::Allow)),
                // A rejected packet is dropped without the answer.
                "drop" | "reject" => self.end = Some(End::Decide(Action::Deny)),
                "return" => self.end = Some(End::Return),
                "jump" => self.end = Some(End::Jump(target(value)?)),
                "goto" => self.end = Some(End::Goto(target(value)?)),
                "counter" | "log" | "comment" => {}
                "vmap" => self.end = Some(state_map(value).ok_or_else(|| (shown(expression), UNKNOWN))?),
                _ => return Err((shown(expression), UNKNOWN)),
            }
        }
        if let Some(state) = self.state {
            let what = || shown(&Value::from(expressions));
            self.end = state.end(self.end).map_err(|why| (what(), why))?;
        }
        Ok(self)
    }

    fn condition<'s>(&mut self, value: &Value, set: &impl Fn(&str) -> Option<&'s Words>) -> Result<(), Miss> {
        let miss = |why| (shown(value), why);
        let (left, right) = (value.get("left"), value.get("right"));
        let (Some(left), Some(right)) = (left, right) else {
            return Err(miss(UNKNOWN));
        };
        let not = match text(value, "op") {
            Some("==" | "in") => false,
            Some("!=") => true,
            _ => return Err(miss(UNKNOWN)),
        };
        let subject = subject(left).ok_or_else(|| miss(UNKNOWN))?;
        if let Some(family) = family(left) {
            self.of_family(family).map_err(miss)?;
        }
        if let Subject::Source | Subject::Destination = subject {
            let words = addresses(right, not, set).map_err(miss)?;
            let list = match subject {
                Subject::Source => &mut self.matches.source,
                _ => &mut self.matches.destination,
            };
            if !list.is_empty() {
                return Err(miss("a rule has one list of addresses for each end"));
            }
            *list = words;
            return Ok(());
        }
        if not {
            return Err(miss("a rule says `not` of addresses only"));
        }
        match subject {
            Subject::Source | Subject::Destination => {}
            Subject::State => self.states(right)?,
            Subject::Interface => {
                let name = right.as_str().filter(|name| !name.ends_with('*'));
                let name = name.ok_or_else(|| miss("a rule names one interface; write a rule for each"))?;
                self.matches.interface = Some(name.to_owned());
            }
            Subject::Protocol => {
                let words = each(right)
                    .iter()
                    .map(|word| protocol(word))
                    .collect::<Option<Vec<_>>>();
                let words = words.ok_or_else(|| miss("a protocol without a name here; write its number"))?;
                self.protocols(words).map_err(miss)?;
            }
            Subject::Family => {
                let family = match right.as_str() {
                    Some("ipv4" | "ip") => Family::V4,
                    Some("ipv6" | "ip6") => Family::V6,
                    _ => return Err(miss(UNKNOWN)),
                };
                self.of_family(family).map_err(miss)?;
            }
            Subject::Ports { of, destination } => {
                if let Some(of) = of {
                    self.protocols(vec![of.to_owned()]).map_err(miss)?;
                }
                let found = port_words(right, set).ok_or_else(|| miss("these are no ports"))?;
                let list = if destination {
                    &mut self.matches.ports
                } else {
                    &mut self.matches.source_ports
                };
                if !list.is_empty() {
                    return Err(miss("a rule has one list of ports for each end"));
                }
                *list = found;
            }
            Subject::Message { six } => {
                self.protocols(vec![if six { "icmpv6" } else { "icmp" }.to_owned()])
                    .map_err(miss)?;
                let kinds = each(right)
                    .iter()
                    .map(|word| message(word, six))
                    .collect::<Option<Vec<_>>>();
                self.matches.icmp = kinds.ok_or_else(|| miss("a message without a number"))?;
            }
            Subject::Code { six } => {
                self.protocols(vec![if six { "icmpv6" } else { "icmp" }.to_owned()])
                    .map_err(miss)?;
                let code = code(right, six);
                let (Some(code), [kind]) = (code, self.matches.icmp.as_mut_slice()) else {
                    return Err(miss("a code is said together with one type"));
                };
                *kind = format!("{kind}/{code}");
            }
            Subject::Flags { mask } => {
                self.protocols(vec!["tcp".to_owned()]).map_err(miss)?;
                self.matches.tcp_flags = Some(flags(&mask, right).ok_or_else(|| miss(FLAGS))?);
            }
        }
        Ok(())
    }

    fn of_family(&mut self, family: Family) -> Result<(), &'static str> {
        if self.matches.family.is_some_and(|other| other != family) {
            return Err("no packet is of both families");
        }
        self.matches.family = Some(family);
        Ok(())
    }

    /// Narrows the protocols.
    fn protocols(&mut self, words: Vec<String>) -> Result<(), &'static str> {
        let before = &self.matches.protocol;
        self.matches.protocol = if before.is_empty() {
            words
        } else {
            words.into_iter().filter(|word| before.contains(word)).collect()
        };
        if self.matches.protocol.is_empty() {
            return Err("no packet is of both protocols");
        }
        Ok(())
    }

    fn states(&mut self, right: &Value) -> Result<(), Miss> {
        let states: Vec<String> = each(right).into_iter().map(shown).collect();
        let what = || format!("ct state {}", states.join(","));
        let state = State::of(states.iter().map(String::as_str)).ok_or_else(|| (what(), NO_CONDITION))?;
        if self.state.replace(state).is_some() {
            return Err((what(), NO_CONDITION));
        }
        Ok(())
    }
}

/// `ct state vmap { established : accept, invalid : drop }`, of states that no rule is needed for.
fn state_map(value: &Value) -> Option<End> {
    if text(value.get("key")?.get("ct")?, "key")? != "state" {
        return None;
    }
    let mut told = Vec::new();
    for pair in value.get("data")?.get("set")?.as_array()? {
        let [word, verdict] = pair.as_array()?.as_slice() else {
            return None;
        };
        let action = match verdict.as_object()?.keys().next()?.as_str() {
            "accept" => Action::Allow,
            "drop" => Action::Deny,
            _ => return None,
        };
        let state = State::of(std::iter::once(word.as_str()?))?;
        match state.end(Some(End::Decide(action))) {
            Ok(Some(End::Told(states))) => told.extend(states),
            _ => return None,
        }
    }
    Some(End::Told(told))
}

/// What a condition asks for.
enum Subject {
    Source,
    Destination,
    Interface,
    Protocol,
    Family,
    State,
    Ports {
        of: Option<&'static str>,
        destination: bool,
    },
    Message {
        six: bool,
    },
    Code {
        six: bool,
    },
    Flags {
        mask: Vec<String>,
    },
}

fn subject(left: &Value) -> Option<Subject> {
    if let Some(meta) = left.get("meta") {
        return match text(meta, "key")? {
            "iifname" | "iif" | "oifname" | "oif" => Some(Subject::Interface),
            "l4proto" => Some(Subject::Protocol),
            "nfproto" | "protocol" => Some(Subject::Family),
            _ => None,
        };
    }
    if let Some(ct) = left.get("ct") {
        return (text(ct, "key")? == "state").then_some(Subject::State);
    }
    if let Some(masked) = left.get("&").and_then(Value::as_array) {
        let [inner, mask] = masked.as_slice() else {
            return None;
        };
        return match subject(inner)? {
            Subject::Flags { .. } => Some(Subject::Flags {
                mask: flag_words(mask)?,
            }),
            _ => None,
        };
    }
    let payload = left.get("payload")?;
    Some(match (text(payload, "protocol")?, text(payload, "field")?) {
        ("ip" | "ip6", "saddr") => Subject::Source,
        ("ip" | "ip6", "daddr") => Subject::Destination,
        ("ip", "protocol") | ("ip6", "nexthdr") => Subject::Protocol,
        ("icmp", "type") => Subject::Message { six: false },
        ("icmpv6", "type") => Subject::Message { six: true },
        ("icmp", "code") => Subject::Code { six: false },
        ("icmpv6", "code") => Subject::Code { six: true },
        ("tcp", "flags") => Subject::Flags { mask: Vec::new() },
        (protocol, field @ ("dport" | "sport")) => Subject::Ports {
            of: match protocol {
                "tcp" => Some("tcp"),
                "udp" => Some("udp"),
                "sctp" => Some("sctp"),
                "th" => None,
                _ => return None,
            },
            destination: field == "dport",
        },
        _ => return None,
    })
}

/// A condition on a field of one family's header is a condition on the family, `!=` too.
fn family(left: &Value) -> Option<Family> {
    match text(left.get("payload")?, "protocol")? {
        "ip" => Some(Family::V4),
        "ip6" => Some(Family::V6),
        _ => None,
    }
}

/// The elements of an anonymous set, or the one value.
fn each(right: &Value) -> Vec<&Value> {
    match right.get("set").unwrap_or(right) {
        Value::Array(values) => values.iter().collect(),
        value => vec![value],
    }
}

fn addresses<'s>(
    right: &Value,
    not: bool,
    set: &impl Fn(&str) -> Option<&'s Words>,
) -> Result<Vec<String>, &'static str> {
    let sign = if not { "!" } else { "" };
    if let Some(name) = right.as_str().and_then(|text| text.strip_prefix('@')) {
        return match set(name) {
            Some(Words::Addresses(name)) => Ok(vec![format!("{sign}@{name}")]),
            Some(Words::Empty) => Err("its set is empty: fill it, and write it into a `[[set]]`"),
            _ => Err("its set holds no addresses"),
        };
    }
    let words: Option<Vec<String>> = each(right).into_iter().map(address).collect();
    let words = words.ok_or("these are no addresses")?;
    Ok(words.iter().map(|word| format!("{sign}{word}")).collect())
}

fn port_words<'s>(right: &Value, set: &impl Fn(&str) -> Option<&'s Words>) -> Option<Vec<(u16, u16)>> {
    if let Some(name) = right.as_str().and_then(|text| text.strip_prefix('@')) {
        return match set(name) {
            Some(Words::Ports(ports)) => Some(ports.clone()),
            _ => None,
        };
    }
    each(right).into_iter().map(port).collect()
}

/// An element's value; elements may carry timeouts, counters and comments.
fn bare(value: &Value) -> &Value {
    value
        .get("elem")
        .and_then(|elem| elem.get("val"))
        .unwrap_or(value)
}

fn address(value: &Value) -> Option<String> {
    let value = bare(value);
    if let Some(text) = value.as_str() {
        return prefix(text);
    }
    if let Some(written) = value.get("prefix") {
        let length = written.get("len")?.as_u64()?;
        return prefix(&format!("{}/{length}", text(written, "addr")?));
    }
    let [first, last] = value.get("range")?.as_array()?.as_slice() else {
        return None;
    };
    let (first, last): (std::net::IpAddr, std::net::IpAddr) =
        (first.as_str()?.parse().ok()?, last.as_str()?.parse().ok()?);
    (first <= last && first.is_ipv4() == last.is_ipv4()).then(|| format!("{first}-{last}"))
}

fn port(value: &Value) -> Option<(u16, u16)> {
    let value = bare(value);
    let number = |value: &Value| u16::try_from(value.as_u64()?).ok();
    if let Some(range) = value.get("range").and_then(Value::as_array) {
        let [first, last] = range.as_slice() else {
            return None;
        };
        let (first, last) = (number(first)?, number(last)?);
        return (first <= last).then_some((first, last));
    }
    match value.as_str() {
        Some(text) => ports(text, '-'),
        None => number(value).map(|port| (port, port)),
    }
}

fn protocol(value: &Value) -> Option<String> {
    match value {
        Value::String(word) => value::protocol(word),
        Value::Number(number) => value::protocol(&number.to_string()),
        _ => None,
    }
}

fn code(value: &Value, six: bool) -> Option<u8> {
    if let Some(number) = value.as_u64() {
        return u8::try_from(number).ok();
    }
    let names: &[(&str, u8)] = if six { &CODES6 } else { &CODES };
    let name = value.as_str()?;
    let found = names.iter().find(|(known, _)| *known == name);
    found.map(|(_, number)| *number)
}

fn message(value: &Value, six: bool) -> Option<String> {
    if let Some(number) = value.as_u64() {
        return u8::try_from(number).ok().map(|number| number.to_string());
    }
    let names: &[(&str, u8)] = if six { &ICMPV6 } else { &ICMP };
    let name = value.as_str()?;
    let found = names.iter().find(|(known, _)| *known == name);
    found.map(|(_, number)| number.to_string())
}

fn flag_words(value: &Value) -> Option<Vec<String>> {
    let value = value.get("|").unwrap_or(value);
    let word = |value: &Value| {
        let word = value.as_str()?;
        FLAG_NAMES.contains(&word).then(|| word.to_owned())
    };
    match value {
        // A or B or C is a tree in some versions and a list in others.
        Value::Array(parts) => {
            let parts: Option<Vec<Vec<String>>> = parts.iter().take(MAX_FLAGS).map(flag_words).collect();
            parts.map(|parts| parts.concat())
        }
        Value::Number(number) if number.as_u64() == Some(0) => Some(Vec::new()),
        value => word(value).map(|word| vec![word]),
    }
}

/// Which flags are set and clear; without a mask the one flag that is asked for.
fn flags(mask: &[String], right: &Value) -> Option<String> {
    let set = flag_words(right)?;
    if mask.is_empty() {
        // `tcp flags syn` asks for one flag, `tcp flags { … }` for any of them.
        return match set.as_slice() {
            [flag] => Some(flag.clone()),
            _ => None,
        };
    }
    if set.iter().any(|flag| !mask.contains(flag)) {
        return None;
    }
    let word = |flag: &String| format!("{}{flag}", if set.contains(flag) { "" } else { "!" });
    Some(distinct(mask.iter().map(word)).join(","))
}

fn target(value: &Value) -> Result<String, Miss> {
    let target = text(value, "target").map(ToOwned::to_owned);
    target.ok_or_else(|| (shown(value), UNKNOWN))
}

const UNKNOWN: &str = "a condition or an action that a rule does not have";
const FLAGS: &str = "a rule says which flags are set and which are clear, not `any of these`";

const FLAG_NAMES: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];

/// More than there are; a list of a million would be read for nothing.
const MAX_FLAGS: usize = 16;

/// nft's names of ICMP types (icmp(7), nft(8)).
const ICMP: [(&str, u8); 15] = [
    ("echo-reply", 0),
    ("destination-unreachable", 3),
    ("source-quench", 4),
    ("redirect", 5),
    ("echo-request", 8),
    ("router-advertisement", 9),
    ("router-solicitation", 10),
    ("time-exceeded", 11),
    ("parameter-problem", 12),
    ("timestamp-request", 13),
    ("timestamp-reply", 14),
    ("info-request", 15),
    ("info-reply", 16),
    ("address-mask-request", 17),
    ("address-mask-reply", 18),
];

const ICMPV6: [(&str, u8); 18] = [
    ("destination-unreachable", 1),
    ("packet-too-big", 2),
    ("time-exceeded", 3),
    ("parameter-problem", 4),
    ("echo-request", 128),
    ("echo-reply", 129),
    ("mld-listener-query", 130),
    ("mld-listener-report", 131),
    ("mld-listener-done", 132),
    ("nd-router-solicit", 133),
    ("nd-router-advert", 134),
    ("nd-neighbor-solicit", 135),
    ("nd-neighbor-advert", 136),
    ("nd-redirect", 137),
    ("router-renumbering", 138),
    ("ind-neighbor-solicit", 141),
    ("ind-neighbor-advert", 142),
    ("mld2-listener-report", 143),
];

/// nft's names of the codes of "destination unreachable".
const CODES: [(&str, u8); 8] = [
    ("net-unreachable", 0),
    ("host-unreachable", 1),
    ("prot-unreachable", 2),
    ("port-unreachable", 3),
    ("frag-needed", 4),
    ("net-prohibited", 9),
    ("host-prohibited", 10),
    ("admin-prohibited", 13),
];

const CODES6: [(&str, u8); 6] = [
    ("no-route", 0),
    ("admin-prohibited", 1),
    ("addr-unreachable", 3),
    ("port-unreachable", 4),
    ("policy-fail", 5),
    ("reject-route", 6),
];
