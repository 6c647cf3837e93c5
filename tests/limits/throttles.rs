//! The edge with handshakes, networks, a line of waiting clients, and limits that are only observed.

use std::time::{Duration, Instant};

use ravelin_tests::client::connect_from;
use ravelin_tests::runtime::runtime;
use ravelin_tests::wait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::connections::{ADMITTED, GREEDY, OTHER, SOON, World, alone, world};

/// A client that waits, and has said the first bytes already, as real ones do.
async fn queued(world: &World, from: &str) -> TcpStream {
    let mut stream = connect_from(from, world.edge.address("api"))
        .await
        .expect("connect");
    stream.write_all(b"\x16\x03\x01").await.expect("send");
    stream
}

fn await_waiting(world: &World, number: f64) {
    let queue = "ravelin_edge_delay_queue_connections{listener=\"api\"}";
    wait::until("the queue", SOON, || {
        (world.edge.metric(queue) == number).then_some(())
    });
}

#[test]
fn handshakes_of_the_whole_listener_are_limited_and_nobody_is_to_blame() {
    let world = world(
        "limits-handshakes",
        "",
        "handshakes = { rate = \"1/h\", burst = 3 }",
    );
    runtime().block_on(async {
        for from in [GREEDY, OTHER, GREEDY] {
            world.served(from).await.expect("the burst");
        }
        for from in [GREEDY, OTHER] {
            // Without a byte of TLS: it is refused before.
            let refused = match connect_from(from, world.edge.address("api")).await {
                Ok(mut stream) => stream.read(&mut [0; 1]).await,
                Err(error) => Err(error),
            };
            assert!(refused.is_err(), "{from} must be reset");
        }
    });
    assert_eq!(world.refused("handshake_rate"), 2.0);
    assert_eq!(world.offences("handshake_rate"), 0.0);
    assert_eq!(world.edge.metric(ADMITTED), 3.0);
}

#[test]
fn handshakes_of_a_source_are_limited_and_it_offends() {
    let limits = "handshakes = { rate = \"1/h\", burst = 2, per = \"source\" }\nban = { offences = 2, window = \"1m\", for = \"1m\" }";
    let world = world("limits-handshakes-source", "", limits);
    runtime().block_on(async {
        for _ in 0..2 {
            world.served(GREEDY).await.expect("the burst");
        }
        for _ in 0..2 {
            world.served(GREEDY).await.expect_err("over the rate");
        }
        world.served(OTHER).await.expect("another source");
    });
    assert_eq!(world.refused("handshake_rate"), 2.0);
    assert_eq!(world.offences("handshake_rate"), 2.0);
    assert_eq!(
        world
            .edge
            .metric("ravelin_edge_bans_asked_total{listener=\"api\"}"),
        1.0
    );
}

#[test]
fn what_the_rate_refuses_leaves_the_handshakes_to_others() {
    let limits = "connections = { rate = \"1/h\", burst = 1 }\nhandshakes = { rate = \"1/h\", burst = 2 }";
    let world = world("limits-order", "", limits);
    runtime().block_on(async {
        world.served(GREEDY).await.expect("the burst");
        for _ in 0..5 {
            world.served(GREEDY).await.expect_err("over its rate");
        }
        world.served(OTHER).await.expect("a handshake is left");
        world.served("127.0.0.4").await.expect_err("and now none");
    });
    assert_eq!(
        (world.refused("rate"), world.refused("handshake_rate")),
        (5.0, 1.0)
    );
}

#[test]
fn sources_of_one_network_share_its_limits() {
    let limits = "connections = { rate = \"1/h\", burst = 3, per_network = { rate = \"1/h\", burst = 4 } }\n\
                  concurrent = { per_network = 3 }\nnetwork = { v4 = 24 }";
    let world = world("limits-network", "", limits);
    runtime().block_on(async {
        let mut held = Vec::new();
        for from in ["127.0.0.2", "127.0.0.3", "127.0.0.4"] {
            held.push(world.served(from).await.expect("under the cap"));
        }
        world
            .served("127.0.0.5")
            .await
            .expect_err("over the cap of the network");
        held.push(world.served("127.0.1.5").await.expect("another network"));
        drop(held);
        let open = "ravelin_edge_open_connections{listener=\"api\"}";
        wait::until("all to end", SOON, || {
            (world.edge.metric(open) == 0.0).then_some(())
        });
        world
            .served("127.0.0.6")
            .await
            .expect("the last of the network's burst");
        world
            .served("127.0.0.7")
            .await
            .expect_err("over the rate of the network");
        world.served("127.0.1.7").await.expect("another network");
    });
    assert_eq!(
        (
            world.refused("network_connections"),
            world.refused("network_rate")
        ),
        (1.0, 1.0)
    );
    let offences = world.edge.metrics();
    let blamed = offences
        .lines()
        .filter(|line| line.starts_with("ravelin_edge_offences_total") && !line.ends_with(" 0"));
    assert_eq!(blamed.count(), 0, "{offences}");
}

#[test]
fn a_client_that_leaves_the_middle_of_the_line_moves_the_others_forward() {
    let limits =
        "connections = { rate = \"6/m\", burst = 1, over = \"delay\" }\ndelay = { max = \"50s\", queue = 3 }";
    let world = world("limits-middle", "", limits);
    let _alone = alone();
    runtime().block_on(async {
        let began = Instant::now();
        let _first = world.served(GREEDY).await.expect("the burst");
        let reset = queued(&world, GREEDY).await;
        await_waiting(&world, 1.0);
        let closed = queued(&world, GREEDY).await;
        await_waiting(&world, 2.0);
        let last = tokio::spawn({
            let (client, to) = (world.client.clone(), world.edge.address("api"));
            async move { client.connect_from(GREEDY, to, crate::connections::NAME).await }
        });
        await_waiting(&world, 3.0);
        // One by RST and one by FIN: each leaves within a tenth of a second, and its place is free.
        for (stream, left) in [(reset, 2.0), (closed, 1.0)] {
            if left == 2.0 {
                stream.set_zero_linger().expect("an option");
            }
            drop(stream);
            let gone = Instant::now();
            await_waiting(&world, left);
            assert!(
                gone.elapsed() < Duration::from_millis(100),
                "{:?}",
                gone.elapsed()
            );
        }
        last.await.expect("no panic").expect("its turn");
        // The third turn would have come after 30 s; this is the first.
        let waited = began.elapsed();
        assert!(waited >= Duration::from_millis(9_900), "{waited:?}");
        assert!(waited < Duration::from_secs(19), "{waited:?}");
    });
    assert_eq!(world.edge.ended("api", "abandoned"), 2.0);
}

#[test]
fn a_connection_in_line_ends_in_order_when_the_edge_stops() {
    let limits =
        "connections = { rate = \"1/h\", burst = 1, over = \"delay\" }\ndelay = { max = \"3h\", queue = 3 }";
    let World {
        edge,
        client,
        _backend,
    } = world("limits-stop", "", limits);
    let mut streams = Vec::new();
    runtime().block_on(async {
        for _ in 0..3 {
            streams.push(connect_from(GREEDY, edge.address("api")).await.expect("connect"));
        }
    });
    let queue = "ravelin_edge_delay_queue_connections{listener=\"api\"}";
    wait::until("two to wait", SOON, || (edge.metric(queue) == 2.0).then_some(()));
    drop(client);
    assert_eq!(edge.stop(), 3, "the first says nothing, the others wait");
    runtime().block_on(async {
        for stream in &mut streams {
            let end = stream.read(&mut [0; 1]).await;
            assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
        }
    });
}

#[test]
fn observed_limits_count_and_refuse_delay_and_ban_nobody() {
    let limits = "mode = \"observe\"\nconnections = { rate = \"1/h\", burst = 2 }\nconcurrent = { total = 8 }\n\
                  handshakes = { rate = \"1/h\", burst = 3, per = \"source\" }\nbandwidth = { per_connection = \"1KB/s\" }\n\
                  ban = { offences = 1, window = \"1m\", for = \"1m\" }";
    let world = world("limits-observe", "", limits);
    let would = |reason| {
        world.edge.metric(&format!(
            "ravelin_edge_would_refuse_total{{listener=\"api\",reason=\"{reason}\"}}"
        ))
    };
    runtime().block_on(async {
        let mut held = Vec::new();
        for _ in 0..7 {
            held.push(world.served(GREEDY).await.expect("let through"));
        }
        assert_eq!((would("rate"), would("handshake_rate")), (5.0, 0.0));
        // Twice the burst of bytes, at once: at a kilobyte a second it would take minutes.
        let mut bytes = vec![7; 128 * 1024];
        let (mut from, mut to) = tokio::io::split(held.pop().expect("one"));
        let sent = bytes.clone();
        let sending = tokio::spawn(async move { to.write_all(&sent).await.map(|()| to) });
        from.read_exact(&mut bytes).await.expect("an echo");
        assert!(bytes.iter().all(|byte| *byte == 7));
        held.push(from.unsplit(sending.await.expect("no panic").expect("sent")));
        held.push(world.served(OTHER).await.expect("let through"));
        // What protects the host is in force.
        world
            .served(OTHER)
            .await
            .expect_err("over the cap of the listener");
    });
    assert!(
        world
            .edge
            .metric("ravelin_edge_would_delay_total{listener=\"api\",reason=\"bandwidth\"}")
            > 0.0
    );
    assert_eq!(world.refused("total_connections"), 1.0);
    assert_eq!(world.refused("rate"), 0.0);
    assert_eq!(world.offences("rate"), 5.0);
    assert_eq!(
        world
            .edge
            .metric("ravelin_edge_bans_asked_total{listener=\"api\"}"),
        0.0
    );
    assert_eq!(world.edge.metric(ADMITTED), 8.0);
}

#[test]
fn an_observed_delay_is_counted_and_nobody_waits() {
    let limits = "mode = \"observe\"\nconnections = { rate = \"1/h\", burst = 1, over = \"delay\" }\n\
                  delay = { max = \"90m\", queue = 3 }";
    let world = world("limits-observe-delay", "", limits);
    runtime().block_on(async {
        for _ in 0..4 {
            world.served(GREEDY).await.expect("at once");
        }
    });
    let would = |family, reason| {
        world.edge.metric(&format!(
            "ravelin_edge_would_{family}_total{{listener=\"api\",reason=\"{reason}\"}}"
        ))
    };
    assert_eq!(
        (would("delay", "rate"), would("refuse", "delay_too_long")),
        (1.0, 2.0)
    );
}
