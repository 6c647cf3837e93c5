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
    Action, AddressMatch, ClassVerdicts, Clock, Direction, Element, Firewall, Host, HostFacts, IcmpMatch,
    Interface, InterfaceFacts, List, Mode, Origin, Policy, PortRange, PrefixSet, Protocols, Rule, RuleName,
    Scope, TcpFlags, Timestamp, Vpc,
};

use super::words::{AddressWord, Block, ScopeSketch, quoted, written};

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
    /// `[never_ban]`; empty: not written.
    pub never_ban: Vec<IpNet>,
    /// Rules in file order.
    pub rules: Vec<RuleSketch>,
    /// `[[vpc]]`, named by their places.
    pub vpcs: Vec<VpcSketch>,
    /// `[host] region`.
    pub region: Option<&'static str>,
    /// `[host] vpc`.
    pub home: Option<usize>,
    /// `[firewall] interfaces`, named by their places, with the VPC behind each. At least one.
    pub interfaces: Vec<Option<usize>>,
    /// `[firewall] outbound`.
    pub outbound: Verdict,
    /// The addresses of each interface; not part of the text.
    pub host: Vec<Vec<IpAddr>>,
}

/// A `[[vpc]]`.
#[derive(Clone, Debug)]
pub struct VpcSketch {
    /// `cidrs`: no other VPC has any of their addresses.
    pub cidrs: Vec<IpNet>,
    /// `peers`, by their places.
    pub peers: Vec<usize>,
}

/// The second since 1970 in which every random policy is compiled: what ends before it has ended.
pub const NOW: u64 = 2_000_000_000;

/// A `[[set]]`.
#[derive(Clone, Debug)]
pub struct SetSketch {
    /// Its elements, and the second since 1970 in which each ends. Entries of a file have no end.
    pub entries: Vec<(IpNet, Option<u64>)>,
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
    /// `direction`.
    pub direction: Direction,
    /// `action`.
    pub action: Action,
    /// `mode = "observe"`.
    pub observe: bool,
    /// `enabled`.
    pub enabled: bool,
    /// `expires`: the second since 1970.
    pub expires: Option<u64>,
    /// `interface`, by its place; one behind the last is an interface that is not filtered.
    pub interface: Option<usize>,
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
                .map(|(entry, _)| format!("{}  ; an entry\n", written(entry)));
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
        let interfaces = list(
            &self.interfaces.iter().enumerate().collect::<Vec<_>>(),
            |(at, vpc)| match vpc {
                Some(vpc) => format!("{{ name = \"eth{at}\", vpc = \"vpc-{vpc}\" }}"),
                None => format!("\"eth{at}\""),
            },
        );
        writeln!(
            text,
            "interfaces = {interfaces}\noutbound = \"{}\"",
            self.outbound.word()
        )?;
        writeln!(text, "essentials = {}\n\n[firewall.classes]", self.essentials)?;
        for (class, verdict) in &self.classes {
            writeln!(text, "{} = \"{}\"", class.label(), verdict.word())?;
        }
        if !self.never_ban.is_empty() {
            let entries = list(&self.never_ban, |net| quoted(&written(net)));
            writeln!(text, "\n[never_ban]\nentries = {entries}")?;
        }
        writeln!(text, "\n[host]\nname = \"edge-1\"")?;
        if let Some(region) = self.region {
            writeln!(text, "region = \"{region}\"")?;
        }
        if let Some(home) = self.home {
            writeln!(text, "vpc = \"vpc-{home}\"")?;
        }
        for (at, vpc) in self.vpcs.iter().enumerate() {
            let cidrs = list(&vpc.cidrs, |net| quoted(&net.to_string()));
            let peers = list(&vpc.peers, |peer| format!("\"vpc-{peer}\""));
            writeln!(
                text,
                "\n[[vpc]]\nname = \"vpc-{at}\"\ncidrs = {cidrs}\npeers = {peers}"
            )?;
        }
        for (at, set) in self.sets.iter().enumerate() {
            writeln!(text, "\n[[set]]\nname = \"set-{at}\"")?;
            if set.in_file {
                writeln!(text, "files = [\"{}\"]", set_file(at))?;
            } else {
                writeln!(
                    text,
                    "entries = {}",
                    list(&set.entries, |(net, end)| match end {
                        Some(end) => format!("{{ cidr = \"{}\", expires = {} }}", written(net), moment(*end)),
                        None => quoted(&written(net)),
                    })
                )?;
            }
        }
        let mut open = Block::TopLevel;
        for rule in &self.rules {
            if let Block::Policy(scope, number) = rule.block
                && rule.block != open
            {
                let scope = scope.text();
                writeln!(text, "\n[[policy]]\nname = \"policy-{number}\"\nscope = {scope}")?;
            }
            open = rule.block;
            rule.print(text)?;
        }
        Ok(())
    }

    /// What the text must mean.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let mut rules: Vec<Rule> = (1..)
            .zip(&self.rules)
            .filter(|(_, rule)| rule.enabled)
            .map(|(line, rule)| rule.rule(self, line))
            .collect();
        // The sort is stable: equal keys stay in file order.
        rules.sort_by_key(|rule| (rule.scope.level(), rule.priority.is_none(), rule.priority));
        let home = self.home.map(|at| format!("vpc-{at}"));
        let (rules, inert) = rules.into_iter().partition(|rule| match &rule.scope {
            Scope::Region(region) => self.region == Some(region.as_str()),
            Scope::Vpc(vpc) => home.as_ref() == Some(vpc),
            Scope::Global | Scope::Host => true,
        });
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
                outbound: self.outbound,
                interfaces: (0..)
                    .zip(&self.interfaces)
                    .map(|(at, vpc): (usize, _)| Interface {
                        name: format!("eth{at}"),
                        vpc: vpc.map(|vpc| format!("vpc-{vpc}")),
                    })
                    .collect(),
                // As the text says: each packet is judged alone.
                stateful: false,
                ..Firewall::default()
            },
            host: Host {
                name: "edge-1".to_owned(),
                region: self.region.map(ToOwned::to_owned),
                vpc: home,
                environment: None,
            },
            vpcs: (0..self.vpcs.len()).map(|at| self.vpc(at)).collect(),
            rules,
            inert,
            ..Policy::default()
        }
    }

    /// Whether the rule's scope is one that the host is in.
    #[must_use]
    pub fn is_here(&self, rule: &RuleSketch) -> bool {
        match rule.block {
            Block::Policy(ScopeSketch::Region(region), _) => self.region == Some(region),
            Block::Policy(ScopeSketch::Vpc(vpc), _) => self.home == Some(vpc),
            _ => true,
        }
    }

    fn vpc(&self, at: usize) -> Vpc {
        let cidrs = self.vpcs[at].cidrs.iter().map(|net| element(net, None));
        let peers = (0..self.vpcs.len()).filter(|other| self.are_peers(at, *other));
        Vpc {
            name: format!("vpc-{at}"),
            provider: None,
            region: None,
            cidrs: PrefixSet::new(cidrs.collect()),
            environments: Vec::new(),
            peers: peers.map(|other| format!("vpc-{other}")).collect(),
            place: Place::default(),
        }
    }

    /// Whether one of the two names the other.
    #[must_use]
    pub fn are_peers(&self, one: usize, other: usize) -> bool {
        self.vpcs[one].peers.contains(&other) || self.vpcs[other].peers.contains(&one)
    }

    /// The host the policy is on. Its interfaces have numbers that are far apart, as those of containers are.
    #[must_use]
    pub fn host(&self) -> HostFacts {
        let clock = Clock {
            unix: NOW * 1_000_000_000,
            boot: 77_000_000_123,
        };
        self.host_with(clock, |at| u32::try_from(at).unwrap_or(0) * 70_001 + 2)
    }

    /// The host with this clock and these numbers of interfaces.
    #[must_use]
    pub fn host_with(&self, clock: Clock, number: impl Fn(usize) -> u32) -> HostFacts {
        let interfaces = self
            .host
            .iter()
            .enumerate()
            .map(|(at, addresses)| InterfaceFacts {
                name: format!("eth{at}"),
                index: number(at),
                addresses: addresses.clone(),
            });
        HostFacts {
            interfaces: interfaces.collect(),
            clock,
        }
    }

    /// The prefixes that an address list is about, excluded ones too.
    #[must_use]
    pub fn prefixes(&self, words: &[AddressWord]) -> Vec<IpNet> {
        words.iter().flat_map(|word| self.prefixes_of(word)).collect()
    }

    fn prefixes_of(&self, word: &AddressWord) -> Vec<IpNet> {
        match word {
            AddressWord::Prefix(prefix) => vec![*prefix],
            AddressWord::Range(first, last) => vec![IpNet::from(*first), IpNet::from(*last)],
            AddressWord::Set(at) => self.sets[*at].entries.iter().map(|(net, _)| *net).collect(),
            AddressWord::Own => self
                .host
                .iter()
                .flatten()
                .map(|host| IpNet::from(*host))
                .collect(),
            AddressWord::LocalVpc(at) | AddressWord::Vpc(at) => self.vpcs[*at].cidrs.clone(),
            AddressWord::Not(word) => self.prefixes_of(word),
        }
    }

    /// What an address list means, word by word.
    fn condition(&self, words: &[AddressWord], denies: bool) -> AddressMatch {
        let mut condition = AddressMatch::anywhere();
        let (mut include, mut exclude) = (Vec::new(), Vec::new());
        let mut included = false;
        for word in words {
            let is_exception = matches!(word, AddressWord::Not(_));
            included |= !is_exception;
            let (word, elements, own) = match word {
                AddressWord::Not(word) => (&**word, &mut exclude, &mut condition.exclude_self),
                word => (word, &mut include, &mut condition.include_self),
            };
            match word {
                AddressWord::Own => *own = true,
                AddressWord::Set(at) if denies && !is_exception && self.sets[*at].in_file => {
                    let feed = self.sets[*at].entries.iter();
                    elements.extend(
                        feed.flat_map(|(net, _)| self.spared(*net))
                            .map(|net| element(&net, None)),
                    );
                }
                AddressWord::Set(at) => {
                    elements.extend(self.sets[*at].entries.iter().map(|(net, end)| element(net, *end)));
                }
                AddressWord::Range(first, last) => {
                    elements
                        .extend(addresses_of(*first, *last).map(|address| element(&address.into(), None)));
                }
                word => elements.extend(self.prefixes_of(word).iter().map(|net| element(net, None))),
            }
        }
        if included {
            condition.include = Some(PrefixSet::new(include));
        }
        condition.exclude = PrefixSet::new(exclude);
        condition
    }
}

impl Sketch {
    /// Whether `[never_ban]` takes something out of the set.
    pub(super) fn is_cut(&self, set: usize) -> bool {
        let mut entries = self.sets[set].entries.iter();
        entries.any(|(net, _)| {
            let mut never = self.never_ban.iter();
            never.any(|never| never.contains(net) || net.contains(never))
        })
    }

    /// What is left of a feed's prefix without the addresses of `[never_ban]`: halves, until each is in it or outside of it.
    fn spared(&self, net: IpNet) -> Vec<IpNet> {
        let covers = |never: &IpNet| never.contains(&net);
        let meets = |never: &IpNet| net.contains(never);
        if self.never_ban.iter().any(covers) {
            return Vec::new();
        }
        if !self.never_ban.iter().any(meets) {
            return vec![net];
        }
        let halves = net.subnets(net.prefix_len() + 1).expect("a longer prefix");
        halves.flat_map(|half| self.spared(half)).collect()
    }
}

/// Every address of a short range, one by one: nothing clever that could be wrong in the same way.
fn addresses_of(first: IpAddr, last: IpAddr) -> Box<dyn Iterator<Item = IpAddr>> {
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            Box::new((first.to_bits()..=last.to_bits()).map(|bits| IpAddr::V4(bits.into())))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            Box::new((first.to_bits()..=last.to_bits()).map(|bits| IpAddr::V6(bits.into())))
        }
        _ => panic!("a range is of one family"),
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
        if self.direction == Direction::Outbound {
            writeln!(text, "direction = \"outbound\"")?;
        }
        if self.observe {
            writeln!(text, "mode = \"observe\"")?;
        }
        if !self.enabled {
            writeln!(text, "enabled = false")?;
        }
        if let Some(end) = self.expires {
            writeln!(text, "expires = {}", moment(end))?;
        }
        if let Some(at) = self.interface {
            writeln!(text, "interface = \"eth{at}\"")?;
        }
        if let Some(priority) = self.priority {
            writeln!(text, "priority = {priority}")?;
        }
        for (key, words) in [("source", &self.source), ("destination", &self.destination)] {
            if !words.is_empty() {
                let word = |word: &AddressWord| quoted(&word.text());
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

    fn rule(&self, sketch: &Sketch, line: u32) -> Rule {
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
                Block::Policy(scope, _) => scope.scope(),
                Block::TopLevel => Scope::Host,
            },
            priority: self.priority,
            direction: self.direction,
            mode: if self.observe {
                Mode::Observe
            } else {
                Mode::Enforce
            },
            expires: self.expires.and_then(Timestamp::from_unix),
            interface: self.interface.map(|at| format!("eth{at}")),
            source: sketch.condition(&self.source, self.action == Action::Deny),
            destination: sketch.condition(&self.destination, self.action == Action::Deny),
            protocols: if protocols.is_empty() {
                Protocols::Any
            } else {
                Protocols::Only(protocols)
            },
            ports: self.ports.clone(),
            source_ports: self.source_ports.clone(),
            icmp: self.icmp.clone(),
            tcp_flags: self.tcp_flags,
            ..Rule::new(name, self.action, place)
        }
    }
}

fn element(prefix: &IpNet, end: Option<u64>) -> Element {
    Element {
        prefix: *prefix,
        expires: end.and_then(Timestamp::from_unix),
        origin: Origin {
            list: Arc::new(List::default()),
            line: 1,
        },
    }
}

/// As policies write it.
fn moment(unix: u64) -> String {
    Timestamp::from_unix(unix)
        .expect("a moment after 1970")
        .to_string()
}

fn set_file(at: usize) -> String {
    format!("set-{at}.txt")
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

fn list<T>(items: &[T], item: impl Fn(&T) -> String) -> String {
    let items: Vec<String> = items.iter().map(item).collect();
    format!("[{}]", items.join(", "))
}
