//! SYN cookies with the real daemons and real clients: who comes in while forged SYNs use up the budget, and who is not answered.
//!
//! The flood is some forged SYNs: the budget is one an hour. The client has a Ravelin of its own, which lets everything in: what a driver sends back by
//! itself arrives on a veth device only where a program, or GRO, waits for it.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::thread;

use ravelin_tests::backend::Backend;
use ravelin_tests::daemon::{Daemon, Half};
use ravelin_tests::netns::expect_success;
use ravelin_tests::packet::{Packet, ether};
use ravelin_tests::pki::Authority;
use ravelin_tests::scene::Scene;
use ravelin_tests::{requires, wait};
use socket2::{Domain, Protocol, Socket, Type};

#[test]
fn clients_come_in_while_forged_syns_use_up_the_budget() {
    requires!(Root, Bpf, NetworkNamespaces, Tool("curl"));
    let mut world = World::new("syn-proxy", &policy("native", "auto"));
    assert_eq!(world.setting(), "2", "the filter has set it");
    world.flood(443);
    let answered = world.answered();
    assert!(answered >= FORGED - 1, "{answered} of {FORGED} forged SYNs");
    assert_eq!(world.filter.reason_packets("deny", "syn_budget"), 0);

    // Each of these is a source that nobody knows: its first connection begins with a cookie, and it is known from then on.
    for (source, target) in CLIENTS {
        let before = world.answered();
        world.comes_in(source, target);
        assert_eq!(world.answered(), before + 1, "{source} gets a cookie");
        for _ in 0..5 {
            world.comes_in(source, target);
        }
        assert_eq!(world.answered(), before + 1, "{source} is known");
        world.flood(443);
    }
    let proven = world.filter.series("ravelin_flow_events_total{event=\"proven\"}");
    assert!((proven - 3.0).abs() < f64::EPSILON, "{proven}");

    // Neither a kill nor another generation changes what the kernel does.
    world.filter.kill();
    world.flood(443);
    world.comes_in("10.77.0.9", "10.77.0.2");
    world.filter.start();
    world.filter.reload();
    let before = world.answered();
    world.flood(443);
    assert!(world.answered() >= before + FORGED);
    world.comes_in("fd00:77::1", "fd00:77::2");

    world.filter.stop();
    expect_success("ravelin detach", &world.filter.ravelin(&["detach"]));
    let left = world
        .scene
        .host
        .command("ip")
        .args(["link", "show", "dev", "wan"])
        .output();
    let left = String::from_utf8(left.expect("`ip` runs").stdout).expect("text");
    assert!(!left.contains("xdp"), "{left}");
    assert_eq!(world.setting(), "2", "what the page says of the end");
}

#[test]
fn a_connection_that_began_with_a_cookie_is_an_established_flow_and_carries_what_others_do() {
    requires!(Root, Bpf, NetworkNamespaces);
    let world = World::new("syn-proxy-flow", &policy("native", "auto"));
    world.flood(443);
    for (source, target) in [
        ("10.77.0.1", "10.77.0.2:8443"),
        ("fd00:77::1", "[fd00:77::2]:8443"),
    ] {
        let listener = world
            .scene
            .host
            .run(|| TcpListener::bind(target).expect("a listener"));
        let to = listener.local_addr().expect("an address");
        let host = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the client");
            let mut copy = stream.try_clone().expect("a socket");
            std::io::copy(&mut stream, &mut copy).expect("an echo")
        });
        let client = world.scene.client.run(|| open(source, to));
        let flows = world.filter.json("flows");
        let rows = flows["shown"].as_array().expect("rows");
        let port = client.local_addr().expect("an address").port();
        let row = rows
            .iter()
            .find(|row| row.to_string().contains(&port.to_string()));
        let row = row.unwrap_or_else(|| panic!("{flows}")).to_string();
        assert!(row.contains("established"), "{row}");
        exchange(client, 1 << 20);
        assert_eq!(host.join().expect("the echo"), 1 << 20);
    }
}

#[test]
fn without_syn_proxy_the_same_clients_are_denied() {
    requires!(Root, Bpf, NetworkNamespaces, Tool("curl"));
    let world = World::new("syn-proxy-off", &policy("native", "off"));
    assert_ne!(world.setting(), "2", "nobody has asked for it");
    world.flood(443);
    for (source, target) in CLIENTS {
        assert!(!world.curl(source, target).0, "{source}");
    }
    assert_eq!(world.answered(), 0);
    assert!(world.filter.reason_packets("deny", "syn_budget") > FORGED);
}

#[test]
fn nothing_answers_for_ports_without_a_listener_and_for_those_that_did_not_ask() {
    requires!(Root, Bpf, NetworkNamespaces);
    let world = World::new("syn-proxy-ports", &policy("native", "auto"));
    world.flood(443);
    let answered = world.answered();
    // Nobody listens there, though a listener asks for it.
    world.flood(8443);
    // Somebody listens there, and no listener asks for it.
    assert!(!world.scene.tcp_works("10.77.0.1", "10.77.0.2:5300"));
    // To an address that is not the host's, where a socket on all addresses would be found.
    world.forge(|source| forged(source, Ipv4Addr::new(10, 77, 0, 3), 443), true);
    assert_eq!(world.answered(), answered);
    assert!(world.filter.reason_packets("deny", "syn_budget") > FORGED);
}

#[test]
fn generic_mode_answers_too_and_observe_mode_does_not() {
    requires!(Root, Bpf, NetworkNamespaces, Tool("curl"));
    let world = World::new("syn-proxy-generic", &policy("generic", "auto"));
    world.flood(443);
    for (source, target) in CLIENTS {
        world.comes_in(source, target);
    }
    let answered = world.answered();
    let observing = policy("generic", "auto").replace("[firewall]", "[firewall]\nmode = \"observe\"");
    world
        .filter
        .write_policy(&observing.replace("BACKEND", "127.0.0.1:8080"));
    world.filter.reload();
    world.flood(443);
    assert_eq!(world.answered(), answered);
}

#[test]
fn a_policy_is_refused_where_the_kernel_cannot_be_made_to_answer() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("syn-proxy-refused");
    let read_only = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec \"$@\"";
    let policy = policy("native", "auto").replace("BACKEND", "127.0.0.1:8080");
    let mut filter = Daemon::new("syn-proxy-refused", Half::Filter, &policy)
        .inside(&scene.host)
        .wrapped(&["unshare", "--mount", "sh", "-c", read_only, "sh"]);
    assert!(!filter.run_to_end().success());
    let said = filter.logs();
    assert!(said.contains("net.ipv4.tcp_syncookies = 2"), "{said}");
}

/// A host with a filter and an edge, and a client.
struct World {
    filter: Daemon,
    edge: Daemon,
    _client: Daemon,
    _backend: Backend,
    scene: Scene,
}

impl World {
    fn new(test: &str, policy: &str) -> Self {
        let scene = Scene::new(test);
        let backend = scene.host.run(|| Backend::http("from behind"));
        let policy = policy.replace("BACKEND", &backend.address().to_string());
        let authority = Authority::new();
        let edge = Daemon::new(test, Half::Edge, &edge_only(&policy)).inside(&scene.host);
        edge.home().write("authority.pem", &authority.pem());
        let pair = authority.issue(&[NAME]);
        edge.home().write("api.pem", &pair.cert);
        edge.home().write("api.key", &pair.key);
        let open = "[firewall]\ninterfaces = [\"up\"]\ninbound = \"allow\"\nstateful = false\n";
        Self {
            _client: Daemon::new(&format!("{test}-client"), Half::Filter, open)
                .inside(&scene.client)
                .started(),
            edge: edge.started(),
            filter: Daemon::new(&format!("{test}-filter"), Half::Filter, &policy)
                .inside(&scene.host)
                .started(),
            _backend: backend,
            scene,
        }
    }

    fn setting(&self) -> String {
        let path = "/proc/sys/net/ipv4/tcp_syncookies";
        let text = self
            .scene
            .host
            .run(|| fs::read_to_string(path).expect("the setting"));
        text.trim().to_owned()
    }

    fn answered(&self) -> u64 {
        self.filter.reason_packets("deny", "syn_cookie")
    }

    /// Forged SYNs to the host, of which the filter has judged all when this returns.
    #[track_caller]
    fn flood(&self, port: u16) {
        self.forge(|source| forged(source, Ipv4Addr::new(10, 77, 0, 2), port), false);
    }

    #[track_caller]
    fn forge(&self, make: impl Fn(u32) -> Packet + Sync, elsewhere: bool) {
        if elsewhere {
            // The frame comes to the host all the same.
            let station = self.scene.host.run(|| mac_of("wan"));
            self.scene.client.ip(&[
                "neighbour",
                "replace",
                "10.77.0.3",
                "lladdr",
                &station,
                "dev",
                "up",
            ]);
        }
        self.scene.client.run(|| {
            let socket =
                Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW))).expect("a raw socket");
            for source in 0..u32::try_from(FORGED).expect("few") {
                let frame = make(source).bytes();
                let to = Ipv4Addr::new(frame[30], frame[31], frame[32], frame[33]);
                let to = SocketAddr::new(IpAddr::V4(to), 0);
                socket.send_to(&frame[14..], &to.into()).expect("a packet");
            }
        });
    }

    #[track_caller]
    fn comes_in(&self, source: &str, target: &str) {
        let (came_in, said) = self.curl(source, target);
        assert!(came_in, "{source}: {said}\n{}", self.filter.logs());
    }

    /// Whether curl gets an answer from the edge.
    #[track_caller]
    fn curl(&self, source: &str, target: &str) -> (bool, String) {
        let target = if target.contains(':') {
            format!("[{target}]")
        } else {
            target.to_owned()
        };
        let output = self
            .scene
            .client
            .command("curl")
            .args([
                "--silent",
                "--show-error",
                "--connect-timeout",
                "2",
                "--interface",
                source,
                "--cacert",
            ])
            .arg(self.edge.home().directory().join("authority.pem"))
            .args(["--resolve", &format!("{NAME}:443:{target}")])
            .arg(format!("https://{NAME}/"))
            .output()
            .expect("curl runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            expect_success("curl", &output);
            assert_eq!(said, "from behind");
        }
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }
}

/// A SYN from a source that is not there.
fn forged(source: u32, to: Ipv4Addr, port: u16) -> Packet {
    ether()
        .ipv4()
        .source(Ipv4Addr::from_bits(0xc612_0000 | source))
        .destination(to)
        .tcp(port)
        .with("source-port", 40_000)
        .with("sequence", 7)
        .with("flags", 2)
        .with("options", 4)
}

fn mac_of(interface: &str) -> String {
    let addresses = nix::ifaddrs::getifaddrs().expect("interfaces");
    let mut links = addresses.filter(|address| address.interface_name == interface);
    let mac = links.find_map(|address| address.address?.as_link_addr()?.addr());
    let mac = mac.expect("a MAC address").map(|byte| format!("{byte:02x}"));
    mac.join(":")
}

#[track_caller]
fn open(source: &str, to: SocketAddr) -> std::net::TcpStream {
    wait::until("a connection", wait_time(), || {
        ravelin_tests::scene::connect_from(source.parse().expect("an address"), to).ok()
    })
}

const fn wait_time() -> std::time::Duration {
    std::time::Duration::from_secs(5)
}

/// Sends so many bytes and gets them back.
#[track_caller]
fn exchange(client: std::net::TcpStream, bytes: usize) {
    use std::io::{Read as _, Write as _};
    let mut sending = client.try_clone().expect("a socket");
    let sent: Vec<u8> = (0..bytes)
        .map(|at| u8::try_from(at % 251).expect("a byte"))
        .collect();
    let expected = sent.clone();
    let sender = thread::spawn(move || {
        sending.write_all(&sent).expect("sent");
        sending.shutdown(std::net::Shutdown::Write).expect("ended");
    });
    let (mut client, mut got) = (client, Vec::new());
    client.set_read_timeout(Some(wait_time())).expect("a timeout");
    client.read_to_end(&mut got).expect("all of it");
    sender.join().expect("the sender");
    assert!(got == expected, "{} of {bytes} bytes", got.len());
}

/// The client's addresses, each with the host's of its family.
const CLIENTS: [(&str, &str); 3] = [
    ("10.77.0.1", "10.77.0.2"),
    ("10.77.0.9", "10.77.0.2"),
    ("fd00:77::1", "fd00:77::2"),
];

const NAME: &str = "api.example.com";
const FORGED: u64 = 50;
/// linux/in.h: `IPPROTO_RAW`, whose packets bring their IP header.
const RAW: i32 = 255;

fn policy(mode: &str, syn_proxy: &str) -> String {
    let web = edge_listener(&format!("syn_proxy = \"{syn_proxy}\"\n"));
    format!(
        "[firewall]\ninterfaces = [\"wan\"]\nxdp_mode = \"{mode}\"\n[flood]\nsyn_budget = {{ rate = \"1/h\", burst = 1 }}\n\
         [metrics]\nbind = \"127.0.0.1:9465\"\n\
         [[rule]]\nname = \"web\"\naction = \"allow\"\nprotocol = \"tcp\"\nports = [443, 8443, \"5300-5309\"]\n{web}\
         [[listener]]\nname = \"later\"\nbind = [\"0.0.0.0:8443\", \"[::]:8443\"]\nsyn_proxy = \"{syn_proxy}\"\nroutes = [{{ upstream = \"app\" }}]\n\
         tls = {{ certificates = [{{ cert = \"api.pem\", key = \"api.key\" }}] }}\n"
    )
}

/// What the edge runs: the one listener that is there.
fn edge_only(policy: &str) -> String {
    let upstream = policy.split("servers = [\"").nth(1).expect("an upstream");
    let address = upstream.split('"').next().expect("an address");
    format!(
        "{}[metrics]\nbind = \"127.0.0.1:9466\"\n",
        edge_listener("").replace("BACKEND", address)
    )
}

fn edge_listener(more: &str) -> String {
    format!(
        "[[upstream]]\nname = \"app\"\nservers = [\"BACKEND\"]\n[[listener]]\nname = \"web\"\nbind = [\"0.0.0.0:443\", \"[::]:443\"]\n{more}\
         routes = [{{ sni = \"{NAME}\", upstream = \"app\" }}]\ntls = {{ certificates = [{{ cert = \"api.pem\", key = \"api.key\" }}] }}\n"
    )
}
