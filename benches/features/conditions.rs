//! Policies with one condition alone, with none, and with all of them.

use std::fmt::Write as _;

use crate::packets::{Draw, icmp, tcp};

/// Name, rules, and the packets that they are asked about.
type Condition = (&'static str, fn() -> String, Draw);

/// One in each.
pub(crate) const ALONE: [Condition; 15] = [
    ("source", || each("source", &sources()), tcp),
    ("destination", || each("destination", &destinations()), tcp),
    ("source and destination", both, tcp),
    ("destination = self", || one("destination = \"self\""), tcp),
    ("protocol", || one("protocol = \"tcp\""), tcp),
    ("port", || each("protocol = \"tcp\"\nports", &ports()), tcp),
    (
        "source port",
        || each("protocol = \"tcp\"\nsource_ports", &source_ports()),
        tcp,
    ),
    (
        "TCP flags",
        || one("protocol = \"tcp\"\ntcp_flags = \"syn,!ack\""),
        tcp,
    ),
    (
        "ICMP",
        || one("protocol = \"icmp\"\nicmp = \"echo-request\""),
        icmp,
    ),
    ("interface", || one("interface = \"wan\""), tcp),
    ("expires", || one("expires = 2999-01-01T00:00:00Z"), tcp),
    ("observe", || one("mode = \"observe\""), tcp),
    ("next", || global("next"), tcp),
    ("set of 100", || set(100), tcp),
    ("set of 10,000", || set(10_000), tcp),
];

/// Nothing that can be left out.
pub(crate) fn least() -> String {
    "[firewall]\ninterfaces = [\"wan\"]\ninbound = \"allow\"\nessentials = false\nstateful = false\n"
        .to_owned()
}

/// Every condition, and every way for a rule to decide.
pub(crate) fn most() -> String {
    let mut text = format!(
        "[host]\nname = \"bench\"\nvpc = \"prod\"\n\
         [[vpc]]\nname = \"prod\"\ncidrs = [\"10.0.0.0/12\"]\n\
         [firewall]\ninterfaces = [{{ name = \"wan\", vpc = \"prod\" }}, \"lan\"]\nstateful = false\n{}",
        global("next")
    );
    let rules = [
        each("source", &sources()),
        each("destination", &destinations()),
        each("protocol = \"tcp\"\nports", &ports()),
        each("protocol = \"udp\"\nsource_ports", &source_ports()),
        one("protocol = \"tcp\"\ntcp_flags = \"syn,!ack\"\ndestination = \"self\""),
        one("protocol = \"icmp\"\nicmp = \"echo-request\""),
        one("protocol = \"icmpv6\"\nicmp = \"echo-request\"\nsource = \"2001:db8::/32\""),
        one("interface = \"wan\"\nprotocol = \"udp\"\nports = 4500"),
        one("expires = 2999-01-01T00:00:00Z\nprotocol = \"udp\"\nports = 5000"),
        one("mode = \"observe\"\nprotocol = \"tcp\"\nports = 23"),
        set(1_000),
    ];
    for (at, rules) in rules.iter().enumerate() {
        // Each part names its rules from `rule-0` on.
        text += &rules.replace("name = \"rule-", &format!("name = \"part-{at}-"));
    }
    text
}

fn one(condition: &str) -> String {
    rule(0, condition)
}

/// A rule for each value, allow and deny in turn.
fn each(key: &str, values: &[String]) -> String {
    let values = values.iter().enumerate();
    values
        .map(|(at, value)| rule(at, &format!("{key} = {value}")))
        .collect()
}

fn both() -> String {
    let pairs = sources().into_iter().zip(destinations()).enumerate();
    pairs
        .map(|(at, (source, destination))| {
            rule(at, &format!("source = {source}\ndestination = {destination}"))
        })
        .collect()
}

/// A scope before the host's, which rules of the host follow.
fn global(action: &str) -> String {
    format!(
        "[[policy]]\nname = \"baseline\"\nscope = \"global\"\n\
         [[policy.rule]]\nname = \"{action}\"\naction = \"{action}\"\nprotocol = \"tcp\"\nports = [80, 443]\n\
         [[policy.rule]]\nname = \"drop\"\naction = \"deny\"\nprotocol = \"tcp\"\nports = [22, 25]\n{}",
        one("protocol = \"tcp\"\nports = [80, 443, 8443]")
    )
}

/// Half of the packets' sources are in the range that it is drawn from.
fn set(count: u32) -> String {
    let mut entries = String::new();
    for at in 0..count {
        let host = 0x0a00_0000 + at * ((1 << 20) / count);
        let _ = write!(entries, "\"{}/30\", ", std::net::Ipv4Addr::from_bits(host & !3));
    }
    format!("[[set]]\nname = \"feed\"\nentries = [{entries}]\n") + &one("source = \"@feed\"")
}

fn rule(at: usize, conditions: &str) -> String {
    let action = if at.is_multiple_of(2) { "deny" } else { "allow" };
    format!("[[rule]]\nname = \"rule-{at}\"\naction = \"{action}\"\n{conditions}\n")
}

fn sources() -> Vec<String> {
    (0..16).map(|at| format!("\"10.{at}.0.0/17\"")).collect()
}

fn destinations() -> Vec<String> {
    (0..16)
        .map(|at| format!("\"198.51.100.{}/29\"", at * 16))
        .collect()
}

fn ports() -> Vec<String> {
    ["22", "25", "80", "443", "3306", "\"8080-8443\""]
        .map(str::to_owned)
        .to_vec()
}

fn source_ports() -> Vec<String> {
    ["53", "123", "443", "\"1024-32767\""].map(str::to_owned).to_vec()
}
