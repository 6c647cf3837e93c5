//! A policy as it is written: what TOML text is made from, and what that text must come to mean.
//!
//! Chance or a test → **`Sketch`** → TOML text, and, without the text, a `Policy`. Two ways to one meaning: the oracle judges
//! by the second, the datapath by tables of the first, so the reading of the policy is under test too.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use ravelin_datapath::{ClassVerdict, ParseClass, Verdict};
use ravelin_rules::policy::rule::Place;
use ravelin_rules::policy::{
    AddressMatch, ClassVerdicts, Element, Firewall, HostFacts, IcmpMatch, InterfaceFacts, Level, List,
    Origin, Policy, PortRange, PrefixSet, Protocols, Rule, RuleName, Scope, TcpFlags,
};

/// A whole policy, as written.
#[derive(Clone, Debug)]
pub struct Sketch {
    /// `[firewall] inbound`.
    pub inbound: Verdict,
    /// `[firewall] essentials`.
    pub essentials: bool,
    /// `[firewall.classes]`.
    pub classes: Vec<(ParseClass, ClassVerdict)>,
    /// `[[set]]`.
    pub sets: Vec<SetSketch>,
    /// Rules in file order.
    pub rules: Vec<RuleSketch>,
    /// The host's addresses; not part of the text.
    pub host: Vec<IpAddr>,
}

/// A `[[set]]`.
#[derive(Clone, Debug)]
pub struct SetSketch {
    /// Its elements.
    pub entries: Vec<IpNet>,
    /// Written to a set file, not inline.
    pub in_file: bool,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct RuleSketch {
    /// `name`.
    pub name: String,
    /// Where it stands.
    pub block: Block,
    /// `priority`; unique in the policy that the rule stands in.
    pub priority: Option<u32>,
    /// `action`.
    pub action: Verdict,
    /// `source`; empty: not written.
    pub source: Vec<AddressWord>,
    /// `destination`; empty: not written.
    pub destination: Vec<AddressWord>,
    /// `protocol`; empty: not written.
    pub protocols: Vec<u8>,
    /// `ports`.
    pub ports: Vec<PortRange>,
    /// `source_ports`.
    pub source_ports: Vec<PortRange>,
    /// `icmp`.
    pub icmp: Vec<IcmpMatch>,
    /// `tcp_flags`.
    pub tcp_flags: Option<TcpFlags>,
}

/// What a rule stands in: a top-level `[[rule]]`, or a `[[policy]]`; neighbours with the same number share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// `[[rule]]`.
    TopLevel,
    /// `[[policy]]` with this scope.
    Policy(Level, u32),
}

/// One entry of an address list.
#[derive(Clone, Debug)]
pub enum AddressWord {
    /// A prefix; a host prefix is written without its length.
    Prefix(IpNet),
    /// `@set`, by index.
    Set(usize),
}

impl Sketch {
    /// Writes `policy.toml` and the set files into `folder`.
    ///
    /// # Panics
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> PathBuf {
        for (name, text) in self.set_files() {
            fs::write(folder.join(name), text).expect("a temporary folder can be written");
        }
        let path = folder.join("policy.toml");
        fs::write(&path, self.toml()).expect("a temporary folder can be written");
        path
    }

    /// The set files, by name.
    #[must_use]
    pub fn set_files(&self) -> Vec<(String, String)> {
        let in_files = self.sets.iter().enumerate().filter(|(_, set)| set.in_file);
        let text = |set: &SetSketch| {
            let lines = set
                .entries
                .iter()
                .map(|entry| format!("{}  ; an entry\n", written(entry)));
            format!("# a set file\n{}", lines.collect::<String>())
        };
        in_files.map(|(at, set)| (set_file(at), text(set))).collect()
    }

    /// The policy as Ravelin reads it from the text.
    ///
    /// # Panics
    /// When it is refused, with the report: a sketch is a valid policy.
    #[must_use]
    pub fn load(&self) -> Policy {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        match ravelin_rules::load(&self.write(folder.path())) {
            Ok(loaded) => loaded.policy,
            Err(report) => panic!("a random policy is refused\n{}\n{}", report.render(), self.toml()),
        }
    }

    /// The policy as text. Sets in files are named, not included.
    #[must_use]
    pub fn toml(&self) -> String {
        let mut text = String::new();
        self.print(&mut text).expect("a string takes every text");
        text
    }

    fn print(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "[firewall]\nstateful = false\ninbound = \"{}\"",
            self.inbound.word()
        )?;
        writeln!(text, "essentials = {}\n\n[firewall.classes]", self.essentials)?;
        for (class, verdict) in &self.classes {
            writeln!(text, "{} = \"{}\"", class.label(), verdict.word())?;
        }
        for (at, set) in self.sets.iter().enumerate() {
            writeln!(text, "\n[[set]]\nname = \"set-{at}\"")?;
            if set.in_file {
                writeln!(text, "files = [\"{}\"]", set_file(at))?;
            } else {
                writeln!(
                    text,
                    "entries = {}",
                    list(&set.entries, |net| quoted(&written(net)))
                )?;
            }
        }
        let mut open = Block::TopLevel;
        for rule in &self.rules {
            if let Block::Policy(scope, number) = rule.block
                && rule.block != open
            {
                let scope = match scope {
                    Level::Global => "global",
                    _ => "host",
                };
                writeln!(
                    text,
                    "\n[[policy]]\nname = \"policy-{number}\"\nscope = \"{scope}\""
                )?;
            }
            open = rule.block;
            rule.print(text)?;
        }
        Ok(())
    }

    /// What the text must mean.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let sets: Vec<PrefixSet> = self.sets.iter().map(|set| prefix_set(&set.entries)).collect();
        let mut rules: Vec<Rule> = (1..)
            .zip(&self.rules)
            .map(|(line, rule)| rule.rule(&sets, line))
            .collect();
        // The sort is stable: equal keys stay in file order.
        rules.sort_by_key(|rule| (rule.scope.level(), rule.priority.is_none(), rule.priority));
        let classes = self
            .classes
            .iter()
            .fold(ClassVerdicts::default(), |classes, (class, verdict)| {
                classes.with(*class, *verdict)
            });
        Policy {
            firewall: Firewall {
                inbound: self.inbound,
                essentials: self.essentials,
                classes,
                ..Firewall::default()
            },
            rules,
            ..Policy::default()
        }
    }

    /// The host the policy is on.
    #[must_use]
    pub fn host(&self) -> HostFacts {
        HostFacts {
            interfaces: vec![InterfaceFacts {
                name: "eth0".to_owned(),
                index: 2,
                addresses: self.host.clone(),
            }],
            ..HostFacts::default()
        }
    }

    /// The prefixes of an address list.
    #[must_use]
    pub fn prefixes(&self, words: &[AddressWord]) -> Vec<IpNet> {
        let mut prefixes = Vec::new();
        for word in words {
            match word {
                AddressWord::Prefix(prefix) => prefixes.push(*prefix),
                AddressWord::Set(at) => prefixes.extend(&self.sets[*at].entries),
            }
        }
        prefixes
    }
}

impl RuleSketch {
    fn print(&self, text: &mut String) -> std::fmt::Result {
        let heading = match self.block {
            Block::TopLevel => "[[rule]]",
            Block::Policy(..) => "[[policy.rule]]",
        };
        writeln!(
            text,
            "\n{heading}\nname = \"{}\"\naction = \"{}\"",
            self.name,
            self.action.word()
        )?;
        if let Some(priority) = self.priority {
            writeln!(text, "priority = {priority}")?;
        }
        for (key, words) in [("source", &self.source), ("destination", &self.destination)] {
            if !words.is_empty() {
                let word = |word: &AddressWord| match word {
                    AddressWord::Prefix(prefix) => quoted(&written(prefix)),
                    AddressWord::Set(at) => format!("\"@set-{at}\""),
                };
                writeln!(text, "{key} = {}", list(words, word))?;
            }
        }
        match &self.protocols[..] {
            [] => {}
            [one] => writeln!(text, "protocol = {}", protocol_word(*one))?,
            more => writeln!(text, "protocol = {}", list(more, |number| protocol_word(*number)))?,
        }
        for (key, ranges) in [("ports", &self.ports), ("source_ports", &self.source_ports)] {
            if !ranges.is_empty() {
                let range = |range: &PortRange| match range {
                    PortRange { first, last } if first == last => first.to_string(),
                    PortRange { first, last } => format!("\"{first}-{last}\""),
                };
                writeln!(text, "{key} = {}", list(ranges, range))?;
            }
        }
        if !self.icmp.is_empty() {
            let message = |message: &IcmpMatch| match message.code {
                Some(code) => format!("\"{}/{code}\"", message.kind),
                None => message.kind.to_string(),
            };
            writeln!(text, "icmp = {}", list(&self.icmp, message))?;
        }
        if let Some(flags) = self.tcp_flags {
            let mut words = Vec::new();
            for (bit, word) in ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"]
                .iter()
                .enumerate()
            {
                if flags.set >> bit & 1 == 1 {
                    words.push((*word).to_owned());
                }
                if flags.clear >> bit & 1 == 1 {
                    words.push(format!("!{word}"));
                }
            }
            writeln!(text, "tcp_flags = \"{}\"", words.join(","))?;
        }
        Ok(())
    }

    fn rule(&self, sets: &[PrefixSet], line: u32) -> Rule {
        let addresses = |words: &[AddressWord]| match words {
            [] => AddressMatch::anywhere(),
            [AddressWord::Set(at)] => AddressMatch::among(sets[*at].clone()),
            words => {
                let mut elements = Vec::new();
                for word in words {
                    match word {
                        AddressWord::Prefix(prefix) => elements.push(element(prefix)),
                        AddressWord::Set(at) => elements.extend_from_slice(sets[*at].elements()),
                    }
                }
                AddressMatch::among(PrefixSet::new(elements))
            }
        };
        let mut protocols = self.protocols.clone();
        protocols.sort_unstable();
        protocols.dedup();
        let place = Place {
            file: Arc::new(PathBuf::from("policy.toml")),
            line,
            column: 1,
        };
        let name = RuleName::parse(&self.name).expect("generated names are valid");
        Rule {
            scope: match self.block {
                Block::Policy(Level::Global, _) => Scope::Global,
                _ => Scope::Host,
            },
            priority: self.priority,
            source: addresses(&self.source),
            destination: addresses(&self.destination),
            protocols: if protocols.is_empty() {
                Protocols::Any
            } else {
                Protocols::Only(protocols)
            },
            ports: self.ports.clone(),
            source_ports: self.source_ports.clone(),
            icmp: self.icmp.clone(),
            tcp_flags: self.tcp_flags,
            ..Rule::new(name, self.action.into(), place)
        }
    }
}

fn prefix_set(entries: &[IpNet]) -> PrefixSet {
    PrefixSet::new(entries.iter().map(element).collect())
}

fn element(prefix: &IpNet) -> Element {
    Element {
        prefix: *prefix,
        expires: None,
        origin: Origin {
            list: Arc::new(List::default()),
            line: 1,
        },
    }
}

fn set_file(at: usize) -> String {
    format!("set-{at}.txt")
}

fn written(prefix: &IpNet) -> String {
    if prefix.prefix_len() == prefix.max_prefix_len() {
        prefix.addr().to_string()
    } else {
        prefix.to_string()
    }
}

fn protocol_word(number: u8) -> String {
    match number {
        1 => quoted("icmp"),
        6 => quoted("tcp"),
        17 => quoted("udp"),
        47 => quoted("gre"),
        50 => quoted("esp"),
        51 => quoted("ah"),
        58 => quoted("icmpv6"),
        132 => quoted("sctp"),
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn list<T>(items: &[T], item: impl Fn(&T) -> String) -> String {
    let items: Vec<String> = items.iter().map(item).collect();
    format!("[{}]", items.join(", "))
}
