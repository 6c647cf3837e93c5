//! The whole way: a client in one namespace, the edge and the filter as two processes in another, and packets that are dropped.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::symlink;
use std::process::Output;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ravelin_tests::backend::Backend;
use ravelin_tests::daemon::{Daemon, Half};
use ravelin_tests::edge::get;
use ravelin_tests::netns::expect_success;
use ravelin_tests::pki::Authority;
use ravelin_tests::scene::{Scene, connect_from};
use ravelin_tests::{requires, wait};

use super::{NAME, SOON};

const GUEST: &str = "10.77.0.9";
const NEIGHBOUR: &str = "10.77.0.1";
const OFFENCES: usize = 3;

struct World {
    scene: Scene,
    filter: Daemon,
    edge: Daemon,
    _backend: Backend,
}

fn policy(server: SocketAddr, lasts: &str) -> String {
    format!(
        r#"
[firewall]
interfaces = ["wan"]
stateful = false
[[rule]]
name = "web"
action = "allow"
protocol = "tcp"
ports = [443]
[[listener]]
name = "web"
bind = ["10.77.0.2:443", "[fd00:77::2]:443"]
routes = [{{ sni = "{NAME}", upstream = "app" }}]
[listener.tls]
certificates = [{{ cert = "api.pem", key = "api.key" }}]
[listener.limits]
ban = {{ offences = {OFFENCES}, window = "5m", for = "{lasts}" }}
[[upstream]]
name = "app"
servers = ["{server}"]
[metrics]
bind = "127.0.0.1:9465"
"#
    )
}

fn write_certificate(daemon: &Daemon) {
    let authority = Authority::new();
    let pair = authority.issue(&[NAME]);
    daemon.home().write("authority.pem", &authority.pem());
    daemon.home().write("api.pem", &pair.cert);
    daemon.home().write("api.key", &pair.key);
}

/// `lasts` is how long bans last; `more` stands behind everything else in the policy.
fn world(test: &str, lasts: &str, more: &str) -> World {
    let scene = Scene::new(test);
    let backend = scene.host.run(|| Backend::http("served"));
    let policy = policy(backend.address(), lasts) + more;
    let filter = scene.filter(&format!("{test}-f"), &policy);
    let edge = Daemon::new(&format!("{test}-e"), Half::Edge, &policy).inside(&scene.host);
    // Each has a folder of its own; this is where the edge looks for the filter.
    symlink(filter.home().socket(), edge.home().socket()).expect("a link to the filter's socket");
    write_certificate(&edge);
    World {
        scene,
        filter,
        edge: edge.started(),
        _backend: backend,
    }
}

impl World {
    /// A connection that is no TLS. `None`: there is no connection.
    fn offend(&self, source: &str) -> Option<()> {
        let source: IpAddr = source.parse().expect("an address");
        let target: SocketAddr = match source {
            IpAddr::V4(_) => "10.77.0.2:443".parse(),
            IpAddr::V6(_) => "[fd00:77::2]:443".parse(),
        }
        .expect("an address");
        let mut stream = self.scene.client.run(|| connect_from(source, target)).ok()?;
        stream.set_read_timeout(Some(SOON)).expect("a timeout");
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").ok()?;
        let _reset_or_end = stream.read(&mut [0; 16]);
        Some(())
    }

    #[track_caller]
    fn offend_enough(&self, source: &str) {
        for offence in 0..OFFENCES {
            assert!(self.offend(source).is_some(), "offence {offence} of {source}");
        }
    }

    fn connects(&self, source: &str) -> bool {
        let source: IpAddr = source.parse().expect("an address");
        let target = "10.77.0.2:443".parse().expect("an address");
        self.scene.client.run(|| connect_from(source, target)).is_ok()
    }

    #[track_caller]
    fn assert_served(&self, source: &str) {
        let output = self
            .scene
            .client
            .command("curl")
            .args(["--silent", "--show-error", "--max-time", "20", "--cacert"])
            .arg(self.edge.home().directory().join("authority.pem"))
            .args([
                "--interface",
                source,
                "--resolve",
                &format!("{NAME}:443:10.77.0.2"),
            ])
            .arg(format!("https://{NAME}/"))
            .output()
            .expect("curl runs");
        expect_success("curl", &output);
        assert_eq!(text(&output), "served");
    }

    fn banned(&self, address: &str) -> bool {
        self.filter.ravelin(&["bans", address]).status.code() == Some(0)
    }

    #[track_caller]
    fn await_ban(&self, address: &str) {
        wait::until(&format!("the ban of {address}"), SOON, || {
            self.banned(address).then_some(())
        });
    }

    fn metric(&self, series: &str) -> f64 {
        let metrics = "127.0.0.1:9465".parse().expect("an address");
        let page = self.scene.host.run(|| get(metrics, "/metrics").1);
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value
            .unwrap_or_else(|| panic!("no series `{series}` in\n{page}"))
            .parse()
            .expect("a number")
    }

    fn asked(&self) -> f64 {
        self.metric("ravelin_edge_bans_asked_total{listener=\"web\"}")
    }

    fn bans(&self, result: &str) -> f64 {
        self.metric(&format!(
            "ravelin_edge_bans_total{{listener=\"web\",result=\"{result}\"}}"
        ))
    }
}

#[test]
fn a_source_that_offends_is_dropped_in_the_kernel_until_its_ban_ends_and_its_neighbour_is_served() {
    requires!(Root, Bpf, NetworkNamespaces, Tool("curl"));
    let world = world("escal-ban", "8s", "");
    world.assert_served(GUEST);
    for _ in 1..OFFENCES {
        world.offend(GUEST).expect("a connection");
    }
    assert_eq!(world.asked(), 0.0);
    let begin = Instant::now();
    world.offend(GUEST).expect("a connection");
    world.await_ban(GUEST);
    let listed = text(&world.filter.ravelin(&["bans"]));
    assert!(
        listed.contains("10.77.0.9/32") && listed.contains("web: not_tls"),
        "{listed}"
    );
    assert!(!world.connects(GUEST));
    assert!(world.filter.reason_packets("deny", "ban") > 0);
    world.assert_served(NEIGHBOUR);
    assert!(!world.banned(NEIGHBOUR));
    assert!(
        begin.elapsed() < Duration::from_secs(8),
        "too slow to show anything"
    );

    wait::until("the end of the ban", SOON, || world.connects(GUEST).then_some(()));
    assert!(begin.elapsed() >= Duration::from_secs(8));
    world.assert_served(GUEST);
    assert_eq!((world.asked(), world.bans("made")), (1.0, 1.0));

    // Again: as many offences as before, and one request for them.
    wait::until("the second ban", SOON, || {
        let _dropped = world.offend(GUEST);
        world.banned(GUEST).then_some(())
    });
    assert_eq!((world.asked(), world.bans("made")), (2.0, 2.0));
    let not_tls = world.metric("ravelin_edge_offences_total{listener=\"web\",offence=\"not_tls\"}");
    assert!(not_tls >= 6.0, "{not_tls}");
}

#[test]
fn an_ipv6_source_is_its_64() {
    requires!(Root, Bpf, NetworkNamespaces, Tool("curl"));
    let world = world("escal-six", "1h", "");
    world.offend_enough("fd00:77::1");
    world.await_ban("fd00:77::ffff");
    let listed = text(&world.filter.ravelin(&["bans"]));
    assert!(listed.contains("fd00:77::/64"), "{listed}");
    assert!(world.offend("fd00:77::1").is_none());
    world.assert_served(GUEST);
}

#[test]
fn who_is_never_banned_is_asked_for_once_and_served_on() {
    requires!(Root, Bpf, NetworkNamespaces, Tool("curl"));
    let world = world("escal-never", "1h", "[never_ban]\nentries = [\"10.77.0.9\"]\n");
    world.offend_enough(GUEST);
    wait::until("the refusal", SOON, || {
        (world.bans("refused") == 1.0).then_some(())
    });
    for _ in 0..3 {
        world.offend_enough(GUEST);
    }
    world.assert_served(GUEST);
    assert_eq!(
        (world.asked(), world.bans("refused"), world.bans("made")),
        (1.0, 1.0, 0.0)
    );
    assert_eq!(
        world
            .filter
            .series("ravelin_bans_refused_total{reason=\"never_ban\"}"),
        1.0
    );
    assert_eq!(text(&world.filter.ravelin(&["bans"])), "nobody is banned\n");
}

#[test]
fn a_filter_that_is_killed_or_hangs_holds_nobody_up_and_bans_when_it_is_back() {
    requires!(Root, Bpf, NetworkNamespaces, Tool("curl"));
    let mut world = world("escal-away", "1h", "");
    world.filter.kill();
    world.offend_enough(GUEST);
    wait::until("the ban to be asked for", SOON, || {
        (world.asked() == 1.0).then_some(())
    });
    world.assert_served(NEIGHBOUR);
    world.assert_served(GUEST);
    world.filter.start();
    world.await_ban(GUEST);
    assert!(!world.connects(GUEST));

    world.filter.signal(Signal::SIGSTOP);
    world.offend_enough(NEIGHBOUR);
    world.assert_served(NEIGHBOUR);
    world.filter.signal(Signal::SIGCONT);
    world.await_ban(NEIGHBOUR);
    wait::until("both answers", SOON, || (world.bans("made") == 2.0).then_some(()));
    assert_eq!((world.asked(), world.bans("lost")), (2.0, 0.0));
}

#[test]
fn bans_outlive_the_edge_that_asked_for_them_and_the_next_one_begins_anew() {
    requires!(Root, Bpf, NetworkNamespaces, Tool("curl"));
    let mut world = world("escal-edge", "1h", "");
    world.offend_enough(GUEST);
    world.await_ban(GUEST);
    world.edge.kill();
    assert!(world.banned(GUEST) && !world.connects(GUEST));
    world.edge.start();
    assert!(!world.connects(GUEST));
    world.assert_served(NEIGHBOUR);

    expect_success("ravelin unban", &world.filter.ravelin(&["unban", GUEST]));
    world.assert_served(GUEST);
    for _ in 1..OFFENCES {
        world.offend(GUEST).expect("a connection");
    }
    assert_eq!(world.asked(), 0.0);
    world.offend(GUEST).expect("a connection");
    world.await_ban(GUEST);
    assert_eq!(world.asked(), 1.0);
}

#[test]
fn under_one_command_too_refused_connections_get_a_source_banned() {
    requires!(Root, Bpf, NetworkNamespaces);
    let scene = Scene::new("escal-run");
    let refusing = policy("127.0.0.1:1".parse().expect("an address"), "1h")
        .replace("[listener.tls]", "deny = [\"10.77.0.9\"]\n[listener.tls]");
    let daemon = Daemon::new("escal-run", Half::Both, &refusing).inside(&scene.host);
    write_certificate(&daemon);
    let daemon = daemon.started();
    let connects = |source: &str| {
        let (source, target) = (source.parse().expect("an address"), "10.77.0.2:443");
        let target = target.parse().expect("an address");
        scene.client.run(|| connect_from(source, target)).is_ok()
    };
    // The edge resets what it refuses; some of these end before they are noticed as connections.
    wait::until("the ban", SOON, || {
        let _reset = connects(GUEST);
        (daemon.ravelin(&["bans", GUEST]).status.code() == Some(0)).then_some(())
    });
    let listed = text(&daemon.ravelin(&["bans"]));
    assert!(listed.contains("web: address"), "{listed}");
    assert!(!connects(GUEST));
    assert!(connects(NEIGHBOUR));
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
