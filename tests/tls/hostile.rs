//! Clients that mean harm: half a hello, one byte at a time, no TLS at all.

use std::time::{Duration, Instant};

use ravelin_tests::backend::Backend;
use ravelin_tests::client::Client;
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::Authority;
use ravelin_tests::runtime::runtime;
use ravelin_tests::wait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::hello::hello;
use super::{NAME, SOON, policy};

const TIMEOUT: Duration = Duration::from_millis(700);

fn start(test: &str) -> (Edge, Backend, Authority) {
    let authority = Authority::new();
    let backend = Backend::echo();
    let policy = policy(backend.address(), "", "handshake_timeout = \"700ms\"");
    (
        Edge::start(test, &policy, &[("api", &authority.issue(&[NAME]))]),
        backend,
        authority,
    )
}

#[track_caller]
fn assert_about_the_timeout(took: Duration) {
    assert!(
        took >= TIMEOUT - Duration::from_millis(10),
        "closed after {took:?}"
    );
    assert!(took < TIMEOUT + Duration::from_secs(1), "closed after {took:?}");
}

#[test]
fn half_a_hello_and_silence_is_closed_at_the_handshake_timeout() {
    let (edge, backend, authority) = start("hostile-half");
    runtime().block_on(async {
        let hello = hello(&authority).await;
        for bytes in [&hello[..0], &hello[..1], &hello[..hello.len() / 2], &hello] {
            let mut stream = TcpStream::connect(edge.address("api")).await.expect("connect");
            let start = Instant::now();
            stream.write_all(bytes).await.expect("send");
            let mut answer = Vec::new();
            // The whole hello is answered, and then the handshake goes no further.
            let _reset_or_end = stream.read_to_end(&mut answer).await;
            assert_about_the_timeout(start.elapsed());
            assert_eq!(answer.is_empty(), bytes.len() < hello.len());
        }
    });
    wait::until("all four to be counted", SOON, || {
        (edge.ended("api", "handshake_timeout") == 4.0).then_some(())
    });
    assert_eq!(
        edge.metric("ravelin_edge_open_connections{listener=\"api\"}"),
        0.0
    );
    assert_eq!(backend.accepted(), 0);
}

#[test]
fn a_byte_at_a_time_does_not_stretch_the_handshake_timeout() {
    let (edge, backend, authority) = start("hostile-dribble");
    runtime().block_on(async {
        let hello = hello(&authority).await;
        let mut stream = TcpStream::connect(edge.address("api")).await.expect("connect");
        stream.set_nodelay(true).expect("an option");
        let start = Instant::now();
        let mut sent = 0;
        let mut answer = [0; 1];
        loop {
            tokio::select! {
                end = stream.read(&mut answer) => {
                    assert!(!matches!(end, Ok(1..)), "an answer to part of a hello");
                    break;
                }
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
            if stream.write_all(&hello[sent..=sent]).await.is_err() {
                break;
            }
            sent += 1;
        }
        assert_about_the_timeout(start.elapsed());
        assert!(sent > 5);
    });
    assert_eq!(backend.accepted(), 0);
}

#[test]
fn what_is_not_tls_is_closed_without_a_byte_in_return() {
    let (edge, backend, _) = start("hostile-plain");
    let plain: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\0",
        b"\x80\x2e\x01\x03\x01",
    ];
    runtime().block_on(async {
        for bytes in plain {
            let mut stream = TcpStream::connect(edge.address("api")).await.expect("connect");
            let start = Instant::now();
            stream.write_all(bytes).await.expect("send");
            let mut answer = Vec::new();
            let _reset_or_end = stream.read_to_end(&mut answer).await;
            assert!(answer.is_empty(), "{answer:?}");
            assert!(
                start.elapsed() < TIMEOUT,
                "closed only after {:?}",
                start.elapsed()
            );
        }
    });
    wait::until("all four to be counted", SOON, || {
        (edge.ended("api", "not_tls") == 4.0).then_some(())
    });
    assert_eq!(backend.accepted(), 0);
}

#[test]
fn garbage_inside_tls_records_ends_the_connection_and_nothing_else() {
    let (edge, backend, authority) = start("hostile-garbage");
    runtime().block_on(async {
        let hello = hello(&authority).await;
        let mut seed = 1_u32;
        for round in 0..300 {
            let mut bytes = hello.clone();
            // A few bytes changed, anywhere after the record type, or the end cut off.
            for _ in 0..=round % 8 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let place = 1 + (seed >> 8) as usize % (bytes.len() - 1);
                bytes[place] = (seed >> 24) as u8;
            }
            let mut stream = TcpStream::connect(edge.address("api")).await.expect("connect");
            stream.write_all(&bytes).await.expect("send");
            stream.shutdown().await.expect("close");
            let _reset_or_end = stream.read_to_end(&mut Vec::new()).await;
        }
        let client = Client::new(&authority);
        let mut stream = client
            .connect(edge.address("api"), NAME)
            .await
            .expect("others are served as before");
        stream.write_all(b"x").await.expect("send");
        stream.read_exact(&mut [0; 1]).await.expect("an echo");
    });
    assert_eq!(backend.accepted(), 1);
}
