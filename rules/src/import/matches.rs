//! The conditions of a drafted rule, in the words of a policy.

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
            // "None of these" twice is "none of all of these".
            _ if one.iter().chain(other).all(|word| word.starts_with('!')) => {
                Ok(one.iter().chain(other).cloned().collect())
            }
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
            source: list(&self.source, &other.source, "source")?,
            destination: list(&self.destination, &other.destination, "destination")?,
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

    /// Whether every packet fits.
    pub(super) fn is_everything(&self) -> bool {
        let conditions = Self {
            family: None,
            ..self.clone()
        };
        conditions == Self::default()
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
