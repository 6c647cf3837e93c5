//! Many connections leave nothing behind: no memory, no descriptors, no entries.

use std::fs;
use std::sync::Arc;
use std::time::Instant;

use ravelin_tests::backend::Backend;
use ravelin_tests::client::{Client, connect_from};
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::Authority;
use ravelin_tests::runtime::runtime;
use ravelin_tests::wait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{NAME, SOON, policy};

/// Opens and closes `count` connections, 32 at a time: of eight, three are served over TLS, one hangs up in the middle, one
/// speaks no TLS, three are refused by address.
async fn churn(edge: &Edge, client: &Client, count: usize) {
    let slots = Arc::new(Semaphore::new(32));
    let mut connections = JoinSet::new();
    let to = edge.address("api");
    for number in 0..count {
        let slot = Arc::clone(&slots).acquire_owned().await.expect("open");
        let client = client.clone();
        while connections
            .try_join_next()
            .transpose()
            .expect("a connection does not panic")
            .is_some()
        {}
        connections.spawn(async move {
            let _slot = slot;
            match number % 8 {
                0..3 => {
                    let mut stream = client.connect(to, NAME).await.expect("a session");
                    stream.write_all(b"ping").await.expect("send");
                    stream.read_exact(&mut [0; 4]).await.expect("an echo");
                    stream.shutdown().await.expect("close");
                    // Whoever closes first keeps the port for a minute: let that be us, in order.
                    let _end = stream.read(&mut [0; 1]).await;
                }
                3 => drop(connect_from("127.0.0.1", to).await.expect("connect")),
                4 => {
                    let mut stream = connect_from("127.0.0.1", to).await.expect("connect");
                    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("send");
                    let _reset = stream.read(&mut [0; 1]).await;
                }
                _ => {
                    let refused = connect_from("127.0.0.66", to).await;
                    if let Ok(mut stream) = refused {
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
        .expect("a connection does not panic")
        .is_some()
    {}
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("VmRSS");
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .expect("a number")
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("a folder").count()
}

#[test]
fn twenty_thousand_connections_leave_memory_and_descriptors_as_they_were() {
    let authority = Authority::new();
    let backend = Backend::echo();
    let limits = "connections = { rate = \"100k/s\", burst = 100000 }\nconcurrent = { per_source = 1000 }";
    let policy = policy(backend.address(), "", limits)
        .replace("name = \"api\"", "name = \"api\"\ndeny = [\"127.0.0.66/32\"]");
    let edge = Edge::start("steady", &policy, &[("api", &authority.issue(&[NAME]))]);
    let client = Client::new(&authority);
    let open = "ravelin_edge_open_connections{listener=\"api\"}";
    let settled = || {
        wait::until("all connections to end", SOON, || {
            (edge.metric(open) == 0.0).then_some(())
        })
    };

    let start = Instant::now();
    runtime().block_on(churn(&edge, &client, 2_000));
    settled();
    let (memory, files) = (resident_kib(), descriptors());
    runtime().block_on(churn(&edge, &client, 20_000));
    settled();
    let (memory_after, files_after) = (resident_kib(), descriptors());
    eprintln!(
        "{memory} KiB and {files} descriptors after 2,000 connections, {memory_after} KiB and {files_after} after 22,000, {:?}",
        start.elapsed()
    );
    assert_eq!(edge.ended("api", "refused"), 22_000.0 * 3.0 / 8.0);
    assert_eq!(edge.ended("api", "not_tls"), 22_000.0 / 8.0);
    assert_eq!(edge.ended("api", "completed"), 22_000.0 * 3.0 / 8.0);
    assert!(
        files_after <= files + 8,
        "{files} descriptors grew to {files_after}"
    );
    assert!(
        memory_after <= memory + ALLOWANCE_KIB,
        "{memory} KiB grew to {memory_after}"
    );
}

/// For the allocator's arenas; 20,000 connections that leave 1 KiB each would be five times as much.
const ALLOWANCE_KIB: u64 = 4 * 1024;
