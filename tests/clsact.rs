//! The filter at `clsact` beside what others have put there, on its way to TCX and back, and where the kernel has no TCX.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ravelin_tests::daemon::{Daemon, Half};
use ravelin_tests::netns::expect_success;
use ravelin_tests::scene::{SILENCE, Scene, Stops, flood};
use ravelin_tests::{figures, requires, wait};

#[test]
fn under_a_flood_the_program_moves_between_the_hooks_and_lets_no_packet_out() {
    requires!(Root, Bpf, NetworkNamespaces, Tool("tc"));
    let scene = Scene::new("clsact-moves");
    let filter = scene.filter("clsact-moves", POLICY);
    assert_eq!(hook(&filter), "tcx");
    let receiver = scene
        .client
        .run(|| UdpSocket::bind("10.77.0.1:5301").expect("bind"));
    receiver.set_read_timeout(Some(SILENCE)).expect("a timeout");
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let moved = thread::scope(|scope| {
        scene.host.enter_and(scope, || {
            flood("10.77.0.2:0", "10.77.0.1:5301", true, &sent, &stop);
        });
        let flooded = Stops(&stop);
        let mut moved = Vec::new();
        for round in 0..20 {
            let word = if round % 2 == 0 { "clsact" } else { "auto" };
            filter
                .write_policy(&POLICY.replace("stateful", &format!("outbound_hook = \"{word}\"\nstateful")));
            let so_far = sent.load(Ordering::Relaxed);
            let accepted = filter.ravelin(&["reload"]).status.success();
            moved.push((accepted, hook(&filter), scene.outbound_programs()));
            wait::until("packets at the hook", Duration::from_secs(10), || {
                (sent.load(Ordering::Relaxed) > so_far + 500).then_some(())
            });
        }
        drop(flooded);
        moved
    });
    for pair in moved.chunks(2) {
        assert_eq!(pair[0], (true, "clsact".to_owned(), (0, 1)));
        assert_eq!(pair[1], (true, "tcx".to_owned(), (1, 0)));
    }
    let leaked = receiver.recv(&mut [0; 4]).is_ok();
    let sent = sent.into_inner();
    let counted = filter.reason_packets_of("outbound", "deny", "default");
    figures::show(&format!(
        "20 moves: sent {sent}, counted as denied {counted}, leaked: {leaked}"
    ));
    assert!(!leaked && sent > 10_000);
    // What the first hook has dropped does not come to the second.
    assert_eq!(counted, sent);
    assert!(
        !scene.disciplines().contains("clsact"),
        "gone with the last filter"
    );
}

#[test]
fn filters_of_others_and_the_discipline_that_holds_them_stay() {
    requires!(Root, Bpf, NetworkNamespaces, Tool("tc"));
    for (test, ours) in [("clsact-others-first", false), ("clsact-others-later", true)] {
        let scene = Scene::new(test);
        let policy = at_clsact();
        let start = || scene.filter(test, &policy);
        let tc = |words: &str| {
            let output = scene.host.command("tc").args(words.split(' ')).output();
            expect_success("tc", &output.expect("`tc` runs"));
        };
        let others = || {
            // They let everything through: ours is asked all the same, also where it came second.
            for side in ["egress", "ingress"] {
                let output = scene
                    .host
                    .command("tc")
                    .args([
                        "filter", "add", "dev", "wan", side, "prio", "1", "handle", "7", "bpf", "da",
                    ])
                    .args(["bytecode", "1,6 0 0 0"])
                    .output();
                expect_success("tc filter add", &output.expect("`tc` runs"));
            }
        };
        let filter = if ours {
            let filter = start();
            others();
            filter
        } else {
            tc("qdisc add dev wan clsact");
            others();
            start()
        };
        assert_eq!(scene.outbound_programs(), (0, 2));
        filter.reload();
        assert_eq!(scene.outbound_programs(), (0, 2), "{}", scene.filters("egress"));
        if !ours {
            assert!(!scene.udp_leaves("10.77.0.2:0", "10.77.0.1:5301"));
        }
        expect_success("ravelin detach", &filter.ravelin(&["detach"]));
        let left = scene.filters("egress");
        assert!(left.contains("handle 0x7") && !left.contains("ravelin"), "{left}");
        assert!(scene.filters("ingress").contains("handle 0x7"));
        assert!(scene.disciplines().contains("clsact"));
    }
}

#[test]
fn a_discipline_that_was_there_stays_and_one_of_another_kind_is_refused() {
    requires!(Root, Bpf, NetworkNamespaces, Tool("tc"));
    let scene = Scene::new("clsact-disciplines");
    let policy = at_clsact();
    let add = |kind: &str| {
        let output = scene
            .host
            .command("tc")
            .args(["qdisc", "add", "dev", "wan", kind])
            .output();
        expect_success("tc qdisc add", &output.expect("`tc` runs"));
    };
    add("clsact");
    let mut filter = scene.filter("clsact-disciplines", &policy);
    let detach = |filter: &mut Daemon| {
        expect_success("ravelin detach", &filter.ravelin(&["detach"]));
        filter.await_end();
    };
    detach(&mut filter);
    assert_eq!(scene.outbound_programs(), (0, 0));
    assert!(scene.disciplines().contains("clsact"), "it was not ours");

    let output = scene
        .host
        .command("tc")
        .args(["qdisc", "del", "dev", "wan", "clsact"])
        .output();
    expect_success("tc qdisc del", &output.expect("`tc` runs"));
    filter.start();
    assert_eq!(scene.outbound_programs(), (0, 1));
    detach(&mut filter);
    assert!(!scene.disciplines().contains("clsact"), "it was");

    // A filter for what goes out is taken there, and asked about what comes in.
    filter.write_policy(POLICY);
    filter.start();
    add("ingress");
    filter.write_policy(&policy);
    let output = filter.ravelin(&["reload"]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && words.contains("has the queueing discipline `ingress`"),
        "{words}"
    );
    assert_eq!(
        (hook(&filter), scene.outbound_programs()),
        ("tcx".to_owned(), (1, 0))
    );
    assert!(!scene.udp_leaves("10.77.0.2:0", "10.77.0.1:5301"));
}

#[test]
fn a_filter_that_somebody_takes_away_is_put_back() {
    requires!(Root, Bpf, NetworkNamespaces, Tool("tc"));
    let scene = Scene::new("clsact-lost");
    let filter = scene.filter("clsact-lost", &at_clsact());
    // The filter alone, and the discipline with all that stands in it.
    for words in ["filter del dev wan egress", "qdisc del dev wan clsact"] {
        let output = scene.host.command("tc").args(words.split(' ')).output();
        expect_success("tc", &output.expect("`tc` runs"));
        wait::until("the filter", Duration::from_secs(20), || {
            (scene.outbound_programs() == (0, 1)).then_some(())
        });
        assert!(!scene.udp_leaves("10.77.0.2:0", "10.77.0.1:5301"));
        assert!(scene.udp_leaves("10.77.0.2:0", "10.77.0.1:5300"));
    }
    assert_eq!(hook(&filter), "clsact");
}

#[test]
fn an_interface_that_is_renamed_takes_its_filter_along_until_nobody_wants_it() {
    requires!(Root, Bpf, NetworkNamespaces, Tool("tc"));
    let scene = Scene::new("clsact-renamed");
    let filter = scene.filter("clsact-renamed", &at_clsact());
    scene.host.ip(&[
        "link", "add", "name", "other", "type", "veth", "peer", "name", "another",
    ]);
    scene.host.ip(&["link", "set", "dev", "wan", "down"]);
    scene.host.ip(&["link", "set", "dev", "wan", "name", "wan1"]);
    filter.write_policy(&at_clsact().replace("[\"wan\"]", "[\"other\"]"));
    filter.reload();
    scene.host.ip(&["link", "set", "dev", "wan1", "name", "wan"]);
    assert_eq!(scene.outbound_programs(), (0, 0), "{}", scene.filters("egress"));
    assert!(!scene.disciplines().contains("clsact ffff: dev wan"));
}

#[test]
fn where_the_kernel_does_not_know_tcx_the_filter_is_taken_by_itself() {
    requires!(Root, Bpf, NetworkNamespaces, Tool("tc"), Tool("perl"));
    let scene = Scene::new("clsact-auto");
    // prctl(PR_SET_NO_NEW_PRIVS); prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER): bpf(BPF_PROG_QUERY) answers EINVAL, as it does for an attach
    // type that a kernel before 6.6 does not know. Numbers of x86-64.
    let before = "syscall(157, 38, 1, 0, 0, 0) == 0 or die $!; \
                  my $code = join '', map { pack 'SCCL', @$_ } [0x20,0,0,0], [0x15,0,3,321], [0x20,0,0,16], [0x15,0,1,16], \
                  [0x06,0,0,0x00050016], [0x06,0,0,0x7fff0000]; \
                  my $filter = pack 'Sx6P', 6, $code; syscall(157, 22, 2, $filter, 0, 0) == 0 or die $!; exec @ARGV or die $!;";
    let filter = Daemon::new("clsact-auto", Half::Filter, POLICY)
        .inside(&scene.host)
        .wrapped(&["perl", "-e", before])
        .started();
    assert_eq!(
        (hook(&filter), scene.outbound_programs()),
        ("clsact".to_owned(), (0, 1))
    );
    assert!(scene.udp_leaves("10.77.0.2:0", "10.77.0.1:5300"));
    assert!(!scene.udp_leaves("10.77.0.2:0", "10.77.0.1:5301"));
    filter.reload();
    assert_eq!(scene.outbound_programs(), (0, 1));
    let status = filter.ravelin(&["status"]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("outbound (clsact), program"), "{status}");
}

fn at_clsact() -> String {
    POLICY.replace("stateful", "outbound_hook = \"clsact\"\nstateful")
}

fn hook(filter: &Daemon) -> String {
    let status = filter.filter_status();
    let hook = status["filter"]["interfaces"][0]["outbound_hook"].as_str();
    hook.unwrap_or_default().to_owned()
}

const POLICY: &str = r#"
[firewall]
interfaces = ["wan"]
inbound = "allow"
outbound = "deny"
stateful = false
[[rule]]
name = "dns"
direction = "outbound"
action = "allow"
destination = ["10.77.0.1", "fd00:77::1"]
protocol = "udp"
ports = [5300]
"#;
