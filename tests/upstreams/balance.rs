//! How connections are spread over servers, many at once.

use std::collections::HashMap;

use ravelin_tests::backend::Backend;
use ravelin_tests::runtime::runtime;
use ravelin_tests::wait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::peers::Place;
use super::{SOON, World};

/// A server that says which it is, and stays.
fn named(name: u8) -> Backend {
    Backend::new(move |mut stream| async move {
        stream.write_all(&[name]).await?;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.map(drop)
    })
}

/// Opens `count` connections at once; each with the name of its server.
async fn open(world: &World, count: usize) -> Vec<(u8, TlsStream<TcpStream>)> {
    let mut opening = tokio::task::JoinSet::new();
    let to = world.edge.address("api");
    for _ in 0..count {
        let client = world.client.clone();
        opening.spawn(async move {
            let mut stream = client.connect(to, super::NAME).await.expect("a session");
            let name = stream.read_u8().await.expect("a name");
            (name, stream)
        });
    }
    opening.join_all().await
}

fn spread(held: &[(u8, TlsStream<TcpStream>)]) -> HashMap<u8, usize> {
    let mut spread = HashMap::new();
    for (name, _) in held {
        *spread.entry(*name).or_default() += 1;
    }
    spread
}

#[test]
fn round_robin_is_even_also_around_a_server_that_is_out() {
    let servers = [named(0), named(1), named(2)];
    let addresses = servers.each_ref().map(Backend::address);
    let world = World::new("up-balance-round", &addresses, "");
    let held = runtime().block_on(open(&world, 90));
    assert_eq!(spread(&held), HashMap::from([(0, 30), (1, 30), (2, 30)]));

    let down = Place::empty();
    let with_one_down = [down.address(), addresses[0], addresses[1]];
    let terms = "eject = { failures = 1, for = \"1h\" }";
    let world = World::new("up-balance-round-out", &with_one_down, terms);
    wait::until("the ejection", SOON, || {
        drop(runtime().block_on(open(&world, 1)));
        (world.count("ejections") == 1.0).then_some(())
    });
    let held = runtime().block_on(open(&world, 60));
    assert_eq!(spread(&held), HashMap::from([(0, 30), (1, 30)]));
}

#[test]
fn least_connections_evens_out_what_clients_have_made_uneven() {
    let servers = [named(0), named(1), named(2), named(3)];
    let addresses = servers.each_ref().map(Backend::address);
    let world = World::new("up-balance-least", &addresses, "balance = \"least-connections\"");
    let held = runtime().block_on(open(&world, 80));
    for (name, count) in spread(&held) {
        // Two threads may look at the same moment.
        assert!((17..=23).contains(&count), "server {name} has {count} of 80");
    }
    let (leaving, mut held): (Vec<_>, Vec<_>) = held.into_iter().partition(|(name, _)| *name == 2);
    let left = leaving.len();
    drop(leaving);
    let open_now = "ravelin_edge_upstream_open_connections{upstream=\"app\"}";
    wait::until("the edge to notice", SOON, || {
        (world.edge.metric(open_now) == (80 - left) as f64).then_some(())
    });
    let new = runtime().block_on(open(&world, left));
    let to_the_empty_one = spread(&new).get(&2).copied().unwrap_or(0);
    assert!(
        to_the_empty_one + 4 >= left,
        "{to_the_empty_one} of {left} new connections"
    );
    held.extend(new);
    for (name, count) in spread(&held) {
        assert!((16..=24).contains(&count), "server {name} has {count} of 80");
    }
}
