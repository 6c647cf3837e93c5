//! Real sockets through the real program on a veth pair: what the policy lets in arrives, what it denies does not, and the
//! counters say which rule it was.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::net::UdpSocket;
use std::time::Duration;

use ravelin_tests::daemon::{Daemon, Half};
use ravelin_tests::netns::{End, Namespace, expect_success, veth};
use ravelin_tests::scene::{SILENCE, Scene};
use ravelin_tests::{requires, wait};

fn mode(daemon: &Daemon) -> String {
    let status = daemon.filter_status();
    status["filter"]["interfaces"][0]["mode"]
        .as_str()
        .expect("a mode")
        .to_owned()
}

const POLICY: &str = r#"
[firewall]
interfaces = ["wan"]
inbound = "deny"
stateful = false

[[rule]]
name = "no-9"
action = "deny"
source = "10.77.0.9"

[[rule]]
name = "web"
action = "allow"
protocol = "tcp"
ports = [8080]

[[rule]]
name = "names"
action = "allow"
protocol = "udp"
ports = [5300]
"#;

#[test]
fn tcp_and_udp_are_let_in_or_dropped_by_the_policy_in_both_families_and_counted_by_rule() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("traffic-verdicts");
    let filter = scene.filter("traffic-verdicts", POLICY);
    assert_eq!(mode(&filter), "native", "veth has a native mode");

    assert!(scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300"));
    assert!(scene.udp_arrives("[fd00:77::1]:0", "[fd00:77::2]:5300"));
    assert_eq!(filter.rule_packets()["names"], 2);
    assert!(
        !scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5301"),
        "the port is not in the rule"
    );
    assert!(
        !scene.udp_arrives("[fd00:77::1]:0", "[fd00:77::2]:5299"),
        "nor this"
    );
    assert!(
        !scene.udp_arrives("10.77.0.9:0", "10.77.0.2:5300"),
        "an earlier rule denies the source"
    );
    assert_eq!(filter.rule_packets()["names"], 2);
    assert_eq!(filter.rule_packets()["no-9"], 1);
    assert_eq!(filter.reason_packets("deny", "default"), 2);

    assert!(scene.tcp_works("10.77.0.1", "10.77.0.2:8080"));
    assert!(scene.tcp_works("fd00:77::1", "[fd00:77::2]:8080"));
    assert!(filter.rule_packets()["web"] >= 6, "a handshake and data, twice");
    let before = filter.rule_packets()["no-9"];
    assert!(!scene.tcp_works("10.77.0.9", "10.77.0.2:8080"));
    assert!(!scene.tcp_works("10.77.0.1", "10.77.0.2:8081"));
    assert!(filter.rule_packets()["no-9"] > before);
}

#[test]
fn echo_requests_follow_the_rules_and_neighbour_discovery_always_works() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("traffic-icmp");
    let policy = "[firewall]\ninterfaces = [\"wan\"]\nstateful = false\n";
    let filter = scene.filter("traffic-icmp", policy);
    let answered = |target| scene.echo_answered(target);
    assert!(
        !answered("10.77.0.2") && !answered("fd00:77::2"),
        "echo is no essential"
    );
    assert!(
        filter.reason_packets("allow", "arp") > 0,
        "the neighbour was found all the same"
    );
    assert!(filter.reason_packets("allow", "ndp") > 0, "in IPv6 too");
    let rule = |name: &str, protocol: &str, kind: u8| {
        format!(
            "[[rule]]\nname = \"{name}\"\naction = \"allow\"\nprotocol = \"{protocol}\"\nicmp = [{kind}]\n"
        )
    };
    filter.write_policy(&[policy, &rule("ping4", "icmp", 8), &rule("ping6", "icmpv6", 128)].concat());
    filter.reload();
    assert!(answered("10.77.0.2") && answered("fd00:77::2"));
    assert_eq!(
        (filter.rule_packets()["ping4"], filter.rule_packets()["ping6"]),
        (1, 1)
    );
}

#[test]
fn a_packet_that_claims_the_hosts_own_address_is_dropped_also_after_the_address_changed() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("traffic-spoof");
    let policy = "[firewall]\ninterfaces = [\"wan\"]\ninbound = \"allow\"\nstateful = false\n";
    let filter = scene.filter("traffic-spoof", policy);
    // The client takes the host's second address before the host does.
    scene.client.ip(&["address", "add", "10.77.0.77/32", "dev", "lo"]);
    assert!(
        scene.udp_arrives("10.77.0.77:0", "10.77.0.2:5300"),
        "nobody's address yet"
    );
    scene.host.ip(&["address", "add", "10.77.0.77/24", "dev", "wan"]);
    // The kernel itself drops what claims its own address, so the counter is what tells.
    wait::until("the new address to be known", Duration::from_secs(20), || {
        assert!(!scene.udp_arrives("10.77.0.77:0", "10.77.0.2:5300"));
        (filter.reason_packets("deny", "spoofed_source") > 0).then_some(())
    });
    assert!(
        scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300"),
        "others still come in"
    );
}

#[test]
fn generic_mode_is_used_and_reported_when_asked_for() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("traffic-generic");
    let filter = scene.filter(
        "traffic-generic",
        &POLICY.replace("stateful", "xdp_mode = \"generic\"\nstateful"),
    );
    assert_eq!(mode(&filter), "generic");
    assert!(scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300"));
    assert!(!scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5301"));
}

#[test]
fn several_interfaces_are_filtered_by_one_policy_and_those_that_leave_it_are_let_go() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("traffic-several");
    veth(
        End {
            namespace: &scene.client,
            interface: "up2.5",
            addresses: &["10.78.0.1/24"],
        },
        End {
            namespace: &scene.host,
            interface: "lan.5",
            addresses: &["10.78.0.2/24"],
        },
    );
    let policy = |interfaces: &str| format!("[firewall]\ninterfaces = {interfaces}\nstateful = false\n");
    let filter = scene.filter("traffic-several", &policy(r#"["wan"]"#));
    let arrives = || {
        (
            scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300"),
            scene.udp_arrives("10.78.0.1:0", "10.78.0.2:5300"),
        )
    };
    assert_eq!(arrives(), (false, true));
    filter.write_policy(&policy(r#"["wan", "lan.5"]"#));
    filter.reload();
    assert_eq!(arrives(), (false, false));
    filter.write_policy(&policy(r#"["lan.5"]"#));
    filter.reload();
    assert_eq!(arrives(), (true, false));
    // One that does not exist: nothing changes.
    filter.write_policy(&policy(r#"["wan", "missing"]"#));
    let output = filter.ravelin(&["reload"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no interface `missing`"));
    assert_eq!(arrives(), (true, false));
}

#[test]
fn the_loopback_interface_can_be_filtered_and_essentials_let_it_through() {
    requires!(Root, Bpf, NetworkNamespaces);
    let host = Namespace::new("traffic-lo", "host");
    let policy = "[firewall]\ninterfaces = [\"lo\"]\nstateful = false\n";
    let filter = Daemon::new("traffic-lo", Half::Filter, policy)
        .inside(&host)
        .started();
    let arrives = || {
        host.run(|| {
            let receiver = UdpSocket::bind("127.0.0.1:0").expect("bind");
            receiver.set_read_timeout(Some(SILENCE)).expect("a timeout");
            let sender = UdpSocket::bind("127.0.0.1:0").expect("bind");
            sender
                .send_to(b"x", receiver.local_addr().expect("an address"))
                .expect("send");
            receiver.recv(&mut [0; 4]).is_ok()
        })
    };
    assert!(arrives());
    assert!(filter.reason_packets("allow", "loopback") > 0);
    filter.write_policy(&policy.replace("stateful", "essentials = false\nstateful"));
    filter.reload();
    assert!(
        !arrives(),
        "without essentials the loopback interface is one like any other"
    );
}

#[test]
fn an_interface_that_refuses_native_mode_is_generic_by_default_and_an_error_when_native_is_asked_for() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("traffic-native");
    let policy = |interfaces: &str, mode: &str, port: u16| {
        format!(
            "[firewall]\ninterfaces = {interfaces}\nxdp_mode = \"{mode}\"\nstateful = false\n\
             [[rule]]\nname = \"open\"\naction = \"allow\"\nprotocol = \"udp\"\nports = [{port}]\n"
        )
    };
    let filter = scene.filter("traffic-native", &policy(r#"["wan"]"#, "native", 5300));
    // The loopback device has no native mode. The other interface must not notice the attempt.
    filter.write_policy(&policy(r#"["wan", "lo"]"#, "native", 5301));
    let output = filter.ravelin(&["reload"]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(2) && words.contains("cannot attach to `lo` in native mode"),
        "{words}"
    );
    assert!(
        scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300"),
        "the old policy stays"
    );
    assert!(
        !scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5301"),
        "no part of the new one is live"
    );

    filter.write_policy(&policy(r#"["wan", "lo"]"#, "auto", 5301));
    filter.reload();
    let status = filter.filter_status();
    let interfaces = status["filter"]["interfaces"]
        .as_array()
        .expect("interfaces")
        .iter();
    let modes: Vec<(&str, &str, bool)> = interfaces
        .filter_map(|interface| {
            let fallback = interface["fallback"].is_string();
            Some((interface["name"].as_str()?, interface["mode"].as_str()?, fallback))
        })
        .collect();
    assert_eq!(modes, [("lo", "generic", true), ("wan", "native", false)]);
    assert!(scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5301"));

    // Native and generic cannot be swapped in one step, so this is not done behind the operator's back.
    filter.write_policy(&policy(r#"["wan", "lo"]"#, "native", 5302));
    let output = filter.ravelin(&["reload"]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(2) && words.contains("`lo` is attached in generic mode"),
        "{words}"
    );
    assert!(scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5301"));
}

#[test]
fn a_pinned_map_of_another_shape_is_refused_until_it_is_detached() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("traffic-shape");
    let mut filter = scene.filter("traffic-shape", POLICY);
    filter.kill();
    let maps = filter
        .home()
        .pins()
        .join(format!("ravelin/maps-{}", ravelin_datapath::wire::ABI));
    std::fs::rename(maps.join("CLASS_COUNTERS"), maps.join("REASON_COUNTERS"))
        .expect("a map in another's place");
    assert_eq!(filter.run_to_end().code(), Some(2));
    assert!(
        filter.logs().contains("has another shape than `REASON_COUNTERS`"),
        "{}",
        filter.logs()
    );
    assert!(
        !scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5301"),
        "packets are still judged"
    );
    expect_success("ravelin detach", &filter.ravelin(&["detach"]));
    filter.start();
    assert!(scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300"));
}

#[test]
fn in_observe_mode_packets_are_counted_as_denied_and_arrive() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("traffic-observe");
    let filter = scene.filter(
        "traffic-observe",
        &POLICY.replace("stateful", "mode = \"observe\"\nstateful"),
    );
    assert!(scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5301"));
    assert_eq!(filter.reason_packets("deny", "default"), 1);
}

#[test]
fn a_program_of_somebody_else_is_named_and_not_replaced() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("traffic-foreign");
    let first = scene.filter("traffic-foreign", POLICY);
    let mut second = Daemon::new("traffic-foreign-2", Half::Filter, POLICY).inside(&scene.host);
    assert_eq!(second.run_to_end().code(), Some(2));
    let program = first.filter_status()["filter"]["interfaces"][0]["program"]
        .as_u64()
        .expect("an id");
    let log = second.logs();
    assert!(log.contains(&format!("id {program}, `ravelin_ingress`")), "{log}");
    assert!(scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300"));
}
