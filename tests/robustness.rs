//! Bytes from outside make nobody panic: policy files, set files, frames, lines on the control socket.
//!
//! On the stable toolchain, in every test run. A seed from a message replays its case: `RAVELIN_SEED`.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use ravelin_daemon::control::Action;
use ravelin_daemon::control::protocol::{Request, VERSION};
use ravelin_datapath::{Origin, SliceFrame, decide};
use ravelin_rules::{Direction, HostFacts, reference};
use ravelin_tests::random::{self, Random};

#[test]
fn a_damaged_policy_is_read_or_refused_with_a_report() {
    let mut random = Random::new(random::seed());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut read, mut refused) = (0, 0);
    for _ in 0..1500 {
        let seed = random.bits();
        let mut random = Random::new(seed);
        let mut sketch = random::sketch(&mut random);
        // A policy of 200 rules breaks no better than one of 12, and is slower to read.
        sketch.rules.truncate(12);
        sketch.write(folder.path());
        let text = damage(&mut random, [EDGE, &sketch.toml()].concat());
        match load(folder.path(), text.as_bytes()) {
            true => read += 1,
            false => refused += 1,
        }
    }
    println!("{read} damaged policies were read, {refused} refused");
    assert!(
        read >= 50,
        "damage that nothing survives tests only the first line of the reader"
    );
    assert!(refused >= 500, "damage that does no damage tests nothing");
}

#[test]
fn a_damaged_set_file_is_read_or_refused_with_a_report() {
    let mut random = Random::new(random::seed() ^ 3);
    let folder = tempfile::tempdir().expect("a temporary folder");
    for _ in 0..500 {
        let entries: Vec<String> = (0..random.index(6))
            .map(|_| random::prefix(&mut random).to_string())
            .collect();
        let text = damage(&mut random, entries.join("\n"));
        fs::write(folder.path().join("set.txt"), text).expect("a temporary folder can be written");
        load(folder.path(), SET.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_no_policy(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        load(folder.path(), &bytes);
    }

    #[test]
    fn arbitrary_bytes_on_the_control_socket_are_refused_in_words(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(words) = Request::parse(&bytes) {
            prop_assert!(!words.is_empty());
        }
    }

    #[test]
    fn a_damaged_request_is_read_or_refused_in_words(seed in any::<u64>()) {
        let mut random = Random::new(seed);
        let request = serde_json::to_string(&Request::new(Action::Status)).expect("a request is JSON");
        let line = damage(&mut random, request);
        match Request::parse(line.as_bytes()) {
            Ok(request) => prop_assert_eq!(request.version, VERSION),
            Err(words) => prop_assert!(!words.is_empty()),
        }
    }
}

/// Loads `bytes` as the policy in `folder`, and does with the result what every command does. Whether it was read.
fn load(folder: &Path, bytes: &[u8]) -> bool {
    let path = folder.join("policy.toml");
    fs::write(&path, bytes).expect("a temporary folder can be written");
    let report = match ravelin_rules::load(&path) {
        Ok(loaded) => {
            let host = HostFacts::default();
            if let Ok(image) = loaded.compile(&host, Direction::Inbound) {
                let frame = ravelin_tests::packet::ether().ipv4().tcp(443).bytes();
                let said = decide(&SliceFrame(&frame), &image, Origin::default());
                assert_eq!(
                    said,
                    reference::judge(
                        &loaded.policy,
                        &host,
                        Direction::Inbound,
                        Origin::default(),
                        &frame
                    )
                );
            }
            assert!(loaded.warnings.is_empty() || loaded.warnings.render().contains("warning"));
            return true;
        }
        Err(report) => report,
    };
    assert!(report.has_errors(), "a policy is refused without an error");
    assert!(report.render().contains("error"), "a report that does not say so");
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).expect("a report is JSON");
    assert!(!json.is_null());
    false
}

/// Breaks a text in a few places: characters and lines removed, doubled, swapped, replaced.
fn damage(random: &mut Random, text: String) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for _ in 0..random.index(4) {
        let at = random.index(text.len());
        match random.below(6) {
            0 if !text.is_empty() => {
                text.remove(at);
            }
            1 => text.insert(
                at,
                random.pick(&[
                    '"', '[', ']', '\n', '=', '\'', '#', '\0', '\u{202e}', 'é', '9', '-', '/', '.',
                ]),
            ),
            2 => text.truncate(at),
            3 => {
                let end = (at + random.index(40)).min(text.len());
                let piece: Vec<char> = text[at..end].to_vec();
                let to = random.index(text.len());
                text.splice(to..to, piece);
            }
            4 => {
                let end = (at + random.index(12)).min(text.len());
                let word = random.pick(&[
                    "true",
                    "\"\"",
                    "[]",
                    "{}",
                    "-1",
                    "99999999999999999999",
                    "0.5",
                    "1979-05-27",
                    "\"@set-0\"",
                    "\"::/0\"",
                    "[[rule]]",
                ]);
                text.splice(at..end, word.chars());
            }
            _ => {
                if let Some(character) = text.get_mut(at) {
                    *character = char::from(random.byte() & 0x7f);
                }
            }
        }
    }
    text.into_iter().collect()
}

const EDGE: &str = r#"
[[listener]]
name = "api"
bind = ["127.0.0.1:8443"]
allow = ["192.0.2.0/24"]
routes = [{ sni = "*.example.com", upstream = "app" }]

  [listener.tls]
  certificates = [{ cert = "api.pem", key = "api.key" }]

  [listener.limits]
  handshake_timeout = "10s"
  connections = { rate = "50/s", burst = 100, over = "refuse" }

[[upstream]]
name = "app"
servers = ["127.0.0.1:8080"]
"#;

const SET: &str = r#"
[firewall]
stateful = false

[[set]]
name = "listed"
files = ["set.txt"]

[[rule]]
name = "listed"
action = "deny"
source = "@listed"
"#;
