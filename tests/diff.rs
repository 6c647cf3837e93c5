//! `diff` is sound and complete: a packet is judged otherwise by the new policy if and only if it lies in exactly one box, and the box
//! says how.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use ravelin_datapath::{Decision, ParseClass, Reason, Verdict};
use ravelin_rules::diff::{Change, Difference, Outcome, Terms, Who, diff};
use ravelin_rules::policy::{Action, Direction, HostFacts, Policy};
use ravelin_rules::{load, reference};
use ravelin_tests::packet::{Kind, Packet};
use ravelin_tests::random::{self, AddressWord, Case, Probe, Random, Sketch};

#[test]
fn a_packet_is_judged_otherwise_if_and_only_if_it_lies_in_one_box() {
    let seed = random::seed() ^ 16;
    let mut random = Random::new(seed);
    let mut tally: BTreeMap<&str, u64> = BTreeMap::new();
    for (number, case) in random::cases(seed, PAIRS, PACKETS).enumerate() {
        let mut old = case.sketch.clone();
        old.rules.truncate(12);
        let new = if number % 4 == 0 {
            other(&old, random.bits())
        } else {
            mutated(&mut random, &old)
        };
        let host = old.host();
        let (one, another) = (old.policy(), new.policy());
        let difference =
            diff(&one, &another, &host, &Direction::ALL, Terms::default()).unwrap_or_else(|error| {
                panic!("seed {}: {error}\n{}\n---\n{}", case.seed, old.toml(), new.toml())
            });
        assert!(!difference.more, "seed {}: too many boxes", case.seed);
        *tally.entry("pairs of policies").or_default() += 1;
        *tally.entry("equal").or_default() += u64::from(difference.is_empty());
        *tally.entry("boxes").or_default() += difference.changes.len() as u64;
        for probe in &case.probes {
            agree(
                &case,
                [&old, &new],
                [&one, &another],
                &host,
                &difference,
                probe,
                &mut tally,
            );
        }
    }
    println!("{tally:?}");
    assert!(
        tally["pairs of policies"] >= 2_000 && tally["changed"] >= 10_000 && tally["unchanged"] >= 100_000
    );
}

/// Compares one packet's decisions with the boxes.
fn agree(
    case: &Case,
    sketches: [&Sketch; 2],
    policies: [&Policy; 2],
    host: &HostFacts,
    difference: &Difference,
    probe: &Probe,
    tally: &mut BTreeMap<&'static str, u64>,
) {
    let bytes = probe.packet.bytes();
    let origin = probe.origin(host);
    let filtered = host
        .interfaces
        .iter()
        .any(|interface| interface.index == origin.interface);
    let said = policies.map(|policy| reference::judge(policy, host, probe.direction, origin, &bytes));
    // Boxes are about packets on filtered interfaces whose fate their addresses, ports and messages decide.
    let decided = said.iter().all(|decision| {
        matches!(
            decision.reason,
            Reason::Rule
                | Reason::Default
                | Reason::IcmpError
                | Reason::DhcpClient
                | Reason::Dhcpv6Client
                | Reason::SpoofedSource
                | Reason::UnknownNextHeader
        )
    });
    if !filtered || probe.loopback || !decided || peculiar_message(&probe.packet, &said) {
        *tally.entry("not asked").or_default() += 1;
        return;
    }
    let [old, new] = [0, 1].map(|at| outcome(&said[at], policies[at]));
    let covering = difference.covering(host, probe.direction, origin, &bytes);
    let agrees = match covering.as_slice() {
        [] => old == new,
        [change] => old != new && change.old == old && change.new == new,
        _ => false,
    };
    let packets: Vec<String> = covering
        .iter()
        .map(|change: &&Change| change.to_string())
        .collect();
    assert!(
        agrees,
        "seed {}: {probe:?}\nwas {old}, is {new}; boxes: {packets:#?}\n{}\n--- new\n{}",
        case.seed,
        sketches[0].toml(),
        sketches[1].toml()
    );
    let what = if old == new { "unchanged" } else { "changed" };
    *tally.entry(what).or_default() += 1;
}

/// Whether it is an ICMP message of which no box says anything: a part of one is no essential, as the whole would be, and from `::` some may be sent, which
/// a hop limit tells apart.
fn peculiar_message(packet: &Packet, said: &[Decision; 2]) -> bool {
    let has = |wanted: &[Kind]| packet.layers().iter().any(|layer| wanted.contains(&layer.kind()));
    let first = |decision: &Decision| decision.seen.contains(ParseClass::FragmentFirst);
    let in_parts = has(&[Kind::Fragment]) || said.iter().any(first);
    let nobody = IpAddr::from(Ipv6Addr::UNSPECIFIED);
    let from_nobody = packet
        .layers()
        .iter()
        .any(|layer| layer.address("source") == Some(nobody));
    has(&[Kind::Icmp, Kind::Icmpv6]) && (in_parts || from_nobody)
}

fn outcome(decision: &Decision, policy: &Policy) -> Outcome {
    let rule = decision
        .rule
        .and_then(|index| policy.rules.get(usize::try_from(index).ok()?));
    Outcome {
        verdict: decision.verdict,
        who: match (rule, decision.reason) {
            (Some(rule), _) => Who::Rule(rule.name.to_string()),
            (None, Reason::Default) => Who::Default,
            (None, Reason::SpoofedSource | Reason::UnknownNextHeader) => Who::Class(decision.reason.label()),
            _ => Who::Essential,
        },
    }
}

/// Another policy altogether, on the same host with the same settings.
fn other(sketch: &Sketch, seed: u64) -> Sketch {
    let mut other = Case::new(seed, 0).sketch;
    other.rules.truncate(12);
    other.classes.clone_from(&sketch.classes);
    // Its interfaces are those of the host.
    while other.interfaces.len() > sketch.interfaces.len() {
        other.interfaces.pop();
    }
    while other.interfaces.len() < sketch.interfaces.len() {
        other.interfaces.push(None);
    }
    other.host.clone_from(&sketch.host);
    other
}

/// A policy with a few changes.
fn mutated(random: &mut Random, sketch: &Sketch) -> Sketch {
    let mut new = sketch.clone();
    for _ in 0..random.index(4) {
        let count = new.rules.len();
        let at = random.index(count.max(1));
        match random.below(9) {
            _ if count == 0 => new.inbound = flipped(new.inbound),
            0 => drop(new.rules.remove(at)),
            1 => {
                let to = random.index(count);
                let rule = new.rules.remove(at);
                new.rules.insert(to, rule);
            }
            2 => {
                new.rules[at].action = match new.rules[at].action {
                    Action::Allow => Action::Deny,
                    Action::Deny => Action::Next,
                    Action::Next => Action::Allow,
                };
            }
            3 => new.rules[at].observe ^= true,
            4 => new.rules[at].ports.clear(),
            5 => new.rules[at].source.clear(),
            6 => {
                let word = AddressWord::Prefix(random::prefix(random));
                new.rules[at].destination.push(AddressWord::Not(Box::new(word)));
            }
            7 => new.rules[at].expires = Some(random::NOW + 1 + random.below(100)),
            _ => new.outbound = flipped(new.outbound),
        }
    }
    new
}

const fn flipped(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Allow => Verdict::Deny,
        Verdict::Deny => Verdict::Allow,
    }
}

#[test]
fn policies_that_mean_the_same_have_no_difference_however_they_are_written() {
    let ways = [
        "[[rule]]\nname = \"web\"\naction = \"allow\"\nprotocol = [\"http\", \"https\"]\nsource = \"192.0.2.0/24\"\n",
        "[[rule]]\nname = \"web\"\naction = \"allow\"\nprotocol = \"tcp\"\nports = [443, 80]\nsource = [\"192.0.2.0/25\", \"192.0.2.128-192.0.2.255\"]\n",
        "[[set]]\nname = \"s\"\nentries = [\"192.0.2.0/24\", \"192.0.2.77\"]\n[[rule]]\nname = \"web\"\naction = \"allow\"\nprotocol = 6\nports = [\"80-80\", 443]\nsource = \"@s\"\n",
        "[[rule]]\nname = \"web\"\naction = \"allow\"\nprotocol = [\"http\", \"https\"]\nsource = [\"192.0.0.0/16\", \"!192.0.0.0/23\", \"!192.0.3.0-192.0.255.255\"]\n",
        "[[policy]]\nname = \"p\"\nscope = \"global\"\n[[policy.rule]]\nname = \"web\"\naction = \"allow\"\nprotocol = [\"http\", \"https\"]\nsource = \"192.0.2.0/24\"\n[[rule]]\nname = \"never\"\naction = \"deny\"\nprotocol = \"https\"\nsource = \"192.0.2.9\"\n",
        "[[rule]]\nname = \"watch\"\nmode = \"observe\"\naction = \"deny\"\n[[rule]]\nname = \"web\"\naction = \"allow\"\nprotocol = [\"http\", \"https\"]\nsource = \"192.0.2.0/24\"\n",
    ];
    let policies = ways.map(policy);
    for (one, old) in ways.iter().zip(&policies) {
        for (other, new) in ways.iter().zip(&policies) {
            let difference = compare(old, new, Terms::default());
            assert!(difference.is_empty(), "{one}\n---\n{other}\n{difference}");
        }
    }
    // One address more is a difference, and nothing but that address.
    let more = policy(
        "[[rule]]\nname = \"web\"\naction = \"allow\"\nprotocol = [\"http\", \"https\"]\nsource = [\"192.0.2.0/24\", \"192.0.3.0\"]\n",
    );
    let difference = compare(&policies[0], &more, Terms::default());
    assert_eq!(difference.changes.len(), 1, "{difference}");
    assert_eq!(
        difference.changes[0].packets,
        "tcp port 80, 443 from 192.0.3.0 to any IPv4 address"
    );
    // Split into two rules, the packets of the second are judged by another rule, with the same verdict.
    let split = policy(
        "[[rule]]\nname = \"web\"\naction = \"allow\"\nprotocol = \"http\"\nsource = \"192.0.2.0/24\"\n[[rule]]\nname = \"tls\"\naction = \"allow\"\nprotocol = \"https\"\nsource = \"192.0.2.0/24\"\n",
    );
    assert_eq!(compare(&policies[0], &split, Terms::default()).changes.len(), 1);
    let terms = Terms { verdicts_only: true };
    assert!(compare(&policies[0], &split, terms).is_empty());
}

fn compare(old: &Policy, new: &Policy, terms: Terms) -> Difference {
    diff(old, new, &HostFacts::default(), &Direction::ALL, terms).expect("it can be compared")
}

fn policy(rules: &str) -> Policy {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("policy.toml");
    std::fs::write(&path, format!("[firewall]\nstateful = false\n{rules}")).expect("a policy");
    load(&path)
        .unwrap_or_else(|report| panic!("{}", report.render()))
        .policy
}

const PAIRS: usize = 2_000;
const PACKETS: usize = 400;
