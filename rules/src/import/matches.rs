//! The conditions of a drafted rule, in the words of a policy.

use ipnet::IpNet;

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

impl Matches {
    /// Both conditions at once; the name of the key when one rule cannot say so.
    pub(super) fn and(&self, other: &Self) -> Result<Self, &'static str> {
        let list = |one: &Vec<String>, other: &Vec<String>, key| match (one.is_empty(), other.is_empty()) {
            (_, true) => Ok(one.clone()),
            (true, _) => Ok(other.clone()),
            _ if one == other => Ok(one.clone()),
            _ => Err(key),
        };
        let ports =
            |one: &Vec<(u16, u16)>, other: &Vec<(u16, u16)>, key| match (one.is_empty(), other.is_empty()) {
                (_, true) => Ok(one.clone()),
                (true, _) => Ok(other.clone()),
                _ if one == other => Ok(one.clone()),
                _ => Err(key),
            };
        Ok(Self {
            family: single(self.family.as_ref(), other.family.as_ref(), "family")?,
            interface: single(self.interface.as_ref(), other.interface.as_ref(), "interface")?,
            source: both(&self.source, &other.source).ok_or("source")?,
            destination: both(&self.destination, &other.destination).ok_or("destination")?,
            protocol: list(&self.protocol, &other.protocol, "protocol")?,
            ports: ports(&self.ports, &other.ports, "ports")?,
            source_ports: ports(&self.source_ports, &other.source_ports, "source ports")?,
            icmp: list(&self.icmp, &other.icmp, "ICMP messages")?,
            tcp_flags: single(self.tcp_flags.as_ref(), other.tcp_flags.as_ref(), "TCP flags")?,
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
    pub(super) fn make_sense(&self) -> Result<(), &'static str> {
        let only = |known: &[&str]| self.protocol.iter().all(|word| known.contains(&word.as_str()));
        let is = |word: &str| self.protocol.as_slice() == [word];
        let ports = !self.ports.is_empty() || !self.source_ports.is_empty();
        if ports && !only(&["tcp", "udp", "sctp"]) {
            return Err("only TCP, UDP and SCTP have ports");
        }
        if !self.icmp.is_empty() && !is("icmp") && !is("icmpv6") {
            return Err("messages are of ICMP or of ICMPv6");
        }
        if self.tcp_flags.is_some() && !is("tcp") {
            return Err("only TCP has flags");
        }
        let interface = self.interface.as_deref().unwrap_or("x");
        if interface.is_empty() || interface.len() > 15 || interface.contains(['/', ' ', '\t']) {
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

/// Addresses in both lists, where one list can say it.
fn both(one: &[String], other: &[String]) -> Option<Vec<String>> {
    let is_exception = |word: &&String| word.starts_with('!');
    let (exceptions, one): (Vec<&String>, Vec<&String>) = one.iter().partition(is_exception);
    let (more, other): (Vec<&String>, Vec<&String>) = other.iter().partition(is_exception);
    let included: Vec<String> = match (one.as_slice(), other.as_slice()) {
        (list, []) | ([], list) => list.iter().copied().cloned().collect(),
        (one, other) if one == other => one.iter().copied().cloned().collect(),
        (one, other) => {
            let prefixes =
                |list: &[&String]| -> Option<Vec<IpNet>> { list.iter().map(|word| net(word)).collect() };
            let (one, other) = (prefixes(one)?, prefixes(other)?);
            let mut common = Vec::new();
            for one in &one {
                for other in &other {
                    // Of two prefixes that meet, one lies in the other.
                    if one.contains(other) {
                        common.push(shortest(other));
                    } else if other.contains(one) {
                        common.push(shortest(one));
                    }
                }
                if common.len() > MAX_WORDS {
                    return None;
                }
            }
            if common.is_empty() {
                return None;
            }
            common
        }
    };
    Some(
        included
            .into_iter()
            .chain(exceptions.into_iter().chain(more).cloned())
            .collect(),
    )
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

fn single<T: Clone + PartialEq>(
    one: Option<&T>,
    other: Option<&T>,
    key: &'static str,
) -> Result<Option<T>, &'static str> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => Err(key),
        (one, other) => Ok(one.or(other).cloned()),
    }
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

/// A list of a thousand prefixes under a jump with a thousand others makes a million words.
const MAX_WORDS: usize = 10_000;
