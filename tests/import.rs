//! An imported policy means what it was imported from: random rules of the other firewall, judged by a few lines written from its
//! documentation, against the oracle on the policy they become.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Output};

use ipnet::IpNet;
use ravelin_datapath::{Origin, Verdict};
use ravelin_rules::import::{Source, import};
use ravelin_rules::reference::{self, World};
use ravelin_rules::{Direction, HostFacts, Policy, load_text};
use ravelin_tests::daemon::binary;
use ravelin_tests::random::{self, Random};
use serde_json::{Value, json};

/// A packet: who, to whom, protocol, destination port.
#[derive(Clone, Copy, Debug)]
struct Packet {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    source_port: u16,
    port: u16,
    direction: Direction,
}

#[test]
fn network_acls_mean_the_same() {
    compare(24, Source::AwsNetworkAcl, |random| {
        let rules = random_rules(random);
        let mut entries: Vec<Value> = rules
            .iter()
            .map(|rule| {
                json!({
                    "RuleNumber": rule.number,
                    "Egress": rule.direction == Direction::Outbound,
                    "RuleAction": if rule.allow { "allow" } else { "deny" },
                    "CidrBlock": rule.prefix.to_string(),
                    "Protocol": rule.protocol.map_or_else(|| "-1".to_owned(), |number| number.to_string()),
                    "PortRange": {"From": rule.ports.0, "To": rule.ports.1},
                })
            })
            .collect();
        entries.push(
            json!({"RuleNumber": 32767, "Egress": false, "RuleAction": "deny", "CidrBlock": "0.0.0.0/0"}),
        );
        let text = json!({"NetworkAcls": [{"NetworkAclId": "acl-1", "Entries": entries}]}).to_string();
        let mut sorted = rules;
        sorted.sort_by_key(|rule| rule.number);
        let judge = move |packet: &Packet| {
            let first = sorted.iter().find(|rule| rule.fits(packet));
            first.is_some_and(|rule| rule.allow)
        };
        (text, Box::new(judge))
    });
}

#[test]
fn security_groups_mean_the_same() {
    compare(25, Source::AwsSecurityGroup, |random| {
        let rules = random_rules(random);
        let of = |direction| -> Vec<Value> {
            let rules = rules.iter().filter(|rule| rule.direction == direction);
            rules
                .map(|rule| {
                    json!({
                        "IpProtocol": rule.protocol.map_or_else(|| "-1".to_owned(), |number| number.to_string()),
                        "FromPort": rule.ports.0,
                        "ToPort": rule.ports.1,
                        "IpRanges": [{"CidrIp": rule.prefix.to_string()}],
                    })
                })
                .collect()
        };
        let group = json!({"GroupId": "sg-1", "GroupName": "a group", "IpPermissions": of(Direction::Inbound), "IpPermissionsEgress": of(Direction::Outbound)});
        let text = json!({"SecurityGroups": [group]}).to_string();
        let judge = move |packet: &Packet| rules.iter().any(|rule| rule.fits(packet));
        (text, Box::new(judge))
    });
}

#[test]
fn iptables_chains_mean_the_same() {
    compare(26, Source::Iptables, |random| {
        let policy = random.chance(50);
        let mut chains: Vec<Vec<(Rule, Option<usize>)>> = Vec::new();
        for chain in 0..3 {
            let mut lines = Vec::new();
            for rule in random_rules(random) {
                // Jumps lead to later chains only: there are no circles.
                let to = (chain < 2 && random.chance(30)).then(|| chain + 1 + random.index(2 - chain));
                lines.push((rule, to));
            }
            chains.push(lines);
        }
        // A jump under one port range to a rule with another is not imported, and would be listed.
        for line in chains.iter_mut().skip(1).flatten() {
            line.0.protocol = None;
            line.0.direction = Direction::Inbound;
        }
        for line in &mut chains[0] {
            line.0.direction = Direction::Inbound;
        }
        let names = ["INPUT", "one", "two"];
        let mut text = format!(
            "*filter\n:INPUT {} [0:0]\n:one - [0:0]\n:two - [0:0]\n",
            word(policy)
        );
        for (name, lines) in names.iter().zip(&chains) {
            for (rule, to) in lines {
                let mut line = format!("-A {name} -s {}", rule.prefix);
                if let Some(protocol) = rule.protocol {
                    let _ = write!(
                        line,
                        " -p {protocol} -m multiport --dports {}:{}",
                        rule.ports.0, rule.ports.1
                    );
                }
                let target = to.map_or(word(rule.allow), |to| names[to]);
                let _ = writeln!(text, "{line} -j {target}");
            }
        }
        text.push_str("COMMIT\n");
        let judge = move |packet: &Packet| {
            packet.direction == Direction::Outbound || run(&chains, 0, packet).unwrap_or(policy)
        };
        (text, Box::new(judge))
    });
}

fn word(allow: bool) -> &'static str {
    if allow { "ACCEPT" } else { "DROP" }
}

fn run(chains: &[Vec<(Rule, Option<usize>)>], chain: usize, packet: &Packet) -> Option<bool> {
    chains[chain].iter().find_map(|(rule, to)| {
        if !rule.fits(packet) {
            return None;
        }
        match to {
            Some(to) => run(chains, *to, packet),
            None => Some(rule.allow),
        }
    })
}

/// A rule of any of these firewalls.
#[derive(Clone, Debug)]
struct Rule {
    number: u64,
    direction: Direction,
    allow: bool,
    prefix: IpNet,
    protocol: Option<u8>,
    ports: (u16, u16),
}

impl Rule {
    fn fits(&self, packet: &Packet) -> bool {
        let peer = match packet.direction {
            Direction::Inbound => packet.source,
            Direction::Outbound => packet.destination,
        };
        self.direction == packet.direction
            && self.prefix.contains(&peer)
            && self.protocol.is_none_or(|protocol| {
                protocol == packet.protocol && (self.ports.0..=self.ports.1).contains(&packet.port)
            })
    }
}

fn random_rules(random: &mut Random) -> Vec<Rule> {
    let count = 1 + random.index(7);
    (0..count)
        .map(|at| {
            let first = u16::try_from(random.index(6)).expect("small");
            let length = [8, 24, 30, 32][random.index(4)];
            Rule {
                // A few that are not in the order of their numbers.
                number: ((at * 37) % 101) as u64 + 1,
                direction: if random.chance(30) {
                    Direction::Outbound
                } else {
                    Direction::Inbound
                },
                allow: random.chance(60),
                prefix: IpNet::new(address(random), length).expect("a length").trunc(),
                protocol: [None, Some(6), Some(17)][random.index(3)],
                ports: (first, first + u16::try_from(random.index(4)).expect("small")),
            }
        })
        .collect()
}

/// One of sixteen addresses, so that rules meet packets.
fn address(random: &mut Random) -> IpAddr {
    let low = u8::try_from(random.index(8)).expect("small");
    Ipv4Addr::new(192, 0, if random.chance(80) { 2 } else { 3 }, low + 1).into()
}

type Judge = Box<dyn Fn(&Packet) -> bool>;

fn compare(salt: u64, source: Source, make: impl Fn(&mut Random) -> (String, Judge)) {
    let seed = random::seed() ^ salt;
    let mut random = Random::new(seed);
    let (mut allowed, mut denied) = (0, 0);
    for number in 0..300 {
        let (text, judge) = make(&mut random);
        let draft = import(source, &text, None).expect("it was written for this");
        let lost: Vec<String> = draft.unmapped().iter().map(ToString::to_string).collect();
        assert!(lost.is_empty(), "{lost:?}\n{text}");
        let toml = draft.to_string();
        let policy = load_text(&toml)
            .unwrap_or_else(|report| panic!("{}", report.render()))
            .policy;
        let host = HostFacts::assumed(&policy, &[]);
        for _ in 0..50 {
            let packet = Packet {
                source: address(&mut random),
                destination: Ipv4Addr::new(192, 0, 3, 200 + u8::try_from(random.index(4)).expect("small"))
                    .into(),
                protocol: [6, 17][random.index(2)],
                source_port: 40_000,
                port: u16::try_from(random.index(10)).expect("small"),
                direction: if random.chance(30) {
                    Direction::Outbound
                } else {
                    Direction::Inbound
                },
            };
            let wanted = judge(&packet);
            let is = verdict(&policy, &host, &packet) == Verdict::Allow;
            assert_eq!(
                is, wanted,
                "seed {seed}, number {number}: {packet:?}\n{text}\n{toml}"
            );
            if is { allowed += 1 } else { denied += 1 }
        }
    }
    assert!(
        allowed > 1_000 && denied > 1_000,
        "{allowed} allowed, {denied} denied"
    );
}

fn verdict(policy: &Policy, host: &HostFacts, packet: &Packet) -> Verdict {
    reference::judge(policy, host, packet.direction, Origin::default(), &packet.frame()).verdict
}

impl Packet {
    fn frame(&self) -> Vec<u8> {
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (self.source, self.destination) else {
            panic!("IPv4 only");
        };
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45, 0, 0, 40, 0, 1, 0, 0, 64, self.protocol, 0, 0]);
        frame.extend(source.octets());
        frame.extend(destination.octets());
        frame.extend(self.source_port.to_be_bytes());
        frame.extend(self.port.to_be_bytes());
        frame.extend([0, 20, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0]);
        frame
    }

    /// What answers it.
    fn answer(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.port,
            port: self.source_port,
            direction: match self.direction {
                Direction::Inbound => Direction::Outbound,
                Direction::Outbound => Direction::Inbound,
            },
            ..self
        }
    }

    /// The same for all packets of a connection, as connection tracking sees them.
    fn connection(&self) -> [(IpAddr, u16); 2] {
        let mut ends = [(self.source, self.source_port), (self.destination, self.port)];
        ends.sort_unstable();
        ends
    }
}

/// Security groups remember connections: what answers an allowed packet passes, whatever the rules say of it.
#[test]
fn security_groups_remember_connections() {
    remembering(27, Source::AwsSecurityGroup, |random| {
        let rules = random_rules(random);
        let of = |direction| -> Vec<Value> {
            let rules = rules.iter().filter(|rule| rule.direction == direction);
            let permission = |rule: &Rule| {
                json!({
                    "IpProtocol": rule.protocol.map_or_else(|| "-1".to_owned(), |number| number.to_string()),
                    "FromPort": rule.ports.0,
                    "ToPort": rule.ports.1,
                    "IpRanges": [{"CidrIp": rule.prefix.to_string()}],
                })
            };
            rules.map(permission).collect()
        };
        let group = json!({"GroupId": "sg-1", "IpPermissions": of(Direction::Inbound), "IpPermissionsEgress": of(Direction::Outbound)});
        let text = json!({"SecurityGroups": [group]}).to_string();
        let judge = move |packet: &Packet| rules.iter().any(|rule| rule.fits(packet));
        (text, Box::new(judge))
    });
}

/// The shape of nearly every script: `ESTABLISHED,RELATED` first, then rules for first packets, with or without `NEW`.
#[test]
fn iptables_rules_for_known_connections_become_flows() {
    remembering(28, Source::Iptables, |random| {
        let rules = random_rules(random);
        let mut text = "*filter\n:INPUT DROP [0:0]\n:OUTPUT DROP [0:0]\n".to_owned();
        let state = ["-m conntrack --ctstate", "-m state --state"][random.index(2)];
        for chain in ["INPUT", "OUTPUT"] {
            let _ = writeln!(text, "-A {chain} {state} RELATED,ESTABLISHED -j ACCEPT");
        }
        for rule in &rules {
            let (chain, end) = match rule.direction {
                Direction::Inbound => ("INPUT", "-s"),
                Direction::Outbound => ("OUTPUT", "-d"),
            };
            let mut line = format!("-A {chain} {end} {}", rule.prefix);
            if let Some(protocol) = rule.protocol {
                let (first, last) = rule.ports;
                let _ = write!(line, " -p {protocol} -m multiport --dports {first}:{last}");
            }
            if random.chance(50) {
                let _ = write!(line, " {state} NEW");
            }
            let _ = writeln!(text, "{line} -j {}", word(rule.allow));
        }
        text.push_str("COMMIT\n");
        let judge = move |packet: &Packet| {
            let first = rules.iter().find(|rule| rule.fits(packet));
            first.is_some_and(|rule| rule.allow)
        };
        (text, Box::new(judge))
    });
}

/// Compares sequences: connection tracking lets through the packets of a connection of which one was allowed, and `make` says which
/// first packets are. In UDP, where each packet belongs to its connection whatever it says; TCP has more to it, and a suite of its own.
fn remembering(salt: u64, source: Source, make: impl Fn(&mut Random) -> (String, Judge)) {
    let seed = random::seed() ^ salt;
    let mut random = Random::new(seed);
    let (mut alone, mut remembered, mut denied) = (0, 0, 0);
    for number in 0..150 {
        let (text, judge) = make(&mut random);
        let draft = import(source, &text, None).expect("it was written for this");
        assert!(draft.unmapped().is_empty(), "{:?}\n{text}", draft.unmapped());
        let toml = draft.to_string();
        let policy = load_text(&toml)
            .unwrap_or_else(|report| panic!("{}", report.render()))
            .policy;
        assert!(policy.keeps_flows(), "{text}\n{toml}");
        let host = HostFacts::assumed(&policy, &[]);
        let mut flows = World::default();
        let (mut known, mut sent) = (HashSet::new(), Vec::<Packet>::new());
        for step in 0..60 {
            let mut port = || u16::try_from(random.index(10)).expect("small");
            let (source_port, port) = (port(), port());
            let asked = Packet {
                source: address(&mut random),
                destination: Ipv4Addr::new(192, 0, 3, 200).into(),
                protocol: 17,
                source_port,
                port,
                direction: Direction::Inbound,
            };
            let first = if random.chance(50) { asked } else { asked.answer() };
            let packet = match sent.get(random.index(step + 1)) {
                // Most of the time something that goes on.
                Some(earlier) if random.chance(70) => Packet::answer(*earlier),
                _ => first,
            };
            sent.push(packet);
            let by_rules = judge(&packet);
            let wanted = by_rules || known.contains(&packet.connection());
            if wanted {
                known.insert(packet.connection());
            }
            let is = flows.judge(
                &policy,
                &host,
                packet.direction,
                Origin::default(),
                &packet.frame(),
            );
            assert_eq!(
                is.verdict == Verdict::Allow,
                wanted,
                "seed {seed}, number {number}, step {step}: {packet:?}\n{text}\n{toml}"
            );
            match (by_rules, wanted) {
                (true, _) => alone += 1,
                (false, true) => remembered += 1,
                (false, false) => denied += 1,
            }
        }
    }
    assert!(
        alone > 500 && remembered > 200 && denied > 500,
        "{alone} by rules, {remembered} by flows, {denied} denied"
    );
}

#[test]
fn the_command_prints_a_policy_and_says_what_is_not_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let imports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/tests/imports");
    let run = |arguments: &[&str]| -> Output {
        let mut command = Command::new(binary());
        command.current_dir(folder.path()).args(arguments);
        command.output().expect("ravelin runs")
    };
    let path = |name: &str| imports.join(name).display().to_string();

    let whole = run(&["import", "iptables", &path("iptables/ipv6.rules")]);
    assert_eq!(whole.status.code(), Some(0));
    let golden = fs::read(imports.join("iptables/ipv6.toml")).expect("the golden policy");
    assert!(whole.stdout == golden && whole.stderr.is_empty());

    let input = path("nftables/workstation.json");
    let part = run(&["import", "nftables", &input, "--output", "edge.toml"]);
    assert_eq!(part.status.code(), Some(1), "something is not in it");
    assert!(part.stdout.is_empty());
    let said = String::from_utf8_lossy(&part.stderr).into_owned();
    assert!(
        said.contains("not imported: chain inet filter forward: hook forward"),
        "{said}"
    );
    assert_eq!(run(&["check", "edge.toml"]).status.code(), Some(0));
    let again = run(&["import", "nftables", &input, "--output", "edge.toml"]);
    assert_eq!(again.status.code(), Some(2), "a policy is not overwritten");

    let printed = run(&["import", "nftables", &input, "--format", "json"]);
    let document: Value = serde_json::from_slice(&printed.stdout).expect("JSON");
    assert_eq!(document["not_imported"].as_array().map(Vec::len), Some(1));

    let wrong = run(&["import", "aws-network-acl", &input]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&wrong.stderr).contains("give what `aws ec2 describe-network-acls` prints")
    );
}
