//! Policies of a few rules about the few addresses and ports that conversations use.

use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;
use ravelin_rules::{Policy, load_text};

use super::talk::{HOST, PORTS, REMOTES};
use crate::random::Random;

/// What a policy's text means.
///
/// # Panics
/// When the text is wrong.
pub(super) fn policy(text: &str) -> Policy {
    load_text(text)
        .unwrap_or_else(|report| panic!("{}\n{text}", report.render()))
        .policy
}

/// One to three prefixes around those who talk.
pub(super) fn banned(random: &mut Random) -> Vec<IpNet> {
    let mut prefixes: Vec<IpNet> = (0..=random.index(3))
        .map(|_| {
            let address: IpAddr = random.pick(&REMOTES).parse().expect("an address");
            let host = IpNet::from(address);
            let wider = random.pick(&[0, 0, 1, 4]);
            IpNet::new(address, host.prefix_len() - wider)
                .expect("a length")
                .trunc()
        })
        .collect();
    prefixes.sort();
    prefixes.dedup();
    prefixes
}

pub(super) fn written(random: &mut Random) -> String {
    let mut text = String::from("[firewall]\ninterfaces = [\"eth0\"]\n");
    let mut line = |words: &str| writeln!(text, "{words}").expect("a string takes it");
    line(if random.chance(80) {
        "inbound = \"deny\""
    } else {
        "inbound = \"allow\""
    });
    line(if random.chance(60) {
        "outbound = \"allow\""
    } else {
        "outbound = \"deny\""
    });
    if random.chance(20) {
        line("essentials = false");
    }
    let stateful = !random.chance(25);
    if !stateful {
        line("stateful = false");
    }
    if random.chance(20) {
        line(
            "flows = { tcp = \"180s\", tcp_opening = \"30s\", udp = \"30s\", udp_replied = \"60s\", icmp = \"60s\" }",
        );
    }
    if random.chance(10) {
        line("bans = false");
    }
    let budget = random.chance(50);
    let proxies = budget && stateful && random.chance(70);
    if budget {
        let burst = 1 + random.below(3);
        // Who answers what is over the budget is over it soon, and stays.
        let rates: &[&str] = if proxies {
            &["3/m", "1/h", "1/h"]
        } else {
            &["2/s", "7/s", "3/m"]
        };
        let rate = random.pick(rates);
        line(&format!(
            "[flood]\nsyn_budget = {{ rate = \"{rate}\", burst = {burst} }}"
        ));
    }
    if random.chance(20) {
        line(&format!("[never_ban]\nentries = [\"{}\"]", random.pick(&REMOTES)));
    }
    if proxies {
        line(&listener(random));
        if random.chance(70) {
            line("[[rule]]\nname = \"web\"\naction = \"allow\"\nprotocol = \"tcp\"");
        }
    }
    let count = random.index(5);
    for rule in 0..count {
        line(&format!("[[rule]]\nname = \"r{rule}\""));
        let allows = random.chance(75);
        line(&format!("action = \"{}\"", if allows { "allow" } else { "deny" }));
        let outbound = random.chance(40);
        if outbound {
            line("direction = \"outbound\"");
        }
        let protocol = random.pick(&["tcp", "tcp", "udp", "icmp", "icmpv6", "any", "gre", "sctp"]);
        line(&format!("protocol = \"{protocol}\""));
        if matches!(protocol, "tcp" | "udp" | "sctp") && random.chance(60) {
            line(&format!("ports = {}", random.pick(&PORTS)));
        }
        if protocol == "tcp" && random.chance(30) {
            line(&format!(
                "tcp_flags = \"{}\"",
                random.pick(&["syn,!ack", "ack", "!syn"])
            ));
        }
        if random.chance(30) {
            let key = random.pick(&["source", "destination"]);
            line(&format!("{key} = \"{}\"", random.pick(&REMOTES)));
        }
        if random.chance(10) {
            line("mode = \"observe\"");
        }
        let mut keeps = stateful;
        if random.chance(30) {
            keeps = random.chance(50);
            line(&format!("stateful = {keeps}"));
        }
        if allows && random.chance(60) {
            line(&limit(random, keeps, outbound));
        }
    }
    text
}

/// A limit that a rule of that kind can have, soon used up.
fn limit(random: &mut Random, keeps: bool, outbound: bool) -> String {
    let rate = random.pick(&["2/s", "7/s", "3/m"]);
    let burst = 1 + random.below(4);
    let (what, burst) = match (keeps, random.chance(50)) {
        (true, _) => (format!("new_flows = \"{rate}\""), burst),
        (false, true) => (format!("packets = \"{rate}\""), burst),
        (false, false) => {
            let rate = random.pick(&["700B/s", "1KB/s", "1MB/h"]);
            (format!("bytes = \"{rate}\""), 1514 + random.below(500))
        }
    };
    let per = if outbound {
        "rule"
    } else {
        random.pick(&["source", "rule", "source/24,56", "source/29", "source/32,128"])
    };
    format!("limit = {{ {what}, burst = {burst}, per = \"{per}\" }}")
}

/// A listener whose SYNs are answered over the budget: on all addresses, or on one of the host's.
fn listener(random: &mut Random) -> String {
    let port = random.pick(&PORTS);
    let bind = match random.below(6) {
        0 => format!("\"{}:{port}\"", HOST[0]),
        1 => format!("\"[{}]:{port}\"", HOST[1]),
        2 => format!("\"0.0.0.0:{port}\", \"[::]:{port}\""),
        _ => PORTS
            .map(|port| format!("\"0.0.0.0:{port}\", \"[::]:{port}\""))
            .join(", "),
    };
    format!(
        "[[upstream]]\nname = \"app\"\nservers = [\"127.0.0.1:8080\"]\n[[listener]]\nname = \"web\"\nbind = [{bind}]\nsyn_proxy = \"auto\"\n\
         routes = [{{ upstream = \"app\" }}]\ntls = {{ certificates = [{{ cert = \"a.pem\", key = \"a.key\" }}] }}"
    )
}
