//! The control socket: who may do what, what a bad client can do to others (nothing), and `ravelin detach`.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use ravelin_datapath::wire::BANS;
use ravelin_tests::daemon::{Daemon, Half, ask, binary};
use ravelin_tests::netns::expect_success;
use ravelin_tests::scene::Scene;
use ravelin_tests::{requires, wait};

#[test]
fn only_root_may_connect_and_others_are_refused_by_their_credentials_if_they_do() {
    requires!(Root, Bpf, NetworkNamespaces, Tool("setpriv"));
    let scene = Scene::new("control-peers");
    let filter = scene.filter("control-peers", POLICY);
    let status = |user: u32| as_user(&filter, user, &["status"]);

    let output = status(STRANGER);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        words(&output).contains("no permission to connect"),
        "{}",
        words(&output)
    );

    // Whoever gets past the file's mode still is who they are.
    let socket = filter.home().socket();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).expect("open the socket to all");
    for command in ["status", "rules", "reload", "bans", "detach"] {
        for user in [STRANGER, NOBODY] {
            let output = as_user(&filter, user, &[command]);
            assert_eq!(output.status.code(), Some(2), "{command} as {user}");
            let refused = format!("uid {user} may not ask for `{command}`");
            assert!(words(&output).contains(&refused), "{command}: {}", words(&output));
            assert!(
                filter.logs().contains(&format!("uid={user} gid={user}")),
                "every request is in the audit log"
            );
        }
    }
    assert!(
        scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300"),
        "nothing was detached"
    );
    assert_eq!(
        filter.filter_status()["last_reload"]["accepted"],
        1,
        "nothing was reloaded"
    );
}

#[test]
fn the_edge_may_ask_for_metrics_and_serves_them_with_its_own() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("control-metrics");
    let policy = [POLICY, "[metrics]\nbind = \"127.0.0.1:9465\"\n"].concat();
    let daemon = Daemon::new("control-metrics", Half::Both, &policy)
        .inside(&scene.host)
        .started();
    assert!(scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300"));
    let text = scene.host.run(|| {
        let mut stream = std::net::TcpStream::connect("127.0.0.1:9465").expect("connect");
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .expect("ask");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text
    });
    assert!(
        text.contains("ravelin_rule_packets_total{rule=\"flow\"} 1"),
        "{text}"
    );
    assert!(
        text.contains("ravelin_xdp_mode_info{interface=\"wan\",mode=\"native\"} 1"),
        "{text}"
    );
    assert!(
        text.contains("ravelin_config_last_reload_successful{half=\"edge\"} 1"),
        "{text}"
    );
    let edge = ask(&daemon.home().edge_socket(), "status").expect("the edge answers");
    assert_eq!(edge["half"], "edge");
}

#[test]
fn the_edge_bans_single_sources_for_a_while_and_takes_no_ban_away() {
    requires!(Root, Bpf, NetworkNamespaces, Tool("setpriv"));
    let scene = Scene::new("control-edge-bans");
    let filter = scene.filter("control-edge-bans", POLICY);
    let socket = filter.home().socket();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).expect("open the socket to all");
    let edge = |arguments: &[&str]| as_user(&filter, NOBODY, arguments);
    expect_success("a ban", &edge(&["ban", "192.0.2.7", "--for", "7d"]));
    expect_success("a ban", &edge(&["ban", "2001:db8::/64", "--for", "1h"]));
    for (arguments, wanted) in [
        (&["ban", "192.0.2.0/24", "--for", "1h"][..], "single sources"),
        (&["ban", "2001:db8::/63", "--for", "1h"], "single sources"),
        (&["ban", "192.0.2.8", "--for", "8d"], "at most 7 days"),
        (&["unban", "192.0.2.7"], "may not ask for `unban`"),
    ] {
        let output = edge(arguments);
        assert_ne!(output.status.code(), Some(0), "{arguments:?}");
        assert!(
            words(&output).contains(wanted),
            "{arguments:?}: {}",
            words(&output)
        );
    }

    // A short one in the place of a long one would be the end of it.
    expect_success("a ban", &filter.ravelin(&["ban", "192.0.2.9", "--for", "1d"]));
    expect_success("a ban", &edge(&["ban", "192.0.2.9", "--for", "10ms"]));
    let ban = filter.ravelin(&["bans", "192.0.2.9", "--format", "json"]);
    let ban = String::from_utf8_lossy(&ban.stdout).into_owned();
    assert!(ban.contains("\"user\":0"), "{ban}");
    // A long one in the place of a short one is taken.
    expect_success("a ban", &filter.ravelin(&["ban", "192.0.2.10", "--for", "1h"]));
    expect_success("a ban", &edge(&["ban", "192.0.2.10", "--for", "1d"]));
    let ban = filter.ravelin(&["bans", "192.0.2.10", "--format", "json"]);
    let ban = String::from_utf8_lossy(&ban.stdout).into_owned();
    assert!(ban.contains(&format!("\"user\":{NOBODY}")), "{ban}");
    assert_eq!(filter.series("ravelin_bans"), 4.0);
}

#[test]
fn half_of_the_room_for_bans_is_out_of_the_edges_reach() {
    requires!(Root, Bpf, NetworkNamespaces, Tool("setpriv"));
    let scene = Scene::new("control-edge-share");
    let filter = scene.filter("control-edge-share", POLICY);
    fs::set_permissions(filter.home().socket(), fs::Permissions::from_mode(0o666)).expect("open the socket");
    let most = BANS / 2;
    let mut lines = String::new();
    for number in 1..most {
        let address = std::net::Ipv4Addr::from_bits(0xc633_0000_u32.wrapping_sub(number));
        writeln!(lines, "{address} 1d").expect("text");
    }
    let begin = Instant::now();
    expect_success("bans", &filter.ravelin_reading(&["ban", "--from-stdin"], &lines));
    eprintln!("{} bans in {:?}", most - 1, begin.elapsed());
    let ban = |address| as_user(&filter, NOBODY, &["ban", address, "--for", "1h"]);
    expect_success("the last one", &ban("2001:db8::1"));
    let refused = ban("2001:db8::2");
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        words(&refused).contains("the room for more is for operators"),
        "{}",
        words(&refused)
    );
    assert_eq!(filter.series("ravelin_bans_refused_total{reason=\"full\"}"), 1.0);
    expect_success("a ban", &filter.ravelin(&["ban", "2001:db8::2", "--for", "1h"]));
}

#[test]
fn oversized_garbled_and_silent_clients_do_not_keep_others_from_being_answered() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("control-hostile");
    let filter = scene.filter("control-hostile", POLICY);
    let socket = filter.home().socket();
    let connect = || UnixStream::connect(&socket).expect("connect");

    // Silent ones keep their seats for as long as they may.
    let silent: Vec<UnixStream> = (0..40).map(|_| connect()).collect();
    for garbage in [
        &b"\n"[..],
        b"{}\n",
        b"\xff\xfe\x00\n",
        b"{\"version\":1,\"action\":\"fly\"}\n",
        b"[[[[[[[[[[[[[[\n",
    ] {
        let mut stream = connect();
        stream.write_all(garbage).expect("write");
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer).expect("an answer");
        assert!(answer.contains("\"answer\":\"invalid\""), "{answer}");
    }
    for _ in 0..10 {
        let mut stream = connect();
        // The far end may hang up before all of it is written.
        let _cut_off = stream.write_all(&vec![b'x'; 1 << 20]);
    }
    let mut half = connect();
    half.write_all(b"{\"version\":1,").expect("write half a request");
    drop(half);

    let begin = Instant::now();
    assert_eq!(ask(&socket, "status").expect("an answer")["answer"], "status");
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert!(scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300"));

    // A silent client is hung up on.
    let mut first = silent.into_iter().next().expect("a silent client");
    first
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout");
    assert_eq!(first.read(&mut [0; 16]).expect("the end"), 0);
}

#[test]
fn a_crowd_that_takes_every_seat_is_sent_away_in_time() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("control-crowd");
    let filter = scene.filter("control-crowd", POLICY);
    let socket = filter.home().socket();
    // More than there are seats, also for operators.
    let crowd: Vec<UnixStream> = (0..200)
        .filter_map(|_| UnixStream::connect(&socket).ok())
        .collect();
    assert!(crowd.len() > 100);
    wait::until("a seat", Duration::from_secs(30), || ask(&socket, "status").ok());
    drop(crowd);
}

#[test]
fn detach_through_the_filter_leaves_nothing_and_ends_it() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("control-detach");
    let mut filter = scene.filter("control-detach", POLICY);
    assert!(!scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5301"));
    let output = filter.ravelin(&["detach"]);
    expect_success("ravelin detach", &output);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("wan: packets are no longer judged"), "{text}");
    assert!(text.contains("RULE_COUNTERS"), "{text}");
    assert!(filter.await_end().success());
    assert_nothing_left(&scene, &filter);
}

#[test]
fn detach_without_a_filter_leaves_nothing_and_may_be_repeated() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("control-orphan");
    let mut filter = scene.filter("control-orphan", POLICY);
    filter.kill();
    assert!(
        !scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5301"),
        "packets are judged without a filter"
    );
    expect_success("ravelin detach", &filter.ravelin(&["detach"]));
    assert_nothing_left(&scene, &filter);
    let again = filter.ravelin(&["detach"]);
    expect_success("ravelin detach", &again);
    assert_eq!(String::from_utf8_lossy(&again.stdout), "nothing was there\n");
}

#[test]
fn a_stopped_filter_leaves_packets_judged() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("control-stop");
    let mut filter = scene.filter("control-stop", POLICY);
    assert!(filter.stop().success());
    assert!(!filter.home().socket().exists());
    assert!(scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300"));
    assert!(!scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5301"));
}

#[test]
fn a_second_filter_on_the_same_socket_or_the_same_pins_is_refused() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("control-second");
    let filter = scene.filter("control-second", POLICY);
    let home = filter.home();
    let second = |socket: &str| {
        let mut command = scene.host.command(&binary().display().to_string());
        command.arg("filter").arg("--config").arg(home.policy());
        command.arg("--socket").arg(home.directory().join(socket));
        command.arg("--pin-dir").arg(home.pins().join("ravelin"));
        command.arg("--state-dir").arg(home.directory().join("state-2"));
        let output = command.output().expect("ravelin runs");
        (output.status.code(), words(&output))
    };
    let (code, words) = second("control.sock");
    assert!(
        code == Some(2) && words.contains("another ravelin answers on"),
        "{words}"
    );
    let (code, words) = second("other.sock");
    assert!(
        code == Some(2) && words.contains("another filter holds"),
        "{words}"
    );
    assert!(scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300"));
    assert_eq!(
        ask(&home.socket(), "status").expect("the first answers")["answer"],
        "status"
    );
}

#[test]
fn without_a_bpf_file_system_the_filter_says_how_to_mount_one() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("control-bpffs");
    let daemon = Daemon::new("control-bpffs", Half::Edge, POLICY);
    let home = daemon.home();
    let mut command = scene.host.command(&binary().display().to_string());
    command
        .arg("filter")
        .arg("--config")
        .arg(home.policy())
        .arg("--socket")
        .arg(home.socket());
    command
        .arg("--pin-dir")
        .arg(home.directory().join("no-bpf"))
        .arg("--state-dir")
        .arg(home.state());
    let output = command.output().expect("ravelin runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        words(&output).contains("mount -t bpf bpf /sys/fs/bpf"),
        "{}",
        words(&output)
    );
    assert!(!home.socket().exists());
}

/// Runs a command of ravelin as another user, from a copy that every user may run.
fn as_user(filter: &Daemon, user: u32, arguments: &[&str]) -> Output {
    let copy = filter.home().directory().join("ravelin");
    if !copy.exists() {
        fs::copy(binary(), &copy).expect("copy ravelin");
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("let everybody run it");
    }
    Command::new("setpriv")
        .args([format!("--reuid={user}"), format!("--regid={user}")])
        .arg("--clear-groups")
        .arg(copy)
        .args(arguments)
        .arg("--socket")
        .arg(filter.home().socket())
        .output()
        .expect("setpriv runs")
}

#[track_caller]
fn assert_nothing_left(scene: &Scene, filter: &Daemon) {
    assert!(
        scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5301"),
        "packets are no longer judged"
    );
    assert!(!filter.home().pins().join("ravelin").exists(), "pins are left");
    let output = scene
        .host
        .command("ip")
        .args(["link", "show", "dev", "wan"])
        .output()
        .expect("ip runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("xdp"), "{text}");
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const POLICY: &str = "[firewall]\ninterfaces = [\"wan\"]\nstateful = false\n\
    [[rule]]\nname = \"flow\"\naction = \"allow\"\nprotocol = \"udp\"\nports = [5300]\n";
const STRANGER: u32 = 12_345;
/// The edge's user where `ravelin-edge` does not exist.
const NOBODY: u32 = 65_534;
