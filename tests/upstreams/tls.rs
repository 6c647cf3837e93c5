//! TLS towards servers: who is trusted, who is not, and what passes.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use ravelin_tests::backend::Backend;
use ravelin_tests::client::Client;
use ravelin_tests::edge::Edge;
use ravelin_tests::home::Home;
use ravelin_tests::pki::{Authority, Pair};
use ravelin_tests::runtime::runtime;
use ravelin_tests::{requires, wait};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::peers::{Seen, Session, tls_server};
use super::{NAME, SOON, World, policy, policy_with};

/// The name in the servers' certificates.
const SERVER: &str = "app.internal";

const TLS: &str = "tls = { server_name = \"app.internal\", ca = \"internal.pem\" }";
const MUTUAL: &str = "tls = { server_name = \"app.internal\", ca = \"internal.pem\", cert = \"edge.pem\", key = \"edge.key\" }";

#[track_caller]
fn world(
    test: &str,
    trusted: &Authority,
    own: Option<&Pair>,
    servers: &[SocketAddr],
    upstream: &str,
) -> World {
    let authority = trusted.pem();
    let mut files = vec![("internal.pem", authority.as_str())];
    if let Some(own) = own {
        files.extend([("edge.pem", own.cert.as_str()), ("edge.key", own.key.as_str())]);
    }
    World::with_files(test, &files, &policy(servers, upstream))
}

fn seen(seen: &Mutex<Seen>) -> (usize, usize, usize) {
    let seen = seen.lock().expect("unbroken");
    (seen.sessions.len(), seen.failed, seen.bytes)
}

#[test]
fn bytes_go_encrypted_to_a_server_that_proves_its_name_and_back() {
    let authority = Authority::new();
    let own = authority.issue(&["edge.internal"]);
    let (server, noted) = tls_server(&authority.issue(&[SERVER]), Some(&authority), &[]);
    let world = world("up-tls", &authority, Some(&own), &[server.address()], MUTUAL);
    let sent: Vec<u8> = (0..4_u32 << 20)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let received = runtime().block_on(async {
        let stream = world.session().await.expect("a session");
        let (mut from, mut to) = tokio::io::split(stream);
        let sending = async {
            to.write_all(&sent).await.expect("send");
            to.shutdown().await.expect("close one side");
        };
        let mut received = Vec::new();
        let (_, read) = tokio::join!(sending, from.read_to_end(&mut received));
        read.expect("all of it, and close_notify");
        received
    });
    assert!(
        received == sent,
        "{} bytes came back of {}",
        received.len(),
        sent.len()
    );
    let session = Session {
        server_name: Some(SERVER.to_owned()),
        alpn: None,
        client_certificate: Some(own.der.to_vec()),
        resumed: false,
    };
    assert_eq!(noted.lock().expect("unbroken").sessions, [session]);
    wait::until("the end to be counted", SOON, || {
        (world.edge.ended("api", "completed") == 1.0).then_some(())
    });
}

#[test]
fn a_server_that_does_not_prove_its_name_gets_not_a_byte() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let faults = [
        ("of another authority", stranger.issue(&[SERVER])),
        ("of another name", authority.issue(&["other.internal"])),
        ("of a wildcard elsewhere", authority.issue(&["*.app.internal"])),
        ("expired", authority.issue_expired(&[SERVER])),
    ];
    for (number, (fault, pair)) in faults.iter().enumerate() {
        let (server, noted) = tls_server(pair, None, &[]);
        let test = format!("up-tls-fault-{number}");
        let world = world(&test, &authority, None, &[server.address()], TLS);
        world.answer().expect_err(fault);
        wait::until("the end to be counted", SOON, || {
            (world.edge.ended("api", "upstream_unreachable") == 1.0).then_some(())
        });
        assert_eq!(world.connects("tls"), 1.0, "{fault}");
        wait::until("the server to see it fail", SOON, || {
            (noted.lock().expect("unbroken").failed == 1).then_some(())
        });
        assert_eq!(seen(&noted), (0, 1, 0), "{fault}");
        let relayed = "ravelin_edge_relayed_bytes_total{direction=\"to_upstream\",listener=\"api\"}";
        assert_eq!(world.edge.metric(relayed), 0.0, "{fault}");
    }
}

#[test]
fn a_server_that_fails_the_handshake_is_passed_over_for_the_next() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (bad, _) = tls_server(&stranger.issue(&[SERVER]), None, &[]);
    let (good, noted) = tls_server(&authority.issue(&[SERVER]), None, &[]);
    // It takes connections and says nothing.
    let mute = Backend::new(|mut stream| async move {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.map(drop)
    });
    // It speaks no TLS.
    let plain = Backend::new(|mut stream| async move {
        stream.write_all(b"220 mail.example.com ESMTP\r\n").await?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.map(drop)
    });
    let servers = [bad.address(), mute.address(), plain.address(), good.address()];
    let terms = format!("{TLS}\nconnect_timeout = \"500ms\"\neject = \"off\"");
    let world = world("up-tls-next", &authority, None, &servers, &terms);
    let answer = runtime().block_on(world.ask(b"echo")).expect("an answer");
    assert_eq!(answer, "echo");
    assert_eq!((world.connects("tls"), world.connects("timeout")), (2.0, 1.0));
    assert_eq!(world.count("retries"), 3.0);
    assert_eq!(seen(&noted), (1, 0, 4));
}

#[test]
fn every_connection_is_verified_in_full() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (server, noted) = tls_server(&authority.issue(&[SERVER]), None, &[]);
    let world = world("up-tls-anew", &authority, None, &[server.address()], TLS);
    for _ in 0..5 {
        let answer = runtime().block_on(world.ask(b"echo"));
        assert_eq!(answer.expect("an answer"), "echo");
    }
    assert!(
        noted
            .lock()
            .expect("unbroken")
            .sessions
            .iter()
            .all(|session| !session.resumed)
    );
    // No session of before gets in when the authority is another.
    world.edge.home().write("internal.pem", &other.pem());
    world.edge.reload().expect("the policy loads");
    world.answer().expect_err("nobody vouches for it now");
    wait::until("the server to see it fail", SOON, || {
        (noted.lock().expect("unbroken").failed == 1).then_some(())
    });
    assert_eq!(seen(&noted), (5, 1, 20));
}

#[test]
fn an_address_can_be_the_name_that_is_proved() {
    let authority = Authority::new();
    let (server, noted) = tls_server(&authority.issue(&["127.0.0.1"]), None, &[]);
    let by_address = TLS.replace(SERVER, "127.0.0.1");
    let world = world(
        "up-tls-address",
        &authority,
        None,
        &[server.address()],
        &by_address,
    );
    let answer = runtime().block_on(world.ask(b"echo")).expect("an answer");
    assert_eq!(answer, "echo");
    assert_eq!(noted.lock().expect("unbroken").sessions[0].server_name, None);
}

#[test]
fn the_server_is_offered_what_the_client_speaks_or_what_the_policy_says() {
    let authority = Authority::new();
    let (server, noted) = tls_server(&authority.issue(&[SERVER]), None, &["h2", "http/1.1"]);
    let own = TLS.replace(" }", ", alpn = [\"http/1.1\"] }");
    for (tls, spoken, expected) in [
        (TLS, "h2", Some("h2")),
        (TLS, "http/1.1", Some("http/1.1")),
        (TLS, "", None),
        (own.as_str(), "h2", Some("http/1.1")),
    ] {
        let outer = Authority::new();
        let edge = Edge::start("up-tls-alpn", "", &[("api", &outer.issue(&[NAME]))]);
        edge.home().write("internal.pem", &authority.pem());
        edge.write_policy(&policy_with(
            &[server.address()],
            tls,
            "alpn = [\"h2\", \"http/1.1\"]",
        ));
        edge.reload().expect("the policy loads");
        let client = if spoken.is_empty() {
            Client::new(&outer)
        } else {
            Client::speaking(&outer, spoken)
        };
        runtime().block_on(async {
            let mut stream = client
                .connect(edge.address("api"), NAME)
                .await
                .expect("a session");
            stream.write_all(b"echo").await.expect("send");
            stream.read_exact(&mut [0; 4]).await.expect("an echo");
        });
        let sessions = &noted.lock().expect("unbroken").sessions;
        let agreed = sessions.last().and_then(|session| session.alpn.as_deref());
        assert_eq!(agreed, expected, "{tls} {spoken}");
    }
}

/// `openssl s_server`, which sends each line back in reverse.
struct SServer {
    child: Child,
    address: SocketAddr,
    _home: Home,
}

impl SServer {
    fn start(test: &str, pair: &Pair, clients: &Authority, arguments: &[&str]) -> Self {
        let home = Home::new(test);
        home.write("server.pem", &pair.cert);
        home.write("server.key", &pair.key);
        home.write("clients.pem", &clients.pem());
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-rev"])
            .args([
                "-cert",
                "server.pem",
                "-key",
                "server.key",
                "-CAfile",
                "clients.pem",
            ])
            .args(["-Verify", "1", "-verify_return_error"])
            .args(arguments)
            .current_dir(home.directory())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("`openssl` does not run: {error}"));
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let address = lines
            .find_map(|line| line.expect("a line").strip_prefix("ACCEPT ")?.parse().ok())
            .expect("an address");
        // It goes on writing: a full pipe would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            address,
            _home: home,
        }
    }
}

impl Drop for SServer {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

#[test]
fn openssl_demands_a_certificate_and_gets_it() {
    requires!(Tool("openssl"));
    let authority = Authority::new();
    let pair = authority.issue(&[SERVER]);
    let own = authority.issue(&["edge.internal"]);
    for version in ["-tls1_2", "-tls1_3"] {
        let server = SServer::start("up-openssl", &pair, &authority, &[version]);
        let world = world(
            "up-openssl-edge",
            &authority,
            Some(&own),
            &[server.address],
            MUTUAL,
        );
        let answer = runtime().block_on(async {
            let mut stream = world.session().await.expect("a session");
            stream.write_all(b"drawer\n").await.expect("send");
            let mut answer = [0; 7];
            stream.read_exact(&mut answer).await.expect("an answer");
            answer
        });
        assert_eq!(&answer, b"reward\n", "{version}");
    }
}

#[test]
fn openssl_turns_away_an_edge_without_a_certificate_and_the_client_is_told() {
    requires!(Tool("openssl"));
    let (authority, stranger) = (Authority::new(), Authority::new());
    let pair = authority.issue(&[SERVER]);
    let foreign = stranger.issue(&["edge.internal"]);
    for version in ["-tls1_2", "-tls1_3"] {
        for own in [None, Some(&foreign)] {
            let server = SServer::start("up-openssl-no", &pair, &authority, &[version]);
            let tls = if own.is_some() { MUTUAL } else { TLS };
            let world = world("up-openssl-no-edge", &authority, own, &[server.address], tls);
            world
                .answer()
                .map(|answer| assert_eq!(answer, "", "{version}"))
                .expect_err("cut, not closed in order");
            // TLS 1.2 tells within the handshake; TLS 1.3 when it is over, and then the relay hears of it.
            let ends = ["upstream_unreachable", "upstream_reset"];
            wait::until("the end to be counted", SOON, || {
                ends.iter()
                    .any(|end| world.edge.ended("api", end) == 1.0)
                    .then_some(())
            });
        }
    }
}
