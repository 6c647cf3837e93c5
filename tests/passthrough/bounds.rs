//! What reaches the upstream, to the byte, and what does not.

use std::time::{Duration, Instant};

use ravelin_tests::backend::Backend;
use ravelin_tests::edge::Edge;
use ravelin_tests::hello::{in_records, padded};
use ravelin_tests::runtime::runtime;
use ravelin_tests::wait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{DB, SOON, hello, without_certificate};

/// Sends `bytes` and the end; what comes back until the end or a reset.
fn talk(edge: &Edge, bytes: &[u8]) -> Vec<u8> {
    runtime().block_on(async {
        let mut stream = TcpStream::connect(edge.address("through"))
            .await
            .expect("connect");
        let mut answer = Vec::new();
        // The edge may have closed already.
        let _broken = stream.write_all(bytes).await;
        let _broken = stream.shutdown().await;
        let _reset_or_end = stream.read_to_end(&mut answer).await;
        answer
    })
}

#[test]
fn the_upstream_gets_every_byte_as_it_came() {
    let (db, hearing) = Backend::hearing();
    let edge = Edge::start(
        "passthrough-bytes",
        &without_certificate(db.address(), "", ""),
        &[],
    );
    let hello = hello(DB);
    assert!(hello.len() > 1460, "{} bytes fit a segment", hello.len());
    let mut sent = 0;
    for hello in [
        hello.clone(),
        in_records(&hello, 1),
        padded(&hello, 20_000),
        // The longest there may be.
        padded(&hello, 64 << 10),
    ] {
        let bytes = [&hello[..], b"and whatever is said next, TLS or not"].concat();
        assert!(talk(&edge, &bytes).is_empty());
        let heard = hearing.recv_timeout(SOON).expect("a connection");
        assert!(heard == bytes, "{} bytes became {}", bytes.len(), heard.len());
        sent += bytes.len();
    }
    wait::until("all four to end in order", SOON, || {
        (edge.ended("through", "completed") == 4.0).then_some(())
    });
    let counted =
        edge.metric("ravelin_edge_relayed_bytes_total{direction=\"to_upstream\",listener=\"through\"}");
    assert_eq!(counted, sent as f64);
}

#[test]
fn a_hello_that_is_too_long_or_malformed_reaches_nobody() {
    let (db, _hearing) = Backend::hearing();
    let edge = Edge::start(
        "passthrough-long",
        &without_certificate(db.address(), "", ""),
        &[],
    );
    let hello = hello(DB);
    let mut no_name = hello.clone();
    let at = hello
        .windows(DB.len())
        .position(|window| window == DB.as_bytes())
        .expect("the name");
    no_name[at] = b'/';
    let (decode_error, unexpected_message) = (50, 10);
    for (bytes, alert) in [
        (padded(&hello, (64 << 10) + 1), decode_error),
        (in_records(&padded(&hello, 60 << 10), 8), decode_error),
        (no_name, decode_error),
        (b"\x16\x03\x01\x00\x00".to_vec(), decode_error),
        (
            b"\x16\x03\x03\x00\x04\x02\x00\x00\x00".to_vec(),
            unexpected_message,
        ),
    ] {
        let answer = talk(&edge, &bytes);
        // A reset may overtake it.
        assert!(
            answer.is_empty() || answer == [21, 3, 3, 0, 2, 2, alert],
            "{answer:?}"
        );
    }
    wait::until("all to be counted", SOON, || {
        (edge.ended("through", "handshake_failed") == 5.0).then_some(())
    });
    let causes = ["malformed", "violation"].map(|cause| {
        edge.metric(&format!(
            "ravelin_edge_handshake_failures_total{{cause=\"{cause}\",listener=\"through\"}}"
        ))
    });
    assert_eq!(causes, [4.0, 1.0]);
    for plain in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\0"] {
        assert!(talk(&edge, plain).is_empty());
    }
    assert!(talk(&edge, b"").is_empty());
    assert!(talk(&edge, &hello[..hello.len() - 1]).is_empty());
    wait::until("the others to be counted", SOON, || {
        let ended = ["not_tls", "closed_early"].map(|result| edge.ended("through", result));
        (ended == [2.0, 2.0]).then_some(())
    });
    assert_eq!(db.accepted(), 0);
}

#[test]
fn the_whole_hello_comes_within_the_handshake_timeout() {
    const TIMEOUT: Duration = Duration::from_millis(700);
    let db = Backend::echo();
    let policy = without_certificate(db.address(), "handshake_timeout = \"700ms\"", "");
    let edge = Edge::start("passthrough-timeout", &policy, &[]);
    let hello = hello(DB);
    runtime().block_on(async {
        let mut stream = TcpStream::connect(edge.address("through"))
            .await
            .expect("connect");
        let start = Instant::now();
        stream.write_all(&hello[..hello.len() - 1]).await.expect("send");
        let mut answer = Vec::new();
        let _reset_or_end = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty());
        assert!(
            start.elapsed() >= TIMEOUT - Duration::from_millis(10),
            "closed after {:?}",
            start.elapsed()
        );
        assert!(start.elapsed() < TIMEOUT + Duration::from_secs(2));
        // Whoever has said it may take its time with the rest.
        let mut stream = TcpStream::connect(edge.address("through"))
            .await
            .expect("connect");
        stream.write_all(&hello).await.expect("send");
        let mut echo = vec![0; hello.len()];
        stream.read_exact(&mut echo).await.expect("an echo");
        tokio::time::sleep(TIMEOUT + Duration::from_millis(200)).await;
        stream.write_all(b"x").await.expect("send");
        stream.read_exact(&mut echo[..1]).await.expect("still there");
    });
    assert_eq!(edge.ended("through", "handshake_timeout"), 1.0);
}

#[test]
fn the_header_for_the_upstream_names_the_server_and_says_nothing_of_tls() {
    let (db, hearing) = Backend::hearing();
    let policy = without_certificate(db.address(), "", "proxy_protocol = \"v2\"");
    let edge = Edge::start("passthrough-header", &policy, &[]);
    let hello = hello(DB);
    assert!(talk(&edge, &hello).is_empty());
    let heard = hearing.recv_timeout(SOON).expect("a connection");
    assert_eq!(heard[..16], *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x1d");
    assert_eq!(heard[16..24], [127, 0, 0, 1, 127, 0, 0, 1]);
    let port = edge.address("through").port();
    assert_eq!(heard[26..28], port.to_be_bytes());
    assert_eq!(heard[28..45], *b"\x02\x00\x0edb.example.com");
    assert!(heard[45..] == hello, "and the hello as it came");
}

#[test]
fn what_the_upstream_does_not_take_ends_as_for_others() {
    // Closed with bytes unread: a reset, and not before there is somebody to notice.
    let db = Backend::new(|mut stream| async move { stream.read_exact(&mut [0; 1]).await.map(drop) });
    let edge = Edge::start(
        "passthrough-reset",
        &without_certificate(db.address(), "", ""),
        &[],
    );
    let hello = hello(DB);
    assert!(talk(&edge, &hello).is_empty());
    wait::until("it to be counted", SOON, || {
        (edge.ended("through", "upstream_reset") == 1.0).then_some(())
    });
    let gone = db.address();
    drop(db);
    edge.write_policy(&without_certificate(gone, "", ""));
    edge.reload().expect("a good policy");
    wait::until("nobody to listen", SOON, || {
        std::net::TcpStream::connect(gone).is_err().then_some(())
    });
    assert!(talk(&edge, &hello).is_empty());
    wait::until("it to be counted", SOON, || {
        (edge.ended("through", "upstream_unreachable") == 1.0).then_some(())
    });
}
