//! Each timeout ends a connection in its own name, and no other.

use std::net::{SocketAddr, TcpStream as Blocking};
use std::time::{Duration, Instant};

use ravelin_tests::backend::Backend;
use ravelin_tests::client::Client;
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::Authority;
use ravelin_tests::runtime::runtime;
use ravelin_tests::wait;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::sleep;

use super::world::echoes;
use super::{NAME, SOON, policy};

fn start(test: &str, server: SocketAddr, limits: &str) -> (Authority, Edge) {
    let authority = Authority::new();
    let policy = policy(server, "", limits);
    let edge = Edge::start(test, &policy, &[("api", &authority.issue(&[NAME]))]);
    (authority, edge)
}

#[track_caller]
fn ends_as(edge: &Edge, result: &str) {
    wait::until(result, SOON, || (edge.ended("api", result) == 1.0).then_some(()));
}

/// A server that hears the end and says nothing for ever.
fn deaf() -> Backend {
    Backend::new(|mut stream| async move {
        stream.read_to_end(&mut Vec::new()).await?;
        std::future::pending().await
    })
}

#[test]
fn a_half_that_never_closes_is_closed_at_close_timeout() {
    let backend = deaf();
    let (authority, edge) = start("timeouts-close", backend.address(), "close_timeout = \"300ms\"");
    let began = Instant::now();
    runtime().block_on(async {
        let mut stream = Client::new(&authority)
            .connect(edge.address("api"), NAME)
            .await
            .expect("a session");
        stream.shutdown().await.expect("close one side");
        stream.read(&mut [0]).await.expect_err("cut off");
    });
    assert!(began.elapsed() >= Duration::from_millis(300));
    ends_as(&edge, "close_timeout");
}

#[test]
fn a_half_that_goes_on_talking_is_left_alone() {
    let backend = Backend::new(|mut stream| async move {
        stream.read_to_end(&mut Vec::new()).await?;
        for _ in 0..10 {
            sleep(Duration::from_millis(150)).await;
            stream.write_all(b"still here\n").await?;
        }
        stream.shutdown().await
    });
    // Half of the time between two lines would be enough on a machine that has time.
    let (authority, edge) = start("timeouts-rolling", backend.address(), "close_timeout = \"1s\"");
    let answer = runtime().block_on(async {
        let mut stream = Client::new(&authority)
            .connect(edge.address("api"), NAME)
            .await
            .expect("a session");
        stream.shutdown().await.expect("close one side");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("all of it");
        answer
    });
    assert_eq!(answer.lines().count(), 10);
    ends_as(&edge, "completed");
}

#[test]
fn a_connection_that_talks_all_the_time_ends_at_its_lifetime() {
    let backend = Backend::echo();
    let (authority, edge) = start("timeouts-lifetime", backend.address(), "lifetime = \"700ms\"");
    let lived = runtime().block_on(async {
        let began = Instant::now();
        let mut stream = Client::new(&authority)
            .connect(edge.address("api"), NAME)
            .await
            .expect("a session");
        while echoes(&mut stream).await.is_ok() {}
        began.elapsed()
    });
    assert!(lived >= Duration::from_millis(600), "{lived:?}");
    ends_as(&edge, "lifetime");
}

#[test]
fn silence_on_both_sides_ends_at_idle_timeout_also_when_half_closed() {
    let backend = deaf();
    let (authority, edge) = start("timeouts-idle", backend.address(), "idle_timeout = \"300ms\"");
    runtime().block_on(async {
        let mut stream = Client::new(&authority)
            .connect(edge.address("api"), NAME)
            .await
            .expect("a session");
        stream.shutdown().await.expect("close one side");
        stream.read(&mut [0]).await.expect_err("cut off");
    });
    ends_as(&edge, "idle_timeout");
}

#[test]
fn a_server_that_does_not_answer_ends_it_at_connect_timeout() {
    // A backlog of one that is full: the kernel drops what else comes.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&any.into()).expect("bind");
    socket.listen(0).expect("listen");
    let server = socket
        .local_addr()
        .expect("an address")
        .as_socket()
        .expect("of TCP");
    let filling: Vec<_> = (0..4)
        .map(|_| Blocking::connect_timeout(&server, Duration::from_millis(200)))
        .collect();
    assert!(filling.iter().any(Result::is_err), "the backlog is not full");
    let policy = policy(server, "", "").replace("[[upstream]]", "[[upstream]]\nconnect_timeout = \"300ms\"");
    let authority = Authority::new();
    let edge = Edge::start("timeouts-connect", &policy, &[("api", &authority.issue(&[NAME]))]);
    runtime().block_on(async {
        let mut stream = Client::new(&authority)
            .connect(edge.address("api"), NAME)
            .await
            .expect("a session");
        stream.read(&mut [0]).await.expect_err("cut off");
    });
    ends_as(&edge, "connect_timeout");
}
