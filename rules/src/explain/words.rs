//! The words of questions and explanations: the same as in a policy.

use crate::check::icmp;
use crate::check::protocol::PROTOCOLS;
use crate::check::tcp_flags::FLAGS;
use crate::policy::{IcmpMatch, PortRange, TcpFlags};

/// The number of a protocol: a name of the policy language, or a number.
#[must_use]
pub fn parse_protocol(text: &str) -> Option<u8> {
    let named = PROTOCOLS.iter().find(|(name, _)| *name == text);
    named.map(|(_, number)| *number).or_else(|| text.parse().ok())
}

/// An ICMP type and code: `8`, `3/4`, or a name of the policy language. Without a code: 0.
#[must_use]
pub fn parse_icmp(text: &str, ipv4: bool) -> Option<(u8, u8)> {
    let family = if ipv4 { &icmp::V4 } else { &icmp::V6 };
    let message = icmp::numbers(text).or_else(|| family.find(text))?;
    Some((message.kind, message.code.unwrap_or(0)))
}

/// TCP flags that are set: `syn,ack`, or `none`.
#[must_use]
pub fn parse_tcp_flags(text: &str) -> Option<u8> {
    if text == "none" {
        return Some(0);
    }
    text.split(',').try_fold(0, |flags, word| {
        let (_, bit) = FLAGS.iter().find(|(name, _)| *name == word.trim())?;
        Some(flags | bit)
    })
}

/// The bytes of a frame in hexadecimal digits, as packet tools print them: blanks and colons between bytes are passed over.
#[must_use]
pub fn parse_frame(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace() && *c != ':')
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    if pairs.len() > LONGEST_FRAME {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(high << 4 | low).ok())
        .collect()
}

/// The longest IPv6 packet with two VLAN tags in front: more is a file named by mistake, no frame.
const LONGEST_FRAME: usize = 14 + 8 + 40 + 65_535;

/// `tcp`, or `89`.
pub(crate) fn protocol_word(number: u8) -> String {
    match PROTOCOLS.iter().find(|(_, known)| *known == number) {
        Some((name, _)) => (*name).to_owned(),
        None => number.to_string(),
    }
}

pub(crate) fn flag_words(set: u8) -> String {
    let words: Vec<&str> = FLAGS
        .iter()
        .filter(|(_, bit)| set & bit != 0)
        .map(|(name, _)| *name)
        .collect();
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(",")
    }
}

pub(super) fn wanted_flags(flags: TcpFlags) -> String {
    let words = FLAGS
        .iter()
        .filter_map(|(name, bit)| match (flags.set & bit, flags.clear & bit) {
            (0, 0) => None,
            (0, _) => Some(format!("!{name}")),
            _ => Some((*name).to_owned()),
        });
    words.collect::<Vec<_>>().join(",")
}

pub(super) fn port_words(ranges: &[PortRange]) -> String {
    joined(ranges, |range| match range {
        PortRange { first, last } if first == last => first.to_string(),
        PortRange { first, last } => format!("{first}-{last}"),
    })
}

pub(super) fn message_words(messages: &[IcmpMatch]) -> String {
    joined(messages, |message| match message.code {
        Some(code) => format!("{}/{code}", message.kind),
        None => message.kind.to_string(),
    })
}

/// The first entries; a list of thousands stays one line.
pub(super) fn joined<T>(items: &[T], word: impl Fn(&T) -> String) -> String {
    let mut words: Vec<String> = items.iter().take(MOST_SHOWN).map(word).collect();
    if items.len() > MOST_SHOWN {
        words.push(format!("… ({} more)", items.len() - MOST_SHOWN));
    }
    words.join(", ")
}

const MOST_SHOWN: usize = 8;
