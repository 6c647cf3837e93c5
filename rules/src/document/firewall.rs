//! `[firewall]` and `[firewall.classes]`.

use ravelin_datapath::ParseClass;

use super::cursor::{Cursor, TextOrTable};
use super::schema::{Key, Kind, Need, Support, Table, Word};
use crate::diagnostic::Reporter;
use crate::source::Written;

/// `[firewall]` as written.
#[derive(Debug)]
pub(crate) struct Firewall {
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) xdp_mode: Option<Written<&'static str>>,
    pub(crate) outbound_hook: Option<Written<&'static str>>,
    pub(crate) inbound: Option<Written<&'static str>>,
    pub(crate) outbound: Option<Written<&'static str>>,
    pub(crate) stateful: Option<Written<bool>>,
    pub(crate) essentials: Option<Written<bool>>,
    pub(crate) bans: Option<Written<bool>>,
    pub(crate) mode: Option<Written<&'static str>>,
    pub(crate) table_memory: Option<Written<String>>,
    pub(crate) flows: Flows,
    pub(crate) classes: Vec<(ParseClass, Written<&'static str>)>,
}

/// `[firewall.flows]` as written.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    pub(crate) tcp: Option<Written<String>>,
    pub(crate) tcp_opening: Option<Written<String>>,
    pub(crate) udp: Option<Written<String>>,
    pub(crate) udp_replied: Option<Written<String>>,
    pub(crate) icmp: Option<Written<String>>,
}

/// An interface as written.
#[derive(Debug)]
pub(crate) struct Interface {
    pub(crate) name: Written<String>,
    pub(crate) vpc: Option<Written<String>>,
}

impl Firewall {
    pub(crate) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        // It has one meaning now; reading it refuses the word that is not supported.
        table.word("backend", reporter);
        Self {
            interfaces: interfaces(table, reporter),
            xdp_mode: table.word("xdp_mode", reporter),
            outbound_hook: table.word("outbound_hook", reporter),
            inbound: table.word("inbound", reporter),
            outbound: table.word("outbound", reporter),
            stateful: table.boolean("stateful", reporter),
            essentials: table.boolean("essentials", reporter),
            bans: table.boolean("bans", reporter),
            mode: table.word("mode", reporter),
            table_memory: table.text("table_memory", reporter),
            flows: flows(table, reporter),
            classes: classes(table, reporter),
        }
    }
}

fn interfaces(table: Cursor<'_>, reporter: &mut Reporter) -> Vec<Interface> {
    let Some(written) = table.texts_or_tables("interfaces", reporter) else {
        return Vec::new();
    };
    let interfaces = written
        .value
        .into_iter()
        .filter_map(|element| match element.value {
            TextOrTable::Table(table) => {
                let vpc = table.text("vpc", reporter);
                table.text("name", reporter).map(|name| Interface { name, vpc })
            }
            TextOrTable::Text(value) => Some(Interface {
                name: Written {
                    value,
                    span: element.span,
                },
                vpc: None,
            }),
        });
    interfaces.collect()
}

fn flows(table: Cursor<'_>, reporter: &mut Reporter) -> Flows {
    let Some(table) = table.table("flows", reporter) else {
        return Flows::default();
    };
    Flows {
        tcp: table.text("tcp", reporter),
        tcp_opening: table.text("tcp_opening", reporter),
        udp: table.text("udp", reporter),
        udp_replied: table.text("udp_replied", reporter),
        icmp: table.text("icmp", reporter),
    }
}

fn classes(table: Cursor<'_>, reporter: &mut Reporter) -> Vec<(ParseClass, Written<&'static str>)> {
    let Some(table) = table.table("classes", reporter) else {
        return Vec::new();
    };
    let settable = ParseClass::ALL
        .iter()
        .filter(|class| **class != ParseClass::FragmentLater);
    settable
        .filter_map(|class| Some((*class, table.word(class.label(), reporter)?)))
        .collect()
}

pub(crate) static FIREWALL: Table = Table {
    heading: "[firewall]",
    about: "Where packets are filtered, and what happens to those no rule decides. Main file only.",
    example: "[firewall]\ninterfaces = [\"eth0\"]\ninbound = \"deny\"\n",
    keys: &[
        Key::optional(
            "interfaces",
            Kind::TextsOrTables(&INTERFACE),
            "none",
            "The interfaces to filter. A policy without any can be checked and explained; the filter refuses to start.",
            "interfaces = [\"eth0\"]",
        ),
        Key::optional(
            "backend",
            Kind::Word(&[
                Word::new("auto", "the best one this host has; in this release always `xdp`"),
                Word::new("xdp", "an XDP program in the driver"),
                Word::later(
                    "nftables",
                    "write `backend = \"auto\"`: XDP works in generic mode on every interface",
                ),
            ]),
            "auto",
            "What judges the packets.",
            "backend = \"auto\"",
        ),
        Key::optional(
            "xdp_mode",
            Kind::Word(&[
                Word::new("auto", "native, or generic where the driver cannot"),
                Word::new("native", "in the driver, or not at all"),
                Word::new("generic", "in the network stack: slower, works everywhere"),
            ]),
            "auto",
            "How the program is attached.",
            "xdp_mode = \"auto\"",
        ),
        Key::optional(
            "outbound_hook",
            Kind::Word(&[
                Word::new("auto", "`tcx`, or `clsact` where the kernel has none"),
                Word::new("tcx", "a link at TCX, which Linux has since 6.6, or not at all"),
                Word::new(
                    "clsact",
                    "a filter at the `clsact` queueing discipline, which anybody who may change the network can take away",
                ),
            ]),
            "auto",
            "Where the program for what goes out is attached, when there is one. A reload moves it without a gap.",
            "outbound_hook = \"auto\"",
        ),
        Key::optional(
            "inbound",
            Kind::Word(&[Word::new("deny", "drop it"), Word::new("allow", "let it in")]),
            "deny",
            "What happens to a packet that no rule matches.",
            "inbound = \"deny\"",
        ),
        Key::optional(
            "outbound",
            Kind::Word(&[Word::new("allow", "let it out"), Word::new("deny", "drop it")]),
            "allow",
            "What happens to a packet that the host sends and no outbound rule matches.",
            "outbound = \"allow\"",
        ),
        Key::optional(
            "stateful",
            Kind::Boolean,
            "`true`",
            "`true`: what a rule, or a default, allows is a flow, and what goes on with it passes in both directions: replies to \
             connections that this host opens come in, and replies to those that a rule lets in go out (semantics, section 10). \
             `false`: each packet is judged alone. A rule may say otherwise for what it allows.",
            "stateful = false",
        ),
        Key::optional(
            "essentials",
            Kind::Boolean,
            "`true`",
            "Let in, before all rules, what a host cannot live without: loopback, ARP, ICMP errors (where flows are kept, about what it has sent), neighbour discovery, \
             multicast listener discovery, replies to the DHCP client (semantics, section 5).",
            "essentials = true",
        ),
        Key::optional(
            "bans",
            Kind::Boolean,
            "`true`",
            "Whether bans are carried out (semantics, section 11). `false`: packets pay nothing for them, those that are there do nothing, and \
             new ones are refused.",
            "bans = false",
        ),
        Key::optional(
            "mode",
            Kind::Word(&[
                Word::new("enforce", "denied packets are dropped"),
                Word::new("observe", "packets are judged and counted, none is dropped"),
            ]),
            "enforce",
            "Whether verdicts are carried out.",
            "mode = \"observe\"",
        ),
        Key::optional(
            "table_memory",
            Kind::Text,
            "`64MiB`",
            "The most memory that the tables of a generation may take in each direction, `1MiB` to `512MiB`; while a new policy goes live, two \
             generations exist. A policy that does not fit is refused before anything is loaded. More memory lets larger \
             policies combine their rules in fewer reads: `ravelin compile` shows what was chosen.",
            "table_memory = \"128MiB\"",
        ),
        Key::optional(
            "flows",
            Kind::Table(&FLOWS),
            "see there",
            "How long flows may be idle.",
            "flows = { tcp = \"2h\" }",
        ),
        Key::optional(
            "classes",
            Kind::Table(&CLASSES),
            "see there",
            "The declared verdict of each parse class.",
            "classes = { fragment_orphan = \"deny\" }",
        ),
    ],
};

static INTERFACE: Table = Table {
    heading: "firewall.interfaces",
    about: "An interface written as a table.",
    example: "[firewall]\ninterfaces = [{ name = \"eth0\", vpc = \"prod\" }]\n\n\
              [[vpc]]\nname = \"prod\"\ncidrs = [\"10.20.0.0/16\"]\n",
    keys: &[
        Key::required(
            "name",
            Kind::Text,
            "The interface's name: 1 to 15 characters, no blank and no `/`.",
            "name = \"eth0\"",
        ),
        Key::optional(
            "vpc",
            Kind::Text,
            "anything may be behind it",
            "The VPC behind the interface: a packet that comes in here with a source in another VPC that is no peer is a \
             `spoofed_source`.",
            "vpc = \"prod\"",
        ),
    ],
};

static FLOWS: Table = Table {
    heading: "[firewall.flows]",
    about: "How long a flow may be idle before it is forgotten: durations of at most `30d`. Flows that are forgotten while they live, \
            open again with the host's next packet.",
    example: "[firewall.flows]\ntcp = \"2h\"\nudp_replied = \"5m\"\n",
    keys: &[
        Key::optional(
            "tcp",
            Kind::Text,
            "`1h`",
            "TCP, both ends there. What the host sends is activity; it answers whatever goes on in a connection it has.",
            "tcp = \"2h\"",
        ),
        Key::optional(
            "tcp_opening",
            Kind::Text,
            "`60s`",
            "TCP, while the handshake is not complete, and after both ends have finished or one has reset.",
            "tcp_opening = \"30s\"",
        ),
        Key::optional(
            "udp",
            Kind::Text,
            "`60s`",
            "UDP, SCTP and other protocols, while one end has spoken.",
            "udp = \"30s\"",
        ),
        Key::optional(
            "udp_replied",
            Kind::Text,
            "`180s`",
            "The same, when both have.",
            "udp_replied = \"5m\"",
        ),
        Key::optional("icmp", Kind::Text, "`30s`", "ICMP echo.", "icmp = \"10s\""),
    ],
};

static CLASSES: Table = Table {
    heading: "[firewall.classes]",
    about: "What happens to packets of an unusual or malformed shape, before the rules are asked: `deny` drops \
            it, `allow` lets it in, `judge` counts it and goes on to the rules.",
    example: "[firewall.classes]\nfragment_orphan = \"judge\"\nnon_ip = \"deny\"\n",
    keys: &[
        class(ParseClass::Truncated),
        class(ParseClass::BadVersion),
        class(ParseClass::BadHeaderLength),
        class(ParseClass::IpOptions),
        class(ParseClass::FragmentFirst),
        Key::later(
            "fragment_later",
            "set `fragment_orphan`: it decides what follows no first fragment that was let through",
        ),
        class(ParseClass::FragmentOrphan),
        class(ParseClass::FragmentTiny),
        Key::later(
            "fragment_overlap",
            "leave it out: a fragment that reaches into what the first one was judged by is denied",
        ),
        class(ParseClass::ExtHeaderChain),
        class(ParseClass::RoutingHeader0),
        class(ParseClass::UnknownNextHeader),
        class(ParseClass::Vlan),
        class(ParseClass::Qinq),
        class(ParseClass::VlanDepth),
        class(ParseClass::NonIp),
        class(ParseClass::SpoofedSource),
        class(ParseClass::Land),
    ],
};

const fn class(class: ParseClass) -> Key {
    let (words, example): (&'static [Word], _) = if class.judgeable() {
        (&[DENY, ALLOW, JUDGE], "fragment_orphan = \"judge\"")
    } else {
        (&[DENY, ALLOW], "truncated = \"deny\"")
    };
    Key {
        name: class.label(),
        kind: Kind::Word(words),
        need: Need::Optional(class.default_verdict().word()),
        meaning: class.sentence(),
        example,
        support: Support::Now,
    }
}

const DENY: Word = Word::new("deny", "");
const ALLOW: Word = Word::new("allow", "");
const JUDGE: Word = Word::new("judge", "");
