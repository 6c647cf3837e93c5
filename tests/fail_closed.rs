//! Nothing opens because a file is bad: certificate, key, authorities, revocation list and the list of addresses let in, each missing,
//! empty, garbage, unreadable and half-written, when the real edge starts and when it reloads.
//!
//! Caddy let everybody in when its bundle of authorities could not be read (CVE-2026-27586).

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use ravelin_tests::backend::Backend;
use ravelin_tests::client::Client;
use ravelin_tests::daemon::{Daemon, Half, ask};
use ravelin_tests::edge::get;
use ravelin_tests::home::Home;
use ravelin_tests::netns::Namespace;
use ravelin_tests::pki::{Authority, ClientCertificate, HOUR};
use ravelin_tests::requires;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Builder;

/// What can happen to a file.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Empty,
    Garbage,
    /// Cut in the middle, as a reader sees it that comes too early.
    HalfWritten,
    Missing,
    /// For the user that the edge becomes.
    Unreadable,
}

const FAULTS: [Fault; 5] = [
    Fault::Empty,
    Fault::Garbage,
    Fault::HalfWritten,
    Fault::Missing,
    Fault::Unreadable,
];

/// Certificate, key, authorities, revocation list, addresses.
const FILES: [&str; 5] = ["api.pem", "api.key", "clients.pem", "clients.crl", "partners.txt"];

struct World {
    daemon: Daemon,
    /// Each of [`FILES`] as it should be.
    good: [String; 5],
    /// Lets its certificate count.
    guest: Client,
    /// Has none.
    stranger: Client,
    _backend: Backend,
    namespace: Namespace,
}

fn world(test: &str) -> World {
    let namespace = Namespace::new(test, "edge");
    let backend = namespace.run(|| Backend::http("let in"));
    let policy = format!(
        r#"
[[set]]
name = "partners"
files = ["partners.txt"]
[[listener]]
name = "api"
bind = ["{LISTENER}"]
allow = ["@partners"]
routes = [{{ upstream = "app" }}]
[listener.tls]
certificates = [{{ cert = "api.pem", key = "api.key" }}]
client_auth = {{ mode = "required", ca = "clients.pem", crl = "clients.crl" }}
[[upstream]]
name = "app"
servers = ["{}"]
[metrics]
bind = "{METRICS}"
"#,
        backend.address()
    );
    let servers = Authority::named("Ravelin test servers");
    let clients = Authority::named("Ravelin test clients");
    let pair = servers.issue(&[NAME]);
    let good = [
        pair.cert,
        pair.key,
        clients.pem(),
        clients.crl(&[], -HOUR, HOUR),
        "127.0.0.1/32\n198.51.100.0/24\n".to_owned(),
    ];
    let certificate = clients.issue_client(&ClientCertificate::named("guest"));
    let versions: &[_] = &[&rustls::version::TLS13];
    let world = World {
        daemon: Daemon::new(test, Half::Edge, &policy).inside(&namespace),
        good,
        guest: Client::showing(&servers, versions, Some(&certificate)),
        stranger: Client::showing(&servers, versions, None),
        _backend: backend,
        namespace,
    };
    for (file, text) in FILES.into_iter().zip(&world.good) {
        world.daemon.home().write(file, text);
    }
    world
}

impl Fault {
    fn happen(self, home: &Home, file: &str, good: &str) {
        let path = home.directory().join(file);
        match self {
            Self::Empty => home.write(file, ""),
            Self::Garbage => home.write(file, "\u{1}garbage \u{fffd} that is nothing\n%%%%\n"),
            Self::HalfWritten => home.write(file, &good[..good.len() / 2]),
            Self::Missing => fs::remove_file(path).expect("removed"),
            Self::Unreadable => fs::set_permissions(path, Permissions::from_mode(0o000)).expect("a mode"),
        }
    }
}

impl World {
    /// Who is served now: a client with a certificate, one without, and one from an address that is not let in.
    fn served(&self) -> [bool; 3] {
        self.namespace.run(|| {
            let runtime = Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                [
                    is_served(&self.guest, "127.0.0.1").await,
                    is_served(&self.stranger, "127.0.0.1").await,
                    is_served(&self.guest, "127.0.0.2").await,
                ]
            })
        })
    }

    fn successful(&self) -> String {
        let page = self
            .namespace
            .run(|| get(METRICS.parse().expect("an address"), "/metrics").1);
        let series = "ravelin_config_last_reload_successful{half=\"edge\"} ";
        let value = page.lines().find_map(|line| line.strip_prefix(series));
        value.expect("the series").to_owned()
    }

    fn reload(&self) -> String {
        let answer = ask(&self.daemon.home().edge_socket(), "reload").expect("an answer");
        answer.to_string()
    }
}

async fn is_served(client: &Client, from: &str) -> bool {
    let to: SocketAddr = LISTENER.parse().expect("an address");
    let served = async {
        let mut stream = client.connect_from(from, to, NAME).await?;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer.ends_with("let in"))
    };
    served.await.unwrap_or(false)
}

#[test]
fn fifty_bad_files_open_nothing() {
    requires!(Root, NetworkNamespaces);
    let starts = bad_starts();
    let reloads = bad_reloads();
    eprintln!(
        "{} of 50 cases fail closed: {starts} starts refused, {reloads} reloads refused and repaired",
        starts + reloads
    );
    assert_eq!((starts, reloads), (25, 25));
}

fn bad_starts() -> usize {
    let mut world = world("closed-start");
    let mut refused = 0;
    for (index, file) in FILES.into_iter().enumerate() {
        for fault in FAULTS {
            let good = world.good[index].clone();
            fault.happen(world.daemon.home(), file, &good);
            let before = world.daemon.logs().len();
            let status = world.daemon.run_to_end();
            let said = world.daemon.logs()[before..].to_owned();
            assert!(!status.success(), "{file} {fault:?}: it started\n{said}");
            assert!(
                said.contains(file),
                "{file} {fault:?}: the file is not named\n{said}"
            );
            world.daemon.home().write(file, &good);
            refused += 1;
        }
    }
    // It was nothing else that kept it from starting.
    world.daemon.start();
    assert_eq!(world.served(), LET_IN);
    refused
}

fn bad_reloads() -> usize {
    let mut world = world("closed-reload");
    world.daemon.start();
    assert_eq!(world.served(), LET_IN);
    let mut refused = 0;
    for (file, good) in FILES.into_iter().zip(&world.good) {
        for fault in FAULTS {
            fault.happen(world.daemon.home(), file, good);
            let said = world.reload();
            // Of a pair the last good one goes on by itself; who is let in is a matter of the whole.
            let kept = file.starts_with("api.") && said.contains("last good pair");
            assert!(
                (kept || said.contains("refused")) && said.contains(file),
                "{file} {fault:?}: {said}"
            );
            assert_eq!(world.successful(), "0", "{file} {fault:?}");
            assert_eq!(world.served(), LET_IN, "{file} {fault:?}: what served before");
            world.daemon.home().write(file, good);
            let said = world.reload();
            assert!(said.contains("reloaded"), "{file} {fault:?}, repaired: {said}");
            assert_eq!(world.successful(), "1", "{file} {fault:?}, repaired");
            refused += 1;
        }
    }
    assert_eq!(world.served(), LET_IN);
    refused
}

const NAME: &str = "api.example.com";
const LISTENER: &str = "127.0.0.1:443";
const METRICS: &str = "127.0.0.1:9465";

/// With a certificate, without one, from an address that no list names.
const LET_IN: [bool; 3] = [true, false, false];
