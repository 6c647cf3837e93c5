//! `iptables-save` and `ip6tables-save`: the chains INPUT and OUTPUT of the table `filter`.

use std::net::IpAddr;

use ipnet::IpNet;

use super::chains::{Chains, End, Line, flatten};
use super::matches::{Family, Matches, distinct, ports};
use super::states::{self, NO_CONDITION, State};
use super::value::{self, prefix};
use super::{Draft, ImportError, Source};
use crate::policy::{Action, Direction};

pub(super) fn import(text: &str) -> Result<Draft, ImportError> {
    if !text.lines().any(|line| line.trim_end() == "*filter") {
        return Err(ImportError::Shape {
            source_kind: Source::Iptables,
            missing: "table `*filter`",
        });
    }
    let family = family(text);
    let mut draft = Draft::new(Source::Iptables);
    let other = match family {
        Family::V4 => {
            "This was IPv4 only: the other family gets no rules. Import `ip6tables-save` too and join both."
        }
        Family::V6 => {
            "This was IPv6 only: the other family gets no rules. Import `iptables-save` too and join both."
        }
    };
    draft.notes.push(other.to_owned());
    draft.inbound = Action::Allow;
    let mut chains = Chains::new();
    let mut table = "";
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        let place = format!("line {}", number + 1);
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some(chain) = line.strip_prefix(':') {
            policy(&mut draft, table, chain, &place);
        } else if line.starts_with("-A ") && table != "filter" {
            let why = "only the table `filter` decides what may come in";
            draft.miss(&place, format!("table {table}: {line}"), why);
        } else if let Some(rule) = line.strip_prefix("-A ") {
            append(&mut draft, &mut chains, family, rule, &place);
        } else if !line.is_empty() && !line.starts_with('#') && line != "COMMIT" {
            draft.miss(&place, line, "this is no line that `iptables-save` prints");
        }
    }
    flatten(&mut draft, &chains, "INPUT", Direction::Inbound);
    flatten(&mut draft, &chains, "OUTPUT", Direction::Outbound);
    states::conclude(&mut draft);
    Ok(draft)
}

/// Nothing in the text says which of the two programs printed it, but its addresses and messages.
fn family(text: &str) -> Family {
    let words = |line: &str| {
        line.split_whitespace().any(|word| {
            let six = |text: &str| text.parse::<IpNet>().is_ok_and(|net| matches!(net, IpNet::V6(_)));
            six(word)
                || word.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6())
                || matches!(word, "ipv6-icmp" | "icmpv6" | "--icmpv6-type" | "icmp6")
                || word.starts_with("icmp6-")
        })
    };
    if text.lines().any(words) {
        Family::V6
    } else {
        Family::V4
    }
}

/// `INPUT DROP [0:0]`.
fn policy(draft: &mut Draft, table: &str, chain: &str, place: &str) {
    let mut words = chain.split_whitespace();
    let (name, policy) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let action = if policy == "DROP" {
        Action::Deny
    } else {
        Action::Allow
    };
    match (table, name) {
        ("filter", "INPUT") => draft.inbound = action,
        ("filter", "OUTPUT") => draft.outbound = action,
        (_, _) if action == Action::Deny && (table, name) != ("filter", "FORWARD") => {
            let why = "only the table `filter` decides what may come in";
            draft.miss(place, format!("table {table}: {chain}"), why);
        }
        _ => {}
    }
}

fn append(draft: &mut Draft, chains: &mut Chains, family: Family, rule: &str, place: &str) {
    let words = split(rule);
    let Some((chain, words)) = words.split_first() else {
        return;
    };
    if chain == "FORWARD" {
        draft.miss(
            place,
            rule,
            "packets for other hosts are not filtered; Ravelin guards this host",
        );
        return;
    }
    let mut reading = Reading {
        words: words.iter().map(String::as_str).collect(),
        at: 0,
        matches: Matches {
            family: Some(family),
            ..Matches::default()
        },
        comment: String::new(),
        end: None,
        state: None,
    };
    match reading.run() {
        Ok(()) => {}
        Err(why) => {
            draft.miss(place, rule, why);
            return;
        }
    }
    let state = reading.state;
    let ended = state.map_or_else(|| Ok(reading.end.clone()), |state| state.end(reading.end.clone()));
    let end = match ended {
        Ok(end) => end,
        Err(why) => {
            draft.miss(place, rule, why);
            return;
        }
    };
    let Some(end) = end else {
        // A rule without a target counts, a LOG target logs: neither decides.
        return;
    };
    if reading.matches.interface.as_deref() == Some("lo") {
        if end != End::Decide(Action::Allow) {
            draft.miss(
                place,
                rule,
                "packets of the loopback interface are always let in (`essentials`)",
            );
        }
        return;
    }
    let port = reading
        .matches
        .ports
        .first()
        .map(|(first, _)| format!("-{first}"));
    let words = if reading.comment.is_empty() {
        let protocol = reading.matches.protocol.first().map_or("all", String::as_str);
        format!(
            "{}-{protocol}{}",
            chain.to_ascii_lowercase(),
            port.unwrap_or_default()
        )
    } else {
        reading.comment.clone()
    };
    chains.entry(chain.clone()).or_default().push(Line {
        place: place.to_owned(),
        words,
        comment: format!("{place}: -A {rule}").chars().take(MAX_COMMENT).collect(),
        matches: reading.matches,
        end,
        stateful: state.is_some(),
    });
}

/// One rule under way.
struct Reading<'a> {
    words: Vec<&'a str>,
    at: usize,
    matches: Matches,
    comment: String,
    end: Option<End>,
    /// The condition on connection state.
    state: Option<State>,
}

impl<'a> Reading<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word
    }

    fn value(&mut self) -> Result<&'a str, &'static str> {
        self.next().ok_or("an option without its value")
    }

    fn run(&mut self) -> Result<(), &'static str> {
        while let Some(word) = self.next() {
            let not = word == "!";
            let option = if not { self.value()? } else { word };
            self.option(option, not)?;
        }
        Ok(())
    }

    fn option(&mut self, option: &str, not: bool) -> Result<(), &'static str> {
        match option {
            "-s" | "--source" => {
                let written = self.value()?;
                self.matches.source = vec![address(written, not)?];
            }
            "-d" | "--destination" => {
                let written = self.value()?;
                self.matches.destination = vec![address(written, not)?];
            }
            "--src-range" => {
                let written = self.value()?;
                self.matches.source = vec![range(written, not)?];
            }
            "--dst-range" => {
                let written = self.value()?;
                self.matches.destination = vec![range(written, not)?];
            }
            _ if not => return self.negated(option),
            "-i" | "-o" | "--in-interface" | "--out-interface" => {
                let name = self.value()?;
                if name.ends_with('+') {
                    return Err("a rule names one interface, not a pattern; write a rule for each");
                }
                self.matches.interface = Some(name.to_owned());
            }
            "-p" | "--protocol" => {
                let written = self.value()?;
                self.matches.protocol = protocol(written)?.into_iter().collect();
            }
            "-m" | "--match" => {
                let module = self.value()?;
                if !MODULES.contains(&module) {
                    return Err("a condition that a rule does not have");
                }
            }
            "--dport" | "--destination-port" => {
                let written = self.value()?;
                self.matches.ports.push(ports(written, ':').ok_or(NO_PORTS)?);
            }
            "--sport" | "--source-port" => {
                let written = self.value()?;
                self.matches
                    .source_ports
                    .push(ports(written, ':').ok_or(NO_PORTS)?);
            }
            "--dports" | "--destination-ports" => {
                let written = self.value()?;
                self.matches.ports = port_list(written)?;
            }
            "--sports" | "--source-ports" => {
                let written = self.value()?;
                self.matches.source_ports = port_list(written)?;
            }
            "--icmp-type" | "--icmpv6-type" => {
                let written = self.value()?;
                if written != "any" {
                    self.matches.icmp.push(message(written)?);
                }
            }
            "--syn" => self.matches.tcp_flags = Some("syn,!ack,!rst,!fin".to_owned()),
            "--tcp-flags" => {
                let (mask, set) = (self.value()?, self.value()?);
                self.matches.tcp_flags = Some(tcp_flags(mask, set)?);
            }
            "--comment" => self.value()?.clone_into(&mut self.comment),
            "--ctstate" | "--state" => {
                let states = self.value()?;
                self.states(states)?;
            }
            "-j" | "--jump" => {
                let target = self.value()?;
                self.target(target);
            }
            "-g" | "--goto" => {
                let chain = self.value()?;
                self.end = Some(End::Goto(chain.to_owned()));
            }
            // How a REJECT answers, and what a LOG writes.
            "--reject-with" | "--log-prefix" | "--log-level" | "--nflog-prefix" | "--nflog-group" => {
                self.value()?;
            }
            "--log-uid" | "--log-tcp-options" | "--log-ip-options" | "--log-tcp-sequence" => {}
            _ => return Err("a condition that a rule does not have"),
        }
        Ok(())
    }

    fn negated(&mut self, option: &str) -> Result<(), &'static str> {
        match option {
            // "Not the first packet" is what --syn is not: one flag of four decides, and a rule cannot say "or".
            "--syn" => Err("a rule cannot say `not syn`; write `tcp_flags = \"ack\"` if that is meant"),
            _ => Err("a rule says `not` of addresses only"),
        }
    }

    fn states(&mut self, states: &str) -> Result<(), &'static str> {
        let words = states.to_ascii_lowercase();
        let state = State::of(words.split(',')).ok_or(NO_CONDITION)?;
        if self.state.replace(state).is_some() {
            return Err(NO_CONDITION);
        }
        Ok(())
    }

    fn target(&mut self, target: &str) {
        self.end = match target {
            "ACCEPT" => Some(End::Decide(Action::Allow)),
            // A rejected packet is dropped without the answer.
            "DROP" | "REJECT" => Some(End::Decide(Action::Deny)),
            "RETURN" => Some(End::Return),
            "LOG" | "NFLOG" => None,
            chain => Some(End::Jump(chain.to_owned())),
        };
    }
}

fn address(written: &str, not: bool) -> Result<String, &'static str> {
    // `192.0.2.0/255.255.255.0` is a prefix as well.
    let text = match written.split_once('/') {
        Some((address, mask)) if mask.contains('.') => {
            let mask: std::net::Ipv4Addr = mask.parse().map_err(|_why| NO_PREFIX)?;
            let length = mask.to_bits().leading_ones();
            if mask.to_bits().count_ones() != length {
                return Err("a mask with holes is no prefix");
            }
            format!("{address}/{length}")
        }
        _ => written.to_owned(),
    };
    let prefix = prefix(&text).ok_or(NO_PREFIX)?;
    Ok(if not { format!("!{prefix}") } else { prefix })
}

fn range(written: &str, not: bool) -> Result<String, &'static str> {
    let ends = written.split_once('-').ok_or(NO_PREFIX)?;
    let parsed = (ends.0.parse::<IpAddr>(), ends.1.parse::<IpAddr>());
    match parsed {
        (Ok(first), Ok(last)) if first <= last && first.is_ipv4() == last.is_ipv4() => {
            Ok(format!("{}{first}-{last}", if not { "!" } else { "" }))
        }
        _ => Err(NO_PREFIX),
    }
}

fn protocol(written: &str) -> Result<Option<String>, &'static str> {
    match written {
        "all" | "0" => Ok(None),
        word => value::protocol(word)
            .map(Some)
            .ok_or("a protocol without a name here; write its number"),
    }
}

fn port_list(written: &str) -> Result<Vec<(u16, u16)>, &'static str> {
    written
        .split(',')
        .map(|part| ports(part, ':').ok_or(NO_PORTS))
        .collect()
}

/// `8`, `3/4`: `iptables-save` prints numbers. A few names are taken too.
fn message(written: &str) -> Result<String, &'static str> {
    let name = match written {
        "echo-request"
        | "echo-reply"
        | "time-exceeded"
        | "destination-unreachable"
        | "packet-too-big"
        | "parameter-problem"
        | "router-advertisement"
        | "router-solicitation"
        | "neighbour-solicitation"
        | "neighbour-advertisement" => return Ok(written.replace("neighbour", "neighbor")),
        other => other,
    };
    let numbers: Vec<&str> = name.split('/').collect();
    let good = numbers.len() <= 2 && numbers.iter().all(|number| number.parse::<u8>().is_ok());
    good.then(|| name.to_owned()).ok_or("a message without a number")
}

fn tcp_flags(mask: &str, set: &str) -> Result<String, &'static str> {
    let all = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];
    let list = |text: &str| -> Result<Vec<&'static str>, &'static str> {
        match text {
            "ALL" => Ok(all.to_vec()),
            "NONE" => Ok(Vec::new()),
            text => text
                .split(',')
                .map(|flag| {
                    all.into_iter()
                        .find(|known| *known == flag)
                        .ok_or("a flag without a name")
                })
                .collect(),
        }
    };
    let (mask, set) = (list(mask)?, list(set)?);
    if mask.is_empty() || set.iter().any(|flag| !mask.contains(flag)) {
        return Err("flags that are wanted and not looked at");
    }
    let word = |flag: &&str| {
        let not = if set.contains(flag) { "" } else { "!" };
        format!("{not}{}", flag.to_ascii_lowercase())
    };
    Ok(distinct(mask.iter().map(word)).join(","))
}

/// Words, with those in quotes kept together.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None;
    let mut quoted = false;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_with(String::new);
            }
            '\\' if quoted => word.get_or_insert_with(String::new).extend(characters.next()),
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_with(String::new).push(c),
        }
    }
    words.extend(word);
    words
}

/// The modules whose options are read here, or that need none.
const MODULES: [&str; 11] = [
    "tcp",
    "udp",
    "sctp",
    "icmp",
    "icmp6",
    "ipv6-icmp",
    "multiport",
    "comment",
    "conntrack",
    "state",
    "iprange",
];

const NO_PORTS: &str = "its ports are no range";
const NO_PREFIX: &str = "its address is no prefix and no range";

/// Characters of the line repeated in a rule's comment.
const MAX_COMMENT: usize = 200;
