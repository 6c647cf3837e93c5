//! A reload and the connections that are open: who would not be let in any more is closed, everybody else notices nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ravelin_tests::backend::Backend;
use ravelin_tests::client::{Client, connect_from};
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::Authority;
use ravelin_tests::runtime::runtime;
use ravelin_tests::wait;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio_rustls::client::TlsStream;

use super::world::echoes;
use super::{NAME, SOON, policy};

const CLOSED: &str = "no_longer_allowed";

fn start(test: &str, listener: &str) -> (Backend, Authority, Edge) {
    let (backend, authority) = (Backend::echo(), Authority::new());
    let policy = policy(backend.address(), listener, "");
    let edge = Edge::start(test, &policy, &[("api", &authority.issue(&[NAME]))]);
    (backend, authority, edge)
}

fn session(edge: &Edge, authority: &Authority, from: &str) -> TlsStream<TcpStream> {
    runtime().block_on(async {
        let client = Client::new(authority);
        let mut stream = client
            .connect_from(from, edge.address("api"), NAME)
            .await
            .expect("a session");
        echoes(&mut stream).await.expect("an echo");
        stream
    })
}

#[track_caller]
fn stays(stream: &mut TlsStream<TcpStream>) {
    runtime().block_on(echoes(stream)).expect("it is still served");
}

#[track_caller]
fn is_closed(mut stream: TlsStream<TcpStream>) {
    let read = runtime().block_on(async { tokio::time::timeout(SOON, stream.read(&mut [0])).await });
    // Without `close_notify`: the client can tell that it was cut off.
    read.expect("it ends").expect_err("it was cut off");
}

#[test]
fn a_new_deny_closes_whom_it_names_and_nobody_else() {
    let (backend, authority, edge) = start("review-deny", "");
    let named = session(&edge, &authority, "127.0.0.2");
    let mut other = session(&edge, &authority, "127.0.0.3");
    edge.write_policy(&policy(backend.address(), "deny = [\"127.0.0.2\"]", ""));
    edge.reload().expect("the policy loads");
    is_closed(named);
    stays(&mut other);
    wait::until("the end to be counted", SOON, || {
        (edge.ended("api", CLOSED) == 1.0).then_some(())
    });
}

#[test]
fn a_narrower_allow_closes_whom_it_leaves_out_also_before_the_handshake() {
    let (backend, authority, edge) = start("review-allow", "allow = [\"127.0.0.0/8\"]");
    let mut inside = session(&edge, &authority, "127.0.0.2");
    let outside = session(&edge, &authority, "127.0.1.2");
    let mut silent = runtime()
        .block_on(connect_from("127.0.1.3", edge.address("api")))
        .expect("connect");
    wait::until("all to be held", SOON, || {
        (edge.metric("ravelin_edge_open_connections{listener=\"api\"}") == 3.0).then_some(())
    });
    edge.write_policy(&policy(backend.address(), "allow = [\"127.0.0.0/24\"]", ""));
    edge.reload().expect("the policy loads");
    is_closed(outside);
    let end = runtime().block_on(async { tokio::time::timeout(SOON, silent.read(&mut [0])).await });
    assert_eq!(end.expect("it ends").unwrap_or(0), 0);
    stays(&mut inside);
    assert_eq!(edge.ended("api", CLOSED), 2.0);
}

#[test]
fn the_connections_of_a_listener_that_is_gone_go_on_and_so_they_do_when_it_comes_back() {
    let (backend, authority, edge) = start("review-gone", "");
    let mut live = session(&edge, &authority, "127.0.0.2");
    edge.write_policy("");
    edge.reload().expect("a policy without listeners loads");
    stays(&mut live);
    edge.write_policy(&policy(backend.address(), "", ""));
    edge.reload().expect("the policy loads");
    stays(&mut live);
}

#[test]
fn a_reload_that_is_refused_closes_nobody() {
    let (backend, authority, edge) = start("review-refused", "");
    let mut live = session(&edge, &authority, "127.0.0.2");
    let denied = policy(backend.address(), "deny = [\"127.0.0.2\"]", "");
    edge.write_policy(&denied.replace("api.pem", "elsewhere.pem"));
    edge.reload().expect_err("there is no such file");
    stays(&mut live);
    assert_eq!(edge.ended("api", CLOSED), 0.0);
}

#[test]
fn nobody_slips_through_between_the_gate_and_the_reload() {
    let (backend, authority, edge) = start("review-race", "");
    let to = edge.address("api");
    let stop = Arc::new(AtomicBool::new(false));
    let client = Client::new(&authority);
    let (own, storm) = {
        let stop = Arc::clone(&stop);
        // A runtime of its own: the threads of the shared one are where it was first asked for, perhaps in the namespace of another test.
        let own = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let own = own.expect("a runtime");
        let storm = own.spawn(async move {
            // The newest: they are not dropped before there are newer ones, which there are not once nobody is let in.
            let mut held = VecDeque::new();
            let mut opened = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                let connecting = (0..8).map(|_| {
                    let client = client.clone();
                    tokio::spawn(async move { client.connect_from("127.0.0.2", to, NAME).await })
                });
                for one in connecting.collect::<Vec<_>>() {
                    if let Ok(stream) = one.await.expect("no panic") {
                        opened += 1;
                        held.push_back(stream);
                        if held.len() > 64 {
                            held.pop_front();
                        }
                    }
                }
            }
            (held, opened)
        });
        (own, storm)
    };
    let open = "ravelin_edge_open_connections{listener=\"api\"}";
    for round in 0..20 {
        edge.write_policy(&policy(backend.address(), "", ""));
        edge.reload().expect("the policy loads");
        wait::until("connections", SOON, || (edge.metric(open) > 0.0).then_some(()));
        edge.write_policy(&policy(backend.address(), "deny = [\"127.0.0.2\"]", ""));
        edge.reload().expect("the policy loads");
        wait::until(&format!("all to be closed in round {round}"), SOON, || {
            (edge.metric(open) == 0.0).then_some(())
        });
    }
    stop.store(true, Ordering::Relaxed);
    let (_held, opened) = own.block_on(storm).expect("no panic");
    eprintln!(
        "{opened} sessions, {} closed by 20 reloads",
        edge.ended("api", CLOSED)
    );
    assert!(opened >= 20, "{opened} sessions");
}
