//! A `ClientHello` cut into small pieces, and a very large one. Post-quantum key shares made both common.

use std::time::Duration;

use ravelin_tests::backend::Backend;
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::Authority;
use ravelin_tests::runtime::runtime;
use ravelin_tests::wait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::hello::{RECORD_HEADER, hello, padded, records};
use super::{NAME, SOON, policy};

fn start(test: &str) -> (Edge, Backend, Authority) {
    let authority = Authority::new();
    let backend = Backend::echo();
    let policy = policy(backend.address(), "", "");
    (
        Edge::start(test, &policy, &[("api", &authority.issue(&[NAME]))]),
        backend,
        authority,
    )
}

/// The first bytes of what the edge answers, or nothing when it closes without an answer.
async fn answer(edge: &Edge, bytes: &[u8], segment: usize) -> Vec<u8> {
    let mut stream = TcpStream::connect(edge.address("api")).await.expect("connect");
    stream.set_nodelay(true).expect("an option");
    for part in bytes.chunks(segment) {
        if stream.write_all(part).await.is_err() {
            break;
        }
    }
    let mut answer = vec![0; 6];
    match timeout(SOON, stream.read_exact(&mut answer)).await {
        Ok(Ok(_)) => answer,
        Ok(Err(_)) => Vec::new(),
        Err(_) => panic!("no answer and no end"),
    }
}

fn is_server_hello(answer: &[u8]) -> bool {
    answer.first() == Some(&22) && answer.get(RECORD_HEADER) == Some(&2)
}

#[test]
fn a_hello_in_small_records_and_small_segments_is_answered() {
    let (edge, _backend, authority) = start("framing-small");
    runtime().block_on(async {
        let hello = hello(&authority).await;
        for record in [1, 2, 5, 6, 7, 100] {
            let cut = records(&hello[RECORD_HEADER..], record);
            let answer = answer(&edge, &cut, cut.len()).await;
            assert!(is_server_hello(&answer), "records of {record}: {answer:02x?}");
        }
        for segment in [1, 3, 11] {
            let answer = answer(&edge, &hello, segment).await;
            assert!(is_server_hello(&answer), "segments of {segment}: {answer:02x?}");
        }
        let cut = records(&hello[RECORD_HEADER..], 1);
        let answer = answer(&edge, &cut, 1).await;
        assert!(is_server_hello(&answer), "both: {answer:02x?}");
    });
}

#[test]
fn a_large_hello_is_answered_and_one_beyond_64_kib_is_refused() {
    let (edge, _backend, authority) = start("framing-large");
    runtime().block_on(async {
        let hello = hello(&authority).await;
        for length in [4_096, 16_384, 32_768, 65_000, LARGEST] {
            let large = padded(&hello, length);
            let answer = answer(&edge, &large, large.len()).await;
            assert!(is_server_hello(&answer), "{length} bytes: {answer:02x?}");
        }
        let large = padded(&hello, LARGEST + 100);
        let mut claim = records(&hello[RECORD_HEADER..], 1 << 14);
        // A message of 16 MiB, of which the first bytes come.
        claim[RECORD_HEADER + 1..RECORD_HEADER + 4].copy_from_slice(&[0xff; 3]);
        for bytes in [large, claim] {
            let answer = answer(&edge, &bytes, bytes.len()).await;
            assert!(!is_server_hello(&answer), "{answer:02x?}");
        }
    });
    wait::until("all to be counted", Duration::from_secs(20), || {
        (edge.ended("api", "handshake_failed") == 2.0).then_some(())
    });
}

/// Of an unfinished handshake message 64 KiB are kept, with the headers of its records.
const LARGEST: usize = 65_500;
