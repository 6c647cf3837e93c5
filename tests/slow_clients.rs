//! Thousands of clients that never finish a handshake, for a minute, against the real `ravelin edge` in a process of its own: each
//! is closed in time, memory stays below the bound that the docs state, and a healthy client is served all the while.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ravelin_tests::backend::Backend;
use ravelin_tests::client::{Client, connect_from};
use ravelin_tests::daemon::{Daemon, Half};
use ravelin_tests::edge::get;
use ravelin_tests::netns::Namespace;
use ravelin_tests::pki::Authority;
use ravelin_tests::resident::resident_bytes_of;
use ravelin_tests::{requires, wait};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const NAME: &str = "api.example.com";
const LISTENER: &str = "127.0.0.1:443";
const METRICS: &str = "127.0.0.1:9465";

/// Clients that send part of a handshake, or all of their part that needs no answer, and then nothing.
const HALF_OPEN: usize = 5_000;

/// Clients that send a hello at a byte a second.
const DRIPPING: usize = 2_000;

/// How long the clients come back after they were closed.
const ATTACK: Duration = Duration::from_secs(60);

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection may live longer than that: the time until it is accepted, and until the client sees its end.
const GRACE: Duration = Duration::from_secs(1);

/// docs/threat-model.md, "Memory of connections without a session": what the process takes by itself, what a connection takes, and
/// what the long hellos of a listener take together.
const OWN_BYTES: usize = 32 << 20;
const UNFINISHED_BYTES: usize = 32 << 10;

/// What a connection may send before it takes of the room that long hellos share.
const USUAL_ROOM: usize = (8 << 10) - 1;
const LONG_HELLOS_BYTES: usize = 16 << 20;

/// Clients whose hello is the longest there can be: nearly all that there is room for. Suite `tls` brings more.
const LONGEST: usize = 250;

/// Nothing here takes this long unless it hangs.
const SOON: Duration = Duration::from_secs(20);

/// How a client is slow.
#[derive(Clone, Copy, Debug)]
enum Slow {
    /// Not a byte.
    Silent,
    /// Half a hello.
    HalfHello,
    /// A hello, and no reaction to the answer.
    HelloAlone,
    /// The greatest part of a hello that is as long as it can be without any of the room that long ones share.
    LongHello,
    /// The greatest part of the longest hello there can be.
    LongestHello,
    /// A byte a second.
    Dripping,
}

/// How those that are half open are.
const KINDS: [Slow; 4] = [Slow::Silent, Slow::HalfHello, Slow::HelloAlone, Slow::LongHello];

/// What is sent.
struct Hellos {
    usual: Vec<u8>,
    long: Vec<u8>,
    longest: Vec<u8>,
}

#[derive(Default)]
struct Tally {
    closed: AtomicUsize,
    late: AtomicUsize,
    early: AtomicUsize,
    failed_to_connect: AtomicUsize,
    longest_ms: AtomicUsize,
}

#[test]
fn slow_clients_are_closed_in_time_cost_bounded_memory_and_starve_nobody() {
    requires!(Root, NetworkNamespaces);
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("more descriptors");
    assert!(
        most >= 2 * (HALF_OPEN + DRIPPING) as u64,
        "not enough descriptors: {most}"
    );
    let namespace = Namespace::new("slow-clients", "edge");
    let backend = namespace.run(Backend::echo);
    let policy = format!(
        r#"
[[listener]]
name = "api"
bind = ["{LISTENER}"]
routes = [{{ upstream = "app" }}]
[listener.tls]
certificates = [{{ cert = "api.pem", key = "api.key" }}]
[listener.limits]
handshake_timeout = "{}s"
[[upstream]]
name = "app"
servers = ["{}"]
[metrics]
bind = "{METRICS}"
"#,
        HANDSHAKE_TIMEOUT.as_secs(),
        backend.address()
    );
    let authority = Authority::new();
    let daemon = Daemon::new("slow-clients", Half::Edge, &policy).inside(&namespace);
    let pair = authority.issue(&[NAME]);
    daemon.home().write("api.pem", &pair.cert);
    daemon.home().write("api.key", &pair.key);
    let daemon = daemon.started();
    let resident = || resident_bytes_of(daemon.pid().as_raw());

    let client = Client::new(&authority);
    let tally = Arc::new(Tally::default());
    let peak = AtomicUsize::new(0);
    let (before, during, idle) = namespace.run(|| {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let calm = AtomicBool::new(false);
            let (before, ()) = tokio::join!(healthy(&client, &calm), async {
                sleep(Duration::from_secs(5)).await;
                calm.store(true, Ordering::Relaxed);
            });
            let idle = resident();
            let over = AtomicBool::new(false);
            let attack = async {
                attack(&tally).await;
                over.store(true, Ordering::Relaxed);
            };
            let watch = async {
                while !over.load(Ordering::Relaxed) {
                    peak.fetch_max(resident(), Ordering::Relaxed);
                    sleep(Duration::from_millis(250)).await;
                }
            };
            let (during, (), ()) = tokio::join!(healthy(&client, &over), attack, watch);
            (before, during, idle)
        })
    });

    let [closed, late, early, failed, longest] = [
        &tally.closed,
        &tally.late,
        &tally.early,
        &tally.failed_to_connect,
        &tally.longest_ms,
    ]
    .map(|count| count.load(Ordering::Relaxed));
    let peak = peak.load(Ordering::Relaxed);
    let connections = HALF_OPEN + DRIPPING;
    eprintln!(
        "{closed} slow connections closed, the last after {longest} ms; {failed} attempts to connect failed"
    );
    eprintln!(
        "memory: {} KiB idle, {} KiB at the peak, {:.1} KiB for each of {connections} slow connections",
        idle >> 10,
        peak >> 10,
        peak.saturating_sub(idle) as f64 / 1024.0 / connections as f64
    );
    let (calm, busy) = (Percentiles::of(before), Percentiles::of(during));
    eprintln!("healthy client, before: {calm}\nhealthy client, during: {busy}");

    assert_eq!(late, 0, "closed later than {:?}", HANDSHAKE_TIMEOUT + GRACE);
    assert_eq!(early, 0, "closed before {HANDSHAKE_TIMEOUT:?}");
    // Each of them was held for the timeout and came back at once.
    let rounds = ATTACK.as_secs_f64() / (HANDSHAKE_TIMEOUT + GRACE).as_secs_f64();
    assert!(
        closed as f64 >= connections as f64 * rounds.floor(),
        "only {closed} slow connections"
    );
    let bound = OWN_BYTES + LONG_HELLOS_BYTES + connections * UNFINISHED_BYTES;
    assert!(peak <= bound, "{peak} bytes are more than {bound}");
    // A machine that does other things besides makes any one connection slow: benchmarks judge the rest.
    let allowed = 10 * calm.p99.max(Duration::from_millis(20));
    assert!(busy.p99 <= allowed, "{:?} is more than {allowed:?}", busy.p99);
    let page = || namespace.run(|| get(METRICS.parse().expect("an address"), "/metrics").1);
    wait::until("every connection to have ended", SOON, || {
        page()
            .contains("ravelin_edge_open_connections{listener=\"api\"} 0")
            .then_some(())
    });
    let timeouts =
        format!("ravelin_edge_connections_total{{listener=\"api\",result=\"handshake_timeout\"}} {closed}");
    assert!(page().contains(&timeouts), "{timeouts}\n{}", page());
}

/// Connects, sends and is answered, again and again until `over`; how long each time took.
async fn healthy(client: &Client, over: &AtomicBool) -> Vec<Duration> {
    let to = address();
    let mut took = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let start = Instant::now();
        let served = async {
            let mut stream = client.connect_from("127.0.0.2", to, NAME).await?;
            stream.write_all(b"ping").await?;
            stream.read_exact(&mut [0; 4]).await?;
            stream.shutdown().await
        };
        let served = timeout(SOON, served)
            .await
            .unwrap_or_else(|late| Err(late.into()));
        served.expect("the healthy client never fails");
        took.push(start.elapsed());
        sleep(Duration::from_millis(30)).await;
    }
    took
}

/// Slow clients that come back for as long as the attack lasts; over when each was closed.
async fn attack(tally: &Arc<Tally>) {
    let hellos = Arc::new(Hellos::new());
    let until = Instant::now() + ATTACK;
    // They come as fast as they can, yet not all in the same millisecond: that would be a test of the kernel's queue.
    let doors = Arc::new(Semaphore::new(64));
    let mut clients = JoinSet::new();
    for number in 0..HALF_OPEN + DRIPPING {
        let slow = match number {
            HALF_OPEN.. => Slow::Dripping,
            ..LONGEST => Slow::LongestHello,
            _ => KINDS[number % KINDS.len()],
        };
        let (hellos, tally, doors) = (Arc::clone(&hellos), Arc::clone(tally), Arc::clone(&doors));
        clients.spawn(async move {
            let from = format!(
                "127.{}.{}.{}",
                1 + number / 50_000,
                number / 200 % 250,
                1 + number % 200
            );
            while Instant::now() < until {
                let door = doors.acquire().await.expect("open");
                let Ok(stream) = connect_from(&from, address()).await else {
                    tally.failed_to_connect.fetch_add(1, Ordering::Relaxed);
                    drop(door);
                    sleep(Duration::from_millis(100)).await;
                    continue;
                };
                drop(door);
                let start = Instant::now();
                hold(stream, slow, &hellos).await;
                tally.note(start.elapsed());
            }
        });
    }
    clients.join_all().await;
}

/// Is slow until the other side has had enough.
async fn hold(stream: TcpStream, slow: Slow, hellos: &Hellos) {
    let (mut from, mut to) = stream.into_split();
    let sending = async {
        match slow {
            Slow::Silent => {}
            Slow::HalfHello => to.write_all(&hellos.usual[..hellos.usual.len() / 2]).await?,
            Slow::HelloAlone => to.write_all(&hellos.usual).await?,
            Slow::LongHello => to.write_all(&hellos.long).await?,
            Slow::LongestHello => to.write_all(&hellos.longest).await?,
            Slow::Dripping => {
                for byte in &hellos.usual {
                    to.write_all(std::slice::from_ref(byte)).await?;
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
        std::future::pending::<io::Result<()>>().await
    };
    let ending = async {
        let mut answer = [0; 4096];
        while from.read(&mut answer).await.is_ok_and(|read| read > 0) {}
    };
    tokio::select! {
        // Sending fails when the connection is closed; the end is seen by who reads.
        biased;
        () = ending => {}
        _broken = sending => {}
    }
}

impl Tally {
    fn note(&self, held: Duration) {
        self.closed.fetch_add(1, Ordering::Relaxed);
        let milliseconds = usize::try_from(held.as_millis()).expect("a short time");
        self.longest_ms.fetch_max(milliseconds, Ordering::Relaxed);
        if held > HANDSHAKE_TIMEOUT + GRACE {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
        if held + Duration::from_millis(500) < HANDSHAKE_TIMEOUT {
            self.early.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Hellos {
    fn new() -> Self {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = ServerName::try_from(NAME).expect("a name");
        let mut connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
        let mut usual = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut usual).expect("a hello");
        }
        // A handshake message may have 65,535 bytes here and be cut into records as one likes: all of it but the last record.
        let mut message = vec![1, 0, 0xff, 0xfb, 3, 3];
        message.resize(0xffff, 0);
        let records = message.chunks(16_000).take(4);
        let longest: Vec<u8> = records
            .flat_map(|part| {
                let length = u16::try_from(part.len()).expect("a record").to_be_bytes();
                [&[22, 3, 1], &length[..], part].concat()
            })
            .collect();
        let long = longest[..USUAL_ROOM].to_vec();
        Self { usual, long, longest }
    }
}

struct Percentiles {
    count: usize,
    p50: Duration,
    p99: Duration,
}

impl Percentiles {
    fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let at = |share: usize| took[(took.len() - 1) * share / 100];
        Self {
            count: took.len(),
            p50: at(50),
            p99: at(99),
        }
    }
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { count, p50, p99 } = self;
        write!(f, "{count} connections, p50 {p50:.1?}, p99 {p99:.1?}")
    }
}

fn address() -> SocketAddr {
    LISTENER.parse().expect("an address")
}
