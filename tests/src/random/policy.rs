//! Random policies. Prefixes come from a few neighbourhoods so that they overlap, nest and touch.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use ravelin_datapath::{ClassVerdict, ParseClass, Verdict};
use ravelin_rules::policy::{IcmpMatch, Level, PortRange, TcpFlags};

use super::seed::Random;
use super::sketch::{AddressWord, Block, RuleSketch, SetSketch, Sketch};

/// A random policy that `check` accepts.
pub fn sketch(random: &mut Random) -> Sketch {
    let sets = (0..random.index(4)).map(|_| set(random)).collect();
    let mut sketch = Sketch {
        inbound: verdict(random),
        essentials: random.chance(70),
        classes: classes(random),
        sets,
        rules: Vec::new(),
        host: (0..random.index(4)).map(|_| host_address(random)).collect(),
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
            block = match random.below(3) {
                0 => Block::TopLevel,
                1 => Block::Policy(Level::Global, number),
                _ => Block::Policy(Level::Host, number),
            };
        }
        let rule = rule(random, &sketch, block, number);
        sketch.rules.push(rule);
    }
    sketch
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
    SetSketch {
        entries,
        in_file: random.chance(30),
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
        action: verdict(random),
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
        rule.source = addresses(random, sketch, ipv4);
    }
    if random.chance(40) {
        rule.destination = addresses(random, sketch, ipv4);
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
            let prefixes = sketch.prefixes(words);
            if !prefixes
                .iter()
                .any(|prefix| matches!(prefix, IpNet::V4(_)) == ipv4)
            {
                words.clear();
            }
        }
    }
    rule
}

fn addresses(random: &mut Random, sketch: &Sketch, ipv4: bool) -> Vec<AddressWord> {
    let mut words = Vec::new();
    if !sketch.sets.is_empty() && random.chance(40) {
        words.push(AddressWord::Set(random.index(sketch.sets.len())));
    }
    if words.is_empty() || random.chance(20) {
        words.push(AddressWord::Prefix(prefix_of(random, ipv4)));
        for _ in 0..random.pick(&[0, 0, 0, 1, 2, 9]) {
            words.push(AddressWord::Prefix(prefix(random)));
        }
    }
    words
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
