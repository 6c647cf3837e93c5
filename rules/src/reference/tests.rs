//! The sentences of `docs/semantics.md` that are easiest to get wrong. The broad tables of rows are in the `tests` package.

use ipnet::IpNet;

use super::*;
use crate::policy::rule::{IcmpMatch, Place, Protocols, Rule};
use crate::policy::{Action, RuleName};

const TCP: u8 = 6;
const UDP: u8 = 17;

fn policy(rules: Vec<Rule>) -> Policy {
    Policy {
        rules,
        ..Policy::default()
    }
}

fn with_class(mut policy: Policy, class: ParseClass, verdict: ClassVerdict) -> Policy {
    policy.firewall.classes = policy.firewall.classes.with(class, verdict);
    policy
}

fn allow_protocol(number: u8) -> Rule {
    Rule {
        protocols: Protocols::Only(vec![number]),
        ..Rule::new(
            RuleName::parse("allow-protocol").unwrap(),
            Action::Allow,
            Place::default(),
        )
    }
}

/// 192.0.2.1 → 203.0.113.9; `fragment` is the word of flags and offset.
fn ipv4(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00, 0x45, 0]);
    frame.extend(u16::try_from(20 + payload.len()).unwrap().to_be_bytes());
    frame.extend([0, 1]);
    frame.extend(fragment.to_be_bytes());
    frame.extend([64, protocol, 0, 0, 192, 0, 2, 1, 203, 0, 113, 9]);
    frame.extend(payload);
    frame
}

/// 2001:db8::1 → 2001:db8::2.
fn ipv6(next_header: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    frame.extend([next_header, hop_limit]);
    for last in [1, 2] {
        frame.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    frame.extend(payload);
    frame
}

fn tcp(data_offset: u8) -> [u8; 20] {
    let mut header = [0; 20];
    header[3] = 80;
    header[12] = data_offset << 4;
    header
}

#[track_caller]
fn assert_decides(policy: &Policy, frame: &[u8], verdict: Verdict, reason: Reason, seen: &[ParseClass]) {
    let decision = judge(
        policy,
        &HostFacts::default(),
        Direction::Inbound,
        Origin::default(),
        frame,
    );
    let seen = seen
        .iter()
        .fold(ClassSet::default(), |set, class| set.with(*class));
    assert_eq!(
        (decision.verdict, decision.reason, decision.seen),
        (verdict, reason, seen)
    );
    assert_eq!(decision.rule.is_some(), decision.reason == Reason::Rule);
}

#[test]
fn the_third_tag_is_not_read_so_it_need_not_be_there() {
    let mut frame = vec![0; 12];
    frame.extend([0x81, 0x00, 0, 1, 0x88, 0xa8, 0, 2, 0x81, 0x00]);
    assert_decides(
        &policy(vec![]),
        &frame,
        Verdict::Deny,
        Reason::VlanDepth,
        &[ParseClass::VlanDepth],
    );
}

#[test]
fn a_second_tag_that_is_cut_off_is_truncated_and_the_first_is_not_seen() {
    let mut frame = vec![0; 12];
    frame.extend([0x81, 0x00, 0, 1, 0x81, 0x00, 0, 2, 0x08]);
    assert_decides(
        &policy(vec![]),
        &frame,
        Verdict::Deny,
        Reason::Truncated,
        &[ParseClass::Truncated],
    );
}

#[test]
fn padding_behind_the_total_length_does_not_lend_bytes_to_the_upper_header() {
    let mut frame = ipv4(UDP, 0, &[0; 7]);
    frame.extend([0; 40]);
    assert_decides(
        &policy(vec![allow_protocol(UDP)]),
        &frame,
        Verdict::Deny,
        Reason::Truncated,
        &[ParseClass::Truncated],
    );
}

#[test]
fn a_later_tcp_fragment_at_offset_one_is_tiny_then_later_then_an_orphan() {
    let all = with_class(policy(vec![]), ParseClass::FragmentTiny, ClassVerdict::Judge);
    assert_decides(
        &all,
        &ipv4(TCP, 1, &[0; 8]),
        Verdict::Deny,
        Reason::FragmentOrphan,
        &[
            ParseClass::FragmentTiny,
            ParseClass::FragmentLater,
            ParseClass::FragmentOrphan,
        ],
    );
}

#[test]
fn fragment_later_is_judged_even_if_a_policy_says_deny() {
    let policy = with_class(
        with_class(
            policy(vec![allow_protocol(UDP)]),
            ParseClass::FragmentLater,
            ClassVerdict::Deny,
        ),
        ParseClass::FragmentOrphan,
        ClassVerdict::Judge,
    );
    assert_decides(
        &policy,
        &ipv4(UDP, 0x2002, &[0; 8]),
        Verdict::Allow,
        Reason::Rule,
        &[ParseClass::FragmentLater, ParseClass::FragmentOrphan],
    );
}

#[test]
fn a_data_offset_behind_the_end_is_tiny_in_a_first_fragment_and_malformed_elsewhere() {
    assert_decides(
        &policy(vec![]),
        &ipv4(TCP, 0x2000, &tcp(6)),
        Verdict::Deny,
        Reason::FragmentTiny,
        &[ParseClass::FragmentFirst, ParseClass::FragmentTiny],
    );
    assert_decides(
        &policy(vec![]),
        &ipv4(TCP, 0, &tcp(6)),
        Verdict::Deny,
        Reason::BadHeaderLength,
        &[ParseClass::BadHeaderLength],
    );
    assert_decides(
        &policy(vec![]),
        &ipv4(TCP, 0x2000, &tcp(4)),
        Verdict::Deny,
        Reason::BadHeaderLength,
        &[ParseClass::FragmentFirst, ParseClass::BadHeaderLength],
    );
}

#[test]
fn an_extension_header_cut_off_in_a_first_fragment_is_the_protocol_that_rules_see() {
    let policy = with_class(
        policy(vec![allow_protocol(60)]),
        ParseClass::FragmentTiny,
        ClassVerdict::Judge,
    );
    let fragment_then_half_an_option = [60, 0, 0, 1, 0, 0, 0, 7, TCP, 1, 0, 0, 0, 0, 0, 0];
    assert_decides(
        &policy,
        &ipv6(44, 64, &fragment_then_half_an_option),
        Verdict::Allow,
        Reason::Rule,
        &[ParseClass::FragmentFirst, ParseClass::FragmentTiny],
    );
}

#[test]
fn eight_extension_headers_are_read_and_a_ninth_is_not() {
    let chain = |count: usize| {
        let mut bytes: Vec<u8> = (1..count).flat_map(|_| [60, 0, 0, 0, 0, 0, 0, 0]).collect();
        bytes.extend([UDP, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([0; 8]);
        bytes
    };
    assert_decides(
        &policy(vec![allow_protocol(UDP)]),
        &ipv6(60, 64, &chain(8)),
        Verdict::Allow,
        Reason::Rule,
        &[],
    );
    assert_decides(
        &policy(vec![allow_protocol(UDP)]),
        &ipv6(60, 64, &chain(9)),
        Verdict::Deny,
        Reason::ExtHeaderChain,
        &[ParseClass::ExtHeaderChain],
    );
}

#[test]
fn an_atomic_fragment_is_an_ordinary_extension_header() {
    let mut bytes = vec![UDP, 0, 0, 0, 0, 0, 0, 1];
    bytes.extend([0; 8]);
    assert_decides(
        &policy(vec![allow_protocol(UDP)]),
        &ipv6(44, 64, &bytes),
        Verdict::Allow,
        Reason::Rule,
        &[],
    );
}

#[test]
fn icmp_of_the_other_family_has_no_facts() {
    let mut echo = allow_protocol(1);
    echo.icmp = vec![IcmpMatch { kind: 8, code: None }];
    let echo_request = [8, 0, 0, 0, 0, 0, 0, 0];
    assert_decides(
        &policy(vec![echo.clone()]),
        &ipv4(1, 0, &echo_request),
        Verdict::Allow,
        Reason::Rule,
        &[],
    );
    assert_decides(
        &policy(vec![echo]),
        &ipv6(1, 64, &echo_request),
        Verdict::Deny,
        Reason::Default,
        &[ParseClass::UnknownNextHeader],
    );
}

#[test]
fn neighbour_discovery_is_essential_only_with_hop_limit_255() {
    let solicitation = [135, 0, 0, 0, 0, 0, 0, 0];
    assert_decides(
        &policy(vec![]),
        &ipv6(58, 255, &solicitation),
        Verdict::Allow,
        Reason::Ndp,
        &[],
    );
    assert_decides(
        &policy(vec![]),
        &ipv6(58, 254, &solicitation),
        Verdict::Deny,
        Reason::Default,
        &[],
    );
}

#[test]
fn a_prefix_covers_its_ends_and_never_the_other_family() {
    let covers = |prefix: &str, address: &str| {
        covers(
            &prefix.parse::<IpNet>().unwrap(),
            address.parse::<IpAddr>().unwrap(),
        )
    };
    assert!(covers("192.0.2.128/25", "192.0.2.128"));
    assert!(covers("192.0.2.128/25", "192.0.2.255"));
    assert!(!covers("192.0.2.128/25", "192.0.2.127"));
    assert!(covers("0.0.0.0/0", "255.255.255.255"));
    assert!(!covers("0.0.0.0/0", "::ffff:192.0.2.1"));
    assert!(!covers("32.0.0.0/8", "2000::"));
    assert!(!covers("2000::/8", "32.0.0.0"));
    assert!(covers("2001:db8::1/128", "2001:db8::1"));
    assert!(!covers("2001:db8::1/128", "2001:db8::3"));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(frame in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), ether_type in 0..4usize) {
        let mut frame = frame;
        let ether_types = [[0x08, 0x00], [0x86, 0xdd], [0x81, 0x00], [0, 0]];
        if frame.len() >= 14 {
            frame[12..14].copy_from_slice(&ether_types[ether_type]);
        }
        let all_judged = ParseClass::ALL.iter().fold(policy(vec![allow_protocol(UDP)]), |policy, class| {
            with_class(policy, *class, ClassVerdict::Judge)
        });
        let _ = judge(&all_judged, &HostFacts::default(), Direction::Inbound, Origin::default(), &frame);
    }
}
