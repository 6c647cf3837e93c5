//! The real `ravelin edge` in a namespace of its own: port 443, both families, signals, and nothing left behind.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ravelin_tests::backend::Backend;
use ravelin_tests::client::{Client, connect_from};
use ravelin_tests::daemon::{Daemon, Half};
use ravelin_tests::edge::get;
use ravelin_tests::netns::Namespace;
use ravelin_tests::pki::{Authority, Pair};
use ravelin_tests::promtool::check_metrics;
use ravelin_tests::{requires, wait};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const NAME: &str = "api.example.com";
const LISTENER: &str = "127.0.0.1:443";
const METRICS: &str = "127.0.0.1:9465";
const SOON: Duration = Duration::from_secs(20);

struct World {
    daemon: Daemon,
    authority: Authority,
    _backend: Backend,
    namespace: Namespace,
}

fn world(test: &str, backend: fn() -> Backend) -> World {
    world_wrapped(test, backend, &[])
}

fn world_wrapped(test: &str, backend: fn() -> Backend, wrapper: &[&str]) -> World {
    let namespace = Namespace::new(test, "edge");
    let backend = namespace.run(backend);
    let policy = format!(
        r#"
[[listener]]
name = "api"
bind = ["{LISTENER}", "[::1]:443"]
deny = ["127.0.0.66/32"]
routes = [{{ sni = "{NAME}", upstream = "app" }}]
[listener.tls]
certificates = [{{ cert = "api.pem", key = "api.key" }}]
[listener.limits]
connections = {{ rate = "100k/s", burst = 100000 }}
concurrent = {{ per_source = 1000 }}
[[upstream]]
name = "app"
servers = ["{}"]
[metrics]
bind = "{METRICS}"
"#,
        backend.address()
    );
    let authority = Authority::new();
    let daemon = Daemon::new(test, Half::Edge, &policy)
        .inside(&namespace)
        .wrapped(wrapper);
    daemon.home().write("authority.pem", &authority.pem());
    write_pair(&daemon, &authority.issue(&[NAME]));
    World {
        daemon: daemon.started(),
        authority,
        _backend: backend,
        namespace,
    }
}

fn write_pair(daemon: &Daemon, pair: &Pair) {
    daemon.home().write("api.pem", &pair.cert);
    daemon.home().write("api.key", &pair.key);
}

impl World {
    #[track_caller]
    fn curl(&self, url: &str, to: &str) -> String {
        let output = self
            .namespace
            .command("curl")
            .args(["--silent", "--show-error", "--max-time", "20", "--cacert"])
            .arg(self.daemon.home().directory().join("authority.pem"))
            .args(["--resolve", &format!("{NAME}:443:{to}"), url])
            .output()
            .expect("curl runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn serial(&self) -> String {
        let shell =
            format!("openssl s_client -connect {LISTENER} -servername {NAME} | openssl x509 -noout -serial");
        let output = self
            .namespace
            .command("sh")
            .args(["-c", &shell])
            .stdin(Stdio::null())
            .output();
        String::from_utf8_lossy(&output.expect("openssl runs").stdout).into_owned()
    }

    fn page(&self) -> String {
        self.namespace.run(|| get(address(METRICS), "/metrics").1)
    }

    fn metric(&self, series: &str) -> f64 {
        let page = self.page();
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value
            .unwrap_or_else(|| panic!("no series `{series}` in\n{page}"))
            .parse()
            .expect("a number")
    }

    /// Resident memory in KiB, and open descriptors.
    fn held(&self) -> (u64, usize) {
        let process = format!("/proc/{}", self.daemon.pid());
        let status = fs::read_to_string(format!("{process}/status")).expect("a status");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .expect("VmRSS");
        let memory = line
            .split_whitespace()
            .nth(1)
            .and_then(|kib| kib.parse().ok())
            .expect("a number");
        (
            memory,
            fs::read_dir(format!("{process}/fd"))
                .expect("descriptors")
                .count(),
        )
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

#[test]
fn it_serves_both_families_reloads_on_sighup_and_stops_in_order() {
    requires!(Root, NetworkNamespaces, Tool("curl"), Tool("openssl"));
    let mut world = world("edge-serves", || Backend::http("from behind"));
    let url = format!("https://{NAME}/");
    for to in ["127.0.0.1", "[::1]"] {
        assert_eq!(world.curl(&url, to), "from behind", "{to}");
    }
    let first = world.serial();
    assert!(first.starts_with("serial="), "{first}");

    // Refused: the key of another certificate. What served goes on serving.
    let other = world.authority.issue(&[NAME]);
    world.daemon.home().write("api.key", &other.key);
    world.daemon.signal(Signal::SIGHUP);
    let successful = "ravelin_config_last_reload_successful{half=\"edge\"}";
    wait::until("the reload to be refused", SOON, || {
        (world.metric(successful) == 0.0).then_some(())
    });
    assert_eq!(world.serial(), first);

    write_pair(&world.daemon, &other);
    world.daemon.signal(Signal::SIGHUP);
    wait::until("the reload to be taken", SOON, || {
        (world.metric(successful) == 1.0).then_some(())
    });
    assert_ne!(world.serial(), first);
    assert_eq!(world.curl(&url, "127.0.0.1"), "from behind");
    assert!(world.daemon.stop().success(), "{}", world.daemon.logs());
}

#[test]
fn promtool_finds_nothing_to_say_about_the_page_of_the_process() {
    requires!(Root, NetworkNamespaces, Tool("curl"), Tool("promtool"));
    let world = world("edge-promtool", || Backend::http(""));
    world.curl(&format!("https://{NAME}/"), "127.0.0.1");
    let page = world.page();
    check_metrics(&page);
    assert!(page.contains("\nprocess_resident_memory_bytes"), "{page}");
}

#[test]
fn out_of_descriptors_it_waits_and_goes_on() {
    requires!(Root, NetworkNamespaces, Tool("prlimit"));
    let limit = 40;
    let wrapper = ["prlimit", "--nofile=40:40"];
    let world = world_wrapped("edge-descriptors", Backend::echo, &wrapper);
    let to = address(LISTENER);
    let held: Vec<_> = world.namespace.run(|| {
        (0..60)
            .map(|_| TcpStream::connect(to).expect("the backlog takes it"))
            .collect()
    });
    wait::until("every descriptor to be used", SOON, || {
        (world.held().1 >= limit).then_some(())
    });
    let before = cpu_ticks(&world);
    std::thread::sleep(Duration::from_secs(1));
    let spent = cpu_ticks(&world) - before;
    assert!(
        spent < 30,
        "{spent} ticks of processor time in a second of waiting"
    );
    drop(held);
    let exhausted = "ravelin_edge_accept_failures_total{cause=\"exhausted\",listener=\"api\"}";
    wait::until("room again", SOON, || (world.held().1 < limit).then_some(()));
    assert!(world.metric(exhausted) > 0.0);
    let client = Client::new(&world.authority);
    world
        .namespace
        .run(|| inside(async { client.connect(to, NAME).await.map(drop) }))
        .expect("it serves again");
}

/// User and system time of the process, in hundredths of a second.
fn cpu_ticks(world: &World) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", world.daemon.pid())).expect("a stat");
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .expect("fields")
        .split_whitespace()
        .collect();
    [11, 12]
        .iter()
        .map(|index| fields[*index].parse::<u64>().expect("ticks"))
        .sum()
}

#[test]
fn an_idle_connection_costs_little_memory() {
    requires!(Root, NetworkNamespaces);
    let world = world("edge-idle", Backend::echo);
    let client = Client::new(&world.authority);
    let to = address(LISTENER);
    let (warm, count) = (100, 800);
    let open = async |count: u64| {
        let mut held = Vec::new();
        for _ in 0..count {
            let mut stream = client.connect(to, NAME).await.expect("a session");
            // More than one read and write each way, so that what a connection keeps is there.
            for _ in 0..2 {
                stream.write_all(&[7; 4096]).await.expect("send");
                stream.read_exact(&mut [0; 4096]).await.expect("an echo");
            }
            held.push(stream);
        }
        held
    };
    let per_connection = world.namespace.run(|| {
        inside(async {
            let _warm = open(warm).await;
            let before = world.held().0;
            let _held = open(count).await;
            (world.held().0 - before) as f64 / count as f64
        })
    });
    eprintln!("{per_connection:.1} KiB an idle connection");
    assert!(per_connection <= 40.0, "{per_connection} KiB an idle connection");
}

#[test]
fn twenty_thousand_connections_leave_memory_and_descriptors_as_they_were() {
    requires!(Root, NetworkNamespaces);
    let world = world("edge-steady", Backend::echo);
    let open = "ravelin_edge_open_connections{listener=\"api\"}";
    let settled = || {
        wait::until("all connections to end", SOON, || {
            (world.metric(open) == 0.0).then_some(())
        })
    };
    let client = Client::new(&world.authority);
    let start = Instant::now();
    let churn = |count| {
        world.namespace.run(|| inside(churn(&client, count)));
        settled();
        world.held()
    };
    let (memory, files) = churn(2_000);
    let (memory_after, files_after) = churn(20_000);
    eprintln!(
        "{memory} KiB and {files} descriptors after 2,000 connections, {memory_after} KiB and {files_after} after 22,000, {:?}",
        start.elapsed()
    );
    let ended = |result: &str| {
        world.metric(&format!(
            "ravelin_edge_connections_total{{listener=\"api\",result=\"{result}\"}}"
        ))
    };
    assert_eq!(ended("completed"), 22_000.0 * 3.0 / 8.0);
    assert_eq!(ended("refused"), 22_000.0 * 3.0 / 8.0);
    assert_eq!(ended("not_tls"), 22_000.0 / 8.0);
    assert!(
        files_after <= files + 2,
        "{files} descriptors grew to {files_after}"
    );
    assert!(
        memory_after <= memory + ALLOWANCE_KIB,
        "{memory} KiB grew to {memory_after}"
    );
}

/// Runs a future on threads that are made here, so that they are inside the namespace too.
fn inside<F: Future>(work: F) -> F::Output {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

/// Opens and closes `count` connections, 32 at a time: of eight, three are served over TLS, one hangs up before a byte, one
/// speaks no TLS, three are refused by address.
async fn churn(client: &Client, count: usize) {
    let slots = Arc::new(Semaphore::new(32));
    let mut connections = JoinSet::new();
    let to = address(LISTENER);
    for number in 0..count {
        let slot = Arc::clone(&slots).acquire_owned().await.expect("open");
        while connections
            .try_join_next()
            .transpose()
            .expect("no panic")
            .is_some()
        {}
        let client = client.clone();
        connections.spawn(async move {
            let _slot = slot;
            match number % 8 {
                0..3 => {
                    let mut stream = client.connect(to, NAME).await.expect("a session");
                    stream.write_all(b"ping").await.expect("send");
                    stream.read_exact(&mut [0; 4]).await.expect("an echo");
                    stream.shutdown().await.expect("close");
                    let _end = stream.read(&mut [0; 1]).await;
                }
                3 => drop(connect_from("127.0.0.1", to).await.expect("connect")),
                4 => {
                    let mut stream = connect_from("127.0.0.1", to).await.expect("connect");
                    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("send");
                    let _reset = stream.read(&mut [0; 1]).await;
                }
                _ => {
                    if let Ok(mut stream) = connect_from("127.0.0.66", to).await {
                        let _reset = stream.read(&mut [0; 1]).await;
                    }
                }
            }
        });
    }
    while connections
        .join_next()
        .await
        .transpose()
        .expect("no panic")
        .is_some()
    {}
}

/// For the allocator's arenas: 20,000 connections that leave 1 KiB each would be seven times as much.
const ALLOWANCE_KIB: u64 = 3 * 1024;
