//! Flows through real sockets: what a host behind a closed door needs of the network works, and nothing else comes in.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use ravelin_datapath::wire::ABI;
use ravelin_tests::daemon::Daemon;
use ravelin_tests::netns::{End, Namespace, veth};
use ravelin_tests::packet::{Packet, ether};
use ravelin_tests::scene::{SILENCE, Scene};
use ravelin_tests::{requires, wait};
use socket2::{Domain, Protocol, Socket, Type};

ravelin_tests::at_each_hook! {
    a_host_behind_a_closed_door_talks_to_whom_it_likes_and_nobody_else_comes_in,
    what_a_rule_lets_in_is_answered_though_nothing_may_go_out,
    a_connection_lives_through_reloads_kills_and_restarts_and_ends_with_the_rule_that_let_it_in,
    connections_that_were_there_before_the_first_policy_live_on,
    a_long_answer_arrives_in_fragments_and_orphans_do_not,
    a_policy_without_flows_has_no_tables_for_them,
}

fn a_host_behind_a_closed_door_talks_to_whom_it_likes_and_nobody_else_comes_in(hook: &'static str) {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::at(hook, "stateful");
    let filter = scene.filter("stateful", CLOSED);
    for (host, client) in [("10.77.0.2", "10.77.0.1"), ("fd00:77::2", "fd00:77::1")] {
        let target = at(client, 4430);
        assert!(scene.tcp_leaves(host, &target), "a connection to {target}");
        assert!(
            !scene.tcp_works(client, &at(host, 4430)),
            "a connection to {host}"
        );
        assert!(answered(
            &scene.host,
            &at(host, 0),
            &scene.client,
            &at(client, 5300)
        ));
        assert!(
            !scene.udp_arrives(&at(client, 0), &at(host, 5300)),
            "a datagram to {host}"
        );
        assert!(scene.echo_leaves(client), "{client} answers");
        assert!(!scene.echo_answered(host), "{host} does not");
    }
    // The last of them, in which the ends say goodbye, may still be on their way.
    let flows = |direction| filter.reason_packets_of(direction, "allow", "flow");
    wait::until("the packets of all flows", SILENCE * 30, || {
        (flows("inbound") >= 12 && flows("outbound") >= 8).then_some(())
    });
    let events = |event: &str| filter.series(&format!("ravelin_flow_events_total{{event=\"{event}\"}}"));
    assert!(events("opened") >= 6.0 && events("settled") >= 6.0);
    assert_eq!(events("no_room") + events("not_settled"), 0.0);

    // Who is answered is who was asked: not another port of his, not another host.
    let host = scene
        .host
        .run(|| UdpSocket::bind("10.77.0.2:7000").expect("a socket"));
    host.set_read_timeout(Some(SILENCE)).expect("a timeout");
    let [asked, port, other] = ["10.77.0.1:7001", "10.77.0.1:7002", "10.77.0.9:7001"]
        .map(|address| scene.client.run(|| UdpSocket::bind(address).expect("a socket")));
    host.send_to(b"?", asked.local_addr().expect("an address"))
        .expect("send");
    let said = |socket: &UdpSocket| {
        socket.send_to(b"!", "10.77.0.2:7000").expect("send");
        host.recv(&mut [0]).is_ok()
    };
    assert!(said(&asked) && !said(&port) && !said(&other) && said(&asked));
}

fn what_a_rule_lets_in_is_answered_though_nothing_may_go_out(hook: &'static str) {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::at(hook, "stateful-in");
    let filter = scene.filter("stateful-in", &format!("{SERVER}{SSH}"));
    assert!(scene.tcp_works("10.77.0.1", "10.77.0.2:22"));
    assert!(scene.tcp_works("fd00:77::1", "[fd00:77::2]:22"));
    assert!(!scene.tcp_works("10.77.0.1", "10.77.0.2:23"));
    assert!(!scene.tcp_leaves("10.77.0.2", "10.77.0.1:4430"));
    assert!(!answered(
        &scene.host,
        "10.77.0.2:0",
        &scene.client,
        "10.77.0.1:5300"
    ));

    // A rule that says so judges each packet alone.
    filter.write_policy(&format!("{SERVER}{SSH}stateful = false\n"));
    filter.reload();
    assert!(!scene.tcp_works("10.77.0.1", "10.77.0.2:22"));
}

fn a_connection_lives_through_reloads_kills_and_restarts_and_ends_with_the_rule_that_let_it_in(
    hook: &'static str,
) {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::at(hook, "stateful-life");
    let mut filter = scene.filter("stateful-life", &format!("{SERVER}{SSH}"));
    let mut session = Session::begin(&scene.client, "10.77.0.1:0", &scene.host, "10.77.0.2:22");
    assert!(session.is_alive());

    filter.write_policy(&format!(
        "{SERVER}[[rule]]\nname = \"another\"\naction = \"deny\"\nprotocol = \"udp\"\n{SSH}"
    ));
    filter.reload();
    assert!(session.is_alive(), "through a reload");
    filter.kill();
    assert!(session.is_alive(), "without a daemon");
    filter.start();
    assert!(session.is_alive(), "through a restart");

    // Only its opening is allowed now, and the flow is what lets the rest through.
    filter.write_policy(&format!("{SERVER}{SSH}tcp_flags = \"syn,!ack\"\n"));
    filter.reload();
    assert!(session.is_alive(), "its first packet is still allowed");

    filter.write_policy(SERVER);
    filter.reload();
    assert!(!session.is_alive(), "no rule would let it in any more");
}

fn connections_that_were_there_before_the_first_policy_live_on(hook: &'static str) {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::at(hook, "stateful-grace");
    // One that the host has accepted, one that it has opened, over both families; and a connected datagram socket.
    let mut sessions = [
        Session::begin(&scene.client, "10.77.0.1:0", &scene.host, "10.77.0.2:22"),
        Session::begin(&scene.client, "[fd00:77::1]:0", &scene.host, "[fd00:77::2]:22"),
        Session::begin(&scene.host, "10.77.0.2:0", &scene.client, "10.77.0.1:4430").reversed(),
    ];
    let datagrams = scene
        .host
        .run(|| UdpSocket::bind("10.77.0.2:7000").expect("a socket"));
    datagrams.connect("10.77.0.1:7001").expect("connected");
    datagrams.set_read_timeout(Some(SILENCE)).expect("a timeout");
    let peer = scene
        .client
        .run(|| UdpSocket::bind("10.77.0.1:7001").expect("a socket"));

    let filter = scene.filter("stateful-grace", SERVER);
    // The client speaks first, and nothing of the host's has opened the door for it.
    for session in &mut sessions {
        assert!(session.is_alive());
    }
    peer.send_to(b"!", "10.77.0.2:7000").expect("send");
    assert!(datagrams.recv(&mut [0]).is_ok());
    assert!(
        !scene.tcp_works("10.77.0.1", "10.77.0.2:23"),
        "nothing new comes in"
    );

    let flows = filter.json("flows");
    assert_eq!(flows["flows"], 4, "{flows}");
    let mut openers: Vec<&str> = flows["shown"]
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| row["opened_by"].as_str())
        .collect();
    openers.sort_unstable();
    assert_eq!(openers, ["local", "local", "remote", "remote"]);
    let text = filter.ravelin(&["flows", "--address", "fd00:77::1"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(
        text.contains("[fd00:77::2]:22") && !text.contains("10.77.0.2"),
        "{text}"
    );

    // Once only: the next policy asks its rules.
    filter.write_policy(&format!("{SERVER}{SSH}"));
    filter.reload();
    let [accepted, _, opened] = &mut sessions;
    assert!(accepted.is_alive() && !opened.is_alive());
}

fn a_long_answer_arrives_in_fragments_and_orphans_do_not(hook: &'static str) {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::at(hook, "stateful-long");
    let filter = scene.filter("stateful-long", CLOSED);
    for (host, client) in [
        ("10.77.0.2:0", "10.77.0.1:53"),
        ("[fd00:77::2]:0", "[fd00:77::1]:53"),
    ] {
        let server = scene.client.run(|| UdpSocket::bind(client).expect("a server"));
        let resolver = scene.host.run(|| UdpSocket::bind(host).expect("a resolver"));
        resolver.set_read_timeout(Some(SILENCE)).expect("a timeout");
        resolver.send_to(b"?", client).expect("send");
        let mut buffer = [0; 8192];
        let (_, asker) = server.recv_from(&mut buffer).expect("the question");
        server.send_to(&[7; 4000], asker).expect("send");
        assert_eq!(resolver.recv(&mut buffer).expect("the answer"), 4000);
        // The same to another port of the host, which asked nobody: its first fragment is denied, and the others are orphans.
        let other = scene
            .host
            .run(|| UdpSocket::bind((asker.ip(), 9)).expect("a socket"));
        other.set_read_timeout(Some(SILENCE)).expect("a timeout");
        server.send_to(&[7; 4000], (asker.ip(), 9)).expect("send");
        assert!(other.recv(&mut buffer).is_err());
    }
    assert_eq!(filter.reason_packets_of("inbound", "allow", "fragment_later"), 4);
    assert_eq!(filter.reason_packets_of("inbound", "deny", "fragment_later"), 0);
    assert_eq!(filter.reason_packets_of("inbound", "deny", "fragment_orphan"), 4);
}

#[test]
fn a_router_tells_the_host_of_what_it_has_sent_and_nobody_tells_it_anything_else() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("stateful-errors");
    let server = behind_a_narrow_link(&scene.client);
    for (family, router) in [("-4", "10.77.0.1"), ("-6", "fd00:77::1")] {
        scene.host.ip(&[family, "route", "add", "default", "via", router]);
    }
    let farther = [
        ("10.77.0.2", "10.88.0.2", Protocol::ICMPV4, 11),
        ("fd00:77::2", "fd00:88::2", Protocol::ICMPV6, 3),
    ];
    // That a forged error does harm, without a filter.
    for (host, target, protocol, _) in farther {
        assert_eq!(mtu(&scene.host, target), None);
        forge(&scene.client, protocol, &too_big(host, target), host);
        wait::until("the forged MTU", SILENCE * 10, || {
            (mtu(&scene.host, target) == Some(1290)).then_some(())
        });
        for family in ["-4", "-6"] {
            scene.host.ip(&[family, "route", "flush", "cache"]);
        }
        assert_eq!(mtu(&scene.host, target), None);
    }

    let filter = scene.filter("stateful-errors", CLOSED);
    let errors = || filter.reason_packets_of("inbound", "allow", "icmp_error");
    for (host, target, protocol, exceeded) in farther {
        let before = filter.reason_packets_of("inbound", "deny", "default");
        for forged in [
            too_big(host, target),
            error(protocol, 0, &quotation(host, target, 4430)),
            error(protocol, 1, &quotation(host, target, 4430)),
        ] {
            forge(&scene.client, protocol, &forged, host);
        }
        let denied = || filter.reason_packets_of("inbound", "deny", "default") >= before + 3;
        wait::until("what is forged", SILENCE * 10, || denied().then_some(()));
        assert_eq!(mtu(&scene.host, target), None);

        // Path MTU discovery: the server and the host have wide links, and the one between them is narrow.
        let before = errors();
        let listener = server.run(|| TcpListener::bind(at(target, 4430)).expect("a listener"));
        let mut stream = scene.host.run(|| {
            ravelin_tests::scene::connect_from(
                host.parse().expect("an address"),
                listener.local_addr().expect("an address"),
            )
            .expect("a connection")
        });
        let (mut accepted, _) = listener.accept().expect("a connection");
        accepted.set_read_timeout(Some(SILENCE * 20)).expect("a timeout");
        stream.write_all(&[7; 50_000]).expect("room to send");
        accepted
            .read_exact(&mut [0; 50_000])
            .expect("all of it, in smaller packets");
        assert_eq!(mtu(&scene.host, target), Some(1300));
        assert!(errors() > before, "the router has said so");

        // Traceroute.
        let before = errors();
        let heard = scene.host.run(|| {
            let mut messages = Socket::new(Domain::for_address(sock(host)), Type::RAW, Some(protocol))
                .expect("a raw socket");
            messages.set_read_timeout(Some(SILENCE * 4)).expect("a timeout");
            let probe = Socket::new(Domain::for_address(sock(host)), Type::DGRAM, None).expect("a socket");
            match protocol {
                Protocol::ICMPV4 => probe.set_ttl_v4(1),
                _ => probe.set_unicast_hops_v6(1),
            }
            .expect("one hop");
            probe
                .send_to(
                    b"?",
                    &at(target, 33434)
                        .parse::<SocketAddr>()
                        .expect("an address")
                        .into(),
                )
                .expect("send");
            let mut message = [0; 1500];
            let start = if protocol == Protocol::ICMPV4 { 20 } else { 0 };
            while let Ok(length) = messages.read(&mut message) {
                if length > start && message[start] == exceeded {
                    return true;
                }
            }
            false
        });
        assert!(heard, "the router has answered");
        assert!(errors() > before);
    }
}

/// A namespace behind the client, which forwards to it over a link of 1,300 bytes.
fn behind_a_narrow_link(client: &Namespace) -> Namespace {
    let server = Namespace::new("stateful-errors", "server");
    veth(
        End {
            namespace: client,
            interface: "far",
            addresses: &["10.88.0.1/24", "fd00:88::1/64"],
        },
        End {
            namespace: &server,
            interface: "up",
            addresses: &["10.88.0.2/24", "fd00:88::2/64"],
        },
    );
    client.ip(&["link", "set", "dev", "far", "mtu", "1300"]);
    for (family, router) in [("-4", "10.88.0.1"), ("-6", "fd00:88::1")] {
        server.ip(&[family, "route", "add", "default", "via", router]);
    }
    client.run(|| {
        for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            fs::write(format!("/proc/sys/net/{key}"), "1").expect("forwarding");
        }
    });
    // A router that is not sure of its own addresses asks nobody for theirs.
    for namespace in [client, &server] {
        wait::until("addresses that nobody else has", SILENCE * 20, || {
            let tentative = namespace
                .command("ip")
                .args(["-6", "addr", "show", "tentative"])
                .output();
            tentative.expect("`ip` runs").stdout.is_empty().then_some(())
        });
    }
    server
}

/// What the host knows of the MTU of the way there.
fn mtu(host: &Namespace, target: &str) -> Option<u64> {
    let said = host.command("ip").args(["route", "get", target]).output();
    let said = String::from_utf8_lossy(&said.expect("ip runs").stdout).into_owned();
    let mut words = said.split_whitespace().skip_while(|word| *word != "mtu").skip(1);
    words.next().map(|number| number.parse().expect("a number"))
}

/// Says that an echo of the host's, which it has not sent, is too big.
fn too_big(host: &str, target: &str) -> Vec<u8> {
    let quoted = ip(host, target);
    if host.contains(':') {
        let quoted = quoted.icmpv6(128, 0).with("rest", 7 << 16).payload(8);
        return ip(target, host)
            .icmpv6(2, 0)
            .with("rest", 1290)
            .carrying(&quoted.bytes()[14..])
            .bytes()[54..]
            .to_vec();
    }
    // For an echo request the host's TCP/IP asks for a socket that has sent it; an answer is its own.
    let quoted = quoted.icmp(0, 0).with("rest", 7 << 16).payload(8);
    ip(target, host)
        .icmp(3, 4)
        .with("rest", 1290)
        .carrying(&quoted.bytes()[14..])
        .bytes()[34..]
        .to_vec()
}

/// An unreachable (`kind` 0) or exceeded destination.
fn error(protocol: Protocol, kind: usize, quotation: &[u8]) -> Vec<u8> {
    if protocol == Protocol::ICMPV4 {
        return ether().ipv4().icmp([3, 11][kind], 0).carrying(quotation).bytes()[34..].to_vec();
    }
    ether().ipv6().icmpv6([1, 3][kind], 0).carrying(quotation).bytes()[54..].to_vec()
}

/// A packet of a connection that the host does not have.
fn quotation(host: &str, target: &str, port: u16) -> Vec<u8> {
    ip(host, target).tcp(port).with("source-port", 9).bytes()[14..].to_vec()
}

fn ip(from: &str, to: &str) -> Packet {
    let packet = if from.contains(':') {
        ether().ipv6()
    } else {
        ether().ipv4()
    };
    packet.source(from).destination(to)
}

#[track_caller]
fn forge(from: &Namespace, protocol: Protocol, message: &[u8], to: &str) {
    from.run(|| {
        let socket =
            Socket::new(Domain::for_address(sock(to)), Type::RAW, Some(protocol)).expect("a raw socket");
        socket.send_to(message, &sock(to).into()).expect("send");
    });
}

fn sock(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().expect("an address"), 0)
}

fn a_policy_without_flows_has_no_tables_for_them(hook: &'static str) {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::at(hook, "stateful-off");
    let filter = scene.filter("stateful-off", CLOSED);
    assert_eq!(flow_maps(&filter), 2);
    filter.write_policy(&CLOSED.replace("[firewall]\n", "[firewall]\nstateful = false\n"));
    filter.reload();
    assert_eq!(flow_maps(&filter), 0);
    assert!(!scene.tcp_leaves("10.77.0.2", "10.77.0.1:4430"));
    assert!(filter.filter_status()["filter"]["interfaces"][0]["outbound_program"].is_null());
    filter.write_policy(CLOSED);
    filter.reload();
    assert!(scene.tcp_leaves("10.77.0.2", "10.77.0.1:4431"));
}

/// A TCP connection in which the client speaks and the host answers.
struct Session {
    client: TcpStream,
    host: TcpStream,
    /// Kept open: by it the filter knows who has opened the connection.
    listener: TcpListener,
}

impl Session {
    #[track_caller]
    fn begin(from: &Namespace, source: &str, to: &Namespace, target: &str) -> Self {
        let listener = to.run(|| TcpListener::bind(target).expect("a listener"));
        let target = listener.local_addr().expect("an address");
        let source: SocketAddr = source.parse().expect("an address");
        // A new namespace's first IPv6 packets wait for duplicate address detection.
        let client = wait::until("the connection", SILENCE * 30, || {
            let connected = from.run(|| ravelin_tests::scene::connect_from(source.ip(), target));
            connected.ok()
        });
        let (host, _) = listener.accept().expect("a connection");
        for stream in [&client, &host] {
            stream.set_read_timeout(Some(SILENCE * 4)).expect("a timeout");
        }
        Self {
            client,
            host,
            listener,
        }
    }

    /// The same, in which the end that was called speaks first.
    fn reversed(self) -> Self {
        Self {
            client: self.host,
            host: self.client,
            listener: self.listener,
        }
    }

    fn is_alive(&mut self) -> bool {
        let mut byte = [0];
        let asked = self
            .client
            .write_all(b"?")
            .and_then(|()| self.host.read_exact(&mut byte));
        let answered = asked.and_then(|()| self.host.write_all(b"!"));
        answered.and_then(|()| self.client.read_exact(&mut byte)).is_ok()
    }
}

/// How many maps of flows are pinned.
fn flow_maps(filter: &Daemon) -> usize {
    let folder = filter.home().pins().join("ravelin").join(format!("maps-{ABI}"));
    let entries = fs::read_dir(folder).expect("the folder of shared maps").flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("FLOW"))
        .count()
}

/// Whether a datagram from `source` is answered by whoever listens on `target`.
fn answered(from: &Namespace, source: &str, to: &Namespace, target: &str) -> bool {
    let server = to.run(|| UdpSocket::bind(target).expect("a server"));
    let client = from.run(|| UdpSocket::bind(source).expect("a client"));
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(SILENCE)).expect("a timeout");
    }
    client
        .send_to(b"?", server.local_addr().expect("an address"))
        .expect("send");
    let mut buffer = [0; 8];
    let Ok((_, asker)) = server.recv_from(&mut buffer) else {
        return false;
    };
    server.send_to(b"!", asker).expect("send");
    client.recv(&mut buffer).is_ok()
}

fn at(address: &str, port: u16) -> String {
    SocketAddr::new(address.parse().expect("an address"), port).to_string()
}

const CLOSED: &str = "[firewall]\ninterfaces = [\"wan\"]\ninbound = \"deny\"\n\
     [metrics]\nbind = \"127.0.0.1:9465\"\n";

const SERVER: &str = "[firewall]\ninterfaces = [\"wan\"]\ninbound = \"deny\"\noutbound = \"deny\"\n\
     [metrics]\nbind = \"127.0.0.1:9465\"\n";

const SSH: &str = "[[rule]]\nname = \"ssh\"\naction = \"allow\"\nprotocol = \"tcp\"\nports = 22\n";
