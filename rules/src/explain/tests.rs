//! What an explanation must say, and what it must refuse.

use std::fs;

use ravelin_datapath::{ParseClass, Reason};

use super::*;

fn question(source: &str, destination: &str, protocol: u8) -> Question {
    Question {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        protocol,
        port: None,
        source_port: None,
        icmp: None,
        tcp_flags: None,
    }
}

fn trace(text: &str, question: &Question) -> Trace {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    fs::write(&path, format!("[firewall]\nstateful = false\n{text}")).unwrap();
    let loaded = crate::load(&path).unwrap_or_else(|report| panic!("{}", report.render()));
    let image = loaded.compile(&HostFacts::default(), Direction::Inbound).unwrap();
    explain(
        &loaded.policy,
        &HostFacts::default(),
        &image,
        Way::default(),
        question,
    )
    .unwrap()
}

#[test]
fn the_frame_of_a_question_holds_what_was_asked() {
    let facts = |question: &Question| {
        let frame = question.frame().unwrap();
        let policy = trace("", question);
        assert!(policy.is_consistent());
        let (folder, host) = (tempfile::tempdir().unwrap(), HostFacts::default());
        let path = folder.path().join("policy.toml");
        fs::write(&path, "[firewall]\nstateful = false\nessentials = false\n").unwrap();
        let examined = examine(
            &crate::load(&path).unwrap().policy,
            &host,
            Direction::Inbound,
            Origin::default(),
            &frame,
        );
        examined.facts.expect("the question reaches the rules")
    };
    let tcp = Question {
        port: Some(443),
        source_port: Some(1),
        tcp_flags: Some(0x12),
        ..question("192.0.2.1", "203.0.113.9", 6)
    };
    assert_eq!(facts(&tcp).ports(), Some((1, 443)));
    assert_eq!(facts(&tcp).tcp_flags(), Some(0x12));
    let sctp = Question {
        port: Some(7),
        ..question("2001:db8::1", "2001:db8::2", 132)
    };
    assert_eq!(facts(&sctp).ports(), Some((40_000, 7)));
    assert_eq!(facts(&sctp).destination, sctp.destination);
    let echo = question("2001:db8::1", "2001:db8::2", 58);
    assert_eq!(facts(&echo).message(), Some((128, 0)));
    let discovery = Question {
        icmp: Some((135, 0)),
        ..echo
    };
    assert_eq!(facts(&discovery).hop_limit, 255);
    assert_eq!(facts(&question("192.0.2.1", "203.0.113.9", 47)).protocol, 47);
}

#[test]
fn a_question_without_an_answer_says_what_to_change() {
    let refused = |question: Question| question.frame().unwrap_err().to_string();
    assert_eq!(
        refused(question("192.0.2.1", "2001:db8::1", 47)),
        "`192.0.2.1` and `2001:db8::1` are of different families; give both as IPv4 or both as IPv6"
    );
    assert_eq!(
        refused(question("192.0.2.1", "203.0.113.9", 17)),
        "a `udp` packet has a destination port; give it, like `--port 443`"
    );
    assert_eq!(
        refused(question("2001:db8::1", "2001:db8::2", 60)),
        "protocol 60 is an extension header of IPv6; give the protocol behind it"
    );
    assert_eq!(
        refused(Question {
            tcp_flags: Some(2),
            port: Some(53),
            ..question("192.0.2.1", "203.0.113.9", 17)
        }),
        "a packet of protocol `udp` has no TCP flags; take the option out, or ask about another protocol"
    );
    assert_eq!(
        refused(Question {
            icmp: Some((8, 0)),
            ..question("2001:db8::1", "2001:db8::2", 1)
        }),
        "a packet of protocol `icmp` has no ICMP type; take the option out, or ask about another protocol"
    );
}

#[test]
fn a_trace_whose_judges_differ_says_that_ravelin_has_a_bug() {
    let mut trace = trace("", &question("192.0.2.1", "203.0.113.9", 47));
    assert!(trace.is_consistent());
    assert!(!trace.to_string().contains("bug"));
    trace.oracle.reason = Reason::NonIp;
    trace.oracle.seen = trace.oracle.seen.with(ParseClass::NonIp);
    assert!(!trace.is_consistent());
    let text = trace.to_string();
    assert!(text.contains("this is a bug in Ravelin"), "{text}");
    assert!(
        text.contains("the tables say  deny, reason default, rule none, classes []"),
        "{text}"
    );
    assert!(
        text.contains("the oracle says deny, reason non_ip, rule none, classes [non_ip]"),
        "{text}"
    );
}

#[test]
fn a_rule_that_does_not_match_names_every_condition_that_failed() {
    let policy = r#"
[[rule]]
name = "ssh"
action = "allow"
source = "198.51.100.0/24"
protocol = "tcp"
ports = [22]
tcp_flags = "syn,!ack"
"#;
    let trace = trace(
        policy,
        &Question {
            port: Some(23),
            tcp_flags: Some(0x12),
            ..question("192.0.2.1", "203.0.113.9", 6)
        },
    );
    let says: Vec<(&str, bool)> = trace.tried[0]
        .conditions
        .iter()
        .map(|checked| (checked.says.as_str(), checked.holds))
        .collect();
    assert_eq!(
        says,
        [
            ("source 192.0.2.1 is not in 198.51.100.0/24", false),
            ("protocol is tcp", true),
            ("port 23 is not 22", false),
            ("flags syn,ack do not fit syn,!ack", false),
        ]
    );
}

#[test]
fn words_are_those_of_the_policy_language() {
    assert_eq!(parse_protocol("sctp"), Some(132));
    assert_eq!(parse_protocol("89"), Some(89));
    assert_eq!(parse_protocol("256"), None);
    assert_eq!(parse_protocol("TCP "), None);
    assert_eq!(parse_icmp("3/4", true), Some((3, 4)));
    assert_eq!(parse_icmp("echo-request", true), Some((8, 0)));
    assert_eq!(parse_icmp("echo-request", false), Some((128, 0)));
    assert_eq!(parse_icmp("3/", true), None);
    assert_eq!(parse_tcp_flags("syn,ack"), Some(0x12));
    assert_eq!(parse_tcp_flags("none"), Some(0));
    assert_eq!(parse_tcp_flags("syn,!ack"), None);
}

#[test]
fn a_frame_is_pairs_of_hexadecimal_digits() {
    assert_eq!(parse_frame("00ff"), Some(vec![0, 255]));
    assert_eq!(parse_frame("00:Ff 1a\n"), Some(vec![0, 255, 26]));
    assert_eq!(parse_frame(""), Some(Vec::new()));
    assert_eq!(parse_frame("00f"), None);
    assert_eq!(parse_frame("0x00"), None);
    assert_eq!(parse_frame("é0"), None);
    assert_eq!(
        parse_frame(&"00".repeat(65_597)).map(|frame| frame.len()),
        Some(65_597)
    );
    assert_eq!(parse_frame(&"00".repeat(65_598)), None);
}

#[test]
fn every_beginning_of_a_frame_is_explained_as_the_oracle_judges_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    fs::write(
        &path,
        "[firewall]\nstateful = false\n[[rule]]\nname = \"a\"\naction = \"allow\"\n",
    )
    .unwrap();
    let loaded = crate::load(&path).unwrap();
    let host = HostFacts::default();
    let image = loaded.compile(&host, Direction::Inbound).unwrap();
    let asked = Question {
        port: Some(443),
        ..question("2001:db8::1", "2001:db8::2", 6)
    };
    let frame = asked.frame().unwrap();
    for length in 0..=frame.len() {
        let trace = explain_frame(&loaded.policy, &host, &image, Way::default(), &frame[..length]);
        assert!(trace.is_consistent(), "{trace}");
        // The whole packet alone gets as far as the rules.
        let whole = length == frame.len();
        assert_eq!(trace.verdict() == Verdict::Allow, whole, "{trace}");
        assert_eq!(
            trace.to_string().contains("tcp [2001:db8::1]:40000"),
            whole,
            "{trace}"
        );
    }
}
