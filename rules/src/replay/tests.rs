//! Captures made here, byte by byte, and what becomes of them.

#![expect(clippy::cast_possible_truncation, reason = "captures of a few bytes")]

use proptest::prelude::*;

use super::*;
use crate::explain::Way;
use crate::{Direction, HostFacts, Policy, TableImage, load_text};

/// A frame: UDP from 192.0.2.1 to 198.51.100.1, port 53.
fn packet() -> Vec<u8> {
    let mut bytes = vec![
        0x45, 0, 0, 36, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1,
    ];
    bytes.extend([0x9c, 0x40, 0, 53, 0, 16, 0, 0]);
    bytes.extend([7; 8]);
    bytes
}

fn ethernet(packet: &[u8]) -> Vec<u8> {
    [&[0; 12][..], &[0x08, 0x00], packet].concat()
}

type Word = fn(u32) -> [u8; 4];

fn pcap(word: Word, magic: u32, link: u32, packets: &[(&[u8], usize)]) -> Vec<u8> {
    let mut file = word(magic).to_vec();
    // Version 2.4: two halves, the order of which depends on the order of bytes.
    file.extend(if word(1)[0] == 1 {
        [2, 0, 4, 0]
    } else {
        [0, 2, 0, 4]
    });
    for field in [0, 0, 65_535, link] {
        file.extend(word(field));
    }
    for (bytes, length) in packets {
        for field in [1, 2, bytes.len() as u32, *length as u32] {
            file.extend(word(field));
        }
        file.extend(*bytes);
    }
    file
}

fn block(word: Word, kind: u32, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let length = word(body.len() as u32 + 12);
    [&word(kind)[..], &length, &body, &length].concat()
}

fn section(word: Word) -> Vec<u8> {
    let version = if word(1)[0] == 1 {
        [1, 0, 0, 0]
    } else {
        [0, 1, 0, 0]
    };
    block(
        word,
        0x0a0d_0d0a,
        &[&word(0x1a2b_3c4d)[..], &version, &[0xff; 8]].concat(),
    )
}

fn interface(word: Word, link: u16, snap: u32) -> Vec<u8> {
    let link = if word(1)[0] == 1 {
        link.to_le_bytes()
    } else {
        link.to_be_bytes()
    };
    block(word, 1, &[&link[..], &[0, 0], &word(snap)].concat())
}

fn enhanced(word: Word, interface: u32, bytes: &[u8], length: usize) -> Vec<u8> {
    let fields = [interface, 0, 0, bytes.len() as u32, length as u32]
        .map(word)
        .concat();
    block(word, 6, &[&fields[..], bytes].concat())
}

/// Link type, bytes, and the length on the wire.
type Seen = (u16, Vec<u8>, usize);

fn seen(file: &[u8]) -> (Vec<Seen>, Result<(), CaptureError>) {
    let mut packets = Vec::new();
    let result = read(file, |packet| {
        packets.push((packet.link, packet.bytes.to_vec(), packet.length));
    });
    (packets, result)
}

const ORDERS: [Word; 2] = [u32::to_le_bytes, u32::to_be_bytes];

#[test]
fn both_formats_are_read_in_both_orders_of_bytes() {
    let frame = ethernet(&packet());
    for word in ORDERS {
        for magic in [0xa1b2_c3d4, 0xa1b2_3c4d] {
            let file = pcap(
                word,
                magic,
                1,
                &[(&frame, frame.len()), (&frame[..20], frame.len())],
            );
            let (packets, result) = seen(&file);
            result.unwrap();
            assert_eq!(
                packets,
                [
                    (1, frame.clone(), frame.len()),
                    (1, frame[..20].to_vec(), frame.len())
                ]
            );
        }
        let simple = block(word, 3, &[&word(frame.len() as u32)[..], &frame[..20]].concat());
        let file = [
            section(word),
            interface(word, 1, 20),
            interface(word, 101, 0),
            enhanced(word, 1, &packet(), 36),
            block(word, 0x7777, b"whatever"),
            simple,
            section(word),
            interface(word, 113, 0),
            enhanced(word, 0, &frame, frame.len()),
        ]
        .concat();
        let (packets, result) = seen(&file);
        result.unwrap();
        assert_eq!(
            packets,
            [
                (101, packet(), 36),
                (1, frame[..20].to_vec(), frame.len()),
                (113, frame.clone(), frame.len())
            ]
        );
    }
}

#[test]
fn what_stands_before_a_damage_is_read_and_the_place_is_told() {
    let word: Word = u32::to_le_bytes;
    let frame = ethernet(&packet());
    let good = [
        section(word),
        interface(word, 1, 0),
        enhanced(word, 0, &frame, frame.len()),
    ]
    .concat();
    let of_no_interface = [&good[..], &enhanced(word, 9, &frame, frame.len())].concat();
    let (packets, result) = seen(&of_no_interface);
    assert_eq!(packets.len(), 1);
    let text = result.unwrap_err().to_string();
    assert!(
        text.contains("interface 9") && text.contains(&good.len().to_string()),
        "{text}"
    );

    let cut = [&good[..], &enhanced(word, 0, &frame, frame.len())[..30]].concat();
    let (packets, result) = seen(&cut);
    assert_eq!(packets.len(), 1);
    assert!(
        matches!(result, Err(CaptureError::CutOff { at }) if at == good.len() as u64),
        "{result:?}"
    );

    let mut damaged = [&good[..], &enhanced(word, 0, &frame, frame.len())].concat();
    let last = damaged.len() - 4;
    damaged[last] ^= 0xff;
    let (packets, result) = seen(&damaged);
    assert_eq!(packets.len(), 1);
    assert!(
        matches!(result, Err(CaptureError::Damaged { at }) if at == good.len() as u64),
        "{result:?}"
    );

    let huge = [&good[..], &[6, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0]].concat();
    assert!(matches!(
        seen(&huge).1,
        Err(CaptureError::TooLarge { .. } | CaptureError::CutOff { .. })
    ));
    assert!(matches!(seen(b"[firewall]\n").1, Err(CaptureError::NotACapture)));
    assert!(matches!(seen(b"").1, Err(CaptureError::NotACapture)));
}

#[test]
fn a_long_block_without_packets_is_passed_over() {
    let word: Word = u32::to_le_bytes;
    let frame = ethernet(&packet());
    let comment = block(word, 0x0bad, &vec![1; 5 << 20]);
    let file = [
        section(word),
        interface(word, 1, 0),
        comment,
        enhanced(word, 0, &frame, frame.len()),
    ]
    .concat();
    let (packets, result) = seen(&file);
    result.unwrap();
    assert_eq!(packets.len(), 1);
}

const POLICY: &str = r#"
[firewall]
stateful = false
[[rule]]
name = "dns"
action = "allow"
protocol = "udp"
ports = [53]
"#;

fn judged(text: &str, against: Option<&str>, file: &[u8]) -> Summary {
    let policies: Vec<Policy> = [Some(text), against]
        .into_iter()
        .flatten()
        .map(|text| load_text(text).unwrap().policy)
        .collect();
    let host = HostFacts::assumed(&policies[0], &[]);
    let images: Vec<TableImage> = policies
        .iter()
        .map(|policy| TableImage::compile(policy, &host, Direction::Inbound).unwrap())
        .collect();
    let judges: Vec<Judge<'_>> = policies
        .iter()
        .zip(&images)
        .map(|(policy, image)| Judge {
            policy,
            host: &host,
            image,
            way: Way::default(),
        })
        .collect();
    let (summary, result) = replay(file, judges[0], judges.get(1).copied());
    result.unwrap();
    summary
}

#[test]
fn every_kind_of_link_leads_to_the_same_packet() {
    let packet = packet();
    let sll = [&[0; 14][..], &[0x08, 0x00], &packet].concat();
    let sll2 = [&[0x08, 0x00][..], &[0; 18], &packet].concat();
    let null = [&2_u32.to_ne_bytes()[..], &packet].concat();
    let loopback = [&[0, 0, 0, 2][..], &packet].concat();
    for (link, bytes) in [
        (1, ethernet(&packet)),
        (12, packet.clone()),
        (14, packet.clone()),
        (101, packet.clone()),
        (228, packet.clone()),
        (113, sll),
        (276, sll2),
        (0, null),
        (108, loopback),
    ] {
        let file = pcap(u32::to_le_bytes, 0xa1b2_c3d4, link, &[(&bytes, bytes.len())]);
        let summary = judged(POLICY, None, &file);
        assert_eq!(
            (summary.allowed.packets, summary.rules[0].decided.packets),
            (1, 1),
            "{link}"
        );
        assert_eq!((summary.sampled, summary.disagreements), (1, 0), "{link}");
    }
    let file = pcap(u32::to_le_bytes, 0xa1b2_c3d4, 147, &[(&packet, packet.len())]);
    let summary = judged(POLICY, None, &file);
    assert_eq!(summary.unknown_links.get(&147), Some(&1));
    assert!(summary.to_string().contains("link type 147"));
}

#[test]
fn a_snapped_packet_is_judged_as_the_whole_one_or_not_at_all() {
    let frame = ethernet(&packet());
    let whole = judged(
        POLICY,
        None,
        &pcap(u32::to_le_bytes, 0xa1b2_c3d4, 1, &[(&frame, frame.len())]),
    );
    for kept in 0..frame.len() {
        let file = pcap(u32::to_le_bytes, 0xa1b2_c3d4, 1, &[(&frame[..kept], frame.len())]);
        let summary = judged(POLICY, None, &file);
        assert_eq!(summary.snapped.packets, 1);
        // Ports are looked at, what is behind the UDP header is not.
        let enough = kept >= 14 + 20 + 8;
        assert_eq!(summary.too_short.packets, u64::from(!enough), "{kept} bytes");
        if enough {
            assert_eq!((summary.allowed, summary.disagreements), (whole.allowed, 0));
        }
    }
}

#[test]
fn flows_that_are_judged_otherwise_are_told() {
    let frame = ethernet(&packet());
    let file = pcap(
        u32::to_le_bytes,
        0xa1b2_c3d4,
        1,
        &[(&frame, frame.len()), (&frame, frame.len())],
    );
    let same = judged(POLICY, Some(POLICY), &file);
    assert_eq!(same.changed.unwrap().packets(), 0);
    let closed = "[firewall]\nstateful = false\n";
    let summary = judged(POLICY, Some(closed), &file);
    let text = summary.to_string();
    assert!(
        text.contains("2 packets of 1 flows")
            && text.contains("udp 192.0.2.1:40000 > 198.51.100.1:53")
            && text.contains("was denied by default, is allowed by `dns`"),
        "{text}"
    );
}

#[test]
fn a_policy_that_keeps_flows_is_said_to_judge_each_packet_alone() {
    let frame = ethernet(&packet());
    let file = pcap(u32::to_le_bytes, 0xa1b2_c3d4, 1, &[(&frame, frame.len())]);
    for (stateful, said) in [(true, 1), (false, 0)] {
        let policy = POLICY.replace("stateful = false", &format!("stateful = {stateful}"));
        let text = judged(&policy, None, &file).to_string();
        assert_eq!(
            text.matches("each packet was judged alone").count(),
            said,
            "{text}"
        );
    }
}

#[test]
fn a_policy_that_limits_something_is_said_not_to_be_asked_for_it() {
    let frame = ethernet(&packet());
    let file = pcap(u32::to_le_bytes, 0xa1b2_c3d4, 1, &[(&frame, frame.len())]);
    for (flood, said) in [("[flood]\nsyn_budget = { rate = \"1/s\" }\n", 1), ("", 0)] {
        let text = judged(&format!("{flood}{POLICY}"), None, &file).to_string();
        assert_eq!(text.matches("limits were not asked").count(), said, "{text}");
    }
}

#[test]
fn flows_beyond_the_bound_are_counted_all_the_same() {
    let mut flows = Flows::default();
    let was = crate::diff::Outcome {
        verdict: Verdict::Deny,
        who: crate::diff::Who::Default,
    };
    let is = crate::diff::Outcome {
        verdict: Verdict::Allow,
        ..was.clone()
    };
    for number in 0..150_000_u32 {
        let facts = reference::Facts {
            in_parts: false,
            quoted: None,
            source: std::net::Ipv4Addr::from_bits(number).into(),
            destination: std::net::Ipv4Addr::LOCALHOST.into(),
            protocol: 6,
            hop_limit: 1,
            upper: None,
        };
        flows.add(Flow::of(Some(&facts)), &was, &is);
    }
    let text = flows.to_string();
    assert!(
        text.starts_with("150000 packets of 100000 flows and more"),
        "{text}"
    );
    assert_eq!(flows.to_json()["packets_of_flows_left_out"], 50_000);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = seen(&bytes);
        let _ = seen(&[section(u32::to_le_bytes), bytes.clone()].concat());
        let _ = seen(&[pcap(u32::to_be_bytes, 0xa1b2_c3d4, 1, &[]), bytes].concat());
    }

    #[test]
    fn a_damaged_capture_is_read_or_refused(at in 0..400_usize, byte in any::<u8>(), end in 0..400_usize) {
        let frame = ethernet(&packet());
        for word in ORDERS {
            let mut file = [
                section(word),
                interface(word, 1, 0),
                enhanced(word, 0, &frame, frame.len()),
                enhanced(word, 0, &frame, frame.len()),
                section(word),
            ]
            .concat();
            let at = at % file.len();
            file[at] = byte;
            file.truncate(end.max(28));
            let (packets, _) = seen(&file);
            prop_assert!(packets.len() <= 2);
        }
    }
}
