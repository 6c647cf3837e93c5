//! `[[rule]]` and `[[policy]]`.

use super::cursor::{Cursor, Scalar, WordOrTable};
use super::limit::{LIMIT, Limit};
use super::schema::{Key, Kind, Table, Word};
use crate::diagnostic::Reporter;
use crate::policy::Timestamp;
use crate::source::{Span, Written};

/// `[[policy]]` as written.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) name: Option<Written<String>>,
    pub(crate) scope: Option<Scope>,
    pub(crate) rules: Vec<Rule>,
}

impl Policy {
    pub(crate) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        Self {
            name: table.text("name", reporter),
            scope: table
                .word_or_table("scope", reporter)
                .map(|scope| Scope::read(scope, reporter)),
            rules: Rule::read_all("rule", table, reporter),
        }
    }
}

/// A scope as written.
#[derive(Debug)]
pub(crate) enum Scope {
    Word(&'static str),
    /// Where it stands, and what it names.
    Table {
        span: Span,
        region: Option<Written<String>>,
        vpc: Option<Written<String>>,
    },
}

impl Scope {
    fn read(scope: WordOrTable<'_>, reporter: &mut Reporter) -> Self {
        match scope {
            WordOrTable::Word(word) => Self::Word(word.value),
            WordOrTable::Table(table) => Self::Table {
                span: table.span,
                region: table.text("region", reporter),
                vpc: table.text("vpc", reporter),
            },
        }
    }
}

/// `[[rule]]` as written.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) span: Span,
    pub(crate) name: Option<Written<String>>,
    pub(crate) priority: Option<Written<i64>>,
    pub(crate) direction: Option<Written<&'static str>>,
    pub(crate) action: Option<Written<&'static str>>,
    pub(crate) mode: Option<Written<&'static str>>,
    pub(crate) expires: Option<Written<Timestamp>>,
    pub(crate) interface: Option<Written<String>>,
    pub(crate) source: Option<Written<Vec<Written<String>>>>,
    pub(crate) destination: Option<Written<Vec<Written<String>>>>,
    pub(crate) protocol: Option<Written<Vec<Written<Scalar>>>>,
    pub(crate) ports: Option<Written<Vec<Written<Scalar>>>>,
    pub(crate) source_ports: Option<Written<Vec<Written<Scalar>>>>,
    pub(crate) icmp: Option<Written<Vec<Written<Scalar>>>>,
    pub(crate) tcp_flags: Option<Written<String>>,
    pub(crate) stateful: Option<Written<bool>>,
    pub(crate) limit: Option<Limit>,
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
        Self {
            span: table.span,
            name: table.text("name", reporter),
            priority: table.integer("priority", reporter),
            direction: table.word("direction", reporter),
            action: table.word("action", reporter),
            mode: table.word("mode", reporter),
            expires: table.moment("expires", reporter),
            interface: table.text("interface", reporter),
            source: table.texts("source", reporter),
            destination: table.texts("destination", reporter),
            protocol: table.scalars("protocol", reporter),
            ports: table.scalars("ports", reporter),
            source_ports: table.scalars("source_ports", reporter),
            icmp: table.scalars("icmp", reporter),
            tcp_flags: table.text("tcp_flags", reporter),
            stateful: table.boolean("stateful", reporter),
            limit: table
                .table("limit", reporter)
                .map(|table| Limit::read(table, reporter)),
            enabled: table.boolean("enabled", reporter),
            comment: table.text("comment", reporter),
        }
    }
}

pub(crate) static POLICY: Table = Table {
    heading: "[[policy]]",
    about: "A named list of rules with a scope. Scopes are judged in the order `global`, `{ region = … }`, `{ vpc = … }`, `host`; inside a scope rules \
            with a priority come first, lowest number first, then the others in file order. The first rule that \
            matches decides.",
    example: "[[policy]]\nname = \"company baseline\"\nscope = \"global\"\n\n\
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
            Kind::WordOrTable(
                &[
                    Word::new("global", "judged first"),
                    Word::new("host", "judged last, together with the top-level rules"),
                ],
                &SCOPE,
            ),
            "Where in the order of judgement its rules stand: `global`, then the host's region, then its VPC, then `host`.",
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

static SCOPE: Table = Table {
    heading: "policy.scope",
    about: "A scope of some hosts: one of the two keys. On other hosts its rules are checked and explained, and decide nothing.",
    example: "[host]\nregion = \"eu-west-1\"\n\n[[policy]]\nname = \"western europe\"\n\
              scope = { region = \"eu-west-1\" }\n\n[[policy.rule]]\nname = \"file-servers\"\naction = \"allow\"\n\
              source = \"10.20.0.0/16\"\nprotocol = \"tcp\"\nports = 445\n",
    keys: &[
        Key::optional(
            "region",
            Kind::Text,
            "none",
            "The hosts whose `[host] region` is this word.",
            "region = \"eu-west-1\"",
        ),
        Key::optional(
            "vpc",
            Kind::Text,
            "none",
            "The hosts whose `[host] vpc` is this VPC.",
            "vpc = \"prod\"",
        ),
    ],
};

pub(crate) static RULE: Table = Table {
    heading: "[[rule]]",
    about: "One rule of scope `host`. A rule matches a packet when every condition it has holds; a rule without conditions \
            matches every packet. All top-level rules, those of included files among them, count as one policy.",
    example: "[[rule]]\nname = \"https\"\naction = \"allow\"\nprotocol = \"tcp\"\n\
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
                Word::new("outbound", "packets that go out"),
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
                Word::new(
                    "next",
                    "go on with the next scope: the rest of this one is left out",
                ),
            ]),
            "What happens to a packet that matches.",
            "action = \"allow\"",
        ),
        Key::optional(
            "source",
            Kind::TextOrTexts,
            "`\"anywhere\"`",
            "Where the packet comes from: `anywhere`, `@set`, `self` (the addresses of the packet's interface), `local-vpc`, \
             `vpc:NAME` (the host's VPC or a peer of it), a prefix, an address, or a range `a-b`; a list matches when one of them \
             does. `!` in front of any of them but `anywhere` takes it out of the list, wherever it stands; a list of nothing but \
             exceptions means everything else. An IPv4 prefix never matches an IPv6 packet, nor the other way round; `::ffff:192.0.2.1` is an IPv6 address.",
            "source = [\"@partners\", \"192.0.2.0/24\", \"!192.0.2.66\"]",
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
            "that of `[firewall]`",
            "Whether what the rule allows is a flow, and what goes on with it passes in both directions. `false`: the rule judges each \
             packet alone, and replies need a rule of their own.",
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
        Key::optional(
            "interface",
            Kind::Text,
            "every interface",
            "The packet comes in, or goes out, on this interface.",
            "interface = \"eth0\"",
        ),
        Key::optional(
            "mode",
            Kind::Word(&[
                Word::new("enforce", "the rule decides"),
                Word::new(
                    "observe",
                    "the rule is counted when it matches, and decides nothing",
                ),
            ]),
            "enforce",
            "Whether the rule is carried out.",
            "mode = \"observe\"",
        ),
        Key::optional(
            "expires",
            Kind::Moment,
            "never",
            "From this second on the rule is not there; nothing has to be reloaded. Written with its time zone: `Z` is UTC. \
             A policy has at most 255 different moments that are still to come.",
            "expires = 2026-12-31T00:00:00Z",
        ),
        Key::later("log", "leave `log` out: each rule's counters are in the metrics"),
        Key::optional(
            "limit",
            Kind::Table(&LIMIT),
            "not limited",
            "How much of what the rule allows may come.",
            "limit = { new_flows = \"50/s\", per = \"source\" }",
        ),
    ],
};
