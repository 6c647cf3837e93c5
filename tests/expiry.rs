//! Rules and set entries end by themselves, to the second, in the kernel: nobody reloads, and nobody has to be alive.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::net::UdpSocket;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ravelin_rules::policy::Timestamp;
use ravelin_tests::requires;
use ravelin_tests::scene::{SILENCE, Scene};

#[test]
fn a_rule_and_an_entry_end_to_the_second_without_a_reload_also_when_the_daemon_is_dead() {
    requires!(Root, Bpf, NetworkNamespaces);
    for killed in [false, true] {
        let scene = Scene::new("expiry");
        let mut filter = scene.filter("expiry", "[firewall]\ninterfaces = [\"wan\"]\nstateful = false\n");
        // Far enough for a machine that stalls, and counted from a filter that runs already.
        let now = unix_time().as_secs();
        let (entry_ends, rule_ends) = (now + 8, now + 9);
        filter.write_policy(&policy(entry_ends, rule_ends));
        filter.reload();
        let ports = [ENTRY_ALLOWS, RULE_ALLOWS, ENTRY_DENIES];
        let probes = ports.map(|port| Probe::new(&scene, port));
        assert_eq!(
            probes.each_ref().map(Probe::passes),
            [true, true, false],
            "before anything ends"
        );
        // The link-local address of a new interface is one more fact of the host: by now it has been seen.
        let before = filter.filter_status()["filter"]["generation"].clone();
        if killed {
            filter.kill();
        }
        let mut changed = [None; 3];
        let first = probes.each_ref().map(Probe::passes);
        while changed.iter().any(Option::is_none) && unix_time().as_secs() < rule_ends + 5 {
            for (at, probe) in probes.iter().enumerate() {
                let asked = unix_time();
                if changed[at].is_none() && probe.passes_now() != first[at] {
                    changed[at] = Some(asked);
                }
            }
        }
        for (name, changed, ends) in [
            ("the entry that allowed", changed[0], entry_ends),
            ("the rule that allowed", changed[1], rule_ends),
            ("the entry that denied", changed[2], entry_ends),
        ] {
            let changed = changed.unwrap_or_else(|| panic!("{name} never ended"));
            let late = changed.as_secs_f64() - ends as f64;
            println!("{name} ended {late:+.3} s from its second (daemon killed: {killed})");
            assert!(
                (-0.001..1.0).contains(&late),
                "{name} ended {late:+.3} s from its second"
            );
        }
        if !killed {
            let after = filter.filter_status()["filter"]["generation"].clone();
            assert_eq!(after, before, "nothing was reloaded");
        }
    }
}

/// One UDP socket on each side, asked again and again.
struct Probe {
    sender: UdpSocket,
    receiver: UdpSocket,
}

impl Probe {
    fn new(scene: &Scene, port: u16) -> Self {
        let receiver = scene
            .host
            .run(|| UdpSocket::bind(("10.77.0.2", port)).expect("bind the receiver"));
        let sender = scene
            .client
            .run(|| UdpSocket::bind("10.77.0.1:0").expect("bind the sender"));
        sender.connect(("10.77.0.2", port)).expect("connect");
        Self { sender, receiver }
    }

    /// Whether a datagram arrives; a silence of the usual length is a no.
    fn passes(&self) -> bool {
        self.within(SILENCE)
    }

    /// The same, in a hurry: what is on the way for longer than this was dropped.
    fn passes_now(&self) -> bool {
        self.within(Duration::from_millis(20))
    }

    fn within(&self, patience: Duration) -> bool {
        self.receiver.set_read_timeout(Some(patience)).expect("a timeout");
        // A port that nobody may reach answers nothing, so sending always works.
        let stamp = Instant::now();
        self.sender.send(b"x").expect("send");
        let mut buffer = [0; 8];
        self.receiver.recv(&mut buffer).is_ok() && stamp.elapsed() < patience * 2
    }
}

fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970")
}

fn policy(entry_ends: u64, rule_ends: u64) -> String {
    let moment = |seconds| Timestamp::from_unix(seconds).expect("a moment").to_string();
    let (entry, rule) = (moment(entry_ends), moment(rule_ends));
    format!(
        r#"
[firewall]
interfaces = ["wan"]
stateful = false

[[set]]
name = "for-now"
entries = [{{ cidr = "10.77.0.1", expires = {entry} }}, "192.0.2.1"]

[[rule]]
name = "while-the-entry-is-there"
action = "allow"
source = "@for-now"
protocol = "udp"
ports = {ENTRY_ALLOWS}

[[rule]]
name = "while-the-rule-is-there"
action = "allow"
protocol = "udp"
ports = {RULE_ALLOWS}
expires = {rule}

[[rule]]
name = "not-while-the-entry-is-there"
action = "deny"
source = "@for-now"
protocol = "udp"
ports = {ENTRY_DENIES}

[[rule]]
name = "afterwards"
action = "allow"
protocol = "udp"
ports = {ENTRY_DENIES}
"#
    )
}

const ENTRY_ALLOWS: u16 = 5301;
const RULE_ALLOWS: u16 = 5302;
const ENTRY_DENIES: u16 = 5303;
