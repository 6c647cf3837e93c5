//! `ravelin replay` is the oracle, counted: on random policies and captures by the library, and once with the real binary.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use ravelin_datapath::Verdict;
use ravelin_rules::explain::Way;
use ravelin_rules::replay::{Judge, replay};
use ravelin_rules::{TableImage, reference};
use ravelin_tests::daemon::binary;
use ravelin_tests::random::{self, Probe};

#[test]
fn a_summary_is_what_the_oracle_says_packet_by_packet() {
    let seed = random::seed() ^ 23;
    let (mut judged, mut changed) = (0, 0);
    for case in random::cases(seed, 60, 200) {
        let (policy, host) = (case.policy(), case.host());
        let mut sketch = case.sketch.clone();
        sketch.rules.pop();
        let old = sketch.policy();
        // One capture holds packets of one direction on one interface.
        let Some(first) = case.probes.first() else {
            continue;
        };
        let probes: Vec<&Probe> = case.probes.iter().filter(|probe| !probe.loopback).collect();
        let frames: Vec<Vec<u8>> = probes.iter().map(|probe| probe.packet.bytes()).collect();
        let way = Way {
            direction: first.direction,
            origin: Probe {
                loopback: false,
                ..(*first).clone()
            }
            .origin(&host),
        };
        let images = [&policy, &old]
            .map(|policy| TableImage::compile(policy, &host, way.direction).expect("a random policy fits"));
        let judge = |at: usize| Judge {
            policy: if at == 0 { &policy } else { &old },
            host: &host,
            image: &images[at],
            way,
        };
        let (summary, read) = replay(capture(&frames).as_slice(), judge(0), Some(judge(1)));
        read.expect("the capture is whole");

        let by_oracle = |policy| {
            let judge = |frame: &Vec<u8>| reference::judge(policy, &host, way.direction, way.origin, frame);
            frames.iter().map(judge).collect::<Vec<_>>()
        };
        let (now, before) = (by_oracle(&policy), by_oracle(&old));
        let allowed = now
            .iter()
            .filter(|decision| decision.verdict == Verdict::Allow)
            .count();
        assert_eq!(summary.all.packets, frames.len() as u64, "seed {}", case.seed);
        assert_eq!(summary.allowed.packets, allowed as u64, "seed {}", case.seed);
        assert_eq!(
            summary.denied.packets,
            (frames.len() - allowed) as u64,
            "seed {}",
            case.seed
        );
        assert_eq!(
            (summary.disagreements, summary.too_short.packets),
            (0, 0),
            "seed {}",
            case.seed
        );
        for decision in &now {
            let same = now.iter().filter(|other| other.reason == decision.reason).count();
            let reason = summary.reasons[usize::from(decision.reason as u8)];
            assert_eq!(reason.packets, same as u64, "seed {}", case.seed);
        }
        let of_this_way = |index: &usize| policy.rules[*index].direction == way.direction;
        let places: Vec<usize> = (0..policy.rules.len()).filter(of_this_way).collect();
        assert_eq!(places.len(), summary.rules.len());
        for (place, rule) in places.iter().zip(&summary.rules) {
            let met = |rule: Option<u32>| rule == u32::try_from(*place).ok();
            let decided = now.iter().filter(|decision| met(decision.rule)).count();
            let observed = now.iter().filter(|decision| met(decision.observed)).count();
            assert_eq!(
                (rule.decided.packets, rule.observed.packets),
                (decided as u64, observed as u64),
                "seed {}, rule {}",
                case.seed,
                rule.name
            );
        }
        let names = |policy: &ravelin_rules::Policy, rule: Option<u32>| {
            rule.map(|rule| policy.rules[rule as usize].name.to_string())
        };
        let otherwise = now
            .iter()
            .zip(&before)
            .filter(|(is, was)| {
                is.verdict != was.verdict
                    || names(&policy, is.rule) != names(&old, was.rule)
                    || (is.rule.is_none() && is.reason != was.reason)
            })
            .count();
        assert_eq!(
            summary.changed.expect("it was asked").packets(),
            otherwise as u64,
            "seed {}",
            case.seed
        );
        judged += frames.len();
        changed += otherwise;
    }
    println!("{judged} packets judged, {changed} of them otherwise by the other policy");
    assert!(judged > 8_000 && changed > 100);
}

#[test]
fn the_command_tells_the_summary_and_what_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let packet = |port: u16| {
        let mut bytes = vec![0; 12];
        bytes.extend([
            8, 0, 0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 203, 0, 113, 9, 192, 0, 2, 1,
        ]);
        bytes.extend([0x9c, 0x40]);
        bytes.extend(port.to_be_bytes());
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]);
        bytes
    };
    let frames = [packet(443), packet(443), packet(80)];
    fs::write(folder.path().join("edge.pcap"), capture(&frames)).expect("a capture");
    let policy = |ports: &str| {
        format!(
            "[firewall]\nstateful = false\n[[rule]]\nname = \"web\"\naction = \"allow\"\nprotocol = \"tcp\"\nports = {ports}\n[[rule]]\nname = \"idle\"\naction = \"deny\"\nprotocol = \"udp\"\n"
        )
    };
    fs::write(folder.path().join("new.toml"), policy("[443]")).expect("a policy");
    fs::write(folder.path().join("old.toml"), policy("[80, 443]")).expect("a policy");

    let output = ravelin(folder.path(), &["replay", "new.toml", "edge.pcap"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    for part in [
        "3 packets, 162 bytes\n",
        "           2   66.6 %  allowed\n",
        "           1   33.3 %  denied\n",
        "           2   66.6 %  allow `web`\n",
        "no packet met `idle`\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(output.stderr.is_empty(), "no progress bar in a pipe");

    let output = ravelin(
        folder.path(),
        &["replay", "new.toml", "edge.pcap", "--against", "old.toml"],
    );
    assert_eq!(output.status.code(), Some(1), "something changed");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        text.contains(
            "tcp 203.0.113.9:40000 > 192.0.2.1:80\n              was allowed by `web`, is denied by default"
        ),
        "{text}"
    );
    let output = ravelin(
        folder.path(),
        &["replay", "new.toml", "edge.pcap", "--against", "new.toml"],
    );
    assert_eq!(output.status.code(), Some(0), "nothing changed");

    let output = ravelin(
        folder.path(),
        &[
            "replay",
            "new.toml",
            "edge.pcap",
            "--against",
            "old.toml",
            "--format",
            "json",
        ],
    );
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&json["allowed"]["packets"], &json["changed"]["packets"]),
        (&2.into(), &1.into())
    );

    let mut cut = capture(&frames);
    cut.truncate(cut.len() - 3);
    fs::write(folder.path().join("cut.pcap"), cut).expect("a capture");
    let output = ravelin(folder.path(), &["replay", "new.toml", "cut.pcap"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stdout).starts_with("2 packets"),
        "what was read is told"
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("ends in the middle of a packet, at byte 164"));
    let output = ravelin(folder.path(), &["replay", "new.toml", "old.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("this is no capture"));
}

fn ravelin(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.current_dir(folder).args(arguments);
    command.output().expect("ravelin runs")
}

/// A pcap file, little-endian, Ethernet.
fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    for field in [0_u32, 0, 262_144, 1] {
        file.extend(field.to_le_bytes());
    }
    for frame in frames {
        let length = u32::try_from(frame.len()).expect("a frame is short");
        for field in [0, 0, length, length] {
            file.extend(field.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}
