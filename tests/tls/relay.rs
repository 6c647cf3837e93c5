//! What happens to the bytes: both ways, half-closed, announced, balanced, and cut.

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use ravelin_tests::backend::Backend;
use ravelin_tests::client::Client;
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::Authority;
use ravelin_tests::requires;
use ravelin_tests::runtime::runtime;
use ravelin_tests::wait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{NAME, SOON, policy};

fn start(test: &str, backend: &Backend, limits: &str) -> (Authority, Edge) {
    let authority = Authority::new();
    let edge = Edge::start(
        test,
        &policy(backend.address(), "", limits),
        &[("api", &authority.issue(&[NAME]))],
    );
    (authority, edge)
}

#[test]
fn a_client_that_ends_first_still_gets_the_answer() {
    let backend = Backend::new(|mut stream| async move {
        let mut request = String::new();
        stream.read_to_string(&mut request).await?;
        stream.write_all(format!("you said {request}").as_bytes()).await?;
        stream.shutdown().await
    });
    let (authority, edge) = start("relay-half-client", &backend, "");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = Client::with_versions(&authority, &[version]);
        let answer = runtime().block_on(async {
            let mut stream = client
                .connect(edge.address("api"), NAME)
                .await
                .expect("a session");
            stream.write_all(b"all of it").await.expect("send");
            stream.shutdown().await.expect("close one side");
            let mut answer = String::new();
            stream
                .read_to_string(&mut answer)
                .await
                .expect("an answer and close_notify");
            answer
        });
        assert_eq!(answer, "you said all of it");
    }
    wait::until("both to be counted", SOON, || {
        (edge.ended("api", "completed") == 2.0).then_some(())
    });
}

#[test]
fn a_server_that_ends_first_still_hears_the_client() {
    let (heard, hearing): (_, Receiver<String>) = sync_channel(2);
    let backend = Backend::new(move |mut stream| {
        let heard = heard.clone();
        async move {
            stream.write_all(b"bye").await?;
            stream.shutdown().await?;
            let mut rest = String::new();
            stream.read_to_string(&mut rest).await?;
            let _closed = heard.send(rest);
            Ok(())
        }
    });
    let (authority, edge) = start("relay-half-server", &backend, "");
    let client = Client::new(&authority);
    runtime().block_on(async {
        let mut stream = client
            .connect(edge.address("api"), NAME)
            .await
            .expect("a session");
        let mut greeting = String::new();
        stream
            .read_to_string(&mut greeting)
            .await
            .expect("close_notify, not a cut");
        assert_eq!(greeting, "bye");
        stream.write_all(b"one more thing").await.expect("send");
        stream.shutdown().await.expect("close");
    });
    assert_eq!(hearing.recv_timeout(SOON).expect("the rest"), "one more thing");
    wait::until("the end to be counted", SOON, || {
        (edge.ended("api", "completed") == 1.0).then_some(())
    });
}

#[test]
fn megabytes_arrive_unchanged_and_are_counted() {
    let backend = Backend::echo();
    let (authority, edge) = start("relay-bulk", &backend, "");
    let sent: Vec<u8> = (0..8 << 20)
        .map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let client = Client::new(&authority);
    let received = runtime().block_on(async {
        let stream = client
            .connect(edge.address("api"), NAME)
            .await
            .expect("a session");
        let (mut from, mut to) = tokio::io::split(stream);
        let sending = async {
            to.write_all(&sent).await.expect("send");
            to.shutdown().await.expect("close");
        };
        let mut received = Vec::new();
        let (_, read) = tokio::join!(sending, from.read_to_end(&mut received));
        read.expect("receive");
        received
    });
    assert!(
        received == sent,
        "{} bytes came back of {}",
        received.len(),
        sent.len()
    );
    for direction in ["to_client", "to_upstream"] {
        let series =
            format!("ravelin_edge_relayed_bytes_total{{direction=\"{direction}\",listener=\"api\"}}");
        assert_eq!(edge.metric(&series), sent.len() as f64);
    }
}

#[test]
fn a_stream_that_ends_without_close_notify_is_relayed_and_counted_as_cut() {
    let (heard, hearing): (_, Receiver<usize>) = sync_channel(1);
    let backend = Backend::new(move |mut stream| {
        let heard = heard.clone();
        async move {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await?;
            let _closed = heard.send(all.len());
            Ok(())
        }
    });
    let (authority, edge) = start("relay-cut", &backend, "");
    let client = Client::new(&authority);
    runtime().block_on(async {
        let mut stream = client
            .connect(edge.address("api"), NAME)
            .await
            .expect("a session");
        stream.write_all(b"12345").await.expect("send");
        stream.flush().await.expect("send");
        let (mut tcp, _) = stream.into_inner();
        tcp.shutdown().await.expect("FIN without close_notify");
        let mut rest = Vec::new();
        tcp.read_to_end(&mut rest).await.expect("the other side closes");
    });
    assert_eq!(hearing.recv_timeout(SOON).expect("the end reaches the server"), 5);
    wait::until("the end to be counted", SOON, || {
        (edge.ended("api", "truncated") == 1.0).then_some(())
    });
}

#[test]
fn an_answer_reaches_a_client_that_is_still_sending() {
    let backend = Backend::new(|mut stream| async move {
        stream.write_all(b"too large").await?;
        // Dropped with unread bytes: the kernel resets the connection.
        Ok(())
    });
    let (authority, edge) = start("relay-refused-upload", &backend, "");
    let client = Client::new(&authority);
    runtime().block_on(async {
        let stream = client
            .connect(edge.address("api"), NAME)
            .await
            .expect("a session");
        let (mut from, mut to) = tokio::io::split(stream);
        let upload = tokio::spawn(async move {
            let chunk = [7; 16 * 1024];
            for _ in 0..200 {
                if to.write_all(&chunk).await.is_err() {
                    break;
                }
            }
        });
        let mut answer = [0; 9];
        from.read_exact(&mut answer).await.expect("the answer");
        assert_eq!(&answer, b"too large");
        upload.abort();
    });
}

#[test]
fn a_connection_without_a_byte_is_closed_at_the_idle_timeout_and_a_busy_one_is_not() {
    let backend = Backend::echo();
    let (authority, edge) = start("relay-idle", &backend, "idle_timeout = \"600ms\"");
    let client = Client::new(&authority);
    runtime().block_on(async {
        let to = edge.address("api");
        let (idle, busy) = tokio::join!(client.connect(to, NAME), client.connect(to, NAME));
        let (mut idle, mut busy) = (idle.expect("a session"), busy.expect("a session"));
        let start = Instant::now();
        let idle = async move {
            let error = idle
                .read(&mut [0; 1])
                .await
                .expect_err("cut, not closed in order");
            (start.elapsed(), error)
        };
        let busy = async move {
            let mut echo = [0; 1];
            // Bytes at half the timeout, for three times as long.
            for _ in 0..6 {
                tokio::time::sleep(Duration::from_millis(300)).await;
                busy.write_all(b"x").await.expect("still there");
                busy.read_exact(&mut echo).await.expect("still there");
            }
        };
        let ((took, _), ()) = tokio::join!(idle, busy);
        assert!(took >= Duration::from_millis(590), "closed after {took:?}");
        assert!(took < Duration::from_millis(2_000), "closed after {took:?}");
    });
    assert_eq!(edge.ended("api", "idle_timeout"), 1.0);
}

#[test]
fn the_upstream_hears_of_the_client_in_a_proxy_header() {
    requires!(Tool("openssl"));
    let (heard, hearing): (_, Receiver<Vec<u8>>) = sync_channel(1);
    let backend = Backend::new(move |mut stream| {
        let heard = heard.clone();
        async move {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await?;
            let _closed = heard.send(all);
            Ok(())
        }
    });
    let authority = Authority::new();
    let policy = policy(backend.address(), "alpn = [\"h2\"]", "") + "proxy_protocol = \"v2\"\n";
    let edge = Edge::start(
        "relay-proxy-header",
        &policy,
        &[("api", &authority.issue(&[NAME]))],
    );
    let to = edge.address("api");
    let said = std::process::Command::new("openssl")
        .args([
            "s_client",
            "-tls1_3",
            "-servername",
            NAME,
            "-alpn",
            "h2",
            "-bind",
            "127.0.0.9:0",
        ])
        .args([
            "-ciphersuites",
            "TLS_AES_128_GCM_SHA256",
            "-connect",
            &to.to_string(),
        ])
        .stdin(std::process::Stdio::null())
        .output();
    assert!(said.is_ok_and(|output| output.status.success()));
    let all = hearing.recv_timeout(SOON).expect("a header");
    assert_eq!(all[..16], *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x4e");
    assert_eq!(all[16..24], [127, 0, 0, 9, 127, 0, 0, 1]);
    assert_eq!(u16::from_be_bytes([all[26], all[27]]), to.port());
    let mut fields = b"\x01\x00\x02h2\x02\x00\x0fapi.example.com".to_vec();
    fields.extend(b"\x20\x00\x28\x01\x00\x00\x00\x01\x21\x00\x07TLSv1.3\x23\x00\x16TLS_AES_128_GCM_SHA256");
    assert_eq!(all[28..], fields, "and not a byte more");
}

#[test]
fn connections_take_turns_and_step_over_a_server_that_is_down() {
    let up = [Backend::http("one"), Backend::http("two")];
    // Bound and not listening: nobody else gets the port, and it refuses.
    let down = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    down.bind(
        &"127.0.0.1:0"
            .parse::<std::net::SocketAddr>()
            .expect("an address")
            .into(),
    )
    .expect("bind");
    let down = down
        .local_addr()
        .expect("an address")
        .as_socket()
        .expect("an address");
    let authority = Authority::new();
    for balance in ["round-robin", "least-connections"] {
        let policy = policy(up[0].address(), "", "").replace(
            "servers = [",
            &format!(
                "balance = \"{balance}\"\nservers = [\"{down}\", \"{}\", ",
                up[1].address()
            ),
        );
        let before = up.each_ref().map(Backend::accepted);
        let edge = Edge::start(
            &format!("relay-{balance}"),
            &policy,
            &[("api", &authority.issue(&[NAME]))],
        );
        let client = Client::new(&authority);
        runtime().block_on(async {
            for _ in 0..12 {
                let mut stream = client
                    .connect(edge.address("api"), NAME)
                    .await
                    .expect("a session");
                stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("send");
                let mut answer = String::new();
                stream.read_to_string(&mut answer).await.expect("an answer");
                assert!(answer.ends_with("one") || answer.ends_with("two"), "{answer}");
            }
        });
        for (backend, before) in up.iter().zip(before) {
            assert!(
                backend.accepted() - before >= 4,
                "{balance}: {} connections",
                backend.accepted() - before
            );
        }
        let refused =
            edge.metric("ravelin_edge_upstream_connects_total{result=\"refused\",upstream=\"app\"}");
        assert!(refused >= 4.0, "{balance}: {refused}");
    }
}

#[test]
fn without_a_server_the_connection_ends_and_is_counted() {
    let authority = Authority::new();
    let gone = Backend::echo().address();
    let edge = Edge::start(
        "relay-no-server",
        &policy(gone, "", ""),
        &[("api", &authority.issue(&[NAME]))],
    );
    let client = Client::new(&authority);
    runtime().block_on(async {
        let mut stream = client
            .connect(edge.address("api"), NAME)
            .await
            .expect("a session");
        stream
            .read(&mut [0; 1])
            .await
            .expect_err("cut without close_notify");
    });
    wait::until("the end to be counted", SOON, || {
        (edge.ended("api", "upstream_unreachable") == 1.0).then_some(())
    });
}
