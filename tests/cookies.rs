//! Answers to SYNs, byte by byte: random SYNs, and those that are not answered.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use ravelin_datapath::SliceFrame;
use ravelin_datapath::cookie::{self, Cookie, LONGEST};
use ravelin_tests::cookies::checked;
use ravelin_tests::packet::{Kind, Packet, ether};
use ravelin_tests::random::{self, Random};

#[test]
fn an_answer_is_what_rfc_9293_asks_for_and_never_longer_than_the_syn() {
    let mut random = Random::new(random::seed());
    for _ in 0..20_000 {
        let syn = syn(&mut random).bytes();
        let cookie = Cookie {
            number: u32::try_from(random.bits() >> 32).expect("half of a word"),
            mss: random.pick(&[536, 1300, 1440, 1460, 1220, 8940]),
        };
        let segment = cookie::segment(&SliceFrame(&syn)).expect("a segment");
        // What an earlier answer has left there.
        let mut bytes = [0xff; LONGEST];
        let length = cookie::answer(&segment, cookie, &mut bytes);
        assert!(bytes[length..].iter().all(|byte| *byte == 0), "zeros behind it");
        let mut frame = [&syn[6..12], &syn[..6], &syn[12..segment.start]].concat();
        frame.extend(&bytes[..length]);
        assert_eq!(checked(&syn, &frame), cookie.number);
    }
}

#[test]
fn a_wrong_sum_is_seen() {
    let syn = syn(&mut Random::new(1)).bytes();
    let segment = cookie::segment(&SliceFrame(&syn)).expect("a segment");
    let mut bytes = [0; LONGEST];
    let length = cookie::answer(&segment, Cookie { number: 7, mss: 1460 }, &mut bytes);
    let mut frame = [&syn[6..12], &syn[..6], &syn[12..segment.start]].concat();
    frame.extend(&bytes[..length]);
    let at = frame.len() - 24 + 16;
    frame[at] ^= 1;
    assert!(std::panic::catch_unwind(|| checked(&syn, &frame)).is_err());
}

#[test]
fn other_headers_make_no_segment() {
    let plain = || ether().ipv4().tcp(443).with("flags", 2).with("options", 4);
    assert!(cookie::segment(&SliceFrame(&plain().bytes())).is_some());
    let others = [
        ether().ipv4().with("options", 4).tcp(443).bytes(),
        ether().ipv4().with("flags", 1).tcp(443).bytes(),
        ether().ipv4().with("offset", 2).tcp(443).bytes(),
        ether().ipv4().udp(443).payload(20).bytes(),
        ether().ipv6().layer(Kind::HopByHop).tcp(443).bytes(),
        ether().ipv6().fragment(0, true).tcp(443).bytes(),
        plain().cut(53).bytes(),
    ];
    for frame in others {
        assert_eq!(cookie::segment(&SliceFrame(&frame)), None, "{frame:02x?}");
    }
}

fn syn(random: &mut Random) -> Packet {
    let mut packet = ether();
    for _ in 0..random.below(3) {
        packet = packet.vlan(5);
    }
    let (from, to) = (random.bits(), random.bits());
    let packet = if random.chance(50) {
        let address = |bits: u64| u32::try_from(bits >> 32).expect("half of a word").to_be_bytes();
        packet
            .ipv4()
            .source(std::net::IpAddr::from(address(from)))
            .destination(std::net::IpAddr::from(address(to)))
    } else {
        let address = |bits: u64| (u128::from(bits) << 64 | u128::from(bits.rotate_left(9))).to_be_bytes();
        packet
            .ipv6()
            .source(std::net::IpAddr::from(address(from)))
            .destination(std::net::IpAddr::from(address(to)))
    };
    packet
        .tcp(random.word())
        .with("source-port", random.word().into())
        .with("sequence", random.bits() >> 32)
        .with("flags", 2)
        .with("options", random.pick(&[4, 8, 20, 40]))
}
