//! Sessions that began well: renegotiation, floods of key updates, ends where none belong.

use ravelin_tests::backend::Backend;
use ravelin_tests::client::Client;
use ravelin_tests::dialogue::Dialogue;
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::Authority;
use ravelin_tests::runtime::runtime;
use ravelin_tests::{requires, wait};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::hello::{RECORD_HEADER, hello, length};
use super::{NAME, SOON, policy};

fn start(test: &str) -> (Edge, Backend, Authority) {
    let authority = Authority::new();
    let backend = Backend::echo();
    let policy = policy(backend.address(), "", "handshake_timeout = \"4s\"");
    (
        Edge::start(test, &policy, &[("api", &authority.issue(&[NAME]))]),
        backend,
        authority,
    )
}

#[test]
fn a_client_that_renegotiates_is_refused() {
    requires!(Tool("openssl"));
    let (edge, _backend, _) = start("abuse-renegotiate");
    let to = edge.address("api").to_string();
    let mut client = Dialogue::start(
        "openssl",
        &["s_client", "-connect", &to, "-tls1_2", "-servername", NAME],
    );
    client.wait_for("Secure Renegotiation IS supported", SOON);
    client.say("before\n");
    client.wait_for("before", SOON);
    client.say("R\n");
    // It waits for a new handshake, and is told that there will be none.
    client.wait_for("no renegotiation", SOON);
    let rest = client.end();
    assert!(rest.contains("RENEGOTIATING"), "{rest}");
    assert_eq!(
        edge.metric("ravelin_edge_tls_handshakes_total{listener=\"api\",resumed=\"no\",version=\"1.2\"}"),
        1.0
    );
}

#[test]
fn a_flood_of_key_updates_ends_the_connection() {
    let (edge, _backend, authority) = start("abuse-key-updates");
    let client = Client::new(&authority);
    let updates = runtime().block_on(async {
        let mut stream = client
            .connect(edge.address("api"), NAME)
            .await
            .expect("a session");
        // Between bytes of the application they are as many as one likes.
        for _ in 0..100 {
            stream.get_mut().1.refresh_traffic_keys().expect("TLS 1.3");
            stream.write_all(b"x").await.expect("send");
            stream.read_exact(&mut [0; 1]).await.expect("an echo");
        }
        let flood = async {
            for sent in 0..10_000 {
                let updated = stream.get_mut().1.refresh_traffic_keys();
                if updated.is_err() || stream.flush().await.is_err() {
                    return sent;
                }
                if let Ok(end) = timeout(std::time::Duration::from_millis(1), stream.read(&mut [0; 1])).await
                {
                    assert!(!matches!(end, Ok(1..)), "an echo of nothing");
                    return sent;
                }
            }
            10_000
        };
        timeout(SOON, flood).await.expect("an end")
    });
    assert!(updates < 1_000, "{updates} key updates were taken");
    wait::until("the end to be counted", SOON, || {
        (edge.ended("api", "tls_violation") == 1.0).then_some(())
    });
}

#[test]
fn close_notify_in_the_middle_of_a_handshake_ends_it() {
    let (edge, backend, authority) = start("abuse-close-notify");
    runtime().block_on(async {
        let hello = hello(&authority).await;
        for before in [0, 1, hello.len() / 2, hello.len()] {
            let mut stream = TcpStream::connect(edge.address("api")).await.expect("connect");
            // An alert between the pieces of a message, where its piece is one record of its own.
            let piece = before.saturating_sub(RECORD_HEADER);
            let mut bytes = match before {
                0 | 1 => Vec::new(),
                _ => [&[22, 3, 1][..], &length(piece), &hello[RECORD_HEADER..before]].concat(),
            };
            bytes.extend([21, 3, 3, 0, 2, 1, 0]);
            stream.write_all(&bytes).await.expect("send");
            let ended = timeout(SOON, stream.read_to_end(&mut Vec::new())).await;
            // RUSTSEC-2024-0336: it was a loop that never came to an end. Behind a whole hello the library waits for more, which
            // never comes: until `handshake_timeout`.
            assert!(ended.is_ok(), "after {before} bytes of the hello nothing ended");
        }
        let client = Client::new(&authority);
        let mut stream = client
            .connect(edge.address("api"), NAME)
            .await
            .expect("others are served");
        stream.write_all(b"x").await.expect("send");
        stream.read_exact(&mut [0; 1]).await.expect("an echo");
    });
    wait::until("all to be counted", SOON, || {
        let ended = ["not_tls", "handshake_failed", "handshake_timeout"];
        (ended.map(|result| edge.ended("api", result)) == [2.0, 1.0, 1.0]).then_some(())
    });
    assert_eq!(backend.accepted(), 1);
}
