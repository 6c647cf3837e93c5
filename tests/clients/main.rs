//! Five TLS stacks as clients of the edge, each in the versions it can be told to speak.
//!
//! A client is a row: how it is called, and what proves that it was served. What it authenticates with is a parameter.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod browser;

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use ravelin_tests::backend::Backend;
use ravelin_tests::client::{Client, curl, s_client};
use ravelin_tests::edge::Edge;
use ravelin_tests::pki::Authority;
use ravelin_tests::runtime::runtime;
use ravelin_tests::{requires, wait};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const NAME: &str = "api.example.com";
const BODY: &str = "hello from behind";
const REQUEST: &str = "GET / HTTP/1.1\r\nhost: api.example.com\r\n\r\n";
const SOON: Duration = Duration::from_secs(30);
const VERSIONS: [Version; 2] = [Version::Tls12, Version::Tls13];

/// Who proves who they are.
#[derive(Clone, Copy, Debug)]
enum Authentication {
    /// The server alone.
    OneWay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Tls12,
    Tls13,
}

impl Version {
    fn number(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

struct World {
    edge: Edge,
    authority: Authority,
    _backend: Backend,
}

fn world(test: &str, authentication: Authentication) -> World {
    let backend = Backend::http(BODY);
    let authority = Authority::new();
    let settings = match authentication {
        Authentication::OneWay => "",
    };
    let policy = format!(
        r#"
[[listener]]
name = "api"
bind = ["127.0.0.1:0"]
routes = [{{ sni = "{NAME}", upstream = "app" }}]
[listener.tls]
certificates = [{{ cert = "api.pem", key = "api.key" }}]
{settings}
[[upstream]]
name = "app"
servers = ["{}"]
"#,
        backend.address()
    );
    let edge = Edge::start(test, &policy, &[("api", &authority.issue_as_in_public(&[NAME]))]);
    edge.home().write("authority.pem", &authority.pem());
    World {
        edge,
        authority,
        _backend: backend,
    }
}

impl World {
    fn port(&self) -> String {
        self.edge.address("api").port().to_string()
    }

    fn file(&self, name: &str) -> String {
        self.edge.home().directory().join(name).display().to_string()
    }

    /// The edge has counted so many handshakes of this version: what the client says of itself is one thing.
    #[track_caller]
    fn counted(&self, version: Version, handshakes: f64) {
        let series = format!(
            "ravelin_edge_tls_handshakes_total{{listener=\"api\",resumed=\"no\",version=\"{}\"}}",
            version.number()
        );
        wait::until("the handshake to be counted", SOON, || {
            (self.edge.metric(&series) == handshakes).then_some(())
        });
    }
}

/// Runs a client that reads the request from its standard input.
#[track_caller]
fn talk(command: &mut Command) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the client runs");
    let mut stdin = child.stdin.take().expect("piped");
    // It may have ended already; its output tells.
    let _ended = std::io::Write::write_all(&mut stdin, REQUEST.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("the client ends")
}

#[track_caller]
fn served(output: &Output) {
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(said.contains(BODY), "{said}\n{complained}");
}

#[test]
fn openssl_and_curl() {
    requires!(Tool("openssl"), Tool("curl"));
    let world = world("clients-openssl", Authentication::OneWay);
    for version in VERSIONS {
        let number = version.number();
        let flag = format!("-tls{}", number.replace('.', "_"));
        let ca = world.file("authority.pem");
        let arguments = [
            &flag,
            "-servername",
            NAME,
            "-quiet",
            "-verify_return_error",
            "-CAfile",
            &ca,
        ];
        let said = s_client(world.edge.address("api"), &arguments, REQUEST);
        assert!(said.contains(BODY), "{number}: {said}");
        let arguments = [&format!("--tlsv{number}"), "--tls-max", number];
        let to = world.edge.address("api");
        served(&curl(world.edge.home(), &world.authority, to, NAME, &arguments));
        world.counted(version, 2.0);
    }
}

#[test]
fn gnutls() {
    requires!(Tool("gnutls-cli"));
    let world = world("clients-gnutls", Authentication::OneWay);
    for version in VERSIONS {
        let output = talk(
            Command::new("gnutls-cli")
                .arg(format!("--x509cafile={}", world.file("authority.pem")))
                .args([
                    &format!("--sni-hostname={NAME}"),
                    &format!("--verify-hostname={NAME}"),
                ])
                .arg(format!(
                    "--priority=NORMAL:-VERS-ALL:+VERS-TLS{}",
                    version.number()
                ))
                .args(["-p", &world.port(), "127.0.0.1"]),
        );
        served(&output);
        world.counted(version, 1.0);
    }
}

#[test]
fn nss() {
    requires!(Tool("tstclnt"), Tool("certutil"));
    let world = world("clients-nss", Authentication::OneWay);
    let database = database(&world, "nss");
    for version in VERSIONS {
        let range = format!("tls{0}:tls{0}", version.number());
        // From a file: at the end of a pipe it waits for more.
        world.edge.home().write("request", REQUEST);
        let request = std::fs::File::open(world.file("request")).expect("the request");
        let output = Command::new("tstclnt")
            .args([
                "-d",
                &database,
                "-h",
                "127.0.0.1",
                "-p",
                &world.port(),
                "-a",
                NAME,
            ])
            .args(["-V", &range])
            .stdin(request)
            .output()
            .expect("the client runs");
        served(&output);
        world.counted(version, 1.0);
    }
}

/// A database of NSS that trusts the authority.
fn database(world: &World, folder: &str) -> String {
    std::fs::create_dir_all(world.file(folder)).expect("a folder");
    let database = format!("sql:{}", world.file(folder));
    let authority = world.file("authority.pem");
    for arguments in [
        &["-N", "--empty-password"][..],
        &["-A", "-n", "authority", "-t", "CT,,", "-i", &authority],
    ] {
        let output = Command::new("certutil")
            .args(["-d", &database])
            .args(arguments)
            .output()
            .expect("`certutil` runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    database
}

#[test]
fn rustls_client() {
    let world = world("clients-rustls", Authentication::OneWay);
    for (version, spoken) in [
        (Version::Tls12, &rustls::version::TLS12),
        (Version::Tls13, &rustls::version::TLS13),
    ] {
        let client = Client::with_versions(&world.authority, &[spoken]);
        let answer = runtime().block_on(async {
            let mut stream = client
                .connect(world.edge.address("api"), NAME)
                .await
                .expect("a session");
            stream.write_all(REQUEST.as_bytes()).await.expect("send");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("an answer");
            answer
        });
        assert!(answer.ends_with(BODY), "{answer}");
        world.counted(version, 1.0);
    }
}
