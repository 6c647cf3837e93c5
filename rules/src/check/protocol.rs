//! Protocol conditions: `tcp`, `47`, `https`.
//!
//! A service name stands for protocols and ports. One rule can only say "these protocols, and these ports on each of
//! them", so a list may join services that have the same protocols, and nothing else beside them.

use super::service::{self, SERVICES, Service};
use crate::diagnostic::{Code, Reporter, closest, quote};
use crate::document::Scalar;
use crate::policy::{PortRange, Protocols};
use crate::source::{Span, Written};

/// What `protocol` says.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) protocols: Protocols,
    /// The ports that a service brought, with where its name stands.
    pub(super) service: Option<(Vec<PortRange>, Written<&'static str>)>,
    /// Something was reported: conditions that depend on the protocol are not worth a message.
    pub(super) faulty: bool,
}

impl Selected {
    /// Exactly this protocol.
    pub(super) fn is(&self, number: u8) -> bool {
        matches!(&self.protocols, Protocols::Only(numbers) if numbers.as_slice() == [number])
    }

    fn any(faulty: bool) -> Self {
        Self {
            protocols: Protocols::Any,
            service: None,
            faulty,
        }
    }
}

enum Word {
    Any,
    Number(u8),
    Service(&'static Service),
}

/// Reads the list; absent means any.
pub(super) fn check(list: Option<&Written<Vec<Written<Scalar>>>>, reporter: &mut Reporter) -> Selected {
    let Some(list) = list else {
        return Selected::any(false);
    };
    if list.value.is_empty() {
        let help = "leave `protocol` out to mean `any`, or name protocols";
        reporter.report(Code::Empty, list.span, "`protocol` is an empty list", help);
        return Selected::any(true);
    }
    let words: Vec<_> = list
        .value
        .iter()
        .map(|word| read(word, reporter).map(|read| (read, word.span)))
        .collect();
    let Some(words) = words.into_iter().collect::<Option<Vec<_>>>() else {
        return Selected::any(true);
    };
    join(&words, reporter)
}

fn join(words: &[(Word, Span)], reporter: &mut Reporter) -> Selected {
    let (mut numbers, mut services) = (Vec::new(), Vec::<(&Service, Span)>::new());
    for (word, span) in words {
        match word {
            Word::Any if words.len() == 1 => return Selected::any(false),
            Word::Any => {
                let help = "write `protocol = \"any\"`, or take `any` out of the list";
                reporter.report(Code::ProtocolMix, *span, "`any` beside other protocols", help);
                return Selected::any(true);
            }
            Word::Number(number) => numbers.push(*number),
            Word::Service(service) if services.iter().any(|(known, _)| std::ptr::eq(*known, *service)) => {}
            Word::Service(service) => services.push((*service, *span)),
        }
    }
    let Some((first, span)) = services.first().copied() else {
        numbers.sort_unstable();
        numbers.dedup();
        return Selected {
            protocols: Protocols::Only(numbers),
            service: None,
            faulty: false,
        };
    };
    if !numbers.is_empty() {
        let message = format!("service `{}` beside a protocol", first.name);
        let help =
            "a service brings its own ports: write one rule for the services and one for the protocols";
        reporter.report(Code::ProtocolMix, span, message, help);
        return Selected::any(true);
    }
    if let Some((other, span)) = services
        .iter()
        .find(|(service, _)| service.protocols != first.protocols)
    {
        let message = format!(
            "services `{}` and `{}` have different protocols",
            first.name, other.name
        );
        let help = "write one rule for each of them";
        reporter.report(Code::ProtocolMix, *span, message, help);
        return Selected::any(true);
    }
    let ports = services.iter().flat_map(|(service, _)| service.ports);
    let ports = ports.map(|(first, last)| PortRange {
        first: *first,
        last: *last,
    });
    Selected {
        protocols: Protocols::Only(first.protocols.to_vec()),
        service: Some((
            ports.collect(),
            Written {
                value: first.name,
                span,
            },
        )),
        faulty: false,
    }
}

fn read(word: &Written<Scalar>, reporter: &mut Reporter) -> Option<Word> {
    let text = match &word.value {
        Scalar::Integer(number) => {
            let number = u8::try_from(*number).ok();
            if number.is_none() {
                let help = "write a protocol number from 0 to 255";
                reporter.report(Code::OutOfRange, word.span, "`protocol` is out of range", help);
            }
            return number.map(Word::Number);
        }
        Scalar::Text(text) => text.as_str(),
    };
    if text == "any" {
        return Some(Word::Any);
    }
    if let Some((_, number)) = PROTOCOLS.iter().find(|(name, _)| *name == text) {
        return Some(Word::Number(*number));
    }
    if let Some(service) = service::find(text) {
        return Some(Word::Service(service));
    }
    let message = format!("{} is not a protocol or a service", quote(text));
    reporter.report(Code::UnknownProtocol, word.span, message, help(text));
    None
}

fn help(text: &str) -> String {
    let names = || PROTOCOLS.iter().map(|(name, _)| *name).chain(["any"]);
    let services = SERVICES.iter().map(|service| service.name);
    let lower = text.to_ascii_lowercase();
    let near = match lower.as_str() {
        "all" | "ip" | "*" => Some("any"),
        "icmp6" | "ipv6-icmp" => Some("icmpv6"),
        "http3" | "h3" => Some("quic"),
        other => closest(other, names().chain(services)),
    };
    match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "write `tcp`, `udp`, `icmp`, `icmpv6`, `sctp`, `gre`, `esp`, `ah`, `any`, a protocol number, or `tcp` or `udp` with `ports`".to_owned(),
    }
}

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const SCTP: u8 = 132;

/// Names and IANA's numbers.
pub(crate) const PROTOCOLS: [(&str, u8); 8] = [
    ("ah", 51),
    ("esp", 50),
    ("gre", 47),
    ("icmp", ICMP),
    ("icmpv6", ICMPV6),
    ("sctp", SCTP),
    ("tcp", TCP),
    ("udp", UDP),
];
