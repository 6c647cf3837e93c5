//! ICMP conditions: `"echo-request"`, `3`, `"3/4"`.

use super::protocol::{ICMP, ICMPV6, Selected};
use crate::diagnostic::{Code, Reporter, closest, list, quote};
use crate::document::Scalar;
use crate::policy::IcmpMatch;
use crate::source::Written;

/// The messages of the list. Reports what is none, and a rule whose protocol has none.
pub(super) fn check(
    written: Option<&Written<Vec<Written<Scalar>>>>,
    protocol: &Selected,
    reporter: &mut Reporter,
) -> Vec<IcmpMatch> {
    let Some(written) = written else {
        return Vec::new();
    };
    if written.value.is_empty() {
        let help = "leave `icmp` out to match every message, or name messages";
        reporter.report(Code::Empty, written.span, "`icmp` is an empty list", help);
    }
    let family = match protocol {
        _ if protocol.is(ICMP) => &V4,
        _ if protocol.is(ICMPV6) => &V6,
        _ if protocol.faulty => return Vec::new(),
        _ => {
            let message = "`icmp` needs `protocol` to be exactly `icmp` or exactly `icmpv6`";
            let help = "write `protocol = \"icmp\"` or `protocol = \"icmpv6\"`; their types differ, so each needs a rule of its own";
            reporter.report(Code::IcmpWithoutProtocol, written.span, message, help);
            return Vec::new();
        }
    };
    if written.value.len() > MAX_MESSAGES {
        let message = format!("more than {MAX_MESSAGES} messages in one list");
        let help = "name each message once, or leave `icmp` out to match every message";
        reporter.report(Code::TooLarge, written.span, message, help);
        return Vec::new();
    }
    written
        .value
        .iter()
        .filter_map(|message| read(message, family, reporter))
        .collect()
}

/// One of the two ICMP protocols.
pub(crate) struct Family {
    pub(crate) protocol: &'static str,
    /// Names, types, and codes where a name stands for one.
    pub(crate) messages: &'static [(&'static str, u8, Option<u8>)],
}

fn read(written: &Written<Scalar>, family: &Family, reporter: &mut Reporter) -> Option<IcmpMatch> {
    let text = match &written.value {
        Scalar::Integer(number) => number.to_string(),
        Scalar::Text(text) => text.clone(),
    };
    if let Some(found) = family.find(&text).or_else(|| numbers(&text)) {
        return Some(found);
    }
    let (code, message, help) = explain(&text, family);
    reporter.report(code, written.span, message, help);
    None
}

fn explain(text: &str, family: &Family) -> (Code, String, String) {
    let other = if family.protocol == V4.protocol { &V6 } else { &V4 };
    let names = || family.messages.iter().map(|(name, ..)| *name);
    if other.find(text).is_some() {
        let message = format!(
            "`{}` has no message {}, `{}` has",
            family.protocol,
            quote(text),
            other.protocol
        );
        let help = match text {
            "packet-too-big" => "write `fragmentation-needed`, which is the same in IPv4".to_owned(),
            "fragmentation-needed" => "write `packet-too-big`, which is the same in IPv6".to_owned(),
            _ => format!(
                "write `protocol = \"{}\"`, or one of {}",
                other.protocol,
                list(names())
            ),
        };
        return (Code::IcmpFamily, message, help);
    }
    let message = format!("{} is not an ICMP message", quote(text));
    let help = match closest(text, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "write a type like `8`, a type and a code like `\"3/4\"`, or one of {}",
            list(names())
        ),
    };
    (Code::BadIcmp, message, help)
}

/// `type` or `type/code`.
pub(crate) fn numbers(text: &str) -> Option<IcmpMatch> {
    let byte = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u8>().ok()).flatten()
    };
    let Some((kind, code)) = text.split_once('/') else {
        return Some(IcmpMatch {
            kind: byte(text)?,
            code: None,
        });
    };
    Some(IcmpMatch {
        kind: byte(kind)?,
        code: Some(byte(code)?),
    })
}

impl Family {
    pub(crate) fn find(&self, name: &str) -> Option<IcmpMatch> {
        // The American spelling is the one in the RFCs.
        let name = name.replace("neighbor", "neighbour");
        let (_, kind, code) = self.messages.iter().find(|(known, ..)| *known == name)?;
        Some(IcmpMatch {
            kind: *kind,
            code: *code,
        })
    }
}

/// ICMP (RFC 792).
pub(crate) static V4: Family = Family {
    protocol: "icmp",
    messages: &[
        ("echo-reply", 0, None),
        ("destination-unreachable", 3, None),
        ("fragmentation-needed", 3, Some(4)),
        ("redirect", 5, None),
        ("echo-request", 8, None),
        ("router-advertisement", 9, None),
        ("router-solicitation", 10, None),
        ("time-exceeded", 11, None),
        ("parameter-problem", 12, None),
        ("timestamp-request", 13, None),
        ("timestamp-reply", 14, None),
    ],
};

/// ICMPv6 (RFC 4443, 4861, 3810).
pub(crate) static V6: Family = Family {
    protocol: "icmpv6",
    messages: &[
        ("destination-unreachable", 1, None),
        ("packet-too-big", 2, None),
        ("time-exceeded", 3, None),
        ("parameter-problem", 4, None),
        ("echo-request", 128, None),
        ("echo-reply", 129, None),
        ("listener-query", 130, None),
        ("listener-report", 131, None),
        ("listener-done", 132, None),
        ("router-solicitation", 133, None),
        ("router-advertisement", 134, None),
        ("neighbour-solicitation", 135, None),
        ("neighbour-advertisement", 136, None),
        ("redirect", 137, None),
        ("listener-report-v2", 143, None),
    ],
};

/// There are no more types and codes than this.
const MAX_MESSAGES: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_type_of_its_family() {
        let kind = |family: &Family, name| family.find(name).map(|message| message.kind);
        assert_eq!(kind(&V4, "echo-request"), Some(8));
        assert_eq!(kind(&V6, "echo-request"), Some(128));
        assert_eq!(kind(&V6, "neighbor-solicitation"), Some(135));
        assert_eq!(kind(&V4, "packet-too-big"), None);
    }

    #[test]
    fn types_and_codes_are_bytes() {
        assert_eq!(
            numbers("255/255"),
            Some(IcmpMatch {
                kind: 255,
                code: Some(255)
            })
        );
        assert_eq!(numbers("0"), Some(IcmpMatch { kind: 0, code: None }));
        for text in ["", "/", "256", "3/", "/4", "3/256", "3/4/5", "-1", "+3", "3 /4"] {
            assert_eq!(numbers(text), None, "{text}");
        }
    }
}
