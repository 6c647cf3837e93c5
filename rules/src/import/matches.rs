//! The conditions of a drafted rule, in the words of a policy.

use std::collections::HashMap;

use ipnet::IpNet;

use crate::check::firewall::is_interface;

/// What a packet has to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Matches {
    /// Packets of one family only.
    pub(super) family: Option<Family>,
    pub(super) interface: Option<String>,
    /// Any of these, with `!` in front none of these; nothing: anywhere.
    pub(super) source: Vec<String>,
    pub(super) destination: Vec<String>,
    /// Any of these, `tcp` or a number; nothing: every protocol.
    pub(super) protocol: Vec<String>,
    pub(super) ports: Vec<(u16, u16)>,
    pub(super) source_ports: Vec<(u16, u16)>,
    /// `8`, `3/4`.
    pub(super) icmp: Vec<String>,
    /// `syn,!ack`.
    pub(super) tcp_flags: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    /// Every address of it.
    pub(super) fn all(self) -> &'static str {
        match self {
            Self::V4 => "0.0.0.0/0",
            Self::V6 => "::/0",
        }
    }
}

/// Of which families a list holds addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Families {
    pub(super) v4: bool,
    pub(super) v6: bool,
}

impl Families {
    /// `words` as a rule writes them; nothing but exceptions leaves something of both.
    pub(super) fn of(words: &[String], sets: &HashMap<String, Self>) -> Self {
        let mut included = words.iter().filter(|word| !word.starts_with('!')).peekable();
        let none = Self { v4: false, v6: false };
        if included.peek().is_none() {
            return Self { v4: true, v6: true };
        }
        included.fold(none, |all, word| {
            let of_word = match word.strip_prefix('@') {
                Some(set) => sets.get(set).copied().unwrap_or(Self { v4: true, v6: true }),
                None => Self {
                    v4: !word.contains(':'),
                    v6: word.contains(':') || word == "local-vpc",
                },
            };
            Self {
                v4: all.v4 || of_word.v4,
                v6: all.v6 || of_word.v6,
            }
        })
    }
}

impl Matches {
    /// Both conditions at once.
    pub(super) fn and(&self, other: &Self) -> Result<Self, Clash> {
        Ok(Self {
            family: single(self.family.as_ref(), other.family.as_ref())?,
            interface: single(self.interface.as_ref(), other.interface.as_ref())?,
            source: both(&self.source, &other.source, "source")?,
            destination: both(&self.destination, &other.destination, "destination")?,
            protocol: common(&self.protocol, &other.protocol, |one, other| {
                (one == other).then(|| one.clone())
            })?,
            ports: common(&self.ports, &other.ports, overlap)?,
            source_ports: common(&self.source_ports, &other.source_ports, overlap)?,
            icmp: same(&self.icmp, &other.icmp, "ICMP messages")?,
            tcp_flags: match (&self.tcp_flags, &other.tcp_flags) {
                (Some(one), Some(other)) if one != other => return Err(Clash::Unsayable("TCP flags")),
                (one, other) => one.as_ref().or(other.as_ref()).cloned(),
            },
        })
    }

    /// The addresses as a rule writes them: an IPv4 rule of another firewall never means IPv6.
    pub(super) fn addresses(&self) -> (Vec<String>, Vec<String>) {
        let (mut source, mut destination) = (self.source.clone(), self.destination.clone());
        let positive = |words: &[String]| words.iter().any(|word| !word.starts_with('!'));
        if let Some(family) = self.family
            && !positive(&source)
            && !positive(&destination)
        {
            let narrowed = if source.is_empty() && !destination.is_empty() {
                &mut destination
            } else {
                &mut source
            };
            narrowed.insert(0, family.all().to_owned());
        }
        (source, destination)
    }

    /// Whether a rule may say all of this at once.
    pub(super) fn make_sense(&self, sets: &HashMap<String, Families>) -> Result<(), &'static str> {
        let (source, destination) = self.addresses();
        let [source, destination] = [source, destination].map(|words| Families::of(&words, sets));
        let families = Families {
            v4: source.v4 && destination.v4,
            v6: source.v6 && destination.v6,
        };
        if !families.v4 && !families.v6 {
            return Err("no packet has addresses of both families");
        }
        let only = |known: &[&str]| self.protocol.iter().all(|word| known.contains(&word.as_str()));
        let is = |word: &str| self.protocol.as_slice() == [word];
        let ports = !self.ports.is_empty() || !self.source_ports.is_empty();
        if ports && !only(&["tcp", "udp", "sctp"]) {
            return Err("only TCP, UDP and SCTP have ports");
        }
        if !self.icmp.is_empty() && !is("icmp") && !is("icmpv6") {
            return Err("messages are of ICMP or of ICMPv6");
        }
        if (is("icmp") && !families.v4) || (is("icmpv6") && !families.v6) {
            return Err("ICMP is the messages of IPv4, ICMPv6 those of IPv6");
        }
        if self.tcp_flags.is_some() && !is("tcp") {
            return Err("only TCP has flags");
        }
        if !self.interface.iter().all(|name| is_interface(name)) {
            return Err("this is no name of an interface");
        }
        Ok(())
    }

    /// Whether every packet fits.
    pub(super) fn is_everything(&self) -> bool {
        let conditions = Self {
            family: None,
            ..self.clone()
        };
        conditions == Self::default()
    }
}

/// Why two conditions are not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clash {
    /// No packet fits both.
    Never,
    /// One rule cannot say both of this.
    Unsayable(&'static str),
}

/// Addresses in both lists.
fn both(one: &[String], other: &[String], key: &'static str) -> Result<Vec<String>, Clash> {
    let is_exception = |word: &&String| word.starts_with('!');
    let (exceptions, one): (Vec<&String>, Vec<&String>) = one.iter().partition(is_exception);
    let (more, other): (Vec<&String>, Vec<&String>) = other.iter().partition(is_exception);
    let included: Vec<String> = match (one.as_slice(), other.as_slice()) {
        (list, []) | ([], list) => list.iter().copied().cloned().collect(),
        (one, other) if one == other => one.iter().copied().cloned().collect(),
        (one, other) => {
            let prefixes = |list: &[&String]| -> Result<Vec<IpNet>, Clash> {
                let prefixes: Option<Vec<IpNet>> = list.iter().map(|word| net(word)).collect();
                prefixes.ok_or(Clash::Unsayable(key))
            };
            let (one, other) = (prefixes(one)?, prefixes(other)?);
            // Of two prefixes that meet, one lies in the other.
            let meet = |one: &IpNet, other: &IpNet| {
                let narrower = if one.contains(other) { other } else { one };
                (one.contains(other) || other.contains(one)).then_some(*narrower)
            };
            let prefixes = common(&one, &other, meet)?;
            prefixes.iter().map(shortest).collect()
        }
    };
    Ok(included
        .into_iter()
        .chain(exceptions.into_iter().chain(more).cloned())
        .collect())
}

/// What both lists allow; an empty list allows everything.
fn common<T: Clone + PartialEq>(
    one: &[T],
    other: &[T],
    meet: impl Fn(&T, &T) -> Option<T>,
) -> Result<Vec<T>, Clash> {
    if one.is_empty() || other.is_empty() || one == other {
        return Ok(if one.is_empty() { other } else { one }.to_vec());
    }
    // A list of a thousand prefixes under a jump with a thousand others would make a million words.
    if one.len().saturating_mul(other.len()) > MAX_PAIRS {
        return Err(Clash::Unsayable("long lists"));
    }
    let pairs = one
        .iter()
        .flat_map(|one| other.iter().map(move |other| (one, other)));
    let common: Vec<T> = pairs.filter_map(|(one, other)| meet(one, other)).collect();
    if common.is_empty() {
        return Err(Clash::Never);
    }
    Ok(common)
}

fn overlap(one: &(u16, u16), other: &(u16, u16)) -> Option<(u16, u16)> {
    let (first, last) = (one.0.max(other.0), one.1.min(other.1));
    (first <= last).then_some((first, last))
}

fn same(one: &[String], other: &[String], key: &'static str) -> Result<Vec<String>, Clash> {
    common(one, other, |_one, _other| None).map_err(|_clash| Clash::Unsayable(key))
}

fn net(word: &str) -> Option<IpNet> {
    word.parse()
        .ok()
        .or_else(|| word.parse().ok().map(|address: std::net::IpAddr| address.into()))
}

fn shortest(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        net.to_string()
    }
}

fn single<T: Clone + PartialEq>(one: Option<&T>, other: Option<&T>) -> Result<Option<T>, Clash> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => Err(Clash::Never),
        (one, other) => Ok(one.or(other).cloned()),
    }
}

/// Each of a few words once.
pub(super) fn distinct(words: impl Iterator<Item = String>) -> Vec<String> {
    words.fold(Vec::new(), |mut seen, word| {
        if !seen.contains(&word) {
            seen.push(word);
        }
        seen
    })
}

/// Ports written `22` or, with that sign between them, `8000-8100`.
pub(super) fn ports(text: &str, between: char) -> Option<(u16, u16)> {
    let (first, last) = text.split_once(between).unwrap_or((text, text));
    let number = |text: &str, absent: u16| {
        if text.is_empty() {
            Some(absent)
        } else {
            text.parse().ok()
        }
    };
    let (first, last) = (number(first, 0)?, number(last, u16::MAX)?);
    (first <= last && !text.is_empty()).then_some((first, last))
}

/// See [`common`].
const MAX_PAIRS: usize = 10_000;
