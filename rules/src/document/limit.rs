//! `limit` of a rule, and `[flood]`.

use super::cursor::Cursor;
use super::schema::{Key, Kind, Table, Word};
use crate::diagnostic::Reporter;
use crate::source::{Span, Written};

/// `limit` as written.
#[derive(Debug)]
pub(crate) struct Limit {
    pub(crate) span: Span,
    pub(crate) packets: Option<Written<String>>,
    pub(crate) bytes: Option<Written<String>>,
    pub(crate) new_flows: Option<Written<String>>,
    pub(crate) burst: Option<Written<i64>>,
    pub(crate) per: Option<Written<String>>,
}

impl Limit {
    pub(crate) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        Self {
            span: table.span,
            packets: table.text("packets", reporter),
            bytes: table.text("bytes", reporter),
            new_flows: table.text("new_flows", reporter),
            burst: table.integer("burst", reporter),
            per: table.text("per", reporter),
        }
    }
}

/// `[flood]` as written.
#[derive(Debug)]
pub(crate) struct Flood {
    pub(crate) syn_budget: Option<SynBudget>,
}

/// `syn_budget` as written.
#[derive(Debug)]
pub(crate) struct SynBudget {
    pub(crate) rate: Option<Written<String>>,
    pub(crate) burst: Option<Written<i64>>,
}

impl Flood {
    pub(crate) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        let budget = table.table("syn_budget", reporter);
        Self {
            syn_budget: budget.map(|table| {
                // It has one meaning; reading it refuses other words.
                table.word("per", reporter);
                SynBudget {
                    rate: table.text("rate", reporter),
                    burst: table.integer("burst", reporter),
                }
            }),
        }
    }
}

pub(super) static LIMIT: Table = Table {
    heading: "rule.limit",
    about: "How much of what a rule allows may come: a token bucket, which the rule's every decision takes from. What is over it is \
            denied with the reason `limit`, and counts for the rule. Exactly one of `packets`, `bytes` and `new_flows`; only with \
            `action = \"allow\"`. At least 100,000 sources that have completed a connection, and as many others, can have a bucket at a time; \
            where there is no room, newcomers share one bucket of the limit. The clock of buckets moves every few milliseconds.",
    example: LIMIT_EXAMPLE,
    keys: &[
        Key::optional(
            "packets",
            Kind::Text,
            "none",
            "Packets in a time: a number, perhaps with `k` or `M`, and `/s`, `/m` or `/h`. Only for a rule that keeps no flows \
             (`stateful = false`): what goes on in a flow passes before rules are asked.",
            "packets = \"2000/s\"",
        ),
        Key::optional(
            "bytes",
            Kind::Text,
            "none",
            "Bytes of whole frames in a time: a number with `B`, `KB`, `MB`, `GB`, `KiB`, `MiB` or `GiB`, and `/s`, `/m` or `/h`. Only \
             for a rule that keeps no flows.",
            "bytes = \"10MB/s\"",
        ),
        Key::optional(
            "new_flows",
            Kind::Text,
            "none",
            "First packets of flows in a time. Only for a rule that keeps flows. A connection that is tried again takes again.",
            "new_flows = \"50/s\"",
        ),
        Key::optional(
            "burst",
            Kind::Integer,
            "what comes in a second, at least 1; of bytes at least 65536",
            "1 to 1000000000: how many packets, bytes or flows may come at once; of bytes at least 1514. A frame of more bytes than \
             this never passes. At most 2562047 with a rate per hour, and 153722867 with one per minute.",
            "burst = 4000",
        ),
        Key::optional(
            "per",
            Kind::Text,
            "`\"source\"`",
            "Who shares a bucket: `source` is an IPv4 address or an IPv6 /64, `source/24` an IPv4 /24 or an IPv6 /64, `source/24,56` \
             an IPv4 /24 or an IPv6 /56, and `rule` is everybody. An outbound rule has `rule` alone.",
            "per = \"source/24,56\"",
        ),
    ],
};

pub(super) static FLOOD: Table = Table {
    heading: "[flood]",
    about: "What limits per source cannot stop: floods of packets whose sources are forged.",
    example: FLOOD_EXAMPLE,
    keys: &[Key::optional(
        "syn_budget",
        Kind::Table(&SYN_BUDGET),
        "not limited",
        "How many TCP SYNs of sources that are not known may come in.",
        "syn_budget = { rate = \"200k/s\", per = \"interface\" }",
    )],
};

static SYN_BUDGET: Table = Table {
    heading: "flood.syn_budget",
    about: "A token bucket for inbound TCP packets with SYN and without ACK that a rule or the default allows, and whose source is not known. \
            A source, an IPv4 address or an IPv6 /64, is known once a connection that it opened was completed, so forged ones are not, and \
            clients that were here before come in while a flood goes on. Where no flows are kept, nobody is known. What is over it is \
            denied with the reason `syn_budget`.",
    example: FLOOD_EXAMPLE,
    keys: &[
        Key::required(
            "rate",
            Kind::Text,
            "The sustained rate: a number, perhaps with `k` or `M`, and `/s`, `/m` or `/h`.",
            "rate = \"200k/s\"",
        ),
        Key::optional(
            "burst",
            Kind::Integer,
            "what comes in a second, at least 1",
            "1 to 1000000000: how many may come at once. At most 2562047 with a rate per hour, and 153722867 with one per minute.",
            "burst = 200000",
        ),
        Key::optional(
            "per",
            Kind::Word(&[Word::new("interface", "each interface has a budget of its own")]),
            "interface",
            "Who shares a bucket.",
            "per = \"interface\"",
        ),
    ],
};

const LIMIT_EXAMPLE: &str = "[[rule]]\nname = \"dns\"\naction = \"allow\"\nprotocol = \"udp\"\nports = 53\nstateful = false\n\
                             limit = { packets = \"2000/s\", burst = 4000, per = \"source\" }\n\n\
                             [[rule]]\nname = \"ssh\"\naction = \"allow\"\nprotocol = \"ssh\"\nlimit = { new_flows = \"10/m\" }\n";

const FLOOD_EXAMPLE: &str = "[flood]\nsyn_budget = { rate = \"200k/s\", per = \"interface\" }\n\n\
                             [[rule]]\nname = \"https\"\naction = \"allow\"\nprotocol = \"https\"\n";
