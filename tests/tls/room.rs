//! The memory for what clients send before there is a session, used up: who needs more is turned away, the others notice nothing.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ravelin_tests::backend::Backend;
use ravelin_tests::client::Client;
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::Authority;
use ravelin_tests::runtime::runtime;
use ravelin_tests::wait;
use rustls::version::TLS12;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::hello::{RECORD_HEADER, hello, hello_of, padded, records};
use super::{NAME, SOON, policy};

/// More than there is room for.
const CLIENTS: usize = 400;

/// docs/threat-model.md, "Memory of connections without a session".
const ROOM: usize = 16 << 20;
const FREE: usize = 8 << 10;

const NO_ROOM: &str = "ravelin_edge_handshake_failures_total{cause=\"no_room\",listener=\"api\"}";
const OPEN: &str = "ravelin_edge_open_connections{listener=\"api\"}";

fn start(test: &str, authority: &Authority, backend: &Backend) -> Edge {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("more descriptors");
    // What is turned away is no offence: others have taken the room.
    let limits = "handshake_timeout = \"60s\"";
    let policy = policy(backend.address(), "", limits);
    Edge::start(test, &policy, &[("api", &authority.issue(&[NAME]))])
}

/// Clients that each say `hello`, are answered when it is whole, say the greatest part of something long, and wait.
async fn crowd(edge: &Edge, hello: &[u8], long: &[u8]) -> Vec<TcpStream> {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = TcpStream::connect(edge.address("api")).await.expect("connect");
        if !hello.is_empty() {
            client.write_all(hello).await.expect("send");
            client.read_exact(&mut [0; 6]).await.expect("an answer");
        }
        // One that is turned away may be gone before all is sent.
        drop(client.write_all(long).await);
        clients.push(client);
    }
    clients
}

/// As many as fit are held, and the others are turned away for that reason.
#[track_caller]
fn assert_that_the_room_is_used_up(edge: &Edge, each: usize) {
    let fit = ROOM / (each - FREE);
    wait::until("those without room to be turned away", SOON, || {
        let (open, turned_away) = (edge.metric(OPEN), edge.metric(NO_ROOM));
        (open + turned_away == CLIENTS as f64 && turned_away >= (CLIENTS - fit) as f64).then_some(())
    });
    assert!(
        edge.metric(OPEN) >= (fit / 2) as f64,
        "{} of {fit}",
        edge.metric(OPEN)
    );
    assert_eq!(edge.ended("api", "handshake_failed"), edge.metric(NO_ROOM));
    let offences = "ravelin_edge_offences_total{listener=\"api\",offence=\"handshake_failed\"}";
    assert_eq!(edge.metric(offences), 0.0);
}

#[test]
fn long_hellos_have_bounded_room_and_usual_ones_need_none_of_it() {
    let (authority, backend) = (Authority::new(), Backend::echo());
    let edge = start("room-hello", &authority, &backend);
    let runtime = runtime();
    let long = runtime.block_on(async { padded(&hello(&authority).await, 65_500) });
    let unfinished = &long[..long.len() - 1];
    let clients = runtime.block_on(crowd(&edge, b"", unfinished));
    assert_that_the_room_is_used_up(&edge, unfinished.len());
    runtime.block_on(async {
        let mut stream = Client::new(&authority)
            .connect(edge.address("api"), NAME)
            .await
            .expect("a usual hello needs no room");
        stream.write_all(b"ping").await.expect("send");
        stream.read_exact(&mut [0; 4]).await.expect("an echo");
        let mut refused = TcpStream::connect(edge.address("api")).await.expect("connect");
        drop(refused.write_all(&long).await);
        let mut answer = Vec::new();
        let _reset_or_end = refused.read_to_end(&mut answer).await;
        // `internal_error`; a reset may overtake it.
        assert!(
            answer.is_empty() || answer == [21, 3, 3, 0, 2, 2, 80],
            "{answer:02x?}"
        );
    });
    drop(clients);
    wait::until("the room to be given back", SOON, || {
        (edge.metric(OPEN) == 0.0).then_some(())
    });
    runtime.block_on(async {
        let mut served = TcpStream::connect(edge.address("api")).await.expect("connect");
        served.write_all(&long).await.expect("send");
        let mut answer = [0; 6];
        served.read_exact(&mut answer).await.expect("an answer");
        assert_eq!((answer[0], answer[RECORD_HEADER]), (22, 2), "a ServerHello");
    });
}

#[test]
fn what_comes_behind_the_hello_takes_of_the_same_room() {
    let (authority, backend) = (Authority::new(), Backend::echo());
    let edge = start("room-second", &authority, &backend);
    let runtime = runtime();
    let client = Client::with_versions(&authority, &[&TLS12]);
    let hello = runtime.block_on(hello_of(client));
    // A ClientKeyExchange of nearly 64 KiB, of which a part comes.
    let mut message = vec![16, 0, 0xff, 0xf0];
    message.resize(60_000, 0);
    let long = records(&message, 15_000);
    let _clients = runtime.block_on(crowd(&edge, &hello, &long));
    assert_that_the_room_is_used_up(&edge, long.len());
}
