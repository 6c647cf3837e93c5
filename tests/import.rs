//! An imported policy means what it was imported from: random rules of the other firewall, judged by a few lines written from its
//! documentation, against the oracle on the policy they become.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Output};

use ipnet::IpNet;
use ravelin_datapath::{Origin, Verdict};
use ravelin_rules::import::{Source, import};
use ravelin_rules::{Direction, HostFacts, Policy, load_text, reference};
use ravelin_tests::daemon::binary;
use ravelin_tests::random::{self, Random};
use serde_json::{Value, json};

/// A packet: who, to whom, protocol, destination port.
#[derive(Clone, Copy, Debug)]
struct Packet {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
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
        // Connections that a group remembers are no rules.
        assert!(
            lost.iter().all(|lost| lost.contains("replies to connections")),
            "{lost:?}\n{text}"
        );
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
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (packet.source, packet.destination) else {
        panic!("IPv4 only");
    };
    let mut frame = vec![0; 12];
    frame.extend([8, 0, 0x45, 0, 0, 40, 0, 1, 0, 0, 64, packet.protocol, 0, 0]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    frame.extend([0x9c, 0x40]);
    frame.extend(packet.port.to_be_bytes());
    frame.extend([0, 20, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0]);
    reference::judge(policy, host, packet.direction, Origin::default(), &frame).verdict
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

    let input = path("nftables/server.json");
    let part = run(&["import", "nftables", &input, "--output", "edge.toml"]);
    assert_eq!(part.status.code(), Some(1), "something is not in it");
    assert!(part.stdout.is_empty());
    let said = String::from_utf8_lossy(&part.stderr).into_owned();
    assert!(
        said.contains("not imported: inet filter input handle 6: ct state established,related"),
        "{said}"
    );
    assert_eq!(run(&["check", "edge.toml"]).status.code(), Some(0));
    let again = run(&["import", "nftables", &input, "--output", "edge.toml"]);
    assert_eq!(again.status.code(), Some(2), "a policy is not overwritten");

    let printed = run(&["import", "nftables", &input, "--format", "json"]);
    let document: Value = serde_json::from_slice(&printed.stdout).expect("JSON");
    assert_eq!(document["not_imported"].as_array().map(Vec::len), Some(2));

    let wrong = run(&["import", "aws-network-acl", &input]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&wrong.stderr).contains("give what `aws ec2 describe-network-acls` prints")
    );
}
