//! Changes while connections come in: nothing fails, nothing half-done is served, nothing live is cut.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ravelin_tests::backend::Backend;
use ravelin_tests::client::Client;
use ravelin_tests::edge::{Edge, get};
use ravelin_tests::pki::Authority;
use ravelin_tests::runtime::runtime;
use ravelin_tests::wait;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::client::TlsStream;

use super::{NAME, SOON, policy};

const SUCCESSFUL: &str = "ravelin_config_last_reload_successful{half=\"edge\"}";

async fn session(edge: &Edge, authority: &Authority) -> TlsStream<TcpStream> {
    Client::new(authority)
        .connect(edge.address("api"), NAME)
        .await
        .expect("a session")
}

fn leaf(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().expect("certificates")[0].clone()
}

async fn echoes(stream: &mut TlsStream<TcpStream>) -> io::Result<()> {
    stream.write_all(b"ping").await?;
    let mut echo = [0; 4];
    stream.read_exact(&mut echo).await?;
    assert_eq!(&echo, b"ping");
    Ok(())
}

#[test]
fn certificates_change_under_200_connections_a_second_and_none_fails() {
    let authority = Authority::new();
    let backend = Backend::echo();
    let mut pair = authority.issue(&[NAME]);
    let edge = Edge::start(
        "tls-reload-load",
        &policy(backend.address(), "", ""),
        &[("api", &pair)],
    );
    let to = edge.address("api");
    let (stop, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let client = Client::new(&authority);
    let load = {
        let (stop, failed) = (Arc::clone(&stop), Arc::clone(&failed));
        runtime().spawn(async move {
            let mut tick = interval(Duration::from_millis(5));
            tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut connections = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                tick.tick().await;
                let (client, failed) = (client.clone(), Arc::clone(&failed));
                connections.push(tokio::spawn(async move {
                    let served = async {
                        let mut stream = client.connect(to, NAME).await?;
                        echoes(&mut stream).await?;
                        stream.shutdown().await
                    };
                    if let Err(error) = timeout(SOON, served)
                        .await
                        .unwrap_or_else(|late| Err(late.into()))
                    {
                        eprintln!("connection failed: {error}");
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }));
            }
            let count = connections.len();
            for connection in connections {
                connection.await.expect("a connection does not panic");
            }
            count
        })
    };
    let start = Instant::now();
    let mut reloads = 0;
    while start.elapsed() < Duration::from_secs(5) {
        pair = authority.issue(&[NAME]);
        edge.write_pair("api", &pair);
        // Every other change is found by the watch, which may also see a pair that does not fit yet.
        if reloads % 2 == 0 {
            edge.reload().expect("both files are written");
        }
        wait::until("the new certificate to be served", SOON, || {
            let stream = runtime().block_on(session(&edge, &authority));
            (leaf(&stream) == pair.der).then_some(())
        });
        reloads += 1;
    }
    let took = start.elapsed();
    stop.store(true, Ordering::Relaxed);
    let count = runtime().block_on(load).expect("the load does not panic");
    assert_eq!(
        failed.load(Ordering::Relaxed),
        0,
        "of {count} connections with {reloads} reloads"
    );
    assert!(
        count as f64 >= 190.0 * took.as_secs_f64(),
        "{count} connections in {took:?}"
    );
    assert!(reloads >= 4, "{reloads} reloads");
    eprintln!("{count} connections in {took:?}, {reloads} certificate changes, 0 failures");
}

#[test]
fn a_pair_that_does_not_load_keeps_the_last_good_one_and_says_so() {
    let authority = Authority::new();
    let backend = Backend::echo();
    let good = authority.issue(&[NAME]);
    let edge = Edge::start(
        "tls-reload-bad",
        &policy(backend.address(), "", ""),
        &[("api", &good)],
    );
    assert_eq!(edge.metric(SUCCESSFUL), 1.0);
    let since = edge.metric("ravelin_config_last_reload_success_timestamp_seconds{half=\"edge\"}");
    assert!(since > 1.6e9);
    let other = authority.issue(&[NAME]);
    let half = &other.cert[..other.cert.len() / 2];
    let faults: [(&str, &str, &str); 7] = [
        ("api.pem", &other.cert, "does not belong to"),
        ("api.key", &other.key, "does not belong to"),
        ("api.pem", half, "not a whole PEM file"),
        ("api.pem", "", "no certificate in"),
        ("api.key", "", "no private key in"),
        (
            "api.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "cannot be read",
        ),
        ("api.key", &good.cert, "no private key in"),
    ];
    for (file, text, message) in faults {
        edge.home().write(file, text);
        let error = edge.reload().expect_err("it does not load");
        assert!(
            error.contains(message) && error.contains("`api`"),
            "{file}: {error}"
        );
        assert_eq!(edge.metric(SUCCESSFUL), 0.0);
        let mut stream = runtime().block_on(session(&edge, &authority));
        assert_eq!(leaf(&stream), good.der);
        runtime().block_on(echoes(&mut stream)).expect("it is served");
        edge.write_pair("api", &good);
        edge.reload().expect("the good pair is back");
        assert_eq!(edge.metric(SUCCESSFUL), 1.0);
    }
    std::fs::remove_file(edge.home().directory().join("api.key")).expect("the key goes away");
    assert!(
        edge.reload()
            .expect_err("it does not load")
            .contains("cannot read")
    );
    assert_eq!(leaf(&runtime().block_on(session(&edge, &authority))), good.der);
}

#[test]
fn changed_files_are_seen_without_being_told() {
    let authority = Authority::new();
    let backend = Backend::echo();
    let edge = Edge::start(
        "tls-reload-watch",
        &policy(backend.address(), "", ""),
        &[("api", &authority.issue(&[NAME]))],
    );
    let new = authority.issue(&[NAME]);
    // Half of the change only: refused, and noticed again when the other half comes.
    edge.home().write("api.pem", &new.cert);
    wait::until("the change to be refused", SOON, || {
        (edge.metric(SUCCESSFUL) == 0.0).then_some(())
    });
    edge.home().write("api.key", &new.key);
    wait::until("the whole change to be taken", SOON, || {
        (edge.metric(SUCCESSFUL) == 1.0).then_some(())
    });
    assert_eq!(leaf(&runtime().block_on(session(&edge, &authority))), new.der);
    edge.write_policy("this is no policy");
    wait::until("the policy to be refused", SOON, || {
        (edge.metric(SUCCESSFUL) == 0.0).then_some(())
    });
    assert_eq!(leaf(&runtime().block_on(session(&edge, &authority))), new.der);
}

#[test]
fn files_of_a_policy_that_came_by_command_are_watched_too() {
    let authority = Authority::new();
    let backend = Backend::echo();
    let first = policy(backend.address(), "", "");
    let edge = Edge::start(
        "tls-reload-rewatch",
        &first,
        &[("api", &authority.issue(&[NAME]))],
    );
    edge.write_pair("new/pair", &authority.issue(&[NAME]));
    edge.write_policy(
        &first
            .replace("api.pem", "new/pair.pem")
            .replace("api.key", "new/pair.key"),
    );
    edge.reload().expect("the policy loads");
    let latest = authority.issue(&[NAME]);
    edge.write_pair("new/pair", &latest);
    wait::until("the replaced pair to be served", SOON, || {
        (leaf(&runtime().block_on(session(&edge, &authority))) == latest.der).then_some(())
    });
}

#[test]
fn a_reload_touches_no_live_connection_and_moves_new_ones() {
    let authority = Authority::new();
    let (first, second) = (Backend::http("first"), Backend::http("second"));
    let echo = Backend::echo();
    let edge = Edge::start(
        "tls-reload-live",
        &policy(echo.address(), "", ""),
        &[("api", &authority.issue(&[NAME]))],
    );
    let mut live = runtime().block_on(session(&edge, &authority));
    runtime().block_on(echoes(&mut live)).expect("it is served");
    let to = edge.address("api");
    for (backend, body) in [(&first, "first"), (&second, "second")] {
        edge.write_policy(&policy(backend.address(), "", ""));
        edge.reload().expect("the policy loads");
        assert_eq!(edge.address("api"), to, "an unchanged address is not bound again");
        let answer = runtime().block_on(async {
            let mut stream = session(&edge, &authority).await;
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("send");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("an answer");
            answer
        });
        assert!(answer.ends_with(body), "{answer}");
        runtime()
            .block_on(echoes(&mut live))
            .expect("the live connection stays where it was");
    }
    // The listener goes away: no new connections, and the live one still lives.
    edge.write_policy("");
    edge.reload().expect("a policy without listeners loads");
    wait::until("the address to be closed", SOON, || {
        std::net::TcpStream::connect(to).err()
    });
    runtime()
        .block_on(echoes(&mut live))
        .expect("the live connection stays");
    assert!(!edge.metrics().contains("listener=\"api\""));
}

#[test]
fn a_listener_that_cannot_be_bound_changes_nothing() {
    let authority = Authority::new();
    let backend = Backend::echo();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let taken = taken
        .local_addr()
        .map(|address| (taken, address))
        .expect("an address");
    let good = policy(backend.address(), "", "");
    let edge = Edge::start("tls-reload-bind", &good, &[("api", &authority.issue(&[NAME]))]);
    let second = good
        .split("[[upstream]]")
        .next()
        .expect("a listener")
        .replace("\"api\"", "\"second\"");
    edge.write_policy(&format!(
        "{good}{}",
        second.replace("127.0.0.1:0", &taken.1.to_string())
    ));
    let error = edge.reload().expect_err("the address is taken");
    assert!(
        error.contains("listener `second`") && error.contains(&taken.1.to_string()),
        "{error}"
    );
    assert!(!edge.metrics().contains("listener=\"second\""));
    runtime()
        .block_on(async { echoes(&mut session(&edge, &authority).await).await })
        .expect("it is served");
}

#[test]
fn a_stop_lets_connections_finish_and_cuts_those_that_do_not() {
    let authority = Authority::new();
    let backend = Backend::echo();
    let edge = Edge::start(
        "tls-reload-stop",
        &policy(backend.address(), "", ""),
        &[("api", &authority.issue(&[NAME]))],
    );
    let (to, metrics) = (edge.address("api"), edge.metrics_address());
    assert_eq!(get(metrics, "/readyz").0, 200);
    let (mut finishing, mut staying) =
        runtime().block_on(async { (session(&edge, &authority).await, session(&edge, &authority).await) });
    let stopping = std::thread::spawn(move || edge.stop());
    wait::until("the address to be closed", SOON, || {
        std::net::TcpStream::connect(to).err()
    });
    assert_eq!(get(metrics, "/readyz").0, 503);
    runtime().block_on(async {
        echoes(&mut finishing).await.expect("still served");
        finishing.shutdown().await.expect("close");
        echoes(&mut staying).await.expect("still served");
        staying
            .read(&mut [0; 1])
            .await
            .expect_err("cut at the end of the drain time");
    });
    assert_eq!(stopping.join().expect("it stops"), 1);
}
