//! The same rules and sets for nftables: `Policy` → **ruleset** → `nft -f`, at the same place of the packet's way, the
//! netdev hook of an interface's ingress.
//!
//! Rules stand one after the other, as people write them. Only what the benches' policies ask for is translated.

#![expect(clippy::expect_used, reason = "a bench stops when it cannot measure")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use ravelin_rules::Policy;
use ravelin_rules::policy::{Action, AddressMatch, PortRange, Protocols, Rule};

/// A table in the kernel, in the namespace of the thread that loaded it. Gone when dropped.
#[derive(Debug)]
pub struct Table {
    name: String,
    /// How long `nft -f` took.
    pub took: Duration,
}

impl Table {
    /// Loads a ruleset that makes the netdev table `name`; `None` where nft is not installed.
    #[must_use]
    pub fn load(name: &str, ruleset: &str) -> Option<Self> {
        Command::new("nft").arg("--version").output().ok()?;
        let started = Instant::now();
        run(ruleset);
        Some(Self {
            name: name.to_owned(),
            took: started.elapsed(),
        })
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        run(&format!("delete table netdev {}\n", self.name));
    }
}

/// The ruleset of a policy's rules on the interface `device`.
#[must_use]
pub fn rules(table: &str, device: &str, policy: &Policy) -> String {
    let mut text = String::new();
    for rule in &policy.rules {
        let _ = writeln!(text, "{}", line(rule));
    }
    chain(table, device, "", &text)
}

/// The ruleset of one rule: what comes from these prefixes is dropped.
#[must_use]
pub fn set(table: &str, device: &str, prefixes: &[IpNet]) -> String {
    let mut sets = String::new();
    let mut rules = String::new();
    for (name, kind, field, six) in [
        ("four", "ipv4_addr", "ip", false),
        ("six", "ipv6_addr", "ip6", true),
    ] {
        let of_kind = prefixes.iter();
        let of_kind: Vec<String> = of_kind
            .filter(|prefix| matches!(prefix, IpNet::V6(_)) == six)
            .map(IpNet::to_string)
            .collect();
        if !of_kind.is_empty() {
            let elements = of_kind.join(", ");
            let _ = writeln!(
                sets,
                "set {name} {{ type {kind}; flags interval; auto-merge; elements = {{ {elements} }}\n }}"
            );
            let _ = writeln!(rules, "{field} saddr @{name} drop");
        }
    }
    chain(table, device, &sets, &rules)
}

fn chain(table: &str, device: &str, sets: &str, rules: &str) -> String {
    format!(
        "table netdev {table} {{\n{sets}chain ingress {{\n\
         type filter hook ingress device \"{device}\" priority 0; policy accept;\n{rules}}}\n}}\n"
    )
}

/// One rule, its conditions in the order in which they leave most packets out first.
fn line(rule: &Rule) -> String {
    let ports = !rule.ports.is_empty() || !rule.source_ports.is_empty();
    let conditions = [
        addresses("saddr", &rule.source),
        addresses("daddr", &rule.destination),
        protocols(&rule.protocols, ports),
        among("th sport", &rule.source_ports),
        among("th dport", &rule.ports),
    ];
    let mut line = String::new();
    for condition in conditions.iter().filter(|condition| !condition.is_empty()) {
        line += condition;
        line += " ";
    }
    line + match rule.action {
        Action::Allow => "accept",
        Action::Deny => "drop",
        Action::Next => panic!("a ruleset of one chain has no `next`"),
    }
}

fn addresses(field: &str, condition: &AddressMatch) -> String {
    assert!(
        !condition.excludes() && !condition.include_self,
        "exceptions and `self` are not translated"
    );
    let Some(set) = &condition.include else {
        return String::new();
    };
    let prefixes: Vec<IpNet> = set.elements().iter().map(|element| element.prefix).collect();
    let family = match prefixes.first() {
        Some(IpNet::V6(_)) => "ip6",
        _ => "ip",
    };
    match prefixes[..] {
        // nft reads a prefix without bits as no condition, which leaves the family open.
        [prefix] if prefix.prefix_len() == 0 => format!("meta protocol {family}"),
        [prefix] => format!("{family} {field} {prefix}"),
        _ => {
            let words: Vec<String> = prefixes.iter().map(IpNet::to_string).collect();
            format!("{family} {field} {{ {} }}", words.join(", "))
        }
    }
}

/// Ports are those of protocols that have ports.
fn protocols(protocols: &Protocols, ports: bool) -> String {
    let numbers = match protocols {
        Protocols::Any if ports => WITH_PORTS.to_vec(),
        Protocols::Any => return String::new(),
        Protocols::Only(numbers) => numbers.clone(),
    };
    let one = |numbers: &[u8]| match numbers {
        [number] => format!("meta l4proto {number}"),
        numbers => {
            let words: Vec<String> = numbers.iter().map(u8::to_string).collect();
            format!("meta l4proto {{ {} }}", words.join(", "))
        }
    };
    if ports && !numbers.iter().all(|number| WITH_PORTS.contains(number)) {
        return format!("{} {}", one(&numbers), one(&WITH_PORTS));
    }
    one(&numbers)
}

fn among(field: &str, ranges: &[PortRange]) -> String {
    let word = |range: &PortRange| match (range.first, range.last) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    match ranges {
        [] => String::new(),
        [range] => format!("{field} {}", word(range)),
        ranges => {
            let words: Vec<String> = ranges.iter().map(word).collect();
            format!("{field} {{ {} }}", words.join(", "))
        }
    }
}

fn run(ruleset: &str) {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nft runs");
    let mut input = child.stdin.take().expect("nft reads");
    // When nft ends early, what it says tells more than the broken pipe.
    let _ends_early = input.write_all(ruleset.as_bytes());
    drop(input);
    let output = child.wait_with_output().expect("nft ends");
    let said: String = String::from_utf8_lossy(&output.stderr)
        .chars()
        .take(1000)
        .collect();
    assert!(output.status.success(), "nft: {said}");
}

/// TCP, UDP, SCTP.
const WITH_PORTS: [u8; 3] = [6, 17, 132];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_of_a_rule_is_translated() {
        let policy = ravelin_rules::load_text(POLICY)
            .expect("the policy is good")
            .policy;
        let lines: Vec<String> = policy.rules.iter().map(line).collect();
        assert_eq!(
            lines,
            [
                "ip saddr 192.0.2.0/24 ip daddr 198.51.100.7/32 meta l4proto 6 th sport 1024-65535 th dport { 80, 443 } accept",
                "meta protocol ip meta l4proto { 6, 17, 132 } th dport 53 drop",
                "meta l4proto 2 drop",
                "ip6 saddr { 2001:db8::/32, 2001:db9::/32 } drop",
            ]
        );
    }

    #[test]
    fn ports_of_a_protocol_without_ports_match_nothing_here_too() {
        let ports = protocols(&Protocols::Only(vec![2]), true);
        assert_eq!(ports, "meta l4proto 2 meta l4proto { 6, 17, 132 }");
    }

    #[test]
    fn a_set_is_one_rule() {
        let prefixes = ["192.0.2.0/24", "198.51.100.0/24"].map(|word| word.parse().expect("a prefix"));
        let text = set("bench", "v0", &prefixes);
        assert!(
            text.contains("elements = { 192.0.2.0/24, 198.51.100.0/24 }"),
            "{text}"
        );
        assert!(text.contains("\nip saddr @four drop\n"), "{text}");
        assert!(!text.contains("ip6"), "{text}");
    }

    const POLICY: &str = r#"
[firewall]
stateful = false
[[rule]]
name         = "a"
action       = "allow"
source       = "192.0.2.0/24"
destination  = "198.51.100.7"
protocol     = "tcp"
source_ports = "1024-65535"
ports        = [80, 443]
[[rule]]
name     = "b"
action   = "deny"
source   = "0.0.0.0/0"
ports    = 53
[[rule]]
name     = "c"
action   = "deny"
protocol = 2
[[rule]]
name   = "d"
action = "deny"
source = ["2001:db8::/32", "2001:db9::/32"]
"#;
}
