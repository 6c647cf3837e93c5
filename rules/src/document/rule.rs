//! `[[rule]]` and `[[policy]]`.

use super::cursor::{Cursor, Scalar};
use super::schema::{Key, Kind, Table, Word};
use crate::diagnostic::Reporter;
use crate::source::{Span, Written};

/// `[[policy]]` as written.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) name: Option<Written<String>>,
    pub(crate) scope: Option<Written<&'static str>>,
    pub(crate) rules: Vec<Rule>,
}

impl Policy {
    pub(crate) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        Self {
            name: table.text("name", reporter),
            scope: table.word("scope", reporter),
            rules: Rule::read_all("rule", table, reporter),
        }
    }
}

/// `[[rule]]` as written.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) span: Span,
    pub(crate) name: Option<Written<String>>,
    pub(crate) priority: Option<Written<i64>>,
    pub(crate) action: Option<Written<&'static str>>,
    pub(crate) source: Option<Written<Vec<Written<String>>>>,
    pub(crate) destination: Option<Written<Vec<Written<String>>>>,
    pub(crate) protocol: Option<Written<Vec<Written<Scalar>>>>,
    pub(crate) ports: Option<Written<Vec<Written<Scalar>>>>,
    pub(crate) source_ports: Option<Written<Vec<Written<Scalar>>>>,
    pub(crate) icmp: Option<Written<Vec<Written<Scalar>>>>,
    pub(crate) tcp_flags: Option<Written<String>>,
    pub(crate) stateful: Option<Written<bool>>,
    pub(crate) enabled: Option<Written<bool>>,
    pub(crate) comment: Option<Written<String>>,
}

impl Rule {
    /// Every rule of the list `key`.
    pub(crate) fn read_all(key: &str, table: Cursor<'_>, reporter: &mut Reporter) -> Vec<Self> {
        let tables = table.tables(key, reporter);
        tables.map_or_else(Vec::new, |list| {
            list.map(|table| Self::read(table, reporter)).value
        })
    }

    fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        // One direction is supported; reading it refuses the other.
        table.word("direction", reporter);
        Self {
            span: table.span,
            name: table.text("name", reporter),
            priority: table.integer("priority", reporter),
            action: table.word("action", reporter),
            source: table.texts("source", reporter),
            destination: table.texts("destination", reporter),
            protocol: table.scalars("protocol", reporter),
            ports: table.scalars("ports", reporter),
            source_ports: table.scalars("source_ports", reporter),
            icmp: table.scalars("icmp", reporter),
            tcp_flags: table.text("tcp_flags", reporter),
            stateful: table.boolean("stateful", reporter),
            enabled: table.boolean("enabled", reporter),
            comment: table.text("comment", reporter),
        }
    }
}

pub(crate) static POLICY: Table = Table {
    heading: "[[policy]]",
    about: "A named list of rules with a scope. Scopes are judged in the order `global`, then `host`; inside a scope rules \
            with a priority come first, lowest number first, then the others in file order. The first rule that \
            matches decides.",
    example: "[firewall]\nstateful = false\n\n[[policy]]\nname = \"company baseline\"\nscope = \"global\"\n\n\
              [[policy.rule]]\nname = \"drop-telnet\"\npriority = 100\naction = \"deny\"\nprotocol = \"tcp\"\nports = 23\n",
    keys: &[
        Key::required(
            "name",
            Kind::Text,
            "For people; unique among policies.",
            "name = \"company baseline\"",
        ),
        Key::required(
            "scope",
            Kind::WordOrTable(&[
                Word::new("global", "judged first"),
                Word::new("host", "judged last, together with the top-level rules"),
            ]),
            "Where in the order of judgement its rules stand. Tables (`{ region = … }`, `{ vpc = … }`) are not supported yet.",
            "scope = \"global\"",
        ),
        Key::optional(
            "rule",
            Kind::Tables(&RULE),
            "none",
            "Its rules, each written as `[[policy.rule]]` with the keys of `[[rule]]`.",
            "[[policy.rule]]",
        ),
    ],
};

pub(crate) static RULE: Table = Table {
    heading: "[[rule]]",
    about: "One rule of scope `host`. A rule matches a packet when every condition it has holds; a rule without conditions \
            matches every packet. All top-level rules, those of included files among them, count as one policy.",
    example: "[firewall]\nstateful = false\n\n[[rule]]\nname = \"https\"\naction = \"allow\"\nprotocol = \"tcp\"\n\
              ports = [443, \"8000-8100\"]\nsource = [\"198.51.100.0/24\", \"2001:db8:1::/48\"]\ncomment = \"public API\"\n\n\
              [[rule]]\nname = \"ping\"\naction = \"allow\"\nprotocol = \"icmp\"\nicmp = \"echo-request\"\n",
    keys: &[
        Key::required(
            "name",
            Kind::Text,
            "Unique in the whole policy, because it is the label in metrics and explanations: 1 to 63 characters of \
             `a-z A-Z 0-9 . _ -`, the first a letter or a digit.",
            "name = \"https\"",
        ),
        Key::optional(
            "priority",
            Kind::Integer,
            "after all rules with a priority, in file order",
            "0 to 4294967295, lower first. Two rules of one policy cannot have the same.",
            "priority = 100",
        ),
        Key::optional(
            "direction",
            Kind::Word(&[
                Word::new("inbound", "packets that come in"),
                Word::later(
                    "outbound",
                    "take the rule out: packets the host sends are not filtered yet",
                ),
            ]),
            "inbound",
            "Which way the packets go.",
            "direction = \"inbound\"",
        ),
        Key::required(
            "action",
            Kind::Word(&[
                Word::new("allow", "let it in"),
                Word::new("deny", "drop it"),
                Word::later(
                    "next",
                    "write `allow` or `deny`: a rule cannot leave its scope yet",
                ),
            ]),
            "What happens to a packet that matches.",
            "action = \"allow\"",
        ),
        Key::optional(
            "source",
            Kind::TextOrTexts,
            "`\"anywhere\"`",
            "Where the packet comes from: `anywhere`, `@set`, a prefix, or an address; a list matches when one of them \
             does. An IPv4 prefix never matches an IPv6 packet, nor the other way round; `::ffff:192.0.2.1` is an IPv6 address.",
            "source = [\"@partners\", \"192.0.2.0/24\"]",
        ),
        Key::optional(
            "destination",
            Kind::TextOrTexts,
            "`\"anywhere\"`",
            "Where the packet goes to, in the same words.",
            "destination = \"192.0.2.10\"",
        ),
        Key::optional(
            "protocol",
            Kind::Scalars,
            "`\"any\"`",
            "`tcp`, `udp`, `icmp`, `icmpv6`, `sctp`, `gre`, `esp`, `ah`, a protocol number, `any` (alone), a service name, or a \
             list. A service name stands for its protocols and ports, listed below; services of one list must \
             have the same protocols (`[\"http\", \"https\"]`, not `[\"https\", \"dns\"]`), and services and protocols do not mix.",
            "protocol = \"tcp\"",
        ),
        Key::optional(
            "ports",
            Kind::Scalars,
            "every port",
            "Destination ports: numbers, ranges like `\"8000-8100\"`, or a list. Only TCP, UDP and SCTP have ports: with \
             `protocol = \"any\"` a rule with ports matches those three alone.",
            "ports = [443, \"8000-8100\"]",
        ),
        Key::optional(
            "source_ports",
            Kind::Scalars,
            "every port",
            "Source ports, written the same way. A client chooses its source port freely, so this proves nothing about it.",
            "source_ports = 53",
        ),
        Key::optional(
            "icmp",
            Kind::Scalars,
            "every message",
            "ICMP messages: a name from the list below, a type, or `\"type/code\"`. Only with `protocol` exactly `icmp` or \
             exactly `icmpv6`.",
            "icmp = [\"echo-request\", 3, \"3/4\"]",
        ),
        Key::optional(
            "tcp_flags",
            Kind::Text,
            "all flags",
            "Flags that must be set, and with `!` flags that must be clear: `fin`, `syn`, `rst`, `psh`, `ack`, `urg`, `ece`, \
             `cwr`. Only with `protocol = \"tcp\"`.",
            "tcp_flags = \"syn,!ack\"",
        ),
        Key::optional(
            "stateful",
            Kind::Boolean,
            "`false`",
            "May be written as `false`; `true` is not supported yet.",
            "stateful = false",
        ),
        Key::optional(
            "enabled",
            Kind::Boolean,
            "`true`",
            "`false`: the rule is checked and left out.",
            "enabled = false",
        ),
        Key::optional(
            "comment",
            Kind::Text,
            "none",
            "For people.",
            "comment = \"public API\"",
        ),
        Key::later(
            "interface",
            "leave `interface` out: every rule is judged on every interface of `[firewall] interfaces`",
        ),
        Key::later("mode", "set `[firewall] mode`: a single rule cannot observe yet"),
        Key::later(
            "expires",
            "leave `expires` out, and take the rule out by hand when its time has come",
        ),
        Key::later("log", "leave `log` out: each rule's counters are in the metrics"),
        Key::later(
            "limit",
            "leave `limit` out: connection rates can be limited in `[listener.limits]`",
        ),
    ],
};
