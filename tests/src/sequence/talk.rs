//! Two ends that talk: what they send when they behave, and what somebody else sends in their name.

use std::net::IpAddr;

use ravelin_rules::Direction;

use super::cookies::cookie;
use crate::packet::{self, Packet, ether};
use crate::random::Random;

/// The host's addresses.
pub(super) const HOST: [&str; 2] = ["203.0.113.9", "2001:db8:1::9"];
/// Those of others, IPv4 and IPv6 by turns.
pub(super) const REMOTES: [&str; 4] = ["198.51.100.7", "2001:db8:2::7", "198.51.100.8", "2001:db8:2::8"];
/// The ports that anybody uses.
pub(super) const PORTS: [u16; 3] = [443, 53, 40_000];

const FIN: u64 = 1;
const SYN: u64 = 2;
const RST: u64 = 4;
const PSH: u64 = 8;
const ACK: u64 = 16;

#[derive(Clone, Debug)]
pub(super) struct Talk {
    remote: &'static str,
    kind: Kind,
    /// Who began.
    opener: Direction,
    local_port: u16,
    remote_port: u16,
    /// How many packets it has behaved for.
    step: usize,
    /// The next sequence numbers: of the host, and of the other one.
    next: [u32; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tcp,
    Udp,
    Sctp,
    Echo,
    Message,
    Other,
    Fragments,
    Syns,
}

impl Talk {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            remote: random.pick(&REMOTES),
            kind: random.pick(&[
                Kind::Tcp,
                Kind::Tcp,
                Kind::Tcp,
                Kind::Tcp,
                Kind::Tcp,
                Kind::Tcp,
                Kind::Tcp,
                Kind::Udp,
                Kind::Udp,
                Kind::Sctp,
                Kind::Echo,
                Kind::Echo,
                Kind::Message,
                Kind::Other,
                Kind::Fragments,
                Kind::Fragments,
                Kind::Syns,
                Kind::Syns,
            ]),
            opener: direction(random.chance(60)),
            local_port: random.pick(&PORTS),
            remote_port: random.pick(&PORTS),
            step: 0,
            // Near the end of the circle, often enough.
            next: [start(random), start(random)],
        }
    }

    pub(super) fn next(&mut self, random: &mut Random) -> (Direction, Packet) {
        if random.chance(6) {
            return self.error(random);
        }
        if random.chance(3) {
            // Somebody uses the same ports again.
            self.step = 0;
            self.opener = direction(random.chance(50));
            self.next = [start(random), start(random)];
        }
        match self.kind {
            Kind::Tcp => self.segment(random),
            Kind::Udp => self.simple(random, |ip, from, to| {
                ip.udp(to).with("source-port", from.into()).payload(9)
            }),
            Kind::Sctp => self.simple(random, |ip, from, to| {
                ip.sctp(to).with("source-port", from.into()).payload(9)
            }),
            Kind::Echo => self.echo(random),
            Kind::Message => {
                let going = direction(random.chance(50));
                let code = u8::from(random.chance(30));
                let kind = random.pick(&[0, 3, 8, 11, 13, 14, 128, 129, 1]);
                let packet = self.message(going, kind, code, random.chance(50).into());
                (going, packet)
            }
            Kind::Fragments => self.fragment(random),
            Kind::Syns => {
                // Whoever it says it is: the other end, or somebody near it.
                let near = random.pick(&[0, 0, 1, 12]);
                let going = Direction::Inbound;
                let source = match self.remote.parse().expect("an address") {
                    IpAddr::V4(address) => IpAddr::from((address.to_bits() ^ near).to_be_bytes()),
                    IpAddr::V6(address) => {
                        IpAddr::from((address.to_bits() ^ u128::from(near) << 62).to_be_bytes())
                    }
                };
                let packet = self.ip(going).source(source).tcp(self.local_port);
                let port = random.word().into();
                let packet = packet.with("source-port", port).with("flags", SYN);
                let options = random.pick(&[0, 4, 4, 8]);
                (going, packet.with("options", options))
            }
            Kind::Other => {
                let going = self.turn(random);
                let fragment = random.chance(10);
                let mut packet = self.ip(going);
                if fragment {
                    packet = packet.with("length", 0);
                }
                let next = if self.is_v6() { "next" } else { "protocol" };
                (going, packet.with(next, random.pick(&[47, 50, 253])).payload(16))
            }
        }
    }

    /// Mostly the next packet of a connection that lives and ends; else one that is a little or entirely wrong.
    fn segment(&mut self, random: &mut Random) -> (Direction, Packet) {
        let (opener, other) = (self.opener, opposite(self.opener));
        if random.chance(70) {
            let data = u32::from(random.chance(50)) * 100;
            let ending = 6 + random.index(20);
            if self.opener == Direction::Inbound && self.step == 0 && random.chance(80) {
                // The host's number is a cookie, whether the host or its firewall will say it.
                let [from, to] = [(self.remote, self.remote_port), (self.local(), self.local_port)]
                    .map(|(address, port)| (address.parse::<IpAddr>().expect("an address"), port).into());
                self.next[0] = cookie(from, to, self.next[1]);
            }
            if self.opener == Direction::Inbound && self.step == 1 && random.chance(40) {
                // The firewall has said it, and this host's program for what goes out has not seen it.
                self.step = 2;
                self.next[0] = self.next[0].wrapping_add(1);
            }
            let (going, flags, payload) = match self.step {
                0 => (opener, SYN, 0),
                1 => (other, SYN | ACK, 0),
                2 => (opener, ACK, 0),
                step if step < ending => (direction(random.chance(50)), ACK | PSH, data),
                step if step < ending + 2 => (direction(random.chance(50)), ACK | FIN, 0),
                _ => (
                    direction(random.chance(50)),
                    random.pick(&[ACK, ACK | FIN, RST, RST | ACK]),
                    0,
                ),
            };
            self.step += 1;
            let at = usize::from(going == Direction::Inbound);
            let (sequence, acknowledged) = (self.next[at], self.next[1 - at]);
            let used = payload + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
            self.next[at] = sequence.wrapping_add(used);
            // What is lost on the way is sent again.
            if random.chance(5) {
                self.step -= 1;
                self.next[at] = sequence;
            }
            return (going, self.tcp(going, flags, sequence, acknowledged, payload));
        }
        if self.step == 2 && random.chance(30) {
            // What would complete the handshake, but for one flag.
            let (at, flags) = (
                usize::from(opener == Direction::Inbound),
                random.pick(&[SYN | ACK, ACK | RST, 0]),
            );
            return (
                opener,
                self.tcp(opener, flags, self.next[at], self.next[1 - at], 0),
            );
        }
        let going = direction(random.chance(30));
        let at = usize::from(going == Direction::Inbound);
        let flags = random.pick(&[
            SYN,
            SYN | ACK,
            ACK,
            FIN | ACK,
            RST,
            RST | ACK,
            FIN,
            0,
            255,
            SYN | RST,
            SYN | FIN,
        ]);
        let mut near = |number: u32| match random.below(6) {
            0 => number.wrapping_sub(1),
            1 => number.wrapping_add(1),
            2 | 3 => number,
            // The other side of the circle, and right before it.
            4 => number.wrapping_add((1 << 31) - u32::from(random.chance(50))),
            _ => u32::from(random.word()) << 16,
        };
        let (sequence, acknowledged) = (near(self.next[at]), near(self.next[1 - at]));
        let payload = random.pick(&[0, 1, 1400]);
        (going, self.tcp(going, flags, sequence, acknowledged, payload))
    }

    /// An ICMP error about a packet of this conversation, or about something that is a little or entirely another one.
    fn error(&self, random: &mut Random) -> (Direction, Packet) {
        let going = direction(random.chance(15));
        let about = match going {
            _ if random.chance(8) => going,
            going => opposite(going),
        };
        let v6 = self.is_v6();
        let (from, to) = self.ports(about);
        let other = |random: &mut Random| REMOTES[2 * random.index(2) + usize::from(v6)];
        let near = |random: &mut Random, port: u16| if random.chance(6) { port ^ 1 } else { port };
        let (from, to) = (near(random, from), near(random, to));
        let quoted = self.ip(about);
        let quoted = match random.below(20) {
            0 => quoted.source(other(random)),
            1 => quoted.destination(other(random)),
            2 if v6 => quoted.fragment(0, true).with("id", 1),
            3 if v6 => quoted.fragment(1, true).with("id", 1),
            4 if v6 => quoted.layer(packet::Kind::HopByHop),
            2 => quoted.with("flags", 1),
            3 => quoted.with("offset", 1),
            4 => quoted.with("options", 1),
            _ => quoted,
        };
        let quoted = match self.kind {
            Kind::Tcp | Kind::Syns => quoted.tcp(to).with("source-port", from.into()),
            Kind::Udp | Kind::Fragments => quoted.udp(to).with("source-port", from.into()).payload(8),
            Kind::Sctp => quoted.sctp(to).with("source-port", from.into()),
            Kind::Echo | Kind::Message => {
                let identifier = u64::from(near(random, self.local_port)) << 16;
                let message = if v6 {
                    quoted.icmpv6(random.pick(&[128, 128, 129, 130]), 0)
                } else {
                    quoted.icmp(random.pick(&[8, 8, 0, 13]), 0)
                };
                message.with("rest", identifier)
            }
            Kind::Other => quoted
                .with(if v6 { "next" } else { "protocol" }, random.pick(&[47, 50, 253]))
                .payload(16),
        };
        // Without its Ethernet header; errors quote as much as they like, and forged ones less than a header.
        let mut quotation = quoted.bytes().split_off(14);
        if random.chance(15) {
            quotation.truncate(random.index(quotation.len() + 1));
        } else if random.chance(30) {
            quotation.truncate(if v6 { 48 } else { 28 });
        }
        if random.chance(3)
            && let Some(first) = quotation.first_mut()
        {
            *first = random.byte();
        }
        let router = self.ip(going);
        let router = match going {
            Direction::Inbound if random.chance(40) => router.source(other(random)),
            Direction::Inbound if random.chance(4) => {
                router.destination(if v6 { "2001:db8:1::8" } else { "203.0.113.8" })
            }
            _ => router,
        };
        let error = if v6 {
            let router = if random.chance(5) {
                router.fragment(0, random.chance(50))
            } else {
                router
            };
            router.icmpv6(random.pick(&[1, 2, 3, 4]), 0)
        } else {
            let router = if random.chance(5) {
                router.with("flags", 1)
            } else {
                router
            };
            router.icmp(random.pick(&[3, 3, 11, 12]), 0)
        };
        (going, error.carrying(&quotation))
    }

    /// A part of one of a few datagrams: mostly in order, sometimes where another part is already.
    fn fragment(&mut self, random: &mut Random) -> (Direction, Packet) {
        let going = self.turn(random);
        let (from, to) = self.ports(going);
        let id = 1 + random.below(2);
        let first = random.chance(40);
        let offset = if first {
            0
        } else {
            random.pick(&[1, 2, 12, 13, 25, 1000])
        };
        let more = first || random.chance(50);
        let ip = self.ip(going);
        let ip = if self.is_v6() {
            let v6 = ip.fragment(u16::try_from(offset).expect("13 bits"), more);
            let v6 = v6.with("id", id);
            if first { v6 } else { v6.with("next", 17) }
        } else {
            let v4 = ip
                .with("id", id)
                .with("offset", offset)
                .with("flags", more.into());
            if first { v4 } else { v4.with("protocol", 17) }
        };
        let packet = if first {
            let udp = ip.udp(to).with("source-port", from.into());
            udp.payload(random.pick(&[8, 92, 96, 100]))
        } else {
            ip.payload(random.pick(&[8, 100]))
        };
        (
            going,
            if first && random.chance(10) {
                packet.cut(56)
            } else {
                packet
            },
        )
    }

    fn tcp(&self, going: Direction, flags: u64, sequence: u32, acknowledged: u32, payload: u32) -> Packet {
        let (from, to) = self.ports(going);
        let acknowledged = if flags & ACK == 0 { 0 } else { acknowledged };
        // Nearly every SYN has options.
        let options = if flags & SYN != 0 && !sequence.is_multiple_of(8) {
            4
        } else {
            0
        };
        self.ip(going)
            .tcp(to)
            .with("source-port", from.into())
            .with("flags", flags)
            .with("sequence", sequence.into())
            .with("options", options)
            .with("acknowledgement", acknowledged.into())
            .payload(usize::try_from(payload).expect("it fits"))
    }

    fn simple(&self, random: &mut Random, make: impl Fn(Packet, u16, u16) -> Packet) -> (Direction, Packet) {
        let going = self.turn(random);
        let (from, to) = self.ports(going);
        (going, make(self.ip(going), from, to))
    }

    fn echo(&self, random: &mut Random) -> (Direction, Packet) {
        let going = self.turn(random);
        let asks = (going == self.opener) != random.chance(10);
        let kind = match (self.is_v6(), asks) {
            (false, true) => 8,
            (false, false) => 0,
            (true, true) => 128,
            (true, false) => 129,
        };
        (going, self.message(going, kind, 0, self.local_port))
    }

    fn message(&self, going: Direction, kind: u8, code: u8, identifier: u16) -> Packet {
        let ip = self.ip(going);
        let message = if self.is_v6() {
            ip.icmpv6(kind, code)
        } else {
            ip.icmp(kind, code)
        };
        message.with("rest", u64::from(identifier) << 16)
    }

    /// The opener more often than the other.
    fn turn(&self, random: &mut Random) -> Direction {
        if random.chance(60) {
            self.opener
        } else {
            opposite(self.opener)
        }
    }

    fn local(&self) -> &'static str {
        HOST[usize::from(self.is_v6())]
    }

    fn ip(&self, going: Direction) -> Packet {
        let local = self.local();
        let (from, to) = match going {
            Direction::Inbound => (self.remote, local),
            Direction::Outbound => (local, self.remote),
        };
        let packet = if self.is_v6() {
            ether().ipv6()
        } else {
            ether().ipv4()
        };
        packet.source(from).destination(to)
    }

    fn ports(&self, going: Direction) -> (u16, u16) {
        match going {
            Direction::Inbound => (self.remote_port, self.local_port),
            Direction::Outbound => (self.local_port, self.remote_port),
        }
    }

    fn is_v6(&self) -> bool {
        self.remote.parse::<IpAddr>().expect("an address").is_ipv6()
    }
}

fn direction(outbound: bool) -> Direction {
    if outbound {
        Direction::Outbound
    } else {
        Direction::Inbound
    }
}

fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Inbound => Direction::Outbound,
        Direction::Outbound => Direction::Inbound,
    }
}

fn start(random: &mut Random) -> u32 {
    if random.chance(40) {
        u32::MAX - u32::from(random.byte())
    } else {
        u32::from(random.word()) << 16
    }
}
