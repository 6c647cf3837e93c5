//! Lists and limits go by the client that the proxy names.

use ravelin_tests::client::connect_from;
use ravelin_tests::runtime::runtime;
use ravelin_tests::wait;
use tokio::io::AsyncReadExt as _;

use super::{PROXY, SOON, V1, heard, world};

fn client(address: &str) -> Vec<u8> {
    format!("PROXY TCP4 {address} 198.51.100.2 4660 443\r\n").into_bytes()
}

#[test]
fn lists_are_of_clients_and_not_of_the_proxy() {
    let world = world(
        "proxy-lists",
        "allow = [\"192.0.2.0/24\", \"198.51.100.7\"]\ndeny = [\"192.0.2.8\"]",
        "",
    );
    runtime().block_on(async {
        for served in ["192.0.2.7", "198.51.100.7"] {
            let stream = world.behind(&client(served)).await.expect("let in");
            let said = heard(stream).await.expect("an answer");
            assert!(said.starts_with(&format!("{served}:")), "{said}");
        }
        for refused in ["192.0.2.8", "203.0.113.1"] {
            let mut stream = connect_from(PROXY, world.to()).await.expect("connect");
            tokio::io::AsyncWriteExt::write_all(&mut stream, &client(refused))
                .await
                .expect("send");
            stream.read(&mut [0; 1]).await.expect_err("a reset");
        }
        // The proxy is no client that the list lets in.
        world
            .behind(b"PROXY UNKNOWN\r\n")
            .await
            .expect_err("speaks for itself");
    });
    assert_eq!(world.refused("address"), 3.0);
    assert_eq!(world.edge.ended("api", "refused"), 3.0);
    assert_eq!(world.headers("v1"), 4.0);
    assert_eq!(
        world.edge.metric("ravelin_edge_admitted_total{listener=\"api\"}"),
        2.0
    );
}

#[test]
fn limits_per_source_are_per_client() {
    let limits = "concurrent = { per_source = 2 }\nconnections = { rate = \"1/h\", burst = 3 }";
    let world = world("proxy-limits", "", limits);
    runtime().block_on(async {
        let mut open = Vec::new();
        for address in ["192.0.2.7", "192.0.2.7", "192.0.2.8", "192.0.2.8"] {
            open.push(world.behind(&client(address)).await.expect("let in"));
        }
        world
            .behind(V1)
            .await
            .expect_err("a third of this client at once");
        drop(open);
        wait::until("all to end", SOON, || {
            let series = "ravelin_edge_open_connections{listener=\"api\"}";
            (world.edge.metric(series) == 0.0).then_some(())
        });
        drop(world.behind(V1).await.expect("the last of the burst"));
        world.behind(V1).await.expect_err("over the rate");
        drop(world.behind(&client("192.0.2.8")).await.expect("another client"));
    });
    assert_eq!(world.refused("source_connections"), 1.0);
    assert_eq!(world.refused("rate"), 1.0);
}

#[test]
fn connections_without_a_header_yet_count_against_the_total() {
    let world = world("proxy-total", "", "concurrent = { total = 2 }");
    runtime().block_on(async {
        let mut silent = Vec::new();
        for _ in 0..2 {
            silent.push(connect_from(PROXY, world.to()).await.expect("connect"));
        }
        wait::until("both to be there", SOON, || {
            let series = "ravelin_edge_open_connections{listener=\"api\"}";
            (world.edge.metric(series) == 2.0).then_some(())
        });
        world.behind(V1).await.expect_err("no room");
        drop(silent);
        // Who hangs up without a byte looks to see whether somebody listens.
        wait::until("both to be gone", SOON, || {
            (world.edge.ended("api", "closed_early") == 2.0).then_some(())
        });
        let stream = world.behind(V1).await.expect("room again");
        assert_eq!(heard(stream).await.expect("an answer"), super::CLIENT);
    });
    assert_eq!(world.refused("total_connections"), 1.0);
    assert_eq!((world.headers("missing"), world.headers("malformed")), (0.0, 0.0));
}

#[test]
fn a_client_over_the_rate_waits_for_its_turn_behind_its_header() {
    let limits =
        "connections = { rate = \"5/s\", burst = 1, over = \"delay\" }\ndelay = { max = \"5s\", queue = 10 }";
    let world = world("proxy-delay", "", limits);
    runtime().block_on(async {
        for _ in 0..3 {
            let stream = world.behind(V1).await.expect("its turn");
            assert_eq!(heard(stream).await.expect("an answer"), super::CLIENT);
        }
    });
    let waited = world
        .edge
        .metric("ravelin_edge_delay_seconds_count{listener=\"api\"}");
    assert_eq!(waited, 2.0);
}
