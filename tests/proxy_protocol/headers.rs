//! Headers made by hand: cut anywhere, broken, late, not there.

use std::time::{Duration, Instant};

use ravelin_tests::client::connect_from;
use ravelin_tests::runtime::runtime;
use ravelin_tests::wait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{CLIENT, NAME, PROXY, SOON, STRANGER, V1, heard, v2, v2_client, world};

#[test]
fn a_header_may_be_cut_anywhere() {
    let world = world("proxy-split", "", "");
    for header in [V1.to_vec(), v2_client()] {
        for cut in 0..=header.len() {
            let (first, second) = header.split_at(cut);
            let said = runtime().block_on(async {
                let mut stream = connect_from(PROXY, world.to()).await.expect("connect");
                stream.set_nodelay(true).expect("an option");
                stream.write_all(first).await.expect("send");
                tokio::task::yield_now().await;
                stream.write_all(second).await.expect("send");
                let stream = world.client.shake(stream, NAME).await.expect("a session");
                heard(stream).await.expect("an answer")
            });
            assert_eq!(said, CLIENT, "cut at {cut}");
        }
        let said = runtime().block_on(async {
            let mut stream = connect_from(PROXY, world.to()).await.expect("connect");
            stream.set_nodelay(true).expect("an option");
            for byte in &header {
                stream.write_all(&[*byte]).await.expect("send");
                tokio::task::yield_now().await;
            }
            let stream = world.client.shake(stream, NAME).await.expect("a session");
            heard(stream).await.expect("an answer")
        });
        assert_eq!(said, CLIENT);
    }
    let (v1, v2) = (V1.len() + 2, v2_client().len() + 2);
    assert_eq!((world.headers("v1"), world.headers("v2")), (v1 as f64, v2 as f64));
}

#[test]
fn a_proxy_that_speaks_for_itself_is_known_by_its_socket() {
    let world = world("proxy-local", "", "");
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 192.0.2.7 198.51.100.2 4660 443\r\n".to_vec(),
        v2(0x20, 0x00, b""),
        v2(0x20, 0x11, &[9; 12]),
        v2(0x21, 0x00, b""),
    ] {
        let said = runtime()
            .block_on(async { heard(world.behind(&header).await?).await })
            .expect("an answer");
        assert!(said.starts_with(&format!("{PROXY}:")), "{header:?}: {said}");
        assert!(
            said.ends_with(&format!(" to {}", world.to())),
            "{header:?}: {said}"
        );
    }
    assert_eq!(world.headers("local"), 5.0);
}

#[test]
fn an_ipv6_client_is_told_of_as_one_and_an_ipv4_client_in_its_clothes_is_not() {
    let world = world("proxy-v6", "deny = [\"192.0.2.0/24\"]", "");
    let v6 = b"PROXY TCP6 2001:db8::7 2001:db8::2 4660 443\r\n";
    let said = runtime()
        .block_on(async { heard(world.behind(v6).await?).await })
        .expect("an answer");
    assert_eq!(said, "[2001:db8::7]:4660 to [2001:db8::2]:443");
    let dressed = b"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::2 4660 443\r\n";
    runtime()
        .block_on(world.behind(dressed))
        .expect_err("the list holds the IPv4 address");
    assert_eq!(world.refused("address"), 1.0);
}

#[test]
fn what_is_no_header_is_closed_without_a_byte_in_return() {
    let world = world("proxy-broken", "", "");
    let mut checksum = v2_client();
    checksum.extend(b"\x03\x00\x04abcd");
    checksum[15] += 7;
    let mut malformed = v2_client();
    malformed[12] = 0x31;
    let cases: [(Vec<u8>, &str); 14] = [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "missing"),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            "missing",
        ),
        (vec![0; 5000], "missing"),
        (
            b"PROXY TCP4 192.0.2.7 198.51.100.2 4660\r\n".to_vec(),
            "malformed",
        ),
        (
            b"PROXY TCP4 192.0.2.7 198.51.100.2 4660 65536\r\n".to_vec(),
            "malformed",
        ),
        (
            b"PROXY TCP6 192.0.2.7 198.51.100.2 4660 443\r\n".to_vec(),
            "malformed",
        ),
        (
            b"PROXY UDP4 192.0.2.7 198.51.100.2 4660 443\r\n".to_vec(),
            "malformed",
        ),
        (
            b"PROXY TCP4 192.0.2.7 198.51.100.2 4660 443\n".to_vec(),
            "malformed",
        ),
        (malformed, "malformed"),
        // A Unix socket.
        (v2(0x21, 0x31, &[b'a'; 216]), "malformed"),
        ([b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat(), "too_long"),
        (v2(0x21, 0x11, &[0; 4081]), "too_long"),
        (v2(0x20, 0x00, &[0; 65_535]), "too_long"),
        (checksum, "bad_checksum"),
    ];
    for (bytes, expected) in &cases {
        let before = world.headers(expected);
        let answer = runtime().block_on(async {
            let mut stream = connect_from(PROXY, world.to()).await.expect("connect");
            // It may be closed in the midst of it.
            let _broken = stream.write_all(bytes).await;
            let mut answer = Vec::new();
            let _reset_or_end = stream.read_to_end(&mut answer).await;
            answer
        });
        assert!(answer.is_empty(), "{answer:?}");
        wait::until(expected, SOON, || {
            (world.headers(expected) == before + 1.0).then_some(())
        });
    }
    // Cut off in the middle.
    runtime().block_on(async {
        for header in [V1, &v2_client()] {
            let mut stream = connect_from(PROXY, world.to()).await.expect("connect");
            stream.write_all(&header[..20]).await.expect("send");
            drop(stream);
        }
    });
    wait::until("all to be counted", SOON, || {
        (world.edge.ended("api", "proxy_header") == 16.0).then_some(())
    });
    assert_eq!(world.headers("malformed"), 9.0);
    assert_eq!(world.backend.accepted(), 0);
}

#[test]
fn what_follows_the_header_is_the_clients_and_has_to_be_tls() {
    let world = world("proxy-follows", "", "");
    for header in [V1.to_vec(), v2_client()] {
        for follows in [
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            // A client that brings its own header is not believed.
            V1.to_vec(),
            v2_client(),
        ] {
            let answer = runtime().block_on(async {
                let mut stream = connect_from(PROXY, world.to()).await.expect("connect");
                stream
                    .write_all(&[&header[..], &follows].concat())
                    .await
                    .expect("send");
                let mut answer = Vec::new();
                let _reset_or_end = stream.read_to_end(&mut answer).await;
                answer
            });
            assert!(answer.is_empty(), "{answer:?}");
        }
    }
    wait::until("all to be counted", SOON, || {
        (world.edge.ended("api", "not_tls") == 6.0).then_some(())
    });
    assert_eq!((world.headers("v1"), world.headers("v2")), (3.0, 3.0));
}

#[test]
fn the_header_comes_in_its_time_or_the_connection_is_closed() {
    const TIMEOUT: Duration = Duration::from_millis(600);
    let world = world("proxy-timeout", "", "proxy_timeout = \"600ms\"");
    let header = v2_client();
    runtime().block_on(async {
        for part in [0, 1, 12, 16, header.len() - 1] {
            let mut stream = connect_from(PROXY, world.to()).await.expect("connect");
            let start = Instant::now();
            stream.write_all(&header[..part]).await.expect("send");
            let mut answer = Vec::new();
            let _reset_or_end = stream.read_to_end(&mut answer).await;
            let took = start.elapsed();
            assert!(answer.is_empty());
            assert!(
                took >= TIMEOUT - Duration::from_millis(10),
                "closed after {took:?}"
            );
            assert!(took < TIMEOUT + Duration::from_secs(2), "closed after {took:?}");
        }
        // It is not the time of the handshake.
        let mut stream = connect_from(PROXY, world.to()).await.expect("connect");
        stream.write_all(&header).await.expect("send");
        tokio::time::sleep(TIMEOUT + Duration::from_millis(200)).await;
        let stream = world.client.shake(stream, NAME).await.expect("a session");
        assert_eq!(heard(stream).await.expect("an answer"), CLIENT);
    });
    assert_eq!(world.headers("timeout"), 5.0);
    assert_eq!(world.edge.ended("api", "proxy_header"), 5.0);
    assert_eq!(
        world
            .edge
            .metric("ravelin_edge_open_connections{listener=\"api\"}"),
        0.0
    );
}

#[test]
fn a_stranger_is_refused_whatever_it_says() {
    let world = world("proxy-stranger", "", "");
    for bytes in [&b""[..], V1, &v2_client()] {
        let answer = runtime().block_on(async {
            // It may be gone before the call returns.
            let mut stream = connect_from(STRANGER, world.to()).await?;
            let _broken = stream.write_all(bytes).await;
            stream.read(&mut [0; 1]).await
        });
        answer.expect_err("a reset");
    }
    wait::until("all to be counted", SOON, || {
        (world.refused("untrusted_proxy") == 3.0).then_some(())
    });
    assert_eq!(world.edge.ended("api", "refused"), 3.0);
    for result in ["v1", "v2", "missing", "malformed"] {
        assert_eq!(world.headers(result), 0.0, "nothing of it was read");
    }
}
