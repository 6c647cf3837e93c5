//! Random policies. Prefixes come from a few neighbourhoods so that they overlap, nest and touch.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use ravelin_datapath::{ClassVerdict, ParseClass, Verdict};
use ravelin_rules::policy::{Action, Direction, IcmpMatch, PortRange, TcpFlags};

use super::seed::Random;
use super::sketch::{NOW, RuleSketch, SetSketch, Sketch, VpcSketch};
use super::words::{AddressWord, Block, ScopeSketch};

/// A random policy that `check` accepts.
pub fn sketch(random: &mut Random) -> Sketch {
    let sets = (0..random.index(4)).map(|_| set(random)).collect::<Vec<_>>();
    let vpcs = vpcs(random);
    let a_vpc = |random: &mut Random, often| {
        let at = random.index(vpcs.len().max(1));
        (!vpcs.is_empty() && random.chance(often)).then_some(at)
    };
    let interfaces: Vec<Option<usize>> = (0..1 + random.index(3)).map(|_| a_vpc(random, 50)).collect();
    let home = a_vpc(random, 70);
    let mut sketch = Sketch {
        outbound: verdict(random),
        region: random.pick(&[None, Some(REGIONS[0]), Some(REGIONS[1])]),
        home,
        host: interfaces
            .iter()
            .map(|_| (0..random.index(4)).map(|_| host_address(random)).collect())
            .collect(),
        interfaces,
        vpcs,
        inbound: verdict(random),
        essentials: random.chance(70),
        classes: classes(random),
        never_ban: never_ban(random, &sets),
        sets,
        rules: Vec::new(),
    };
    let count = match random.below(10) {
        0 => 0,
        1..=5 => 1 + random.index(8),
        6..=8 => 5 + random.index(40),
        _ => 50 + random.index(151),
    };
    let mut block = Block::TopLevel;
    for number in 0..count {
        if random.chance(25) {
            let number = u32::try_from(number).unwrap_or(0);
            block = match random.below(6) {
                0 => Block::TopLevel,
                1 => Block::Policy(ScopeSketch::Global, number),
                2 => Block::Policy(ScopeSketch::Region(random.pick(&REGIONS)), number),
                3 if !sketch.vpcs.is_empty() => {
                    let foreign = random.index(sketch.vpcs.len());
                    let at = sketch.home.filter(|_| random.chance(75)).unwrap_or(foreign);
                    Block::Policy(ScopeSketch::Vpc(at), number)
                }
                _ => Block::Policy(ScopeSketch::Host, number),
            };
        }
        let rule = rule(random, &sketch, block, number);
        sketch.rules.push(rule);
    }
    sketch
}

/// Networks that are apart from each other, in the neighbourhoods that addresses come from.
const NETWORKS: [[&str; 3]; 4] = [
    ["192.0.2.0/25", "10.0.0.0/16", "2001:db8::/64"],
    ["192.0.2.128/25", "198.51.100.0/29", "2001:db8:1::/48"],
    ["198.51.100.128/25", "203.0.113.7/32", "fd00::/16"],
    ["203.0.113.128/25", "198.51.101.0/24", "2001:db8:2::/48"],
];

const REGIONS: [&str; 2] = ["eu-west-1", "ap-east-1"];

fn vpcs(random: &mut Random) -> Vec<VpcSketch> {
    let count = random.pick(&[0, 0, 1, 2, 3, 4]);
    (0..count)
        .map(|at| {
            let mut cidrs: Vec<IpNet> = Vec::new();
            for text in NETWORKS[at] {
                if cidrs.is_empty() || random.chance(60) {
                    cidrs.push(text.parse().expect("a prefix"));
                }
            }
            let peers = (0..count).filter(|other| *other != at && random.chance(25));
            VpcSketch {
                peers: peers.collect(),
                cidrs,
            }
        })
        .collect()
}

/// A second around which something ends: long ago, now, soon, later.
fn end(random: &mut Random) -> u64 {
    match random.below(6) {
        0 => NOW - 1_000_000,
        1 => NOW,
        2 => NOW + 1,
        3 => NOW + 2 + random.below(5),
        4 => NOW + 10 + random.below(90),
        _ => NOW + 1_000_000_000,
    }
}

/// A prefix of either family, of any length from 0 to the longest.
pub fn prefix(random: &mut Random) -> IpNet {
    let ipv4 = random.chance(50);
    prefix_of(random, ipv4)
}

fn prefix_of(random: &mut Random, ipv4: bool) -> IpNet {
    if ipv4 {
        let length = match random.below(10) {
            0 => 0,
            1 => 1 + random.index(7),
            2 | 3 => 32,
            4 => 31,
            _ => 8 + random.index(23),
        };
        let address = ipv4_address(random);
        let net = Ipv4Net::new(address, u8::try_from(length).unwrap_or(32)).expect("at most 32");
        IpNet::V4(net.trunc())
    } else {
        let length = match random.below(10) {
            0 => 0,
            1 => 1 + random.index(15),
            2 | 3 => 128,
            4 => 127,
            5 => 64,
            _ => 16 + random.index(112),
        };
        let address = ipv6_address(random);
        let net = Ipv6Net::new(address, u8::try_from(length).unwrap_or(128)).expect("at most 128");
        IpNet::V6(net.trunc())
    }
}

/// An address in one of the neighbourhoods.
pub(super) fn ipv4_address(random: &mut Random) -> Ipv4Addr {
    let [.., c, d] = random.bits().to_be_bytes();
    match random.below(8) {
        0 => Ipv4Addr::new(192, 0, 2, d),
        1 => Ipv4Addr::new(198, 51, 100, d),
        2 => Ipv4Addr::new(203, 0, 113, d),
        3 => Ipv4Addr::new(10, 0, c, d),
        // The twin of 2000::/8.
        4 => Ipv4Addr::new(32, 1, 13, 184),
        5 => Ipv4Addr::new(192, 0, 2, d & 3),
        6 => Ipv4Addr::from_bits(u32::from(random.word()) << 16 | u32::from(random.word())),
        _ => Ipv4Addr::new(198, 51, 100 + (c & 1), d & 7),
    }
}

/// An address in one of the neighbourhoods.
pub(super) fn ipv6_address(random: &mut Random) -> Ipv6Addr {
    let (a, b) = (random.word(), random.word());
    match random.below(8) {
        0 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, a),
        1 => Ipv6Addr::new(0x2001, 0xdb8, a & 3, b & 3, 0, 0, 0, 1),
        2 => Ipv6Addr::new(0x2001, 0xdb8, a, b, 0, 0, a, b),
        3 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, a & 7),
        4 => ipv4_address(random).to_ipv6_mapped(),
        5 => Ipv6Addr::new(0xfd00, 0, 0, a, 0, 0, 0, b),
        6 => {
            let bits = u128::from(random.bits()) << 64 | u128::from(random.bits());
            Ipv6Addr::from_bits(bits)
        }
        _ => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, a & 3),
    }
}

fn host_address(random: &mut Random) -> IpAddr {
    if random.chance(50) {
        ipv4_address(random).into()
    } else {
        ipv6_address(random).into()
    }
}

fn verdict(random: &mut Random) -> Verdict {
    random.pick(&[Verdict::Allow, Verdict::Deny])
}

fn classes(random: &mut Random) -> Vec<(ParseClass, ClassVerdict)> {
    let often = random.pick(&[0, 10, 40]);
    let mut classes = Vec::new();
    for class in ParseClass::ALL {
        // `fragment_later` cannot be set.
        if *class != ParseClass::FragmentLater && random.chance(often) {
            let verdict = if class.judgeable() && random.chance(60) {
                ClassVerdict::Judge
            } else {
                random.pick(&[ClassVerdict::Allow, ClassVerdict::Deny])
            };
            classes.push((*class, verdict));
        }
    }
    classes
}

/// Prefixes that feeds list, or parts of them, so that there is something to cut.
fn never_ban(random: &mut Random, sets: &[SetSketch]) -> Vec<IpNet> {
    let mut never = Vec::new();
    for set in sets.iter().filter(|set| set.in_file) {
        if random.chance(40) {
            let (net, _) = set.entries[random.index(set.entries.len())];
            let longer = random.pick(&[0, 1, 8]);
            let length = (net.prefix_len() + longer).min(net.max_prefix_len());
            never.push(IpNet::new(net.network(), length).expect("a length"));
        }
    }
    never
}

fn set(random: &mut Random) -> SetSketch {
    let count = if random.chance(10) {
        200
    } else {
        1 + random.index(12)
    };
    let mut entries: Vec<IpNet> = (0..count).map(|_| prefix(random)).collect();
    // Both families: a rule with a set can then always be met.
    entries.push(prefix_of(random, true));
    entries.push(prefix_of(random, false));
    let in_file = random.chance(30);
    let ends = random.pick(&[0, 0, 20, 60]);
    let entries = entries.into_iter().map(|entry| {
        let ends = !in_file && random.chance(ends);
        (entry, ends.then(|| end(random)))
    });
    SetSketch {
        entries: entries.collect(),
        in_file,
    }
}

fn rule(random: &mut Random, sketch: &Sketch, block: Block, number: usize) -> RuleSketch {
    // A different number for each rule of a block, in no order; the same numbers in every block.
    let before = sketch.rules.iter().filter(|rule| rule.block == block).count();
    let priority = u32::try_from(before * 7919 % 1009).unwrap_or(0);
    let mut rule = RuleSketch {
        name: format!("rule-{number}"),
        block,
        priority: random.chance(30).then_some(priority),
        direction: if random.chance(20) {
            Direction::Outbound
        } else {
            Direction::Inbound
        },
        action: match random.below(8) {
            0 => Action::Next,
            _ => verdict(random).into(),
        },
        observe: random.chance(12),
        enabled: !random.chance(4),
        expires: random.chance(12).then(|| end(random)),
        interface: random
            .chance(12)
            .then(|| random.index(sketch.interfaces.len() + 1)),
        source: Vec::new(),
        destination: Vec::new(),
        protocols: Vec::new(),
        ports: Vec::new(),
        source_ports: Vec::new(),
        icmp: Vec::new(),
        tcp_flags: None,
    };
    // One family for both sides where both are given: `check` refuses a rule that no packet can meet.
    let ipv4 = random.chance(50);
    if random.chance(60) {
        rule.source = addresses(random, sketch, block, ipv4);
    }
    if random.chance(40) {
        rule.destination = addresses(random, sketch, block, ipv4);
    }
    match random.below(10) {
        0 => {}
        1 => {
            rule.protocols = (0..1 + random.index(3))
                .map(|_| random.pick(&[1, 2, 6, 17, 47, 50, 51, 58, 60, 89, 132, 253, 255]))
                .collect();
            dedup(&mut rule.protocols);
        }
        2 => {
            rule.protocols = vec![1];
            rule.icmp = messages(random, &[0, 3, 8, 11, 13, 255]);
        }
        3 => {
            rule.protocols = vec![58];
            rule.icmp = messages(random, &[1, 2, 128, 129, 135, 143, 255]);
        }
        4 => {
            rule.protocols = vec![6];
            let set = random.byte() & random.byte();
            let clear = random.byte() & random.byte() & !set;
            if set | clear != 0 {
                rule.tcp_flags = Some(TcpFlags { set, clear });
            }
            if random.chance(50) {
                rule.ports = ranges(random);
            }
        }
        _ => {
            rule.protocols = random.pick(&[
                vec![],
                vec![6],
                vec![6],
                vec![17],
                vec![17],
                vec![132],
                vec![6, 17],
                vec![17, 132, 6],
            ]);
            if random.chance(80) {
                rule.ports = ranges(random);
            }
            if random.chance(20) {
                rule.source_ports = ranges(random);
            }
        }
    }
    // `check` refuses messages of one family between addresses of the other.
    let family = match rule.protocols[..] {
        [1] => Some(true),
        [58] => Some(false),
        _ => None,
    };
    if let Some(ipv4) = family {
        for words in [&mut rule.source, &mut rule.destination] {
            if !reaches(sketch, words, ipv4) {
                words.clear();
            }
        }
    }
    // `check` refuses addresses of families that have no packet in common.
    let both = |ipv4| reaches(sketch, &rule.source, ipv4) && reaches(sketch, &rule.destination, ipv4);
    if !both(true) && !both(false) {
        rule.destination.clear();
    }
    rule
}

/// Whether the list lets addresses of that family in, as far as `check` looks: exceptions and ends do not count.
fn reaches(sketch: &Sketch, words: &[AddressWord], ipv4: bool) -> bool {
    let mut included = words
        .iter()
        .filter(|word| !matches!(word, AddressWord::Not(_)))
        .peekable();
    included.peek().is_none()
        || included.any(|word| {
            let prefixes = sketch.prefixes(std::slice::from_ref(word));
            matches!(word, AddressWord::Own)
                || prefixes
                    .iter()
                    .any(|prefix| matches!(prefix, IpNet::V4(_)) == ipv4)
        })
}

fn addresses(random: &mut Random, sketch: &Sketch, block: Block, ipv4: bool) -> Vec<AddressWord> {
    let mut words = Vec::new();
    if !sketch.sets.is_empty() && random.chance(40) {
        words.push(AddressWord::Set(random.index(sketch.sets.len())));
    }
    if random.chance(25) {
        words.push(word(random, sketch, block, ipv4));
    }
    if words.is_empty() || random.chance(20) {
        words.push(AddressWord::Prefix(prefix_of(random, ipv4)));
        for _ in 0..random.pick(&[0, 0, 0, 1, 2, 9]) {
            words.push(AddressWord::Prefix(prefix(random)));
        }
    }
    if random.chance(25) {
        if random.chance(30) {
            // Nothing but exceptions.
            words.clear();
        }
        for _ in 0..1 + random.index(3) {
            let not = word(random, sketch, block, ipv4);
            let at = random.index(words.len() + 1);
            words.insert(at, AddressWord::Not(Box::new(not)));
        }
    }
    words
}

/// Any word but `anywhere`.
fn word(random: &mut Random, sketch: &Sketch, block: Block, ipv4: bool) -> AddressWord {
    let home = match block {
        Block::Policy(ScopeSketch::Vpc(at), _) => Some(at),
        _ => sketch.home,
    };
    match (random.below(7), home) {
        (0, _) if !sketch.sets.is_empty() => AddressWord::Set(random.index(sketch.sets.len())),
        (1, _) => AddressWord::Own,
        (2, Some(home)) => AddressWord::LocalVpc(home),
        (3, Some(home)) => {
            let near: Vec<usize> = (0..sketch.vpcs.len())
                .filter(|other| *other == home || sketch.are_peers(home, *other))
                .collect();
            AddressWord::Vpc(random.pick(&near))
        }
        (4 | 5, _) => range(random, ipv4),
        _ => AddressWord::Prefix(prefix_of(random, ipv4)),
    }
}

/// A short range that is seldom a prefix.
fn range(random: &mut Random, ipv4: bool) -> AddressWord {
    let length = random.index(40);
    if ipv4 {
        let first = ipv4_address(random).to_bits();
        let last = first.saturating_add(u32::try_from(length).unwrap_or(0));
        AddressWord::Range(
            Ipv4Addr::from_bits(first).into(),
            Ipv4Addr::from_bits(last).into(),
        )
    } else {
        let first = ipv6_address(random).to_bits();
        let last = first.saturating_add(length as u128);
        AddressWord::Range(
            Ipv6Addr::from_bits(first).into(),
            Ipv6Addr::from_bits(last).into(),
        )
    }
}

fn ranges(random: &mut Random) -> Vec<PortRange> {
    let count = random.pick(&[1, 1, 1, 2, 3, 15]);
    (0..count)
        .map(|_| {
            let anywhere = random.word();
            let first = random.pick(&[0, 1, 22, 53, 80, 443, 1023, 1024, 32768, 65534, 65535, anywhere]);
            let last = match random.below(6) {
                0..=3 => first,
                4 => first.saturating_add(random.word() % 100),
                _ => u16::MAX,
            };
            PortRange { first, last }
        })
        .collect()
}

fn messages(random: &mut Random, kinds: &[u8]) -> Vec<IcmpMatch> {
    let mut messages: Vec<IcmpMatch> = Vec::new();
    for _ in 0..random.index(4) {
        let code = random.byte() % 5;
        let message = IcmpMatch {
            kind: random.pick(kinds),
            code: random.chance(50).then_some(code),
        };
        if !messages.contains(&message) {
            messages.push(message);
        }
    }
    messages
}

fn dedup(numbers: &mut Vec<u8>) {
    let mut seen = Vec::new();
    numbers.retain(|number| {
        let new = !seen.contains(number);
        seen.push(*number);
        new
    });
}
