//! The edge under clients that want more than their share.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ravelin_tests::backend::Backend;
use ravelin_tests::client::{Client, connect_from};
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::Authority;
use ravelin_tests::runtime::runtime;
use ravelin_tests::wait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

pub(crate) const NAME: &str = "api.example.com";
pub(crate) const SOON: Duration = Duration::from_secs(20);
pub(crate) const ADMITTED: &str = "ravelin_edge_admitted_total{listener=\"api\"}";
pub(crate) const GREEDY: &str = "127.0.0.2";
pub(crate) const OTHER: &str = "127.0.0.3";

/// Held by the tests that measure time while others would use it up.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct World {
    pub(crate) edge: Edge,
    pub(crate) client: Client,
    pub(crate) _backend: Backend,
}

pub(crate) fn world(test: &str, listener: &str, limits: &str) -> World {
    let authority = Authority::new();
    let backend = Backend::echo();
    let policy = format!(
        r#"
[[listener]]
name = "api"
bind = ["127.0.0.1:0"]
routes = [{{ upstream = "app" }}]
{listener}
[listener.tls]
certificates = [{{ cert = "api.pem", key = "api.key" }}]
[listener.limits]
{limits}
[[upstream]]
name = "app"
servers = ["{}"]
"#,
        backend.address()
    );
    let edge = Edge::start(test, &policy, &[("api", &authority.issue(&[NAME]))]);
    World {
        edge,
        client: Client::new(&authority),
        _backend: backend,
    }
}

impl World {
    pub(crate) fn refused(&self, reason: &str) -> f64 {
        self.edge.metric(&format!(
            "ravelin_edge_refused_total{{listener=\"api\",reason=\"{reason}\"}}"
        ))
    }

    pub(crate) fn offences(&self, offence: &str) -> f64 {
        self.edge.metric(&format!(
            "ravelin_edge_offences_total{{listener=\"api\",offence=\"{offence}\"}}"
        ))
    }

    pub(crate) async fn served(&self, from: &str) -> std::io::Result<TlsStream<TcpStream>> {
        served(&self.client, from, self.edge.address("api")).await
    }
}

async fn served(
    client: &Client,
    from: &str,
    to: std::net::SocketAddr,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut stream = client.connect_from(from, to, NAME).await?;
    stream.write_all(b"x").await?;
    stream.read_exact(&mut [0; 1]).await?;
    Ok(stream)
}

/// Fifty clients of one source connect again and again while another source connects at its ease; what was let in is read from
/// the edge's own counter, between two looks at its own clock.
fn flood(world: &World, rate: f64, burst: f64, delayed: bool) {
    let _alone = alone();
    let to = world.edge.address("api");
    let stop = Arc::new(AtomicBool::new(false));
    let served_clients = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let greedy: Vec<_> = (0..50)
        .map(|_| {
            let (stop, served_clients) = (Arc::clone(&stop), Arc::clone(&served_clients));
            let client = world.client.clone();
            runtime().spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if served(&client, GREEDY, to).await.is_ok() {
                        served_clients.fetch_add(1, Ordering::Relaxed);
                    } else {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            })
        })
        .collect();
    let mut others = 0;
    let mut slowest = Duration::ZERO;
    while start.elapsed() < Duration::from_secs(3) {
        let began = Instant::now();
        let other = runtime().block_on(world.served(OTHER));
        drop(other.expect("the other source does not notice"));
        slowest = slowest.max(began.elapsed());
        others += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    stop.store(true, Ordering::Relaxed);
    let admitted = world.edge.metric(ADMITTED) - f64::from(others);
    let took = start.elapsed().as_secs_f64();
    for client in greedy {
        runtime().block_on(client).expect("no panic");
    }
    let allowed = burst + rate * took;
    eprintln!(
        "{admitted} admitted, {allowed:.1} allowed in {took:.2} s; {} served; the other source: {others}, slowest {slowest:?}",
        served_clients.load(Ordering::Relaxed)
    );
    assert!(
        admitted <= allowed,
        "{admitted} admitted, {allowed} allowed in {took} s"
    );
    assert!(
        admitted >= 0.8 * rate * took,
        "{admitted} admitted in {took} s: less than the rate"
    );
    assert!(
        slowest < Duration::from_secs(2),
        "the other source waited {slowest:?}"
    );
    if delayed {
        assert!(
            world
                .edge
                .metric("ravelin_edge_delay_seconds_count{listener=\"api\"}")
                > rate
        );
    } else {
        assert!(world.refused("rate") > 100.0);
    }
}

#[test]
fn fifty_clients_of_one_source_get_burst_and_rate_and_no_more() {
    let limits = "connections = { rate = \"40/s\", burst = 20, over = \"refuse\" }";
    flood(&world("limits-refuse", "", limits), 40.0, 20.0, false);
}

#[test]
fn fifty_clients_of_one_source_that_must_wait_get_burst_and_rate_and_no_more() {
    let limits = "connections = { rate = \"40/s\", burst = 20, over = \"delay\" }\ndelay = { max = \"1s\", queue = 100 }";
    flood(&world("limits-delay", "", limits), 40.0, 20.0, true);
}

#[test]
fn a_client_that_hangs_up_leaves_the_queue_at_once() {
    let limits = "connections = { rate = \"1/s\", burst = 1, over = \"delay\" }\ndelay = { max = \"20s\", queue = 100 }";
    let world = world("limits-abandon", "", limits);
    let _alone = alone();
    let queue = "ravelin_edge_delay_queue_connections{listener=\"api\"}";
    runtime().block_on(async {
        let _first = world.served(GREEDY).await.expect("the burst");
        let mut waiting = Vec::new();
        for _ in 0..10 {
            let mut stream = connect_from(GREEDY, world.edge.address("api"))
                .await
                .expect("connect");
            // As a real client would: the first bytes are there, and do not hide the end.
            stream.write_all(b"\x16\x03\x01").await.expect("send");
            waiting.push(stream);
        }
        wait::until("ten to wait", SOON, || {
            (world.edge.metric(queue) == 10.0).then_some(())
        });
        drop(waiting);
        let gone = Instant::now();
        wait::until("the queue to be empty", SOON, || {
            (world.edge.metric(queue) == 0.0).then_some(())
        });
        assert!(
            gone.elapsed() < Duration::from_millis(100),
            "the queue was empty after {:?}",
            gone.elapsed()
        );
    });
    wait::until("ten to be counted", SOON, || {
        (world.edge.ended("api", "abandoned") == 10.0).then_some(())
    });
}

#[test]
fn a_full_queue_and_a_long_wait_are_refused() {
    let limits =
        "connections = { rate = \"1/s\", burst = 1, over = \"delay\" }\ndelay = { max = \"5s\", queue = 3 }";
    let world = world("limits-queue", "", limits);
    runtime().block_on(async {
        let _first = world.served(GREEDY).await.expect("the burst");
        let mut waiting = Vec::new();
        for _ in 0..6 {
            waiting.push(connect_from(GREEDY, world.edge.address("api")).await);
        }
        wait::until("three to be refused", SOON, || {
            (world.refused("queue_full") == 3.0).then_some(())
        });
        let _other = world
            .served(OTHER)
            .await
            .expect("a source under its rate does not queue");
    });
}

#[test]
fn open_connections_are_capped_per_source_and_in_total() {
    let world = world(
        "limits-concurrent",
        "",
        "concurrent = { per_source = 3, total = 5 }",
    );
    runtime().block_on(async {
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(world.served(GREEDY).await.expect("under the cap"));
        }
        world
            .served(GREEDY)
            .await
            .expect_err("over the cap of the source");
        assert_eq!(world.refused("source_connections"), 1.0);
        for _ in 0..2 {
            held.push(world.served(OTHER).await.expect("another source"));
        }
        world
            .served("127.0.0.4")
            .await
            .expect_err("over the cap of the listener");
        assert_eq!(world.refused("total_connections"), 1.0);
        assert_eq!(
            world
                .edge
                .metric("ravelin_edge_open_connections{listener=\"api\"}"),
            5.0
        );
        drop(held);
        let open = "ravelin_edge_open_connections{listener=\"api\"}";
        wait::until("all to end", SOON, || {
            (world.edge.metric(open) == 0.0).then_some(())
        });
        let _again = world.served(GREEDY).await.expect("room again");
    });
}

#[test]
fn allow_and_deny_decide_before_anything_is_read() {
    let lists = "allow = [\"127.0.0.0/29\"]\ndeny = [\"127.0.0.4/32\"]";
    let world = world("limits-addresses", lists, "concurrent = { per_source = 1 }");
    runtime().block_on(async {
        for allowed in ["127.0.0.1", "127.0.0.7"] {
            world.served(allowed).await.expect("allowed");
        }
        for refused in ["127.0.0.4", "127.0.0.8", "127.0.0.200"] {
            let began = Instant::now();
            // Not even a hello is needed to be turned away.
            let end = match connect_from(refused, world.edge.address("api")).await {
                Ok(mut stream) => stream.read(&mut [0; 1]).await,
                Err(error) => Err(error),
            };
            assert!(end.is_err(), "{refused} must be reset");
            assert!(began.elapsed() < Duration::from_secs(1));
        }
    });
    assert_eq!(world.refused("address"), 3.0);
}

#[test]
fn a_reload_that_leaves_the_limits_alone_keeps_what_is_known_of_sources() {
    let limits = "connections = { rate = \"1/h\", burst = 2 }";
    let world = world("limits-reload", "", limits);
    runtime().block_on(async {
        for _ in 0..2 {
            world.served(GREEDY).await.expect("the burst");
        }
        world.served(GREEDY).await.expect_err("over the rate");
    });
    world.edge.reload().expect("the same policy loads");
    runtime().block_on(async {
        world.served(GREEDY).await.expect_err("still over the rate");
        world.served(OTHER).await.expect("another source");
    });
    assert_eq!(
        world
            .edge
            .metric("ravelin_edge_limiter_sources{listener=\"api\"}"),
        2.0
    );
}
