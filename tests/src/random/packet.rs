//! Random packets, aimed at the boundaries of a policy: the ends of its prefixes and port ranges, one step outside, the
//! twin of the other family; and every shape that has a parse class, malformed ones among them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use ravelin_rules::policy::PortRange;

use super::policy::{ipv4_address, ipv6_address};
use super::seed::Random;
use super::sketch::{NOW, RuleSketch, Sketch};
use super::words::AddressWord;
use crate::packet::{Kind, Packet, ether};

/// A random packet that `sketch` has something to say about.
pub fn packet(random: &mut Random, sketch: &Sketch) -> Packet {
    let rule = target(random, sketch);
    packet_for(random, sketch, rule.as_ref())
}

/// A rule to aim at: one that can match, most of the time.
pub(super) fn target(random: &mut Random, sketch: &Sketch) -> Option<RuleSketch> {
    let there: Vec<&RuleSketch> = sketch
        .rules
        .iter()
        .filter(|rule| rule.enabled && sketch.is_here(rule) && rule.expires.is_none_or(|end| end > NOW))
        .collect();
    if !there.is_empty() && random.chance(80) {
        return Some(random.pick(&there).clone());
    }
    (!sketch.rules.is_empty() && random.chance(40)).then(|| random.pick(&sketch.rules))
}

/// A random packet aimed at the conditions of `rule`.
pub(super) fn packet_for(random: &mut Random, sketch: &Sketch, rule: Option<&RuleSketch>) -> Packet {
    match random.below(100) {
        0 => return noise(random),
        1 => return not_ip(random),
        2..=5 => return essential(random),
        _ => {}
    }
    let ipv4 = family(random, sketch, rule);
    let source = address(random, sketch, rule.map(|rule| &rule.source[..]), ipv4);
    let destination = address(random, sketch, rule.map(|rule| &rule.destination[..]), ipv4);

    let mut packet = tags(random, ether());
    packet = if ipv4 { packet.ipv4() } else { packet.ipv6() };
    packet = packet
        .source(source)
        .destination(if random.chance(1) { source } else { destination });
    packet = if ipv4 {
        ipv4_extras(random, packet)
    } else {
        ipv6_extras(random, packet)
    };
    let cut_upper = random.chance(3);
    packet = upper(random, packet, rule, ipv4);
    let before = packet.bytes().len();
    if cut_upper {
        // The same header, but the IP header knows that it ends early: no frame is cut.
        packet = shorten(random, packet);
    } else if random.chance(30) {
        packet = packet.payload(random.index(40));
    }
    if random.chance(10) {
        packet = packet.pad(before + random.index(60));
    }
    if random.chance(8) {
        mutate(random, packet)
    } else {
        packet
    }
}

/// A few bytes of anything.
fn noise(random: &mut Random) -> Packet {
    let length = random.index(80);
    let mut bytes: Vec<u8> = (0..length).map(|_| random.byte()).collect();
    if let Some(ether_type) = bytes.get_mut(12..14) {
        ether_type.copy_from_slice(&random.pick(&[
            [0x08, 0x00],
            [0x86, 0xdd],
            [0x81, 0x00],
            [0x88, 0xa8],
            [0x08, 0x06],
        ]));
    }
    Packet::raw(&bytes)
}

fn not_ip(random: &mut Random) -> Packet {
    let packet = tags(random, ether());
    let ether_type = random.pick(&[0x0806, 0x0806, 0x88cc, 0x8847, 0x0040, 0x9100, 0x0801, 0x86dc]);
    packet.with("type", ether_type).payload(random.index(46))
}

/// Messages around the edges of the essentials.
fn essential(random: &mut Random) -> Packet {
    let packet = tags(random, ether());
    let code = random.byte() % 3;
    match random.below(6) {
        0 => {
            let first = u64::from(random.chance(15));
            let kind = random.pick(&[3, 11, 12, 4, 5]);
            packet.ipv4().with("flags", first).icmp(kind, code)
        }
        1 => {
            let packet = packet.ipv6();
            in_parts(random, packet).icmpv6(random.pick(&[0, 1, 2, 3, 4, 5]), code)
        }
        2 | 3 => {
            let hop_limit = random.pick(&[255, 255, 1, 1, 254, 0, 64]);
            let kind = random.pick(&[129, 130, 131, 132, 133, 134, 135, 136, 137, 142, 143, 144]);
            let source = random.pick(&[
                "::",
                "::",
                "fe80::1",
                "2001:db8::1",
                "::ffff:192.0.2.1",
                "::fffe:192.0.2.1",
            ]);
            let packet = packet.ipv6().source(source).with("hop-limit", hop_limit);
            in_parts(random, packet).icmpv6(kind, code)
        }
        4 => {
            let source_port = random.pick(&[67, 67, 68, 547]);
            packet
                .ipv4()
                .udp(random.pick(&[68, 68, 67, 546]))
                .with("source-port", source_port)
        }
        _ => {
            let source_port = random.pick(&[547, 547, 546, 67]);
            packet
                .ipv6()
                .udp(random.pick(&[546, 546, 547, 68]))
                .with("source-port", source_port)
        }
    }
}

/// Sometimes a fragment header: of a first fragment, or an atomic one.
fn in_parts(random: &mut Random, packet: Packet) -> Packet {
    if random.chance(15) {
        packet.fragment(0, random.chance(50))
    } else {
        packet
    }
}

fn tags(random: &mut Random, packet: Packet) -> Packet {
    let count = match random.below(40) {
        0 | 1 => 1,
        2 => 2,
        3 if random.chance(50) => 3 + random.index(3),
        _ => 0,
    };
    (0..count).fold(packet, |packet, _| {
        let tag = packet.vlan(random.pick(&[0, 1, 5, 4095]));
        if random.chance(50) {
            tag.with("tpid", 0x88a8)
        } else {
            tag
        }
    })
}

/// The family of the packet: one that the rule has prefixes of, most of the time.
fn family(random: &mut Random, sketch: &Sketch, rule: Option<&RuleSketch>) -> bool {
    let prefixes = rule.map_or_else(Vec::new, |rule| {
        let words: Vec<AddressWord> = rule.source.iter().chain(&rule.destination).cloned().collect();
        sketch.prefixes(&words)
    });
    let by_protocol = match rule.map(|rule| &rule.protocols[..]) {
        Some([1]) => Some(true),
        Some([58]) => Some(false),
        _ => None,
    };
    match by_protocol {
        Some(ipv4) if random.chance(80) => ipv4,
        _ if !prefixes.is_empty() && random.chance(90) => matches!(random.pick(&prefixes), IpNet::V4(_)),
        _ => random.chance(50),
    }
}

fn address(random: &mut Random, sketch: &Sketch, words: Option<&[AddressWord]>, ipv4: bool) -> IpAddr {
    let prefixes = sketch.prefixes(words.unwrap_or(&[]));
    if random.chance(2) {
        return special(random, ipv4);
    }
    let own: Vec<IpAddr> = sketch.host.iter().flatten().copied().collect();
    if !own.is_empty() && random.chance(4) {
        let host = random.pick(&own);
        return in_family(host, ipv4);
    }
    if !sketch.vpcs.is_empty() && random.chance(6) {
        let vpc = random.pick(&sketch.vpcs);
        let prefix = random.pick(&vpc.cidrs);
        return in_family(inside(random, &prefix), ipv4);
    }
    if prefixes.is_empty() || random.chance(10) {
        return if ipv4 {
            ipv4_address(random).into()
        } else {
            ipv6_address(random).into()
        };
    }
    let prefix = random.pick(&prefixes);
    let (first, last) = (prefix.network(), prefix.broadcast());
    let address = match random.below(10) {
        0..=2 => first,
        3..=5 => last,
        6 => step(first, false),
        7 => step(last, true),
        _ => inside(random, &prefix),
    };
    in_family(address, ipv4)
}

fn special(random: &mut Random, ipv4: bool) -> IpAddr {
    if ipv4 {
        let text = random.pick(&[
            "0.0.0.0",
            "0.255.255.255",
            "1.0.0.0",
            "126.255.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "128.0.0.0",
            "223.255.255.255",
            "224.0.0.0",
            "239.255.255.255",
            "255.255.255.255",
        ]);
        text.parse().expect("an address")
    } else {
        let text = random.pick(&[
            "::",
            "::1",
            "::2",
            "::ffff:127.0.0.1",
            "feff:ffff::",
            "ff00::",
            "ff02::1",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "1::1",
        ]);
        text.parse().expect("an address")
    }
}

/// The address itself, or its twin: the one of the other family whose first bytes, or whose last, are the same.
fn in_family(address: IpAddr, ipv4: bool) -> IpAddr {
    match address {
        IpAddr::V4(address) if !ipv4 => {
            let [a, b, c, d] = address.octets();
            if d % 2 == 0 {
                address.to_ipv6_mapped().into()
            } else {
                let mut octets = [0; 16];
                octets[..4].copy_from_slice(&[a, b, c, d]);
                Ipv6Addr::from(octets).into()
            }
        }
        IpAddr::V6(address) if ipv4 => {
            let [a, b, c, d, ..] = address.octets();
            address
                .to_ipv4_mapped()
                .unwrap_or_else(|| Ipv4Addr::new(a, b, c, d))
                .into()
        }
        address => address,
    }
}

fn step(address: IpAddr, up: bool) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let bits = address.to_bits();
            Ipv4Addr::from_bits(if up {
                bits.wrapping_add(1)
            } else {
                bits.wrapping_sub(1)
            })
            .into()
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            Ipv6Addr::from_bits(if up {
                bits.wrapping_add(1)
            } else {
                bits.wrapping_sub(1)
            })
            .into()
        }
    }
}

fn inside(random: &mut Random, prefix: &IpNet) -> IpAddr {
    let bits = u128::from(random.bits()) << 64 | u128::from(random.bits());
    match prefix {
        IpNet::V4(net) => {
            let [.., a, b, c, d] = bits.to_be_bytes();
            let host = u32::from_be_bytes([a, b, c, d]) & net.hostmask().to_bits();
            Ipv4Addr::from_bits(net.network().to_bits() | host).into()
        }
        IpNet::V6(net) => {
            Ipv6Addr::from_bits(net.network().to_bits() | bits & net.hostmask().to_bits()).into()
        }
    }
}

fn ipv4_extras(random: &mut Random, packet: Packet) -> Packet {
    let mut packet = packet;
    if random.chance(4) {
        packet = packet.with("options", random.pick(&[4, 8, 40]));
    }
    match random.below(40) {
        0 => packet = packet.with("flags", 1),
        1 => packet = packet.with("offset", random.pick(&[1, 1, 2, 0x1fff])),
        2 => packet = packet.with("flags", 1).with("offset", random.pick(&[1, 2, 185])),
        3 => packet = packet.with("flags", random.pick(&[2, 4, 6])),
        _ => {}
    }
    packet
}

fn ipv6_extras(random: &mut Random, packet: Packet) -> Packet {
    let count = match random.below(20) {
        0..=2 => 1 + random.index(3),
        3 => 7 + random.index(4),
        _ => 0,
    };
    (0..count).fold(packet, |packet, _| {
        let kind = random.pick(&[
            Kind::HopByHop,
            Kind::Routing,
            Kind::Routing,
            Kind::Fragment,
            Kind::Fragment,
            Kind::DestinationOptions,
            Kind::Mobility,
            Kind::Hip,
            Kind::Shim6,
        ]);
        let mut packet = packet.layer(kind);
        match kind {
            Kind::Fragment => {
                let offset = if random.chance(30) {
                    random.pick(&[1, 1, 2, 0x1fff])
                } else {
                    0
                };
                packet = packet.with("offset", offset).with("more", random.below(2));
                if random.chance(10) {
                    packet = packet.with("reserved", random.below(4));
                }
            }
            Kind::Routing if random.chance(20) => packet = packet.with("kind", 0),
            _ => {}
        }
        if kind != Kind::Fragment {
            packet = packet.with("size", random.pick(&[8, 8, 16, 24, 64]));
            if random.chance(3) {
                packet = packet.with("length", random.pick(&[0, 1, 2, 255]));
            }
        }
        packet
    })
}

fn upper(random: &mut Random, packet: Packet, rule: Option<&RuleSketch>, ipv4: bool) -> Packet {
    let wanted = rule.filter(|rule| !rule.protocols.is_empty() && random.chance(90));
    let protocol = match wanted {
        Some(rule) => random.pick(&rule.protocols),
        None => random.pick(&[1, 6, 6, 6, 17, 17, 17, 58, 132, 47, 50, 51, 59, 4, 41, 253, 255]),
    };
    let none: &[PortRange] = &[];
    let port = port(random, rule.map_or(none, |rule| &rule.ports));
    let source_port = match rule.map_or(none, |rule| &rule.source_ports) {
        [] => 40_000,
        ranges => self::port(random, ranges),
    };
    match protocol {
        6 => {
            let flags = flags(random, rule);
            let packet = packet
                .tcp(port)
                .with("source-port", source_port.into())
                .with("flags", flags.into());
            match random.below(20) {
                0 => packet.with("options", random.pick(&[4, 12, 40])),
                1 => packet.with("data-offset", random.below(16)),
                _ => packet,
            }
        }
        17 => packet.udp(port).with("source-port", source_port.into()),
        132 => packet.sctp(port).with("source-port", source_port.into()),
        1 | 58 => {
            let (kind, code) = message(random, rule);
            // Now and then the message of the other family, and its number with it.
            if (protocol == 1) == ipv4 || random.chance(50) {
                if protocol == 1 {
                    packet.icmp(kind, code)
                } else {
                    packet.icmpv6(kind, code)
                }
            } else if ipv4 {
                packet.icmp(kind, code)
            } else {
                packet.icmpv6(kind, code)
            }
        }
        other => {
            let field = match packet.layers().last().map(|layer| layer.kind()) {
                Some(Kind::Ipv4) => "protocol",
                _ => "next",
            };
            packet.with(field, other.into()).payload(random.index(24))
        }
    }
}

fn port(random: &mut Random, ranges: &[PortRange]) -> u16 {
    if ranges.is_empty() || random.chance(10) {
        let anything = random.word();
        return random.pick(&[0, 1, 53, 80, 443, 65535, anything]);
    }
    let range = random.pick(ranges);
    match random.below(8) {
        0..=2 => range.first,
        3..=5 => range.last,
        6 => range.first.wrapping_sub(1),
        _ => range.last.wrapping_add(1),
    }
}

fn flags(random: &mut Random, rule: Option<&RuleSketch>) -> u8 {
    let noise = random.byte();
    match rule.and_then(|rule| rule.tcp_flags) {
        Some(wanted) => {
            let met = (noise | wanted.set) & !wanted.clear;
            if random.chance(70) {
                met
            } else {
                met ^ 1 << random.below(8)
            }
        }
        None => random.pick(&[2, 0x12, 0x10, 0x18, 1, 4, noise]),
    }
}

fn message(random: &mut Random, rule: Option<&RuleSketch>) -> (u8, u8) {
    let code = random.byte() % 5;
    match rule.map(|rule| &rule.icmp[..]) {
        Some(messages) if !messages.is_empty() && random.chance(90) => {
            let wanted = random.pick(messages);
            let kind = if random.chance(90) {
                wanted.kind
            } else {
                wanted.kind.wrapping_add(1)
            };
            let wanted_code = wanted.code.unwrap_or(code);
            (
                kind,
                if random.chance(80) {
                    wanted_code
                } else {
                    wanted_code.wrapping_add(1)
                },
            )
        }
        _ => (random.pick(&[0, 3, 8, 128, 129, 135, 255]), code),
    }
}

/// The IP header says that the packet ends a few bytes into, or before, its upper header.
fn shorten(random: &mut Random, packet: Packet) -> Packet {
    let length = packet.bytes().len();
    let end = length - random.index(length.min(24));
    ending_at(packet, end)
}

/// The same frame with an IP header that says that the packet ends at `end`: what is behind is padding.
#[must_use]
pub fn ending_at(packet: Packet, end: usize) -> Packet {
    // The length field stands 2 bytes into IPv4 and 4 bytes into IPv6, behind the tags.
    let tags = packet
        .layers()
        .iter()
        .filter(|layer| layer.kind() == Kind::Vlan)
        .count();
    let start = 14 + 4 * tags;
    let (field, behind) = match packet.bytes().get(start).map(|byte| byte >> 4) {
        Some(4) => (start + 2, start),
        _ => (start + 4, start + 40),
    };
    let shorter = u16::try_from(end.saturating_sub(behind))
        .unwrap_or(0)
        .to_be_bytes();
    packet.set(field, shorter[0]).set(field + 1, shorter[1])
}

/// Damage: bytes flipped, fields off by one, the frame cut.
fn mutate(random: &mut Random, packet: Packet) -> Packet {
    let length = packet.bytes().len();
    let mut packet = packet;
    for _ in 0..1 + random.index(3) {
        let bytes = packet.bytes();
        packet = match random.below(8) {
            0..=2 => packet.cut(random.index(length + 1)),
            3 | 4 => {
                let at = 12 + random.index(length.saturating_sub(12).min(60));
                let byte = bytes.get(at).copied().unwrap_or(0);
                let byte = if random.chance(50) {
                    byte.wrapping_add(1)
                } else {
                    byte.wrapping_sub(1)
                };
                packet.set(at, byte)
            }
            _ => {
                let at = 12 + random.index(length.saturating_sub(12).min(60));
                packet.set(at, random.byte())
            }
        };
    }
    packet
}
