//! No earlier session gets anybody past a certificate: nginx (CVE-2025-23419), Traefik (GHSA-gv8r-9rw9-9697 and its kin), Go and others
//! let in by what was true when the session began.
//!
//! Every client first gets a session that can be resumed, which the test sees it do; then the listener begins to ask, and then something
//! changes that should shut the client out. Each keeps and offers all it was ever given, under whatever name it asks for.

use std::io;
use std::time::{Duration, Instant};

use ravelin_tests::backend::Backend;
use ravelin_tests::client::{Client, s_client};
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::{Authority, ClientCertificate, HOUR, Pair};
use ravelin_tests::requires;
use ravelin_tests::runtime::runtime;
use ravelin_tests::wait;
use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{SOON, VERSIONS, Version, policy_of, world};

/// What shuts the client out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    CaChanged,
    CrlUpdated,
    Expired,
    /// That the listener asks at all: this client has no certificate.
    Raised,
}

/// A client and all the sessions it holds.
struct Subject {
    version: Version,
    /// The name its first session is for.
    first: &'static str,
    holder: Holder,
}

enum Holder {
    Rustls(Client),
    /// The session is in this file.
    Openssl(String, Vec<String>),
}

/// Whether it was served, and whether by resuming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Full,
    Refused,
    Resumed,
}

#[test]
fn a_session_from_before_lets_nobody_in() {
    requires!(Tool("openssl"));
    let (mut tried, mut unauthorized) = (0, 0);
    for event in [Event::CaChanged, Event::CrlUpdated, Event::Expired, Event::Raised] {
        let (attempts, successes) = matrix(event);
        tried += attempts;
        unauthorized += successes;
    }
    eprintln!("resumption matrix: {tried} attempts with a session from before, {unauthorized} unauthorized");
    assert_eq!((tried, unauthorized), (32, 0));
}

fn matrix(event: Event) -> (usize, usize) {
    let backend = Backend::http("let in");
    let clients = Authority::named("Ravelin test clients");
    let list = clients.crl(&[], -HOUR, HOUR);
    let policy = |guarded: &str| {
        let routes = format!(
            "{{ sni = \"{OPEN}\", upstream = \"app\" }}, {{ sni = \"{GUARDED}\", upstream = \"app\", client_auth = \"{guarded}\" }}"
        );
        let auth = "mode = \"none\", ca = \"clients.pem\", crl = \"clients.crl\"";
        policy_of(&routes, backend.address(), auth)
    };
    let name = format!("auth-resume-{event:?}");
    let world = world(&name, &policy("none"), clients, &[("clients.crl", &list)]);
    let edge = &world.edge;
    let began = Instant::now();
    let certificate =
        ClientCertificate::named("billing").valid(-HOUR, if event == Event::Expired { LIFE } else { HOUR });
    let pair = (event != Event::Raised).then(|| world.clients.issue_client(&certificate));
    let subjects = subjects(&world.servers, edge, pair.as_ref());
    for subject in &subjects {
        assert_eq!(subject.ask(edge, subject.first), Outcome::Full);
        assert_eq!(
            subject.ask(edge, subject.first),
            Outcome::Resumed,
            "the test would see nothing"
        );
    }
    edge.write_policy(&policy("required"));
    edge.reload().expect("the policy loads");
    if let Some(pair) = &pair {
        for subject in &subjects {
            let outcome = subject.ask(edge, GUARDED);
            assert_eq!(
                outcome,
                Outcome::Full,
                "{event:?}: the certificate counts, not the session"
            );
        }
        let home = edge.home();
        match event {
            Event::CaChanged => {
                let others = Authority::named("Ravelin test others");
                home.write("clients.pem", &others.pem());
                home.write("clients.crl", &others.crl(&[], -HOUR, HOUR));
            }
            Event::CrlUpdated => home.write("clients.crl", &world.clients.crl(&[pair.serial], -HOUR, HOUR)),
            Event::Expired => {
                let end = Duration::from_secs(LIFE.unsigned_abs() + 2);
                wait::until("the certificate to expire", end + SOON, || {
                    (began.elapsed() > end).then_some(())
                });
            }
            Event::Raised => {}
        }
        edge.reload().expect("the files load");
    }
    let outcomes = subjects.iter().map(|subject| subject.ask(edge, GUARDED));
    let successes = outcomes.filter(|outcome| *outcome != Outcome::Refused).count();
    // Where nobody is asked, sessions are resumed as before.
    for subject in subjects.iter().filter(|subject| subject.first == OPEN) {
        assert_ne!(subject.ask(edge, OPEN), Outcome::Refused);
    }
    (subjects.len(), successes)
}

fn subjects(servers: &Authority, edge: &Edge, pair: Option<&Pair>) -> Vec<Subject> {
    let home = edge.home();
    let path = |name: &str| home.directory().join(name).display().to_string();
    let mut shown = Vec::new();
    if let Some(pair) = pair {
        home.write("client.pem", &pair.cert);
        home.write("client.key", &pair.key);
        shown.extend([
            "-cert".to_owned(),
            path("client.pem"),
            "-key".to_owned(),
            path("client.key"),
        ]);
    }
    let mut subjects = Vec::new();
    for version in VERSIONS {
        for first in [GUARDED, OPEN] {
            let openssl = Holder::Openssl(path(&format!("session{}-{first}", version.1)), shown.clone());
            let rustls = Holder::Rustls(Client::offering_all(servers, version.0, pair));
            subjects.extend([openssl, rustls].map(|holder| Subject {
                version,
                first,
                holder,
            }));
        }
    }
    subjects
}

impl Subject {
    #[track_caller]
    fn ask(&self, edge: &Edge, name: &str) -> Outcome {
        let to = edge.address("api");
        match &self.holder {
            Holder::Rustls(client) => {
                let served: io::Result<Outcome> = runtime().block_on(async {
                    let mut stream = client.connect(to, name).await?;
                    stream.write_all(REQUEST.as_bytes()).await?;
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).await?;
                    if !answer.ends_with("let in") {
                        return Ok(Outcome::Refused);
                    }
                    Ok(match stream.get_ref().1.handshake_kind() {
                        Some(HandshakeKind::Resumed) => Outcome::Resumed,
                        _ => Outcome::Full,
                    })
                });
                served.unwrap_or(Outcome::Refused)
            }
            Holder::Openssl(session, shown) => {
                let mut arguments = vec![
                    self.version.1,
                    "-servername",
                    name,
                    "-ign_eof",
                    "-sess_out",
                    session,
                ];
                if std::fs::exists(session).expect("a folder") {
                    arguments.extend(["-sess_in", session]);
                }
                arguments.extend(shown.iter().map(String::as_str));
                let said = s_client(to, &arguments, REQUEST);
                match (said.contains("let in"), said.contains("Reused, TLSv1")) {
                    (false, _) => Outcome::Refused,
                    (true, true) => Outcome::Resumed,
                    (true, false) => Outcome::Full,
                }
            }
        }
    }
}

const GUARDED: &str = "api.example.com";
const OPEN: &str = "open.example.com";
const REQUEST: &str = "GET / HTTP/1.1\r\n\r\n";

/// Long enough for all the handshakes before it ends.
const LIFE: i64 = 15;
