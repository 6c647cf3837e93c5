//! What the host sends, through the real program on its way out: sockets, reloads, kills, and packets longer than any.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nix::net::if_::if_nametoindex;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use ravelin_tests::daemon::{Daemon, Half};
use ravelin_tests::netns::expect_success;
use ravelin_tests::packet::{Packet, hex};
use ravelin_tests::scene::{SILENCE, Scene, Stops, flood};
use ravelin_tests::{figures, requires, wait};

ravelin_tests::at_each_hook! {
    what_the_rules_let_out_goes_out_and_nothing_else_does,
    packets_longer_than_their_length_fields_can_say_are_not_cut,
    a_reload_changes_what_goes_out_and_a_policy_without_outbound_rules_has_no_program_there,
    under_a_flood_no_reload_and_no_kill_lets_a_packet_out,
    detach_takes_everything_out_with_a_filter_and_without_one,
    what_fails_on_the_way_out_leaves_the_way_in_as_it_was,
    a_policy_whose_way_out_fails_judges_no_packet_that_comes_in,
    a_restart_that_fails_half_way_goes_back_to_the_program_of_the_process_before,
    an_interface_that_comes_back_under_the_same_name_is_judged_again,
    the_rights_that_the_unit_leaves_are_enough_for_both_programs,
    headers_that_lie_behind_the_linear_part_of_a_buffer_are_read_like_others,
}

fn what_the_rules_let_out_goes_out_and_nothing_else_does(hook: &'static str) {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::at(hook, "outbound");
    let filter = scene.filter("outbound", POLICY);
    assert!(scene.udp_leaves("10.77.0.2:0", "10.77.0.1:5300"));
    assert!(!scene.udp_leaves("10.77.0.2:0", "10.77.0.1:5301"), "another port");
    assert!(!scene.udp_leaves("10.77.0.2:0", "10.77.0.9:5300"), "another host");
    assert!(scene.udp_leaves("[fd00:77::2]:0", "[fd00:77::1]:5300"));
    assert!(!scene.udp_leaves("[fd00:77::2]:0", "[fd00:77::1]:5301"));
    assert!(scene.tcp_leaves("10.77.0.2", "10.77.0.1:4430"));
    assert!(!scene.tcp_leaves("10.77.0.2", "10.77.0.1:4431"));
    assert!(scene.tcp_leaves("fd00:77::2", "[fd00:77::1]:4430"));
    assert!(scene.echo_leaves("10.77.0.1"));
    assert!(!scene.echo_leaves("10.77.0.9"));
    assert!(
        scene.echo_leaves("fd00:77::1"),
        "neighbour discovery is essential"
    );

    let rules = filter.rule_packets();
    assert_eq!(rules["dns"], 2);
    assert_eq!((rules["ping"], rules["ping6"]), (1, 1));
    assert!(rules["api"] >= 6, "{rules:?}");
    // Three datagrams, one echo request, and the SYN as often as it was repeated.
    let denied = filter.reason_packets_of("outbound", "deny", "default");
    assert!(denied >= 5, "{denied}");
    assert_eq!(
        filter.reason_packets("deny", "default"),
        0,
        "nothing was denied on the way in"
    );
    let labels = "direction=\"outbound\",reason=\"default\",verdict=\"deny\"";
    assert!(filter.series(&format!("ravelin_packets_total{{{labels}}}")) >= 5.0);
    assert_eq!(filter.series("ravelin_outbound_info{interface=\"wan\"}"), 1.0);

    // What comes in is judged by its own rules alone, and its answers by those for what goes out.
    assert!(scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5301"));
    assert!(
        !scene.tcp_works("10.77.0.1", "10.77.0.2:4430"),
        "the answer may not go out"
    );
    assert!(!scene.echo_answered("10.77.0.2"), "nor this one");

    // In observe mode it is counted and let out.
    filter.write_policy(&POLICY.replace("stateful", "mode = \"observe\"\nstateful"));
    filter.reload();
    let before = filter.reason_packets_of("outbound", "deny", "default");
    assert!(scene.udp_leaves("10.77.0.2:0", "10.77.0.1:5301"));
    assert_eq!(
        filter.reason_packets_of("outbound", "deny", "default"),
        before + 1
    );
}

fn packets_longer_than_their_length_fields_can_say_are_not_cut(hook: &'static str) {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::at(hook, "outbound-big");
    let filter = scene.filter("outbound-big", POLICY);
    transfer(&scene, &filter, "10.77.0.1:4430", "as devices come");
    transfer(&scene, &filter, "[fd00:77::1]:4430", "as devices come");
    // BIG TCP: the stack hands over packets that are longer than 16 bits can say.
    for (namespace, interface) in [(&scene.client, "up"), (&scene.host, "wan")] {
        namespace.run(|| set_packet_sizes(interface, 196_608).expect("a kernel with BIG TCP"));
    }
    for target in ["10.77.0.1:4430", "[fd00:77::1]:4430"] {
        let longest = transfer(&scene, &filter, target, "BIG TCP");
        assert!(
            longest > 65_549.0,
            "no packet was long enough to prove anything: {longest}"
        );
    }
    for class in ["truncated", "bad_header_length", "ext_header_chain"] {
        assert_eq!(filter.reason_packets_of("outbound", "deny", class), 0, "{class}");
    }
    assert_eq!(filter.reason_packets_of("outbound", "deny", "default"), 0);
}

fn a_reload_changes_what_goes_out_and_a_policy_without_outbound_rules_has_no_program_there(
    hook: &'static str,
) {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::at(hook, "outbound-reload");
    let filter = scene.filter("outbound-reload", OPEN);
    let leaves = |port: u16| scene.udp_leaves("10.77.0.2:0", &format!("10.77.0.1:{port}"));
    assert!(leaves(5301));
    assert_eq!(programs(&scene), 0);
    assert!(filter.filter_status()["filter"]["interfaces"][0]["outbound_program"].is_null());

    filter.write_policy(POLICY);
    filter.reload();
    assert!(leaves(5300) && !leaves(5301));
    assert_eq!(programs(&scene), 1);
    let first = outbound_program(&filter);
    filter.write_policy(&POLICY.replace("5300", "5301"));
    filter.reload();
    assert!(!leaves(5300) && leaves(5301));
    assert_eq!(programs(&scene), 1);
    assert_ne!(outbound_program(&filter), first);

    // Rules alone, without a default that denies: one that is counted, one that only observes.
    for rule in ["action = \"allow\"", "action = \"deny\"\nmode = \"observe\""] {
        filter.write_policy(&format!(
            "{OPEN}[[rule]]\nname = \"watched\"\ndirection = \"outbound\"\n{rule}\nprotocol = \"udp\"\nports = 5302\n"
        ));
        filter.reload();
        let before = filter.rule_packets()["watched"];
        assert!(leaves(5302) && leaves(5301));
        assert_eq!(filter.rule_packets()["watched"], before + 1);
        assert_eq!(programs(&scene), 1);
    }
    filter.write_policy(OPEN);
    filter.reload();
    assert!(leaves(5301));
    assert_eq!(programs(&scene), 0, "paid for by nobody");
}

fn under_a_flood_no_reload_and_no_kill_lets_a_packet_out(hook: &'static str) {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::at(hook, "outbound-kill");
    let mut filter = scene.filter("outbound-kill", POLICY);
    let receiver = scene
        .client
        .run(|| UdpSocket::bind("10.77.0.1:5301").expect("bind"));
    receiver.set_read_timeout(Some(SILENCE)).expect("a timeout");
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scene.host.enter_and(scope, || {
            flood("10.77.0.2:0", "10.77.0.1:5301", true, &sent, &stop);
        });
        let flooded = Stops(&stop);
        for round in 0..20 {
            filter.write_policy(&POLICY.replace("5300", &format!("{}", 5310 + round)));
            filter.reload();
        }
        for _ in 0..5 {
            let before = outbound_program(&filter);
            filter.kill();
            let so_far = sent.load(Ordering::Relaxed);
            wait::until("packets without a daemon", Duration::from_secs(10), || {
                (sent.load(Ordering::Relaxed) > so_far + 500).then_some(())
            });
            assert_eq!(programs(&scene), 1, "the link is pinned");
            filter.start();
            assert_ne!(outbound_program(&filter), before, "adopted, and swapped");
            assert_eq!(programs(&scene), 1);
        }
        drop(flooded);
    });
    let leaked = receiver.recv(&mut [0; 4]).is_ok();
    let sent = sent.into_inner();
    let counted = filter.reason_packets_of("outbound", "deny", "default");
    figures::show(&format!(
        "20 reloads, 5 kills: sent {sent}, counted as denied {counted}, leaked: {leaked}"
    ));
    assert!(!leaked && sent > 10_000);
    assert_eq!(counted, sent, "judged by another policy, or by none");
}

fn detach_takes_everything_out_with_a_filter_and_without_one(hook: &'static str) {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::at(hook, "outbound-detach");
    let mut filter = scene.filter("outbound-detach", POLICY);
    let pins = filter.home().pins().join("ravelin");
    for running in [false, true] {
        assert_eq!(programs(&scene), 1);
        assert!(!scene.udp_leaves("10.77.0.2:0", "10.77.0.1:5301"));
        if !running {
            filter.kill();
        }
        expect_success("ravelin detach", &filter.ravelin(&["detach"]));
        if running {
            filter.await_end();
        }
        assert_eq!(programs(&scene), 0);
        assert!(!pins.exists(), "nothing is pinned");
        assert!(scene.udp_leaves("10.77.0.2:0", "10.77.0.1:5301"));
        filter.start();
    }
}

fn what_fails_on_the_way_out_leaves_the_way_in_as_it_was(hook: &'static str) {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::at(hook, "outbound-fails");
    let old = OPEN.replace("inbound = \"allow\"", "inbound = \"deny\"");
    let new =
        format!("{POLICY}[[rule]]\nname = \"closed\"\naction = \"deny\"\nprotocol = \"udp\"\nports = 5300\n");
    let old =
        format!("{old}[[rule]]\nname = \"open\"\naction = \"allow\"\nprotocol = \"udp\"\nports = 5300\n");
    let filter = scene.filter("outbound-fails", &old);
    // A refused file is tried once more when the watch sees it, and what goes out is judged for the moment that it takes to fail.
    let as_it_was = || {
        wait::until("what was before", Duration::from_secs(20), || {
            let all = scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300")
                && !scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5301")
                && scene.udp_leaves("10.77.0.2:0", "10.77.0.1:5301")
                && programs(&scene) == 0;
            all.then_some(())
        });
    };
    as_it_was();
    // The new link finds no place for its pin.
    let links = filter.home().pins().join(pins_of(hook).0);
    fs::remove_dir(&links).expect("an empty folder");
    refused(&filter, &new, pins_of(hook).1);
    as_it_was();
    // Or the watch finds the file when there is a place for the pin.
    filter.write_policy(&old);
    fs::create_dir(&links).expect("the folder");
    filter.reload();
    // A device whose packets have no Ethernet header.
    scene.host.ip(&["tuntap", "add", "mode", "tun", "name", "tun9"]);
    scene.host.ip(&["link", "set", "dev", "tun9", "up"]);
    let both = new.replace("[\"wan\"]", "[\"wan\", \"tun9\"]");
    refused(&filter, &both, "`tun9` has no Ethernet header");
    as_it_was();
    filter.write_policy(&new);
    filter.reload();
    assert!(!scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5300"));
    assert!(scene.udp_arrives("10.77.0.1:0", "10.77.0.2:5301"));
    assert!(!scene.udp_leaves("10.77.0.2:0", "10.77.0.1:5301"));
}

fn a_policy_whose_way_out_fails_judges_no_packet_that_comes_in(hook: &'static str) {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::at(hook, "outbound-never");
    let old = OPEN.replace("inbound = \"allow\"", "inbound = \"deny\"");
    let rule = |name: &str, action: &str| {
        format!("[[rule]]\nname = \"{name}\"\naction = \"{action}\"\nprotocol = \"udp\"\nports = 5300\n")
    };
    let old = format!("{old}{}", rule("open", "allow"));
    let new = format!("{POLICY}{}", rule("closed", "deny"));
    let filter = scene.filter("outbound-never", &old);
    let links = filter.home().pins().join(pins_of(hook).0);
    fs::remove_dir(&links).expect("an empty folder");
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scene.client.enter_and(scope, || {
            flood("10.77.0.1:0", "10.77.0.2:5300", false, &sent, &stop);
        });
        let flooded = Stops(&stop);
        for _ in 0..20 {
            refused(&filter, &new, pins_of(hook).1);
        }
        drop(flooded);
    });
    let open = filter.rule_packets()["open"];
    // Counters keep what was counted under a name: with a place for the pin, the new policy shows it.
    fs::create_dir(&links).expect("the folder");
    filter.write_policy(&new);
    filter.reload();
    let closed = filter.rule_packets()["closed"];
    figures::show(&format!(
        "20 refused reloads: sent {}, judged by the old policy {open}, by the refused one {closed}",
        sent.into_inner()
    ));
    assert!(open > 10_000);
    assert_eq!(closed, 0, "judged by the policy that was refused");
}

fn a_restart_that_fails_half_way_goes_back_to_the_program_of_the_process_before(hook: &'static str) {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::at(hook, "outbound-half");
    let old = OPEN.replace("inbound = \"allow\"", "inbound = \"deny\"");
    let old =
        format!("{old}[[rule]]\nname = \"open\"\naction = \"allow\"\nprotocol = \"udp\"\nports = 5300\n");
    let mut filter = scene.filter("outbound-half", &old);
    filter.kill();
    // Nothing can be pinned here, and nobody but the link holds the old program.
    let links = filter.home().pins().join(pins_of(hook).0);
    let place = links.to_str().expect("a path of ASCII");
    mount(&["-t", "tmpfs", "-o", "ro", "tmpfs", place], "mount");
    filter.write_policy(POLICY);
    filter.start();
    let arrives = |port: u16| scene.udp_arrives("10.77.0.1:0", &format!("10.77.0.2:{port}"));
    let judged = (arrives(5300), arrives(5301), programs(&scene));
    filter.kill();
    mount(&[place], "umount");
    assert_eq!(judged, (true, false, 0), "{}", filter.logs());
    filter.start();
    assert_eq!((arrives(5301), programs(&scene)), (true, 1), "mended");
}

fn an_interface_that_comes_back_under_the_same_name_is_judged_again(hook: &'static str) {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::at(hook, "outbound-again");
    let filter = scene.filter("outbound-again", POLICY);
    scene.host.ip(&["link", "del", "dev", "wan"]);
    scene.join();
    // Its addresses and number are new facts of the host.
    wait::until("the new interface to be judged", Duration::from_secs(20), || {
        (programs(&scene) == 1).then_some(())
    });
    assert!(!scene.udp_leaves("10.77.0.2:0", "10.77.0.1:5301"));
    assert!(scene.udp_leaves("10.77.0.2:0", "10.77.0.1:5300"));
    filter.reload();
    assert_eq!(programs(&scene), 1);
}

fn the_rights_that_the_unit_leaves_are_enough_for_both_programs(hook: &'static str) {
    requires!(Root, Bpf, NetworkNamespaces, Tool("setpriv"));
    let scene = Scene::at(hook, "outbound-rights");
    let rights = [
        "setpriv",
        "--bounding-set=-all,+bpf,+net_admin,+perfmon",
        "--no-new-privs",
    ];
    let filter = scene
        .daemon("outbound-rights", Half::Filter, POLICY)
        .wrapped(&rights)
        .started();
    assert!(scene.udp_leaves("10.77.0.2:0", "10.77.0.1:5300"));
    assert!(!scene.udp_leaves("10.77.0.2:0", "10.77.0.1:5301"));
    filter.reload();
    assert_eq!(programs(&scene), 1);
}

fn headers_that_lie_behind_the_linear_part_of_a_buffer_are_read_like_others(hook: &'static str) {
    requires!(Root, Bpf, NetworkNamespaces, Tool("perl"));
    let scene = Scene::at(hook, "outbound-parts");
    for (namespace, interface) in [(&scene.client, "up"), (&scene.host, "wan")] {
        namespace.ip(&["link", "set", "dev", interface, "mtu", "9000"]);
    }
    let filter = scene.filter("outbound-parts", POLICY);
    let v4 = "ether / ipv4 source=10.77.0.2 destination=10.77.0.1";
    let v6 = "ether / ipv6 source=fd00:77::2 destination=fd00:77::1 / destination-options / routing";
    let counts = || {
        let default = filter.reason_packets_of("outbound", "deny", "default");
        let truncated = filter.reason_packets_of("outbound", "deny", "truncated");
        [filter.rule_packets()["dns"], default, truncated]
    };
    // The Ethernet header alone, a part of the IP header, the IP header, a part of what follows, and everything.
    for linear in [14, 20, 34, 58, 5000] {
        for (packet, moved) in [
            (format!("{v4} / udp port=5300 / payload length=5000"), 0),
            (format!("{v4} / udp port=5301 / payload length=5000"), 1),
            (
                format!("{v4} length=6000 / udp port=5300 / payload length=5000"),
                2,
            ),
            (format!("{v6} / udp port=5300 / payload length=5000"), 0),
            (format!("{v6} / udp port=5301 / payload length=5000"), 1),
        ] {
            let frame = Packet::parse(&packet).expect("a packet").bytes();
            let mut expected = counts();
            expected[moved] += 1;
            send_in_parts(&scene, linear, &frame);
            assert_eq!(counts(), expected, "{packet}, of which {linear} bytes are linear");
        }
    }
}

#[track_caller]
fn mount(arguments: &[&str], command: &str) {
    let output = Command::new(command).args(arguments).output();
    expect_success(command, &output.expect("it runs"));
}

#[track_caller]
fn refused(filter: &Daemon, policy: &str, why: &str) {
    filter.write_policy(policy);
    let output = filter.ravelin(&["reload"]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && words.contains(why), "{words}");
}

/// Sends a frame on the host's interface; the kernel makes its first `linear` bytes the linear part of the buffer, as a packet socket
/// with `PACKET_VNET_HDR` may ask for (packet(7)). Only C's own calls reach that option.
#[track_caller]
fn send_in_parts(scene: &Scene, linear: usize, frame: &[u8]) {
    let index = scene.host.run(|| if_nametoindex("wan").expect("the interface"));
    // AF_PACKET, SOCK_RAW; SOL_PACKET, PACKET_VNET_HDR; struct sockaddr_ll; struct virtio_net_hdr.
    let program = "socket(S, 17, 3, 0) or die $!; setsockopt(S, 263, 15, pack('i', 1)) or die $!; \
                   bind(S, pack('SSiSCCa8', 17, 0, $ARGV[0], 0, 0, 0, '')) or die $!; \
                   send(S, pack('CCSSSS', 0, 0, $ARGV[1], 0, 0, 0) . pack('H*', $ARGV[2]), 0);";
    let output = scene
        .host
        .command("perl")
        .args([
            "-e",
            program,
            &index.to_string(),
            &linear.to_string(),
            &hex(frame),
        ])
        .output();
    expect_success("perl", &output.expect("perl runs"));
}

/// Programs on the way out of the host's interface, at either hook.
fn programs(scene: &Scene) -> usize {
    let (tcx, clsact) = scene.outbound_programs();
    tcx + clsact
}

/// Where the hook's pins are, in the pin folder, and what is said when they find no place.
fn pins_of(hook: &str) -> (&'static str, &'static str) {
    match hook {
        "clsact" => ("ravelin/filters-outbound", "cannot make the folder"),
        _ => ("ravelin/links-outbound", "cannot pin the link on `wan`"),
    }
}

#[track_caller]
fn outbound_program(filter: &Daemon) -> u64 {
    filter.filter_status()["filter"]["interfaces"][0]["outbound_program"]
        .as_u64()
        .expect("a program")
}

/// Sends [`BYTES`] from the host to a listener of the client, and gives the mean length of the packets that the filter saw.
#[track_caller]
fn transfer(scene: &Scene, filter: &Daemon, target: &str, how: &str) -> f64 {
    let count = |what: &str| filter.series(&format!("ravelin_rule_{what}_total{{rule=\"api\"}}"));
    let (packets, bytes) = (count("packets"), count("bytes"));
    let target: SocketAddr = target.parse().expect("an address");
    let listener = scene.client.run(|| TcpListener::bind(target).expect("bind"));
    let receiver = thread::spawn(move || -> std::io::Result<(u64, u64)> {
        let (mut stream, _) = listener.accept()?;
        let (mut length, mut sum) = (0, 0_u64);
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = stream.read(&mut buffer)?;
            if read == 0 {
                return Ok((length, sum));
            }
            length += read as u64;
            sum = buffer[..read].iter().fold(sum, |sum, byte| {
                sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
            });
        }
    });
    let mut stream = scene.host.run(|| TcpStream::connect(target).expect("connect"));
    stream
        .set_write_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    let chunk: Vec<u8> = (0..CHUNK)
        .map(|at: u32| at.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    let mut expected = 0_u64;
    for _ in 0..BYTES / u64::from(CHUNK) {
        stream.write_all(&chunk).expect("the transfer goes on");
        expected = chunk.iter().fold(expected, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
        });
    }
    drop(stream);
    let received = receiver.join().expect("the receiver").expect("received");
    assert_eq!(received, (BYTES, expected), "{target}, {how}");
    let mean = (count("bytes") - bytes) / (count("packets") - packets);
    figures::show(&format!(
        "{target}, {how}: {BYTES} bytes in packets of {mean:.0} bytes"
    ));
    mean
}

/// The longest packets that the stack makes and takes on the interface, of both families. `ip` knows the words for IPv4 only
/// since 6.3.
fn set_packet_sizes(interface: &str, bytes: u32) -> std::io::Result<()> {
    // linux/if_link.h: IFLA_GSO_MAX_SIZE, IFLA_GRO_MAX_SIZE, and the same for IPv4.
    let sizes = [41_u16, 58, 63, 64];
    let mut body = vec![0; 16];
    body[4..8].copy_from_slice(&if_nametoindex(interface)?.to_ne_bytes());
    for kind in sizes {
        body.extend(8_u16.to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(bytes.to_ne_bytes());
    }
    // struct nlmsghdr: length, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, sequence, port.
    let length = u32::try_from(16 + body.len()).expect("a short message");
    let mut message = length.to_ne_bytes().to_vec();
    message.extend([16_u16, 5].into_iter().flat_map(u16::to_ne_bytes));
    message.extend([1_u32, 0].into_iter().flat_map(u32::to_ne_bytes));
    message.extend(body);
    let (family, protocol) = (AddressFamily::Netlink, SockProtocol::NetlinkRoute);
    let mut socket = fs::File::from(socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?);
    socket.write_all(&message)?;
    let mut answer = [0; 64];
    let _length = socket.read(&mut answer)?;
    // struct nlmsgerr: the error, negated.
    let error = i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]);
    match error {
        0 => Ok(()),
        _ => Err(std::io::Error::from_raw_os_error(-error)),
    }
}

const BYTES: u64 = 64 << 20;
const CHUNK: u32 = 1 << 20;

const OPEN: &str = "[firewall]\ninterfaces = [\"wan\"]\ninbound = \"allow\"\nstateful = false\n";

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
[[rule]]
name = "api"
direction = "outbound"
action = "allow"
destination = ["10.77.0.1", "fd00:77::1"]
protocol = "tcp"
ports = [4430]
[[rule]]
name = "ping"
direction = "outbound"
action = "allow"
destination = "10.77.0.1"
protocol = "icmp"
icmp = ["echo-request"]
[[rule]]
name = "ping6"
direction = "outbound"
action = "allow"
destination = "fd00:77::1"
protocol = "icmpv6"
icmp = ["echo-request"]
"#;
